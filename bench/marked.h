/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load that is measured between the marks of rig/marker.h, the same through the kernel (client.c) and in process (inprocess.c):
 * a fixed number of operations, a tenth of it before to warm up, places from one row of random numbers.
 */
#ifndef BENCH_MARKED_H
#define BENCH_MARKED_H

#include <stdint.h>

/* @done: how many it really were, where @run cannot stop at exactly so many; else NULL */
struct marked_load {
	const char *test, *op;
	unsigned int size, depth;
	uint64_t count;
	const uint64_t *done;
};

/* marked_random() - the same numbers in every run, and in every thread */
uint64_t marked_random(void);
/* marked_run() - @run does so many operations, non-zero when it failed; prints a line of JSON. Return: of main() */
int marked_run(const struct marked_load *load, int (*run)(void *of, uint64_t n), void *of);
/*
 * marked_pause() - called by @run when it has nothing to do but to look again for what a device takes @us for.
 *
 * It sleeps that long outside of the marks: an emulated device's time is its emulator's, and looking again and again meanwhile says nothing
 * of a driver. The window has several parts then, and a rate that means nothing.
 */
void marked_pause(unsigned int us);
/* marked_pace() - before each operation: no more than @rate of them begin in a second; 0: as many as there can be */
void marked_pace(unsigned int rate);
/*
 * marked_soak() - a thread, which runs only when nobody else wants to (SCHED_IDLE), takes the time that is left. What it took of the
 * window is in the line of marked_run(): "available", a part of 1 (of one processor).
 *
 * Return: 0, or a negative errno value
 */
int marked_soak(void);

#endif
