// SPDX-License-Identifier: GPL-2.0-only
/* Memory that the device would read letters from. */
#include <linux/dma-mapping.h>
#include <linux/pci.h>

#include "ring.h"

int mailbox_ring(struct pci_dev *pdev)
{
	dma_addr_t addr;

	if (!dmam_alloc_coherent(&pdev->dev, PAGE_SIZE, &addr, GFP_KERNEL))
		return -ENOMEM;
	dev_info(&pdev->dev, "letters at %pad\n", &addr);
	return 0;
}
