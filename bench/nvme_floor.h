/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor that Outboard's NVMe path is compared with: a bare loop on the same device model, with a
 * qtest client and queues of its own, and nothing of Outboard's class, driver or access.
 */
#ifndef BENCH_NVME_FLOOR_H
#define BENCH_NVME_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

struct floor;

struct floor_counts {
	uint64_t requests, doorbells, syscalls;
};

/* floor_open() - start a QEMU with an NVMe disk of @size bytes that reads zeroes. NULL, @why */
struct floor *floor_open(const char *qemu, uint64_t size, char *why, unsigned int why_size);
void floor_close(struct floor *f);
/*
 * floor_run() - 4 KiB reads at random places for @ns nanoseconds, @depth (at most 64) in flight.
 *
 * @yield: give the processor away when nothing has completed (the device model is on the same one).
 * Return: nanoseconds that it took, 0 when the device failed.
 */
uint64_t floor_run(struct floor *f, unsigned int depth, uint64_t ns, bool yield,
		   struct floor_counts *counts);

#endif
