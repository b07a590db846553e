/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the stacks share. */
#ifndef STACK_STACK_PRIVATE_H
#define STACK_STACK_PRIVATE_H

#include <stdatomic.h>

#include <lwip/netif.h>
#include <lwip/pbuf.h>

#include <outboard/device.h>
#include <outboard/stack.h>

#include "stack/dhcp.h"

#define STACK_NS_PER_MS 1000000ull

enum {
	/*
	 * Longest headers that are looked at: Ethernet's 14 bytes, IPv4's 60 and TCP's 60. Two
	 * bytes in front put the IP header on a multiple of four.
	 */
	STACK_HEADERS = 134,
	STACK_ALIGN = 2,

	STACK_BURST = 32,
	/* Frames that wait for the device's ring; as many as a full window of 64 KiB for some connections. */
	STACK_PENDING = 512,
	STACK_FLOWS = 64,
	STACK_GROUPS = 32,

	STACK_ECHO_HDR = 8,
	STACK_PING_MAX = 1472, /* a frame; what is sent is not fragmented */
};

/**
 * struct stack_ping - an echo request
 * @reply_type, @id: what its answer has: type, identifier and sequence number, as in the packet
 */
struct stack_ping {
	struct ob_stack *stack;
	ip_addr_t to;
	uint8_t reply_type;
	uint8_t id[4];
	size_t len;
	uint64_t sent_ns, ns;
	bool answered, damaged;
};

/**
 * struct ob_stream - a connection
 * @pcb: lwIP's, or NULL when that is gone; @rx: received by it and not read
 * @socket: the kernel's, @unread: something may be there
 * @next: of the stack's streams
 * @alive: there is a connection, or will be: what ended it otherwise is @error, a negative errno value, or 0 when both sides have
 * @out, @out_len: what ob_stream_write() has not handed to the stack yet
 * @peer_ended: the peer sends no more; @ended: neither do we; @flushed: which the peer has acknowledged
 */
struct ob_stream {
	struct ob_stack *stack;
	struct tcp_pcb *pcb;
	struct pbuf *rx;
	struct ob_ip_socket *socket;
	struct ob_stream *next;
	uint64_t acked;
	const uint8_t *out;
	size_t out_len;
	unsigned int timeout_ms;
	int error;
	bool alive, connected, peer_ended, ended, flushed, unread;
	int (*sink)(void *arg, const void *data, size_t len);
	void *sink_arg;
	int sink_ret;
	char peer[64];
};

/* Let go of before either side has ended: a peer that read an end then would think that it has all. */
static inline bool stack_breaks_off(const struct ob_stream *st)
{
	return !st->ended && !st->peer_ended;
}

/**
 * struct stack_stream_ops - TCP of a stack
 * @connect: begins it. @accept: one connection within @wait_ms. Both: 0, and @st is alive, or a negative errno value: then it was released
 * @feed: hand over as much of st->out as there is room for
 * @drain: hand to st->sink what came before
 * @read: up to @len bytes that are there; 0 for none
 * @readable: are there some? @is_flushed: has the peer acknowledged our end?
 * @shutdown: no more will be sent; 0 or a negative errno value
 * @release: it is no more
 */
struct stack_stream_ops {
	int (*connect)(struct ob_stream *st, const ip_addr_t *addr, uint16_t port,
		       struct ob_error *err);
	int (*accept)(struct ob_stream *st, uint16_t port, unsigned int wait_ms,
		      struct ob_error *err);
	void (*feed)(struct ob_stream *st);
	void (*drain)(struct ob_stream *st);
	size_t (*read)(struct ob_stream *st, void *buf, size_t len);
	bool (*readable)(struct ob_stream *st);
	bool (*is_flushed)(struct ob_stream *st);
	int (*shutdown)(struct ob_stream *st);
	void (*release)(struct ob_stream *st);
};

/**
 * struct stack_ops - a TCP/IP stack on a network device
 * @level: irq_fd[0] is not to be read by the loop while it is the stack's
 * @open: starts the device. @close: ends all connections, and stops it
 * @poll: let it do what there is to do; returns whether anything happened. @arm: before a sleep, as of struct ob_loop_source
 * @push: what is to be sent goes to the device
 * @set_link: s->link has changed. @tick: every 100 ms. @set_ip4: s->ip4 has changed. All but the last may be NULL
 * @set_ip6, @is_own_ip6: NULL without IPv6
 * @has_neighbour: has who has this address been found?
 * @send_frame: a whole one
 * @ping: send it and wait for the answer
 * @stats: fill in what s->stats does not have; may be NULL
 */
struct stack_ops {
	const char *name;
	bool level;
	int (*open)(struct ob_stack *s, struct ob_error *err);
	void (*close)(struct ob_stack *s);
	unsigned int (*poll)(struct ob_stack *s, unsigned int budget);
	bool (*arm)(struct ob_stack *s, bool on);
	void (*push)(struct ob_stack *s);
	void (*set_link)(struct ob_stack *s);
	void (*tick)(struct ob_stack *s);
	int (*set_ip4)(struct ob_stack *s);
	int (*set_ip6)(struct ob_stack *s, const ip6_addr_t *addr, const char *text,
		       struct ob_error *err);
	bool (*is_own_ip6)(struct ob_stack *s, const ip6_addr_t *addr);
	bool (*has_neighbour)(struct ob_stack *s, uint32_t hop);
	int (*send_frame)(struct ob_stack *s, const void *frame, size_t len);
	int (*ping)(struct stack_ping *ping, unsigned int timeout_ms);
	void (*stats)(const struct ob_stack *s, struct ob_stack_stats *stats);
	const struct stack_stream_ops *stream;
};

extern const struct stack_ops stack_lwip, stack_linux;
extern const struct stack_stream_ops lwip_stream, linux_stream;

/**
 * struct stack_frame - a received frame in lwIP's hands
 * @head: pbuf of the headers, which are copied: the device could change them after they were checked
 * @body: pbuf of the payload, in the arena
 * @users: of the two that are not free yet
 */
struct stack_frame {
	struct pbuf_custom head, body;
	struct ob_stack *stack;
	struct ob_pkt *pkt;
	unsigned int users;
	uint8_t headers[STACK_ALIGN + STACK_HEADERS];
};

/* The highest sequence number sent, by ports and peer: what is sent below it was sent before. */
struct stack_flow {
	uint64_t key;
	uint32_t end;
};

/**
 * struct ob_stack - a stack
 * @ip4: its address, netmask and gateway in network byte order, or zeroes
 */
struct ob_stack {
	const struct stack_ops *ops;
	struct ob_net *net;
	struct ob_loop *loop;
	bool link;
	struct {
		uint32_t address, netmask, gateway;
	} ip4;
	struct dhcp dhcp;

	/* the call that waits */
	bool (*done)(void *arg);
	void *done_arg;
	uint64_t deadline;
	bool waiting, is_done, expired, stopped;
	_Atomic bool cancelled;

	struct ob_stack_stats stats;

	/* The kernel's (linux.c): its sockets, and whether answers to DHCP clients come to us. */
	struct ob_stream *streams;
	bool diverting;

	/* lwIP's */
	struct netif netif;
	bool was_default;

	struct stack_frame *frames; /* one for each buffer of the device's pool */
	unsigned int held_least;    /* free buffers below which frames are copied */
	struct ob_pool *pool;	    /* for frames to send */
	struct ob_pkt *tx[STACK_PENDING];
	unsigned int tx_head, tx_count;
	struct stack_flow flow[STACK_FLOWS];

	uint8_t group[STACK_GROUPS][6];
	unsigned int group_users[STACK_GROUPS];
	unsigned int groups;
	bool promisc;

	int timer_fd;
	uint64_t timer_at; /* what it is set to; 0 for not at all */
};

/* ---- frames: frames.c ------------------------------------------------------------------- */

int stack_frames_open(struct ob_stack *s, struct ob_error *err);
void stack_frames_close(struct ob_stack *s);
/** stack_receive() - up to @budget frames from the device to lwIP; returns frames */
unsigned int stack_receive(struct ob_stack *s, unsigned int budget);
/** stack_push() - what waits, to the device; returns frames taken. Also takes back what was sent */
unsigned int stack_push(struct ob_stack *s);
/** stack_link_output() - lwIP's way to send a frame */
err_t stack_link_output(struct netif *netif, struct pbuf *p);
/** stack_send_bytes() - a frame of our own */
int stack_send_bytes(struct ob_stack *s, const void *frame, size_t len);

/* ---- waiting: stack.c --------------------------------------------------------------------- */

/** stack_wait_failed() - the words for what ob_stack_wait() returned; @what: what was waited for */
int stack_wait_failed(struct ob_stack *s, int ret, struct ob_error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/** stack_progress() - the deadline of the call that waits begins again */
void stack_progress(struct ob_stack *s, unsigned int timeout_ms);
const char *stack_name(const struct ob_stack *s);

/** stack_set_ip4() - an address in network byte order; zeroes for none */
int stack_set_ip4(struct ob_stack *s, uint32_t address, uint32_t netmask, uint32_t gateway);
/** stack_has_neighbour() - has whoever is to get frames for this address been found? */
bool stack_has_neighbour(struct ob_stack *s, const ip_addr_t *addr, char *hop, size_t size);

/* ---- echo requests: ping.c ------------------------------------------------------------------ */

int stack_ping_begin(struct stack_ping *p, uint16_t seq, size_t len, struct ob_error *err);
/** stack_ping_build() - the request, STACK_ECHO_HDR and its payload */
void stack_ping_build(struct stack_ping *p, uint8_t *echo);
bool stack_ping_is_answer(const struct stack_ping *p, const uint8_t *echo);
/** stack_ping_take() - the answer's payload */
void stack_ping_take(struct stack_ping *p, const uint8_t *payload, size_t len);
bool stack_ping_answered(void *arg);
int lwip_ping(struct stack_ping *p, unsigned int timeout_ms);

#endif
