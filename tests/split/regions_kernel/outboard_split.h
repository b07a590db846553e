/* SPDX-License-Identifier: BSD-2-Clause */
/* What generated code for the kernel needs where it is executed in a process: tests/split/regions.c. */
#ifndef REGIONS_KERNEL_H
#define REGIONS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "slots.h"

#define __maybe_unused	__attribute__((unused))
#define EIO		5
#define ETH_GSTRING_LEN 32

static inline int ob_split_call(const struct ob_split_op *op, struct ob_split_object *objects)
{
	return -EIO;
}

static inline bool ob_split_unanswered(const struct ob_split_op *op)
{
	return false;
}

static inline long long ob_split_length(const struct ob_split_op *op, int of, long long key,
					long long value, long long least, long long most)
{
	return value;
}

static inline unsigned int ob_split_positive(long long length)
{
	return length;
}

#endif
