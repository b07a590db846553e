/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames between lwIP and a network device. Received payload stays where the device put it; headers
 * are copied, since lwIP reads them more than once and the device can write them at any time. Sent
 * frames are copied once here, from lwIP's heap into the arena. Formats: IEEE 802.3, RFC 791, 8200,
 * 9293, 768.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/etharp.h>
#include <lwip/ip6_addr.h>

#include "stack/stack_private.h"

enum {
	ETH_HDR = 14,
	IP4_HDR = 20,
	IP6_HDR = 40,
	TCP_HDR = 20,
	UDP_HDR = 8,
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMP6 = 58,
	ND_ADVERTISEMENT = 136, /* RFC 4861, 4.4 */

	POOL_COUNT = 1024,
	POOL_LEAST = 64,
	HEADROOM = 64,
};

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* ---- open and close ----------------------------------------------------------------- */

int stack_frames_open(struct ob_stack *s, struct ob_error *err)
{
	struct ob_dma *dma = ob_device_dma(s->net->dev);
	struct ob_pool *rx = s->net->rx_pool[0];
	/* A frame of the largest MTU, and a VLAN tag that a driver may put into it. */
	uint32_t size = (HEADROOM + ETH_HDR + 4 + s->net->mtu + 63) & ~63u;
	unsigned int count = POOL_COUNT;
	int ret;

	do
		ret = ob_pool_create(dma, count, size, HEADROOM, 64, &s->pool);
	while (ret && (count /= 2) >= POOL_LEAST);
	if (ret) {
		ob_error_set(err, ret, "%s: no room in the arena for frames to send",
			     stack_name(s));
		ob_error_fix(err, "open the device with a larger arena, e.g. arena=128M");
		return ret;
	}
	if (!rx)
		return 0;
	s->frames = calloc(rx->size, sizeof(*s->frames));
	if (!s->frames) {
		ob_pool_destroy(s->pool);
		s->pool = NULL;
		return ob_error_set(err, -ENOMEM, "no memory for a stack");
	}
	/* The driver must always find buffers for its ring: what is over is lwIP's to hold. */
	s->held_least = rx->size / 4;
	return 0;
}

void stack_frames_close(struct ob_stack *s)
{
	for (; s->tx_count; s->tx_count--)
		ob_pkt_free(s->tx[s->tx_head++]);
	s->tx_head = 0;
	ob_pool_destroy(s->pool);
	free(s->frames);
	s->pool = NULL;
	s->frames = NULL;
}

/* ---- receive -------------------------------------------------------------------------- */

static void user_done(struct stack_frame *f)
{
	if (--f->users)
		return;
	f->stack->stats.rx_held--;
	ob_pkt_free_segment(f->pkt);
}

static void free_head(struct pbuf *p)
{
	user_done((struct stack_frame *)((char *)p - offsetof(struct stack_frame, head)));
}

static void free_body(struct pbuf *p)
{
	user_done((struct stack_frame *)((char *)p - offsetof(struct stack_frame, body)));
}

/**
 * struct headers - what a frame's headers say
 * @len: bytes of all headers, when @plain
 * @plain: TCP or UDP right behind IP, no fragment: what lwIP hands on or forgets at once. Anything else it may
 *	keep for long (fragments), or write into (echo requests)
 * @own: says that we sent it
 */
struct headers {
	uint32_t len;
	bool plain, own;
};

static bool read_ip4(const struct ob_stack *s, const uint8_t *ip, uint32_t left, struct headers *h,
		     uint32_t *proto)
{
	uint32_t hdr;

	if (left < IP4_HDR)
		return false;
	/* 127.0.0.0/8 has no place on a network (RFC 1122, 3.2.1.3). */
	h->own = !memcmp(ip + 12, &netif_ip4_addr(&s->netif)->addr, 4) || ip[12] == 127;
	hdr = (ip[0] & 0xfu) * 4;
	if (ip[0] >> 4 != 4 || hdr < IP4_HDR || (get16(ip + 6) & 0x3fff))
		return false;
	h->len = ETH_HDR + hdr;
	*proto = ip[9];
	return true;
}

static bool is_own_ip6(const struct ob_stack *s, const uint8_t *addr)
{
	static const uint8_t loopback[16] = {[15] = 1};

	if (!memcmp(addr, loopback, 16))
		return true;
	for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (!ip6_addr_isinvalid(netif_ip6_addr_state(&s->netif, i)) &&
		    !memcmp(addr, netif_ip6_addr(&s->netif, i)->addr, 16))
			return true;
	return false;
}

static bool read_ip6(const struct ob_stack *s, const uint8_t *ip, uint32_t left, struct headers *h,
		     uint32_t *proto)
{
	if (left < IP6_HDR)
		return false;
	/* But for the advertisement by which another one with our address defends it (RFC 4862, 5.4.4). */
	h->own = is_own_ip6(s, ip + 8) &&
		 !(ip[6] == PROTO_ICMP6 && left > IP6_HDR && ip[IP6_HDR] == ND_ADVERTISEMENT);
	if (ip[0] >> 4 != 6)
		return false;
	h->len = ETH_HDR + IP6_HDR;
	*proto = ip[6];
	return true;
}

/* @copied bytes of headers, in memory of ours. */
static void read_headers(const struct ob_stack *s, const uint8_t *hdr, uint32_t copied,
			 struct headers *h)
{
	unsigned int type = get16(hdr + 12);
	uint32_t proto = 0;

	memset(h, 0, sizeof(*h));
	if (type == TYPE_IP4) {
		if (!read_ip4(s, hdr + ETH_HDR, copied - ETH_HDR, h, &proto))
			return;
	} else if (type == TYPE_IP6) {
		if (!read_ip6(s, hdr + ETH_HDR, copied - ETH_HDR, h, &proto))
			return;
	} else {
		return;
	}
	if (proto == PROTO_TCP && h->len + TCP_HDR <= copied)
		h->len += (hdr[h->len + 12] >> 4) * 4u;
	else if (proto == PROTO_UDP)
		h->len += UDP_HDR;
	else
		return;
	h->plain = h->len <= copied;
}

/*
 * A pbuf of lwIP's own with all of it, its IP header aligned: lwIP keeps pointers in the headers of
 * fragments, which LeakSanitizer would not see elsewhere.
 */
static struct pbuf *copy_frame(struct ob_stack *s, const struct ob_pkt *pkt)
{
	uint32_t len = ob_pkt_frame_len(pkt);
	struct pbuf *p = NULL;
	uint8_t *to;

	if (len <= 0xffff - STACK_ALIGN)
		p = pbuf_alloc(PBUF_RAW, (u16_t)(len + STACK_ALIGN), PBUF_RAM);
	if (!p)
		return NULL;
	pbuf_remove_header(p, STACK_ALIGN);
	to = p->payload;
	for (; pkt; pkt = pkt->next) {
		memcpy(to, pkt->data, pkt->len);
		to += pkt->len;
	}
	s->stats.rx_copied++;
	return p;
}

static struct pbuf *take_body(struct ob_stack *s, struct stack_frame *f, struct ob_pkt *pkt,
			      uint32_t skip)
{
	f->body.custom_free_function = free_body;
	f->stack = s;
	f->pkt = pkt;
	f->users++;
	return pbuf_alloced_custom(PBUF_RAW, (u16_t)(pkt->len - skip), PBUF_REF, &f->body,
				   pkt->data + skip, (u16_t)(pkt->len - skip));
}

/* Headers from @f, payload where it is. The frame's segments are now owned by their pbufs. */
static struct pbuf *wrap_frame(struct ob_stack *s, struct stack_frame *f, struct ob_pkt *pkt,
			       const struct headers *h)
{
	struct ob_pkt *next = pkt->next, *segment;
	struct pbuf *p;

	f->head.custom_free_function = free_head;
	f->stack = s;
	f->pkt = pkt;
	f->users = 1;
	s->stats.rx_held++;
	p = pbuf_alloced_custom(PBUF_RAW, (u16_t)h->len, PBUF_REF, &f->head,
				f->headers + STACK_ALIGN, (u16_t)h->len);
	if (pkt->len > h->len)
		pbuf_cat(p, take_body(s, f, pkt, h->len));
	for (; next; next = segment) {
		struct stack_frame *more = &s->frames[next - s->net->rx_pool[0]->pkts];

		segment = next->next;
		if (!next->len) {
			ob_pkt_free_segment(next);
			continue;
		}
		more->users = 0;
		s->stats.rx_held++;
		pbuf_cat(p, take_body(s, more, next, 0));
	}
	return p;
}

/* May lwIP hold this frame, or must it be copied? */
static bool may_hold(const struct ob_stack *s, const struct ob_pkt *pkt)
{
	const struct ob_pool *pool = s->net->rx_pool[0];

	if (!s->frames || pool->n < s->held_least || ob_pkt_frame_len(pkt) > 0xffff)
		return false;
	for (; pkt; pkt = pkt->next)
		if (pkt->pool != pool)
			return false;
	return true;
}

static void dhcp_frame(struct ob_stack *s, const struct ob_pkt *pkt)
{
	uint8_t frame[DHCP_FRAME_MAX];

	if (pkt->next || pkt->len > sizeof(frame)) {
		s->dhcp.refused++;
		return;
	}
	memcpy(frame, pkt->data, pkt->len);
	dhcp_input(s, frame, pkt->len);
}

static void receive_one(struct ob_stack *s, struct ob_pkt *pkt)
{
	uint8_t local[STACK_ALIGN + STACK_HEADERS], *hdr = local + STACK_ALIGN;
	struct stack_frame *f = NULL;
	struct pbuf *p = NULL;
	struct headers h;
	uint32_t copied;

	s->stats.rx_frames++;
	s->stats.rx_bytes += ob_pkt_frame_len(pkt);
	if (ob_unlikely((pkt->flags & OB_PKT_BAD) || pkt->len < ETH_HDR))
		goto drop;
	if (ob_likely(may_hold(s, pkt))) {
		f = &s->frames[pkt - s->net->rx_pool[0]->pkts];
		hdr = f->headers + STACK_ALIGN;
	}
	copied = pkt->len < STACK_HEADERS ? pkt->len : STACK_HEADERS;
	memcpy(hdr, pkt->data, copied);
	read_headers(s, hdr, copied, &h);
	/*
	 * lwIP would answer to ourselves, by a queue that only a thread of its own empties: with
	 * none, Debian's build ends the process. Nobody honest sends these.
	 */
	if (ob_unlikely(h.own)) {
		s->stats.rx_refused++;
		goto drop;
	}
	if (ob_unlikely(s->dhcp.state != DHCP_OFF) && dhcp_is_answer(hdr, copied)) {
		dhcp_frame(s, pkt);
		goto drop;
	}
	if (ob_likely(f && h.plain)) {
		p = wrap_frame(s, f, pkt, &h);
		pkt = NULL;
	} else {
		p = copy_frame(s, pkt);
	}
	if (p && s->netif.input(p, &s->netif) != ERR_OK)
		pbuf_free(p);
drop:
	ob_pkt_free(pkt);
}

unsigned int stack_receive(struct ob_stack *s, unsigned int budget)
{
	struct ob_pkt *pkts[STACK_BURST];
	unsigned int n =
		ob_net_rx_burst(s->net, 0, pkts, budget < STACK_BURST ? budget : STACK_BURST);

	for (unsigned int i = 0; i < n; i++) {
		/* Payload is summed by lwIP, headers are read at once: both come from memory that is cold. */
		if (i + 1 < n)
			__builtin_prefetch(pkts[i + 1]->data);
		receive_one(s, pkts[i]);
	}
	return n;
}

/* ---- send ------------------------------------------------------------------------------- */

unsigned int stack_push(struct ob_stack *s)
{
	unsigned int n = ob_net_tx_burst(s->net, 0, s->tx + s->tx_head, s->tx_count);

	s->tx_head += n;
	s->tx_count -= n;
	if (!s->tx_count)
		s->tx_head = 0;
	return n;
}

/* Is this segment one that was sent before? lwIP is built without its counters. */
static void count_segment(struct ob_stack *s, const uint8_t *frame, uint32_t len)
{
	const uint8_t *ip = frame + ETH_HDR, *tcp;
	uint32_t payload, seq, end;
	struct stack_flow *flow;
	uint64_t key;

	if (len < ETH_HDR + IP4_HDR + TCP_HDR)
		return;
	if (get16(frame + 12) == TYPE_IP4 && ip[9] == PROTO_TCP) {
		tcp = ip + IP4_HDR; /* lwIP sends no options with TCP */
		payload = get16(ip + 2) - IP4_HDR;
		key = get32(ip + 16);
	} else if (get16(frame + 12) == TYPE_IP6 && ip[6] == PROTO_TCP &&
		   len >= ETH_HDR + IP6_HDR + TCP_HDR) {
		tcp = ip + IP6_HDR;
		payload = get16(ip + 4);
		key = get32(ip + 24) ^ get32(ip + 28) ^ get32(ip + 32) ^ get32(ip + 36);
	} else {
		return;
	}
	payload -= (tcp[12] >> 4) * 4u;
	if (!payload)
		return;
	s->stats.tcp_segments++;
	key = key << 32 | get32(tcp); /* both ports */
	seq = get32(tcp + 4);
	end = seq + payload;
	flow = &s->flow[(key ^ key >> 16 ^ key >> 32) % STACK_FLOWS];
	if (flow->key != key) {
		flow->key = key;
		flow->end = end;
	} else if ((int32_t)(end - flow->end) > 0) {
		flow->end = end;
	} else {
		s->stats.tcp_retransmitted++;
	}
}

/* A buffer for a frame, or NULL when all are with the device. */
static struct ob_pkt *take_buffer(struct ob_stack *s)
{
	struct ob_pkt *pkt;

	if (ob_unlikely(s->tx_head + s->tx_count == STACK_PENDING || !s->pool->n)) {
		stack_push(s);
		if (s->tx_head && s->tx_count) {
			memmove(s->tx, s->tx + s->tx_head, s->tx_count * sizeof(s->tx[0]));
			s->tx_head = 0;
		}
		if (s->tx_count == STACK_PENDING)
			return NULL;
	}
	pkt = ob_pkt_alloc(s->pool);
	if (pkt)
		ob_pkt_reset(pkt);
	return pkt;
}

static void queue_frame(struct ob_stack *s, struct ob_pkt *pkt, uint32_t len)
{
	pkt->len = len;
	s->stats.tx_frames++;
	s->stats.tx_bytes += len;
	count_segment(s, pkt->data, len);
	s->tx[s->tx_head + s->tx_count++] = pkt;
	/* The rest waits for the end of the round: one doorbell for all that a burst brought forth. */
	if (s->tx_count >= STACK_BURST)
		stack_push(s);
}

err_t stack_link_output(struct netif *netif, struct pbuf *p)
{
	struct ob_stack *s = netif->state;
	struct ob_pkt *pkt;

	if (p->tot_len > s->pool->buf_size - HEADROOM)
		return ERR_BUF;
	pkt = take_buffer(s);
	if (!pkt) {
		s->stats.tx_full++;
		return ERR_MEM; /* TCP tries again */
	}
	if (ob_likely(p->len == p->tot_len))
		memcpy(pkt->data, p->payload, p->len);
	else
		pbuf_copy_partial(p, pkt->data, p->tot_len, 0);
	queue_frame(s, pkt, p->tot_len);
	return ERR_OK;
}

int stack_send_bytes(struct ob_stack *s, const void *frame, size_t len)
{
	struct ob_pkt *pkt;

	if (len > s->pool->buf_size - HEADROOM)
		return -EMSGSIZE;
	pkt = take_buffer(s);
	if (!pkt)
		return -ENOBUFS;
	memcpy(pkt->data, frame, len);
	queue_frame(s, pkt, (uint32_t)len);
	stack_push(s);
	return 0;
}
