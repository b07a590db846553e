/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "attach/passing.h"

union control {
	char buf[CMSG_SPACE(PASSING_FDS * sizeof(int))];
	struct cmsghdr align;
};

ssize_t passing_send(int sock, struct iovec *iov, size_t nr_iov, const int *fds, unsigned int n)
{
	union control control = {{0}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = nr_iov};
	struct cmsghdr *c = &control.align;
	ssize_t sent;

	if (n > PASSING_FDS)
		return -EMFILE;
	if (n) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

ssize_t passing_receive(int sock, int flags, struct iovec *iov, size_t nr_iov, int *fds,
			unsigned int *n, bool *cut)
{
	union control control;
	struct msghdr msg = {.msg_iov = iov,
			     .msg_iovlen = nr_iov,
			     .msg_control = control.buf,
			     .msg_controllen = CMSG_LEN(*n * sizeof(int))};
	ssize_t got;

	*n = 0;
	do
		got = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	/* The kernel puts all descriptors into one; what has no room it closes. */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*n = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *n * sizeof(int));
	}
	*cut = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	return got;
}
