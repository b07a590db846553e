/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's states: RFC 2131, section 4.4 and figure 5. See dhcp.h. */
#include <string.h>
#include <sys/random.h>

#include "stack/stack_private.h"

#define NS_PER_S 1000000000ull

enum {
	/*
	 * 1, 2, 4, 8, 8, ... seconds between questions (RFC 2131, 4.1, begins with four for the
	 * sake of old Ethernets; a card that has just got its link often loses the first).
	 */
	BACKOFF_MAX = 3,
	/* Requests for an offer before looking for another. */
	REQUESTS = 4,
	/* Between requests of a renewal, at least (RFC 2131, 4.4.5). */
	RENEW_S = 60,
};

static uint64_t backoff(struct dhcp *d)
{
	unsigned int shift = d->tries < BACKOFF_MAX ? d->tries : BACKOFF_MAX;
	uint16_t jitter = 0;

	d->tries++;
	if (getrandom(&jitter, sizeof(jitter), GRND_NONBLOCK) < 0)
		jitter = 0;
	/* Up to an eighth of a second, so that machines that start together do not ask together. */
	return (NS_PER_S << shift) + (uint64_t)jitter * (NS_PER_S / 8 / 65536);
}

static void ask(struct ob_stack *s, uint64_t now_ns)
{
	struct dhcp *d = &s->dhcp;
	uint64_t since = (now_ns - d->began_ns) / NS_PER_S;
	struct dhcp_question q = {
		.type = d->state == DHCP_SELECTING ? DHCP_DISCOVER : DHCP_REQUEST,
		.xid = d->xid,
		.seconds = (uint16_t)(since < 0xffff ? since : 0xffff),
	};
	uint8_t frame[DHCP_FRAME_MAX];

	if (d->state == DHCP_REQUESTING) {
		q.wanted = d->lease.address;
		q.server = d->lease.server;
	} else if (d->state == DHCP_RENEWING) {
		/* To all servers from the beginning: one frame that no ARP stands in front of. */
		q.current = d->lease.address;
	}
	s->ops->send_frame(s, frame, dhcp_build(frame, s->net->mac, &q));
}

static void choose_xid(struct dhcp *d)
{
	if (getrandom(&d->xid, sizeof(d->xid), GRND_NONBLOCK) != (ssize_t)sizeof(d->xid))
		d->xid = (uint32_t)ob_clock_ns();
}

void dhcp_start(struct ob_stack *s)
{
	struct dhcp *d = &s->dhcp;

	memset(d, 0, sizeof(*d));
	choose_xid(d);
	d->state = DHCP_SELECTING;
	d->began_ns = ob_clock_ns();
	/* Asked at the next tick that finds a link. */
	d->next_ns = d->began_ns;
}

static void lose(struct ob_stack *s)
{
	ob_device_log(s->net->dev, OB_LOG_WARN, "the DHCP lease has ended; looking for another");
	stack_set_ip4(s, 0, 0, 0);
	dhcp_start(s);
}

static void take_lease(struct ob_stack *s, const struct dhcp_message *m, uint64_t now_ns)
{
	struct dhcp *d = &s->dhcp;

	d->lease = *m;
	d->state = DHCP_BOUND;
	d->tries = 0;
	d->next_ns = now_ns + m->t1 * NS_PER_S;
	d->expires_ns = now_ns + m->seconds * NS_PER_S;
	/* The same address again changes nothing for connections. */
	if (stack_set_ip4(s, m->address, m->netmask, m->gateway))
		ob_device_log(s->net->dev, OB_LOG_WARN, "%s refuses the address that DHCP gave",
			      s->ops->name);
}

void dhcp_input(struct ob_stack *s, const uint8_t *frame, size_t len)
{
	struct dhcp *d = &s->dhcp;
	uint64_t now_ns = ob_clock_ns();
	struct dhcp_message m;

	if (d->state == DHCP_OFF || d->state == DHCP_BOUND)
		return;
	if (dhcp_parse(frame, len, s->net->mac, d->xid, &m)) {
		d->refused++;
		return;
	}
	switch (d->state) {
	case DHCP_SELECTING:
		if (m.type != DHCP_OFFER)
			return;
		d->lease = m; /* the first is taken */
		d->state = DHCP_REQUESTING;
		d->tries = 0;
		ask(s, now_ns);
		d->next_ns = now_ns + backoff(d);
		return;
	case DHCP_REQUESTING:
		if (m.type == DHCP_NAK)
			dhcp_start(s);
		else if (m.type == DHCP_ACK && m.server == d->lease.server)
			take_lease(s, &m, now_ns);
		return;
	case DHCP_RENEWING:
		if (m.type == DHCP_NAK)
			lose(s);
		else if (m.type == DHCP_ACK && m.address == d->lease.address)
			take_lease(s, &m, now_ns);
		return;
	default:
		return;
	}
}

void dhcp_tick(struct ob_stack *s, uint64_t now_ns)
{
	struct dhcp *d = &s->dhcp;

	if (d->state == DHCP_OFF)
		return;
	if ((d->state == DHCP_BOUND || d->state == DHCP_RENEWING) && now_ns >= d->expires_ns) {
		lose(s);
		return;
	}
	if (now_ns < d->next_ns || !s->link)
		return;
	if (d->state == DHCP_REQUESTING && d->tries >= REQUESTS) {
		dhcp_start(s);
		return;
	}
	if (d->state == DHCP_BOUND) {
		choose_xid(d);
		d->state = DHCP_RENEWING;
	}
	ask(s, now_ns);
	d->next_ns = now_ns + (d->state == DHCP_RENEWING ? RENEW_S * NS_PER_S : backoff(d));
}
