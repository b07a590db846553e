/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandbox of a driver process from the keeper's side: what it does, says, and refuses. tests/keeper/evil.c is its inside. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "keeper/sandbox.h"

static const int standard[] = {0, 1, 2};

/* Exit codes of children. */
enum {
	GOOD = 0,
	BAD = 1,
	NOT_ENTERED = 2,
};

static struct sandbox sandbox(void)
{
	struct sandbox s = {.name = "test", .keep = standard, .nr_keep = 3};

	return s;
}

static void prepare(struct sandbox *s)
{
	struct ob_error err = {0};

	if (sandbox_prepare(s, &err))
		fail_msg("%s", err.what);
}

/* In a child: says why, and ends. */
static void enter(struct sandbox *s)
{
	struct ob_error err = {0};

	if (!sandbox_enter(s, &err))
		return;
	dprintf(STDERR_FILENO, "# %s (%s)\n", err.what, err.why);
	_exit(NOT_ENTERED);
}

static void lock(struct sandbox *s)
{
	struct ob_error err = {0};

	if (!sandbox_lock(s, &err))
		return;
	dprintf(STDERR_FILENO, "# %s (%s)\n", err.what, err.why);
	_exit(NOT_ENTERED);
}

static int status_of(pid_t pid)
{
	int status = 0;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void ended_well(pid_t pid)
{
	int status = status_of(pid);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != GOOD)
		fail_msg("the child's status is 0x%x", (unsigned int)status);
}

/* ---- loading ----------------------------------------------------------------------------------------------------------- */

static const char *module_path(void)
{
	return getenv("SANDBOX_MODULE");
}

static int load(const char *path)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const bool *confined = so ? dlsym(so, "module_was_confined") : NULL;

	if (!so) {
		dprintf(STDERR_FILENO, "# %s\n", dlerror());
		return BAD;
	}
	return confined && *confined ? GOOD : BAD;
}

static void a_drivers_constructor_runs_inside(void **state)
{
	const char *read[] = {module_path()};
	char path[4096];
	struct sandbox s = sandbox();
	pid_t pid;

	assert_non_null(read[0]);
	/* The C library's memory for paths, before it is given up. */
	strcpy(path, read[0]);
	s.read = read;
	s.nr_read = 1;
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		enter(&s);
		_exit(load(path));
	}
	/* For an ordinary user the module sees the same; only that he is not root is not the sandbox's doing. */
	ended_well(pid);
	sandbox_release(&s);
}

static void what_is_not_shown_is_not_loaded(void **state)
{
	struct sandbox s = sandbox();
	char path[4096];
	pid_t pid;

	strcpy(path, module_path());
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		enter(&s);
		_exit(dlopen(path, RTLD_NOW) ? BAD : GOOD);
	}
	ended_well(pid);
	sandbox_release(&s);
}

static void a_path_that_is_not_there_is_told(void **state)
{
	const char *read[] = {"/nowhere/at/all.so"};
	struct sandbox s = sandbox();
	struct ob_error err = {0};
	pid_t pid;

	s.read = read;
	s.nr_read = 1;
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		int ret = sandbox_enter(&s, &err);

		_exit(ret == -ENOENT && strstr(err.what, read[0]) ? GOOD : BAD);
	}
	ended_well(pid);
	sandbox_release(&s);
}

/* ---- what it says of itself --------------------------------------------------------------------------------------------- */

static bool is_on(struct json_object *doc, const char *name, const char **detail)
{
	struct json_object *list = json_object_object_get(doc, "measures");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		if (strcmp(json_object_get_string(json_object_object_get(one, "measure")), name))
			continue;
		*detail = json_object_get_string(json_object_object_get(one, "detail"));
		return json_object_get_boolean(json_object_object_get(one, "on"));
	}
	fail_msg("no measure '%s'", name);
	return false;
}

/* A process in its sandbox, until its end of the pipe is closed. */
static pid_t resident(struct sandbox *s, int *hold, bool locked)
{
	int wait[2], ready[2], keep[5] = {0, 1, 2};
	pid_t pid;
	char c;

	assert_int_equal(pipe(wait) | pipe(ready), 0);
	keep[3] = wait[0];
	keep[4] = ready[1];
	s->keep = keep;
	s->nr_keep = 5;
	pid = sandbox_fork(s);
	if (!pid) {
		enter(s);
		if (locked)
			lock(s);
		c = 1;
		if (write(ready[1], &c, 1) != 1)
			_exit(BAD);
		_exit(read(wait[0], &c, 1) == 0 ? GOOD : BAD);
	}
	s->keep = standard;
	s->nr_keep = 3;
	close(wait[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*hold = wait[1];
	return pid;
}

static void what_is_in_force_is_told_with_reasons(void **state)
{
	static const char *const always[] = {"capabilities",	"no-new-privs",	 "descriptors",
					     "environment",	"session",	 "not-dumpable",
					     "limits",		"calls-loading", "calls",
					     "dies-with-keeper"};
	struct sandbox s = sandbox();
	struct json_object *doc = json_object_new_object();
	const char *detail;
	int hold;
	pid_t pid;

	prepare(&s);
	pid = resident(&s, &hold, true);
	sandbox_describe(&s, pid, doc, stderr);
	for (unsigned int i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (!is_on(doc, always[i], &detail))
			fail_msg("%s is off: %s", always[i], detail);
	/* What a machine may not give has a reason. */
	for (unsigned int i = 0;
	     i < json_object_array_length(json_object_object_get(doc, "measures")); i++) {
		struct json_object *one =
			json_object_array_get_idx(json_object_object_get(doc, "measures"), i);

		if (!json_object_get_boolean(json_object_object_get(one, "on")))
			assert_true(strlen(json_object_get_string(
					    json_object_object_get(one, "detail"))) > 0);
	}
	if (!geteuid()) {
		assert_true(is_on(doc, "user", &detail));
		assert_true(is_on(doc, "root", &detail));
		assert_true(is_on(doc, "network", &detail));
		assert_true(is_on(doc, "processes", &detail));
	}
	json_object_put(doc);
	close(hold);
	ended_well(pid);
	sandbox_release(&s);
}

static void what_the_kernel_says_goes_before_the_report(void **state)
{
	struct json_object *doc = json_object_new_object();
	struct sandbox s = sandbox();
	const char *detail;
	int hold;
	pid_t pid;

	prepare(&s);
	pid = resident(&s, &hold, false);
	/* It does not serve yet. */
	sandbox_describe(&s, pid, doc, NULL);
	assert_true(is_on(doc, "calls-loading", &detail));
	assert_false(is_on(doc, "calls", &detail));
	json_object_put(doc);
	/* Of this process, which is in no sandbox, what the report claims is not believed. */
	doc = json_object_new_object();
	sandbox_describe(&s, getpid(), doc, NULL);
	assert_false(is_on(doc, "no-new-privs", &detail));
	assert_non_null(strstr(detail, "the kernel says"));
	assert_false(is_on(doc, "calls-loading", &detail));
	assert_false(is_on(doc, "network", &detail));
	json_object_put(doc);
	close(hold);
	ended_well(pid);
	sandbox_release(&s);
}

/* ---- other behaviour ------------------------------------------------------------------------------------------------------- */

static void nothing_of_the_keepers_is_inherited(void **state)
{
	struct sandbox s = sandbox();
	int secret = open("/dev/null", O_RDWR);
	char *text;
	pid_t pid;

	setenv("SANDBOX_SECRET", "5ecret", 1);
	text = getenv("SANDBOX_SECRET");
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		enter(&s);
		_exit(fcntl(secret, F_GETFD) < 0 && fcntl(1, F_GETFD) >= 0 && !environ && !*text
			      ? GOOD
			      : BAD);
	}
	ended_well(pid);
	unsetenv("SANDBOX_SECRET");
	close(secret);
	sandbox_release(&s);
}

static void it_dies_with_its_keeper(void **state)
{
	int alive[2];
	pid_t keeper;
	char c;

	assert_int_equal(pipe(alive), 0);
	keeper = fork();
	if (!keeper) {
		struct sandbox s = sandbox();
		int hold;

		close(alive[0]);
		/* The resident has it as descriptor 2, so that nobody else keeps the pipe open. */
		dup2(alive[1], 2);
		close(alive[1]);
		prepare(&s);
		resident(&s, &hold, true);
		c = 1;
		if (write(2, &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(alive[1]);
	assert_int_equal(read(alive[0], &c, 1), 1);
	kill(keeper, SIGKILL);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
	/* Ends when the last holder of the other end is dead. */
	assert_int_equal(read(alive[0], &c, 1), 0);
	close(alive[0]);
}

static void *sleeps(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void several_threads_cannot_enter(void **state)
{
	struct sandbox s = sandbox();
	pid_t pid;

	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		pthread_t thread;

		pthread_create(&thread, NULL, sleeps, NULL);
		_exit(sandbox_enter(&s, NULL) == -EBUSY ? GOOD : BAD);
	}
	ended_well(pid);
	sandbox_release(&s);
}

/* The filter of the time of serving holds for threads that were there already. */
static void *calls_what_is_not_listed(void *arg)
{
	char c;

	if (read(*(int *)arg, &c, 1) == 1)
		syscall(SYS_getppid);
	return NULL;
}

static void each_thread_is_locked(void **state)
{
	struct sandbox s = sandbox();
	int fds[2], keep[5] = {0, 1, 2}, status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	keep[3] = fds[0];
	keep[4] = fds[1];
	s.keep = keep;
	s.nr_keep = 5;
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		pthread_t thread;

		enter(&s);
		pthread_create(&thread, NULL, calls_what_is_not_listed, &fds[0]);
		lock(&s);
		if (write(fds[1], "x", 1) != 1)
			_exit(BAD);
		pthread_join(thread, NULL);
		_exit(GOOD);
	}
	status = status_of(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	close(fds[0]);
	close(fds[1]);
	sandbox_release(&s);
}

static void the_call_is_named_to_who_debugs(void **state)
{
	char text[256] = "";
	struct sandbox s = sandbox();
	int fds[2], keep[3] = {0, 1, 2}, status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	s.debuggable = true;
	s.keep = keep;
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		dup2(fds[1], 2);
		enter(&s);
		lock(&s);
		syscall(SYS_getppid);
		_exit(GOOD);
	}
	close(fds[1]);
	status = status_of(pid);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "getppid"));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGSYS);
	close(fds[0]);
	sandbox_release(&s);
}

/* A broken heap ends in abort(): that is no attack. */
static void abort_is_a_crash(void **state)
{
	struct sandbox s = sandbox();
	int status;
	pid_t pid;

	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		/* cmocka's, which the sandbox takes away but where a sanitizer has its own. */
		signal(SIGSEGV, SIG_DFL);
		enter(&s);
		lock(&s);
		abort();
	}
	status = status_of(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_not_equal(WTERMSIG(status), SIGSYS);
	sandbox_release(&s);
}

/* Shared memory has no rlimit. */
static int leak_shared_memory(void)
{
	for (int i = 0; i < 128; i++) {
		volatile char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return BAD;
		for (int k = 0; k < 1 << 20; k += 4096)
			p[k] = 1;
	}
	return BAD;
}

static void a_cgroup_ends_who_leaks_shared_memory(void **state)
{
	struct sandbox s = sandbox();
	uint64_t kills, refused;
	char path[320];
	int status;
	pid_t pid;

	s.limits.memory = 32 << 20;
	s.limits.memlock = 8 << 20;
	prepare(&s);
	snprintf(path, sizeof(path), "%s/memory.max", s.cgroup_path);
	if (!*s.cgroup_path || access(path, F_OK)) {
		print_message("# %s\n", s.report->measure[SANDBOX_CGROUP].why);
		sandbox_release(&s);
		skip();
	}
	assert_int_equal(sandbox_events(&s, &kills, &refused), 0);
	assert_int_equal(kills, 0);
	pid = sandbox_fork(&s);
	if (!pid) {
		enter(&s);
		lock(&s);
		_exit(leak_shared_memory());
	}
	status = status_of(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(sandbox_events(&s, &kills, &refused), 0);
	assert_true(kills > 0);
	sandbox_release(&s);
}

static void a_cgroup_is_ended_as_a_whole(void **state)
{
	struct sandbox s = sandbox();
	char path[320];
	int hold, status;
	pid_t pid;

	prepare(&s);
	if (!*s.cgroup_path) {
		print_message("# %s\n", s.report->measure[SANDBOX_CGROUP].why);
		sandbox_release(&s);
		skip();
	}
	snprintf(path, sizeof(path), "%s", s.cgroup_path);
	pid = resident(&s, &hold, true);
	assert_int_equal(sandbox_kill(&s), 0);
	status = status_of(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	sandbox_release(&s);
	/* Nothing of it is left. */
	assert_int_not_equal(access(path, F_OK), 0);
	close(hold);
}

static void what_a_killed_keeper_left_is_removed(void **state)
{
	char(*path)[sizeof(((struct sandbox *)0)->cgroup_path)];
	struct sandbox s = sandbox();
	pid_t pid;

	path = mmap(NULL, sizeof(*path), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(path != MAP_FAILED);
	pid = fork();
	if (!pid) {
		if (sandbox_prepare(&s, NULL))
			_exit(BAD);
		memcpy(*path, s.cgroup_path, sizeof(*path));
		_exit(GOOD);
	}
	ended_well(pid);
	if (!**path) {
		print_message("# no cgroup can be made here\n");
		skip();
	}
	assert_int_equal(access(*path, F_OK), 0);
	prepare(&s);
	assert_int_not_equal(access(*path, F_OK), 0);
	sandbox_release(&s);
	munmap(path, sizeof(*path));
}

/* Is what a locked process writes to a file there? */
static bool written(bool named)
{
	struct sandbox s = sandbox();
	int keep[4] = {0, 1, 2};
	char path[] = "/tmp/outboard-test-XXXXXX", text[8] = "";
	pid_t pid;
	int fd;

	fd = mkstemp(path);
	assert_true(fd >= 0);
	if (!named)
		unlink(path);
	/* Whatever the test's own streams are. */
	keep[0] = open("/dev/null", O_RDWR);
	keep[1] = fd;
	s.keep = keep;
	s.nr_keep = 2;
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		enter(&s);
		lock(&s);
		/* What came of it is seen outside. */
		(void)!write(fd, "a log", 5);
		_exit(GOOD);
	}
	ended_well(pid);
	pid = (pid_t)pread(fd, text, 5, 0);
	if (named)
		unlink(path);
	close(fd);
	close(keep[0]);
	sandbox_release(&s);
	return pid == 5 && !strcmp(text, "a log");
}

static void a_log_grows_and_memory_without_a_name_does_not(void **state)
{
	assert_true(written(true));
	assert_false(written(false));
}

static void what_is_required_and_missing_is_an_error(void **state)
{
	struct sandbox s = sandbox();
	struct ob_error err = {0};
	pid_t pid;

	s.without = 1u << SANDBOX_PID_NS;
	s.required = 1u << SANDBOX_DIES_WITH_KEEPER;
	prepare(&s);
	pid = sandbox_fork(&s);
	if (!pid) {
		/* As if the system could not. */
		s.required = 1u << SANDBOX_RUN_CALLS | 1u << SANDBOX_PID_NS;
		s.without = 0;
		_exit(sandbox_enter(&s, &err) == -EPERM && strstr(err.why, "processes") ? GOOD
											: BAD);
	}
	ended_well(pid);
	sandbox_release(&s);
}

static void a_name_that_is_a_path_is_refused(void **state)
{
	static const char *const bad[] = {NULL, "", "../x", "a/b", "."};
	struct sandbox s = sandbox();

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		s.name = bad[i];
		assert_int_equal(sandbox_prepare(&s, NULL), -EINVAL);
	}
}

static void two_drivers_are_two_users(void **state)
{
	struct sandbox a = sandbox(), b = sandbox();

	if (geteuid()) {
		print_message("# needs root\n");
		skip();
	}
	prepare(&a);
	prepare(&b);
	assert_int_not_equal(a.uid, 0);
	assert_int_not_equal(b.uid, 0);
	assert_int_not_equal(a.uid, b.uid);
	sandbox_release(&a);
	sandbox_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drivers_constructor_runs_inside),
		cmocka_unit_test(what_is_not_shown_is_not_loaded),
		cmocka_unit_test(a_path_that_is_not_there_is_told),
		cmocka_unit_test(what_is_in_force_is_told_with_reasons),
		cmocka_unit_test(what_the_kernel_says_goes_before_the_report),
		cmocka_unit_test(nothing_of_the_keepers_is_inherited),
		cmocka_unit_test(it_dies_with_its_keeper),
		cmocka_unit_test(several_threads_cannot_enter),
		cmocka_unit_test(each_thread_is_locked),
		cmocka_unit_test(the_call_is_named_to_who_debugs),
		cmocka_unit_test(abort_is_a_crash),
		cmocka_unit_test(a_cgroup_ends_who_leaks_shared_memory),
		cmocka_unit_test(what_a_killed_keeper_left_is_removed),
		cmocka_unit_test(a_log_grows_and_memory_without_a_name_does_not),
		cmocka_unit_test(a_cgroup_is_ended_as_a_whole),
		cmocka_unit_test(what_is_required_and_missing_is_an_error),
		cmocka_unit_test(a_name_that_is_a_path_is_refused),
		cmocka_unit_test(two_drivers_are_two_users),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
