/* SPDX-License-Identifier: BSD-2-Clause */
/* When another driver process is started, and when none is; and what a hang is. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/device.h>

#include "keeper/heartbeat.h"
#include "keeper/restart.h"

static struct restart_policy policy(const char *text)
{
	struct restart_policy p;
	struct ob_error err = {0};

	if (restart_parse(text, &p, &err))
		fail_msg("%s", err.what);
	return p;
}

static void the_first_young_death_is_followed_at_once(void **state)
{
	struct restart_policy p = policy("on-failure,limit=0,backoff=100,most=1000");
	struct restart_history h = {0};

	assert_int_equal(restart_after(&p, &h, 1000, 0), 0);
	assert_int_equal(restart_after(&p, &h, 1100, 0), 100);
	assert_int_equal(restart_after(&p, &h, 1200, 10), 200);
	assert_int_equal(restart_after(&p, &h, 1300, 0), 400);
	assert_int_equal(restart_after(&p, &h, 1400, 0), 800);
	assert_int_equal(restart_after(&p, &h, 1500, 0), 1000);
	assert_int_equal(restart_after(&p, &h, 1600, 0), 1000);
	/* One that served for a while was no part of a loop. */
	assert_int_equal(restart_after(&p, &h, 9000, RESTART_SETTLED_MS), 0);
	assert_int_equal(restart_after(&p, &h, 9100, 0), 0);
	assert_int_equal(restart_after(&p, &h, 9200, 0), 100);
}

static void so_many_in_a_time_are_the_end(void **state)
{
	struct restart_policy p = policy("on-failure,limit=3,within=10,backoff=0");
	struct restart_history h = {0};

	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(restart_after(&p, &h, 1000 + i, 2000), 0);
	assert_int_equal(restart_after(&p, &h, 2000, 2000), -1);
	/* When the first ones are long past it goes on. */
	memset(&h, 0, sizeof(h));
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(restart_after(&p, &h, 1000 + 4000 * (uint64_t)i, 3000), 0);
}

static void never_is_never(void **state)
{
	struct restart_policy p = policy("never");
	struct restart_history h = {0};

	assert_int_equal(restart_after(&p, &h, 1000, 100000), -1);
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const char *const texts[] = {"",
					    "maybe",
					    "on-failure,limit=-1",
					    "on-failure,within=0",
					    "on-failure,limit=101",
					    "never,x=1",
					    "on-failure,start=0",
					    "on-failure,backoff=x"};
	struct restart_policy p;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ob_error err = {0};

		assert_int_equal(restart_parse(texts[i], &p, &err), -EINVAL);
		assert_true(*err.what);
	}
}

/* ---- heartbeats ------------------------------------------------------------------------------ */

enum {
	PERIOD_MS = 100,
};

static void spin(void)
{
	for (;;)
		__asm__ __volatile__("" ::: "memory");
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

/* What the driver does when its loop has run for a while. */
static void (*misdeed)(void);
static unsigned int rounds_left;

static unsigned int driver_poll(void *arg, unsigned int budget)
{
	if (misdeed && !rounds_left--)
		misdeed();
	return 0;
}

static pid_t driver_process(struct heartbeat *h, void (*does)(void))
{
	struct ob_loop_source source = {.name = "driver", .poll = driver_poll, .fd = -1};
	struct ob_loop *loop;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	misdeed = does;
	rounds_left = 20;
	/* A driver that does nothing wrong sleeps on its interrupt: nothing wakes the loop but the keeper's ping. */
	if (ob_loop_create(OB_MODE_ADAPTIVE, &loop) || heartbeat_attach(h, 0, loop) ||
	    (does && ob_loop_add(loop, &source)))
		_exit(1);
	_exit(ob_loop_run(loop) != 0);
}

/* Look as the keeper does, for a time; returns the loop that hangs, or -1. */
static int watch(struct heartbeat *h, pid_t pid, unsigned int ms, char *why, size_t size)
{
	uint64_t until = ob_clock_ns() + ms * 1000000ull;
	int hung = -1;

	while (hung < 0 && ob_clock_ns() < until) {
		usleep((useconds_t)heartbeat_timeout_ms(h) * 1000);
		hung = heartbeat_look(h, pid, why, size);
	}
	return hung;
}

static void end(struct heartbeat *h, pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	heartbeat_close(h);
}

static void begin(struct heartbeat *h)
{
	struct ob_error err = {0};

	assert_int_equal(heartbeat_open(h, 1, PERIOD_MS, &err), 0);
	heartbeat_reset(h);
}

static void an_idle_loop_does_not_hang(void **state)
{
	char why[160];
	struct heartbeat h;
	pid_t pid;

	begin(&h);
	pid = driver_process(&h, NULL);
	assert_int_equal(watch(&h, pid, 20 * PERIOD_MS, why, sizeof(why)), -1);
	/* And it was pinged: it has counted, although nothing happened. */
	assert_true(h.loop[0].beats > 2);
	end(&h, pid);
}

static void hangs(void (*does)(void), const char *at)
{
	char why[160] = "";
	struct heartbeat h;
	pid_t pid;

	begin(&h);
	pid = driver_process(&h, does);
	assert_int_equal(watch(&h, pid, 600 * PERIOD_MS, why, sizeof(why)), 0);
	assert_non_null(strstr(why, at));
	end(&h, pid);
}

static void one_that_spins_is_found(void **state)
{
	hangs(spin, "spins");
}

/* On this processor only, so that somebody else can take it away. */
static void stay_here(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void spin_with_what_is_left(void)
{
	/* Less than half of the time is its own in any period. */
	if (nice(10) < 0)
		_exit(1);
	spin();
}

static void one_that_spins_beside_others_is_found(void **state)
{
	cpu_set_t before;
	pid_t other;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	stay_here();
	other = fork();
	if (!other) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		spin();
	}
	hangs(spin_with_what_is_left, "spins");
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	sched_setaffinity(0, sizeof(before), &before);
}

static void one_that_sleeps_is_found(void **state)
{
	hangs(sleep_for_ever, "sleeps");
}

static void one_that_was_stopped_is_found(void **state)
{
	char why[160] = "";
	struct heartbeat h;
	pid_t pid;

	begin(&h);
	pid = driver_process(&h, NULL);
	assert_int_equal(watch(&h, pid, 5 * PERIOD_MS, why, sizeof(why)), -1);
	kill(pid, SIGSTOP);
	assert_int_equal(watch(&h, pid, 600 * PERIOD_MS, why, sizeof(why)), 0);
	assert_non_null(strstr(why, "is stopped"));
	end(&h, pid);
}

static void one_that_ended_its_loop_is_not_watched(void **state)
{
	char why[160];
	struct heartbeat h;
	pid_t pid;

	begin(&h);
	pid = driver_process(&h, NULL);
	assert_int_equal(watch(&h, pid, 5 * PERIOD_MS, why, sizeof(why)), -1);
	heartbeat_detach(&h, 0);
	kill(pid, SIGSTOP);
	assert_int_equal(watch(&h, pid, 10 * PERIOD_MS, why, sizeof(why)), -1);
	end(&h, pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_young_death_is_followed_at_once),
		cmocka_unit_test(so_many_in_a_time_are_the_end),
		cmocka_unit_test(never_is_never),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(an_idle_loop_does_not_hang),
		cmocka_unit_test(one_that_spins_is_found),
		cmocka_unit_test(one_that_spins_beside_others_is_found),
		cmocka_unit_test(one_that_sleeps_is_found),
		cmocka_unit_test(one_that_was_stopped_is_found),
		cmocka_unit_test(one_that_ended_its_loop_is_not_watched),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
