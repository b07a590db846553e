/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's educational device for the fuzz backend, by QEMU's "EDU device" specification (docs/specs/edu): whatever is asked for is done at once. */
#include <string.h>

#include "access/fuzz/fuzz.h"

enum {
	IDENT = 0x00,
	LIVE = 0x04,
	FACTORIAL = 0x08,
	STATUS = 0x20,
	STATUS_COMPUTING = 0x01,
	STATUS_IRQ = 0x80,
	IRQ_STATUS = 0x24,
	IRQ_RAISE = 0x60,
	IRQ_ACK = 0x64,
	DMA_SRC = 0x80,
	DMA_DST = 0x88,
	DMA_COUNT = 0x90,
	DMA_CMD = 0x98,
	REGISTERS = 0xa0,
	DMA_RUN = 1,
	DMA_TO_RAM = 2,
	DMA_WANT_IRQ = 4,
	IRQ_FACTORIAL = 0x001,
	IRQ_DMA = 0x100,
	BUFFER = 0x40000,
	BUFFER_SIZE = 4096,
};

static void edu_reset(struct fuzz_device *fd)
{
	memset(fd->regs[0], 0, REGISTERS);
	*fuzz_reg(fd, 0, IDENT) = 0x010000ed;
}

static uint64_t reg64(const struct fuzz_device *fd, unsigned int off)
{
	uint64_t val;

	memcpy(&val, fd->regs[0] + off, sizeof(val));
	return val;
}

static void raise_irq(struct fuzz_device *fd, uint32_t bits)
{
	*fuzz_reg(fd, 0, IRQ_STATUS) |= bits;
	fuzz_turn(&fd->poke, fuzz_reg(fd, 0, IRQ_STATUS), 4);
	if (*fuzz_reg(fd, 0, IRQ_STATUS))
		fuzz_interrupt(fd, 0);
}

static void transfer(struct fuzz_device *fd, uint64_t cmd)
{
	bool to_ram = cmd & DMA_TO_RAM;
	uint64_t src = reg64(fd, DMA_SRC), dst = reg64(fd, DMA_DST);

	fuzz_transfer(fd, (to_ram ? src : dst) - BUFFER, to_ram ? dst : src, reg64(fd, DMA_COUNT),
		      to_ram);
	*fuzz_reg(fd, 0, DMA_CMD) = (uint32_t)cmd & ~(uint32_t)DMA_RUN;
	if (cmd & DMA_WANT_IRQ)
		raise_irq(fd, IRQ_DMA);
}

static void edu_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
		      uint64_t val)
{
	uint32_t n = (uint32_t)val, product = 1;

	switch (off) {
	case IDENT:
		*fuzz_reg(fd, 0, IDENT) = 0x010000ed;
		break;
	case LIVE:
		*fuzz_reg(fd, 0, LIVE) = ~n;
		break;
	case FACTORIAL:
		for (; n > 1 && n < 1000; n--)
			product *= n;
		*fuzz_reg(fd, 0, FACTORIAL) = product;
		if (*fuzz_reg(fd, 0, STATUS) & STATUS_IRQ)
			raise_irq(fd, IRQ_FACTORIAL);
		break;
	case STATUS:
		*fuzz_reg(fd, 0, STATUS) = n & STATUS_IRQ;
		break;
	case IRQ_RAISE:
		raise_irq(fd, n);
		break;
	case IRQ_ACK:
		*fuzz_reg(fd, 0, IRQ_STATUS) &= ~n;
		break;
	case DMA_CMD:
		if (val & DMA_RUN)
			transfer(fd, val);
		break;
	default:
		break;
	}
}

/* An interrupt that nobody asked for, with a cause. */
static void edu_arrive(struct fuzz_device *fd, unsigned int arg, uint32_t value)
{
	raise_irq(fd, value);
}

const struct fuzz_model fuzz_edu = {
	.name = "edu",
	.summary = "QEMU's educational device",
	.vendor = 0x1234,
	.device = 0x11e8,
	.class_code = 0x00ff00,
	.bar = {{OB_BAR_MEM, 1 << 20}},
	.msi = 1,
	.disk = BUFFER_SIZE,
	.reset = edu_reset,
	.write = edu_write,
	.arrive = edu_arrive,
};
