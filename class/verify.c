/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that asks another one, and checks what it says: class/verify.h. The driver may be wrong in any way but one: what is checked here is
 * seen through the same driver, so what two processes of it say is believed, and no single one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "class/verify_memory.h"

enum {
	DEPTH = VERIFY_DEPTH,
	/* What is read back at once. */
	PIECE = VERIFY_BLOCK,
	/* Zeroes that are asked for at once are read back piece by piece. */
	ZEROES_MOST = 16 << 20,
	/* Of so few blocks most may be spoilt without the driver's reading wrong. */
	FEW = 16,
	/* The unit in which devices transfer: none of it keeps what was in the buffer. */
	SECTOR = 512,
};

/*
 * A request that is under way.
 * @low: what the disk below has of it; one after the other for a write
 * @up: the client's
 * @at: next byte to be read back; @piece: the length of what is being read back, up to there
 */
struct verified {
	struct ob_block_req low;
	struct ob_block_req *up;
	uint64_t at;
	uint32_t piece;
	bool writes, reads_back;
	uint8_t *buf;
};

struct verify {
	struct ob_block blk; /* first */
	struct ob_block *below;
	struct ob_verify_options o;
	struct verify_memory m;
	struct verified request[DEPTH];
	uint32_t active, todo; /* a bit for each: under way; the disk below has not taken it yet */
	uint64_t poison;
	uint8_t *buf; /* DEPTH pieces */
	bool failed, stopping;
};

static struct verify *of(const struct ob_block *blk)
{
	return (struct verify *)(uintptr_t)blk;
}

/* Of its request, and of its write in the memory. */
static unsigned int number(const struct verify *v, const struct verified *s)
{
	return (unsigned int)(s - v->request);
}

/* ---- what is told -------------------------------------------------------------------------- */

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static __attribute__((format(printf, 2, 3))) void wrong(struct verify *v, const char *fmt, ...)
{
	struct ob_error err = {0};
	char what[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	v->failed = true;
	count(&v->m.header->stats.wrong);
	ob_error_set(&err, -EILSEQ, "disk %s: %s", v->blk.name, what);
	ob_error_why(&err, "driver %s had said that it did what it was asked",
		     v->blk.driver ? v->blk.driver : "?");
	if (v->o.wrong)
		v->o.wrong(v->o.arg, &err);
}

/* ---- comparisons --------------------------------------------------------------------------- */

/* Return: the block is what it is to be; else it is marked, and *@fresh counts it when no other process had seen that */
static bool compare(struct verify *v, uint64_t block, const void *buf, unsigned int *fresh)
{
	struct verify_entry e = verify_get(&v->m, block);

	if (e.state < VERIFY_KNOWN)
		return true;
	count(&v->m.header->stats.read);
	if (verify_sum(buf, v->m.block_size) == e.sum) {
		/* Who saw something else was wrong. */
		if (e.seen_by || e.state == VERIFY_LOST)
			verify_set(&v->m, block,
				   (struct verify_entry){.state = VERIFY_KNOWN, .sum = e.sum});
		return true;
	}
	if (e.state == VERIFY_KNOWN && !e.seen_by) {
		e.seen_by = v->m.process;
		verify_set(&v->m, block, e);
		(*fresh)++;
	}
	return false;
}

/* Seen by two processes, and not repaired when this one began: the content is gone. */
static void give_up(struct verify *v, uint64_t block)
{
	struct verify_entry e = verify_get(&v->m, block);

	if (e.state != VERIFY_KNOWN || e.seen_by == v->m.process)
		return;
	e.state = VERIFY_LOST;
	verify_set(&v->m, block, e);
	count(&v->m.header->stats.lost);
}

static void check_read(struct verify *v, struct ob_block_req *up)
{
	const uint32_t unit = v->m.block_size;
	const uint64_t first = up->offset / unit;
	unsigned int fresh = 0, bad = 0;
	uint64_t which = 0;

	for (uint32_t i = 0; i < up->len / unit; i++) {
		if (compare(v, first + i, (uint8_t *)up->buf + (size_t)i * unit, &fresh))
			continue;
		if (!bad++)
			which = first + i;
		if (!fresh)
			give_up(v, first + i);
	}
	if (fresh)
		wrong(v, "block %" PRIu64 " was read, and is not what was written", which);
	if (bad)
		up->status = -EIO;
}

/* Return: this block of a write is what was to be written */
static bool check_written(struct verify *v, struct verified *s, uint64_t block, const uint8_t *buf)
{
	const uint32_t sum = verify_sum(buf, v->m.block_size);

	count(&v->m.header->stats.written);
	if (sum != verify_awaited(&v->m, number(v, s), block))
		return false;
	verify_keep(&v->m, block, buf);
	verify_set(&v->m, block, (struct verify_entry){.state = VERIFY_KNOWN, .sum = sum});
	return true;
}

static bool check_piece(struct verify *v, struct verified *s)
{
	const uint32_t unit = v->m.block_size;
	const uint64_t first = (s->at - s->piece) / unit;

	for (uint32_t i = 0; i < s->piece / unit; i++) {
		if (check_written(v, s, first + i, s->buf + (size_t)i * unit))
			continue;
		wrong(v, "block %" PRIu64 " was written, and something else is there", first + i);
		return false;
	}
	return true;
}

/* ---- requests ------------------------------------------------------------------------------ */

static bool overlaps(const struct verify *v, const struct ob_block_req *up)
{
	bool writes = up->op != OB_BLOCK_READ;

	for (uint32_t left = v->active; left; left &= left - 1) {
		const struct verified *s = &v->request[__builtin_ctz(left)];

		if ((writes || s->writes) && up->offset < s->up->offset + s->up->len &&
		    s->up->offset < up->offset + up->len)
			return true;
	}
	return false;
}

static void forget(struct verify *v, const struct ob_block_req *up)
{
	const uint32_t unit = v->m.block_size;

	for (uint32_t i = 0; i < up->len / unit; i++)
		verify_set(&v->m, up->offset / unit + i, (struct verify_entry){0});
}

static void begin(struct verify *v, struct verified *s, struct ob_block_req *up)
{
	s->up = up;
	s->at = up->offset;
	s->reads_back = false;
	s->writes = up->op != OB_BLOCK_READ && up->op != OB_BLOCK_FLUSH;
	s->low = (struct ob_block_req){.op = up->op,
				       .flags = up->flags,
				       .len = up->len,
				       .offset = up->offset,
				       .buf = up->buf,
				       .iova = up->iova};
	if (up->op == OB_BLOCK_DISCARD)
		forget(v, up);
	else if (s->writes)
		verify_depart(&v->m, number(v, s), up->offset / v->m.block_size,
			      up->len / v->m.block_size, up->op == OB_BLOCK_WRITE ? up->buf : NULL);
}

/* Return: the request whose part this is; NULL: the driver has none like that */
static struct verified *request_of(struct verify *v, const struct ob_block_req *low)
{
	const uintptr_t at = (uintptr_t)low - (uintptr_t)v->request;
	const size_t i = at / sizeof(v->request[0]);

	if (at % sizeof(v->request[0]) || i >= DEPTH || !(v->active & 1u << i) ||
	    (v->todo & 1u << i))
		return NULL;
	return &v->request[i];
}

static void end(struct verify *v, struct verified *s)
{
	/* What is not over for the disk below, or was not done, is for whoever starts it next. */
	if (!v->stopping && !v->failed)
		verify_land(&v->m, number(v, s));
	v->active &= ~(1u << number(v, s));
}

static unsigned int verify_submit(struct ob_block *blk, unsigned int queue,
				  struct ob_block_req **reqs, unsigned int n)
{
	struct ob_block_req *low[DEPTH];
	struct verify *v = of(blk);
	unsigned int taken, i;

	for (i = 0; i < n && ~v->active && !overlaps(v, reqs[i]); i++) {
		struct verified *s = &v->request[__builtin_ctz(~v->active)];

		begin(v, s, reqs[i]);
		v->active |= 1u << number(v, s);
		low[i] = &s->low;
	}
	taken = i ? ob_block_submit(v->below, queue, low, i) : 0;
	while (i > taken) {
		end(v, request_of(v, low[--i]));
	}
	return taken;
}

/* What is in a buffer must not pass for what was read. */
static void spoil(struct verify *v, uint8_t *buf, uint32_t len)
{
	for (uint32_t i = 0; i < len; i += SECTOR) {
		v->poison += 0x9e3779b97f4a7c15ull;
		memcpy(buf + i, &v->poison, sizeof(v->poison));
	}
}

/* The next piece of what was written. */
static void read_back(struct verify *v, struct verified *s)
{
	const uint64_t left = s->up->offset + s->up->len - s->at;

	s->reads_back = true;
	s->piece = left < PIECE ? (uint32_t)left : PIECE;
	s->low = (struct ob_block_req){
		.op = OB_BLOCK_READ, .offset = s->at, .len = s->piece, .buf = s->buf};
	spoil(v, s->buf, s->piece);
	s->at += s->piece;
	v->todo |= 1u << number(v, s);
}

/*
 * The driver says that it cannot. It may be wrong in that, too, and what it was asked may come to be done much later: so another process is
 * asked, whose word is believed, unless there will be none. A device that is gone is gone.
 */
static void take_error(struct verify *v, struct verified *s, int status)
{
	static const char *const ops[] = {"read", "write", "flush", "discard", "zero"};
	const struct ob_block_req *up = s->up;

	if (!v->stopping && v->o.fd >= 0 && !ob_device_gone(v->blk.dev) &&
	    !verify_confirmed(&v->m, up->op, up->offset, up->len))
		wrong(v, "it cannot %s at block %" PRIu64 ", as no other process has said (%s)",
		      ops[up->op], up->offset / v->m.block_size, strerror(-status));
	else if (!v->stopping && s->writes)
		forget(v, up);
}

/* The disk below has ended what it had of @s. Return: all has ended */
static bool go_on(struct verify *v, struct verified *s)
{
	struct ob_block_req *up = s->up;
	const bool read_back_too = up->op == OB_BLOCK_WRITE || up->op == OB_BLOCK_WRITE_ZEROES;
	bool ended = true;

	up->status = s->low.status;
	if (up->status) {
		take_error(v, s, up->status);
	} else if (v->stopping && read_back_too) {
		/* Its buffers are gone; the client asks again. */
		up->status = -ECANCELED;
	} else if (up->op == OB_BLOCK_READ) {
		check_read(v, up);
	} else if (read_back_too && (!s->reads_back || check_piece(v, s))) {
		ended = s->at == up->offset + up->len;
		if (!ended)
			read_back(v, s);
	}
	if (!v->failed) {
		if (ended && !up->status)
			verify_refuted(&v->m, up->op, up->offset, up->len);
		return ended;
	}
	/* Nothing that it says is believed any more. */
	up->status = -EIO;
	v->todo &= ~(1u << number(v, s));
	return true;
}

static void submit_todo(struct verify *v)
{
	while (v->todo) {
		struct ob_block_req *low = &v->request[__builtin_ctz(v->todo)].low;

		if (!ob_block_submit(v->below, 0, &low, 1))
			return;
		v->todo &= v->todo - 1;
	}
}

static unsigned int verify_complete(struct ob_block *blk, unsigned int queue,
				    struct ob_block_req **reqs, unsigned int n)
{
	struct ob_block_req *low[DEPTH];
	struct verify *v = of(blk);
	unsigned int got, done = 0;

	submit_todo(v);
	/* Each ends one request at most. */
	got = ob_block_complete(v->below, queue, low, n < DEPTH ? n : DEPTH);
	for (unsigned int i = 0; i < got; i++) {
		struct verified *s = request_of(v, low[i]);

		if (!s) {
			wrong(v, "a request has ended that was not under way");
			continue;
		}
		if (!go_on(v, s))
			continue;
		end(v, s);
		reqs[done++] = s->up;
	}
	submit_todo(v);
	return done;
}

static bool verify_irq_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	const struct verify *v = of(blk);

	if (v->todo && on)
		return true;
	return v->below->ops->irq_arm && v->below->ops->irq_arm(v->below, queue, on);
}

static void verify_tick(struct ob_block *blk, uint64_t now_ns)
{
	struct verify *v = of(blk);

	if (v->below->ops->tick)
		v->below->ops->tick(v->below, now_ns);
}

/* ---- what the process before has left ------------------------------------------------------ */

struct scrub {
	unsigned int checked, fresh, bad;
	uint64_t first; /* of those that are bad */
};

/*
 * Blocks of the disk below, through v->buf.
 *
 * Return: 0; 1: it cannot, which is told to who asks for them; -ENODEV.
 */
static int transfer(struct verify *v, enum ob_block_op op, uint64_t block, uint32_t n)
{
	const uint32_t unit = v->m.block_size;
	int ret;

	if (op == OB_BLOCK_READ)
		spoil(v, v->buf, n * unit);
	ret = ob_block_rw(v->below, 0, op, 0, block * unit, v->buf, (uint64_t)n * unit);
	return ret && ret != -ENODEV ? 1 : ret;
}

/* Slots from @slot on that hold blocks in a row, as many as one read takes. */
static uint32_t run_from(const struct verify *v, uint32_t slot, uint64_t *block)
{
	const struct verify_memory *m = &v->m;
	uint32_t n = 0;

	*block = m->holds[slot] - 1;
	if (!m->holds[slot] || *block >= m->header->size / m->block_size ||
	    *block % m->slots != slot)
		return 0;
	while (n < PIECE / m->block_size && slot + n < m->slots &&
	       m->holds[slot + n] == *block + n + 1)
		n++;
	return n;
}

static int scrub_run(struct verify *v, uint64_t block, uint32_t n, struct scrub *s)
{
	const uint32_t unit = v->m.block_size;
	int ret = transfer(v, OB_BLOCK_READ, block, n);

	if (ret)
		return ret < 0 ? ret : 0;
	for (uint32_t i = 0; i < n; i++) {
		s->checked += verify_get(&v->m, block + i).state >= VERIFY_KNOWN;
		if (compare(v, block + i, v->buf + (size_t)i * unit, &s->fresh))
			continue;
		if (!s->bad++)
			s->first = block + i;
	}
	return 0;
}

/* A block of a write that nobody ended. */
static void settle_block(struct verify *v, unsigned int flight, uint64_t block, const uint8_t *buf,
			 struct scrub *s)
{
	struct verify_entry e = verify_get(&v->m, block);
	const uint32_t sum = verify_sum(buf, v->m.block_size);

	if (sum == verify_awaited(&v->m, flight, block)) {
		verify_keep(&v->m, block, buf);
		verify_set(&v->m, block, (struct verify_entry){.state = VERIFY_KNOWN, .sum = sum});
		return;
	}
	if (compare(v, block, buf, &s->fresh))
		return;
	s->first = block;
	/* Neither this nor that, as another process has found, too: it becomes what it was, where that is kept. */
	if (e.seen_by && e.seen_by != v->m.process && !verify_kept(&v->m, block, e.sum))
		verify_set(&v->m, block, (struct verify_entry){0});
}

static int settle(struct verify *v, unsigned int flight, struct scrub *s)
{
	const struct verify_flight *f = &v->m.header->flight[flight];
	const uint32_t unit = v->m.block_size;
	const uint64_t blocks = v->m.header->size / unit;
	uint32_t n;

	/* Another process wrote that; what it left is not believed. */
	if (f->first >= blocks || f->n > blocks - f->first)
		return 0;
	for (uint32_t at = 0; at < f->n && !s->fresh; at += n) {
		int ret;

		n = f->n - at < PIECE / unit ? f->n - at : PIECE / unit;
		ret = transfer(v, OB_BLOCK_READ, f->first + at, n);
		if (ret < 0)
			return ret;
		for (uint32_t i = 0; i < n && !ret; i++)
			settle_block(v, flight, f->first + at + i, v->buf + (size_t)i * unit, s);
	}
	return 0;
}

static int repair(struct verify *v, uint64_t block)
{
	const uint32_t unit = v->m.block_size;
	const struct verify_entry e = verify_get(&v->m, block);
	const void *kept;
	int ret;

	if (e.state < VERIFY_KNOWN || !e.seen_by)
		return 0;
	kept = verify_kept(&v->m, block, e.sum);
	if (!kept)
		return 0;
	memcpy(v->buf, kept, unit);
	ret = transfer(v, OB_BLOCK_WRITE, block, 1);
	if (!ret)
		ret = transfer(v, OB_BLOCK_READ, block, 1);
	if (ret)
		return ret < 0 ? ret : 0;
	if (verify_sum(v->buf, unit) != e.sum) {
		wrong(v, "block %" PRIu64 " was written anew, and something else is there", block);
		return -EILSEQ;
	}
	verify_set(&v->m, block, (struct verify_entry){.state = VERIFY_KNOWN, .sum = e.sum});
	count(&v->m.header->stats.repaired);
	return 0;
}

/*
 * All that is kept is read. What differs for the first time is marked, and the process is ended at once: it may be this one that reads wrong, or
 * writes where it should read. What a second one finds to differ is written anew, unless that is most of all: then it is no longer the disk that
 * is suspected.
 */
static int scrub(struct verify *v)
{
	struct scrub s = {0};
	uint64_t block;
	int ret = 0;

	for (unsigned int f = 0; f < DEPTH && !ret && !s.fresh; f++)
		ret = settle(v, f, &s);
	for (uint32_t slot = 0, n; slot < v->m.slots && !ret && !s.fresh; slot += n ? n : 1) {
		n = run_from(v, slot, &block);
		if (n)
			ret = scrub_run(v, block, n, &s);
	}
	if (ret)
		return ret;
	if (s.fresh || (s.checked > FEW && s.bad > s.checked / 2)) {
		wrong(v,
		      "block %" PRIu64
		      " is not what was written, and of %u that are kept %u are not",
		      s.first, s.checked, s.bad);
		return -EILSEQ;
	}
	for (unsigned int f = 0; f < DEPTH; f++)
		verify_land(&v->m, f);
	for (uint32_t slot = 0; s.bad && slot < v->m.slots && !ret; slot++)
		if (run_from(v, slot, &block))
			ret = repair(v, block);
	if (s.bad && !ret && ob_block_can_flush(v->below))
		ret = ob_block_rw(v->below, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0);
	return ret;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int take_buffers(struct verify *v)
{
	const uint32_t align = v->blk.limits.dma_align > 4096 ? v->blk.limits.dma_align : 4096;
	ob_iova iova;

	v->buf = ob_dma_alloc(v->below->dma, (size_t)DEPTH * PIECE, align, "verify", &iova);
	if (!v->buf)
		return -ENOSPC;
	for (unsigned int i = 0; i < DEPTH; i++)
		v->request[i].buf = v->buf + (size_t)i * PIECE;
	return 0;
}

static int verify_start(struct ob_block *blk, struct ob_error *err)
{
	struct verify *v = of(blk);
	int ret = ob_block_start(v->below, err);

	if (ret)
		return ret;
	v->active = v->todo = 0;
	v->stopping = false;
	ret = take_buffers(v);
	if (ret) {
		ob_error_set(err, ret, "disk %s: no memory to read back what was written",
			     blk->name);
		ob_error_fix(err, "give the device a larger arena (arena=128M)");
		goto stop;
	}
	ret = scrub(v);
	if (ret) {
		ob_error_set(err, ret, "disk %s cannot be compared with what was written: %s",
			     blk->name, strerror(-ret));
		goto free_buffers;
	}
	return 0;

free_buffers:
	ob_dma_free(v->below->dma, v->buf);
stop:
	ob_block_stop(v->below);
	return ret;
}

static void verify_stop(struct ob_block *blk)
{
	struct verify *v = of(blk);

	v->stopping = true;
	ob_block_stop(v->below);
	ob_dma_free(v->below->dma, v->buf);
}

static bool verify_can_fua(struct ob_block *blk)
{
	return ob_block_can_fua(of(blk)->below);
}

static bool verify_can_flush(struct ob_block *blk)
{
	return ob_block_can_flush(of(blk)->below);
}

static bool verify_can_discard(struct ob_block *blk)
{
	return ob_block_can_discard(of(blk)->below);
}

static bool verify_can_write_zeroes(struct ob_block *blk)
{
	return ob_block_can_write_zeroes(of(blk)->below);
}

/* There is one queue. */
static bool verify_can_multi_conn(struct ob_block *blk)
{
	return ob_block_can_flush(blk);
}

static void verify_driver_stats(struct ob_block *blk, struct ob_block_stats *stats)
{
	ob_block_stats(of(blk)->below, stats);
}

const struct ob_block_ops verify_ops = {
	.start = verify_start,
	.stop = verify_stop,
	.submit = verify_submit,
	.complete = verify_complete,
	.irq_arm = verify_irq_arm,
	.tick = verify_tick,
	.can_fua = verify_can_fua,
	.can_flush = verify_can_flush,
	.can_discard = verify_can_discard,
	.can_write_zeroes = verify_can_write_zeroes,
	.can_multi_conn = verify_can_multi_conn,
	.stats = verify_driver_stats,
};

int ob_verify_open(struct ob_block *below, const struct ob_verify_options *options,
		   struct ob_block **blk, struct ob_error *err)
{
	struct ob_block_limits l = below->limits;
	struct verify *v;
	int ret;

	/* The class says what is wrong with a driver's limits when the disk is started; here they must not do harm. */
	if (l.block_size < SECTOR || l.block_size > PIECE || (l.block_size & (l.block_size - 1)) ||
	    l.size < l.block_size)
		return ob_error_set(err, -EOPNOTSUPP,
				    "disk %s has blocks of %u bytes and cannot be verified",
				    below->name, l.block_size);
	v = calloc(1, sizeof(*v));
	if (!v)
		return ob_error_set(err, -ENOMEM, "no memory to verify disk %s", below->name);
	v->blk = *below;
	v->blk.ops = &verify_ops;
	v->blk.class_priv = NULL;
	v->blk.bounced = 0;
	memset(&v->blk.past, 0, sizeof(v->blk.past));
	memset(v->blk.ended, 0, sizeof(v->blk.ended));
	v->below = below;
	v->o = *options;
	l.queues = 1;
	l.depth = l.depth < DEPTH ? l.depth : DEPTH;
	l.max_transfer = l.max_transfer < VERIFY_WRITE ? l.max_transfer : VERIFY_WRITE;
	l.max_zeroes = l.max_zeroes < ZEROES_MOST ? l.max_zeroes : ZEROES_MOST;
	v->blk.limits = l;
	ret = verify_memory_open(&v->m, options, l.size, l.block_size);
	if (ret) {
		ob_error_set(err, ret, "disk %s cannot be verified: %s", below->name,
			     ret == -EILSEQ ? "it says that it has another size than before"
					    : strerror(-ret));
		if (ret == -EILSEQ && v->o.wrong)
			v->o.wrong(v->o.arg, err);
		verify_memory_close(&v->m);
		free(v);
		return ret;
	}
	*blk = &v->blk;
	return 0;
}

struct ob_block *ob_verify_close(struct ob_block *blk)
{
	struct verify *v = of(blk);
	struct ob_block *below = v->below;

	verify_memory_close(&v->m);
	free(v);
	return below;
}

bool ob_verify_stats(const struct ob_block *blk, struct ob_verify_stats *stats)
{
	if (blk->ops != &verify_ops)
		return false;
	*stats = of(blk)->m.header->stats;
	return true;
}
