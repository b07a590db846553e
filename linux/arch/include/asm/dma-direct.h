/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical memory is one piece of the device's DMA arena, so that an address for the device is one addition.
 * The paper that this follows had a list to search here.
 */
#ifndef __ASM_OUTBOARD_DMA_DIRECT_H
#define __ASM_OUTBOARD_DMA_DIRECT_H

#include <linux/types.h>

struct device;
extern u64 outboard_dma_offset;

static inline dma_addr_t phys_to_dma(struct device *dev, phys_addr_t paddr)
{
	return paddr + outboard_dma_offset;
}

static inline phys_addr_t dma_to_phys(struct device *dev, dma_addr_t dma_addr)
{
	return dma_addr - outboard_dma_offset;
}

#define phys_to_dma_unencrypted phys_to_dma

#endif
