/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network cards of which QEMU has no model, for the fuzz backend: as much of each as its driver in the kernel asks for in its probe, then a link
 * that is up, and frames that are sent at once. What a register does is as the driver has it (the file is named at each card; there are no
 * public manuals of some), and so is a card here no evidence that its driver works with silicon.
 */
#include <string.h>

#include "access/fuzz/fuzz.h"

/* 52:54:00:12:34:56, as registers with the first byte lowest have it, and as 16-bit words. */
#define MAC_LOW	 0x12005452u
#define MAC_HIGH 0x5634u
static const uint16_t mac_word[] = {0x5452, 0x1200, 0x5634};

enum {
	RING_MAX = 4096,
	DESCRIPTOR = 16,
	DESCRIPTOR_DONE = 1, /* of Intel's advanced descriptors, word 3 */
};

static uint64_t as_memory(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size)
{
	uint64_t val = 0;

	memcpy(&val, fd->regs[bar] + off, size);
	return val;
}

/* A gigabit PHY with a partner, negotiation done (IEEE 802.3, clause 22). */
static uint16_t phy_register(unsigned int number, uint32_t id)
{
	switch (number) {
	case 0:
		return 0x1140;
	case 1:
		return 0x796d;
	case 2:
		return (uint16_t)(id >> 16);
	case 3:
		return (uint16_t)id;
	case 4:
		return 0x0de1;
	case 5:
		return 0xcde1;
	case 9:
		return 0x0200;
	case 10:
		return 0x3c00;
	case 15:
		return 0x3000;
	default:
		return 0;
	}
}

/* ---- Realtek RTL8169SB/8110SB (realtek/r8169_main.c) -------------------------------------------- */

enum {
	R_MAC0 = 0x00,
	R_COUNTERS = 0x10, /* where they are to be written, and a bit that it is to be done */
	R_COUNTERS_NOW = 1 << 0 | 1 << 3,
	R_TX_RING = 0x20,
	R_CHIP_CMD = 0x37, /* 8 bits */
	R_CHIP_RESET = 0x10,
	R_TX_POLL = 0x38, /* 8 bits */
	R_INTR_MASK = 0x3c,
	R_INTR_STATUS = 0x3e, /* ones clear */
	R_TX_OK = 1 << 2,
	R_TX_CONFIG = 0x40,
	R_PHYAR = 0x60,
	R_PHYAR_FLAG = 1u << 31,
	R_PHY_STATUS = 0x6c,
	R_OWN = 1u << 31,
	R_RING_END = 1 << 30,
	R_RING = 256,
	R_PHY_ID = 0x001cc910, /* RTL8211 */
};

static void r8169_reset(struct fuzz_device *fd)
{
	uint8_t *regs = fd->regs[1];

	memset(regs, 0, fd->model->bar[1].size);
	fd->tx_at = 0;
	memcpy(regs + R_MAC0, mac_word, sizeof(mac_word));
	*fuzz_reg(fd, 1, R_TX_CONFIG) = 0x100 << 20; /* which chip it is */
	regs[R_PHY_STATUS] = 0x13;		     /* 1000 Mb/s, full duplex, up */
}

static void r8169_interrupt(struct fuzz_device *fd)
{
	const uint8_t *regs = fd->regs[1];

	if ((regs[R_INTR_MASK] & regs[R_INTR_STATUS]) |
	    (regs[R_INTR_MASK + 1] & regs[R_INTR_STATUS + 1]))
		fuzz_interrupt(fd, 0);
}

static void r8169_send(struct fuzz_device *fd)
{
	uint64_t base = as_memory(fd, 1, R_TX_RING, 8);

	for (unsigned int n = 0; n < R_RING; n++) {
		uint32_t *d = fuzz_memory(fd, base + (uint64_t)fd->tx_at * DESCRIPTOR, DESCRIPTOR);
		bool end;

		if (!d || !(d[0] & R_OWN))
			break;
		end = d[0] & R_RING_END;
		d[0] &= ~R_OWN;
		fuzz_turn(&fd->poke, d, DESCRIPTOR);
		fd->tx_at = end || fd->tx_at + 1 == R_RING ? 0 : fd->tx_at + 1;
		fd->regs[1][R_INTR_STATUS] |= R_TX_OK;
	}
	r8169_interrupt(fd);
}

static void r8169_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
			uint64_t val)
{
	uint8_t *regs = fd->regs[1];
	uint32_t v = (uint32_t)val;

	if (bar != 1)
		return;
	switch (off) {
	case R_CHIP_CMD:
		if (v & R_CHIP_RESET)
			fd->tx_at = 0;
		regs[R_CHIP_CMD] &= (uint8_t)~R_CHIP_RESET;
		break;
	case R_COUNTERS:
		*fuzz_reg(fd, 1, R_COUNTERS) = v & ~(uint32_t)R_COUNTERS_NOW;
		break;
	case R_TX_CONFIG:
		*fuzz_reg(fd, 1, R_TX_CONFIG) = (v & 0x37ffff) | 0x100 << 20;
		break;
	case R_TX_RING:
		fd->tx_at = 0;
		break;
	case R_TX_POLL:
		regs[R_TX_POLL] = 0;
		r8169_send(fd);
		break;
	case R_INTR_MASK:
		r8169_interrupt(fd);
		break;
	case R_INTR_STATUS:
		/* The write is in the registers already: what was there is not known any more, and all ends. */
		memset(regs + R_INTR_STATUS, 0, 2);
		break;
	case R_PHYAR:
		/* A write is done when the flag goes, a read when it comes. */
		*fuzz_reg(fd, 1, R_PHYAR) =
			v & R_PHYAR_FLAG ? v & ~R_PHYAR_FLAG
					 : (v & 0x1f0000) | R_PHYAR_FLAG |
						   phy_register(v >> 16 & 0x1f, R_PHY_ID);
		break;
	case R_PHY_STATUS:
		regs[R_PHY_STATUS] = 0x13;
		break;
	default:
		break;
	}
}

const struct fuzz_model fuzz_r8169 = {
	.name = "r8169",
	.summary = "Realtek RTL8169SB",
	.vendor = 0x10ec,
	.device = 0x8169,
	.class_code = 0x020000,
	.bar = {{OB_BAR_IO, 256}, {OB_BAR_MEM, 4096}},
	.reset = r8169_reset,
	.read = as_memory,
	.write = r8169_write,
};

/* ---- National Semiconductor DP83820 (natsemi/ns83820.c) ------------------------------------------- */

enum {
	N_CR = 0x00,
	N_CR_TXE = 1 << 0,
	N_CFG = 0x04,
	N_CFG_STATUS = 15 << 28,
	N_CFG_UP = 1u << 31 | 1 << 29, /* up; speed and duplex are inverted: 1000 Mb/s, full */
	N_PTSCR = 0x0c,
	N_RBIST_EN = 0x400,
	N_RBIST_DONE = 0x200,
	N_ISR = 0x10, /* reading clears */
	N_ISR_TX = 1 << 9 | 1 << 7,
	N_IMR = 0x14,
	N_IER = 0x18,
	N_TXDP = 0x20,
	N_RFCR = 0x48,
	N_RFDR = 0x4c,
	N_SRR = 0x58,
	N_OWN = 1u << 31,
	N_OK = 1 << 27,
};

static void ns83820_reset(struct fuzz_device *fd)
{
	memset(fd->regs[1], 0, fd->model->bar[1].size);
	*fuzz_reg(fd, 1, N_CFG) = N_CFG_UP;
	*fuzz_reg(fd, 1, N_SRR) = 0x103;
}

static void ns83820_interrupt(struct fuzz_device *fd)
{
	if (*fuzz_reg(fd, 1, N_IER) & 1 && *fuzz_reg(fd, 1, N_ISR) & *fuzz_reg(fd, 1, N_IMR))
		fuzz_interrupt(fd, 0);
}

/* A list: address of the next, of the data, command and status. */
static void ns83820_send(struct fuzz_device *fd)
{
	for (unsigned int n = 0; n < RING_MAX; n++) {
		uint32_t *d = fuzz_memory(fd, as_memory(fd, 1, N_TXDP, 8), 24);

		if (!d || !(d[4] & N_OWN))
			break;
		d[4] = (d[4] & ~N_OWN) | N_OK;
		fuzz_turn(&fd->poke, d, 24);
		memcpy(fd->regs[1] + N_TXDP, d, 8);
		*fuzz_reg(fd, 1, N_ISR) |= N_ISR_TX;
	}
	ns83820_interrupt(fd);
}

static uint64_t ns83820_read(struct fuzz_device *fd, unsigned int bar, uint64_t off,
			     unsigned int size)
{
	uint64_t val = as_memory(fd, bar, off, size);

	if (bar != 1)
		return val;
	if (off == N_ISR)
		*fuzz_reg(fd, 1, N_ISR) = 0;
	/* Its address, at the first offsets of the filter's memory. */
	if (off == N_RFDR && (*fuzz_reg(fd, 1, N_RFCR) & 0x3ff) / 2 < 3)
		val = mac_word[(*fuzz_reg(fd, 1, N_RFCR) & 0x3ff) / 2];
	return val;
}

static void ns83820_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
			  uint64_t val)
{
	uint32_t v = (uint32_t)val;

	if (bar != 1)
		return;
	switch (off) {
	case N_CR:
		*fuzz_reg(fd, 1, N_CR) = 0;
		if (v & N_CR_TXE)
			ns83820_send(fd);
		break;
	case N_CFG:
		*fuzz_reg(fd, 1, N_CFG) = (v & ~(uint32_t)N_CFG_STATUS) | N_CFG_UP;
		break;
	case N_PTSCR:
		*fuzz_reg(fd, 1, N_PTSCR) = v & N_RBIST_EN ? N_RBIST_DONE : 0;
		break;
	case N_ISR:
		*fuzz_reg(fd, 1, N_ISR) = 0;
		break;
	case N_IMR:
	case N_IER:
		ns83820_interrupt(fd);
		break;
	default:
		break;
	}
}

const struct fuzz_model fuzz_ns83820 = {
	.name = "ns83820",
	.summary = "National Semiconductor DP83820",
	.vendor = 0x100b,
	.device = 0x0022,
	.class_code = 0x020000,
	.bar = {{OB_BAR_IO, 256}, {OB_BAR_MEM, 4096}},
	.reset = ns83820_reset,
	.read = ns83820_read,
	.write = ns83820_write,
};

/* ---- what Intel's two have in common ------------------------------------------------------------- */

/**
 * struct intel_card - where a card has what both have
 * @icr: causes, which reading clears; @ims, @imc: ones set and clear bits of the mask
 * @tx: the first queue's ring: address, length at 8, head at 10h, tail at 18h
 */
struct intel_card {
	uint32_t icr, ims, imc, tx_cause, tx;
};

static void intel_interrupt(struct fuzz_device *fd, const struct intel_card *card, uint32_t cause)
{
	*fuzz_reg(fd, 0, card->icr) |= cause;
	if (*fuzz_reg(fd, 0, card->icr) & fd->irq_mask)
		fuzz_interrupt(fd, 0);
}

static uint64_t intel_read(struct fuzz_device *fd, const struct intel_card *card, uint64_t off,
			   unsigned int size)
{
	uint64_t val = as_memory(fd, 0, off, size);

	if (off == card->icr)
		*fuzz_reg(fd, 0, card->icr) = 0;
	return val;
}

/* Everything up to the tail has been sent. */
static void intel_send(struct fuzz_device *fd, const struct intel_card *card)
{
	uint64_t base = as_memory(fd, 0, card->tx, 8);
	uint32_t n = *fuzz_reg(fd, 0, card->tx + 8) / DESCRIPTOR;
	uint32_t at = *fuzz_reg(fd, 0, card->tx + 0x10), tail = *fuzz_reg(fd, 0, card->tx + 0x18);

	if (!n || n > RING_MAX || tail >= n || at >= n)
		return;
	for (; at != tail; at = (at + 1) % n) {
		uint32_t *d = fuzz_memory(fd, base + (uint64_t)at * DESCRIPTOR, DESCRIPTOR);

		if (!d)
			return;
		d[3] |= DESCRIPTOR_DONE;
		fuzz_turn(&fd->poke, d, DESCRIPTOR);
	}
	*fuzz_reg(fd, 0, card->tx + 0x10) = at;
	intel_interrupt(fd, card, card->tx_cause);
}

/* Return: whether it was one of the registers that both have */
static bool intel_write(struct fuzz_device *fd, const struct intel_card *card, uint64_t off,
			uint32_t v)
{
	if (off == card->icr) {
		*fuzz_reg(fd, 0, off) = 0;
	} else if (off == card->ims || off == card->imc) {
		fd->irq_mask = off == card->ims ? fd->irq_mask | v : fd->irq_mask & ~v;
		intel_interrupt(fd, card, 0);
	} else if (off == card->tx + 0x18) {
		intel_send(fd, card);
	} else {
		return false;
	}
	return true;
}

/* ---- Intel I225 (intel/igc) ----------------------------------------------------------------------- */

enum {
	I_CTRL = 0x00,
	I_CTRL_MASTER_OFF = 1 << 2,
	I_CTRL_RESETS = 1 << 26 | 1 << 29 | 1 << 31,
	I_STATUS = 0x08,
	I_STATUS_UP = 1 << 0 | 1 << 1 | 2 << 6, /* full duplex, link, 1000 Mb/s */
	I_STATUS_MASTER = 1 << 19,
	I_EECD = 0x10,
	I_EECD_READ =
		1 << 9, /* of itself; and no flash: the address is in the filter's registers */
	I_MDIC = 0x20,
	I_PHPM = 0x0e14,
	I_PHPM_RESET_DONE = 1 << 8,
	I_RAL = 0x5400,
	I_RAH = 0x5404,
	I_PHY_ID = 0x67c9dc00,
};

static const struct intel_card i225 = {
	.icr = 0x1500, .ims = 0x1508, .imc = 0x150c, .tx_cause = 1 << 0, .tx = 0xe000};

static void igc_reset(struct fuzz_device *fd)
{
	memset(fd->regs[0], 0, fd->model->bar[0].size);
	fd->irq_mask = 0;
	*fuzz_reg(fd, 0, I_STATUS) = I_STATUS_UP | I_STATUS_MASTER;
	*fuzz_reg(fd, 0, I_EECD) = I_EECD_READ;
	*fuzz_reg(fd, 0, I_PHPM) = I_PHPM_RESET_DONE;
	*fuzz_reg(fd, 0, I_RAL) = MAC_LOW;
	*fuzz_reg(fd, 0, I_RAH) = MAC_HIGH | 1u << 31;
}

static uint64_t igc_read(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size)
{
	return intel_read(fd, &i225, off, size);
}

static void igc_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
		      uint64_t val)
{
	uint32_t v = (uint32_t)val;

	if (intel_write(fd, &i225, off, v))
		return;
	switch (off) {
	case I_CTRL:
		*fuzz_reg(fd, 0, I_CTRL) = v & ~(uint32_t)I_CTRL_RESETS;
		*fuzz_reg(fd, 0, I_STATUS) =
			I_STATUS_UP | (v & I_CTRL_MASTER_OFF ? 0 : I_STATUS_MASTER);
		break;
	case I_STATUS:
		*fuzz_reg(fd, 0, I_STATUS) = I_STATUS_UP | I_STATUS_MASTER;
		break;
	case I_EECD:
		*fuzz_reg(fd, 0, I_EECD) = I_EECD_READ;
		break;
	case I_PHPM:
		*fuzz_reg(fd, 0, I_PHPM) = v | I_PHPM_RESET_DONE;
		break;
	case I_MDIC:
		/* Ready; a read (2 in bits 27:26) has its data. */
		if ((v >> 26 & 3) == 2)
			v = (v & ~0xffffu) | phy_register(v >> 16 & 31, I_PHY_ID);
		*fuzz_reg(fd, 0, I_MDIC) = v | 1 << 28;
		break;
	default:
		break;
	}
}

const struct fuzz_model fuzz_igc = {
	.name = "igc",
	.summary = "Intel I225-V",
	.vendor = 0x8086,
	.device = 0x15f3,
	.class_code = 0x020000,
	.bar = {{OB_BAR_MEM, 1 << 20}},
	.msi = 1,
	.reset = igc_reset,
	.read = igc_read,
	.write = igc_write,
};

/* ---- Intel X540 (intel/ixgbe) ----------------------------------------------------------------------- */

enum {
	X_CTRL = 0x00,
	X_CTRL_MASTER_OFF = 1 << 2,
	X_CTRL_RESETS = 1 << 26 | 1 << 3,
	X_STATUS = 0x08,
	X_STATUS_MASTER = 1 << 19,
	X_RDRXCTL = 0x2f00,
	X_RDRXCTL_DMA_DONE = 1 << 3,
	X_MSCA = 0x425c,
	X_MSCA_BUSY = 1 << 30,
	X_MSCA_READ = 1 << 27, /* of bits 27:26 */
	X_MSRWD = 0x4260,
	X_LINKS = 0x42a4,
	X_LINKS_UP = 1 << 30 | 3 << 28, /* 10 Gb/s */
	X_RAL = 0x5400,
	X_RAH = 0x5404,
	X_EEC = 0x10010,
	X_EEC_PRESENT = 1 << 8 | 1 << 9 | 1 << 11 | 1 << 23, /* and read, valid, updated */
	X_EERD = 0x10014,
	X_EEMNGCTL = 0x10110,
	X_EEMNGCTL_DONE = 3 << 18,
	X_FWSM = 0x10148,
	X_FWSM_VALID = 1 << 15,
	X_CHECKSUM_WORD = 0x3f,
	X_CHECKSUM = 0xbaba, /* of an EEPROM that is empty otherwise */
};

static const struct intel_card x540 = {
	.icr = 0x0800, .ims = 0x0880, .imc = 0x0888, .tx_cause = 1 << 0, .tx = 0x6000};

static void ixgbe_reset(struct fuzz_device *fd)
{
	memset(fd->regs[0], 0, fd->model->bar[0].size);
	fd->irq_mask = 0;
	*fuzz_reg(fd, 0, X_STATUS) = X_STATUS_MASTER;
	*fuzz_reg(fd, 0, X_RDRXCTL) = X_RDRXCTL_DMA_DONE;
	*fuzz_reg(fd, 0, X_LINKS) = X_LINKS_UP;
	*fuzz_reg(fd, 0, X_RAL) = MAC_LOW;
	*fuzz_reg(fd, 0, X_RAH) = MAC_HIGH | 1u << 31;
	*fuzz_reg(fd, 0, X_EEC) = X_EEC_PRESENT;
	*fuzz_reg(fd, 0, X_EEMNGCTL) = X_EEMNGCTL_DONE;
	*fuzz_reg(fd, 0, X_FWSM) = X_FWSM_VALID;
}

static uint64_t ixgbe_read(struct fuzz_device *fd, unsigned int bar, uint64_t off,
			   unsigned int size)
{
	return intel_read(fd, &x540, off, size);
}

/* Its PHY is one of clause 45: a device in the package, and who made it. */
static uint32_t x540_phy(unsigned int number)
{
	switch (number) {
	case 2:
		return 0x0154;
	case 3:
		return 0x0200;
	case 8:
		return 0x8000;
	default:
		return 0;
	}
}

static void ixgbe_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
			uint64_t val)
{
	uint32_t v = (uint32_t)val;

	if (intel_write(fd, &x540, off, v))
		return;
	switch (off) {
	case X_CTRL:
		*fuzz_reg(fd, 0, X_CTRL) = v & ~(uint32_t)X_CTRL_RESETS;
		*fuzz_reg(fd, 0, X_STATUS) = v & X_CTRL_MASTER_OFF ? 0 : X_STATUS_MASTER;
		break;
	case X_RDRXCTL:
		*fuzz_reg(fd, 0, X_RDRXCTL) = v | X_RDRXCTL_DMA_DONE;
		break;
	case X_LINKS:
		*fuzz_reg(fd, 0, X_LINKS) = X_LINKS_UP;
		break;
	case X_MSCA:
		*fuzz_reg(fd, 0, X_MSCA) = v & ~(uint32_t)X_MSCA_BUSY;
		if (v & X_MSCA_READ)
			*fuzz_reg(fd, 0, X_MSRWD) = x540_phy(v & 0xffff) << 16;
		break;
	case X_EEC:
		*fuzz_reg(fd, 0, X_EEC) = v | X_EEC_PRESENT;
		break;
	case X_EERD:
		/* Start, address from bit 2; done is bit 1. */
		*fuzz_reg(fd, 0, X_EERD) =
			((v >> 2 & 0x3fff) == X_CHECKSUM_WORD ? X_CHECKSUM << 16 : 0) |
			(v & 0xfffc) | 2;
		break;
	default:
		break;
	}
}

const struct fuzz_model fuzz_ixgbe = {
	.name = "ixgbe",
	.summary = "Intel X540-AT2",
	.vendor = 0x8086,
	.device = 0x1528,
	.class_code = 0x020000,
	.bar = {{OB_BAR_MEM, 1 << 20}},
	.msi = 1,
	.reset = ixgbe_reset,
	.read = ixgbe_read,
	.write = ixgbe_write,
};
