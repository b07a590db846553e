/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages between the keeper and its driver process: keeper/channel.h. */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/channel.h"

struct head {
	int32_t kind, value;
	struct ob_error err;
};

int channel_pair(int ends[2])
{
	const int room = 4 * CHANNEL_TEXT;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	/* A message is one piece of memory of the socket's. Root may have more than the system's limit; who is not has enough. */
	for (unsigned int i = 0; i < 2; i++)
		if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
			setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return 0;
}

int channel_send(int sock, int kind, int value, const struct ob_error *err, const char *text,
		 int fd)
{
	struct head head = {.kind = kind, .value = value};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	/* Only read. */
	struct iovec iov[2] = {{&head, sizeof(head)}, {(char *)(uintptr_t)text, 0}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (err)
		head.err = *err;
	if (text)
		iov[1].iov_len = strlen(text);
	if (iov[1].iov_len >= CHANNEL_TEXT)
		return -EMSGSIZE;
	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int channel_receive(int sock, struct channel_message *m, int timeout_ms)
{
	struct head head;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[2] = {{&head, sizeof(head)}, {NULL, CHANNEL_TEXT - 1}};
	struct msghdr msg = {.msg_iov = iov,
			     .msg_iovlen = 2,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	struct cmsghdr *c;
	ssize_t n;

	while (poll(&p, 1, timeout_ms) < 0)
		if (errno != EINTR)
			return -errno;
	if (!p.revents)
		return -EAGAIN;
	memset(m, 0, sizeof(*m));
	m->fd = -1;
	m->text = iov[1].iov_base = malloc(CHANNEL_TEXT);
	if (!m->text)
		return -ENOMEM;
	n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&m->fd, CMSG_DATA(c), sizeof(int));
	if (n >= (ssize_t)sizeof(head) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		m->kind = head.kind;
		m->value = head.value;
		m->err = head.err;
		/* It comes from another process: strings end here. */
		m->err.what[sizeof(m->err.what) - 1] = '\0';
		m->err.why[sizeof(m->err.why) - 1] = '\0';
		m->err.fix[sizeof(m->err.fix) - 1] = '\0';
		m->text[n - (ssize_t)sizeof(head)] = '\0';
		return 0;
	}
	if (m->fd >= 0)
		close(m->fd);
	free(m->text);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? -EAGAIN : -errno;
	return n ? -EPROTO : -ECONNRESET;
}
