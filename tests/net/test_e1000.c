/* SPDX-License-Identifier: BSD-2-Clause */
/* The e1000 driver on a real device: `net-e1000 MODEL`. The test holds the other end of the cable. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/net/plain_sum.h"
#include "tests/net/wire.h"

static const char *model = "e1000e";
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static int open_wire(void **state)
{
	struct ob_driver_config poll = {.mode = OB_MODE_POLL};
	struct wire *w = calloc(1, sizeof(*w));

	if (wire_open(w, model, "", &poll))
		return -1;
	*state = w;
	return 0;
}

static int close_wire(void **state)
{
	wire_close(*state);
	free(*state);
	return 0;
}

/* A frame goes in and its exact copy is received. */
static void assert_receives(struct wire *w, const uint8_t dst[6], size_t len, uint32_t seed)
{
	uint8_t frame[2048];
	struct ob_pkt *pkt;

	wire_frame(frame, len, dst, seed);
	assert_true(wire_send_wait(w, frame, len));
	assert_int_equal(wire_poll(w, &pkt, 1, 10000), 1);
	assert_int_equal(pkt->len, len);
	assert_memory_equal(pkt->data, frame, len);
	ob_pkt_free(pkt);
}

/* A frame goes in, nothing comes; a broadcast after it does. */
static void assert_ignores(struct wire *w, const uint8_t dst[6])
{
	uint8_t frame[100];

	wire_frame(frame, sizeof(frame), dst, 77);
	assert_true(wire_send_wait(w, frame, sizeof(frame)));
	assert_receives(w, broadcast, 90, 78);
}

static void assert_sends(struct wire *w, size_t len, uint32_t seed)
{
	uint8_t frame[2048], got[4096];

	wire_frame(frame, len, broadcast, seed);
	assert_true(wire_tx(w, wire_pkt(w, frame, len)));
	assert_int_equal(wire_recv(w, got, sizeof(got), 10000), len);
	assert_memory_equal(got, frame, len);
}

/* ---- frames ---- */

static void bursts_arrive_whole_and_in_order(void **state)
{
	struct wire *w = *state;
	struct ob_pkt *pkts[64];
	uint8_t frame[1514], got[2048];
	unsigned int seq = 0, back = 0;

	/* Transmit in bursts of 1 to 64. */
	for (unsigned int burst = 1; burst <= 64; burst++) {
		unsigned int sent = 0;

		for (unsigned int i = 0; i < burst; i++) {
			size_t len = 60 + (seq * 37) % 1400;

			wire_frame(frame, len, broadcast, seq++);
			pkts[i] = wire_pkt(w, frame, len);
			assert_non_null(pkts[i]);
		}
		while (sent < burst) {
			sent += ob_net_tx_burst(w->net, 0, pkts + sent, burst - sent);
			assert_false(ob_device_gone(w->dev));
		}
		while (back < seq) {
			size_t len = 60 + (back * 37) % 1400;

			wire_frame(frame, len, broadcast, back++);
			assert_int_equal(wire_recv(w, got, sizeof(got), 10000), len);
			assert_memory_equal(got, frame, len);
		}
	}
	/* All buffers are back but those in the receive ring. */
	for (unsigned int i = 0; i < 1000; i++) {
		struct ob_net_ring ring;

		ob_net_tx_burst(w->net, 0, NULL, 0);
		w->net->ops->ring(w->net, &ring);
		if (w->net->rx_pool[0]->n + ring.rx - 1 >= w->net->rx_pool[0]->size)
			return;
		usleep(1000);
	}
	fail_msg("%u of %u buffers are missing", w->net->rx_pool[0]->size - w->net->rx_pool[0]->n,
		 w->net->rx_pool[0]->size);
}

static void long_frames_take_several_buffers(void **state)
{
	struct wire *w = *state;
	uint8_t *frame = malloc(9014), *got = malloc(16384);
	static const size_t sizes[] = {1515, 2048, 2049, 4096, 6145, 9014};
	struct ob_pkt *pkt;

	assert_int_equal(w->net->ops->set_mtu(w->net, 20000), -EINVAL);
	assert_int_equal(w->net->ops->set_mtu(w->net, 9000), 0);
	for (unsigned int i = 0; i < 6; i++) {
		uint32_t done = 0;
		unsigned int segments = 0;

		wire_frame(frame, sizes[i], w->net->mac, i);
		assert_true(wire_send_wait(w, frame, sizes[i]));
		assert_int_equal(wire_poll(w, &pkt, 1, 10000), 1);
		assert_int_equal(ob_pkt_frame_len(pkt), sizes[i]);
		for (struct ob_pkt *s = pkt; s; s = s->next) {
			assert_memory_equal(s->data, frame + done, s->len);
			done += s->len;
			segments++;
		}
		assert_int_equal(segments, (sizes[i] + 2047) / 2048);
		/* Back as it came, in pieces. */
		assert_true(wire_tx(w, pkt));
		assert_int_equal(wire_recv(w, got, 16384, 10000), sizes[i]);
		assert_memory_equal(got, frame, sizes[i]);
	}
	assert_int_equal(w->net->ops->set_mtu(w->net, 1500), 0);
	assert_receives(w, w->net->mac, 100, 1);
	free(frame);
	free(got);
}

static void only_addresses_that_were_asked_for_are_received(void **state)
{
	static const uint8_t other[6] = {0x52, 0x54, 0, 1, 2, 3};
	static const uint8_t groups[3][6] = {
		{0x01, 0, 0x5e, 0, 0, 1}, {0x33, 0x33, 0, 0, 0, 2}, {0x01, 0, 0x5e, 0x7f, 9, 9}};
	uint8_t own[6];
	struct wire *w = *state;

	memcpy(own, w->net->mac, 6);
	assert_receives(w, own, 60, 1);
	assert_receives(w, broadcast, 61, 2);
	assert_ignores(w, other);
	assert_ignores(w, groups[0]);
	assert_int_equal(w->net->ops->set_multicast(w->net, groups, 2), 0);
	assert_receives(w, groups[0], 62, 3);
	assert_receives(w, groups[1], 63, 4);
	assert_ignores(w, groups[2]);
	assert_int_equal(w->net->ops->set_multicast(w->net, NULL, 0), 0);
	assert_ignores(w, groups[0]);

	assert_int_equal(w->net->ops->set_mac(w->net, groups[0]), -EADDRNOTAVAIL);
	assert_int_equal(w->net->ops->set_mac(w->net, other), 0);
	assert_receives(w, other, 64, 5);
	assert_ignores(w, own);
	assert_int_equal(w->net->ops->set_mac(w->net, own), 0);

	assert_int_equal(w->net->ops->set_promisc(w->net, true), 0);
	assert_receives(w, other, 65, 6);
	assert_receives(w, groups[2], 66, 7);
	assert_int_equal(w->net->ops->set_promisc(w->net, false), 0);
	assert_ignores(w, other);
}

static void a_slow_client_loses_frames_but_not_the_card(void **state)
{
	struct wire *w = *state;
	unsigned int size = w->net->rx_pool[0]->size, n = 0, sent = 0;
	struct ob_pkt **held = calloc(size + 1, sizeof(*held));
	uint64_t end = ob_clock_ns() + 60000000000ull;
	uint8_t frame[100];
	int stuck = 0;

	ob_net_tx_burst(w->net, 0, NULL, 0); /* what an earlier test sent */
	/* Keep every frame. The card never has more than the pool holds, and then takes none. */
	while (n < size || stuck < 100) {
		unsigned int got;

		wire_frame(frame, sizeof(frame), w->net->mac, sent);
		if (wire_send(w, frame, sizeof(frame)))
			sent++;
		got = ob_net_rx_burst(w->net, 0, held + n, size + 1 - n);
		n += got;
		assert_true(n <= size);
		assert_true(ob_clock_ns() < end);
		if (n < size)
			continue;
		stuck++;
		usleep(100);
	}
	assert_int_equal(n, size);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t seq;

		/* What the client holds has not been touched since. */
		memcpy(&seq, held[i]->data + 14, 4);
		assert_int_equal(seq, i);
		wire_frame(frame, sizeof(frame), w->net->mac, i);
		assert_memory_equal(held[i]->data, frame, sizeof(frame));
		ob_pkt_free(held[i]);
	}
	/* It goes on as if nothing had been; what waited in the cable comes first. */
	for (;;) {
		uint32_t seq;

		assert_int_equal(wire_poll(w, held, 1, 10000), 1);
		memcpy(&seq, held[0]->data + 14, 4);
		ob_pkt_free(held[0]);
		if (seq == sent - 1)
			break;
	}
	assert_receives(w, w->net->mac, 80, 5);
	free(held);
}

/* ---- offloads ---- */

static void w16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* TCP or UDP over IPv4 or IPv6; the checksum field holds the pseudo header's sum. Returns the L4 offset. */
static unsigned int l4_frame(uint8_t *p, unsigned int len, const uint8_t mac[6], bool v6, bool udp)
{
	unsigned int l4 = v6 ? 54 : 34, l4_len = len - l4;
	uint32_t sum;

	wire_frame(p, len, mac, len);
	w16(p + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		w16(p + 14, 0x6000);
		w16(p + 18, l4_len);
		p[20] = udp ? 17 : 6;
		p[21] = 64;
		sum = plain_sum(p + 22, 32, 0);
	} else {
		w16(p + 14, 0x4500);
		w16(p + 16, len - 14);
		w16(p + 20, 0x4000);
		p[22] = 64;
		p[23] = udp ? 17 : 6;
		w16(p + 24, 0);
		w16(p + 24, 0xffff & ~plain_sum(p + 14, 20, 0));
		sum = plain_sum(p + 26, 8, 0);
	}
	if (udp) {
		w16(p + l4 + 4, l4_len);
	} else {
		p[l4 + 12] = 0x50;
		p[l4 + 13] = 0x10;
	}
	w16(p + l4 + (udp ? 6 : 16), plain_sum(NULL, 0, sum + (udp ? 17 : 6) + l4_len));
	return l4;
}

static bool l4_is_right(const uint8_t *p, unsigned int len, bool v6, bool udp)
{
	unsigned int l4 = v6 ? 54 : 34;
	uint32_t sum = v6 ? plain_sum(p + 22, 32, 0) : plain_sum(p + 26, 8, 0);

	return plain_sum(p + l4, len - l4, sum + (udp ? 17 : 6) + len - l4) == 0xffff;
}

static void checksums_are_right_on_the_wire(void **state)
{
	struct wire *w = *state;
	uint8_t frame[1514], got[2048];

	assert_true(ob_net_can_csum(w->net));
	for (unsigned int i = 0; i < 400; i++) {
		bool v6 = i & 1, udp = i & 2;
		unsigned int len = 80 + (i * 53) % 1400;
		unsigned int l4 = l4_frame(frame, len, broadcast, v6, udp);
		struct ob_pkt *pkt = wire_pkt(w, frame, len);

		assert_non_null(pkt);
		pkt->flags = OB_PKT_CSUM_PARTIAL;
		pkt->csum_start = (uint16_t)l4;
		pkt->csum_offset = udp ? 6 : 16;
		assert_true(wire_tx(w, pkt));
		assert_int_equal(wire_recv(w, got, sizeof(got), 10000), len);
		assert_true(l4_is_right(got, len, v6, udp));
		/* nothing but the checksum was changed */
		w16(got + l4 + (udp ? 6 : 16), 0);
		w16(frame + l4 + (udp ? 6 : 16), 0);
		assert_memory_equal(got, frame, len);
	}
	/* A plain frame after those with offloads is left alone. */
	assert_sends(w, 200, 9);
}

/* Whoever pads must not spoil the checksum: it covers what IP says, without the padding. */
static void checksums_of_padded_frames_are_right_on_the_wire(void **state)
{
	static const uint8_t zeroes[60];
	struct wire *w = *state;
	uint8_t frame[60], got[2048];

	for (unsigned int i = 0; i < 18 + 6; i++) {
		bool udp = i < 18;
		unsigned int len = udp ? 42 + i : 54 + i - 18;
		unsigned int l4 = l4_frame(frame, len, broadcast, false, udp);
		struct ob_pkt *pkt = wire_pkt(w, frame, len);

		assert_non_null(pkt);
		pkt->flags = OB_PKT_CSUM_PARTIAL;
		pkt->csum_start = (uint16_t)l4;
		pkt->csum_offset = udp ? 6 : 16;
		assert_true(wire_tx(w, pkt));
		assert_int_equal(wire_recv(w, got, sizeof(got), 10000), 60);
		assert_true(l4_is_right(got, len, false, udp));
		assert_memory_equal(got + len, zeroes, 60 - len);
	}
}

static void other_checksums_are_done_in_software(void **state)
{
	struct wire *w = *state;
	uint8_t frame[300], got[2048];
	struct ob_pkt *pkt;

	/* ICMPv6-like: a sum over the end of a frame that no TCP or UDP header is in. */
	wire_frame(frame, sizeof(frame), broadcast, 3);
	w16(frame + 102, 0);
	pkt = wire_pkt(w, frame, sizeof(frame));
	assert_non_null(pkt);
	pkt->flags = OB_PKT_CSUM_PARTIAL;
	pkt->csum_start = 100;
	pkt->csum_offset = 2;
	assert_true(wire_tx(w, pkt));
	assert_int_equal(wire_recv(w, got, sizeof(got), 10000), sizeof(frame));
	assert_int_equal(plain_sum(got + 100, 200, 0), 0xffff);
	assert_memory_equal(got, frame, 102);
	assert_memory_equal(got + 104, frame + 104, 196);
}

static void segments_on_the_wire_are_those_of_the_software(void **state)
{
	struct wire *w = *state;
	uint8_t got[2048];
	struct ob_pool *big, *small;
	struct ob_dma *dma = ob_device_dma(w->dev);

	assert_int_equal(ob_pool_create(dma, 4, 65600, 0, 64, &big), 0);
	assert_int_equal(ob_pool_create(dma, 128, 2048, 0, 64, &small), 0);
	for (unsigned int i = 0; i < 40; i++) {
		static const unsigned int payloads[] = {1461, 2920,  2921,  8192,
							9000, 20000, 40001, 65000};
		bool v6 = i & 1;
		unsigned int mss = i < 16 ? 1400 : 500 + i * 20;
		unsigned int len = (v6 ? 74 : 54) + payloads[i / 2 % 8], l4;
		struct ob_pkt *pkt = ob_pkt_alloc(big), *want[128];
		int n;

		ob_pkt_reset(pkt);
		l4 = l4_frame(pkt->data, len, broadcast, v6, false);
		pkt->data[l4 + 13] = 0x19; /* FIN, PSH, ACK */
		pkt->len = len;
		pkt->gso_type = v6 ? OB_GSO_TCPV6 : OB_GSO_TCPV4;
		pkt->gso_size = (uint16_t)mss;
		pkt->hdr_len = (uint16_t)(l4 + 20);
		pkt->flags = OB_PKT_CSUM_PARTIAL;
		pkt->csum_start = (uint16_t)l4;
		pkt->csum_offset = 16;
		n = ob_net_segment(pkt, small, want, 128);
		if (payloads[i / 2 % 8] / mss >= 128) {
			assert_int_equal(n, -ENOBUFS);
			ob_pkt_free(pkt);
			continue;
		}
		assert_true(n > 0);
		if (!ob_net_can_tso(w->net)) {
			/* Asked all the same: dropped and counted, never half sent. */
			struct ob_net_stats before, after;

			w->net->ops->stats(w->net, &before);
			assert_true(wire_tx(w, pkt));
			w->net->ops->stats(w->net, &after);
			assert_int_equal(after.tx_dropped, before.tx_dropped + 1);
			assert_int_equal(wire_recv(w, got, sizeof(got), 0), -1);
			for (int k = 0; k < n; k++)
				assert_true(wire_tx(w, want[k]));
			for (int k = 0; k < n; k++) {
				ssize_t r = wire_recv(w, got, sizeof(got), 10000);

				assert_true(l4_is_right(got, (unsigned int)r, v6, false));
			}
			for (int k = 0; k < 1000 && small->n < 128; k++) {
				ob_net_tx_burst(w->net, 0, NULL, 0);
				usleep(1000);
			}
			continue;
		}
		assert_true(wire_tx(w, pkt));
		for (int k = 0; k < n; k++) {
			assert_int_equal(wire_recv(w, got, sizeof(got), 10000), want[k]->len);
			assert_memory_equal(got, want[k]->data, want[k]->len);
			ob_pkt_free(want[k]);
		}
	}
	for (int k = 0; k < 1000 && (small->n < 128 || big->n < 4); k++) {
		ob_net_tx_burst(w->net, 0, NULL, 0);
		usleep(1000);
	}
	assert_int_equal(small->n, 128);
	assert_int_equal(big->n, 4);
	ob_pool_destroy(big);
	ob_pool_destroy(small);
	print_message("# segmentation by the %s\n", ob_net_can_tso(w->net) ? "device" : "software");
}

static void received_checksums_are_judged(void **state)
{
	struct wire *w = *state;
	uint8_t frame[1514];
	struct ob_pkt *pkt;

	for (unsigned int i = 0; i < 64; i++) {
		bool v6 = i & 1, udp = i & 2, bad = i & 4;
		unsigned int len = 80 + i * 20, l4 = l4_frame(frame, len, w->net->mac, v6, udp);
		unsigned int at = l4 + (udp ? 6 : 16);

		uint32_t pseudo = v6 ? plain_sum(frame + 22, 32, 0) : plain_sum(frame + 26, 8, 0);

		w16(frame + at, 0);
		w16(frame + at,
		    0xffff & ~plain_sum(frame + l4, len - l4, pseudo + (udp ? 17 : 6) + len - l4));
		if (bad)
			frame[len - 1] ^= 0x10;
		assert_true(wire_send_wait(w, frame, len));
		assert_int_equal(wire_poll(w, &pkt, 1, 10000), 1);
		assert_memory_equal(pkt->data, frame, len); /* also a bad one is passed on */
		if (ob_net_can_rx_csum(w->net))
			assert_int_equal(pkt->flags & OB_PKT_CSUM_OK, bad ? 0 : OB_PKT_CSUM_OK);
		else
			assert_int_equal(pkt->flags & OB_PKT_CSUM_OK, 0);
		ob_pkt_free(pkt);
	}
	/* no IP at all: nothing was verified */
	wire_frame(frame, 100, w->net->mac, 1);
	wire_send_wait(w, frame, 100);
	assert_int_equal(wire_poll(w, &pkt, 1, 10000), 1);
	assert_int_equal(pkt->flags & OB_PKT_CSUM_OK, 0);
	ob_pkt_free(pkt);
}

/* ---- life ---- */

static bool link_becomes(struct wire *w, bool up)
{
	struct ob_net_link link;

	for (unsigned int i = 0; i < 1000; i++) {
		w->net->ops->tick(w->net, ob_clock_ns());
		w->net->ops->link(w->net, &link);
		if (link.up == up)
			return true;
		wire_sleep_ms(10);
	}
	return false;
}

static void a_link_that_goes_and_comes_is_seen(void **state)
{
	struct wire *w = *state;
	struct ob_net_link link;
	int bmcr = w->net->ops->phy_read(w->net, 0);

	w->net->ops->link(w->net, &link);
	assert_true(link.up);
	assert_int_equal(link.mbps, 1000);
	assert_true(link.full_duplex);
	assert_true(link.autoneg);
	/* BMCR.RESTART_AUTO_NEGOTIATION takes the link down until it is done (IEEE 802.3, 22.2.4.1.7). */
	assert_true(bmcr > 0);
	assert_int_equal(w->net->ops->phy_write(w->net, 0, (uint16_t)(bmcr | 0x0200)), 0);
	assert_true(link_becomes(w, false));
	assert_true(link_becomes(w, true));
	w->net->ops->link(w->net, &link);
	assert_int_equal(link.mbps, 1000);
	assert_receives(w, w->net->mac, 100, 1);
	assert_sends(w, 100, 2);
}

static void nothing_is_written_after_stop(void **state)
{
	struct wire *w = *state;
	struct ob_pool *pool = w->net->rx_pool[0];
	uint8_t frame[200];
	struct ob_fault fault;
	struct ob_pkt *pkt;

	assert_receives(w, w->net->mac, 100, 1);
	ob_net_stop(w->net);
	assert_int_equal(pool->n, pool->size); /* every buffer is back */
	for (unsigned int i = 0; i < pool->size; i++)
		memset(pool->pkts[i].buf, 0xa5, pool->buf_size);
	wire_frame(frame, sizeof(frame), broadcast, 5);
	for (unsigned int i = 0; i < 8; i++)
		wire_send(w, frame, sizeof(frame));
	wire_sleep_ms(300);
	for (unsigned int i = 0; i < pool->size; i++)
		for (unsigned int k = 0; k < pool->buf_size; k++)
			assert_int_equal(pool->pkts[i].buf[k], 0xa5);
	assert_true(ob_device_faults(w->dev, &fault, 1) <= 0);
	assert_int_equal(ob_net_rx_burst(w->net, 0, &pkt, 1), 0);
	pkt = wire_pkt(w, frame, sizeof(frame));
	assert_int_equal(ob_net_tx_burst(w->net, 0, &pkt, 1), 0);
	ob_pkt_free(pkt);

	assert_int_equal(ob_net_start(w->net, NULL), 0);
	while (wire_poll(w, &pkt, 1, 3000)) /* what waited in the cable */
		ob_pkt_free(pkt);
	assert_receives(w, w->net->mac, 100, 2);
	assert_sends(w, 100, 3);
}

static void a_binding_can_be_made_again(void **state)
{
	struct wire *w = *state;
	struct ob_driver_config config = {.mode = OB_MODE_INTERRUPT, .depth = 1000};
	struct ob_dma_stats stats;
	struct ob_net_ring ring;
	struct ob_pkt *pkt;

	for (int i = 0; i < 3; i++) {
		ob_driver_unbind(w->b);
		ob_dma_stats(ob_device_dma(w->dev), &stats);
		assert_int_equal(stats.allocated, 0);
		assert_int_equal(ob_driver_bind(w->dev, NULL, &config, &w->b, NULL), 0);
		w->net = w->b->net;
		assert_true(w->net->irq_fd[0] >= 0);
		w->net->ops->ring(w->net, &ring);
		assert_int_equal(ring.rx, 1024);
		assert_int_equal(ring.rx_max, 4096);
		assert_int_equal(ob_net_start(w->net, NULL), 0);
	}
	while (wire_poll(w, &pkt, 1, 100))
		ob_pkt_free(pkt);
	assert_receives(w, w->net->mac, 100, 2);
}

/* ---- ethtool ---- */

static uint64_t value(const struct ob_net_value *v, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return v[i].value;
	fail_msg("no %s", name);
	return 0;
}

static void counters_count(void **state)
{
	struct wire *w = *state;
	struct ob_net_value a[80], b[80];
	struct ob_net_stats sa, sb;
	int n;

	n = w->net->ops->counters(w->net, a, 80);
	assert_true(n > 30 && n < 80);
	w->net->ops->stats(w->net, &sa);
	for (unsigned int i = 0; i < 50; i++)
		assert_receives(w, i & 1 ? broadcast : w->net->mac, 100, i);
	for (unsigned int i = 0; i < 40; i++)
		assert_sends(w, 200, i);
	assert_int_equal(w->net->ops->counters(w->net, b, 80), n);
	w->net->ops->stats(w->net, &sb);
	for (int i = 0; i < n; i++)
		b[i].value -= a[i].value;
	assert_int_equal(value(b, n, "rx_packets"), 50);
	assert_int_equal(value(b, n, "rx_bytes"), 5000);
	assert_int_equal(value(b, n, "tx_packets"), 40);
	assert_int_equal(value(b, n, "tx_bytes"), 8000);
	assert_int_equal(value(b, n, "rx_good_packets"), 50); /* the device's own count */
	assert_int_equal(value(b, n, "tx_good_packets"), 40);
	assert_int_equal(value(b, n, "rx_broadcast"), 25);
	assert_int_equal(value(b, n, "tx_broadcast"), 40);
	assert_int_equal(value(b, n, "rx_errors"), 0);
	assert_int_equal(sb.rx_packets - sa.rx_packets, 50);
	assert_int_equal(sb.tx_bytes - sa.tx_bytes, 8000);
	assert_true(sb.doorbells - sa.doorbells <= 40 + 50);
	/* Less room than there are: what fits. */
	assert_int_equal(w->net->ops->counters(w->net, b, 3), 3);
}

static void missed_frames_are_counted(void **state)
{
	struct wire *w = *state;
	unsigned int size = w->net->rx_pool[0]->size, n = 0;
	struct ob_pkt **held = calloc(size, sizeof(*held));
	uint8_t *frame = calloc(1, 9000);
	struct ob_net_stats stats;
	uint64_t before;

	/*
	 * QEMU holds frames back in the cable as long as the ring is empty. With one buffer left it takes a
	 * frame of five, and has to drop it. Its e1000e counts nothing.
	 */
	ob_net_tx_burst(w->net, 0, NULL, 0); /* what an earlier test sent */
	assert_int_equal(w->net->ops->set_mtu(w->net, 9000), 0);
	assert_receives(w, w->net->mac, 100, 1);
	while (n < size - 1) {
		wire_frame(frame, 60, w->net->mac, n);
		assert_true(wire_send_wait(w, frame, 60));
		assert_int_equal(wire_poll(w, held + n, 1, 10000), 1);
		n++;
	}
	w->net->ops->stats(w->net, &stats);
	before = stats.rx_missed;
	wire_frame(frame, 9000, w->net->mac, n);
	assert_true(wire_send_wait(w, frame, 9000));
	for (unsigned int i = 0; i < 1000; i++) {
		w->net->ops->stats(w->net, &stats);
		if (stats.rx_missed > before)
			break;
		wire_sleep_ms(10);
	}
	assert_int_equal(stats.rx_missed, before + 1);
	w->net->ops->stats(w->net, &stats);
	assert_int_equal(stats.rx_missed, before + 1); /* once, however often it is looked at */
	while (n)
		ob_pkt_free(held[--n]);
	assert_int_equal(w->net->ops->set_mtu(w->net, 1500), 0);
	assert_receives(w, w->net->mac, 100, 1);
	free(held);
	free(frame);
}

static void registers_have_names(void **state)
{
	struct wire *w = *state;
	struct ob_net_value v[80];
	int n = w->net->ops->registers(w->net, v, 80);
	struct ob_net_ring ring;

	assert_true(n >= 39 && n < 80);
	w->net->ops->ring(w->net, &ring);
	assert_int_equal(value(v, n, "RDLEN"), ring.rx * 16);
	assert_int_equal(value(v, n, "TDLEN"), ring.tx * 16);
	assert_true(value(v, n, "RCTL") & 2);
	assert_true(value(v, n, "STATUS") & 2);
	assert_int_equal(value(v, n, "RAL0") & 0xff, w->net->mac[0]);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			assert_true(strcmp(v[i].name, v[k].name) && v[i].offset != v[k].offset);
	assert_receives(w, w->net->mac, 100, 1); /* to look at them changes nothing */
}

static void eeprom_and_phy_can_be_read(void **state)
{
	struct wire *w = *state;
	uint8_t bytes[128];
	unsigned int sum = 0;

	assert_int_equal(w->net->ops->eeprom(w->net, 0, bytes, 128), 128);
	assert_memory_equal(bytes, w->net->mac, 6);
	for (unsigned int i = 0; i < 128; i += 2)
		sum += bytes[i] | (unsigned int)bytes[i + 1] << 8;
	assert_int_equal(sum & 0xffff, 0xbaba);
	assert_int_equal(w->net->ops->eeprom(w->net, 3, bytes, 2), 2);
	assert_memory_equal(bytes, w->net->mac + 3, 2);
	assert_int_equal(w->net->ops->eeprom(w->net, 127, bytes, 2), -EINVAL);
	assert_int_equal(w->net->ops->eeprom(w->net, 0xffffffff, bytes, 2), -EINVAL);
	assert_int_equal(w->net->ops->phy_read(w->net, 2),
			 0x0141); /* the id of Marvell, who made the PHYs */
	assert_true(w->net->ops->phy_read(w->net, 1) & 4);
	assert_int_equal(w->net->ops->phy_read(w->net, 32), -EINVAL);
	assert_int_equal(w->net->ops->phy_write(w->net, 2, 0), -EIO); /* read-only */
}

/* The other tests poll. */
static void bind_with_interrupts(struct wire *w)
{
	struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};

	ob_driver_unbind(w->b);
	assert_int_equal(ob_driver_bind(w->dev, NULL, &config, &w->b, NULL), 0);
	w->net = w->b->net;
	assert_int_equal(ob_net_start(w->net, NULL), 0);
}

static void self_test_passes_and_traffic_goes_on(void **state)
{
	struct wire *w = *state;
	struct ob_net_test t[8];
	struct ob_pkt *pkt;

	bind_with_interrupts(w);
	assert_int_equal(w->net->ops->self_test(w->net, t, 8), 5);
	for (int i = 0; i < 5; i++) {
		print_message("# %s: %s (%d)\n", t[i].name, t[i].detail, t[i].result);
		assert_int_equal(t[i].result, 0);
	}
	while (wire_poll(w, &pkt, 1, 100))
		ob_pkt_free(pkt);
	assert_receives(w, w->net->mac, 100, 2);
	assert_sends(w, 100, 3);
}

static void a_sleeper_is_woken_when_the_card_starts_again(void **state)
{
	struct wire *w = *state;
	struct pollfd pfd = {.events = POLLIN};
	struct ob_net_test t[8];
	struct ob_pkt *pkt;
	uint64_t count;

	bind_with_interrupts(w);
	pfd.fd = w->net->irq_fd[0];
	/* Nobody sends; sleep. */
	while (w->net->ops->irq_arm(w->net, 0, true) || poll(&pfd, 1, 200) == 1) {
		if (poll(&pfd, 1, 0) == 1)
			assert_int_equal(read(pfd.fd, &count, 8), 8);
		w->net->ops->irq_arm(w->net, 0, false);
		while (ob_net_rx_burst(w->net, 0, &pkt, 1))
			ob_pkt_free(pkt);
	}
	assert_int_equal(w->net->ops->self_test(w->net, t, 5), 5);
	assert_int_equal(poll(&pfd, 1, 60000), 1);
	assert_int_equal(read(pfd.fd, &count, 8), 8);
	w->net->ops->irq_arm(w->net, 0, false);
	assert_receives(w, w->net->mac, 100, 2);
}

/* ---- death ---- */

static void a_device_that_dies_in_the_middle_ends_everything_at_once(void **state)
{
	struct wire *w = *state;
	struct pollfd pfd = {.fd = ob_device_removal_fd(w->dev), .events = POLLIN};
	struct ob_pkt *pkts[32], *pkt;
	struct ob_net_link link;
	struct ob_net_value values[80];
	struct ob_net_test t[8];
	struct ob_error err;
	uint8_t frame[100];
	uint64_t start;
	int pid = wire_qemu_pid();

	assert_true(pid > 0);
	wire_frame(frame, sizeof(frame), w->net->mac, 1);
	for (unsigned int i = 0; i < 20000 && !ob_device_gone(w->dev); i++) {
		unsigned int n;

		if (i == 100)
			kill(pid, SIGKILL);
		wire_send(w, frame, sizeof(frame));
		n = ob_net_rx_burst(w->net, 0, pkts, 32);
		for (unsigned int k = ob_net_tx_burst(w->net, 0, pkts, n); k < n; k++)
			ob_pkt_free(pkts[k]);
		recv(w->fd, frame, sizeof(frame), MSG_DONTWAIT);
	}
	assert_int_equal(poll(&pfd, 1, 60000), 1);
	assert_true(ob_device_gone(w->dev));
	/* Every call ends at once, and says so where it can. */
	start = ob_clock_ns();
	w->net->ops->tick(w->net, start);
	w->net->ops->link(w->net, &link);
	assert_false(link.up);
	pkt = wire_pkt(w, frame, sizeof(frame));
	if (!ob_net_tx_burst(w->net, 0, &pkt, 1))
		ob_pkt_free(pkt);
	assert_true(w->net->ops->registers(w->net, values, 80) < 0);
	assert_true(w->net->ops->self_test(w->net, t, 8) < 0);
	assert_true(w->net->ops->eeprom(w->net, 0, frame, 2) < 0);
	assert_true(w->net->ops->phy_read(w->net, 1) < 0);
	ob_net_stop(w->net);
	assert_int_equal(ob_net_start(w->net, &err), -ENODEV);
	assert_true(ob_clock_ns() - start < 60000000000ull); /* none waited for an answer */
}

/* One card for all: QEMU's e1000 takes a second to start. Each test leaves it as it found it. */
#define ON_WIRE(f) ((struct CMUnitTest){#f, f, NULL, NULL, NULL})

int main(int argc, char **argv)
{
	struct CMUnitTest tests[32];
	size_t n = 0;

	if (argc > 1)
		model = argv[1];
	tests[n++] = ON_WIRE(bursts_arrive_whole_and_in_order);
	tests[n++] = ON_WIRE(long_frames_take_several_buffers);
	tests[n++] = ON_WIRE(only_addresses_that_were_asked_for_are_received);
	tests[n++] = ON_WIRE(a_slow_client_loses_frames_but_not_the_card);
	tests[n++] = ON_WIRE(checksums_are_right_on_the_wire);
	tests[n++] = ON_WIRE(checksums_of_padded_frames_are_right_on_the_wire);
	tests[n++] = ON_WIRE(other_checksums_are_done_in_software);
	tests[n++] = ON_WIRE(segments_on_the_wire_are_those_of_the_software);
	tests[n++] = ON_WIRE(received_checksums_are_judged);
	tests[n++] = ON_WIRE(a_link_that_goes_and_comes_is_seen);
	tests[n++] = ON_WIRE(nothing_is_written_after_stop);
	tests[n++] = ON_WIRE(a_binding_can_be_made_again);
	tests[n++] = ON_WIRE(counters_count);
	if (strcmp(model, "e1000e"))
		tests[n++] = ON_WIRE(missed_frames_are_counted);
	tests[n++] = ON_WIRE(registers_have_names);
	tests[n++] = ON_WIRE(eeprom_and_phy_can_be_read);
	tests[n++] = ON_WIRE(self_test_passes_and_traffic_goes_on);
	tests[n++] = ON_WIRE(a_sleeper_is_woken_when_the_card_starts_again);
	tests[n++] = ON_WIRE(a_device_that_dies_in_the_middle_ends_everything_at_once);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("e1000", tests, n, open_wire, close_wire);
}
