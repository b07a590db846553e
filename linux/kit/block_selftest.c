/* SPDX-License-Identifier: BSD-2-Clause */
/* Self-test of a Linux driver's disks: each answers, flushes, and reads twice the same; nothing is written. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/host.h"

enum {
	PIECE = 65536,
	PLACES = 3,
};

struct report {
	struct ob_selftest_line *lines;
	unsigned int n, max;
};

static void __attribute__((format(printf, 5, 6)))
add(struct report *t, const char *what, const struct ob_block *blk, int result, const char *fmt,
    ...)
{
	struct ob_selftest_line *line;
	va_list ap;

	if (t->n == t->max)
		return;
	line = &t->lines[t->n++];
	snprintf(line->name, sizeof(line->name), "%s %s", what, blk->name);
	line->result = result;
	va_start(ap, fmt);
	vsnprintf(line->detail, sizeof(line->detail), fmt, ap);
	va_end(ap);
}

/* Whoever wrote nothing, and whoever wrote somewhere else, is told by what was in the memory before. */
static int read_twice(struct ob_block *blk, uint64_t at, char *a, char *b, uint32_t len)
{
	int ret;

	memset(a, 0x55, len);
	memset(b, 0xaa, len);
	ret = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, at, a, len);
	if (!ret)
		ret = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, at, b, len);
	return ret ? ret : memcmp(a, b, len) ? -EILSEQ : 0;
}

/* Three places, twice the same? */
static void test_read(struct report *t, const char *what, struct ob_block *blk, char *a, char *b)
{
	const struct ob_block_limits *l = &blk->limits;
	uint32_t len = l->size < PIECE ? (uint32_t)l->size : PIECE;
	uint64_t last = l->size - len;
	uint64_t places[PLACES] = {0, (last / 2) & ~(uint64_t)(l->block_size - 1), last};
	int ret = 0;

	for (unsigned int i = 0; i < PLACES && !ret; i++)
		ret = read_twice(blk, places[i], a, b, len);
	add(t, what, blk, ret, "three places, twice the same%s", ret ? ": no" : "");
}

/* In use, with the disk's cache as the driver found it. */
static int test_sleep(struct report *t, struct kit *k, const struct ob_block *blk)
{
	struct ob_selftest_line l = {0};

	kit_sleep_selftest(k, &l);
	add(t, "suspend and resume", blk, l.result, "%s", l.detail);
	return l.result;
}

static void test_disk(struct report *t, struct kit *k, struct ob_block *blk)
{
	const struct ob_block_limits *l = &blk->limits;
	char *a = malloc(PIECE), *b = malloc(PIECE);
	struct ob_error err = {0};
	int ret = a && b ? 0 : -ENOMEM;

	add(t, "identify", blk, 0, "%s, serial %s, %llu MiB in blocks of %u, %u in flight%s",
	    blk->model[0] ? blk->model : "no model", blk->serial[0] ? blk->serial : "none",
	    (unsigned long long)(l->size >> 20), l->block_size, l->depth,
	    l->read_only ? ", read only" : "");
	if (!ret && blk->class_priv) {
		add(t, "read", blk, 1, "in use: its queue belongs to somebody else");
		goto out;
	}
	if (!ret)
		ret = ob_block_start(blk, &err);
	if (ret) {
		add(t, "start", blk, ret, "%s", err.what);
		goto out;
	}
	test_read(t, "read", blk, a, b);
	if (!l->read_only) {
		ret = ob_block_rw(blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0);
		add(t, "flush", blk, ret, "%s",
		    l->volatile_cache ? "of a cache" : "there is no cache");
	}
	/* The device sleeps with all of its disks: once is enough. */
	if (k && kit_sleep_wanted() && !test_sleep(t, k, blk))
		test_read(t, "read again", blk, a, b);
	ob_block_stop(blk);
out:
	free(a);
	free(b);
}

int kit_blocks_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct report t = {.lines = lines, .max = n};

	for (unsigned int i = 0; i < b->nr_blocks; i++)
		test_disk(&t, i ? NULL : b->priv, b->block[i]);
	return (int)t.n;
}
