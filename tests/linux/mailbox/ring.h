/* SPDX-License-Identifier: GPL-2.0-only */
/* The second file of a driver out of the kernel's tree. */
int mailbox_ring(struct pci_dev *pdev);
