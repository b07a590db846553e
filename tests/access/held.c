/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QEMU that is held over the deaths of the processes which drive its devices: each is killed at a random instruction while it
 * writes to a disk, and the next one finds the devices as after power-on and all that was acknowledged.
 * usage: held [KILLS [SEED]]; prints TAP.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <outboard/outboard.h>

enum {
	BLOCK = 4096,
	BLOCKS = 256,
	DEPTH = 8,
};

/* What the writer has been told, in memory that outlives it: by block, the number that was acknowledged, and begun. */
struct log {
	uint32_t done[BLOCKS], begun[BLOCKS];
	uint64_t opened_ns; /* how long the last open took */
	int failed;
};

static const char *spec;
static struct log *shared;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void fail(const char *what, const struct ob_error *err)
{
	fprintf(stderr, "# %s: %s (%s)\n", what, err->what, err->why);
	shared->failed = 1;
	_exit(1);
}

static int wait_for(struct ob_block *blk, struct ob_block_req **got, unsigned int n)
{
	uint64_t until = now_ns() + 20000000000ull;
	unsigned int have = 0;

	while (have < n && now_ns() < until)
		have += ob_block_complete(blk, 0, got + have, n - have);
	return have == n ? 0 : -ETIMEDOUT;
}

/* Each block says which it is and how often it was written. */
static void check_disk(struct ob_block *blk, char *buf)
{
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct ob_block_req rq = {.op = OB_BLOCK_READ,
					  .offset = (uint64_t)i * BLOCK,
					  .len = BLOCK,
					  .buf = buf},
				    *one = &rq;
		uint32_t *word = (uint32_t *)buf;

		if (ob_block_submit(blk, 0, &one, 1) != 1 || wait_for(blk, &one, 1) || rq.status) {
			fprintf(stderr, "# block %u cannot be read\n", i);
			shared->failed = 1;
		} else if (word[0] < shared->done[i] || word[0] > shared->begun[i] ||
			   (word[0] && word[1] != i) || word[0] != word[BLOCK / 4 - 1]) {
			fprintf(stderr, "# block %u: %u, acknowledged %u, begun %u\n", i, word[0],
				shared->done[i], shared->begun[i]);
			shared->failed = 1;
		}
	}
	if (shared->failed)
		_exit(1);
}

static void write_for_ever(struct ob_block *blk, char *buf, unsigned int seed)
{
	struct ob_block_req rq[DEPTH], *rqs[DEPTH];

	for (;;) {
		unsigned int first = (unsigned int)rand_r(&seed) % (BLOCKS / DEPTH) * DEPTH;

		for (unsigned int k = 0; k < DEPTH; k++) {
			uint32_t *word = (uint32_t *)(buf + k * BLOCK),
				 n = ++shared->begun[first + k];

			for (unsigned int w = 0; w < BLOCK / 4; w++)
				word[w] = w == 1 ? first + k : n;
			rq[k] = (struct ob_block_req){.op = OB_BLOCK_WRITE,
						      .offset = (uint64_t)(first + k) * BLOCK,
						      .len = BLOCK,
						      .buf = (char *)word};
			rqs[k] = &rq[k];
		}
		if (ob_block_submit(blk, 0, rqs, DEPTH) != DEPTH || wait_for(blk, rqs, DEPTH))
			_exit(1);
		for (unsigned int k = 0; k < DEPTH; k++) {
			if (rq[k].status)
				_exit(1);
			shared->done[first + k] = shared->begun[first + k];
		}
	}
}

static void driver_process(unsigned int seed, int ready)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_error err = {0};
	uint64_t began = now_ns();
	struct ob_binding *b;
	struct ob_device *dev;
	char *buf;

	if (ob_devices_open_quiet(&spec, 1, &dev, &err))
		fail("open", &err);
	if (ob_driver_bind(dev, NULL, &config, &b, &err))
		fail("bind", &err);
	if (ob_block_start(b->block[0], &err))
		fail("start", &err);
	shared->opened_ns = now_ns() - began;
	buf = ob_dma_alloc(dev->dma, DEPTH * BLOCK, BLOCK, "test", NULL);
	if (!buf)
		_exit(1);
	check_disk(b->block[0], buf);
	if (write(ready, "", 1) != 1)
		_exit(1);
	write_for_ever(b->block[0], buf, seed);
}

static bool one_kill(unsigned int seed)
{
	struct timespec life = {.tv_nsec = (long)(rand_r(&seed) % 20000) * 1000};
	int fds[2], status;
	char byte;
	pid_t pid;

	if (pipe(fds))
		return false;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(fds[0]);
		driver_process(seed, fds[1]);
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		nanosleep(&life, NULL);
	close(fds[0]);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return !shared->failed && WIFSIGNALED(status);
}

int main(int argc, char **argv)
{
	unsigned int kills = argc > 1 ? (unsigned int)atoi(argv[1]) : 50;
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) : 1;
	char image[] = "/tmp/outboard-held.XXXXXX", text[64];
	uint64_t sum = 0, worst = 0;
	struct ob_error err = {0};
	unsigned int n = 0;
	int fd = mkstemp(image);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (fd < 0 || shared == MAP_FAILED || ftruncate(fd, 16 << 20))
		return 1;
	snprintf(text, sizeof(text), "qemu:nvme,file=%s", image);
	spec = text;
	printf("1..2\n# seed %u\n", seed);
	if (ob_devices_hold(&spec, 1, &err)) {
		printf("Bail out! %s\n", err.what);
		unlink(image);
		return 1;
	}
	while (n < kills && one_kill(seed + n)) {
		n++;
		sum += shared->opened_ns;
		worst = shared->opened_ns > worst ? shared->opened_ns : worst;
	}
	printf("%sok 1 - %u processes were killed while they wrote, nothing acknowledged was lost\n",
	       n == kills ? "" : "not ", n);
	if (n)
		printf("# a new process drove the disk after %.1f ms on average, %.1f at most\n",
		       (double)sum / n / 1e6, (double)worst / 1e6);
	ob_devices_release();
	printf("%sok 2 - and its QEMU ended with the holder\n",
	       waitpid(-1, NULL, WNOHANG) < 0 ? "" : "not ");
	unlink(image);
	return n != kills;
}
