/* SPDX-License-Identifier: BSD-2-Clause */
/* What the attachment "nbd-kernel" asks of the broker (attach/broker.h): nbd_kernel_broker.c. */
#ifndef ATTACH_NBD_KERNEL_BROKER_H
#define ATTACH_NBD_KERNEL_BROKER_H

#include "attach/broker_ops.h"
#include "attach/genetlink.h"
#include "attach/kept.h"

enum {
	NBDK_BACKEND = 64,
	/*
	 * One connection is one hardware queue of the block device, of 128 requests. Ours all end in one thread, so
	 * more than a few only cost.
	 */
	NBDK_CONNECTIONS = 16,
};

/**
 * struct broker_nbdk - /dev/nbdN
 * @number: N; -1: any, or unknown
 * @connections: sockets, whose other ends are the results of connecting
 * @backend: tells our use of the number from another's; begins with nbdk_backend()'s word
 * @key: what the keeper knows it by
 * @size, @block_size, @flags, @timeout, @dead_timeout: what the kernel's client is told
 */
struct broker_nbdk {
	int number;
	unsigned int connections;
	char backend[NBDK_BACKEND];
	char key[KEPT_KEY];
	uint64_t size, block_size, flags, timeout, dead_timeout;
};

/** nbdk_backend() - a name that no other use has, of this instance's */
void nbdk_backend(char backend[NBDK_BACKEND], uint64_t unique);

/** nbdk_netlink() - connect to the kernel's client. Return: 0; -EOPNOTSUPP where there is none; what genetlink_open() says */
int nbdk_netlink(struct genetlink *g, struct ob_error *err);

/** nbdk_keep() - for the next driver process: by what name it finds the device, which may not be there yet; and its caretaker */
int nbdk_keep(const char *key, const char *backend, int care_fd);

#endif
