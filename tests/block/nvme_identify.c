/* SPDX-License-Identifier: BSD-2-Clause */
/* What the NVMe driver makes of identify data, sound and otherwise; no device is needed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/nvme/nvme.h"

static uint8_t data[NVME_IDENTIFY_BYTES];
static char why[160];

static void put(unsigned int at, uint64_t val, unsigned int bytes)
{
	memcpy(data + at, &val, bytes);
}

/* Offsets are those of figures 247 and 245 of the specification. */
static void good_controller(void)
{
	memset(data, 0, sizeof(data));
	memcpy(data + 4, "SERIAL              ", 20);
	memcpy(data + 24, "A model of a controller                 ", 40);
	data[77] = 5;	  /* MDTS */
	data[258] = 3;	  /* ACL */
	data[512] = 0x66; /* SQES */
	data[513] = 0x44; /* CQES */
	put(516, 4, 4);	  /* NN */
	put(520, 0xc, 2); /* ONCS: dataset management, write zeroes */
	data[525] = 1;	  /* VWC */
}

static void good_namespace(void)
{
	memset(data, 0, sizeof(data));
	put(0, 1 << 20, 8);
	put(8, 1 << 20, 8);
	data[25] = 1;	       /* two formats */
	data[26] = 1;	       /* the second */
	put(128, 9 << 16, 4);  /* 512 bytes */
	put(132, 12 << 16, 4); /* 4096 bytes */
}

static void a_sound_controller_is_taken(void **state)
{
	struct nvme_identity id;

	good_controller();
	assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), 0);
	assert_string_equal(id.serial, "SERIAL");
	assert_string_equal(id.model, "A model of a controller");
	assert_int_equal(id.max_transfer, 4096 << 5);
	assert_int_equal(id.abort_limit, 4);
	assert_int_equal(id.namespaces, 4);
	assert_true(id.volatile_cache && id.dsm && id.write_zeroes);
}

static void no_transfer_limit_and_huge_ones_are_cut(void **state)
{
	struct nvme_identity id;

	good_controller();
	for (unsigned int mdts = 0; mdts < 256; mdts++) {
		data[77] = (uint8_t)mdts;
		assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), 0);
		assert_int_equal(id.max_transfer, mdts && mdts < 8
							  ? 4096u << mdts
							  : (unsigned int)NVME_MAX_TRANSFER);
	}
	data[258] = 0xff;
	assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), 0);
	assert_int_equal(id.abort_limit, 0xff);
}

static void texts_are_printable_and_end(void **state)
{
	struct nvme_identity id;

	good_controller();
	memset(data + 4, 0x1b, 20);
	memset(data + 24, 'm', 40);
	assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), 0);
	assert_string_equal(id.serial, "????????????????????");
	assert_int_equal(strlen(id.model), 40);
	memset(data + 4, 0, 20);
	assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), 0);
	assert_string_equal(id.serial, "");
}

static void a_controller_with_other_entry_sizes_is_refused(void **state)
{
	static const uint8_t bad[] = {0x00, 0x55, 0x77, 0x65 - 0x10, 0xf7};
	struct nvme_identity id;

	for (unsigned int i = 0; i < sizeof(bad); i++) {
		good_controller();
		data[512] = bad[i];
		assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, "2^"));
	}
	good_controller();
	data[513] = 0x33;
	assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), -EINVAL);
	good_controller();
	put(516, 0, 4);
	assert_int_equal(nvme_identify_controller(data, &id, why, sizeof(why)), -EINVAL);
}

static void a_sound_namespace_is_taken(void **state)
{
	struct nvme_namespace ns;

	good_namespace();
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), 0);
	assert_int_equal(ns.size, 1ull << 32);
	assert_int_equal(ns.lba_shift, 12);
	assert_int_equal(ns.physical_block_size, 4096);
	assert_false(ns.read_only);
	assert_false(ns.zeroes_deallocate);
	data[24] = 1 << 4; /* OPTPERF */
	put(64, 3, 2);	   /* NPWG: four blocks */
	data[99] = 1;	   /* write protected */
	data[33] = 9;	   /* DLFEAT: DEAC, reads as zeroes */
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), 0);
	assert_int_equal(ns.physical_block_size, 16384);
	assert_true(ns.read_only);
	assert_true(ns.zeroes_deallocate);
	put(64, 0xffff, 2);
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), 0);
	assert_int_equal(ns.physical_block_size, 4096);
	data[33] = 8; /* deallocated blocks may read as anything */
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), 0);
	assert_false(ns.zeroes_deallocate);
}

static void namespaces_that_make_no_sense_are_refused(void **state)
{
	struct nvme_namespace ns;

	good_namespace();
	put(0, 0, 8);
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EINVAL);
	good_namespace();
	put(8, (1 << 20) + 1, 8);
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EINVAL);
	good_namespace();
	data[26] = 2; /* a third format of two */
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EINVAL);
	good_namespace();
	data[25] = 16;
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EINVAL);
	for (unsigned int shift = 0; shift < 256; shift++) {
		good_namespace();
		data[134] = (uint8_t)shift;
		assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)),
				 shift >= 9 && shift <= 16 ? 0 : -EINVAL);
	}
	good_namespace();
	put(132, 8 | 12 << 16, 4);
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EOPNOTSUPP);
	assert_non_null(strstr(why, "metadata"));
}

static void a_size_beyond_63_bits_is_refused(void **state)
{
	struct nvme_namespace ns;

	good_namespace();
	put(0, 1ull << 51, 8); /* times 4096: 2^63 */
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EINVAL);
	put(0, (1ull << 51) - 1, 8);
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), 0);
	put(0, UINT64_MAX, 8);
	assert_int_equal(nvme_identify_namespace(data, &ns, why, sizeof(why)), -EINVAL);
}

static void a_list_is_taken_as_far_as_it_ascends(void **state)
{
	uint32_t list[1024] = {1, 5, 9, 9, 12}, nsid[16];

	assert_int_equal(nvme_identify_list(list, 0, nsid, 16), 3);
	assert_int_equal(nsid[2], 9);
	assert_int_equal(nvme_identify_list(list, 0, nsid, 2), 2);
	assert_int_equal(nvme_identify_list(list, 1, nsid, 16), 0);
	list[0] = 0;
	assert_int_equal(nvme_identify_list(list, 0, nsid, 16), 0);
	list[0] = 0xffffffff;
	assert_int_equal(nvme_identify_list(list, 0, nsid, 16), 0);
	for (unsigned int i = 0; i < 1024; i++)
		list[i] = i + 1;
	assert_int_equal(nvme_identify_list(list, 0, nsid, 16), 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_controller_is_taken),
		cmocka_unit_test(no_transfer_limit_and_huge_ones_are_cut),
		cmocka_unit_test(texts_are_printable_and_end),
		cmocka_unit_test(a_controller_with_other_entry_sizes_is_refused),
		cmocka_unit_test(a_sound_namespace_is_taken),
		cmocka_unit_test(namespaces_that_make_no_sense_are_refused),
		cmocka_unit_test(a_size_beyond_63_bits_is_refused),
		cmocka_unit_test(a_list_is_taken_as_far_as_it_ascends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
