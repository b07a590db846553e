/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding a name machine-wide without a file: a listening socket in the abstract namespace
 * (unix(7)). It vanishes with its process, and SO_PEERCRED of a connection tells who it was.
 * The namespace is that of the network namespace, so a holder in another one is not seen here; the
 * backend's own lock (QEMU's image lock, VFIO's group) stands behind it.
 *
 * A process that is killed while it starts another (QEMU, a keeper) leaves its descriptors to that one until
 * it has closed them, some microseconds, or longer where processors are busy: that end is waited for.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <outboard/access.h>

enum {
	/* For the child of a holder that has ended: far more than it needs. */
	WAIT_MS = 2000,
	STEP_MS = 5,
};

static int holder_pid(const struct sockaddr_un *addr, socklen_t len)
{
	struct ucred cred = {0};
	socklen_t size = sizeof(cred);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return 0;
	/* For a listening socket the credentials are those of the process that called listen(). */
	if (connect(fd, (const struct sockaddr *)addr, len) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		cred.pid = 0;
	close(fd);
	return cred.pid;
}

/* Also when nobody has waited for it yet. */
static bool has_ended(int pid)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	bool ended;

	if (p.fd < 0)
		return errno == ESRCH;
	ended = poll(&p, 1, 0) > 0;
	close(p.fd);
	return ended;
}

static int hold(int sock, const struct sockaddr_un *addr, socklen_t len)
{
	/* Room for everybody who asks who it is: nobody accepts them. */
	return bind(sock, (const struct sockaddr *)addr, len) || listen(sock, SOMAXCONN) ? -errno
											 : 0;
}

int ob_claim(const char *name, int *fd, int *holder)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len;
	int n, sock, ret;

	*holder = 0;
	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "outboard/claim/%s", name);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path) - 1)
		return -ENAMETOOLONG;
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	ret = hold(sock, &addr, len);
	for (int ms = 0; ret == -EADDRINUSE && ms < WAIT_MS; ms += STEP_MS) {
		/* Asked once: nobody accepts connections, and the queue for them is short. */
		if (!*holder)
			*holder = holder_pid(&addr, len);
		/* 0: it let go meanwhile, or does not listen yet, or is in another process namespace. */
		if (*holder ? !has_ended(*holder) : ms > 0)
			break;
		poll(NULL, 0, STEP_MS);
		ret = hold(sock, &addr, len);
	}
	if (ret) {
		close(sock);
		return ret == -EADDRINUSE ? -EBUSY : ret;
	}
	*fd = sock;
	return 0;
}
