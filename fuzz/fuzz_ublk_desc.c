/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach/ublk_desc: whatever a descriptor of the kernel says, a request that is let through lies within the disk, in whole
 * blocks, and its payload within memory that belongs to it.
 *
 * Input: block size shift (1 byte), disk size in blocks (8), longest request in pages (1), region length in pages (1),
 * then descriptors as the kernel has them (24 each). An address whose top byte is 0xff is made that of the tag's
 * buffer plus its lowest byte, so that right ones are met.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/block.h>

#include "attach/ublk_desc.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_trap();                                                          \
	} while (0)

enum {
	HEAD = 11,
	PAGE = 4096,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_payload(const struct ublk_shape *shape, const char *buf,
			  const struct ublk_request *rq)
{
	const struct ublk_region *region = &shape->region[1];

	if (rq->shared) {
		CHECK(rq->buf >= region->base && rq->len <= region->len);
		CHECK((uint64_t)(rq->buf - region->base) <= region->len - rq->len);
	} else {
		CHECK(rq->buf == buf && rq->len <= shape->max_io);
	}
}

static void check(const struct ublk_shape *shape, const char *buf, const struct ublk_request *rq)
{
	if (rq->op == OB_BLOCK_FLUSH) {
		CHECK(!rq->flags && !rq->len);
		return;
	}
	CHECK(rq->op <= OB_BLOCK_WRITE_ZEROES);
	CHECK(rq->len && rq->offset <= shape->size && rq->len <= shape->size - rq->offset);
	CHECK(!((rq->offset | rq->len) % shape->block_size));
	CHECK(!(rq->flags & OB_BLOCK_FUA) || rq->op == OB_BLOCK_WRITE ||
	      rq->op == OB_BLOCK_WRITE_ZEROES);
	if (rq->op <= OB_BLOCK_WRITE)
		check_payload(shape, buf, rq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char buf[256 * PAGE], region[256 * PAGE];
	struct ublk_shape shape = {0};
	struct ublksrv_io_desc desc;
	struct ublk_request rq;
	uint64_t blocks;

	if (size < HEAD)
		return 0;
	shape.block_size = 512u << (data[0] & 3);
	memcpy(&blocks, data + 1, sizeof(blocks));
	shape.size = (blocks % (INT64_MAX / shape.block_size) + 1) * shape.block_size;
	shape.max_io = (data[9] + 1u) * PAGE;
	shape.region[1] = (struct ublk_region){region, (data[10] + 1u) * PAGE};
	for (data += HEAD, size -= HEAD; size >= sizeof(desc);
	     data += sizeof(desc), size -= sizeof(desc)) {
		memcpy(&desc, data, sizeof(desc));
		if (desc.addr >> 56 == 0xff)
			desc.addr = (uintptr_t)buf + (desc.addr & 0xff);
		if (!ublk_desc_parse(&shape, &desc, buf, &rq))
			check(&shape, buf, &rq);
	}
	return 0;
}
