/* SPDX-License-Identifier: BSD-2-Clause */
/* See marked.h. */
#include <stdbool.h>
#include <unistd.h>

#include <outboard/device.h>

#include "bench/marked.h"

#include "bench/program.h"
#include "rig/marker.h"

/* xorshift64 (Marsaglia, Xorshift RNGs, 2003) */
uint64_t marked_random(void)
{
	static uint64_t x = 88172645463325252u;

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

int marked_run(const struct marked_load *load, int (*run)(void *of, uint64_t n), void *of)
{
	uint64_t start, count;
	double seconds;

	RIG_BEGIN(1);
	if (run(of, load->count / 10 + 1))
		return 1;
	RIG_END(1);
	start = ob_clock_ns();
	measuring = true;
	RIG_BEGIN(2);
	if (run(of, load->count))
		return 1;
	RIG_END(2);
	measuring = false;
	seconds = (double)(ob_clock_ns() - start) / 1e9;
	count = load->done ? *load->done : load->count;
	printf("{\"test\": \"%s\", \"op\": \"%s\", \"size\": %u, \"depth\": %u, \"count\": %llu, "
	       "\"seconds\": %.6f, \"rate\": %.0f, \"mib_per_s\": %.1f, \"paused\": %s}\n",
	       load->test, load->op, load->size, load->depth, (unsigned long long)count, seconds,
	       (double)count / seconds, (double)count * load->size / seconds / 1048576,
	       paused ? "true" : "false");
	return 0;
}
