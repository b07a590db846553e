/* SPDX-License-Identifier: BSD-2-Clause */
/* DHCP messages in Ethernet frames: RFC 2131 (section 2), 2132; UDP RFC 768; IPv4 RFC 791. See dhcp.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "stack/dhcp.h"

enum {
	ETH_HDR = 14,
	IP_HDR = 20,
	UDP_HDR = 8,
	SERVER_PORT = 67,
	CLIENT_PORT = 68,

	/* offsets in the message (RFC 2131, figure 1) */
	OP = 0,
	HTYPE = 1,
	HLEN = 2,
	XID = 4,
	SECS = 8,
	FLAGS = 10,
	CIADDR = 12,
	YIADDR = 16,
	CHADDR = 28,
	SNAME = 44,
	SNAME_SIZE = 64,
	FILE_NAME = 108,
	FILE_SIZE = 128,
	COOKIE = 236,
	OPTIONS = 240,
	/* A server may drop shorter ones (RFC 1542, 2.1). */
	MESSAGE_MIN = 300,

	BOOTREQUEST = 1,
	BOOTREPLY = 2,
	BROADCAST = 0x8000,

	OPT_PAD = 0,
	OPT_MASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_OVERLOAD = 52,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_PARAMETERS = 55,
	OPT_T1 = 58,
	OPT_T2 = 59,
	OPT_CLIENT = 61,
	OPT_END = 255,
};

static const uint8_t cookie[4] = {99, 130, 83, 99}; /* RFC 2131, section 3 */

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
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

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* One's complement sum of big-endian words (RFC 1071). */
static uint32_t sum(uint32_t s, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		s += get16(p);
	if (len)
		s += (uint32_t)p[0] << 8;
	return s;
}

static unsigned int fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* Of the pseudo header and all behind it. */
static unsigned int udp_sum(const uint8_t *ip, const uint8_t *udp, size_t len)
{
	uint32_t s = sum(0, ip + 12, 8) + IPPROTO_UDP + (uint32_t)len;

	return fold(sum(s, udp, len));
}

bool dhcp_is_answer(const uint8_t *frame, size_t len)
{
	size_t udp;

	if (len < ETH_HDR + IP_HDR + UDP_HDR || get16(frame + 12) != 0x0800 ||
	    frame[ETH_HDR] >> 4 != 4 || frame[ETH_HDR + 9] != IPPROTO_UDP)
		return false;
	udp = ETH_HDR + (frame[ETH_HDR] & 0xfu) * 4;
	return udp >= ETH_HDR + IP_HDR && udp + UDP_HDR <= len &&
	       get16(frame + udp) == SERVER_PORT && get16(frame + udp + 2) == CLIENT_PORT;
}

/* The message in a frame, checked: its bytes, or 0. */
static size_t unwrap(const uint8_t *frame, size_t len, const uint8_t **message)
{
	const uint8_t *ip = frame + ETH_HDR, *udp;
	size_t ip_hdr, ip_len, udp_len;

	if (!dhcp_is_answer(frame, len))
		return 0;
	ip_hdr = (ip[0] & 0xfu) * 4;
	ip_len = get16(ip + 2);
	/* A fragment is none of ours: no answer is longer than a frame. */
	if (ip_len > len - ETH_HDR || ip_len < ip_hdr + UDP_HDR || (get16(ip + 6) & 0x3fff) ||
	    fold(sum(0, ip, ip_hdr)) != 0xffff)
		return 0;
	udp = ip + ip_hdr;
	udp_len = get16(udp + 4);
	if (udp_len < UDP_HDR || udp_len > ip_len - ip_hdr)
		return 0;
	/* 0: the sender made no sum. */
	if (get16(udp + 6) && udp_sum(ip, udp, udp_len) != 0xffff)
		return 0;
	*message = udp + UDP_HDR;
	return udp_len - UDP_HDR;
}

static uint32_t address(const uint8_t *p)
{
	uint32_t a;

	memcpy(&a, p, sizeof(a));
	return a;
}

static void take_option(struct dhcp_message *m, unsigned int code, const uint8_t *p, size_t len,
			unsigned int *overload)
{
	switch (code) {
	case OPT_TYPE:
		if (len == 1)
			m->type = p[0];
		return;
	case OPT_OVERLOAD:
		if (len == 1)
			*overload = p[0];
		return;
	}
	/* All others are lists of four bytes, of which the first counts. */
	if (len < 4)
		return;
	switch (code) {
	case OPT_MASK:
		m->netmask = address(p);
		break;
	case OPT_ROUTER:
		m->gateway = address(p);
		break;
	case OPT_DNS:
		m->dns = address(p);
		break;
	case OPT_SERVER:
		m->server = address(p);
		break;
	case OPT_LEASE:
		m->seconds = get32(p);
		break;
	case OPT_T1:
		m->t1 = get32(p);
		break;
	case OPT_T2:
		m->t2 = get32(p);
		break;
	}
}

/* A list of options that ends by itself or with its field. */
static void take_options(struct dhcp_message *m, const uint8_t *p, size_t size,
			 unsigned int *overload)
{
	size_t at = 0;

	while (at < size && p[at] != OPT_END) {
		size_t len;

		if (p[at] == OPT_PAD) {
			at++;
			continue;
		}
		if (size - at < 2)
			return;
		len = p[at + 1];
		if (len > size - at - 2)
			return;
		take_option(m, p[at], p + at + 2, len, overload);
		at += 2 + len;
	}
}

/* Ones, then zeroes. */
static bool is_netmask(uint32_t mask)
{
	uint32_t zeroes = ~ntohl(mask);

	return !(zeroes & (zeroes + 1));
}

/* An address that one host can have. */
static bool is_host(uint32_t addr)
{
	uint32_t a = ntohl(addr);

	return a >> 24 != 0 && a >> 24 != 127 && a >> 28 < 0xe;
}

int dhcp_parse(const uint8_t *frame, size_t len, const uint8_t mac[6], uint32_t xid,
	       struct dhcp_message *m)
{
	unsigned int overload = 0, more = 0;
	const uint8_t *p = NULL;
	size_t size = unwrap(frame, len, &p);

	memset(m, 0, sizeof(*m));
	if (size < OPTIONS || p[OP] != BOOTREPLY || p[HTYPE] != 1 || p[HLEN] != 6 ||
	    get32(p + XID) != xid || memcmp(p + CHADDR, mac, 6) ||
	    memcmp(p + COOKIE, cookie, sizeof(cookie)))
		return -EBADMSG;
	m->address = address(p + YIADDR);
	take_options(m, p + OPTIONS, size - OPTIONS, &overload);
	/* RFC 2132, 9.3: these fields hold options, too. */
	if (overload & 1)
		take_options(m, p + FILE_NAME, FILE_SIZE, &more);
	if (overload & 2)
		take_options(m, p + SNAME, SNAME_SIZE, &more);

	if (m->type == DHCP_NAK)
		return 0;
	if ((m->type != DHCP_OFFER && m->type != DHCP_ACK) || !is_host(m->address) || !m->server)
		return -EBADMSG;
	if (m->type == DHCP_ACK && !m->seconds)
		return -EBADMSG;
	if (!m->netmask)
		m->netmask = htonl(0xffffff00);
	if (!is_netmask(m->netmask))
		return -EBADMSG;
	if (m->gateway && !is_host(m->gateway))
		m->gateway = 0;
	/* RFC 2131, 4.4.5: half and seven eighths, where the server's make no sense, too. */
	if (!m->t2 || m->t2 >= m->seconds)
		m->t2 = (uint32_t)((uint64_t)m->seconds * 7 / 8);
	if (!m->t1 || m->t1 >= m->t2)
		m->t1 = m->seconds / 2 < m->t2 ? m->seconds / 2 : m->t2;
	return 0;
}

static uint8_t *option(uint8_t *p, unsigned int code, const void *value, size_t len)
{
	*p++ = (uint8_t)code;
	*p++ = (uint8_t)len;
	memcpy(p, value, len);
	return p + len;
}

static size_t build_message(uint8_t *p, const uint8_t mac[6], const struct dhcp_question *q)
{
	static const uint8_t parameters[] = {OPT_MASK,	OPT_ROUTER, OPT_DNS,
					     OPT_LEASE, OPT_T1,	    OPT_T2};
	uint8_t client[7] = {1}, *o, type = (uint8_t)q->type;

	memset(p, 0, MESSAGE_MIN);
	p[OP] = BOOTREQUEST;
	p[HTYPE] = 1;
	p[HLEN] = 6;
	put32(p + XID, q->xid);
	put16(p + SECS, q->seconds);
	/* Without an address we hear broadcasts only. */
	put16(p + FLAGS, q->current ? 0 : BROADCAST);
	memcpy(p + CIADDR, &q->current, 4);
	memcpy(p + CHADDR, mac, 6);
	memcpy(p + COOKIE, cookie, sizeof(cookie));
	o = option(p + OPTIONS, OPT_TYPE, &type, 1);
	memcpy(client + 1, mac, 6);
	o = option(o, OPT_CLIENT, client, sizeof(client));
	if (q->wanted)
		o = option(o, OPT_REQUESTED, &q->wanted, 4);
	if (q->server)
		o = option(o, OPT_SERVER, &q->server, 4);
	o = option(o, OPT_PARAMETERS, parameters, sizeof(parameters));
	*o++ = OPT_END;
	return MESSAGE_MIN;
}

size_t dhcp_build(uint8_t frame[DHCP_FRAME_MAX], const uint8_t mac[6],
		  const struct dhcp_question *q)
{
	uint8_t *ip = frame + ETH_HDR, *udp = ip + IP_HDR;
	size_t len = build_message(udp + UDP_HDR, mac, q), udp_len = UDP_HDR + len;
	unsigned int check;

	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	put16(frame + 12, 0x0800);
	memset(ip, 0, IP_HDR);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned int)(IP_HDR + udp_len));
	ip[8] = 64; /* RFC 1700's time to live */
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, &q->current, 4);
	memset(ip + 16, 0xff, 4);
	put16(ip + 10, ~fold(sum(0, ip, IP_HDR)) & 0xffff);
	put16(udp, CLIENT_PORT);
	put16(udp + 2, SERVER_PORT);
	put16(udp + 4, (unsigned int)udp_len);
	put16(udp + 6, 0);
	check = ~udp_sum(ip, udp, udp_len) & 0xffff;
	put16(udp + 6, check ? check : 0xffff);
	return ETH_HDR + IP_HDR + udp_len;
}
