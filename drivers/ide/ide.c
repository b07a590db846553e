/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IDE driver's frame: which chips there are and how they differ, the block class, probe and remove.
 * detect.c finds the disks, channel.c runs their commands, vector.c has the interrupts; [ATA], [BMIDE] and
 * [PIIX] are named in ide.h.
 *
 * Tested with QEMU's PIIX3. PIIX and PIIX4 have the same registers; the entries for CMD64x and SiI680 follow what is
 * published of their registers and were never run: no device model of them was at hand.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "drivers/drivers.h"
#include "drivers/ide/ide.h"

#define DEFAULT_TIMEOUT_MS 30000

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
	if (ch->state == IDE_IDLE) {
		ob_device_cork(ch->ide->dev);
		ide_start_next(ch);
		ob_device_uncork(ch->ide->dev);
	}
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
		/* The end of a command and the next one are a dozen writes that need no answer between them. */
		ob_device_cork(ch->ide->dev);
		ide_poll(ch);
		ide_start_next(ch);
		ob_device_uncork(ch->ide->dev);
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

const struct ob_block_ops ide_block_ops = {
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

	rc = ide_place_registers(ch, err);
	if (rc)
		return rc;
	ch->prd = ob_dma_alloc(ch->ide->dma, IDE_PRDS * sizeof(*ch->prd),
			       IDE_PRDS * sizeof(*ch->prd), "ide prd table", &ch->prd_iova);
	if (!ch->prd)
		return ob_error_set(err, -ENOMEM, "%s: no arena left for the PRD tables", name);
	OB_FAULT_POINT("ide.probe.channel");
	rc = ide_find_disks(ch, depth);
	if (rc)
		return ob_error_set(err, rc, "%s: channel %u cannot be searched for disks: %s",
				    name, ch->index, strerror(-rc));
	ch->shared = ch->disk[0] && ch->disk[1];
	return 0;
}

/* One data path for both channels [BMIDE, status register, bit 7]: two commands at once would corrupt data. */
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

	ide = OB_FAULT_ERROR("ide.probe") ? NULL : calloc(1, sizeof(*ide));
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
	/* Table address and region addresses are 32 bits wide [BMIDE]. */
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
	OB_FAULT_POINT("ide.probe.disks");
	if (b->config.mode != OB_MODE_POLL) {
		rc = ide_irq_on(ide, kind, err);
		if (rc)
			goto free;
	}
	OB_FAULT_POINT("ide.probe.vectors");
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

	OB_FAULT_POINT("ide.remove");
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		ide_block_stop(b->block[i]);
	ide_irq_off(ide);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		if (!ch->disk[0] && !ch->disk[1])
			continue;
		ide_out(&ch->bm, BM_COMMAND, 0);
		ide_out(&ch->ctl, 0, ATA_NIEN);
	}
	ob_device_flush(b->dev);
	OB_FAULT_POINT("ide.stopped");
	free_controller(ide);
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
