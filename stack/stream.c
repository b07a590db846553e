/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP connections for programs that do one thing after another, on lwIP's callbacks (RFC 9293;
 * <lwip/tcp.h>). A callback may find its connection freed by lwIP: from then on the stream has no
 * pcb.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/tcp.h>

#include "stack/stack_private.h"

/**
 * struct ob_stream - a connection
 * @pcb: lwIP's, or NULL when that is gone
 * @rx: received and not read
 * @out, @out_len: what ob_stream_write() has not handed to lwIP yet
 * @error: negative errno value that ended it
 * @peer_ended: the peer sends no more; @ended: neither do we; @flushed: which the peer has acknowledged
 */
struct ob_stream {
	struct ob_stack *stack;
	struct tcp_pcb *pcb;
	struct pbuf *rx;
	const uint8_t *out;
	size_t out_len;
	unsigned int timeout_ms;
	int error;
	bool connected, peer_ended, ended, flushed;
	int (*sink)(void *arg, const void *data, size_t len);
	void *sink_arg;
	int sink_ret;
	char peer[64];
};

/* ---- lwIP's callbacks ------------------------------------------------------------------ */

static void forget_pcb(struct ob_stream *st)
{
	tcp_arg(st->pcb, NULL);
	tcp_recv(st->pcb, NULL);
	tcp_sent(st->pcb, NULL);
	tcp_err(st->pcb, NULL);
	tcp_poll(st->pcb, NULL, 0);
	st->pcb = NULL;
}

static void on_error(void *arg, err_t err)
{
	struct ob_stream *st = arg;

	st->pcb = NULL;
	/* Both sides have ended, and lwIP needs the connection no longer. */
	if (err == ERR_CLSD && st->ended) {
		st->flushed = true;
		st->peer_ended = true;
		return;
	}
	if (err == ERR_RST)
		st->error = st->connected ? -ECONNRESET : -ECONNREFUSED;
	else
		/* It gave up after its retransmissions, or the interface lost its address. */
		st->error = err == ERR_MEM ? -ENOMEM : -ECONNABORTED;
}

/*
 * Has the peer acknowledged our end? lwIP tells of acknowledged payload only, so it is looked for
 * wherever it may have happened.
 */
static bool is_flushed(void *arg)
{
	struct ob_stream *st = arg;

	if (st->pcb && st->ended && !st->pcb->unsent && !st->pcb->unacked)
		st->flushed = true;
	return st->flushed || !st->pcb;
}

static void feed(struct ob_stream *st)
{
	while (st->out_len && tcp_sndbuf(st->pcb)) {
		size_t n = st->out_len < tcp_sndbuf(st->pcb) ? st->out_len : tcp_sndbuf(st->pcb);
		u8_t flags = TCP_WRITE_FLAG_COPY;

		/* tcp_write() counts in 16 bits. */
		if (n > 0xffff)
			n = 0xffff;
		if (n < st->out_len)
			flags |= TCP_WRITE_FLAG_MORE;
		/* Too many segments queued: tried again when some of them are acknowledged. */
		if (tcp_write(st->pcb, st->out, (u16_t)n, flags) != ERR_OK)
			break;
		st->out += n;
		st->out_len -= n;
	}
	tcp_output(st->pcb);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct ob_stream *st = arg;

	stack_progress(st->stack, st->timeout_ms);
	if (st->out_len)
		feed(st);
	return ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct ob_stream *st = arg;

	/* What failed for want of memory. */
	if (st->out_len)
		feed(st);
	return ERR_OK;
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct ob_stream *st = arg;

	stack_progress(st->stack, st->timeout_ms);
	if (!p) {
		st->peer_ended = true;
		/* From here lwIP frees it without a word. */
		if (is_flushed(st))
			forget_pcb(st);
		return ERR_OK;
	}
	if (!st->sink) {
		if (st->rx)
			pbuf_cat(st->rx, p);
		else
			st->rx = p;
		return ERR_OK;
	}
	for (struct pbuf *q = p; q && !st->sink_ret; q = q->next)
		if (q->len)
			st->sink_ret = st->sink(st->sink_arg, q->payload, q->len);
	tcp_recved(pcb, p->tot_len);
	pbuf_free(p);
	return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct ob_stream *st = arg;

	st->connected = true;
	return ERR_OK;
}

static void take_pcb(struct ob_stream *st, struct tcp_pcb *pcb)
{
	st->pcb = pcb;
	tcp_arg(pcb, st);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_poll(pcb, on_poll, 2); /* each second: in units of half one */
	/* Whoever writes little and waits for the answer must not wait for a delayed acknowledgement, too. */
	tcp_nagle_disable(pcb);
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
	if (ret != -ETIMEDOUT)
		return stack_wait_failed(st->stack, ret, err, "connecting to %s", st->peer);
	if (stack_has_neighbour(st->stack, addr, hop, sizeof(hop)))
		return stack_wait_failed(st->stack, ret, err, "%s did not answer for %u s",
					 st->peer, st->timeout_ms / 1000);
	stack_wait_failed(st->stack, -EHOSTUNREACH, err, "%s cannot be reached", st->peer);
	if (err && !*err->why)
		ob_error_why(err, "nobody on this network answers to %s (ARP)", hop);
	return -EHOSTUNREACH;
}

/* ---- connect and accept -------------------------------------------------------------------- */

static struct ob_stream *make_stream(struct ob_stack *s, unsigned int timeout_ms)
{
	struct ob_stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->stack = s;
	st->timeout_ms = timeout_ms ? timeout_ms : 1;
	return st;
}

static bool is_connected(void *arg)
{
	const struct ob_stream *st = arg;

	return st->connected || !st->pcb;
}

int ob_stream_connect(struct ob_stack *s, const char *address, uint16_t port,
		      unsigned int timeout_ms, struct ob_stream **stream, struct ob_error *err)
{
	struct ob_stream *st;
	struct tcp_pcb *pcb;
	ip_addr_t addr;
	int ret;

	ret = ob_stack_parse_address(s, address, &addr, err);
	if (ret)
		return ret;
	if (!port)
		return ob_error_set(err, -EINVAL, "there is no TCP port 0");
	st = make_stream(s, timeout_ms);
	pcb = st ? tcp_new_ip_type(IP_GET_TYPE(&addr)) : NULL;
	if (!pcb) {
		free(st);
		return ob_error_set(err, -ENOMEM, "no memory for a connection");
	}
	snprintf(st->peer, sizeof(st->peer), IP_IS_V6(&addr) ? "[%s]:%u" : "%s:%u",
		 ipaddr_ntoa(&addr), port);
	take_pcb(st, pcb);
	tcp_bind_netif(pcb, &s->netif);
	if (tcp_connect(pcb, &addr, port, on_connected) != ERR_OK) {
		ret = ob_error_set(err, -ENETUNREACH, "no route to %s", st->peer);
		ob_stream_close(st);
		return ret;
	}
	ret = ob_stack_wait(s, is_connected, st, timeout_ms);
	if (ret || st->error) {
		ret = connect_failed(st, ret, &addr, err);
		ob_stream_close(st);
		return ret;
	}
	*stream = st;
	return 0;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct ob_stream *st = arg;

	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	if (st->connected) {
		tcp_abort(pcb); /* one was wanted */
		return ERR_ABRT;
	}
	st->connected = true;
	take_pcb(st, pcb);
	snprintf(st->peer, sizeof(st->peer), IP_IS_V6(&pcb->remote_ip) ? "[%s]:%u" : "%s:%u",
		 ipaddr_ntoa(&pcb->remote_ip), pcb->remote_port);
	return ERR_OK;
}

static bool is_accepted(void *arg)
{
	return ((struct ob_stream *)arg)->connected;
}

int ob_stream_accept(struct ob_stack *s, uint16_t port, unsigned int wait_ms,
		     unsigned int timeout_ms, struct ob_stream **stream, struct ob_error *err)
{
	struct ob_stream *st = make_stream(s, timeout_ms);
	struct tcp_pcb *pcb = st ? tcp_new_ip_type(IPADDR_TYPE_ANY) : NULL, *listener;
	int ret;

	if (!pcb) {
		ret = ob_error_set(err, -ENOMEM, "no memory for a connection");
		goto free_stream;
	}
	tcp_bind_netif(pcb, &s->netif);
	if (tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK) {
		tcp_abort(pcb);
		ret = ob_error_set(err, -EADDRINUSE, "TCP port %u is in use in this process", port);
		goto free_stream;
	}
	listener = tcp_listen(pcb);
	if (!listener) {
		tcp_abort(pcb);
		ret = ob_error_set(err, -ENOMEM, "no memory for a listener");
		goto free_stream;
	}
	tcp_arg(listener, st);
	tcp_accept(listener, on_accept);
	ret = ob_stack_wait(s, is_accepted, st, wait_ms);
	tcp_close(listener);
	if (!ret) {
		*stream = st;
		return 0;
	}
	stack_wait_failed(s, ret, err, "nobody connected to port %u", port);
	if (st->pcb) {
		ob_stream_close(st);
		return ret;
	}
free_stream:
	free(st);
	return ret;
}

/* ---- payload ------------------------------------------------------------------------------ */

static bool is_written(void *arg)
{
	const struct ob_stream *st = arg;

	return !st->out_len || !st->pcb;
}

int ob_stream_write(struct ob_stream *st, const void *buf, size_t len, struct ob_error *err)
{
	int ret;

	if (st->ended)
		return ob_error_set(err, -EPIPE, "%s: writing after the end", st->peer);
	if (!st->pcb)
		return failed(st, 0, "sent", err);
	st->out = buf;
	st->out_len = len;
	feed(st);
	ret = is_written(st) ? 0 : ob_stack_wait(st->stack, is_written, st, st->timeout_ms);
	if (ret || st->out_len)
		ret = failed(st, ret, "acknowledged", err);
	/* The caller's memory is not ours any longer. */
	st->out_len = 0;
	return ret;
}

static bool is_readable(void *arg)
{
	const struct ob_stream *st = arg;

	return st->rx || st->peer_ended || !st->pcb;
}

long ob_stream_read(struct ob_stream *st, void *buf, size_t len, struct ob_error *err)
{
	int ret = is_readable(st) ? 0 : ob_stack_wait(st->stack, is_readable, st, st->timeout_ms);
	u16_t n;

	if (ret)
		return failed(st, ret, "received", err);
	if (!st->rx)
		return st->peer_ended ? 0 : failed(st, 0, "received", err);
	n = st->rx->tot_len < len ? st->rx->tot_len : (u16_t)len;
	pbuf_copy_partial(st->rx, buf, n, 0);
	st->rx = pbuf_free_header(st->rx, n);
	if (st->pcb)
		tcp_recved(st->pcb, n);
	return n;
}

static bool is_received(void *arg)
{
	const struct ob_stream *st = arg;

	return st->peer_ended || st->sink_ret || !st->pcb;
}

int ob_stream_receive(struct ob_stream *st, int (*sink)(void *arg, const void *data, size_t len),
		      void *arg, struct ob_error *err)
{
	struct pbuf *p = st->rx;
	int ret;

	st->sink = sink;
	st->sink_arg = arg;
	st->sink_ret = 0;
	st->rx = NULL;
	/* What came before. */
	if (p) {
		for (struct pbuf *q = p; q && !st->sink_ret; q = q->next)
			if (q->len)
				st->sink_ret = sink(arg, q->payload, q->len);
		if (st->pcb)
			tcp_recved(st->pcb, p->tot_len);
		pbuf_free(p);
	}
	ret = is_received(st) ? 0 : ob_stack_wait(st->stack, is_received, st, st->timeout_ms);
	st->sink = NULL;
	if (ret)
		return failed(st, ret, "received", err);
	if (st->sink_ret)
		return st->sink_ret;
	return st->peer_ended ? 0 : failed(st, 0, "received", err);
}

int ob_stream_end(struct ob_stream *st, struct ob_error *err)
{
	int ret;

	if (st->flushed)
		return 0;
	if (!st->pcb)
		return failed(st, 0, "acknowledged", err);
	if (!st->ended && tcp_shutdown(st->pcb, 0, 1) != ERR_OK)
		return ob_error_set(err, -ENOMEM, "no memory to end the connection with %s",
				    st->peer);
	st->ended = true;
	ret = ob_stack_wait(st->stack, is_flushed, st, st->timeout_ms);
	if (ret || !st->flushed)
		return failed(st, ret, "acknowledged", err);
	if (st->pcb && st->peer_ended)
		forget_pcb(st);
	return 0;
}

void ob_stream_close(struct ob_stream *st)
{
	struct tcp_pcb *pcb;

	if (!st)
		return;
	pcb = st->pcb;
	if (st->rx) {
		/* lwIP answers with a reset when it believes that data was not read. */
		if (pcb && st->ended)
			tcp_recved(pcb, st->rx->tot_len);
		pbuf_free(st->rx);
	}
	if (pcb) {
		forget_pcb(st);
		if (tcp_close(pcb) != ERR_OK)
			tcp_abort(pcb);
	}
	/* The farewell goes now, not at the loop's next round, which may not come. */
	stack_push(st->stack);
	free(st);
}
