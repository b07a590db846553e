/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP connections by lwIP's callbacks (RFC 9293; <lwip/tcp.h>). A callback may find its connection freed by lwIP: from then on the stream has no
 * pcb.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lwip/tcp.h>

#include "stack/stack_private.h"

/* ---- callbacks ----------------------------------------------------------------------- */

static void forget_pcb(struct ob_stream *st)
{
	tcp_arg(st->pcb, NULL);
	tcp_recv(st->pcb, NULL);
	tcp_sent(st->pcb, NULL);
	tcp_err(st->pcb, NULL);
	tcp_poll(st->pcb, NULL, 0);
	st->pcb = NULL;
	st->alive = false;
}

static void on_error(void *arg, err_t err)
{
	struct ob_stream *st = arg;

	st->pcb = NULL;
	st->alive = false;
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
static bool is_flushed(struct ob_stream *st)
{
	if (st->pcb && st->ended && !st->pcb->unsent && !st->pcb->unacked)
		st->flushed = true;
	/* From here lwIP frees it without a word. */
	if (st->flushed && st->peer_ended && st->pcb)
		forget_pcb(st);
	return st->flushed;
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
		is_flushed(st);
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
	st->alive = true;
	tcp_arg(pcb, st);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_poll(pcb, on_poll, 2); /* each second: in units of half one */
	/* Whoever writes little and waits for the answer must not wait for a delayed acknowledgement, too. */
	tcp_nagle_disable(pcb);
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

/* ---- connect and accept -------------------------------------------------------------- */

static int begin(struct ob_stream *st, const ip_addr_t *addr, uint16_t port, struct ob_error *err)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(addr));

	if (!pcb)
		return ob_error_set(err, -ENOMEM, "no memory for a connection");
	take_pcb(st, pcb);
	tcp_bind_netif(pcb, &st->stack->netif);
	if (tcp_connect(pcb, addr, port, on_connected) == ERR_OK)
		return 0;
	forget_pcb(st);
	tcp_abort(pcb);
	return ob_error_set(err, -ENETUNREACH, "no route to %s", st->peer);
}

static bool is_accepted(void *arg)
{
	return ((struct ob_stream *)arg)->connected;
}

static int wait_for_one(struct ob_stream *st, uint16_t port, unsigned int wait_ms,
			struct ob_error *err)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY), *listener;
	int ret;

	if (!pcb)
		return ob_error_set(err, -ENOMEM, "no memory for a connection");
	tcp_bind_netif(pcb, &st->stack->netif);
	if (tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK) {
		tcp_abort(pcb);
		return ob_error_set(err, -EADDRINUSE, "TCP port %u is in use in this process",
				    port);
	}
	listener = tcp_listen(pcb);
	if (!listener) {
		tcp_abort(pcb);
		return ob_error_set(err, -ENOMEM, "no memory for a listener");
	}
	tcp_arg(listener, st);
	tcp_accept(listener, on_accept);
	ret = ob_stack_wait(st->stack, is_accepted, st, wait_ms);
	tcp_close(listener);
	return ret;
}

/* ---- payload --------------------------------------------------------------------------- */

static bool is_readable(struct ob_stream *st)
{
	return st->rx;
}

static size_t take(struct ob_stream *st, void *buf, size_t len)
{
	u16_t n;

	if (!st->rx)
		return 0;
	n = st->rx->tot_len < len ? st->rx->tot_len : (u16_t)len;
	pbuf_copy_partial(st->rx, buf, n, 0);
	st->rx = pbuf_free_header(st->rx, n);
	if (st->pcb)
		tcp_recved(st->pcb, n);
	return n;
}

static void drain(struct ob_stream *st)
{
	struct pbuf *p = st->rx;

	st->rx = NULL;
	for (struct pbuf *q = p; q && !st->sink_ret; q = q->next)
		if (q->len)
			st->sink_ret = st->sink(st->sink_arg, q->payload, q->len);
	if (!p)
		return;
	if (st->pcb)
		tcp_recved(st->pcb, p->tot_len);
	pbuf_free(p);
}

static int end_sending(struct ob_stream *st)
{
	return tcp_shutdown(st->pcb, 0, 1) == ERR_OK ? 0 : -ENOMEM;
}

static void release(struct ob_stream *st)
{
	struct tcp_pcb *pcb = st->pcb;

	if (st->rx) {
		/* lwIP answers with a reset when it believes that data was not read. */
		if (pcb && st->ended)
			tcp_recved(pcb, st->rx->tot_len);
		pbuf_free(st->rx);
	}
	if (pcb) {
		forget_pcb(st);
		if (stack_breaks_off(st) || tcp_close(pcb) != ERR_OK)
			tcp_abort(pcb);
	}
	/* The farewell goes now, not at the loop's next round, which may not come. */
	stack_push(st->stack);
}

const struct stack_stream_ops lwip_stream = {
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
