/* SPDX-License-Identifier: BSD-2-Clause */
/* edu by its registers, for tests that make it do what no driver would. QEMU docs/specs/edu. */
#ifndef TESTS_EDU_H
#define TESTS_EDU_H

#include <outboard/device.h>

enum {
	EDU_IDENT = 0x00,
	EDU_IRQ_STATUS = 0x24,
	EDU_IRQ_RAISE = 0x60,
	EDU_IRQ_ACK = 0x64,
	EDU_DMA_SRC = 0x80,
	EDU_DMA_DST = 0x88,
	EDU_DMA_COUNT = 0x90,
	EDU_DMA_CMD = 0x98,
	EDU_DMA_RUN = 1,
	EDU_DMA_TO_RAM = 2,
	EDU_BUFFER = 0x40000,
	EDU_DMA_BITS = 28,
};

static inline void edu_start(struct ob_bar *bar, uint64_t iova, uint64_t len, bool to_ram)
{
	ob_write64(bar, EDU_DMA_SRC, to_ram ? EDU_BUFFER : iova);
	ob_write64(bar, EDU_DMA_DST, to_ram ? iova : EDU_BUFFER);
	ob_write64(bar, EDU_DMA_COUNT, len);
	ob_write64(bar, EDU_DMA_CMD, EDU_DMA_RUN | (to_ram ? EDU_DMA_TO_RAM : 0));
}

#endif
