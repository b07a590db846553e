/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor that Outboard's e1000 path is compared with: a bare loop that sends frames through the same
 * device model, with nothing of Outboard's class, driver or access.
 */
#ifndef BENCH_NET_FLOOR_H
#define BENCH_NET_FLOOR_H

#include "bench/rounds.h"

struct net_floor;

/* @model: QEMU's name: "e1000e", "e1000-82545em". NULL when it does not start. */
struct net_floor *net_floor_open(const char *qemu, const char *model);
void net_floor_close(struct net_floor *f);
/* Frames of 60 bytes (64 with FCS) in bursts of @burst (at most 64), until all are sent; see struct side. */
bool net_floor_run(void *floor, unsigned int burst, uint64_t ns, bool yield, struct counts *counts);

#endif
