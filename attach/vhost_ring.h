/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split virtqueue (virtio 1.2, 2.7) whose other side is the kernel's vhost. Suppression
 * of both notifications by event index (2.7.7, 2.7.10), so that two busy sides make no system call.
 *
 * The rings lie outside of a device's arena: a device can spoil payload, never what describes it. And what
 * the kernel writes is checked all the same: an index or a length that cannot be breaks the ring.
 */
#ifndef ATTACH_VHOST_RING_H
#define ATTACH_VHOST_RING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include <outboard/device.h>

/* One piece of a buffer; the address is this process's own. */
struct vhost_piece {
	void *addr;
	uint32_t len;
};

/* What is known of a chain that the kernel has, by its first descriptor. */
struct vhost_chain {
	void *token;   /* NULL: not with the kernel */
	uint32_t room; /* bytes that may be written */
	uint16_t n;    /* descriptors */
	uint16_t last;
};

/**
 * struct vhost_ring - one ring; all its buffers are read, or all are written, by the kernel
 * @size: descriptors, a power of two
 * @free: head of the list of free descriptors, linked by their own next; @nr_free of them
 * @avail_idx: chains made available, as the kernel will see it at the next publish
 * @published: chains that it has been shown
 * @used_idx: chains taken back
 * @broken: the kernel wrote what cannot be; nothing is taken from it any more
 */
struct vhost_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vhost_chain *chain;
	unsigned int size;
	uint16_t flags;
	uint16_t free, nr_free;
	uint16_t avail_idx, published, used_idx;
	bool broken;
	size_t bytes;
};

/**
 * vhost_ring_open() - memory for a ring
 * @size: power of two, 2 to 32768
 * @written: the kernel writes the buffers
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int vhost_ring_open(struct vhost_ring *r, unsigned int size, bool written);
/** vhost_ring_close() - the kernel has let go of it; tokens are the caller's */
void vhost_ring_close(struct vhost_ring *r);

/** vhost_ring_next() - the number of the next chain's first descriptor; only with nr_free */
static inline unsigned int vhost_ring_next(const struct vhost_ring *r)
{
	return r->free;
}

/** vhost_ring_held() - chains that have not come back */
static inline unsigned int vhost_ring_held(const struct vhost_ring *r)
{
	return (uint16_t)(r->avail_idx - r->used_idx);
}

/**
 * vhost_ring_add() - make a chain available, not yet shown to the kernel
 * @n: pieces, at most r->nr_free, at least 1
 * @token: not NULL; comes back from vhost_ring_take()
 */
void vhost_ring_add(struct vhost_ring *r, const struct vhost_piece *piece, unsigned int n,
		    void *token);

/**
 * vhost_ring_publish() - show the kernel what was added
 *
 * Return: true when it asked to be woken for that: write its kick descriptor.
 */
bool vhost_ring_publish(struct vhost_ring *r);

/** vhost_ring_pending() - has the kernel given something back? */
static inline bool vhost_ring_pending(const struct vhost_ring *r)
{
	return __atomic_load_n(&r->used->idx, __ATOMIC_RELAXED) != r->used_idx && !r->broken;
}

/**
 * vhost_ring_take() - the next chain that the kernel has given back
 * @written: bytes that it wrote, never more than the chain has room for
 *
 * Return: its token, or NULL when there is none or the ring is broken.
 */
void *vhost_ring_take(struct vhost_ring *r, uint32_t *written);

/**
 * vhost_ring_arm() - have the call descriptor written when @after more chains have come back
 * @after: 1 to vhost_ring_held()
 *
 * Return: true when that many are there already.
 */
bool vhost_ring_arm(struct vhost_ring *r, unsigned int after);
/** vhost_ring_disarm() - no call for a long time (but be ready for one) */
void vhost_ring_disarm(struct vhost_ring *r);

/** vhost_ring_recall() - take a chain back from a ring that the kernel has let go of; NULL at the end */
void *vhost_ring_recall(struct vhost_ring *r);

#endif
