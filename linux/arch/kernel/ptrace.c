// SPDX-License-Identifier: GPL-2.0-only
/* There is no user space that could be traced. */
#include <linux/errno.h>
#include <linux/ptrace.h>

long arch_ptrace(struct task_struct *child, long request, unsigned long addr, unsigned long data)
{
	return -EIO;
}

void ptrace_disable(struct task_struct *child)
{
}

void user_disable_single_step(struct task_struct *child)
{
}
