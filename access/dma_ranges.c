/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocator of address ranges: arena memory and IOVAs. Pieces in address order, free ones also in bins by
 * size; best bin first, then first fit; freed pieces join their free neighbours. It never touches the
 * memory that it hands out.
 */
#include <errno.h>
#include <stdlib.h>

#include "access/dma.h"

static unsigned int bin_of(uint64_t size)
{
	return 63 - (unsigned int)__builtin_clzll(size);
}

static void bin_add(struct dma_ranges *r, struct dma_range *p)
{
	struct dma_range **head = &r->bin[bin_of(p->size)];

	p->bin_prev = NULL;
	p->bin_next = *head;
	if (*head)
		(*head)->bin_prev = p;
	*head = p;
}

static void bin_remove(struct dma_ranges *r, struct dma_range *p)
{
	if (p->bin_prev)
		p->bin_prev->bin_next = p->bin_next;
	else
		r->bin[bin_of(p->size)] = p->bin_next;
	if (p->bin_next)
		p->bin_next->bin_prev = p->bin_prev;
}

static void insert_after(struct dma_ranges *r, struct dma_range *at, struct dma_range *p)
{
	p->prev = at;
	p->next = at ? at->next : r->first;
	if (p->next)
		p->next->prev = p;
	if (at)
		at->next = p;
	else
		r->first = p;
}

static void unlink_piece(struct dma_ranges *r, struct dma_range *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		r->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

int dma_ranges_init(struct dma_ranges *r, uint64_t start, uint64_t size)
{
	struct dma_range *p;

	*r = (struct dma_ranges){.high = start};
	if (!size || size - 1 > UINT64_MAX - start)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->start = start;
	p->size = size;
	insert_after(r, NULL, p);
	bin_add(r, p);
	return 0;
}

void dma_ranges_fini(struct dma_ranges *r)
{
	while (r->first) {
		struct dma_range *p = r->first;

		r->first = p->next;
		free(p);
	}
	*r = (struct dma_ranges){0};
}

/* Cut [start, start + size) out of the free piece @p, which contains it. */
static struct dma_range *carve(struct dma_ranges *r, struct dma_range *p, uint64_t start,
			       uint64_t size, const char *label)
{
	uint64_t front = start - p->start;
	uint64_t back = p->size - front - size;
	struct dma_range *before = NULL, *after = NULL;

	if (front) {
		before = calloc(1, sizeof(*before));
		if (!before)
			return NULL;
	}
	if (back) {
		after = calloc(1, sizeof(*after));
		if (!after) {
			free(before);
			return NULL;
		}
	}
	bin_remove(r, p);
	if (before) {
		before->start = p->start;
		before->size = front;
		insert_after(r, p->prev, before);
		bin_add(r, before);
	}
	if (after) {
		after->start = start + size;
		after->size = back;
		insert_after(r, p, after);
		bin_add(r, after);
	}
	p->start = start;
	p->size = size;
	p->label = label;
	if (start + size > r->high)
		r->high = start + size;
	return p;
}

struct dma_range *dma_ranges_alloc(struct dma_ranges *r, uint64_t size, uint64_t align,
				   uint64_t last, const char *label)
{
	unsigned int bin;

	if (!size || !align || (align & (align - 1)))
		return NULL;
	for (bin = bin_of(size); bin < DMA_RANGE_BINS; bin++) {
		struct dma_range *p;

		for (p = r->bin[bin]; p; p = p->bin_next) {
			uint64_t pad = -(p->start + r->bias) & (align - 1);
			uint64_t start = p->start + pad;

			if (pad >= p->size || size > p->size - pad)
				continue;
			if (start > last || size - 1 > last - start)
				continue;
			return carve(r, p, start, size, label);
		}
	}
	return NULL;
}

struct dma_range *dma_ranges_reserve(struct dma_ranges *r, uint64_t start, uint64_t size,
				     const char *label)
{
	struct dma_range *p;

	for (p = r->first; p; p = p->next) {
		if (start < p->start || start - p->start >= p->size)
			continue;
		if (p->label || !size || size > p->size - (start - p->start))
			return NULL;
		return carve(r, p, start, size, label);
	}
	return NULL;
}

void dma_ranges_free(struct dma_ranges *r, struct dma_range *p)
{
	struct dma_range *prev = p->prev, *next = p->next;

	p->label = NULL;
	if (prev && !prev->label) {
		bin_remove(r, prev);
		unlink_piece(r, prev);
		p->start = prev->start;
		p->size += prev->size;
		free(prev);
	}
	if (next && !next->label) {
		bin_remove(r, next);
		unlink_piece(r, next);
		p->size += next->size;
		free(next);
	}
	bin_add(r, p);
}

const char *dma_ranges_label(const struct dma_ranges *r, uint64_t at)
{
	const struct dma_range *range = r->first;

	for (; range; range = range->next)
		if (at >= range->start && at - range->start < range->size)
			return range->label ? range->label : "";
	return "";
}
