/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing driver and device together: the one that matches, the one that was asked for, the wrong one,
 * and drivers from shared objects, good and broken (modules/).
 */
#include "tests/drivers/device.h"

static const char *module(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s.so", getenv("MODULES"), name);
	return path;
}

static void expect_load_error(const char *path, int code, const char *says)
{
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};
	char text[2048];

	assert_int_equal(ob_driver_load(path, &driver, &err), code);
	assert_null(driver);
	assert_int_equal(err.code, code);
	ob_error_text(&err, text, sizeof(text));
	if (!strstr(text, says))
		fail_msg("\"%s\" does not say \"%s\"", text, says);
	/* Without an error to fill it is the same. */
	assert_int_equal(ob_driver_load(path, &driver, NULL), code);
}

static void a_driver_from_a_file_drives_its_device(void **state)
{
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;
	uint64_t val = 0;
	char text[2048];

	if (ob_driver_load(module("good"), &driver, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	assert_string_equal(driver->name, "good");
	assert_int_equal(ob_device_open("qemu:edu", &dev, &err), 0);
	assert_int_equal(ob_driver_bind(dev, driver, NULL, &b, &err), 0);
	assert_ptr_equal(b->driver, driver);
	assert_int_equal(b->chr->ops->ioctl(b->chr, 0, &val), 0);
	assert_int_equal(val & 0xffff, 0xed);
	ob_driver_unbind(b);
	ob_device_close(dev);
}

static void files_that_are_no_drivers_are_refused_with_the_reason(void **state)
{
	char text[64];
	FILE *f;

	expect_load_error("good.so", -EINVAL, "./good.so");
	expect_load_error("/nowhere/good.so", -ENOENT, "/nowhere/good.so");
	expect_load_error("/tmp", -EINVAL, "not a file");
	expect_load_error(module("nosymbol"), -ENOEXEC, "outboard_driver");
	expect_load_error(module("incomplete"), -ENOEXEC, "lacks .remove");
	expect_load_error(module("undefined"), -ENOEXEC, "of_another_version");

	make_image(text, 0);
	f = fopen(text, "we");
	fputs("#!/bin/sh\n", f);
	fclose(f);
	expect_load_error(text, -ENOEXEC, text);
	unlink(text);
}

static void a_driver_that_fails_silently_is_named(void **state)
{
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;

	assert_int_equal(ob_driver_load(module("silent"), &driver, &err), 0);
	assert_int_equal(ob_device_open("qemu:edu", &dev, &err), 0);
	assert_int_equal(ob_driver_bind(dev, driver, NULL, &b, &err), -EPROTO);
	assert_int_equal(err.code, -EPROTO);
	assert_non_null(strstr(err.what, "incomplete"));
	ob_device_close(dev);
}

static void a_driver_for_another_device_does_not_touch_it(void **state)
{
	struct ob_access_stats before, after;
	struct ob_error err = {0};
	struct ob_binding *b = NULL;
	struct ob_device *dev;

	assert_int_equal(ob_device_open("qemu:edu", &dev, &err), 0);
	ob_device_stats(dev, &before);
	for (const struct ob_driver *const *d = ob_drivers(); *d; d++) {
		if (!strcmp((*d)->name, "edu"))
			continue;
		assert_int_equal(ob_driver_bind(dev, *d, NULL, &b, &err), -ENODEV);
		assert_null(b);
		assert_non_null(strstr(err.what, (*d)->name));
		assert_non_null(strstr(err.what, "1234"));
		assert_non_null(strstr(err.fix, "edu"));
	}
	ob_device_stats(dev, &after);
	assert_int_equal(after.reads + after.writes, before.reads + before.writes);
	ob_device_close(dev);
}

static void a_device_without_a_driver_gets_a_list_of_them(void **state)
{
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;

	assert_int_equal(ob_device_open("qemu:ich9-ahci", &dev, &err), 0);
	assert_int_equal(ob_driver_bind(dev, NULL, NULL, &b, &err), -ENOENT);
	assert_non_null(strstr(err.what, "8086"));
	for (const struct ob_driver *const *d = ob_drivers(); *d; d++)
		assert_non_null(strstr(err.why, (*d)->name));
	ob_device_close(dev);
}

static void every_driver_is_whole_and_finds_its_devices(void **state)
{
	unsigned int n = 0;

	for (const struct ob_driver *const *d = ob_drivers(); *d; d++, n++) {
		assert_non_null((*d)->summary);
		assert_non_null((*d)->datasheet);
		assert_true((*d)->probe && (*d)->remove && (*d)->selftest);
		assert_ptr_equal(ob_driver_find((*d)->name), *d);
		for (const struct ob_pci_id *i = (*d)->ids; i->vendor || i->class_mask; i++) {
			const struct ob_pci_id *id = NULL;

			if (i->vendor == OB_PCI_ANY)
				continue;
			assert_ptr_equal(ob_driver_match(i->vendor, i->device, i->class_code, &id),
					 *d);
			assert_non_null(id->name);
		}
	}
	assert_true(n >= 3);
	assert_null(ob_driver_find("no such driver"));
	assert_null(ob_driver_match(0xfffe, 1, 0xff0000, NULL));
	ob_driver_unbind(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_driver_from_a_file_drives_its_device),
		cmocka_unit_test(files_that_are_no_drivers_are_refused_with_the_reason),
		cmocka_unit_test(a_driver_that_fails_silently_is_named),
		cmocka_unit_test(a_driver_for_another_device_does_not_touch_it),
		cmocka_unit_test(a_device_without_a_driver_gets_a_list_of_them),
		cmocka_unit_test(every_driver_is_whole_and_finds_its_devices),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
