// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a driver's daily calls cost in this kernel: each in a function of its own, named cost_..., which callgrind can count (bench/linux_costs.sh); the
 * time of each is in the log. Drives QEMU's e1000e for its registers and its interrupt, and refuses it in the end.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/version.h>

/* 82574L datasheet, 10.2.4: interrupt cause read, set; mask set, clear. */
enum {
	ICR = 0xc0,
	ICS = 0xc8,
	IMS = 0xd0,
	IMC = 0xd8,
	LSC = 4
};

static unsigned int n = 1000;
module_param(n, uint, 0444);

static void __iomem *regs, *table;
static struct device *dev;
static void *buf;

static noinline void cost_read_mapped(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		readl(table);
}

static noinline void cost_write_mapped(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		writel(0, table);
}

static noinline void cost_read_message(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		readl(regs + IMS);
}

static noinline void cost_write_message(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		writel(0, regs + IMS);
}

static noinline void cost_dma_map_unmap(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		dma_addr_t at = dma_map_single(dev, buf, 1500, DMA_TO_DEVICE);

		dma_unmap_single(dev, at, 1500, DMA_TO_DEVICE);
	}
}

static noinline void cost_kmalloc_kfree(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		kfree(kmalloc(256, GFP_ATOMIC));
}

static noinline void cost_irqs_off_on(void)
{
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < n; i++) {
		local_irq_save(flags);
		local_irq_restore(flags);
	}
}

static noinline void cost_clock(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		ktime_get();
}

/* ---- timers ------------------------------------------------------------------------ */

static struct timer_list wheel;
static struct hrtimer fine;
static unsigned int fired;

static void wheel_fires(struct timer_list *t)
{
}

static enum hrtimer_restart fine_fires(struct hrtimer *t)
{
	fired++;
	return HRTIMER_NORESTART;
}

static noinline void cost_timer_set_cancel(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		mod_timer(&wheel, jiffies + 10 * HZ + i);
		timer_delete(&wheel);
	}
}

/* Set to now; it fires at the next poll point. */
static noinline void cost_timer_fires(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		unsigned int before = READ_ONCE(fired);

		hrtimer_start(&fine, 0, HRTIMER_MODE_REL);
		while (READ_ONCE(fired) == before)
			cpu_relax();
	}
}

/* ---- interrupts ---------------------------------------------------------------------- */

static unsigned int handled;

static irqreturn_t handle(int irq, void *unused)
{
	readl(regs + ICR);
	handled++;
	return IRQ_HANDLED;
}

/* From the vector to the handler and back, with what the generic code does for an MSI; without the device. */
static noinline void cost_interrupt(unsigned int irq)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		local_irq_disable();
		generic_handle_irq(irq);
		local_irq_enable();
	}
}

/* From the register that raises it, by the device and its message, to the handler. */
static noinline void cost_interrupt_of_device(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		unsigned int before = READ_ONCE(handled);

		writel(LSC, regs + ICS);
		while (READ_ONCE(handled) == before)
			cpu_relax();
	}
}

static irqreturn_t nothing(int irq, void *unused)
{
	return IRQ_HANDLED;
}

static unsigned int softened;

static void soft(struct tasklet_struct *t)
{
	softened++;
}
static DECLARE_TASKLET(tasklet, soft);

static noinline void cost_soft_interrupt(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		local_bh_disable();
		tasklet_schedule(&tasklet);
		local_bh_enable();
	}
}

/* ---- fibers ---------------------------------------------------------------------------- */

static DECLARE_COMPLETION(ping);
static DECLARE_COMPLETION(pong);

static int other(void *unused)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		wait_for_completion(&ping);
		complete(&pong);
	}
	return 0;
}

/* Two switches and two wake-ups. */
static noinline void cost_there_and_back(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		complete(&ping);
		wait_for_completion(&pong);
	}
}

/* ---- all ---------------------------------------------------------------------------------- */

#define TIME(call, name)                                                                           \
	do {                                                                                       \
		u64 since = ktime_get_ns();                                                        \
		call;                                                                              \
		pr_warn("costs: %s %llu ps\n", name, (ktime_get_ns() - since) * 1000 / n);         \
	} while (0)

static int measure(struct pci_dev *pdev)
{
	int irq, ret;

	TIME(cost_read_mapped(), "read_mapped");
	TIME(cost_write_mapped(), "write_mapped");
	TIME(cost_read_message(), "read_message");
	TIME(cost_write_message(), "write_message");
	TIME(cost_dma_map_unmap(), "dma_map_unmap");
	TIME(cost_kmalloc_kfree(), "kmalloc_kfree");
	TIME(cost_irqs_off_on(), "irqs_off_on");
	TIME(cost_clock(), "clock");
	timer_setup(&wheel, wheel_fires, 0);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
	hrtimer_init(&fine, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	fine.function = fine_fires;
#else
	hrtimer_setup(&fine, fine_fires, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
#endif
	TIME(cost_timer_set_cancel(), "timer_set_cancel");
	TIME(cost_timer_fires(), "timer_fires");
	TIME(cost_soft_interrupt(), "soft_interrupt");
	kthread_run(other, NULL, "other");
	TIME(cost_there_and_back(), "there_and_back");

	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		return ret;
	irq = pci_irq_vector(pdev, 0);
	ret = request_irq(irq, nothing, 0, "costs", pdev);
	if (ret)
		goto free_vectors;
	TIME(cost_interrupt(irq), "interrupt");
	free_irq(irq, pdev);
	ret = request_irq(irq, handle, 0, "costs", pdev);
	if (ret)
		goto free_vectors;
	writel(LSC, regs + IMS);
	TIME(cost_interrupt_of_device(), "interrupt_of_device");
	writel(~0, regs + IMC);
	free_irq(irq, pdev);
free_vectors:
	pci_free_irq_vectors(pdev);
	return ret;
}

static int costs_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	pci_set_master(pdev);
	dev = &pdev->dev;
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	regs = pcim_iomap(pdev, 0, 0);
	/* The MSI-X table is memory in either case: what a register of a mapped BAR costs. */
	table = ioremap(pci_resource_start(pdev, 3), PCI_MSIX_ENTRY_SIZE);
	buf = kmalloc(2048, GFP_KERNEL);
	ret = regs && table && buf ? measure(pdev) : -ENOMEM;
	iounmap(table);
	kfree(buf);
	return ret ?: -ENODEV;
}

static const struct pci_device_id costs_ids[] = {
	{PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x10d3)},
	{},
};
MODULE_DEVICE_TABLE(pci, costs_ids);

static struct pci_driver costs_driver = {
	.name = "costs",
	.id_table = costs_ids,
	.probe = costs_probe,
};
module_pci_driver(costs_driver);

MODULE_DESCRIPTION("What a driver's daily calls cost");
MODULE_LICENSE("GPL");
