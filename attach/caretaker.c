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
	ORDER_SET_UP = 's',
};

/* ---- the child ------------------------------------------------------------------- */

static bool is_kept(const struct caretaker_job *job, int fd, int order_fd)
{
	for (unsigned int i = 0; i < job->nr_fds; i++)
		if (job->fd[i] == fd)
			return true;
	return fd == order_fd;
}

static void close_others(const struct caretaker_job *job, int order_fd)
{
	int highest = order_fd;

	for (unsigned int i = 0; i < job->nr_fds; i++)
		if (job->fd[i] > highest)
			highest = job->fd[i];
	for (int fd = 0; fd <= highest; fd++)
		if (!is_kept(job, fd, order_fd))
			close(fd);
	if (syscall(SYS_close_range, highest + 1, ~0u, 0))
		for (int fd = highest + 1; fd < 65536; fd++) /* before Linux 5.9 */
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
static bool unmap_line(const struct caretaker_job *job, const char *line)
{
	uintptr_t start, end, keep = (uintptr_t)job->shared;
	const char *p = parse_hex(line, &start);

	if (*p != '-')
		return false;
	p = parse_hex(p + 1, &end);
	/* " rw-s": the fourth letter of the rights. */
	if (p[0] != ' ' || p[4] != 's' || end <= start)
		return false;
	if (job->shared && start < keep + job->size && keep < end)
		return false;
	return !munmap((void *)start, end - start);
}

/*
 * A mapping keeps its file open as a descriptor does. The list changes under our feet, so it is read again after each
 * change, until nothing is left to do.
 */
static void unmap_shared(const struct caretaker_job *job)
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
				changed = unmap_line(job, line);
			}
		}
		close(fd);
	}
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
	ssize_t n;
	char word;

	prctl(PR_SET_NAME, "outboard-care");
	close_others(job, order_fd);
	unmap_shared(job);
	/* Children need not be waited for. */
	signal(SIGCHLD, SIG_IGN);
	do {
		n = read(order_fd, &word, 1);
		if (n > 0 && word == ORDER_SET_UP)
			set_up(job, order_fd);
	} while (n < 0 ? errno == EINTR : n > 0 && word != ORDER_GO);
	/* An end without an order is the parent's. */
	if (!n)
		job->take_down(job->arg);
	_exit(0);
}

/* ---- the parent ------------------------------------------------------------------ */

int caretaker_start(struct caretaker *c, const struct caretaker_job *job, struct ob_error *err)
{
	sigset_t all, before;
	int fds[2];

	c->pid = 0;
	c->fd = -1;
	/* Not a pipe: writing to a child that was killed must not raise SIGPIPE. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return ob_error_set(err, -errno, "no socket pair: %s", strerror(errno));
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

static void end(struct caretaker *c)
{
	close(c->fd);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	c->pid = 0;
	c->fd = -1;
}

static void order(struct caretaker *c, char word)
{
	/* One that was killed is told nothing. */
	if (send(c->fd, &word, 1, MSG_NOSIGNAL) < 0)
		return;
}

void caretaker_set_up(struct caretaker *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	char done;

	if (!c->pid)
		return;
	order(c, ORDER_SET_UP);
	/* Or it is gone: then it is not done, and no harm. */
	if (poll(&p, 1, timeout_ms) > 0 && recv(c->fd, &done, 1, MSG_DONTWAIT) < 0)
		return;
}

void caretaker_dismiss(struct caretaker *c)
{
	if (!c->pid)
		return;
	order(c, ORDER_GO);
	end(c);
}

void caretaker_act(struct caretaker *c)
{
	if (c->pid)
		end(c);
}
