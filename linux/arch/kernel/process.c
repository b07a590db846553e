// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fibers. A kernel thread is a stack and a saved stack pointer; the host's thread runs whichever is current.
 * The host itself is one more fiber, to which the idle task switches when there is nothing to do.
 */
#include <asm/outboard.h>
#include <asm/switch_to.h>
#include <linux/cpu.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/start_kernel.h>
#include <linux/tick.h>

struct task_struct *outboard_current = &init_task;
EXPORT_SYMBOL(outboard_current);

static unsigned long host_sp, idle_sp;

#define OUTBOARD_BUSY_STAYS 8

/*
 * outboard_switch(save, to): what a called function must keep (System V ABI, AMD64, 3.2.1) goes on the stack,
 * the stack pointer to @save; then the other way round from @to. The control words of the two floating point
 * units are kept by the ABI as well, but nobody changes them here.
 */
asm(".pushsection .text\n"
    ".type outboard_switch, @function\n"
    "outboard_switch:\n"
    "	push %rbp\n"
    "	push %rbx\n"
    "	push %r12\n"
    "	push %r13\n"
    "	push %r14\n"
    "	push %r15\n"
    "	mov %rsp, (%rdi)\n"
    "	mov %rsi, %rsp\n"
    "	pop %r15\n"
    "	pop %r14\n"
    "	pop %r13\n"
    "	pop %r12\n"
    "	pop %rbx\n"
    "	pop %rbp\n"
    "	ret\n"
    ".size outboard_switch, . - outboard_switch\n"
    /* First return of a fiber: function in r12, argument in rbx. */
    ".type outboard_fiber_entry, @function\n"
    "outboard_fiber_entry:\n"
    "	mov %r12, %rdi\n"
    "	mov %rbx, %rsi\n"
    "	call outboard_fiber_start\n"
    "	ud2\n"
    ".size outboard_fiber_entry, . - outboard_fiber_entry\n"
    ".popsection\n");
void outboard_switch(unsigned long *save, unsigned long to);
extern char outboard_fiber_entry[];

/* A stack as outboard_switch() leaves it. */
static unsigned long first_frame(unsigned long top, int (*fn)(void *), void *arg)
{
	unsigned long *sp = (unsigned long *)top;

	/*
	 * Two words of nothing: frame pointers end here, and with the return address gone the entry sees the
	 * alignment of 16 that the host's C library relies on.
	 */
	*--sp = 0;
	*--sp = 0;
	*--sp = (unsigned long)outboard_fiber_entry;
	*--sp = 0;		    /* rbp */
	*--sp = (unsigned long)arg; /* rbx */
	*--sp = (unsigned long)fn;  /* r12 */
	*--sp = 0;
	*--sp = 0;
	*--sp = 0;
	return (unsigned long)sp;
}

void outboard_fiber_start(int (*fn)(void *), void *arg);

__visible __used void outboard_fiber_start(int (*fn)(void *), void *arg)
{
	if (current->thread.prev)
		schedule_tail(current->thread.prev);
	fn(arg);
	panic("a kernel thread has returned");
}

int copy_thread(struct task_struct *p, const struct kernel_clone_args *args)
{
	if (!args->fn)
		return -ENOSYS; /* programs are never started */
	p->thread.sp = first_frame((unsigned long)task_stack_page(p) + THREAD_SIZE, args->fn,
				   args->fn_arg);
	return 0;
}

__visible struct task_struct *__switch_to(struct task_struct *from, struct task_struct *to)
{
	to->thread.prev = from;
	outboard_current = to;
	outboard_switch(&from->thread.sp, to->thread.sp);
	return current->thread.prev;
}

unsigned long __get_wchan(struct task_struct *p)
{
	return 0;
}

/* ---- the host's thread ---------------------------------------------------------------------- */

static int boot(void *unused)
{
	start_kernel();
	return 0;
}

void outboard_boot_fiber(void)
{
	idle_sp = first_frame((unsigned long)init_stack + THREAD_SIZE, boot, NULL);
}

/* The host comes back soon: what an idle processor prepares for its sleep can wait until it does sleep. */
static bool soon;
/* Such stays since the last sleep. */
static unsigned int stays;

unsigned long outboard_stays;

static void to_idle(unsigned long long *deadline)
{
	outboard_stays++;
	outboard_switch(&host_sp, idle_sp);
	*deadline = outboard_deadline;
}

void outboard_run(unsigned long long *deadline)
{
	soon = false;
	stays = 0;
	to_idle(deadline);
}

void outboard_run_briefly(unsigned long long *deadline)
{
	soon = true;
	stays++;
	to_idle(deadline);
}

/*
 * Interrupts are off, and the tick still runs, if it was not stopped before a longer sleep: so time and timers go on here, and nothing has to be
 * computed anew for each burst of the host's.
 */
void arch_cpu_idle_enter(void)
{
	while (soon && !need_resched() && !tick_nohz_tick_stopped()) {
		if (!outboard_pending)
			outboard_switch(&idle_sp, host_sp);
		local_irq_enable();
		local_irq_disable();
	}
}

/* Interrupts are off. Nothing can be missed in between: what is pending is looked for by the host. */
void arch_cpu_idle(void)
{
	if (IS_ENABLED(CONFIG_OUTBOARD_CHECKS))
		outboard_look_at_checks();
	if (!outboard_pending)
		outboard_switch(&idle_sp, host_sp);
	raw_local_irq_enable();
	raw_local_irq_disable();
}

/*
 * A stopped tick makes each stay compute anew when it has to wake. To start it costs as much as some of these, and it is
 * stopped again before the next sleep: who does not sleep for so long wants it back.
 */
void arch_cpu_idle_exit(void)
{
	if (stays >= OUTBOARD_BUSY_STAYS && tick_nohz_tick_stopped()) {
		local_irq_disable();
		tick_nohz_idle_restart_tick();
		local_irq_enable();
	}
}
