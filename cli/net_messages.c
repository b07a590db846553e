/* SPDX-License-Identifier: BSD-2-Clause */
/* What `outboard net send` and `receive` say to each other, see net_transfer.h; numbers are big-endian. */
#include <stdlib.h>
#include <string.h>

#include "cli/net_transfer.h"

static void put(uint8_t *p, uint64_t v, size_t n)
{
	while (n) {
		p[--n] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

void transfer_put_header(uint8_t p[TRANSFER_HEADER], uint32_t kind, uint64_t number)
{
	put(p, kind, 4);
	put(p + 4, number, 8);
}

uint32_t transfer_get_header(const uint8_t *p, size_t len, uint64_t *number)
{
	uint32_t kind;

	if (len < TRANSFER_HEADER)
		return 0;
	kind = (uint32_t)get(p, 4);
	*number = get(p + 4, 8);
	return kind == TRANSFER_DATA || kind == TRANSFER_END ? kind : 0;
}

void transfer_put_report(uint8_t p[TRANSFER_REPORT_SIZE], const struct transfer_report *r)
{
	put(p, TRANSFER_REPORT, 4);
	put(p + 4, r->bytes, 8);
	put(p + 12, r->datagrams, 8);
	put(p + 20, r->lost, 8);
	put(p + 28, r->late, 8);
	put(p + 36, r->damaged, 8);
	put(p + 44, r->twice, 8);
}

bool transfer_get_report(const uint8_t *p, size_t len, struct transfer_report *r)
{
	if (len != TRANSFER_REPORT_SIZE || get(p, 4) != TRANSFER_REPORT)
		return false;
	r->bytes = get(p + 4, 8);
	r->datagrams = get(p + 12, 8);
	r->lost = get(p + 20, 8);
	r->late = get(p + 28, 8);
	r->damaged = get(p + 36, 8);
	r->twice = get(p + 44, 8);
	return true;
}

bool transfer_count(struct transfer_order *o, uint64_t number, struct transfer_report *r)
{
	uint64_t bit = 1ull << number % 64, *word = &o->seen[number / 64 % (TRANSFER_WINDOW / 64)];

	if (number >= o->next) {
		uint64_t skipped = number - o->next;

		if (skipped >= TRANSFER_WINDOW)
			memset(o->seen, 0, sizeof(o->seen));
		else
			for (uint64_t i = o->next; i < number; i++)
				o->seen[i / 64 % (TRANSFER_WINDOW / 64)] &= ~(1ull << i % 64);
		*word |= bit;
		o->next = number + 1;
		return true;
	}
	/* Too old to know: late. */
	if (o->next - number <= TRANSFER_WINDOW) {
		if (*word & bit) {
			r->twice++;
			return false;
		}
		*word |= bit;
	}
	r->late++;
	return true;
}

uint8_t *pattern_create(void)
{
	uint8_t *p = malloc(PATTERN_PERIOD + PATTERN_CHUNK);
	uint32_t x = 2463534242; /* Marsaglia 2003, "Xorshift RNGs": his seed and shifts */

	if (!p)
		return NULL;
	for (size_t i = 0; i < PATTERN_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		p[i] = (uint8_t)(x >> 24);
	}
	for (size_t i = PATTERN_PERIOD; i < PATTERN_PERIOD + PATTERN_CHUNK; i++)
		p[i] = p[i - PATTERN_PERIOD];
	return p;
}
