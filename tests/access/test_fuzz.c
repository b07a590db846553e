/* SPDX-License-Identifier: BSD-2-Clause */
/* The made-up devices of the backend "fuzz": what they answer without an input, and what each kind of record changes, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "access/fuzz/fuzz.h"

enum {
	STATUS = 0x8,
	UP = 0x00080083,
};

static struct ob_device *open_card(const void *records, size_t len)
{
	struct ob_device *dev;
	struct ob_error err = {0};

	if (ob_device_open("fuzz:e1000e", &dev, &err))
		fail_msg("%s", err.what);
	assert_int_equal(ob_fuzz_input(dev, records, len), 0);
	return dev;
}

static uint32_t status(struct ob_device *dev)
{
	return (uint32_t)ob_bar_read_message(ob_device_bar(dev, 0), STATUS, 4);
}

static void a_card_without_input_is_as_its_driver_wants_it(void **state)
{
	struct ob_device *dev = open_card("", 0);

	assert_int_equal(ob_config_read(dev, 0, 4), 0x10d38086);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(status(dev), UP);
	ob_device_close(dev);
}

static void a_record_changes_one_answer_when_its_turn_comes(void **state)
{
	/* After two accesses: 0x100 turned; one more later: a value. */
	const uint8_t in[] = {FUZZ_XOR, 0, 2, 0, 0, 1, 0, 0, FUZZ_SET, 0, 1, 0, 5, 0, 0, 0};
	struct ob_device *dev = open_card(in, sizeof(in));
	uint32_t up = UP;

	assert_int_equal(status(dev), up);
	assert_int_equal(status(dev), up);
	assert_int_equal(status(dev), up ^ 0x100);
	assert_int_equal(status(dev), 5);
	assert_int_equal(status(dev), up);
	ob_device_close(dev);
}

static void a_register_sticks(void **state)
{
	const uint8_t in[] = {FUZZ_STICK, 0, 1, 0, 7, 0, 0, 0};
	struct ob_device *dev = open_card(in, sizeof(in));

	assert_int_equal(status(dev), UP);
	for (int i = 0; i < 10; i++)
		assert_int_equal(status(dev), 7);
	assert_int_equal(ob_bar_read_message(ob_device_bar(dev, 0), 0, 4), 0);
	ob_device_close(dev);
}

static void configuration_space_has_bits_turned_once(void **state)
{
	const uint8_t in[] = {FUZZ_CONFIG_XOR, 0, 0, 0, 1, 0, 0, 0};
	struct ob_device *dev = open_card(in, sizeof(in));

	assert_int_equal(ob_config_read(dev, 0, 4), 0x10d38087);
	assert_int_equal(ob_config_read(dev, 0, 4), 0x10d38086);
	ob_device_close(dev);
}

static void a_card_that_is_gone_is_all_ones(void **state)
{
	const uint8_t in[] = {FUZZ_GONE, 0, 1, 0, 0, 0, 0, 0};
	struct ob_device *dev = open_card(in, sizeof(in));

	assert_int_equal(status(dev), UP);
	for (int i = 0; i < 10; i++)
		assert_int_equal(status(dev), 0xffffffff);
	assert_int_equal(ob_config_read(dev, 0, 2), 0xffff);
	ob_device_close(dev);
}

static void interrupts_without_reason_arrive(void **state)
{
	const uint8_t in[] = {FUZZ_IRQ, 200, 0, 0, 2, 0, 0, 0};
	struct ob_device *dev = open_card(in, sizeof(in));
	struct ob_error err = {0};
	struct ob_irq *irq;

	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	assert_int_equal(ob_irq_wait(irq, 0), 0);
	status(dev);
	assert_int_equal(ob_irq_wait(irq, 0), 3);
	ob_irq_close(irq);
	ob_irq_disable(dev);
	ob_device_close(dev);
}

static void addresses_that_are_not_the_devices_reach_nothing(void **state)
{
	struct ob_device *dev = open_card("", 0);
	struct fuzz_device *fd = dev->priv;

	assert_non_null(fuzz_memory(fd, fd->iova, fd->size));
	assert_null(fuzz_memory(fd, fd->iova - 1, 1));
	assert_null(fuzz_memory(fd, fd->iova, fd->size + 1));
	assert_null(fuzz_memory(fd, fd->iova + fd->size, 1));
	assert_null(fuzz_memory(fd, UINT64_MAX, 2));
	ob_device_close(dev);
}

static void a_child_has_memory_of_its_own(void **state)
{
	struct ob_device *dev = open_card("", 0);
	struct fuzz_device *fd = dev->priv;
	char *at = fuzz_memory(fd, fd->iova, 8192);

	strcpy(at + 4096, "before");
	assert_int_equal(ob_fuzz_pages(dev), 0);
	assert_int_equal(ob_fuzz_private(dev), 0);
	assert_string_equal(at + 4096, "before");
	assert_int_equal(at[0], 0);
	ob_device_close(dev);
}

static void what_cannot_be_is_refused(void **state)
{
	struct ob_device *dev;
	struct ob_error err = {0};

	assert_int_equal(ob_device_open("fuzz:nosuch", &dev, &err), -ENODEV);
	assert_non_null(strstr(err.fix, "fuzz:nvme"));
	assert_int_equal(ob_device_open("fuzz:nvme,input=/nonexistent", &dev, &err), -ENOENT);
	assert_int_equal(ob_device_open("fuzz:nvme,input=/dev/zero", &dev, &err), -E2BIG);
	assert_int_equal(ob_device_open("fuzz:nvme,wrong=1", &dev, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_card_without_input_is_as_its_driver_wants_it),
		cmocka_unit_test(a_record_changes_one_answer_when_its_turn_comes),
		cmocka_unit_test(a_register_sticks),
		cmocka_unit_test(configuration_space_has_bits_turned_once),
		cmocka_unit_test(a_card_that_is_gone_is_all_ones),
		cmocka_unit_test(interrupts_without_reason_arrive),
		cmocka_unit_test(addresses_that_are_not_the_devices_reach_nothing),
		cmocka_unit_test(a_child_has_memory_of_its_own),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
