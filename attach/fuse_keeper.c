/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper process. Whoever serves a FUSE file must not be the last user of anything that lies on it: a
 * dying task closes its files and leaves its mount namespace in one go (Linux, kernel/exit.c, do_exit()), and
 * what it closes first, a loop device with dirty pages, or a namespace with a file system that has to
 * be unmounted, would wait for a server whose /dev/fuse is closed only after it: for ever.
 *
 * So a child holds these things, and must live until the connection has ended. Even when both get SIGKILL
 * together, as when a container ends: it waits in read() of a file on that connection, which
 * the server does not answer. A request that a server has taken is waited for without regard to
 * signals (fs/fuse/dev.c, request_wait_answer()), so the kernel itself keeps the order: first
 * /dev/fuse is closed, which ends the request, then the child ends.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/fuse_keeper.h"

enum {
	/* Setting up takes milliseconds; a loop that does not serve is a mistake of the application. */
	READY_MS = 30000,

	/* The child's descriptors. */
	REPORT_FD = 3,
	ROOT_FD = 4,
	FIRST_OTHER_FD = 5,
};

struct keeper_report {
	int status;
	int result[KEEPER_RESULTS];
};

/* Above all not /dev/fuse, which must end with the parent; and no pipe that somebody waits for. */
static void keep_two(int report, int root)
{
	report = fcntl(report, F_DUPFD, 16);
	if (root >= 0)
		root = fcntl(root, F_DUPFD, 16);
	dup2(report, REPORT_FD);
	if (root >= 0)
		dup2(root, ROOT_FD);
	for (int fd = 0; fd <= ROOT_FD; fd++)
		if (fd != REPORT_FD && (fd != ROOT_FD || root < 0))
			close(fd);
	if (syscall(SYS_close_range, FIRST_OTHER_FD, ~0u, 0))
		for (int fd = FIRST_OTHER_FD; fd < 65536; fd++) /* before Linux 5.9 */
			close(fd);
}

static int keeper_setup(const struct fuse_keeper_job *job, int *hold, struct keeper_report *report)
{
	int root = job->root >= 0 ? ROOT_FD : open(job->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root >= 0 && root != ROOT_FD) {
		dup2(root, ROOT_FD);
		close(root);
	}
	if (root < 0)
		return -errno;
	*hold = openat(ROOT_FD, FUSE_KEEPER_FILE, O_RDONLY | O_CLOEXEC);
	if (*hold < 0)
		return -errno;
	return job->setup ? job->setup(job->arg, ROOT_FD, report->result) : 0;
}

static void __attribute__((noreturn)) keeper(const struct fuse_keeper_job *job, int report_fd)
{
	struct keeper_report report = {0};
	sigset_t all;
	int hold = -1;
	char word;
	ssize_t n;

	prctl(PR_SET_NAME, "outboard-keeper");
	/* Ctrl-C on the terminal is for the parent, which ends us in order. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	keep_two(report_fd, job->root);

	report.status = keeper_setup(job, &hold, &report);
	if (write(REPORT_FD, &report, sizeof(report)) < 0 || report.status)
		_exit(report.status ? 1 : 0);
	close(REPORT_FD);
	do
		n = read(hold, &word, 1);
	while (n < 0 && errno == EINTR);
	/* One byte was the order to go, an error the end of the connection. */
	if (job->at_end)
		job->at_end(job->arg, ROOT_FD);
	_exit(0);
}

static int await_report(int fd, struct keeper_report *report)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, READY_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	/* Smaller than PIPE_BUF: whole or not at all. */
	return read(fd, report, sizeof(*report)) == (ssize_t)sizeof(*report) ? 0 : -ECHILD;
}

static void await_end(struct fuse_keeper *k)
{
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	k->pid = 0;
}

/* ---- the read: answered by order, by the child's own end, or by the end of the connection ---- */

static void answer(struct fuse_hold *h, int error)
{
	fuse_req_t req = atomic_exchange(&h->read, NULL);

	if (!req)
		return;
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_buf(req, "!", 1);
}

static void reader_killed(fuse_req_t req, void *hold)
{
	answer(hold, EINTR);
}

void fuse_hold_read(struct fuse_hold *h, fuse_req_t req)
{
	answer(h, EINTR); /* there is one: whoever reads it again takes its place */
	atomic_store(&h->read, req);
	fuse_req_interrupt_func(req, reader_killed, h);
	if (atomic_load(&h->may_go))
		answer(h, 0);
}

void fuse_hold_end(struct fuse_hold *h)
{
	answer(h, ENOTCONN);
}

static void release(struct fuse_hold *h)
{
	/* In this order: a read that comes in between sees it. */
	atomic_store(&h->may_go, true);
	answer(h, 0);
}

/* ---- start and stop ---------------------------------------------------------------------- */

int fuse_keeper_start(struct fuse_hold *h, const struct fuse_keeper_job *job, struct fuse_keeper *k,
		      int result[KEEPER_RESULTS], struct ob_error *err)
{
	struct keeper_report report = {0};
	int fds[2], ret;

	k->pid = 0;
	atomic_store(&h->may_go, false);
	if (pipe2(fds, O_CLOEXEC))
		return ob_error_set(err, -errno, "%s: no pipe: %s", h->name, strerror(errno));
	k->pid = fork();
	if (!k->pid)
		keeper(job, fds[1]);
	close(fds[1]);
	if (k->pid < 0) {
		k->pid = 0;
		close(fds[0]);
		return ob_error_set(err, -errno, "%s: cannot start a process: %s", h->name,
				    strerror(errno));
	}
	ret = await_report(fds[0], &report);
	close(fds[0]);
	if (ret == -ETIMEDOUT) {
		/* Where it waits for an answer of ours it ends with the connection, not now. */
		kill(k->pid, SIGKILL);
		ob_error_set(err, ret, "%s: the loop has not served its file system for %d s",
			     h->name, READY_MS / 1000);
		ob_error_why(err, "publish is called while the loop runs, from another thread");
		return ret;
	}
	if (!ret && !report.status) {
		memcpy(result, report.result, sizeof(report.result));
		return 0;
	}
	if (!ret)
		ret = report.status;
	await_end(k);
	memcpy(result, report.result, sizeof(report.result));
	return ob_error_set(err, ret, "%s: %s", h->name, strerror(-ret));
}

void fuse_keeper_stop(struct fuse_hold *h, struct fuse_keeper *k)
{
	if (!k->pid)
		return;
	release(h);
	await_end(k);
}
