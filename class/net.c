/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * class/net: pools of frame buffers, and what a device cannot do done in software: checksums and
 * segmentation. Header formats: RFC 791, 8200, 9293, 768; IEEE 802.1Q. The offload fields are those of
 * struct virtio_net_hdr (virtio 1.2, 5.1.6).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/net.h>

#include "access/faultpoint.h"

/* ---- pools ---------------------------------------------------------------------- */

static bool is_power_of_two(uint32_t x)
{
	return x && !(x & (x - 1));
}

int ob_pool_create(struct ob_dma *dma, unsigned int count, uint32_t buf_size, uint32_t headroom,
		   uint32_t align, struct ob_pool **out)
{
	struct ob_pool *pool;
	uint64_t lead, stride;
	int ret = -ENOMEM;
	ob_iova iova;

	ret = OB_FAULT_ERROR("net.pool");
	if (ret)
		return ret;
	ret = -ENOMEM;
	if (!align)
		align = 1;
	if (!count || count > 1u << 24 || !buf_size || headroom >= buf_size ||
	    !is_power_of_two(align) || align > 4096)
		return -EINVAL;

	/* The first buffer starts so that its data is aligned; a stride of whole alignments keeps it so. */
	lead = (align - headroom % align) % align;
	stride = ((uint64_t)buf_size + align - 1) & ~((uint64_t)align - 1);

	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->free = calloc(count, sizeof(*pool->free));
	if (!pool->free)
		goto free_pool;
	pool->pkts = aligned_alloc(64, count * sizeof(*pool->pkts));
	if (!pool->pkts)
		goto free_stack;
	/* As in attach/payload.c: a frame is written before it is read. */
	pool->memory = ob_dma_reserve(dma, lead + stride * count, align, "net pool", &iova);
	if (!pool->memory) {
		ret = -ENOSPC;
		goto free_pkts;
	}
	pool->dma = dma;
	pool->size = count;
	pool->buf_size = buf_size;
	pool->headroom = headroom;

	memset(pool->pkts, 0, count * sizeof(*pool->pkts));
	for (unsigned int i = 0; i < count; i++) {
		struct ob_pkt *pkt = &pool->pkts[i];

		pkt->pool = pool;
		pkt->buf = (uint8_t *)pool->memory + lead + stride * i;
		pkt->buf_size = buf_size;
		ob_pkt_reset(pkt);
		/* A stack: the lowest address goes out first, the last freed (warm) buffer next. */
		pool->free[count - 1 - i] = pkt;
	}
	pool->n = count;
	*out = pool;
	return 0;

free_pkts:
	free(pool->pkts);
free_stack:
	free(pool->free);
free_pool:
	free(pool);
	return ret;
}

void ob_pool_destroy(struct ob_pool *pool)
{
	if (!pool)
		return;
	ob_dma_free(pool->dma, pool->memory);
	free(pool->pkts);
	free(pool->free);
	free(pool);
}

/* ---- start, stop, questions ------------------------------------------------------- */

int ob_net_start(struct ob_net *net, struct ob_error *err)
{
	return net->ops->start ? net->ops->start(net, err) : 0;
}

void ob_net_stop(struct ob_net *net)
{
	if (net->ops->stop)
		net->ops->stop(net);
}

bool ob_net_can_csum(struct ob_net *net)
{
	return net->ops->can_csum && net->ops->can_csum(net);
}

bool ob_net_can_tso(struct ob_net *net)
{
	return net->ops->can_tso && net->ops->can_tso(net);
}

bool ob_net_can_rx_csum(struct ob_net *net)
{
	return net->ops->can_rx_csum && net->ops->can_rx_csum(net);
}

/* ---- Internet checksum (RFC 1071) -------------------------------------------------- */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/*
 * Add bytes to a sum of 16-bit words. The sum is in memory order, not in network order: the one's
 * complement sum does not depend on the byte order as long as it is stored the same way (RFC 1071, 2B).
 */
static uint64_t sum_add(uint64_t sum, const uint8_t *p, size_t len)
{
	uint64_t w;
	uint32_t d;
	uint16_t h;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		sum += w & 0xffffffff;
		sum += w >> 32;
	}
	if (len >= 4) {
		memcpy(&d, p, 4);
		sum += d;
		p += 4;
		len -= 4;
	}
	if (len >= 2) {
		memcpy(&h, p, 2);
		sum += h;
		p += 2;
		len -= 2;
	}
	if (len) {
		uint8_t last[2] = {*p, 0};

		memcpy(&h, last, 2);
		sum += h;
	}
	return sum;
}

/* Add a 16-bit number given in the CPU's order. */
static uint64_t sum_add16(uint64_t sum, uint16_t v)
{
	uint8_t b[2];

	put16(b, v);
	return sum_add(sum, b, 2);
}

static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void store_sum(uint8_t *p, uint16_t sum)
{
	memcpy(p, &sum, 2); /* memory order, see sum_add() */
}

/* One byte of a frame that may be in several segments. */
static uint8_t *byte_at(struct ob_pkt *pkt, uint32_t off)
{
	for (; pkt; pkt = pkt->next) {
		if (off < pkt->len)
			return pkt->data + off;
		off -= pkt->len;
	}
	return NULL;
}

int ob_net_csum_fill(struct ob_pkt *pkt)
{
	uint32_t len = ob_pkt_frame_len(pkt), at;
	uint8_t *hi, *lo, stored[2];
	uint64_t sum = 0;
	uint32_t off = 0;
	uint16_t folded;

	if (!(pkt->flags & OB_PKT_CSUM_PARTIAL))
		return 0;
	at = (uint32_t)pkt->csum_start + pkt->csum_offset;
	if (pkt->csum_start >= len || at + 2 > len)
		return -EINVAL;

	/*
	 * The field holds the sum of the pseudo header (virtio 1.2, 5.1.6.2) and is part of what is
	 * summed, so it needs no treatment of its own.
	 */
	for (const struct ob_pkt *s = pkt; s; s = s->next) {
		uint32_t skip = off < pkt->csum_start ? pkt->csum_start - off : 0;

		if (skip < s->len) {
			uint64_t part = sum_fold(sum_add(0, s->data + skip, s->len - skip));

			/* A piece that starts at an odd place counts with its bytes swapped (RFC 1071, 2B). */
			if ((off + skip - pkt->csum_start) & 1)
				part = (uint16_t)(part << 8 | part >> 8);
			sum += part;
		}
		off += s->len;
	}
	folded = (uint16_t)~sum_fold(sum);
	/* 0 would say "no checksum" in UDP; 0xffff is the same number (RFC 768). */
	if (!folded)
		folded = 0xffff;
	store_sum(stored, folded);
	hi = byte_at(pkt, at);
	lo = byte_at(pkt, at + 1);
	*hi = stored[0];
	*lo = stored[1];
	pkt->flags &= (uint16_t)~OB_PKT_CSUM_PARTIAL;
	return 0;
}

/* ---- segmentation ----------------------------------------------------------------- */

enum {
	ETH_HDR = 14,
	VLAN_TAG = 4,
	ETH_P_IPV4 = 0x0800,
	ETH_P_IPV6 = 0x86dd,
	ETH_P_8021Q = 0x8100,
	ETH_P_8021AD = 0x88a8,
	IPV6_HDR = 40,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
};

/* Where the headers of a frame are. */
struct layout {
	uint32_t l3, l4, payload; /* offsets */
	bool ipv6, udp;
};

/* Find and check the headers. Every length is compared with what is really in the first segment. */
static int parse(const struct ob_pkt *pkt, uint32_t frame_len, struct layout *l)
{
	const uint8_t *p = pkt->data;
	uint32_t len = pkt->len, l4_min;
	uint16_t type;
	uint8_t proto;

	l->udp = pkt->gso_type == OB_GSO_UDP;
	l4_min = l->udp ? 8 : 20;

	l->l3 = ETH_HDR;
	if (len < l->l3)
		return -EINVAL;
	type = get16(p + 12);
	/* At most two tags: 802.1ad outside of 802.1Q. */
	for (int tags = 0; tags < 2 && (type == ETH_P_8021Q || type == ETH_P_8021AD); tags++) {
		l->l3 += VLAN_TAG;
		if (len < l->l3)
			return -EINVAL;
		type = get16(p + l->l3 - 2);
	}

	if (type == ETH_P_IPV4) {
		uint32_t ihl;

		if (len < l->l3 + 20 || p[l->l3] >> 4 != 4 || pkt->gso_type == OB_GSO_TCPV6)
			return -EINVAL;
		ihl = (p[l->l3] & 0xfu) * 4;
		if (ihl < 20)
			return -EINVAL;
		/* A fragment has no further segments of its own: offset or MF set (RFC 791, 3.1). */
		if (get16(p + l->l3 + 6) & 0x3fff)
			return -EINVAL;
		proto = p[l->l3 + 9];
		l->l4 = l->l3 + ihl;
		l->ipv6 = false;
	} else if (type == ETH_P_IPV6) {
		if (len < l->l3 + IPV6_HDR || p[l->l3] >> 4 != 6 || pkt->gso_type == OB_GSO_TCPV4)
			return -EINVAL;
		proto = p[l->l3 + 6];
		l->l4 = l->l3 + IPV6_HDR;
		l->ipv6 = true;
		/*
		 * Extension headers whose length is in units of 8 (RFC 8200, 4): hop-by-hop 0, routing 43,
		 * destination 60. They end before csum_start, where the transport header is.
		 */
		while (proto == 0 || proto == 43 || proto == 60) {
			if (len < l->l4 + 8)
				return -EINVAL;
			proto = p[l->l4];
			l->l4 += 8 + p[l->l4 + 1] * 8u;
		}
	} else {
		return -EINVAL;
	}

	if (proto != (l->udp ? PROTO_UDP : PROTO_TCP) || len < l->l4 + l4_min)
		return -EINVAL;
	if ((pkt->flags & OB_PKT_CSUM_PARTIAL) &&
	    (pkt->csum_start != l->l4 || pkt->csum_offset != (l->udp ? 6 : 16)))
		return -EINVAL;
	if (l->udp) {
		l->payload = l->l4 + 8;
	} else {
		uint32_t doff = (p[l->l4 + 12] >> 4) * 4u;

		if (doff < 20)
			return -EINVAL;
		l->payload = l->l4 + doff;
	}
	if (l->payload > len || l->payload >= frame_len)
		return -EINVAL;
	return 0;
}

/* Lengths, identification, sequence number, flags and checksums of segment @i. */
static void finish_segment(const struct layout *l, struct ob_pkt *seg, unsigned int i,
			   uint32_t payload_off, bool last)
{
	uint8_t *ip = seg->data + l->l3, *l4 = seg->data + l->l4;
	uint32_t l4_len = seg->len - l->l4;
	uint64_t sum;
	uint8_t *field = l4 + (l->udp ? 6 : 16);
	uint16_t folded;

	if (l->ipv6) {
		put16(ip + 4, (uint16_t)(seg->len - l->l3 - IPV6_HDR));
		sum = sum_add(0, ip + 8, 32);
	} else {
		put16(ip + 2, (uint16_t)(seg->len - l->l3));
		put16(ip + 4, (uint16_t)(get16(ip + 4) + i));
		put16(ip + 10, 0);
		store_sum(ip + 10, (uint16_t)~sum_fold(sum_add(0, ip, l->l4 - l->l3)));
		sum = sum_add(0, ip + 12, 8);
	}

	if (l->udp) {
		put16(l4 + 4, (uint16_t)l4_len);
	} else {
		put32(l4 + 4, get32(l4 + 4) + payload_off);
		/* CWR tells of one event and belongs to the first segment (RFC 3168, 6.1.2). */
		if (i)
			l4[13] &= (uint8_t)~TCP_CWR;
		if (!last)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	}

	put16(field, 0);
	sum = sum_add16(sum, l->udp ? PROTO_UDP : PROTO_TCP);
	sum = sum_add16(sum, (uint16_t)l4_len);
	sum = sum_add(sum, l4, l4_len);
	folded = (uint16_t)~sum_fold(sum);
	if (!folded)
		folded = 0xffff;
	store_sum(field, folded);
}

/* Bytes of a frame's payload from @*at of segment @*s on; the caller has counted them. */
static void copy_payload(uint8_t *to, const struct ob_pkt **s, uint32_t *at, uint32_t n)
{
	while (n) {
		uint32_t piece = (*s)->len - *at;

		if (!piece) {
			*s = (*s)->next;
			*at = 0;
			continue;
		}
		if (piece > n)
			piece = n;
		memcpy(to, (*s)->data + *at, piece);
		to += piece;
		*at += piece;
		n -= piece;
	}
}

int ob_net_segment(const struct ob_pkt *pkt, struct ob_pool *pool, struct ob_pkt **out,
		   unsigned int max)
{
	uint32_t payload, done = 0, len = ob_pkt_frame_len(pkt), at;
	const struct ob_pkt *from = pkt;
	struct layout l;
	unsigned int n, i;
	int ret;

	if (pkt->gso_type == OB_GSO_NONE || pkt->gso_type > OB_GSO_UDP || !pkt->gso_size)
		return -EINVAL;
	ret = parse(pkt, len, &l);
	if (ret)
		return ret;
	/* What one segment holds must fit into a buffer and into the IP length field. */
	if (l.payload + pkt->gso_size > pool->buf_size - pool->headroom ||
	    l.payload - l.l3 + pkt->gso_size > 0xffff)
		return -EINVAL;

	payload = len - l.payload;
	n = (payload + pkt->gso_size - 1) / pkt->gso_size;
	if (n > max || n > pool->n)
		return -ENOBUFS;

	at = l.payload;
	for (i = 0; i < n; i++) {
		uint32_t piece = payload - done < pkt->gso_size ? payload - done : pkt->gso_size;
		struct ob_pkt *seg = ob_pkt_alloc(pool);

		ob_pkt_reset(seg);
		memcpy(seg->data, pkt->data, l.payload);
		copy_payload(seg->data + l.payload, &from, &at, piece);
		seg->len = l.payload + piece;
		finish_segment(&l, seg, i, done, i + 1 == n);
		done += piece;
		out[i] = seg;
	}
	return (int)n;
}
