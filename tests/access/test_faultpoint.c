/* SPDX-License-Identifier: BSD-2-Clause */
/* Fault points: what each action does, at which passing, and that all can be counted and repeated. Each in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "access/faultpoint.h"

/* Passes a point as often as it can, ten times. */
static unsigned int passings(void)
{
	for (unsigned int i = 1; i <= 10; i++) {
		int ret = OB_FAULT_ERROR("test.point");

		if (ret)
			return i;
	}
	return 0;
}

static pid_t start(const char *spec)
{
	const struct rlimit no_core = {0, 0};
	pid_t pid = fork();
	int null;

	if (pid)
		return pid;
	setrlimit(RLIMIT_CORE, &no_core);
	null = open("/dev/null", O_WRONLY);
	dup2(null, STDERR_FILENO);
	/* A sanitizer would make an exit of what the kernel shall tell. */
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	if (ob_fault_points_arm(spec, NULL))
		_exit(99);
	_exit(10 + (int)passings());
}

static int run(const char *spec)
{
	int status;

	assert_int_equal(waitpid(start(spec), &status, 0) > 0, 1);
	return status;
}

static void a_process_dies_as_it_is_told(void **state)
{
	static const struct {
		const char *spec;
		int sig;
	} deaths[] = {
		{"test.*=segv@3", SIGSEGV},  {"test.*=abort", SIGABRT},	  {"test.*=ill@10", SIGILL},
		{"test.*=kill@7+", SIGKILL}, {"test.*=stack@2", SIGSEGV},
	};

	for (unsigned int i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++) {
		int status = run(deaths[i].spec);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != deaths[i].sig)
			fail_msg("%s: status %x", deaths[i].spec, status);
	}
	assert_int_equal(WEXITSTATUS(run("test.*=exit")), 1);
}

static void what_comes_later_than_the_end_does_not_happen(void **state)
{
	assert_int_equal(WEXITSTATUS(run("test.*=segv@11")), 10);
	assert_int_equal(WEXITSTATUS(run("other.*=segv")), 10);
	assert_int_equal(WEXITSTATUS(run("")), 10);
}

static void a_process_hangs_until_it_is_killed(void **state)
{
	static const char *const hangs[] = {"test.*=spin", "test.*=deadlock", "test.*=stop"};

	for (unsigned int i = 0; i < 3; i++) {
		pid_t pid = start(hangs[i]);
		int status;

		/* Stopped is told; of the others only that they have not ended. */
		if (i == 2) {
			assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
			assert_true(WIFSTOPPED(status));
		} else {
			usleep(100000);
			assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
		}
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
}

static void a_call_fails_once_or_from_then_on(void **state)
{
	unsigned int failed = 0;

	assert_int_equal(WEXITSTATUS(run("test.*=enomem@4")), 14);
	assert_int_equal(ob_fault_points_arm("test.*=eintr@3", NULL), 0);
	for (unsigned int i = 1; i <= 10; i++) {
		int ret = OB_FAULT_ERROR("test.once");

		assert_int_equal(ret, i == 3 ? -EINTR : 0);
	}
	assert_int_equal(ob_fault_points_arm("test.*=eio@3+", NULL), 0);
	for (unsigned int i = 1; i <= 10; i++)
		failed += OB_FAULT_ERROR("test.on") == -EIO;
	assert_int_equal(failed, 8);
	/* Nothing can fail here, so it does not. */
	OB_FAULT_POINT("test.no-error");
	assert_int_equal(ob_fault_points_arm(NULL, NULL), 0);
	assert_int_equal(OB_FAULT_ERROR("test.on"), 0);
}

static void each_nth_time_it_happens(void **state)
{
	unsigned int when = 0;

	assert_int_equal(ob_fault_points_arm("test.*=eio@%3", NULL), 0);
	for (unsigned int i = 1; i <= 10; i++)
		if (OB_FAULT_ERROR("test.each"))
			when |= 1u << i;
	assert_int_equal(when, 1u << 3 | 1u << 6 | 1u << 9);
	assert_int_equal(ob_fault_points_arm(NULL, NULL), 0);
}

/* As a keeper does, which arms before it forks: the second driver process goes on counting, and does not die where the first did. */
static void what_struck_one_process_does_not_strike_the_next(void **state)
{
	int status[3];

	assert_int_equal(ob_fault_points_arm("test.point=kill@14", NULL), 0);
	for (unsigned int i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(10 + (int)passings());
		assert_int_equal(waitpid(pid, &status[i], 0), pid);
	}
	assert_int_equal(WEXITSTATUS(status[0]), 10);
	assert_true(WIFSIGNALED(status[1]) && WTERMSIG(status[1]) == SIGKILL);
	assert_int_equal(WEXITSTATUS(status[2]), 10);
	assert_int_equal(ob_fault_points_arm(NULL, NULL), 0);
}

static void the_seed_decides_what_is_drawn(void **state)
{
	int first[20], second, others = 0;
	char spec[64];

	for (int seed = 0; seed < 20; seed++) {
		snprintf(spec, sizeof(spec), "seed=%d,test.*=enomem@?10", seed);
		first[seed] = WEXITSTATUS(run(spec));
		second = WEXITSTATUS(run(spec));
		assert_int_equal(first[seed], second);
		assert_in_range(first[seed], 11, 20);
		others += first[seed] != first[0];
	}
	assert_true(others > 5);
}

/* The library's own, with a driver that is used. */
static const char *device = "fuzz:nvme";

static void use_device(const char *spec)
{
	struct ob_selftest_line lines[16];
	struct ob_device *dev;
	struct ob_binding *b;

	if (ob_fault_points_arm(spec, NULL))
		exit(99);
	if (ob_device_open(device, &dev, NULL))
		exit(3);
	if (ob_driver_bind(dev, NULL, NULL, &b, NULL)) {
		ob_device_close(dev);
		exit(4);
	}
	b->driver->selftest(b, lines, 16);
	ob_driver_unbind(b);
	ob_device_close(dev);
	exit(0);
}

static int run_device(const char *spec)
{
	pid_t pid;
	int status;

	fflush(stdout); /* or the child writes it, too */
	pid = fork();
	if (!pid)
		use_device(spec);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void all_passings_are_counted_and_each_can_be_struck(void **state)
{
	char name[64], file[] = "/tmp/outboard-test-XXXXXX", spec[128];
	unsigned long n;
	int points = 0, fd = mkstemp(file);
	FILE *f;

	assert_true(fd >= 0);
	close(fd);
	snprintf(spec, sizeof(spec), "count=%s", file);
	assert_int_equal(run_device(spec), 0);
	f = fopen(file, "re");
	assert_non_null(f);
	while (fscanf(f, "%63s %lu", name, &n) == 2) {
		assert_true(n > 0);
		/* The last passing there is, and one more. */
		snprintf(spec, sizeof(spec), "%s=kill@%lu", name, n);
		if (!WIFSIGNALED(run_device(spec)))
			fail_msg("%s: did not happen", spec);
		snprintf(spec, sizeof(spec), "%s=kill@%lu", name, n + 1);
		if (run_device(spec))
			fail_msg("%s: happened", spec);
		points++;
	}
	fclose(f);
	unlink(file);
	assert_true(points > 20);
}

/* A probe gives everything back wherever it fails; the address sanitizer's build looks. */
static void memory_that_fails_is_told_and_leaves_nothing(void **state)
{
	static const char *const devices[] = {"fuzz:e1000", "fuzz:e1000e-msix", "fuzz:edu",
					      "fuzz:ide", "fuzz:nvme"};
	static const char *const points[] = {"dma.alloc", "net.pool", "irq.enable", "irq.open"};
	char spec[64];

	for (unsigned int i = 0; i < 5 * 4; i++) {
		int status = 1;

		device = devices[i / 4];
		for (int k = 1; status && k < 50; k++) {
			snprintf(spec, sizeof(spec), "%s=enomem@%d", points[i % 4], k);
			status = run_device(spec);
			if (status && WEXITSTATUS(status) != 4)
				fail_msg("%s: %s: status %x", device, spec, status);
		}
		/* There is one after the last. */
		assert_int_equal(status, 0);
	}
	assert_int_equal(WEXITSTATUS(run_device("device.open=enomem")), 3);
	assert_int_equal(WEXITSTATUS(run_device("nvme.probe=enomem")), 4);
	assert_int_equal(WEXITSTATUS(run_device("irq.enable=eio")), 4);
	assert_int_equal(WEXITSTATUS(run_device("irq.open=enomem@2")), 4);
	assert_int_equal(WEXITSTATUS(run_device("block.start=enomem")), 0);
}

static void a_system_call_fails_and_is_made_again(void **state)
{
	struct ob_device *dev;
	struct ob_irq *irq;

	assert_int_equal(ob_device_open("fuzz:edu", &dev, NULL), 0);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, NULL), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, NULL), 0);
	assert_int_equal(ob_fault_points_arm("irq.wait=eintr@2", NULL), 0);
	ob_write32(ob_device_bar(dev, 0), 0x60, 1); /* raise */
	assert_int_equal(ob_irq_wait(irq, 1000), 1);
	ob_write32(ob_device_bar(dev, 0), 0x60, 1);
	assert_int_equal(ob_irq_wait(irq, 1000), -EINTR);
	assert_int_equal(ob_irq_wait(irq, 1000), 1);
	assert_int_equal(ob_fault_points_arm(NULL, NULL), 0);
	ob_irq_close(irq);
	ob_device_close(dev);
}

static int count_them(void *arg, const struct ob_fault_point *point)
{
	unsigned int *n = arg;

	assert_non_null(strchr(point->name, '.'));
	++*n;
	return 0;
}

static void they_can_be_listed(void **state)
{
	unsigned int n = 0;

	assert_int_equal(ob_fault_points_each(count_them, &n), 0);
	assert_true(n > 50);
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const char *const wrong[] = {
		"nvme.nowhere=segv",
		"nvme.before-doorbell",
		"nvme.before-doorbell=dance",
		"nvme.before-doorbell=segv@0",
		"nvme.before-doorbell=segv@x",
		"nvme.before-doorbell=segv@1x",
		"nvme.before-doorbell=segv@?",
		"nvme.before-doorbell=enomem",
		"seed=x",
		"seed=",
		"*=segv@-1",
	};
	struct ob_error err;

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(ob_fault_points_arm(wrong[i], &err), -EINVAL);
		assert_true(err.what[0]);
		assert_false(ob_fault_points_on);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_dies_as_it_is_told),
		cmocka_unit_test(what_comes_later_than_the_end_does_not_happen),
		cmocka_unit_test(a_process_hangs_until_it_is_killed),
		cmocka_unit_test(a_call_fails_once_or_from_then_on),
		cmocka_unit_test(each_nth_time_it_happens),
		cmocka_unit_test(what_struck_one_process_does_not_strike_the_next),
		cmocka_unit_test(the_seed_decides_what_is_drawn),
		cmocka_unit_test(all_passings_are_counted_and_each_can_be_struck),
		cmocka_unit_test(memory_that_fails_is_told_and_leaves_nothing),
		cmocka_unit_test(a_system_call_fails_and_is_made_again),
		cmocka_unit_test(they_can_be_listed),
		cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
