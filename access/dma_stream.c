/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streaming DMA mappings (include/outboard/dma.h): arena memory by subtraction, other memory by an IOMMU
 * mapping that is kept in a cache, the rest by a bounce buffer in the arena.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access/dma.h"
#include "access/faultpoint.h"

#if defined(__has_builtin)
#if __has_builtin(__builtin_thread_pointer)
#define DMA_THREAD() ((uintptr_t)__builtin_thread_pointer())
#endif
#endif
/* Threads have stacks of their own; one that is deep enough to change its shard still counts right. */
#ifndef DMA_THREAD
#define DMA_THREAD() ((uintptr_t)__builtin_frame_address(0) >> 4)
#endif

static inline struct dma_shard *my_shard(struct dma_space *s)
{
	/* glibc spaces its threads by whole pages; the multiplication (2^32 / golden ratio) spreads. */
	return &s->shard[((uint32_t)(DMA_THREAD() >> 12) * 0x9e3779b1u >> 16) % DMA_SHARDS];
}

static unsigned int prot_of(unsigned int dir)
{
	return (dir & OB_DMA_TO_DEVICE ? OB_DMA_READ : 0) |
	       (dir & OB_DMA_FROM_DEVICE ? OB_DMA_WRITE : 0);
}

/* ---- memory outside of the arena: cached IOMMU mappings ------------------------------------ */

static struct dma_outside **outside_bucket(struct dma_space *s, uintptr_t va)
{
	return &s->outside[(va >> s->page_shift) * 0x9e3779b97f4a7c15ull >> 54];
}
_Static_assert(DMA_OUTSIDE_BUCKETS == 1 << (64 - 54), "outside_bucket() takes the upper ten bits");

static void outside_idle_remove(struct dma_space *s, struct dma_outside *o)
{
	if (o->older)
		o->older->newer = o->newer;
	else
		s->outside_oldest = o->newer;
	if (o->newer)
		o->newer->older = o->older;
	else
		s->outside_newest = o->older;
	s->idle_outside--;
	s->idle_outside_pages -= o->len >> s->page_shift;
}

static void outside_idle_add(struct dma_space *s, struct dma_outside *o)
{
	o->older = s->outside_newest;
	o->newer = NULL;
	if (o->older)
		o->older->newer = o;
	else
		s->outside_oldest = o;
	s->outside_newest = o;
	s->idle_outside++;
	s->idle_outside_pages += o->len >> s->page_shift;
}

/* The IOVA of a range that cannot be unmapped stays taken: the next user must not get its memory. */
static int outside_remove(struct dma_space *s, struct dma_outside *o)
{
	struct dma_outside **p = outside_bucket(s, o->va);
	int ret;

	while (*p != o)
		p = &(*p)->hash_next;
	*p = o->hash_next;
	ret = dma_backend_unmap(s, o->iova->start, o->len);
	if (!ret)
		dma_ranges_free(&s->iovas, o->iova);
	free(o);
	return ret;
}

void dma_outside_evict(struct dma_space *s, unsigned int keep)
{
	while (s->idle_outside > keep) {
		struct dma_outside *o = s->outside_oldest;

		outside_idle_remove(s, o);
		outside_remove(s, o);
	}
}

bool dma_outside_above(struct dma_space *s, uint64_t last)
{
	unsigned int i;

	for (i = 0; i < DMA_OUTSIDE_BUCKETS; i++) {
		const struct dma_outside *o;

		for (o = s->outside[i]; o; o = o->hash_next) {
			if (o->refs && o->iova->start + (o->len - 1) > last)
				return true;
		}
	}
	return false;
}

/*
 * Which memory the backend refused, by regions of 64 KiB. Only a hint that spares a system call: what
 * lies there can change, so after some hits we ask again.
 */
static struct dma_refused *refused_slot(struct dma_space *s, uintptr_t va)
{
	return &s->refused[(va >> 16) % DMA_REFUSED];
}

static bool is_refused(struct dma_space *s, uintptr_t va)
{
	struct dma_refused *r = refused_slot(s, va);

	if (!r->left || r->region != va >> 16)
		return false;
	r->left--;
	return true;
}

static void remember_refused(struct dma_space *s, uintptr_t va)
{
	*refused_slot(s, va) = (struct dma_refused){.region = va >> 16, .left = 1024};
}

static int outside_create(struct dma_space *s, uintptr_t va, size_t len, unsigned int prot,
			  struct dma_outside **out)
{
	struct dma_outside *o = calloc(1, sizeof(*o));
	struct dma_outside **bucket;
	int ret = -ENOSPC;

	if (!o)
		return -ENOMEM;
	o->va = va;
	o->len = len;
	o->prot = prot;
	o->iova = dma_ranges_alloc(&s->iovas, len, dma_page_size(s), s->last, "outside");
	if (!o->iova && s->idle_outside) {
		dma_outside_evict(s, 0);
		o->iova = dma_ranges_alloc(&s->iovas, len, dma_page_size(s), s->last, "outside");
	}
	if (!o->iova)
		goto fail;
	ret = dma_backend_map(s, (void *)va, o->iova->start, len, prot);
	if (ret == -ENOSPC && s->idle_outside) {
		dma_outside_evict(s, 0);
		ret = dma_backend_map(s, (void *)va, o->iova->start, len, prot);
	}
	if (ret)
		goto give_back;
	bucket = outside_bucket(s, va);
	o->hash_next = *bucket;
	*bucket = o;
	*out = o;
	return 0;

give_back:
	dma_ranges_free(&s->iovas, o->iova);
	if (ret == -EFAULT)
		remember_refused(s, va);
fail:
	free(o);
	return ret;
}

static struct dma_outside *outside_find(struct dma_space *s, uintptr_t va, size_t len,
					unsigned int prot)
{
	struct dma_outside *o;

	for (o = *outside_bucket(s, va); o; o = o->hash_next) {
		if (o->va != va || o->len != len)
			continue;
		/* Strict: exactly these rights. The same pages may be mapped twice, at two IOVAs. */
		if (o->prot == prot ||
		    (s->window.policy != OB_DMA_STRICT && (o->prot & prot) == prot))
			return o;
	}
	return NULL;
}

static int outside_map(struct dma_space *s, void *buf, size_t len, struct ob_dma_mapping *map)
{
	uintptr_t va = dma_page_down(s, (uintptr_t)buf);
	size_t pages = dma_page_up(s, (uintptr_t)buf + len) - va;
	struct dma_outside *o;
	int ret;

	if (!s->window.translated || is_refused(s, va))
		return -EFAULT;
	o = outside_find(s, va, pages, prot_of(map->dir));
	if (o) {
		if (!o->refs)
			outside_idle_remove(s, o);
		map->way = OB_DMA_WAY_CACHED;
	} else {
		ret = outside_create(s, va, pages, prot_of(map->dir), &o);
		if (ret)
			return ret;
		map->way = OB_DMA_WAY_MAPPED;
	}
	o->refs++;
	map->priv = o;
	map->iova.addr = o->iova->start + ((uintptr_t)buf - va);
	return 0;
}

static int outside_unmap(struct dma_space *s, struct dma_outside *o)
{
	if (--o->refs)
		return 0;
	if (s->window.policy == OB_DMA_STRICT)
		return outside_remove(s, o);
	outside_idle_add(s, o);
	if (s->idle_outside > s->max_idle_outside)
		dma_outside_evict(s, s->max_idle_outside - s->max_idle_outside / 4);
	while (s->idle_outside_pages > s->max_idle_outside_pages)
		dma_outside_evict(s, s->idle_outside - 1);
	return 0;
}

int ob_dma_forget(struct ob_dma *dma, void *buf, size_t len)
{
	struct dma_space *s = dma_space(dma);
	uintptr_t from = (uintptr_t)buf, end = from + len;
	int ret = 0;
	unsigned int i;

	if (!len || end < from)
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	memset(s->refused, 0, sizeof(s->refused));
	for (i = 0; i < DMA_OUTSIDE_BUCKETS; i++) {
		struct dma_outside *o, *next;

		for (o = s->outside[i]; o; o = next) {
			int err = 0;

			next = o->hash_next;
			if (o->va >= end || o->va + o->len <= from)
				continue;
			if (o->refs) {
				err = -EBUSY;
			} else {
				outside_idle_remove(s, o);
				err = outside_remove(s, o);
			}
			if (err && !ret)
				ret = err;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* ---- bounce buffers --------------------------------------------------------------------------- */

static void bounce_give_back(struct dma_space *s, struct dma_bounce *b)
{
	if (b->all_prev)
		b->all_prev->all_next = b->all_next;
	else
		s->bounce_all = b->all_next;
	if (b->all_next)
		b->all_next->all_prev = b->all_prev;
	dma_ranges_free(&s->arena, b->range);
	free(b);
}

bool dma_bounce_trim(struct dma_space *s)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < DMA_BOUNCE_ORDERS; i++) {
		while (s->bounce[i]) {
			struct dma_bounce *b = s->bounce[i];

			s->bounce[i] = b->next;
			if (s->debug)
				dma_debug_bounce_taken(s, b);
			bounce_give_back(s, b);
			any = true;
		}
	}
	return any;
}

/* Powers of two come back from a free list of their size; longer ones than these go to the arena. */
static int bounce_get(struct dma_space *s, size_t len, struct dma_bounce **out)
{
	size_t size = dma_page_up(s, len);
	unsigned int order = size > dma_page_size(s)
				     ? 64 - (unsigned int)__builtin_clzl(size - 1) - s->page_shift
				     : 0;
	struct dma_bounce *b;

	if (size > s->dma.size)
		return -E2BIG;
	if (order < DMA_BOUNCE_ORDERS) {
		b = s->bounce[order];
		if (b) {
			s->bounce[order] = b->next;
			if (s->debug)
				dma_debug_bounce_taken(s, b);
			*out = b;
			return 0;
		}
		size = dma_page_size(s) << order;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOSPC;
	b->range = dma_arena_take(s, size, dma_page_size(s), "bounce");
	if (!b->range) {
		free(b);
		return -ENOSPC;
	}
	if (s->debug)
		dma_debug_arena_taken(s, b->range->start, size, "a bounce buffer");
	b->mem = s->dma.base + b->range->start;
	b->size = size;
	b->order = order;
	b->all_next = s->bounce_all;
	if (b->all_next)
		b->all_next->all_prev = b;
	s->bounce_all = b;
	*out = b;
	return 0;
}

static void bounce_put(struct dma_space *s, struct dma_bounce *b)
{
	struct dma_bounce **p;

	if (b->order >= DMA_BOUNCE_ORDERS) {
		if (s->debug)
			dma_debug_arena_freed(s, b->range->start, b->size);
		bounce_give_back(s, b);
		return;
	}
	p = &s->bounce[b->order];
	if (s->debug) {
		/* Reused as late as possible: the longer it lies, the more late writes are seen. */
		dma_debug_bounce_freed(s, b);
		while (*p)
			p = &(*p)->next;
	}
	b->next = *p;
	*p = b;
}

static void count_bounced(struct dma_space *s, size_t len)
{
	__atomic_fetch_add(&s->stats.bounced, len, __ATOMIC_RELAXED);
}

static int bounce_map(struct dma_space *s, void *buf, size_t len, struct ob_dma_mapping *map)
{
	struct dma_bounce *b;
	int ret = bounce_get(s, len, &b);

	if (ret)
		return ret;
	/* The content first, then the device's right to it. */
	if (map->dir & OB_DMA_TO_DEVICE) {
		memcpy(b->mem, buf, len);
		count_bounced(s, len);
	} else {
		memset(b->mem, 0, len);
	}
	ret = dma_pages_get(s, b->range->start, len, prot_of(map->dir));
	if (ret) {
		bounce_put(s, b);
		return ret;
	}
	b->place = map->place;
	map->way = OB_DMA_WAY_BOUNCE;
	map->priv = b;
	map->bounce = b->mem;
	map->iova = ob_dma_iova(&s->dma, b->mem);
	return 0;
}

static int bounce_unmap(struct dma_space *s, struct ob_dma_mapping *map)
{
	struct dma_bounce *b = map->priv;
	int ret;

	/* First the device loses its right, then we read: it cannot change what we copy. */
	ret = dma_pages_put(s, b->range->start, map->len, prot_of(map->dir));
	if (map->dir & OB_DMA_FROM_DEVICE) {
		ob_rmb();
		memcpy(map->buf, b->mem, map->len);
		count_bounced(s, map->len);
	}
	bounce_put(s, b);
	return ret;
}

/* ---- map ------------------------------------------------------------------------------------- */

static int map_locked(struct dma_space *s, void *buf, size_t len, struct ob_dma_mapping *map)
{
	int ret;

	if (ob_dma_contains(&s->dma, buf, len)) {
		ret = dma_pages_get(s, (uint64_t)((char *)buf - s->dma.base), len,
				    prot_of(map->dir));
		map->way = OB_DMA_WAY_ARENA;
		map->iova = ob_dma_iova(&s->dma, buf);
		/* EBUSY: a page of it is in use with rights that cannot be changed now. */
		return ret == -EBUSY ? bounce_map(s, buf, len, map) : ret;
	}
	ret = outside_map(s, buf, len, map);
	if (ret == -EFAULT || ret == -ENOSPC || ret == -ENOMEM)
		ret = bounce_map(s, buf, len, map);
	return ret;
}

static __attribute__((noinline)) int map_slow(struct dma_space *s, void *buf, size_t len,
					      enum ob_dma_dir dir, struct ob_dma_mapping *map,
					      const char *place)
{
	struct ob_dma_mapping m = {
		.len = (uint32_t)len,
		.dir = (uint8_t)dir,
		.buf = buf,
		.place = place,
		.dma = &s->dma,
	};
	int ret;

	if (!buf || !len || len > DMA_MAX_LEN || dir < OB_DMA_TO_DEVICE || dir > OB_DMA_BOTH ||
	    len > UINTPTR_MAX - (uintptr_t)buf)
		return -EINVAL;
	ret = OB_FAULT_ERROR("dma.map");
	if (ret)
		return ret;
	pthread_mutex_lock(&s->lock);
	ret = s->debug ? dma_debug_before_map(s, map, place) : 0;
	if (!ret)
		ret = map_locked(s, buf, len, &m);
	if (!ret) {
		*map = m;
		dma_count(&s->stats.ways[m.way], 1);
		dma_count(&s->stats.mapped, 1);
		if (s->debug)
			dma_debug_after_map(s, map);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int ob_dma_map_at(struct ob_dma *dma, void *buf, size_t len, enum ob_dma_dir dir,
		  struct ob_dma_mapping *map, const char *place)
{
	struct dma_space *s = dma_space(dma);
	uint64_t off = (uint64_t)((uintptr_t)buf - (uintptr_t)dma->base);

	/* len - 1 of length 0 is too long for every arena, so it takes the slow way to -EINVAL. */
	if (ob_unlikely(off >= s->direct || len - 1 >= s->direct - off ||
			(unsigned int)dir - 1 >= OB_DMA_BOTH))
		return map_slow(s, buf, len, dir, map, place);

	map->iova.addr = dma->iova + off;
	map->len = (uint32_t)len;
	map->dir = (uint8_t)dir;
	map->way = OB_DMA_WAY_ARENA;
	map->seg = 0;
	map->buf = buf;
	map->place = place;
	map->dma = dma;
	__atomic_fetch_add(&my_shard(s)->maps, 1, __ATOMIC_RELAXED);
	return 0;
}

/* ---- unmap ----------------------------------------------------------------------------------- */

static __attribute__((noinline)) int unmap_slow(struct ob_dma_mapping *map, const char *place)
{
	struct dma_space *s = dma_space(map->dma);
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	if (s->debug) {
		ret = dma_debug_unmap(s, map, place);
		if (ret)
			goto out;
	}
	switch (map->way) {
	case OB_DMA_WAY_ARENA:
		ret = dma_pages_put(s, (uint64_t)((char *)map->buf - s->dma.base), map->len,
				    prot_of(map->dir));
		break;
	case OB_DMA_WAY_MAPPED:
	case OB_DMA_WAY_CACHED:
		ret = outside_unmap(s, map->priv);
		break;
	case OB_DMA_WAY_BOUNCE:
		ret = bounce_unmap(s, map);
		break;
	default:
		ret = -EINVAL;
		goto out;
	}
	dma_count(&s->stats.mapped, -1ull);
	map->dir = 0;
	/* The debug mode keeps it, to have a log for a second unmap. */
	if (!s->debug)
		map->dma = NULL;
out:
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int ob_dma_unmap_at(struct ob_dma_mapping *map, const char *place)
{
	struct dma_space *s = dma_space(map->dma);

	if (ob_unlikely(!s))
		return -EINVAL;
	if (ob_unlikely(!s->direct || map->way != OB_DMA_WAY_ARENA))
		return unmap_slow(map, place);
	map->dma = NULL;
	map->dir = 0;
	/* Release: whoever counts an unmap has counted its map before (counted_maps()). */
	__atomic_fetch_add(&my_shard(s)->unmaps, 1, __ATOMIC_RELEASE);
	return 0;
}

/* ---- sync ------------------------------------------------------------------------------------ */

static int sync_part(struct ob_dma_mapping *map, size_t off, size_t len, bool for_cpu,
		     const char *place)
{
	struct dma_space *s = dma_space(map->dma);
	int ret = 0;

	if (ob_unlikely(!s))
		return -EINVAL;
	if (ob_unlikely(s->debug)) {
		pthread_mutex_lock(&s->lock);
		ret = dma_debug_sync(s, map, off, len, for_cpu, place);
		pthread_mutex_unlock(&s->lock);
		if (ret)
			return ret;
	}
	if (off > map->len || len > map->len - off)
		return -EINVAL;
	/* The device's writes before our reads, and our writes before the register write that follows. */
	if (for_cpu)
		ob_rmb();
	else
		ob_wmb();
	if (map->way == OB_DMA_WAY_BOUNCE) {
		if (for_cpu && (map->dir & OB_DMA_FROM_DEVICE)) {
			memcpy((char *)map->buf + off, (char *)map->bounce + off, len);
			count_bounced(s, len);
		} else if (!for_cpu && (map->dir & OB_DMA_TO_DEVICE)) {
			memcpy((char *)map->bounce + off, (char *)map->buf + off, len);
			count_bounced(s, len);
			ob_wmb();
		}
	}
	if (ob_unlikely(s->debug)) {
		pthread_mutex_lock(&s->lock);
		dma_debug_after_sync(s, map);
		pthread_mutex_unlock(&s->lock);
	}
	return 0;
}

int ob_dma_sync_for_cpu_at(struct ob_dma_mapping *map, size_t off, size_t len, const char *place)
{
	return sync_part(map, off, len, true, place);
}

int ob_dma_sync_for_device_at(struct ob_dma_mapping *map, size_t off, size_t len, const char *place)
{
	return sync_part(map, off, len, false, place);
}

/* ---- scatter-gather -------------------------------------------------------------------------- */

int ob_dma_map_sg_at(struct ob_dma *dma, const struct iovec *iov, unsigned int n,
		     enum ob_dma_dir dir, struct ob_dma_mapping *maps, const char *place)
{
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		ret = ob_dma_map_at(dma, iov[i].iov_base, iov[i].iov_len, dir, &maps[i], place);
		if (ret) {
			while (i--)
				ob_dma_unmap_at(&maps[i], place);
			return ret;
		}
		maps[i].seg = (uint16_t)i;
	}
	return 0;
}

void ob_dma_unmap_sg(struct ob_dma_mapping *maps, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		ob_dma_unmap_at(&maps[i], "ob_dma_unmap_sg()");
}

/* ---- close ----------------------------------------------------------------------------------- */

void dma_stream_drop_all(struct dma_space *s)
{
	unsigned int i;

	for (i = 0; i < DMA_OUTSIDE_BUCKETS; i++) {
		while (s->outside[i]) {
			struct dma_outside *o = s->outside[i];

			s->outside[i] = o->hash_next;
			dma_backend_unmap(s, o->iova->start, o->len);
			free(o);
		}
	}
	while (s->bounce_all) {
		struct dma_bounce *b = s->bounce_all;

		s->bounce_all = b->all_next;
		free(b);
	}
}
