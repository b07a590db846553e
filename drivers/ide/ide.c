/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IDE driver's frame: which chips there are and how they differ, finding the disks, the block class,
 * interrupts, self-test. How commands run is in channel.c; [ATA], [BMIDE] and [PIIX] are named in ide.h.
 *
 * Tested with QEMU's PIIX3 and PIIX4. The entries for CMD64x and SiI680 are from their datasheets and were
 * never run: no device model of them was at hand.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "drivers/drivers.h"
#include "drivers/ide/ide.h"

#define DEFAULT_TIMEOUT_MS 30000

/* A device that is there answers within this after a reset [ATA 9.2]. */
#define DETECT_TIMEOUT_MS 31000

/* Longest transfer: what 48-bit commands take in a table of half its entries, or 256 sectors. */
#define TRANSFER_MAX	(1u << 20)
#define TRANSFER_MAX_28 256u

/* Sectors that 28 bits address; the self-test reads across this. */
#define LBA28_SECTORS (1ull << 28)

/* Legacy ports, when the programming interface says so [BMIDE 5]. */
static const uint16_t legacy_command[IDE_CHANNELS] = {0x1f0, 0x170};
static const uint16_t legacy_control[IDE_CHANNELS] = {0x3f6, 0x376};

static const struct ide_chip chips[] = {
	/* IDETIM 40h and 42h, bit 15: decode enable. */
	{0x8086, 0x1230, "PIIX", false, {0x41, 0x43}, {0x80, 0x80}, {0}, {0}},
	{0x8086, 0x7010, "PIIX3", false, {0x41, 0x43}, {0x80, 0x80}, {0}, {0}},
	{0x8086, 0x7111, "PIIX4", false, {0x41, 0x43}, {0x80, 0x80}, {0}, {0}},
	/* CNTRL 51h: channels; CFR 50h bit 2 and ARTTIM23 57h bit 4: interrupt of each, until cleared. */
	{0x1095, 0x0643, "CMD643", false, {0x51, 0x51}, {0x04, 0x08}, {0x50, 0x57}, {0x04, 0x10}},
	{0x1095, 0x0646, "CMD646", false, {0x51, 0x51}, {0x04, 0x08}, {0x50, 0x57}, {0x04, 0x10}},
	{0x1095, 0x0648, "CMD648", false, {0x51, 0x51}, {0x04, 0x08}, {0x50, 0x57}, {0x04, 0x10}},
	{0x1095, 0x0649, "CMD649", false, {0x51, 0x51}, {0x04, 0x08}, {0x50, 0x57}, {0x04, 0x10}},
	/* Always in native mode, both channels on; the class code may say RAID. */
	{0x1095, 0x0680, "SiI680", true, {0}, {0}, {0}, {0}},
};

static const char *const disk_names[IDE_CHANNELS][2] = {
	{"ide0-master", "ide0-slave"},
	{"ide1-master", "ide1-slave"},
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- finding the registers ---------------------------------------------------------------- */

static int place_native(struct ide_channel *ch, struct ob_error *err)
{
	struct ob_device *dev = ch->ide->dev;
	struct ob_bar *cmd = ob_device_bar(dev, 2 * ch->index);
	struct ob_bar *ctl = ob_device_bar(dev, 2 * ch->index + 1);

	if (!cmd || cmd->size < ATA_COMMAND_BLOCK || !ctl || ctl->size < 4)
		return ob_error_set(err, -ENODEV, "%s: channel %u has no BARs of its own",
				    ob_device_info(dev)->name, ch->index);
	ch->cmd = (struct ide_ports){cmd, 0};
	ch->ctl = (struct ide_ports){ctl, 2}; /* third of four ports [BMIDE 5.2] */
	return 0;
}

static int place_legacy(struct ide_channel *ch, struct ob_error *err)
{
	struct ob_device *dev = ch->ide->dev;
	int rc;

	rc = ob_ports_claim(dev, legacy_command[ch->index], ATA_COMMAND_BLOCK, &ch->claimed[0],
			    err);
	if (rc)
		return rc;
	rc = ob_ports_claim(dev, legacy_control[ch->index], 1, &ch->claimed[1], err);
	if (rc)
		return rc;
	ch->cmd = (struct ide_ports){&ch->claimed[0], 0};
	ch->ctl = (struct ide_ports){&ch->claimed[1], 0};
	return 0;
}

static int place_registers(struct ide_channel *ch, struct ob_error *err)
{
	const struct ide_chip *chip = ch->ide->chip;
	struct ob_device *dev = ch->ide->dev;
	const struct ob_device_info *info = ob_device_info(dev);
	struct ob_bar *bm = ob_device_bar(dev, 4);
	uint8_t reg = chip->enable_reg[ch->index];

	if (!bm || bm->size < (ch->index + 1) * BM_CHANNEL)
		return ob_error_set(err, -ENODEV, "%s has no bus master registers in BAR 4",
				    info->name);
	ch->bm = (struct ide_ports){bm, (uint16_t)(ch->index * BM_CHANNEL)};
	if (reg)
		ob_config_write(dev, reg, 1,
				ob_config_read(dev, reg, 1) | chip->enable_bit[ch->index]);
	/* Programming interface, bit 0 and bit 2: native mode of each channel [BMIDE 5.1]. */
	if (chip->native || info->class_code & (1u << 2 * ch->index))
		return place_native(ch, err);
	return place_legacy(ch, err);
}

/* ---- finding the disks ---------------------------------------------------------------------- */

/* Wait until BSY is clear, and all of @want set. */
static int wait_status(struct ide_channel *ch, uint8_t want, unsigned int timeout_ms,
		       uint8_t *status)
{
	uint64_t deadline = now_ms() + timeout_ms;
	unsigned int pause_us = 50;

	for (;;) {
		*status = ide_in(&ch->ctl, 0);
		if (ob_device_gone(ch->ide->dev))
			return -ENODEV;
		/* Nobody drives the bus: pulled up, or up but for bit 7 [ATA 9.16, note]. */
		if (*status == 0xff || *status == 0x7f)
			return -ENXIO;
		if (!(*status & ATA_BSY)) {
			if ((*status & want) == want)
				return 0;
			if (*status & (ATA_ERR | ATA_DF))
				return -EIO;
		}
		if (now_ms() >= deadline)
			return -ETIMEDOUT;
		usleep(pause_us);
		if (pause_us < 10000)
			pause_us *= 2;
	}
}

enum device_kind {
	DEVICE_NONE,
	DEVICE_ATA,
	DEVICE_ATAPI,
};

/* What the registers hold after a reset [ATA 9.12, signature and persistence]. */
static enum device_kind read_signature(struct ide_channel *ch, unsigned int unit)
{
	uint8_t status, mid, high;

	ide_out(&ch->cmd, ATA_DEVICE, ATA_DEVICE_BASE | (unit ? ATA_DEVICE_1 : 0));
	ide_settle(ch);
	if (wait_status(ch, 0, DETECT_TIMEOUT_MS, &status))
		return DEVICE_NONE;
	if (ide_in(&ch->cmd, ATA_COUNT) != 1 || ide_in(&ch->cmd, ATA_LBA_LOW) != 1)
		return DEVICE_NONE;
	mid = ide_in(&ch->cmd, ATA_LBA_MID);
	high = ide_in(&ch->cmd, ATA_LBA_HIGH);
	if (mid == 0x14 && high == 0xeb)
		return DEVICE_ATAPI;
	/* Device 0 answers with status 0 for a device 1 that is not there [ATA 9.16]. */
	if (!mid && !high && status)
		return DEVICE_ATA;
	return DEVICE_NONE;
}

/* By PIO, 256 words: the one command that needs nothing to be known. */
static int read_identity(struct ide_channel *ch, unsigned int unit, uint8_t command,
			 uint16_t id[256])
{
	uint8_t status;
	int rc;

	ide_out(&ch->cmd, ATA_DEVICE, ATA_DEVICE_BASE | (unit ? ATA_DEVICE_1 : 0));
	ide_settle(ch);
	ide_out(&ch->cmd, ATA_COMMAND, command);
	ide_settle(ch);
	rc = wait_status(ch, ATA_DRQ, DETECT_TIMEOUT_MS, &status);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < 256; i++)
		id[i] = ob_read16(ch->cmd.bar, ch->cmd.off + ATA_DATA);
	ide_in(&ch->cmd, ATA_STATUS); /* clears the interrupt */
	return ob_device_gone(ch->ide->dev) ? -ENODEV : 0;
}

static void refuse(struct ide_channel *ch, unsigned int unit, const char *model, const char *why)
{
	struct ide_controller *ide = ch->ide;

	snprintf(ide->refused, sizeof(ide->refused), "%s%s%s%s: %s", disk_names[ch->index][unit],
		 *model ? " (" : "", model, *model ? ")" : "", why);
	ob_device_log(ide->dev, OB_LOG_INFO, "%s", ide->refused);
}

static const struct ob_block_ops ide_block_ops;

static int add_disk(struct ide_channel *ch, unsigned int unit, const struct ide_identity *id,
		    unsigned int depth)
{
	struct ide_disk *disk = calloc(1, sizeof(*disk));
	struct ob_block_limits *l;
	uint32_t most;

	if (!disk)
		return -ENOMEM;
	disk->ch = ch;
	disk->unit = unit;
	disk->id = *id;
	disk->shift = (unsigned int)__builtin_ctz(id->block_size);
	disk->wake_fd = -1;
	disk->blk.ops = &ide_block_ops;
	disk->blk.dev = ch->ide->dev;
	disk->blk.dma = ch->ide->dma;
	disk->blk.driver = ob_driver_ide.name;
	snprintf(disk->blk.name, sizeof(disk->blk.name), "%s", disk_names[ch->index][unit]);
	snprintf(disk->blk.model, sizeof(disk->blk.model), "%s", id->model);
	snprintf(disk->blk.serial, sizeof(disk->blk.serial), "%s", id->serial);
	for (unsigned int i = 0; i < OB_BLOCK_QUEUES; i++)
		disk->blk.irq_fd[i] = -1;

	most = TRANSFER_MAX_28 * id->block_size;
	l = &disk->blk.limits;
	l->size = id->sectors * id->block_size;
	l->block_size = id->block_size;
	l->physical_block_size = id->physical_block_size;
	l->max_transfer = id->lba48 || most > TRANSFER_MAX ? TRANSFER_MAX : most;
	l->dma_align = 4; /* 2 by [BMIDE 1.2]; chips that move double words want 4 */
	l->queues = 1;
	l->depth = (uint16_t)depth;
	l->volatile_cache = id->write_cache;
	l->rotational = id->rotational;
	ch->disk[unit] = disk;
	return 0;
}

static int examine(struct ide_channel *ch, unsigned int unit, enum device_kind kind,
		   unsigned int depth)
{
	uint8_t command = kind == DEVICE_ATAPI ? ATA_IDENTIFY_PACKET : ATA_IDENTIFY;
	struct ide_identity identity;
	const char *why = NULL;
	uint16_t id[256];
	int rc;

	rc = read_identity(ch, unit, command, id);
	if (rc == -ENODEV)
		return rc;
	if (rc) {
		refuse(ch, unit, "", "it does not identify itself");
		return 0;
	}
	rc = ide_identify_parse(id, &identity, &why);
	if (kind == DEVICE_ATAPI)
		why = "an ATAPI device (CD, DVD, tape), which this driver does not drive";
	else if (!rc)
		return add_disk(ch, unit, &identity, depth);
	refuse(ch, unit, identity.model, why);
	return 0;
}

static int find_disks(struct ide_channel *ch, unsigned int depth)
{
	enum device_kind kind[2];
	uint8_t status;
	int rc;

	status = ide_in(&ch->ctl, 0);
	if (status == 0xff || status == 0x7f)
		return 0; /* an empty cable */
	/* Interrupts stay off until somebody serves them. */
	ide_out(&ch->bm, BM_COMMAND, 0);
	ide_srst(ch, ATA_NIEN);
	for (unsigned int unit = 0; unit < 2; unit++)
		kind[unit] = read_signature(ch, unit);
	for (unsigned int unit = 0; unit < 2; unit++) {
		if (kind[unit] == DEVICE_NONE)
			continue;
		rc = examine(ch, unit, kind[unit], depth);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- interrupts ----------------------------------------------------------------------------- */

/* Serves a vector that several disks share: see struct ide_vector. */
static void *serve_vector(void *arg)
{
	struct ide_vector *v = arg;
	struct pollfd fds[2] = {
		{.fd = ob_irq_fd(v->irq), .events = POLLIN},
		{.fd = v->stop_fd, .events = POLLIN},
	};
	int n = 0;

	while (n >= 0) {
		if (poll(fds, 2, -1) < 0)
			continue; /* EINTR */
		if (fds[1].revents)
			break;
		n = ob_irq_wait(v->irq, 0);
		for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
			struct ide_channel *ch = &v->ide->channel[i];

			if (!(v->channels & (1u << i)))
				continue;
			ide_lock(ch);
			if (n < 0 && ch->state != IDE_DEAD)
				ide_fail_all(ch, -ENODEV);
			else if (ch->state == IDE_BUSY)
				ide_poll(ch);
			else if (ch->state == IDE_IDLE)
				ide_in(&ch->cmd, ATA_STATUS); /* nobody's: the line must go down */
			ide_start_next(ch);
			ide_unlock(ch);
		}
		/* While all disks poll the line stays masked, and arming delivers what it holds. */
		if (n > 0 && __atomic_load_n(&v->armed, __ATOMIC_SEQ_CST))
			ob_irq_unmask(v->irq);
	}
	return NULL;
}

static int start_thread(struct ide_vector *v)
{
	int rc;

	v->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (v->stop_fd < 0)
		return -errno;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &v->ide->channel[i];

		if (!(v->channels & (1u << i)))
			continue;
		ch->shared = true;
		for (unsigned int unit = 0; unit < 2; unit++) {
			struct ide_disk *disk = ch->disk[unit];

			if (!disk)
				continue;
			disk->wake_fd = eventfd(0, EFD_CLOEXEC);
			if (disk->wake_fd < 0)
				return -errno;
			disk->blk.irq_fd[0] = disk->wake_fd;
		}
	}
	rc = pthread_create(&v->thread, NULL, serve_vector, v);
	if (rc)
		return -rc;
	v->threaded = true;
	return 0;
}

static void irq_off(struct ide_controller *ide)
{
	uint64_t one = 1;

	for (unsigned int i = 0; i < ide->nr_vectors; i++) {
		struct ide_vector *v = &ide->vector[i];

		if (v->threaded && write(v->stop_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(v->thread, NULL);
		v->threaded = false;
		if (v->stop_fd >= 0)
			close(v->stop_fd);
		v->stop_fd = -1;
		if (v->irq)
			ob_irq_close(v->irq);
		v->irq = NULL;
	}
	if (ide->nr_vectors)
		ob_irq_disable(ide->dev);
	ide->nr_vectors = 0;
}

static int irq_on(struct ide_controller *ide, enum ob_irq_kind kind, struct ob_error *err)
{
	unsigned int n = ob_irq_count(ide->dev, kind);
	int rc;

	if (!n) {
		ob_device_log(ide->dev, OB_LOG_WARN, "no %s interrupts: disks are polled",
			      ob_irq_kind_name(kind));
		return 0;
	}
	/* Legacy mode: one line per channel (IRQ 14 and 15); native mode: one for both. */
	if (n > IDE_CHANNELS)
		n = IDE_CHANNELS;
	rc = ob_irq_enable(ide->dev, kind, n, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < n; i++) {
		ide->vector[i].ide = ide;
		ide->vector[i].stop_fd = -1;
	}
	ide->nr_vectors = n;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ch->vector = &ide->vector[i % n];
		for (unsigned int unit = 0; unit < 2; unit++)
			if (ch->disk[unit]) {
				ch->vector->channels |= 1u << i;
				ch->vector->disks++;
			}
	}
	for (unsigned int i = 0; i < n; i++) {
		struct ide_vector *v = &ide->vector[i];

		if (!v->disks)
			continue;
		rc = ob_irq_open(ide->dev, i, 0, &v->irq, err);
		if (rc)
			goto off;
		if (v->disks == 1)
			continue;
		rc = start_thread(v);
		if (rc) {
			ob_error_set(err, rc, "%s: no thread for vector %u: %s",
				     ob_device_info(ide->dev)->name, i, strerror(-rc));
			goto off;
		}
	}
	/* A disk that has its vector alone is woken by it. */
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		for (unsigned int unit = 0; unit < 2; unit++) {
			struct ide_channel *ch = &ide->channel[i];

			if (ch->disk[unit] && !ch->vector->threaded)
				ch->disk[unit]->blk.irq_fd[0] = ob_irq_fd(ch->vector->irq);
		}
	return 0;

off:
	irq_off(ide);
	return rc;
}

/* ---- the block class -------------------------------------------------------------------------- */

static int ide_block_start(struct ob_block *blk, struct ob_error *err)
{
	struct ide_disk *disk = ide_disk_of(blk);
	struct ide_channel *ch = disk->ch;
	int rc = 0;

	ide_lock(ch);
	if (ch->state == IDE_DEAD)
		rc = ob_error_set(err, ch->status, "%s: its channel did not come back from a reset",
				  blk->name);
	else
		disk->running = true;
	ide_unlock(ch);
	return rc;
}

static void ide_block_stop(struct ob_block *blk)
{
	struct ide_disk *disk = ide_disk_of(blk);
	struct ide_channel *ch = disk->ch;

	ide_lock(ch);
	ide_cancel(disk);
	disk->running = false;
	ide_start_next(ch); /* the other disk's */
	ide_unlock(ch);
}

static unsigned int ide_block_submit(struct ob_block *blk, unsigned int queue,
				     struct ob_block_req **reqs, unsigned int n)
{
	struct ide_disk *disk = ide_disk_of(blk);
	struct ide_channel *ch = disk->ch;
	unsigned int taken = 0;

	ide_lock(ch);
	if (ob_likely(disk->running))
		while (taken < n && disk->accepted < blk->limits.depth)
			ide_submit(disk, reqs[taken++]);
	ide_start_next(ch);
	ide_unlock(ch);
	return taken;
}

static unsigned int ide_block_complete(struct ob_block *blk, unsigned int queue,
				       struct ob_block_req **reqs, unsigned int n)
{
	struct ide_disk *disk = ide_disk_of(blk);
	struct ide_channel *ch = disk->ch;
	unsigned int done = 0;

	if (!disk->accepted)
		return 0;
	ide_lock(ch);
	/* What a merged command left is given out without a look at the registers. */
	if (disk->done_head == disk->done_tail) {
		ide_poll(ch);
		ide_start_next(ch);
	}
	while (done < n && disk->done_head != disk->done_tail)
		reqs[done++] = disk->done[disk->done_head++ % IDE_DEPTH_MAX];
	disk->accepted -= done;
	ide_unlock(ch);
	return done;
}

static bool ide_block_irq_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	struct ide_disk *disk = ide_disk_of(blk);
	struct ide_channel *ch = disk->ch;
	struct ide_vector *v = ch->vector;
	unsigned int bit = 1u << (2 * ch->index + disk->unit);
	bool ready;

	ide_lock(ch);
	ready = disk->done_head != disk->done_tail;
	disk->armed = on && !ready;
	if (!v) {
		/* Nobody will call: there is something to look at as long as anything is in flight. */
		ready = disk->accepted != 0;
	} else if (on) {
		/* Armed twice without a command between: what woke us is stale, and must go. */
		if (ch->state == IDE_IDLE && ch->armed_seq == ch->seq)
			ide_in(&ch->cmd, ATA_STATUS);
		ch->armed_seq = ch->seq;
		__atomic_or_fetch(&v->armed, bit, __ATOMIC_SEQ_CST);
		/* What is asserted now is delivered at once: an end before this is not missed. */
		ob_irq_unmask(v->irq);
	} else if (!__atomic_and_fetch(&v->armed, ~bit, __ATOMIC_SEQ_CST)) {
		ob_irq_mask(v->irq);
	}
	ide_unlock(ch);
	return ready;
}

static void ide_block_tick(struct ob_block *blk, uint64_t now_ns)
{
	struct ide_channel *ch = ide_disk_of(blk)->ch;

	ide_lock(ch);
	ide_tick(ch, now_ns);
	ide_unlock(ch);
}

static bool ide_can_fua(struct ob_block *blk)
{
	return ide_disk_of(blk)->id.fua;
}

static bool ide_can_flush(struct ob_block *blk)
{
	const struct ide_identity *id = &ide_disk_of(blk)->id;

	return id->flush || id->flush_ext;
}

/* There is one queue, and a flush empties the disk's one cache. */
static bool ide_can_multi_conn(struct ob_block *blk)
{
	return ide_can_flush(blk);
}

static void ide_block_stats(struct ob_block *blk, struct ob_block_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&ide_disk_of(blk)->stats;
	uint64_t *to = (uint64_t *)stats;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static const struct ob_block_ops ide_block_ops = {
	.start = ide_block_start,
	.stop = ide_block_stop,
	.submit = ide_block_submit,
	.complete = ide_block_complete,
	.irq_arm = ide_block_irq_arm,
	.tick = ide_block_tick,
	.can_fua = ide_can_fua,
	.can_flush = ide_can_flush,
	.can_multi_conn = ide_can_multi_conn,
	.stats = ide_block_stats,
};

/* ---- probe and remove --------------------------------------------------------------------------- */

static const struct ide_chip *find_chip(const struct ob_device_info *info)
{
	for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++)
		if (chips[i].device_vendor == info->vendor && chips[i].device_id == info->device)
			return &chips[i];
	return NULL;
}

static void free_controller(struct ide_controller *ide)
{
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ob_dma_free(ide->dma, ch->prd);
		pthread_mutex_destroy(&ch->lock);
		for (unsigned int unit = 0; unit < 2; unit++) {
			if (!ch->disk[unit])
				continue;
			if (ch->disk[unit]->wake_fd >= 0)
				close(ch->disk[unit]->wake_fd);
			free(ch->disk[unit]);
		}
	}
	free(ide);
}

static int probe_channel(struct ide_channel *ch, unsigned int depth, struct ob_error *err)
{
	const char *name = ob_device_info(ch->ide->dev)->name;
	int rc;

	rc = place_registers(ch, err);
	if (rc)
		return rc;
	ch->prd = ob_dma_alloc(ch->ide->dma, IDE_PRDS * sizeof(*ch->prd),
			       IDE_PRDS * sizeof(*ch->prd), "ide prd table", &ch->prd_iova);
	if (!ch->prd)
		return ob_error_set(err, -ENOMEM, "%s: no arena left for the PRD tables", name);
	rc = find_disks(ch, depth);
	if (rc)
		return ob_error_set(err, rc, "%s: channel %u cannot be searched for disks: %s",
				    name, ch->index, strerror(-rc));
	ch->shared = ch->disk[0] && ch->disk[1];
	return 0;
}

/* One data path for both channels [BMIDE 2.2, bit 7]: two commands at once would corrupt data. */
static bool is_simplex(struct ide_controller *ide)
{
	struct ide_ports *bm = &ide->channel[0].bm;

	return ide_in(bm, BM_STATUS) & BM_SIMPLEX;
}

static int ide_probe(struct ob_binding *b, struct ob_error *err)
{
	const struct ob_device_info *info = ob_device_info(b->dev);
	enum ob_irq_kind kind = b->config.irq_kind ? b->config.irq_kind : OB_IRQ_INTX;
	unsigned int depth = b->config.depth ? b->config.depth : IDE_DEPTH;
	struct ide_controller *ide;
	int rc;

	ide = calloc(1, sizeof(*ide));
	if (!ide)
		return ob_error_set(err, -ENOMEM, "no memory for %s", info->name);
	ide->dev = b->dev;
	ide->dma = ob_device_dma(b->dev);
	ide->chip = find_chip(info);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ch->ide = ide;
		ch->index = i;
		ch->selected = -1;
		ch->armed_seq = UINT64_MAX;
		ch->timeout_ms = b->config.timeout_ms ? b->config.timeout_ms : DEFAULT_TIMEOUT_MS;
		pthread_mutex_init(&ch->lock, NULL);
	}
	rc = -ENODEV;
	if (!ide->chip) {
		ob_error_set(err, rc, "%s is no IDE controller that this driver knows", info->name);
		goto free;
	}
	/* Table address and region addresses are 32 bits wide [BMIDE 1.2, 2.3]. */
	rc = ob_dma_set_mask(ide->dma, 32, err);
	if (rc)
		goto free;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		rc = probe_channel(&ide->channel[i], depth < IDE_DEPTH_MAX ? depth : IDE_DEPTH_MAX,
				   err);
		if (rc)
			goto free;
		for (unsigned int unit = 0; unit < 2; unit++)
			if (ide->channel[i].disk[unit])
				b->block[b->nr_blocks++] = &ide->channel[i].disk[unit]->blk;
		if (b->nr_blocks && is_simplex(ide)) {
			ob_device_log(b->dev, OB_LOG_WARN, "simplex: channel %u alone is used", i);
			break;
		}
	}
	if (!b->nr_blocks) {
		rc = ob_error_set(err, -ENODEV, "%s (%s) has no disk", info->name, ide->chip->name);
		ob_error_why(err, "%s", *ide->refused ? ide->refused : "nothing is on its cables");
		goto free;
	}
	if (b->config.mode != OB_MODE_POLL) {
		rc = irq_on(ide, kind, err);
		if (rc)
			goto free;
	}
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		/* nIEN off in any mode: without it the bus master latches no interrupt bit either. */
		if (ch->disk[0] || ch->disk[1]) {
			ide_out(&ch->bm, BM_STATUS, BM_ERROR | BM_INTERRUPT);
			ide_out(&ch->ctl, 0, 0);
		}
	}
	ob_device_flush(b->dev);
	b->priv = ide;
	return 0;

free:
	b->nr_blocks = 0;
	free_controller(ide);
	return rc;
}

static void ide_remove(struct ob_binding *b)
{
	struct ide_controller *ide = b->priv;

	for (unsigned int i = 0; i < b->nr_blocks; i++)
		ide_block_stop(b->block[i]);
	irq_off(ide);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		if (!ch->disk[0] && !ch->disk[1])
			continue;
		ide_out(&ch->bm, BM_COMMAND, 0);
		ide_out(&ch->ctl, 0, ATA_NIEN);
	}
	ob_device_flush(b->dev);
	free_controller(ide);
}

/* ---- self-test: reads only ----------------------------------------------------------------------- */

struct report {
	struct ob_selftest_line *lines;
	unsigned int n, max;
};

static void __attribute__((format(printf, 5, 6)))
report(struct report *r, const char *disk, const char *what, int result, const char *fmt, ...)
{
	struct ob_selftest_line *line;
	va_list ap;

	if (r->n == r->max)
		return;
	line = &r->lines[r->n++];
	snprintf(line->name, sizeof(line->name), "%s: %s", disk, what);
	line->result = result;
	va_start(ap, fmt);
	vsnprintf(line->detail, sizeof(line->detail), fmt, ap);
	va_end(ap);
}

/* Read the same blocks twice; what comes must be the same, and come where it belongs. */
static int read_twice(struct ob_block *blk, uint64_t offset, uint32_t len, uint8_t *buf)
{
	int rc;

	/* Different fillings, so that a read that moves nothing is seen. */
	memset(buf, 0x55, len);
	memset(buf + len, 0xaa, len);
	rc = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, offset, buf, len);
	if (!rc)
		rc = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, offset, buf + len, len);
	if (!rc && memcmp(buf, buf + len, len))
		rc = -EILSEQ;
	return rc;
}

static void test_disk(struct ob_block *blk, struct report *r)
{
	const struct ide_identity *id = &ide_disk_of(blk)->id;
	const struct ob_block_limits *l = &blk->limits;
	uint32_t bs = l->block_size, len = 128 * 1024;
	uint64_t boundary = LBA28_SECTORS * (uint64_t)bs;
	struct ob_error err = {0};
	uint8_t *buf;
	int rc;

	report(r, blk->name, "identification", 0, "%s, %llu blocks of %u bytes, LBA%u%s%s",
	       blk->model, (unsigned long long)id->sectors, bs, id->lba48 ? 48 : 28,
	       id->flush || id->flush_ext ? ", flush" : "", id->fua ? ", FUA" : "");
	if (len > l->size / 2)
		len = bs;
	buf = malloc(2 * (size_t)len);
	if (!buf) {
		report(r, blk->name, "reads", -ENOMEM, "no memory");
		return;
	}
	rc = ob_block_start(blk, &err);
	if (rc) {
		report(r, blk->name, "start", rc, "%.150s", err.what);
		goto free;
	}
	rc = read_twice(blk, 0, bs, buf);
	report(r, blk->name, "first block", rc, "read twice, compared");
	rc = read_twice(blk, l->size - bs, bs, buf);
	report(r, blk->name, "last block", rc, "read twice, compared");
	rc = read_twice(blk, 0, len, buf);
	report(r, blk->name, "longer read", rc, "%u bytes, read twice, compared", len);
	if (l->size > boundary) {
		rc = read_twice(blk, boundary - bs, bs, buf);
		report(r, blk->name, "across 28 bits", rc, "48-bit command at block %llu",
		       (unsigned long long)LBA28_SECTORS - 1);
	}
	rc = ide_can_flush(blk) ? ob_block_rw(blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0) : 1;
	report(r, blk->name, "flush", rc, "%s", rc > 0 ? "the disk has no flush" : "cache flushed");
	ob_block_stop(blk);
free:
	free(buf);
}

static int ide_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct report r = {.lines = lines, .max = n};
	struct ide_controller *ide = b->priv;

	report(&r, "controller", ide->chip->name, 0, "%u disks, %u vectors", b->nr_blocks,
	       ide->nr_vectors);
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		test_disk(b->block[i], &r);
	return (int)r.n;
}

static const struct ob_pci_id ide_ids[] = {
	{.vendor = 0x8086, .device = 0x7010, .name = "Intel 82371SB PIIX3 IDE"},
	{.vendor = 0x8086, .device = 0x7111, .name = "Intel 82371AB PIIX4 IDE"},
	{.vendor = 0x8086, .device = 0x1230, .name = "Intel 82371FB PIIX IDE"},
	{.vendor = 0x1095, .device = 0x0643, .name = "CMD643"},
	{.vendor = 0x1095, .device = 0x0646, .name = "CMD646"},
	{.vendor = 0x1095, .device = 0x0648, .name = "CMD648"},
	{.vendor = 0x1095, .device = 0x0649, .name = "CMD649"},
	{.vendor = 0x1095, .device = 0x0680, .name = "Silicon Image SiI680"},
	{0},
};

const struct ob_driver ob_driver_ide = {
	.name = "ide",
	.summary = "bus-master IDE disks: PIIX, CMD64x, SiI680",
	.datasheet = "ATA/ATAPI-7 (T13/1532D), Bus Master IDE 1.0, Intel 82371SB (290550)",
	.class_ = OB_CLASS_BLOCK,
	.ids = ide_ids,
	.probe = ide_probe,
	.remove = ide_remove,
	.selftest = ide_selftest,
};
