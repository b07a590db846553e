/* SPDX-License-Identifier: BSD-2-Clause */
/* See marked.h. */
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

int marked_run(const struct marked_load *load, int (*run)(void *of, uint64_t n), void *of)
{
	uint64_t start, count;
	double seconds;

	RIG_BEGIN(1);
	if (run(of, load->count / 10 + 1))
		return 1;
	RIG_END(1);
	start = ob_clock_ns();
	RIG_BEGIN(2);
	if (run(of, load->count))
		return 1;
	RIG_END(2);
	seconds = (double)(ob_clock_ns() - start) / 1e9;
	count = load->done ? *load->done : load->count;
	printf("{\"test\": \"%s\", \"op\": \"%s\", \"size\": %u, \"depth\": %u, \"count\": %llu, "
	       "\"seconds\": %.6f, \"rate\": %.0f, \"mib_per_s\": %.1f}\n",
	       load->test, load->op, load->size, load->depth, (unsigned long long)count, seconds,
	       (double)count / seconds, (double)count * load->size / seconds / 1048576);
	return 0;
}
