/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor that Outboard's NVMe path is compared with: a bare loop on the same device model, with a
 * qtest client and queues of its own, and nothing of Outboard's class, driver or access.
 */
#ifndef BENCH_NVME_FLOOR_H
#define BENCH_NVME_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/rounds.h"

struct nvme_floor;

/* nvme_floor_open() - start a QEMU with an NVMe disk of @size bytes that reads zeroes; or NULL */
struct nvme_floor *nvme_floor_open(const char *qemu, uint64_t size);
void nvme_floor_close(struct nvme_floor *f);
/* nvme_floor_run() - 4 KiB reads at random places, @depth (at most 64) in flight; a side's turn, see rounds.h */
bool nvme_floor_run(void *floor, unsigned int depth, uint64_t ns, bool yield,
		    struct counts *counts);

#endif
