/* SPDX-License-Identifier: BSD-2-Clause */
/* The caretaker: it acts when its parent has died, and only then, and has nothing of its parent's but what it was given. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "attach/caretaker.h"

enum {
	WAIT_MS = 30000, /* only against hangs */
};

/* Shared with the child: what it found. */
struct found {
	int acted;
	int kept_open, other_open;
	int kept_mapped, other_mapped;
};

struct bed {
	struct found *found;
	void *other;
	int kept[2], other_fd;
	int order; /* a duplicate of our end */
};

static void act(void *arg)
{
	struct bed *b = arg;
	unsigned char in_core;

	b->found->kept_open = fcntl(b->kept[1], F_GETFD) >= 0;
	b->found->other_open = fcntl(b->other_fd, F_GETFD) >= 0;
	b->found->kept_mapped = !mincore(b->found, 4096, &in_core);
	b->found->other_mapped = !mincore(b->other, 4096, &in_core);
	b->found->acted++;
}

static void *shared_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->found = shared_page();
	b->other = shared_page();
	assert_int_equal(pipe2(b->kept, O_CLOEXEC), 0);
	b->other_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(b->other_fd >= 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	munmap(b->found, 4096);
	munmap(b->other, 4096);
	close(b->kept[0]);
	if (b->kept[1] >= 0)
		close(b->kept[1]);
	close(b->other_fd);
	free(b);
	return 0;
}

static struct caretaker_job job_of(struct bed *b)
{
	return (struct caretaker_job){
		.take_down = act,
		.arg = b,
		.fd = {b->kept[1]},
		.nr_fds = 1,
		.shared = b->found,
		.size = 4096,
	};
}

/* The pipe that the caretaker keeps ends with it. */
static void await_end(struct bed *b)
{
	struct pollfd p = {.fd = b->kept[0], .events = POLLIN};

	close(b->kept[1]);
	b->kept[1] = -1;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_true(p.revents & POLLHUP);
}

static void dismissed_it_does_nothing(void **state)
{
	struct bed *b = *state;
	struct caretaker_job job = job_of(b);
	struct caretaker c;

	assert_int_equal(caretaker_start(&c, &job, NULL), 0);
	caretaker_dismiss(&c);
	assert_int_equal(c.pid, 0);
	caretaker_dismiss(&c); /* once is enough */
	await_end(b);
	assert_int_equal(b->found->acted, 0);
}

static void told_to_it_acts_and_has_only_what_it_was_given(void **state)
{
	struct bed *b = *state;
	struct caretaker_job job = job_of(b);
	struct caretaker c;

	assert_int_equal(caretaker_start(&c, &job, NULL), 0);
	caretaker_act(&c);
	assert_int_equal(b->found->acted, 1);
	assert_true(b->found->kept_open && b->found->kept_mapped);
	assert_false(b->found->other_open || b->found->other_mapped);
}

static void it_acts_when_its_parent_is_killed(void **state)
{
	struct bed *b = *state;
	struct caretaker_job job = job_of(b);
	int ready[2], status;
	char word;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		struct caretaker c;

		if (caretaker_start(&c, &job, NULL) || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &word, 1), 1);
	close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	await_end(b);
	assert_int_equal(b->found->acted, 1);
	assert_false(b->found->other_open || b->found->other_mapped);
}

static int keep_duplicate(void *arg, int fd)
{
	struct bed *b = arg;

	b->order = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return b->order < 0 ? -errno : 0;
}

/* In place of a process that is killed: all that it had is closed. */
static void started_by_another(struct bed *b)
{
	struct caretaker_job job = job_of(b);
	struct caretaker c;

	job.keep = keep_duplicate;
	assert_int_equal(caretaker_start(&c, &job, NULL), 0);
	close(c.fd);
}

static void kept_it_waits_for_the_last(void **state)
{
	struct bed *b = *state;
	struct caretaker c;

	started_by_another(b);
	assert_true(caretaker_adopt(&c, fcntl(b->order, F_DUPFD_CLOEXEC, 0)));
	close(c.fd);
	assert_int_equal(b->found->acted, 0);
	close(b->order);
	await_end(b);
	assert_int_equal(b->found->acted, 1);
}

static void another_may_dismiss_it(void **state)
{
	struct bed *b = *state;
	struct caretaker c;

	started_by_another(b);
	assert_true(caretaker_adopt(&c, fcntl(b->order, F_DUPFD_CLOEXEC, 0)));
	caretaker_dismiss(&c);
	await_end(b);
	assert_int_equal(b->found->acted, 0);
	/* And it is known not to be there any more. */
	assert_false(caretaker_adopt(&c, b->order));
	assert_int_equal(c.pid, 0);
}

static void another_may_have_it_act(void **state)
{
	struct bed *b = *state;
	struct caretaker c;

	started_by_another(b);
	assert_true(caretaker_adopt(&c, fcntl(b->order, F_DUPFD_CLOEXEC, 0)));
	caretaker_act(&c);
	assert_int_equal(b->found->acted, 1);
	close(b->order);
	await_end(b);
	assert_int_equal(b->found->acted, 1);
}

static int refuse(void *arg, int fd)
{
	return -ENOSPC;
}

static void what_cannot_be_kept_is_not_started(void **state)
{
	struct bed *b = *state;
	struct caretaker_job job = job_of(b);
	struct ob_error err = {0};
	struct caretaker c;

	job.keep = refuse;
	assert_int_equal(caretaker_start(&c, &job, &err), -ENOSPC);
	assert_int_equal(c.pid, 0);
	assert_int_equal(b->found->acted, 0);
}

static void signals_do_not_end_it(void **state)
{
	struct bed *b = *state;
	struct caretaker_job job = job_of(b);
	struct caretaker c;
	siginfo_t info = {0};

	assert_int_equal(caretaker_start(&c, &job, NULL), 0);
	assert_int_equal(kill(c.pid, SIGINT), 0);
	assert_int_equal(kill(c.pid, SIGTERM), 0);
	assert_int_equal(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	assert_int_equal(info.si_pid, 0);
	caretaker_act(&c);
	assert_int_equal(b->found->acted, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dismissed_it_does_nothing),
		TEST(told_to_it_acts_and_has_only_what_it_was_given),
		TEST(it_acts_when_its_parent_is_killed),
		TEST(kept_it_waits_for_the_last),
		TEST(another_may_dismiss_it),
		TEST(another_may_have_it_act),
		TEST(what_cannot_be_kept_is_not_started),
		TEST(signals_do_not_end_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("caretaker", tests, NULL, NULL);
}
