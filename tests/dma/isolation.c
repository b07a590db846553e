/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the policies promise, held against a real device behind the emulated IOMMU: edu does DMA when and
 * where its driver should not. Registers: QEMU docs/specs/edu. One transfer takes 100 ms of its clock.
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

#include "access/dma.h"

enum {
	EDU_SRC = 0x80,
	EDU_DST = 0x88,
	EDU_COUNT = 0x90,
	EDU_CMD = 0x98,
	EDU_RUN = 1,
	EDU_TO_RAM = 2,
	EDU_BUFFER = 0x40000,
	LEN = 64,
	PAGE = 4096,
};

struct edu {
	struct ob_device *dev;
	struct ob_bar *bar;
	struct ob_dma *dma;
};

static void open_edus(const char *const *specs, unsigned int n, struct edu *edu)
{
	struct ob_device *dev[2];
	struct ob_error err = {0};
	char text[2048];
	unsigned int i;

	if (ob_devices_open(specs, n, dev, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	for (i = 0; i < n; i++) {
		edu[i].dev = dev[i];
		edu[i].bar = ob_device_bar(dev[i], 0);
		edu[i].dma = ob_device_dma(dev[i]);
		assert_non_null(edu[i].bar);
	}
}

static void open_edu(const char *spec, struct edu *edu)
{
	open_edus(&spec, 1, edu);
}

static void transfer(struct edu *e, ob_iova iova, bool to_ram)
{
	struct timespec start, now;

	ob_write64(e->bar, EDU_SRC, to_ram ? EDU_BUFFER : iova.addr);
	ob_write64(e->bar, EDU_DST, to_ram ? iova.addr : EDU_BUFFER);
	ob_write64(e->bar, EDU_COUNT, LEN);
	ob_write64(e->bar, EDU_CMD, EDU_RUN | (to_ram ? EDU_TO_RAM : 0));
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (ob_read64(e->bar, EDU_CMD) & EDU_RUN) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > 60)
			fail_msg("edu does not end its transfer");
		usleep(5000);
	}
	assert_false(ob_device_gone(e->dev));
}

/* Fill edu's own buffer with @c, through a mapping of memory that it may read. */
static void fill_edu(struct edu *e, void *mem, char c)
{
	struct ob_dma_mapping map;

	memset(mem, c, LEN);
	assert_int_equal(ob_dma_map(e->dma, mem, LEN, OB_DMA_TO_DEVICE, &map), 0);
	transfer(e, map.iova, false);
	assert_int_equal(ob_dma_unmap(&map), 0);
}

static bool all(const char *p, char c)
{
	unsigned int i;

	for (i = 0; i < LEN; i++) {
		if (p[i] != c)
			return false;
	}
	return true;
}

static void expect_fault(struct edu *e, ob_iova iova, bool write)
{
	struct ob_fault fault[4];

	assert_int_equal(ob_device_faults(e->dev, fault, 4), 1);
	assert_true(fault[0].iova == (iova.addr & -(uint64_t)PAGE));
	assert_int_equal(fault[0].write, write);
	assert_non_null(strstr(fault[0].text, "qemu:edu"));
}

static void expect_no_fault(struct edu *e)
{
	struct ob_fault fault;

	assert_int_equal(ob_device_faults(e->dev, &fault, 1), 0);
}

static void strict_opens_a_page_from_map_to_unmap_only(void **state)
{
	struct ob_dma_mapping map;
	struct edu e;
	ob_iova iova;
	char *page;

	open_edu("qemu:edu,dma=strict,arena=16M", &e);
	page = e.dma->base + 5 * PAGE;
	iova = ob_dma_iova(e.dma, page);
	fill_edu(&e, e.dma->base, 'E');
	expect_no_fault(&e);

	memset(page, '.', PAGE);
	transfer(&e, iova, true);
	assert_true(all(page, '.'));
	expect_fault(&e, iova, true);

	assert_int_equal(ob_dma_map(e.dma, page, LEN, OB_DMA_FROM_DEVICE, &map), 0);
	assert_true(map.iova.addr == iova.addr);
	transfer(&e, iova, true);
	assert_true(all(page, 'E'));
	expect_no_fault(&e);

	/* The translation is in the IOTLB now: unmap must flush it. */
	assert_int_equal(ob_dma_unmap(&map), 0);
	memset(page, '.', PAGE);
	transfer(&e, iova, true);
	assert_true(all(page, '.'));
	expect_fault(&e, iova, true);
	ob_device_close(e.dev);
}

static void strict_gives_only_the_direction_of_the_map(void **state)
{
	struct ob_dma_mapping read, write;
	struct edu e;
	char *page, *other;

	open_edu("qemu:edu,dma=strict,arena=16M", &e);
	page = e.dma->base + 5 * PAGE;
	other = e.dma->base + 9 * PAGE;
	fill_edu(&e, e.dma->base, 'E');

	memset(page, '.', PAGE);
	assert_int_equal(ob_dma_map(e.dma, page, LEN, OB_DMA_TO_DEVICE, &read), 0);
	transfer(&e, read.iova, true);
	assert_true(all(page, '.'));
	expect_fault(&e, read.iova, true);

	memset(other, 's', PAGE); /* a secret */
	assert_int_equal(ob_dma_map(e.dma, other, LEN, OB_DMA_FROM_DEVICE, &write), 0);
	transfer(&e, write.iova, false);
	expect_fault(&e, write.iova, false);
	assert_int_equal(ob_dma_unmap(&write), 0);

	/* Another mapping adds its right to the page, and takes it away again. */
	assert_int_equal(ob_dma_map(e.dma, page + 1024, LEN, OB_DMA_FROM_DEVICE, &write), 0);
	transfer(&e, write.iova, true);
	assert_false(all(page + 1024, 's'));
	expect_no_fault(&e);
	assert_int_equal(ob_dma_unmap(&write), 0);
	memset(page + 1024, '.', LEN);
	transfer(&e, write.iova, true);
	assert_true(all(page + 1024, '.'));
	/* The first mapping still serves. */
	memset(page, 'R', LEN);
	assert_int_equal(ob_dma_sync_for_device(&read, 0, LEN), 0);
	transfer(&e, read.iova, false);
	assert_int_equal(ob_dma_unmap(&read), 0);
	assert_int_equal(ob_dma_map(e.dma, other, LEN, OB_DMA_FROM_DEVICE, &write), 0);
	transfer(&e, write.iova, true);
	assert_true(all(other, 'R'));
	assert_int_equal(ob_dma_unmap(&write), 0);
	ob_device_close(e.dev);
}

static void lazy_closes_a_page_when_the_cache_evicts_it(void **state)
{
	struct ob_dma_mapping map;
	struct ob_dma_stats before, after;
	struct edu e;
	ob_iova iova;
	char *page;
	unsigned int i;

	open_edu("qemu:edu,dma=lazy,arena=16M", &e);
	dma_space(e.dma)->max_idle_pages = 32;
	page = e.dma->base + 5 * PAGE;
	iova = ob_dma_iova(e.dma, page);
	fill_edu(&e, e.dma->base, 'E');

	assert_int_equal(ob_dma_map(e.dma, page, LEN, OB_DMA_FROM_DEVICE, &map), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	ob_dma_stats(e.dma, &before);
	assert_int_equal(ob_dma_map(e.dma, page, LEN, OB_DMA_FROM_DEVICE, &map), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	ob_dma_stats(e.dma, &after);
	assert_int_equal(after.iommu_maps, before.iommu_maps);
	/* That is what lazy means: it is still open. */
	memset(page, '.', PAGE);
	transfer(&e, iova, true);
	assert_true(all(page, 'E'));

	for (i = 16; i < 16 + 33; i++) {
		assert_int_equal(ob_dma_map(e.dma, e.dma->base + i * PAGE, 1, OB_DMA_BOTH, &map),
				 0);
		assert_int_equal(ob_dma_unmap(&map), 0);
	}
	memset(page, '.', PAGE);
	transfer(&e, iova, true);
	assert_true(all(page, '.'));
	expect_fault(&e, iova, true);
	ob_device_close(e.dev);
}

static void consistent_memory_is_closed_when_it_is_freed(void **state)
{
	struct edu e;
	ob_iova iova;
	char *ring;

	open_edu("qemu:edu,dma=strict,arena=16M", &e);
	fill_edu(&e, e.dma->base + (8 << 20), 'E');
	ring = ob_dma_alloc(e.dma, PAGE, 1, "ring", &iova);
	assert_non_null(ring);
	transfer(&e, iova, true);
	assert_true(all(ring, 'E'));
	ob_dma_free(e.dma, ring);
	memset(ring, '.', LEN);
	transfer(&e, iova, true);
	assert_true(all(ring, '.'));
	expect_fault(&e, iova, true);
	ob_device_close(e.dev);
}

/* edu cuts addresses to 28 bits: an arena beyond is moved, before its first use. */
static void the_mask_of_28_bits_moves_a_large_arena(void **state)
{
	struct ob_error err = {0};
	struct edu e;
	ob_iova iova;
	char *p;

	open_edu("qemu:edu,arena=96M", &e);
	assert_true(e.dma->iova + e.dma->size > 1ull << 28);
	assert_int_equal(ob_dma_set_mask(e.dma, 28, &err), 0);
	assert_true(e.dma->iova + e.dma->size <= 1ull << 28);
	fill_edu(&e, e.dma->base + (64ull << 20), 'E');
	p = ob_dma_alloc(e.dma, PAGE, PAGE, "a", &iova);
	assert_non_null(p);
	transfer(&e, iova, true);
	assert_true(all(p, 'E'));
	expect_no_fault(&e);
	assert_int_equal(ob_dma_set_mask(e.dma, 24, &err), -EIO);
	ob_dma_free(e.dma, p);
	ob_device_close(e.dev);
}

static void memory_of_the_process_is_bounced(void **state)
{
	static const char *const specs[] = {"qemu:edu,arena=16M", "qemu:edu,arena=16M,dma=strict",
					    "qemu:edu,arena=16M,iommu=off"};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct ob_dma_mapping map;
		char *heap = malloc(100000);
		struct edu e;

		assert_non_null(heap);
		open_edu(specs[i], &e);
		fill_edu(&e, heap, 'H');
		memset(heap, '.', 100000);
		assert_int_equal(ob_dma_map(e.dma, heap + 50001, LEN, OB_DMA_FROM_DEVICE, &map), 0);
		assert_int_equal(map.way, OB_DMA_WAY_BOUNCE);
		transfer(&e, map.iova, true);
		assert_true(all(heap + 50001, '.'));
		assert_int_equal(ob_dma_unmap(&map), 0);
		assert_true(all(heap + 50001, 'H'));
		assert_int_equal(heap[50000], '.');
		assert_int_equal(heap[50001 + LEN], '.');
		free(heap);
		ob_device_close(e.dev);
	}
}

static void a_device_reaches_its_neighbours_arena_only_through_a_mapping(void **state)
{
	static const char *const specs[] = {"qemu:edu,vm=pair,arena=16M",
					    "qemu:edu,vm=pair,arena=16M"};
	struct ob_dma_mapping map;
	struct edu e[2];
	ob_iova iova;
	char *theirs;

	open_edus(specs, 2, e);
	theirs = e[1].dma->base + 7 * PAGE + 100;
	fill_edu(&e[0], e[0].dma->base, 'E');
	memset(theirs, '.', LEN);

	assert_int_equal(ob_dma_map(e[0].dma, theirs, LEN, OB_DMA_FROM_DEVICE, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_MAPPED);
	iova = map.iova;
	assert_false(iova.addr >= e[0].dma->iova && iova.addr < e[0].dma->iova + e[0].dma->size);
	transfer(&e[0], iova, true);
	assert_true(all(theirs, 'E'));
	assert_int_equal(ob_dma_unmap(&map), 0);

	assert_int_equal(ob_dma_map(e[0].dma, theirs, LEN, OB_DMA_FROM_DEVICE, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_CACHED);
	assert_int_equal(ob_dma_unmap(&map), 0);

	/* The neighbour has no such address, and after forget neither has the first. */
	memset(theirs, '.', LEN);
	transfer(&e[1], iova, true);
	assert_true(all(theirs, '.'));
	expect_fault(&e[1], iova, true);
	assert_int_equal(ob_dma_forget(e[0].dma, theirs, LEN), 0);
	transfer(&e[0], iova, true);
	assert_true(all(theirs, '.'));
	expect_fault(&e[0], iova, true);
	ob_device_close(e[0].dev);
	ob_device_close(e[1].dev);
}

/* What one device read the other can send: payload goes from disk to wire without a copy. */
static void a_disk_reads_straight_into_the_nics_arena(void **state)
{
	static const char *const policies[] = {"pooled", "strict", "lazy"};
	char path[] = "/tmp/outboard-dma-XXXXXX";
	char block[512], text[2][128];
	const char *specs[2] = {text[0], text[1]};
	int fd = mkstemp(path);
	unsigned int i, k;

	assert_true(fd >= 0);
	for (i = 0; i < 2048; i++) {
		memset(block, (int)(i % 251), sizeof(block));
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	for (k = 0; k < 3; k++) {
		struct ob_driver_config config = {.mode = OB_MODE_POLL};
		struct ob_dma_stats before, after;
		struct ob_binding *b;
		struct ob_device *dev[2];
		struct ob_error err = {0};
		ob_iova iova;
		char *buf;

		snprintf(text[0], sizeof(text[0]), "qemu:nvme,file=%s,vm=pair,arena=16M,dma=%s",
			 path, policies[k]);
		snprintf(text[1], sizeof(text[1]), "qemu:e1000e,vm=pair,arena=16M");
		if (ob_devices_open(specs, 2, dev, &err) ||
		    ob_driver_bind(dev[0], NULL, &config, &b, &err) ||
		    ob_block_start(b->block[0], &err))
			fail_msg("%s: %s", err.what, err.why);
		buf = ob_dma_alloc(ob_device_dma(dev[1]), 65536, PAGE, "frames", &iova);
		assert_non_null(buf);
		ob_dma_stats(ob_device_dma(dev[0]), &before);
		for (i = 0; i < 8; i++) {
			assert_int_equal(ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, i * 32768,
						     buf + 512, 32768),
					 0);
			for (unsigned int n = 0; n < 32768; n++)
				assert_int_equal((unsigned char)buf[512 + n],
						 (i * 64 + n / 512) % 251);
		}
		ob_dma_stats(ob_device_dma(dev[0]), &after);
		assert_int_equal(after.bounced, before.bounced);
		assert_int_equal(b->block[0]->bounced, 0);
		assert_true(after.ways[OB_DMA_WAY_MAPPED] > before.ways[OB_DMA_WAY_MAPPED]);
		assert_int_equal(after.ways[OB_DMA_WAY_CACHED] > before.ways[OB_DMA_WAY_CACHED],
				 k != 1);
		ob_block_stop(b->block[0]);
		ob_driver_unbind(b);
		ob_dma_free(ob_device_dma(dev[1]), buf);
		ob_device_close(dev[0]);
		ob_device_close(dev[1]);
	}
	close(fd);
	unlink(path);
}

static void log_to_text(void *arg, enum ob_log_level level, const char *line)
{
	char *text = arg;

	if (level == OB_LOG_ERROR)
		snprintf(text + strlen(text), 1024 - strlen(text), "%s\n", line);
}

static void the_debug_mode_catches_a_device_that_writes_after_unmap(void **state)
{
	struct ob_dma_mapping map;
	char heap[LEN], log[1024] = "";
	struct edu e;
	ob_iova iova;

	open_edu("qemu:edu,arena=16M", &e);
	ob_device_set_log(e.dev, log_to_text, log);
	assert_int_equal(ob_dma_debug(e.dma), 0);
	fill_edu(&e, heap, 'E');
	assert_int_equal(ob_dma_map_at(e.dma, heap, LEN, OB_DMA_FROM_DEVICE, &map, "rx.c:7"), 0);
	iova = map.iova;
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_debug_reports(e.dma), 0);
	/* Pooled: nothing stops it. */
	transfer(&e, iova, true);
	ob_device_close(e.dev);
	assert_non_null(strstr(log, "qemu:edu"));
	assert_non_null(strstr(log,
			       "the device wrote after unmap into a bounce buffer, at offset 0; "
			       "it was mapped at rx.c:7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_opens_a_page_from_map_to_unmap_only),
		cmocka_unit_test(strict_gives_only_the_direction_of_the_map),
		cmocka_unit_test(lazy_closes_a_page_when_the_cache_evicts_it),
		cmocka_unit_test(consistent_memory_is_closed_when_it_is_freed),
		cmocka_unit_test(the_mask_of_28_bits_moves_a_large_arena),
		cmocka_unit_test(memory_of_the_process_is_bounced),
		cmocka_unit_test(a_device_reaches_its_neighbours_arena_only_through_a_mapping),
		cmocka_unit_test(a_disk_reads_straight_into_the_nics_arena),
		cmocka_unit_test(the_debug_mode_catches_a_device_that_writes_after_unmap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
