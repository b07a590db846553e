/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own TCP/IP as a stack, of a driver that brings its kernel with it (linux/kit/ip.h). The device is the kernel's alone: frames never come here. What
 * is asked of it ends at once; what has happened to a socket is looked for after each time that the kernel ran.
 */
#include <errno.h>
#include <string.h>

#include "stack/linux.h"

long linux_ask(struct ob_stack *s, struct ob_ip_request *r)
{
	return s->net->ops->ip->ask(s->net, r);
}

long linux_socket(struct ob_stack *s, enum ob_ip_kind kind, void *arg, struct ob_ip_socket **to)
{
	struct ob_ip_request r = {.op = OB_IP_SOCKET, .kind = kind};
	long ret = linux_ask(s, &r);

	if (ret)
		return ret;
	*to = r.socket;
	r.socket->arg = arg;
	return 0;
}

void linux_release(struct ob_stack *s, struct ob_ip_socket *socket, bool reset)
{
	struct ob_ip_request r = {.op = OB_IP_RELEASE, .socket = socket, .on = reset};

	linux_ask(s, &r);
}

/* ---- DHCP: frames of ours beside the kernel's ---------------------------------------------- */

static void divert(struct ob_stack *s, bool on)
{
	struct ob_ip_request r = {.op = OB_IP_DIVERT, .on = on};

	if (s->diverting != on && !linux_ask(s, &r))
		s->diverting = on;
}

static int send_frame(struct ob_stack *s, const void *frame, size_t len)
{
	struct ob_ip_request r = {
		.op = OB_IP_SEND_FRAME, .buf = (void *)frame, .len = (unsigned int)len};

	/* Whoever asks waits for an answer. */
	divert(s, true);
	return (int)linux_ask(s, &r);
}

static void take_diverted(struct ob_stack *s)
{
	uint8_t frame[OB_IP_FRAME_MAX];
	unsigned int len = s->net->ops->ip->diverted(s->net, frame, sizeof(frame));

	if (len)
		dhcp_input(s, frame, len);
}

static void tick(struct ob_stack *s)
{
	/* As long as no question is open, no frame is looked at. */
	if (s->diverting && (s->dhcp.state == DHCP_OFF || s->dhcp.state == DHCP_BOUND))
		divert(s, false);
	linux_streams_tick(s);
}

/* ---- the loop's source --------------------------------------------------------------------- */

static unsigned int poll_linux(struct ob_stack *s, unsigned int budget)
{
	if (!s->net->ops->ip->poll(s->net))
		return 0;
	if (s->diverting)
		take_diverted(s);
	linux_streams_poll(s);
	return 1;
}

static bool arm(struct ob_stack *s, bool on)
{
	return on && s->net->ops->ip->arm(s->net);
}

static void push(struct ob_stack *s)
{
	/* What a call began the kernel has sent. */
}

/* ---- addresses ------------------------------------------------------------------------------ */

static int set_ip4(struct ob_stack *s)
{
	struct ob_ip_request r = {
		.op = OB_IP_SET_ADDRESS,
		.address = s->ip4.address,
		.netmask = s->ip4.netmask,
		.gateway = s->ip4.gateway,
	};

	return (int)linux_ask(s, &r);
}

static bool has_neighbour(struct ob_stack *s, uint32_t hop)
{
	struct ob_ip_request r = {.op = OB_IP_NEIGHBOUR, .address = hop};

	return linux_ask(s, &r) > 0;
}

/* ---- echo requests ---------------------------------------------------------------------------- */

/* A raw socket's receive buffer: an IP header with options, and what stack_ping_build() made. */
enum {
	IP_HDR_MAX = 60,
	ECHO_MAX = IP_HDR_MAX + STACK_ECHO_HDR + STACK_PING_MAX,
};

struct echo {
	struct stack_ping *ping;
	struct ob_ip_socket *socket;
	int error;
	uint8_t buf[ECHO_MAX];
};

static bool is_echoed(void *arg)
{
	struct echo *e = arg;
	struct ob_stack *s = e->ping->stack;
	struct ob_ip_request r = {
		.op = OB_IP_RECEIVE, .socket = e->socket, .buf = e->buf, .len = sizeof(e->buf)};
	long len, skip;

	if (!e->socket->ready)
		return e->ping->answered || e->error;
	e->socket->ready = 0;
	while (!e->ping->answered && (len = linux_ask(s, &r)) != -EAGAIN) {
		if (len < 0) {
			e->error = (int)len;
			break;
		}
		skip = (e->buf[0] & 0xf) * 4;
		if (len >= skip + STACK_ECHO_HDR && stack_ping_is_answer(e->ping, e->buf + skip))
			stack_ping_take(e->ping, e->buf + skip + STACK_ECHO_HDR,
					(size_t)(len - skip - STACK_ECHO_HDR));
	}
	return e->ping->answered || e->error;
}

static int ping(struct stack_ping *p, unsigned int timeout_ms)
{
	struct ob_stack *s = p->stack;
	struct echo e = {.ping = p};
	struct ob_ip_request r = {.address = ip_2_ip4(&p->to)->addr};
	long ret = linux_socket(s, OB_IP_ICMP, NULL, &e.socket);

	if (ret)
		return (int)ret;
	/* From others nothing comes, and errors do. */
	r.op = OB_IP_CONNECT;
	r.socket = e.socket;
	ret = linux_ask(s, &r);
	if (!ret) {
		stack_ping_build(p, e.buf);
		r = (struct ob_ip_request){
			.op = OB_IP_SEND,
			.socket = e.socket,
			.buf = e.buf,
			.len = (unsigned int)(STACK_ECHO_HDR + p->len),
		};
		ret = linux_ask(s, &r);
		ret = ret < 0 ? ret : ob_stack_wait(s, is_echoed, &e, timeout_ms);
	}
	linux_release(s, e.socket, false);
	return ret ? (int)ret : e.error;
}

/* ---- open and close --------------------------------------------------------------------------- */

static int open_linux(struct ob_stack *s, struct ob_error *err)
{
	if (s->net->ops->ip)
		return s->net->ops->ip->open(s->net, err);
	ob_error_set(err, -EOPNOTSUPP, "%s: the driver %s has no TCP/IP of the kernel's",
		     stack_name(s), s->net->driver);
	ob_error_why(err, "the stack 'linux' comes with the kernel in a driver linux:NAME");
	ob_error_fix(err, "use the stack lwip, or a driver like linux:e1000e");
	return -EOPNOTSUPP;
}

static void close_linux(struct ob_stack *s)
{
	s->net->ops->ip->close(s->net);
}

static void stats(const struct ob_stack *s, struct ob_stack_stats *stats)
{
	struct ob_net_stats t = {0};

	s->net->ops->stats(s->net, &t);
	stats->rx_frames = t.rx_packets;
	stats->rx_bytes = t.rx_bytes;
	stats->tx_frames = t.tx_packets;
	stats->tx_bytes = t.tx_bytes;
	stats->tx_full = t.tx_dropped;
	linux_streams_count(s, stats);
}

const struct stack_ops stack_linux = {
	.name = "Linux",
	.level = true,
	.open = open_linux,
	.close = close_linux,
	.poll = poll_linux,
	.arm = arm,
	.push = push,
	.tick = tick,
	.set_ip4 = set_ip4,
	.has_neighbour = has_neighbour,
	.send_frame = send_frame,
	.ping = ping,
	.stats = stats,
	.stream = &linux_stream,
};
