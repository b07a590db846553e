/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-recovery: how long a client waits when the driver process below a keeper dies. As COMMAND of `outboard run --restart`, whose driver is
 * tests/campaign/faulty.so, which writes down when a process has got how far; bench/recovery.sh starts both.
 *
 * A read, a kill, a read: the time from the kill to the answer of the second read is the recovery. It is divided: until there is another process, until that
 * has loaded the driver (before it does, it opens the device, which is reset), until the driver is bound, and the rest: attached, connected anew, read.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#include "tests/campaign/client.h"
#include "tests/campaign/seat.h"

enum {
	PHASES = 4,
	PATIENCE_S = 60,
	READS = 16, /* between two deaths, so that the instance is at work */
};

static const char *const phases[PHASES + 2] = {
	"process", "open_and_reset", "bind", "attach_and_read", "all", "all_without_reset"};

static struct {
	const char *target;
	unsigned int kills;
	pid_t keeper;
} o = {.kills = 200};

static struct seat *seat;
static struct nbd_handle *nbd;
static int fd = -1;
static char block[BLOCK] __attribute__((aligned(BLOCK)));

static bool is_uri(void)
{
	return strstr(o.target, "://") || strstr(o.target, "+unix:");
}

/* One read; a server that went away is connected to anew, as the protocol wants it. Return: 0, -errno */
static int read_one(unsigned int i, uint64_t until)
{
	uint64_t at = (uint64_t)(i % 256) * BLOCK;

	if (!is_uri())
		return pread(fd, block, BLOCK, (off_t)at) == BLOCK ? 0 : -EIO;
	while (now_ns() < until) {
		const struct timespec pause = {.tv_nsec = 100000};

		if (nbd && !nbd_pread(nbd, block, BLOCK, at, 0))
			return 0;
		if (nbd)
			nbd_close(nbd);
		nbd = nbd_create();
		if (!nbd || !nbd_connect_uri(nbd, o.target))
			continue;
		nbd_close(nbd);
		nbd = NULL;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

/* When another driver process than @before is there; looked at all the time, by a thread of its own. */
struct successor {
	pid_t before;
	uint64_t until, seen_ns;
};

static void *await_successor(void *arg)
{
	struct successor *s = arg;
	pid_t pid;

	do {
		const struct timespec pause = {.tv_nsec = 100000};

		nanosleep(&pause, NULL);
		pid = driver_process_of(o.keeper);
		s->seen_ns = now_ns();
	} while ((!pid || pid == s->before) && s->seen_ns < s->until);
	return NULL;
}

static bool measure_one(double ms[PHASES + 2])
{
	uint32_t processes = seat ? atomic_load(&seat->processes) : 0;
	uint64_t until = now_ns() + PATIENCE_S * NS, at[PHASES + 1];
	struct successor next = {.until = until};
	pthread_t thread;
	pid_t pid = 0;

	for (unsigned int i = 0; i < READS; i++)
		if (read_one(i, until))
			return false;
	while (!pid && now_ns() < until)
		pid = driver_process_of(o.keeper);
	next.before = pid;
	if (!pid || pthread_create(&thread, NULL, await_successor, &next))
		return false;
	at[0] = now_ns();
	kill(pid, SIGKILL);
	if (read_one(READS, until))
		next.until = 0;
	at[4] = now_ns();
	pthread_join(thread, NULL);
	if (!next.until)
		return false;
	ms[4] = (double)(at[4] - at[0]) / 1e6;
	if (!seat)
		return at[4] > next.seen_ns || measure_one(ms);
	/* The read may still have been answered by the one that died. */
	while (atomic_load(&seat->processes) == processes && now_ns() < until)
		pause_ms(1);
	at[1] = next.seen_ns;
	at[2] = atomic_load(&seat->loaded_ns);
	at[3] = atomic_load(&seat->probed_ns);
	for (unsigned int i = 0; i < PHASES; i++) {
		if (at[i + 1] < at[i])
			return measure_one(ms);
		ms[i] = (double)(at[i + 1] - at[i]) / 1e6;
	}
	ms[5] = ms[4] - ms[1];
	return true;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(double (*ms)[PHASES + 2], unsigned int n)
{
	double *one = calloc(n, sizeof(*one));

	printf("{\"bench\":\"recovery\",\"kills\":%u", n);
	for (unsigned int p = 0; one && p < PHASES + 2; p++) {
		if (!seat && p != PHASES)
			continue;
		for (unsigned int i = 0; i < n; i++)
			one[i] = ms[i][p];
		qsort(one, n, sizeof(*one), by_size);
		printf(",\"%s_ms\":{\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"max\":%.2f}",
		       phases[p], one[n / 2], one[(size_t)n * 90 / 100], one[(size_t)n * 99 / 100],
		       one[n - 1]);
	}
	printf("}\n");
	free(one);
}

static bool open_all(void)
{
	const char *path = getenv(SEAT_VARIABLE);
	int seat_fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (seat_fd >= 0)
		seat = mmap(NULL, sizeof(*seat), PROT_READ | PROT_WRITE, MAP_SHARED, seat_fd, 0);
	if (!is_uri())
		fd = open(o.target, O_RDONLY | O_DIRECT | O_CLOEXEC);
	return seat != MAP_FAILED && (!path || seat) && (is_uri() || fd >= 0);
}

int main(int argc, char **argv)
{
	double(*ms)[PHASES + 2];
	unsigned int n = 0;

	if (argc == 4) {
		o.target = argv[1];
		o.keeper = atoi(argv[2]);
		o.kills = (unsigned int)atoi(argv[3]);
	}
	if (argc != 4 || o.keeper <= 0 || !o.kills) {
		fprintf(stderr,
			"usage: outboard-bench-recovery PATH|URI KEEPER KILLS; see bench/recovery.sh\n");
		return 2;
	}
	ms = calloc(o.kills, sizeof(*ms));
	if (!ms || !open_all()) {
		fprintf(stderr, "outboard-bench-recovery: %s: %s\n", o.target, strerror(errno));
		return 1;
	}
	while (n < o.kills && measure_one(ms[n]))
		n++;
	if (n)
		print(ms, n);
	free(ms);
	return n == o.kills ? 0 : 1;
}
