/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk of memory behind the block class, for tests of what stands in front of it: it can hold requests
 * back, end them out of order, fail, and it knows what would have survived a power cut.
 */
#ifndef TESTS_ATTACH_RAM_DISK_H
#define TESTS_ATTACH_RAM_DISK_H

#include <stdatomic.h>

#include <outboard/access.h>
#include <outboard/driver.h>

enum {
	RAM_DEPTH_MAX = 64,
	RAM_MAPS = 32,
};

struct ram_map {
	char *va;
	uint64_t iova;
	size_t len; /* 0: not used */
};

/**
 * struct ram_disk - fill what is wanted between ram_disk_init() and ram_disk_open()
 * @blk: limits may be changed before open
 * @fua, @flush, @discard, @zeroes: what it says it can do
 * @file: where @data is kept, for disks that are to survive their process; NULL: in memory
 * @iommu: memory outside of the arena can be mapped for it
 * @no_stable: a power cut is not looked at: @stable is NULL, and a flush costs nothing
 * @data: what a read gives
 * @stable: what a power cut would leave
 * @hold: requests are taken but do not end
 * @shuffle: they end in another order
 * @fail_from, @fail_to: READ and WRITE that touch these bytes end with @fail_status
 * @seen: requests that arrived, by op; @fua_seen, @unmap_seen: with these flags
 * @longest: length of the longest READ or WRITE that arrived
 * @outside: requests whose buffer was not used in place
 */
struct ram_disk {
	struct ob_block blk; /* first */
	struct ob_device dev;
	struct ob_driver driver;
	struct ob_binding binding;
	bool fua, flush, discard, zeroes, multi_conn;
	const char *file;
	bool no_stable, iommu;
	struct ram_map map[RAM_MAPS];
	size_t arena_size;
	char *arena, *data, *stable;

	_Atomic bool hold, shuffle;
	_Atomic int fail_status;
	_Atomic uint64_t fail_from, fail_to;
	_Atomic uint64_t seen[5];
	_Atomic uint64_t fua_seen, unmap_seen, longest, outside, most_inflight;

	struct ob_block_req *pending[RAM_DEPTH_MAX];
	unsigned int nr_pending;
	bool armed;
	uint64_t random;
};

void ram_disk_init(struct ram_disk *r, uint64_t size);
/** ram_disk_open() - 0 or a negative errno value */
int ram_disk_open(struct ram_disk *r);
void ram_disk_close(struct ram_disk *r);
/** ram_disk_release() - let held requests end, from any thread */
void ram_disk_release(struct ram_disk *r);

#endif
