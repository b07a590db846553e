/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DHCP client: RFC 2131, options of RFC 2132. Debian's lwIP is built without one. It speaks in
 * whole frames, since an interface without an address receives no IPv4.
 */
#ifndef STACK_DHCP_H
#define STACK_DHCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER = 2,
	DHCP_REQUEST = 3,
	DHCP_ACK = 5,
	DHCP_NAK = 6,
	DHCP_RELEASE = 7,
};

enum {
	DHCP_FRAME_MAX = 1514,
};

/**
 * struct dhcp_message - what an answer says; addresses in network byte order, 0 for none
 * @t1, @t2: when to renew and to rebind, in seconds; 0 for the defaults
 */
struct dhcp_message {
	enum dhcp_type type;
	uint32_t address, netmask, gateway, dns, server;
	uint32_t seconds, t1, t2;
};

/** dhcp_is_answer() - is this frame perhaps for us? Looks at @len bytes, which may be the headers only */
bool dhcp_is_answer(const uint8_t *frame, size_t len);

/**
 * dhcp_parse() - an answer to @mac's question @xid
 * @frame: in memory that nobody else writes
 *
 * Return: 0; -EBADMSG for anything else
 */
int dhcp_parse(const uint8_t *frame, size_t len, const uint8_t mac[6], uint32_t xid,
	       struct dhcp_message *m);

/**
 * struct dhcp_question - what to ask
 * @seconds: since it began
 * @current: address in use (renewing), or 0
 * @wanted, @server: what was offered by whom, or 0
 */
struct dhcp_question {
	enum dhcp_type type;
	uint32_t xid;
	uint16_t seconds;
	uint32_t current, wanted, server;
};

/** dhcp_build() - the frame to broadcast; returns its bytes */
size_t dhcp_build(uint8_t frame[DHCP_FRAME_MAX], const uint8_t mac[6],
		  const struct dhcp_question *q);

enum dhcp_state {
	DHCP_OFF,
	DHCP_SELECTING,	 /* asked who is there */
	DHCP_REQUESTING, /* asked for what one offered */
	DHCP_BOUND,
	DHCP_RENEWING, /* bound, and asked to keep it */
};

/**
 * struct dhcp - a client
 * @next_ns: when to ask again, or to begin to renew
 * @tries: since the state was entered
 */
struct dhcp {
	enum dhcp_state state;
	uint32_t xid;
	unsigned int tries;
	uint64_t began_ns, next_ns, expires_ns;
	struct dhcp_message lease;
	uint64_t refused; /* frames for our port that were no answer */
};

struct ob_stack;

/** dhcp_start() - begin anew */
void dhcp_start(struct ob_stack *s);
/** dhcp_input() - a frame that dhcp_is_answer(); a copy */
void dhcp_input(struct ob_stack *s, const uint8_t *frame, size_t len);
void dhcp_tick(struct ob_stack *s, uint64_t now_ns);

#endif
