/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DMA memory of access/uio: it is one piece of physical memory, stays where it is, is where the device can reach it, and
 * goes when the device has lost it. In the rig, by tests/rig/uio_memory.sh, without an IOMMU.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/uio/rig.h"

static void assert_one_piece(const struct ob_dma *dma)
{
	for (uint64_t off = 0; off < dma->size; off += 4096)
		if (uio_physical(dma->base + off) != dma->iova + off)
			fail_msg("offset 0x%lx is at 0x%lx, not at 0x%lx", off,
				 uio_physical(dma->base + off), dma->iova + off);
}

static long meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long val = -1;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			val = strtol(line + strlen(name) + 1, NULL, 10);
	fclose(f);
	return val;
}

/* ---- one piece --------------------------------------------------------------------------------- */

static void the_arena_is_one_piece_from_whatever_pages(void **state)
{
	static const char *const ways[] = {",arena=16M", ",arena=8M,pages=transparent",
					   ",arena=64K,pages=small"};

	for (unsigned int i = 0; i < 3; i++) {
		struct ob_device *dev = uio_open("RIG_EDU", ways[i]);
		struct ob_dma *dma = ob_device_dma(dev);

		assert_true(dma->size >= (i == 2 ? 64 << 10 : 8 << 20));
		assert_one_piece(dma);
		ob_device_close(dev);
	}
}

static void reserved_pages_are_used_and_given_back(void **state)
{
	long before;
	struct ob_device *dev;

	uio_refused("RIG_EDU", ",arena=4M,pages=hugetlb", -ENOMEM, "nr_hugepages");
	/* What other tests in this machine have left of its memory may be in pieces. */
	assert_int_equal(rig_sysfs_write("/proc/sys/vm/drop_caches", "3"), 0);
	assert_int_equal(rig_sysfs_write("/proc/sys/vm/compact_memory", "1"), 0);
	assert_int_equal(rig_sysfs_write("/proc/sys/vm/nr_hugepages", "16"), 0);
	before = meminfo("HugePages_Free");
	assert_true(before >= 2);
	dev = uio_open("RIG_EDU", ",arena=4M,pages=hugetlb");
	assert_int_equal(ob_device_dma(dev)->size, 4 << 20);
	/* Those that were on trial only are free again. */
	assert_int_equal(meminfo("HugePages_Free"), before - 2);
	assert_one_piece(ob_device_dma(dev));
	ob_device_close(dev);
	WAIT_FOR(meminfo("HugePages_Free") == before);
	assert_int_equal(rig_sysfs_write("/proc/sys/vm/nr_hugepages", "0"), 0);
}

static void an_arena_that_cannot_be_had_says_what_to_do(void **state)
{
	long before, after;

	before = meminfo("MemAvailable");
	uio_refused("RIG_EDU", ",arena=8G", -ENOMEM, "arena=");
	/* The search has kept nothing. */
	after = meminfo("MemAvailable");
	assert_true(after > before - (64 << 10));
}

/* ---- it stays there ---------------------------------------------------------------------------- */

static void compaction_does_not_move_it(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=64K,pages=small");
	char *junk[64];

	/* Memory with holes, so that there is something to do. */
	for (unsigned int i = 0; i < 64; i++) {
		junk[i] = aligned_alloc(4096, 1 << 20);
		memset(junk[i], 1, 1 << 20);
	}
	for (unsigned int i = 0; i < 64; i += 2)
		free(junk[i]);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig_sysfs_write("/proc/sys/vm/compact_memory", "1"), 0);
	assert_one_piece(ob_device_dma(dev));
	for (unsigned int i = 1; i < 64; i += 2)
		free(junk[i]);
	ob_device_close(dev);
}

/* Copy on write would leave this process with the copy and the device with the page. */
static void a_child_does_not_take_it_away(void **state)
{
	static const char *const ways[] = {",arena=2M,pages=transparent", ",arena=64K,pages=small"};

	for (unsigned int i = 0; i < 2; i++) {
		struct ob_device *dev = uio_open("RIG_EDU", ways[i]);
		struct ob_dma *dma = ob_device_dma(dev);
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child) {
			pause();
			_exit(0);
		}
		for (uint64_t off = 0; off < dma->size; off += 4096)
			dma->base[off] = 1;
		assert_one_piece(dma);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		ob_device_close(dev);
	}
}

/* ---- the device reaches it ----------------------------------------------------------------------- */

/* 2 MiB pages are put together: a transfer over the seam is right only if they are neighbours. */
static void the_device_reaches_it_across_pages(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=4M");
	struct ob_dma *dma = ob_device_dma(dev);
	uint64_t seams[] = {4096, 0x200000};
	struct ob_error err = {0};

	assert_int_equal(ob_dma_set_mask(dma, EDU_DMA_BITS, &err), 0);
	assert_one_piece(dma);
	for (unsigned int i = 0; i < 2; i++) {
		char *p = dma->base + seams[i] - 2048;

		for (unsigned int k = 0; k < 4096; k++)
			p[k] = (char)(k * 7 + i);
		edu_dma(dev, ob_dma_iova(dma, p).addr, 4095, false);
		memset(p, 0, 4096);
		edu_dma(dev, ob_dma_iova(dma, p).addr, 4095, true);
		for (unsigned int k = 0; k < 4095; k++)
			assert_int_equal(p[k], (char)(k * 7 + i));
		assert_int_equal(p[4095], 0);
	}
	ob_device_close(dev);
}

static void other_memory_is_bounced(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=1M");
	struct ob_dma *dma = ob_device_dma(dev);
	struct ob_dma_mapping map;
	struct ob_dma_stats stats;
	struct ob_error err = {0};
	char out[3000], in[3000];

	assert_int_equal(ob_dma_set_mask(dma, EDU_DMA_BITS, &err), 0);
	for (unsigned int i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 13);
	assert_int_equal(ob_dma_map(dma, out, sizeof(out), OB_DMA_TO_DEVICE, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_BOUNCE);
	edu_dma(dev, map.iova.addr, sizeof(out), false);
	assert_int_equal(ob_dma_unmap(&map), 0);
	memset(in, 0, sizeof(in));
	assert_int_equal(ob_dma_map(dma, in, sizeof(in), OB_DMA_FROM_DEVICE, &map), 0);
	edu_dma(dev, map.iova.addr, sizeof(in), true);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_memory_equal(in, out, sizeof(in));
	ob_dma_stats(dma, &stats);
	assert_int_equal(stats.iommu_maps, 0);
	assert_int_equal(stats.ways[OB_DMA_WAY_BOUNCE], 2);
	ob_device_close(dev);
}

static void the_mask_moves_the_arena_or_says_that_it_cannot(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=1M");
	struct ob_dma *dma = ob_device_dma(dev);
	struct ob_error err = {0};
	char text[2048];
	void *p;

	/* Wherever it was, memory below 512 MiB is there in this machine of 1 GiB. */
	assert_int_equal(ob_dma_set_mask(dma, 29, &err), 0);
	assert_true(dma->iova + dma->size <= 1u << 29);
	assert_one_piece(dma);
	p = ob_dma_alloc(dma, 4096, 4096, "test", NULL);
	assert_non_null(p);
	memset(p, 0x5a, 4096);
	/* Not any more while something lies in it; nor below what processes are given. */
	assert_int_equal(ob_dma_set_mask(dma, 16, &err), -EIO);
	ob_dma_free(dma, p);
	assert_int_equal(ob_dma_set_mask(dma, 16, &err), -EIO);
	assert_non_null(strstr(ob_error_text(&err, text, sizeof(text)), "IOMMU"));
	/* What it has is as good as before. */
	assert_one_piece(dma);
	p = ob_dma_alloc(dma, 4096, 4096, "test", NULL);
	assert_non_null(p);
	ob_dma_free(dma, p);
	ob_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_arena_is_one_piece_from_whatever_pages),
		cmocka_unit_test(reserved_pages_are_used_and_given_back),
		cmocka_unit_test(an_arena_that_cannot_be_had_says_what_to_do),
		cmocka_unit_test(compaction_does_not_move_it),
		cmocka_unit_test(a_child_does_not_take_it_away),
		cmocka_unit_test(the_device_reaches_it_across_pages),
		cmocka_unit_test(other_memory_is_bounced),
		cmocka_unit_test(the_mask_moves_the_arena_or_says_that_it_cannot),
	};

	setenv("OUTBOARD_LOG", "error", 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
