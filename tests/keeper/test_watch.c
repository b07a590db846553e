/* SPDX-License-Identifier: BSD-2-Clause */
/* What the keeper takes for a storm and for a leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper/irq_counts.h"
#include "keeper/usage.h"
#include "keeper/vitals.h"

#define MS 1000000ull

enum {
	RATE = 10000,
};

static struct vitals open_vitals(void)
{
	struct vitals v;
	struct ob_error err = {0};

	if (vitals_open(&v, 2, &err))
		fail_msg("%s", err.what);
	return v;
}

static void interrupts_without_work_are_a_storm(void **state)
{
	struct vitals v = open_vitals();

	assert_int_equal(vitals_storm(&v, 0, 1000 * MS, 0, RATE), 0);
	v.unit[0].loop.irqs = 300;
	v.unit[0].irqs = 101;
	assert_int_equal(vitals_storm(&v, 0, 1040 * MS, 0, RATE), 401 * 25);
	/* Not the other device's. */
	assert_int_equal(vitals_storm(&v, 1, 1000 * MS, 0, RATE), 0);
	assert_int_equal(vitals_storm(&v, 1, 1040 * MS, 0, RATE), 0);
	/* No more have come. */
	assert_int_equal(vitals_storm(&v, 0, 1080 * MS, 0, RATE), 0);
	vitals_close(&v);
}

static void work_explains_interrupts(void **state)
{
	struct vitals v = open_vitals();

	assert_int_equal(vitals_storm(&v, 0, 1000 * MS, 0, RATE), 0);
	v.unit[0].loop.irqs = 1000000;
	v.unit[0].loop.work = 500000;
	assert_int_equal(vitals_storm(&v, 0, 1040 * MS, 0, RATE), 0);
	/* The same rate of interrupts, and the work has ended. */
	v.unit[0].loop.irqs = 2000000;
	assert_int_equal(vitals_storm(&v, 0, 1080 * MS, 0, RATE), 1000000 * 25);
	vitals_close(&v);
}

static void a_driver_that_reads_none_is_seen_by_the_kernels_count(void **state)
{
	struct vitals v = open_vitals();

	assert_int_equal(vitals_storm(&v, 0, 1000 * MS, 1, RATE), 0);
	assert_int_equal(vitals_storm(&v, 0, 1040 * MS, 10001, RATE), 10000 * 25);
	/* A keeper that was late looks at the whole time: 10,000 in 4 s are none. */
	assert_int_equal(vitals_storm(&v, 0, 5040 * MS, 20001, RATE), 0);
	vitals_close(&v);
}

/* A storm of exactly the rate, from each millisecond of a second on; looks come when they are due. */
static void a_storm_is_seen_within_90_ms(void **state)
{
	for (uint64_t onset = 1000; onset < 1200; onset++) {
		struct vitals v = open_vitals();
		uint64_t now = 900;

		do {
			assert_true(now <= onset + 90);
			v.unit[0].loop.irqs = now > onset ? (now - onset) * RATE / 1000 : 0;
			if (vitals_storm(&v, 0, now * MS, 0, RATE))
				break;
			now += vitals_next_ms(&v);
		} while (true);
		assert_true(now > onset);
		vitals_close(&v);
	}
}

static void who_has_no_interrupts_is_looked_at_less(void **state)
{
	struct vitals v = open_vitals();

	assert_int_equal(vitals_storm(&v, 0, 1000 * MS, 0, RATE), 0);
	assert_int_equal(vitals_next_ms(&v), VITALS_IDLE_MS);
	v.unit[0].loop.irqs = 1;
	assert_int_equal(vitals_storm(&v, 0, 1060 * MS, 0, RATE), 0);
	assert_int_equal(vitals_next_ms(&v), VITALS_SOON_MS);
	v.unit[0].loop.irqs = 2;
	assert_int_equal(vitals_storm(&v, 0, 1090 * MS, 0, RATE), 0);
	assert_int_equal(vitals_next_ms(&v), VITALS_LOOK_MS);
	/* The other device's interrupts keep it so. */
	assert_int_equal(vitals_storm(&v, 1, 1090 * MS, 0, RATE), 0);
	assert_int_equal(vitals_next_ms(&v), VITALS_LOOK_MS);
	vitals_close(&v);
}

static void another_process_begins_at_nothing(void **state)
{
	struct vitals v = open_vitals();
	char text[VITALS_TEXT];

	v.unit[0].loop.irqs = 5000;
	v.unit[0].blocked = 7;
	memset(v.unit[0].fault, 'x', VITALS_TEXT); /* no end: it is not trusted */
	assert_int_equal(vitals_blocked(&v, 0, text), 7);
	assert_int_equal(strlen(text), VITALS_TEXT - 1);
	assert_int_equal(vitals_blocked(&v, 0, text), 0);
	vitals_reset(&v);
	assert_int_equal(vitals_blocked(&v, 0, text), 0);
	assert_int_equal(vitals_storm(&v, 0, 1000 * MS, 0, RATE), 0);
	assert_int_equal(vitals_storm(&v, 0, 1040 * MS, 0, RATE), 0);
	vitals_close(&v);
}

static void what_grows_beyond_the_policy_leaks(void **state)
{
	const struct restart_policy p = {.memory = 1000, .pinned = 500, .descriptors = 10};
	const struct restart_policy none = {0};
	const struct usage first = {.memory = 5000, .pinned = 100, .descriptors = 20};
	struct usage now = {.memory = 6000, .pinned = 600, .descriptors = 30};
	char why[160];

	assert_false(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	now.memory++;
	assert_true(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	assert_non_null(strstr(why, "memory"));
	assert_false(usage_exceeds(&now, &first, &none, why, sizeof(why)));
	now = first;
	now.pinned += 501;
	assert_true(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	assert_non_null(strstr(why, "pins"));
	now = first;
	now.descriptors += 11;
	assert_true(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	assert_non_null(strstr(why, "11 descriptors"));
	/* One that gives back is no leak. */
	now.descriptors = 0;
	assert_false(usage_exceeds(&now, &first, &p, why, sizeof(why)));
}

static void what_has_all_that_it_may_have_leaks(void **state)
{
	const struct restart_policy p = {.memory = 1 << 30, .descriptors = 1024}, none = {0};
	const struct usage first = {
		.data = 1600, .data_most = 1600, .descriptors = 40, .descriptors_most = 48};
	struct usage now = first;
	char why[160];

	/* So it was when it began to serve. */
	assert_false(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	now.descriptors = 47;
	assert_false(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	now.descriptors = 48;
	assert_true(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	assert_non_null(strstr(why, "all 48 descriptors"));
	assert_false(usage_exceeds(&now, &first, &none, why, sizeof(why)));
	now = (struct usage){.data = (60ull << 20), .data_most = 64 << 20};
	assert_false(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	now.data++;
	assert_true(usage_exceeds(&now, &first, &p, why, sizeof(why)));
	assert_non_null(strstr(why, "60 of the 64 MiB"));
	assert_false(usage_exceeds(&now, &first, &none, why, sizeof(why)));
	/* Without a limit. */
	now.data_most = 0;
	assert_false(usage_exceeds(&now, &first, &p, why, sizeof(why)));
}

static void the_kernel_is_believed(void **state)
{
	struct usage before, after;
	char *p;
	int fd;

	assert_true(usage_read(getpid(), &before));
	assert_true(before.memory && before.descriptors >= 3);
	p = malloc(32 << 20);
	assert_non_null(p);
	memset(p, 1, 32 << 20);
	fd = dup(0);
	assert_true(usage_read(getpid(), &after));
	assert_true(after.memory >= before.memory + (31u << 20));
	assert_true(after.data >= before.data + (31u << 20));
	assert_true(after.descriptors_most >= after.descriptors);
	assert_int_equal(after.descriptors, before.descriptors + 1);
	close(fd);
	free(p);
}

static void a_process_that_there_is_not(void **state)
{
	struct usage u;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(usage_read(pid, &u));
}

static void an_embedded_device_is_not_counted_by_the_kernel(void **state)
{
	struct irq_counts c;

	irq_counts_open(&c, "fault[seed=1]:qemu:nvme,null=1M");
	assert_string_equal(c.name, "");
	assert_int_equal(irq_counts_total(&c, 1), 0);
	irq_counts_close(&c);
	irq_counts_open(&c, "fault[seed=1]:vfio:ffff:1f.7");
	assert_string_equal(c.name, "");
	irq_counts_close(&c);
	/* One that is not there has had none. */
	irq_counts_open(&c, "vfio:fffe:ff:1f.7");
	assert_string_equal(c.name, "fffe:ff:1f.7");
	assert_int_equal(irq_counts_total(&c, 1), 1);
	irq_counts_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupts_without_work_are_a_storm),
		cmocka_unit_test(a_storm_is_seen_within_90_ms),
		cmocka_unit_test(who_has_no_interrupts_is_looked_at_less),
		cmocka_unit_test(work_explains_interrupts),
		cmocka_unit_test(a_driver_that_reads_none_is_seen_by_the_kernels_count),
		cmocka_unit_test(another_process_begins_at_nothing),
		cmocka_unit_test(what_grows_beyond_the_policy_leaks),
		cmocka_unit_test(what_has_all_that_it_may_have_leaks),
		cmocka_unit_test(the_kernel_is_believed),
		cmocka_unit_test(a_process_that_there_is_not),
		cmocka_unit_test(an_embedded_device_is_not_counted_by_the_kernel),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
