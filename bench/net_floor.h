/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor that Outboard's e1000 path is compared with: a bare loop that sends frames through the same
 * device model, with nothing of Outboard's class, driver or access.
 */
#ifndef BENCH_NET_FLOOR_H
#define BENCH_NET_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

struct net_floor;

struct net_counts {
	uint64_t frames, doorbells, syscalls, ns;
};

/* @model: QEMU's name: "e1000e", "e1000-82545em". NULL when it does not start. */
struct net_floor *net_floor_open(const char *qemu, const char *model);
void net_floor_close(struct net_floor *f);
/*
 * Frames of 60 bytes (64 with FCS) in bursts of @burst (at most 64) for @ns nanoseconds, then until all
 * are sent. @yield: give the processor away when the ring is full. False when the device failed.
 */
bool net_floor_run(struct net_floor *f, unsigned int burst, uint64_t ns, bool yield,
		   struct net_counts *counts);

#endif
