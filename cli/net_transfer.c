/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net send, receive: bulk transfer over TCP. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/net.h"
#include "cli/net_transfer.h"

/* ---- send -------------------------------------------------------------------------------- */

static void show_progress(const char *what, uint64_t bytes, uint64_t began_ns, uint64_t *shown_ns)
{
	uint64_t now = ob_clock_ns();
	char size[16], rate[16];

	if (now - *shown_ns < 500000000)
		return;
	*shown_ns = now;
	cli_progress("%s %s, %s/s", what, cli_size(size, bytes),
		     cli_size(rate, (uint64_t)((double)bytes * 1e9 / (double)(now - began_ns))));
}

/* Fails when what the receiver saw is not what was sent. */
static int compare(struct net_run *r, uint64_t sent, const struct transfer_report *rep)
{
	if (cli_json()) {
		struct json_object *o = cli_put_object(r->doc, "receiver");

		cli_put_u64(o, "bytes", rep->bytes);
		cli_put_u64(o, "damaged", rep->damaged);
	}
	if (rep->bytes == sent && !rep->damaged)
		return 0;
	ob_error_set(&r->err, -EBADMSG, "%s did not receive what was sent", r->word[0]);
	ob_error_why(&r->err,
		     "sent %" PRIu64 " bytes, received %" PRIu64 ", of which %" PRIu64 " differ",
		     sent, rep->bytes, rep->damaged);
	return -EBADMSG;
}

/*
 * All that the receiver says up to its end: a report, or nothing from one that is none of ours.
 * Leaving before its end would look to it like a connection that broke.
 */
static int read_report(struct net_run *r, struct ob_stream *st, uint8_t *p, size_t *len)
{
	uint8_t more;
	long n;

	for (*len = 0;; *len += (size_t)n) {
		size_t room = TRANSFER_REPORT_SIZE - *len;

		n = ob_stream_read(st, room ? p + *len : &more, room ? room : 1, &r->err);
		if (n <= 0)
			return (int)n;
		if (!room)
			return 0; /* more than a report: none of ours */
	}
}

static int send_all(struct net_run *r, struct ob_stream *st, const uint8_t *pattern)
{
	uint64_t sent = 0, began = ob_clock_ns(), shown = began;
	uint64_t until = began + (uint64_t)r->seconds * 1000000000;
	uint8_t bytes[TRANSFER_REPORT_SIZE];
	struct transfer_report rep = {0};
	struct net_cost cost;
	size_t len;
	int ret = 0;

	net_cost_begin(r, &cost);
	while (!ret && (r->bytes ? sent < r->bytes : ob_clock_ns() < until)) {
		size_t n = PATTERN_CHUNK;

		if (r->bytes && r->bytes - sent < n)
			n = (size_t)(r->bytes - sent);
		ret = ob_stream_write(st, pattern + sent % PATTERN_PERIOD, n, &r->err);
		if (!ret)
			sent += n;
		show_progress("sent", sent, began, &shown);
	}
	if (!ret)
		ret = ob_stream_end(st, &r->err);
	net_cost_end(r, &cost);
	cli_progress_end();
	if (!ret)
		ret = read_report(r, st, bytes, &len);
	if (ret)
		return ret;
	net_print_transfer(r, "sent", sent, &cost);
	if (transfer_get_report(bytes, len, &rep))
		return compare(r, sent, &rep);
	if (!cli_json())
		printf("the receiver said nothing of it: it is not 'outboard net'\n");
	return 0;
}

int net_send(struct net_run *r)
{
	struct ob_stream *st;
	uint8_t *pattern;
	uint16_t port;
	int ret;

	if (r->udp)
		return net_send_udp(r);
	if (!net_port(r, 1, NET_PORT, &port))
		return r->err.code;
	pattern = pattern_create();
	if (!pattern)
		return -ENOMEM;
	ret = ob_stream_connect(r->stack, r->word[0], port, r->timeout_ms, &st, &r->err);
	if (!ret) {
		if (!cli_json()) {
			printf("connected to %s, port %u\n", r->word[0], port);
			fflush(stdout);
		}
		ret = send_all(r, st, pattern);
		ob_stream_close(st);
	}
	free(pattern);
	return ret;
}

/* ---- receive ----------------------------------------------------------------------------- */

struct receiver {
	const uint8_t *pattern; /* NULL: not compared */
	struct transfer_report rep;
	uint64_t began_ns, shown_ns;
};

static int take(void *arg, const void *data, size_t len)
{
	struct receiver *rx = arg;
	const uint8_t *p = data, *want;

	if (rx->pattern) {
		want = rx->pattern + rx->rep.bytes % PATTERN_PERIOD;
		if (memcmp(p, want, len) != 0)
			for (size_t i = 0; i < len; i++)
				rx->rep.damaged += p[i] != want[i];
	}
	rx->rep.bytes += len;
	show_progress("received", rx->rep.bytes, rx->began_ns, &rx->shown_ns);
	return 0;
}

static int receive_all(struct net_run *r, struct ob_stream *st, const uint8_t *pattern)
{
	struct receiver rx = {.pattern = pattern, .began_ns = ob_clock_ns()};
	uint8_t report[TRANSFER_REPORT_SIZE];
	struct ob_error ignored = {0};
	struct net_cost cost;
	int ret;

	rx.shown_ns = rx.began_ns;
	net_cost_begin(r, &cost);
	ret = ob_stream_receive(st, take, &rx, &r->err);
	net_cost_end(r, &cost);
	cli_progress_end();
	if (ret)
		return ret;
	net_print_transfer(r, "received", rx.rep.bytes, &cost);
	if (cli_json())
		cli_put_u64(r->doc, "damaged", rx.rep.damaged);
	transfer_put_report(report, &rx.rep);
	/*
	 * The sender says itself whether it has the report. It may be gone before it has heard that
	 * we know that (its last acknowledgement can be lost), so what fails here is no failure of
	 * the transfer.
	 */
	if (!ob_stream_write(st, report, sizeof(report), &ignored))
		ob_stream_end(st, &ignored);
	if (rx.rep.damaged)
		return ob_error_set(&r->err, -EBADMSG,
				    "%" PRIu64 " of %" PRIu64 " bytes are not those that were sent",
				    rx.rep.damaged, rx.rep.bytes);
	return 0;
}

int net_receive(struct net_run *r)
{
	uint8_t *pattern = NULL;
	struct ob_stream *st;
	uint16_t port;
	int ret;

	if (!net_port(r, 0, NET_PORT, &port))
		return r->err.code;
	if (r->udp)
		return net_receive_udp(r);
	if (r->verify) {
		pattern = pattern_create();
		if (!pattern)
			return -ENOMEM;
	}
	cli_progress("waiting for a sender on port %u", port);
	ret = ob_stream_accept(r->stack, port, r->wait_ms, r->timeout_ms, &st, &r->err);
	cli_progress_end();
	if (!ret) {
		ret = receive_all(r, st, pattern);
		ob_stream_close(st);
	}
	free(pattern);
	return ret;
}
