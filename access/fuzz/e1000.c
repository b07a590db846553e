/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel 82540EM and 82574L for the fuzz backend: what the kernel's e1000 and e1000e ask before they trust a card, a link that is up, frames
 * that are sent at once. Software Developer's Manual 317453-006 (8254x) and datasheet 317694-018 (82574), sections in brackets.
 */
#include <stdlib.h>
#include <string.h>

#include "access/fuzz/fuzz.h"

enum {
	CTRL = 0x0,
	CTRL_MASTER_OFF = 1 << 2,
	CTRL_RST = 1 << 26,
	CTRL_PHY_RST = 1u << 31,
	STATUS = 0x8,
	STATUS_UP = 1 << 0 | 1 << 1 | 2 << 6, /* full duplex, link, 1000 Mb/s [13.4.2] */
	STATUS_MASTER = 1 << 19,
	EECD = 0x10,
	EERD = 0x14,
	MDIC = 0x20,
	ICR = 0xc0,
	ICS = 0xc8,
	IMS = 0xd0,
	IMC = 0xd8,
	EEMNGCTL = 0x1010,
	RFCTL = 0x5008,
	RFCTL_EXTENDED = 1 << 15,
	RDBAL = 0x2800,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	STATISTICS = 0x4000,
	STATISTICS_END = 0x4100,
	EIAC = 0xdc,
	IAM = 0xe0,
	INT_TXDW = 1 << 0,
	INT_LSC = 1 << 2,
	INT_RXT0 = 1 << 7,
	INT_RXQ0 = 1 << 20,
	INT_TXQ0 = 1 << 22,
	INT_OTHER = 1 << 24,
	INT_ASSERTED = 1u << 31,
	/* [5.4] serial EEPROM: 64 words whose sum is this. */
	EEPROM_SUM = 0xbaba,
	DESCRIPTOR = 16,
	DONE = 1 << 0,
	EOP = 1 << 1,
	BUFFER = 2048,
	RCTL = 0x100,
	RCTL_EN = 1 << 1,
};

static uint32_t *reg(struct fuzz_device *fd, uint64_t off)
{
	return fuzz_reg(fd, 0, off);
}

/* Vector 0 is of the queues, vector 1 of the rest, as IVAR says that the driver wants it; a message clears its causes [82574 7.4.2, 10.2.4.9]. */
static void interrupt_msix(struct fuzz_device *fd, uint32_t cause)
{
	if (cause & INT_TXDW)
		cause |= INT_TXQ0;
	if (cause & INT_RXT0)
		cause |= INT_RXQ0;
	*reg(fd, ICR) |= cause;
	if (*reg(fd, ICR) & fd->irq_mask & (INT_TXQ0 | INT_RXQ0)) {
		*reg(fd, ICR) &= ~*reg(fd, EIAC);
		fd->irq_mask &= ~*reg(fd, IAM);
		fuzz_interrupt(fd, 0);
	}
	if (*reg(fd, ICR) & fd->irq_mask & (INT_OTHER | INT_LSC))
		fuzz_interrupt(fd, 1);
}

static void interrupt(struct fuzz_device *fd, uint32_t cause)
{
	if (fd->dev->irq_kind == OB_IRQ_MSIX) {
		interrupt_msix(fd, cause);
		return;
	}
	*reg(fd, ICR) |= cause;
	if (*reg(fd, ICR) & fd->irq_mask)
		fuzz_interrupt(fd, 0);
}

static void e1000_reset(struct fuzz_device *fd)
{
	uint16_t sum = 0;

	memset(fd->regs[0], 0, fd->model->bar[0].size);
	fd->irq_mask = 0;
	fd->phy_loops = false;
	*reg(fd, STATUS) = STATUS_UP | STATUS_MASTER;
	/* Present, granted, read automatically [13.4.3]. */
	*reg(fd, EECD) = 1 << 8 | 1 << 7 | 1 << 9;
	*reg(fd, EEMNGCTL) = 3 << 18;
	memset(fd->eeprom, 0, sizeof(fd->eeprom));
	/* Address 52:54:00:12:34:56; identification [5.6]. */
	fd->eeprom[0] = 0x5452;
	fd->eeprom[1] = 0x1200;
	fd->eeprom[2] = 0x5634;
	fd->eeprom[10] = 0x0702;
	fd->eeprom[11] = fd->model->device;
	fd->eeprom[12] = fd->eeprom[14] = fd->model->vendor;
	fd->eeprom[13] = fd->model->device;
	fd->eeprom[15] = 0x5c80;
	for (int i = 0; i < 63; i++)
		sum = (uint16_t)(sum + fd->eeprom[i]);
	fd->eeprom[63] = (uint16_t)(EEPROM_SUM - sum);
	memset(&fd->microwire, 0, sizeof(fd->microwire));
	*reg(fd, 0x5400) = 0x12005452;
	*reg(fd, 0x5404) = 0x80005634;
}

/* An M88E1011 or BME1000 PHY whose autonegotiation has ended [8.8]. */
static uint16_t phy(const struct fuzz_device *fd, unsigned int number)
{
	switch (number) {
	case 0:
		return 0x1140;
	case 1:
		return 0x796d;
	case 2:
		return 0x0141;
	case 3:
		return fd->model->device == 0x10d3 ? 0x0cb1 : 0x0c20;
	case 4:
		return 0x0de1;
	case 5:
		return 0xcde1;
	case 9:
		return 0x0e00;
	case 10:
		return 0x3c00;
	case 17:
		return 0xac00;
	default:
		return 0;
	}
}

/* The serial EEPROM at its four wires [5.3.1]: clock 1, select 2, in 4, out 8. */
static void microwire(struct fuzz_device *fd, uint32_t wires)
{
	uint32_t was = fd->microwire.wires;

	fd->microwire.wires = wires;
	if (!(wires & 2))
		return;
	if (!(was & 2)) {
		fd->microwire.in = fd->microwire.out = fd->microwire.val = 0;
		fd->microwire.reading = false;
	}
	if (!((was ^ wires) & 1))
		return;
	if (!(wires & 1)) {
		fd->microwire.out++;
		return;
	}
	fd->microwire.val = fd->microwire.val << 1 | (wires >> 2 & 1);
	if (++fd->microwire.in == 9 && !fd->microwire.reading) {
		/* Start bit, two of operation (10: read), six of address; then a zero, and 16 bits, highest first. */
		fd->microwire.out = ((fd->microwire.val & 0x3f) << 4) - 1;
		fd->microwire.reading = (fd->microwire.val >> 6 & 7) == 6;
	}
}

static uint32_t microwire_out(const struct fuzz_device *fd)
{
	unsigned int out = fd->microwire.out;

	if (!fd->microwire.reading)
		return 8;
	return fd->eeprom[out >> 4 & 63] >> (15 - (out & 15)) & 1 ? 8 : 0;
}

static uint64_t e1000_read(struct fuzz_device *fd, unsigned int bar, uint64_t off,
			   unsigned int size)
{
	uint64_t val = 0;

	memcpy(&val, fd->regs[bar] + off, size);
	if (bar)
		return val;
	if (off == EECD)
		return (val & ~0xfull) | (fd->microwire.wires & 7) | microwire_out(fd);
	if (off == ICR) {
		*reg(fd, ICR) = 0;
		return val ? val | INT_ASSERTED : 0;
	}
	if (off >= STATISTICS && off < STATISTICS_END)
		memset(fd->regs[0] + off, 0, size); /* cleared by reading [13.7] */
	return val;
}

/* Write a received frame's descriptor; arg is its status, the upper half of value errors and more [3.2.3]. */
static void received(struct fuzz_device *fd, uint32_t at, uint32_t *d, unsigned int arg,
		     uint32_t value)
{
	if (*reg(fd, RFCTL) & RFCTL_EXTENDED) {
		/* 82574 [7.1.5]: status and errors, then length and VLAN tag. */
		d[0] = d[1] = 0;
		d[2] = arg | (value & 0xff000000);
		d[3] = value & 0xffff;
	} else {
		d[2] = value & 0xffff;
		d[3] = arg | (value >> 16) << 8;
	}
	fuzz_turn(&fd->poke, d, DESCRIPTOR);
	*reg(fd, RDH) = (at + 1) % (*reg(fd, RDLEN) / DESCRIPTOR);
	interrupt(fd, INT_RXT0);
}

/* The next descriptor that the driver gave for a frame, and where the frame goes; NULL for none. */
static uint32_t *next_receive(struct fuzz_device *fd, uint64_t *buffer)
{
	uint32_t n = *reg(fd, RDLEN) / DESCRIPTOR, at = *reg(fd, RDH), *d;
	uint64_t base;

	memcpy(&base, fd->regs[0] + RDBAL, 8);
	/* A device that goes on when its receiver is off can be kept from it by nobody but an IOMMU. */
	if (!(*reg(fd, RCTL) & RCTL_EN) || !n || n > 4096 || at >= n || at == *reg(fd, RDT))
		return NULL;
	d = fuzz_memory(fd, base + (uint64_t)at * DESCRIPTOR, DESCRIPTOR);
	if (d)
		memcpy(buffer, d, 8);
	return d;
}

/* Loopback in the MAC [13.4.22] or the PHY: what is sent comes back, if one descriptor describes it. */
static void loop_back(struct fuzz_device *fd, const uint32_t *sent)
{
	uint32_t len = sent[2] & 0xffff, *d;
	uint64_t from, to;
	uint8_t *src, *dst;

	memcpy(&from, sent, 8);
	d = next_receive(fd, &to);
	src = fuzz_memory(fd, from, len);
	dst = fuzz_memory(fd, to, len);
	if (!d || !src || !dst || len > BUFFER)
		return;
	memcpy(dst, src, len);
	fuzz_turn(&fd->data, dst, len);
	received(fd, *reg(fd, RDH), d, DONE | EOP, len);
}

static bool loops(struct fuzz_device *fd)
{
	return (*reg(fd, RCTL) >> 6 & 3) == 1 || fd->phy_loops;
}

/* Everything up to the tail has been sent; those that ask for it are told [3.3.3]. */
static void send(struct fuzz_device *fd)
{
	uint32_t n = *reg(fd, TDLEN) / DESCRIPTOR, at = *reg(fd, TDH), tail = *reg(fd, TDT);
	uint64_t base;

	memcpy(&base, fd->regs[0] + TDBAL, 8);
	if (!n || n > 4096 || tail >= n || at >= n)
		return;
	for (; at != tail; at = (at + 1) % n) {
		uint32_t *d = fuzz_memory(fd, base + (uint64_t)at * DESCRIPTOR, DESCRIPTOR);

		if (!d)
			return;
		/* Whole frames, not contexts or pieces [3.3.5]. */
		if (loops(fd) && (d[2] & 1 << 24) && !(d[2] & 1 << 29))
			loop_back(fd, d);
		if (d[2] & 1 << 27)
			d[3] |= 1;
		fuzz_turn(&fd->poke, d, DESCRIPTOR);
	}
	*reg(fd, TDH) = at;
	interrupt(fd, INT_TXDW);
}

/* A frame of value & 0xffff bytes; arg is its status, the upper half of value errors and more [3.2.3]. */
static void e1000_arrive(struct fuzz_device *fd, unsigned int arg, uint32_t value)
{
	uint64_t buffer;
	uint32_t *d = next_receive(fd, &buffer);
	uint8_t *frame;

	if (!d)
		return;
	frame = fuzz_memory(fd, buffer, 64);
	if (frame) {
		memset(frame, 0, 64);
		memset(frame, 0xff, 6);
		frame[12] = 8;
		frame[14] = 0x45;
		fuzz_turn(&fd->data, frame, 64);
	}
	received(fd, *reg(fd, RDH), d, arg, value);
}

static void e1000_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
			uint64_t val)
{
	if (bar || size != 4)
		return;
	switch (off) {
	case CTRL:
		if (val & CTRL_RST)
			*reg(fd, RCTL) = 0;
		*reg(fd, CTRL) &= ~(CTRL_RST | CTRL_PHY_RST);
		*reg(fd, STATUS) = STATUS_UP | (val & CTRL_MASTER_OFF ? 0 : STATUS_MASTER);
		break;
	case STATUS:
		*reg(fd, STATUS) = STATUS_UP | STATUS_MASTER;
		break;
	case EECD:
		*reg(fd, EECD) = 1 << 8 | 1 << 7 | 1 << 9;
		microwire(fd, val & 7);
		break;
	case EERD:
		/* Start, address from bit 2 (82574) or 8; done is bit 1 or 4 [13.4.4]. */
		if (fd->model->device == 0x10d3)
			*reg(fd, EERD) = (uint32_t)fd->eeprom[val >> 2 & 63] << 16 |
					 ((uint32_t)val & 0xfffc) | 2;
		else
			*reg(fd, EERD) = (uint32_t)fd->eeprom[val >> 8 & 63] << 16 | 1 << 4;
		break;
	case MDIC:
		/* Ready; a read (2 in bits 27:26) has its data [13.4.8]. */
		if ((val >> 26 & 3) == 1 && !(val >> 16 & 31))
			fd->phy_loops = val & 1 << 14; /* control register [8.8.3] */
		if ((val >> 26 & 3) == 2)
			val = (val & ~0xffffull) | phy(fd, val >> 16 & 31);
		*reg(fd, MDIC) = (uint32_t)val | 1 << 28;
		break;
	case ICR:
		*reg(fd, ICR) = 0;
		break;
	case ICS:
		interrupt(fd, (uint32_t)val);
		break;
	case IMS:
	case IMC:
		/* Ones set or clear; what is pending interrupts when it is switched on [13.4.20, 13.4.21]. */
		fd->irq_mask =
			off == IMS ? fd->irq_mask | (uint32_t)val : fd->irq_mask & ~(uint32_t)val;
		*reg(fd, IMS) = fd->irq_mask;
		interrupt(fd, 0);
		break;
	case TDT:
		send(fd);
		break;
	default:
		break;
	}
}

const struct fuzz_model fuzz_e1000 = {
	.name = "e1000",
	.summary = "Intel 82540EM",
	.vendor = 0x8086,
	.device = 0x100e,
	.class_code = 0x020000,
	.bar = {{OB_BAR_MEM, 128 << 10}, {OB_BAR_IO, 64}},
	.reset = e1000_reset,
	.read = e1000_read,
	.write = e1000_write,
	.arrive = e1000_arrive,
};

const struct fuzz_model fuzz_e1000e = {
	.name = "e1000e",
	.summary = "Intel 82574L",
	.vendor = 0x8086,
	.device = 0x10d3,
	.class_code = 0x020000,
	.bar = {{OB_BAR_MEM, 128 << 10}, {OB_BAR_MEM, 128 << 10}, {OB_BAR_IO, 32}},
	.msi = 1,
	.reset = e1000_reset,
	.read = e1000_read,
	.write = e1000_write,
	.arrive = e1000_arrive,
};

const struct fuzz_model fuzz_e1000e_msix = {
	.name = "e1000e-msix",
	.summary = "Intel 82574L with MSI-X",
	.vendor = 0x8086,
	.device = 0x10d3,
	.class_code = 0x020000,
	.bar = {{OB_BAR_MEM, 128 << 10},
		{OB_BAR_MEM, 128 << 10},
		{OB_BAR_IO, 32},
		{OB_BAR_MEM, 16 << 10}},
	.msi = 1,
	.msix = 5,
	.msix_bar = 3,
	.reset = e1000_reset,
	.read = e1000_read,
	.write = e1000_write,
	.arrive = e1000_arrive,
};
