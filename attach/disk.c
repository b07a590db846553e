/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of clients against one ob_block: cut to what the device takes, submitted in bursts, put
 * together again. Contract: attach/disk.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attach/disk.h"

enum {
	/*
	 * Payload memory: enough for 64 requests of 256 KiB, a quarter of the default arena. Where the
	 * arena is fuller than that, half is tried, down to what two of the longest requests need.
	 */
	MEMORY_DEFAULT = 16 << 20,
	MEMORY_MIN = 4 << 20,
	DEPTH_DEFAULT = 128,
	/* Zeroes that are written at once, where they have to be. */
	ZERO_MEMORY = 64 << 10,
};

#define MEMORY_MAX (1ull << 30)

void disk_log(const struct disk *d, enum ob_log_level level, const char *fmt, ...)
{
	struct ob_device *dev = d->blk->dev;
	char line[512];
	va_list ap;
	int n;

	if (!dev->log)
		return;
	n = snprintf(line, sizeof(line), "%s: ", d->blk->name);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	dev->log(dev->log_arg, level, line);
}

void disk_stats(const struct disk *d, struct ob_attach_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&d->stats;
	uint64_t *to = (uint64_t *)stats;

	_Static_assert(sizeof(*stats) % sizeof(uint64_t) == 0, "only counters");
	for (size_t i = 0; i < sizeof(*stats) / sizeof(uint64_t); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

/* ---- parts ----------------------------------------------------------------------- */

static uint64_t longest(const struct disk *d, uint8_t op)
{
	switch (op) {
	case OB_BLOCK_DISCARD:
		return d->max_discard;
	case OB_BLOCK_WRITE_ZEROES:
		return d->max_zeroes;
	default:
		return d->max_transfer;
	}
}

/* Has it parts that were not made yet? After an error no more are. */
static bool has_more(const struct disk_request *rq)
{
	return !rq->status && (rq->given < rq->len || rq->flush);
}

static void enqueue(struct disk *d, struct disk_request *rq)
{
	rq->link = NULL;
	rq->queued = true;
	if (d->last)
		d->last->link = rq;
	else
		d->first = rq;
	d->last = rq;
}

static void dequeue(struct disk *d)
{
	struct disk_request *rq = d->first;

	d->first = rq->link;
	if (!d->first)
		d->last = NULL;
	rq->queued = false;
}

/* One of its parts has ended, or it has none: more are to be given, or it has ended, or its flush comes. */
static void settle(struct disk *d, struct disk_request *rq)
{
	if (rq->queued)
		return;
	if (has_more(rq)) {
		enqueue(d, rq);
		return;
	}
	if (rq->active)
		return;
	if (!rq->status && rq->flush_after) {
		rq->flush_after = false;
		rq->flush = true;
		enqueue(d, rq);
		return;
	}
	d->ops->done(d->front, rq);
}

/* The next part's memory, and how much of it is contiguous. */
static char *next_piece(struct disk_request *rq, uint64_t *max)
{
	const struct iovec *iov = rq->iov;
	char *buf = (char *)iov->iov_base + rq->iov_given;

	if (*max > iov->iov_len - rq->iov_given)
		*max = iov->iov_len - rq->iov_given;
	return buf;
}

static void advance(struct disk_request *rq, uint32_t len)
{
	rq->given += len;
	if (!rq->iov)
		return;
	rq->iov_given += len;
	if (rq->iov_given == rq->iov->iov_len) {
		rq->iov++;
		rq->iov_given = 0;
	}
}

static void make_part(struct disk *d, struct disk_request *rq)
{
	unsigned int slot = (unsigned int)__builtin_ctz(~(unsigned int)rq->active);
	struct ob_block_req *part = &rq->part[slot];
	uint64_t left = rq->len - rq->given, max = longest(d, rq->op);

	part->user = rq;
	part->status = 0;
	part->map = NULL;
	if (rq->given < rq->len) {
		part->op = rq->op;
		part->flags = rq->flags;
		part->offset = rq->offset + rq->given;
		part->buf = rq->buf ? rq->buf + rq->given : NULL;
		if (rq->iov)
			part->buf = next_piece(rq, &max);
		if (d->zero && rq->op == OB_BLOCK_WRITE_ZEROES) {
			part->op = OB_BLOCK_WRITE;
			part->flags &= (uint8_t)~OB_BLOCK_MAY_UNMAP;
			part->buf = d->zero;
		}
		part->len = (uint32_t)(left < max ? left : max);
		advance(rq, part->len);
		if (ob_unlikely(rq->flags & OB_BLOCK_MAPPED))
			part->iova = ob_iova_add(rq->iova, part->offset - rq->offset);
	} else {
		part->op = OB_BLOCK_FLUSH;
		part->flags = 0;
		part->offset = 0;
		part->len = 0;
		part->buf = NULL;
		rq->flush = false;
	}
	rq->active |= (uint8_t)(1u << slot);
	d->burst[d->nr_burst++] = part;
}

static void fill_burst(struct disk *d)
{
	struct disk_request *rq;

	while (d->nr_burst < DISK_BURST && (rq = d->first)) {
		if (has_more(rq) && rq->active != (1u << DISK_PARTS) - 1) {
			make_part(d, rq);
			continue;
		}
		dequeue(d);
		if (!rq->active)
			settle(d, rq);
	}
}

void disk_submit(struct disk *d)
{
	for (;;) {
		unsigned int n, taken;

		fill_burst(d);
		n = d->nr_burst;
		if (!n)
			return;
		taken = ob_block_submit(d->blk, d->queue, d->burst, n);
		d->inflight += taken;
		d->nr_burst = n - taken;
		if (ob_unlikely(d->nr_burst)) {
			/* The queue is full: the rest goes first when something has ended. */
			memmove(d->burst, d->burst + taken, d->nr_burst * sizeof(d->burst[0]));
			return;
		}
	}
}

void disk_start(struct disk *d, struct disk_request *rq)
{
	rq->status = 0;
	rq->active = 0;
	rq->given = 0;
	rq->iov_given = 0;
	rq->flush = false;
	rq->flush_after = false;
	if (rq->op == OB_BLOCK_FLUSH) {
		rq->len = 0;
		rq->flags = 0;
		/* Without a volatile cache there is nothing to flush. */
		if (d->flush)
			rq->flush = true;
		else if (d->blk->limits.volatile_cache)
			rq->status = -EOPNOTSUPP;
	} else if ((rq->flags & OB_BLOCK_FUA) && (!d->fua || rq->op == OB_BLOCK_DISCARD)) {
		rq->flags &= (uint8_t)~OB_BLOCK_FUA;
		rq->flush_after = d->flush;
	}
	if (!longest(d, rq->op))
		rq->status = -EOPNOTSUPP;
	enqueue(d, rq);
}

bool disk_can_fua(const struct disk *d)
{
	return d->fua || d->flush || !d->blk->limits.volatile_cache;
}

/* ---- the disk's source ----------------------------------------------------------- */

static void end_part(struct disk *d, struct ob_block_req *part)
{
	struct disk_request *rq = part->user;

	d->inflight--;
	rq->active &= (uint8_t) ~(1u << (part - rq->part));
	if (ob_unlikely(part->status) && !rq->status)
		rq->status = part->status;
	settle(d, rq);
}

/* Up to @max parts that have ended at the device. */
static unsigned int collect(struct disk *d, unsigned int max)
{
	struct ob_block_req *got[DISK_BURST];
	unsigned int n;

	n = ob_block_complete(d->blk, d->queue, got, max < DISK_BURST ? max : DISK_BURST);
	for (unsigned int i = 0; i < n; i++)
		end_part(d, got[i]);
	return n;
}

static unsigned int disk_poll(void *arg, unsigned int budget)
{
	struct disk *d = arg;
	unsigned int n = collect(d, budget);

	if (n) {
		d->ops->batch_end(d->front);
		disk_submit(d);
	}
	return n;
}

static bool disk_arm(void *arg, bool on)
{
	struct disk *d = arg;

	if (!d->blk->ops->irq_arm)
		return false;
	return d->blk->ops->irq_arm(d->blk, d->queue, on);
}

static void disk_tick(void *arg, uint64_t now_ns)
{
	struct disk *d = arg;

	if (d->blk->ops->tick)
		d->blk->ops->tick(d->blk, now_ns);
}

/* ---- open and close -------------------------------------------------------------- */

static int open_payload(struct disk *d, uint64_t memory, bool asked, struct ob_error *err)
{
	uint64_t want = memory;
	int rc;

	for (;;) {
		rc = payload_open(&d->payload, d->blk->dma, want);
		if (rc != -ENOSPC || asked || want / 2 < MEMORY_MIN)
			break;
		want /= 2;
	}
	if (!rc)
		return 0;
	ob_error_set(err, rc, "%s: no %" PRIu64 " KiB of payload memory in the device's arena",
		     d->blk->name, want >> 10);
	ob_error_why(err, "the arena has %" PRIu64 " KiB", d->blk->dma->size >> 10);
	ob_error_fix(err,
		     "give the device a larger arena (arena=128M in its specification), or the "
		     "attachment less (memory=%uM)",
		     MEMORY_MIN >> 20);
	return rc;
}

int disk_open(struct disk *d, struct ob_block *blk, struct ob_spec_part *part, struct ob_loop *loop,
	      unsigned int max_depth, const struct disk_ops *ops, void *front, struct ob_error *err)
{
	const struct ob_block_limits *l = &blk->limits;
	uint32_t whole = ~(l->block_size - 1);
	uint64_t memory = MEMORY_DEFAULT, depth = 0;
	bool asked;
	int rc;

	memset(d, 0, sizeof(*d));
	d->blk = blk;
	d->ops = ops;
	d->front = front;
	d->loop = loop;
	/* A loop is one thread, and a queue belongs to one: more queues would not be faster. */
	d->queue = 0;

	rc = ob_spec_get_u64(part, "depth", 1, max_depth, &depth, err);
	if (rc)
		return rc;
	asked = ob_spec_get(part, "memory") != NULL;
	rc = ob_spec_get_u64(part, "memory", MEMORY_MIN, MEMORY_MAX, &memory, err);
	if (rc)
		return rc;
	d->depth = depth		       ? (unsigned int)depth
		   : max_depth < DEPTH_DEFAULT ? max_depth
					       : DEPTH_DEFAULT;

	/*
	 * Only who starts a disk may attach it: its completions come to one place, so a second attachment
	 * would get those of the first.
	 */
	rc = ob_block_start(blk, err);
	if (rc == -EBUSY) {
		ob_error_set(err, rc, "%s is in use in this process already", blk->name);
		ob_error_fix(err, "attach each disk once");
	}
	if (rc)
		return rc;

	d->fua = ob_block_can_fua(blk);
	d->flush = ob_block_can_flush(blk);
	d->discard = ob_block_can_discard(blk);
	d->zeroes = ob_block_can_write_zeroes(blk);
	d->max_transfer = l->max_transfer & whole;
	d->max_discard = d->discard ? l->max_discard & whole : 0;
	d->max_zeroes = d->zeroes ? l->max_zeroes & whole : 0;

	rc = open_payload(d, memory, asked, err);
	if (rc)
		goto stop;
	rc = ob_loop_add(loop, &(struct ob_loop_source){
				       .name = "disk",
				       .poll = disk_poll,
				       .arm = disk_arm,
				       .tick = disk_tick,
				       .arg = d,
				       .fd = blk->irq_fd[d->queue],
			       });
	if (rc) {
		ob_error_set(err, rc, "%s: cannot be added to the loop: %s", blk->name,
			     strerror(-rc));
		goto close_payload;
	}
	return 0;

close_payload:
	payload_close(&d->payload);
stop:
	ob_block_stop(blk);
	return rc;
}

void disk_zero_by_writing(struct disk *d)
{
	if (d->zeroes || d->blk->limits.read_only)
		return;
	/* Nothing is given out yet: it cannot fail with what disk_open() asks for at least. */
	d->zero = payload_get(&d->payload, ZERO_MEMORY);
	if (!d->zero)
		return;
	memset(d->zero, 0, ZERO_MEMORY);
	d->zeroes = true;
	d->max_zeroes = d->max_transfer < ZERO_MEMORY ? d->max_transfer : ZERO_MEMORY;
}

void disk_close(struct disk *d)
{
	ob_loop_remove(d->loop, d);
	/* Afterwards every part that was at the device, or comes now, ends with -ECANCELED. */
	ob_block_stop(d->blk);
	do
		disk_submit(d);
	while (collect(d, DISK_BURST));
	payload_close(&d->payload);
}
