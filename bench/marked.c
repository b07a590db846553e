/* SPDX-License-Identifier: BSD-2-Clause */
/* See marked.h. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <outboard/device.h>

#include "bench/marked.h"

#include "bench/program.h"
#include "rig/marker.h"

/* xorshift64 (Marsaglia, Xorshift RNGs, 2003) */
uint64_t marked_random(void)
{
	static _Thread_local uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static bool measuring, paused;

void marked_pause(unsigned int us)
{
	if (measuring)
		RIG_END(2);
	usleep(us);
	paused = true;
	if (measuring)
		RIG_BEGIN(2);
}

void marked_pace(unsigned int rate)
{
	static struct timespec next;

	if (!rate)
		return;
	if (!next.tv_sec)
		clock_gettime(CLOCK_MONOTONIC, &next);
	/* Who is late begins at once, until it has caught up. */
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	next.tv_nsec += 1000000000 / rate;
	next.tv_sec += next.tv_nsec / 1000000000;
	next.tv_nsec %= 1000000000;
}

static struct {
	bool on;
	pthread_t thread;
	clockid_t clock;
} soaker;

static void *soak(void *arg)
{
	volatile uint64_t turns = 0;

	(void)arg;
	for (;;)
		turns++;
	return NULL;
}

int marked_soak(void)
{
	const struct sched_param param = {0};
	int ret = pthread_create(&soaker.thread, NULL, soak, NULL);

	if (!ret)
		ret = pthread_setschedparam(soaker.thread, SCHED_IDLE, &param);
	if (!ret)
		ret = pthread_getcpuclockid(soaker.thread, &soaker.clock);
	soaker.on = !ret;
	return -ret;
}

/* Nanoseconds that the soaker had so far. */
static uint64_t soaked(void)
{
	struct timespec t = {0};

	if (soaker.on)
		clock_gettime(soaker.clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int marked_run(const struct marked_load *load, int (*run)(void *of, uint64_t n), void *of)
{
	uint64_t start, count, left_over;
	double seconds;

	RIG_BEGIN(1);
	if (run(of, load->count / 10 + 1))
		return 1;
	RIG_END(1);
	left_over = soaked();
	start = ob_clock_ns();
	measuring = true;
	RIG_BEGIN(2);
	if (run(of, load->count))
		return 1;
	RIG_END(2);
	measuring = false;
	seconds = (double)(ob_clock_ns() - start) / 1e9;
	left_over = soaked() - left_over;
	count = load->done ? *load->done : load->count;
	printf("{\"test\": \"%s\", \"op\": \"%s\", \"size\": %u, \"depth\": %u, \"count\": %llu, "
	       "\"seconds\": %.6f, \"rate\": %.0f, \"mib_per_s\": %.1f, \"available\": %.4f, \"paused\": %s}\n",
	       load->test, load->op, load->size, load->depth, (unsigned long long)count, seconds,
	       (double)count / seconds, (double)count * load->size / seconds / 1048576,
	       (double)left_over / 1e9 / seconds, paused ? "true" : "false");
	return 0;
}
