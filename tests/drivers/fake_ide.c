/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_ide.h. */
#include <endian.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/drivers/fake_ide.h"

#define FAKE_IOVA 0x10000000u

/* Which register group a struct ob_bar stands for: in its priv. */
enum {
	GROUP_COMMAND = 1,
	GROUP_CONTROL,
	GROUP_BUS_MASTER,
	GROUP_EMPTY, /* the second channel's */
};

static struct fake_drive *selected(struct fake_ide *f)
{
	return &f->drive[f->reg[ATA_DEVICE] & ATA_DEVICE_1 ? 1 : 0];
}

static void signature(struct fake_ide *f)
{
	f->reg[ATA_COUNT] = 1;
	f->reg[ATA_LBA_LOW] = 1;
	f->reg[ATA_LBA_MID] = selected(f)->atapi ? 0x14 : 0;
	f->reg[ATA_LBA_HIGH] = selected(f)->atapi ? 0xeb : 0;
}

/* Read the table as the bus master does, into the record of the command. */
static void read_table(struct fake_ide *f, struct fake_command *c)
{
	const uint32_t *table = (const uint32_t *)(f->arena + (f->bm_table - FAKE_IOVA));

	for (c->regions = 0; c->regions < IDE_PRDS;) {
		uint32_t bytes = le32toh(table[2 * c->regions + 1]);

		c->address[c->regions] = le32toh(table[2 * c->regions]);
		c->bytes[c->regions] = bytes & 0xffff ? bytes & 0xffff : 0x10000;
		c->regions++;
		if (bytes & PRD_LAST)
			return;
	}
	f->bad++; /* no last entry */
}

static void move_data(struct fake_ide *f, const struct fake_command *c)
{
	uint64_t at = c->lba * 512, left = c->count * 512ull;
	uint8_t *content = f->drive[c->unit].content;

	for (unsigned int i = 0; i < c->regions; i++) {
		uint32_t off = c->address[i] - FAKE_IOVA;

		if (c->bytes[i] > left || off >= FAKE_ARENA || c->bytes[i] > FAKE_ARENA - off) {
			f->bad++;
			return;
		}
		if (at + c->bytes[i] <= FAKE_SECTORS * 512ull) {
			if (f->bm_command & BM_TO_MEMORY)
				memcpy(f->arena + off, content + at, c->bytes[i]);
			else
				memcpy(content + at, f->arena + off, c->bytes[i]);
		}
		at += c->bytes[i];
		left -= c->bytes[i];
	}
	if (left)
		f->bad++;
}

static void end_command(struct fake_ide *f, struct fake_command *c)
{
	struct fake_outcome o = {0};

	if (f->next_outcome < f->nr_outcomes)
		o = f->outcome[f->next_outcome++];
	f->pending = false;
	if (o.hang)
		return;
	if (c->regions && !(o.status & (ATA_ERR | ATA_DF)) && !o.bm)
		move_data(f, c);
	f->status = (o.not_ready ? 0 : ATA_DRDY) | o.status;
	f->reg[ATA_ERROR] = o.error;
	f->bm_status |= BM_INTERRUPT | o.bm;
	if (o.busy_irq)
		f->status = ATA_BSY;
}

static void run_command(struct fake_ide *f, uint8_t command)
{
	struct fake_command *c = &f->command[f->nr_commands < FAKE_COMMANDS ? f->nr_commands++ : 0];
	bool ext = command == ATA_READ_DMA_EXT || command == ATA_WRITE_DMA_EXT ||
		   command == ATA_WRITE_DMA_FUA_EXT;

	if (!selected(f)->present)
		return;
	f->status = ATA_BSY;
	if (command == ATA_IDENTIFY || command == ATA_IDENTIFY_PACKET) {
		f->nr_commands--; /* of no interest */
		f->pio = 0;
		f->status = ATA_DRDY | ATA_DRQ;
		return;
	}
	memset(c, 0, sizeof(*c));
	c->command = command;
	c->unit = f->reg[ATA_DEVICE] & ATA_DEVICE_1 ? 1 : 0;
	c->lba = f->reg[ATA_LBA_LOW] | (uint64_t)f->reg[ATA_LBA_MID] << 8 |
		 (uint64_t)f->reg[ATA_LBA_HIGH] << 16;
	c->count = f->reg[ATA_COUNT];
	if (ext) {
		c->lba |= (uint64_t)f->older[ATA_LBA_LOW] << 24 |
			  (uint64_t)f->older[ATA_LBA_MID] << 32 |
			  (uint64_t)f->older[ATA_LBA_HIGH] << 40;
		c->count |= (uint32_t)f->older[ATA_COUNT] << 8;
		c->count = c->count ? c->count : 65536;
	} else {
		c->lba |= (uint64_t)(f->reg[ATA_DEVICE] & 0x0f) << 24;
		c->count = c->count ? c->count : 256;
	}
	if (command == ATA_FLUSH_CACHE || command == ATA_FLUSH_CACHE_EXT) {
		end_command(f, c);
		return;
	}
	if (!(f->reg[ATA_DEVICE] & ATA_DEVICE_LBA))
		f->bad++;
	f->pending = true;
}

static uint64_t fake_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct fake_ide *f = bar->dev->priv;
	struct fake_drive *d = selected(f);
	uint8_t status;

	f->reads++;
	switch ((uintptr_t)bar->priv) {
	case GROUP_COMMAND:
		if (off == ATA_DATA && f->status & ATA_DRQ && f->pio < 256) {
			uint16_t word = d->identify[f->pio++];

			if (f->pio == 256)
				f->status = ATA_DRDY;
			return word;
		}
		if (!d->present)
			return 0;
		if (off == ATA_STATUS) {
			status = f->status;
			if (status == ATA_BSY && f->bm_status & BM_INTERRUPT)
				f->status = ATA_DRDY; /* busy_irq: it was the last moment */
			return status;
		}
		return f->reg[off];
	case GROUP_CONTROL:
		return d->present ? f->status : 0;
	case GROUP_BUS_MASTER:
		if (off >= BM_CHANNEL)
			return 0;
		if (off == BM_STATUS)
			return f->bm_status | (f->simplex ? BM_SIMPLEX : 0);
		return off == BM_COMMAND ? f->bm_command : 0;
	}
	return 0xff;
}

static void write_bus_master(struct fake_ide *f, uint64_t off, uint64_t val)
{
	if (off == BM_TABLE) {
		f->bm_table = (uint32_t)val;
		if (val & 3 || val < FAKE_IOVA || val > FAKE_IOVA + FAKE_ARENA - 4096)
			f->bad++;
	} else if (off == BM_STATUS) {
		f->bm_status &= (uint8_t) ~(val & (BM_ERROR | BM_INTERRUPT));
	} else if (off == BM_COMMAND) {
		bool start = val & BM_START && !(f->bm_command & BM_START);

		/* The direction must not change together with the start, nor while it runs. */
		if ((start || f->bm_command & BM_START) && val & BM_START &&
		    (val ^ f->bm_command) & BM_TO_MEMORY)
			f->bad++;
		f->bm_command = (uint8_t)val;
		if (!(val & BM_START))
			f->bm_status &= (uint8_t)~BM_ACTIVE;
		if (start && f->pending) {
			struct fake_command *c = &f->command[f->nr_commands - 1];

			read_table(f, c);
			end_command(f, c);
		}
	}
}

static void fake_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct fake_ide *f = bar->dev->priv;

	switch ((uintptr_t)bar->priv) {
	case GROUP_COMMAND:
		/* Registers of a busy device are not to be written [ATA, bus idle protocol], but for selection. */
		if (off == ATA_COMMAND) {
			if (f->status & (ATA_BSY | ATA_DRQ) && selected(f)->present)
				f->bad++;
			run_command(f, (uint8_t)val);
			return;
		}
		f->older[off] = f->reg[off];
		f->reg[off] = (uint8_t)val;
		if (off == ATA_DEVICE)
			f->selects++;
		/* Each device has its own registers; of interest only right after a reset. */
		if (off != ATA_DEVICE)
			f->fresh = false;
		else if (f->fresh)
			signature(f);
		return;
	case GROUP_CONTROL:
		if (f->control & ATA_SRST && !(val & ATA_SRST)) {
			f->resets++;
			f->fresh = true;
			f->reg[ATA_DEVICE] = 0;
			f->pending = false;
			f->status = f->hang_reset ? ATA_BSY : ATA_DRDY;
			signature(f);
		}
		f->control = (uint8_t)val;
		return;
	case GROUP_BUS_MASTER:
		if (off < BM_CHANNEL)
			write_bus_master(f, off, val);
		return;
	}
}

static int fake_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		       uint32_t *val)
{
	struct fake_ide *f = dev->priv;

	*val = write ? *val : 0;
	for (unsigned int i = 0; i < size && off + i < sizeof(f->config); i++) {
		if (write)
			f->config[off + i] = (uint8_t)(*val >> (8 * i));
		else
			*val |= (uint32_t)f->config[off + i] << (8 * i);
	}
	return 0;
}

static int fake_ports(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		      struct ob_error *err)
{
	struct fake_ide *f = dev->priv;
	uintptr_t group = base == 0x1f0	  ? GROUP_COMMAND
			  : base == 0x3f6 ? GROUP_CONTROL
					  : GROUP_EMPTY;

	/* The channel must be on before its ports are there. */
	if (f->native || (f->dev.info.vendor == 0x8086 && !(f->config[0x41] & 0x80)))
		f->bad++;
	*bar = (struct ob_bar){
		.size = count,
		.kind = OB_BAR_IO,
		.index = -1,
		.dev = dev,
		.base = base,
		.priv = (void *)group,
	};
	return 0;
}

static unsigned int fake_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	return 0;
}

static void fake_flush(struct ob_device *dev)
{
}

static const struct ob_access_ops fake_ops = {
	.name = "fake",
	.config = fake_config,
	.read = fake_read,
	.write = fake_write,
	.flush = fake_flush,
	.ports = fake_ports,
	.irq_count = fake_irq_count,
};

static void no_log(void *arg, enum ob_log_level level, const char *line)
{
}

void fake_ide_text(uint16_t *words, unsigned int n, const char *text)
{
	size_t len = strlen(text);

	for (unsigned int i = 0; i < n; i++) {
		uint8_t a = 2 * i < len ? (uint8_t)text[2 * i] : ' ';
		uint8_t b = 2 * i + 1 < len ? (uint8_t)text[2 * i + 1] : ' ';

		words[i] = (uint16_t)(a << 8 | b);
	}
}

void fake_ide_add(struct fake_ide *f, unsigned int unit, uint64_t sectors, bool lba48)
{
	struct fake_drive *d = &f->drive[unit];
	uint16_t *id = d->identify;

	free(d->content);
	memset(d, 0, sizeof(*d));
	d->present = true;
	d->content = calloc(FAKE_SECTORS, 512);
	fake_ide_text(id + 10, 10, "SERIAL1");
	fake_ide_text(id + 27, 20, "FAKE DISK");
	id[49] = 1 << 9 | 1 << 8;
	id[60] = (uint16_t)(sectors > 0x0fffffff ? 0xffff : sectors);
	id[61] = (uint16_t)(sectors > 0x0fffffff ? 0x0fff : sectors >> 16);
	id[63] = 0x0407;
	id[83] = (uint16_t)(0x4000 | 1 << 12 | (lba48 ? 1 << 13 | 1 << 10 : 0));
	id[84] = (uint16_t)(0x4000 | (lba48 ? 1 << 6 : 0));
	id[85] = 1 << 5;
	id[86] = id[83];
	for (unsigned int i = 0; lba48 && i < 4; i++)
		id[100 + i] = (uint16_t)(sectors >> (16 * i));
}

void fake_ide_script(struct fake_ide *f, const struct fake_outcome *outcome, unsigned int n)
{
	memcpy(f->outcome, outcome, n * sizeof(*outcome));
	f->nr_outcomes = n;
	f->next_outcome = 0;
}

void fake_ide_native(struct fake_ide *f, uint16_t vendor, uint16_t device)
{
	static const uintptr_t group[4] = {GROUP_COMMAND, GROUP_CONTROL, GROUP_EMPTY, GROUP_EMPTY};

	f->native = true;
	f->dev.info.vendor = vendor;
	f->dev.info.device = device;
	f->dev.info.class_code = 0x01018f;
	for (int i = 0; i < 4; i++)
		f->dev.bar[i] = (struct ob_bar){
			.size = i & 1 ? 4 : 8,
			.kind = OB_BAR_IO,
			.index = i,
			.dev = &f->dev,
			.priv = (void *)group[i],
		};
}

struct fake_ide *fake_ide_open(void)
{
	static const struct ob_bar none;
	struct fake_ide *f = calloc(1, sizeof(*f));
	struct ob_dma_window w = {
		.size = FAKE_ARENA,
		.iova = FAKE_IOVA,
		.policy = OB_DMA_POOLED,
	};
	pthread_mutex_t *lock = malloc(sizeof(*lock));

	if (!f || !lock)
		abort();
	pthread_mutex_init(lock, NULL);
	f->arena =
		mmap(NULL, FAKE_ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->arena == MAP_FAILED)
		abort();
	f->dev.ops = &fake_ops;
	f->dev.priv = f;
	f->dev.sync = lock;
	f->dev.log = no_log;
	f->dev.removal_fd = -1;
	for (int i = 0; i < OB_IRQ_VECTORS; i++)
		f->dev.vector[i].fd = -1;
	f->dev.info.vendor = 0x8086;
	f->dev.info.device = 0x7010;
	f->dev.info.class_code = 0x010180;
	snprintf(f->dev.info.name, sizeof(f->dev.info.name), "fake ide");
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++)
		f->dev.bar[i] = none;
	f->dev.bar[4] = (struct ob_bar){
		.size = 16,
		.kind = OB_BAR_IO,
		.index = 4,
		.dev = &f->dev,
		.priv = (void *)GROUP_BUS_MASTER,
	};
	f->status = ATA_DRDY;
	w.base = f->arena;
	if (ob_dma_create(&f->dev, &w, NULL))
		abort();
	fake_ide_add(f, 0, FAKE_SECTORS, true);
	return f;
}

void fake_ide_close(struct fake_ide *f)
{
	ob_dma_destroy(&f->dev);
	pthread_mutex_destroy(f->dev.sync);
	free(f->dev.sync);
	munmap(f->arena, FAKE_ARENA);
	free(f->drive[0].content);
	free(f->drive[1].content);
	free(f);
}
