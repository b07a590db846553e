/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software checksums and segmentation against a plain computation that knows nothing of how they are
 * done: every segment must be a frame that a receiver accepts, and all of them together the payload.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/net/fake_card.h"
#include "tests/net/plain_sum.h"

enum {
	POOL = 80
};

static struct ob_dma dma;
static struct ob_pool *pool;

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void w16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A client's frame: its shape, where its headers are, and its bytes. */
struct sample {
	bool v6, udp, vlan, options, extension;
	unsigned int payload, mss;
	uint8_t tcp_flags;
	unsigned int l3, l4, l5;
	uint8_t *buf;
	struct ob_pkt pkt;
};

static void sample_make(struct sample *s)
{
	unsigned int l4_hdr = s->udp ? 8 : s->options ? 32 : 20;
	unsigned int l3_hdr = s->v6 ? 40 + (s->extension ? 16 : 0) : s->options ? 28 : 20;
	unsigned int len;
	uint32_t sum;
	uint8_t *p;

	s->l3 = s->vlan ? 18 : 14;
	s->l4 = s->l3 + l3_hdr;
	s->l5 = s->l4 + l4_hdr;
	len = s->l5 + s->payload;
	p = s->buf = calloc(1, len);
	for (unsigned int i = 0; i < len; i++)
		p[i] = (uint8_t)(rand() >> 7);
	if (s->vlan)
		w16(p + 12, 0x8100);
	w16(p + s->l3 - 2, s->v6 ? 0x86dd : 0x0800);
	if (s->v6) {
		p[s->l3] = 0x60;
		w16(p + s->l3 + 4, l3_hdr - 40 + l4_hdr + s->payload);
		p[s->l3 + 6] = s->extension ? 60 : s->udp ? 17 : 6;
		if (s->extension) {
			p[s->l3 + 40] = s->udp ? 17 : 6;
			p[s->l3 + 41] = 1; /* 16 bytes */
		}
		sum = plain_sum(p + s->l3 + 8, 32, 0);
	} else {
		p[s->l3] = (uint8_t)(0x40 | l3_hdr / 4);
		w16(p + s->l3 + 2, l3_hdr + l4_hdr + s->payload);
		w16(p + s->l3 + 4, 0xfffe); /* identification that wraps */
		w16(p + s->l3 + 6, 0x4000); /* DF */
		p[s->l3 + 9] = s->udp ? 17 : 6;
		sum = plain_sum(p + s->l3 + 12, 8, 0);
	}
	if (s->udp) {
		w16(p + s->l4 + 4, 8 + s->payload);
	} else {
		w16(p + s->l4 + 4, 0xffff); /* a sequence number that wraps */
		w16(p + s->l4 + 6, 0xff00);
		p[s->l4 + 12] = (uint8_t)(l4_hdr / 4 << 4);
		p[s->l4 + 13] = s->tcp_flags;
	}
	/* What the kernel leaves in the field: the pseudo header's sum, with the length. */
	sum = plain_sum(NULL, 0, sum + (s->udp ? 17 : 6) + l4_hdr + s->payload);
	w16(p + s->l4 + (s->udp ? 6 : 16), sum);

	memset(&s->pkt, 0, sizeof(s->pkt));
	s->pkt.data = p;
	s->pkt.len = len;
	s->pkt.gso_type = s->udp ? OB_GSO_UDP : s->v6 ? OB_GSO_TCPV6 : OB_GSO_TCPV4;
	s->pkt.gso_size = (uint16_t)s->mss;
	s->pkt.flags = OB_PKT_CSUM_PARTIAL;
	s->pkt.csum_start = (uint16_t)s->l4;
	s->pkt.csum_offset = s->udp ? 6 : 16;
	s->pkt.hdr_len = (uint16_t)s->l5;
}

/* Is this frame one that a receiver takes? */
static void assert_checksums(const struct sample *s, const uint8_t *p, unsigned int len)
{
	unsigned int l4_len = len - s->l4;
	uint32_t sum;

	if (s->v6) {
		assert_int_equal(be16(p + s->l3 + 4), len - s->l3 - 40);
		sum = plain_sum(p + s->l3 + 8, 32, 0);
	} else {
		assert_int_equal(be16(p + s->l3 + 2), len - s->l3);
		assert_int_equal(plain_sum(p + s->l3, s->l4 - s->l3, 0), 0xffff);
		sum = plain_sum(p + s->l3 + 12, 8, 0);
	}
	sum += (s->udp ? 17 : 6) + l4_len;
	assert_int_equal(plain_sum(p + s->l4, l4_len, sum), 0xffff);
}

/* The payload in pieces of any length, empty ones too; the headers stay in the first. */
static void cut(struct sample *s, struct ob_pkt part[4])
{
	uint32_t at = s->l5 + (uint32_t)rand() % (s->payload + 1), end = s->pkt.len;
	struct ob_pkt *last = &s->pkt;

	s->pkt.len = at;
	for (unsigned int i = 0; i < 4; i++) {
		part[i] = (struct ob_pkt){
			.data = s->buf + at,
			.len = i == 3 ? end - at : (uint32_t)rand() % (end - at + 1),
		};
		at += part[i].len;
		last->next = &part[i];
		last = &part[i];
	}
}

static void check(struct sample s)
{
	struct ob_pkt *out[POOL], part[4];
	unsigned int done = 0;
	int n;

	sample_make(&s);
	if (rand() & 1)
		cut(&s, part);
	n = ob_net_segment(&s.pkt, pool, out, POOL);
	assert_int_equal(n, (s.payload + s.mss - 1) / s.mss);
	for (int i = 0; i < n; i++) {
		const uint8_t *p = out[i]->data;
		unsigned int piece = out[i]->len - s.l5;
		bool last = i == n - 1;

		assert_int_equal(piece, last ? s.payload - done : s.mss);
		assert_memory_equal(p + s.l5, s.buf + s.l5 + done, piece);
		assert_memory_equal(p, s.buf, s.l3);
		assert_int_equal(out[i]->flags, 0);
		assert_int_equal(out[i]->gso_type, OB_GSO_NONE);
		assert_null(out[i]->next);
		assert_checksums(&s, p, out[i]->len);
		if (!s.v6) {
			assert_int_equal(be16(p + s.l3 + 4), (0xfffe + i) & 0xffff);
			assert_int_equal(be16(p + s.l3 + 6), 0x4000);
		}
		if (s.udp) {
			assert_int_equal(be16(p + s.l4 + 4), 8 + piece);
		} else {
			uint8_t flags = s.tcp_flags;

			assert_int_equal(be32(p + s.l4 + 4), 0xffffff00 + done);
			if (i)
				flags &= 0x7f; /* CWR once */
			if (!last)
				flags &= 0xf6; /* FIN, PSH at the end */
			assert_int_equal(p[s.l4 + 13], flags);
		}
		done += piece;
		ob_pkt_free(out[i]);
	}
	assert_int_equal(done, s.payload);
	assert_int_equal(pool->n, POOL);
	free(s.buf);
}

static void segments_are_frames_that_a_receiver_takes(void **state)
{
	srand(1);
	for (unsigned int shape = 0; shape < 64; shape++) {
		struct sample s = {
			.v6 = shape & 1,
			.udp = shape & 2,
			.vlan = shape & 4,
			.options = shape & 8,
			.extension = shape & 16,
			.tcp_flags = shape & 32 ? 0x99 : 0x10,
		};

		for (unsigned int i = 0; i < 30; i++) {
			s.mss = 100 + (unsigned int)rand() % 1300;
			s.payload = 1 + (unsigned int)rand() % 7000;
			check(s);
		}
		s.mss = 1000;
		s.payload = 65000 - 100;
		check(s);
		s.payload = 1000; /* one full segment */
		check(s);
		s.payload = 1;
		check(s);
	}
}

static void headers_that_make_no_sense_are_refused(void **state)
{
	struct sample s = {.payload = 3000, .mss = 1000, .tcp_flags = 0x10},
		      v6 = {.v6 = true, .payload = 3000, .mss = 1000};
	struct ob_pkt *out[POOL], rest;
	struct {
		unsigned int at;
		uint8_t val;
	} bad[] = {
		{12, 0x12}, /* Ethertype */
		{14, 0x65}, /* IP version */
		{14, 0x44}, /* IP header of 16 bytes */
		{20, 0x20}, /* a fragment */
		{21, 0x01}, /* a fragment */
		{23, 17},   /* UDP, but TCP segmentation */
		{46, 0x40}, /* TCP header of 16 bytes */
	};

	sample_make(&s);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t good = s.buf[bad[i].at];

		s.buf[bad[i].at] = bad[i].val;
		assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -EINVAL);
		s.buf[bad[i].at] = good;
	}
	/* Cut anywhere in the headers: never a byte behind the end is looked at (the sanitizer watches). */
	for (unsigned int len = 0; len <= s.l5; len++) {
		uint8_t *cut = malloc(len + 1);
		struct ob_pkt pkt = s.pkt;

		memcpy(cut + 1, s.buf, len);
		pkt.data = cut + 1;
		pkt.len = len;
		assert_int_equal(ob_net_segment(&pkt, pool, out, POOL), -EINVAL);
		free(cut);
	}
	s.pkt.gso_size = 0;
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -EINVAL);
	s.pkt.gso_size = 2040; /* does not fit into a buffer */
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -EINVAL);
	s.pkt.gso_size = 1000;
	s.pkt.gso_type = OB_GSO_TCPV6;
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -EINVAL);
	s.pkt.gso_type = OB_GSO_TCPV4;
	s.pkt.csum_start = 33;
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -EINVAL);
	s.pkt.csum_start = 34;
	/* Headers that go on in the next segment. */
	rest = s.pkt;
	rest.data = s.buf + s.l5 - 1;
	rest.len = s.pkt.len - (s.l5 - 1);
	s.pkt.len = s.l5 - 1;
	s.pkt.next = &rest;
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -EINVAL);
	free(s.buf);

	sample_make(&v6);
	v6.buf[20] = 0; /* hop-by-hop options that reach to far behind the end */
	v6.buf[55] = 255;
	assert_int_equal(ob_net_segment(&v6.pkt, pool, out, POOL), -EINVAL);
	free(v6.buf);
	assert_int_equal(pool->n, POOL);
}

static void too_little_room_takes_nothing(void **state)
{
	struct sample s = {.payload = 5000, .mss = 100};
	struct ob_pkt *out[POOL], *held[POOL];
	unsigned int n = 0;

	sample_make(&s);
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, 49), -ENOBUFS);
	while (pool->n > 49)
		held[n++] = ob_pkt_alloc(pool);
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, POOL), -ENOBUFS);
	assert_int_equal(pool->n, 49);
	while (n)
		ob_pkt_free_segment(held[--n]);
	assert_int_equal(ob_net_segment(&s.pkt, pool, out, 50), 50);
	for (int i = 0; i < 50; i++)
		ob_pkt_free(out[i]);
	free(s.buf);
}

/* ---- ob_net_csum_fill() ---- */

static void a_checksum_is_filled_in_wherever_the_frame_is_cut(void **state)
{
	srand(2);
	for (unsigned int round = 0; round < 3000; round++) {
		struct sample s = {
			.v6 = round & 1,
			.udp = round & 2,
			.vlan = round & 4,
			.payload = (unsigned int)rand() % 1400,
			.mss = 100,
		};
		struct ob_pkt part[3];
		uint8_t *copy[3];
		uint8_t whole[2048];
		unsigned int a, b, at[4];

		sample_make(&s);
		s.pkt.gso_type = OB_GSO_NONE;
		if (!s.v6) /* the IP header is the client's business */
			w16(s.buf + s.l3 + 10, 0),
				w16(s.buf + s.l3 + 10,
				    0xffff & ~plain_sum(s.buf + s.l3, s.l4 - s.l3, 0));
		a = (unsigned int)rand() % (s.pkt.len + 1);
		b = a + (unsigned int)rand() % (s.pkt.len - a + 1);
		at[0] = 0;
		at[1] = a;
		at[2] = b;
		at[3] = s.pkt.len;
		for (int i = 0; i < 3; i++) {
			part[i] = s.pkt;
			part[i].len = at[i + 1] - at[i];
			copy[i] = malloc(part[i].len + 1);
			memcpy(copy[i], s.buf + at[i], part[i].len);
			part[i].data = copy[i];
			part[i].next = i < 2 ? &part[i + 1] : NULL;
		}
		assert_int_equal(ob_net_csum_fill(&part[0]), 0);
		assert_false(part[0].flags & OB_PKT_CSUM_PARTIAL);
		for (int i = 0; i < 3; i++) {
			memcpy(whole + at[i], copy[i], part[i].len);
			free(copy[i]);
		}
		assert_checksums(&s, whole, s.pkt.len);
		assert_int_not_equal(be16(whole + s.l4 + s.pkt.csum_offset), 0);
		free(s.buf);
	}
}

static void a_checksum_outside_of_the_frame_is_refused(void **state)
{
	uint8_t data[64] = {0};
	struct ob_pkt pkt = {.data = data, .len = 64, .flags = OB_PKT_CSUM_PARTIAL};

	pkt.csum_start = 64;
	assert_int_equal(ob_net_csum_fill(&pkt), -EINVAL);
	pkt.csum_start = 46;
	pkt.csum_offset = 17;
	assert_int_equal(ob_net_csum_fill(&pkt), -EINVAL);
	pkt.csum_start = 0xffff;
	pkt.csum_offset = 0xffff;
	assert_int_equal(ob_net_csum_fill(&pkt), -EINVAL);
	pkt.csum_start = 46;
	pkt.csum_offset = 16;
	assert_int_equal(ob_net_csum_fill(&pkt), 0);
}

/* ---- pools, in a real arena ---- */

static void pools_keep_what_describes_a_buffer_outside_of_the_arena(void **state)
{
	struct ob_device *dev;
	struct ob_dma *d;
	struct ob_pool *p;
	struct ob_pkt *pkt[300], *again;
	struct ob_dma_stats stats;

	assert_int_equal(ob_device_open("qemu:edu", &dev, NULL), 0);
	d = ob_device_dma(dev);
	assert_int_equal(ob_pool_create(d, 300, 2048, 10, 64, &p), 0);
	assert_int_equal(p->n, 300);
	for (int i = 0; i < 300; i++) {
		pkt[i] = ob_pkt_alloc(p);
		assert_non_null(pkt[i]);
		assert_int_equal(pkt[i]->len, 0);
		assert_true(ob_dma_contains(d, pkt[i]->buf, 2048));
		assert_false(ob_dma_contains(d, pkt[i], sizeof(*pkt[i])));
		assert_ptr_equal(pkt[i]->data, pkt[i]->buf + 10);
		assert_int_equal((uintptr_t)pkt[i]->data % 64, 0);
		assert_int_equal(pkt[i]->iova.addr, ob_dma_iova(d, pkt[i]->data).addr);
		memset(pkt[i]->buf, i, 2048);
	}
	assert_null(ob_pkt_alloc(p));
	for (int i = 0; i < 300; i++) /* no two share a byte */
		for (int k = 0; k < 2048; k++)
			assert_int_equal(pkt[i]->buf[k], (uint8_t)i);
	pkt[7]->data += 100;
	pkt[7]->len = 5;
	pkt[7]->next = pkt[8];
	pkt[8]->next = NULL;
	ob_pkt_free(pkt[7]);
	assert_int_equal(p->n, 2);
	again = ob_pkt_alloc(p);
	ob_pkt_reset(again);
	assert_ptr_equal(again->data, again->buf + 10);
	assert_int_equal(again->len, 0);
	ob_pool_destroy(p);
	ob_dma_stats(d, &stats);
	assert_int_equal(stats.allocated, 0);
	ob_device_close(dev);
}

static void a_pool_that_cannot_be_made_says_so(void **state)
{
	struct ob_device *dev;
	struct ob_dma_stats stats;
	struct ob_dma *d;
	struct ob_pool *p;

	assert_int_equal(ob_device_open("qemu:edu,arena=1M", &dev, NULL), 0);
	d = ob_device_dma(dev);
	assert_int_equal(ob_pool_create(d, 100000, 2048, 0, 64, &p), -ENOSPC);
	assert_int_equal(ob_pool_create(d, 0, 2048, 0, 64, &p), -EINVAL);
	assert_int_equal(ob_pool_create(d, 10, 64, 64, 64, &p), -EINVAL);
	assert_int_equal(ob_pool_create(d, 10, 2048, 0, 48, &p), -EINVAL);
	ob_dma_stats(d, &stats);
	assert_int_equal(stats.allocated, 0);
	ob_device_close(dev);
}

static int make_pool(void **state)
{
	pool = fake_pool_make(POOL, 2048 + 64, 64, &dma);
	return 0;
}

static int free_pool(void **state)
{
	fake_pool_free(pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_frames_that_a_receiver_takes),
		cmocka_unit_test(headers_that_make_no_sense_are_refused),
		cmocka_unit_test(too_little_room_takes_nothing),
		cmocka_unit_test(a_checksum_is_filled_in_wherever_the_frame_is_cut),
		cmocka_unit_test(a_checksum_outside_of_the_frame_is_refused),
		cmocka_unit_test(pools_keep_what_describes_a_buffer_outside_of_the_arena),
		cmocka_unit_test(a_pool_that_cannot_be_made_says_so),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
