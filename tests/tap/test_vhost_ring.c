/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rings that are shared with vhost-net, against a device's side that is written from virtio 1.2, 2.7, alone,
 * and against one that lies.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attach/vhost_ring.h"

/* The other side. */
struct other {
	struct vhost_ring *r;
	uint16_t seen, used;
};

static uint16_t *avail_event_of(struct vhost_ring *r)
{
	return (uint16_t *)(void *)&r->used->ring[r->size];
}

static uint16_t used_event_of(struct vhost_ring *r)
{
	return r->avail->ring[r->size];
}

/* The next chain made available: its first descriptor, or -1. Its pieces are written out. */
static int other_get(struct other *o, struct vhost_piece *piece, unsigned int *n)
{
	struct vhost_ring *r = o->r;
	unsigned int head, at;

	if (o->seen == __atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE))
		return -1;
	head = at = r->avail->ring[o->seen++ & (r->size - 1)];
	*n = 0;
	for (;;) {
		const struct vring_desc *d = &r->desc[at];

		assert_true(at < r->size);
		assert_true(*n < r->size);
		assert_int_equal(d->flags & VRING_DESC_F_WRITE, r->flags);
		piece[(*n)++] = (struct vhost_piece){(void *)(uintptr_t)d->addr, d->len};
		if (!(d->flags & VRING_DESC_F_NEXT))
			return (int)head;
		at = d->next;
	}
}

/* Give one back; returns whether the driver asked to be called for it. */
static bool other_put(struct other *o, uint32_t head, uint32_t len)
{
	struct vhost_ring *r = o->r;
	uint16_t old = o->used, event;

	r->used->ring[o->used & (r->size - 1)] = (struct vring_used_elem){head, len};
	__atomic_store_n(&r->used->idx, ++o->used, __ATOMIC_RELEASE);
	event = used_event_of(r);
	return (uint16_t)(o->used - event - 1) < (uint16_t)(o->used - old);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Chains of any length, given back in any order: each comes back once with its token and its length. */
static void chains_come_back_with_what_they_were(void **state)
{
	enum {
		SIZE = 64,
		ROUNDS = 200000, /* indices wrap three times */
	};
	struct {
		struct vhost_piece piece[8];
		unsigned int n, len;
		bool out;
	} *sent = calloc(SIZE, sizeof(*sent));
	unsigned int held[SIZE], nr_held = 0, in = 0, out = 0;
	struct vhost_ring r;
	struct other o = {.r = &r};
	uint64_t seed = 88172645463325252ull;

	assert_non_null(sent);
	for (int written = 0; written < 2; written++) {
		assert_int_equal(vhost_ring_open(&r, SIZE, written), 0);
		o = (struct other){.r = &r};
		for (unsigned int round = 0; round < ROUNDS; round++) {
			uint64_t x = next_random(&seed);
			unsigned int n = 1 + x % 8;
			struct vhost_piece piece[SIZE];
			uint32_t len;
			void *token;
			int head;

			if ((x >> 8) % 2 && n <= r.nr_free) {
				unsigned int i = vhost_ring_next(&r);

				assert_false(sent[i].out);
				sent[i].out = true;
				sent[i].n = n;
				for (unsigned int k = 0; k < n; k++)
					sent[i].piece[k] = (struct vhost_piece){
						(void *)(uintptr_t)next_random(&seed),
						(uint32_t)(next_random(&seed) & 0xffff)};
				vhost_ring_add(&r, sent[i].piece, n, &sent[i]);
				in++;
			}
			if ((x >> 9) % 4 == 0)
				vhost_ring_publish(&r);
			if ((x >> 11) % 2 && (head = other_get(&o, piece, &n)) >= 0) {
				assert_true(sent[head].out);
				assert_int_equal(n, sent[head].n);
				for (unsigned int k = 0; k < n; k++) {
					assert_ptr_equal(piece[k].addr, sent[head].piece[k].addr);
					assert_int_equal(piece[k].len, sent[head].piece[k].len);
				}
				held[nr_held++] = (unsigned int)head;
			}
			if ((x >> 12) % 2 && nr_held) {
				unsigned int k = (unsigned int)(x >> 20) % nr_held, room = 0;
				unsigned int i = held[k];

				held[k] = held[--nr_held];
				for (unsigned int j = 0; j < sent[i].n; j++)
					room += sent[i].piece[j].len;
				sent[i].len = written ? (unsigned int)(x >> 32) % (room + 1) : 0;
				other_put(&o, i, sent[i].len);
			}
			while ((x >> 13) % 2 && (token = vhost_ring_take(&r, &len))) {
				unsigned int i = (unsigned int)((char *)token - (char *)sent) /
						 (unsigned int)sizeof(*sent);

				assert_true(sent[i].out);
				assert_int_equal(len, sent[i].len);
				sent[i].out = false;
				out++;
			}
			assert_false(r.broken);
			assert_int_equal(vhost_ring_held(&r), in - out);
		}
		while (vhost_ring_recall(&r))
			out++;
		assert_int_equal(in, out);
		memset(sent, 0, SIZE * sizeof(*sent));
		nr_held = 0;
		vhost_ring_close(&r);
	}
	free(sent);
}

/* Every number of new chains against every place of the other's event index, over a wrap of the indices. */
static void kick_is_asked_for_exactly_when_the_event_is_passed(void **state)
{
	struct vhost_piece piece = {(void *)4096, 1}, got[16];
	struct vhost_ring r;
	struct other o = {.r = &r};
	unsigned int n;
	uint32_t len;

	assert_int_equal(vhost_ring_open(&r, 16, false), 0);
	for (uint32_t round = 0; round < 70000; round++) {
		unsigned int new = round % 17;
		uint16_t before = r.published, event = (uint16_t)(before - 3 + round % 23);
		bool passed = false;

		*avail_event_of(&r) = event;
		for (unsigned int i = 0; i < new; i++) {
			vhost_ring_add(&r, &piece, 1, &r);
			passed |= (uint16_t)(before + i) == event;
		}
		assert_int_equal(vhost_ring_publish(&r), passed);
		assert_false(vhost_ring_publish(&r)); /* nothing new */
		for (unsigned int i = 0; i < new; i++)
			other_put(&o, (uint32_t)other_get(&o, got, &n), 0);
		for (unsigned int i = 0; i < new; i++)
			assert_ptr_equal(vhost_ring_take(&r, &len), &r);
	}
	vhost_ring_close(&r);
}

static void call_comes_after_as_many_as_were_asked_for(void **state)
{
	struct vhost_piece piece = {(void *)4096, 1}, got[16];
	struct vhost_ring r;
	struct other o = {.r = &r};
	unsigned int n;
	uint32_t len;

	assert_int_equal(vhost_ring_open(&r, 16, false), 0);
	for (uint32_t round = 0; round < 70000; round++) {
		unsigned int new = 1 + round % 16, after = 1 + (round / 16) % new;
		unsigned int early = (round / 256) % (new + 1);

		for (unsigned int i = 0; i < new; i++)
			vhost_ring_add(&r, &piece, 1, &r);
		vhost_ring_publish(&r);
		vhost_ring_disarm(&r);
		for (unsigned int i = 0; i < new; i++) {
			int head = other_get(&o, got, &n);

			if (i == early)
				assert_int_equal(vhost_ring_arm(&r, after), early >= after);
			/* One call, with the chain asked for; not again for those behind it. */
			assert_int_equal(other_put(&o, (uint32_t)head, 0),
					 i >= early && i + 1 == after);
		}
		if (early == new)
			assert_true(vhost_ring_arm(&r, after));
		for (unsigned int i = 0; i < new; i++)
			assert_ptr_equal(vhost_ring_take(&r, &len), &r);
	}
	vhost_ring_close(&r);
}

/* What a used ring can say that is wrong, each after some honest work. */
static void lies_of_the_other_side_break_the_ring(void **state)
{
	struct vhost_piece piece[2] = {{(void *)4096, 100}, {(void *)8192, 50}}, got[16];
	unsigned int n;
	uint32_t len;

	for (unsigned int lie = 0; lie < 7; lie++) {
		struct vhost_ring r;
		struct other o = {.r = &r};
		int head, second;

		assert_int_equal(vhost_ring_open(&r, 16, lie != 6), 0);
		for (unsigned int i = 0; i < 3; i++)
			vhost_ring_add(&r, piece, 2, &r);
		vhost_ring_publish(&r);
		head = other_get(&o, got, &n);
		second = other_get(&o, got, &n);
		other_put(&o, (uint32_t)head, 0);
		assert_ptr_equal(vhost_ring_take(&r, &len), &r);
		switch (lie) {
		case 0: /* given back twice */
			other_put(&o, (uint32_t)head, 0);
			break;
		case 1: /* no such descriptor */
			other_put(&o, 16, 0);
			break;
		case 2:
			other_put(&o, UINT32_MAX, 0);
			break;
		case 3: /* in the middle of a chain */
			other_put(&o, r.desc[second].next, 0);
			break;
		case 4: /* more than there is room for */
			other_put(&o, (uint32_t)second, 151);
			break;
		case 5: /* more than it was given */
			o.used = (uint16_t)(o.used + 5);
			other_put(&o, (uint32_t)second, 0);
			break;
		case 6: /* written to what is only read */
			other_put(&o, (uint32_t)second, 1);
			break;
		}
		assert_null(vhost_ring_take(&r, &len));
		assert_true(r.broken);
		/* And stays so; what it held can still be had. */
		other_put(&o, (uint32_t)second, 0);
		assert_null(vhost_ring_take(&r, &len));
		assert_false(vhost_ring_pending(&r));
		for (n = 0; vhost_ring_recall(&r); n++)
			;
		assert_int_equal(n, 2);
		vhost_ring_close(&r);
	}
}

static void sizes_that_no_ring_has_are_refused(void **state)
{
	static const unsigned int bad[] = {0, 1, 3, 1000, 65536};
	struct vhost_ring r;

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vhost_ring_open(&r, bad[i], true), -EINVAL);
		vhost_ring_close(&r);
	}
	for (unsigned int size = 2; size <= 32768; size *= 2) {
		assert_int_equal(vhost_ring_open(&r, size, true), 0);
		/* Alignments of virtio 1.2, 2.7. */
		assert_int_equal((uintptr_t)r.desc % 16, 0);
		assert_int_equal((uintptr_t)r.avail % 2, 0);
		assert_int_equal((uintptr_t)r.used % 4, 0);
		assert_int_equal(r.nr_free, size);
		vhost_ring_close(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_come_back_with_what_they_were),
		cmocka_unit_test(kick_is_asked_for_exactly_when_the_event_is_passed),
		cmocka_unit_test(call_comes_after_as_many_as_were_asked_for),
		cmocka_unit_test(lies_of_the_other_side_break_the_ring),
		cmocka_unit_test(sizes_that_no_ring_has_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
