/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers of the kernel's VFIO with chains of capabilities, and lines of its log: nothing is read beyond them, and what
 * comes out is in order and within bounds. First byte: what the rest is.
 */
#include <stdlib.h>
#include <string.h>

#include "access/vfio/vfio.h"
#include "fuzz/fuzz.h"

static void check_limits(const void *info, size_t size)
{
	struct ob_dma_window w = {.size = 4 << 20};
	struct vfio_limits l;

	if (vfio_info_limits(info, size, &l))
		return;
	CHECK(l.nr_ranges && l.nr_ranges <= VFIO_RANGES);
	for (unsigned int i = 0; i < l.nr_ranges; i++) {
		CHECK(l.range[i].min <= l.range[i].max);
		CHECK(!i || l.range[i].min > l.range[i - 1].max);
	}
	for (unsigned int slice = 0; slice < 3; slice++) {
		if (vfio_iova_window(&l, slice, 3, &w))
			continue;
		CHECK(w.iova >= w.aperture_min && w.iova + (w.size - 1) <= w.aperture_max);
		CHECK(w.iova + (w.size - 1) > w.iova && w.nr_holes <= OB_DMA_HOLES);
		for (unsigned int i = 0; i < w.nr_holes; i++) {
			CHECK(w.hole[i].min <= w.hole[i].max);
			CHECK(w.hole[i].max < w.iova || w.hole[i].min > w.iova + (w.size - 1));
		}
	}
}

static void check_region(const void *info, size_t size)
{
	struct vfio_region r;

	if (vfio_info_region(info, size, &r))
		return;
	CHECK(r.nr_pieces <= VFIO_PIECES);
	for (unsigned int i = 0; i < r.nr_pieces; i++)
		CHECK(r.piece[i].size && r.piece[i].off < r.size &&
		      r.piece[i].size <= r.size - r.piece[i].off);
}

static void check_line(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), reason[64];
	struct ob_fault fault;

	if (!text)
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (vfio_fault_parse(text, &fault, reason))
		CHECK(memchr(reason, '\0', sizeof(reason)) && fault.source.dev < 32 &&
		      fault.source.fn < 8);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *copy;

	if (!size)
		return 0;
	if (data[0] % 3 == 2) {
		check_line(data + 1, size - 1);
		return 0;
	}
	/* Memory of exactly that size, aligned as an answer is. */
	copy = malloc(size - 1 ? size - 1 : 1);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] % 3)
		check_region(copy, size - 1);
	else
		check_limits(copy, size - 1);
	free(copy);
	return 0;
}
