/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The e1000 driver's rings with a device that writes what it likes into descriptors, whenever it likes. The
 * input is a little program: what the device writes where, and when the client receives, sends and frees.
 * No frame may be longer than its buffer, none handed out twice, and in the end all are there.
 */
#include <stddef.h>
#include <stdint.h>

#include "fuzz/fuzz.h"
#include "tests/net/fake_card.h"

enum {
	RING = 64,
	BUFFERS = 160,
};

enum op {
	OP_RX_DESCRIPTOR, /* index, 8 bytes */
	OP_RX_IN_ORDER,	  /* 8 bytes at the next one that the driver looks at */
	OP_TX_STATUS,	  /* index, 4 bytes */
	OP_TX_DONE,
	OP_RX_BURST, /* how many */
	OP_TX_BURST, /* how many of those held */
	OP_FREE,     /* how many of those held */
	OP_SEND_ODD, /* an own frame: length, flags, offsets, gso */
	OPS,
};

struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes && in->left; i++, in->left--)
		v |= (uint64_t)*in->p++ << (8 * i);
	return v;
}

struct client {
	struct ob_pkt *held[BUFFERS];
	unsigned int n;
};

/* A frame from the driver, or anything that it gives out. */
static void check_frame(struct e1000 *e, struct ob_pkt *pkt)
{
	unsigned int segments = 0;

	CHECK(pkt->len >= E1000_ETH_HDR || pkt->next);
	for (; pkt; pkt = pkt->next) {
		CHECK(pkt >= e->pool->pkts && pkt < e->pool->pkts + e->pool->size);
		CHECK(!pkt->priv);
		pkt->priv = 1;
		CHECK(pkt->len > 0 && pkt->len <= E1000_RX_BUFFER);
		CHECK(pkt->data == pkt->buf + E1000_RX_HEADROOM);
		CHECK(pkt->iova.addr == FAKE_IOVA + (uintptr_t)pkt->data);
		CHECK(++segments <= E1000_RX_MAX_SEGMENTS);
		/* every byte is there: the address sanitizer watches */
		for (uint32_t i = 0; i < pkt->len; i += 512)
			pkt->data[i] ^= 1;
		pkt->data[pkt->len - 1] ^= 1;
	}
}

static void unmark(struct ob_pkt *pkt)
{
	for (; pkt; pkt = pkt->next)
		pkt->priv = 0;
}

static void send_odd(struct e1000 *e, struct input *in)
{
	struct ob_pkt *pkt = ob_pkt_alloc(e->pool), *head = pkt;

	if (!pkt)
		return;
	ob_pkt_reset(pkt);
	pkt->iova.addr = FAKE_IOVA + (uintptr_t)pkt->data;
	pkt->len = (uint32_t)take(in, 2) % (E1000_RX_BUFFER + 1);
	pkt->flags = (uint16_t)take(in, 1);
	pkt->csum_start = (uint16_t)take(in, 2);
	pkt->csum_offset = (uint16_t)take(in, 2);
	pkt->gso_type = (uint8_t)(take(in, 1) % 8);
	pkt->gso_size = (uint16_t)take(in, 2);
	pkt->hdr_len = (uint16_t)take(in, 2);
	for (uint32_t i = 0; i < 80 && i < pkt->len; i++)
		pkt->data[i] = (uint8_t)take(in, 1);
	if (take(in, 1) & 1) {
		pkt->next = ob_pkt_alloc(e->pool);
		if (pkt->next) {
			pkt = pkt->next;
			ob_pkt_reset(pkt);
			pkt->len = (uint32_t)take(in, 2) % (E1000_RX_BUFFER + 1);
		}
	}
	if (!ob_net_tx_burst(&e->net, 0, &head, 1))
		ob_pkt_free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct client client = {.n = 0};
	struct fake_card *card = fake_card_make(take(&in, 1) & 1, RING, BUFFERS);
	struct e1000 *e = &card->e;

	while (in.left) {
		struct ob_pkt *pkts[64];
		unsigned int n, sent;

		switch (take(&in, 1) % OPS) {
		case OP_RX_DESCRIPTOR:
			n = take(&in, 1) % RING;
			e->rx.desc[n].status = take(&in, 8);
			break;
		case OP_RX_IN_ORDER:
			e->rx.desc[e->rx.next].status = take(&in, 8);
			break;
		case OP_TX_STATUS:
			n = take(&in, 1) % RING;
			e->tx.desc[n].status = (uint32_t)take(&in, 4);
			break;
		case OP_TX_DONE:
			for (n = 0; n < RING; n++)
				e->tx.desc[n].status |= TXD_STATUS_DD;
			break;
		case OP_RX_BURST:
			n = take(&in, 1) % 64;
			if (n > BUFFERS - client.n)
				n = BUFFERS - client.n;
			n = ob_net_rx_burst(&e->net, 0, pkts, n);
			for (unsigned int i = 0; i < n; i++) {
				check_frame(e, pkts[i]);
				client.held[client.n++] = pkts[i];
			}
			break;
		case OP_TX_BURST:
			n = take(&in, 1) % 64;
			if (n > client.n)
				n = client.n;
			for (unsigned int i = 0; i < n; i++) {
				pkts[i] = client.held[client.n - 1 - i];
				unmark(pkts[i]);
			}
			sent = ob_net_tx_burst(&e->net, 0, pkts, n);
			CHECK(sent <= n);
			client.n -= n;
			while (n > sent)
				ob_pkt_free(pkts[--n]);
			break;
		case OP_FREE:
			for (n = take(&in, 1) % 64; n && client.n; n--) {
				client.n--;
				unmark(client.held[client.n]);
				ob_pkt_free(client.held[client.n]);
			}
			break;
		case OP_SEND_ODD:
			send_odd(e, &in);
			break;
		}
		CHECK(e->pool->n <= BUFFERS);
		e1000_rx_skipped(e);
		e1000_rx_ready(e);
	}

	while (client.n) {
		client.n--;
		unmark(client.held[client.n]);
		ob_pkt_free(client.held[client.n]);
	}
	e1000_rings_drain(e);
	CHECK(e->pool->n == BUFFERS);
	for (unsigned int i = 0; i < BUFFERS; i++) {
		CHECK(!e->pool->free[i]->priv); /* each once */
		e->pool->free[i]->priv = 1;
	}
	fake_card_free(card);
	return 0;
}
