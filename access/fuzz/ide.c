/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PIIX3 with one disk for the fuzz backend: the first channel's master; nothing is on the second. ATA/ATAPI-7 (T13/1532D), Bus Master IDE 1.0,
 * 82371SB (290550).
 */
#include <string.h>

#include "access/fuzz/fuzz.h"

enum {
	/* Registers of a channel's command block; the control block, one port. */
	COMMAND_BLOCK = 0x1f0,
	COMMAND_BLOCK_2 = 0x170,
	CONTROL = 0x3f6,
	CONTROL_2 = 0x376,
	DATA = 0,
	ERROR = 1,
	COUNT = 2,
	LBA_LOW = 3,
	LBA_MID = 4,
	LBA_HIGH = 5,
	DEVICE = 6,
	STATUS = 7,
	SLAVE = 0x10,
	BSY = 0x80,
	DRDY = 0x40,
	DRQ = 0x08,
	ERR = 0x01,
	ABRT = 0x04,
	NIEN = 0x02,
	SRST = 0x04,
	READ_DMA = 0xc8,
	READ_DMA_EXT = 0x25,
	WRITE_DMA = 0xca,
	WRITE_DMA_EXT = 0x35,
	WRITE_DMA_FUA_EXT = 0x3d,
	FLUSH = 0xe7,
	FLUSH_EXT = 0xea,
	IDENTIFY = 0xec,
	BM_BAR = 4,
	BM_COMMAND = 0,
	BM_START = 1,
	BM_TO_MEMORY = 8,
	BM_STATUS = 2,
	BM_ERROR = 2,
	BM_INTERRUPT = 4,
	BM_CAPABLE = 0x60,
	BM_TABLE = 4,
	BM_CHANNEL = 8,
	PRDS = 512,
	SECTOR = 512,
	DISK = 16 << 20,
};

static void signature(struct fuzz_device *fd)
{
	memset(fd->ata.regs, 0, sizeof(fd->ata.regs));
	fd->ata.regs[COUNT] = fd->ata.regs[LBA_LOW] = 1;
	fd->ata.status = DRDY;
	fd->ata.pending = false;
}

static void ide_reset(struct fuzz_device *fd)
{
	memset(fd->regs[FUZZ_PORTS], 0, FUZZ_PORTS_END);
	memset(fd->regs[BM_BAR], 0, 16);
	memset(&fd->ata, 0, sizeof(fd->ata));
	signature(fd);
}

/* Words of IDENTIFY DEVICE that matter; a text is of spaces. */
static uint16_t identify(const struct fuzz_device *fd, unsigned int word)
{
	switch (word) {
	case 27:
		return 'f' << 8 | 'u';
	case 49:
		return 1 << 9 | 1 << 8; /* LBA, DMA */
	case 60:
	case 100:
		return (uint16_t)(fd->model->disk / SECTOR);
	case 61:
	case 101:
		return (uint16_t)((fd->model->disk / SECTOR) >> 16);
	case 63:
		return 0x0407; /* multiword DMA mode 2 is on */
	case 83:
	case 86:
		return 0x4000 | 1 << 13 | 1 << 12 | 1 << 10; /* flush, both; 48 bits */
	case 84:
		return 0x4000 | 1 << 6; /* FUA */
	case 85:
		return 1 << 5; /* write cache */
	default:
		return (word >= 10 && word < 20) || (word > 27 && word < 47) ? ' ' << 8 | ' ' : 0;
	}
}

static void end(struct fuzz_device *fd, bool dma)
{
	uint8_t *bm = fd->regs[BM_BAR];
	uint32_t word;

	if (dma || !(fd->ata.control & NIEN))
		bm[BM_STATUS] |= BM_INTERRUPT;
	word = fd->ata.status | (uint32_t)fd->ata.regs[ERROR] << 8 | (uint32_t)bm[BM_STATUS] << 16;
	fuzz_turn(&fd->poke, &word, 4);
	fd->ata.status = (uint8_t)word;
	fd->ata.regs[ERROR] = (uint8_t)(word >> 8);
	bm[BM_STATUS] = (uint8_t)(word >> 16);
	if (!(fd->ata.control & NIEN))
		fuzz_interrupt(fd, 0);
}

static void failed(struct fuzz_device *fd)
{
	fd->ata.status = DRDY | ERR;
	fd->ata.regs[ERROR] = ABRT;
}

/* The command's place on the disk. */
static uint64_t place(const struct fuzz_device *fd)
{
	const uint8_t *r = fd->ata.regs, *old = fd->ata.older;
	uint64_t lba = r[LBA_LOW] | (uint64_t)r[LBA_MID] << 8 | (uint64_t)r[LBA_HIGH] << 16;

	switch (r[STATUS]) {
	case READ_DMA_EXT:
	case WRITE_DMA_EXT:
	case WRITE_DMA_FUA_EXT:
		lba |= (uint64_t)old[LBA_LOW] << 24 | (uint64_t)old[LBA_MID] << 32 |
		       (uint64_t)old[LBA_HIGH] << 40;
		break;
	default:
		lba |= (uint64_t)(r[DEVICE] & 0xf) << 24;
	}
	return lba * SECTOR;
}

/* Walk the table of regions and move the data. */
static void bus_master(struct fuzz_device *fd)
{
	uint8_t *bm = fd->regs[BM_BAR];
	uint64_t at = place(fd);
	uint32_t table;

	memcpy(&table, bm + BM_TABLE, 4);
	fd->ata.pending = false;
	for (unsigned int i = 0; i < PRDS; i++) {
		uint32_t *prd = fuzz_memory(fd, table + 8ull * i, 8), len;

		if (!prd) {
			bm[BM_STATUS] |= BM_ERROR;
			break;
		}
		len = prd[1] & 0xffff ? prd[1] & 0xffff : 0x10000;
		fuzz_transfer(fd, at, prd[0], len, bm[BM_COMMAND] & BM_TO_MEMORY);
		at += len;
		if (prd[1] >> 31)
			break;
	}
	fd->ata.status = DRDY;
	end(fd, true);
}

static void command(struct fuzz_device *fd, uint8_t code)
{
	fd->ata.regs[STATUS] = code;
	switch (code) {
	case IDENTIFY:
		fd->ata.word = 0;
		fd->ata.status = DRDY | DRQ;
		end(fd, false);
		break;
	case READ_DMA:
	case READ_DMA_EXT:
	case WRITE_DMA:
	case WRITE_DMA_EXT:
	case WRITE_DMA_FUA_EXT:
		fd->ata.status = BSY;
		fd->ata.pending = true;
		break;
	case FLUSH:
	case FLUSH_EXT:
		fd->ata.status = DRDY;
		end(fd, false);
		break;
	default:
		failed(fd);
		end(fd, false);
	}
}

static uint64_t ide_read(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size)
{
	uint32_t word;

	if (bar != FUZZ_PORTS)
		return bar == BM_BAR && size == 1 ? fd->regs[bar][off] : 0;
	if (off == CONTROL_2 || (off >= COMMAND_BLOCK_2 && off <= COMMAND_BLOCK_2 + STATUS))
		return 0xff; /* an empty cable */
	/* Device 0 answers with status 0 for a device 1 that is not there. */
	if (fd->ata.regs[DEVICE] & SLAVE)
		return 0;
	if (off == CONTROL)
		return fd->ata.status;
	off -= COMMAND_BLOCK;
	if (off == STATUS)
		return fd->ata.status;
	if (off != DATA)
		return fd->ata.regs[off];
	if (!(fd->ata.status & DRQ))
		return 0;
	word = identify(fd, fd->ata.word);
	fuzz_turn(&fd->data, &word, 4);
	if (++fd->ata.word == 256)
		fd->ata.status = DRDY;
	return (uint16_t)word;
}

static void ide_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
		      uint64_t val)
{
	uint8_t *bm = fd->regs[BM_BAR];

	if (bar == BM_BAR && off == BM_STATUS) {
		/* The write is in the register already; both bits are cleared by ones, and no driver writes zeroes there to keep them. */
		bm[BM_STATUS] = BM_CAPABLE;
	} else if (bar == BM_BAR && off == BM_COMMAND) {
		if (val & BM_START && fd->ata.pending)
			bus_master(fd);
	} else if (bar == FUZZ_PORTS && off == CONTROL) {
		if (fd->ata.control & SRST && !(val & SRST))
			signature(fd);
		fd->ata.control = (uint8_t)val;
	} else if (bar == FUZZ_PORTS && off > COMMAND_BLOCK && off <= COMMAND_BLOCK + STATUS) {
		off -= COMMAND_BLOCK;
		if (off == STATUS) {
			if (!(fd->ata.regs[DEVICE] & SLAVE))
				command(fd, (uint8_t)val);
			return;
		}
		fd->ata.older[off] = fd->ata.regs[off];
		fd->ata.regs[off] = (uint8_t)val;
	}
}

/* The end of a command that may not have been given: status is the argument, error the value. */
static void ide_arrive(struct fuzz_device *fd, unsigned int arg, uint32_t value)
{
	fd->ata.status = (uint8_t)arg;
	fd->ata.regs[ERROR] = (uint8_t)value;
	fd->regs[BM_BAR][BM_STATUS] |= (uint8_t)(value >> 8 & 7);
	fuzz_interrupt(fd, 0);
}

const struct fuzz_model fuzz_ide = {
	.name = "ide",
	.summary = "Intel PIIX3 with a disk of 16 MiB",
	.vendor = 0x8086,
	.device = 0x7010,
	.class_code = 0x010180,
	.bar = {[BM_BAR] = {OB_BAR_IO, 16}},
	.ports = {{COMMAND_BLOCK, 8}, {CONTROL, 1}, {COMMAND_BLOCK_2, 8}, {CONTROL_2, 1}},
	.disk = DISK,
	.reset = ide_reset,
	.read = ide_read,
	.write = ide_write,
	.arrive = ide_arrive,
};
