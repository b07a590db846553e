/* SPDX-License-Identifier: BSD-2-Clause */
/* keeper/notify.h. Our own few lines: the protocol is documented and stable, and libsystemd would be one more library below each driver. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "keeper/notify.h"

enum {
	FIRST_FD = 3, /* SD_LISTEN_FDS_START */
	TEXT = 1024,
};

static struct {
	int sock;
	struct sockaddr_un to;
	socklen_t to_size;
	unsigned int watchdog_ms;
	unsigned int nr_fds;
	char *names;
} manager = {.sock = -1};

static unsigned long long number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : 0;
}

/* Meant for this process, and not for one that it is a child of? Where no number is given, it is. */
static bool is_ours(const char *name)
{
	return !getenv(name) || number(name) == (unsigned long long)getpid();
}

static void take_socket(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const struct timeval patience = {.tv_sec = 2};
	size_t size = path ? strlen(path) : 0;

	/* Other kinds (vsock:) are for virtual machines. */
	if (size < 2 || size >= sizeof(manager.to.sun_path) || (*path != '/' && *path != '@'))
		return;
	manager.to.sun_family = AF_UNIX;
	memcpy(manager.to.sun_path, path, size);
	/* A name in the abstract namespace begins with a NUL: unix(7). */
	if (*path == '@')
		manager.to.sun_path[0] = '\0';
	manager.to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	manager.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* A manager that does not read must not stop who is to serve. */
	setsockopt(manager.sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static void take_fds(void)
{
	const char *names = getenv("LISTEN_FDNAMES");
	unsigned long long n = number("LISTEN_FDS");

	if (!n || n > NOTIFY_FDS || !is_ours("LISTEN_PID"))
		return;
	manager.nr_fds = (unsigned int)n;
	manager.names = strdup(names ? names : "");
	for (unsigned int i = 0; i < n; i++)
		fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
}

void notify_open(void)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
					    "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};

	take_socket();
	take_fds();
	if (is_ours("WATCHDOG_PID")) {
		unsigned long long ms = number("WATCHDOG_USEC") / 2000;

		manager.watchdog_ms = ms > 3600000 ? 3600000 : (unsigned int)ms;
	}
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

bool notify_wanted(void)
{
	return manager.sock >= 0;
}

static int say(int fd, const char *fmt, va_list ap)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	char text[TEXT];
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	struct iovec iov = {text, n < 0			     ? 0
				  : (size_t)n < sizeof(text) ? (size_t)n
							     : sizeof(text) - 1};
	struct msghdr msg = {.msg_name = &manager.to,
			     .msg_namelen = manager.to_size,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	if (manager.sock < 0)
		return -ENOENT;
	if (fd >= 0) {
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
	}
	return sendmsg(manager.sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void notify(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(-1, fmt, ap);
	va_end(ap);
}

int notify_fd(int fd, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = say(fd, fmt, ap);
	va_end(ap);
	return ret;
}

unsigned int notify_watchdog_ms(void)
{
	return manager.sock < 0 ? 0 : manager.watchdog_ms;
}

int notify_listen_fd(unsigned int i, char name[NOTIFY_NAME])
{
	const char *at = manager.names;

	if (i >= manager.nr_fds)
		return -1;
	for (unsigned int n = 0; n < i && at; n++) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	snprintf(name, NOTIFY_NAME, "%.*s", at ? (int)strcspn(at, ":") : 0, at ? at : "");
	return FIRST_FD + (int)i;
}
