/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the stack share. */
#ifndef STACK_STACK_PRIVATE_H
#define STACK_STACK_PRIVATE_H

#include <stdatomic.h>

#include <lwip/netif.h>
#include <lwip/pbuf.h>

#include <outboard/device.h>
#include <outboard/stack.h>

#include "stack/dhcp.h"

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
};

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

struct ob_stack {
	struct ob_net *net;
	struct ob_loop *loop;
	struct netif netif;
	bool link, started, was_default;

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

	struct dhcp dhcp;

	/* the call that waits */
	bool (*done)(void *arg);
	void *done_arg;
	uint64_t deadline;
	bool waiting, is_done, expired, stopped;
	_Atomic bool cancelled;

	struct ob_stack_stats stats;
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

/** stack_has_neighbour() - has whoever is to get frames for this address been found? */
bool stack_has_neighbour(struct ob_stack *s, const ip_addr_t *addr, char *hop, size_t size);

#endif
