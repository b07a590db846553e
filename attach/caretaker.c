/* SPDX-License-Identifier: BSD-2-Clause */
/* The child process that outlives a server to take its disk down; contract in caretaker.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/caretaker.h"

enum {
	ORDER_GO = 'q',
	ORDER_ACT = 'a',
	ORDER_SET_UP = 's',
};

/* ---- the child ------------------------------------------------------------------- */

struct seat {
	const struct caretaker_job *job;
	int order_fd;
};

static bool is_kept(const void *arg, int fd)
{
	const struct seat *seat = arg;

	for (unsigned int i = 0; i < seat->job->nr_fds; i++)
		if (seat->job->fd[i] == fd)
			return true;
	return fd == seat->order_fd;
}

static int highest(const struct caretaker_job *job, int order_fd)
{
	for (unsigned int i = 0; i < job->nr_fds; i++)
		if (job->fd[i] > order_fd)
			order_fd = job->fd[i];
	return order_fd;
}

static void close_others(bool (*kept)(const void *arg, int fd), const void *arg, int last)
{
	for (int fd = 0; fd <= last; fd++)
		if (!kept(arg, fd))
			close(fd);
	if (syscall(SYS_close_range, last + 1, ~0u, 0))
		for (int fd = last + 1; fd < 65536; fd++) /* before Linux 5.9 */
			close(fd);
}

/* "start-end rwxs …": a hexadecimal number, and where it ended. */
static const char *parse_hex(const char *p, uintptr_t *val)
{
	*val = 0;
	for (;; p++) {
		if (*p >= '0' && *p <= '9')
			*val = *val << 4 | (uintptr_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			*val = *val << 4 | (uintptr_t)(*p - 'a' + 10);
		else
			return p;
	}
}

/* One line of /proc/self/maps (proc(5)); returns true when something was unmapped. */
static bool unmap_line(const char *line, uintptr_t keep, size_t size)
{
	uintptr_t start, end;
	const char *p = parse_hex(line, &start);

	if (*p != '-')
		return false;
	p = parse_hex(p + 1, &end);
	/* " rw-s": the fourth letter of the rights. */
	if (p[0] != ' ' || p[4] != 's' || end <= start)
		return false;
	if (size && start < keep + size && keep < end)
		return false;
	return !munmap((void *)start, end - start);
}

/*
 * A mapping keeps its file open as a descriptor does. The list changes under our feet, so it is read again after each
 * change, until nothing is left to do.
 */
static void unmap_shared(uintptr_t keep, size_t size)
{
	bool changed = true;

	while (changed) {
		int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
		char line[512], c[512];
		size_t n = 0;
		ssize_t got;

		if (fd < 0)
			return;
		changed = false;
		while (!changed && (got = read(fd, c, sizeof(c))) > 0) {
			for (ssize_t i = 0; i < got && !changed; i++) {
				if (c[i] != '\n') {
					if (n < sizeof(line) - 1)
						line[n++] = c[i];
					continue;
				}
				line[n] = '\0';
				n = 0;
				changed = unmap_line(line, keep, size);
			}
		}
		close(fd);
	}
}

void caretaker_let_go(bool (*kept)(const void *arg, int fd), const void *arg, int last, void *keep,
		      size_t size)
{
	close_others(kept, arg, last);
	unmap_shared((uintptr_t)keep, size);
}

/* By another one: this one must not be kept from taking down. */
static void set_up(const struct caretaker_job *job, int order_fd)
{
	if (fork())
		return;
	job->set_up(job->arg);
	_exit(send(order_fd, "", 1, MSG_NOSIGNAL) != 1);
}

static void __attribute__((noreturn)) child(const struct caretaker_job *job, int order_fd)
{
	const struct seat seat = {.job = job, .order_fd = order_fd};
	ssize_t n;
	char word;

	prctl(PR_SET_NAME, "outboard-care");
	caretaker_let_go(is_kept, &seat, highest(job, order_fd), job->shared,
			 job->shared ? job->size : 0);
	/* Children need not be waited for. */
	signal(SIGCHLD, SIG_IGN);
	do {
		n = read(order_fd, &word, 1);
		if (n > 0 && word == ORDER_SET_UP)
			set_up(job, order_fd);
	} while (n < 0 ? errno == EINTR : n > 0 && word != ORDER_GO && word != ORDER_ACT);
	/* An end without an order is that of the last who had the other end. */
	if (!n || word == ORDER_ACT)
		job->take_down(job->arg);
	_exit(0);
}

/* ---- the parent ------------------------------------------------------------------ */

int caretaker_start(struct caretaker *c, const struct caretaker_job *job, struct ob_error *err)
{
	sigset_t all, before;
	int fds[2];

	c->pid = 0;
	c->others = false;
	c->fd = -1;
	/* Not a pipe: writing to a child that was killed must not raise SIGPIPE. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return ob_error_set(err, -errno, "no socket pair: %s", strerror(errno));
	/* Before there is a child: one whose parent is killed in between must not take that for the end of all. */
	if (job->keep) {
		int rc = job->keep(job->arg, fds[0]);

		if (rc) {
			close(fds[0]);
			close(fds[1]);
			return ob_error_set(err, rc, "a descriptor cannot be kept: %s",
					    strerror(-rc));
		}
	}
	/* Ctrl-C on the terminal is for us, who end the child in order: it has signals blocked from its first moment on. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	c->pid = fork();
	if (!c->pid)
		child(job, fds[1]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(fds[1]);
	if (c->pid < 0) {
		int rc = -errno;

		c->pid = 0;
		close(fds[0]);
		return ob_error_set(err, rc, "cannot start a process: %s", strerror(-rc));
	}
	c->fd = fds[0];
	return 0;
}

bool caretaker_adopt(struct caretaker *c, int fd)
{
	char word;
	ssize_t n = recv(fd, &word, 1, MSG_PEEK | MSG_DONTWAIT);

	c->pid = 0;
	c->others = true;
	c->fd = -1;
	if (!n || (n < 0 && errno != EAGAIN)) {
		close(fd);
		return false;
	}
	c->pid = -1;
	c->fd = fd;
	return true;
}

static void end(struct caretaker *c)
{
	char word;
	struct iovec iov = {&word, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	/* Another's child: by its end its end of the pair is closed. */
	while (c->pid < 0 && (recvmsg(c->fd, &msg, 0) > 0 || errno == EINTR))
		errno = 0;
	close(c->fd);
	while (!c->others && waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	c->pid = 0;
	c->fd = -1;
}

static void order(struct caretaker *c, char word)
{
	struct iovec iov = {&word, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	/* One that was killed is told nothing. */
	if (sendmsg(c->fd, &msg, MSG_NOSIGNAL) < 0)
		return;
}

void caretaker_set_up(struct caretaker *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	char done;
	struct iovec iov = {&done, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!c->pid)
		return;
	order(c, ORDER_SET_UP);
	/* Or it is gone: then it is not done, and no harm. */
	if (poll(&p, 1, timeout_ms) > 0 && recvmsg(c->fd, &msg, MSG_DONTWAIT) < 0)
		return;
}

void caretaker_dismiss(struct caretaker *c)
{
	if (!c->pid)
		return;
	order(c, ORDER_GO);
	end(c);
}

void caretaker_leave(struct caretaker *c)
{
	if (!c->pid)
		return;
	close(c->fd);
	c->pid = 0;
	c->fd = -1;
}

void caretaker_act(struct caretaker *c)
{
	if (!c->pid)
		return;
	/* By a word: somebody else may have this end, too. */
	order(c, ORDER_ACT);
	end(c);
}
