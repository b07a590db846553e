// SPDX-License-Identifier: GPL-2.0-only
/* Who called: along the frame pointers of a fiber's stack, whose first one is 0. */
#include <asm/outboard.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>

struct frame {
	struct frame *caller;
	unsigned long pc;
};

static bool on_stack(const struct task_struct *task, const struct frame *f)
{
	unsigned long stack = (unsigned long)task_stack_page(task), at = (unsigned long)f;

	return at >= stack && at <= stack + THREAD_SIZE - sizeof(*f) && !(at & 7);
}

void arch_stack_walk(stack_trace_consume_fn consume, void *cookie, struct task_struct *task,
		     struct pt_regs *regs)
{
	const struct frame *f;

	if (!task || task == current)
		f = __builtin_frame_address(0);
	else
		/* outboard_switch() has pushed the frame pointer first, five registers follow. */
		f = *(struct frame **)(task->thread.sp + 5 * sizeof(long));
	task = task ?: current;
	while (on_stack(task, f) && f->pc && consume(cookie, f->pc)) {
		if (f->caller <= f)
			break;
		f = f->caller;
	}
}

void show_stack(struct task_struct *task, unsigned long *sp, const char *loglvl)
{
	unsigned long pc[24];
	unsigned int i, n;

	n = stack_trace_save_tsk(task ?: current, pc, ARRAY_SIZE(pc), 0);
	for (i = 0; i < n; i++)
		printk("%s %pS (object + 0x%lx)\n", loglvl, (void *)pc[i],
		       pc[i] - outboard_physmem);
}

void show_regs(struct pt_regs *regs)
{
}
