/* SPDX-License-Identifier: GPL-2.0-only */
/* What a request to a disk is, at the boundary to the host (linux/kit/kit.h): of a disk that the kernel drives, and of one that the host does. */
#ifndef OUTBOARD_CLASS_BLOCK_OPS_H
#define OUTBOARD_CLASS_BLOCK_OPS_H

/* As enum ob_block_op and ob_block_flags of outboard/block.h: the boundary uses their numbers. */
enum {
	READ_ = 0,
	WRITE_ = 1,
	FLUSH_ = 2,
	DISCARD_ = 3,
	ZEROES_ = 4,

	FUA_ = 1,
	MAY_UNMAP_ = 2,
};

#endif
