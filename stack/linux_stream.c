/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP connections of the kernel's stack: sockets that never wait, served when their bits say that something has changed. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stack/linux.h"

static void look_at(const struct ob_stream *st, struct ob_ip_info *info)
{
	st->stack->net->ops->ip->info(st->stack->net, st->socket, info);
}

static void join(struct ob_stream *st, struct ob_ip_socket *socket)
{
	st->socket = socket;
	socket->arg = st;
	st->alive = true;
	st->next = st->stack->streams;
	st->stack->streams = st;
}

/* ---- what happens to it ----------------------------------------------------------------- */

/* What the kernel says ended it; a reset before there was a connection is a refusal by itself. */
static void end_by(struct ob_stream *st, long error)
{
	st->alive = false;
	/* The kernel's own patience, which a program's time-out as a rule is shorter than. */
	st->error = error == -ETIMEDOUT	 ? -ECONNABORTED
		    : error == -ENOTCONN ? -ECONNRESET
					 : (int)error;
}

static void feed(struct ob_stream *st)
{
	struct ob_ip_request r = {.op = OB_IP_SEND, .socket = st->socket};
	long n;

	if (!st->connected)
		return;
	while (st->out_len) {
		/* As much as fits a read's answer, so that one call has an end. */
		r.buf = (void *)st->out;
		r.len = st->out_len < 1u << 30 ? (unsigned int)st->out_len : 1u << 30;
		n = linux_ask(st->stack, &r);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			end_by(st, n == -EPIPE ? -ECONNRESET : n);
			return;
		}
		st->out += n;
		st->out_len -= (size_t)n;
		stack_progress(st->stack, st->timeout_ms);
	}
}

/* To the sink, where it lies; until there is no more. */
static void drain(struct ob_stream *st)
{
	struct ob_ip_pieces pieces;
	struct ob_ip_request r = {.op = OB_IP_TAKE, .socket = st->socket, .pieces = &pieces};
	long n;

	pieces.n = pieces.cookies = 0;
	st->unread = false;
	while (st->alive && !st->peer_ended && !st->sink_ret) {
		n = linux_ask(st->stack, &r);
		if (n == -EAGAIN)
			break;
		if (n == 0)
			st->peer_ended = true;
		else if (n < 0)
			end_by(st, n);
		if (n <= 0)
			break;
		stack_progress(st->stack, st->timeout_ms);
		for (unsigned int i = 0; i < pieces.n && !st->sink_ret; i++)
			st->sink_ret =
				st->sink(st->sink_arg, pieces.piece[i].data, pieces.piece[i].len);
	}
	r.op = OB_IP_GIVE_BACK;
	if (pieces.cookies)
		linux_ask(st->stack, &r);
}

static bool is_flushed(struct ob_stream *st)
{
	struct ob_ip_info info;

	if (!st->ended || st->flushed || !st->alive)
		return st->flushed;
	look_at(st, &info);
	/* It is in TIME-WAIT without a socket; unless by an error, of which linux_streams_poll() knows. */
	st->flushed = info.state == OB_IP_FIN_WAIT2 || info.state == OB_IP_TIME_WAIT ||
		      (info.state == OB_IP_CLOSE && !st->error);
	return st->flushed;
}

static void follow_state(struct ob_stream *st)
{
	struct ob_ip_request r = {.op = OB_IP_ERROR, .socket = st->socket};
	struct ob_ip_info info;
	long error;

	look_at(st, &info);
	if (!st->connected && (info.state == OB_IP_ESTABLISHED || info.state == OB_IP_CLOSE_WAIT))
		st->connected = true;
	if (info.state != OB_IP_CLOSE) {
		is_flushed(st);
		return;
	}
	/* What has been received is still there to be read, and says itself how it ended. */
	if (st->connected && info.unread)
		return;
	error = linux_ask(st->stack, &r);
	if (error)
		end_by(st, error);
	else if (st->ended)
		is_flushed(st);
	else
		end_by(st, -ECONNRESET);
}

static void serve(struct ob_stream *st)
{
	unsigned int ready = st->socket->ready;

	if (!ready || !st->alive)
		return;
	st->socket->ready = 0;
	if (ready & OB_IP_READABLE)
		st->unread = true;
	if (st->connected && st->sink)
		drain(st);
	if (st->alive && ready & OB_IP_CHANGED)
		follow_state(st);
	if (st->alive && st->out_len)
		feed(st);
}

void linux_streams_poll(struct ob_stack *s)
{
	for (struct ob_stream *st = s->streams; st; st = st->next)
		serve(st);
}

void linux_streams_tick(struct ob_stack *s)
{
	struct ob_ip_info info;

	/* Acknowledgements of what the kernel has taken already are nobody's event. */
	for (struct ob_stream *st = s->streams; st; st = st->next) {
		if (!st->alive || !(st->ended || st->out_len))
			continue;
		look_at(st, &info);
		if (info.acked != st->acked)
			stack_progress(s, st->timeout_ms);
		st->acked = info.acked;
	}
}

static void count(const struct ob_stream *st, struct ob_stack_stats *stats)
{
	struct ob_ip_info info;

	look_at(st, &info);
	stats->tcp_segments += info.segments;
	stats->tcp_retransmitted += info.retransmitted;
}

void linux_streams_count(const struct ob_stack *s, struct ob_stack_stats *stats)
{
	for (const struct ob_stream *st = s->streams; st; st = st->next)
		count(st, stats);
}

/* ---- connect and accept -------------------------------------------------------------------- */

static int begin(struct ob_stream *st, const ip_addr_t *addr, uint16_t port, struct ob_error *err)
{
	struct ob_ip_request r = {
		.op = OB_IP_CONNECT, .address = ip_2_ip4(addr)->addr, .port = port};
	long ret = linux_socket(st->stack, OB_IP_TCP, st, &r.socket);

	if (ret)
		return ob_error_set(err, (int)ret, "no memory for a connection");
	ret = linux_ask(st->stack, &r);
	if (ret && ret != -EINPROGRESS) {
		linux_release(st->stack, r.socket, false);
		return ob_error_set(err, (int)ret, "%s: %s", st->peer, strerror((int)-ret));
	}
	join(st, r.socket);
	return 0;
}

struct listener {
	struct ob_stream *st;
	struct ob_ip_socket *socket;
	long ret;
};

static bool is_accepted(void *arg)
{
	struct listener *l = arg;
	struct ob_ip_request r = {.op = OB_IP_ACCEPT, .socket = l->socket};

	if (!l->socket->ready || l->ret != -EAGAIN)
		return l->ret != -EAGAIN;
	l->socket->ready = 0;
	l->ret = linux_ask(l->st->stack, &r);
	if (!l->ret)
		join(l->st, r.accepted);
	return l->ret != -EAGAIN;
}

static void name_peer(struct ob_stream *st)
{
	struct ob_ip_info info;
	char text[INET_ADDRSTRLEN];

	look_at(st, &info);
	snprintf(st->peer, sizeof(st->peer), "%s:%u",
		 inet_ntop(AF_INET, &info.peer, text, sizeof(text)), info.peer_port);
}

static int wait_for_one(struct ob_stream *st, uint16_t port, unsigned int wait_ms,
			struct ob_error *err)
{
	struct ob_ip_request r = {.op = OB_IP_BIND, .port = port};
	struct listener l = {.st = st, .ret = -EAGAIN};
	long ret = linux_socket(st->stack, OB_IP_TCP, NULL, &l.socket);

	if (ret)
		return ob_error_set(err, (int)ret, "no memory for a listener");
	r.socket = l.socket;
	ret = linux_ask(st->stack, &r);
	if (!ret) {
		r.op = OB_IP_AWAIT;
		ret = linux_ask(st->stack, &r);
	}
	if (ret) {
		ob_error_set(err, (int)ret, "TCP port %u cannot be listened on: %s", port,
			     strerror((int)-ret));
		goto release;
	}
	ret = ob_stack_wait(st->stack, is_accepted, &l, wait_ms);
	if (!ret && l.ret)
		ret = ob_error_set(err, (int)l.ret, "a connection to port %u cannot be taken: %s",
				   port, strerror((int)-l.ret));
release:
	linux_release(st->stack, l.socket, false);
	if (ret)
		return (int)ret;
	st->connected = true;
	name_peer(st);
	return 0;
}

/* ---- payload --------------------------------------------------------------------------------- */

static bool is_readable(struct ob_stream *st)
{
	return st->unread;
}

static size_t take(struct ob_stream *st, void *buf, size_t len)
{
	struct ob_ip_request r = {.op = OB_IP_RECEIVE, .socket = st->socket, .buf = buf};
	long n;

	if (!st->alive || st->peer_ended)
		return 0;
	r.len = len < 1u << 30 ? (unsigned int)len : 1u << 30;
	n = linux_ask(st->stack, &r);
	if (n > 0)
		return (size_t)n;
	st->unread = false;
	if (n == 0)
		st->peer_ended = true;
	else if (n != -EAGAIN)
		end_by(st, n);
	return 0;
}

static int end_sending(struct ob_stream *st)
{
	struct ob_ip_request r = {.op = OB_IP_SHUTDOWN, .socket = st->socket};

	return (int)linux_ask(st->stack, &r);
}

static void release(struct ob_stream *st)
{
	struct ob_stream **link = &st->stack->streams;

	if (!st->socket)
		return;
	while (*link != st)
		link = &(*link)->next;
	*link = st->next;
	count(st, &st->stack->stats);
	linux_release(st->stack, st->socket, stack_breaks_off(st));
}

const struct stack_stream_ops linux_stream = {
	.connect = begin,
	.accept = wait_for_one,
	.feed = feed,
	.drain = drain,
	.read = take,
	.readable = is_readable,
	.is_flushed = is_flushed,
	.shutdown = end_sending,
	.release = release,
};
