/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adaptive mode, when nothing happens: the loop sleeps, the process uses less than 1 % of a core, and so
 * does the QEMU behind it; and what comes then is served all the same.
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

enum {
	IDLE_S = 5,
	BURST = 32,
	FRAME = 128,
	FRAMES = 25,
};

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* CPU time of our child processes that still run: QEMU. proc(5), /proc/PID/stat fields 14 and 15. */
static double children_cpu(void)
{
	char path[64], line[1024];
	double sum = 0;
	FILE *tasks, *f;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	tasks = fopen(path, "r");
	while (tasks && fscanf(tasks, "%d", &pid) == 1) {
		unsigned long user = 0, sys = 0;
		const char *p;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (!f)
			continue;
		/* The name in parentheses may contain anything. */
		if (fgets(line, sizeof(line), f)) {
			p = strrchr(line, ')');
			if (p && sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
					&user, &sys) == 2)
				sum += (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
		}
		fclose(f);
	}
	if (tasks)
		fclose(tasks);
	return sum;
}

static void open_bound(const char *spec, struct ob_device **dev, struct ob_binding **b)
{
	const struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	struct ob_error err = {0};
	char text[2048];

	if (ob_device_open(spec, dev, &err) || ob_driver_bind(*dev, NULL, &config, b, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
}

static void run_idle(struct ob_loop *loop)
{
	double start = seconds(CLOCK_MONOTONIC), own, qemu;
	struct ob_loop_stats stats;

	/* What starting left to do: link changes, first ticks. */
	while (seconds(CLOCK_MONOTONIC) - start < 1.5)
		ob_loop_once(loop, 100);
	ob_loop_stats(loop, &stats);

	struct ob_loop_stats before = stats;

	start = seconds(CLOCK_MONOTONIC);
	own = seconds(CLOCK_PROCESS_CPUTIME_ID);
	qemu = children_cpu();
	while (seconds(CLOCK_MONOTONIC) - start < IDLE_S)
		ob_loop_once(loop, 1000);
	own = seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
	qemu = children_cpu() - qemu;
	ob_loop_stats(loop, &stats);

	print_message("# idle for %d s: %.1f ms CPU here, %.0f ms in QEMU, %" PRIu64
		      " rounds, %" PRIu64 " sleeps\n",
		      IDLE_S, own * 1e3, qemu * 1e3, stats.rounds - before.rounds,
		      stats.sleeps - before.sleeps);
	assert_int_equal(stats.work - before.work, 0);
	/* A round for each tick of 100 ms and for each wake-up; polling would make millions. */
	assert_in_range(stats.sleeps - before.sleeps, 1, IDLE_S * 100);
	assert_in_range(stats.rounds - before.rounds, 1, IDLE_S * 200);
	/* CPU time, not time: others on the machine do not count. */
	assert_true(own < 0.01 * IDLE_S);
	assert_true(qemu < 0.01 * IDLE_S);
}

static unsigned int net_poll(void *arg, unsigned int budget)
{
	struct ob_pkt *pkts[BURST];
	struct ob_net *net = arg;
	unsigned int n;

	n = ob_net_rx_burst(net, 0, pkts, budget < BURST ? budget : BURST);
	for (unsigned int i = 0; i < n; i++)
		ob_pkt_free(pkts[i]);
	return n;
}

static bool net_arm(void *arg, bool on)
{
	struct ob_net *net = arg;

	return net->ops->irq_arm(net, 0, on);
}

static void net_tick(void *arg, uint64_t now_ns)
{
	struct ob_net *net = arg;

	if (net->ops->tick)
		net->ops->tick(net, now_ns);
}

/* Far enough apart that the loop sleeps in between. */
static void *send_frames(void *arg)
{
	uint8_t frame[FRAME];

	memset(frame, 0xff, sizeof(frame));
	for (unsigned int i = 0; i < FRAMES; i++) {
		usleep(20000);
		if (send(*(int *)arg, frame, sizeof(frame), 0) != sizeof(frame))
			break;
	}
	return NULL;
}

static void an_idle_network_card_sleeps_and_wakes_for_frames(void **state)
{
	struct ob_loop_stats stats;
	struct ob_device *dev;
	struct ob_binding *b;
	struct ob_error err = {0};
	struct ob_loop *loop;
	pthread_t peer;
	char spec[64];
	double start;
	int wire[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, wire), 0);
	snprintf(spec, sizeof(spec), "qemu:e1000e,netdev=fd:%d", wire[1]);
	open_bound(spec, &dev, &b);
	assert_int_equal(ob_net_start(b->net, &err), 0);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &loop), 0);

	struct ob_loop_source source = {
		.name = "rx",
		.poll = net_poll,
		.arm = net_arm,
		.tick = net_tick,
		.arg = b->net,
		.fd = b->net->irq_fd[0],
	};

	assert_true(source.fd >= 0);
	assert_int_equal(ob_loop_add(loop, &source), 0);
	run_idle(loop);

	assert_int_equal(pthread_create(&peer, NULL, send_frames, &wire[0]), 0);
	start = seconds(CLOCK_MONOTONIC);
	do {
		ob_loop_once(loop, 1000);
		ob_loop_stats(loop, &stats);
	} while (stats.work < FRAMES && seconds(CLOCK_MONOTONIC) - start < 60);
	pthread_join(peer, NULL);
	assert_int_equal(stats.work, FRAMES);
	/* Not found by a tick: they came while the loop slept. */
	assert_true(stats.irqs > 0);

	ob_loop_destroy(loop);
	ob_net_stop(b->net);
	ob_driver_unbind(b);
	ob_device_close(dev);
	close(wire[0]);
	close(wire[1]);
}

static unsigned int block_poll(void *arg, unsigned int budget)
{
	struct ob_block_req *done[BURST];

	return ob_block_complete(arg, 0, done, budget < BURST ? budget : BURST);
}

static bool block_arm(void *arg, bool on)
{
	struct ob_block *blk = arg;

	return blk->ops->irq_arm(blk, 0, on);
}

static void block_tick(void *arg, uint64_t now_ns)
{
	struct ob_block *blk = arg;

	if (blk->ops->tick)
		blk->ops->tick(blk, now_ns);
}

static void idle_disk(const char *spec)
{
	struct ob_block_req req = {.op = OB_BLOCK_READ, .len = 4096}, *reqs[] = {&req};
	struct ob_loop_stats stats;
	struct ob_device *dev;
	struct ob_binding *b;
	struct ob_block *blk;
	struct ob_error err = {0};
	struct ob_loop *loop;
	double start;

	open_bound(spec, &dev, &b);
	blk = b->block[0];
	assert_int_equal(ob_block_start(blk, &err), 0);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &loop), 0);

	struct ob_loop_source source = {
		.name = "completions",
		.poll = block_poll,
		.arm = block_arm,
		.tick = block_tick,
		.arg = blk,
		.fd = blk->irq_fd[0],
	};

	assert_true(source.fd >= 0);
	assert_int_equal(ob_loop_add(loop, &source), 0);
	run_idle(loop);

	req.buf = ob_dma_alloc(blk->dma, req.len, 4096, "payload", NULL);
	assert_non_null(req.buf);
	req.status = -1;
	assert_int_equal(ob_block_submit(blk, 0, reqs, 1), 1);
	start = seconds(CLOCK_MONOTONIC);
	do {
		ob_loop_once(loop, 1000);
		ob_loop_stats(loop, &stats);
	} while (!stats.work && seconds(CLOCK_MONOTONIC) - start < 60);
	assert_int_equal(stats.work, 1);
	assert_int_equal(req.status, 0);

	ob_loop_destroy(loop);
	ob_block_stop(blk);
	ob_dma_free(blk->dma, req.buf);
	ob_driver_unbind(b);
	ob_device_close(dev);
}

static void an_idle_nvme_disk_sleeps_and_wakes_for_a_request(void **state)
{
	idle_disk("qemu:nvme,null=64M");
}

static void an_idle_ide_disk_sleeps_and_wakes_for_a_request(void **state)
{
	idle_disk("qemu:piix3-ide,null=64M");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_network_card_sleeps_and_wakes_for_frames),
		cmocka_unit_test(an_idle_nvme_disk_sleeps_and_wakes_for_a_request),
		cmocka_unit_test(an_idle_ide_disk_sleeps_and_wakes_for_a_request),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
