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

#include "attach/broker.h"
#include "attach/caretaker.h"
#include "attach/fuse_keeper.h"

enum {
	/* Setting up takes milliseconds; a loop that does not serve is a mistake of the application. */
	READY_MS = 30000,

	LOOK_MS = 1,

	/* The child's descriptors. */
	GO_FD = 3,
	ROOT_FD = 4,
};

/* Above all not /dev/fuse, which must end with the parent; and no pipe that somebody waits for. */
static bool is_kept(const void *arg, int fd)
{
	const struct fuse_keeper_job *job = arg;

	return fd == GO_FD || (fd == ROOT_FD && job->root >= 0);
}

static void keep_two(const struct fuse_keeper_job *job, int go)
{
	int root = job->root;

	go = fcntl(go, F_DUPFD, 16);
	if (root >= 0)
		root = fcntl(root, F_DUPFD, 16);
	dup2(go, GO_FD);
	if (root >= 0)
		dup2(root, ROOT_FD);
	caretaker_let_go(is_kept, job, ROOT_FD, job->report, sizeof(*job->report));
}

static int keeper_setup(const struct fuse_keeper_job *job, int *hold, int result[KEEPER_RESULTS])
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
	return job->setup ? job->setup(job->arg, ROOT_FD, result) : 0;
}

static void __attribute__((noreturn)) keeper(const struct fuse_keeper_job *job, int go)
{
	struct fuse_keeper_report *report = job->report;
	sigset_t all;
	int hold = -1;
	char word;
	ssize_t n;

	prctl(PR_SET_NAME, "outboard-keeper");
	/* Ctrl-C on the terminal is for the parent, which ends us in order. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	keep_two(job, go);
	/* Nobody would know of us if the parent were killed before it has said whom to wait for. */
	if (read(GO_FD, &word, 1) != 1)
		_exit(1);
	close(GO_FD);

	report->pid = getpid();
	report->status = keeper_setup(job, &hold, report->result);
	atomic_store(&report->done, true);
	if (report->status)
		_exit(1);
	do
		n = read(hold, &word, 1);
	while (n < 0 && errno == EINTR);
	/* One byte was the order to go, an error the end of the connection. */
	if (job->at_end)
		job->at_end(job->arg, ROOT_FD);
	_exit(0);
}

static bool has_ended(const struct fuse_keeper *k, int timeout_ms)
{
	struct pollfd p = {.fd = k->fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

static int await_report(const struct fuse_keeper *k, const struct fuse_keeper_report *report)
{
	for (unsigned int ms = 0; ms < READY_MS; ms += LOOK_MS) {
		if (atomic_load(&report->done))
			return 0;
		if (has_ended(k, LOOK_MS))
			return atomic_load(&report->done) ? 0 : -ECHILD;
	}
	return -ETIMEDOUT;
}

static void await_end(struct fuse_keeper *k)
{
	siginfo_t info;

	while (!has_ended(k, -1))
		continue;
	/* Not our child, where the broker or a former driver process has started it (ECHILD). A confined process has no such call. */
	while (!broker_asked() && waitid(P_PIDFD, (id_t)k->fd, &info, WEXITED) < 0 &&
	       errno == EINTR)
		continue;
	close(k->fd);
	k->pid = 0;
	k->fd = -1;
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

int fuse_keeper_spawn(const struct fuse_keeper_job *job, int *pidfd, int *go)
{
	int fds[2], ret = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		keeper(job, fds[0]);
	close(fds[0]);
	*pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (*pidfd < 0)
		ret = -errno;
	*go = fds[1];
	if (!ret)
		return 0;
	/* Without a word it ends. */
	close(fds[1]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return ret;
}

static int start(struct fuse_hold *h, const struct fuse_keeper_job *job, struct fuse_keeper *k,
		 struct ob_error *err)
{
	int go, ret;

	atomic_store(&job->report->done, false);
	ret = job->spawn ? job->spawn(job->arg, &k->fd, &go) : fuse_keeper_spawn(job, &k->fd, &go);
	if (ret) {
		k->fd = -1;
		return ob_error_set(err, ret, "%s: cannot start a process: %s", h->name,
				    strerror(-ret));
	}
	if (job->keep)
		ret = job->keep(job->arg, k->fd);
	if (!ret && write(go, "!", 1) != 1)
		ret = -errno;
	close(go);
	if (!ret)
		return 0;
	ob_error_set(err, ret, "%s: cannot start a process: %s", h->name, strerror(-ret));
	await_end(k);
	return ret;
}

int fuse_keeper_start(struct fuse_hold *h, const struct fuse_keeper_job *job, struct fuse_keeper *k,
		      int result[KEEPER_RESULTS], struct ob_error *err)
{
	int ret = 0;

	atomic_store(&h->may_go, false);
	/* One that has ended before it had made anything was as good as not there. */
	if (k->fd >= 0 && has_ended(k, 0)) {
		close(k->fd);
		k->fd = -1;
	}
	if (k->fd < 0)
		ret = start(h, job, k, err);
	if (ret)
		return ret;
	ret = await_report(k, job->report);
	if (ret == -ETIMEDOUT) {
		/* Where it waits for an answer of ours it ends with the connection, not now. */
		if (!broker_asked())
			syscall(SYS_pidfd_send_signal, k->fd, SIGKILL, NULL, 0);
		ob_error_set(err, ret, "%s: the loop has not served its file system for %d s",
			     h->name, READY_MS / 1000);
		ob_error_why(err, "publish is called while the loop runs, from another thread");
		return ret;
	}
	if (!ret)
		ret = job->report->status;
	memcpy(result, job->report->result, sizeof(job->report->result));
	if (!ret) {
		k->pid = job->report->pid;
		return 0;
	}
	await_end(k);
	return ob_error_set(err, ret, "%s: %s", h->name, strerror(-ret));
}

void fuse_keeper_stop(struct fuse_hold *h, struct fuse_keeper *k)
{
	if (!k->pid)
		return;
	release(h);
	await_end(k);
}
