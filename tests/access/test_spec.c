/* SPDX-License-Identifier: BSD-2-Clause */
/* Device specifications: what is accepted, and that each refusal names the bad part. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <outboard/access.h>

static void refused(const char *text, const char *named)
{
	struct ob_spec spec;
	struct ob_error err;

	assert_int_equal(ob_spec_parse(text, &spec, &err), -EINVAL);
	if (!strstr(err.what, named))
		fail_msg("'%s': '%s' does not name '%s'", text, err.what, named);
}

static void a_spec_falls_into_its_parts(void **state)
{
	struct ob_spec spec;

	assert_int_equal(ob_spec_parse("fault[seed=3,rate=0.5]:qemu:nvme,file=a,,b.img,readonly",
				       &spec, NULL),
			 0);
	assert_int_equal(spec.nr_wrappers, 1);
	assert_string_equal(spec.wrapper[0].name, "fault");
	assert_string_equal(ob_spec_get(&spec.wrapper[0], "rate"), "0.5");
	assert_string_equal(spec.backend, "qemu");
	assert_string_equal(spec.device.name, "nvme");
	assert_string_equal(ob_spec_get(&spec.device, "file"), "a,b.img");
	assert_string_equal(ob_spec_get(&spec.device, "readonly"), "");
	assert_null(ob_spec_get(&spec.device, "seed"));
}

static void wrappers_nest_and_a_bdf_is_a_device(void **state)
{
	struct ob_spec spec;

	assert_int_equal(ob_spec_parse("fault:fault[seed=1]:vfio:0000:03:00.0", &spec, NULL), 0);
	assert_int_equal(spec.nr_wrappers, 2);
	assert_int_equal(spec.wrapper[0].n, 0);
	assert_string_equal(spec.backend, "vfio");
	assert_string_equal(spec.device.name, "0000:03:00.0");
}

static void an_address_alone_leaves_the_backend_to_the_machine(void **state)
{
	static const char *const texts[] = {"0000:03:00.0", "03:00.0", "0000:a3:00.0", "c1:00.7"};
	struct ob_spec spec;

	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "fault[seed=1]:%s,dma=strict", texts[i]);
		assert_int_equal(ob_spec_parse(text, &spec, NULL), 0);
		assert_int_equal(spec.nr_wrappers, 1);
		assert_string_equal(spec.backend, "");
		assert_string_equal(spec.device.name, texts[i]);
		assert_string_equal(ob_spec_get(&spec.device, "dma"), "strict");
		snprintf(text, sizeof(text), "vfio:%s", texts[i]);
		assert_int_equal(ob_spec_parse(text, &spec, NULL), 0);
		assert_int_equal(spec.nr_wrappers, 0);
		assert_string_equal(spec.backend, "vfio");
		assert_string_equal(spec.device.name, texts[i]);
	}
}

static void bad_specs_name_the_bad_part(void **state)
{
	char long_text[OB_SPEC_TEXT + 10];

	refused("", "no backend");
	refused("nvme", "no backend");
	refused("qemu:", "no device");
	refused(":nvme", "backend");
	refused("qemu:nv me", "'nv me'");
	refused("qemu:nvme,", "option name");
	refused("qemu:nvme,=x", "option name");
	refused("qemu:nvme,file=a,file=b", "'file' twice");
	refused("fault[seed=1:qemu:nvme", "']:'");
	refused("qemu:nvme,fi le=a", "'fi le'");
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	refused(long_text, "longer");
}

static void options_are_bounded(void **state)
{
	char text[512] = "qemu:nvme";

	for (int i = 0; i < OB_SPEC_OPTIONS + 1; i++) {
		char opt[16];

		snprintf(opt, sizeof(opt), ",o%d=1", i);
		strcat(text, opt);
	}
	refused(text, "more than");
}

static void numbers_have_units_and_limits(void **state)
{
	struct ob_spec spec;
	struct ob_error err;
	uint64_t val = 7;

	assert_int_equal(
		ob_spec_parse("qemu:nvme,a=64M,b=0x10,c=12q,d=99999999999999999999,e=-1,f=", &spec,
			      NULL),
		0);
	assert_int_equal(ob_spec_get_u64(&spec.device, "none", 0, 10, &val, &err), 0);
	assert_int_equal(val, 7);
	assert_int_equal(ob_spec_get_u64(&spec.device, "a", 0, UINT64_MAX, &val, &err), 0);
	assert_int_equal(val, 64 << 20);
	assert_int_equal(ob_spec_get_u64(&spec.device, "b", 0, UINT64_MAX, &val, &err), 0);
	assert_int_equal(val, 16);
	for (const char *bad = "cdef"; *bad; bad++) {
		char key[2] = {*bad, '\0'};

		assert_int_equal(ob_spec_get_u64(&spec.device, key, 0, UINT64_MAX, &val, &err),
				 -EINVAL);
		assert_non_null(strstr(err.what, key));
	}
	assert_int_equal(ob_spec_get_u64(&spec.device, "b", 17, 20, &val, &err), -EINVAL);
	assert_non_null(strstr(err.what, "17 to 20"));
}

static void an_option_that_nobody_takes_is_an_error(void **state)
{
	struct ob_spec spec;
	struct ob_error err;

	assert_int_equal(ob_spec_parse("fault[seed=1]:qemu:nvme,file=a,colour=red", &spec, NULL),
			 0);
	ob_spec_get(&spec.device, "file");
	ob_spec_get(&spec.wrapper[0], "seed");
	assert_int_equal(ob_spec_leftover(&spec, "file, size", &err), -EINVAL);
	assert_non_null(strstr(err.what, "'colour'"));
	assert_non_null(strstr(err.fix, "file, size"));
	ob_spec_get(&spec.device, "colour");
	assert_int_equal(ob_spec_leftover(&spec, "", &err), 0);
}

static void choices_are_listed(void **state)
{
	static const char *const choices[] = {"on", "off", "auto", NULL};
	struct ob_spec spec;
	struct ob_error err;
	unsigned int val = 9;
	bool flag = false;

	assert_int_equal(ob_spec_parse("qemu:nvme,a=auto,b=maybe,c", &spec, NULL), 0);
	assert_int_equal(ob_spec_get_choice(&spec.device, "a", choices, &val, &err), 0);
	assert_int_equal(val, 2);
	assert_int_equal(ob_spec_get_choice(&spec.device, "b", choices, &val, &err), -EINVAL);
	assert_non_null(strstr(err.what, "on, off, auto"));
	assert_int_equal(ob_spec_get_bool(&spec.device, "b", &flag, &err), -EINVAL);
	assert_int_equal(ob_spec_get_bool(&spec.device, "c", &flag, &err), 0);
	assert_true(flag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spec_falls_into_its_parts),
		cmocka_unit_test(wrappers_nest_and_a_bdf_is_a_device),
		cmocka_unit_test(an_address_alone_leaves_the_backend_to_the_machine),
		cmocka_unit_test(bad_specs_name_the_bad_part),
		cmocka_unit_test(options_are_bounded),
		cmocka_unit_test(numbers_have_units_and_limits),
		cmocka_unit_test(an_option_that_nobody_takes_is_an_error),
		cmocka_unit_test(choices_are_listed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
