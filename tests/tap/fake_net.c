/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_net.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tap/fake_net.h"

static struct fake_net *fake_of(struct ob_net *net)
{
	return (struct fake_net *)net;
}

static int start(struct ob_net *net, struct ob_error *err)
{
	fake_of(net)->running = true;
	return 0;
}

static void stop(struct ob_net *net)
{
	fake_of(net)->running = false;
}

static unsigned int rx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
			     unsigned int n)
{
	struct fake_net *f = fake_of(net);

	if (n > f->nr_rx[queue])
		n = f->nr_rx[queue];
	memcpy(pkts, f->rx[queue], n * sizeof(*pkts));
	f->nr_rx[queue] -= n;
	memmove(f->rx[queue], f->rx[queue] + n, f->nr_rx[queue] * sizeof(*pkts));
	return n;
}

static unsigned int tx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
			     unsigned int n)
{
	struct fake_net *f = fake_of(net);
	unsigned int taken = 0;

	assert_true(f->running);
	f->bursts += n > 0;
	f->empty_bursts += !n;
	while (taken < n && f->room && f->nr_sent[queue] < FAKE_SENT) {
		struct ob_pkt *pkt = pkts[taken++];
		struct sent_frame *s = &f->sent[queue][f->nr_sent[queue]++];
		uint32_t at = 0;

		f->room--;
		*s = (struct sent_frame){
			.len = ob_pkt_frame_len(pkt),
			.flags = pkt->flags,
			.csum_start = pkt->csum_start,
			.csum_offset = pkt->csum_offset,
			.gso_type = pkt->gso_type,
			.gso_size = pkt->gso_size,
			.hdr_len = pkt->hdr_len,
		};
		s->bytes = malloc(s->len);
		assert_non_null(s->bytes);
		for (const struct ob_pkt *p = pkt; p; p = p->next) {
			/* A device reads at the address for the device. */
			struct ob_dma *dma = ob_device_dma(net->dev);
			const char *seen = dma->base + (p->iova.addr - dma->iova);

			assert_true(ob_dma_contains(dma, seen, p->len));
			memcpy(s->bytes + at, seen, p->len);
			at += p->len;
			s->segments++;
		}
		ob_pkt_free(pkt);
	}
	return taken;
}

static void tick(struct ob_net *net, uint64_t now_ns)
{
	fake_of(net)->ticks++;
}

static bool can_csum(struct ob_net *net)
{
	return fake_of(net)->can_csum;
}

static bool can_tso(struct ob_net *net)
{
	return fake_of(net)->can_tso;
}

static void link_state(struct ob_net *net, struct ob_net_link *link)
{
	*link = (struct ob_net_link){.up = fake_of(net)->link_up, .full_duplex = true, .mbps = 100};
}

static int set_mac(struct ob_net *net, const uint8_t mac[6])
{
	memcpy(net->mac, mac, 6);
	return 0;
}

static int set_promisc(struct ob_net *net, bool on)
{
	fake_of(net)->promisc = on;
	return 0;
}

static int set_multicast(struct ob_net *net, const uint8_t (*macs)[6], unsigned int n)
{
	struct fake_net *f = fake_of(net);

	assert_true(n <= 64);
	memcpy(f->macs, macs, n * sizeof(*macs));
	f->nr_macs = n;
	return 0;
}

static int set_mtu(struct ob_net *net, unsigned int mtu)
{
	if (mtu > net->mtu_max)
		return -EINVAL;
	net->mtu = mtu;
	return 0;
}

static const struct ob_net_ops fake_ops = {
	.start = start,
	.stop = stop,
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
	.tick = tick,
	.can_csum = can_csum,
	.can_tso = can_tso,
	.link = link_state,
	.set_mac = set_mac,
	.set_promisc = set_promisc,
	.set_multicast = set_multicast,
	.set_mtu = set_mtu,
};

struct fake_net *fake_net_open(struct ob_device *dev, unsigned int queues)
{
	struct fake_net *f = aligned_alloc(64, (sizeof(*f) + 63) / 64 * 64);

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	f->net = (struct ob_net){
		.ops = &fake_ops,
		.dev = dev,
		.driver = "fake",
		.mac = {2, 0, 0, 0, 7, 7},
		.mtu = 1500,
		.mtu_max = 9000,
		.queues = queues,
		.tx_max_len = 65549,
	};
	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		f->net.irq_fd[i] = -1;
	for (unsigned int i = 0; i < queues; i++)
		assert_int_equal(ob_pool_create(ob_device_dma(dev), 256, 2048, 0, 64,
						&f->net.rx_pool[i]),
				 0);
	f->can_csum = f->can_tso = f->link_up = true;
	f->room = UINT32_MAX;
	f->b.dev = dev;
	f->b.net = &f->net;
	return f;
}

void fake_net_forget_sent(struct fake_net *f)
{
	for (unsigned int q = 0; q < f->net.queues; q++) {
		while (f->nr_sent[q])
			free(f->sent[q][--f->nr_sent[q]].bytes);
	}
}

void fake_net_close(struct fake_net *f)
{
	fake_net_forget_sent(f);
	for (unsigned int q = 0; q < f->net.queues; q++) {
		while (f->nr_rx[q])
			ob_pkt_free(f->rx[q][--f->nr_rx[q]]);
		/* The attachment has given back all that it took. */
		assert_int_equal(f->net.rx_pool[q]->n, f->net.rx_pool[q]->size);
		ob_pool_destroy(f->net.rx_pool[q]);
	}
	free(f);
}

void fake_net_receive(struct fake_net *f, unsigned int queue, const void *bytes, uint32_t len,
		      uint32_t piece, uint16_t flags)
{
	struct ob_pkt *first = NULL, **link = &first;

	assert_true(f->nr_rx[queue] < FAKE_RX);
	for (uint32_t at = 0; at < len; at += piece) {
		struct ob_pkt *pkt = ob_pkt_alloc(f->net.rx_pool[queue]);

		assert_non_null(pkt);
		ob_pkt_reset(pkt);
		pkt->len = len - at < piece ? len - at : piece;
		memcpy(pkt->data, (const uint8_t *)bytes + at, pkt->len);
		*link = pkt;
		link = &pkt->next;
	}
	first->flags = flags;
	f->rx[queue][f->nr_rx[queue]++] = first;
}
