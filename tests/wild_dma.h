/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three devices that are made to write to any address, by their registers, since no driver of ours does this: at least four
 * bytes, and the write is over when the function returns. QEMU docs/specs/edu; 82574 datasheet, chapter 10; NVMe base
 * specification 1.4, 3.1 and 5.15.
 */
#ifndef TESTS_WILD_DMA_H
#define TESTS_WILD_DMA_H

#include <string.h>

#include <outboard/outboard.h>

#include "tests/edu.h"
#include "tests/wait_for.h"

enum {
	PAGE = 4096,
};

static inline void edu_write(struct ob_device *dev, uint64_t to)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_dma *dma = ob_device_dma(dev);
	ob_iova from;
	char *p = ob_dma_alloc(dma, PAGE, PAGE, "pattern", &from);

	assert_non_null(p);
	memset(p, 0xe1, 64);
	edu_start(bar, from.addr, 64, false);
	WAIT_FOR(!(ob_read64(bar, EDU_DMA_CMD) & EDU_DMA_RUN));
	edu_start(bar, to, 64, true);
	WAIT_FOR(!(ob_read64(bar, EDU_DMA_CMD) & EDU_DMA_RUN));
	ob_dma_free(dma, p);
}

enum {
	E1000_CTRL = 0x0000,
	E1000_CTRL_SLU = 1 << 6,
	E1000_CTRL_RST = 1 << 26,
	E1000_STATUS = 0x0008,
	E1000_STATUS_LU = 1 << 1,
	E1000_RCTL = 0x0100,
	E1000_RCTL_EN = 1 << 1,
	E1000_RCTL_UPE = 1 << 3,
	E1000_RCTL_LBM_MAC = 1 << 6,
	E1000_RCTL_BAM = 1 << 15,
	E1000_TCTL = 0x0400,
	E1000_TCTL_EN = 1 << 1,
	E1000_TCTL_PSP = 1 << 3,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_RFCTL = 0x5008,
	E1000_DD = 1,
	E1000_TX_EOP_IFCS_RS = 0x0b,
};

struct e1000_desc {
	uint64_t addr;
	uint16_t length;
	uint8_t cso, cmd;
	uint8_t status, css;
	uint16_t special;
};

/* A frame is looped back inside the card to a receive descriptor that names the address. */
static inline void e1000_write(struct ob_device *dev, uint64_t to)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_dma *dma = ob_device_dma(dev);
	volatile struct e1000_desc *ring;
	ob_iova iova;
	char *p;

	p = ob_dma_alloc(dma, 3 * PAGE, PAGE, "rings and frame", &iova);
	assert_non_null(p);
	ring = (void *)p; /* receive at 0, transmit at PAGE, the frame at 2 * PAGE */
	memset(p + 2 * PAGE, 0xe1, 128);
	memset(p + 2 * PAGE, 0xff, 6);
	ob_write32(bar, E1000_CTRL, ob_read32(bar, E1000_CTRL) | E1000_CTRL_RST);
	WAIT_FOR(!(ob_read32(bar, E1000_CTRL) & E1000_CTRL_RST));
	ob_write32(bar, E1000_CTRL, ob_read32(bar, E1000_CTRL) | E1000_CTRL_SLU);
	WAIT_FOR(ob_read32(bar, E1000_STATUS) & E1000_STATUS_LU);
	/* Descriptors as above, not the extended ones that another driver may have chosen. */
	ob_write32(bar, E1000_RFCTL, 0);
	for (unsigned int i = 0; i < 8; i++)
		ring[i].addr = to;
	ring[PAGE / sizeof(*ring)].addr = iova.addr + 2 * PAGE;
	ring[PAGE / sizeof(*ring)].length = 128;
	ring[PAGE / sizeof(*ring)].cmd = E1000_TX_EOP_IFCS_RS;
	ob_wmb();
	ob_write32(bar, E1000_RDBAL, ob_iova_lo(iova));
	ob_write32(bar, E1000_RDBAH, ob_iova_hi(iova));
	ob_write32(bar, E1000_RDLEN, 8 * sizeof(*ring));
	ob_write32(bar, E1000_RDH, 0);
	ob_write32(bar, E1000_RCTL,
		   E1000_RCTL_EN | E1000_RCTL_UPE | E1000_RCTL_BAM | E1000_RCTL_LBM_MAC);
	ob_write32(bar, E1000_RDT, 7);
	ob_write32(bar, E1000_TDBAL, ob_iova_lo(iova) + PAGE);
	ob_write32(bar, E1000_TDBAH, ob_iova_hi(iova));
	ob_write32(bar, E1000_TDLEN, 8 * sizeof(*ring));
	ob_write32(bar, E1000_TDH, 0);
	ob_write32(bar, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
	ob_write32(bar, E1000_TDT, 1);
	/* The card does not notice that its write was refused. */
	WAIT_FOR(ring[PAGE / sizeof(*ring)].status & E1000_DD);
	WAIT_FOR(ring[0].status & E1000_DD);
	ob_write32(bar, E1000_RCTL, 0);
	ob_write32(bar, E1000_TCTL, 0);
	ob_device_flush(dev);
	ob_dma_free(dma, p);
}

enum {
	NVME_CC = 0x14,
	NVME_CC_EN = 1,
	NVME_CC_IOSQES_64 = 6 << 16,
	NVME_CC_IOCQES_16 = 4 << 20,
	NVME_CSTS = 0x1c,
	NVME_CSTS_RDY = 1,
	NVME_AQA = 0x24,
	NVME_ASQ = 0x28,
	NVME_ACQ = 0x30,
	NVME_SQ0_TAIL = 0x1000,
	NVME_IDENTIFY = 6,
	NVME_CNS_CONTROLLER = 1,
	NVME_ENTRIES = 8,
};

/* Identify controller, its 4,096 bytes to be written to the address. */
static inline void nvme_write(struct ob_device *dev, uint64_t to)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_dma *dma = ob_device_dma(dev);
	volatile uint32_t *sq, *cq;
	ob_iova sq_iova, cq_iova;

	sq = ob_dma_alloc(dma, PAGE, PAGE, "admin sq", &sq_iova);
	cq = ob_dma_alloc(dma, PAGE, PAGE, "admin cq", &cq_iova);
	assert_true(sq && cq);
	ob_write32(bar, NVME_CC, 0);
	WAIT_FOR(!(ob_read32(bar, NVME_CSTS) & NVME_CSTS_RDY));
	ob_write32(bar, NVME_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	ob_write64(bar, NVME_ASQ, sq_iova.addr);
	ob_write64(bar, NVME_ACQ, cq_iova.addr);
	ob_write32(bar, NVME_CC, NVME_CC_EN | NVME_CC_IOSQES_64 | NVME_CC_IOCQES_16);
	WAIT_FOR(ob_read32(bar, NVME_CSTS) & NVME_CSTS_RDY);
	sq[0] = NVME_IDENTIFY;
	sq[6] = (uint32_t)to;
	sq[7] = (uint32_t)(to >> 32);
	sq[10] = NVME_CNS_CONTROLLER;
	ob_wmb();
	ob_write32(bar, NVME_SQ0_TAIL, 1);
	/* The phase bit of the first completion. */
	WAIT_FOR(cq[3] & 1 << 16);
	ob_write32(bar, NVME_CC, 0);
	WAIT_FOR(!(ob_read32(bar, NVME_CSTS) & NVME_CSTS_RDY));
	ob_dma_free(dma, (void *)sq);
	ob_dma_free(dma, (void *)cq);
}

#endif
