// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts without interruption: what is pending is a word, and it runs where interrupts are enabled
 * (asm/irqflags.h) and at poll points (asm/processor.h).
 */
#include <asm/irq_regs.h>
#include <asm/outboard.h>
#include <linux/hardirq.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqflags.h>

/* Time in which a kernel whose device is gone must once be idle. Time-outs of drivers, which spin, are shorter. */
#define OUTBOARD_GONE_NS (10 * NSEC_PER_SEC)

unsigned long outboard_irqs_on;
EXPORT_SYMBOL(outboard_irqs_on);
unsigned long outboard_pending;
EXPORT_SYMBOL(outboard_pending);
unsigned int outboard_reads;
EXPORT_SYMBOL(outboard_reads);

/* Vectors that have interrupted, and those whose interrupt is masked: these wait. */
static u64 vectors;
u64 outboard_vectors_masked;
static unsigned int vector_irq[OB_KIT_VECTORS];

unsigned int outboard_vector_irq(unsigned int vector)
{
	return vector_irq[vector];
}

void outboard_vector_set_irq(unsigned int vector, unsigned int irq)
{
	vector_irq[vector] = irq;
}

static void run_vectors(void)
{
	u64 now = vectors & ~outboard_vectors_masked;

	vectors &= ~now;
	while (now) {
		unsigned int v = __ffs64(now);

		now &= now - 1;
		if (vector_irq[v])
			generic_handle_irq(vector_irq[v]);
	}
}

/* ---- work that the host brings ------------------------------------------------------------- */

static void (*burst_fn)(void *arg);
static void *burst_arg;

/*
 * In a soft interrupt: there drivers' transmit functions and polls may be called, what they raise is done when it
 * ends, and it costs no switch of fibers.
 */
static void burst_run(struct tasklet_struct *t)
{
	burst_fn(burst_arg);
}
static DECLARE_TASKLET(burst_tasklet, burst_run);

void outboard_burst(void (*fn)(void *arg), void *arg, unsigned long long *deadline)
{
	burst_fn = fn;
	burst_arg = arg;
	outboard_pending |= OUTBOARD_PENDING_BURST;
	outboard_run_briefly(deadline);
}

/* ---- delivery -------------------------------------------------------------------------------- */

void outboard_run_pending(void)
{
	/* The tick wants registers of an interrupted program, to account its time. */
	static struct pt_regs regs;

	while (outboard_pending) {
		unsigned long pending = outboard_pending;
		struct pt_regs *old;
#ifdef CONFIG_TRACE_IRQFLAGS
		/* lockdep counts for itself, and some code enables interrupts behind its back. */
		bool traced = lockdep_hardirqs_enabled();
#endif

		outboard_pending = 0;
		outboard_irqs_on = ARCH_IRQ_DISABLED;
#ifdef CONFIG_TRACE_IRQFLAGS
		if (traced)
			trace_hardirqs_off();
#endif
		/* Before anything that counts ticks. */
		if (unlikely(outboard_repay()))
			pending |= OUTBOARD_PENDING_TIMER;
		old = set_irq_regs(&regs);
		irq_enter();
		if (pending & OUTBOARD_PENDING_TIMER)
			outboard_timer_run();
		if (pending & OUTBOARD_PENDING_VECTOR)
			run_vectors();
		if (pending & OUTBOARD_PENDING_CALL)
			outboard_gate_wake();
		if (pending & OUTBOARD_PENDING_BURST)
			tasklet_hi_schedule(&burst_tasklet);
		irq_exit();
		set_irq_regs(old);
#ifdef CONFIG_TRACE_IRQFLAGS
		if (traced)
			trace_hardirqs_on();
#endif
		outboard_irqs_on = ARCH_IRQ_ENABLED;
	}
}
EXPORT_SYMBOL(outboard_run_pending);

static unsigned long looks;

unsigned long outboard_looks(void)
{
	return READ_ONCE(looks);
}

/*
 * A driver that takes ones for what its device has to say goes on for ever. Who has not found an end in so long, without once being
 * idle, has none; it holds the host, too.
 */
static void look_for_an_end(void)
{
	static unsigned long stay;
	static u64 since;

	if (stay != outboard_stays) {
		stay = outboard_stays;
		since = outboard_clock();
	}
	if (outboard_clock() - since > OUTBOARD_GONE_NS)
		outboard_fatal("the device is gone, and its driver goes on asking it");
}

static void look(void)
{
	unsigned long long bits = 0;

	outboard_reads = 0;
	WRITE_ONCE(looks, looks + 1);
	if (unlikely(outboard_ops->poll(outboard_host, &bits)))
		outboard_pci_gone();
	if (unlikely(outboard_pci_is_gone()))
		look_for_an_end();
	vectors |= bits;
	if (vectors & ~outboard_vectors_masked)
		outboard_pending |= OUTBOARD_PENDING_VECTOR;
	if (outboard_clock() >= outboard_deadline)
		outboard_pending |= OUTBOARD_PENDING_TIMER;
}

int outboard_busy(void)
{
	outboard_called_at = NULL;
	look();
	return !!outboard_pending;
}

/* Code that spins calls this: interrupts that came meanwhile are served if they are enabled. */
void outboard_poll(void)
{
	/* Not every turn of a tight loop: a look is a system call or two. */
	static u64 next;
	u64 now;

	if (!outboard_ops)
		return;
	now = outboard_clock();
	if (now >= next) {
		next = now + 10000;
		outboard_called_at = __builtin_frame_address(0);
		look();
	}
	if (outboard_pending && outboard_irqs_on)
		outboard_run_pending();
}
EXPORT_SYMBOL(outboard_poll);

/* A vector that was unmasked may have waited. */
void outboard_vector_mask(unsigned int vector, bool on)
{
	if (on) {
		outboard_vectors_masked |= 1ull << vector;
		return;
	}
	outboard_vectors_masked &= ~(1ull << vector);
	if (vectors & (1ull << vector))
		outboard_pending |= OUTBOARD_PENDING_VECTOR;
}

void __init init_IRQ(void)
{
}
