/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shared BDF BDF [apart]: two functions on a bus of their own and without a reset of their own, in one IOMMU group, or in
 * one each (apart). In the rig, by tests/rig/vfio_group.sh, with functions of edu.
 */
#include "tests/vfio/rig.h"

static char spec[2][64];
static const char *const specs[2] = {spec[0], spec[1]};

static void open_both(struct ob_device *devs[2], const char *options)
{
	struct ob_error err = {0};
	char text[2048], full[2][96];
	const char *list[2] = {full[0], full[1]};

	for (unsigned int i = 0; i < 2; i++)
		snprintf(full[i], sizeof(full[i]), "%s%s", spec[i], options);
	if (ob_devices_open(list, 2, devs, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
}

static void close_both(struct ob_device *devs[2])
{
	ob_device_close(devs[0]);
	ob_device_close(devs[1]);
}

static void transfer(struct ob_device *dev, uint64_t iova, bool to_ram)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);

	edu_start(bar, iova, 64, to_ram);
	WAIT_FOR(!(ob_read64(bar, EDU_DMA_CMD) & EDU_DMA_RUN));
}

/* They share one IOMMU address space, and each has its own part of it, within reach of 28 bits. */
static void each_has_its_own_memory(void **state)
{
	struct ob_device *devs[2];
	struct ob_error err = {0};
	struct ob_dma_mapping map[2];
	static char page[2][4096] __attribute__((aligned(4096)));
	char *mem[2];
	ob_iova iova[2];

	open_both(devs, ",arena=4M");
	for (unsigned int i = 0; i < 2; i++) {
		struct ob_dma *dma = ob_device_dma(devs[i]);

		assert_int_equal(ob_dma_set_mask(dma, EDU_DMA_BITS, &err), 0);
		mem[i] = ob_dma_alloc(dma, 4096, 4096, "memory", &iova[i]);
		assert_non_null(mem[i]);
		memset(mem[i], 'a' + (int)i, 64);
		memset(page[i], 0, 4096);
		assert_int_equal(ob_dma_map(dma, page[i], 4096, OB_DMA_FROM_DEVICE, &map[i]), 0);
		assert_int_equal(map[i].way, OB_DMA_WAY_MAPPED);
	}
	assert_true(iova[0].addr != iova[1].addr && map[0].iova.addr != map[1].iova.addr);
	for (unsigned int i = 0; i < 2; i++)
		transfer(devs[i], iova[i].addr, false);
	for (unsigned int i = 0; i < 2; i++)
		transfer(devs[i], map[i].iova.addr, true);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(page[i][0], 'a' + (int)i);
		assert_int_equal(page[i][63], 'a' + (int)i);
		assert_int_equal(ob_dma_unmap(&map[i]), 0);
	}
	/* One goes, the other works on. */
	ob_device_close(devs[0]);
	memset(mem[1], 'z', 64);
	transfer(devs[1], iova[1].addr, false);
	memset(mem[1], 0, 64);
	transfer(devs[1], iova[1].addr, true);
	assert_int_equal(mem[1][63], 'z');
	ob_device_close(devs[1]);
}

static void the_second_alone_is_told_to_come_together_with_the_first(void **state)
{
	struct ob_error err = {0};
	struct ob_device *first, *second;

	assert_int_equal(ob_device_open(specs[0], &first, &err), 0);
	assert_int_equal(ob_device_open(specs[1], &second, &err), -EBUSY);
	assert_non_null(strstr(err.fix, "ob_devices_open"));
	ob_device_close(first);
	assert_int_equal(ob_device_open(specs[1], &second, &err), 0);
	ob_device_close(second);
}

/* Neither has a reset of its own; of the bus both are ours. */
static void a_bus_reset_is_allowed_when_all_on_it_is_ours(void **state)
{
	struct ob_error err = {0};
	struct ob_device *devs[2];
	struct ob_bar *bar[2];
	char text[2048];

	open_both(devs, "");
	for (unsigned int i = 0; i < 2; i++) {
		bar[i] = ob_device_bar(devs[i], 0);
		ob_write32(bar[i], 4, 5);
		assert_int_equal(ob_read32(bar[i], 4), ~5u);
	}
	if (ob_device_reset(devs[0], &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	for (unsigned int i = 0; i < 2; i++) {
		/* Registers answer; what was on is on. */
		ob_write32(bar[i], 4, 9);
		assert_int_equal(ob_read32(bar[i], 4), ~9u);
		assert_int_equal(ob_config_read(devs[i], 4, 2) & 2, 2);
	}
	assert_int_equal(ob_config_read(devs[0], 4, 2) & 6, 6);
	close_both(devs);
}

/* On one bus, but each in a group of its own: what is not open here is not ours. */
static void a_bus_reset_that_would_hit_others_is_refused_and_names_them(void **state)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char text[2048];

	assert_int_equal(ob_device_open(specs[0], &dev, &err), 0);
	assert_int_equal(ob_device_reset(dev, &err), -EBUSY);
	if (!strstr(ob_error_text(&err, text, sizeof(text)), specs[1] + strlen("vfio:")))
		fail_msg("the other is not named: %s", text);
	assert_int_equal(ob_read32(ob_device_bar(dev, 0), EDU_IDENT), 0x010000ed);
	ob_device_close(dev);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest apart[] = {
		cmocka_unit_test(a_bus_reset_that_would_hit_others_is_refused_and_names_them),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_own_memory),
		cmocka_unit_test(the_second_alone_is_told_to_come_together_with_the_first),
		cmocka_unit_test(a_bus_reset_is_allowed_when_all_on_it_is_ours),
	};

	if (argc != 3 && (argc != 4 || strcmp(argv[3], "apart") != 0)) {
		fprintf(stderr, "usage: %s BDF BDF [apart]\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < 2; i++)
		snprintf(spec[i], sizeof(spec[i]), "vfio:%.20s", argv[i + 1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc == 4)
		return cmocka_run_group_tests(apart, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
