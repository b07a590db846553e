/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA debug mode: a record for each mapping, checksums of what the CPU must leave alone, poison where
 * nobody must write. Contract: ob_dma_debug() in include/outboard/dma.h; reports: docs/dma.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/dma.h"

enum {
	DEBUG_BUCKETS = 1024,
	DEBUG_DEAD = 1024, /* unmapped mappings that we remember */
};

/* Neither zero nor a likely address, length or flag; the kernel's slab debugging fills with these. */
#define POISON_FREE    0x6b
#define POISON_REDZONE 0xbb

/**
 * struct debug_record - one mapping
 * @key: the caller's object; only compared, never followed once it is unmapped
 * @copy: as we filled it
 * @unmapped: where; NULL while it is mapped
 * @sum: of the caller's buffer, while nobody may write there
 */
struct debug_record {
	const struct ob_dma_mapping *key;
	struct ob_dma_mapping copy;
	const char *unmapped;
	bool summed;
	uint64_t sum;
	struct debug_record *next;    /* same bucket */
	struct debug_record *younger; /* next to be forgotten after this */
};

struct dma_debug {
	struct debug_record *bucket[DEBUG_BUCKETS];
	struct debug_record *dead_oldest, *dead_youngest;
	unsigned int nr_dead;
	struct debug_record *spare;
};

void dma_report(struct dma_space *s, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	__atomic_fetch_add(&s->reports, 1, __ATOMIC_RELAXED);
	ob_device_log(s->dev, OB_LOG_ERROR, "DMA: %s", text);
}

static const char *dir_text(unsigned int dir)
{
	static const char *const text[] = {"in no direction", "to device", "from device",
					   "both ways"};

	return text[dir & 3];
}

/* ---- records ---------------------------------------------------------------------------- */

static struct debug_record **bucket_of(struct dma_debug *d, const struct ob_dma_mapping *key)
{
	return &d->bucket[((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15ull >> 54];
}
_Static_assert(DEBUG_BUCKETS == 1 << (64 - 54), "bucket_of() takes the upper ten bits");

static struct debug_record *find(struct dma_debug *d, const struct ob_dma_mapping *key)
{
	struct debug_record *r;

	for (r = *bucket_of(d, key); r; r = r->next) {
		if (r->key == key)
			return r;
	}
	return NULL;
}

static void unhash(struct dma_debug *d, struct debug_record *r)
{
	struct debug_record **p = bucket_of(d, r->key);

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
}

/* A record's object may be reused for another mapping; its old record then keeps no bucket. */
static void forget_dead(struct dma_debug *d, struct debug_record *r)
{
	unhash(d, r);
	r->key = NULL;
}

static void make_dead(struct dma_debug *d, struct debug_record *r, const char *place)
{
	r->unmapped = place;
	r->younger = NULL;
	if (d->dead_youngest)
		d->dead_youngest->younger = r;
	else
		d->dead_oldest = r;
	d->dead_youngest = r;
	if (++d->nr_dead <= DEBUG_DEAD)
		return;
	r = d->dead_oldest;
	d->dead_oldest = r->younger;
	d->nr_dead--;
	if (r->key)
		unhash(d, r);
	free(r);
}

/* ---- contents --------------------------------------------------------------------------- */

static uint64_t sum_of(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	uint64_t sum = len, word;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
		sum ^= sum >> 29;
	}
	for (; len; p++, len--)
		sum = (sum ^ *p) * 0x100000001b3ull;
	return sum;
}

/* First byte of [p, p + len) that is not @value; len when all are. */
static size_t first_other(const char *p, size_t len, unsigned char value)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)p[i] != value)
			return i;
	}
	return len;
}

static bool overlap(const struct ob_dma_mapping *a, const struct ob_dma_mapping *b)
{
	uintptr_t x = (uintptr_t)a->buf, y = (uintptr_t)b->buf;

	return x < y + b->len && y < x + a->len;
}

/*
 * Must the buffer keep its content while it is mapped? When the device only reads it, and whenever a
 * bounce buffer stands for it. Unless the device writes there by another mapping.
 */
static void start_sum(struct dma_debug *d, struct debug_record *r)
{
	unsigned int i;

	r->summed = r->copy.dir == OB_DMA_TO_DEVICE || r->copy.way == OB_DMA_WAY_BOUNCE;
	for (i = 0; i < DEBUG_BUCKETS; i++) {
		struct debug_record *o;

		for (o = d->bucket[i]; o; o = o->next) {
			if (o == r || o->unmapped || !overlap(&o->copy, &r->copy))
				continue;
			if (o->copy.dir & OB_DMA_FROM_DEVICE)
				r->summed = false;
			if (r->copy.dir & OB_DMA_FROM_DEVICE)
				o->summed = false;
		}
	}
	if (r->summed)
		r->sum = sum_of(r->copy.buf, r->copy.len);
}

static void check_contents(struct dma_space *s, const struct debug_record *r, const char *place)
{
	const struct ob_dma_mapping *m = &r->copy;
	const struct dma_bounce *b = m->way == OB_DMA_WAY_BOUNCE ? m->priv : NULL;
	size_t off;

	if (r->summed && sum_of(m->buf, m->len) != r->sum)
		dma_report(
			s,
			"buffer of %u bytes %s, mapped at %s, was changed while the device owned it "
			"(seen at %s): %s",
			m->len, dir_text(m->dir), m->place, place,
			b ? "the CPU wrote without ob_dma_sync_for_device(); that is lost"
			  : "the CPU wrote without ob_dma_sync_for_device(), or the device wrote");
	if (!b)
		return;
	if (r->summed && m->dir == OB_DMA_TO_DEVICE && sum_of(b->mem, m->len) != r->sum)
		dma_report(s,
			   "the device wrote into a buffer of %u bytes to device, mapped at %s "
			   "(seen at %s)",
			   m->len, m->place, place);
	off = first_other(b->mem + m->len, b->size - m->len, POISON_REDZONE);
	if (off < b->size - m->len)
		dma_report(
			s,
			"the device wrote past the end, at offset %zu, of a buffer of %u bytes %s, "
			"mapped at %s (seen at %s)",
			m->len + off, m->len, dir_text(m->dir), m->place, place);
}

/* ---- map, unmap, sync ------------------------------------------------------------------- */

int dma_debug_before_map(struct dma_space *s, const struct ob_dma_mapping *map, const char *place)
{
	struct dma_debug *d = s->debug;
	struct debug_record *r;

	if (!d->spare) {
		d->spare = calloc(1, sizeof(*d->spare));
		if (!d->spare)
			return -ENOSPC;
	}
	r = find(d, map);
	if (!r)
		return 0;
	if (!r->unmapped) {
		dma_report(s,
			   "mapping object of %u bytes %s, mapped at %s, is mapped again at %s "
			   "without an unmap",
			   r->copy.len, dir_text(r->copy.dir), r->copy.place, place);
		make_dead(d, r, place);
	}
	forget_dead(d, r);
	return 0;
}

void dma_debug_after_map(struct dma_space *s, const struct ob_dma_mapping *map)
{
	struct dma_debug *d = s->debug;
	struct debug_record *r = d->spare;
	struct debug_record **bucket = bucket_of(d, map);

	d->spare = NULL;
	*r = (struct debug_record){.key = map, .copy = *map, .next = *bucket};
	*bucket = r;
	start_sum(d, r);
	if (map->way == OB_DMA_WAY_BOUNCE) {
		struct dma_bounce *b = map->priv;

		memset(b->mem + map->len, POISON_REDZONE, b->size - map->len);
		b->poisoned = false;
	}
}

/* The live record of @map, or a report. */
static struct debug_record *live(struct dma_space *s, const struct ob_dma_mapping *map,
				 const char *what, const char *place)
{
	struct debug_record *r = find(s->debug, map);

	if (r && !r->unmapped)
		return r;
	if (r)
		dma_report(s, "%s at %s after unmap: %u bytes %s, mapped at %s, unmapped at %s",
			   what, place, r->copy.len, dir_text(r->copy.dir), r->copy.place,
			   r->unmapped);
	else
		dma_report(s,
			   "%s at %s of something that was never mapped (or of a mapping's copy)",
			   what, place);
	return NULL;
}

static void repair(struct dma_space *s, struct ob_dma_mapping *map, const struct debug_record *r,
		   const char *place)
{
	const struct ob_dma_mapping *m = &r->copy;

	if (map->iova.addr != m->iova.addr || map->len != m->len || map->dir != m->dir ||
	    map->way != m->way || map->buf != m->buf || map->priv != m->priv ||
	    map->bounce != m->bounce) {
		dma_report(s,
			   "mapping object of %u bytes %s, mapped at %s, was overwritten (seen "
			   "at %s)",
			   m->len, dir_text(m->dir), m->place, place);
		*map = *m;
	}
}

int dma_debug_unmap(struct dma_space *s, struct ob_dma_mapping *map, const char *place)
{
	struct debug_record *r = live(s, map, "unmap", place);

	if (!r)
		return -EINVAL;
	repair(s, map, r, place);
	check_contents(s, r, place);
	make_dead(s->debug, r, place);
	return 0;
}

int dma_debug_sync(struct dma_space *s, struct ob_dma_mapping *map, size_t off, size_t len,
		   bool for_cpu, const char *place)
{
	const char *what = for_cpu ? "sync for CPU" : "sync for device";
	struct debug_record *r = live(s, map, what, place);
	const struct ob_dma_mapping *m;

	if (!r)
		return -EINVAL;
	repair(s, map, r, place);
	m = &r->copy;
	if (off > m->len || len > m->len - off) {
		dma_report(s,
			   "%s at %s of bytes %zu to %zu of a buffer of %u bytes %s, mapped at %s",
			   what, place, off, off + len, m->len, dir_text(m->dir), m->place);
		return -EINVAL;
	}
	/*
	 * The other way round, sync for device of a buffer from the device, is how a receive buffer
	 * is handed back.
	 */
	if (for_cpu && !(m->dir & OB_DMA_FROM_DEVICE)) {
		dma_report(s, "%s at %s in the wrong direction: %u bytes %s, mapped at %s", what,
			   place, m->len, dir_text(m->dir), m->place);
		return -EINVAL;
	}
	if (for_cpu)
		check_contents(s, r, place);
	return 0;
}

void dma_debug_after_sync(struct dma_space *s, const struct ob_dma_mapping *map)
{
	struct debug_record *r = find(s->debug, map);

	if (r && !r->unmapped && r->summed)
		r->sum = sum_of(r->copy.buf, r->copy.len);
}

/* ---- poison ----------------------------------------------------------------------------- */

void dma_debug_bounce_freed(struct dma_space *s, struct dma_bounce *b)
{
	(void)s;
	memset(b->mem, POISON_FREE, b->size);
	b->poisoned = true;
}

void dma_debug_bounce_taken(struct dma_space *s, struct dma_bounce *b)
{
	size_t off = b->poisoned ? first_other(b->mem, b->size, POISON_FREE) : b->size;

	if (off == b->size)
		return;
	dma_report(
		s,
		"the device wrote after unmap into a bounce buffer, at offset %zu; it was mapped at "
		"%s",
		off, b->place);
	dma_debug_bounce_freed(s, b);
}

void dma_debug_arena_freed(struct dma_space *s, uint64_t off, uint64_t size)
{
	memset(s->dma.base + off, POISON_FREE, size);
}

/* Free arena memory is poison, or zero where it was never used. Pieces are multiples of 64 bytes. */
static void check_free(struct dma_space *s, uint64_t off, uint64_t size, const char *when,
		       const char *label)
{
	uint64_t poison, i;

	memset(&poison, POISON_FREE, sizeof(poison));
	for (i = off; i < off + size; i += sizeof(uint64_t)) {
		uint64_t word = *(uint64_t *)(s->dma.base + i);

		if (!word || word == poison)
			continue;
		dma_report(s,
			   "free arena memory at offset %" PRIu64 " (iova 0x%" PRIx64
			   ") was written, seen %s%s",
			   i, s->dma.iova + i, when, label);
		return;
	}
}

void dma_debug_arena_taken(struct dma_space *s, uint64_t off, uint64_t size, const char *label)
{
	check_free(s, off, size, "when it was allocated for ", label);
}

/* ---- life ------------------------------------------------------------------------------- */

int ob_dma_debug(struct ob_dma *dma)
{
	struct dma_space *s = dma_space(dma);
	struct ob_dma_stats stats;
	struct dma_debug *d;
	struct dma_range *r;
	unsigned int i;
	int ret = 0;

	ob_dma_stats(dma, &stats);
	pthread_mutex_lock(&s->lock);
	if (s->debug)
		goto out;
	ret = -EBUSY;
	if (stats.mapped)
		goto out;
	ret = -ENOMEM;
	d = calloc(1, sizeof(*d));
	if (!d)
		goto out;
	/* What was free until now may hold anything. */
	for (r = s->arena.first; r && r->start < s->arena.high; r = r->next) {
		uint64_t end = r->start + r->size;

		if (end > s->arena.high)
			end = s->arena.high;
		if (!r->label)
			dma_debug_arena_freed(s, r->start, end - r->start);
	}
	for (i = 0; i < DMA_BOUNCE_ORDERS; i++) {
		struct dma_bounce *b;

		for (b = s->bounce[i]; b; b = b->next)
			dma_debug_bounce_freed(s, b);
	}
	s->debug = d;
	s->direct = 0;
	ret = 0;
out:
	pthread_mutex_unlock(&s->lock);
	return ret;
}

unsigned int ob_dma_debug_reports(const struct ob_dma *dma)
{
	return __atomic_load_n(&dma_space(dma)->reports, __ATOMIC_RELAXED);
}

static void leaked_range(const void *node, VISIT which, void *arg)
{
	const struct dma_range *r = *(struct dma_range *const *)node;

	if (which == postorder || which == leaf)
		dma_report(arg,
			   "leak: consistent memory \"%s\" of %" PRIu64 " bytes was never freed",
			   r->label, r->size);
}

void dma_debug_leaks(struct dma_space *s)
{
	struct dma_range *p;
	unsigned int i;

	for (i = 0; i < DEBUG_BUCKETS; i++) {
		const struct debug_record *r;

		for (r = s->debug->bucket[i]; r; r = r->next) {
			if (!r->unmapped)
				dma_report(s,
					   "leak: %u bytes %s, mapped at %s, were never unmapped",
					   r->copy.len, dir_text(r->copy.dir), r->copy.place);
		}
	}
	twalk_r(s->consistent, leaked_range, s);
	for (i = 0; i < DMA_BOUNCE_ORDERS; i++) {
		struct dma_bounce *b;

		for (b = s->bounce[i]; b; b = b->next)
			dma_debug_bounce_taken(s, b);
	}
	for (p = s->arena.first; p && p->start < s->arena.high; p = p->next) {
		uint64_t end = p->start + p->size;

		if (end > s->arena.high)
			end = s->arena.high;
		if (!p->label)
			check_free(s, p->start, end - p->start, "at close", "");
	}
}

void dma_debug_free(struct dma_space *s)
{
	struct dma_debug *d = s->debug;
	unsigned int i;

	if (!d)
		return;
	while (d->dead_oldest) {
		struct debug_record *r = d->dead_oldest;

		d->dead_oldest = r->younger;
		if (r->key)
			unhash(d, r);
		free(r);
	}
	for (i = 0; i < DEBUG_BUCKETS; i++) {
		while (d->bucket[i]) {
			struct debug_record *r = d->bucket[i];

			d->bucket[i] = r->next;
			free(r);
		}
	}
	free(d->spare);
	free(d);
}
