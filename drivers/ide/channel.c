/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One IDE channel at work: requests in a FIFO, one command at a time with the device, adjacent requests
 * merged into it, errors sorted out, resets. [ATA], [BMIDE] and [PIIX] are named in ide.h.
 *
 * A register read waits for the device (a message of some microseconds in the embedded backend), a
 * write does not. So a command costs two reads: bus master status, and status, both at its end.
 */
#include <endian.h>
#include <errno.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "drivers/ide/ide.h"

/* A device may take 31 s to come back from SRST, spinning up its disks [ATA, software reset protocol]. */
#define RESET_TIMEOUT_NS 31000000000ull

/* FLUSH CACHE may take longer than 30 s [ATA, FLUSH CACHE]; other commands do not. */
#define FLUSH_FACTOR 4

/* Up to here an address or a count fits 28 bits [ATA, sector addressing]. */
#define LBA28_END	0x0fffffffull
#define LBA28_COUNT_MAX 256

/* How long the other device of the cable may be busy when it is selected: it has nothing to do. */
#define SELECT_TIMEOUT_NS 1000000000ull

static void spin_ns(uint64_t ns)
{
	uint64_t end = ob_clock_ns() + ns;

	while (ob_clock_ns() < end)
		;
}

/* Counters are read by any thread. */
static void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static struct ide_disk *disk_of(const struct ob_block_req *req)
{
	return (struct ide_disk *)(uintptr_t)req->priv;
}

void ide_lock(struct ide_channel *ch)
{
	if (ch->shared)
		pthread_mutex_lock(&ch->lock);
}

void ide_unlock(struct ide_channel *ch)
{
	uint64_t one = 1;

	if (!ch->shared)
		return;
	for (unsigned int i = 0; i < 2; i++) {
		struct ide_disk *disk = ch->disk[i];

		if (!disk || !disk->wake)
			continue;
		disk->wake = false;
		/* Fails only when the counter is full, and then it wakes in any case. */
		if (disk->wake_fd >= 0 && write(disk->wake_fd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&ch->lock);
}

/* ---- the end of requests --------------------------------------------------------------- */

static void finish(struct ob_block_req *req, int status)
{
	struct ide_disk *disk = disk_of(req);
	struct ob_block_stats *s = &disk->stats;

	req->status = (int16_t)status;
	disk->done[disk->done_tail++ % IDE_DEPTH_MAX] = req;
	if (disk->armed) {
		disk->armed = false;
		disk->wake = true;
	}
	if (status) {
		count(&s->errors, 1);
		return;
	}
	switch (req->op) {
	case OB_BLOCK_READ:
		count(&s->reads, 1);
		count(&s->read_bytes, req->len);
		break;
	case OB_BLOCK_WRITE:
		count(&s->writes, 1);
		count(&s->write_bytes, req->len);
		break;
	case OB_BLOCK_FLUSH:
		count(&s->flushes, 1);
		break;
	}
}

static void finish_current(struct ide_channel *ch, int status)
{
	for (unsigned int i = 0; i < ch->nr_cur; i++)
		finish(ch->cur[i], status);
	ch->nr_cur = 0;
	ch->tries = 0;
	if (ch->alone)
		ch->alone--;
}

void ide_fail_all(struct ide_channel *ch, int status)
{
	ch->state = IDE_DEAD;
	ch->status = status;
	finish_current(ch, status);
	while (ch->head != ch->tail)
		finish(ch->fifo[ch->head++ % IDE_FIFO], status);
}

/*
 * The command that served several requests failed, and the device does not say well which one was
 * the reason: back to the front of the FIFO with them, and one at a time from there.
 */
static void take_apart(struct ide_channel *ch)
{
	ch->alone = ch->nr_cur;
	while (ch->nr_cur)
		ch->fifo[--ch->head % IDE_FIFO] = ch->cur[--ch->nr_cur];
	ch->tries = 0;
}

/* ---- giving a command ------------------------------------------------------------------- */

void ide_settle(struct ide_channel *ch)
{
	ide_in(&ch->ctl, 0); /* the writes before have reached the device */
	spin_ns(400);
}

/* Turn the cable to the other device [ATA, bus idle protocol: device selection]. */
static int select_device(struct ide_channel *ch, unsigned int unit)
{
	uint64_t deadline = ob_clock_ns() + SELECT_TIMEOUT_NS;

	ide_out(&ch->cmd, ATA_DEVICE, ATA_DEVICE_BASE | ATA_DEVICE_LBA | (unit ? ATA_DEVICE_1 : 0));
	ide_settle(ch);
	while (ide_in(&ch->ctl, 0) & (ATA_BSY | ATA_DRQ)) {
		if (ob_device_gone(ch->ide->dev))
			return -ENODEV;
		if (ob_clock_ns() >= deadline)
			return -ETIMEDOUT;
		spin_ns(1000);
	}
	ch->selected = (int8_t)unit;
	return 0;
}

/* Append to the table; regions are cut at multiples of 64 KiB. False when it does not fit. */
static bool describe(struct ide_channel *ch, const struct ob_block_req *req)
{
	uint64_t addr = req->iova.addr, left = req->len;
	unsigned int n = ch->nr_prd;

	/* The registers of both ends are 32 bits wide, and bit 0 is not there. */
	if (addr & 1 || left & 1 || addr + left < addr || addr + left > (1ull << 32))
		return false;
	while (left) {
		uint64_t piece = PRD_REGION - (addr & (PRD_REGION - 1));

		if (piece > left)
			piece = left;
		if (n == IDE_PRDS)
			return false;
		ch->prd[n].address = htole32((uint32_t)addr);
		ch->prd[n].count = htole32((uint32_t)piece & 0xffff);
		n++;
		addr += piece;
		left -= piece;
	}
	ch->nr_prd = n;
	return true;
}

/* Take the next request from the FIFO, and those behind it that continue it. */
static bool gather(struct ide_channel *ch)
{
	struct ob_block_req *first = ch->fifo[ch->head++ % IDE_FIFO], *next;
	struct ide_disk *disk = disk_of(first);
	uint64_t len = first->len;

	ch->nr_prd = 0;
	ch->nr_cur = 1;
	ch->cur[0] = first;
	if (first->op == OB_BLOCK_FLUSH)
		return true;
	if (!describe(ch, first)) {
		finish_current(ch, -EINVAL);
		return false;
	}
	if (ch->alone)
		return true;
	while (ch->nr_cur < IDE_MERGE && ch->head != ch->tail) {
		next = ch->fifo[ch->head % IDE_FIFO];
		if (next->priv != first->priv || next->op != first->op ||
		    next->flags != first->flags || next->offset != first->offset + len ||
		    len + next->len > disk->blk.limits.max_transfer || !describe(ch, next))
			break;
		len += next->len;
		ch->cur[ch->nr_cur++] = next;
		ch->head++;
	}
	return true;
}

static uint8_t choose_command(const struct ide_disk *disk, const struct ob_block_req *req, bool ext)
{
	if (req->op == OB_BLOCK_FLUSH)
		return disk->id.flush_ext ? ATA_FLUSH_CACHE_EXT : ATA_FLUSH_CACHE;
	if (req->op == OB_BLOCK_READ)
		return ext ? ATA_READ_DMA_EXT : ATA_READ_DMA;
	if (req->flags & OB_BLOCK_FUA)
		return ATA_WRITE_DMA_FUA_EXT;
	return ext ? ATA_WRITE_DMA_EXT : ATA_WRITE_DMA;
}

static void reset(struct ide_channel *ch);

/* Hand @cur to the device. */
static void issue(struct ide_channel *ch)
{
	struct ob_block_req *first = ch->cur[0], *last = ch->cur[ch->nr_cur - 1];
	struct ide_disk *disk = disk_of(first);
	uint64_t lba = first->offset >> disk->shift;
	uint64_t sectors = (last->offset + last->len - first->offset) >> disk->shift;
	uint8_t device = ATA_DEVICE_BASE | (disk->unit ? ATA_DEVICE_1 : 0);
	bool dma = first->op != OB_BLOCK_FLUSH;
	bool ext = first->flags & OB_BLOCK_FUA || lba + sectors > LBA28_END ||
		   sectors > LBA28_COUNT_MAX;

	if (ob_unlikely(ch->selected != (int8_t)disk->unit)) {
		int rc = select_device(ch, disk->unit);

		if (rc) {
			ch->status = rc;
			reset(ch);
			return;
		}
	}
	if (dma) {
		uint8_t direction = first->op == OB_BLOCK_READ ? BM_TO_MEMORY : 0;

		ch->prd[ch->nr_prd - 1].count |= htole32(PRD_LAST);
		ob_wmb(); /* table and payload before the register that lets the device look */
		ob_write32(ch->bm.bar, ch->bm.off + BM_TABLE, ob_iova_lo(ch->prd_iova));
		/* The direction is set before the start bit [BMIDE, command register]; mostly it is set already. */
		if (direction != ch->direction)
			ide_out(&ch->bm, BM_COMMAND, direction);
		ch->direction = direction;
		if (ext) {
			/* Each register holds two bytes, the older one is the higher [ATA, 48-bit addresses]. */
			ide_out(&ch->cmd, ATA_COUNT, (uint8_t)(sectors >> 8));
			ide_out(&ch->cmd, ATA_LBA_LOW, (uint8_t)(lba >> 24));
			ide_out(&ch->cmd, ATA_LBA_MID, (uint8_t)(lba >> 32));
			ide_out(&ch->cmd, ATA_LBA_HIGH, (uint8_t)(lba >> 40));
		} else {
			device |= (lba >> 24) & 0x0f;
		}
		ide_out(&ch->cmd, ATA_COUNT, (uint8_t)sectors); /* 256 and 65536 are 0 */
		ide_out(&ch->cmd, ATA_LBA_LOW, (uint8_t)lba);
		ide_out(&ch->cmd, ATA_LBA_MID, (uint8_t)(lba >> 8));
		ide_out(&ch->cmd, ATA_LBA_HIGH, (uint8_t)(lba >> 16));
		device |= ATA_DEVICE_LBA;
		ide_out(&ch->cmd, ATA_DEVICE, device);
		OB_FAULT_POINT("ide.before-command");
		ide_out(&ch->cmd, ATA_COMMAND, choose_command(disk, first, ext));
		OB_FAULT_POINT("ide.before-bus-master");
		ide_out(&ch->bm, BM_COMMAND, direction | BM_START);
		OB_FAULT_POINT("ide.after-bus-master");
	} else {
		ide_out(&ch->cmd, ATA_DEVICE, device);
		ide_out(&ch->cmd, ATA_COMMAND, choose_command(disk, first, ext));
	}
	ch->state = IDE_BUSY;
	ch->seq++;
	count(&disk->stats.doorbells, 1);
}

void ide_start_next(struct ide_channel *ch)
{
	while (ch->state == IDE_IDLE && ch->head != ch->tail)
		if (gather(ch))
			issue(ch);
}

void ide_submit(struct ide_disk *disk, struct ob_block_req *req)
{
	struct ide_channel *ch = disk->ch;

	req->priv = (uintptr_t)disk;
	disk->accepted++;
	if (ob_unlikely(ch->state == IDE_DEAD)) {
		finish(req, ch->status);
		return;
	}
	ch->fifo[ch->tail++ % IDE_FIFO] = req;
}

/* ---- reset -------------------------------------------------------------------------------- */

void ide_srst(struct ide_channel *ch, uint8_t control)
{
	ide_out(&ch->ctl, 0, control | ATA_SRST);
	ob_device_flush(ch->ide->dev);
	spin_ns(5000); /* at least 5 us asserted [ATA, software reset protocol] */
	ide_out(&ch->ctl, 0, control);
	ob_device_flush(ch->ide->dev);
	usleep(2000); /* status is not looked at for 2 ms */
	ch->selected = -1;
}

/* The bus master lets go, and what it signalled is forgotten. */
static void stop_bus_master(struct ide_channel *ch)
{
	ch->direction = 0;
	ide_out(&ch->bm, BM_COMMAND, 0);
	ide_out(&ch->bm, BM_STATUS, BM_ERROR | BM_INTERRUPT);
}

/* Both devices of the cable back? Then go on with what was there before. */
static void reset_poll(struct ide_channel *ch)
{
	unsigned int unit = ch->disk[0] ? 0 : 1;
	uint8_t status;

	ide_out(&ch->cmd, ATA_DEVICE, ATA_DEVICE_BASE | (unit ? ATA_DEVICE_1 : 0));
	ide_settle(ch);
	status = ide_in(&ch->cmd, ATA_STATUS); /* and with it goes a stale interrupt */
	if (status & ATA_BSY || !(status & ATA_DRDY))
		return;
	stop_bus_master(ch);
	ch->state = IDE_IDLE;
	if (!ch->nr_cur)
		return;
	if (ch->tries < IDE_TRIES)
		issue(ch);
	else if (ch->nr_cur > 1)
		take_apart(ch);
	else
		finish_current(ch, ch->status);
}

/* After a command that did not end as it should: @status is what it is worth if tries run out. */
static void reset(struct ide_channel *ch)
{
	struct ide_disk *disk = disk_of(ch->cur[0]);

	count(&disk->stats.resets, 1);
	ch->tries++;
	ch->state = IDE_RESET;
	ch->reset_ns = 0;
	OB_FAULT_POINT("ide.reset");
	stop_bus_master(ch);
	ide_srst(ch, 0);
	ob_device_log(ch->ide->dev, OB_LOG_WARN, "%s: channel %u reset, try %u of %u",
		      disk->blk.name, ch->index, ch->tries, IDE_TRIES);
	/* A disk that turns is back at once; for others tick() looks again. */
	reset_poll(ch);
}

/* ---- the end of a command ------------------------------------------------------------------ */

/* The error register as a status; @again: the same command may well succeed. */
static int decode_error(uint8_t error, bool *again)
{
	*again = false;
	if (error & ATA_ICRC) {
		*again = true; /* damaged on the cable [ATA, error register] */
		return -EIO;
	}
	if (error & ATA_UNC)
		return -EILSEQ;
	return -EIO; /* IDNF, ABRT */
}

/* Anything but a clean end. @bm and @status are as read, the bus master is stopped. */
static __attribute__((noinline)) void command_failed(struct ide_channel *ch, uint8_t bm,
						     uint8_t status)
{
	struct ide_disk *disk = disk_of(ch->cur[0]);
	uint8_t error = status & ATA_ERR ? ide_in(&ch->cmd, ATA_ERROR) : 0;
	bool again = true;
	int code = -EIO;

	if (ob_device_gone(ch->ide->dev)) {
		ide_fail_all(ch, -ENODEV);
		return;
	}
	ob_device_log(ch->ide->dev, OB_LOG_INFO,
		      "%s: command failed: status %02x, error %02x, bus master %02x",
		      disk->blk.name, status, error, bm);
	if (status & ATA_ERR)
		code = decode_error(error, &again);
	else if (status & ATA_DF)
		again = false;	   /* device fault: no retry cures it */
	else if (!(bm & BM_ERROR)) /* neither of both says why */
		count(&disk->stats.bad_completions, 1);

	/*
	 * Data that nobody fetches, or a bus master that waits for more of it, means that device and
	 * driver disagree on where they are: start over [ATA, DMA command protocol].
	 */
	ch->status = code;
	if (status & ATA_DRQ || bm & BM_ACTIVE) {
		reset(ch);
		return;
	}
	ch->state = IDE_IDLE;
	if (again && ++ch->tries < IDE_TRIES)
		issue(ch);
	else if (ch->nr_cur > 1)
		take_apart(ch);
	else
		finish_current(ch, code);
}

/* Some chips keep a copy of the interrupt that must be cleared apart (see struct ide_chip). */
static void clear_latch(struct ide_channel *ch)
{
	const struct ide_chip *chip = ch->ide->chip;
	uint8_t reg = chip->latch_reg[ch->index];

	if (reg)
		ob_config_write(ch->ide->dev, reg, 1,
				ob_config_read(ch->ide->dev, reg, 1) | chip->latch_bit[ch->index]);
}

bool ide_poll(struct ide_channel *ch)
{
	uint8_t bm, status;

	if (ch->state != IDE_BUSY) {
		/* Nothing will come back from a reset then. */
		if (ch->state == IDE_RESET && ob_device_gone(ch->ide->dev))
			ide_fail_all(ch, -ENODEV);
		return false;
	}
	bm = ide_in(&ch->bm, BM_STATUS);
	if (!(bm & BM_INTERRUPT))
		return false;
	/* The interrupt bit is latched by an edge, so the line goes down before it is cleared [PIIX, BMISTA]. */
	status = ide_in(&ch->cmd, ATA_STATUS);
	if (ob_unlikely(status & ATA_BSY)) {
		/* Not at its end. All ones come from a device that is gone, or from nowhere. */
		if (ob_device_gone(ch->ide->dev)) {
			ide_fail_all(ch, -ENODEV);
			return true;
		}
		count(&disk_of(ch->cur[0])->stats.bad_completions, 1);
		return false;
	}
	if (ch->nr_prd)
		ide_out(&ch->bm, BM_COMMAND, ch->direction); /* stop */
	ide_out(&ch->bm, BM_STATUS, (bm & BM_CAPABLE) | BM_ERROR | BM_INTERRUPT);
	if (ob_unlikely(ch->ide->chip->latch_reg[ch->index]))
		clear_latch(ch);
	ob_rmb(); /* payload after the register that says it is there */

	if (ob_likely((status & (ATA_DRDY | ATA_DF | ATA_DRQ | ATA_ERR)) == ATA_DRDY &&
		      !(bm & (BM_ERROR | BM_ACTIVE)))) {
		OB_FAULT_POINT("ide.end-seen");
		ch->state = IDE_IDLE;
		finish_current(ch, 0);
		OB_FAULT_POINT("ide.end-taken");
	} else {
		command_failed(ch, bm, status);
	}
	return true;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void command_late(struct ide_channel *ch)
{
	struct ide_disk *disk = disk_of(ch->cur[0]);

	/* It may have ended, and its interrupt be lost. */
	if (ide_poll(ch)) {
		ob_device_log(ch->ide->dev, OB_LOG_WARN, "%s: an interrupt was lost",
			      disk->blk.name);
		return;
	}
	if (ob_device_gone(ch->ide->dev)) {
		ide_fail_all(ch, -ENODEV);
		return;
	}
	count(&disk->stats.timeouts, 1);
	ch->status = -ETIMEDOUT;
	reset(ch);
}

void ide_tick(struct ide_channel *ch, uint64_t now)
{
	uint64_t limit = ch->timeout_ms * 1000000ull;

	if (ch->state == IDE_DEAD)
		return;
	if (ob_device_gone(ch->ide->dev)) {
		ide_fail_all(ch, -ENODEV);
		return;
	}
	if (ch->state == IDE_BUSY) {
		if (ch->cur[0]->op == OB_BLOCK_FLUSH)
			limit *= FLUSH_FACTOR;
		if (ch->seen_seq != ch->seq) {
			ch->seen_seq = ch->seq;
			ch->since_ns = now;
		} else if (now > ch->since_ns && now - ch->since_ns >= limit) {
			/* Not ">" alone: the other disk's thread may have looked at the clock later. */
			command_late(ch);
		}
	} else if (ch->state == IDE_RESET) {
		if (!ch->reset_ns)
			ch->reset_ns = now;
		reset_poll(ch);
		if (ch->state == IDE_RESET && now > ch->reset_ns &&
		    now - ch->reset_ns >= RESET_TIMEOUT_NS) {
			ob_device_log(ch->ide->dev, OB_LOG_ERROR,
				      "channel %u does not come back from its reset", ch->index);
			ide_fail_all(ch, -EIO);
		}
	}
	ide_start_next(ch);
}

/* A disk's requests leave the FIFO; the other disk's stay in their order. */
static void cancel_waiting(struct ide_disk *disk)
{
	struct ide_channel *ch = disk->ch;
	uint32_t keep = ch->head;

	for (uint32_t i = ch->head; i != ch->tail; i++) {
		struct ob_block_req *req = ch->fifo[i % IDE_FIFO];

		if (disk_of(req) == disk)
			finish(req, -ECANCELED);
		else
			ch->fifo[keep++ % IDE_FIFO] = req;
	}
	ch->tail = keep;
}

void ide_cancel(struct ide_disk *disk)
{
	struct ide_channel *ch = disk->ch;
	uint64_t deadline = ob_clock_ns() + ch->timeout_ms * 1000000ull;

	/* Those that the device has not seen. */
	cancel_waiting(disk);

	/* The one that it has: best let it end. */
	while (ch->state == IDE_BUSY && disk_of(ch->cur[0]) == disk) {
		if (ide_poll(ch))
			continue; /* through, or with the device again */
		if (ob_device_gone(ch->ide->dev)) {
			ide_fail_all(ch, -ENODEV);
		} else if (ob_clock_ns() >= deadline) {
			ch->status = -ECANCELED;
			ch->tries = IDE_TRIES; /* not again */
			reset(ch);
		} else {
			usleep(100);
		}
	}
	/* What an error took apart, or a reset holds: the bus master is stopped, nothing moves. */
	cancel_waiting(disk);
	if (ch->nr_cur && disk_of(ch->cur[0]) == disk)
		finish_current(ch, -ECANCELED);
}
