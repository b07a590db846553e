/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An in-process TCP/IP stack (lwIP) on a network device: addresses, ping, and TCP streams without
 * an interface of the kernel. In liboutboard-stack, by `pkg-config outboard-stack`; explained in
 * docs/stack.md.
 *
 * lwIP has one state per process, so all stacks of a process belong to the thread that opened the
 * first, and all calls come from it, but for ob_stack_cancel(). Calls that wait run the loop
 * meanwhile; a callback must not make them.
 */
#ifndef OUTBOARD_STACK_H
#define OUTBOARD_STACK_H

#include <stddef.h>

#include <outboard/loop.h>
#include <outboard/net.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netif;	/* lwIP's: <lwip/netif.h> */
struct ip_addr; /* lwIP's ip_addr_t: <lwip/ip_addr.h> */
struct ob_stack;
struct ob_stream;

/* ---- the stack ---------------------------------------------------------------------- */

/**
 * ob_stack_open() - put lwIP onto a network device
 * @net: of a bound driver; started by this call
 * @loop: gets the stack's sources; outlives the stack
 *
 * The interface is up but has no IPv4 address yet; it gets IPv6 addresses of its own (link-local,
 * and by router advertisements).
 *
 * Return: 0; -EBUSY when another thread has a stack open; -ENOSPC when the arena has no room for
 * frames; what starting the device returned.
 */
int ob_stack_open(struct ob_net *net, struct ob_loop *loop, struct ob_stack **stack,
		  struct ob_error *err);

/**
 * ob_stack_open_kind() - put a stack of this name onto a network device
 * @kind: "lwip" (NULL: the same); or "linux", the kernel's own, which drivers "linux:NAME" bring with them. It has IPv4 only, and is
 *	used by the functions here alone: ob_stack_netif() is NULL
 *
 * All functions here do the same with either.
 *
 * Return: as ob_stack_open(); -EINVAL for another name; -EOPNOTSUPP when the driver brings none
 */
int ob_stack_open_kind(struct ob_net *net, struct ob_loop *loop, const char *kind,
		       struct ob_stack **stack, struct ob_error *err);

/**
 * ob_stack_close() - end all its connections (by a reset), stop the device, free everything
 *
 * Streams must be closed before, and pbufs that a program of lwIP's own calls kept must be freed.
 * NULL is allowed.
 */
void ob_stack_close(struct ob_stack *stack);

/** ob_stack_netif() - for lwIP's own calls (raw API, <lwip/tcp.h>), from the loop's thread */
struct netif *ob_stack_netif(struct ob_stack *stack);

/**
 * ob_stack_parse_address() - IPv4 or IPv6 as text, for lwIP's own calls
 *
 * lwIP must not be asked to talk to an address of its own interface: Debian's build ends the
 * process. This refuses them.
 *
 * Return: 0; -EINVAL; -EADDRNOTAVAIL for an address of one's own; -ENETUNREACH when no route leads
 * there
 */
int ob_stack_parse_address(struct ob_stack *stack, const char *text, struct ip_addr *addr,
			   struct ob_error *err);

/**
 * ob_stack_wait_link() - run the loop until the device has a link
 *
 * Return: 0, -ENOLINK after @timeout_ms, or as ob_stack_wait()
 */
int ob_stack_wait_link(struct ob_stack *stack, unsigned int timeout_ms, struct ob_error *err);

/**
 * ob_stack_set_address() - a fixed address
 * @address: IPv4 or IPv6 with a prefix length, "10.0.2.15/24"
 * @gateway: for IPv4, or NULL
 *
 * Waits for about two seconds with IPv6, to see whether somebody else has it.
 *
 * Return: 0; -EINVAL; -EADDRINUSE; or as ob_stack_wait()
 */
int ob_stack_set_address(struct ob_stack *stack, const char *address, const char *gateway,
			 struct ob_error *err);

/**
 * struct ob_stack_lease - what a DHCP server gave; addresses in network byte order, 0 where it gave
 * none
 * @seconds: how long it lasts, from its start; it is renewed as long as the loop runs
 */
struct ob_stack_lease {
	uint32_t address, netmask, gateway, server, dns;
	uint32_t seconds;
};

/**
 * ob_stack_dhcp() - get an address by DHCP (RFC 2131), and keep it
 * @lease: filled, may be NULL
 *
 * Return: 0; -ETIMEDOUT when no server answered within @timeout_ms; or as ob_stack_wait()
 */
int ob_stack_dhcp(struct ob_stack *stack, unsigned int timeout_ms, struct ob_stack_lease *lease,
		  struct ob_error *err);

/**
 * ob_stack_wait() - run the loop until something is so
 * @done: asked after every burst; NULL to wait for the time alone
 * @timeout_ms: 0 for ever. Kept with the loop's ticks: up to 100 ms late
 *
 * Return: 0; -ETIMEDOUT; -ENODEV when the device has vanished; -ECANCELED after ob_stack_cancel();
 * -EINTR when somebody else stopped the loop.
 */
int ob_stack_wait(struct ob_stack *stack, bool (*done)(void *arg), void *arg,
		  unsigned int timeout_ms);

/**
 * ob_stack_cancel() - let the call that waits, and all later ones, return -ECANCELED
 *
 * From any thread or signal handler.
 */
void ob_stack_cancel(struct ob_stack *stack);

/**
 * struct ob_stack_stats - what a stack did
 * @rx_copied: received frames that were copied whole; of others only the headers are
 * @rx_refused: frames that lwIP must not see: they claim to come from this interface itself
 * @rx_held: received frames that are in lwIP's or the program's hands now
 * @tx_full: frames that were dropped because ring and pool were full
 * @tcp_segments: sent with payload; @tcp_retransmitted: of these, sent before
 */
struct ob_stack_stats {
	uint64_t rx_frames, rx_bytes, rx_copied, rx_refused, rx_held;
	uint64_t tx_frames, tx_bytes, tx_full;
	uint64_t tcp_segments, tcp_retransmitted;
};

void ob_stack_stats(const struct ob_stack *stack, struct ob_stack_stats *stats);

/**
 * ob_stack_ping() - one ICMP echo request
 * @address: IPv4 or IPv6, as text
 * @seq: its number
 * @len: bytes of payload, which the answer must repeat
 * @ns: time to the answer
 *
 * Return: 0; -ETIMEDOUT; -EHOSTUNREACH when nobody has the address; or as ob_stack_wait()
 */
int ob_stack_ping(struct ob_stack *stack, const char *address, uint16_t seq, size_t len,
		  unsigned int timeout_ms, uint64_t *ns, struct ob_error *err);

/* ---- TCP, one call after another ---------------------------------------------------- */

/**
 * ob_stream_connect() - a TCP connection
 * @address: IPv4 or IPv6, as text; lwIP's package has no resolver
 * @timeout_ms: for the connection, and after it longest time without progress of each call; not 0
 *
 * Return: 0; -ECONNREFUSED; -EHOSTUNREACH when nobody has the address; -ENETUNREACH without a
 * route; -EADDRNOTAVAIL for an address of one's own; -ETIMEDOUT; or as ob_stack_wait()
 */
int ob_stream_connect(struct ob_stack *stack, const char *address, uint16_t port,
		      unsigned int timeout_ms, struct ob_stream **stream, struct ob_error *err);

/**
 * ob_stream_accept() - wait for one connection to a port, on this interface only
 * @wait_ms: for it to come; 0 for ever. @timeout_ms as above
 */
int ob_stream_accept(struct ob_stack *stack, uint16_t port, unsigned int wait_ms,
		     unsigned int timeout_ms, struct ob_stream **stream, struct ob_error *err);

/**
 * ob_stream_write() - send all of @buf
 *
 * Returns when lwIP has copied it, of which at most 64 KiB have not been acknowledged.
 *
 * Return: 0; -ECONNRESET; -EPIPE after ob_stream_end(); -ETIMEDOUT without progress; or as
 * ob_stack_wait()
 */
int ob_stream_write(struct ob_stream *stream, const void *buf, size_t len, struct ob_error *err);

/**
 * ob_stream_read() - up to @len bytes, at least one
 *
 * Return: bytes; 0 when the peer has ended; -ECONNRESET; -ETIMEDOUT without progress; or as
 * ob_stack_wait()
 */
long ob_stream_read(struct ob_stream *stream, void *buf, size_t len, struct ob_error *err);

/**
 * ob_stream_receive() - hand everything up to the peer's end to a function, without a copy
 * @sink: gets payload where the device put it, valid during the call; makes no waiting call of these. Returning
 *	anything but 0 ends the reception
 *
 * Return: 0 when the peer has ended, what @sink returned, or as ob_stream_read()
 */
int ob_stream_receive(struct ob_stream *stream,
		      int (*sink)(void *arg, const void *data, size_t len), void *arg,
		      struct ob_error *err);

/** ob_stream_end() - no more will be sent: the peer reads an end. Waits until all of it is acknowledged */
int ob_stream_end(struct ob_stream *stream, struct ob_error *err);

/**
 * ob_stream_close() - free it; NULL is allowed
 *
 * What has not been acknowledged may be lost; ob_stream_end() before it when that matters. Without it, and before the peer's end, the connection
 * is broken off (reset), so that the peer does not take what it has for all.
 */
void ob_stream_close(struct ob_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
