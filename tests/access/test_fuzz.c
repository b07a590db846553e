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

static void a_word_of_what_was_allocated_changes(void **state)
{
	/* The second word of the first allocation. */
	const uint8_t in[] = {FUZZ_MEMORY, 0, 0, 0, 1, 0, 0xff, 0};
	struct ob_device *dev = open_card(in, sizeof(in));
	uint32_t *p = ob_dma_alloc(ob_device_dma(dev), 64, 64, "test", NULL);

	status(dev);
	assert_int_equal(p[0], 0);
	assert_int_equal(p[1], 0x00ff00ff);
	ob_dma_free(ob_device_dma(dev), p);
	ob_device_close(dev);
}

static void a_card_that_is_removed_says_so(void **state)
{
	const uint8_t in[] = {FUZZ_GONE, 1, 0, 0, 0, 0, 0, 0};
	struct ob_device *dev = open_card(in, sizeof(in));

	assert_false(ob_device_gone(dev));
	assert_int_equal(status(dev), 0xffffffff);
	assert_true(ob_device_gone(dev));
	ob_device_close(dev);
}

static struct ob_binding *bind(const char *spec)
{
	struct ob_device *dev;
	struct ob_binding *b;
	struct ob_error err = {0};

	if (ob_device_open(spec, &dev, &err) || ob_driver_bind(dev, NULL, NULL, &b, &err))
		fail_msg("%s: %s", spec, err.what);
	return b;
}

static void unbind(struct ob_binding *b)
{
	struct ob_device *dev = b->dev;

	ob_driver_unbind(b);
	ob_device_close(dev);
}

static void native_drivers_find_nothing_wrong_with_them(void **state)
{
	/* Not beep: its clock is that of a machine that may be busy. */
	static const char *const specs[] = {"fuzz:e1000", "fuzz:e1000e", "fuzz:e1000e-msix",
					    "fuzz:edu",	  "fuzz:ide",	 "fuzz:nvme"};
	struct ob_selftest_line lines[32];

	for (unsigned int i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct ob_binding *b = bind(specs[i]);
		int n = b->driver->selftest(b, lines, 32);

		assert_true(n > 3);
		while (n--)
			if (lines[n].result < 0)
				fail_msg("%s: %s: %s", specs[i], lines[n].name, lines[n].detail);
		unbind(b);
	}
}

/* Found by fuzz_driver_e1000: the interrupt test kept a ring of buffers, and after some tests nothing was received any more. */
static void a_self_test_keeps_no_receive_buffers(void **state)
{
	struct ob_binding *b = bind("fuzz:e1000e");
	struct ob_net_test t[8];

	assert_int_equal(b->net->ops->self_test(b->net, t, 8), 5);
	assert_int_equal(b->net->rx_pool[0]->n, b->net->rx_pool[0]->size);
	unbind(b);
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
		cmocka_unit_test(a_word_of_what_was_allocated_changes),
		cmocka_unit_test(a_card_that_is_removed_says_so),
		cmocka_unit_test(native_drivers_find_nothing_wrong_with_them),
		cmocka_unit_test(a_self_test_keeps_no_receive_buffers),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
