/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP connections for programs that do one thing after another, on what either stack has (lwip_stream.c, linux_stream.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stack/stack_private.h"

static const struct stack_stream_ops *ops_of(const struct ob_stream *st)
{
	return st->stack->ops->stream;
}

/* ---- errors ------------------------------------------------------------------------------ */

/* What ended the stream, or the wait (@ret). */
static int failed(struct ob_stream *st, int ret, const char *what, struct ob_error *err)
{
	if (ret == -ETIMEDOUT)
		return stack_wait_failed(st->stack, ret, err,
					 "%s: nothing was %s for %u s: the connection is dead",
					 st->peer, what, st->timeout_ms / 1000);
	if (ret)
		return stack_wait_failed(st->stack, ret, err, "connection with %s", st->peer);
	if (st->error == -ECONNRESET)
		return ob_error_set(err, st->error, "%s ended the connection (reset)", st->peer);
	return ob_error_set(err, st->error, "the connection with %s is dead: %s", st->peer,
			    strerror(-st->error));
}

static int connect_failed(struct ob_stream *st, int ret, const ip_addr_t *addr,
			  struct ob_error *err)
{
	char hop[48];

	if (!ret && st->error == -ECONNREFUSED) {
		ob_error_set(err, st->error, "%s refused the connection", st->peer);
		ob_error_fix(err, "does a server listen on that port?");
		return st->error;
	}
	if (!ret)
		ret = st->error == -ECONNABORTED ? -ETIMEDOUT : st->error;
	if (ret != -ETIMEDOUT && ret != -EHOSTUNREACH)
		return stack_wait_failed(st->stack, ret, err, "connecting to %s", st->peer);
	if (stack_has_neighbour(st->stack, addr, hop, sizeof(hop)))
		return stack_wait_failed(st->stack, ret, err,
					 ret == -ETIMEDOUT ? "%s did not answer for %u s"
							   : "%s cannot be reached, a router says",
					 st->peer, st->timeout_ms / 1000);
	stack_wait_failed(st->stack, -EHOSTUNREACH, err, "%s cannot be reached", st->peer);
	if (err && !*err->why)
		ob_error_why(err, "nobody on this network answers to %s (ARP)", hop);
	return -EHOSTUNREACH;
}

/* ---- connect and accept -------------------------------------------------------------------- */

static struct ob_stream *make_stream(struct ob_stack *s, unsigned int timeout_ms,
				     struct ob_error *err)
{
	struct ob_stream *st = calloc(1, sizeof(*st));

	if (!st) {
		ob_error_set(err, -ENOMEM, "no memory for a connection");
		return NULL;
	}
	st->stack = s;
	st->timeout_ms = timeout_ms ? timeout_ms : 1;
	return st;
}

static bool is_connected(void *arg)
{
	const struct ob_stream *st = arg;

	return st->connected || !st->alive;
}

int ob_stream_connect(struct ob_stack *s, const char *address, uint16_t port,
		      unsigned int timeout_ms, struct ob_stream **stream, struct ob_error *err)
{
	struct ob_stream *st;
	ip_addr_t addr;
	int ret;

	ret = ob_stack_parse_address(s, address, &addr, err);
	if (ret)
		return ret;
	if (!port)
		return ob_error_set(err, -EINVAL, "there is no TCP port 0");
	st = make_stream(s, timeout_ms, err);
	if (!st)
		return -ENOMEM;
	snprintf(st->peer, sizeof(st->peer), IP_IS_V6(&addr) ? "[%s]:%u" : "%s:%u",
		 ipaddr_ntoa(&addr), port);
	ret = ops_of(st)->connect(st, &addr, port, err);
	if (ret) {
		free(st);
		return ret;
	}
	ret = ob_stack_wait(s, is_connected, st, timeout_ms);
	if (ret || !st->connected) {
		ret = connect_failed(st, ret, &addr, err);
		ob_stream_close(st);
		return ret;
	}
	*stream = st;
	return 0;
}

int ob_stream_accept(struct ob_stack *s, uint16_t port, unsigned int wait_ms,
		     unsigned int timeout_ms, struct ob_stream **stream, struct ob_error *err)
{
	struct ob_stream *st = make_stream(s, timeout_ms, err);
	struct ob_error why = {0};
	int ret;

	if (!st)
		return -ENOMEM;
	ret = ops_of(st)->accept(st, port, wait_ms, &why);
	if (!ret) {
		*stream = st;
		return 0;
	}
	if (why.code) {
		if (err)
			*err = why;
	} else {
		stack_wait_failed(s, ret, err, "nobody connected to port %u", port);
	}
	ob_stream_close(st);
	return ret;
}

/* ---- payload ------------------------------------------------------------------------------ */

static bool is_written(void *arg)
{
	const struct ob_stream *st = arg;

	return !st->out_len || !st->alive;
}

int ob_stream_write(struct ob_stream *st, const void *buf, size_t len, struct ob_error *err)
{
	int ret;

	if (st->ended)
		return ob_error_set(err, -EPIPE, "%s: writing after the end", st->peer);
	if (!st->alive)
		return failed(st, 0, "sent", err);
	st->out = buf;
	st->out_len = len;
	ops_of(st)->feed(st);
	ret = is_written(st) ? 0 : ob_stack_wait(st->stack, is_written, st, st->timeout_ms);
	if (ret || st->out_len)
		ret = failed(st, ret, "acknowledged", err);
	/* The caller's memory is not ours any longer. */
	st->out_len = 0;
	return ret;
}

static bool is_readable(void *arg)
{
	struct ob_stream *st = arg;

	return ops_of(st)->readable(st) || st->peer_ended || !st->alive;
}

long ob_stream_read(struct ob_stream *st, void *buf, size_t len, struct ob_error *err)
{
	size_t n;
	int ret;

	do {
		ret = is_readable(st) ? 0
				      : ob_stack_wait(st->stack, is_readable, st, st->timeout_ms);
		if (ret)
			return failed(st, ret, "received", err);
		n = ops_of(st)->read(st, buf, len);
	} while (!n && st->alive && !st->peer_ended);
	if (n)
		return (long)n;
	return st->peer_ended ? 0 : failed(st, 0, "received", err);
}

static bool is_received(void *arg)
{
	const struct ob_stream *st = arg;

	return st->peer_ended || st->sink_ret || !st->alive;
}

int ob_stream_receive(struct ob_stream *st, int (*sink)(void *arg, const void *data, size_t len),
		      void *arg, struct ob_error *err)
{
	int ret;

	st->sink = sink;
	st->sink_arg = arg;
	st->sink_ret = 0;
	ops_of(st)->drain(st);
	ret = is_received(st) ? 0 : ob_stack_wait(st->stack, is_received, st, st->timeout_ms);
	st->sink = NULL;
	if (ret)
		return failed(st, ret, "received", err);
	if (st->sink_ret)
		return st->sink_ret;
	return st->peer_ended ? 0 : failed(st, 0, "received", err);
}

static bool is_flushed(void *arg)
{
	struct ob_stream *st = arg;

	return ops_of(st)->is_flushed(st) || !st->alive;
}

int ob_stream_end(struct ob_stream *st, struct ob_error *err)
{
	int ret;

	if (st->flushed)
		return 0;
	if (!st->alive)
		return failed(st, 0, "acknowledged", err);
	if (!st->ended && ops_of(st)->shutdown(st))
		return ob_error_set(err, -ENOMEM, "no memory to end the connection with %s",
				    st->peer);
	st->ended = true;
	ret = ob_stack_wait(st->stack, is_flushed, st, st->timeout_ms);
	if (ret || !st->flushed)
		return failed(st, ret, "acknowledged", err);
	return 0;
}

void ob_stream_close(struct ob_stream *st)
{
	if (!st)
		return;
	ops_of(st)->release(st);
	free(st);
}
