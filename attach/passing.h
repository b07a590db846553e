/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages with descriptors over a socket of AF_UNIX: unix(7), SCM_RIGHTS. System calls only, so also for a child of a threaded process. */
#ifndef ATTACH_PASSING_H
#define ATTACH_PASSING_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
	PASSING_FDS = 32,
};

/**
 * passing_send() - one message
 * @fds, @n: descriptors; stay the caller's; at most PASSING_FDS
 *
 * Return: how many bytes were sent, or a negative errno value.
 */
ssize_t passing_send(int sock, struct iovec *iov, size_t nr_iov, const int *fds, unsigned int n);

/**
 * passing_receive() - take one message; its descriptors are closed by exec
 * @flags: of recvmsg(2): MSG_DONTWAIT
 * @fds: what came, the caller's from now on
 * @n: room in @fds, at most PASSING_FDS; set to how many came
 * @cut: something of the message was cut off
 *
 * Return: how many bytes came, 0 at the end, or a negative errno value but -EINTR.
 */
ssize_t passing_receive(int sock, int flags, struct iovec *iov, size_t nr_iov, int *fds,
			unsigned int *n, bool *cut);

#endif
