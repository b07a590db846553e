/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever a driver writes to a split ring (VIRTIO 1.2, 2.7): what is taken lies in its memory, nothing comes
 * twice, what was given back is seen, and a successor finds what is out or refuses.
 *
 * First byte: 1 event index; 2 no indirect descriptors; 4 a log and a successor; 8 memory in pieces of 100
 * bytes. The rest is memory, from the rings on.
 */
#include <stdlib.h>

#include "tests/attach/vring_driver.h"

enum {
	PIECES = 32,
	ROUNDS = 64,
};

static struct vring_driver d;

static void check(const struct virtqueue_chain *c)
{
	uint64_t len[2] = {0};

	if (c->nr_out + c->nr_in > PIECES || !(c->nr_out + c->nr_in))
		abort();
	for (unsigned int i = 0; i < c->nr_out + c->nr_in; i++) {
		const struct virtqueue_piece *p = &c->piece[i];

		if (!p->len || p->addr < VRING_BASE ||
		    p->addr - VRING_BASE > VRING_MEMORY - p->len ||
		    (char *)p->base != d.memory + (p->addr - VRING_BASE))
			abort();
		len[i >= c->nr_out] += p->len;
	}
	if (len[0] != c->out_len || len[1] != c->in_len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtqueue_layout layout = {
		.num = VRING_NUM,
		.desc = VRING_DESC,
		.avail = VRING_AVAIL,
		.used = VRING_USED,
	};
	struct virtqueue_piece piece[PIECES];
	struct virtqueue_chain c = {.piece = piece, .max = PIECES};
	struct virtqueue_log log = {0};
	bool out[VRING_NUM] = {false};
	struct virtqueue q, next;
	unsigned int nr_out = 0;
	int rc;

	if (!size)
		return 0;
	vring_driver_init(&d);
	layout.event_idx = *data & 1;
	layout.indirect = !(*data & 2);
	d.piece_max = *data & 8 ? 100 : 0;
	if (virtqueue_init(&q, &layout, &d.map, *data & 4 ? &log : NULL, false))
		abort();
	memcpy(d.memory, data + 1, size - 1 < VRING_MEMORY ? size - 1 : VRING_MEMORY);
	/* The device's own index is what it wrote. */
	vring_used(&d)->idx = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		rc = virtqueue_pop(&q, &c);
		if (rc < 0 && !q.broken)
			abort();
		if (rc > 0) {
			check(&c);
			if (c.head >= VRING_NUM || out[c.head])
				abort();
			out[c.head] = true;
			nr_out++;
		}
		if (nr_out && (rc <= 0 || i % 3 == 0)) {
			uint16_t head = 0, used = le16toh(vring_used(&d)->idx);

			while (!out[head])
				head++;
			virtqueue_push(&q, head, 1);
			virtqueue_publish(&q);
			if (le16toh(vring_used(&d)->idx) != (uint16_t)(used + 1) ||
			    le32toh(vring_used(&d)->ring[used % VRING_NUM].id) != head)
				abort();
			out[head] = false;
			nr_out--;
		} else if (rc <= 0) {
			break;
		}
		if (i == ROUNDS / 4)
			virtqueue_disable_notify(&q);
		if (i == ROUNDS / 2)
			virtqueue_enable_notify(&q);
		/* An available index that begins anywhere is of no use: let it go on from here. */
		if (i % 8 == 7)
			vring_avail(&d)->idx = htole16((uint16_t)(q.last_avail + i % VRING_NUM));
	}
	if (*data & 4 && !virtqueue_init(&next, &layout, &d.map, &log, true)) {
		unsigned int found = 0;
		uint64_t after = 0;

		for (int h; (h = virtqueue_resumed(&next, &after)) >= 0;) {
			found++;
			if (!out[h])
				abort();
			if (virtqueue_fetch(&next, (uint16_t)h, &c) > 0)
				check(&c);
		}
		if (found != nr_out)
			abort();
	}
	return 0;
}
