/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an attachment needs of the system and a confined driver process may not have: an interface made, a command given to the
 * kernel's ublk driver, a socket bound. Each is an operation, a function of values and descriptors. A confined process asks the
 * broker for it, a process of the keeper's that was forked before any code of a driver's ran, and that does it after having
 * looked whether it concerns this instance's own things; where nobody is confined the same function is called in place.
 *
 * The broker is as short-lived as the driver process that it serves, and what it makes is held by the latter, or by the keeper.
 */
#ifndef ATTACH_BROKER_H
#define ATTACH_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <outboard/error.h>

enum broker_op {
	BROKER_VHOST_NET, /* tap.c and vhost_net.c: networks */
	BROKER_TAP_MAKE,
	BROKER_LINK_SET,
	BROKER_LINK_ADDRESS,
	BROKER_UBLK_OPEN, /* ublk_ctrl.c */
	BROKER_UBLK_CMD,
	BROKER_UBLK_CHAR,
	BROKER_UBLK_LEFT, /* ublk_left.c */
	BROKER_UBLK_CLAIM,
	BROKER_UBLK_CARE,
	BROKER_UBLK_IDLE,
	BROKER_FUSE_MOUNT, /* fuse_broker.c: fuse and loop */
	BROKER_FUSE_UNMOUNT,
	BROKER_FUSE_HOLD,
	BROKER_FUSE_UNUSED,
	BROKER_LOOP_IDLE,
	BROKER_LOOP_LOOK,
	BROKER_NBD_BIND, /* nbd_listen.c */
	BROKER_NBD_UNLINK,
	BROKER_TCP_PEER,
	BROKER_VDUSE_MAKE, /* vduse_broker.c */
	BROKER_VDUSE_DESTROY,
	BROKER_VDUSE_ATTACH,
	BROKER_VDUSE_DETACH,
	BROKER_VDUSE_CARE,
	BROKER_VDUSE_NET,
	BROKER_NBDK_CONNECT, /* nbd_kernel_broker.c */
	BROKER_NBDK_RECONNECT,
	BROKER_NBDK_DISCONNECT,
	BROKER_NBDK_FIND,
	BROKER_NBDK_NODE,
	BROKER_NBDK_IDLE,
	BROKER_NBDK_WRITE_BACK,
	BROKER_NBDK_CARE,
	BROKER_CUSE_MAKE, /* cuse_broker.c */
	BROKER_CUSE_WHO,
	BROKER_OPS,
};

enum {
	BROKER_BYTES = 4096, /* of an argument, and of a result */
	BROKER_FDS = 24,
};

/**
 * struct broker_call - one operation
 * @arg, @arg_size: its values, of the size that the operation has
 * @fd, @nr_fds: descriptors that it works with; stay the caller's
 * @res, @res_size: where it writes; of the size that the operation has, or NULL and 0
 * @res_fd, @nr_res_fds: descriptors that it made, the caller's
 * @give_up: asked every 100 ms while the operation goes on: true has it end, if it is one that can; may be NULL
 * @give_up_arg: for it
 */
struct broker_call {
	const void *arg;
	size_t arg_size;
	int fd[BROKER_FDS];
	unsigned int nr_fds;
	void *res;
	size_t res_size;
	int res_fd[BROKER_FDS];
	unsigned int nr_res_fds;
	bool (*give_up)(void *arg);
	void *give_up_arg;
};

/**
 * broker_call() - have it done, here or by the broker
 *
 * From any thread; one after the other.
 *
 * Return: what the operation says; -EPERM with @err for what is not this instance's; -EPIPE: the broker is gone.
 */
int broker_call(enum broker_op op, struct broker_call *c, struct ob_error *err);

/** broker_uid(), broker_gid() - the user and group whose rights an operation has */
uid_t broker_uid(void);
gid_t broker_gid(void);

/** broker_number() - of the keeper, else of this process: what names of the instance's in the kernel have in them */
int broker_number(void);

/** broker_asked() - is this a confined process, whose operations are done by another one? */
bool broker_asked(void);

/** broker_serves() - is this the broker, so that values and descriptors are a confined process's? */
bool broker_serves(void);

/**
 * broker_said() - for operations: does the command line say so?
 * @option: of an attachment
 *
 * Return: true when an attachment of the instance has @option with this @value, and always where nobody is confined.
 */
bool broker_said(const char *option, const char *value);

/**
 * broker_said_next() - in the broker: what the command line says of an option
 * @i: 0, 1, and so on
 *
 * Return: the @i-th value, valid until the next call; NULL: there are no more.
 */
const char *broker_said_next(const char *option, unsigned int i);

/* ---- for the two processes -------------------------------------------------------------------- */

/**
 * ob_broker_connect() - in a driver process, before it is confined: the broker is behind this socket (SOCK_SEQPACKET)
 * @waits: called with true before this thread waits for it, which may wait for a lock of the kernel's in turn, and with false after;
 *	or NULL
 */
void ob_broker_connect(int sock, void (*waits)(bool on));

/**
 * ob_broker_serve() - be the broker, until the other end of @sock is closed
 * @attachments, @n: as on the command line: what operations may concern
 */
void ob_broker_serve(int sock, const char *const *attachments, unsigned int n);

#endif
