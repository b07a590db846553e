/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A native driver under a device that is its adversary: bound, used in each way that its class has, unbound, in one process and without
 * waiting. However the device behaves,
 *
 * - a probe that fails leaves nothing, and one that succeeds can be undone;
 * - each request and each frame that was taken ends once, and a request with a status;
 * - when the driver is gone, none of the device's memory is allocated or mapped, and the DMA debug mode has nothing to report;
 * - nothing waits for ever.
 *
 * A device that does nothing unusual is used without an error.
 *
 * Time is made up: it moves when somebody looks at the clock or sleeps, so that half a minute of time-outs passes at once and the same input
 * takes the same way. The linker puts the functions __wrap_* here in the place of the ones that a driver calls (meson.build).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "access/fuzz/fuzz.h"
#include "drivers/beep/beep.h"
#include "drivers/edu/edu.h"
#include "fuzz/driver.h"
#include "fuzz/made_up_time.h"

enum {
	HEADER = 8,
	FRAMES = 64,
	BURST = 16,
	REQUESTS = 24,
	ROUNDS = 12,
	BUFFER = 16384,
	/* Ticks within which a driver has to end whatever it took, through all resets it may try. */
	PATIENCE = 20000,
	VALUES = 400,
	LINES = 64,
};

/* ---- time ------------------------------------------------------------------------------------- */

/* Only the thread that runs inputs has made-up time; libFuzzer's own sleep. */
static __thread bool made_up;
static struct made_up_time made_up_clock;

uint64_t __real_ob_clock_ns(void);
uint64_t __wrap_ob_clock_ns(void);
int __real_usleep(useconds_t us);
int __wrap_usleep(useconds_t us);
int __real_nanosleep(const struct timespec *ts, struct timespec *rem);
int __wrap_nanosleep(const struct timespec *ts, struct timespec *rem);
int __wrap_sched_yield(void);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);

uint64_t __wrap_ob_clock_ns(void)
{
	if (!made_up)
		return __real_ob_clock_ns();
	return made_up_look(&made_up_clock);
}

int __wrap_usleep(useconds_t us)
{
	if (!made_up)
		return __real_usleep(us);
	made_up_sleep(&made_up_clock, (uint64_t)us * 1000);
	return 0;
}

int __wrap_nanosleep(const struct timespec *ts, struct timespec *rem)
{
	if (!made_up)
		return __real_nanosleep(ts, rem);
	made_up_sleep(&made_up_clock, (uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec);
	return 0;
}

/* Who yields waits for somebody. */
int __wrap_sched_yield(void)
{
	if (made_up)
		made_up_sleep(&made_up_clock, 0);
	return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	int got;

	if (!made_up)
		return __real_poll(fds, n, timeout);
	got = __real_poll(fds, n, 0);
	if (got || !timeout)
		return got;
	/* Nobody else runs: what is not there now never comes. */
	CHECK(timeout > 0);
	made_up_sleep(&made_up_clock, (uint64_t)timeout * 1000000);
	return 0;
}

/* One thread, or the same input would not take the same way. A driver that needs one more says that it cannot be. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	return made_up ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

/* ---- what all have ---------------------------------------------------------------------------- */

/**
 * struct run - one input
 * @how: its first bytes
 * @sound: the device does nothing unusual
 */
struct run {
	struct ob_device *dev;
	struct ob_dma *dma;
	uint8_t how[HEADER];
	bool sound;
};

/* For somebody who looks at one input: OUTBOARD_LOG=1. Else a device that lies fills the terminal. */
static void log_line(void *arg, enum ob_log_level level, const char *line)
{
	if (getenv("OUTBOARD_LOG"))
		fprintf(stderr, "%llu ms: %s\n", (unsigned long long)made_up_clock.now / 1000000,
			line);
}

static uint64_t clock_now(void)
{
	made_up_clock.looks = 0;
	return ob_clock_ns();
}

/* ---- network ---------------------------------------------------------------------------------- */

static void check_frames(struct ob_pkt **pkts, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		for (struct ob_pkt *p = pkts[i]; p; p = p->next) {
			CHECK(p->len);
			CHECK(p->data >= p->buf && p->data + p->len <= p->buf + p->buf_size);
			p->data[0] ^= 1;
			p->data[p->len - 1] ^= 1;
		}
		ob_pkt_free(pkts[i]);
	}
}

static struct ob_pkt *frame(struct ob_pool *pool, unsigned int kind)
{
	static const uint8_t tcp[54] = {
		[12] = 8, [14] = 0x45, [17] = 40, [22] = 64, [23] = 6, [46] = 0x50};
	static const uint8_t tcp6[74] = {
		[12] = 0x86, [13] = 0xdd, [14] = 0x60, [20] = 6, [21] = 64, [66] = 0x50};
	struct ob_pkt *p = ob_pkt_alloc(pool), *more;

	if (!p)
		return NULL;
	ob_pkt_reset(p);
	memset(p->data, (int)kind, 2000);
	memcpy(p->data, tcp, sizeof(tcp));
	p->len = 60 + kind * 7 % 1400;
	switch (kind % 8) {
	case 1: /* checksum of TCP */
		p->flags = OB_PKT_CSUM_PARTIAL;
		p->csum_start = 34;
		p->csum_offset = 16;
		break;
	case 2: /* of what no header explains */
		p->flags = OB_PKT_CSUM_PARTIAL;
		p->csum_start = (uint16_t)(kind * 11);
		p->csum_offset = (uint16_t)(kind * 3);
		break;
	case 3: /* segments, of several buffers */
		p->gso_type = OB_GSO_TCPV4;
		p->gso_size = 500;
		p->hdr_len = 54;
		p->len = 1500;
		/* fall through */
	case 4:
		more = ob_pkt_alloc(pool);
		if (!more)
			break;
		ob_pkt_reset(more);
		more->len = 1000;
		p->next = more;
		break;
	case 5:
		p->len = kind / 8; /* too short for a frame */
		break;
	case 6: /* segments over IPv6, which some have to cut themselves */
		memcpy(p->data, tcp6, sizeof(tcp6));
		p->gso_type = OB_GSO_TCPV6;
		p->gso_size = 300;
		p->hdr_len = sizeof(tcp6);
		p->len = 1500;
		break;
	default:
		break;
	}
	return p;
}

static void ask(struct run *r, struct ob_net *net)
{
	const struct ob_net_ops *ops = net->ops;
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1},
			     group[2][6] = {{1, 0, 0x5e}, {0x33, 0x33}};
	struct ob_net_value v[VALUES];
	struct ob_net_stats stats;
	struct ob_net_link link;
	struct ob_net_ring ring;
	uint8_t bytes[128];
	int n;

	ops->link(net, &link);
	ops->stats(net, &stats);
	ops->ring(net, &ring);
	CHECK(ring.rx && ring.tx);
	n = ops->registers(net, v, VALUES);
	CHECK(n <= VALUES);
	n = ops->counters(net, v, VALUES);
	CHECK(n <= VALUES);
	n = ops->eeprom(net, r->how[4], bytes, sizeof(bytes));
	CHECK(!r->sound || n >= 0 || r->how[4]);
	ops->phy_read(net, r->how[4] & 31);
	ops->phy_write(net, 4, 0x0de1);
	ops->set_mac(net, mac);
	ops->set_promisc(net, r->how[4] & 1);
	ops->set_multicast(net, group, 2);
	ops->set_mtu(net, r->how[4] & 2 ? 9000 : 1500);
}

static void use_net(struct run *r, struct ob_net *net)
{
	struct ob_net_test tests[8];
	struct ob_pkt *pkts[BURST];
	struct ob_pool *pool;
	unsigned int n, sent;
	int ret;

	CHECK(!ob_pool_create(r->dma, FRAMES, 2048 + 64, 64, 64, &pool));
	for (unsigned int life = 0; life < 2; life++) {
		ret = ob_net_start(net, NULL);
		CHECK(!r->sound || !ret);
		for (unsigned int round = 0; !ret && round < ROUNDS; round++) {
			for (n = 0; n < BURST; n++) {
				pkts[n] = frame(pool, n + round * 5 + r->how[3]);
				if (!pkts[n])
					break;
			}
			sent = ob_net_tx_burst(net, 0, pkts, n);
			CHECK(sent <= n);
			while (n > sent)
				ob_pkt_free(pkts[--n]);
			n = ob_net_rx_burst(net, 0, pkts, BURST);
			CHECK(n <= BURST);
			check_frames(pkts, n);
			if (net->ops->irq_arm(net, 0, true) && r->how[2] & 1)
				net->ops->irq_arm(net, 0, false);
			made_up_clock.now += round & 1 ? 700000000 : 0;
			net->ops->tick(net, clock_now());
			if (round == 5)
				ask(r, net);
			if (round == 7 && r->how[2] & 2)
				net->ops->self_test(net, tests, 8);
		}
		if (!ret)
			ob_net_stop(net);
		/* Nothing is with the device any more, neither of the client's buffers nor of the driver's own. */
		CHECK(pool->n == pool->size);
		CHECK(net->rx_pool[0]->n == net->rx_pool[0]->size);
	}
	ob_pool_destroy(pool);
}

/* ---- block ------------------------------------------------------------------------------------ */

/* A request, whether somebody has it, and how often it came back. */
struct asked {
	struct ob_block_req req;
	bool out;
};

/* Kinds that are right, and some that are wrong: the class refuses these, and they end like the others. */
static void fill(struct run *r, const struct ob_block *blk, struct asked *a, unsigned int i,
		 uint8_t *memory)
{
	static const uint8_t ops[] = {OB_BLOCK_WRITE, OB_BLOCK_READ,	     OB_BLOCK_WRITE,
				      OB_BLOCK_FLUSH, OB_BLOCK_DISCARD,	     OB_BLOCK_READ,
				      OB_BLOCK_READ,  OB_BLOCK_WRITE_ZEROES, 77};
	uint32_t bs = blk->limits.block_size;

	a->req = (struct ob_block_req){
		.op = ops[(i + r->how[3]) % sizeof(ops)],
		.len = bs * (1 + i % 7),
		.offset = (uint64_t)bs * (i * 7 % 64),
		.buf = memory + (i & 3) * 4096 + (r->how[4] & 1 ? i : 0),
		.user = a,
	};
	if (a->req.op == OB_BLOCK_FLUSH)
		a->req.len = 0;
	if ((a->req.op == OB_BLOCK_WRITE || a->req.op == OB_BLOCK_WRITE_ZEROES) && i & 4)
		a->req.flags = OB_BLOCK_FUA;
	if (i % 11 == 10)
		a->req.offset = blk->limits.size;
	if (a->req.len > blk->limits.max_transfer)
		a->req.len = bs;
	if (a->req.len > BUFFER)
		a->req.len = BUFFER;
}

static unsigned int collect(struct run *r, struct ob_block *blk, unsigned int queue)
{
	struct ob_block_req *got[REQUESTS];
	/* All at once, or one by one, which takes as many rounds as a queue that is busy. */
	unsigned int most = r->how[5] & 1 ? 1 : REQUESTS;
	unsigned int n = ob_block_complete(blk, queue, got, most);

	CHECK(n <= most);
	for (unsigned int i = 0; i < n; i++) {
		struct asked *a = got[i]->user;

		CHECK(&a->req == got[i] && a->out);
		CHECK(a->req.status <= 0 && a->req.status > -4096);
		CHECK(!r->sound || !a->req.status || a->req.status == -ERANGE ||
		      a->req.status == -EOPNOTSUPP || a->req.status == -ECANCELED);
		a->out = false;
	}
	return n;
}

static unsigned int give(struct run *r, struct ob_block *blk, unsigned int queue, struct asked *all,
			 uint8_t *memory)
{
	struct ob_block_req *reqs[REQUESTS];
	unsigned int n;

	for (unsigned int i = 0; i < REQUESTS; i++) {
		fill(r, blk, &all[i], i, memory);
		reqs[i] = &all[i].req;
		all[i].out = true;
	}
	n = ob_block_submit(blk, queue, reqs, REQUESTS);
	CHECK(n <= REQUESTS);
	for (unsigned int i = n; i < REQUESTS; i++)
		all[i].out = false;
	return n;
}

static void tick(struct ob_block *blk)
{
	made_up_clock.now += 100000000;
	if (blk->ops->tick)
		blk->ops->tick(blk, clock_now());
}

static void use_queue(struct run *r, struct ob_block *blk, unsigned int queue, uint8_t *memory)
{
	static struct asked all[REQUESTS];
	unsigned int left = give(r, blk, queue, all, memory);

	for (unsigned int i = 0; left; i++) {
		unsigned int n = collect(r, blk, queue);

		CHECK(i < PATIENCE);
		left -= n;
		if (left && blk->ops->irq_arm && i & 1 && !blk->ops->irq_arm(blk, queue, true))
			blk->ops->irq_arm(blk, queue, false);
		/* Who does not collect for as long as a time-out, is not told of a completion but of that. */
		if (!n)
			tick(blk);
	}
	/* And some that are with the device when it is stopped. */
	left = give(r, blk, queue, all, memory);
	ob_block_stop(blk);
	for (unsigned int n = collect(r, blk, queue); n; n = collect(r, blk, queue))
		left -= n;
	CHECK(!left);
}

static void use_block(struct run *r, struct ob_block *blk)
{
	static uint8_t outside[2 * BUFFER + 4096];
	uint8_t *memory = ob_dma_alloc(r->dma, 2 * BUFFER + 4096, 4096, "client", NULL);
	struct ob_block_stats stats;
	int ret;

	CHECK(memory);
	for (unsigned int queue = 0; queue < blk->limits.queues; queue++) {
		ret = ob_block_start(blk, NULL);
		CHECK(!r->sound || !ret);
		if (ret)
			continue;
		use_queue(r, blk, queue, r->how[4] & 2 ? outside : memory);
		ob_block_stats(blk, &stats);
	}
	ret = ob_block_start(blk, NULL);
	if (!ret) {
		memset(memory, 0x5a, 8192);
		ret = ob_block_rw(blk, 0, OB_BLOCK_WRITE, 0, 0, memory, 8192);
		memset(memory, 0, 8192);
		if (!ret)
			ret = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, 0, memory, 8192);
		CHECK(!r->sound || (!ret && memory[0] == 0x5a && memory[8191] == 0x5a));
		ob_block_stop(blk);
	}
	ob_dma_free(r->dma, memory);
}

/* ---- character devices -------------------------------------------------------------------------- */

static void use_char(struct run *r, struct ob_char *chr)
{
	static const char *const lines[] = {"5", "440", "0", "", "x", "99999999999999999999"};
	const struct ob_char_ops *ops = chr->ops;
	uint8_t buf[256];
	char reply[64];

	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int cmd = 0; ops->ioctl && cmd < 8; cmd++) {
			uint64_t val = round ? r->how[3] : cmd == EDU_RAISE ? 1 : 5;

			clock_now();
			ops->ioctl(chr, cmd, &val);
		}
		for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			clock_now();
			CHECK(ops->answer(chr, lines[i], reply, sizeof(reply)) <=
			      (long)sizeof(reply));
		}
		if (ops->write)
			ops->write(chr, buf, sizeof(buf), r->how[4] * 16u);
		if (ops->read)
			CHECK(ops->read(chr, buf, sizeof(buf), r->how[4] * 16u) <=
			      (long)sizeof(buf));
	}
}

/* ---- mutation ----------------------------------------------------------------------------------- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

/* xorshift (Marsaglia 2003) */
static uint32_t draw(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void random_record(uint8_t *r, uint32_t *rng)
{
	uint32_t value = draw(rng), wait = draw(rng);

	/* Interesting values are small, all ones, one bit, or anything; waits mostly short. */
	switch (draw(rng) % 5) {
	case 0:
		value &= 0xff;
		break;
	case 1:
		value = UINT32_MAX;
		break;
	case 2:
		value = 1u << (value & 31);
		break;
	case 3:
		value = 0;
		break;
	default:
		break;
	}
	wait &= wait >> 30 ? 0x3f : 0x7ff;
	r[0] = (uint8_t)(draw(rng) % FUZZ_WHATS);
	r[1] = (uint8_t)(draw(rng) & (draw(rng) & 1 ? 0xff : 3));
	r[2] = (uint8_t)wait;
	r[3] = (uint8_t)(wait >> 8);
	memcpy(r + 4, &value, 4);
}

/* Records as wholes: bytes that are moved by one make another input of everything behind them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	uint32_t rng = seed | 1;
	size_t n, at;

	if (max < HEADER + FUZZ_RECORD)
		return LLVMFuzzerMutate(data, size, max);
	if (size < HEADER)
		memset(data + size, 0, HEADER - size);
	n = size < HEADER ? 0 : (size - HEADER) / FUZZ_RECORD;
	at = HEADER + (n ? draw(&rng) % n : 0) * FUZZ_RECORD;
	size = HEADER + n * FUZZ_RECORD;
	switch (draw(&rng) % 8) {
	case 0: /* how the driver is used */
		LLVMFuzzerMutate(data, HEADER, HEADER);
		break;
	case 1: /* one less */
		if (!n)
			break;
		memmove(data + at, data + at + FUZZ_RECORD, size - at - FUZZ_RECORD);
		size -= FUZZ_RECORD;
		break;
	case 2: /* another one */
		if (n)
			random_record(data + at, &rng);
		break;
	case 3: /* something of one */
		if (n)
			LLVMFuzzerMutate(data + at, FUZZ_RECORD, FUZZ_RECORD);
		break;
	case 4: /* earlier or later */
		if (n)
			data[at + 2] = (uint8_t)(data[at + 2] + draw(&rng) % 9 - 4);
		break;
	default: /* one more */
		if (size + FUZZ_RECORD > max)
			break;
		memmove(data + at + FUZZ_RECORD, data + at, size - at);
		random_record(data + at, &rng);
		size += FUZZ_RECORD;
		break;
	}
	return size;
}

/* ---- one input ---------------------------------------------------------------------------------- */

static void use(struct run *r, struct ob_binding *b)
{
	struct ob_selftest_line lines[LINES];
	int n;

	if (b->net)
		use_net(r, b->net);
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		use_block(r, b->block[i]);
	if (b->chr)
		use_char(r, b->chr);
	if (!(r->how[2] & 4))
		return;
	clock_now();
	n = b->driver->selftest(b, lines, LINES);
	CHECK(n <= LINES);
	for (int i = 0; r->sound && i < n; i++)
		CHECK(lines[i].result >= 0);
}

static struct ob_driver_config config_of(const uint8_t *how)
{
	static const enum ob_irq_kind kinds[] = {OB_IRQ_NONE, OB_IRQ_NONE, OB_IRQ_INTX, OB_IRQ_MSI,
						 OB_IRQ_MSIX};

	return (struct ob_driver_config){
		.mode = how[0] & 2 ? OB_MODE_POLL : OB_MODE_ADAPTIVE,
		.queues = 1 + (how[0] >> 2 & 1),
		.depth = 16u << (how[0] >> 3 & 1),
		.irq_kind = kinds[(how[0] >> 4) % 5],
		.timeout_ms = 500,
	};
}

/* A device that spoils the commands it is given writes where these say, which is nobody's fault but its own. */
static bool spoils_commands(const uint8_t *data, size_t size)
{
	for (size_t i = HEADER; i + FUZZ_RECORD <= size; i += FUZZ_RECORD)
		if (data[i] % FUZZ_WHATS == FUZZ_MEMORY)
			return true;
	return false;
}

int fuzz_driver(const char *const *models, unsigned int n, const uint8_t *data, size_t size)
{
	struct ob_driver_config config;
	struct ob_binding *b = NULL;
	struct ob_dma_stats stats;
	struct ob_error err = {0};
	struct run r = {0};
	int ret;

	memcpy(r.how, data, size < HEADER ? size : HEADER);
	r.sound = size < HEADER + FUZZ_RECORD;
	made_up = true;
	made_up_clock = (struct made_up_time){.now = 1000000000};
	config = config_of(r.how);
	CHECK(!ob_device_open(models[r.how[6] % n], &r.dev, &err));
	ob_device_set_log(r.dev, log_line, NULL);
	r.dma = ob_device_dma(r.dev);
	if (r.how[1] & 1 && !spoils_commands(data, size))
		CHECK(!ob_dma_debug(r.dma));
	if (!r.sound)
		CHECK(!ob_fuzz_input(r.dev, data + HEADER, size - HEADER) ||
		      size - HEADER > FUZZ_INPUT_MAX);
	for (unsigned int life = 0; life < 2; life++) {
		ret = ob_driver_bind(r.dev, NULL, &config, &b, &err);
		/* Some kinds of interrupts these devices have not. */
		CHECK(!r.sound || !ret || config.irq_kind);
		if (!ret) {
			use(&r, b);
			ob_driver_unbind(b);
		}
		ob_dma_stats(r.dma, &stats);
		CHECK(!stats.allocated && !stats.mapped);
		CHECK(!ob_dma_debug_reports(r.dma));
	}
	ob_device_close(r.dev);
	made_up = false;
	return 0;
}
