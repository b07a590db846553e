/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process above COMMAND. It is forked first of all, so that it and COMMAND inherit neither devices
 * nor threads; it waits for the word to go, makes COMMAND's namespaces, runs it, and is the subreaper
 * (prctl(2)) of everything that COMMAND starts, so that all of it can be ended: when COMMAND ends, and
 * when the socket to the instance closes, which happens however the instance dies.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"

enum {
	ENV_MAX = 16384,
	GRACE_MS = 2000,    /* between SIGTERM and SIGKILL for what COMMAND leaves running */
	GIVE_UP_MS = 10000, /* after SIGKILL, for what the kernel does not let go */
	PAUSE_MS = 10,
};

/* From the instance: go (with ENV and a namespace), or a signal for COMMAND. */
struct order {
	int signo; /* 0: go */
	bool netns;
	unsigned int env_size;
	char env[ENV_MAX];
};

enum report_kind {
	STARTED,
	FAILED, /* value is errno, stage says where */
	ENDED,	/* value is the wait status */
};

enum stage {
	STAGE_NONE,
	STAGE_ENV,
	STAGE_FORK,
	STAGE_NETNS,
	STAGE_MOUNTS,
	STAGE_EXEC,
};

struct report {
	enum report_kind kind;
	enum stage stage;
	int value;
};

/* ---- in the minder --------------------------------------------------------------------------- */

struct mind {
	const struct minder_options *options;
	sigset_t old_mask; /* COMMAND's */
	int sock, signals;
	int command; /* its PID, and its process group */
	int our_group;
	int netns;
	int tty; /* the controlling terminal, when we are in its foreground; else -1 */
};

static void report(const struct mind *m, enum report_kind kind, enum stage stage, int value)
{
	const struct report r = {kind, stage, value};

	/* When nobody listens any more the socket's end is seen next. */
	if (send(m->sock, &r, sizeof(r), MSG_NOSIGNAL) < 0)
		return;
}

static int parent_of(int pid)
{
	char path[32], text[512], *p;
	int fd, parent = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The name in parentheses may hold anything: what follows is after the last one. */
	p = strrchr(text, ')');
	if (p && sscanf(p + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static bool descends(int pid)
{
	const int self = getpid();

	/* Bounded: PIDs may be reused while we climb. */
	for (unsigned int i = 0; i < 64 && pid > 1; i++) {
		pid = parent_of(pid);
		if (pid == self)
			return true;
	}
	return false;
}

/* In a PID namespace /proc may still be that of another: its numbers mean other processes. */
static bool proc_is_ours(void)
{
	char self[16] = "";

	return readlink("/proc/self", self, sizeof(self) - 1) > 0 && atoi(self) == getpid();
}

static void signal_descendants(const struct mind *m, int signo)
{
	DIR *dir = proc_is_ours() ? opendir("/proc") : NULL;
	struct dirent *e;

	if (!dir) {
		/* What left COMMAND's process group is not found then. */
		if (m->command > 0)
			kill(-m->command, signo);
		return;
	}
	while ((e = readdir(dir))) {
		int pid = atoi(e->d_name);

		if (pid > 1 && pid != getpid() && descends(pid))
			kill(pid, signo);
	}
	closedir(dir);
}

/* Reap what has ended. Returns false when there is no child left. */
static bool reap(void)
{
	int pid;

	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0);
	return pid == 0;
}

static void end_descendants(const struct mind *m, int signo, int patience_ms)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};

	if (!reap())
		return;
	signal_descendants(m, signo);
	for (int ms = 0; ms < patience_ms; ms += PAUSE_MS) {
		if (!reap())
			return;
		nanosleep(&pause, NULL);
	}
	/* Again and again: what is killed may have forked a moment before. */
	for (int ms = 0; ms < GIVE_UP_MS && reap(); ms += PAUSE_MS) {
		signal_descendants(m, SIGKILL);
		nanosleep(&pause, NULL);
	}
}

/* A namespace that an ordinary user made belongs to a user namespace, to be entered first. */
static int enter_netns(int netns)
{
	int user, ret;

	if (!setns(netns, CLONE_NEWNET))
		return 0;
	if (errno != EPERM)
		return -errno;
	user = ioctl(netns, NS_GET_USERNS);
	if (user < 0)
		return -EPERM;
	ret = setns(user, CLONE_NEWUSER) || setns(netns, CLONE_NEWNET) ? -errno : 0;
	close(user);
	return ret;
}

static int private_mounts(bool netns)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	/*
	 * /sys/class/net is that of the namespace that sysfs was mounted in; a fresh one fits. Where it
	 * cannot be had (a container's masks), ioctls and netlink still tell the truth.
	 */
	if (netns)
		mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	return 0;
}

static void start_failed(int fd, enum stage stage, int error)
{
	const struct report r = {FAILED, stage, error};

	if (write(fd, &r, sizeof(r)) < 0)
		_exit(CLI_FAILED);
	_exit(stage == STAGE_EXEC && error == ENOENT ? CLI_NOCMD : CLI_NOEXEC);
}

/* In COMMAND's process, up to its exec. What fails goes through @fd, which exec closes. */
static void become_command(const struct mind *m, int fd)
{
	const struct minder_options *o = m->options;
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	/* SIGTTOU is blocked here, or this would stop us. */
	if (m->tty >= 0)
		tcsetpgrp(m->tty, getpid());
	ret = m->netns >= 0 ? enter_netns(m->netns) : 0;
	if (ret)
		start_failed(fd, STAGE_NETNS, -ret);
	ret = o->private_mounts ? private_mounts(m->netns >= 0) : 0;
	if (ret)
		start_failed(fd, STAGE_MOUNTS, -ret);
	if (o->output_to_stderr && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		start_failed(fd, STAGE_EXEC, errno);
	/* Entering a user namespace cleared it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &m->old_mask, NULL);
	execvp(o->command[0], o->command);
	start_failed(fd, STAGE_EXEC, errno);
}

static void start_command(struct mind *m)
{
	struct report failed;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC)) {
		report(m, FAILED, STAGE_FORK, errno);
		return;
	}
	m->command = fork();
	if (!m->command)
		become_command(m, fds[1]);
	close(fds[1]);
	if (m->command < 0)
		report(m, FAILED, STAGE_FORK, errno);
	else if (read(fds[0], &failed, sizeof(failed)) == sizeof(failed))
		report(m, FAILED, failed.stage, failed.value);
	else
		report(m, STARTED, STAGE_NONE, 0);
	close(fds[0]);
}

static bool put_environment(struct order *o)
{
	for (unsigned int at = 0; at < o->env_size;) {
		char *entry = o->env + at, *eq = strchr(entry, '=');

		at += (unsigned int)strlen(entry) + 1;
		if (!eq)
			continue;
		*eq = '\0';
		if (setenv(entry, eq + 1, 1))
			return false;
	}
	return true;
}

/* Returns false when the instance is gone, or wants us gone. */
static bool take_order(struct mind *m)
{
	static struct order o; /* too large for comfort on a stack */
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&o, sizeof(o) - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	ssize_t n = recvmsg(m->sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n < (ssize_t)offsetof(struct order, env))
		return n < 0 && errno == EINTR;
	if (o.signo) {
		/* Its group, and itself in case it left the group. */
		if (m->command > 0 && kill(-m->command, o.signo))
			kill(m->command, o.signo);
		return true;
	}
	c = CMSG_FIRSTHDR(&msg);
	if (o.netns && c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&m->netns, CMSG_DATA(c), sizeof(int));
	o.env[o.env_size < ENV_MAX ? o.env_size : ENV_MAX - 1] = '\0';
	if (!put_environment(&o))
		report(m, FAILED, STAGE_ENV, ENOMEM);
	else
		start_command(m);
	return true;
}

static void take_terminal_back(const struct mind *m)
{
	if (m->tty >= 0 && tcgetpgrp(m->tty) == m->command)
		tcsetpgrp(m->tty, m->our_group);
}

static void take_children(struct mind *m)
{
	struct signalfd_siginfo info;
	int pid, status;

	if (read(m->signals, &info, sizeof(info)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (pid != m->command)
			continue;
		if (WIFSTOPPED(status)) {
			/* Suspended by Ctrl-Z it would hold the terminal, and its device, for ever. */
			if (WSTOPSIG(status) == SIGTSTP)
				kill(-m->command, SIGCONT);
			continue;
		}
		take_terminal_back(m);
		end_descendants(m, SIGTERM, GRACE_MS);
		m->command = -1;
		report(m, ENDED, STAGE_NONE, status);
	}
}

static void mind_command(struct mind *m)
{
	struct pollfd p[2] = {{.fd = m->sock, .events = POLLIN},
			      {.fd = m->signals, .events = POLLIN}};

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			take_children(m);
		if (p[0].revents && !take_order(m))
			break;
	}
	end_descendants(m, SIGKILL, 0);
}

static void minder_main(const struct minder_options *options, int sock, const sigset_t *old_mask)
{
	struct mind m = {.options = options,
			 .old_mask = *old_mask,
			 .sock = sock,
			 .netns = -1,
			 .our_group = getpgrp(),
			 .tty = -1};
	sigset_t chld;

	prctl(PR_SET_NAME, "outboard-minder");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	m.signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m.signals < 0)
		_exit(CLI_FAILED);
	for (int fd = 0; fd <= 2 && m.tty < 0; fd++)
		if (tcgetpgrp(fd) == m.our_group)
			m.tty = fd;
	mind_command(&m);
	_exit(0);
}

/* ---- in the instance -------------------------------------------------------------------------- */

int minder_fork(const struct minder_options *options, struct minder *m, struct ob_error *err)
{
	sigset_t all, old;
	int fds[2];

	memset(m, 0, sizeof(*m));
	m->sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return ob_error_set(err, -errno, "cannot prepare the command '%s': %s",
				    options->command[0], strerror(errno));
	/* Blocked from its first instruction: a Ctrl-C is for COMMAND and for the instance. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	fflush(NULL);
	m->pid = fork();
	if (!m->pid) {
		close(fds[0]);
		minder_main(options, fds[1], &old);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
	if (m->pid < 0) {
		int ret = -errno;

		close(fds[0]);
		return ob_error_set(err, ret, "cannot prepare the command '%s': %s",
				    options->command[0], strerror(-ret));
	}
	m->sock = fds[0];
	return 0;
}

static int explain_failure(const struct report *r, int *exit_code, struct ob_error *err)
{
	const char *why = strerror(r->value);

	*exit_code = cli_exit_code(-r->value);
	switch (r->stage) {
	case STAGE_NETNS:
		return ob_error_set(
			err, -r->value,
			"the command cannot enter the interface's network namespace: %s", why);
	case STAGE_MOUNTS:
		ob_error_set(err, -r->value,
			     "option '--private-mounts': no mount namespace can be made: %s", why);
		if (r->value == EPERM)
			ob_error_fix(err, "run as root, or below: unshare --user --map-root-user");
		return -r->value;
	case STAGE_EXEC:
		*exit_code = r->value == ENOENT ? CLI_NOCMD : CLI_NOEXEC;
		return ob_error_set(err, -r->value, "the command cannot be run: %s", why);
	default:
		return ob_error_set(err, -r->value, "the command cannot be started: %s", why);
	}
}

int minder_go(struct minder *m, const char *env, size_t size, int netns, int *exit_code,
	      struct ob_error *err)
{
	struct order *o = calloc(1, sizeof(*o));
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {o, sizeof(*o)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct report r = {0};
	ssize_t n;

	*exit_code = CLI_FAILED;
	if (!o || size >= ENV_MAX) {
		free(o);
		return ob_error_set(err, -E2BIG, "the command cannot be started: too many devices");
	}
	memcpy(o->env, env, size);
	o->env_size = (unsigned int)size;
	o->netns = netns >= 0;
	if (o->netns) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &netns, sizeof(int));
	}
	n = sendmsg(m->sock, &msg, MSG_NOSIGNAL);
	free(o);
	do
		if (n >= 0)
			n = recv(m->sock, &r, sizeof(r), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(r))
		return ob_error_set(err, -ECHILD, "the command cannot be started: its parent died");
	if (r.kind == FAILED)
		return explain_failure(&r, exit_code, err);
	m->running = true;
	return 0;
}

void minder_signal(struct minder *m, int signo)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return;
	o->signo = signo;
	/* A minder that is gone has taken COMMAND with it. */
	if (send(m->sock, o, offsetof(struct order, env), MSG_NOSIGNAL) < 0)
		m->running = false;
	free(o);
}

bool minder_read(struct minder *m)
{
	struct report r;
	ssize_t n = recv(m->sock, &r, sizeof(r), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	m->running = false;
	m->ended = true;
	/* Killed from outside, it took COMMAND with it (PR_SET_PDEATHSIG). */
	m->status = n == sizeof(r) && r.kind == ENDED ? r.value : SIGKILL;
	return true;
}

void minder_end(struct minder *m)
{
	if (m->sock < 0)
		return;
	close(m->sock);
	m->sock = -1;
	while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
