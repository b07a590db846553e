/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An evil driver: what it tries from inside of the sandbox is refused, while the driver is loaded and while it serves. Each
 * attempt is made in a process of its own, and outside, too, where most succeed, so that a sandbox that does nothing fails this
 * test; and in a sandbox without its filter of system calls, to see what the rest of it holds.
 *
 *	evil		as who one is
 *	evil user	root becomes an ordinary user first
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <net/if.h>

#include "keeper/sandbox.h"
#include "tests/keeper/attempts.h"

enum {
	NOBODY = 65534,
	HANG_MS = 120000, /* only what hangs ends there */
	/* Of the attempts that succeed outside, so many at least; what is not there on a machine cannot be opened. */
	ROOT_SUCCESSES = 45,
	USER_SUCCESSES = 20,
};

enum mode {
	OUTSIDE,
	UNFILTERED,
	LOADING,
	RUNNING,
	MODES
};

struct outcome {
	bool tried;
	int ret;
	char text[400];
};

static struct outcome *shared;
static unsigned int tests, failures;

static void line(bool ok, const char *name, const char *why)
{
	tests++;
	failures += !ok;
	if (!ok)
		printf("# %s\n", why);
	printf("%sok %u - %s\n", ok ? "" : "not ", tests, name);
}

/* ---- one attempt -------------------------------------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) stop(const char *what, struct ob_error *err)
{
	char text[2048];

	snprintf(shared->text, sizeof(shared->text), "%s: %s", what,
		 err ? ob_error_text(err, text, sizeof(text)) : strerror(errno));
	_exit(1);
}

static void __attribute__((noreturn))
child(struct sandbox *s, const struct attempt *a, enum mode mode)
{
	struct ob_error err = {0};
	int ret;

	scene.outside = mode == OUTSIDE;
	if (mode == OUTSIDE)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	else if (sandbox_enter(s, &err))
		stop("sandbox_enter", &err);
	if (a->before && (ret = a->before())) {
		errno = -ret;
		stop("before", NULL);
	}
	if (mode == RUNNING && sandbox_lock(s, &err))
		stop("sandbox_lock", &err);
	shared->tried = true;
	shared->ret = a->try();
	_exit(0);
}

/* Ends what hangs. Returns its status. */
static int wait_for_end(pid_t pid)
{
	struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int status = 0;

	if (end.fd < 0 || poll(&end, 1, HANG_MS) != 1)
		kill(pid, SIGKILL);
	close(end.fd);
	waitpid(pid, &status, 0);
	return status;
}

/*
 * Returns true when it succeeded. @text says what became of it; it is "?..." when that cannot be told.
 */
static bool tried(const struct attempt *a, enum mode mode, char text[32])
{
	struct ob_error err = {0};
	struct sandbox s = {
		.name = "evil",
		.limits = {.memory = (uint64_t)MEMORY_MIB << 20,
			   .memlock = (uint64_t)MEMLOCK_MIB << 20},
		.uses = a->uses,
	};
	int keep[6] = {0, 1, 2, scene.pipe_fd, scene.pty_fd}, status;
	pid_t pid;

	scene.tun_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	keep[5] = scene.tun_fd;
	s.keep = keep;
	s.nr_keep = scene.tun_fd < 0 ? 5 : 6;
	if (mode == UNFILTERED)
		s.without = 1u << SANDBOX_INIT_CALLS | 1u << SANDBOX_RUN_CALLS;
	memset(shared, 0, sizeof(*shared));
	fflush(stdout);
	if (mode != OUTSIDE && sandbox_prepare(&s, &err)) {
		snprintf(text, 32, "?%.30s", err.what);
		return true;
	}
	pid = mode == OUTSIDE ? fork() : sandbox_fork(&s);
	if (!pid)
		child(&s, a, mode);
	status = pid < 0 ? 0 : wait_for_end(pid);
	close(scene.tun_fd);
	if (mode != OUTSIDE)
		sandbox_release(&s);
	if (pid < 0 || !shared->tried) {
		printf("# %s: %s\n", a->name, shared->text);
		snprintf(text, 32, "?not tried: 0x%x", (unsigned int)status);
		return true;
	}
	if (WIFSIGNALED(status)) {
		int signo = WTERMSIG(status);

		/* SIGKILL is what a cgroup's limit of memory sends. */
		snprintf(text, 32, "%s%s", signo == SIGSYS || signo == SIGKILL ? "killed: " : "?",
			 sigabbrev_np(signo));
		return signo != SIGSYS && signo != SIGKILL;
	}
	snprintf(text, 32, "%s", shared->ret ? strerrorname_np(-shared->ret) : "succeeds");
	return !shared->ret;
}

/* ---- the scene ---------------------------------------------------------------------------------------------------------------------- */

/* What attempts outside do to mounts, names and interfaces is done to namespaces of the test's own. */
static void own_namespaces(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd;

	if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		printf("1..0 # SKIP root may make no namespaces here: %s\n", strerror(errno));
		exit(0);
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		printf("# no loopback: %s\n", strerror(errno));
	close(fd);
}

static void listen_for_it(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(in);

	snprintf(scene.abstract, sizeof(scene.abstract), "outboard-evil-%d", getpid());
	memcpy(un.sun_path + 1, scene.abstract, strlen(scene.abstract));
	if (tcp < 0 || local < 0 || bind(tcp, (struct sockaddr *)&in, sizeof(in)) ||
	    listen(tcp, 64) || getsockname(tcp, (struct sockaddr *)&in, &len) ||
	    bind(local, (struct sockaddr *)&un,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     strlen(scene.abstract))) ||
	    listen(local, 64))
		printf("# nobody listens: %s\n", strerror(errno));
	scene.port = ntohs(in.sin_port);
}

static bool set_scene(void)
{
	int fds[2], master;

	scene.keeper = getpid();
	scene.secret = SECRET;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	strcpy(scene.dir, "/tmp/outboard-evil-XXXXXX");
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (shared == MAP_FAILED || !mkdtemp(scene.dir) || pipe2(fds, O_CLOEXEC) || master < 0 ||
	    unlockpt(master))
		return false;
	scene.pipe_fd = fds[0];
	scene.pty_fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	listen_for_it();
	return scene.pty_fd >= 0;
}

static void clear_scene(void)
{
	static const char *const left[] = {"mem", "file", "folder"};
	char path[96];

	/* Attempts outside have left mounts there, and what lies below them. */
	while (!umount2(scene.dir, MNT_DETACH))
		;
	for (unsigned int i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", scene.dir, left[i]);
		remove(path);
	}
	rmdir(scene.dir);
}

int main(int argc, char **argv)
{
	bool as_user = argc > 1 && !strcmp(argv[1], "user");
	unsigned int succeeded = 0, wanted;
	bool root;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!geteuid() && !as_user)
		own_namespaces();
	if (!geteuid() && as_user &&
	    (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	     setresuid(NOBODY, NOBODY, NOBODY))) {
		printf("1..0 # SKIP root cannot become another user here: %s\n", strerror(errno));
		return 0;
	}
	/* Changing the user takes it away, and what others may do with this process is a part of the scene. */
	prctl(PR_SET_DUMPABLE, 1);
	root = !geteuid();
	if (!set_scene()) {
		printf("Bail out! The scene cannot be set: %s\n", strerror(errno));
		return 1;
	}
	printf("# %-34s %-16s %-16s %-16s %s\n", "attempt", "outside", "without filter", "loading",
	       "serving");
	for (size_t i = 0; i < nr_attempts; i++) {
		const struct attempt *a = &attempts[i];
		char text[MODES][32], why[160];
		bool done[MODES];

		for (int mode = 0; mode < MODES; mode++)
			done[mode] = tried(a, (enum mode)mode, text[mode]);
		succeeded += done[OUTSIDE];
		printf("# %-34s %-16s %-16s %-16s %s\n", a->name, text[OUTSIDE], text[UNFILTERED],
		       text[LOADING], text[RUNNING]);
		snprintf(why, sizeof(why), "%s: while loading it %s, while serving it %s", a->name,
			 text[LOADING], text[RUNNING]);
		line((!done[LOADING] || a->while_loading) && text[LOADING][0] != '?' &&
			     !done[RUNNING],
		     a->name, why);
	}
	wanted = root ? ROOT_SUCCESSES : USER_SUCCESSES;
	printf("# outside %u of %zu succeed\n", succeeded, nr_attempts);
	line(succeeded >= wanted, "outside most succeed",
	     "so few that the others say little of the sandbox");
	clear_scene();
	printf("1..%u\n", tests);
	return failures != 0;
}
