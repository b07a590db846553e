/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DMA layer's own structures: arena, IOVA space, page rights, mapping cache, bounce buffers, debug
 * mode. Contract: include/outboard/dma.h; what it costs: docs/dma.md.
 *
 * All bookkeeping lies outside of the arena, because the device can write there.
 */
#ifndef ACCESS_DMA_H
#define ACCESS_DMA_H

#include <pthread.h>

#include <outboard/access.h>

/* ---- dma_ranges.c: who has which part of an address range --------------------------- */

enum {
	DMA_RANGE_BINS = 64,
};

/**
 * struct dma_range - a piece of the whole, used or free; neighbours in address order
 * @label: what it is used for; NULL while it is free
 */
struct dma_range {
	uint64_t start, size;
	const char *label;
	struct dma_range *prev, *next;
	struct dma_range *bin_prev, *bin_next;
};

/**
 * struct dma_ranges - an address range and its pieces
 * @bin: free pieces by the logarithm of their size
 * @high: end of the highest piece that was ever used
 * @bias: alignment is that of address + bias
 */
struct dma_ranges {
	struct dma_range *first;
	struct dma_range *bin[DMA_RANGE_BINS];
	uint64_t high;
	uint64_t bias;
};

int dma_ranges_init(struct dma_ranges *r, uint64_t start, uint64_t size);
void dma_ranges_fini(struct dma_ranges *r);
/** dma_ranges_alloc() - @last: highest address that the piece may contain; NULL: no room */
struct dma_range *dma_ranges_alloc(struct dma_ranges *r, uint64_t size, uint64_t align,
				   uint64_t last, const char *label);
/** dma_ranges_reserve() - take exactly this piece; NULL when a part of it is used or outside */
struct dma_range *dma_ranges_reserve(struct dma_ranges *r, uint64_t start, uint64_t size,
				     const char *label);
void dma_ranges_free(struct dma_ranges *r, struct dma_range *range);
/** dma_ranges_label() - what the piece at @at is used for, or "" */
const char *dma_ranges_label(const struct dma_ranges *r, uint64_t at);

/* ---- one device's DMA memory ---------------------------------------------------------- */

#define DMA_NO_PAGE UINT32_MAX

/* The longest streaming mapping. */
#define DMA_MAX_LEN (1ull << 31)

/**
 * struct dma_page - rights of one arena page (strict and lazy policy)
 * @readers, @writers: mappings and allocations that let the device read or write it
 * @older, @newer: neighbours among the idle pages (lazy policy)
 * @mapped: rights that the IOMMU gives now, of enum ob_dma_prot
 * @idle: mapped without need; in the list
 */
struct dma_page {
	uint32_t readers, writers;
	uint32_t older, newer;
	uint8_t mapped;
	bool idle;
};

/**
 * struct dma_outside - an IOMMU mapping of memory outside of the arena
 * @refs: streaming mappings that use it; without any it is idle and can be evicted
 */
struct dma_outside {
	uintptr_t va;
	size_t len;
	unsigned int prot;
	unsigned int refs;
	struct dma_range *iova;
	struct dma_outside *hash_next;
	struct dma_outside *older, *newer;
};

/**
 * struct dma_bounce - a bounce buffer
 * @order: page << order bytes; from DMA_BOUNCE_ORDERS on just whole pages, not kept for reuse
 * @place: its last map, for reports
 * @poisoned: the debug mode filled it when it was freed
 */
struct dma_bounce {
	char *mem;
	size_t size;
	unsigned int order;
	bool poisoned;
	const char *place;
	struct dma_range *range;
	struct dma_bounce *next;		/* in the free list of its order */
	struct dma_bounce *all_prev, *all_next; /* of all that exist */
};

enum {
	DMA_SHARDS = 8,
	DMA_OUTSIDE_BUCKETS = 1024,
	DMA_REFUSED = 64,
	DMA_BOUNCE_ORDERS = 9, /* kept for reuse up to a page << 8, 1 MiB */

	/* Limits of what stays mapped without need; a balance, see docs/dma.md. */
	DMA_IDLE_PAGES = 4096,
	DMA_IDLE_OUTSIDE = 1024,
	DMA_IDLE_OUTSIDE_PAGES = 16384,
};

/*
 * Maps and unmaps on the lock-free way. A cache line for each, chosen by the thread, so that queues of
 * several threads do not fight for one.
 */
struct dma_shard {
	uint64_t maps, unmaps;
} __attribute__((aligned(64)));

/* A region that dma_map refused, and how often we still believe that before we ask again. */
struct dma_refused {
	uintptr_t region;
	unsigned int left;
};

struct dma_debug;

/**
 * struct dma_space - what is behind a struct ob_dma
 * @direct: so many bytes of the arena, from its begin, need nothing but the subtraction: all (at most
 *	2 GiB, the longest mapping) where it is reachable as a whole, 0 otherwise and in debug mode
 * @last: the device's highest address (DMA mask)
 * @lock: all below it; the direct way takes no lock
 * @consistent: tree (tsearch) of the struct dma_range of ob_dma_alloc()
 * @page: rights by arena page; NULL where the arena is reachable as a whole
 */
struct dma_space {
	struct ob_dma dma;
	uint64_t direct;
	bool arena_mapped;
	struct dma_debug *debug;
	struct ob_device *dev;
	struct ob_dma_window window;
	uint64_t last;
	unsigned int page_shift;
	struct dma_shard shard[DMA_SHARDS];

	pthread_mutex_t lock;
	struct dma_ranges arena;
	void *consistent;
	unsigned int nr_consistent;
	struct dma_ranges iovas;
	struct dma_range *arena_iova;

	struct dma_page *page;
	uint32_t page_oldest, page_newest;
	unsigned int idle_pages, max_idle_pages;

	struct dma_outside *outside[DMA_OUTSIDE_BUCKETS];
	struct dma_outside *outside_oldest, *outside_newest;
	unsigned int idle_outside, max_idle_outside;
	uint64_t idle_outside_pages, max_idle_outside_pages;
	struct dma_refused refused[DMA_REFUSED];

	struct dma_bounce *bounce[DMA_BOUNCE_ORDERS];
	struct dma_bounce *bounce_all;

	/* Written under the lock, read without. */
	struct ob_dma_stats stats;
	unsigned int reports;
};

static inline struct dma_space *dma_space(const struct ob_dma *dma)
{
	return (struct dma_space *)(uintptr_t)dma;
}

static inline size_t dma_page_size(const struct dma_space *s)
{
	return (size_t)1 << s->page_shift;
}

static inline uint64_t dma_page_down(const struct dma_space *s, uint64_t x)
{
	return x & ~(uint64_t)(dma_page_size(s) - 1);
}

static inline uint64_t dma_page_up(const struct dma_space *s, uint64_t x)
{
	return dma_page_down(s, x + dma_page_size(s) - 1);
}

/* Counters have one writer at a time (the lock's holder) but are read by anybody. */
static inline void dma_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Backend calls, counted. A device that is gone has nothing mapped: that unmap succeeds. */
int dma_backend_map(struct dma_space *s, void *va, uint64_t iova, size_t len, unsigned int prot);
int dma_backend_unmap(struct dma_space *s, uint64_t iova, size_t len);

/* Arena memory of any use; trims idle bounce buffers when the arena is full. Lock held. */
struct dma_range *dma_arena_take(struct dma_space *s, uint64_t size, uint64_t align,
				 const char *label);

/* ---- dma_pages.c: rights by page, strict and lazy policy; lock held -------------------- */

/** dma_pages_get() - let the device reach arena bytes [off, off + len); nothing changed on error */
int dma_pages_get(struct dma_space *s, uint64_t off, size_t len, unsigned int prot);
/** dma_pages_put() - the opposite, with the same arguments */
int dma_pages_put(struct dma_space *s, uint64_t off, size_t len, unsigned int prot);
/** dma_pages_evict() - unmap idle pages, oldest first, until at most @keep are left */
int dma_pages_evict(struct dma_space *s, unsigned int keep);
/** dma_pages_drop_all() - unmap whatever is mapped, at close */
void dma_pages_drop_all(struct dma_space *s);

/* ---- dma_stream.c ------------------------------------------------------------------------ */

/** dma_outside_evict() - unmap idle mappings, oldest first, until at most @keep are left */
void dma_outside_evict(struct dma_space *s, unsigned int keep);
/** dma_outside_above() - is a mapping in use that reaches beyond @last? */
bool dma_outside_above(struct dma_space *s, uint64_t last);
/** dma_bounce_trim() - give free bounce buffers back to the arena; did it free any? */
bool dma_bounce_trim(struct dma_space *s);
void dma_stream_drop_all(struct dma_space *s);

/* ---- dma_debug.c; lock held ---------------------------------------------------------------- */

void dma_report(struct dma_space *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** dma_debug_before_map() - report a mapping object that is mapped already */
int dma_debug_before_map(struct dma_space *s, const struct ob_dma_mapping *map, const char *place);
void dma_debug_after_map(struct dma_space *s, const struct ob_dma_mapping *map);
/** dma_debug_unmap() - check and forget; -EINVAL when there is nothing to unmap. Repairs @map */
int dma_debug_unmap(struct dma_space *s, struct ob_dma_mapping *map, const char *place);
int dma_debug_sync(struct dma_space *s, struct ob_dma_mapping *map, size_t off, size_t len,
		   bool for_cpu, const char *place);
void dma_debug_after_sync(struct dma_space *s, const struct ob_dma_mapping *map);
/* Poison: after its use, and a look before the next. */
void dma_debug_bounce_freed(struct dma_space *s, struct dma_bounce *b);
void dma_debug_bounce_taken(struct dma_space *s, struct dma_bounce *b);
void dma_debug_arena_freed(struct dma_space *s, uint64_t off, uint64_t size);
void dma_debug_arena_taken(struct dma_space *s, uint64_t off, uint64_t size, const char *label);
void dma_debug_leaks(struct dma_space *s);
void dma_debug_free(struct dma_space *s);

#endif
