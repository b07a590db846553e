/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandbox of a driver process: the order of its parts. sandbox.h, docs/sandbox.md. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper/sandbox_parts.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* Linux 5.6 */
#endif

/* Every system that Outboard runs on has these, so that they are not there is an error. */
enum {
	ALWAYS = 1 << SANDBOX_CAPS | 1 << SANDBOX_NO_NEW_PRIVS | 1 << SANDBOX_DESCRIPTORS |
		 1 << SANDBOX_INIT_CALLS,
};

/* ---- the report ------------------------------------------------------------------------------------------------------------- */

static void note(struct sandbox *s, enum sandbox_measure m, bool on, const char *fmt, va_list ap)
{
	s->report->measure[m].on = on;
	s->report->measure[m].why[0] = '\0';
	if (fmt)
		vsnprintf(s->report->measure[m].why, SANDBOX_WHY, fmt, ap);
}

void sandbox_is(struct sandbox *s, enum sandbox_measure m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(s, m, true, fmt, ap);
	va_end(ap);
}

void sandbox_lacks(struct sandbox *s, enum sandbox_measure m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(s, m, false, fmt, ap);
	va_end(ap);
}

bool sandbox_wants(struct sandbox *s, enum sandbox_measure m)
{
	if (!(s->without & 1u << m))
		return true;
	sandbox_lacks(s, m, "not wanted");
	return false;
}

bool sandbox_on(const struct sandbox *s, enum sandbox_measure m)
{
	return s->report->measure[m].on;
}

/* ---- in the keeper ---------------------------------------------------------------------------------------------------------- */

static unsigned int own_filters(void)
{
	unsigned int n = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Seccomp_filters: %u", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static void fill_limits(struct sandbox_limits *l)
{
	if (!l->nproc)
		l->nproc = 64;
	if (!l->memory)
		l->memory = 512ull << 20;
	if (!l->memlock)
		l->memlock = 64ull << 20;
	if (!l->stack)
		l->stack = 8ull << 20;
}

int sandbox_prepare(struct sandbox *s, struct ob_error *err)
{
	s->uid_claim = s->keeper_fd = s->cgroup_fd = s->procs_fd = -1;
	s->cgroup_path[0] = '\0';
	s->made = s->made_pid_ns = s->made_user_ns = false;
	s->report = NULL;
	if (!s->name || !*s->name || strchr(s->name, '/') || s->name[0] == '.')
		return ob_error_set(err, -EINVAL, "sandbox: '%s' is no name for a cgroup",
				    s->name ? s->name : "");
	fill_limits(&s->limits);
	s->keeper_uid = geteuid();
	s->keeper_gid = getegid();
	s->as_root = !s->keeper_uid;
	s->report = mmap(NULL, sizeof(*s->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->report == MAP_FAILED) {
		s->report = NULL;
		return ob_error_set(err, -ENOMEM, "sandbox: no memory");
	}
	for (unsigned int i = 0; i < SANDBOX_MEASURES; i++)
		sandbox_lacks(s, (enum sandbox_measure)i, "the driver process did not come to it");
	s->report->measure[SANDBOX_PID_NS].why[0] = '\0';
	s->report->measure[SANDBOX_CGROUP].why[0] = '\0';
	s->keeper_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (s->keeper_fd < 0) {
		int ret = -errno;

		sandbox_release(s);
		return ob_error_set(err, ret, "sandbox: pidfd_open: %s", strerror(-ret));
	}
	s->keeper_filters = own_filters();
	sandbox_choose_user(s);
	sandbox_cgroup_make(s);
	return 0;
}

void sandbox_release(struct sandbox *s)
{
	sandbox_cgroup_remove(s);
	if (s->uid_claim >= 0) {
		close(s->uid_claim);
		s->uid = 0;
		s->gid = 0;
	}
	if (s->keeper_fd >= 0)
		close(s->keeper_fd);
	s->uid_claim = s->keeper_fd = -1;
	if (s->report)
		munmap(s->report, sizeof(*s->report));
	s->report = NULL;
}

/* ---- in the child --------------------------------------------------------------------------------------------------------------- */

/* Descriptors of the sandbox that must not be closed before they were used. */
static int close_others(struct sandbox *s, struct ob_error *err)
{
	int ret = sandbox_close_others(s, err);

	/* It closed these, if @keep does not name them by accident. */
	s->uid_claim = s->keeper_fd = s->cgroup_fd = s->procs_fd = -1;
	return ret;
}

/* The keeper's handlers are not for this process. What it ignores, as SIGPIPE, is. */
static void forget_handlers(void)
{
#ifndef __SANITIZE_ADDRESS__ /* its handlers say what was wrong */
	const struct sigaction by_default = {.sa_handler = SIG_DFL};
	struct sigaction old;

	for (int signo = 1; signo < NSIG; signo++)
		if (!sigaction(signo, NULL, &old) &&
		    (old.sa_flags & SA_SIGINFO || old.sa_handler != SIG_IGN))
			sigaction(signo, &by_default, NULL);
#endif
	/* A file that may not grow is an error, not an end. */
	signal(SIGXFSZ, SIG_IGN);
}

static int check_required(struct sandbox *s, struct ob_error *err)
{
	uint32_t required = (s->required | ALWAYS) & ~s->without & ~(1u << SANDBOX_RUN_CALLS);

	for (unsigned int i = 0; i < SANDBOX_MEASURES; i++)
		if (required & 1u << i && !s->report->measure[i].on) {
			ob_error_set(err, -EPERM, "sandbox: a measure that is required is missing");
			ob_error_why(err, "%s: %s", sandbox_measure_name((enum sandbox_measure)i),
				     s->report->measure[i].why);
			return -EPERM;
		}
	return 0;
}

/*
 * No terminal, and no Ctrl-C from one: tty_ioctl(4), TIOCNOTTY. Not by setsid(), as long as there is another way: the scheduler shares
 * processors out among sessions (sched(7), "autogroup"), and a driver in one of its own gets to run, instead of the device model that feeds it, as
 * soon as there is a little to do: three times the interrupts and six times the processor for the same frames.
 */
static int leave_terminal(void)
{
	int fd, ret = 0;

	/* Its terminal would hang up for all. */
	if (getsid(0) == getpid())
		return -EPERM;
	fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno != ENXIO)
		return setsid() < 0 ? -errno : 0;
	if (fd >= 0 && ioctl(fd, TIOCNOTTY))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return !ret && setpgid(0, 0) ? -errno : ret;
}

int sandbox_enter(struct sandbox *s, struct ob_error *err)
{
	int ret;

	if (sandbox_has_threads())
		return ob_error_set(err, -EBUSY, "sandbox: the process has several threads");
	/* Where no root can be made, nothing else would miss it before the driver is loaded. */
	for (unsigned int i = 0; i < s->nr_read; i++)
		if (access(s->read[i], F_OK))
			return ob_error_set(err, -errno, "sandbox: '%s' cannot be shown inside: %s",
					    s->read[i], strerror(errno));
	sandbox_cgroup_await(s);
	forget_handlers();
	if (sandbox_wants(s, SANDBOX_SESSION)) {
		ret = leave_terminal();
		if (ret)
			sandbox_lacks(s, SANDBOX_SESSION, "%s", strerror(-ret));
		else
			sandbox_is(s, SANDBOX_SESSION, NULL);
	}
	/* Needs a capability, and is passed on to threads: requests for more memory do not wait for this disk. */
	if (s->uses &
	    (SANDBOX_USES_UBLK | SANDBOX_USES_NBD | SANDBOX_USES_FUSE | SANDBOX_USES_VDUSE))
		prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	ret = sandbox_limit(s, err);
	if (!ret)
		ret = sandbox_unshare(s, err);
	if (ret)
		return ret;
	ret = sandbox_drop_privileges(s, err);
	if (!ret)
		ret = close_others(s, err);
	if (ret)
		return ret;
	sandbox_landlock(s);
	/* Last: paths to be read may lie in it. */
	sandbox_forget_environment(s);
	if (sandbox_wants(s, SANDBOX_INIT_CALLS)) {
		ret = sandbox_filter(s, SANDBOX_INIT, err);
		if (ret)
			return ret;
		sandbox_is(s, SANDBOX_INIT_CALLS, "%u",
			   sandbox_calls_allowed(SANDBOX_INIT, s->uses, NULL));
	}
	if (s->without & 1u << SANDBOX_RUN_CALLS)
		sandbox_lacks(s, SANDBOX_RUN_CALLS, "not wanted");
	else
		sandbox_lacks(s, SANDBOX_RUN_CALLS, "it does not serve yet");
	ret = check_required(s, err);
	s->report->uses = s->uses;
	/* A driver shall not write what the keeper reads. */
	munmap(s->report, sizeof(*s->report));
	s->report = NULL;
	return ret;
}

int sandbox_lock(struct sandbox *s, struct ob_error *err)
{
	int ret = sandbox_limit_more(s, err);

	if (ret)
		return ret;
	/* Where sandbox_enter() was not called. The filter gives it to the other threads with itself. */
	if (!prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ob_error_set(err, -errno, "sandbox: PR_SET_NO_NEW_PRIVS: %s",
				    strerror(errno));
	if (!(s->without & 1u << SANDBOX_LANDLOCK))
		sandbox_landlock_rest();
	return s->without & 1u << SANDBOX_RUN_CALLS ? 0 : sandbox_filter(s, SANDBOX_RUN, err);
}
