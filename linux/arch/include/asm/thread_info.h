/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_THREAD_INFO_H
#define __ASM_OUTBOARD_THREAD_INFO_H

#include <asm/page.h>

#define THREAD_SIZE_ORDER CONFIG_KERNEL_STACK_ORDER
#define THREAD_SIZE	  (PAGE_SIZE << THREAD_SIZE_ORDER)

#ifndef __ASSEMBLY__

/* In the task (CONFIG_THREAD_INFO_IN_TASK). */
struct thread_info {
	unsigned long flags;
	int preempt_count;
	unsigned int cpu;
};

#define INIT_THREAD_INFO(tsk)                                                                      \
	{                                                                                          \
		.preempt_count = INIT_PREEMPT_COUNT                                                \
	}

#endif

#define TIF_SIGPENDING	    0
#define TIF_NOTIFY_SIGNAL   1
#define TIF_NOTIFY_RESUME   2
#define TIF_NEED_RESCHED    3
#define TIF_RESTORE_SIGMASK 4
#define TIF_MEMDIE	    5
#define TIF_SYSCALL_TRACE   6
#define TIF_SINGLESTEP	    7

#define _TIF_SIGPENDING	    (1 << TIF_SIGPENDING)
#define _TIF_NOTIFY_SIGNAL  (1 << TIF_NOTIFY_SIGNAL)
#define _TIF_NOTIFY_RESUME  (1 << TIF_NOTIFY_RESUME)
#define _TIF_NEED_RESCHED   (1 << TIF_NEED_RESCHED)

#endif
