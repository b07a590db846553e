/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kills --target PATH|URI --keeper PID --log FILE [options]: a client that writes blocks which say what they are, while the driver
 * process below PID, a keeper, is killed again and again; --help for the options.
 *
 * Each block carries the seed, its number, how often it was written, and a checksum. What was acknowledged is in the log before the
 * next write of that block begins; a block that is read back must be at least as new as that, and no newer than what was
 * begun. Kills come after a number of acknowledged writes, not after a time; which comes from the seed, and, where the log goes on, from how much
 * stands in it, so that no run of many repeats the one before. With --kills=0 it only
 * reads back what an earlier run has left, or with --writes writes so often before, while somebody else sees to the deaths. Prints one JSON document; exit code 0 when nothing was lost and no request failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#include "tests/campaign/client.h"

enum {
	DEPTH_MAX = 32,
	BLOCKS_MAX = 65536,
	KILLS_MAX = 1000000,
	/* Acknowledged writes between a recovery and the next kill, at most. */
	APART = 64,
	/* After a kill so many acknowledgements are looked at for the longest pause. */
	LOOK = 2,
	/* A successor that is to die early does so within this of its birth: before, in and after its recovery. */
	EARLY_US = 60000,
	/* Somebody who has not recovered by then never does. */
	PATIENCE_S = 60,
	WRONG_SAID = 10,
	/* Blocks that are read back by one request. */
	TOGETHER = 32,
};

/* By block: how often a write of it was begun, and acknowledged. */
struct entry {
	_Atomic uint32_t begun, done;
};

static struct {
	const char *target, *log, *with;
	uint64_t seed, offset, patience;
	unsigned int blocks, depth, kills, every, writes, again;
	pid_t keeper;
} o = {.seed = 1, .patience = PATIENCE_S, .blocks = 1024, .depth = 4, .kills = 100, .every = 10};

static struct entry *entries;
static uint64_t earlier; /* writes that were acknowledged before this run */
static _Atomic uint64_t acked, last_ack_ns, longest_ns, errors, reconnects, lost, verified;
static atomic_bool stop, hold;
static _Atomic unsigned int held;

/* ---- the target -------------------------------------------------------------------------------- */

/* A file or a device, or a connection to an NBD server. */
struct target {
	int fd;
	struct nbd_handle *nbd;
};

static bool is_uri(void)
{
	return strstr(o.target, "://") || strstr(o.target, "+unix:");
}

static int target_open(struct target *t)
{
	uint64_t until = now_ns() + o.patience * NS;

	t->fd = -1;
	t->nbd = NULL;
	if (!is_uri()) {
		t->fd = open(o.target, O_RDWR | O_DIRECT | O_CLOEXEC);
		return t->fd < 0 ? -errno : 0;
	}
	for (;;) {
		t->nbd = nbd_create();
		if (!t->nbd)
			return -ENOMEM;
		if (!nbd_connect_uri(t->nbd, o.target))
			return 0;
		nbd_close(t->nbd);
		t->nbd = NULL;
		if (now_ns() > until)
			return -ETIMEDOUT;
		pause_ms(1);
	}
}

static void target_close(struct target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	if (t->nbd) {
		/* The server is told; it may be dead. */
		nbd_shutdown(t->nbd, 0);
		nbd_close(t->nbd);
	}
}

/* The protocol's own way: who is cut off connects anew, and asks again for what was not answered. */
static bool reconnected(struct target *t)
{
	if (!t->nbd || nbd_get_errno() == EIO || nbd_get_errno() == ENOSPC)
		return false;
	nbd_close(t->nbd);
	atomic_fetch_add(&reconnects, 1);
	return !target_open(t);
}

/* @n blocks from @block on */
static int transfer(struct target *t, bool write, void *buf, unsigned int block, unsigned int n)
{
	uint64_t off = o.offset + (uint64_t)block * BLOCK;
	size_t len = (size_t)n * BLOCK;
	ssize_t got;

	if (t->fd >= 0) {
		got = write ? pwrite(t->fd, buf, len, (off_t)off)
			    : pread(t->fd, buf, len, (off_t)off);
		return got == (ssize_t)len ? 0 : got < 0 ? -errno : -EIO;
	}
	while (write ? nbd_pwrite(t->nbd, buf, len, off, 0) : nbd_pread(t->nbd, buf, len, off, 0))
		if (!reconnected(t))
			return -EIO;
	return 0;
}

/* ---- blocks ------------------------------------------------------------------------------------- */

static void wrong(uint32_t block, const char *what, uint32_t generation)
{
	/* The first ones say what is wrong. */
	if (atomic_fetch_add(&lost, 1) < WRONG_SAID)
		fprintf(stderr, "# block %u: %s (it says %u; acknowledged %u, begun %u)\n", block,
			what, generation, entries[block].done, entries[block].begun);
}

static void check_block(const char *buf, uint32_t block)
{
	uint32_t done = entries[block].done, begun = entries[block].begun, generation;
	const char *what = block_judge(buf, o.seed, block, done, begun, &generation);

	atomic_fetch_add(&verified, 1);
	if (what)
		wrong(block, what, generation);
}

static int verify(struct target *t)
{
	char *buf = aligned_alloc(BLOCK, (size_t)TOGETHER * BLOCK);
	int ret = buf ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < o.blocks && !ret; i += TOGETHER) {
		unsigned int n = o.blocks - i < TOGETHER ? o.blocks - i : TOGETHER;

		ret = transfer(t, false, buf, i, n);
		for (uint32_t k = 0; k < n && !ret; k++)
			check_block(buf + (size_t)k * BLOCK, i + k);
	}
	if (ret) {
		atomic_fetch_add(&errors, 1);
		fprintf(stderr, "# a read failed: %s\n", strerror(-ret));
	}
	free(buf);
	return ret;
}

/* ---- writers ------------------------------------------------------------------------------------ */

static void acknowledged(void)
{
	uint64_t now = now_ns(), before = atomic_exchange(&last_ack_ns, now);
	/* Another thread may have been here in between. */
	uint64_t gap = now > before ? now - before : 0, longest = atomic_load(&longest_ns);

	while (gap > longest && !atomic_compare_exchange_weak(&longest_ns, &longest, gap))
		continue;
	atomic_fetch_add(&acked, 1);
}

/* Each has blocks of its own: those whose number leaves its own in a division by the depth. */
static void *writer(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg;
	uint64_t state = (o.seed + earlier) * 1000 + self + 1;
	char *buf = aligned_alloc(BLOCK, BLOCK);
	struct target t;

	if (!buf || target_open(&t)) {
		atomic_fetch_add(&errors, 1);
		free(buf);
		return NULL;
	}
	while (!atomic_load(&stop)) {
		unsigned int of = (o.blocks - self + o.depth - 1) / o.depth;
		uint32_t block = (uint32_t)(next_random(&state) % of) * o.depth + self;
		uint32_t generation;
		int ret;

		if (atomic_load(&hold)) {
			atomic_fetch_add(&held, 1);
			while (atomic_load(&hold) && !atomic_load(&stop))
				pause_ms(1);
			atomic_fetch_sub(&held, 1);
			continue;
		}
		generation = atomic_fetch_add(&entries[block].begun, 1) + 1;
		block_fill(buf, o.seed, block, generation);
		ret = transfer(&t, true, buf, block, 1);
		if (ret) {
			atomic_fetch_add(&errors, 1);
			fprintf(stderr, "# a write of block %u failed: %s\n", block,
				strerror(-ret));
			break;
		}
		atomic_store(&entries[block].done, generation);
		acknowledged();
	}
	target_close(&t);
	free(buf);
	return NULL;
}

/* ---- kills -------------------------------------------------------------------------------------- */

static bool wait_until_acked(uint64_t n)
{
	uint64_t until = now_ns() + o.patience * NS;

	while (atomic_load(&acked) < n) {
		struct timespec ts = {.tv_nsec = 50000};

		if (now_ns() > until || atomic_load(&errors))
			return false;
		nanosleep(&ts, NULL);
	}
	return true;
}

/* Nobody writes while all is read, or what is read could be older than what is acknowledged meanwhile. */
static bool verify_now(struct target *t)
{
	int ret;

	atomic_store(&hold, true);
	while (atomic_load(&held) < o.depth && !atomic_load(&errors))
		pause_ms(1);
	ret = verify(t);
	atomic_store(&hold, false);
	return !ret;
}

/* Those that follow @pid are killed, too, before they have come far. Return: false when none comes any more. */
static bool kill_successors(pid_t pid, uint64_t *state)
{
	for (unsigned int i = 0; i < o.again; i++) {
		uint64_t until = now_ns() + o.patience * NS;
		pid_t next = pid;

		while ((next == pid || !next) && now_ns() < until) {
			struct timespec ts = {.tv_nsec = 200000};

			nanosleep(&ts, NULL);
			next = driver_process_of(o.keeper);
		}
		if (next == pid || !next)
			return false;
		usleep((useconds_t)(next_random(state) % EARLY_US));
		/* It may have died of something else meanwhile. */
		kill(next, SIGKILL);
		pid = next;
	}
	return true;
}

/* Return: how many kills were survived. */
static unsigned int kill_on(struct target *t, double *recovery_ms)
{
	uint64_t state = (o.seed + earlier) ^ 0x6b696c6c73ull;
	unsigned int n = 0;

	while (n < o.kills && !atomic_load(&lost)) {
		uint64_t after = atomic_load(&acked) + next_random(&state) % APART + 1;
		uint64_t until = now_ns() + o.patience * NS;
		pid_t pid;

		if (!wait_until_acked(after))
			break;
		while (!(pid = driver_process_of(o.keeper)) && now_ns() < until)
			pause_ms(1);
		if (!pid)
			break;
		atomic_store(&longest_ns, 0);
		if (o.with ? system(o.with) : kill(pid, SIGKILL))
			break;
		if (!kill_successors(pid, &state))
			break;
		if (!wait_until_acked(atomic_load(&acked) + LOOK * o.depth))
			break;
		recovery_ms[n++] = (double)atomic_load(&longest_ns) / 1e6;
		if (o.every && n % o.every == 0 && !verify_now(t))
			break;
	}
	return n;
}

/* ---- main --------------------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{"target", required_argument, NULL, 't'},
	{"keeper", required_argument, NULL, 'p'},
	{"log", required_argument, NULL, 'l'},
	{"blocks", required_argument, NULL, 'b'},
	{"depth", required_argument, NULL, 'd'},
	{"kills", required_argument, NULL, 'k'},
	{"seed", required_argument, NULL, 's'},
	{"every", required_argument, NULL, 'e'},
	{"offset", required_argument, NULL, 'o'},
	{"patience", required_argument, NULL, 'a'},
	{"writes", required_argument, NULL, 'n'},
	{"with", required_argument, NULL, 'w'},
	{"again", required_argument, NULL, 'g'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		unsigned long long n = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (opt) {
		case 't':
			o.target = optarg;
			break;
		case 'l':
			o.log = optarg;
			break;
		case 'p':
			o.keeper = (pid_t)n;
			break;
		case 'b':
			o.blocks = (unsigned int)n;
			break;
		case 'd':
			o.depth = (unsigned int)n;
			break;
		case 'k':
			o.kills = (unsigned int)n;
			break;
		case 's':
			o.seed = n;
			break;
		case 'e':
			o.every = (unsigned int)n;
			break;
		case 'n':
			o.writes = (unsigned int)n;
			break;
		case 'a':
			o.patience = n;
			break;
		case 'g':
			o.again = (unsigned int)n;
			break;
		case 'w':
			o.with = optarg;
			break;
		case 'o':
			o.offset = n;
			break;
		default:
			return false;
		}
	}
	return o.target && o.log && o.blocks && o.blocks <= BLOCKS_MAX && o.depth &&
	       o.depth <= DEPTH_MAX && o.depth <= o.blocks && o.kills <= KILLS_MAX && o.seed &&
	       (o.keeper > 0 || !o.kills);
}

static int open_log(void)
{
	int fd = open(o.log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	size_t size = o.blocks * sizeof(*entries);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		return -errno;
	entries = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (entries == MAP_FAILED)
		return -errno;
	for (unsigned int i = 0; i < o.blocks; i++)
		earlier += entries[i].done;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(unsigned int survived, double *ms)
{
	qsort(ms, survived, sizeof(*ms), by_size);
	printf("{\"target\":\"%s\",\"seed\":%llu,\"kills\":%u,\"asked\":%u,\"acknowledged\":%llu,"
	       "\"verified_blocks\":%llu,\"lost\":%llu,\"client_errors\":%llu,\"reconnects\":%llu",
	       o.target, (unsigned long long)o.seed, survived, o.kills, (unsigned long long)acked,
	       (unsigned long long)verified, (unsigned long long)lost, (unsigned long long)errors,
	       (unsigned long long)reconnects);
	if (survived)
		printf(",\"longest_pause_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}",
		       ms[survived / 2], ms[(size_t)survived * 99 / 100], ms[survived - 1]);
	printf("}\n");
}

int main(int argc, char **argv)
{
	pthread_t threads[DEPTH_MAX];
	unsigned int survived = 0;
	struct target t;
	double *ms;
	int ret;

	if (!parse(argc, argv)) {
		fprintf(stderr,
			"usage: kills --target PATH|URI --log FILE --keeper PID [--kills N (100)] [--seed N (1)]\n"
			"  [--blocks N (1024)] [--depth N (4)] [--every N: read all back after so many kills (10)]\n"
			"  [--offset BYTES (0)] [--with COMMAND: in place of a kill]; --kills=0 only reads back,\n"
			"  or with --writes N writes so often before. [--patience SECONDS (60)]\n"
			"  [--again N (0)]: so many successors are killed, too, while they begin\n");
		return 2;
	}
	ms = calloc(o.kills + 1, sizeof(*ms));
	ret = ms ? open_log() : -ENOMEM;
	if (!ret)
		ret = target_open(&t);
	if (ret) {
		fprintf(stderr, "kills: %s: %s\n", o.target, strerror(-ret));
		return 1;
	}
	atomic_store(&last_ack_ns, now_ns());
	for (unsigned int i = 0; i < o.depth && (o.kills || o.writes); i++)
		pthread_create(&threads[i], NULL, writer, (void *)(uintptr_t)i);
	if (o.kills)
		survived = kill_on(&t, ms);
	else if (o.writes && !wait_until_acked(o.writes))
		atomic_fetch_add(&errors, 1);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < o.depth && (o.kills || o.writes); i++)
		pthread_join(threads[i], NULL);
	verify(&t);
	target_close(&t);
	print(survived, ms);
	free(ms);
	return survived == o.kills && !atomic_load(&lost) && !atomic_load(&errors) ? 0 : 1;
}
