/* SPDX-License-Identifier: BSD-2-Clause */
/* Streaming mappings: the ways, the cache, bounce buffers, and page rights against a naive model. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "access/dma.h"
#include "tests/dma/fake.h"

#define MiB (1ul << 20)

static struct ob_dma_stats stats_of(struct fake *f)
{
	struct ob_dma_stats stats;

	ob_dma_stats(f->dev.dma, &stats);
	return stats;
}

static void allow(struct fake *f, size_t size)
{
	f->allowed = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->allowed != MAP_FAILED);
	f->allowed_size = size;
}

static void arena_memory_is_a_subtraction(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	unsigned int maps = f->maps;

	assert_int_equal(ob_dma_map(dma, dma->base + 77, MiB - 77, OB_DMA_TO_DEVICE, &map), 0);
	assert_true(map.iova.addr == dma->iova + 77 && map.len == MiB - 77);
	assert_int_equal(map.way, OB_DMA_WAY_ARENA);
	assert_int_equal(stats_of(f).mapped, 1);
	assert_int_equal(ob_dma_sync_for_device(&map, 0, MiB - 77), 0);
	assert_int_equal(ob_dma_sync_for_device(&map, 1, MiB - 77), -EINVAL);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(stats_of(f).mapped, 0);
	assert_int_equal(stats_of(f).ways[OB_DMA_WAY_ARENA], 1);
	assert_int_equal(f->maps, maps);
	/* A second unmap is an error even without the debug mode. */
	assert_int_equal(ob_dma_unmap(&map), -EINVAL);
	fake_close(f);
}

static void impossible_requests_are_refused(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map = {0};
	char buf[16];

	assert_int_equal(ob_dma_map(dma, dma->base, 0, OB_DMA_BOTH, &map), -EINVAL);
	assert_int_equal(ob_dma_map(dma, buf, 0, OB_DMA_BOTH, &map), -EINVAL);
	assert_int_equal(ob_dma_map(dma, buf, (1ul << 31) + 1, OB_DMA_BOTH, &map), -EINVAL);
	assert_int_equal(ob_dma_map(dma, dma->base, 1, (enum ob_dma_dir)0, &map), -EINVAL);
	assert_int_equal(ob_dma_map(dma, dma->base, 1, (enum ob_dma_dir)4, &map), -EINVAL);
	assert_int_equal(ob_dma_map(dma, NULL, 1, OB_DMA_BOTH, &map), -EINVAL);
	assert_int_equal(ob_dma_map(dma, (void *)-4096l, 8192, OB_DMA_BOTH, &map), -EINVAL);
	assert_int_equal(ob_dma_unmap(&map), -EINVAL);
	assert_int_equal(ob_dma_sync_for_cpu(&map, 0, 0), -EINVAL);
	assert_int_equal(stats_of(f).mapped, 0);
	fake_close(f);
}

static void bounce_copies_in_the_direction_of_the_map(void **state)
{
	static const enum ob_dma_policy policies[] = {OB_DMA_POOLED, OB_DMA_STRICT, OB_DMA_LAZY};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct fake *f = fake_open(policies[i], MiB, true);
		struct ob_dma *dma = f->dev.dma;
		struct ob_dma_mapping map;
		char buf[10000], seen[10000];

		memset(buf, 'a', sizeof(buf));
		assert_int_equal(ob_dma_map(dma, buf, sizeof(buf), OB_DMA_TO_DEVICE, &map), 0);
		assert_int_equal(map.way, OB_DMA_WAY_BOUNCE);
		assert_int_equal(map.iova.addr % FAKE_PAGE, 0);
		assert_int_equal(fake_device_read(f, map.iova, seen, sizeof(seen)), 0);
		assert_memory_equal(seen, buf, sizeof(buf));
		/* Only the part that is synced changes for the device. */
		memset(buf, 'b', sizeof(buf));
		assert_int_equal(ob_dma_sync_for_device(&map, 100, 50), 0);
		assert_int_equal(fake_device_read(f, map.iova, seen, sizeof(seen)), 0);
		assert_int_equal(seen[99], 'a');
		assert_int_equal(seen[100], 'b');
		assert_int_equal(seen[149], 'b');
		assert_int_equal(seen[150], 'a');
		assert_int_equal(ob_dma_unmap(&map), 0);
		assert_int_equal(buf[0], 'b');

		/* The device writes less than the buffer: what it leaves reads zero, not old data. */
		assert_int_equal(ob_dma_map(dma, buf, sizeof(buf), OB_DMA_FROM_DEVICE, &map), 0);
		assert_int_equal(fake_device_write(f, map.iova, "device", 6), 0);
		assert_int_equal(buf[0], 'b');
		assert_int_equal(ob_dma_sync_for_cpu(&map, 0, 3), 0);
		assert_memory_equal(buf, "devbbb", 6);
		assert_int_equal(ob_dma_unmap(&map), 0);
		assert_memory_equal(buf, "device\0\0", 8);
		assert_int_equal(buf[sizeof(buf) - 1], 0);

		assert_int_equal(ob_dma_map(dma, buf, 64, OB_DMA_BOTH, &map), 0);
		assert_int_equal(fake_device_read(f, map.iova, seen, 64), 0);
		assert_memory_equal(seen, "device", 6);
		assert_int_equal(fake_device_write(f, ob_iova_add(map.iova, 2), "XX", 2), 0);
		assert_int_equal(ob_dma_unmap(&map), 0);
		assert_memory_equal(buf, "deXXce", 6);

		assert_int_equal(stats_of(f).ways[OB_DMA_WAY_BOUNCE], 3);
		assert_int_equal(stats_of(f).bounced, 10000 + 50 + 10000 + 3 + 64 + 64);
		assert_int_equal(stats_of(f).mapped, 0);
		fake_close(f);
	}
}

static void bounce_buffers_are_reused_and_make_room_when_the_arena_is_full(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map, held;
	char *big = malloc(2 * MiB);
	ob_iova first;
	void *all;

	assert_non_null(big);
	assert_int_equal(ob_dma_map(dma, big, 5000, OB_DMA_TO_DEVICE, &map), 0);
	first = map.iova;
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_map(dma, big, 8192, OB_DMA_TO_DEVICE, &map), 0);
	assert_true(map.iova.addr == first.addr);
	assert_int_equal(ob_dma_unmap(&map), 0);

	/* The free buffer stands in the way of all of the arena, and goes. */
	all = ob_dma_alloc(dma, MiB, 1, "all", NULL);
	assert_non_null(all);
	assert_int_equal(ob_dma_map(dma, big, 1, OB_DMA_TO_DEVICE, &map), -ENOSPC);
	ob_dma_free(dma, all);

	/* As long as the arena, and not only a power of two. */
	assert_int_equal(ob_dma_map(dma, big, MiB, OB_DMA_FROM_DEVICE, &map), 0);
	assert_int_equal(ob_dma_map(dma, big, 1, OB_DMA_TO_DEVICE, &held), -ENOSPC);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_map(dma, big, MiB + 1, OB_DMA_FROM_DEVICE, &map), -E2BIG);
	assert_int_equal(stats_of(f).mapped, 0);
	free(big);
	fake_close(f);
}

static void mappings_of_other_memory_are_cached(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping a, b;
	unsigned int maps;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed + 4000, 200, OB_DMA_BOTH, &a), 0);
	assert_int_equal(a.way, OB_DMA_WAY_MAPPED);
	assert_int_equal(a.iova.addr % FAKE_PAGE, 4000);
	assert_int_equal(fake_device_write(f, a.iova, "across a page", 13), 0);
	assert_memory_equal(f->allowed + 4000, "across a page", 13);
	maps = f->maps;

	/* The same pages again, in use and idle, also for less. */
	assert_int_equal(ob_dma_map(dma, f->allowed + 4090, 7, OB_DMA_TO_DEVICE, &b), 0);
	assert_int_equal(b.way, OB_DMA_WAY_CACHED);
	assert_true(b.iova.addr == a.iova.addr + 90);
	assert_int_equal(ob_dma_unmap(&a), 0);
	assert_int_equal(fake_prot(f, b.iova.addr), OB_DMA_READ | OB_DMA_WRITE);
	assert_int_equal(ob_dma_unmap(&b), 0);
	assert_int_equal(ob_dma_map(dma, f->allowed + 4000, 200, OB_DMA_BOTH, &a), 0);
	assert_int_equal(a.way, OB_DMA_WAY_CACHED);
	assert_int_equal(ob_dma_unmap(&a), 0);
	assert_int_equal(f->maps, maps);
	assert_int_equal(f->unmaps, 0);
	assert_int_equal(stats_of(f).ways[OB_DMA_WAY_MAPPED], 1);
	assert_int_equal(stats_of(f).ways[OB_DMA_WAY_CACHED], 2);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void other_rights_to_the_same_pages_get_a_mapping_of_their_own(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping read, write;
	char c;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_TO_DEVICE, &read), 0);
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_FROM_DEVICE, &write), 0);
	assert_true(read.iova.addr != write.iova.addr);
	assert_int_equal(fake_device_read(f, read.iova, &c, 1), 0);
	assert_int_equal(fake_device_write(f, read.iova, "x", 1), -EFAULT);
	assert_int_equal(fake_device_write(f, write.iova, "x", 1), 0);
	assert_int_equal(fake_device_read(f, write.iova, &c, 1), -EFAULT);
	assert_int_equal(ob_dma_unmap(&read), 0);
	assert_int_equal(ob_dma_unmap(&write), 0);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void strict_keeps_no_mapping_of_other_memory(void **state)
{
	struct fake *f = fake_open(OB_DMA_STRICT, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping a, b;
	ob_iova iova;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_BOTH, &a), 0);
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_TO_DEVICE, &b), 0);
	/* Not the mapping with more rights. */
	assert_int_equal(fake_device_write(f, b.iova, "x", 1), -EFAULT);
	iova = a.iova;
	assert_int_equal(ob_dma_unmap(&a), 0);
	assert_int_equal(ob_dma_unmap(&b), 0);
	assert_int_equal(fake_device_write(f, iova, "x", 1), -EFAULT);
	assert_int_equal(f->mapped, 0);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void the_cache_evicts_the_oldest_unused_mapping(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct dma_space *s = dma_space(f->dev.dma);
	struct ob_dma_mapping held, map;
	unsigned int i;

	allow(f, MiB);
	s->max_idle_outside = 8;
	assert_int_equal(ob_dma_map(&s->dma, f->allowed, 1, OB_DMA_BOTH, &held), 0);
	for (i = 1; i <= 9; i++) {
		assert_int_equal(
			ob_dma_map(&s->dma, f->allowed + i * FAKE_PAGE, 1, OB_DMA_BOTH, &map), 0);
		assert_int_equal(ob_dma_unmap(&map), 0);
	}
	/* 9 idle: down to 6, the three oldest went; what is in use is no candidate. */
	assert_int_equal(s->idle_outside, 6);
	assert_int_equal(f->unmaps, 3);
	assert_int_not_equal(fake_prot(f, held.iova.addr), 0);
	assert_int_equal(ob_dma_map(&s->dma, f->allowed + 4 * FAKE_PAGE, 1, OB_DMA_BOTH, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_CACHED);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_map(&s->dma, f->allowed + 3 * FAKE_PAGE, 1, OB_DMA_BOTH, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_MAPPED);
	assert_int_equal(ob_dma_unmap(&map), 0);

	/* The limit in pages. */
	s->max_idle_outside_pages = 16;
	assert_int_equal(ob_dma_map(&s->dma, f->allowed, 12 * FAKE_PAGE, OB_DMA_BOTH, &map), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_true(s->idle_outside_pages <= 16 && s->idle_outside_pages >= 12);
	assert_int_equal(ob_dma_unmap(&held), 0);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void a_full_backend_makes_the_cache_give_way_then_bounces(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed, 1, OB_DMA_BOTH, &map), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	f->fail_map = -ENOSPC;
	assert_int_equal(ob_dma_map(dma, f->allowed + 8192, 1, OB_DMA_BOTH, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_BOUNCE);
	assert_int_equal(f->unmaps, 1);
	assert_int_equal(ob_dma_unmap(&map), 0);
	f->fail_map = -ENODEV;
	assert_int_equal(ob_dma_map(dma, f->allowed + 8192, 1, OB_DMA_BOTH, &map), -ENODEV);
	assert_int_equal(stats_of(f).mapped, 0);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void refused_memory_is_not_asked_for_each_time(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	unsigned int maps = f->maps, i;
	char *buf;

	allow(f, MiB);
	buf = f->allowed;
	f->allowed = NULL;
	for (i = 0; i < 100; i++) {
		assert_int_equal(ob_dma_map(dma, buf, 64, OB_DMA_TO_DEVICE, &map), 0);
		assert_int_equal(map.way, OB_DMA_WAY_BOUNCE);
		assert_int_equal(ob_dma_unmap(&map), 0);
	}
	assert_int_equal(f->maps, maps + 1);
	/* It becomes possible; that is noticed some time later. */
	f->allowed = buf;
	for (i = 0; i < 2000; i++) {
		assert_int_equal(ob_dma_map(dma, buf, 64, OB_DMA_TO_DEVICE, &map), 0);
		assert_int_equal(ob_dma_unmap(&map), 0);
	}
	assert_int_equal(map.way, OB_DMA_WAY_CACHED);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void forget_drops_what_is_unused_and_refuses_what_is_not(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	ob_iova iova;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed + 8192, 4096, OB_DMA_BOTH, &map), 0);
	iova = map.iova;
	assert_int_equal(ob_dma_forget(dma, f->allowed + 9000, 10), -EBUSY);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(ob_dma_forget(dma, f->allowed, 8192), 0);
	assert_int_not_equal(fake_prot(f, iova.addr), 0);
	assert_int_equal(ob_dma_forget(dma, f->allowed, MiB), 0);
	assert_int_equal(fake_prot(f, iova.addr), 0);
	assert_int_equal(ob_dma_forget(dma, f->allowed, 0), -EINVAL);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void the_mask_holds_for_mappings_of_other_memory(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map[8];
	struct ob_error err;
	unsigned int i, bounced = 0;

	allow(f, 16 * MiB);
	/* 22 bits are 4 MiB: less the arena (1 MiB) and page 0 there is room for five of 512 KiB. */
	assert_int_equal(ob_dma_set_mask(dma, 22, &err), 0);
	for (i = 0; i < 7; i++) {
		assert_int_equal(
			ob_dma_map(dma, f->allowed + i * MiB, MiB / 2, OB_DMA_BOTH, &map[i]), 0);
		assert_true(map[i].iova.addr > 0 && map[i].iova.addr + map[i].len <= 4 * MiB);
		bounced += map[i].way == OB_DMA_WAY_BOUNCE;
		assert_int_equal(fake_device_write(f, map[i].iova, "x", 1), 0);
	}
	assert_int_equal(bounced, 2);
	/* The arena is full of bounce buffers now. It can be tried again after an unmap. */
	assert_int_equal(ob_dma_map(dma, f->allowed + 7 * MiB, MiB / 2, OB_DMA_BOTH, &map[7]),
			 -ENOSPC);
	assert_int_equal(ob_dma_unmap(&map[0]), 0);
	assert_int_equal(ob_dma_map(dma, f->allowed + 7 * MiB, MiB / 2, OB_DMA_BOTH, &map[0]), 0);
	for (i = 0; i < 7; i++) {
		assert_int_equal(ob_dma_unmap(&map[i]), 0);
		if (i)
			assert_int_equal(f->allowed[i * MiB], 'x');
	}
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void a_mask_below_a_live_mapping_is_refused(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map[2];
	struct ob_error err;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_BOTH, &map[0]), 0);
	assert_int_equal(ob_dma_set_mask(dma, 32, &err), -EIO);
	assert_non_null(strstr(err.why, "1 mappings"));
	assert_int_equal(ob_dma_unmap(&map[0]), 0);
	assert_int_equal(ob_dma_set_mask(dma, 32, &err), 0);
	/* The idle mapping is gone with the mask, a fresh one lies below it. */
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_BOTH, &map[0]), 0);
	assert_int_equal(map[0].way, OB_DMA_WAY_MAPPED);
	assert_true(map[0].iova.addr < 1ull << 32);
	assert_int_equal(ob_dma_unmap(&map[0]), 0);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void an_iova_that_cannot_be_unmapped_is_never_given_out_again(void **state)
{
	struct fake *f = fake_open(OB_DMA_STRICT, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	ob_iova broken;
	unsigned int i;

	allow(f, MiB);
	assert_int_equal(ob_dma_map(dma, f->allowed, 4096, OB_DMA_BOTH, &map), 0);
	broken = map.iova;
	f->fail_unmap = -EIO;
	assert_int_equal(ob_dma_unmap(&map), -EIO);
	f->fail_unmap = 0;
	assert_non_null(strstr(f->log, "cannot unmap iova"));
	for (i = 0; i < 64; i++) {
		assert_int_equal(
			ob_dma_map(dma, f->allowed + i * FAKE_PAGE, 4096, OB_DMA_BOTH, &map), 0);
		assert_true(map.iova.addr != broken.addr);
		assert_int_equal(ob_dma_unmap(&map), 0);
	}
	assert_int_equal(f->dev.ops->dma_unmap(&f->dev, broken.addr, 4096), 0);
	munmap(f->allowed, f->allowed_size);
	fake_close(f);
}

static void a_failed_map_in_strict_mode_changes_nothing(void **state)
{
	struct fake *f = fake_open(OB_DMA_STRICT, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping held, map;
	struct iovec iov[3];
	char buf[64];
	unsigned int i;

	assert_int_equal(ob_dma_map(dma, dma->base, 8192, OB_DMA_TO_DEVICE, &held), 0);
	f->fail_map = -EIO;
	assert_int_equal(ob_dma_map(dma, dma->base + 4096, 8192, OB_DMA_FROM_DEVICE, &map), -EIO);
	assert_int_equal(ob_dma_map(dma, buf, sizeof(buf), OB_DMA_TO_DEVICE, &map), -EIO);
	assert_null(ob_dma_alloc(dma, 64, 1, "a", NULL));
	f->fail_map = 0;
	assert_int_equal(f->mapped, 2);
	assert_int_equal(fake_prot(f, held.iova.addr), OB_DMA_READ);
	assert_int_equal(stats_of(f).allocated, 0);

	/* Scatter-gather: the third piece cannot be, so the first two are given back. */
	for (i = 0; i < 3; i++)
		iov[i] = (struct iovec){dma->base + 0x10000 + i * 8192, 4096};
	iov[2].iov_len = 0;
	{
		struct ob_dma_mapping maps[3];

		assert_int_equal(ob_dma_map_sg(dma, iov, 3, OB_DMA_BOTH, maps), -EINVAL);
		assert_int_equal(f->mapped, 2);
		iov[2].iov_len = 4096;
		assert_int_equal(ob_dma_map_sg(dma, iov, 3, OB_DMA_BOTH, maps), 0);
		assert_int_equal(f->mapped, 5);
		assert_int_equal(maps[2].seg, 2);
		ob_dma_unmap_sg(maps, 3);
	}
	assert_int_equal(f->mapped, 2);
	assert_int_equal(ob_dma_unmap(&held), 0);
	assert_int_equal(f->mapped, 0);
	fake_close(f);
}

/*
 * Many mappings that share pages, in all directions: after each step every page has exactly the union of
 * the rights of its users (lazy: at least that, and nothing beyond what the cache may hold).
 */
static void page_rights_agree_with_a_naive_model(void **state)
{
	enum {
		PAGES = 64,
		LIVE = 40,
		STEPS = 6000
	};
	static const enum ob_dma_policy policies[] = {OB_DMA_STRICT, OB_DMA_LAZY};
	unsigned int round;

	for (round = 0; round < 4; round++) {
		enum ob_dma_policy policy = policies[round % 2];
		struct fake *f = fake_open(policy, PAGES * FAKE_PAGE, true);
		struct dma_space *s = dma_space(f->dev.dma);
		struct ob_dma_mapping live[LIVE] = {0};
		uint64_t rnd = 2463534242u + round;
		unsigned int step, i, p;

		s->max_idle_pages = 16;
		for (step = 0; step < STEPS; step++) {
			i = fake_random(&rnd) % LIVE;
			if (live[i].dir) {
				assert_int_equal(ob_dma_unmap(&live[i]), 0);
				assert_int_equal(live[i].dir, 0);
			} else {
				size_t off = fake_random(&rnd) % (PAGES * FAKE_PAGE);
				size_t len = 1 + fake_random(&rnd) % (4 * FAKE_PAGE);

				if (len > PAGES * FAKE_PAGE - off)
					len = PAGES * FAKE_PAGE - off;
				/* Now and then the backend fails; then nothing may have changed. */
				f->fail_map = fake_random(&rnd) % 8 ? 0 : -EIO;
				if (ob_dma_map(&s->dma, s->dma.base + off, len,
					       (enum ob_dma_dir)(1 + fake_random(&rnd) % 3),
					       &live[i]))
					assert_int_equal(live[i].dir, 0);
				f->fail_map = 0;
			}
			for (p = 0; p < PAGES; p++) {
				uint64_t iova = s->dma.iova + p * FAKE_PAGE;
				unsigned int want = 0, have = fake_prot(f, iova);

				for (i = 0; i < LIVE; i++) {
					if (live[i].dir && live[i].iova.addr < iova + FAKE_PAGE &&
					    live[i].iova.addr + live[i].len > iova)
						want |= live[i].dir;
				}
				if (policy == OB_DMA_STRICT)
					assert_int_equal(have, want);
				else
					assert_int_equal(have & want, want);
				assert_int_equal(have, s->page[p].mapped);
			}
			assert_true(s->idle_pages <= 16);
		}
		for (i = 0; i < LIVE; i++) {
			if (live[i].dir)
				assert_int_equal(ob_dma_unmap(&live[i]), 0);
		}
		for (p = 0; p < PAGES; p++)
			assert_true(!s->page[p].readers && !s->page[p].writers);
		assert_true(f->mapped <= (policy == OB_DMA_STRICT ? 0 : 16));
		fake_close(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_memory_is_a_subtraction),
		cmocka_unit_test(impossible_requests_are_refused),
		cmocka_unit_test(bounce_copies_in_the_direction_of_the_map),
		cmocka_unit_test(bounce_buffers_are_reused_and_make_room_when_the_arena_is_full),
		cmocka_unit_test(mappings_of_other_memory_are_cached),
		cmocka_unit_test(other_rights_to_the_same_pages_get_a_mapping_of_their_own),
		cmocka_unit_test(strict_keeps_no_mapping_of_other_memory),
		cmocka_unit_test(the_cache_evicts_the_oldest_unused_mapping),
		cmocka_unit_test(a_full_backend_makes_the_cache_give_way_then_bounces),
		cmocka_unit_test(refused_memory_is_not_asked_for_each_time),
		cmocka_unit_test(forget_drops_what_is_unused_and_refuses_what_is_not),
		cmocka_unit_test(the_mask_holds_for_mappings_of_other_memory),
		cmocka_unit_test(a_mask_below_a_live_mapping_is_refused),
		cmocka_unit_test(an_iova_that_cannot_be_unmapped_is_never_given_out_again),
		cmocka_unit_test(a_failed_map_in_strict_mode_changes_nothing),
		cmocka_unit_test(page_rights_agree_with_a_naive_model),
	};

	unsetenv("OUTBOARD_DMA_DEBUG"); /* the tests say themselves when they want it */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
