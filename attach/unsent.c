/* SPDX-License-Identifier: BSD-2-Clause */
/* See unsent.h. */
#include <string.h>

#include "attach/attach.h"
#include "attach/unsent.h"

enum {
	/* A look that comes later was held up, and so was all else: that time is nobody's fault. Ticks are 100 ms apart. */
	MOST_NS = 300000000,
	/* A pause lasts 0.34 s at 100 Mb/s at most (65535 times 512 bits: IEEE 802.3, 31B.2), and is renewed before it ends. */
	PAUSES_NS = 500000000,
	COUNTERS = 256,
};

void unsent_init(struct unsent *u, const struct ob_binding *b)
{
	u->lazy = b->driver && !strncmp(b->driver->name, "linux:", 6);
}

/* Buffers in frames that the driver has not taken. */
static unsigned int not_taken(const struct tap_send *s)
{
	const struct ob_pkt *pkt;
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->count; i++)
		for (pkt = s->pending[s->head + i]; pkt; pkt = pkt->next)
			n++;
	for (pkt = s->unsegmented; pkt; pkt = pkt->next)
		n++;
	return n;
}

/* By the names that drivers give them in ethtool -S: rx_flow_control_xoff, rx_xoff_received, rx_pause_frames. */
static uint64_t pause_frames(struct ob_net *net)
{
	struct ob_net_value value[COUNTERS];
	uint64_t sum = 0;
	int n = net->ops->counters ? net->ops->counters(net, value, COUNTERS) : 0;

	for (int i = 0; i < n && i < COUNTERS; i++)
		if (strstr(value[i].name, "rx") &&
		    (strstr(value[i].name, "xoff") || strstr(value[i].name, "pause")))
			sum += value[i].value;
	return sum;
}

/* Who is asked to pause may not send (IEEE 802.3, annex 31B). */
static bool is_paused(struct unsent *u, struct ob_net *net)
{
	uint64_t pauses, before = u->pauses;
	bool first = !u->waited_ns;

	if (!first && u->waited_ns < u->pauses_ns)
		return false;
	pauses = pause_frames(net);
	u->pauses = pauses;
	u->pauses_ns = u->waited_ns + PAUSES_NS;
	return !first && pauses != before;
}

uint64_t unsent_look(struct unsent *u, struct tap_send *send,
		     struct unsent_buffers (*buffers)(const void *arg), const void *arg, bool up,
		     uint64_t now_ns)
{
	uint64_t ns = now_ns - u->looked_ns;
	struct unsent_buffers b = buffers(arg);
	unsigned int held, pending = not_taken(send);
	bool waits, moved;

	if (b.away && !u->lazy) {
		ob_net_tx_burst(send->net, send->index, NULL, 0);
		b = buffers(arg);
	}
	held = b.away > pending ? b.away - pending : 0;
	waits = up && (pending || (held && (!u->lazy || b.dry)));
	/* Each frame that the driver took is a buffer more, or several: were it fewer, some would have come back. */
	moved = held < u->held + (send->handed - u->handed);
	u->held = held;
	u->handed = send->handed;
	u->looked_ns = now_ns;
	if (!waits || moved || is_paused(u, send->net)) {
		u->waited_ns = 0;
		return 0;
	}
	u->waited_ns += ns < MOST_NS ? ns : MOST_NS;
	return u->waited_ns;
}

uint64_t ob_attach_unsent_ns(const struct ob_attach *at)
{
	return at->ops->class_ == OB_CLASS_NET ? ((const struct attach_net *)at)->unsent_ns : 0;
}
