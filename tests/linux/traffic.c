/* SPDX-License-Identifier: BSD-2-Clause */
/* Traffic that knows what it sent (traffic.h). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/linux/traffic.h"

enum {
	WINDOW = 32, /* frames, or requests, under way */
	FRAME_MAX = 1514,
	FRAME_MIN = 60,
	HEAD = 14 + 8,	/* Ethernet's, and the serial number */
	LOST_MS = 500,	/* by then a frame has come back or never will */
	SLEEP_MS = 100, /* the tick's period */
	BLOCK = 4096,
	BLOCKS = 256,
};

/* ---- the cable's other end ----------------------------------------------------------------- */

static void *echo(void *arg)
{
	struct echo *e = arg;
	struct pollfd pfd[2] = {{.fd = e->own, .events = POLLIN},
				{.fd = e->stop, .events = POLLIN}};
	unsigned char frame[2048], address[6];

	for (;;) {
		ssize_t n;

		if (poll(pfd, 2, -1) < 0)
			continue;
		if (pfd[1].revents)
			return NULL;
		n = recv(e->own, frame, sizeof(frame), MSG_DONTWAIT);
		if (n < HEAD)
			continue;
		memcpy(address, frame, 6);
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, address, 6);
		/* A card that takes nothing more loses it, as on any cable. */
		if (send(e->own, frame, (size_t)n, MSG_DONTWAIT) < 0)
			continue;
	}
}

int echo_start(struct echo *e)
{
	int sv[2], ret;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	e->own = sv[0];
	e->fd = sv[1];
	e->stop = eventfd(0, EFD_CLOEXEC);
	if (e->stop < 0) {
		ret = -errno;
		goto close;
	}
	ret = -pthread_create(&e->thread, NULL, echo, e);
	if (!ret)
		return 0;
	close(e->stop);
close:
	close(sv[0]);
	close(sv[1]);
	return ret;
}

void echo_stop(struct echo *e)
{
	static const uint64_t one = 1;

	if (write(e->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(e->thread, NULL);
	close(e->stop);
	close(e->own);
	close(e->fd);
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Bytes that a number stands for: xorshift64 (Marsaglia 2003). */
static void fill(unsigned char *p, size_t len, uint64_t number)
{
	uint64_t x = number * 0x9e3779b97f4a7c15ull | 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (unsigned char)x;
	}
}

static bool is_filled(const unsigned char *p, size_t len, uint64_t number)
{
	unsigned char want[BLOCK];

	fill(want, len, number);
	return !memcmp(p, want, len);
}

/**
 * struct pace - when anything came back, and when to stop
 * @last: when something came back; @tick: when the driver was last called without a reason
 */
struct pace {
	uint64_t end, last, tick;
	unsigned int stall_ms;
};

static void pace_begin(struct pace *p, uint64_t ms, unsigned int stall_ms)
{
	uint64_t now = ob_clock_ms();

	*p = (struct pace){
		.end = ms ? now + ms : UINT64_MAX, .last = now, .tick = now, .stall_ms = stall_ms};
}

static void pace_progress(struct pace *p, struct traffic *t)
{
	uint64_t now = ob_clock_ms();

	if (now - p->last > t->longest_ms)
		t->longest_ms = now - p->last;
	p->last = now;
}

/* -ETIMEDOUT when nothing has come for too long. */
static int pace_check(const struct pace *p, struct traffic *t, struct ob_device *dev)
{
	uint64_t quiet = ob_clock_ms() - p->last;

	if (ob_device_gone(dev))
		return -ENODEV;
	if (quiet <= p->stall_ms)
		return 0;
	if (quiet > t->longest_ms)
		t->longest_ms = quiet;
	return -ETIMEDOUT;
}

/* ---- frames ------------------------------------------------------------------------------------ */

int wait_link(struct ob_net *net, unsigned int ms)
{
	uint64_t end = ob_clock_ms() + ms;
	struct ob_net_link link = {0};
	struct ob_pkt *pkts[16];

	while (!link.up) {
		unsigned int n = ob_net_rx_burst(net, 0, pkts, 16);

		while (n)
			ob_pkt_free(pkts[--n]);
		if (ob_clock_ms() > end)
			return -ETIMEDOUT;
		usleep(5000);
		net->ops->tick(net, ob_clock_ns());
		net->ops->link(net, &link);
	}
	return 0;
}

static unsigned int frame_len(uint64_t serial)
{
	return FRAME_MIN + (unsigned int)(serial * 2654435761u % (FRAME_MAX - FRAME_MIN + 1));
}

static void make_frame(struct ob_net *net, struct ob_pkt *pkt, uint64_t serial)
{
	static const uint8_t peer[6] = {2, 0, 0, 0, 0, 1};

	memcpy(pkt->data, peer, 6);
	memcpy(pkt->data + 6, net->mac, 6);
	pkt->data[12] = 0x88; /* an experiment (IEEE 802, local experimental EtherType 1) */
	pkt->data[13] = 0xb5;
	memcpy(pkt->data + 14, &serial, sizeof(serial));
	pkt->len = frame_len(serial);
	fill(pkt->data + HEAD, pkt->len - HEAD, serial);
}

/* What is under way: serial number and time of each. */
struct window {
	uint64_t serial[WINDOW], since[WINDOW];
	bool busy[WINDOW];
};

static unsigned int forget_lost(struct window *w, struct traffic *t, uint64_t now)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < WINDOW; i++) {
		if (w->busy[i] && now - w->since[i] > LOST_MS) {
			w->busy[i] = false;
			t->lost++;
		}
		left += w->busy[i];
	}
	return left;
}

static void take_frame(struct window *w, struct traffic *t, const struct ob_pkt *pkt)
{
	unsigned char frame[FRAME_MAX + 4];
	uint64_t serial;
	unsigned int len = 0, slot;

	for (const struct ob_pkt *s = pkt; s; s = s->next) {
		if (len + s->len > sizeof(frame))
			return;
		memcpy(frame + len, s->data, s->len);
		len += s->len;
	}
	if (len < HEAD || frame[12] != 0x88 || frame[13] != 0xb5)
		return;
	memcpy(&serial, frame + 14, sizeof(serial));
	slot = serial % WINDOW;
	if (serial >= t->serial || len != frame_len(serial) ||
	    !is_filled(frame + HEAD, len - HEAD, serial)) {
		t->wrong++;
		return;
	}
	if (!w->busy[slot] || w->serial[slot] != serial)
		return; /* later than we waited for it */
	w->busy[slot] = false;
	t->back++;
}

static void send_frames(struct ob_net *net, struct ob_pool *pool, struct window *w,
			struct traffic *t, uint64_t now)
{
	struct ob_pkt *pkts[WINDOW];
	unsigned int n = 0, taken;
	uint64_t serial = t->serial;

	while (n < WINDOW && !w->busy[serial % WINDOW]) {
		struct ob_pkt *pkt = ob_pkt_alloc(pool);

		if (!pkt)
			break;
		ob_pkt_reset(pkt);
		make_frame(net, pkt, serial);
		w->serial[serial % WINDOW] = serial;
		w->since[serial % WINDOW] = now;
		w->busy[serial % WINDOW] = true;
		serial++;
		pkts[n++] = pkt;
	}
	taken = ob_net_tx_burst(net, 0, pkts, n);
	for (unsigned int i = taken; i < n; i++) {
		w->busy[(t->serial + i) % WINDOW] = false;
		ob_pkt_free(pkts[i]);
	}
	t->serial += taken;
	t->sent += taken;
}

int net_traffic(struct ob_net *net, struct traffic *t, uint64_t count, uint64_t ms,
		unsigned int stall_ms)
{
	struct window w = {0};
	struct ob_pool *pool;
	struct pace pace;
	uint64_t begin = t->back;
	int ret;

	ret = ob_pool_create(ob_device_dma(net->dev), 2 * WINDOW, 2048, 64, 64, &pool);
	if (ret)
		return ret;
	pace_begin(&pace, ms, stall_ms);
	while (!ret && t->back - begin < count) {
		uint64_t now = ob_clock_ms(), before = t->back;
		struct ob_pkt *pkts[WINDOW];
		struct pollfd pfd = {.fd = net->irq_fd[0], .events = POLLIN};
		unsigned int n;

		if (now > pace.end)
			break;
		send_frames(net, pool, &w, t, now);
		n = ob_net_rx_burst(net, 0, pkts, WINDOW);
		while (n) {
			take_frame(&w, t, pkts[--n]);
			ob_pkt_free(pkts[n]);
		}
		if (t->back != before) {
			pace_progress(&pace, t);
			continue;
		}
		forget_lost(&w, t, now);
		if (now - pace.tick >= SLEEP_MS) {
			pace.tick = now;
			net->ops->tick(net, ob_clock_ns());
		}
		ret = pace_check(&pace, t, net->dev);
		if (!ret && !net->ops->irq_arm(net, 0, true) && poll(&pfd, 1, SLEEP_MS) < 0)
			ret = -errno;
		net->ops->irq_arm(net, 0, false);
	}
	/* The driver gives its frames back when it stops; whoever wants to go on starts it again. */
	ob_net_stop(net);
	ob_pool_destroy(pool);
	return ret;
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* Of each block in flight: what is read must be what was written last. */
struct slots {
	struct ob_block_req req[WINDOW];
	uint64_t number[WINDOW]; /* what the data stand for */
	unsigned int block[WINDOW];
	unsigned int free[WINDOW], n;
};

static unsigned int pick(struct traffic *t)
{
	t->seed = t->seed * 1103515245u + 12345u;
	return t->seed >> 16;
}

static void prepare(struct slots *s, unsigned int i, struct traffic *t, uint64_t *written,
		    bool *busy)
{
	unsigned int block;
	bool write;

	do
		block = pick(t) % BLOCKS;
	while (busy[block]);
	busy[block] = true;
	write = !written[block] || pick(t) & 1;
	s->block[i] = block;
	s->number[i] = write ? ++t->serial : written[block];
	s->req[i].op = write ? OB_BLOCK_WRITE : OB_BLOCK_READ;
	s->req[i].offset = (uint64_t)block * BLOCK;
	s->req[i].len = BLOCK;
	if (write)
		fill(s->req[i].buf, BLOCK, s->number[i]);
	else
		memset(s->req[i].buf, 0, BLOCK);
}

static void take_request(struct slots *s, struct ob_block_req *req, struct traffic *t,
			 uint64_t *written, bool *busy)
{
	unsigned int i = (unsigned int)(req - s->req), block = s->block[i];

	busy[block] = false;
	s->free[s->n++] = i;
	if (req->status) {
		t->lost++;
		/* Nobody knows what is there now. */
		if (req->op == OB_BLOCK_WRITE)
			written[block] = 0;
		return;
	}
	if (req->op == OB_BLOCK_WRITE)
		written[block] = s->number[i];
	else if (!is_filled(req->buf, BLOCK, s->number[i]))
		t->wrong++;
	t->back++;
}

int block_traffic(struct ob_block *blk, struct traffic *t, uint64_t count, uint64_t ms,
		  unsigned int stall_ms)
{
	uint64_t begin = t->back, written[BLOCKS] = {0};
	bool busy[BLOCKS] = {0};
	struct ob_block_req *reqs[WINDOW];
	struct slots *s;
	struct pace pace;
	unsigned char *memory;
	ob_iova iova;
	int ret = 0;

	s = calloc(1, sizeof(*s));
	memory = ob_dma_alloc(blk->dma, WINDOW * BLOCK, BLOCK, "traffic", &iova);
	if (!s || !memory) {
		ret = -ENOMEM;
		goto out;
	}
	for (unsigned int i = 0; i < WINDOW; i++) {
		s->req[i].buf = memory + (size_t)i * BLOCK;
		s->free[s->n++] = i;
	}
	pace_begin(&pace, ms, stall_ms);
	while (!ret) {
		struct pollfd pfd = {.fd = blk->irq_fd[0], .events = POLLIN};
		bool more = t->back - begin < count && ob_clock_ms() < pace.end;
		unsigned int n = 0, taken;

		if (!more && s->n == WINDOW)
			break;
		while (more && s->n) {
			unsigned int i = s->free[--s->n];

			prepare(s, i, t, written, busy);
			reqs[n++] = &s->req[i];
		}
		taken = ob_block_submit(blk, 0, reqs, n);
		t->sent += taken;
		for (unsigned int i = taken; i < n; i++) {
			unsigned int slot = (unsigned int)(reqs[i] - s->req);

			busy[s->block[slot]] = false;
			s->free[s->n++] = slot;
		}
		n = ob_block_complete(blk, 0, reqs, WINDOW);
		for (unsigned int i = 0; i < n; i++)
			take_request(s, reqs[i], t, written, busy);
		if (n) {
			pace_progress(&pace, t);
			continue;
		}
		if (ob_clock_ms() - pace.tick >= SLEEP_MS) {
			pace.tick = ob_clock_ms();
			blk->ops->tick(blk, ob_clock_ns());
		}
		ret = pace_check(&pace, t, blk->dev);
		if (!ret && !blk->ops->irq_arm(blk, 0, true) && poll(&pfd, 1, SLEEP_MS) < 0)
			ret = -errno;
		blk->ops->irq_arm(blk, 0, false);
	}
out:
	/* What is in flight ends with the disk. */
	ob_block_stop(blk);
	for (unsigned int n = 1; s && memory && n;)
		n = ob_block_complete(blk, 0, reqs, WINDOW);
	ob_dma_free(blk->dma, memory);
	free(s);
	return ret;
}
