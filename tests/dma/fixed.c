/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A backend that cannot change the rights of a mapped page but by an unmap (VFIO): no page is ever taken away from under its
 * users, and who needs other rights is served another way. And an aperture with several holes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/dma.h"
#include "tests/dma/fake.h"

#define GIB (1ull << 30)

static void a_second_user_with_other_rights_gets_a_bounce_buffer(void **state)
{
	struct fake *f = fake_open_fixed(OB_DMA_STRICT, 64 * FAKE_PAGE);
	struct ob_dma *dma = f->dev.dma;
	char *page = dma->base + 63 * FAKE_PAGE;
	struct ob_dma_mapping first, second;
	char got[64];

	memset(page, 'p', FAKE_PAGE);
	assert_int_equal(ob_dma_map(dma, page, 64, OB_DMA_TO_DEVICE, &first), 0);
	assert_int_equal(first.way, OB_DMA_WAY_ARENA);
	assert_int_equal(ob_dma_map(dma, page + 64, 64, OB_DMA_FROM_DEVICE, &second), 0);
	assert_int_equal(second.way, OB_DMA_WAY_BOUNCE);
	memset(got, 'd', sizeof(got));
	assert_int_equal(fake_device_write(f, second.iova, got, 64), 0);
	assert_int_equal(fake_device_read(f, first.iova, got, 64), 0);
	assert_int_equal(got[0], 'p');
	assert_int_equal(fake_device_write(f, first.iova, got, 64), -EFAULT);
	assert_int_equal(ob_dma_unmap(&second), 0);
	assert_int_equal(page[64], 'd');
	assert_int_equal(page[63], 'p');
	assert_int_equal(ob_dma_unmap(&first), 0);
	/* Without a user it gets what the next one needs. */
	assert_int_equal(ob_dma_map(dma, page + 64, 64, OB_DMA_FROM_DEVICE, &second), 0);
	assert_int_equal(second.way, OB_DMA_WAY_ARENA);
	assert_int_equal(ob_dma_unmap(&second), 0);
	fake_close(f);
}

static void an_idle_page_with_too_few_rights_is_mapped_afresh(void **state)
{
	struct fake *f = fake_open_fixed(OB_DMA_LAZY, 64 * FAKE_PAGE);
	struct ob_dma *dma = f->dev.dma;
	struct ob_dma_mapping map;
	char *page = dma->base;

	for (unsigned int i = 0; i < 4; i++) {
		enum ob_dma_dir dir = i % 2 ? OB_DMA_FROM_DEVICE : OB_DMA_TO_DEVICE;

		assert_int_equal(ob_dma_map(dma, page, FAKE_PAGE, dir, &map), 0);
		assert_int_equal(map.way, OB_DMA_WAY_ARENA);
		assert_int_equal(fake_prot(f, map.iova.addr), dir);
		assert_int_equal(ob_dma_unmap(&map), 0);
		/* Lazy: what was mapped stays. */
		assert_int_equal(fake_prot(f, dma->iova), dir);
	}
	fake_close(f);
}

static void whatever_happens_each_mapping_works_until_its_unmap(void **state)
{
	enum {
		PAGES = 256,
		BUFFERS = 32, /* pages that the mappings are in; bounce buffers need the others */
		LIVE = 24,
		STEPS = 4000
	};
	static const enum ob_dma_policy policies[] = {OB_DMA_STRICT, OB_DMA_LAZY};
	unsigned int bounced = 0;

	for (unsigned int round = 0; round < 4; round++) {
		enum ob_dma_policy policy = policies[round % 2];
		struct fake *f = fake_open_fixed(policy, PAGES * FAKE_PAGE);
		struct dma_space *s = dma_space(f->dev.dma);
		struct ob_dma_mapping live[LIVE] = {0};
		uint64_t rnd = 88172645463325252ull + round;
		char byte;
		char *buffers = ob_dma_alloc(&s->dma, BUFFERS * FAKE_PAGE, FAKE_PAGE, "x", NULL);

		/* Only to know where: it goes back, so that its pages have no other user. */
		assert_non_null(buffers);
		ob_dma_free(&s->dma, buffers);
		s->max_idle_pages = 8;
		buffers = s->dma.base + (PAGES - BUFFERS) * FAKE_PAGE;
		for (unsigned int step = 0; step < STEPS; step++) {
			unsigned int i = fake_random(&rnd) % LIVE;

			if (live[i].dir) {
				assert_int_equal(ob_dma_unmap(&live[i]), 0);
			} else {
				size_t off = fake_random(&rnd) % (BUFFERS * FAKE_PAGE);
				size_t len = 1 + fake_random(&rnd) % (3 * FAKE_PAGE);

				if (len > BUFFERS * FAKE_PAGE - off)
					len = BUFFERS * FAKE_PAGE - off;
				f->fail_map = fake_random(&rnd) % 8 ? 0 : -EIO;
				if (ob_dma_map(&s->dma, buffers + off, len,
					       (enum ob_dma_dir)(1 + fake_random(&rnd) % 3),
					       &live[i]))
					assert_int_equal(live[i].dir, 0);
				else
					bounced += live[i].way == OB_DMA_WAY_BOUNCE;
				f->fail_map = 0;
			}
			for (i = 0; i < LIVE; i++) {
				struct ob_dma_mapping *m = &live[i];
				ob_iova last = ob_iova_add(m->iova, m->len - 1);

				if (m->dir & OB_DMA_TO_DEVICE) {
					assert_int_equal(fake_device_read(f, m->iova, &byte, 1), 0);
					assert_int_equal(fake_device_read(f, last, &byte, 1), 0);
				}
				if (m->dir & OB_DMA_FROM_DEVICE) {
					assert_int_equal(fake_device_write(f, m->iova, "x", 1), 0);
					assert_int_equal(fake_device_write(f, last, "x", 1), 0);
				}
			}
		}
		for (unsigned int i = 0; i < LIVE; i++)
			if (live[i].dir)
				assert_int_equal(ob_dma_unmap(&live[i]), 0);
		for (unsigned int p = 0; p < PAGES; p++)
			assert_true(!s->page[p].readers && !s->page[p].writers);
		assert_true(f->mapped <= (policy == OB_DMA_STRICT ? 0 : 8));
		fake_close(f);
	}
	assert_true(bounced > 0);
}

static void nothing_is_given_out_from_any_hole(void **state)
{
	struct fake *f = fake_open_fixed(OB_DMA_POOLED, 16 * FAKE_PAGE);
	struct dma_space *s = dma_space(f->dev.dma);
	static const uint64_t in[] = {8 * GIB, 16 * GIB - 4096, 20 * GIB, 21 * GIB - 4096,
				      0xfee00000};
	static const uint64_t out[] = {8 * GIB - 4096, 16 * GIB, 20 * GIB - 4096, 21 * GIB,
				       0xfef00000};

	for (unsigned int i = 0; i < 5; i++) {
		assert_null(dma_ranges_reserve(&s->iovas, in[i], 4096, "in a hole"));
		assert_non_null(dma_ranges_reserve(&s->iovas, out[i], 4096, "beside it"));
	}
	fake_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_user_with_other_rights_gets_a_bounce_buffer),
		cmocka_unit_test(an_idle_page_with_too_few_rights_is_mapped_afresh),
		cmocka_unit_test(whatever_happens_each_mapping_works_until_its_unmap),
		cmocka_unit_test(nothing_is_given_out_from_any_hole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
