/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_TIMEX_H
#define __ASM_OUTBOARD_TIMEX_H

#include <linux/types.h>

typedef unsigned long cycles_t;

static inline cycles_t get_cycles(void)
{
	unsigned int lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (unsigned long)hi << 32 | lo;
}
#define get_cycles get_cycles

#endif
