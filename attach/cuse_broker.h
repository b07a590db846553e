/* SPDX-License-Identifier: BSD-2-Clause */
/* What the attachment "cuse" asks of the broker (attach/broker.h): cuse_broker.c. */
#ifndef ATTACH_CUSE_BROKER_H
#define ATTACH_CUSE_BROKER_H

#include "attach/broker_ops.h"

enum {
	CUSE_NAME = 64,
	CUSE_INIT_SIZE = 56, /* struct fuse_in_header and struct cuse_init_in */
};

/**
 * struct broker_cuse - a node in /dev
 * @name: as the option says, %d is a number; in the result as it is
 * @mode: of the node, where @has_mode
 * @init: in the result: the kernel's first message, which has been answered
 */
struct broker_cuse {
	char name[CUSE_NAME];
	bool has_mode;
	uint32_t mode;
	_Alignas(8) char init[CUSE_INIT_SIZE];
};

/** cuse_device() - open /dev/cuse. Return: a descriptor, or a negative errno value */
int cuse_device(struct ob_error *err);

#endif
