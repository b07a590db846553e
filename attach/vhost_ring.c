/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a split virtqueue: see vhost_ring.h; virtio 1.2, 2.7. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "attach/vhost_ring.h"

/*
 * The event indices (2.7.7, 2.7.10). The compiler's arrays of unknown length end where they begin, so they are
 * addressed by hand.
 */
static uint16_t *used_event(const struct vhost_ring *r)
{
	return &r->avail->ring[r->size];
}

static const uint16_t *avail_event(const struct vhost_ring *r)
{
	return (const uint16_t *)(const void *)&r->used->ring[r->size];
}

int vhost_ring_open(struct vhost_ring *r, unsigned int size, bool written)
{
	size_t desc = 16ul * size, avail = 6 + 2ul * size, used = 6 + 8ul * size;
	char *p;

	memset(r, 0, sizeof(*r));
	if (size < 2 || size > 32768 || (size & (size - 1)))
		return -EINVAL;
	/* Alignments of 2.7: 16, 2, 4. The used ring on a page of its own: the kernel writes it. */
	r->bytes = ((desc + avail + 4095) & ~4095ul) + ((used + 4095) & ~4095ul);
	p = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	r->chain = calloc(size, sizeof(*r->chain));
	if (!r->chain) {
		munmap(p, r->bytes);
		return -ENOMEM;
	}
	r->desc = (void *)p;
	r->avail = (void *)(p + desc);
	r->used = (void *)(p + ((desc + avail + 4095) & ~4095ul));
	r->size = size;
	r->flags = written ? VRING_DESC_F_WRITE : 0;
	r->nr_free = (uint16_t)size;
	for (unsigned int i = 0; i < size; i++)
		r->desc[i].next = (uint16_t)((i + 1) & (size - 1));
	vhost_ring_disarm(r);
	return 0;
}

void vhost_ring_close(struct vhost_ring *r)
{
	if (!r->desc)
		return;
	munmap(r->desc, r->bytes);
	free(r->chain);
	memset(r, 0, sizeof(*r));
}

void vhost_ring_add(struct vhost_ring *r, const struct vhost_piece *piece, unsigned int n,
		    void *token)
{
	uint16_t head = r->free, at = head, last = head;
	struct vhost_chain *c = &r->chain[head];
	uint32_t room = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_desc *d = &r->desc[at];

		d->addr = (uint64_t)(uintptr_t)piece[i].addr;
		d->len = piece[i].len;
		d->flags = r->flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		room += piece[i].len;
		last = at;
		at = d->next;
	}
	*c = (struct vhost_chain){
		.token = token,
		.room = r->flags ? room : 0,
		.n = (uint16_t)n,
		.last = last,
	};
	r->free = at;
	r->nr_free = (uint16_t)(r->nr_free - n);
	r->avail->ring[r->avail_idx++ & (r->size - 1)] = head;
}

bool vhost_ring_publish(struct vhost_ring *r)
{
	uint16_t old = r->published, now = r->avail_idx, event;

	if (old == now)
		return false;
	/* Descriptors before the index that shows them (2.7.13.3.1); the index before the look at the event. */
	__atomic_store_n(&r->avail->idx, now, __ATOMIC_RELEASE);
	r->published = now;
	ob_mb();
	event = __atomic_load_n(avail_event(r), __ATOMIC_RELAXED);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static void give_back(struct vhost_ring *r, unsigned int head)
{
	struct vhost_chain *c = &r->chain[head];

	r->desc[c->last].next = r->free;
	r->free = (uint16_t)head;
	r->nr_free = (uint16_t)(r->nr_free + c->n);
	c->token = NULL;
}

void *vhost_ring_take(struct vhost_ring *r, uint32_t *written)
{
	uint16_t idx = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	const struct vring_used_elem *e;
	uint32_t id, len;
	void *token;

	if (idx == r->used_idx || ob_unlikely(r->broken))
		return NULL;
	if (ob_unlikely((uint16_t)(idx - r->used_idx) > (uint16_t)(r->published - r->used_idx)))
		goto broken;
	e = &r->used->ring[r->used_idx & (r->size - 1)];
	id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
	len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	/* Each chain comes back once, and with no more than it has room for. */
	if (ob_unlikely(id >= r->size || !r->chain[id].token || len > r->chain[id].room))
		goto broken;
	token = r->chain[id].token;
	give_back(r, id);
	r->used_idx++;
	*written = len;
	return token;

broken:
	r->broken = true;
	return NULL;
}

bool vhost_ring_arm(struct vhost_ring *r, unsigned int after)
{
	uint16_t event = (uint16_t)(r->used_idx + after - 1);

	__atomic_store_n(used_event(r), event, __ATOMIC_RELAXED);
	/* The event before the look: whatever comes after the look is told by a call. */
	ob_mb();
	return (uint16_t)(__atomic_load_n(&r->used->idx, __ATOMIC_RELAXED) - r->used_idx) >= after;
}

void vhost_ring_disarm(struct vhost_ring *r)
{
	/* Just behind: reached after 65,535 more. */
	__atomic_store_n(used_event(r), (uint16_t)(r->used_idx - 1), __ATOMIC_RELAXED);
}

void *vhost_ring_recall(struct vhost_ring *r)
{
	for (unsigned int i = 0; i < r->size; i++) {
		void *token = r->chain[i].token;

		if (token) {
			r->chain[i].token = NULL;
			return token;
		}
	}
	return NULL;
}
