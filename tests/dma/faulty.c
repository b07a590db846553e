/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real devices and their drivers through the fault-injection wrapper: whatever the device does, the
 * driver ends each request with an error or with the right data, and can be unbound.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "access/fault.h"

static void log_nothing(void *arg, enum ob_log_level level, const char *line)
{
}

static struct ob_device *open_device(const char *spec)
{
	struct ob_error err = {0};
	struct ob_device *dev;

	if (ob_device_open(spec, &dev, &err))
		fail_msg("%s %s", err.what, err.why);
	/* The drivers' complaints are what we want, but not in the test's output. */
	ob_device_set_log(dev, log_nothing, NULL);
	return dev;
}

static uint64_t injected(struct ob_device *dev, enum fault_kind kind)
{
	uint64_t counts[FAULT_KINDS];

	assert_int_equal(fault_counts(dev, counts), 0);
	return counts[kind];
}

static void a_wrapped_device_works_as_before(void **state)
{
	struct ob_device *dev = open_device("fault:qemu:edu");
	struct ob_selftest_line lines[32];
	struct ob_error err = {0};
	struct ob_binding *b;
	int n, i;

	assert_string_equal(ob_device_info(dev)->backend, "fault");
	assert_int_equal(ob_driver_bind(dev, NULL, NULL, &b, &err), 0);
	n = b->driver->selftest(b, lines, 32);
	assert_true(n > 0);
	for (i = 0; i < n; i++) {
		if (lines[i].result < 0)
			fail_msg("%s: %s", lines[i].name, lines[i].detail);
	}
	ob_driver_unbind(b);
	ob_device_close(dev);
}

static void interrupts_pass_the_relay_and_some_are_swallowed(void **state)
{
	/* 0 of them, but through the relay: a chance that rounds to nothing. */
	struct ob_device *dev = open_device("fault[irq=1/2,max=0]:qemu:edu");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};
	struct ob_irq *irq;
	unsigned int i;

	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	for (i = 0; i < 100; i++) {
		ob_write32(bar, 0x60, 1); /* edu: raise */
		assert_int_equal(ob_irq_wait(irq, 10000), 1);
		ob_write32(bar, 0x64, 1); /* acknowledge */
	}
	ob_device_close(dev);

	dev = open_device("fault[irq=1,max=1]:qemu:edu");
	bar = ob_device_bar(dev, 0);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	ob_write32(bar, 0x60, 1);
	while (!injected(dev, FAULT_IRQ))
		usleep(100);
	assert_int_equal(ob_irq_wait(irq, 0), 0);
	ob_write32(bar, 0x64, 1);
	ob_write32(bar, 0x60, 1);
	assert_int_equal(ob_irq_wait(irq, 10000), 1);
	ob_device_close(dev);
}

static void a_device_that_answers_all_ones_is_refused(void **state)
{
	static const char *const specs[] = {"fault[ones=1]:qemu:edu", "fault[ones=1]:qemu:e1000e",
					    "fault[ones=1]:qemu:nvme,null=64M"};
	struct ob_driver_config config = {.timeout_ms = 300};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct ob_device *dev = open_device(specs[i]);
		struct ob_error err = {0};
		struct ob_binding *b;
		int ret = ob_driver_bind(dev, NULL, &config, &b, &err);

		if (!ret && b->nr_blocks)
			ret = ob_block_start(b->block[0], &err);
		assert_true(ret < 0);
		assert_true(err.what[0]);
		ob_device_close(dev);
	}
}

static void reads_end_when_the_device_vanishes(void **state)
{
	struct ob_device *dev = open_device("fault[gone=200]:qemu:nvme,null=64M");
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .timeout_ms = 500};
	struct ob_error err = {0};
	struct ob_binding *b;
	char buf[4096];
	unsigned int i;
	int ret = 0;

	assert_int_equal(ob_driver_bind(dev, NULL, &config, &b, &err), 0);
	assert_int_equal(ob_block_start(b->block[0], &err), 0);
	for (i = 0; i < 1000 && !ret; i++)
		ret = ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, i * 4096, buf, 4096);
	assert_int_equal(ret, -ENODEV);
	assert_true(i > 1);
	assert_true(ob_device_gone(dev));
	assert_int_equal(injected(dev, FAULT_GONE), 1);
	ob_block_stop(b->block[0]);
	ob_driver_unbind(b);
	ob_device_close(dev);
}

/*
 * The completion queues are overwritten under the disk's driver, by several seeds. A read ends well or with
 * an error. Forged completions can end it before the disk wrote: then the buffer reads zero, as the disk
 * would, because a bounce buffer shows nothing old.
 */
static void a_disk_whose_memory_is_overwritten_ends_every_read(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .timeout_ms = 200};
	uint64_t hit = 0;
	unsigned int seed;

	for (seed = 1; seed <= 4; seed++) {
		struct ob_error err = {0};
		struct ob_binding *b;
		struct ob_device *dev;
		char spec[128], buf[4096];
		unsigned int i, k;

		/* Only when it is set up, since that is another matter: 60 register accesses. */
		snprintf(spec, sizeof(spec),
			 "fault[scribble=cq,rate=0.05,after=60,max=10,seed=%u]:qemu:nvme,null=64M",
			 seed);
		dev = open_device(spec);
		if (ob_driver_bind(dev, NULL, &config, &b, &err) == 0) {
			if (!ob_block_start(b->block[0], &err)) {
				for (i = 0; i < 200 && !ob_device_gone(dev); i++) {
					memset(buf, 'x', sizeof(buf));
					if (ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, i * 4096,
							buf, sizeof(buf)))
						continue;
					for (k = 0; k < sizeof(buf); k++)
						assert_int_equal(buf[k], 0);
				}
				ob_block_stop(b->block[0]);
			}
			ob_driver_unbind(b);
		}
		hit += injected(dev, FAULT_SCRIBBLE);
		ob_device_close(dev);
	}
	assert_true(hit > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrapped_device_works_as_before),
		cmocka_unit_test(interrupts_pass_the_relay_and_some_are_swallowed),
		cmocka_unit_test(a_device_that_answers_all_ones_is_refused),
		cmocka_unit_test(reads_end_when_the_device_vanishes),
		cmocka_unit_test(a_disk_whose_memory_is_overwritten_ends_every_read),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
