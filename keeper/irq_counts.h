/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many messages of a PCI device (MSI, MSI-X) the kernel has taken, whoever reads the eventfds. From sysfs: which interrupts are
 * the device's (msi_irqs/, Documentation/ABI/testing/sysfs-bus-pci), and what each has counted (sysfs-kernel-irq).
 */
#ifndef KEEPER_IRQ_COUNTS_H
#define KEEPER_IRQ_COUNTS_H

#include <stdint.h>

enum {
	IRQ_COUNTS = 64,
};

struct irq_counts {
	char name[16]; /* of the device; "" for what is none of this machine's */
	struct irq_count {
		int irq, fd;
		uint64_t last;
	} irq[IRQ_COUNTS];
	unsigned int n;
	uint64_t total, listed_ns;
};

/** irq_counts_open() - of the device that a specification names; without effect where it is none of this machine's */
void irq_counts_open(struct irq_counts *c, const char *spec);
/** irq_counts_total() - so many since the first call, from 1; 0: nothing is known */
uint64_t irq_counts_total(struct irq_counts *c, uint64_t now_ns);
void irq_counts_close(struct irq_counts *c);

#endif
