/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-inprocess --spec SPEC --test TEST [--driver NAME]: a driver in the program that uses its device, polled: what
 * bench/client.c does through the kernel, without it. The same counts, places and marks (rig/marker.h).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "bench/marked.h"
#include "bench/program.h"

enum {
	DEPTH_MAX = 256,
	POOL = 512,
	/* Nothing may be waited for longer than this without a single completion. */
	PATIENCE_NS = 1000000000,
	PATIENCE_LOOKS = 1 << 16,
};

static const char *spec, *test, *driver_name, *op = "read", *wait_way = "sleep";
static unsigned int size = 4096, depth = 32, pace, queues = 1;
static bool soak;
static uint64_t count = 20000;

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-inprocess --spec SPEC --test disk|maps|frames|forward|echo [options]; prints a line of JSON\n"
		"  maps: --size bytes of heap memory are mapped for the device and unmapped\n"
		"  forward: --depth frames are sent once; what comes is sent back, until that were --count\n"
		"  echo: each UDP datagram goes back to who sent it, until the program is ended; prints that it is ready\n"
		"  --driver NAME     one that is loaded: linux:nvme, or a path (the one that knows the device)\n"
		"  --op read|write   of disks (read)\n"
		"  --size N          bytes of a request (4096) or of a frame\n"
		"  --depth N         requests in flight, frames in a burst (32)\n"
		"  --queues N        of a disk, each with a thread of its own, --depth in flight and its part of --count (1)\n"
		"  --pace N          of disks: at most so many requests begin in a second\n"
		"  --soak            what a thread of the lowest rank gets of the processor meanwhile is \"available\"\n"
		"  --wait sleep|poll|pause  for a disk's requests, for frames that come: on the interrupt, as the kernel does\n"
		"                    (sleep), by looking again and again, or, for a disk, by looking when they are there\n"
		"  --count N         operations (20000); a tenth of them before, to warm up\n");
}

static int fail(const char *what)
{
	fprintf(stderr, "outboard-bench-inprocess: %s\n", what);
	return 1;
}

struct patience {
	uint64_t looks, since;
};

/* A device that answers no more ends the run. The clock is asked seldom: it is not what is measured. */
static bool out_of_patience(struct patience *p)
{
	if (++p->looks % PATIENCE_LOOKS)
		return false;
	if (p->looks == PATIENCE_LOOKS) {
		p->since = ob_clock_ns();
		return false;
	}
	return ob_clock_ns() - p->since > PATIENCE_NS;
}

/* ---- a disk ------------------------------------------------------------------------- */

struct disk {
	struct ob_block *blk;
	struct ob_block_req req[DEPTH_MAX];
	char *buf;
	uint64_t blocks, next;
	unsigned int queue;
	/* Where queues have threads. */
	pthread_t thread;
	uint64_t share;
	int failed;
	/* An operation that is longer than the disk takes at once is so many requests of so many bytes, as the kernel splits it. */
	unsigned int parts, part;
};

static void choose_place(struct disk *d, struct ob_block_req *req)
{
	uint64_t block;

	marked_pace(pace);
	block = size >= 65536 ? d->next++ % d->blocks : marked_random() % d->blocks;

	req->offset = block * d->part;
}

/* Until an interrupt. False when none comes. */
static bool sleep_on(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t counted;

	if (poll(&pfd, 1, PATIENCE_NS / 1000000) != 1)
		return false;
	/* A kernel's driver has an epoll descriptor, which takes care of what is in it. */
	return read(fd, &counted, sizeof(counted)) >= 0 || errno == EINVAL;
}

static bool sleep_for(const struct disk *d)
{
	struct ob_block *blk = d->blk;
	bool woken = blk->ops->irq_arm(blk, d->queue, true) || sleep_on(blk->irq_fd[d->queue]);

	blk->ops->irq_arm(blk, d->queue, false);
	return woken;
}

static int run_disk(void *of, uint64_t n)
{
	struct disk *d = of;
	bool sleeps = wait_way[0] == 's', pauses = !strcmp(wait_way, "pause");
	struct ob_block_req *free_reqs[DEPTH_MAX], *ended[DEPTH_MAX];
	uint64_t queued = 0, done = 0;
	unsigned int nr_free = depth;
	struct patience p = {0};

	n *= d->parts;
	for (unsigned int i = 0; i < depth; i++)
		free_reqs[i] = &d->req[i];
	while (done < n) {
		unsigned int want = nr_free, got;

		if (want > n - queued)
			want = (unsigned int)(n - queued);
		for (unsigned int i = 0; i < want; i++)
			choose_place(d, free_reqs[nr_free - want + i]);
		if (want) {
			got = ob_block_submit(d->blk, d->queue, &free_reqs[nr_free - want], want);
			if (got != want)
				return fail("the queue is shorter than --depth");
			queued += want;
			nr_free -= want;
			/* As client.c does with --polled. */
			if (pauses)
				marked_pause(want * (200 + d->part / 100));
		}
		got = ob_block_complete(d->blk, d->queue, ended, depth);
		for (unsigned int i = 0; i < got; i++) {
			if (ended[i]->status)
				return fail("a request failed");
			free_reqs[nr_free++] = ended[i];
		}
		done += got;
		if (got)
			p.looks = 0;
		else if (sleeps ? !sleep_for(d) : out_of_patience(&p))
			return fail("the disk does not answer");
	}
	return 0;
}

static void *run_queue(void *of)
{
	struct disk *d = of;

	d->failed = run_disk(d, d->share);
	return NULL;
}

static int run_queues(void *of, uint64_t n)
{
	struct disk *d = of;
	int ret = 0;

	for (unsigned int i = 0; i < queues; i++) {
		d[i].share = n / queues;
		if (pthread_create(&d[i].thread, NULL, run_queue, &d[i]))
			return fail("no thread for a queue");
	}
	for (unsigned int i = 0; i < queues; i++) {
		pthread_join(d[i].thread, NULL);
		ret |= d[i].failed;
	}
	return ret;
}

static int prepare_disk(struct disk *d, struct ob_binding *b, unsigned int queue)
{
	if (!b->nr_blocks)
		return fail("this device is no disk");
	d->blk = b->block[0];
	d->queue = queue;
	if (queue >= d->blk->limits.queues)
		return fail("the disk has fewer queues");
	for (d->parts = 1; size / d->parts > d->blk->limits.max_transfer; d->parts *= 2)
		;
	d->part = size / d->parts;
	d->buf = ob_dma_alloc(d->blk->dma, (size_t)depth * d->part, 4096, "payload", NULL);
	d->blocks = d->blk->limits.size / d->part;
	if (!d->buf || !d->blocks || d->part * d->parts != size)
		return fail("--size or --depth is too large for this disk");
	memset(d->buf, 0x5a, (size_t)depth * d->part);
	for (unsigned int i = 0; i < depth; i++)
		d->req[i] = (struct ob_block_req){
			.op = op[0] == 'w' ? OB_BLOCK_WRITE : OB_BLOCK_READ,
			.buf = d->buf + (size_t)i * d->part,
			.len = d->part,
		};
	return 0;
}

/* ---- frames --------------------------------------------------------------------------- */

struct frames {
	struct ob_net *net;
	struct ob_pool *pool;
	bool started;
	uint64_t done; /* sent back */
};

static int run_frames(void *of, uint64_t n)
{
	struct frames *f = of;
	/* The same frames as client.c's. */
	static const uint8_t header[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
	struct ob_pkt *pkts[DEPTH_MAX];
	struct patience p = {0};
	unsigned int held = 0;
	uint64_t sent = 0;

	while (sent < n) {
		unsigned int want = n - sent < depth ? (unsigned int)(n - sent) : depth, took;

		for (; held < want; held++) {
			struct ob_pkt *pkt = ob_pkt_alloc(f->pool);

			if (!pkt)
				break;
			ob_pkt_reset(pkt);
			pkt->len = size;
			memcpy(pkt->data, header, sizeof(header));
			pkts[held] = pkt;
		}
		took = ob_net_tx_burst(f->net, 0, pkts, held);
		sent += took;
		held -= took;
		memmove(pkts, pkts + took, held * sizeof(struct ob_pkt *));
		if (took)
			p.looks = 0;
		else if (out_of_patience(&p))
			return fail("the card sends no more");
	}
	while (held)
		ob_pkt_free(pkts[--held]);
	return 0;
}

/* What has come goes back, after a look at each frame, as a forwarder has it. */
static int send_back(struct frames *f, struct ob_pkt **pkts, unsigned int n)
{
	struct patience p = {0};

	for (unsigned int i = 0; i < n; i++)
		pkts[i]->data[6] ^= 2; /* of the sender's address, as ixy's forwarder does */
	while (n) {
		unsigned int took = ob_net_tx_burst(f->net, 0, pkts, n);

		f->done += took;
		pkts += took;
		n -= took;
		if (!took && out_of_patience(&p))
			return fail("the card sends no more");
	}
	return 0;
}

static int send_first(struct frames *f)
{
	struct ob_pkt *pkts[DEPTH_MAX];

	for (unsigned int i = 0; i < depth; i++) {
		pkts[i] = ob_pkt_alloc(f->pool);
		ob_pkt_reset(pkts[i]);
		pkts[i]->len = size;
		memset(pkts[i]->data, 0, size);
		memset(pkts[i]->data, 0xff, 6); /* to all: each card takes it */
		memcpy(pkts[i]->data + 12, "\x88\xb5", 2);
	}
	f->started = true;
	return send_back(f, pkts, depth);
}

/* Addresses and ports change places; that leaves both checksums as they were. */
static bool turn_round(struct ob_pkt *pkt)
{
	enum {
		ETHERTYPE = 12,
		IP = 14,
		IP_PROTOCOL = IP + 9,
		IP_FROM = IP + 12,
		UDP = IP + 20,
		LEAST = UDP + 8,
	};
	uint8_t was[6], *p = pkt->data;

	/* IPv4 without options, UDP, in one piece */
	if (pkt->next || pkt->len < LEAST || p[ETHERTYPE] != 8 || p[ETHERTYPE + 1] ||
	    p[IP] != 0x45 || p[IP_PROTOCOL] != 17)
		return false;
	memcpy(was, p, 6);
	memcpy(p, p + 6, 6);
	memcpy(p + 6, was, 6);
	memcpy(was, p + IP_FROM, 4);
	memcpy(p + IP_FROM, p + IP_FROM + 4, 4);
	memcpy(p + IP_FROM + 4, was, 4);
	memcpy(was, p + UDP, 2);
	memcpy(p + UDP, p + UDP + 2, 2);
	memcpy(p + UDP + 2, was, 2);
	pkt->flags = 0;
	return true;
}

static volatile sig_atomic_t ended;

static void end(int number)
{
	ended = number;
}

static int run_echo(struct frames *f)
{
	struct ob_pkt *pkts[DEPTH_MAX];
	bool armed = false;

	signal(SIGTERM, end);
	printf("ready\n");
	fflush(stdout);
	while (!ended) {
		unsigned int got = ob_net_rx_burst(f->net, 0, pkts, depth), kept = 0;

		for (unsigned int i = 0; i < got; i++) {
			if (turn_round(pkts[i]))
				pkts[kept++] = pkts[i];
			else
				ob_pkt_free(pkts[i]);
		}
		for (unsigned int sent = 0; sent < kept && !ended;)
			sent += ob_net_tx_burst(f->net, 0, pkts + sent, kept - sent);
		if (got) {
			armed = false;
		} else if (!armed) {
			/* What came before it was armed makes no interrupt in every driver: one more look. */
			armed = !f->net->ops->irq_arm(f->net, 0, true);
		} else {
			struct pollfd pfd = {.fd = f->net->irq_fd[0], .events = POLLIN};

			if (poll(&pfd, 1, PATIENCE_NS / 1000000) == 1 &&
			    !sleep_on(f->net->irq_fd[0]))
				return fail("the interrupt is gone");
			armed = false;
		}
	}
	return 0;
}

static int run_forward(void *of, uint64_t n)
{
	struct ob_pkt *pkts[DEPTH_MAX];
	struct frames *f = of;
	bool sleeps = wait_way[0] == 's';
	struct patience p = {0};

	if (!f->started && send_first(f))
		return 1;
	f->done = 0;
	while (f->done < n) {
		unsigned int got = ob_net_rx_burst(f->net, 0, pkts, depth);

		if (got) {
			p.looks = 0;
			if (send_back(f, pkts, got))
				return 1;
		} else if (!sleeps) {
			if (out_of_patience(&p))
				return fail("no frame comes back");
		} else if (!f->net->ops->irq_arm(f->net, 0, true)) {
			/* What came before it was armed makes no interrupt in every driver: one more look. */
			got = ob_net_rx_burst(f->net, 0, pkts, depth);
			if (got ? send_back(f, pkts, got) : !sleep_on(f->net->irq_fd[0]))
				return fail("no frame comes back");
		}
	}
	return 0;
}

/* ---- all ------------------------------------------------------------------------------ */

static int measure(int (*run)(void *of, uint64_t n), void *of)
{
	const struct frames *f = of;
	const struct marked_load load = {test,	op,    size,
					 depth, count, run == run_forward ? &f->done : NULL};

	return marked_run(&load, run, of);
}

static int test_disk(struct ob_binding *b)
{
	static struct disk d[OB_BLOCK_QUEUES];
	struct ob_error err = {0};
	int ret = 0;

	for (unsigned int i = 0; i < queues && !ret; i++)
		ret = prepare_disk(&d[i], b, i);
	if (!ret && ob_block_start(d[0].blk, &err))
		ret = complain(&err);
	if (!ret) {
		ret = measure(queues == 1 ? run_disk : run_queues, d);
		ob_block_stop(d[0].blk);
	}
	for (unsigned int i = 0; i < queues; i++)
		ob_dma_free(ob_device_dma(b->dev), d[i].buf);
	return ret;
}

/* ---- memory for a device ---------------------------------------------------------------- */

struct maps {
	struct ob_dma *dma;
	void *memory;
};

static int run_maps(void *of, uint64_t n)
{
	struct maps *m = of;
	struct ob_dma_mapping map;

	for (; n; n--)
		if (ob_dma_map(m->dma, m->memory, size, OB_DMA_TO_DEVICE, &map) ||
		    ob_dma_unmap(&map))
			return fail("the memory is not mapped");
	return 0;
}

static int test_maps(struct ob_binding *b)
{
	struct maps m = {.dma = ob_device_dma(b->dev),
			 .memory = aligned_alloc(4096, (size + 4095) / 4096 * 4096)};
	int ret;

	if (!m.memory)
		return fail("no memory");
	memset(m.memory, 1, size);
	ret = measure(run_maps, &m);
	ob_dma_forget(m.dma, m.memory, size);
	free(m.memory);
	return ret;
}

static int test_frames(struct ob_binding *b)
{
	struct frames f = {.net = b->net};
	struct ob_error err = {0};
	int ret;

	if (!f.net)
		return fail("this device is no network card");
	if (ob_pool_create(ob_device_dma(b->dev), POOL, 2048, 0, 64, &f.pool))
		return fail("no memory for frames in the arena");
	if (ob_net_start(f.net, &err))
		ret = complain(&err);
	else {
		struct ob_net_link link = {0};

		/* Autonegotiation takes the models half a second; without a link nothing is sent. */
		for (unsigned int i = 0; i < 50 && !link.up; i++) {
			usleep(100000);
			if (f.net->ops->tick)
				f.net->ops->tick(f.net, ob_clock_ns());
			f.net->ops->link(f.net, &link);
		}
		if (test[0] == 'e')
			ret = run_echo(&f);
		else
			ret = measure(test[1] == 'o' ? run_forward : run_frames, &f);
		ob_net_stop(f.net);
	}
	ob_pool_destroy(f.pool);
	return ret;
}

int main(int argc, char **argv)
{
	const struct argument arguments[] = {
		{"spec", ARGUMENT_TEXT, &spec},		 {"test", ARGUMENT_TEXT, &test},
		{"driver", ARGUMENT_TEXT, &driver_name}, {"op", ARGUMENT_TEXT, &op},
		{"wait", ARGUMENT_TEXT, &wait_way},	 {"size", ARGUMENT_NUMBER, &size},
		{"depth", ARGUMENT_NUMBER, &depth},	 {"pace", ARGUMENT_NUMBER, &pace},
		{"queues", ARGUMENT_NUMBER, &queues},	 {"soak", ARGUMENT_FLAG, &soak},
		{"count", ARGUMENT_COUNT, &count},	 {NULL, 0, NULL},
	};
	int ret = read_arguments(argc, argv, arguments, usage);
	struct ob_driver_config config = {0};
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};
	struct ob_device *dev;
	struct ob_binding *b;
	bool frames;

	if (ret >= 0)
		return ret;
	frames = test &&
		 (!strcmp(test, "frames") || !strcmp(test, "forward") || !strcmp(test, "echo"));
	if (!spec || !test || (!frames && strcmp(test, "disk") != 0 && strcmp(test, "maps") != 0) ||
	    !depth || depth > DEPTH_MAX || !queues || queues > OB_BLOCK_QUEUES || !count || !size ||
	    size > (frames ? 1514 : 4u << 20)) {
		usage(stderr);
		return 2;
	}
	if (soak && marked_soak())
		return fail("no thread of the lowest rank");
	config.queues = queues;
	config.mode =
		!strcmp(test, "frames") || wait_way[0] == 'p' ? OB_MODE_POLL : OB_MODE_ADAPTIVE;
	if (driver_name && ob_driver_load(driver_name, &driver, &err))
		return complain(&err);
	if (ob_device_open(spec, &dev, &err))
		return complain(&err);
	if (ob_driver_bind(dev, driver, &config, &b, &err)) {
		ob_device_close(dev);
		return complain(&err);
	}
	ret = frames ? test_frames(b) : test[0] == 'm' ? test_maps(b) : test_disk(b);
	ob_driver_unbind(b);
	ob_device_close(dev);
	return ret;
}
