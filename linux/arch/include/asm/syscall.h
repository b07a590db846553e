/* SPDX-License-Identifier: GPL-2.0-only */
/* No system calls come in. */
#ifndef __ASM_OUTBOARD_SYSCALL_H
#define __ASM_OUTBOARD_SYSCALL_H

#include <uapi/linux/audit.h>

struct task_struct;

static inline int syscall_get_arch(struct task_struct *task)
{
	return AUDIT_ARCH_X86_64;
}

#endif
