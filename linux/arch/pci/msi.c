// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of the device: INTx as a level, MSI and MSI-X as messages. The host has the vectors; here a vector is a bit
 * (kernel/irq.c), and masking one is a bit, too.
 */
#include <asm/outboard.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/msi.h>
#include <linux/pci.h>

unsigned int outboard_intx_irq;

/* ---- INTx ------------------------------------------------------------------------------------- */

static unsigned int intx_startup(struct irq_data *d)
{
	int ret = outboard_ops->irq_enable(outboard_host, OB_KIT_INTX, 1);

	if (ret)
		pr_err("outboard: the host has no INTx for the device: %d\n", ret);
	outboard_vector_set_irq(0, d->irq);
	outboard_vector_mask(0, false);
	return 0;
}

static void intx_shutdown(struct irq_data *d)
{
	outboard_vector_mask(0, true);
	outboard_vector_set_irq(0, 0);
	outboard_ops->irq_disable(outboard_host);
}

static void intx_mask(struct irq_data *d)
{
	outboard_vector_mask(0, true);
}

/* The host masked the line as it was delivered; one that is still asserted comes again. */
static void intx_unmask(struct irq_data *d)
{
	outboard_vector_mask(0, false);
	outboard_ops->irq_unmask(outboard_host, 0);
}

static struct irq_chip intx_chip = {
	.name = "INTx",
	.irq_startup = intx_startup,
	.irq_shutdown = intx_shutdown,
	.irq_mask = intx_mask,
	.irq_unmask = intx_unmask,
};

void outboard_intx_init(void)
{
	int irq = irq_alloc_desc(0);

	if (irq < 0)
		return;
	outboard_intx_irq = irq;
	/* A driver that disables its interrupt wants none: not one more that is then found to be unwanted. */
	irq_set_status_flags(irq, IRQ_DISABLE_UNLAZY);
	irq_set_chip_and_handler(irq, &intx_chip, handle_level_irq);
}

/* ---- messages ------------------------------------------------------------------------------------ */

static unsigned int vector_of(struct irq_data *d)
{
	return (unsigned long)irq_data_get_irq_chip_data(d);
}

static void message_mask(struct irq_data *d)
{
	outboard_vector_mask(vector_of(d), true);
}

static void message_unmask(struct irq_data *d)
{
	outboard_vector_mask(vector_of(d), false);
}

static void message_ack(struct irq_data *d)
{
}

static struct irq_chip message_chip = {
	.name = "MSI",
	.irq_mask = message_mask,
	.irq_unmask = message_unmask,
	.irq_ack = message_ack,
	.flags = IRQCHIP_ONESHOT_SAFE,
};

static int take(struct msi_desc *desc, unsigned int vector, unsigned int n)
{
	int irq = irq_alloc_descs(-1, 1, n, 0);
	unsigned int i;

	if (irq < 0)
		return irq;
	for (i = 0; i < n; i++) {
		irq_set_msi_desc_off(irq, i, desc);
		irq_set_chip_data(irq + i, (void *)(unsigned long)(vector + i));
		irq_set_chip_and_handler(irq + i, &message_chip, handle_edge_irq);
		irq_set_status_flags(irq + i, IRQ_DISABLE_UNLAZY);
		outboard_vector_mask(vector + i, true);
		outboard_vector_set_irq(vector + i, irq + i);
	}
	return 0;
}

/* Return: 0, a negative errno value, or how many there are when @nvec is too many. */
int arch_setup_msi_irqs(struct pci_dev *dev, int nvec, int type)
{
	bool msix = type == PCI_CAP_ID_MSIX;
	enum ob_kit_irq kind = msix ? OB_KIT_MSIX : OB_KIT_MSI;
	unsigned int have = outboard_ops->vector_count(outboard_host, kind), last = 0;
	struct msi_desc *desc;
	int ret;

	if (!have)
		return -ENOSPC;
	if (nvec > have)
		return have;
	msi_for_each_desc(desc, &dev->dev, MSI_DESC_NOTASSOCIATED)
	{
		unsigned int end = desc->msi_index + desc->nvec_used;

		last = max(last, end);
	}
	if (last > have || last > OB_KIT_VECTORS)
		return -ENOSPC;
	ret = outboard_ops->irq_enable(outboard_host, kind, last);
	if (ret)
		return ret;
	msi_for_each_desc(desc, &dev->dev, MSI_DESC_NOTASSOCIATED)
	{
		ret = take(desc, desc->msi_index, desc->nvec_used);
		if (ret)
			break;
	}
	if (ret)
		arch_teardown_msi_irqs(dev);
	return ret;
}

void arch_teardown_msi_irqs(struct pci_dev *dev)
{
	struct msi_desc *desc;
	unsigned int i;

	outboard_ops->irq_disable(outboard_host);
	msi_for_each_desc(desc, &dev->dev, MSI_DESC_ASSOCIATED)
	{
		for (i = 0; i < desc->nvec_used; i++) {
			outboard_vector_mask(desc->msi_index + i, true);
			outboard_vector_set_irq(desc->msi_index + i, 0);
			irq_free_desc(desc->irq + i);
		}
		desc->irq = 0;
	}
}
