/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * class/block: checks every request before a driver sees it, finds the address of its buffer for the
 * device (one subtraction in the arena, a mapping or a bounce buffer elsewhere), and gives requests
 * that are wrong back in order of their own. Contract: include/outboard/block.h.
 *
 * The state of a queue belongs to the queue's thread. Nothing here allocates per request, but for a
 * buffer that needs a bounce buffer of the class's own (see map_buffer()).
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/block.h>

#include "access/faultpoint.h"
#include "class/verify.h"

/* enum ob_block_op has five values; the next power of two, so that an index is only masked. */
#define OP_SLOTS 8
/* Times of submission that are told apart, see ob_block_oldest(). */
#define EPOCHS 8

/*
 * A mapping of a buffer that cannot be used in place.
 * @bounce: arena memory of the class's own, for a buffer whose address is not aligned to dma_align:
 *	ob_dma_map() keeps the offset in the page, so a mapping of it would be as misaligned
 * @buf: where the bounce buffer's content goes, NULL when @m is what is mapped
 */
struct block_map {
	struct ob_dma_mapping m; /* first: a request points to it */
	struct block_map *next;
	void *bounce;
	ob_iova bounce_iova;
	size_t bounce_size;
	void *buf;
};

struct op_count {
	uint64_t requests, bytes;
};

struct block_queue {
	/* the common path's */
	uint32_t inflight;
	uint32_t depth;
	struct op_count op[OP_SLOTS];
	uint64_t polls, empty_polls;
	uint32_t since[EPOCHS]; /* in flight, by the epoch in which they were submitted */

	struct block_map *free;
	struct block_map *maps; /* @depth of them */
	uint32_t mapped;
	uint64_t errors;
	uint64_t irqs;
} __attribute__((aligned(64)));

struct block_class {
	/* What the common path compares with, copied once so that it is in one cache line. */
	uintptr_t arena;
	uint64_t direct; /* bytes of the arena that are used in place; 0 when none may be */
	uint64_t arena_iova;
	uint64_t size;
	/* No transfer that begins below these ends outside of the disk, or of direct. */
	uint64_t near_end, direct_near_end;
	uint32_t unit_mask; /* block size - 1 */
	uint32_t max_transfer;
	uint32_t align_mask;
	uint32_t
		direct_ops; /* largest op without flags that needs no further look: WRITE, or READ */
	uint32_t nr_queues;
	uint32_t epoch; /* index of the current one */
	bool fua, flush, discard, zeroes;
	bool by_buffer; /* it asks another disk, whose class finds the address */
	uint64_t epoch_began[EPOCHS];
	struct block_queue queue[];
};

/*
 * Counters have one writer, the queue's thread, and readers in any thread: a relaxed load and store
 * keep them whole without a locked instruction.
 */
static inline void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t count_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- capability questions -------------------------------------------------------- */

bool ob_block_can_fua(struct ob_block *blk)
{
	return blk->ops->can_fua && blk->ops->can_fua(blk);
}

bool ob_block_can_flush(struct ob_block *blk)
{
	return blk->ops->can_flush && blk->ops->can_flush(blk);
}

/* A limit of 0 says no, too: nothing could be asked for. */
bool ob_block_can_discard(struct ob_block *blk)
{
	return blk->limits.max_discard && blk->ops->can_discard && blk->ops->can_discard(blk);
}

bool ob_block_can_write_zeroes(struct ob_block *blk)
{
	return blk->limits.max_zeroes && blk->ops->can_write_zeroes &&
	       blk->ops->can_write_zeroes(blk);
}

bool ob_block_can_multi_conn(struct ob_block *blk)
{
	return blk->ops->can_multi_conn && blk->ops->can_multi_conn(blk);
}

/* ---- start and stop -------------------------------------------------------------- */

static bool power_of_two(uint64_t x)
{
	return x && !(x & (x - 1));
}

static int check_limits(const struct ob_block *blk, struct ob_error *err)
{
	const struct ob_block_limits *l = &blk->limits;
	const char *bad = NULL;

	if (!blk->ops->submit || !blk->ops->complete)
		bad = "no submit or complete";
	else if (!power_of_two(l->block_size) || l->block_size < 512)
		bad = "a block size that is not a power of two of at least 512";
	else if (!l->size || l->size % l->block_size || l->size > INT64_MAX)
		bad = "a size that is 0, too large, or not a multiple of the block size";
	else if (l->max_transfer < l->block_size)
		bad = "a longest transfer below one block";
	else if (!power_of_two(l->dma_align))
		bad = "a DMA alignment that is not a power of two";
	else if (!l->queues || l->queues > OB_BLOCK_QUEUES || !l->depth)
		bad = "no queue, too many, or a queue without depth";
	if (!bad)
		return 0;
	ob_error_set(err, -EINVAL, "cannot start disk %s", blk->name);
	ob_error_why(err, "driver %s gives it %s", blk->driver ? blk->driver : "?", bad);
	return -EINVAL;
}

static void free_maps(struct ob_block *blk, struct block_queue *q)
{
	for (uint32_t i = 0; q->maps && i < q->depth; i++)
		ob_dma_free(blk->dma, q->maps[i].bounce);
	free(q->maps);
}

static void free_class(struct ob_block *blk, struct block_class *c)
{
	for (uint32_t i = 0; i < c->nr_queues; i++)
		free_maps(blk, &c->queue[i]);
	free(c);
}

static int create_class(struct ob_block *blk, struct block_class **cp)
{
	const struct ob_block_limits *l = &blk->limits;
	struct block_class *c;
	size_t size = sizeof(*c) + l->queues * sizeof(struct block_queue);

	/* Whole lines (aligned_alloc wants a multiple), so that queues do not share any. */
	size = (size + 63) & ~(size_t)63;
	c = aligned_alloc(64, size);
	if (!c)
		return -ENOMEM;
	memset(c, 0, size);
	c->nr_queues = l->queues;
	c->arena = (uintptr_t)blk->dma->base;
	c->arena_iova = blk->dma->iova;
	c->by_buffer = blk->ops == &verify_ops;
	/* Other policies open pages only between map and unmap, so arena memory is mapped, too. */
	if (ob_dma_policy(blk->dma) == OB_DMA_POOLED && !c->by_buffer)
		c->direct = blk->dma->size;
	c->size = l->size;
	c->unit_mask = l->block_size - 1;
	c->max_transfer = l->max_transfer;
	if (l->size > l->max_transfer)
		c->near_end = l->size - l->max_transfer;
	if (c->direct > l->max_transfer)
		c->direct_near_end = c->direct - l->max_transfer;
	c->align_mask = l->dma_align - 1;
	c->direct_ops = l->read_only ? OB_BLOCK_READ : OB_BLOCK_WRITE;
	c->fua = ob_block_can_fua(blk);
	c->flush = ob_block_can_flush(blk);
	c->discard = ob_block_can_discard(blk);
	c->zeroes = ob_block_can_write_zeroes(blk);
	for (uint32_t i = 0; i < l->queues; i++) {
		struct block_queue *q = &c->queue[i];

		q->depth = l->depth;
		q->maps = calloc(l->depth, sizeof(*q->maps));
		if (!q->maps) {
			free_class(blk, c);
			return -ENOMEM;
		}
		for (uint32_t j = 0; j < l->depth; j++) {
			q->maps[j].next = q->free;
			q->free = &q->maps[j];
		}
	}
	*cp = c;
	return 0;
}

int ob_block_start(struct ob_block *blk, struct ob_error *err)
{
	struct block_class *c;
	int rc;

	if (blk->class_priv)
		return ob_error_set(err, -EBUSY, "disk %s is started already", blk->name);
	rc = check_limits(blk, err);
	if (rc)
		return rc;
	if (ob_device_gone(blk->dev))
		return ob_error_set(err, -ENODEV, "disk %s: its device is gone", blk->name);
	rc = OB_FAULT_ERROR("block.start");
	if (!rc)
		rc = create_class(blk, &c);
	if (rc)
		return ob_error_set(err, rc, "no memory for the queues of disk %s", blk->name);
	if (blk->ops->start) {
		rc = blk->ops->start(blk, err);
		if (rc) {
			free_class(blk, c);
			return rc;
		}
	}
	blk->class_priv = c;
	OB_FAULT_POINT("block.started");
	return 0;
}

/* ---- requests that end without the driver ---------------------------------------- */

/*
 * A list per queue, linked through req->priv, which is the driver's only while it has the request:
 * so any number of wrong requests can wait to be collected.
 */
static void end_request(struct ob_block *blk, unsigned int queue, struct ob_block_req *req,
			int status)
{
	req->status = (int16_t)status;
	req->map = NULL;
	req->priv = (uint64_t)(uintptr_t)blk->ended[queue];
	blk->ended[queue] = req;
}

static unsigned int take_ended(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			       unsigned int n)
{
	unsigned int done = 0;

	while (done < n && blk->ended[queue]) {
		struct ob_block_req *req = blk->ended[queue];

		blk->ended[queue] = (struct ob_block_req *)(uintptr_t)req->priv;
		req->priv = 0;
		reqs[done++] = req;
	}
	return done;
}

/* ---- buffers that cannot be used in place ---------------------------------------- */

static int grow_bounce(struct ob_block *blk, struct block_map *bm, size_t len)
{
	/* Whole pages; the next request of this slot may be a little longer. */
	size_t size = (len + 4095) & ~(size_t)4095;

	if (bm->bounce_size >= len)
		return 0;
	ob_dma_free(blk->dma, bm->bounce);
	bm->bounce_size = 0;
	bm->bounce = ob_dma_alloc(blk->dma, size, 4096, "block bounce", &bm->bounce_iova);
	if (!bm->bounce)
		return -ENOSPC;
	bm->bounce_size = size;
	return 0;
}

static int map_buffer(struct ob_block *blk, struct block_class *c, struct block_queue *q,
		      struct ob_block_req *req)
{
	enum ob_dma_dir dir = req->op == OB_BLOCK_READ ? OB_DMA_FROM_DEVICE : OB_DMA_TO_DEVICE;
	struct block_map *bm = q->free;
	int rc;

	if (!bm)
		return -ENOSPC;
	if (!((uintptr_t)req->buf & c->align_mask)) {
		rc = ob_dma_map(blk->dma, req->buf, req->len, dir, &bm->m);
		if (rc)
			return rc;
		bm->buf = NULL;
		req->iova = bm->m.iova;
		if (bm->m.way == OB_DMA_WAY_BOUNCE)
			count_add(&blk->bounced, 1);
	} else {
		rc = grow_bounce(blk, bm, req->len);
		if (rc)
			return rc;
		bm->buf = req->buf;
		req->iova = bm->bounce_iova;
		if (dir == OB_DMA_TO_DEVICE)
			memcpy(bm->bounce, req->buf, req->len);
		else /* A device that writes less must not show what was here before. */
			memset(bm->bounce, 0, req->len);
		count_add(&blk->bounced, 1);
	}
	q->free = bm->next;
	q->mapped++;
	req->map = &bm->m;
	return 0;
}

/* @copy: the request went through the device, so that a read's data go to the caller */
static void unmap_buffer(struct block_queue *q, struct ob_block_req *req, bool copy)
{
	struct block_map *bm = (struct block_map *)req->map;

	if (bm->buf) {
		if (copy && req->op == OB_BLOCK_READ)
			memcpy(bm->buf, bm->bounce, req->len);
		bm->buf = NULL;
	} else if (ob_dma_unmap(&bm->m)) {
		/* Only when the mapping was not mapped: then nothing was transferred either. */
		req->status = -EIO;
	}
	bm->next = q->free;
	q->free = bm;
	q->mapped--;
	req->map = NULL;
}

/* ---- submit ---------------------------------------------------------------------- */

/* Everything that makes a request wrong, in the order in which the statuses are promised. */
static int check_request(const struct ob_block *blk, const struct block_class *c,
			 const struct ob_block_req *req)
{
	unsigned int allowed = 0;
	uint64_t max;

	switch (req->op) {
	case OB_BLOCK_READ:
		max = c->max_transfer;
		allowed = OB_BLOCK_MAPPED;
		break;
	case OB_BLOCK_WRITE:
		max = c->max_transfer;
		allowed = OB_BLOCK_FUA | OB_BLOCK_MAPPED;
		break;
	case OB_BLOCK_FLUSH:
		if (req->flags)
			return -EINVAL;
		return c->flush ? 0 : -EOPNOTSUPP;
	case OB_BLOCK_DISCARD:
		if (!c->discard)
			return -EOPNOTSUPP;
		max = blk->limits.max_discard;
		break;
	case OB_BLOCK_WRITE_ZEROES:
		if (!c->zeroes)
			return -EOPNOTSUPP;
		max = blk->limits.max_zeroes;
		allowed = OB_BLOCK_FUA | OB_BLOCK_MAY_UNMAP;
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (req->flags & ~allowed)
		return -EINVAL;
	if ((req->flags & OB_BLOCK_FUA) && !c->fua)
		return -EOPNOTSUPP;
	if (blk->limits.read_only && req->op != OB_BLOCK_READ)
		return -EROFS;
	if (!req->len || req->len > max || ((req->offset | req->len) & c->unit_mask))
		return -EINVAL;
	if (req->offset > c->size || req->len > c->size - req->offset)
		return -ERANGE;
	if (req->op <= OB_BLOCK_WRITE && !req->buf)
		return -EINVAL;
	if ((req->flags & OB_BLOCK_MAPPED) && (req->iova.addr & c->align_mask))
		return -EINVAL;
	return 0;
}

/*
 * A request that is not a plain READ or WRITE of aligned arena memory.
 *
 * Return: 0 for the driver to take; -EAGAIN when it cannot be taken now; another negative value is the
 * request's status.
 */
static __attribute__((noinline)) int prepare_slow(struct ob_block *blk, struct block_class *c,
						  struct block_queue *q, struct ob_block_req *req)
{
	uint64_t off = (uintptr_t)req->buf - c->arena;
	int rc = check_request(blk, c, req);

	if (rc)
		return rc;
	req->map = NULL;
	if (req->op > OB_BLOCK_WRITE || (req->flags & OB_BLOCK_MAPPED) || c->by_buffer)
		return 0;
	if (off < c->direct && req->len <= c->direct - off && !(off & c->align_mask)) {
		req->iova.addr = c->arena_iova + off;
		return 0;
	}
	rc = map_buffer(blk, c, q, req);
	/* Full for now: when one of this queue's own mappings ends there will be room again. */
	if (rc == -ENOSPC)
		return q->mapped ? -EAGAIN : -ENOMEM;
	return rc;
}

/*
 * Is it a plain READ or WRITE of aligned arena memory, and not near the end of disk or arena? Nearly all
 * requests are. The bounds are those of the longest transfer, which takes one comparison each where the
 * exact ones take three; what lies behind them is looked at by prepare_slow().
 */
static inline bool prepare_direct(const struct block_class *c, struct ob_block_req *req,
				  uint32_t epoch)
{
	uint32_t len = req->len;
	uint64_t off;

	/* len - 1: a length of 0 wraps to the largest. */
	if (ob_unlikely((req->op | (uint32_t)req->flags << 8) > c->direct_ops) ||
	    ob_unlikely(((uint32_t)req->offset | len) & c->unit_mask) ||
	    ob_unlikely(len - 1 >= c->max_transfer) || ob_unlikely(req->offset >= c->near_end))
		return false;
	off = (uintptr_t)req->buf - c->arena;
	if (ob_unlikely(off >= c->direct_near_end) || ob_unlikely(off & c->align_mask))
		return false;
	req->iova.addr = c->arena_iova + off;
	req->map = NULL;
	req->epoch = epoch;
	return true;
}

static __attribute__((noinline)) unsigned int submit_to_none(struct ob_block *blk,
							     unsigned int queue,
							     struct ob_block_req **reqs,
							     unsigned int n, int status)
{
	if (queue >= OB_BLOCK_QUEUES)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		end_request(blk, queue, reqs[i], status);
	return n;
}

/*
 * Hand @n prepared requests to the driver.
 *
 * Return: how many it took; what it did not take is not mapped any more.
 */
static unsigned int pass_on(struct ob_block *blk, struct block_queue *q, unsigned int queue,
			    struct ob_block_req **reqs, unsigned int n, uint32_t epoch)
{
	unsigned int taken = n ? blk->ops->submit(blk, queue, reqs, n) : 0;

	OB_FAULT_POINT("block.submitted");
	q->inflight += taken;
	q->since[epoch] += taken;
	for (unsigned int i = taken; ob_unlikely(i < n); i++)
		if (reqs[i]->map)
			unmap_buffer(q, reqs[i], false);
	return taken;
}

unsigned int ob_block_submit(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			     unsigned int n)
{
	struct block_class *c = blk->class_priv;
	struct ob_block_req **first = reqs; /* of those that are prepared but not passed on */
	struct ob_block_req **req, **end;
	struct block_queue *q;
	unsigned int room, run;
	uint32_t epoch;
	int rc;

	if (ob_unlikely(!c))
		return submit_to_none(blk, queue, reqs, n, -ECANCELED);
	if (ob_unlikely(queue >= c->nr_queues))
		return 0;
	if (ob_unlikely(ob_device_gone(blk->dev)))
		return submit_to_none(blk, queue, reqs, n, -ENODEV);
	q = &c->queue[queue];
	epoch = c->epoch;
	/* No more than fit are looked at: so none is mapped in vain, and there is a mapping for each. */
	room = q->depth - q->inflight;
	end = reqs + (n < room ? n : room);
	for (req = reqs; req < end; req++) {
		if (ob_likely(prepare_direct(c, *req, epoch)))
			continue;
		rc = prepare_slow(blk, c, q, *req);
		(*req)->epoch = epoch;
		if (!rc)
			continue;
		if (rc == -EAGAIN)
			break;
		/* A wrong one: what is in front of it goes first, so that order holds. */
		run = (unsigned int)(req - first);
		first += pass_on(blk, q, queue, first, run, epoch);
		if (first < req)
			return (unsigned int)(first - reqs);
		end_request(blk, queue, *req, rc);
		count_add(&q->errors, 1);
		first = req + 1;
	}
	run = (unsigned int)(req - first);
	return (unsigned int)(first - reqs) + pass_on(blk, q, queue, first, run, epoch);
}

/* ---- complete -------------------------------------------------------------------- */

/* One that is not a READ of arena memory that succeeded. */
static void finish_request(struct block_queue *q, struct ob_block_req *req)
{
	if (req->map)
		unmap_buffer(q, req, true);
	if (req->status) {
		count_add(&q->errors, 1);
		return;
	}
	count_add(&q->op[req->op % OP_SLOTS].requests, 1);
	count_add(&q->op[req->op % OP_SLOTS].bytes, req->len);
}

/* op, flags and status in one load: all of them are 0 for a READ that succeeded. */
static inline bool is_good_read(const struct ob_block_req *req)
{
	uint32_t first;

	_Static_assert(offsetof(struct ob_block_req, op) == 0 && OB_BLOCK_READ == 0 &&
			       offsetof(struct ob_block_req, flags) == 1 &&
			       offsetof(struct ob_block_req, status) == 2 &&
			       sizeof(req->status) == 2,
		       "the first four bytes of a request");
	memcpy(&first, req, sizeof(first));
	return !first;
}

static unsigned int collect(struct ob_block *blk, struct block_queue *q, unsigned int queue,
			    struct ob_block_req **reqs, unsigned int n)
{
	unsigned int done = blk->ops->complete(blk, queue, reqs, n), others = 0;
	uint64_t read_bytes = 0;

	for (struct ob_block_req **end = reqs + done; reqs < end; reqs++) {
		struct ob_block_req *req = *reqs;

		/* The index is the class's own: a driver that ends what it never had must not write elsewhere. */
		q->since[req->epoch % EPOCHS]--;
		if (ob_likely(is_good_read(req) && !req->map)) {
			read_bytes += req->len;
		} else {
			finish_request(q, req);
			others++;
		}
	}
	count_add(&q->op[OB_BLOCK_READ].requests, done - others);
	count_add(&q->op[OB_BLOCK_READ].bytes, read_bytes);
	q->inflight -= done;
	/* The client does not know yet. */
	if (done)
		OB_FAULT_POINT("block.completed");
	return done;
}

unsigned int ob_block_complete(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			       unsigned int n)
{
	struct block_class *c = blk->class_priv;
	unsigned int done = 0;
	struct block_queue *q;

	if (ob_unlikely(queue >= (c ? c->nr_queues : OB_BLOCK_QUEUES)))
		return 0;
	if (ob_unlikely(blk->ended[queue] != NULL))
		done = take_ended(blk, queue, reqs, n);
	if (ob_unlikely(!c || done == n))
		return done;
	q = &c->queue[queue];
	done += collect(blk, q, queue, reqs + done, n - done);
	count_add(&q->polls, 1);
	if (!done)
		count_add(&q->empty_polls, 1);
	return done;
}

/* ---- ages -------------------------------------------------------------------------- */

static bool owed_since(const struct block_class *c, uint32_t epoch)
{
	for (uint32_t i = 0; i < c->nr_queues; i++)
		if (c->queue[i].since[epoch])
			return true;
	return false;
}

/*
 * A request costs a store when it is submitted and a decrement when it has ended; here, once in a while, is seen which epochs have
 * requests left. An epoch ends when it was a step long and the one that takes its place is empty, so that no epoch is ever two.
 */
uint64_t ob_block_oldest(struct ob_block *blk, uint64_t now_ns, uint64_t step_ns)
{
	struct block_class *c = blk->class_priv;
	uint32_t next;

	if (!c)
		return 0;
	if (!c->epoch_began[c->epoch])
		c->epoch_began[c->epoch] = now_ns;
	next = (c->epoch + 1) % EPOCHS;
	if (now_ns - c->epoch_began[c->epoch] >= step_ns && !owed_since(c, next)) {
		c->epoch = next;
		c->epoch_began[next] = now_ns;
	}
	/* From the oldest on. What was submitted in an epoch is at least as old as the next one's beginning. */
	for (uint32_t i = 1; i < EPOCHS; i++) {
		uint32_t epoch = (c->epoch + i) % EPOCHS;

		if (owed_since(c, epoch))
			return now_ns - c->epoch_began[(epoch + 1) % EPOCHS];
	}
	return 0;
}

/* ---- statistics ------------------------------------------------------------------ */

static void add_class_stats(const struct block_class *c, struct ob_block_stats *s)
{
	for (uint32_t i = 0; i < c->nr_queues; i++) {
		const struct block_queue *q = &c->queue[i];

		s->reads += count_get(&q->op[OB_BLOCK_READ].requests);
		s->writes += count_get(&q->op[OB_BLOCK_WRITE].requests);
		s->flushes += count_get(&q->op[OB_BLOCK_FLUSH].requests);
		s->discards += count_get(&q->op[OB_BLOCK_DISCARD].requests);
		s->zeroes += count_get(&q->op[OB_BLOCK_WRITE_ZEROES].requests);
		s->read_bytes += count_get(&q->op[OB_BLOCK_READ].bytes);
		s->write_bytes += count_get(&q->op[OB_BLOCK_WRITE].bytes);
		s->errors += count_get(&q->errors);
		s->irqs += count_get(&q->irqs);
		s->polls += count_get(&q->polls);
		s->empty_polls += count_get(&q->empty_polls);
	}
}

void ob_block_stats(struct ob_block *blk, struct ob_block_stats *stats)
{
	struct ob_block_stats own = {0};

	*stats = blk->past;
	stats->bounced = count_get(&blk->bounced);
	if (blk->class_priv)
		add_class_stats(blk->class_priv, stats);
	/* What only the driver can know; the rest is counted here, once for all drivers. */
	if (blk->ops->stats)
		blk->ops->stats(blk, &own);
	stats->timeouts += own.timeouts;
	stats->aborts += own.aborts;
	stats->resets += own.resets;
	stats->bad_completions += own.bad_completions;
	stats->doorbells += own.doorbells;
	stats->irqs += own.irqs;
}

void ob_block_stop(struct ob_block *blk)
{
	struct block_class *c = blk->class_priv;
	struct ob_block_req *reqs[32];
	unsigned int n;

	if (!c)
		return;
	OB_FAULT_POINT("block.stop");
	if (blk->ops->stop)
		blk->ops->stop(blk);
	OB_FAULT_POINT("block.stopped");
	/* All mappings end here: the requests themselves can be collected later. */
	for (uint32_t i = 0; i < c->nr_queues; i++)
		while ((n = collect(blk, &c->queue[i], i, reqs, 32)) > 0)
			for (unsigned int j = 0; j < n; j++)
				end_request(blk, i, reqs[j], reqs[j]->status);
	add_class_stats(c, &blk->past);
	blk->class_priv = NULL;
	free_class(blk, c);
}

/* ---- one request, waited for ----------------------------------------------------- */

enum {
	/* Enough that a device is busy while the next piece is prepared; small enough for a stack. */
	RW_PIECES = 8,
	/* Empty polls before it sleeps: a fast device answers within a few microseconds. */
	RW_SPINS = 200,
	RW_TICK_MS = 100,
};

struct rw_wait {
	unsigned int spins;
	uint64_t last_tick;
};

static void rw_tick(struct ob_block *blk, struct rw_wait *w)
{
	uint64_t now = ob_clock_ns();

	if (now - w->last_tick < RW_TICK_MS * 1000000u)
		return;
	w->last_tick = now;
	if (blk->ops->tick)
		blk->ops->tick(blk, now);
}

/* Nothing has ended: look again at once, later leave the processor, at last sleep. */
static void rw_wait(struct ob_block *blk, unsigned int queue, struct rw_wait *w)
{
	struct block_class *c = blk->class_priv;
	struct pollfd fds[2];
	uint64_t count;

	if (++w->spins < RW_SPINS)
		return;
	rw_tick(blk, w);
	if (blk->irq_fd[queue] < 0 || !blk->ops->irq_arm) {
		sched_yield();
		return;
	}
	if (blk->ops->irq_arm(blk, queue, true))
		return;
	fds[0] = (struct pollfd){.fd = blk->irq_fd[queue], .events = POLLIN};
	fds[1] = (struct pollfd){.fd = ob_device_removal_fd(blk->dev), .events = POLLIN};
	/* The descriptor is an eventfd: a read of what poll reported does not block. */
	if (poll(fds, 2, RW_TICK_MS) > 0 && (fds[0].revents & POLLIN) &&
	    read(fds[0].fd, &count, sizeof(count)) == (ssize_t)sizeof(count) && c)
		count_add(&c->queue[queue].irqs, count);
	blk->ops->irq_arm(blk, queue, false);
}

static uint64_t rw_piece(const struct ob_block *blk, enum ob_block_op op)
{
	const struct ob_block_limits *l = &blk->limits;
	uint64_t max = op == OB_BLOCK_DISCARD	     ? l->max_discard
		       : op == OB_BLOCK_WRITE_ZEROES ? l->max_zeroes
						     : l->max_transfer;

	return max & ~(uint64_t)(l->block_size - 1);
}

int ob_block_rw(struct ob_block *blk, unsigned int queue, enum ob_block_op op, unsigned int flags,
		uint64_t offset, void *buf, uint64_t len)
{
	struct ob_block_req req[RW_PIECES], *idle[RW_PIECES], *got[RW_PIECES];
	struct rw_wait w = {.last_tick = ob_clock_ns()};
	unsigned int nr_idle = 0, flying = 0, n;
	uint64_t pos = 0, piece = rw_piece(blk, op);
	bool pending = op == OB_BLOCK_FLUSH; /* a flush is one request of no length */
	int status = 0;

	if (queue >= blk->limits.queues)
		return -EINVAL;
	if (op == OB_BLOCK_FLUSH)
		len = 0;
	else if (!piece)
		return -EOPNOTSUPP;
	/* As a whole first, so that a range that ends outside of the disk changes nothing. */
	if (offset > blk->limits.size || len > blk->limits.size - offset)
		return -ERANGE;
	if ((offset | len) & (blk->limits.block_size - 1))
		return -EINVAL;
	for (unsigned int i = 0; i < RW_PIECES; i++)
		idle[nr_idle++] = &req[i];

	while (flying || (!status && (pending || pos < len))) {
		if (nr_idle && !status && (pending || pos < len)) {
			struct ob_block_req *r = idle[nr_idle - 1];
			uint64_t left = len - pos;

			*r = (struct ob_block_req){
				.op = (uint8_t)op,
				.flags = (uint8_t)flags,
				.offset = offset + pos,
				.len = (uint32_t)(left < piece ? left : piece),
				.buf = buf ? (char *)buf + pos : NULL,
			};
			if (ob_block_submit(blk, queue, &r, 1)) {
				nr_idle--;
				flying++;
				pos += r->len;
				pending = false;
				continue;
			}
		}
		n = ob_block_complete(blk, queue, got, RW_PIECES);
		for (unsigned int i = 0; i < n; i++) {
			if (got[i]->status && !status)
				status = got[i]->status;
			idle[nr_idle++] = got[i];
			flying--;
		}
		if (n)
			w.spins = 0;
		else
			rw_wait(blk, queue, &w);
	}
	return status;
}
