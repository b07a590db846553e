/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The e1000 driver's rings without a device: registers and descriptors are plain memory, so that a test
 * or a fuzzer plays the device, and lies as it likes. Pools here need no arena.
 */
#ifndef TESTS_NET_FAKE_CARD_H
#define TESTS_NET_FAKE_CARD_H

#include <stdlib.h>
#include <string.h>

#include "drivers/e1000/e1000.h"

#define FAKE_IOVA 0x4000000000ull

/* Each buffer is a malloc() of its own: a byte too far is seen by the address sanitizer. */
static inline struct ob_pool *fake_pool_make(unsigned int count, uint32_t buf_size,
					     uint32_t headroom, struct ob_dma *dma)
{
	struct ob_pool *pool = calloc(1, sizeof(*pool));

	pool->free = calloc(count, sizeof(*pool->free));
	pool->pkts = aligned_alloc(64, count * sizeof(*pool->pkts));
	memset(pool->pkts, 0, count * sizeof(*pool->pkts));
	pool->size = count;
	pool->buf_size = buf_size;
	pool->headroom = headroom;
	pool->dma = dma;
	for (unsigned int i = 0; i < count; i++) {
		struct ob_pkt *pkt = &pool->pkts[i];

		pkt->pool = pool;
		pkt->buf = malloc(buf_size);
		memset(pkt->buf, 0xee, buf_size);
		pkt->buf_size = buf_size;
		pool->free[pool->n++] = pkt;
	}
	return pool;
}

static inline void fake_pool_free(struct ob_pool *pool)
{
	for (unsigned int i = 0; i < pool->size; i++)
		free(pool->pkts[i].buf);
	free(pool->pkts);
	free(pool->free);
	free(pool);
}

struct fake_card {
	struct e1000 e;
	struct ob_bar bar;
	struct ob_dma dma;
	uint8_t regs[0x6000];
	struct e1000_model model;
};

static inline struct fake_card *fake_card_make(bool is_82574, unsigned int size,
					       unsigned int buffers)
{
	struct fake_card *c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);
	struct e1000 *e = &c->e;

	memset(c, 0, sizeof(*c));
	c->dma.iova = FAKE_IOVA;
	c->model = (struct e1000_model){"fake", is_82574, 9216,
					is_82574 ? &e1000_ops_82574 : &e1000_ops_8254x};
	c->bar.map = c->regs;
	c->bar.size = sizeof(c->regs);
	e->bar = &c->bar;
	e->model = &c->model;
	e->net.ops = c->model.ops;
	e->net.mtu = 1500;
	e->net.mtu_max = 9216;
	e->net.tx_max_len = 65549;
	e->pool = fake_pool_make(buffers, E1000_RX_HEADROOM + E1000_RX_BUFFER, E1000_RX_HEADROOM,
				 &c->dma);
	e->rx.pool = e->pool;
	e->rx.iova_delta = FAKE_IOVA;
	e->rx.mask = e->tx.mask = size - 1;
	e->rx.batch = size / 4;
	e->rx.desc = calloc(size, sizeof(*e->rx.desc));
	e->tx.desc = calloc(size, sizeof(*e->tx.desc));
	e->rx.pkt = calloc(size, sizeof(*e->rx.pkt));
	e->tx.pkt = calloc(size, sizeof(*e->tx.pkt));
	e->tx.report = calloc(size, sizeof(*e->tx.report));
	e->tso = true;
	e->running = true;
	e1000_rings_reset(e);
	e1000_rx_fill(e);
	return c;
}

static inline void fake_card_free(struct fake_card *c)
{
	struct e1000 *e = &c->e;

	free(e->tx.report);
	free(e->tx.pkt);
	free(e->rx.pkt);
	free(e->tx.desc);
	free(e->rx.desc);
	fake_pool_free(e->pool);
	free(c);
}

#endif
