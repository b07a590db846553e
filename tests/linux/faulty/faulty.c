// SPDX-License-Identifier: GPL-2.0-only
/* A driver that ends in its probe, in the way that its parameter says: for the test of what a process says then (tests/linux/last_words.sh). */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/reboot.h>

static char *how = "not";
module_param(how, charp, 0444);

static void (*function)(void);

static noinline void faulty_way(struct pci_dev *pdev)
{
	int *null = NULL;
	u32 *regs;

	if (!strcmp(how, "panic"))
		panic("this driver cannot go on");
	if (!strcmp(how, "bug"))
		BUG();
	if (!strcmp(how, "null"))
		WRITE_ONCE(*null, 1);
	if (!strcmp(how, "call"))
		READ_ONCE(function)();
	if (!strcmp(how, "register")) {
		regs = (u32 __force *)pcim_iomap(pdev, 0, 0);
		dev_info(&pdev->dev, "%x\n", READ_ONCE(*regs));
	}
	if (!strcmp(how, "restart"))
		emergency_restart();
	dev_info(&pdev->dev, "ends %s\n", how);
}

static int faulty_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	faulty_way(pdev);
	return -EINVAL;
}

/* QEMU's e1000e. */
static const struct pci_device_id faulty_ids[] = {
	{PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x10d3)},
	{},
};
MODULE_DEVICE_TABLE(pci, faulty_ids);

static struct pci_driver faulty_driver = {
	.name = "faulty",
	.id_table = faulty_ids,
	.probe = faulty_probe,
};
module_pci_driver(faulty_driver);

MODULE_DESCRIPTION("A driver that ends in its probe");
MODULE_LICENSE("GPL");
