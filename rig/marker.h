/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks a window of instructions for rig/vm --counting (rig/count.c): an 8-byte no-operation that nothing else uses,
 * harmless on any x86-64 processor, in user and in kernel code. docs/rig.md says how windows are measured.
 */
#ifndef RIG_MARKER_H
#define RIG_MARKER_H

/* nopl 0x5a5aKKLL(%rax,%rax,1) */
#define RIG_MARK(kind, label)                                                                      \
	__asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00, %c0, %c1, 0x5a, 0x5a" ::"i"(label),        \
			 "i"(kind)                                                                 \
			 : "memory")

/**
 * RIG_BEGIN() - a window begins here
 * @label: 0 to 255, a constant. Windows of different labels may overlap.
 */
#define RIG_BEGIN(label) RIG_MARK(1, label)

/**
 * RIG_END() - the window of that label ends here
 * @label: as in RIG_BEGIN()
 *
 * The file $RIG_COUNTS gets a line "count LABEL user N kernel N", all processors together.
 */
#define RIG_END(label) RIG_MARK(2, label)

#endif
