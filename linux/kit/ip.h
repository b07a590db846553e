/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own TCP/IP (IPv4) on a network device of the object's, for a program in the same process (stack/linux.c). Read by both sides of the boundary,
 * so it includes no header of either; see linux/kit/kit.h. No operation waits for the network: what cannot be done now is -EAGAIN, and the socket says when
 * to ask again.
 */
#ifndef OUTBOARD_LINUX_IP_H
#define OUTBOARD_LINUX_IP_H

enum {
	/* Pieces of payload that one operation gives. */
	OB_IP_PIECES = 64,
	/* Longest frame of OB_IP_SEND_FRAME, and of those that are diverted. */
	OB_IP_FRAME_MAX = 1514,
};

enum ob_ip_kind {
	OB_IP_TCP,
	OB_IP_UDP,
	OB_IP_ICMP, /* raw: what is received begins with the IP header */
};

/* Something of a socket has changed since the program last set its bits to zero. */
enum {
	OB_IP_READABLE = 1 << 0, /* something came, or the peer has ended */
	OB_IP_WRITABLE = 1 << 1, /* there is room, after there was none */
	OB_IP_CHANGED = 1 << 2,	 /* its state, or an error */
};

/* States of a connection, as in include/net/tcp_states.h. */
enum ob_ip_state {
	OB_IP_ESTABLISHED = 1,
	OB_IP_SYN_SENT,
	OB_IP_SYN_RECV,
	OB_IP_FIN_WAIT1,
	OB_IP_FIN_WAIT2,
	OB_IP_TIME_WAIT,
	OB_IP_CLOSE,
	OB_IP_CLOSE_WAIT,
	OB_IP_LAST_ACK,
	OB_IP_LISTEN,
	OB_IP_CLOSING,
};

/**
 * struct ob_ip_socket - a socket; made and freed by the kernel side
 * @ready: OB_IP_READABLE and others, set by the kernel, and to zero by the program
 * @arg: the program's
 */
struct ob_ip_socket {
	unsigned int ready;
	void *arg;
};

/* Payload where it lies: valid until the next OB_IP_TAKE with the same struct, or OB_IP_GIVE_BACK. @cookie is the kernel's. */
struct ob_ip_pieces {
	struct ob_kit_piece piece[OB_IP_PIECES];
	void *cookie[OB_IP_PIECES];
	unsigned int n, cookies;
};

/**
 * enum ob_ip_op - what struct ob_ip_request asks for
 * @OB_IP_ENTER: the interface is up, and the kernel's own protocols have it. OB_IP_LEAVE: all connections end, by a reset; the interface is down
 * @OB_IP_SET_ADDRESS: @address, @netmask and @gateway in place of those before; zeroes for none
 * @OB_IP_NEIGHBOUR: has who has @address been found (ARP)? 1 or 0
 * @OB_IP_SEND_FRAME: @buf is a whole frame
 * @OB_IP_DIVERT: from now on answers to DHCP clients are kept for diverted(), one at a time (@on), or are the kernel's like all else
 * @OB_IP_SOCKET: one of @kind, on this interface only; answers in @socket. OB_IP_RELEASE: and it is no more; with @on by a reset
 * @OB_IP_BIND: to the local @port. OB_IP_AWAIT: connections. OB_IP_ACCEPT: one of these in @accepted, or -EAGAIN
 * @OB_IP_CONNECT: to @address and @port; of TCP it has only begun
 * @OB_IP_SHUTDOWN: no more will be sent
 * @OB_IP_SEND: as much of @buf as there is room for; where @address is not zero, to that
 * @OB_IP_RECEIVE: up to @len bytes, or a datagram, into @buf, from @address and @port. OB_IP_TAKE: of TCP payload in @pieces without a copy.
 *	Both: bytes, 0 when the peer has ended, -EAGAIN
 * @OB_IP_GIVE_BACK: @pieces are not looked at any more
 * @OB_IP_ERROR: what ended the socket, a negative errno value; 0 for nothing
 */
enum ob_ip_op {
	OB_IP_ENTER,
	OB_IP_LEAVE,
	OB_IP_SET_ADDRESS,
	OB_IP_NEIGHBOUR,
	OB_IP_SEND_FRAME,
	OB_IP_DIVERT,
	OB_IP_SOCKET,
	OB_IP_RELEASE,
	OB_IP_BIND,
	OB_IP_AWAIT,
	OB_IP_ACCEPT,
	OB_IP_CONNECT,
	OB_IP_SHUTDOWN,
	OB_IP_SEND,
	OB_IP_RECEIVE,
	OB_IP_TAKE,
	OB_IP_GIVE_BACK,
	OB_IP_ERROR,
};

/* One operation; addresses are in network byte order, ports in the machine's. */
struct ob_ip_request {
	enum ob_ip_op op;
	enum ob_ip_kind kind;
	struct ob_ip_socket *socket, *accepted;
	unsigned int address, netmask, gateway;
	unsigned short port;
	int on;
	void *buf;
	unsigned int len;
	struct ob_ip_pieces *pieces;
};

/**
 * struct ob_ip_info - a socket, as ss(8) shows it
 * @unread: bytes received, and not by the program
 * @unacked: bytes of the program's that the peer has not acknowledged
 * @acked: bytes that it has
 * @segments: sent with payload; @retransmitted: of these, sent again
 */
struct ob_ip_info {
	enum ob_ip_kind kind;
	enum ob_ip_state state;
	unsigned int local, peer;
	unsigned short local_port, peer_port;
	unsigned int unread, unacked;
	unsigned int rtt_us, cwnd, mss;
	unsigned long long acked, received, segments, retransmitted;
};

/**
 * struct ob_kernel_ip - the kernel's side. @ask is called inside of call(); the others only look, and may be called while the kernel is idle
 */
struct ob_kernel_ip {
	/** @ask: what the operation gives, or a negative errno value */
	long (*ask)(void *net, struct ob_ip_request *r);
	void (*info)(const struct ob_ip_socket *s, struct ob_ip_info *info);
	/** @diverted: the frame that was kept, at most @size bytes; 0 when there is none */
	unsigned int (*diverted)(void *net, void *frame, unsigned int size);
	/** @changes: how often any socket's bits were set, or a frame was kept */
	unsigned long (*changes)(void);
};

/* ---- for the program --------------------------------------------------------------------- */

struct ob_error;
struct ob_net;

/**
 * struct ob_ip_driver - the TCP/IP that a driver brings with it (ob_net_ops.ip). All from the thread that runs the device
 */
struct ob_ip_driver {
	/** @open: instead of ob_net_start(); then there are no bursts. @close: instead of ob_net_stop() */
	int (*open)(struct ob_net *net, struct ob_error *err);
	void (*close)(struct ob_net *net);
	/** @ask, @info, @diverted: as of struct ob_kernel_ip */
	long (*ask)(struct ob_net *net, struct ob_ip_request *r);
	void (*info)(struct ob_net *net, const struct ob_ip_socket *s, struct ob_ip_info *info);
	unsigned int (*diverted)(struct ob_net *net, void *frame, unsigned int size);
	/** @poll: let the kernel do what there is to do. Return: whether it was of any interest to a socket */
	int (*poll)(struct ob_net *net);
	/** @arm: before a sleep on irq_fd[0]. Return: there is something to do already */
	int (*arm)(struct ob_net *net);
};

#endif
