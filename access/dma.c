/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One device's DMA memory: the arena and where the device sees it, consistent memory, the DMA mask.
 * Contract: include/outboard/dma.h. Streaming mappings are in dma_stream.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/dma.h"
#include "access/faultpoint.h"

/* Cache lines of all processors that we know; no two allocations share one. */
#define DMA_GRAIN 64

/* Superpages of VT-d and of processors with 4 KiB pages: one IOTLB entry for 2 MiB. */
#define DMA_SUPERPAGE (2ull << 20)

int dma_backend_map(struct dma_space *s, void *va, uint64_t iova, size_t len, unsigned int prot)
{
	dma_count(&s->stats.iommu_maps, 1);
	return s->dev->ops->dma_map(s->dev, va, iova, len, prot);
}

int dma_backend_unmap(struct dma_space *s, uint64_t iova, size_t len)
{
	int ret;

	dma_count(&s->stats.iommu_unmaps, 1);
	ret = s->dev->ops->dma_unmap(s->dev, iova, len);
	if (!ret || ret == -ENODEV)
		return 0;
	ob_device_log(s->dev, OB_LOG_ERROR,
		      "DMA: cannot unmap iova 0x%" PRIx64 " (%zu bytes): %s; never used again",
		      iova, len, strerror(-ret));
	return ret;
}

/* ---- consistent memory ---------------------------------------------------------------- */

static int compare_range(const void *a, const void *b)
{
	const struct dma_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

struct dma_range *dma_arena_take(struct dma_space *s, uint64_t size, uint64_t align,
				 const char *label)
{
	struct dma_range *r = dma_ranges_alloc(&s->arena, size, align, UINT64_MAX, label);

	if (!r && dma_bounce_trim(s))
		r = dma_ranges_alloc(&s->arena, size, align, UINT64_MAX, label);
	return r;
}

static void *take_consistent(struct ob_dma *dma, size_t size, size_t align, const char *label,
			     ob_iova *iova, bool zero)
{
	struct dma_space *s = dma_space(dma);
	size_t grain = s->page ? dma_page_size(s) : DMA_GRAIN;
	struct dma_range *r;
	char *p = NULL;

	if (OB_FAULT_ERROR("dma.alloc"))
		return NULL;
	if (align < grain)
		align = grain;
	if (!size || (align & (align - 1)) || size > dma->size)
		return NULL;
	/* Under strict and lazy rights are by page, so neighbours must not share one. */
	size = (size + grain - 1) & ~(grain - 1);

	pthread_mutex_lock(&s->lock);
	r = dma_arena_take(s, size, align, label ? label : "");
	if (!r)
		goto out;
	if (!tsearch(r, &s->consistent, compare_range))
		goto give_back;
	if (s->debug)
		dma_debug_arena_taken(s, r->start, r->size, r->label);
	p = dma->base + r->start;
	if (zero)
		memset(p, 0, size);
	if (dma_pages_get(s, r->start, r->size, OB_DMA_READ | OB_DMA_WRITE))
		goto forget;
	s->nr_consistent++;
	dma_count(&s->stats.allocated, r->size);
	if (iova)
		*iova = ob_dma_iova(dma, p);
	goto out;

forget:
	tdelete(r, &s->consistent, compare_range);
	p = NULL;
give_back:
	dma_ranges_free(&s->arena, r);
out:
	pthread_mutex_unlock(&s->lock);
	return p;
}

void *ob_dma_alloc(struct ob_dma *dma, size_t size, size_t align, const char *label, ob_iova *iova)
{
	return take_consistent(dma, size, align, label, iova, true);
}

void *ob_dma_reserve(struct ob_dma *dma, size_t size, size_t align, const char *label,
		     ob_iova *iova)
{
	return take_consistent(dma, size, align, label, iova, false);
}

void ob_dma_free(struct ob_dma *dma, void *p)
{
	struct dma_space *s = dma_space(dma);
	struct dma_range key = {.start = (uint64_t)((char *)p - dma->base)};
	struct dma_range **found;

	if (!p)
		return;
	pthread_mutex_lock(&s->lock);
	found = tfind(&key, &s->consistent, compare_range);
	if (!found) {
		dma_report(s, "free of %p, which ob_dma_alloc() did not give or which is free", p);
	} else {
		struct dma_range *r = *found;

		tdelete(r, &s->consistent, compare_range);
		s->nr_consistent--;
		dma_count(&s->stats.allocated, -r->size);
		dma_pages_put(s, r->start, r->size, OB_DMA_READ | OB_DMA_WRITE);
		if (s->debug)
			dma_debug_arena_freed(s, r->start, r->size);
		dma_ranges_free(&s->arena, r);
	}
	pthread_mutex_unlock(&s->lock);
}

int ob_dma_for_each(struct ob_dma *dma,
		    int (*fn)(void *arg, const char *label, void *p, size_t size), void *arg)
{
	struct dma_space *s = dma_space(dma);
	struct dma_range *r;
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	for (r = s->arena.first; r && !ret; r = r->next) {
		if (r->label && tfind(r, &s->consistent, compare_range))
			ret = fn(arg, r->label, dma->base + r->start, r->size);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* ---- DMA mask --------------------------------------------------------------------------- */

static uint64_t counted_maps(const struct dma_space *s, uint64_t *live)
{
	uint64_t maps = 0, unmaps = 0;
	unsigned int i;

	/* Unmaps first: read the other way round, one between the reads would make them more. */
	for (i = 0; i < DMA_SHARDS; i++)
		unmaps += __atomic_load_n(&s->shard[i].unmaps, __ATOMIC_ACQUIRE);
	for (i = 0; i < DMA_SHARDS; i++)
		maps += __atomic_load_n(&s->shard[i].maps, __ATOMIC_RELAXED);
	*live = maps - unmaps;
	return maps;
}

static int map_arena(struct dma_space *s)
{
	int ret;

	if (!s->window.translated || s->page)
		return 0;
	ret = dma_backend_map(s, s->dma.base, s->dma.iova, s->dma.size, OB_DMA_READ | OB_DMA_WRITE);
	s->arena_mapped = !ret;
	return ret;
}

static struct dma_range *find_iova(struct dma_space *s, uint64_t last)
{
	struct dma_range *r;

	r = dma_ranges_alloc(&s->iovas, s->dma.size, DMA_SUPERPAGE, last, "arena");
	if (!r)
		r = dma_ranges_alloc(&s->iovas, s->dma.size, dma_page_size(s), last, "arena");
	return r;
}

/* Nothing is allocated or mapped: move the arena to where the device's address lines reach. */
static int move_arena(struct dma_space *s, uint64_t last, struct ob_error *err)
{
	struct dma_range *old = s->arena_iova;
	uint64_t old_iova = s->dma.iova;
	struct dma_range *r;
	int ret;

	r = find_iova(s, last);
	if (!r) {
		ret = ob_error_set(err, -EIO,
				   "%s: no room for a DMA arena of %" PRIu64
				   " bytes below the device's mask 0x%" PRIx64,
				   s->dev->info.name, s->dma.size, last);
		ob_error_fix(err, "open the device with a smaller arena, e.g. arena=%" PRIu64 "K",
			     (last + 1) / 2048 ? (last + 1) / 2048 : 4);
		return ret;
	}
	if (s->arena_mapped) {
		ret = dma_backend_unmap(s, old_iova, s->dma.size);
		if (ret)
			goto give_back;
		s->arena_mapped = false;
	}
	s->dma.iova = r->start;
	ret = map_arena(s);
	if (ret)
		goto back;
	s->arena_iova = r;
	s->arena.bias = s->dma.iova;
	dma_ranges_free(&s->iovas, old);
	return 0;

back:
	s->dma.iova = old_iova;
	if (map_arena(s))
		ob_device_log(
			s->dev, OB_LOG_ERROR,
			"DMA: the arena cannot be mapped any more; the device reaches nothing");
give_back:
	dma_ranges_free(&s->iovas, r);
	return ob_error_set(err, ret == -ENODEV ? ret : -EIO,
			    "%s: cannot move the DMA arena below 0x%" PRIx64 ": %s",
			    s->dev->info.name, last, strerror(-ret));
}

/* Nothing translates: other memory instead, where the device's address lines reach. */
static int replace_arena(struct dma_space *s, uint64_t last, struct ob_error *err)
{
	struct ob_dma_window w = s->window;
	struct dma_ranges arena = {0};
	int ret;

	ret = s->dev->ops->arena_below(s->dev, last, &w, err);
	if (ret)
		return ret;
	/* All of the old one is free now, so its bookkeeping is begun again. */
	ret = dma_ranges_init(&arena, 0, w.size);
	if (ret) {
		/* No allocation from memory that is gone. */
		s->dma.size = s->direct = 0;
		return ob_error_set(err, ret, "%s: no memory for the DMA arena's bookkeeping",
				    s->dev->info.name);
	}
	dma_ranges_fini(&s->arena);
	s->arena = arena;
	s->arena.bias = w.iova;
	s->window = w;
	s->dma.base = w.base;
	s->dma.size = w.size;
	s->dma.iova = w.iova;
	if (s->direct)
		s->direct = w.size < DMA_MAX_LEN ? w.size : DMA_MAX_LEN;
	return 0;
}

int ob_dma_set_mask(struct ob_dma *dma, unsigned int bits, struct ob_error *err)
{
	struct dma_space *s = dma_space(dma);
	uint64_t last, live;
	int ret = 0;

	if (bits < 16 || bits > 64)
		return ob_error_set(err, -EINVAL,
				    "%s: a DMA mask of %u bits; 16 to 64 are possible",
				    s->dev->info.name, bits);
	last = UINT64_MAX >> (64 - bits);

	pthread_mutex_lock(&s->lock);
	counted_maps(s, &live);
	if (s->dma.iova > last || s->dma.size - 1 > last - s->dma.iova) {
		if (!s->window.translated && !s->dev->ops->arena_below) {
			ret = ob_error_set(err, -EIO,
					   "%s: the DMA arena ends at 0x%" PRIx64
					   ", beyond the %u address bits of the device",
					   s->dev->info.name, s->dma.iova + s->dma.size - 1, bits);
			ob_error_why(err, "without an IOMMU it cannot be moved");
			goto out;
		}
		if (s->nr_consistent || s->stats.mapped || live) {
			ret = ob_error_set(
				err, -EIO,
				"%s: the DMA arena cannot be moved below %u bits any more",
				s->dev->info.name, bits);
			ob_error_why(err,
				     "%u allocations and %" PRIu64 " mappings exist already; set "
				     "the mask first",
				     s->nr_consistent, s->stats.mapped + live);
			goto out;
		}
		dma_outside_evict(s, 0);
		dma_pages_evict(s, 0);
		dma_bounce_trim(s);
		ret = s->window.translated ? move_arena(s, last, err) : replace_arena(s, last, err);
		if (ret)
			goto out;
	} else if (dma_outside_above(s, last)) {
		ret = ob_error_set(err, -EIO, "%s: memory is mapped beyond %u address bits",
				   s->dev->info.name, bits);
		ob_error_why(err, "set the mask before the first mapping");
		goto out;
	}
	/* Idle mappings may lie beyond; the cache must not give them out again. */
	if (last < s->last)
		dma_outside_evict(s, 0);
	s->last = last;
out:
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* ---- questions ---------------------------------------------------------------------------- */

enum ob_dma_policy ob_dma_policy(const struct ob_dma *dma)
{
	return dma_space(dma)->window.policy;
}

void ob_dma_stats(const struct ob_dma *dma, struct ob_dma_stats *stats)
{
	const struct dma_space *s = dma_space(dma);
	const struct ob_dma_stats *c = &s->stats;
	uint64_t maps, live;
	unsigned int i;

	maps = counted_maps(s, &live);
	for (i = 0; i < 4; i++)
		stats->ways[i] = __atomic_load_n(&c->ways[i], __ATOMIC_RELAXED);
	stats->ways[OB_DMA_WAY_ARENA] += maps;
	stats->bounced = __atomic_load_n(&c->bounced, __ATOMIC_RELAXED);
	stats->iommu_maps = __atomic_load_n(&c->iommu_maps, __ATOMIC_RELAXED);
	stats->iommu_unmaps = __atomic_load_n(&c->iommu_unmaps, __ATOMIC_RELAXED);
	stats->allocated = __atomic_load_n(&c->allocated, __ATOMIC_RELAXED);
	stats->mapped = __atomic_load_n(&c->mapped, __ATOMIC_RELAXED) + live;
}

/* ---- life --------------------------------------------------------------------------------- */

static int check_window(const struct dma_space *s, const struct ob_dma_window *w,
			struct ob_error *err)
{
	const char *name = s->dev->info.name;
	uint64_t page = dma_page_size(s);

	if (!w->base || !w->size || ((uintptr_t)w->base | w->size | w->iova) & (page - 1) ||
	    w->size - 1 > UINT64_MAX - w->iova || w->size >> s->page_shift >= DMA_NO_PAGE)
		return ob_error_set(err, -EINVAL,
				    "%s: DMA arena %p, %" PRIu64 " bytes, iova 0x%" PRIx64
				    " is not whole pages",
				    name, w->base, w->size, w->iova);
	if (w->policy != OB_DMA_POOLED && !w->translated) {
		ob_error_set(err, -EINVAL, "%s: dma=%s needs an IOMMU", name,
			     w->policy == OB_DMA_STRICT ? "strict" : "lazy");
		ob_error_why(err, "without one the device reaches its whole arena at any time");
		ob_error_fix(err, "leave out iommu=off, or use dma=pooled");
		return -EINVAL;
	}
	return 0;
}

static int reserve_hole(struct dma_space *s, uint64_t from, uint64_t last)
{
	uint64_t min = s->iovas.first->start, max = min;
	const struct dma_range *r;

	/* What the ranges span; they are in order and without gaps. */
	for (r = s->iovas.first; r; r = r->next)
		max = r->start + (r->size - 1);
	from = dma_page_down(s, from);
	last |= dma_page_size(s) - 1;
	if (from < min)
		from = min;
	if (last > max)
		last = max;
	if (from > last || dma_ranges_reserve(&s->iovas, from, last - from + 1, "hole"))
		return 0;
	return -ENOMEM;
}

/* What dma_map can use, without the holes and without page 0: to many devices address 0 is "none". */
static int init_iovas(struct dma_space *s, const struct ob_dma_window *w, struct ob_error *err)
{
	uint64_t min = dma_page_up(s, w->aperture_min ? w->aperture_min : 1);
	uint64_t max = w->aperture_max;
	uint64_t size;
	int ret;

	if (max <= min)
		return ob_error_set(err, -EINVAL, "%s: empty IOVA aperture", s->dev->info.name);
	size = dma_page_down(s, max - min + 1);
	ret = size ? dma_ranges_init(&s->iovas, min, size) : -EINVAL;
	if (ret)
		return ob_error_set(err, ret, "%s: IOVA aperture 0x%" PRIx64 " to 0x%" PRIx64,
				    s->dev->info.name, min, max);
	if (w->hole_max > w->hole_min)
		ret = reserve_hole(s, w->hole_min, w->hole_max);
	for (unsigned int i = 0; i < w->nr_holes && !ret; i++)
		ret = reserve_hole(s, w->hole[i].min, w->hole[i].max);
	if (ret)
		return ob_error_set(err, ret, "%s: no memory", s->dev->info.name);
	s->arena_iova = dma_ranges_reserve(&s->iovas, w->iova, w->size, "arena");
	if (!s->arena_iova)
		return ob_error_set(err, -EINVAL,
				    "%s: DMA arena at iova 0x%" PRIx64
				    " is outside of the aperture",
				    s->dev->info.name, w->iova);
	return 0;
}

static int init_pages(struct dma_space *s)
{
	uint64_t i, n = s->dma.size >> s->page_shift;

	s->page_oldest = s->page_newest = DMA_NO_PAGE;
	if (s->window.policy == OB_DMA_POOLED)
		return 0;
	s->page = calloc(n, sizeof(*s->page));
	if (!s->page)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		s->page[i].older = s->page[i].newer = DMA_NO_PAGE;
	return 0;
}

static void free_space(struct dma_space *s)
{
	dma_debug_free(s);
	free(s->page);
	dma_ranges_fini(&s->iovas);
	dma_ranges_fini(&s->arena);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int ob_dma_create(struct ob_device *dev, const struct ob_dma_window *window, struct ob_error *err)
{
	const char *env = secure_getenv("OUTBOARD_DMA_DEBUG");
	struct dma_space *s;
	int ret;

	s = aligned_alloc(__alignof__(*s), sizeof(*s));
	if (!s)
		return ob_error_set(err, -ENOMEM, "%s: no memory", dev->info.name);
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->dev = dev;
	s->window = *window;
	s->dma.base = window->base;
	s->dma.size = window->size;
	s->dma.iova = window->iova;
	s->last = UINT64_MAX;
	s->page_shift = (unsigned int)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	s->max_idle_pages = DMA_IDLE_PAGES;
	s->max_idle_outside = DMA_IDLE_OUTSIDE;
	s->max_idle_outside_pages = DMA_IDLE_OUTSIDE_PAGES;

	ret = check_window(s, window, err);
	if (ret)
		goto fail;
	ret = dma_ranges_init(&s->arena, 0, window->size);
	if (!ret)
		ret = init_pages(s);
	s->arena.bias = s->dma.iova;
	if (ret) {
		ob_error_set(err, ret, "%s: no memory for the DMA arena's bookkeeping",
			     dev->info.name);
		goto fail;
	}
	if (window->translated) {
		ret = init_iovas(s, window, err);
		if (ret)
			goto fail;
	}
	if (!s->page)
		s->direct = window->size < DMA_MAX_LEN ? window->size : DMA_MAX_LEN;
	if (env && *env && strcmp(env, "0") != 0) {
		ret = ob_dma_debug(&s->dma);
		if (ret) {
			ob_error_set(err, ret, "%s: no memory for the DMA debug mode",
				     dev->info.name);
			goto fail;
		}
	}
	ret = map_arena(s);
	if (ret) {
		ob_error_set(err, ret, "%s: cannot map the DMA arena of %" PRIu64 " bytes: %s",
			     dev->info.name, window->size, strerror(-ret));
		goto fail;
	}
	dev->dma = &s->dma;
	return 0;

fail:
	free_space(s);
	return ret;
}

static void free_nothing(void *p)
{
	(void)p;
}

void ob_dma_destroy(struct ob_device *dev)
{
	struct dma_space *s;

	if (!dev->dma)
		return;
	s = dma_space(dev->dma);
	pthread_mutex_lock(&s->lock);
	if (s->debug)
		dma_debug_leaks(s);
	dma_stream_drop_all(s);
	dma_pages_drop_all(s);
	if (s->arena_mapped)
		dma_backend_unmap(s, s->dma.iova, s->dma.size);
	tdestroy(s->consistent, free_nothing);
	pthread_mutex_unlock(&s->lock);
	dev->dma = NULL;
	free_space(s);
}
