/* SPDX-License-Identifier: BSD-2-Clause */
/* The range allocator against a model that keeps one owner for each unit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/dma.h"
#include "tests/dma/fake.h"

enum {
	UNITS = 512,
	LIVE = 64,
	STEPS = 20000,
};

/* Pieces cover the whole range in order, no two free ones touch, bins hold exactly the free ones. */
static void check_structure(const struct dma_ranges *r, uint64_t start, uint64_t size)
{
	const struct dma_range *p, *prev = NULL;
	unsigned int pieces = 0, binned = 0, bin;
	uint64_t at = start;

	for (p = r->first; p; prev = p, p = p->next) {
		assert_true(p->start == at && p->size > 0);
		assert_ptr_equal(p->prev, prev);
		if (prev && !prev->label)
			assert_non_null(p->label);
		pieces += !p->label;
		at += p->size;
	}
	assert_true(at == start + size);
	for (bin = 0; bin < DMA_RANGE_BINS; bin++) {
		for (p = r->bin[bin]; p; p = p->bin_next) {
			assert_null(p->label);
			assert_true(p->size >> bin == 1);
			binned++;
		}
	}
	assert_int_equal(pieces, binned);
}

static bool model_has_room(const unsigned char *owner, uint64_t start, uint64_t size,
			   uint64_t align, uint64_t last)
{
	uint64_t i, n;

	for (i = 0; i + size <= UNITS; i++) {
		if ((start + i) % align || start + i + (size - 1) > last)
			continue;
		for (n = 0; n < size && !owner[i + n]; n++)
			;
		if (n == size)
			return true;
	}
	return false;
}

static void random_allocations_agree_with_the_model(void **state)
{
	const uint64_t starts[] = {0, 7, 4096, UINT64_MAX - UNITS};
	unsigned int round;

	for (round = 0; round < 4; round++) {
		uint64_t start = starts[round], rnd = 88172645463325252ull + round;
		unsigned char owner[UNITS] = {0};
		struct dma_range *live[LIVE] = {NULL};
		struct dma_ranges r;
		unsigned int step, i;

		assert_int_equal(dma_ranges_init(&r, start, UNITS), 0);
		for (step = 0; step < STEPS; step++) {
			i = fake_random(&rnd) % LIVE;
			if (live[i]) {
				memset(owner + (live[i]->start - start), 0, live[i]->size);
				dma_ranges_free(&r, live[i]);
				live[i] = NULL;
			} else {
				uint64_t size = 1 + fake_random(&rnd) % 24;
				uint64_t align = 1ull << fake_random(&rnd) % 5;
				uint64_t last = fake_random(&rnd) % 3
							? UINT64_MAX
							: start + fake_random(&rnd) % UNITS;
				bool room = model_has_room(owner, start, size, align, last);
				uint64_t u;

				live[i] = dma_ranges_alloc(&r, size, align, last, "x");
				assert_int_equal(live[i] != NULL, room);
				if (!live[i])
					continue;
				assert_true(live[i]->size == size && live[i]->start % align == 0);
				assert_true(live[i]->start + (size - 1) <= last);
				for (u = live[i]->start - start; u < live[i]->start - start + size;
				     u++) {
					assert_true(u < UNITS && !owner[u]);
					owner[u] = 1;
				}
			}
			if (step % 64 == 0)
				check_structure(&r, start, UNITS);
		}
		for (i = 0; i < LIVE; i++) {
			if (live[i])
				dma_ranges_free(&r, live[i]);
		}
		/* All is one piece again. */
		assert_true(r.first && !r.first->next && r.first->size == UNITS);
		dma_ranges_fini(&r);
	}
}

static void reserve_takes_exactly_its_place_or_nothing(void **state)
{
	struct dma_range *a, *b;
	struct dma_ranges r;

	assert_int_equal(dma_ranges_init(&r, 100, 100), 0);
	a = dma_ranges_reserve(&r, 120, 30, "a");
	assert_non_null(a);
	assert_true(a->start == 120 && a->size == 30);
	assert_null(dma_ranges_reserve(&r, 140, 20, "over a"));
	assert_null(dma_ranges_reserve(&r, 110, 20, "into a"));
	assert_null(dma_ranges_reserve(&r, 99, 2, "below"));
	assert_null(dma_ranges_reserve(&r, 190, 11, "above"));
	assert_null(dma_ranges_reserve(&r, 160, 0, "nothing"));
	b = dma_ranges_reserve(&r, 150, 50, "b");
	assert_non_null(b);
	check_structure(&r, 100, 100);
	dma_ranges_free(&r, a);
	assert_non_null(dma_ranges_reserve(&r, 100, 50, "front"));
	dma_ranges_fini(&r);
}

static void impossible_requests_are_refused(void **state)
{
	struct dma_ranges r;

	assert_int_equal(dma_ranges_init(&r, 0, 0), -EINVAL);
	assert_int_equal(dma_ranges_init(&r, 2, UINT64_MAX), -EINVAL);
	assert_int_equal(dma_ranges_init(&r, 0, 4096), 0);
	assert_null(dma_ranges_alloc(&r, 0, 1, UINT64_MAX, "empty"));
	assert_null(dma_ranges_alloc(&r, 1, 3, UINT64_MAX, "odd alignment"));
	assert_null(dma_ranges_alloc(&r, 1, 0, UINT64_MAX, "no alignment"));
	assert_null(dma_ranges_alloc(&r, 4097, 1, UINT64_MAX, "too much"));
	assert_null(dma_ranges_alloc(&r, UINT64_MAX, 1, UINT64_MAX, "far too much"));
	dma_ranges_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_allocations_agree_with_the_model),
		cmocka_unit_test(reserve_takes_exactly_its_place_or_nothing),
		cmocka_unit_test(impossible_requests_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
