/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request as the kernel's ublk driver describes it (struct ublksrv_io_desc, include/uapi/linux/ublk_cmd.h)
 * turned into one of ours. Every field is checked: the descriptors are the kernel's memory, and a disk must not be
 * harmed by what is wrong in them. No state, so that it can be fuzzed alone.
 */
#ifndef ATTACH_UBLK_DESC_H
#define ATTACH_UBLK_DESC_H

#include <stddef.h>
#include <stdint.h>

#include <linux/ublk_cmd.h>

/**
 * struct ublk_region - memory that clients share with us, by the kernel's index
 * @base: where it is mapped here; NULL for an index that is not registered
 */
struct ublk_region {
	char *base;
	uint64_t len;
};

enum {
	UBLK_REGIONS = 16,
};

/**
 * struct ublk_shape - what the device was set up with
 * @size: bytes
 * @block_size: bytes, a power of two
 * @max_io: longest READ or WRITE, bytes: the size of a tag's buffer
 */
struct ublk_shape {
	uint64_t size;
	uint32_t block_size;
	uint32_t max_io;
	struct ublk_region region[UBLK_REGIONS];
};

/**
 * struct ublk_request - what a descriptor asks for
 * @op: enum ob_block_op
 * @flags: enum ob_block_flags
 * @buf: the payload's memory: the tag's buffer, or a place in a shared region
 * @shared: it is the client's own memory: nothing was copied
 */
struct ublk_request {
	uint8_t op, flags;
	uint8_t shared;
	uint64_t offset, len;
	char *buf;
};

/**
 * ublk_desc_parse() - check and translate
 * @desc: may change under our feet; each field is read once
 * @buf: the buffer that this tag was fetched with, of shape->max_io bytes
 *
 * Return: 0; -EOPNOTSUPP (an operation that was not offered); -EINVAL (a length, address or alignment that
 * cannot be); -ERANGE (outside of the disk).
 */
int ublk_desc_parse(const struct ublk_shape *shape, const struct ublksrv_io_desc *desc, char *buf,
		    struct ublk_request *rq);

/** ublk_error() - what the kernel is told of a request's status, so that it becomes the right error of its own */
int ublk_error(int status);

#endif
