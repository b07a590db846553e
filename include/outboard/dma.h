/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA memory of one device.
 *
 * Each device has an arena: one piece of memory of this process that the device can reach. Address
 * conversion in the arena is one subtraction (ob_dma_iova()). Consistent memory comes from it by
 * ob_dma_alloc(). Any other buffer goes through the streaming calls, which choose by themselves:
 *
 *   arena memory   subtraction
 *   other memory   an IOMMU mapping, kept in a cache, where the backend can map it
 *   the rest       a bounce buffer in the arena (also when the DMA mask forbids the address)
 *
 * With policy OB_DMA_STRICT the arena is not mapped as a whole: the device reaches a page only between
 * map and unmap, and only in the direction of the map.
 */
#ifndef OUTBOARD_DMA_H
#define OUTBOARD_DMA_H

#include <assert.h>
#include <sys/uio.h>

#include <outboard/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * typedef ob_iova - an address as the device sees it
 *
 * A struct, so that the compiler tells it from a pointer, a physical address and an offset.
 */
typedef struct {
	uint64_t addr;
} ob_iova;

/* The two halves as a device's 32-bit registers and descriptors take them. */
static inline uint32_t ob_iova_lo(ob_iova iova)
{
	return (uint32_t)iova.addr;
}
static inline uint32_t ob_iova_hi(ob_iova iova)
{
	return (uint32_t)(iova.addr >> 32);
}
static inline ob_iova ob_iova_add(ob_iova iova, uint64_t off)
{
	return (ob_iova){iova.addr + off};
}

/**
 * struct ob_dma - the arena, as the inline calls need it; the rest is private
 * @base: first byte of the arena in this process, page aligned
 * @size: bytes
 * @iova: where the device sees @base
 */
struct ob_dma {
	char *base;
	uint64_t size;
	uint64_t iova;
};

/** ob_dma_contains() - does a buffer lie in the arena as a whole? */
static inline bool ob_dma_contains(const struct ob_dma *dma, const void *buf, size_t len)
{
	uint64_t off = (uint64_t)((uintptr_t)buf - (uintptr_t)dma->base);

	return off < dma->size && len <= dma->size - off;
}

/** ob_dma_iova() - address of arena memory for the device; @p must lie in the arena */
static inline ob_iova ob_dma_iova(const struct ob_dma *dma, const void *p)
{
	return (ob_iova){dma->iova + (uint64_t)((const char *)p - dma->base)};
}

/* ---- consistent memory ---------------------------------------------------------- */

/**
 * ob_dma_alloc() - memory that device and driver use at the same time (rings, queues)
 * @size: bytes, > 0
 * @align: power of two, of the address that the device sees; at least 64 is given
 * @label: what it is for ("rx ring"); a string that lives as long as the memory. Shown by
 *	the debug mode and matched by the fault-injection wrapper
 * @iova: set to its address for the device, may be NULL
 *
 * Zeroed. Mapped for both directions until ob_dma_free() or ob_device_close(). Thread safe; not for a hot path.
 *
 * Return: the memory, or NULL when the arena is full.
 */
void *ob_dma_alloc(struct ob_dma *dma, size_t size, size_t align, const char *label, ob_iova *iova);

/**
 * ob_dma_reserve() - as ob_dma_alloc(), but what was in the memory before stays in it
 *
 * For what is large and mostly not used: pages that nobody has touched stay without memory behind them,
 * where the arena's are not locked.
 */
void *ob_dma_reserve(struct ob_dma *dma, size_t size, size_t align, const char *label,
		     ob_iova *iova);

/** ob_dma_free() - give memory of ob_dma_alloc() or ob_dma_reserve() back; NULL is allowed */
void ob_dma_free(struct ob_dma *dma, void *p);

/* ---- streaming ------------------------------------------------------------------ */

enum ob_dma_dir {
	OB_DMA_TO_DEVICE = 1,	/* the device reads */
	OB_DMA_FROM_DEVICE = 2, /* the device writes */
	OB_DMA_BOTH = 3,
};

enum ob_dma_way {
	OB_DMA_WAY_ARENA,
	OB_DMA_WAY_MAPPED,
	OB_DMA_WAY_CACHED,
	OB_DMA_WAY_BOUNCE,
};

/**
 * struct ob_dma_mapping - one streaming mapping, memory of the caller's
 * @iova: where the device sees the buffer; contiguous for the device
 * @len: bytes
 *
 * The other fields are private. Between map and unmap the buffer belongs to the device; to look at
 * it or to change it in between, use the sync calls.
 */
struct ob_dma_mapping {
	ob_iova iova;
	uint32_t len;
	uint8_t dir;
	uint8_t way;
	uint16_t seg;
	void *buf;
	void *bounce;
	void *priv;
	const char *place;
	struct ob_dma *dma;
};

#define OB_STRINGIFY_(x) #x
#define OB_STRINGIFY(x)	 OB_STRINGIFY_(x)
#define OB_HERE		 __FILE__ ":" OB_STRINGIFY(__LINE__)

/**
 * ob_dma_map() - give a buffer of this process to the device
 * @buf: any memory, any alignment
 * @len: 1 to 2^31 bytes
 * @dir: what the device does with it
 * @map: filled; must stay where it is until ob_dma_unmap()
 *
 * A bounce buffer is filled here where @dir includes OB_DMA_TO_DEVICE. For OB_DMA_FROM_DEVICE
 * a bounce buffer is zeroed, so that a device that writes less leaks nothing.
 *
 * Return: 0; -EINVAL; -ENOSPC when a bounce buffer or an IOVA cannot be had now (try again after
 * an unmap); -E2BIG when it never can.
 */
#define ob_dma_map(dma, buf, len, dir, map) ob_dma_map_at(dma, buf, len, dir, map, OB_HERE)
int ob_dma_map_at(struct ob_dma *dma, void *buf, size_t len, enum ob_dma_dir dir,
		  struct ob_dma_mapping *map, const char *place);

/** ob_dma_sync_for_cpu() - let the CPU see what the device wrote to a part of a mapping */
#define ob_dma_sync_for_cpu(map, off, len) ob_dma_sync_for_cpu_at(map, off, len, OB_HERE)
int ob_dma_sync_for_cpu_at(struct ob_dma_mapping *map, size_t off, size_t len, const char *place);

/** ob_dma_sync_for_device() - let the device see what the CPU wrote to a part of a mapping */
#define ob_dma_sync_for_device(map, off, len) ob_dma_sync_for_device_at(map, off, len, OB_HERE)
int ob_dma_sync_for_device_at(struct ob_dma_mapping *map, size_t off, size_t len,
			      const char *place);

/**
 * ob_dma_unmap() - take the buffer back; copies a bounce buffer out when the device wrote
 *
 * Return: 0; -EINVAL for a mapping that is not mapped (reported by the debug mode).
 */
#define ob_dma_unmap(map) ob_dma_unmap_at(map, OB_HERE)
int ob_dma_unmap_at(struct ob_dma_mapping *map, const char *place);

/**
 * ob_dma_map_sg() - map a scattered buffer
 * @iov: @n pieces
 * @maps: room for @n mappings, one for each piece
 *
 * All or none. Return: 0 or as ob_dma_map().
 */
#define ob_dma_map_sg(dma, iov, n, dir, maps) ob_dma_map_sg_at(dma, iov, n, dir, maps, OB_HERE)
int ob_dma_map_sg_at(struct ob_dma *dma, const struct iovec *iov, unsigned int n,
		     enum ob_dma_dir dir, struct ob_dma_mapping *maps, const char *place);
void ob_dma_unmap_sg(struct ob_dma_mapping *maps, unsigned int n);

/**
 * ob_dma_forget() - memory outside of the arena is about to go away (munmap, free)
 *
 * The cache of IOMMU mappings knows memory by its address. Memory that was given to ob_dma_map(), and
 * other memory at the same address later, would be taken for the same: call this before the first
 * goes. Not needed for arena memory, nor under OB_DMA_STRICT, which keeps no unused mapping.
 *
 * Return: 0; -EBUSY when a mapping of it is still in use.
 */
int ob_dma_forget(struct ob_dma *dma, void *buf, size_t len);

/**
 * ob_dma_set_mask() - how many address bits the device can drive
 * @bits: 16 to 64; 32 for bus-master IDE, 64 for NVMe. Default 64
 *
 * Return: 0; -EIO when the arena does not lie below the mask and cannot be moved there
 * any more (something is mapped or allocated).
 */
int ob_dma_set_mask(struct ob_dma *dma, unsigned int bits, struct ob_error *err);

enum ob_dma_policy {
	OB_DMA_POOLED, /* arena mapped once: fastest */
	OB_DMA_STRICT, /* pages mapped only while a mapping or allocation needs them */
	OB_DMA_LAZY,   /* as strict, but unmapped pages stay mapped until the cache evicts them */
};

/** ob_dma_policy() - chosen with `dma=pooled|strict|lazy` in the device's spec */
enum ob_dma_policy ob_dma_policy(const struct ob_dma *dma);

/**
 * struct ob_dma_stats - counters since open
 * @ways: streaming maps, by enum ob_dma_way
 * @bounced: bytes copied for bounce buffers
 * @iommu_maps, @iommu_unmaps: calls of the backend
 * @allocated: bytes of consistent memory now
 * @mapped: streaming mappings now
 */
struct ob_dma_stats {
	uint64_t ways[4];
	uint64_t bounced;
	uint64_t iommu_maps, iommu_unmaps;
	uint64_t allocated;
	uint64_t mapped;
};
void ob_dma_stats(const struct ob_dma *dma, struct ob_dma_stats *stats);

/**
 * ob_dma_debug() - switch the debug mode on, before the first map
 *
 * Finds leaks (at close), double unmaps, sync in the wrong direction, use of a mapping
 * after its unmap, and writes by the device after unmap into a bounce buffer; each report
 * names the place of the map. Also by the environment variable OUTBOARD_DMA_DEBUG=1.
 * Reports go to the device's log at OB_LOG_ERROR; ob_dma_debug_reports() counts them.
 */
int ob_dma_debug(struct ob_dma *dma);
unsigned int ob_dma_debug_reports(const struct ob_dma *dma);

/**
 * ob_dma_for_each() - walk the consistent allocations
 * @fn: called with label, memory, size; a non-zero return ends the walk and is returned. Must not
 *	allocate or free
 */
int ob_dma_for_each(struct ob_dma *dma,
		    int (*fn)(void *arg, const char *label, void *p, size_t size), void *arg);

#ifdef __cplusplus
}
#endif
#endif
