// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who called. Code of the kernel's keeps no frame pointers, so a stack is searched for addresses that stand behind a call: all who called are
 * among these, and now and then one who called before, whose frame was left behind.
 */
#include <asm/outboard.h>
#include <asm/sections.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>

/* Intel SDM 2, CALL: e8 and four bytes; ff /2 with a register, or with memory and its displacement. */
static bool behind_call(unsigned long pc)
{
	const u8 *p = (const u8 *)pc;

	if (pc < (unsigned long)_stext + 7 || pc > (unsigned long)_einittext)
		return false;
	if (p[-5] == 0xe8)
		return true;
	return (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) ||
	       (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) ||
	       (p[-4] == 0xff && (p[-3] & 0x38) == 0x10) ||
	       (p[-6] == 0xff && (p[-5] & 0x38) == 0x10) ||
	       (p[-7] == 0xff && (p[-6] & 0x38) == 0x10);
}

static void walk(stack_trace_consume_fn consume, void *cookie, struct task_struct *task,
		 unsigned long at)
{
	unsigned long stack = (unsigned long)task_stack_page(task), end = stack + THREAD_SIZE;

	/* The host's own stack, or one that was never entered. */
	if (at < stack || at >= end)
		return;
	for (; at < end; at += sizeof(long)) {
		unsigned long pc = *(const unsigned long *)at;

		if (behind_call(pc) && !consume(cookie, pc))
			return;
	}
}

void arch_stack_walk(stack_trace_consume_fn consume, void *cookie, struct task_struct *task,
		     struct pt_regs *regs)
{
	/* A fiber that sleeps begins with what outboard_switch() has pushed, which is data. */
	if (!task || task == current)
		walk(consume, cookie, current,
		     (unsigned long)__builtin_frame_address(0) + sizeof(long));
	else
		walk(consume, cookie, task, task->thread.sp + 6 * sizeof(long));
}

/* ---- for the host ------------------------------------------------------------------------ */

struct callers {
	unsigned long *pc;
	unsigned int n, max;
};

static bool consume_caller(void *cookie, unsigned long pc)
{
	struct callers *c = cookie;

	c->pc[c->n++] = pc;
	return c->n < c->max;
}

const void *outboard_called_at;

/* From @from on, which is on the current stack; else from where the host was called last, if a driver had to do with it. */
unsigned int outboard_callers(const void *from, unsigned long *pc, unsigned int n)
{
	struct callers c = {pc, 0, n};

	if (!from)
		from = outboard_called_at;
	if (n && from)
		walk(consume_caller, &c, current, ALIGN((unsigned long)from, sizeof(long)));
	return c.n;
}

void show_stack(struct task_struct *task, unsigned long *sp, const char *loglvl)
{
	/* Not on the stack, where the walk would come by what it has just written. */
	static unsigned long pc[24];
	unsigned int i, n;

	n = stack_trace_save_tsk(task ?: current, pc, ARRAY_SIZE(pc), 0);
	for (i = 0; i < n; i++)
		printk("%s %pS (object + 0x%lx)\n", loglvl, (void *)pc[i],
		       pc[i] - outboard_physmem);
}

void show_regs(struct pt_regs *regs)
{
}
