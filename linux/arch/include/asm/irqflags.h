/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts: a flag and a word of what is pending. Nothing interrupts the code; what is pending runs when
 * interrupts are enabled, and at the poll points of asm/processor.h.
 */
#ifndef __ASM_OUTBOARD_IRQFLAGS_H
#define __ASM_OUTBOARD_IRQFLAGS_H

#ifndef __ASSEMBLY__
#include <linux/compiler.h>

extern unsigned long outboard_irqs_on;
extern unsigned long outboard_pending;

void outboard_run_pending(void);

#define ARCH_IRQ_DISABLED     0
#define ARCH_IRQ_ENABLED      1

#define arch_local_save_flags arch_local_save_flags
static __always_inline unsigned long arch_local_save_flags(void)
{
	return outboard_irqs_on;
}

#define arch_local_irq_disable arch_local_irq_disable
static __always_inline void arch_local_irq_disable(void)
{
	outboard_irqs_on = ARCH_IRQ_DISABLED;
	barrier();
}

#define arch_local_irq_enable arch_local_irq_enable
static __always_inline void arch_local_irq_enable(void)
{
	barrier();
	outboard_irqs_on = ARCH_IRQ_ENABLED;
	if (unlikely(outboard_pending))
		outboard_run_pending();
}

#define arch_local_irq_restore arch_local_irq_restore
static __always_inline void arch_local_irq_restore(unsigned long flags)
{
	if (flags)
		arch_local_irq_enable();
	else
		arch_local_irq_disable();
}

#include <asm-generic/irqflags.h>
#endif

#endif
