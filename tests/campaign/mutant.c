/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mutant [--watch ADDRESS] [--timeout-ms N] DRIVER.so SPEC: use a driver that may be wrong, in a process of its own, and say how it went, in one word
 * and whether the instruction at ADDRESS (of the object) was executed:
 *
 *   passed   everything was done, and the data were right
 *   error    the driver or its class said that something failed
 *   wrong    data that came back were not those that had been written, or an answer was not the right one
 *   kept     all was done, but memory of the device was not given back
 *   crashed  by a signal (which)
 *   ended    it called exit
 *   hung     it did not end in time
 *
 * Whether an instruction is reached is told by a breakpoint that is taken out when it is. With a made-up device (fuzz:) time is made up, too: this
 * program's clock and sleep stand before the library's and libc's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "drivers/beep/beep.h"
#include "drivers/edu/edu.h"
#include "fuzz/made_up_time.h"

enum {
	PASSED = 10,
	ERROR,
	WRONG,
	KEPT,
	REQUESTS = 16,
	AREA = 256 << 10, /* of the disk, from its begin */
	FRAMES = 64,
	FRAME = 400,
	TICKS = 400,
	BREAKPOINT = 0xcc, /* SDM 2, INT3 */
	TIMEOUT_MS = 10000,
};

static void no_log(void *arg, enum ob_log_level level, const char *line)
{
}

/* ---- time --------------------------------------------------------------------------------------- */

static bool made_up;
static struct made_up_time made_up_clock = {.now = 1000000000};

uint64_t ob_clock_ns(void)
{
	struct timespec ts;

	if (made_up)
		return made_up_look(&made_up_clock);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int nanosleep(const struct timespec *ts, struct timespec *rem)
{
	if (!made_up)
		return (int)syscall(SYS_nanosleep, ts, rem);
	made_up_sleep(&made_up_clock, (uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec);
	return 0;
}

int usleep(useconds_t us)
{
	const struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	return nanosleep(&ts, NULL);
}

int sched_yield(void)
{
	if (!made_up)
		return (int)syscall(SYS_sched_yield);
	made_up_sleep(&made_up_clock, 0);
	return 0;
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	/* Nobody else makes anything readable; what waits for ever, waits. */
	int got = (int)syscall(SYS_poll, fds, n, made_up && timeout > 0 ? 0 : timeout);

	if (made_up && !got && timeout > 0)
		made_up_sleep(&made_up_clock, (uint64_t)timeout * 1000000);
	return got;
}

/* ---- whether an instruction was reached ---------------------------------------------------------- */

static struct {
	uint8_t *at, was;
	unsigned int *reached; /* shared with the parent */
} watch;

static void at_breakpoint(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if ((uint8_t *)uc->uc_mcontext.gregs[REG_RIP] != watch.at + 1) {
		/* One of the driver's own: what it would do without us. */
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	*watch.at = watch.was;
	__atomic_store_n(watch.reached, 1, __ATOMIC_SEQ_CST);
	uc->uc_mcontext.gregs[REG_RIP]--;
}

static int set_breakpoint(const struct ob_driver *driver, uint64_t address)
{
	long page = sysconf(_SC_PAGESIZE);
	struct sigaction act = {.sa_sigaction = at_breakpoint, .sa_flags = SA_SIGINFO};
	Dl_info info;
	uint8_t *start;

	if (!dladdr(driver, &info))
		return -EINVAL;
	watch.at = (uint8_t *)info.dli_fbase + address;
	start = (uint8_t *)((uintptr_t)watch.at & ~(uintptr_t)(page - 1));
	if (mprotect(start, 2 * (size_t)page, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	    mprotect(start, (size_t)page, PROT_READ | PROT_WRITE | PROT_EXEC))
		return -errno;
	if (sigaction(SIGTRAP, &act, NULL))
		return -errno;
	watch.was = *watch.at;
	*watch.at = BREAKPOINT;
	return 0;
}

/* ---- use -------------------------------------------------------------------------------------------- */

/* Bytes that tell where they belong: no two places, and no two rounds, have the same. */
static void fill(uint8_t *p, size_t len, uint64_t place, unsigned int round)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = ((place + i) * 0x9e3779b97f4a7c15ull) ^ round;

		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
}

static bool is_filled(const uint8_t *p, size_t len, uint64_t place, unsigned int round)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = ((place + i) * 0x9e3779b97f4a7c15ull) ^ round;

		if (memcmp(p + i, &v, len - i < 8 ? len - i : 8))
			return false;
	}
	return true;
}

/* The drivers' tick, as if a tenth of a second had passed. */
static uint64_t next_tick(void)
{
	if (made_up)
		made_up_sleep(&made_up_clock, 100000000);
	made_up_clock.looks = 0;
	return ob_clock_ns();
}

/* A burst, waited for by polling. Return: 0, or the first status that is none. */
static int burst(struct ob_block *blk, unsigned int queue, struct ob_block_req *reqs,
		 unsigned int n)
{
	struct ob_block_req *out[REQUESTS], *got[REQUESTS];
	unsigned int given = 0, back = 0;
	int status = 0;

	for (unsigned int i = 0; i < n; i++)
		out[i] = &reqs[i];
	while (back < n) {
		unsigned int k = ob_block_complete(blk, queue, got, REQUESTS);

		for (unsigned int i = 0; i < k && i < REQUESTS; i++)
			if (got[i]->status && !status)
				status = got[i]->status;
		back += k;
		if (given < n)
			given += ob_block_submit(blk, queue, out + given, n - given);
		if (!k && blk->ops->tick)
			blk->ops->tick(blk, next_tick());
	}
	/* More came back than were given. */
	return back > n ? -EBADMSG : status;
}

static int write_and_read(struct ob_block *blk, unsigned int queue, uint8_t *memory, uint32_t len,
			  unsigned int round)
{
	struct ob_block_req reqs[REQUESTS];
	unsigned int n = AREA / len < REQUESTS ? AREA / len : REQUESTS;
	int ret;

	for (unsigned int pass = 0; pass < 2; pass++) {
		for (unsigned int i = 0; i < n; i++) {
			reqs[i] = (struct ob_block_req){
				.op = pass ? OB_BLOCK_READ : OB_BLOCK_WRITE,
				.flags =
					!pass && i == 3 && ob_block_can_fua(blk) ? OB_BLOCK_FUA : 0,
				.offset = (uint64_t)i * len,
				.len = len,
				.buf = memory + (size_t)i * len,
			};
			if (pass)
				memset(reqs[i].buf, 0, len);
			else
				fill(reqs[i].buf, len, reqs[i].offset, round);
		}
		ret = burst(blk, queue, reqs, n);
		if (ret)
			return ERROR;
	}
	for (unsigned int i = 0; i < n; i++)
		if (!is_filled(memory + (size_t)i * len, len, (uint64_t)i * len, round))
			return WRONG;
	return PASSED;
}

static int use_block(struct ob_block *blk, struct ob_dma *dma)
{
	uint8_t *memory = ob_dma_alloc(dma, AREA, 4096, "client", NULL),
		*outside = malloc(AREA + 8);
	static const uint32_t lens[] = {4096, 512, 16384, 8192};
	int ret = PASSED;

	if (!memory || !outside)
		return ERROR;
	if (ob_block_start(blk, NULL))
		ret = ERROR;
	for (unsigned int i = 0; i < 8 && ret == PASSED; i++) {
		uint32_t len = lens[i % 4];

		if (len < blk->limits.block_size || len > blk->limits.max_transfer)
			continue;
		ret = write_and_read(blk, i % blk->limits.queues, i & 4 ? outside + 1 : memory, len,
				     i);
	}
	if (ret == PASSED && ob_block_can_flush(blk) &&
	    ob_block_rw(blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0))
		ret = ERROR;
	if (ret == PASSED && ob_block_can_write_zeroes(blk)) {
		memset(memory, 1, 4096);
		if (ob_block_rw(blk, 0, OB_BLOCK_WRITE_ZEROES, 0, 4096, NULL, 4096) ||
		    ob_block_rw(blk, 0, OB_BLOCK_READ, 0, 4096, memory, 4096))
			ret = ERROR;
		for (unsigned int i = 0; ret == PASSED && i < 4096; i++)
			if (memory[i])
				ret = WRONG;
	}
	ob_block_stop(blk);
	ob_dma_free(dma, memory);
	free(outside);
	return ret;
}

/* Frames that the PHY sends back (IEEE 802.3, 22.2.4.1.2), if the driver gives it out, and questions. */
static int use_net(struct ob_net *net, struct ob_dma *dma)
{
	enum {
		BMCR = 0,
		LOOPBACK = 0x4140,
		NEGOTIATE = 0x1140
	};
	unsigned int sent = 0, seen = 0, wrong = 0, ticks = 0;
	struct ob_net_value values[400];
	struct ob_net_stats stats;
	struct ob_pkt *pkts[16];
	struct ob_pool *pool;
	uint8_t bytes[128];

	bool loops = net->ops->phy_write;

	if (ob_pool_create(dma, FRAMES, 2048, 64, 64, &pool) || ob_net_start(net, NULL) ||
	    (loops && net->ops->phy_write(net, BMCR, LOOPBACK)))
		return ERROR;
	while ((loops ? seen : sent) < FRAMES && ticks < TICKS) {
		unsigned int n = 0, k;

		while (sent + n < FRAMES && n < 16 && (pkts[n] = ob_pkt_alloc(pool))) {
			struct ob_pkt *p = pkts[n];

			ob_pkt_reset(p);
			p->len = FRAME;
			fill(p->data, FRAME, sent + n, 7);
			memcpy(p->data, net->mac, 6);
			n++;
		}
		k = ob_net_tx_burst(net, 0, pkts, n);
		sent += k;
		while (n > k)
			ob_pkt_free(pkts[--n]);
		n = ob_net_rx_burst(net, 0, pkts, 16);
		for (unsigned int i = 0; i < n && i < 16; i++) {
			uint8_t want[FRAME];

			fill(want, FRAME, seen, 7);
			wrong += pkts[i]->len != FRAME ||
				 memcmp(pkts[i]->data + 8, want + 8, FRAME - 8);
			seen++;
			ob_pkt_free(pkts[i]);
		}
		if (!n) {
			net->ops->tick(net, next_tick());
			usleep(100);
			ticks++;
		}
	}
	net->ops->irq_arm(net, 0, true);
	net->ops->irq_arm(net, 0, false);
	if (net->ops->registers)
		net->ops->registers(net, values, 400);
	if (net->ops->counters)
		net->ops->counters(net, values, 400);
	net->ops->stats(net, &stats);
	if (net->ops->eeprom)
		net->ops->eeprom(net, 0, bytes, sizeof(bytes));
	if (net->ops->set_promisc)
		net->ops->set_promisc(net, true);
	if (loops)
		net->ops->phy_write(net, BMCR, NEGOTIATE);
	ob_net_stop(net);
	if (wrong)
		return WRONG;
	if ((loops ? seen : sent) != FRAMES)
		return ERROR;
	wrong = pool->n != pool->size || net->rx_pool[0]->n != net->rx_pool[0]->size;
	ob_pool_destroy(pool);
	return wrong ? KEPT : PASSED;
}

static int use_edu(struct ob_char *chr)
{
	static const uint64_t factorial[] = {1, 1, 2, 6, 24, 120, 720, 5040};
	uint8_t buf[1024];
	uint64_t val;

	for (unsigned int round = 0; round < 4; round++) {
		uint64_t off = round * 512u;

		fill(buf, sizeof(buf), off, round);
		if (chr->ops->write(chr, buf, sizeof(buf), off) != sizeof(buf))
			return ERROR;
		memset(buf, 0, sizeof(buf));
		if (chr->ops->read(chr, buf, sizeof(buf), off) != sizeof(buf))
			return ERROR;
		if (!is_filled(buf, sizeof(buf), off, round))
			return WRONG;
		for (unsigned int n = 0; n < 8; n++) {
			val = n;
			if (chr->ops->ioctl(chr, round & 1 ? EDU_FACTORIAL : EDU_FACTORIAL_IRQ,
					    &val))
				return ERROR;
			if (val != factorial[n])
				return WRONG;
		}
		val = 0x12345678;
		if (chr->ops->ioctl(chr, EDU_LIVE, &val))
			return ERROR;
		if ((uint32_t)val != ~0x12345678u)
			return WRONG;
	}
	return PASSED;
}

static int use(struct ob_binding *b, struct ob_dma *dma)
{
	struct ob_selftest_line lines[64];
	int ret = PASSED, n;

	if (b->net)
		ret = use_net(b->net, dma);
	for (unsigned int i = 0; i < b->nr_blocks && ret == PASSED; i++)
		ret = use_block(b->block[i], dma);
	if (b->chr && b->chr->ops->write && ret == PASSED)
		ret = use_edu(b->chr);
	if (!b->net && !b->nr_blocks && !b->chr)
		return ERROR; /* bound to nothing */
	if (ret != PASSED)
		return ret;
	n = b->driver->selftest ? b->driver->selftest(b, lines, 64) : 0;
	if (n < 0)
		return ERROR;
	for (int i = 0; i < n && i < 64; i++)
		if (lines[i].result < 0)
			return lines[i].result == -EILSEQ ? WRONG : ERROR;
	return PASSED;
}

/* The whole life of a driver. Return: how it went */
static int live(const char *path, const char *spec, bool watched, uint64_t address)
{
	const struct ob_driver_config config = {.queues = 2, .depth = 64, .timeout_ms = 500};
	const struct ob_driver *driver;
	struct ob_dma_stats before, stats;
	struct ob_binding *b;
	struct ob_device *dev;
	struct ob_error err = {0};
	int ret;

	if (ob_driver_load(path, &driver, &err) || ob_device_open(spec, &dev, &err)) {
		fprintf(stderr, "mutant: %s%s%s\n", err.what, *err.why ? ": " : "", err.why);
		return 2;
	}
	ob_device_set_log(dev, no_log, NULL);
	if (watched && set_breakpoint(driver, address)) {
		fprintf(stderr, "mutant: no breakpoint can be set\n");
		return 2;
	}
	ob_dma_stats(ob_device_dma(dev), &before);
	if (ob_driver_bind(dev, driver, &config, &b, &err)) {
		ret = ERROR;
	} else {
		ret = use(b, ob_device_dma(dev));
		ob_driver_unbind(b);
	}
	ob_dma_stats(ob_device_dma(dev), &stats);
	if (ret == PASSED && (stats.allocated != before.allocated || stats.mapped != before.mapped))
		ret = KEPT;
	ob_device_close(dev);
	return ret;
}

/* ---- the process ------------------------------------------------------------------------------------ */

static const char *word_of(int status, char *text, size_t size)
{
	static const char *const words[] = {"passed", "error", "wrong", "kept"};

	if (WIFSIGNALED(status)) {
		snprintf(text, size, "crashed %d", WTERMSIG(status));
		return text;
	}
	status = WEXITSTATUS(status);
	if (status >= PASSED && status <= KEPT)
		return words[status - PASSED];
	snprintf(text, size, "ended %d", status);
	return text;
}

static int usage(void)
{
	fprintf(stderr, "usage: mutant [--watch ADDRESS] [--timeout-ms N] DRIVER.so SPEC\n");
	return 2;
}

int main(int argc, char **argv)
{
	const struct rlimit no_core = {0, 0}, memory = {4ull << 30, 4ull << 30};
	int timeout_ms = TIMEOUT_MS, at = 1, status, fd;
	uint64_t address = 0;
	bool watched = false;
	struct pollfd pfd;
	char text[32];
	pid_t pid;

	for (; at + 1 < argc && !strncmp(argv[at], "--", 2); at += 2) {
		if (!strcmp(argv[at], "--watch")) {
			address = strtoull(argv[at + 1], NULL, 0);
			watched = true;
		} else if (!strcmp(argv[at], "--timeout-ms")) {
			timeout_ms = atoi(argv[at + 1]);
		} else {
			return usage();
		}
	}
	if (argc - at != 2)
		return usage();
	watch.reached = mmap(NULL, sizeof(*watch.reached), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (watch.reached == MAP_FAILED)
		return 2;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_CORE, &no_core);
		setrlimit(RLIMIT_DATA,
			  &memory); /* a wrong length is not to take the machine's memory */
		_exit(live(argv[at], argv[at + 1], watched, address));
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid < 0 || fd < 0)
		return 2;
	pfd = (struct pollfd){.fd = fd, .events = POLLIN};
	if (!poll(&pfd, 1, timeout_ms)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		printf("hung");
	} else {
		waitpid(pid, &status, 0);
		printf("%s", word_of(status, text, sizeof(text)));
	}
	printf("\t%s\n", !watched ? "-" : *watch.reached ? "reached" : "not reached");
	return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 0;
}
