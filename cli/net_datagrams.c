/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net send, receive --udp: numbered datagrams by lwIP's own calls (<lwip/udp.h>). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/udp.h>

#include "cli/net.h"
#include "cli/net_transfer.h"

#define NS_PER_S 1000000000ull

enum {
	SIZE_DEFAULT = 1472, /* fills a frame of 1500 bytes: less IPv4's 20 and UDP's 8 */
	BURST = 32,
	/* The last datagram is said so often, and so far apart, until the report has come. */
	END_TRIES = 20,
	END_MS = 250,
	/* The receiver answers repetitions for so long after its end. */
	LINGER_MS = 1000,
};

/* ---- send -------------------------------------------------------------------------------- */

struct sender {
	struct net_run *r;
	struct udp_pcb *pcb;
	ip_addr_t to;
	uint16_t port;
	const uint8_t *pattern;
	size_t size;
	uint64_t began_ns, until_ns, datagrams, bytes;
	bool done, reported;
	struct transfer_report rep;
};

static err_t send_datagram(struct sender *s, uint32_t kind, size_t size)
{
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)size, PBUF_RAM);
	err_t ret;

	if (!p)
		return ERR_MEM;
	transfer_put_header(p->payload, kind, s->datagrams);
	memcpy((uint8_t *)p->payload + TRANSFER_HEADER, s->pattern + s->datagrams % PATTERN_PERIOD,
	       size - TRANSFER_HEADER);
	ret = udp_sendto(s->pcb, p, &s->to, s->port);
	pbuf_free(p);
	return ret;
}

/* How many datagrams the rate allows by now. */
static uint64_t allowed(const struct sender *s, uint64_t now_ns)
{
	double bits = (double)s->r->rate * (double)(now_ns - s->began_ns) / 1e9;

	return s->r->rate ? (uint64_t)(bits / (double)(s->size * 8)) + 1 : UINT64_MAX;
}

static unsigned int poll_sender(void *arg, unsigned int budget)
{
	struct sender *s = arg;
	uint64_t now = ob_clock_ns(), most;
	unsigned int n = 0;

	if (s->done)
		return 0;
	most = allowed(s, now);
	while (n < BURST && s->datagrams < most) {
		size_t size = s->size;

		if (s->r->bytes && s->r->bytes - s->bytes < size)
			size = (size_t)(s->r->bytes - s->bytes);
		if (size < TRANSFER_HEADER)
			size = TRANSFER_HEADER;
		/* A full ring: the same one again in the next round. */
		if (send_datagram(s, TRANSFER_DATA, size) != ERR_OK)
			break;
		s->datagrams++;
		s->bytes += size;
		n++;
		s->done = s->r->bytes && s->bytes >= s->r->bytes;
		if (s->done)
			break;
	}
	if (!s->r->bytes && now >= s->until_ns)
		s->done = true;
	return n;
}

/* There is always something to do, if not now then in a millisecond. */
static bool arm_sender(void *arg, bool on)
{
	return !((struct sender *)arg)->done;
}

static void on_report(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
		      u16_t port)
{
	uint8_t bytes[TRANSFER_REPORT_SIZE];
	struct sender *s = arg;

	if (p->tot_len == sizeof(bytes) && ip_addr_cmp(from, &s->to) && port == s->port) {
		pbuf_copy_partial(p, bytes, sizeof(bytes), 0);
		s->reported |= transfer_get_report(bytes, sizeof(bytes), &s->rep);
	}
	pbuf_free(p);
}

static bool is_sent(void *arg)
{
	return ((struct sender *)arg)->done;
}

static bool is_reported(void *arg)
{
	return ((struct sender *)arg)->reported;
}

static int ask_for_report(struct sender *s)
{
	int ret = -ETIMEDOUT;

	for (unsigned int i = 0; i < END_TRIES && ret == -ETIMEDOUT; i++) {
		send_datagram(s, TRANSFER_END, TRANSFER_HEADER);
		ret = ob_stack_wait(s->r->stack, is_reported, s, END_MS);
	}
	if (ret == -ETIMEDOUT) {
		ob_error_set(&s->r->err, ret, "%s told nothing of what it received", s->r->word[0]);
		ob_error_fix(&s->r->err, "does 'outboard net ... receive --udp' run there?");
	}
	return ret;
}

static void print_sent(struct sender *s, const struct net_cost *cost)
{
	struct json_object *o;

	net_print_transfer(s->r, "sent", s->bytes, cost);
	if (!cli_json()) {
		printf("%" PRIu64 " datagrams sent, %" PRIu64 " received, %" PRIu64
		       " lost, %" PRIu64 " late\n",
		       s->datagrams, s->rep.datagrams, s->datagrams - s->rep.datagrams,
		       s->rep.late);
		return;
	}
	cli_put_u64(s->r->doc, "datagrams", s->datagrams);
	o = cli_put_object(s->r->doc, "receiver");
	cli_put_u64(o, "bytes", s->rep.bytes);
	cli_put_u64(o, "datagrams", s->rep.datagrams);
	cli_put_u64(o, "lost", s->datagrams - s->rep.datagrams);
	cli_put_u64(o, "late", s->rep.late);
	cli_put_u64(o, "twice", s->rep.twice);
	cli_put_u64(o, "damaged", s->rep.damaged);
}

static int run_sender(struct sender *s)
{
	struct ob_loop_source source = {
		.name = "datagrams",
		.poll = poll_sender,
		.arm = arm_sender,
		.arg = s,
		.fd = -1,
	};
	struct net_cost cost;
	int ret;

	net_cost_begin(s->r, &cost);
	s->began_ns = cost.began_ns;
	s->until_ns = s->began_ns + (uint64_t)s->r->seconds * NS_PER_S;
	ret = ob_loop_add(s->r->loop, &source);
	if (ret)
		return ret;
	ret = ob_stack_wait(s->r->stack, is_sent, s, 0);
	net_cost_end(s->r, &cost);
	ob_loop_remove(s->r->loop, s);
	if (!ret)
		ret = ask_for_report(s);
	if (ret)
		return ret;
	if (s->rep.datagrams > s->datagrams)
		return ob_error_set(&s->r->err, -EBADMSG, "%s received more than was sent",
				    s->r->word[0]);
	print_sent(s, &cost);
	return 0;
}

int net_send_udp(struct net_run *r)
{
	struct sender s = {.r = r, .size = r->size ? (size_t)r->size : SIZE_DEFAULT};
	uint8_t *pattern;
	uint64_t ns;
	int ret;

	if (net_wants_lwip(r, "--udp") || !net_port(r, 1, NET_PORT, &s.port))
		return r->err.code;
	if (s.size < TRANSFER_HEADER)
		s.size = TRANSFER_HEADER;
	ret = ob_stack_parse_address(r->stack, r->word[0], &s.to, &r->err);
	/* Finds the neighbour, too: without, what is sent first would be lost in ARP's short queue. */
	if (!ret)
		ret = ob_stack_ping(r->stack, r->word[0], 0, 0, r->timeout_ms, &ns, &r->err);
	if (ret)
		return ret;
	pattern = pattern_create();
	s.pcb = udp_new_ip_type(IP_GET_TYPE(&s.to));
	s.pattern = pattern;
	if (pattern && s.pcb) {
		udp_bind_netif(s.pcb, ob_stack_netif(r->stack));
		udp_bind(s.pcb, IP_ANY_TYPE, 0);
		udp_recv(s.pcb, on_report, &s);
		ret = run_sender(&s);
	} else {
		ret = -ENOMEM;
	}
	if (s.pcb)
		udp_remove(s.pcb);
	free(pattern);
	return ret;
}

/* ---- receive ----------------------------------------------------------------------------- */

struct receiver {
	struct net_run *r;
	const uint8_t *pattern; /* NULL: not compared */
	struct transfer_report rep;
	ip_addr_t from;
	uint16_t port;
	uint64_t last_ns;
	bool began, ended;
	struct net_cost cost;
	struct transfer_order order;
};

static void compare(struct receiver *rx, struct pbuf *p, uint64_t number)
{
	const uint8_t *want = rx->pattern + number % PATTERN_PERIOD;
	size_t skip = TRANSFER_HEADER;

	for (; p; p = p->next) {
		const uint8_t *data = p->payload;

		for (size_t i = 0; i < p->len; i++) {
			if (skip)
				skip--;
			else
				rx->rep.damaged += data[i] != *want++;
		}
	}
}

static void answer(struct receiver *rx, struct udp_pcb *pcb)
{
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, TRANSFER_REPORT_SIZE, PBUF_RAM);

	if (!p)
		return; /* the sender asks again */
	transfer_put_report(p->payload, &rx->rep);
	udp_sendto(pcb, p, &rx->from, rx->port);
	pbuf_free(p);
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
			u16_t port)
{
	uint8_t header[TRANSFER_HEADER];
	struct receiver *rx = arg;
	uint64_t number;
	uint32_t kind;
	u16_t n = pbuf_copy_partial(p, header, sizeof(header), 0);

	kind = transfer_get_header(header, n, &number);
	/* The first sender is the one; others, and strangers, are not heard. */
	if (!kind || (rx->began && (port != rx->port || !ip_addr_cmp(from, &rx->from))))
		goto free;
	if (!rx->began) {
		rx->began = true;
		rx->from = *from;
		rx->port = port;
		net_cost_begin(rx->r, &rx->cost);
	}
	rx->last_ns = ob_clock_ns();
	if (kind == TRANSFER_END) {
		if (!rx->ended) {
			net_cost_end(rx->r, &rx->cost);
			rx->ended = true;
			rx->rep.lost = number > rx->rep.datagrams ? number - rx->rep.datagrams : 0;
		}
		answer(rx, pcb);
		goto free;
	}
	if (rx->ended)
		goto free;
	if (!transfer_count(&rx->order, number, &rx->rep))
		goto free;
	rx->rep.datagrams++;
	rx->rep.bytes += p->tot_len;
	if (rx->pattern)
		compare(rx, p, number);
free:
	pbuf_free(p);
}

static bool has_begun(void *arg)
{
	return ((struct receiver *)arg)->began;
}

/* Or silence for too long. */
static bool has_ended(void *arg)
{
	const struct receiver *rx = arg;

	return rx->ended || ob_clock_ns() - rx->last_ns > rx->r->timeout_ms * 1000000ull;
}

static int run_receiver(struct receiver *rx)
{
	struct net_run *r = rx->r;
	int ret = ob_stack_wait(r->stack, has_begun, rx, r->wait_ms);

	if (ret == -ETIMEDOUT)
		return ob_error_set(&r->err, ret, "nobody sent anything for %u s",
				    r->wait_ms / 1000);
	if (!ret)
		ret = ob_stack_wait(r->stack, has_ended, rx, 0);
	if (ret)
		return ret;
	if (!rx->ended)
		return ob_error_set(&r->err, -ETIMEDOUT,
				    "the sender stopped without an end, after %" PRIu64
				    " datagrams",
				    rx->rep.datagrams);
	ret = ob_stack_wait(r->stack, NULL, NULL, LINGER_MS);
	if (ret != -ETIMEDOUT)
		return ret;
	net_print_transfer(r, "received", rx->rep.bytes, &rx->cost);
	if (cli_json()) {
		cli_put_u64(r->doc, "datagrams", rx->rep.datagrams);
		cli_put_u64(r->doc, "lost", rx->rep.lost);
		cli_put_u64(r->doc, "late", rx->rep.late);
		cli_put_u64(r->doc, "twice", rx->rep.twice);
		cli_put_u64(r->doc, "damaged", rx->rep.damaged);
	} else {
		printf("%" PRIu64 " datagrams, %" PRIu64 " lost, %" PRIu64 " late\n",
		       rx->rep.datagrams, rx->rep.lost, rx->rep.late);
	}
	if (rx->rep.damaged)
		return ob_error_set(&r->err, -EBADMSG,
				    "%" PRIu64 " of %" PRIu64 " bytes are not those that were sent",
				    rx->rep.damaged, rx->rep.bytes);
	return 0;
}

int net_receive_udp(struct net_run *r)
{
	struct receiver rx = {.r = r};
	struct udp_pcb *pcb;
	uint8_t *pattern = NULL;
	uint16_t port;
	int ret;

	if (net_wants_lwip(r, "--udp") || !net_port(r, 0, NET_PORT, &port))
		return r->err.code;
	if (r->verify) {
		pattern = pattern_create();
		if (!pattern)
			return -ENOMEM;
	}
	rx.pattern = pattern;
	pcb = udp_new_ip_type(IPADDR_TYPE_ANY);
	if (pcb) {
		udp_bind_netif(pcb, ob_stack_netif(r->stack));
		if (udp_bind(pcb, IP_ANY_TYPE, port) == ERR_OK) {
			udp_recv(pcb, on_datagram, &rx);
			cli_progress("waiting for a sender on port %u", port);
			ret = run_receiver(&rx);
			cli_progress_end();
		} else {
			ret = -EADDRINUSE;
		}
		udp_remove(pcb);
	} else {
		ret = -ENOMEM;
	}
	free(pattern);
	return ret;
}
