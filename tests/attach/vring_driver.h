/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split virtqueue in memory, for tests of the device's side: it writes what it is told
 * to, also what no driver may.
 */
#ifndef TESTS_ATTACH_VRING_DRIVER_H
#define TESTS_ATTACH_VRING_DRIVER_H

#include <endian.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "attach/virtqueue.h"

enum {
	VRING_NUM = 8,
	/* The driver's addresses: memory that begins at BASE, of which the first page holds the rings. */
	VRING_BASE = 0x10000,
	VRING_MEMORY = 64 << 10,
	VRING_DESC = VRING_BASE,
	VRING_AVAIL = VRING_BASE + 0x400,
	VRING_USED = VRING_BASE + 0x800,
	VRING_DATA = VRING_BASE + 0x1000,
};

/**
 * struct vring_driver - the rings and the memory they name
 * @piece_max: translate() gives at most so many bytes at once, 0: all
 * @read_only_from: addresses from here on may not be written by the device, 0: all may
 */
struct vring_driver {
	char memory[VRING_MEMORY] __attribute__((aligned(4096)));
	struct virtqueue_memory map;
	uint32_t piece_max;
	uint64_t read_only_from;
	uint16_t avail, used;
};

static inline void *vring_at(struct vring_driver *d, uint64_t addr)
{
	return d->memory + (addr - VRING_BASE);
}

static inline void *vring_translate(void *arg, uint64_t addr, uint32_t *len, bool write)
{
	struct vring_driver *d = arg;

	if (addr < VRING_BASE || addr >= VRING_BASE + VRING_MEMORY)
		return NULL;
	if (write && d->read_only_from && addr >= d->read_only_from)
		return NULL;
	if (*len > VRING_BASE + VRING_MEMORY - addr)
		*len = (uint32_t)(VRING_BASE + VRING_MEMORY - addr);
	if (d->piece_max && addr >= VRING_DATA && *len > d->piece_max)
		*len = d->piece_max;
	return vring_at(d, addr);
}

static inline void vring_driver_init(struct vring_driver *d)
{
	memset(d, 0, sizeof(*d));
	d->map.translate = vring_translate;
	d->map.arg = d;
}

static inline struct vring_avail *vring_avail(struct vring_driver *d)
{
	return vring_at(d, VRING_AVAIL);
}

static inline struct vring_used *vring_used(struct vring_driver *d)
{
	return vring_at(d, VRING_USED);
}

/* Descriptor @i of the table at @table. */
static inline void vring_desc(struct vring_driver *d, uint64_t table, unsigned int i, uint64_t addr,
			      uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc desc = {
		.addr = htole64(addr),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};

	memcpy((char *)vring_at(d, table) + i * sizeof(desc), &desc, sizeof(desc));
}

static inline void vring_offer(struct vring_driver *d, uint16_t head)
{
	struct vring_avail *avail = vring_avail(d);

	avail->ring[d->avail % VRING_NUM] = htole16(head);
	d->avail++;
	__atomic_store_n(&avail->idx, htole16(d->avail), __ATOMIC_RELEASE);
}

/* Returns true when there was one. */
static inline bool vring_take(struct vring_driver *d, uint32_t *head, uint32_t *len)
{
	struct vring_used *used = vring_used(d);

	if (le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE)) == d->used)
		return false;
	*head = le32toh(used->ring[d->used % VRING_NUM].id);
	*len = le32toh(used->ring[d->used % VRING_NUM].len);
	d->used++;
	return true;
}

#endif
