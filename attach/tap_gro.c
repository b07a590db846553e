/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive coalescing for the tap; the rules are in tap_gro.h. Headers: IEEE 802.3/802.1Q, RFC 791, 8200,
 * 9293; one's complement sums: RFC 1071, 1624.
 *
 * Headers lie in memory that the device can write, so each is read once into struct seg, and what
 * bounds an access is taken from there.
 */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "attach/tap_gro.h"

enum {
	ETH_HDR = 14,
	VLAN_TAG = 4,
	IPV4_HDR = 20,
	IPV6_HDR = 40,
	TCP_HDR = 20,
	TCP_HDR_MAX = 60,
	TCP_CSUM_OFFSET = 16,
	IP_DF = 0x4000,
	IP_LEN_MAX = 65535,

	TH_FIN_BIT = 0x01,
	TH_PSH_BIT = 0x08,
	TH_ACK_BIT = 0x10,
	TH_ECE_BIT = 0x40,

	HEADERS_MAX = ETH_HDR + 2 * VLAN_TAG + IPV6_HDR + TCP_HDR_MAX,
};

/* What one frame's headers say. */
struct seg {
	uint8_t hdr[HEADERS_MAX]; /* a copy: the device cannot change it under us */
	uint32_t l3, l4, hdr_len;
	uint32_t payload;
	uint32_t seq;
	uint16_t ip_id;
	bool ipv6;
	bool df;
	uint8_t tcp_flags;
};

/* Frames that became one. */
struct train {
	struct ob_pkt *first, *last;
	struct seg seg; /* of the first */
	uint32_t next_seq;
	uint32_t payload; /* of all */
	unsigned int n;
	uint16_t last_id;
	int8_t id_step; /* 0 or 1 once there are two, -1 before */
	uint8_t last_flags;
	bool open;     /* may grow */
	bool verified; /* the first one's checksum */
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Sums are kept in memory order: one's complement does not mind (RFC 1071, 2B). */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *p, uint32_t len)
{
	uint32_t w;

	for (; len >= 4; p += 4, len -= 4) {
		memcpy(&w, p, 4);
		sum += w;
	}
	if (len) {
		w = 0;
		memcpy(&w, p, len);
		sum += w;
	}
	return sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of the pseudo header, in memory order. @len: TCP header and payload. */
static uint64_t pseudo_sum(const struct seg *s, uint32_t len)
{
	uint64_t sum = s->ipv6 ? sum_bytes(0, s->hdr + s->l3 + 8, 32)
			       : sum_bytes(0, s->hdr + s->l3 + 12, 8);

	return sum + htons(IPPROTO_TCP) + htons((uint16_t)len);
}

enum kind {
	OTHER,	 /* no TCP: no train minds */
	BARRIER, /* TCP, perhaps, but of which flow is not to be seen: no train may grow past it */
	FLOW,	 /* of a flow, but stays alone: its train may not grow past it */
	MERGEABLE,
};

/* The IP header, checked. */
static enum kind read_ip(struct seg *s, uint32_t copied, uint32_t *ip_len)
{
	const uint8_t *ip;
	unsigned int type;

	s->l3 = ETH_HDR;
	type = get16(s->hdr + 12);
	for (int tags = 0; tags < 2 && (type == ETHERTYPE_VLAN || type == 0x88a8); tags++) {
		s->l3 += VLAN_TAG;
		type = get16(s->hdr + s->l3 - 2);
	}
	ip = s->hdr + s->l3;
	if (type == ETHERTYPE_IP) {
		s->l4 = s->l3 + IPV4_HDR;
		if (copied < s->l4)
			return OTHER;
		if (ip[9] != IPPROTO_TCP)
			return OTHER;
		/* Options, or a fragment, or the reserved flag. */
		if (ip[0] != 0x45 || (get16(ip + 6) & ~IP_DF) || copied < s->l4 + TCP_HDR)
			return BARRIER;
		*ip_len = get16(ip + 2);
		s->ipv6 = false;
		s->df = get16(ip + 6) & IP_DF;
		s->ip_id = get16(ip + 4);
		return fold(sum_bytes(0, ip, IPV4_HDR)) == 0xffff ? MERGEABLE : FLOW;
	}
	if (type == ETHERTYPE_IPV6) {
		s->l4 = s->l3 + IPV6_HDR;
		if (copied < s->l4)
			return OTHER;
		if (ip[6] == IPPROTO_UDP || ip[6] == IPPROTO_ICMPV6)
			return OTHER;
		if (ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP || copied < s->l4 + TCP_HDR)
			return BARRIER;
		*ip_len = IPV6_HDR + get16(ip + 4);
		s->ipv6 = true;
		s->df = true;
		s->ip_id = 0;
		return MERGEABLE;
	}
	return OTHER;
}

static enum kind read_headers(const struct ob_pkt *pkt, struct seg *s)
{
	uint32_t copied = pkt->len < HEADERS_MAX ? pkt->len : HEADERS_MAX;
	uint32_t ip_len = 0, end, doff;
	const uint8_t *tcp;
	enum kind kind;

	if (pkt->next || (pkt->flags & (OB_PKT_BAD | OB_PKT_CSUM_PARTIAL)))
		return BARRIER;
	/* Shorter than any Ethernet frame; also keeps the look at two tags below within what is copied. */
	if (pkt->len < ETH_HDR + IPV4_HDR)
		return OTHER;
	memcpy(s->hdr, pkt->data, copied);
	kind = read_ip(s, copied, &ip_len);
	if (kind != MERGEABLE)
		return kind;
	tcp = s->hdr + s->l4;
	doff = (tcp[12] >> 4) * 4u;
	s->hdr_len = s->l4 + doff;
	end = s->l3 + ip_len; /* behind it is Ethernet's padding to 60 bytes */
	if (doff < TCP_HDR || s->hdr_len > copied || end > pkt->len || end <= s->hdr_len)
		return FLOW;
	s->payload = end - s->hdr_len;
	s->seq = get32(tcp + 4);
	s->tcp_flags = tcp[13];
	/* The four reserved bits, of which one is AE (RFC 9768), have no rule for taking apart. */
	if ((tcp[12] & 0x0f) || !(s->tcp_flags & TH_ACK_BIT) ||
	    (s->tcp_flags & ~(TH_ACK_BIT | TH_ECE_BIT | TH_FIN_BIT | TH_PSH_BIT)))
		return FLOW;
	return MERGEABLE;
}

static bool checksum_right(const struct ob_pkt *pkt, const struct seg *s)
{
	uint32_t len = s->hdr_len - s->l4 + s->payload;

	if (pkt->flags & OB_PKT_CSUM_OK)
		return true;
	return fold(sum_bytes(pseudo_sum(s, len), pkt->data + s->l4, len)) == 0xffff;
}

/* Addresses, ports and all below them. */
static bool same_flow(const struct seg *a, const struct seg *b)
{
	uint32_t addrs = a->l3 + (a->ipv6 ? 8 : 12), n = a->ipv6 ? 32 : 8;

	return a->ipv6 == b->ipv6 && a->l3 == b->l3 && !memcmp(a->hdr + a->l4, b->hdr + b->l4, 4) &&
	       !memcmp(a->hdr + addrs, b->hdr + addrs, n) && !memcmp(a->hdr, b->hdr, a->l3);
}

/* What stays the same when a segmentation frame is taken apart. */
static bool same_template(const struct seg *a, const struct seg *b)
{
	const uint8_t *ia = a->hdr + a->l3, *ib = b->hdr + b->l3;
	const uint8_t *ta = a->hdr + a->l4, *tb = b->hdr + b->l4;

	if (a->ipv6) {
		/* version, traffic class, flow label; next header and hop limit */
		if (memcmp(ia, ib, 4) || memcmp(ia + 6, ib + 6, 2))
			return false;
	} else if (ia[1] != ib[1] || ia[8] != ib[8] || a->df != b->df) {
		return false;
	}
	if (a->hdr_len != b->hdr_len)
		return false;
	/* acknowledgement; window; options */
	return !memcmp(ta + 8, tb + 8, 4) && !memcmp(ta + 14, tb + 14, 2) &&
	       !memcmp(ta + TCP_HDR, tb + TCP_HDR, a->hdr_len - a->l4 - TCP_HDR) &&
	       !((a->tcp_flags ^ b->tcp_flags) & ~(TH_FIN_BIT | TH_PSH_BIT));
}

/*
 * The identification of IPv4 counts up when the kernel takes a frame apart, or stands still where DF makes
 * it meaningless (RFC 6864): a train keeps to what its second frame did.
 */
static bool id_fits(const struct train *t, const struct seg *s, int8_t *step)
{
	uint16_t delta = (uint16_t)(s->ip_id - t->last_id);

	if (s->ipv6)
		return true;
	if (delta > 1 || (!delta && !s->df))
		return false;
	*step = (int8_t)delta;
	return t->id_step < 0 || t->id_step == *step;
}

static bool can_join(struct train *t, const struct ob_pkt *pkt, const struct seg *s)
{
	int8_t step = t->id_step;
	uint32_t total;

	if (!same_template(&t->seg, s) || s->seq != t->next_seq || s->payload > t->seg.payload ||
	    !id_fits(t, s, &step))
		return false;
	/* The IP length field counts all behind its own header (IPv6) or with it (IPv4). */
	total = t->seg.hdr_len - t->seg.l3 + t->payload + s->payload;
	if (total > IP_LEN_MAX)
		return false;
	/* Only now, that two frames would be one, is summing worth it. */
	if (!t->verified) {
		if (!checksum_right(t->first, &t->seg))
			return false;
		t->verified = true;
	}
	if (!checksum_right(pkt, s))
		return false;
	t->id_step = step;
	return true;
}

static bool ends_train(const struct train *t, const struct seg *s)
{
	return (s->tcp_flags & (TH_FIN_BIT | TH_PSH_BIT)) || s->payload != t->seg.payload;
}

static void join(struct train *t, struct ob_pkt *pkt, const struct seg *s)
{
	/* Cut Ethernet's padding off the frame before, headers and padding off this one. */
	if (t->n == 1)
		t->first->len = t->seg.hdr_len + t->seg.payload;
	pkt->data += s->hdr_len;
	pkt->iova = ob_iova_add(pkt->iova, s->hdr_len);
	pkt->len = s->payload;
	t->last->next = pkt;
	t->last = pkt;
	t->n++;
	t->payload += s->payload;
	t->next_seq = s->seq + s->payload;
	t->last_id = s->ip_id;
	t->last_flags = s->tcp_flags;
	t->open = !ends_train(t, s);
}

static void start(struct train *t, struct ob_pkt *pkt, bool open)
{
	t->first = pkt;
	t->last = pkt;
	t->n = 1;
	t->open = open && !ends_train(t, &t->seg);
	if (!t->open)
		return;
	t->verified = false;
	t->payload = t->seg.payload;
	t->next_seq = t->seg.seq + t->seg.payload;
	t->last_id = t->seg.ip_id;
	t->id_step = -1;
	t->last_flags = t->seg.tcp_flags;
}

/* Make the headers of the first frame those of all of them. */
static void finish(struct train *t)
{
	struct ob_pkt *pkt = t->first;
	struct seg *s = &t->seg;
	uint8_t *ip = s->hdr + s->l3, *tcp = s->hdr + s->l4;
	uint32_t tcp_len = s->hdr_len - s->l4 + t->payload;

	if (s->ipv6) {
		put16(ip + 4, tcp_len);
	} else {
		uint16_t sum;

		put16(ip + 2, IPV4_HDR + tcp_len);
		put16(ip + 10, 0);
		sum = (uint16_t)~fold(sum_bytes(0, ip, IPV4_HDR));
		memcpy(ip + 10, &sum, 2);
	}
	tcp[13] = s->tcp_flags | t->last_flags;
	/*
	 * The sum of the pseudo header instead of the checksum: what "partial" means. All payloads were
	 * verified, so the kernel need not sum them again.
	 */
	{
		uint16_t sum = fold(pseudo_sum(s, tcp_len));

		memcpy(tcp + TCP_CSUM_OFFSET, &sum, 2);
	}
	memcpy(pkt->data, s->hdr, s->hdr_len);
	pkt->flags = (uint16_t)((pkt->flags & ~OB_PKT_CSUM_OK) | OB_PKT_CSUM_PARTIAL);
	pkt->csum_start = (uint16_t)s->l4;
	pkt->csum_offset = TCP_CSUM_OFFSET;
	pkt->gso_type = s->ipv6 ? OB_GSO_TCPV6 : OB_GSO_TCPV4;
	pkt->gso_size = (uint16_t)s->payload;
	pkt->hdr_len = (uint16_t)s->hdr_len;
}

unsigned int tap_gro(struct ob_pkt **pkts, unsigned int n)
{
	struct train trains[TAP_GRO_MAX];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct train *t = &trains[nr], *found = NULL;
		enum kind kind = read_headers(pkts[i], &t->seg);

		/* At most one train of a flow is open: a frame that does not join closes it. */
		for (unsigned int k = nr; kind >= BARRIER && k-- > 0 && !found;) {
			if (!trains[k].open)
				continue;
			if (kind == BARRIER)
				trains[k].open = false;
			else if (same_flow(&trains[k].seg, &t->seg))
				found = &trains[k];
		}
		if (found && kind == MERGEABLE && can_join(found, pkts[i], &t->seg)) {
			join(found, pkts[i], &t->seg);
			continue;
		}
		if (found)
			found->open = false;
		start(t, pkts[i], kind == MERGEABLE);
		nr++;
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (trains[i].n > 1)
			finish(&trains[i]);
		pkts[i] = trains[i].first;
	}
	return nr;
}
