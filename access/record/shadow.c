/* SPDX-License-Identifier: BSD-2-Clause */
/* Who wrote what in the memory that driver and device share: shadow.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/record/shadow.h"

enum {
	PAGE = 4096,
	WORD = 8,
	/* So often is memory looked at for a moment in which it does not change; rings run full, and then it does not. */
	LOOKS = 1000,
};

/* ---- life ------------------------------------------------------------------------------------ */

static char *reserve(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int shadow_create(struct shadow *s, uint64_t size, char *device)
{
	void *p;

	memset(s, 0, sizeof(*s));
	s->device = device;
	s->size = size;
	s->pages = s->first = size / PAGE;
	s->fd = memfd_create("outboard-record", MFD_CLOEXEC);
	if (s->fd < 0 || ftruncate(s->fd, (off_t)size))
		goto fail;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (p == MAP_FAILED)
		goto fail;
	s->driver = p;
	s->seen = reserve(size);
	s->fresh = device ? reserve(size) : NULL;
	s->given = calloc(1, s->pages);
	s->changed = calloc(1, s->pages);
	if (s->seen && (s->fresh || !device) && s->given && s->changed)
		return 0;
fail:
	shadow_destroy(s);
	return -ENOMEM;
}

void shadow_destroy(struct shadow *s)
{
	if (s->driver)
		munmap(s->driver, s->size);
	if (s->seen)
		munmap(s->seen, s->size);
	if (s->fresh)
		munmap(s->fresh, s->size);
	if (s->fd >= 0)
		close(s->fd);
	free(s->given);
	free(s->changed);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

/* ---- whose pages ------------------------------------------------------------------------------- */

void shadow_give(struct shadow *s, uint64_t off, uint64_t len, unsigned int prot)
{
	uint64_t first = off / PAGE, end = (off + len) / PAGE;
	uint8_t given = (uint8_t)(prot | (len >= SHADOW_WHOLE_SIZE ? SHADOW_WHOLE : 0));

	for (uint64_t i = first; i < end; i++) {
		/* What lies there of earlier is nothing that the device wrote now. */
		if (s->device && !s->given[i] &&
		    memcmp(s->device + i * PAGE, s->seen + i * PAGE, PAGE))
			memcpy(s->device + i * PAGE, s->seen + i * PAGE, PAGE);
		s->given[i] = given;
	}
	if (first < s->first)
		s->first = first;
	if (end > s->end)
		s->end = end;
}

void shadow_take(struct shadow *s, uint64_t off, uint64_t len)
{
	for (uint64_t i = off / PAGE; i < (off + len) / PAGE; i++)
		s->given[i] = 0;
	while (s->first < s->end && !s->given[s->first])
		s->first++;
	while (s->end > s->first && !s->given[s->end - 1])
		s->end--;
	if (s->first == s->end) {
		s->first = s->pages;
		s->end = 0;
	}
}

/* ---- pieces that differ -------------------------------------------------------------------------- */

/*
 * From @at, the next bytes of a page in which @a and @b differ: as pieces that a word or more that is the same separates, which is
 * less than what it costs to tell where another piece begins.
 */
static bool next_difference(const char *a, const char *b, unsigned int at, unsigned int *begin,
			    unsigned int *end)
{
	uint64_t x, y;

	for (; at < PAGE; at += WORD) {
		memcpy(&x, a + at, WORD);
		memcpy(&y, b + at, WORD);
		if (x != y)
			break;
	}
	if (at >= PAGE)
		return false;
	*begin = at;
	for (; at < PAGE; at += WORD) {
		memcpy(&x, a + at, WORD);
		memcpy(&y, b + at, WORD);
		if (x == y)
			break;
	}
	*end = at;
	while (a[*begin] == b[*begin])
		++*begin;
	while (a[*end - 1] == b[*end - 1])
		--*end;
	return true;
}

static void add_pieces(struct record_bytes *bytes, uint64_t *last, uint64_t page, const char *now,
		       const char *before, bool whole)
{
	unsigned int begin, end = 0;

	while (next_difference(now, before, (end + WORD - 1) & ~(WORD - 1u), &begin, &end))
		record_add_piece(bytes, last, page * PAGE + begin, now + begin, end - begin, whole);
}

/* ---- to the device --------------------------------------------------------------------------------- */

void shadow_send(struct shadow *s, struct record_bytes *sent)
{
	uint64_t last = 0;

	for (uint64_t i = s->first; i < s->end; i++) {
		char *now = s->driver + i * PAGE, *seen = s->seen + i * PAGE;
		unsigned int begin, end = 0;

		if (!s->given[i] || !memcmp(now, seen, PAGE))
			continue;
		if (!(s->given[i] & SHADOW_WHOLE))
			add_pieces(sent, &last, i, now, seen, false);
		/*
		 * Only these bytes: the device may have written others of the page, and another thread of the driver
		 * may write on.
		 */
		while (next_difference(now, seen, (end + WORD - 1) & ~(WORD - 1u), &begin, &end)) {
			for (unsigned int b = begin; b < end; b++) {
				if (now[b] == seen[b])
					continue;
				seen[b] = now[b];
				if (s->device)
					s->device[i * PAGE + b] = seen[b];
			}
		}
	}
}

/* ---- from the device ---------------------------------------------------------------------------------- */

/* Did anything come since the last time? */
static bool look_once(struct shadow *s)
{
	bool came = false;

	for (uint64_t i = s->first; i < s->end; i++) {
		const char *now = s->device + i * PAGE;

		if (!(s->given[i] & OB_DMA_WRITE) ||
		    !memcmp(now, (s->changed[i] ? s->fresh : s->seen) + i * PAGE, PAGE))
			continue;
		memcpy(s->fresh + i * PAGE, now, PAGE);
		s->changed[i] = 1;
		came = true;
	}
	return came;
}

bool shadow_look(struct shadow *s)
{
	bool any = look_once(s);

	for (unsigned int i = 0; any && i < LOOKS; i++) {
		/* What was written in front of that which was seen is in memory by now, on all processors that we know. */
		ob_mb();
		if (!look_once(s))
			break;
	}
	return any;
}

/* Bytes that the driver has changed meanwhile are its own. */
static void show(struct shadow *s, uint64_t off, const char *bytes, uint64_t len)
{
	for (uint64_t i = off; i < off + len; i++) {
		char byte = bytes[i - off];

		if (s->seen[i] == byte)
			continue;
		s->seen[i] = byte;
		s->driver[i] = byte;
	}
}

bool shadow_fetch(struct shadow *s, uint64_t *from, struct record_bytes *memory)
{
	uint64_t last = 0;
	uint64_t i = *from;

	for (; i < s->end && memory->len < RECORD_BURST; i++) {
		if (!s->changed[i])
			continue;
		s->changed[i] = 0;
		add_pieces(memory, &last, i, s->fresh + i * PAGE, s->seen + i * PAGE, true);
		show(s, i * PAGE, s->fresh + i * PAGE, PAGE);
	}
	*from = i;
	while (i < s->end && !s->changed[i])
		i++;
	return i < s->end;
}

void shadow_apply(struct shadow *s, const struct record *r)
{
	const uint8_t *p = r->data;
	struct record_piece piece;
	uint64_t last = 0;

	while (record_next_piece(&p, r->data + r->len, &last, true, s->size, &piece) > 0)
		show(s, piece.off, (const char *)piece.data, piece.len);
}
