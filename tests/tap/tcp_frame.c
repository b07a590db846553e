/* SPDX-License-Identifier: BSD-2-Clause */
/* See tcp_frame.h. RFC 791, 1071, 8200, 9293; IEEE 802.1Q. */
#include <stdlib.h>
#include <string.h>

#include "tests/tap/tcp_frame.h"

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* The plainest way: words in network order. */
static uint32_t add(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t tcp_sum(const uint8_t *ip, const uint8_t *tcp, uint32_t len)
{
	uint32_t sum = ip[0] >> 4 == 6 ? add(0, ip + 8, 32) : add(0, ip + 12, 8);
	uint8_t tail[4] = {0, 6, (uint8_t)(len >> 8), (uint8_t)len};

	return add(add(sum, tail, 4), tcp, len);
}

struct tcp_frame tcp_frame_usual(void)
{
	return (struct tcp_frame){
		.df = true,
		.ttl = 64,
		.flags = ACK,
		.host = 1,
		.options = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
		.options_len = 12,
		.sport = 80,
		.dport = 4000,
		.window = 500,
		.ip_id = 100,
		.seq = 1000,
		.ack = 77,
		.payload = 1448,
	};
}

struct ob_pkt *tcp_frame_raw(const uint8_t *bytes, uint32_t len)
{
	struct ob_pkt *pkt = aligned_alloc(64, sizeof(*pkt));

	if (!pkt)
		abort();
	memset(pkt, 0, sizeof(*pkt));
	/* Exactly its size, so that a look beyond it is seen by AddressSanitizer. */
	pkt->buf = malloc(len ? len : 1);
	if (!pkt->buf)
		abort();
	memcpy(pkt->buf, bytes, len);
	pkt->data = pkt->buf;
	pkt->len = len;
	pkt->buf_size = len;
	return pkt;
}

struct ob_pkt *tcp_frame_make(const struct tcp_frame *f)
{
	uint8_t b[70000] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8};
	unsigned int l3 = f->vlan ? 18 : 14;
	unsigned int ihl = f->ipv6 ? 40 : 20 + f->ip_options * 4u, l4 = l3 + ihl;
	unsigned int tcp_hdr = 20 + f->options_len, len = l4 + tcp_hdr + f->payload;
	uint8_t *ip = b + l3, *tcp = b + l4;
	struct ob_pkt *pkt;

	b[11] = f->station;
	if (f->vlan) {
		put16(b + 12, 0x8100);
		put16(b + 14, 7);
	}
	put16(ip - 2, f->ipv6 ? 0x86dd : 0x0800);
	if (f->ipv6) {
		put32(ip, 6u << 28 | (uint32_t)f->tos << 20 | f->flow_label);
		put16(ip + 4, tcp_hdr + f->payload);
		ip[6] = 6;
		ip[7] = f->ttl;
		ip[8] = 0xfd;
		ip[23] = f->host;
		ip[24] = 0xfd;
		ip[39] = 200;
	} else {
		ip[0] = (uint8_t)(0x40 | ihl / 4);
		ip[1] = f->tos;
		put16(ip + 2, ihl + tcp_hdr + f->payload);
		put16(ip + 4, f->ip_id);
		put16(ip + 6, (f->df ? 0x4000u : 0) | f->fragment);
		ip[8] = f->ttl;
		ip[9] = 6;
		memcpy(ip + 12, (uint8_t[]){10, 0, 0, f->host, 10, 0, 0, 200}, 8);
		memset(ip + 20, 1, f->ip_options * 4u);
		put16(ip + 10, ~add(0, ip, ihl) & 0xffff);
		if (f->bad_ip_csum)
			ip[10] ^= 0x55;
	}
	put16(tcp, f->sport);
	put16(tcp + 2, f->dport);
	put32(tcp + 4, f->seq);
	put32(tcp + 8, f->ack);
	tcp[12] = (uint8_t)(tcp_hdr / 4 << 4 | f->reserved);
	tcp[13] = f->flags;
	put16(tcp + 14, f->window);
	memcpy(tcp + 20, f->options, f->options_len);
	for (unsigned int i = 0; i < f->payload; i++)
		tcp[tcp_hdr + i] = (uint8_t)((f->seed + i) * 2654435761u >> 13);
	put16(tcp + 16, ~tcp_sum(ip, tcp, tcp_hdr + f->payload) & 0xffff);
	if (f->bad_csum)
		tcp[tcp_hdr + f->payload - 1] ^= 1;
	pkt = tcp_frame_raw(b, len + f->padding);
	pkt->flags = f->no_csum_ok ? 0 : OB_PKT_CSUM_OK;
	return pkt;
}

void tcp_frame_free(struct ob_pkt *pkt)
{
	struct ob_pkt *next;

	for (; pkt; pkt = next) {
		next = pkt->next;
		free(pkt->buf);
		free(pkt);
	}
}

uint8_t *tcp_frame_bytes(const struct ob_pkt *pkt, uint32_t *len)
{
	uint32_t n = 0;
	uint8_t *b;

	*len = ob_pkt_frame_len(pkt);
	b = malloc(*len ? *len : 1);
	if (!b)
		abort();
	for (; pkt; pkt = pkt->next) {
		memcpy(b + n, pkt->data, pkt->len);
		n += pkt->len;
	}
	return b;
}

unsigned int tcp_frame_split(const struct ob_pkt *pkt, uint8_t **out, uint32_t *lens,
			     unsigned int max)
{
	uint32_t len, hdr = pkt->hdr_len, l4 = pkt->csum_start, l3;
	uint8_t *all = tcp_frame_bytes(pkt, &len);
	unsigned int n = 0;

	l3 = get16(all + 12) == 0x8100 ? 18 : 14;
	for (uint32_t done = hdr; done < len && n < max; n++) {
		uint32_t piece = len - done < pkt->gso_size ? len - done : pkt->gso_size;
		uint8_t *b = malloc(hdr + piece), *ip = b + l3, *tcp = b + l4;

		if (!b)
			abort();
		memcpy(b, all, hdr);
		memcpy(b + hdr, all + done, piece);
		if (ip[0] >> 4 == 6) {
			put16(ip + 4, hdr + piece - l4);
		} else {
			put16(ip + 2, hdr + piece - l3);
			put16(ip + 4, (get16(ip + 4) + n) & 0xffff);
			put16(ip + 10, 0);
			put16(ip + 10, ~add(0, ip, 20) & 0xffff);
		}
		put32(tcp + 4, get32(tcp + 4) + done - hdr);
		if (done + piece < len)
			tcp[13] &= (uint8_t) ~(FIN | PSH);
		put16(tcp + 16, 0);
		put16(tcp + 16, ~tcp_sum(ip, tcp, hdr + piece - l4) & 0xffff);
		out[n] = b;
		lens[n] = hdr + piece;
		done += piece;
	}
	free(all);
	return n;
}

bool tcp_frame_sums_right(const uint8_t *b, uint32_t len)
{
	uint32_t l3 = get16(b + 12) == 0x8100 ? 18 : 14, l4;
	const uint8_t *ip = b + l3;

	if (ip[0] >> 4 == 6) {
		l4 = l3 + 40;
	} else {
		l4 = l3 + (ip[0] & 0xfu) * 4;
		if (add(0, ip, l4 - l3) != 0xffff)
			return false;
	}
	return tcp_sum(ip, b + l4, len - l4) == 0xffff;
}
