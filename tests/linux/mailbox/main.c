// SPDX-License-Identifier: GPL-2.0-only
/* A driver out of the kernel's tree, in two files, for a device that there is not: builds as any module does. */
#include <linux/module.h>
#include <linux/pci.h>

#include "ring.h"

static int letters = 3;
module_param(letters, int, 0444);

static int mailbox_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret = pcim_enable_device(pdev);

	return ret ? ret : mailbox_ring(pdev);
}

static const struct pci_device_id mailbox_ids[] = {
	{PCI_DEVICE(0x1b36, 0xfffe)},
	{},
};
MODULE_DEVICE_TABLE(pci, mailbox_ids);

static struct pci_driver mailbox_driver = {
	.name = "mailbox",
	.id_table = mailbox_ids,
	.probe = mailbox_probe,
};
module_pci_driver(mailbox_driver);

MODULE_DESCRIPTION("A driver out of the kernel's tree");
MODULE_LICENSE("GPL");
