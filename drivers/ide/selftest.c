/* SPDX-License-Identifier: BSD-2-Clause */
/* The IDE driver's self-test: it reads, it never writes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/ide/ide.h"

/* Sectors that 28 bits address; the self-test reads across this. */
#define LBA28_SECTORS (1ull << 28)

struct report {
	struct ob_selftest_line *lines;
	unsigned int n, max;
};

static void __attribute__((format(printf, 5, 6)))
report(struct report *r, const char *disk, const char *what, int result, const char *fmt, ...)
{
	struct ob_selftest_line *line;
	va_list ap;

	if (r->n == r->max)
		return;
	line = &r->lines[r->n++];
	snprintf(line->name, sizeof(line->name), "%s: %s", disk, what);
	line->result = result;
	va_start(ap, fmt);
	vsnprintf(line->detail, sizeof(line->detail), fmt, ap);
	va_end(ap);
}

/* Read the same blocks twice; what comes must be the same, and come where it belongs. */
static int read_twice(struct ob_block *blk, uint64_t offset, uint32_t len, uint8_t *buf)
{
	int rc;

	/* Different fillings, so that a read that moves nothing is seen. */
	memset(buf, 0x55, len);
	memset(buf + len, 0xaa, len);
	rc = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, offset, buf, len);
	if (!rc)
		rc = ob_block_rw(blk, 0, OB_BLOCK_READ, 0, offset, buf + len, len);
	if (!rc && memcmp(buf, buf + len, len))
		rc = -EILSEQ;
	return rc;
}

static void test_disk(struct ob_block *blk, struct report *r)
{
	const struct ide_identity *id = &ide_disk_of(blk)->id;
	const struct ob_block_limits *l = &blk->limits;
	uint32_t bs = l->block_size, len = 128 * 1024;
	uint64_t boundary = LBA28_SECTORS * (uint64_t)bs;
	struct ob_error err = {0};
	uint8_t *buf;
	int rc;

	report(r, blk->name, "identification", 0, "%s, %llu blocks of %u bytes, LBA%u%s%s",
	       blk->model, (unsigned long long)id->sectors, bs, id->lba48 ? 48 : 28,
	       id->flush || id->flush_ext ? ", flush" : "", id->fua ? ", FUA" : "");
	if (len > l->size / 2)
		len = bs;
	buf = malloc(2 * (size_t)len);
	if (!buf) {
		report(r, blk->name, "reads", -ENOMEM, "no memory");
		return;
	}
	rc = ob_block_start(blk, &err);
	if (rc) {
		report(r, blk->name, "start", rc, "%.150s", err.what);
		goto free;
	}
	rc = read_twice(blk, 0, bs, buf);
	report(r, blk->name, "first block", rc, "read twice, compared");
	rc = read_twice(blk, l->size - bs, bs, buf);
	report(r, blk->name, "last block", rc, "read twice, compared");
	rc = read_twice(blk, 0, len, buf);
	report(r, blk->name, "longer read", rc, "%u bytes, read twice, compared", len);
	if (l->size > boundary) {
		rc = read_twice(blk, boundary - bs, bs, buf);
		report(r, blk->name, "across 28 bits", rc, "48-bit command at block %llu",
		       (unsigned long long)LBA28_SECTORS - 1);
	}
	rc = ob_block_can_flush(blk) ? ob_block_rw(blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0) : 1;
	report(r, blk->name, "flush", rc, "%s", rc > 0 ? "the disk has no flush" : "cache flushed");
	ob_block_stop(blk);
free:
	free(buf);
}

int ide_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct report r = {.lines = lines, .max = n};
	struct ide_controller *ide = b->priv;

	report(&r, "controller", ide->chip->name, 0, "%u disks, %u vectors", b->nr_blocks,
	       ide->nr_vectors);
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		test_disk(b->block[i], &r);
	return (int)r.n;
}
