/* SPDX-License-Identifier: BSD-2-Clause */
/* Payload memory of an attachment: runs of pages in the device's arena, found in a bit map. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/payload.h"

enum {
	WORD = 64,
};

int payload_open(struct payload *p, struct ob_dma *dma, size_t size)
{
	unsigned int pages = payload_pages(size);

	memset(p, 0, sizeof(*p));
	p->used = calloc((pages + WORD - 1) / WORD, sizeof(*p->used));
	if (!p->used)
		return -ENOMEM;
	/* Not touched before it is used: that would be most of the time that a driver process takes to begin. */
	p->base = ob_dma_reserve(dma, (size_t)pages * PAYLOAD_PAGE, PAYLOAD_PAGE,
				 "attachment payload", NULL);
	if (!p->base) {
		free(p->used);
		p->used = NULL;
		return -ENOSPC;
	}
	p->dma = dma;
	p->pages = pages;
	p->free = pages;
	return 0;
}

void payload_close(struct payload *p)
{
	if (p->base)
		ob_dma_free(p->dma, p->base);
	free(p->used);
	memset(p, 0, sizeof(*p));
}

/* First page in [from, to) whose bit equals @used, or @to. */
static unsigned int find_page(const struct payload *p, unsigned int from, unsigned int to,
			      bool used)
{
	while (from < to) {
		uint64_t word = p->used[from / WORD];

		if (!used)
			word = ~word;
		word >>= from % WORD;
		if (word) {
			from += (unsigned int)__builtin_ctzll(word);
			return from < to ? from : to;
		}
		from += WORD - from % WORD;
	}
	return to;
}

static int find_run(const struct payload *p, unsigned int n, unsigned int from, unsigned int to)
{
	while (from + n <= to) {
		unsigned int end;

		from = find_page(p, from, to, false);
		if (from + n > to)
			break;
		end = find_page(p, from, from + n, true);
		if (end == from + n)
			return (int)from;
		from = end + 1;
	}
	return -1;
}

static void mark(struct payload *p, unsigned int first, unsigned int n, bool used)
{
	while (n) {
		unsigned int bit = first % WORD;
		unsigned int now = n < WORD - bit ? n : WORD - bit;
		uint64_t mask = (now == WORD ? ~0ull : (1ull << now) - 1) << bit;

		if (used)
			p->used[first / WORD] |= mask;
		else
			p->used[first / WORD] &= ~mask;
		first += now;
		n -= now;
	}
}

char *payload_get(struct payload *p, uint64_t len)
{
	unsigned int n = payload_pages(len ? len : 1);
	int first;

	if (n > p->free)
		return NULL;
	/* From where the last search ended: what was given out first comes back first. */
	first = find_run(p, n, p->next, p->pages);
	if (first < 0)
		first = find_run(p, n, 0, p->pages);
	if (first < 0)
		return NULL;
	mark(p, (unsigned int)first, n, true);
	p->free -= n;
	p->next = (unsigned int)first + n;
	if (p->next >= p->pages)
		p->next = 0;
	return p->base + (size_t)first * PAYLOAD_PAGE;
}

void payload_put(struct payload *p, char *buf, uint64_t len)
{
	unsigned int n = payload_pages(len ? len : 1);

	mark(p, (unsigned int)((size_t)(buf - p->base) / PAYLOAD_PAGE), n, false);
	p->free += n;
}
