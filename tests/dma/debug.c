/* SPDX-License-Identifier: BSD-2-Clause */
/* DMA debug mode: each mistake is found once and named with its places; correct use is silent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/dma.h"
#include "tests/dma/fake.h"

#define MiB (1ul << 20)

static struct fake *open_debug(enum ob_dma_policy policy)
{
	struct fake *f = fake_open(policy, MiB, true);

	assert_int_equal(ob_dma_debug(f->dev.dma), 0);
	return f;
}

/* Exactly one report since the last call, with these words in it. */
static void expect_report(struct fake *f, const char *a, const char *b)
{
	const char *end = strchr(f->log, '\n');

	if (!end || end[1])
		fail_msg("not one report but: %s", f->log);
	if (!strstr(f->log, a) || !strstr(f->log, b))
		fail_msg("missing: '%s' and '%s' in: %s", a, b, f->log);
	assert_non_null(strstr(f->log, "fake: DMA: "));
	f->log[0] = '\0';
}

static void expect_silence(struct fake *f)
{
	if (f->log[0])
		fail_msg("%s", f->log);
}

static void correct_use_is_silent_in_every_policy(void **state)
{
	unsigned int policy;

	for (policy = OB_DMA_POOLED; policy <= OB_DMA_LAZY; policy++) {
		struct fake *f = open_debug(policy);
		struct ob_dma *dma = f->dev.dma;
		struct ob_dma_mapping map;
		char buf[3000];
		unsigned int i;

		for (i = 0; i < 200; i++) {
			char *p = ob_dma_alloc(dma, 100 + i * 37, 1, "ring", NULL);
			enum ob_dma_dir dir = (enum ob_dma_dir)(1 + i % 3);

			assert_non_null(p);
			memset(p, (int)i, 100);
			memset(buf, (int)i, sizeof(buf));
			assert_int_equal(ob_dma_map(dma, i % 2 ? p : buf, 100, dir, &map), 0);
			if (dir & OB_DMA_FROM_DEVICE) {
				assert_int_equal(fake_device_write(f, map.iova, "x", 1), 0);
				assert_int_equal(ob_dma_sync_for_cpu(&map, 0, 100), 0);
				assert_int_equal(i % 2 ? p[0] : buf[0], 'x');
			}
			if (dir & OB_DMA_TO_DEVICE)
				(i % 2 ? p : buf)[5] = 'y';
			assert_int_equal(ob_dma_sync_for_device(&map, 0, 100), 0);
			assert_int_equal(ob_dma_unmap(&map), 0);
			ob_dma_free(dma, p);
		}
		assert_int_equal(ob_dma_debug_reports(dma), 0);
		expect_silence(f);
		fake_close(f);
	}
}

static void a_double_unmap_names_both_and_the_map(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma_mapping map;
	char buf[64];

	assert_int_equal(ob_dma_map_at(f->dev.dma, buf, 64, OB_DMA_TO_DEVICE, &map, "a.c:1"), 0);
	assert_int_equal(ob_dma_unmap_at(&map, "a.c:2"), 0);
	assert_int_equal(ob_dma_unmap_at(&map, "a.c:3"), -EINVAL);
	expect_report(f, "unmap at a.c:3 after unmap: 64 bytes to device",
		      "mapped at a.c:1, unmapped at a.c:2");
	assert_int_equal(ob_dma_debug_reports(f->dev.dma), 1);
	fake_close(f);
}

static void unmap_of_a_copy_is_no_unmap(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma_mapping map, copy;
	char buf[64];

	assert_int_equal(ob_dma_map(f->dev.dma, buf, 64, OB_DMA_TO_DEVICE, &map), 0);
	copy = map;
	assert_int_equal(ob_dma_unmap_at(&copy, "a.c:9"), -EINVAL);
	expect_report(f, "unmap at a.c:9", "never mapped");
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_silence(f);
	fake_close(f);
}

static void sync_is_checked_for_life_direction_and_range(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma_mapping map;
	char buf[64];

	assert_int_equal(ob_dma_map_at(f->dev.dma, buf, 64, OB_DMA_TO_DEVICE, &map, "m:1"), 0);
	assert_int_equal(ob_dma_sync_for_cpu_at(&map, 0, 64, "s:1"), -EINVAL);
	expect_report(f, "sync for CPU at s:1 in the wrong direction", "mapped at m:1");
	assert_int_equal(ob_dma_sync_for_device_at(&map, 60, 5, "s:2"), -EINVAL);
	expect_report(f, "sync for device at s:2 of bytes 60 to 65", "mapped at m:1");
	assert_int_equal(ob_dma_sync_for_device_at(&map, SIZE_MAX, 2, "s:3"), -EINVAL);
	expect_report(f, "s:3", "mapped at m:1");
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_sync_for_device_at(&map, 0, 1, "s:4"), -EINVAL);
	expect_report(f, "sync for device at s:4 after unmap", "mapped at m:1");
	fake_close(f);
}

static void a_mapping_object_mapped_twice_is_reported(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma_mapping map;
	char a[64], b[64];

	assert_int_equal(ob_dma_map_at(f->dev.dma, a, 64, OB_DMA_TO_DEVICE, &map, "m:1"), 0);
	assert_int_equal(ob_dma_map_at(f->dev.dma, b, 64, OB_DMA_TO_DEVICE, &map, "m:2"), 0);
	expect_report(f, "mapped at m:1", "again at m:2");
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_silence(f);
	fake_close(f);
}

static void an_overwritten_mapping_object_is_repaired(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma_mapping map;
	char buf[64] = "", sane[64] = "";

	assert_int_equal(ob_dma_map_at(f->dev.dma, buf, 64, OB_DMA_FROM_DEVICE, &map, "m:1"), 0);
	assert_int_equal(fake_device_write(f, map.iova, "data", 4), 0);
	map.buf = sane;
	map.len = 1000000;
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_report(f, "mapped at m:1", "was overwritten");
	assert_string_equal(buf, "data");
	assert_string_equal(sane, "");
	fake_close(f);
}

static void cpu_writes_while_the_device_owns_the_buffer_are_seen(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	char buf[64] = "", *p = ob_dma_alloc(dma, 64, 1, "a", NULL);

	assert_int_equal(ob_dma_map_at(dma, buf, 64, OB_DMA_FROM_DEVICE, &map, "m:1"), 0);
	buf[3] = 'x';
	assert_int_equal(ob_dma_unmap_at(&map, "u:1"), 0);
	expect_report(f, "mapped at m:1, was changed while the device owned it (seen at u:1)",
		      "that is lost");

	assert_int_equal(ob_dma_map_at(dma, p, 64, OB_DMA_TO_DEVICE, &map, "m:2"), 0);
	p[3] = 'x';
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_report(f, "64 bytes to device, mapped at m:2", "was changed");

	/* Another mapping of it lets the device write: no mistake. */
	{
		struct ob_dma_mapping other;

		assert_int_equal(ob_dma_map(dma, p, 64, OB_DMA_TO_DEVICE, &map), 0);
		assert_int_equal(ob_dma_map(dma, p + 32, 64 - 32, OB_DMA_FROM_DEVICE, &other), 0);
		assert_int_equal(fake_device_write(f, other.iova, "z", 1), 0);
		assert_int_equal(ob_dma_unmap(&other), 0);
		assert_int_equal(ob_dma_unmap(&map), 0);
		expect_silence(f);
	}
	ob_dma_free(dma, p);
	fake_close(f);
}

static void device_writes_where_it_must_not_are_seen(void **state)
{
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	char buf[100] = "";
	ob_iova late;
	void *p;

	assert_int_equal(ob_dma_map_at(dma, buf, 100, OB_DMA_TO_DEVICE, &map, "m:1"), 0);
	assert_int_equal(fake_device_write(f, map.iova, "x", 1), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_report(f, "the device wrote into a buffer of 100 bytes to device", "m:1");

	assert_int_equal(ob_dma_map_at(dma, buf, 100, OB_DMA_FROM_DEVICE, &map, "m:2"), 0);
	assert_int_equal(fake_device_write(f, ob_iova_add(map.iova, 110), "x", 1), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_report(f, "wrote past the end, at offset 110", "m:2");

	/* After unmap: seen when the buffer is used again ... */
	late = map.iova;
	assert_int_equal(fake_device_write(f, ob_iova_add(late, 7), "x", 1), 0);
	assert_int_equal(ob_dma_map(dma, buf, 100, OB_DMA_FROM_DEVICE, &map), 0);
	expect_report(f, "wrote after unmap into a bounce buffer, at offset 7", "m:2");
	assert_int_equal(ob_dma_unmap(&map), 0);
	expect_silence(f);

	/* ... and free consistent memory when it is allocated again. */
	p = ob_dma_alloc(dma, 4096, 1, "old ring", &late);
	ob_dma_free(dma, p);
	assert_int_equal(fake_device_write(f, ob_iova_add(late, 64), "x", 1), 0);
	p = ob_dma_alloc(dma, 4096, 1, "next ring", NULL);
	expect_report(f, "free arena memory", "allocated for next ring");
	ob_dma_free(dma, p);
	fake_close(f);
}

static void wrong_frees_are_reported_and_harmless(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	char *p = ob_dma_alloc(f->dev.dma, 4096, 1, "a", NULL), other;

	ob_dma_free(f->dev.dma, p + 64);
	expect_report(f, "free of", "did not give");
	ob_dma_free(f->dev.dma, &other);
	expect_report(f, "free of", "did not give");
	ob_dma_free(f->dev.dma, p);
	expect_silence(f);
	ob_dma_free(f->dev.dma, p);
	expect_report(f, "free of", "is free");
	fake_close(f);
}

static void leaks_are_named_at_close(void **state)
{
	struct fake *f = open_debug(OB_DMA_STRICT);
	struct ob_dma_mapping a, b;
	char buf[64] = "";

	assert_non_null(ob_dma_alloc(f->dev.dma, 4096, 1, "rx ring", NULL));
	assert_int_equal(ob_dma_map_at(f->dev.dma, buf, 64, OB_DMA_BOTH, &a, "m:1"), 0);
	assert_int_equal(ob_dma_map_at(f->dev.dma, f->dev.dma->base + 99 * FAKE_PAGE, 7,
				       OB_DMA_TO_DEVICE, &b, "m:2"),
			 0);
	ob_dma_destroy(&f->dev);
	assert_non_null(strstr(f->log, "leak: 64 bytes both ways, mapped at m:1"));
	assert_non_null(strstr(f->log, "leak: 7 bytes to device, mapped at m:2"));
	assert_non_null(strstr(f->log, "leak: consistent memory \"rx ring\" of 4096 bytes"));
	/* And unmapped all the same. */
	assert_int_equal(f->mapped, 0);
	fake_close(f);
}

static void it_is_switched_on_before_the_first_map_or_by_the_environment(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma_mapping map;
	void *p;

	/* What was used and freed before is no false alarm. */
	p = ob_dma_alloc(f->dev.dma, 4096, 1, "early", NULL);
	memset(p, 'x', 4096);
	ob_dma_free(f->dev.dma, p);
	assert_int_equal(ob_dma_map(f->dev.dma, f->dev.dma->base, 64, OB_DMA_BOTH, &map), 0);
	assert_int_equal(ob_dma_debug(f->dev.dma), -EBUSY);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_debug(f->dev.dma), 0);
	assert_int_equal(ob_dma_debug(f->dev.dma), 0);
	p = ob_dma_alloc(f->dev.dma, 8192, 1, "late", NULL);
	ob_dma_free(f->dev.dma, p);
	expect_silence(f);
	fake_close(f);

	setenv("OUTBOARD_DMA_DEBUG", "1", 1);
	f = fake_open(OB_DMA_POOLED, MiB, true);
	unsetenv("OUTBOARD_DMA_DEBUG");
	assert_int_equal(ob_dma_map(f->dev.dma, f->dev.dma->base, 64, OB_DMA_BOTH, &map), 0);
	ob_dma_destroy(&f->dev);
	expect_report(f, "leak: 64 bytes both ways", "debug.c");
	fake_close(f);
}

static void many_mappings_are_remembered(void **state)
{
	enum {
		N = 5000
	};
	struct fake *f = open_debug(OB_DMA_POOLED);
	struct ob_dma_mapping *map = calloc(N, sizeof(*map));
	unsigned int i;

	assert_non_null(map);
	for (i = 0; i < N; i++)
		assert_int_equal(
			ob_dma_map(f->dev.dma, f->dev.dma->base + i, 1, OB_DMA_BOTH, &map[i]), 0);
	for (i = 0; i < N; i++)
		assert_int_equal(ob_dma_unmap(&map[i]), 0);
	expect_silence(f);
	/* The youngest are still known by their places, the oldest are not, but it is an error. */
	assert_int_equal(ob_dma_unmap(&map[N - 1]), -EINVAL);
	expect_report(f, "after unmap", "debug.c");
	assert_int_equal(ob_dma_unmap(&map[0]), -EINVAL);
	expect_report(f, "unmap at", "never mapped");
	free(map);
	fake_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(correct_use_is_silent_in_every_policy),
		cmocka_unit_test(a_double_unmap_names_both_and_the_map),
		cmocka_unit_test(unmap_of_a_copy_is_no_unmap),
		cmocka_unit_test(sync_is_checked_for_life_direction_and_range),
		cmocka_unit_test(a_mapping_object_mapped_twice_is_reported),
		cmocka_unit_test(an_overwritten_mapping_object_is_repaired),
		cmocka_unit_test(cpu_writes_while_the_device_owns_the_buffer_are_seen),
		cmocka_unit_test(device_writes_where_it_must_not_are_seen),
		cmocka_unit_test(wrong_frees_are_reported_and_harmless),
		cmocka_unit_test(leaks_are_named_at_close),
		cmocka_unit_test(it_is_switched_on_before_the_first_map_or_by_the_environment),
		cmocka_unit_test(many_mappings_are_remembered),
	};

	unsetenv("OUTBOARD_DMA_DEBUG"); /* the tests say themselves when they want it */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
