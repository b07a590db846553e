/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of the kernel's ublk driver, checked (attach/ublk_desc.h). */
#include <errno.h>
#include <string.h>

#include <outboard/block.h>

#include "attach/ublk_desc.h"

enum {
	SECTOR_SHIFT = 9, /* the unit of nr_sectors and start_sector, whatever the block size */
};

/* Volatile: read once, so that what was checked is what is used. */
static void snapshot(const struct ublksrv_io_desc *desc, struct ublksrv_io_desc *copy)
{
	const volatile struct ublksrv_io_desc *from = desc;

	copy->op_flags = from->op_flags;
	copy->nr_sectors = from->nr_sectors;
	copy->start_sector = from->start_sector;
	copy->addr = from->addr;
}

static int find_payload(const struct ublk_shape *shape, const struct ublksrv_io_desc *desc,
			char *buf, struct ublk_request *rq)
{
	const struct ublk_region *region;
	uint64_t offset;
	uint16_t index;

	if (!(desc->op_flags & UBLK_IO_F_SHMEM_ZC)) {
		/* The kernel repeats the address that it was given with the tag. */
		if (desc->addr != (uintptr_t)buf || rq->len > shape->max_io)
			return -EINVAL;
		rq->buf = buf;
		return 0;
	}
	index = ublk_shmem_zc_index(desc->addr);
	offset = ublk_shmem_zc_offset(desc->addr);
	if (index >= UBLK_REGIONS || desc->addr >> (UBLK_SHMEM_ZC_IDX_OFF + 16))
		return -EINVAL;
	region = &shape->region[index];
	if (!region->base || offset > region->len || rq->len > region->len - offset)
		return -EINVAL;
	rq->buf = region->base + offset;
	rq->shared = 1;
	return 0;
}

int ublk_desc_parse(const struct ublk_shape *shape, const struct ublksrv_io_desc *desc, char *buf,
		    struct ublk_request *rq)
{
	struct ublksrv_io_desc d;

	snapshot(desc, &d);
	memset(rq, 0, sizeof(*rq));
	switch (ublksrv_get_op(&d)) {
	case UBLK_IO_OP_READ:
		rq->op = OB_BLOCK_READ;
		break;
	case UBLK_IO_OP_WRITE:
		rq->op = OB_BLOCK_WRITE;
		break;
	case UBLK_IO_OP_FLUSH:
		/* Its range means nothing. */
		rq->op = OB_BLOCK_FLUSH;
		return 0;
	case UBLK_IO_OP_DISCARD:
		rq->op = OB_BLOCK_DISCARD;
		break;
	case UBLK_IO_OP_WRITE_ZEROES:
		rq->op = OB_BLOCK_WRITE_ZEROES;
		if (!(d.op_flags & UBLK_IO_F_NOUNMAP))
			rq->flags |= OB_BLOCK_MAY_UNMAP;
		break;
	default: /* zones, WRITE_SAME, passthrough: not offered */
		return -EOPNOTSUPP;
	}
	if ((d.op_flags & UBLK_IO_F_FUA) && rq->op != OB_BLOCK_READ && rq->op != OB_BLOCK_DISCARD)
		rq->flags |= OB_BLOCK_FUA;

	rq->len = (uint64_t)d.nr_sectors << SECTOR_SHIFT;
	if (!rq->len)
		return -EINVAL;
	if (d.start_sector > shape->size >> SECTOR_SHIFT)
		return -ERANGE;
	rq->offset = d.start_sector << SECTOR_SHIFT;
	if (rq->len > shape->size - rq->offset)
		return -ERANGE;
	if ((rq->offset | rq->len) & (shape->block_size - 1))
		return -EINVAL;
	if (rq->op > OB_BLOCK_WRITE)
		return 0;
	return find_payload(shape, &d, buf, rq);
}

int ublk_error(int status)
{
	switch (status) {
	case -EOPNOTSUPP:
	case -ENOSPC:
	case -ETIMEDOUT:
		return status; /* block/blk-core.c has an error of its own for each */
	case -EILSEQ:
		return -ENODATA; /* "critical medium error" there */
	default:
		return -EIO;
	}
}
