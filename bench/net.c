/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-net: frames of 64 bytes sent through Outboard, against a bare loop on the same device
 * model (net_floor.c) in the same run, alternating. With --instructions it only forwards frames, for
 * callgrind to count (bench/net_instructions.sh).
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "bench/callgrind.h"
#include "bench/net_floor.h"
#include "bench/rounds.h"

enum {
	FRAME = 60, /* 64 with its FCS */
	BURST_MAX = 64,
	LOOKS_MAX = 1000,
};

struct options {
	const char *qemu;
	const char *json;
	const char *model;
	const char *driver;
	struct rounds rounds;
	unsigned int instructions;
	unsigned int burst;
};

struct card {
	struct ob_device *dev;
	struct ob_binding *binding;
	struct ob_net *net;
};

static const unsigned int bursts[] = {1, 16, 64};
static const char *const models[] = {"e1000e", "e1000-82545em"};
#define BURSTS (sizeof(bursts) / sizeof(bursts[0]))
#define MODELS (sizeof(models) / sizeof(models[0]))

/* ---- Outboard's side ------------------------------------------------------------- */

static int card_open(struct card *c, const char *spec, const char *name)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .depth = 256};
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};

	memset(c, 0, sizeof(*c));
	if (name && ob_driver_load(name, &driver, &err))
		return complain(&err);
	if (ob_device_open(spec, &c->dev, &err))
		return complain(&err);
	if (ob_driver_bind(c->dev, driver, &config, &c->binding, &err))
		return complain(&err);
	c->net = c->binding->net;
	if (ob_net_start(c->net, &err))
		return complain(&err);
	return 0;
}

static void card_close(struct card *c)
{
	ob_driver_unbind(c->binding);
	ob_device_close(c->dev);
}

static const uint8_t header[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
				   0,	 0,    0,    0,	   1,	 0x88, 0xb5};

static bool card_run(void *card, unsigned int burst, uint64_t ns, bool yield, struct counts *counts)
{
	struct card *c = card;
	struct ob_pool *pool = c->net->rx_pool[0];
	struct ob_pkt *pkts[BURST_MAX];
	struct ob_net_stats before, after;
	struct ob_access_stats access_before, access_after;
	unsigned int have = 0, rounds = 0, idle = pool->n;
	uint64_t start, end, now, last_tick;

	*counts = (struct counts){0};
	c->net->ops->stats(c->net, &before);
	ob_device_stats(c->dev, &access_before);
	start = now = last_tick = ob_clock_ns();
	end = start + ns;
	while ((now < end || pool->n + have != idle) && !ob_device_gone(c->dev)) {
		unsigned int sent = 0;

		if (now < end) {
			for (; have < burst; have++) {
				struct ob_pkt *pkt = ob_pkt_alloc(pool);

				if (!pkt)
					break;
				ob_pkt_reset(pkt);
				pkt->len = FRAME;
				pkts[have] = pkt;
			}
			/* A whole burst or nothing, as the floor does it. */
			sent = have == burst ? ob_net_tx_burst(c->net, 0, pkts, burst) : 0;
			have -= sent;
			memmove(pkts, pkts + sent, have * sizeof(*pkts));
			counts->done += sent;
		} else {
			ob_net_tx_burst(c->net, 0, NULL, 0);
		}
		if (!sent && yield)
			sched_yield();
		if (!(++rounds & 15) || !sent)
			now = ob_clock_ns();
		if (now - last_tick > 100000000u) {
			last_tick = now;
			c->net->ops->tick(c->net, now);
		}
	}
	counts->ns = ob_clock_ns() - start;
	ob_device_stats(c->dev, &access_after);
	c->net->ops->stats(c->net, &after);
	counts->doorbells = after.doorbells - before.doorbells;
	counts->syscalls = access_after.syscalls - access_before.syscalls;
	while (have)
		ob_pkt_free(pkts[--have]);
	return !ob_device_gone(c->dev) && after.tx_packets - before.tx_packets == counts->done;
}

/* ---- comparison ------------------------------------------------------------------ */

static void print_rows(const struct options *o, const struct row *rows, unsigned int n)
{
	printf("64-byte frames sent, polled, %u rounds of %u ms each, alternating; device model and "
	       "driver on %s\n",
	       o->rounds.n, o->rounds.ms, o->rounds.two_cpus ? "two processors" : "one processor");
	printf("%-14s  %5s  %12s  %12s  %6s  %12s  %11s  %11s\n", "device", "burst", "Outboard",
	       "bare loop", "ratio", "with IOMMU", "doorbells", "syscalls");
	printf("%-14s  %5s  %12s  %12s  %6s  %12s  %11s  %11s\n", "", "", "frames/s", "frames/s",
	       "", "frames/s", "per frame", "per frame");
	for (unsigned int i = 0; i < n; i++) {
		printf("%-14s  %5u", rows[i].model, rows[i].size);
		print_row_end(&rows[i], &o->rounds, 12);
	}
	printf("(medians; ratio: median of each round's; doorbells and system calls: Outboard/bare loop, the\n"
	       "system calls are the device model's messages. The card has no cable: the model drops what it\n"
	       "has sent. IOMMU: Outboard with the VT-d model on.)\n");
}

static int write_json(const struct options *o, const struct row *rows, unsigned int n)
{
	FILE *f = open_json(o->json);

	if (!f)
		return 1;
	fprintf(f,
		"{\"bench\":\"net\",\"what\":\"64-byte frames sent, polled\",\"rounds\":%u,"
		"\"round_ms\":%u,\"processors\":%d,\"rows\":[",
		o->rounds.n, o->rounds.ms, o->rounds.two_cpus ? 2 : 1);
	for (unsigned int i = 0; i < n; i++) {
		fprintf(f, "%s{\"device\":\"%s\",\"burst\":%u,", i ? "," : "", rows[i].model,
			rows[i].size);
		write_row_end(f, &rows[i], &o->rounds, "fps", "frame");
	}
	fprintf(f, "]}\n");
	return close_json(f, o->json);
}

static int compare_model(const struct options *o, const char *model, struct row *rows,
			 unsigned int n)
{
	struct card plain = {0}, isolated = {0};
	struct net_floor *f = NULL;
	struct side sides[SIDES];
	char spec[256];
	int rc;

	snprintf(spec, sizeof(spec), "qemu:%s,netdev=none,iommu=off,qemu=%s", model, o->qemu);
	rc = card_open(&plain, spec, NULL);
	snprintf(spec, sizeof(spec), "qemu:%s,netdev=none,iommu=on,qemu=%s", model, o->qemu);
	if (!rc)
		rc = card_open(&isolated, spec, NULL);
	if (!rc) {
		f = net_floor_open(o->qemu, model);
		if (!f) {
			fprintf(stderr, "outboard-bench-net: the floor's %s did not start\n",
				o->qemu);
			rc = 1;
		}
	}
	sides[SIDE_OWN] = (struct side){card_run, &plain};
	sides[SIDE_FLOOR] = (struct side){net_floor_run, f};
	sides[SIDE_ISOLATED] = (struct side){card_run, &isolated};
	for (unsigned int i = 0; i < n && !rc; i++) {
		rows[i].model = model;
		rows[i].size = o->burst ? o->burst : bursts[i];
		if (!run_rounds(sides, &o->rounds, &rows[i])) {
			fprintf(stderr, "outboard-bench-net: a device failed\n");
			rc = 1;
		}
	}
	net_floor_close(f);
	card_close(&isolated);
	card_close(&plain);
	return rc;
}

static int compare(const struct options *o)
{
	static struct row rows[MODELS * BURSTS];
	unsigned int n = 0, each = o->burst ? 1 : BURSTS;

	for (unsigned int m = 0; m < MODELS; m++) {
		if (o->model && strcmp(o->model, models[m]))
			continue;
		if (compare_model(o, models[m], rows + n, each))
			return 1;
		n += each;
	}
	if (wants_table(o->json))
		print_rows(o, rows, n);
	return o->json ? write_json(o, rows, n) : 0;
}

/* ---- for callgrind --------------------------------------------------------------- */

/* The receive ring, found by its label, to see from outside when a burst has come. */
struct ring {
	const uint64_t *desc;
	unsigned int size;
};

static int find_ring(void *arg, const char *label, void *p, size_t size)
{
	struct ring *r = arg;

	if (strcmp(label, "e1000 rx ring"))
		return 0;
	r->desc = p;
	r->size = (unsigned int)(size / 16);
	return 1;
}

/* Descriptor done: bit 0 of the second half in the 82574, bit 32 in the others. */
static bool all_arrived(const struct ring *r, unsigned int next, unsigned int n, bool extended)
{
	uint64_t dd = extended ? 1ull << 0 : 1ull << 32;

	for (unsigned int i = 0; i < n; i++) {
		const uint64_t *second = &r->desc[((next + i) % r->size) * 2 + 1];

		if (!(__atomic_load_n(second, __ATOMIC_ACQUIRE) & dd))
			return false;
	}
	return true;
}

/* Until the cable is in; a kernel's driver looks at it when its interrupt or its watchdog says so. */
static int wait_link(struct ob_net *net)
{
	uint64_t end = ob_clock_ns() + 60000000000ull;
	struct ob_net_link link = {0};
	struct ob_pkt *pkts[BURST_MAX];

	while (!link.up && ob_clock_ns() < end) {
		unsigned int n = ob_net_rx_burst(net, 0, pkts, BURST_MAX);

		while (n)
			ob_pkt_free(pkts[--n]);
		usleep(10000);
		net->ops->tick(net, ob_clock_ns());
		net->ops->link(net, &link);
	}
	return !link.up;
}

/*
 * A forwarder: receive a burst, write one byte of each frame, send it. All of it is counted: the class
 * and the driver, both doorbells with the message that each is here, the reclaiming of what was sent
 * before, and the loop itself. A burst has arrived whole before it is collected, and has been sent
 * whole before the next, so that no call finds nothing. Of a driver that is loaded nobody knows the ring: there
 * 5 ms are waited, and what a call more costs is counted, too.
 */
static int count_instructions(const struct options *o)
{
	const char *model = o->model ? o->model : "e1000e";
	bool extended = !strcmp(model, "e1000e");
	unsigned int next = 0, n = 0, sent = 0, forwarded = 0, burst = o->burst ? o->burst : 32;
	struct ob_pkt *pkts[BURST_MAX];
	struct ob_net_stats before, after;
	struct card c = {0};
	struct ring ring = {0};
	uint8_t frame[FRAME];
	char spec[256];
	int sv[2];
	int rc;

	if (!RUNNING_ON_VALGRIND) {
		fprintf(stderr, "outboard-bench-net: --instructions counts nothing by itself; run "
				"bench/net_instructions.sh\n");
		return 1;
	}
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv)) {
		fprintf(stderr, "outboard-bench-net: socketpair: %s\n", strerror(errno));
		return 1;
	}
	memset(frame, 0, sizeof(frame));
	memcpy(frame, header, sizeof(header));
	snprintf(spec, sizeof(spec), "qemu:%s,netdev=fd:%d,qemu=%s", model, sv[1], o->qemu);
	rc = card_open(&c, spec, o->driver);
	if (rc)
		return rc;
	if (o->driver)
		rc = wait_link(c.net);
	else
		ob_dma_for_each(ob_device_dma(c.dev), find_ring, &ring);
	c.net->ops->stats(c.net, &before);
	for (unsigned int round = 0; round < o->instructions && !rc; round++) {
		uint64_t end = ob_clock_ns() + 20000000000ull;

		for (unsigned int i = 0; i < burst && !rc; i++)
			if (send(sv[0], frame, sizeof(frame), 0) != (ssize_t)sizeof(frame))
				rc = 1;
		if (o->driver)
			usleep(5000);
		while (!o->driver && !all_arrived(&ring, next, burst, extended) && !rc) {
			if (ob_clock_ns() > end || ob_device_gone(c.dev))
				rc = 1;
			usleep(500);
		}
		CALLGRIND_TOGGLE_COLLECT;
		n = ob_net_rx_burst(c.net, 0, pkts, burst);
		for (unsigned int looks = 1; o->driver && n < burst && looks < LOOKS_MAX; looks++)
			n += ob_net_rx_burst(c.net, 0, pkts + n, burst - n);
		for (unsigned int i = 0; i < n; i++)
			pkts[i]->data[0] ^= 1;
		sent = ob_net_tx_burst(c.net, 0, pkts, n);
		CALLGRIND_TOGGLE_COLLECT;
		if (n != burst || sent != n)
			rc = 1;
		/* The cable's other end: the last frame has come, so all are sent. */
		for (unsigned int i = 0; i < sent && !rc; i++)
			if (recv(sv[0], frame, sizeof(frame), 0) != (ssize_t)sizeof(frame))
				rc = 1;
		frame[0] = 0xff;
		usleep(500); /* the status of the last descriptor is written after the frame is sent */
		next = ring.size ? (next + n) % ring.size : 0;
		forwarded += sent;
	}
	c.net->ops->stats(c.net, &after);
	if (!rc)
		printf("frames %u burst %u doorbells %llu\n", forwarded, burst,
		       (unsigned long long)(after.doorbells - before.doorbells));
	else
		fprintf(stderr, "outboard-bench-net: frames were lost\n");
	card_close(&c);
	return rc;
}

/* ---- main ------------------------------------------------------------------------ */

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-net [--json FILE|-] [--quick] [--rounds N] [--ms N]\n"
		"                          [--model MODEL] [--burst N] [--two-cpus] [--qemu PATH]\n"
		"       outboard-bench-net --instructions BURSTS [--burst N] [--model MODEL]\n"
		"  --json FILE       also write the figures as JSON (-: instead of the table)\n"
		"  --quick           at most 3 rounds of 20 ms: a look, not a measurement\n"
		"  --rounds N        rounds per burst size and side (default 15)\n"
		"  --ms N            length of a round (default 100)\n"
		"  --model MODEL     e1000e or e1000-82545em (default both)\n"
		"  --burst N         this burst size alone (default 1, 16 and 64; 32 for --instructions)\n"
		"  --two-cpus        do not keep driver and device model on one processor\n"
		"  --qemu PATH       another QEMU\n"
		"  --instructions N  under callgrind: count N forwarded bursts\n"
		"  --driver NAME     there, a driver that is loaded: linux:e1000e, or a path\n");
}

int main(int argc, char **argv)
{
	struct options o = {.qemu = "qemu-system-x86_64", .rounds = {.n = 15, .ms = 100}};
	const struct argument arguments[] = {
		{"json", ARGUMENT_TEXT, &o.json},
		ROUNDS_ARGUMENTS(o.rounds),
		{"qemu", ARGUMENT_TEXT, &o.qemu},
		{"instructions", ARGUMENT_NUMBER, &o.instructions},
		{"burst", ARGUMENT_NUMBER, &o.burst},
		{"model", ARGUMENT_TEXT, &o.model},
		{"driver", ARGUMENT_TEXT, &o.driver},
		{0},
	};
	int rc = read_arguments(argc, argv, arguments, usage);

	if (rc >= 0)
		return rc;
	if (o.model && strcmp(o.model, models[0]) && strcmp(o.model, models[1])) {
		fprintf(stderr, "outboard-bench-net: no model \"%s\": e1000e or e1000-82545em\n",
			o.model);
		return 2;
	}
	if (!settle_rounds(&o.rounds) || o.burst > BURST_MAX) {
		usage(stderr);
		return 2;
	}
	if (o.instructions)
		return count_instructions(&o);
	choose_cpus(&o.rounds);
	return compare(&o);
}
