/* SPDX-License-Identifier: GPL-2.0-only */
/* The processor: fibers, and the points at which code that spins lets interrupts in. */
#ifndef __ASM_OUTBOARD_PROCESSOR_H
#define __ASM_OUTBOARD_PROCESSOR_H

#ifndef __ASSEMBLY__

#include <asm/ptrace.h>
#include <linux/compiler.h>
#include <linux/types.h>

struct task_struct;

/* What a fiber is while it does not run: its stack pointer. */
struct thread_struct {
	unsigned long sp;
	struct task_struct *prev; /* from whom it was switched to */
	struct pt_regs regs;	  /* of the user space that it never has */
};

#define INIT_THREAD                                                                                \
	{                                                                                          \
	}

#define TASK_SIZE	   0x7ffffffff000UL
#define STACK_TOP	   TASK_SIZE
#define STACK_TOP_MAX	   TASK_SIZE
#define TASK_UNMAPPED_BASE (TASK_SIZE / 3)

#define task_pt_regs(t)	   (&(t)->thread.regs)
#define KSTK_EIP(t)	   (task_pt_regs(t)->ip)
#define KSTK_ESP(t)	   (task_pt_regs(t)->sp)

static inline void start_thread(struct pt_regs *regs, unsigned long ip, unsigned long sp)
{
}
static inline void flush_thread(void)
{
}

unsigned long __get_wchan(struct task_struct *p);

void outboard_poll(void);

extern unsigned int outboard_reads;
/* Every so many register reads: a mapped register costs some 100 ns or more, a look at what is pending as much. */
#define OUTBOARD_READS_PER_POLL 64

static __always_inline void outboard_poll_read(void)
{
	if (unlikely(++outboard_reads >= OUTBOARD_READS_PER_POLL))
		outboard_poll();
}

static __always_inline void cpu_relax(void)
{
	asm volatile("pause" ::: "memory");
	outboard_poll();
}

#endif

#endif
