/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach/vhost_ring against another side that writes anything into the used ring: every chain comes back at most once, with no more
 * than it has room for, descriptors are neither lost nor used twice, and a broken ring gives nothing any more.
 *
 * Input: operations of one byte, with arguments behind those that have some.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attach/vhost_ring.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_trap();                                                          \
	} while (0)

enum {
	SIZE = 16,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct chain {
	unsigned int n;
	uint32_t room;
	bool out;
};

static void add(struct vhost_ring *r, struct chain *chains, unsigned int arg)
{
	unsigned int n = 1 + arg % 5;
	struct vhost_piece piece[5];
	struct chain *c;

	if (n > r->nr_free)
		return;
	CHECK(vhost_ring_next(r) < SIZE);
	c = &chains[vhost_ring_next(r)];
	CHECK(!c->out);
	*c = (struct chain){.n = n, .out = true};
	for (unsigned int i = 0; i < n; i++) {
		piece[i] = (struct vhost_piece){(void *)(uintptr_t)(4096 + i), 10 * (arg + 1)};
		c->room += piece[i].len;
	}
	vhost_ring_add(r, piece, n, c);
}

static void take(struct vhost_ring *r, struct chain *chains)
{
	uint32_t len = 0;
	bool broken = r->broken;
	struct chain *c = vhost_ring_take(r, &len);

	if (!c)
		return;
	CHECK(!broken && c >= chains && c < chains + SIZE && c->out);
	CHECK(len <= (r->flags ? c->room : 0));
	c->out = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chain chains[SIZE] = {{0}};
	const uint8_t *end = data + size;
	struct vhost_ring r;
	unsigned int used = 0;

	if (!size || vhost_ring_open(&r, SIZE, *data++ & 1))
		return 0;
	while (data + 4 <= end) {
		uint8_t op = data[0], a = data[1], b = data[2], c = data[3];
		struct vring_used_elem *e = &r.used->ring[a % SIZE];

		data += 4;
		switch (op % 8) {
		case 0:
			add(&r, chains, a);
			break;
		case 1:
			vhost_ring_publish(&r);
			break;
		case 2: /* an entry that may be honest */
			e = &r.used->ring[r.used->idx % SIZE];
			e->id = b % (SIZE + 1);
			e->len = c;
			r.used->idx++;
			break;
		case 3: /* one that is not */
			e->id = (uint32_t)b << 24 | c;
			e->len = (uint32_t)c << 16 | b;
			break;
		case 4:
			r.used->idx = (uint16_t)(a << 8 | b);
			break;
		case 5:
			take(&r, chains);
			break;
		case 6:
			vhost_ring_arm(&r, 1 + a % SIZE);
			break;
		case 7:
			memset(r.used, a, 6 + 8 * SIZE);
			break;
		}
		/* Every descriptor is free, or in one chain that is out. */
		used = 0;
		for (unsigned int i = 0; i < SIZE; i++)
			used += chains[i].out ? chains[i].n : 0;
		CHECK(used + r.nr_free == SIZE);
		CHECK(!r.broken || !vhost_ring_pending(&r));
	}
	for (struct chain *c; (c = vhost_ring_recall(&r));) {
		CHECK(c->out);
		c->out = false;
	}
	for (unsigned int i = 0; i < SIZE; i++)
		CHECK(!chains[i].out);
	vhost_ring_close(&r);
	return 0;
}
