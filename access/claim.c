/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding a name machine-wide without a file: a listening socket in the abstract namespace
 * (unix(7)). It vanishes with its process, and SO_PEERCRED of a connection tells who it was.
 * The namespace is that of the network namespace, so a holder in another one is not seen here; the
 * backend's own lock (QEMU's image lock, VFIO's group) stands behind it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <outboard/access.h>

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

int ob_claim(const char *name, int *fd, int *holder)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len;
	int n, sock;

	*holder = 0;
	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "outboard/claim/%s", name);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path) - 1)
		return -ENAMETOOLONG;
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (bind(sock, (const struct sockaddr *)&addr, len) || listen(sock, 8)) {
		int ret = -errno;

		close(sock);
		if (ret != -EADDRINUSE)
			return ret;
		*holder = holder_pid(&addr, len);
		return -EBUSY;
	}
	*fd = sock;
	return 0;
}
