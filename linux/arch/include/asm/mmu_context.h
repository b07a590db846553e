/* SPDX-License-Identifier: GPL-2.0-only */
/* No user space: memory maps are never switched. */
#ifndef __ASM_OUTBOARD_MMU_CONTEXT_H
#define __ASM_OUTBOARD_MMU_CONTEXT_H

#include <asm-generic/mm_hooks.h>

static inline void switch_mm(struct mm_struct *prev, struct mm_struct *next,
			     struct task_struct *tsk)
{
}

#include <asm-generic/mmu_context.h>

#endif
