/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-timeline --spec SPEC --mode MODE | --path DEV: 4 KiB reads of a disk, one at a time, by a driver in this program or by the
 * kernel's, and the moments of each. What happens in the kernel meanwhile is traced by bench/experiments/timeline.sh with the same clock,
 * the processor's time stamp counter. What is not warming up is between the marks of rig/marker.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/block.h>
#include <outboard/dma.h>
#include <outboard/driver.h>
#include <outboard/loop.h>

#include "bench/marked.h"
#include "bench/program.h"
#include "rig/marker.h"

enum {
	SIZE = 4096,
	COUNT_MAX = 100000,
};

/* In this order; in the kernel's case only the first and the last. */
struct moments {
	uint64_t asked, submitted, found, done;
};

static const char *spec, *path, *mode_name = "adaptive";
static uint64_t count = 1000;

static struct line {
	struct ob_loop *loop;
	struct ob_block *blk;
	struct ob_block_req req;
	struct moments *at;
	uint64_t blocks, warming, n;
	bool flying, failed;
} line;

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-timeline --spec SPEC [--mode interrupt|adaptive|poll] | --path DEV, [--count N]\n"
		"  reads 4 KiB, one at a time, after a tenth of that to warm up. Prints for each, in ticks of the time stamp\n"
		"  counter: asked submitted found done; last: ticks NUMBER-IN-A-MICROSECOND\n");
}

static int fail(const char *what)
{
	fprintf(stderr, "outboard-bench-timeline: %s\n", what);
	return 1;
}

static uint64_t now(void)
{
	return __builtin_ia32_rdtsc();
}

static void ask(struct line *l)
{
	struct moments *at = &l->at[l->n];
	struct ob_block_req *req = &l->req;

	if (l->n == l->warming)
		RIG_BEGIN(2);
	at->asked = now();
	req->offset = marked_random() % l->blocks * SIZE;
	l->flying = ob_block_submit(l->blk, 0, &req, 1) == 1;
	at->submitted = now();
	if (!l->flying) {
		l->failed = true;
		ob_loop_stop(l->loop);
	}
}

/* Of the loop: one request is always there. The next is asked for as soon as the one before has come. */
static unsigned int look(void *arg, unsigned int budget)
{
	struct ob_block_req *req;
	struct line *l = arg;
	uint64_t found = now();

	(void)budget;
	if (!l->flying || !ob_block_complete(l->blk, 0, &req, 1))
		return 0;
	l->at[l->n].found = found;
	l->at[l->n].done = now();
	l->flying = false;
	if (req->status)
		l->failed = true;
	if (!l->failed && ++l->n < count + l->warming) {
		ask(l);
	} else {
		RIG_END(2);
		ob_loop_stop(l->loop);
	}
	return 1;
}

static bool arm(void *arg, bool on)
{
	const struct line *l = arg;

	return l->blk->ops->irq_arm(l->blk, 0, on);
}

static int run_bound(struct ob_binding *b, enum ob_mode mode)
{
	struct ob_loop_source source = {.name = "disk", .poll = look, .arm = arm, .arg = &line};
	struct ob_error err = {0};
	int ret = 1;

	if (!b->nr_blocks)
		return fail("this device is no disk");
	line.blk = b->block[0];
	line.blocks = line.blk->limits.size / SIZE;
	line.req.op = OB_BLOCK_READ;
	line.req.len = SIZE;
	line.req.buf = ob_dma_alloc(line.blk->dma, SIZE, SIZE, "payload", NULL);
	if (!line.req.buf || !line.blocks || ob_loop_create(mode, &line.loop))
		return fail("memory");
	if (ob_block_start(line.blk, &err)) {
		complain(&err);
		goto out;
	}
	source.fd = mode == OB_MODE_POLL ? -1 : line.blk->irq_fd[0];
	if (!ob_loop_add(line.loop, &source)) {
		ask(&line);
		ret = ob_loop_run(line.loop) || line.failed ? fail("the disk does not answer") : 0;
	}
	ob_block_stop(line.blk);
out:
	ob_loop_destroy(line.loop);
	ob_dma_free(line.blk->dma, line.req.buf);
	return ret;
}

static int run_in_process(void)
{
	struct ob_driver_config config = {0};
	struct ob_error err = {0};
	struct ob_device *dev;
	struct ob_binding *b;
	int ret;

	if (ob_mode_parse(mode_name, &config.mode, &err) || ob_device_open(spec, &dev, &err))
		return complain(&err);
	if (ob_driver_bind(dev, NULL, &config, &b, &err)) {
		ob_device_close(dev);
		return complain(&err);
	}
	ret = run_bound(b, config.mode);
	ob_driver_unbind(b);
	ob_device_close(dev);
	return ret;
}

static int run_kernel(void)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC), ret = 0;
	off_t bytes = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	void *buf = aligned_alloc(SIZE, SIZE);

	line.blocks = bytes < SIZE ? 0 : (uint64_t)bytes / SIZE;
	if (!line.blocks || !buf)
		ret = fail(strerror(errno));
	for (; !ret && line.n < count + line.warming; line.n++) {
		struct moments *at = &line.at[line.n];

		if (line.n == line.warming)
			RIG_BEGIN(2);
		at->asked = now();
		if (pread(fd, buf, SIZE, (off_t)(marked_random() % line.blocks * SIZE)) != SIZE)
			ret = fail(strerror(errno));
		at->done = now();
	}
	RIG_END(2);
	free(buf);
	if (fd >= 0)
		close(fd);
	return ret;
}

int main(int argc, char **argv)
{
	const struct argument arguments[] = {
		{"spec", ARGUMENT_TEXT, &spec},
		{"path", ARGUMENT_TEXT, &path},
		{"mode", ARGUMENT_TEXT, &mode_name},
		{"count", ARGUMENT_COUNT, &count},
		{NULL, 0, NULL},
	};
	int ret = read_arguments(argc, argv, arguments, usage);
	uint64_t ns, ticks;

	if (ret >= 0)
		return ret;
	if (!spec == !path || !count || count > COUNT_MAX) {
		usage(stderr);
		return 2;
	}
	line.warming = count / 10 + 1;
	line.at = calloc(count + line.warming, sizeof(*line.at));
	if (!line.at)
		return fail("memory");
	ns = ob_clock_ns();
	ticks = now();
	ret = spec ? run_in_process() : run_kernel();
	ns = ob_clock_ns() - ns;
	ticks = now() - ticks;
	for (uint64_t i = line.warming; !ret && i < line.n; i++) {
		const struct moments *at = &line.at[i];

		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", at->asked,
		       at->submitted, at->found, at->done);
	}
	if (!ret)
		printf("ticks %.3f\n", (double)ticks * 1000 / (double)ns);
	free(line.at);
	return ret;
}
