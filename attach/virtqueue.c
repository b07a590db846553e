/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a split virtqueue, VIRTIO 1.2, 2.7; contract in virtqueue.h. Numbers in the rings are
 * little endian (VERSION_1).
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "attach/virtqueue.h"

/* An indirect table may lie at any address (2.7.5.3 demands no alignment). */
struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
} __attribute__((packed));

_Static_assert(sizeof(struct descriptor) == sizeof(struct vring_desc), "VIRTIO 1.2, 2.7.5");

/* What the driver may be writing meanwhile is read once, so that what was checked is what is used. */
static uint16_t load16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
}

static void store16(void *p, uint16_t val)
{
	__atomic_store_n((uint16_t *)p, htole16(val), __ATOMIC_RELAXED);
}

static struct descriptor load_descriptor(const void *table, unsigned int i)
{
	const volatile struct descriptor *from = (const volatile struct descriptor *)table + i;
	struct descriptor d;

	d.addr = le64toh(from->addr);
	d.len = le32toh(from->len);
	d.flags = le16toh(from->flags);
	d.next = le16toh(from->next);
	return d;
}

/* 2.7.10: behind each ring lies the index at which its reader wants to hear of it. */
static uint16_t *avail_event(const struct virtqueue *q)
{
	return (uint16_t *)&q->used->ring[q->num];
}

static const uint16_t *used_event(const struct virtqueue *q)
{
	return &q->avail->ring[q->num];
}

/* ---- begin ----------------------------------------------------------------------- */

static void *area(const struct virtqueue_memory *m, uint64_t addr, size_t size, size_t align,
		  bool write)
{
	uint32_t len = (uint32_t)size;
	void *p;

	if (addr & (align - 1) || addr > UINT64_MAX - size)
		return NULL;
	p = m->translate(m->arg, addr, &len, write);
	return p && len == size && !((uintptr_t)p & (align - 1)) ? p : NULL;
}

/*
 * The used ring says what the former process gave back; the log what it had taken, but for the last
 * entries that it gave back and was killed before it could clear them.
 */
static int resume(struct virtqueue *q)
{
	struct virtqueue_log *log = q->log;
	uint16_t used = load16(&q->used->idx), out = 0;

	if ((uint16_t)(used - log->used) > q->num)
		return -EPROTO;
	for (uint16_t i = log->used; i != used; i++) {
		uint32_t head = le32toh(q->used->ring[i & (q->num - 1)].id);

		if (head < q->num)
			log->inflight[head] = 0;
	}
	log->used = used;
	for (unsigned int i = 0; i < q->num; i++) {
		out += !!log->inflight[i];
		if (log->inflight[i] > q->taken)
			q->taken = log->inflight[i];
	}
	q->last_used = q->published = used;
	q->last_avail = (uint16_t)(used + out);
	if ((uint16_t)(load16(&q->avail->idx) - q->last_avail) > q->num)
		return -EPROTO;
	return 0;
}

int virtqueue_init(struct virtqueue *q, const struct virtqueue_layout *layout,
		   const struct virtqueue_memory *memory, struct virtqueue_log *log,
		   bool resume_log)
{
	unsigned int num = layout->num;
	size_t event = layout->event_idx ? sizeof(uint16_t) : 0;

	memset(q, 0, sizeof(*q));
	if (!num || num > VIRTQUEUE_SIZE_MAX || (num & (num - 1)) || (resume_log && !log))
		return -EINVAL;
	q->desc = area(memory, layout->desc, num * sizeof(struct vring_desc), VRING_DESC_ALIGN_SIZE,
		       false);
	q->avail = area(memory, layout->avail,
			offsetof(struct vring_avail, ring) + num * sizeof(uint16_t) + event,
			VRING_AVAIL_ALIGN_SIZE, false);
	q->used = area(memory, layout->used,
		       offsetof(struct vring_used, ring) + num * sizeof(struct vring_used_elem) +
			       event,
		       VRING_USED_ALIGN_SIZE, true);
	if (!q->desc || !q->avail || !q->used)
		return -EFAULT;
	q->num = (uint16_t)num;
	q->memory = memory;
	q->log = log;
	q->inflight = log ? log->inflight : q->own;
	q->event_idx = layout->event_idx;
	q->indirect = layout->indirect;
	q->notify = true;
	if (resume_log)
		return resume(q);
	if (log)
		memset(log, 0, sizeof(*log));
	return 0;
}

/* ---- chains ---------------------------------------------------------------------- */

static int fail(struct virtqueue *q, const char *why)
{
	q->broken = why;
	return -EPROTO;
}

static int add_pieces(struct virtqueue *q, struct virtqueue_chain *c, const struct descriptor *d)
{
	bool write = d->flags & VRING_DESC_F_WRITE;
	uint64_t addr = d->addr;
	uint32_t left = d->len;

	if (!left)
		return fail(q, "a descriptor without length");
	if (addr > UINT64_MAX - left)
		return fail(q, "a descriptor beyond the end of the address space");
	if (!write && c->nr_in)
		return fail(q, "a descriptor to read behind one to write"); /* 2.7.4.2 */
	while (left) {
		struct virtqueue_piece *piece = &c->piece[c->nr_out + c->nr_in];
		uint32_t len = left;

		if (c->nr_out + c->nr_in >= c->max)
			return fail(q, "a buffer of more pieces than were announced");
		piece->base = q->memory->translate(q->memory->arg, addr, &len, write);
		if (!piece->base || !len || len > left)
			return fail(q, "a descriptor whose address is no memory for this");
		piece->addr = addr;
		piece->len = len;
		addr += len;
		left -= len;
		if (write) {
			c->nr_in++;
			c->in_len += len;
		} else {
			c->nr_out++;
			c->out_len += len;
		}
	}
	return 0;
}

static int walk(struct virtqueue *q, uint16_t head, struct virtqueue_chain *c)
{
	const void *table = q->desc;
	unsigned int entries = q->num, i = head;
	unsigned int left = entries; /* a chain that is longer than its table loops */
	bool in_table = false;
	struct descriptor d;
	int rc;

	c->head = head;
	c->nr_out = c->nr_in = 0;
	c->out_len = c->in_len = 0;
	for (;;) {
		if (i >= entries)
			return fail(q, "a descriptor index beyond its table");
		if (!left--)
			return fail(q, "a chain of descriptors that does not end");
		d = load_descriptor(table, i);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			uint32_t len = d.len;

			if (!q->indirect)
				return fail(q, "an indirect descriptor that was not negotiated");
			if (in_table)
				return fail(q, "an indirect descriptor in an indirect table");
			if (d.flags & VRING_DESC_F_NEXT) /* 2.7.5.3.1 */
				return fail(q, "an indirect descriptor with a next one");
			if (!len || len % sizeof(d) || d.addr > UINT64_MAX - len)
				return fail(q, "an indirect table of no possible size");
			table = q->memory->translate(q->memory->arg, d.addr, &len, false);
			if (!table || len != d.len)
				return fail(q, "an indirect table that is no contiguous memory");
			in_table = true;
			entries = left = d.len / sizeof(d);
			i = 0;
			continue;
		}
		rc = add_pieces(q, c, &d);
		if (rc)
			return rc;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 1;
		i = d.next;
	}
}

int virtqueue_pop(struct virtqueue *q, struct virtqueue_chain *chain)
{
	uint16_t avail, head;
	int rc;

	if (q->broken)
		return -EPROTO;
	/* Acquire: the entry, its descriptors and its payload were written before the index. */
	avail = le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE));
	if (avail == q->last_avail)
		return 0;
	if ((uint16_t)(avail - q->last_avail) > q->num)
		return fail(q, "an available index that is ahead by more than the ring");
	head = load16(&q->avail->ring[q->last_avail & (q->num - 1)]);
	if (head >= q->num)
		return fail(q, "an available entry beyond the table of descriptors");
	if (q->inflight[head])
		return fail(q, "a buffer that was made available twice");
	rc = walk(q, head, chain);
	if (rc < 0)
		return rc;
	__atomic_store_n(&q->inflight[head], ++q->taken, __ATOMIC_RELEASE);
	q->last_avail++;
	return 1;
}

void virtqueue_unpop(struct virtqueue *q, const uint16_t *heads, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (heads[i] < q->num)
			q->inflight[heads[i]] = 0;
	q->last_avail -= (uint16_t)n;
}

int virtqueue_fetch(struct virtqueue *q, uint16_t head, struct virtqueue_chain *chain)
{
	if (q->broken)
		return -EPROTO;
	return walk(q, head, chain);
}

int virtqueue_resumed(const struct virtqueue *q, uint64_t *after)
{
	uint64_t next = UINT64_MAX;
	int head = -1;

	for (unsigned int i = 0; i < q->num; i++) {
		if (q->inflight[i] <= *after || q->inflight[i] >= next)
			continue;
		next = q->inflight[i];
		head = (int)i;
	}
	if (head >= 0)
		*after = next;
	return head;
}

/* ---- giving back ----------------------------------------------------------------- */

void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &q->used->ring[q->last_used & (q->num - 1)];

	if (head >= q->num || !q->inflight[head])
		return;
	elem->id = htole32(head);
	elem->len = htole32(len);
	q->given[q->last_used & (q->num - 1)] = head;
	q->last_used++;
	if (!q->log)
		q->inflight[head] = 0;
}

bool virtqueue_publish(struct virtqueue *q)
{
	uint16_t before = q->published, now = q->last_used;

	if (before == now)
		return false;
	/* Release: what was read into the buffer, and the entries, come before the index. */
	__atomic_store_n(&q->used->idx, htole16(now), __ATOMIC_RELEASE);
	q->published = now;
	if (q->log) {
		for (uint16_t i = before; i != now; i++)
			q->inflight[q->given[i & (q->num - 1)]] = 0;
		__atomic_store_n(&q->log->used, now, __ATOMIC_RELEASE);
	}
	/* The driver sets its wish, then looks at the index; we set the index, then look at its wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->event_idx)
		return vring_need_event(load16(used_event(q)), now, before);
	return !(load16(&q->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

/* ---- notifications ---------------------------------------------------------------- */

bool virtqueue_pending(const struct virtqueue *q)
{
	return !q->broken && load16(&q->avail->idx) != q->last_avail;
}

bool virtqueue_enable_notify(struct virtqueue *q)
{
	q->notify = true;
	if (q->event_idx)
		store16(avail_event(q), q->last_avail);
	else
		store16(&q->used->flags, 0);
	/* The mirror of virtqueue_publish(): the wish first, then the look. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtqueue_pending(q);
}

void virtqueue_disable_notify(struct virtqueue *q)
{
	q->notify = false;
	/* With event_idx an index that is left behind is as good as off: it comes up once in 65,536. */
	if (!q->event_idx)
		store16(&q->used->flags, VRING_USED_F_NO_NOTIFY);
}
