/* SPDX-License-Identifier: BSD-2-Clause */
/* The arena: consistent memory, policies, DMA mask, creation. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/dma.h"
#include "tests/dma/fake.h"

#define MiB (1ul << 20)

static const enum ob_dma_policy policies[] = {OB_DMA_POOLED, OB_DMA_STRICT, OB_DMA_LAZY};

static bool is_zero(const char *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

static void memory_is_zeroed_aligned_and_where_its_iova_says(void **state)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct fake *f = fake_open(policies[i], MiB, true);
		struct ob_dma *dma = f->dev.dma;
		ob_iova iova;
		char *p, word[4];

		p = ob_dma_alloc(dma, 100, 1, "small", &iova);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 64, 0);
		assert_true(iova.addr == ob_dma_iova(dma, p).addr);
		memset(p, 0x55, 100);
		assert_int_equal(fake_device_read(f, iova, word, 4), 0);
		assert_memory_equal(word, "UUUU", 4);
		assert_int_equal(fake_device_write(f, iova, "abcd", 4), 0);
		assert_memory_equal(p, "abcd", 4);
		ob_dma_free(dma, p);

		p = ob_dma_alloc(dma, 5000, 16384, "large", NULL);
		assert_non_null(p);
		assert_int_equal((ob_dma_iova(dma, p).addr) % 16384, 0);
		assert_true(is_zero(p, 5000));
		ob_dma_free(dma, p);
		ob_dma_free(dma, NULL);
		fake_close(f);
	}
}

/* An IDE PRD table must not cross 64 KiB of bus addresses, wherever the arena lies. */
static void alignment_is_that_of_the_devices_address(void **state)
{
	static char memory[64 * 4096] __attribute__((aligned(4096)));
	static const struct ob_access_ops none = {.name = "none"};
	struct ob_device dev = {.ops = &none, .info.name = "test"};
	struct ob_dma_window w = {.base = memory, .size = sizeof(memory), .iova = 0x7000};
	ob_iova iova;

	assert_int_equal(ob_dma_create(&dev, &w, NULL), 0);
	assert_non_null(ob_dma_alloc(dev.dma, 4096, 65536, "prd", &iova));
	assert_true(iova.addr == 0x10000);
	ob_dma_destroy(&dev);
}

static void a_full_arena_gives_null_and_recovers(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	void *half[2];

	half[0] = ob_dma_alloc(dma, MiB / 2, 1, "a", NULL);
	half[1] = ob_dma_alloc(dma, MiB / 2, 1, "b", NULL);
	assert_non_null(half[0]);
	assert_non_null(half[1]);
	assert_null(ob_dma_alloc(dma, 1, 1, "c", NULL));
	ob_dma_free(dma, half[0]);
	ob_dma_free(dma, half[1]);
	half[0] = ob_dma_alloc(dma, MiB, 1, "all", NULL);
	assert_non_null(half[0]);
	assert_null(ob_dma_alloc(dma, MiB + 1, 1, "more than all", NULL));
	assert_null(ob_dma_alloc(dma, 0, 1, "nothing", NULL));
	assert_null(ob_dma_alloc(dma, 1, 3, "odd alignment", NULL));
	fake_close(f);
}

static void pooled_maps_the_arena_once(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	void *p;

	assert_int_equal(f->maps, 1);
	assert_int_equal(f->mapped, MiB / FAKE_PAGE);
	p = ob_dma_alloc(f->dev.dma, 4096, 1, "a", NULL);
	ob_dma_free(f->dev.dma, p);
	assert_int_equal(f->maps, 1);
	assert_int_equal(f->unmaps, 0);
	fake_close(f);
}

static void strict_maps_only_what_is_allocated(void **state)
{
	struct fake *f = fake_open(OB_DMA_STRICT, MiB, true);
	struct ob_dma *dma = f->dev.dma;
	ob_iova a_iova, b_iova;
	char *a, *b;

	assert_int_equal(f->mapped, 0);
	a = ob_dma_alloc(dma, 64, 1, "a", &a_iova);
	b = ob_dma_alloc(dma, 5000, 1, "b", &b_iova);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(f->mapped, 3);
	/* Neighbours do not share a page: freeing one takes nothing from the other. */
	assert_int_not_equal(a_iova.addr / FAKE_PAGE, b_iova.addr / FAKE_PAGE);
	ob_dma_free(dma, a);
	assert_int_equal(fake_device_write(f, a_iova, "x", 1), -EFAULT);
	assert_int_equal(fake_device_write(f, b_iova, "x", 1), 0);
	ob_dma_free(dma, b);
	assert_int_equal(f->mapped, 0);
	fake_close(f);
}

static void lazy_keeps_pages_until_the_limit_evicts_the_oldest(void **state)
{
	struct fake *f = fake_open(OB_DMA_LAZY, MiB, true);
	struct dma_space *s = dma_space(f->dev.dma);
	struct ob_dma_mapping map;
	char *base = s->dma.base;
	unsigned int i, maps;

	s->max_idle_pages = 16;
	for (i = 0; i < 16; i++) {
		assert_int_equal(
			ob_dma_map(&s->dma, base + i * FAKE_PAGE, FAKE_PAGE, OB_DMA_BOTH, &map), 0);
		assert_int_equal(ob_dma_unmap(&map), 0);
	}
	assert_int_equal(f->mapped, 16);
	assert_int_equal(f->unmaps, 0);

	/* A page that is still mapped costs no call. */
	maps = f->maps;
	assert_int_equal(ob_dma_map(&s->dma, base, FAKE_PAGE, OB_DMA_TO_DEVICE, &map), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(f->maps, maps);

	/* One more than the limit: a quarter goes, oldest first, in one call. Page 0 is young now. */
	assert_int_equal(ob_dma_map(&s->dma, base + 16 * FAKE_PAGE, 1, OB_DMA_BOTH, &map), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(f->mapped, 12);
	assert_int_equal(f->unmaps, 1);
	assert_int_not_equal(fake_prot(f, s->dma.iova), 0);
	for (i = 1; i <= 5; i++)
		assert_int_equal(fake_prot(f, s->dma.iova + i * FAKE_PAGE), 0);
	assert_int_not_equal(fake_prot(f, s->dma.iova + 6 * FAKE_PAGE), 0);
	fake_close(f);
}

static void without_an_iommu_nothing_is_mapped(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, false);
	struct ob_dma_mapping map;
	ob_iova iova;
	char *p = ob_dma_alloc(f->dev.dma, 64, 1, "a", &iova);

	assert_non_null(p);
	assert_true(iova.addr == 0x1000000 + (uint64_t)(p - f->arena));
	assert_int_equal(ob_dma_map(f->dev.dma, p, 64, OB_DMA_BOTH, &map), 0);
	assert_true(map.iova.addr == iova.addr);
	assert_int_equal(ob_dma_unmap(&map), 0);
	assert_int_equal(f->maps, 0);
	assert_int_equal(f->unmaps, 0);
	ob_dma_free(f->dev.dma, p);
	fake_close(f);
}

static int create(struct ob_dma_window *w, struct ob_error *err)
{
	static const struct ob_access_ops none = {.name = "none"};
	struct ob_device dev = {.ops = &none, .info.name = "test"};
	int ret = ob_dma_create(&dev, w, err);

	if (!ret)
		ob_dma_destroy(&dev);
	return ret;
}

static void windows_that_cannot_be_are_refused_with_the_reason(void **state)
{
	static char memory[8192] __attribute__((aligned(4096)));
	struct ob_dma_window w = {.base = memory, .size = sizeof(memory), .iova = 0x10000};
	struct ob_error err;

	assert_int_equal(create(&w, &err), 0);
	w.size = 100;
	assert_int_equal(create(&w, &err), -EINVAL);
	w.size = sizeof(memory);
	w.policy = OB_DMA_STRICT;
	assert_int_equal(create(&w, &err), -EINVAL);
	assert_non_null(strstr(err.what, "dma=strict needs an IOMMU"));
	w.translated = true;
	w.aperture_max = 0xffff;
	assert_int_equal(create(&w, &err), -EINVAL);
	assert_non_null(strstr(err.what, "outside of the aperture"));
}

static void an_arena_that_cannot_be_mapped_fails_the_open(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma_window w = dma_space(f->dev.dma)->window;
	struct ob_error err;

	ob_dma_destroy(&f->dev);
	f->fail_map = -ENOSPC;
	assert_int_equal(ob_dma_create(&f->dev, &w, &err), -ENOSPC);
	assert_null(f->dev.dma);
	assert_non_null(strstr(err.what, "fake: cannot map the DMA arena"));
	fake_close(f);
}

static void a_mask_moves_an_unused_arena(void **state)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct fake *f = fake_open(policies[i], MiB, true);
		struct ob_dma *dma = f->dev.dma;
		struct ob_error err;
		ob_iova iova;
		char *p;

		assert_true(dma->iova > UINT32_MAX);
		assert_int_equal(ob_dma_set_mask(dma, 40, &err), 0);
		assert_int_equal(ob_dma_set_mask(dma, 28, &err), 0);
		assert_true(dma->iova > 0 && dma->iova + dma->size <= 1 << 28);
		p = ob_dma_alloc(dma, 4096, 1, "a", &iova);
		assert_non_null(p);
		assert_int_equal(fake_device_write(f, iova, "moved", 5), 0);
		assert_memory_equal(p, "moved", 5);
		/* Nothing is left at the old place. */
		assert_int_equal(fake_prot(f, 0x100000000ull), 0);

		/* Now it is in use. A mask that it fits is fine, one that it does not is not. */
		assert_int_equal(ob_dma_set_mask(dma, 29, &err), 0);
		assert_int_equal(ob_dma_set_mask(dma, 20, &err), -EIO);
		assert_non_null(strstr(err.why, "1 allocations"));
		assert_true(ob_dma_iova(dma, p).addr == iova.addr);
		ob_dma_free(dma, p);
		fake_close(f);
	}
}

static void a_mask_keeps_clear_of_the_hole(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, 256 * MiB, true);
	struct ob_error err;
	uint64_t iova;

	assert_int_equal(ob_dma_set_mask(f->dev.dma, 32, &err), 0);
	iova = f->dev.dma->iova;
	assert_true(iova + 256 * MiB <= 0xfee00000 || iova > 0xfeefffff);
	fake_close(f);
}

static void a_mask_that_is_too_small_changes_nothing(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_error err;
	uint64_t iova = f->dev.dma->iova;

	assert_int_equal(ob_dma_set_mask(f->dev.dma, 20, &err), -EIO);
	assert_non_null(strstr(err.fix, "arena=512K"));
	assert_int_equal(ob_dma_set_mask(f->dev.dma, 15, &err), -EINVAL);
	assert_int_equal(ob_dma_set_mask(f->dev.dma, 65, &err), -EINVAL);
	assert_true(f->dev.dma->iova == iova);
	assert_int_equal(fake_prot(f, iova), OB_DMA_READ | OB_DMA_WRITE);

	/* Nor does a backend that fails in the middle. */
	f->fail_unmap = -EIO;
	assert_int_equal(ob_dma_set_mask(f->dev.dma, 32, &err), -EIO);
	f->fail_unmap = 0;
	assert_true(f->dev.dma->iova == iova);
	fake_close(f);

	f = fake_open(OB_DMA_POOLED, 32 * MiB, false);
	assert_int_equal(ob_dma_set_mask(f->dev.dma, 25, &err), -EIO);
	assert_non_null(strstr(err.why, "without an IOMMU"));
	assert_int_equal(ob_dma_set_mask(f->dev.dma, 26, &err), 0);
	fake_close(f);
}

struct walk {
	unsigned int n;
	size_t bytes;
	char labels[64];
};

static int walk_one(void *arg, const char *label, void *p, size_t size)
{
	struct walk *w = arg;

	w->n++;
	w->bytes += size;
	strncat(w->labels, label, sizeof(w->labels) - strlen(w->labels) - 1);
	return strcmp(label, "stop") ? 0 : 7;
}

static void for_each_walks_consistent_memory_only(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	struct ob_dma_mapping bounce;
	struct ob_dma_stats stats;
	struct walk w = {0};
	char buf[64];
	void *a, *b;

	a = ob_dma_alloc(f->dev.dma, 64, 1, "one.", NULL);
	assert_int_equal(ob_dma_map(f->dev.dma, buf, sizeof(buf), OB_DMA_BOTH, &bounce), 0);
	b = ob_dma_alloc(f->dev.dma, 100, 1, "two.", NULL);
	assert_int_equal(ob_dma_for_each(f->dev.dma, walk_one, &w), 0);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.bytes, 64 + 128);
	ob_dma_stats(f->dev.dma, &stats);
	assert_int_equal(stats.allocated, 64 + 128);
	ob_dma_free(f->dev.dma, a);
	ob_dma_free(f->dev.dma, b);
	a = ob_dma_alloc(f->dev.dma, 64, 1, "stop", NULL);
	assert_int_equal(ob_dma_for_each(f->dev.dma, walk_one, &w), 7);
	ob_dma_free(f->dev.dma, a);
	assert_int_equal(ob_dma_unmap(&bounce), 0);
	ob_dma_stats(f->dev.dma, &stats);
	assert_int_equal(stats.allocated, 0);
	fake_close(f);
}

/* The device may write what it likes into the arena: the allocator goes on. */
static void a_device_that_overwrites_the_arena_spoils_no_bookkeeping(void **state)
{
	struct fake *f = fake_open(OB_DMA_POOLED, MiB, true);
	void *p[32];
	unsigned int i;

	for (i = 0; i < 32; i++)
		p[i] = ob_dma_alloc(f->dev.dma, 1000, 1, "a", NULL);
	for (i = 0; i < 32; i += 2)
		ob_dma_free(f->dev.dma, p[i]);
	memset(f->arena, 0xff, f->size);
	for (i = 1; i < 32; i += 2)
		ob_dma_free(f->dev.dma, p[i]);
	p[0] = ob_dma_alloc(f->dev.dma, MiB, 1, "all", NULL);
	assert_non_null(p[0]);
	assert_true(is_zero(p[0], MiB));
	fake_close(f);
}

struct thread {
	struct fake *fake;
	uint64_t seed;
	bool bad;
};

static void *allocate_and_map(void *arg)
{
	struct thread *t = arg;
	struct ob_dma *dma = t->fake->dev.dma;
	unsigned int i;

	for (i = 0; i < 2000; i++) {
		size_t size = 1 + fake_random(&t->seed) % 6000;
		struct ob_dma_mapping map;
		char own[64];
		char *p = ob_dma_alloc(dma, size, 1, "thread", NULL);

		if (!p || !is_zero(p, size)) {
			t->bad = true;
			break;
		}
		memset(p, (int)i | 1, size);
		t->bad |= ob_dma_map(dma, p, size, OB_DMA_BOTH, &map) || ob_dma_unmap(&map);
		t->bad |= ob_dma_map(dma, own, sizeof(own), OB_DMA_TO_DEVICE, &map) ||
			  ob_dma_unmap(&map);
		ob_dma_free(dma, p);
	}
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	unsigned int policy, i;

	for (policy = 0; policy < 3; policy++) {
		struct fake *f = fake_open(policies[policy], MiB, true);
		struct thread t[4];
		pthread_t id[4];
		struct ob_dma_stats stats;

		for (i = 0; i < 4; i++) {
			t[i] = (struct thread){.fake = f, .seed = 1234567 + i};
			assert_int_equal(pthread_create(&id[i], NULL, allocate_and_map, &t[i]), 0);
		}
		for (i = 0; i < 4; i++) {
			pthread_join(id[i], NULL);
			assert_false(t[i].bad);
		}
		ob_dma_stats(f->dev.dma, &stats);
		assert_int_equal(stats.mapped, 0);
		assert_int_equal(stats.allocated, 0);
		assert_int_equal(stats.ways[OB_DMA_WAY_ARENA], 4 * 2000);
		assert_int_equal(stats.ways[OB_DMA_WAY_BOUNCE], 4 * 2000);
		fake_close(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_aligned_and_where_its_iova_says),
		cmocka_unit_test(alignment_is_that_of_the_devices_address),
		cmocka_unit_test(a_full_arena_gives_null_and_recovers),
		cmocka_unit_test(pooled_maps_the_arena_once),
		cmocka_unit_test(strict_maps_only_what_is_allocated),
		cmocka_unit_test(lazy_keeps_pages_until_the_limit_evicts_the_oldest),
		cmocka_unit_test(without_an_iommu_nothing_is_mapped),
		cmocka_unit_test(windows_that_cannot_be_are_refused_with_the_reason),
		cmocka_unit_test(an_arena_that_cannot_be_mapped_fails_the_open),
		cmocka_unit_test(a_mask_moves_an_unused_arena),
		cmocka_unit_test(a_mask_keeps_clear_of_the_hole),
		cmocka_unit_test(a_mask_that_is_too_small_changes_nothing),
		cmocka_unit_test(for_each_walks_consistent_memory_only),
		cmocka_unit_test(a_device_that_overwrites_the_arena_spoils_no_bookkeeping),
		cmocka_unit_test(threads_do_not_disturb_each_other),
	};

	unsetenv("OUTBOARD_DMA_DEBUG"); /* the tests say themselves when they want it */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
