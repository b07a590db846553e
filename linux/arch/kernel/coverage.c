// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which ways are taken through a driver that was compiled with -fsanitize-coverage=trace-pc (linux/farm does that): a counter for
 * each pair of places one behind the other, as fuzzers have it.
 */
#include <asm/outboard.h>
#include <linux/compiler.h>
#include <linux/hash.h>
#include <linux/instruction_pointer.h>

unsigned char *outboard_coverage;

void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
	static unsigned int before;
	unsigned int here;

	if (!outboard_coverage)
		return;
	/* The object lies elsewhere each time. */
	here = hash_64(_RET_IP_ - (unsigned long)outboard_memory.base, 16);
	outboard_coverage[here ^ before]++;
	before = here >> 1;
}
