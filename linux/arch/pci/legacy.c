// SPDX-License-Identifier: GPL-2.0-only
/*
 * IDE controllers in compatibility mode: ports and interrupts are a PC's, not those of a BAR (PCI IDE Controller Specification 1.0, 2.1). The host
 * has them where the whole machine is its own; where it has not, the ports read as ones and the driver finds no disk.
 */
#include <asm/outboard.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/pci.h>

enum {
	RANGES = 4,
	CHANNELS = 2,
	/* libata asks for these by number (ATA_PRIMARY_IRQ, ATA_SECONDARY_IRQ). */
	FIRST_IRQ = 14,
};

static struct {
	unsigned long base, size;
	unsigned int bar;
} range[RANGES];
static unsigned int nr_ranges, lines_on;

int outboard_legacy_find(unsigned long port, unsigned int *bar, unsigned long *off)
{
	unsigned int i;

	for (i = 0; i < nr_ranges; i++) {
		if (port < range[i].base || port - range[i].base >= range[i].size)
			continue;
		*bar = range[i].bar;
		*off = port - range[i].base;
		return 0;
	}
	return -ENODEV;
}

/* ---- interrupts 14 and 15: a vector of the host's each ------------------------------------------ */

static unsigned int vector_of(struct irq_data *d)
{
	return d->irq - FIRST_IRQ;
}

static void line_mask(struct irq_data *d)
{
	outboard_vector_mask(vector_of(d), true);
}

static void line_unmask(struct irq_data *d)
{
	outboard_vector_mask(vector_of(d), false);
	outboard_ops->irq_unmask(outboard_host, vector_of(d));
}

static unsigned int line_startup(struct irq_data *d)
{
	if (!lines_on && outboard_ops->irq_enable(outboard_host, OB_KIT_INTX, CHANNELS))
		pr_err("outboard: the host has no interrupts 14 and 15 for the device\n");
	lines_on |= 1u << vector_of(d);
	outboard_vector_set_irq(vector_of(d), d->irq);
	outboard_vector_mask(vector_of(d), false);
	return 0;
}

static void line_shutdown(struct irq_data *d)
{
	outboard_vector_mask(vector_of(d), true);
	outboard_vector_set_irq(vector_of(d), 0);
	lines_on &= ~(1u << vector_of(d));
	if (!lines_on)
		outboard_ops->irq_disable(outboard_host);
}

static struct irq_chip line_chip = {
	.name = "ISA",
	.irq_startup = line_startup,
	.irq_shutdown = line_shutdown,
	.irq_mask = line_mask,
	.irq_unmask = line_unmask,
};

/* ---- what a PC's firmware does ---------------------------------------------------------------------- */

static void claim(struct pci_dev *dev, unsigned int i)
{
	struct resource *r = &dev->resource[i];
	int bar;

	if (!(r->flags & IORESOURCE_PCI_FIXED) || !(r->flags & IORESOURCE_IO) ||
	    nr_ranges == RANGES)
		return;
	if (!r->parent && pci_claim_resource(dev, i))
		return;
	bar = outboard_ops->claim_ports(outboard_host, r->start, resource_size(r));
	if (bar < 0)
		return;
	range[nr_ranges].base = r->start;
	range[nr_ranges].size = resource_size(r);
	range[nr_ranges++].bar = bar;
}

static void set_up(struct pci_dev *dev)
{
	unsigned int i;
	u8 on;

	nr_ranges = 0;
	for (i = 0; i < 2 * CHANNELS; i++)
		claim(dev, i);
	if (!nr_ranges)
		return;
	for (i = 0; i < CHANNELS; i++) {
		if (irq_alloc_desc_at(FIRST_IRQ + i, -1) < 0)
			continue;
		irq_set_status_flags(FIRST_IRQ + i, IRQ_DISABLE_UNLAZY);
		irq_set_chip_and_handler(FIRST_IRQ + i, &line_chip, handle_level_irq);
	}
	/* Intel's decode a channel's ports when bit 15 of IDETIM is set (82371SB data sheet, 2.2.12). */
	if (dev->vendor != PCI_VENDOR_ID_INTEL)
		return;
	for (i = 0; i < CHANNELS; i++) {
		pci_read_config_byte(dev, 0x41 + 2 * i, &on);
		pci_write_config_byte(dev, 0x41 + 2 * i, on | 0x80);
	}
}
DECLARE_PCI_FIXUP_CLASS_FINAL(PCI_ANY_ID, PCI_ANY_ID, PCI_CLASS_STORAGE_IDE, 8, set_up);
