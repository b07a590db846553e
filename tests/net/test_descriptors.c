/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the e1000 driver makes of descriptors, with the test in the place of the device: sound ones,
 * impossible ones, and what it writes for the device itself. Layouts: SDM 3.2.3, 3.3; 82574 7.1.6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/net/fake_card.h"

enum {
	RING = 128,
	BUFFERS = 256
};

/* One write-back in either format, in the format's own terms. */
struct wb {
	unsigned int len;
	bool dd, eop, ixsm, l4, bad_l4, crc;
};

struct card {
	struct fake_card *f;
	struct e1000 *e;
	bool extended;
	unsigned int head; /* the device's RDH */
};

static int setup(void **state, bool extended)
{
	struct card *c = calloc(1, sizeof(*c));

	c->extended = extended;
	c->f = fake_card_make(extended, RING, BUFFERS);
	c->e = &c->f->e;
	*state = c;
	return 0;
}

static int setup_legacy(void **state)
{
	return setup(state, false);
}

static int setup_extended(void **state)
{
	return setup(state, true);
}

static int teardown(void **state)
{
	struct card *c = *state;

	fake_card_free(c->f);
	free(c);
	return 0;
}

static uint64_t encode(const struct card *c, const struct wb *w)
{
	uint64_t v;

	if (c->extended) {
		v = (uint64_t)w->len << 32;
		v |= w->dd ? 1u << 0 : 0;
		v |= w->eop ? 1u << 1 : 0;
		v |= w->ixsm ? 1u << 2 : 0;
		v |= w->l4 ? 1u << 5 : 0;
		v |= w->crc ? 1u << 24 : 0;
		v |= w->bad_l4 ? 1u << 29 : 0;
		return v;
	}
	v = w->len;
	v |= (uint64_t)((w->dd ? 1 : 0) | (w->eop ? 2 : 0) | (w->ixsm ? 4 : 0) |
			(w->l4 ? 1 << 5 : 0))
	     << 32;
	v |= (uint64_t)((w->crc ? 1 : 0) | (w->bad_l4 ? 1 << 5 : 0)) << 40;
	return v;
}

/* The device writes back the next descriptor, with its buffer filled with @fill. */
static void complete(struct card *c, struct wb w, uint8_t fill)
{
	struct ob_pkt *pkt = c->e->rx.pkt[c->head];

	w.dd = true;
	if (w.len <= E1000_RX_BUFFER)
		memset(pkt->buf + E1000_RX_HEADROOM, fill, w.len);
	c->e->rx.desc[c->head].status = encode(c, &w);
	c->head = (c->head + 1) % RING;
}

static unsigned int rx(struct card *c, struct ob_pkt **pkts, unsigned int n)
{
	return ob_net_rx_burst(&c->e->net, 0, pkts, n);
}

static unsigned int posted(const struct card *c)
{
	return (c->e->rx.fill - c->e->rx.next) & (RING - 1);
}

/* Every buffer is in the pool, in the ring, or one of @held. */
static void nothing_lost(const struct card *c, unsigned int held)
{
	assert_int_equal(c->e->pool->n + posted(c) + held, BUFFERS);
}

static void a_frame_arrives(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[4];

	assert_int_equal(rx(c, p, 4), 0);
	complete(c, (struct wb){.len = 60, .eop = true}, 0x11);
	complete(c, (struct wb){.len = 1514, .eop = true}, 0x22);
	assert_int_equal(rx(c, p, 4), 2);
	assert_int_equal(p[0]->len, 60);
	assert_int_equal(p[0]->flags, 0);
	assert_null(p[0]->next);
	assert_int_equal(p[0]->data[59], 0x11);
	assert_int_equal(p[1]->len, 1514);
	assert_int_equal(p[1]->data[1513], 0x22);
	nothing_lost(c, 2);
	ob_pkt_free(p[0]);
	ob_pkt_free(p[1]);
}

static void impossible_lengths_are_refused(void **state)
{
	static const unsigned int lens[] = {0, 1, 13, 2049, 4096, 0xffff};
	struct card *c = *state;
	struct ob_pkt *p[8];

	for (unsigned int i = 0; i < 6; i++)
		complete(c, (struct wb){.len = lens[i], .eop = true}, 0);
	complete(c, (struct wb){.len = 14, .eop = true}, 0x33);
	assert_int_equal(rx(c, p, 8), 1);
	assert_int_equal(p[0]->len, 14);
	assert_int_equal(c->e->sw.rx_bad_descriptors, 6);
	nothing_lost(c, 1);
	ob_pkt_free(p[0]);
}

static void a_long_frame_takes_several_buffers(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[4];

	complete(c, (struct wb){.len = 2048}, 1);
	assert_int_equal(rx(c, p, 4), 0); /* its end has not come */
	complete(c, (struct wb){.len = 2048}, 2);
	complete(c, (struct wb){.len = 3, .eop = true}, 3);
	complete(c, (struct wb){.len = 100, .eop = true}, 4);
	assert_int_equal(rx(c, p, 4), 2);
	assert_int_equal(ob_pkt_frame_len(p[0]), 4099);
	assert_int_equal(p[0]->next->data[0], 2);
	assert_int_equal(p[0]->next->next->len, 3);
	assert_null(p[0]->next->next->next);
	assert_int_equal(p[1]->len, 100);
	nothing_lost(c, 4);
	ob_pkt_free(p[0]);
	ob_pkt_free(p[1]);
	nothing_lost(c, 0);
}

static void a_frame_without_an_end_is_dropped(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[4];

	/* 20 full buffers: more than the longest frame. The end belongs to the nonsense, too. */
	for (unsigned int i = 0; i < 20; i++)
		complete(c, (struct wb){.len = 2048}, 9);
	complete(c, (struct wb){.len = 70, .eop = true}, 9);
	complete(c, (struct wb){.len = 71, .eop = true}, 10);
	assert_int_equal(rx(c, p, 4), 1);
	assert_int_equal(p[0]->len, 71);
	assert_int_equal(c->e->sw.rx_bad_descriptors, 1);
	nothing_lost(c, 1);
	ob_pkt_free(p[0]);
}

static void a_piece_that_is_not_full_is_refused(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[4];

	complete(c, (struct wb){.len = 100}, 9); /* no EOP */
	complete(c, (struct wb){.len = 100, .eop = true}, 9);
	complete(c, (struct wb){.len = 101, .eop = true}, 9);
	assert_int_equal(rx(c, p, 4), 1);
	assert_int_equal(p[0]->len, 101);
	assert_int_equal(c->e->sw.rx_bad_descriptors, 1);
	nothing_lost(c, 1);
	ob_pkt_free(p[0]);
}

static void damaged_frames_are_counted_and_dropped(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[4];

	complete(c, (struct wb){.len = 100, .eop = true, .crc = true}, 9);
	complete(c, (struct wb){.len = 2048}, 9);
	complete(c, (struct wb){.len = 100, .eop = true, .crc = true}, 9);
	complete(c, (struct wb){.len = 102, .eop = true}, 9);
	assert_int_equal(rx(c, p, 4), 1);
	assert_int_equal(p[0]->len, 102);
	assert_int_equal(c->e->sw.rx_errors, 2);
	assert_int_equal(c->e->sw.rx_crc_errors, 2);
	nothing_lost(c, 1);
	ob_pkt_free(p[0]);
}

static void checksum_verdicts_are_passed_on(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[5];

	complete(c, (struct wb){.len = 100, .eop = true, .l4 = true}, 0);
	complete(c, (struct wb){.len = 100, .eop = true, .l4 = true, .bad_l4 = true}, 0);
	complete(c, (struct wb){.len = 100, .eop = true, .l4 = true, .ixsm = true}, 0);
	complete(c, (struct wb){.len = 2048, .l4 = true}, 0);
	complete(c, (struct wb){.len = 100, .eop = true, .l4 = true}, 0);
	assert_int_equal(rx(c, p, 5), 4);
	assert_int_equal(p[0]->flags, OB_PKT_CSUM_OK);
	assert_int_equal(p[1]->flags, 0); /* delivered: the client looks itself */
	assert_int_equal(p[2]->flags, 0); /* IXSM: ignore what the other bits say */
	assert_int_equal(p[3]->flags, OB_PKT_CSUM_OK);
	assert_int_equal(c->e->csum_good, 2);
	assert_int_equal(c->e->csum_bad, 1);
	for (int i = 0; i < 4; i++)
		ob_pkt_free(p[i]);
}

static void descriptors_that_were_not_given_are_not_read(void **state)
{
	struct card *c = *state;
	struct wb done = {.len = 60, .eop = true, .dd = true};
	struct ob_pkt *p[RING * 2];
	unsigned int n;

	/* The device claims the whole ring, also the one descriptor without a buffer. */
	for (unsigned int i = 0; i < RING; i++)
		c->e->rx.desc[i].status = encode(c, &done);
	n = rx(c, p, RING * 2);
	assert_int_equal(n, RING - 1);
	nothing_lost(c, n);
	while (n)
		ob_pkt_free(p[--n]);
}

static void a_dry_pool_stops_the_ring_and_starts_it_again(void **state)
{
	struct card *c = *state;
	struct ob_pkt *held[BUFFERS], *p;
	unsigned int n = 0;

	/* A client that keeps all: after as many frames as there are buffers the device has none. */
	while (posted(c)) {
		complete(c, (struct wb){.len = 60, .eop = true}, 7);
		assert_int_equal(rx(c, &held[n], 1), 1);
		n++;
	}
	assert_int_equal(n, BUFFERS);
	assert_int_equal(c->e->pool->n, 0);
	assert_int_equal(rx(c, &p, 1), 0);

	/* One buffer back is enough to go on, although it is less than a batch. */
	ob_pkt_free(held[--n]);
	assert_int_equal(rx(c, &p, 1), 0);
	assert_int_equal(c->e->rx.rdt, c->e->rx.fill);
	complete(c, (struct wb){.len = 61, .eop = true}, 8);
	assert_int_equal(rx(c, &p, 1), 1);
	assert_int_equal(p->len, 61);
	ob_pkt_free(p);
	while (n)
		ob_pkt_free(held[--n]);
	rx(c, &p, 1);
	nothing_lost(c, 0);
}

static void a_burst_rings_once_at_most(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[32];
	uint64_t before;

	for (unsigned int round = 0; round < 200; round++) {
		unsigned int n = round % 32 + 1;

		for (unsigned int i = 0; i < n; i++)
			complete(c, (struct wb){.len = 60, .eop = true}, 7);
		before = c->e->sw.doorbells;
		assert_int_equal(rx(c, p, 32), n);
		assert_true(c->e->sw.doorbells - before <= 1);
		before = c->e->sw.doorbells;
		assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p, n), n);
		assert_int_equal(c->e->sw.doorbells - before, 1);
		/* all sent */
		c->e->tx.desc[(c->e->tx.tail - 1) & (RING - 1)].status |= 1;
		ob_net_tx_burst(&c->e->net, 0, NULL, 0);
		nothing_lost(c, 0);
	}
}

/* ---- transmit ---- */

static struct ob_pkt *frame(struct card *c, unsigned int len)
{
	struct ob_pkt *pkt = ob_pkt_alloc(c->e->pool);

	pkt->data = pkt->buf + E1000_RX_HEADROOM;
	pkt->iova.addr = FAKE_IOVA + (uintptr_t)pkt->data;
	pkt->next = NULL;
	pkt->len = len;
	pkt->flags = 0;
	pkt->gso_type = OB_GSO_NONE;
	return pkt;
}

static void few_descriptors_report(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[100];
	unsigned int reports = 0, mask = c->e->tx.mask;

	for (unsigned int i = 0; i < 100; i++)
		p[i] = frame(c, 60);
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p, 100), 100);
	for (unsigned int i = 0; i < 100; i++) {
		uint32_t cmd = c->e->tx.desc[i].cmd;

		assert_int_equal(cmd & 0xffff, 60);
		assert_true(cmd & TXD_EOP && cmd & TXD_IFCS && !(cmd & TXD_DEXT));
		assert_int_equal(c->e->tx.desc[i].addr, p[i]->iova.addr);
		reports += !!(cmd & TXD_RS);
	}
	assert_int_equal(reports, 2); /* the 64th and the last */
	assert_true(c->e->tx.desc[63].cmd & TXD_RS);
	assert_true(c->e->tx.desc[99].cmd & TXD_RS);
	assert_int_equal(c->e->tx.tail, 100);
	assert_true(mask > 100);

	/* Nothing is freed until the reporting descriptor is done, then all up to it. */
	c->e->tx.desc[62].status |= 1;
	ob_net_tx_burst(&c->e->net, 0, NULL, 0);
	nothing_lost(c, 100);
	c->e->tx.desc[63].status |= 1;
	ob_net_tx_burst(&c->e->net, 0, NULL, 0);
	nothing_lost(c, 36);
	c->e->tx.desc[99].status |= 1;
	ob_net_tx_burst(&c->e->net, 0, NULL, 0);
	nothing_lost(c, 0);
}

static void a_full_ring_takes_no_more(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[RING];

	for (unsigned int i = 0; i < RING; i++)
		p[i] = frame(c, 60);
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p, RING), RING - 1);
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p + RING - 1, 1), 0);
	assert_true(c->e->tx.full);
	c->e->tx.desc[62].status |= 1; /* does not report */
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p + RING - 1, 1), 0);
	c->e->tx.desc[63].status |= 1;
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p + RING - 1, 1), 1);
	e1000_rings_drain(c->e);
	assert_int_equal(c->e->pool->n, BUFFERS - posted(c));
}

static void garbage_in_a_transmit_status_is_counted(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p = frame(c, 60);

	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, &p, 1), 1);
	c->e->tx.desc[0].status = 0xdeadbeef;
	ob_net_tx_burst(&c->e->net, 0, NULL, 0);
	assert_int_equal(c->e->sw.tx_bad_descriptors, 1);
	nothing_lost(c, 0);
}

static void short_frames_are_padded_with_zeros(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p = frame(c, 20);
	uint8_t *data = p->data;

	memset(data, 0x77, 80);
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, &p, 1), 1);
	assert_int_equal(c->e->tx.desc[0].cmd & 0xffff, 60);
	assert_int_equal(data[19], 0x77);
	for (unsigned int i = 20; i < 60; i++)
		assert_int_equal(data[i], 0);
	e1000_rings_drain(c->e);
}

static void what_cannot_be_sent_is_dropped(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[4];

	p[0] = frame(c, 13);   /* no Ethernet header */
	p[1] = frame(c, 2048); /* a gso frame of nonsense */
	p[1]->gso_type = OB_GSO_TCPV4;
	p[1]->gso_size = 100;
	p[2] = frame(c, 100); /* a checksum outside of the frame */
	p[2]->flags = OB_PKT_CSUM_PARTIAL;
	p[2]->csum_start = 90;
	p[2]->csum_offset = 16;
	p[3] = frame(c, 61);
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p, 4), 4);
	assert_int_equal(c->e->sw.tx_dropped, 3);
	assert_int_equal(c->e->sw.tx_packets, 1);
	assert_int_equal(c->e->tx.desc[0].cmd & 0xffff, 61);
	nothing_lost(c, 1);
	e1000_rings_drain(c->e);
}

/* An IPv4 TCP frame: 54 bytes of headers. */
static struct ob_pkt *tcp_frame(struct card *c, unsigned int len)
{
	struct ob_pkt *p = frame(c, len);
	uint8_t *d = p->data;

	memset(d, 0, len);
	d[12] = 0x08;
	d[14] = 0x45;
	d[16] = (uint8_t)((len - 14) >> 8);
	d[17] = (uint8_t)(len - 14);
	d[23] = 6;
	d[24] = 0xab; /* header checksum */
	memcpy(d + 26, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	d[46] = 0x50;
	return p;
}

static void a_checksum_gets_a_context_once(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p[3];

	for (int i = 0; i < 3; i++) {
		p[i] = tcp_frame(c, 200);
		p[i]->flags = OB_PKT_CSUM_PARTIAL;
		p[i]->csum_start = 34;
		p[i]->csum_offset = 16;
	}
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, p, 3), 3);
	/* SDM 3.3.6: TUCSS 7:0, TUCSO 15:8 of the upper half; DTYP 0, DEXT, TUCMD.TCP */
	assert_int_equal(c->e->tx.desc[0].addr, (uint64_t)(34 | 50 << 8) << 32);
	assert_int_equal(c->e->tx.desc[0].cmd, 1u << 29 | 1u << 24);
	for (int i = 1; i <= 3; i++) {
		/* SDM 3.3.7: DTYP 1, DEXT, IFCS, EOP; POPTS.TXSM */
		assert_int_equal(c->e->tx.desc[i].cmd & ~TXD_RS,
				 1u << 29 | 1u << 20 | 3u << 24 | 200);
		assert_int_equal(c->e->tx.desc[i].status, 2 << 8);
	}
	assert_int_equal(c->e->tx.tail, 4);
	e1000_rings_drain(c->e);
}

static void segmentation_is_described_as_the_device_wants_it(void **state)
{
	struct card *c = *state;
	struct ob_pkt *p = tcp_frame(c, 2000);
	uint8_t *d = p->data;

	p->gso_type = OB_GSO_TCPV4;
	p->gso_size = 500;
	p->flags = OB_PKT_CSUM_PARTIAL;
	p->csum_start = 34;
	p->csum_offset = 16;
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, &p, 1), 1);
	/* IPCSS 14, IPCSO 24, IPCSE 33; TUCSS 34, TUCSO 50, TUCSE 0 */
	assert_int_equal(c->e->tx.desc[0].addr,
			 (uint64_t)(34 | 50 << 8) << 32 | 14 | 24 << 8 | 33 << 16);
	/* DEXT, TSE, IP, TCP, PAYLEN; MSS, HDRLEN */
	assert_int_equal(c->e->tx.desc[0].cmd, 1u << 29 | 1u << 26 | 1u << 25 | 1u << 24 | 1946);
	assert_int_equal(c->e->tx.desc[0].status, 500u << 16 | 54 << 8);
	assert_int_equal(c->e->tx.desc[1].cmd,
			 1u << 29 | 1u << 27 | 1u << 26 | 1u << 25 | 1u << 24 | 1u << 20 | 2000);
	assert_int_equal(c->e->tx.desc[1].status, 3 << 8);
	/* 3.5.3: IP length and checksum 0, pseudo header without its length: 0a000001+0a000002+6 */
	assert_int_equal(d[16] | d[17] | d[24] | d[25], 0);
	assert_int_equal(d[50] << 8 | d[51], 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6);
	e1000_rings_drain(c->e);
	nothing_lost(c, 0);
}

static void a_scattered_frame_is_freed_whole(void **state)
{
	struct card *c = *state;
	struct ob_pkt *head = frame(c, 1000);

	head->next = frame(c, 0); /* an empty piece has no descriptor */
	head->next->next = frame(c, 500);
	assert_int_equal(ob_net_tx_burst(&c->e->net, 0, &head, 1), 1);
	assert_int_equal(c->e->tx.tail, 2);
	assert_false(c->e->tx.desc[0].cmd & TXD_EOP);
	assert_true(c->e->tx.desc[1].cmd & TXD_EOP);
	c->e->tx.desc[1].status |= 1;
	ob_net_tx_burst(&c->e->net, 0, NULL, 0);
	nothing_lost(c, 0);
}

#define BOTH(f)                                                                                    \
	{#f ", legacy descriptors", f, setup_legacy, teardown, NULL},                              \
	{                                                                                          \
#f ", extended descriptors", f, setup_extended, teardown, NULL                     \
	}
#define ONCE(f)                                                                                    \
	{                                                                                          \
#f, f, setup_legacy, teardown, NULL                                                \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_frame_arrives),
		BOTH(impossible_lengths_are_refused),
		BOTH(a_long_frame_takes_several_buffers),
		BOTH(a_frame_without_an_end_is_dropped),
		BOTH(a_piece_that_is_not_full_is_refused),
		BOTH(damaged_frames_are_counted_and_dropped),
		BOTH(checksum_verdicts_are_passed_on),
		BOTH(descriptors_that_were_not_given_are_not_read),
		BOTH(a_dry_pool_stops_the_ring_and_starts_it_again),
		BOTH(a_burst_rings_once_at_most),
		ONCE(few_descriptors_report),
		ONCE(a_full_ring_takes_no_more),
		ONCE(garbage_in_a_transmit_status_is_counted),
		ONCE(short_frames_are_padded_with_zeros),
		ONCE(what_cannot_be_sent_is_dropped),
		ONCE(a_checksum_gets_a_context_once),
		ONCE(segmentation_is_described_as_the_device_wants_it),
		ONCE(a_scattered_frame_is_freed_whole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
