/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * class/block alone: what it refuses, how it finds addresses, what it gives back. The driver below it is
 * a queue that does what a test tells it; the devices' own tests use real ones.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/block.h>

#include "tests/dma/fake.h"

enum {
	ARENA = 4 << 20,
	DEPTH = 8,
	MAX = 65536,
};
#define SIZE (64ull << 20)

/* A driver that holds requests until the test, or its own "now", completes them. */
struct disk {
	struct ob_block blk; /* first */
	struct fake *fake;
	struct ob_block_req *held[DEPTH * 2];
	unsigned int nr_held;
	struct ob_block_req *seen[64];
	ob_iova worked; /* where the last request's buffer was */
	unsigned int nr_seen;
	unsigned int room; /* takes at most so many */
	bool hold;	   /* until release() */
	unsigned int release;
	int status;
	unsigned int calls, ticks, arms, started;
	bool wake; /* irq_arm() releases everything and signals */
	void (*work)(struct disk *d, struct ob_block_req *req);
};

static struct disk *to_disk(struct ob_block *blk)
{
	return (struct disk *)blk;
}

static int disk_start(struct ob_block *blk, struct ob_error *err)
{
	to_disk(blk)->started++;
	return 0;
}

static void disk_stop(struct ob_block *blk)
{
	struct disk *d = to_disk(blk);

	d->status = -ECANCELED;
	d->hold = false;
}

static unsigned int disk_submit(struct ob_block *blk, unsigned int queue,
				struct ob_block_req **reqs, unsigned int n)
{
	struct disk *d = to_disk(blk);

	d->calls++;
	if (n > d->room)
		n = d->room;
	for (unsigned int i = 0; i < n; i++) {
		if (d->nr_seen < 64)
			d->seen[d->nr_seen++] = reqs[i];
		d->held[d->nr_held++] = reqs[i];
		if (d->work)
			d->work(d, reqs[i]);
	}
	return n;
}

static unsigned int disk_complete(struct ob_block *blk, unsigned int queue,
				  struct ob_block_req **reqs, unsigned int n)
{
	struct disk *d = to_disk(blk);
	unsigned int done = 0;

	while (done < n && d->nr_held && (!d->hold || d->release)) {
		struct ob_block_req *req = d->held[0];

		memmove(d->held, d->held + 1, --d->nr_held * sizeof(d->held[0]));
		if (d->hold)
			d->release--;
		req->status = (int16_t)d->status;
		reqs[done++] = req;
	}
	return done;
}

static bool disk_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	struct disk *d = to_disk(blk);
	uint64_t one = 1;

	if (!on)
		return false;
	d->arms++;
	if (d->wake) {
		d->release = d->nr_held;
		assert_int_equal(write(blk->irq_fd[queue], &one, sizeof(one)), sizeof(one));
	}
	return false;
}

static void disk_tick(struct ob_block *blk, uint64_t now_ns)
{
	struct disk *d = to_disk(blk);

	/* The third one ends what is held, as a time-out would. */
	if (++d->ticks == 3) {
		d->status = -ETIMEDOUT;
		d->release = d->nr_held;
	}
}

static bool yes(struct ob_block *blk)
{
	return true;
}

static void disk_stats(struct ob_block *blk, struct ob_block_stats *stats)
{
	stats->doorbells = 7;
	stats->reads = 1000; /* not the driver's to count */
}

static const struct ob_block_ops disk_ops = {
	.start = disk_start,
	.stop = disk_stop,
	.submit = disk_submit,
	.complete = disk_complete,
	.irq_arm = disk_arm,
	.tick = disk_tick,
	.can_fua = yes,
	.can_flush = yes,
	.can_discard = yes,
	.can_write_zeroes = yes,
	.stats = disk_stats,
};

static struct disk *disk_new(enum ob_dma_policy policy)
{
	struct disk *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->fake = fake_open(policy, ARENA, policy != OB_DMA_POOLED);
	d->room = DEPTH;
	d->blk.ops = &disk_ops;
	d->blk.dev = &d->fake->dev;
	d->blk.dma = d->fake->dev.dma;
	d->blk.driver = "test";
	strcpy(d->blk.name, "disk");
	d->blk.irq_fd[0] = -1;
	d->blk.limits = (struct ob_block_limits){
		.size = SIZE,
		.block_size = 512,
		.physical_block_size = 512,
		.max_transfer = MAX,
		.max_discard = 1 << 20,
		.max_zeroes = 1 << 19,
		.dma_align = 4,
		.queues = 1,
		.depth = DEPTH,
	};
	return d;
}

static struct disk *disk_open(void)
{
	struct disk *d = disk_new(OB_DMA_POOLED);

	assert_int_equal(ob_block_start(&d->blk, NULL), 0);
	return d;
}

static void disk_close(struct disk *d)
{
	struct ob_dma_stats dma;

	ob_block_stop(&d->blk);
	ob_dma_stats(d->blk.dma, &dma);
	assert_int_equal(dma.mapped, 0);
	assert_int_equal(dma.allocated, 0);
	fake_close(d->fake);
	free(d);
}

static struct ob_block_req *submit_one(struct disk *d, struct ob_block_req *req)
{
	assert_int_equal(ob_block_submit(&d->blk, 0, &req, 1), 1);
	return req;
}

static int status_of(struct disk *d, struct ob_block_req *req)
{
	struct ob_block_req *got = NULL;

	submit_one(d, req);
	assert_int_equal(ob_block_complete(&d->blk, 0, &got, 1), 1);
	assert_ptr_equal(got, req);
	return req->status;
}

/* ---- refusals -------------------------------------------------------------------- */

static void wrong_requests_come_back_with_their_status(void **state)
{
	struct disk *d = disk_open();
	char *buf = d->fake->arena;
	const struct {
		struct ob_block_req req;
		int status;
	} wrong[] = {
		{{.op = 5, .len = 512, .buf = buf}, -EOPNOTSUPP},
		{{.op = 255, .len = 512, .buf = buf}, -EOPNOTSUPP},
		{{.op = OB_BLOCK_READ, .len = 0, .buf = buf}, -EINVAL},
		{{.op = OB_BLOCK_READ, .len = 513, .buf = buf}, -EINVAL},
		{{.op = OB_BLOCK_READ, .len = 512, .offset = 1, .buf = buf}, -EINVAL},
		{{.op = OB_BLOCK_READ, .len = MAX + 512, .buf = buf}, -EINVAL},
		{{.op = OB_BLOCK_READ, .len = 512, .buf = NULL}, -EINVAL},
		{{.op = OB_BLOCK_READ, .len = 512, .buf = buf, .flags = OB_BLOCK_FUA}, -EINVAL},
		{{.op = OB_BLOCK_WRITE, .len = 512, .buf = buf, .flags = OB_BLOCK_MAY_UNMAP},
		 -EINVAL},
		{{.op = OB_BLOCK_WRITE, .len = 512, .buf = buf, .flags = 0x80}, -EINVAL},
		{{.op = OB_BLOCK_FLUSH, .flags = OB_BLOCK_FUA}, -EINVAL},
		{{.op = OB_BLOCK_DISCARD, .len = 512, .flags = OB_BLOCK_FUA}, -EINVAL},
		{{.op = OB_BLOCK_DISCARD, .len = (1 << 20) + 512}, -EINVAL},
		{{.op = OB_BLOCK_WRITE_ZEROES, .len = (1 << 19) + 512}, -EINVAL},
		{{.op = OB_BLOCK_READ, .len = 512, .offset = SIZE, .buf = buf}, -ERANGE},
		{{.op = OB_BLOCK_READ, .len = 1024, .offset = SIZE - 512, .buf = buf}, -ERANGE},
		{{.op = OB_BLOCK_WRITE, .len = MAX, .offset = UINT64_MAX - 511, .buf = buf},
		 -ERANGE},
		{{.op = OB_BLOCK_WRITE, .len = 512, .offset = 1ull << 63, .buf = buf}, -ERANGE},
		{{.op = OB_BLOCK_DISCARD, .len = 1 << 20, .offset = UINT64_MAX - 511}, -ERANGE},
	};

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ob_block_req req = wrong[i].req;

		req.map = (void *)1; /* whatever the caller left there */
		if (status_of(d, &req) != wrong[i].status)
			fail_msg("request %u: status %d, not %d", i, req.status, wrong[i].status);
	}
	assert_int_equal(d->nr_seen, 0);
	disk_close(d);
}

static void the_last_block_can_be_reached(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req = {.op = OB_BLOCK_READ,
				   .len = 512,
				   .offset = SIZE - 512,
				   .buf = d->fake->arena + ARENA - 512};

	assert_int_equal(status_of(d, &req), 0);
	assert_int_equal(req.iova.addr, d->blk.dma->iova + ARENA - 512);
	req.len = MAX;
	req.offset = SIZE - MAX;
	req.buf = d->fake->arena + ARENA - MAX;
	assert_int_equal(status_of(d, &req), 0);
	assert_int_equal(d->blk.bounced, 0);
	disk_close(d);
}

static void a_disk_smaller_than_a_transfer_works(void **state)
{
	struct disk *d = disk_new(OB_DMA_POOLED);
	struct ob_block_req req = {.op = OB_BLOCK_WRITE, .len = 1024, .buf = d->fake->arena};

	d->blk.limits.size = 1024;
	assert_int_equal(ob_block_start(&d->blk, NULL), 0);
	assert_int_equal(status_of(d, &req), 0);
	req.offset = 512;
	assert_int_equal(status_of(d, &req), -ERANGE);
	req.len = 512;
	assert_int_equal(status_of(d, &req), 0);
	disk_close(d);
}

static void a_read_only_disk_refuses_changes(void **state)
{
	struct disk *d = disk_new(OB_DMA_POOLED);
	struct ob_block_req req = {.len = 512, .buf = d->fake->arena};

	d->blk.limits.read_only = true;
	assert_int_equal(ob_block_start(&d->blk, NULL), 0);
	req.op = OB_BLOCK_WRITE;
	assert_int_equal(status_of(d, &req), -EROFS);
	req.op = OB_BLOCK_DISCARD;
	assert_int_equal(status_of(d, &req), -EROFS);
	req.op = OB_BLOCK_WRITE_ZEROES;
	assert_int_equal(status_of(d, &req), -EROFS);
	assert_int_equal(d->nr_seen, 0);
	req.op = OB_BLOCK_READ;
	assert_int_equal(status_of(d, &req), 0);
	req.op = OB_BLOCK_FLUSH;
	assert_int_equal(status_of(d, &req), 0);
	disk_close(d);
}

static void what_a_driver_cannot_is_not_asked_of_it(void **state)
{
	struct ob_block_ops ops = disk_ops;
	struct disk *d = disk_new(OB_DMA_POOLED);
	struct ob_block_req req = {.len = 512, .buf = d->fake->arena};

	ops.can_fua = ops.can_flush = ops.can_discard = ops.can_write_zeroes = NULL;
	d->blk.ops = &ops;
	assert_int_equal(ob_block_start(&d->blk, NULL), 0);
	for (req.op = OB_BLOCK_FLUSH; req.op <= OB_BLOCK_WRITE_ZEROES; req.op++)
		assert_int_equal(status_of(d, &req), -EOPNOTSUPP);
	req.op = OB_BLOCK_WRITE;
	req.flags = OB_BLOCK_FUA;
	assert_int_equal(status_of(d, &req), -EOPNOTSUPP);
	assert_false(ob_block_can_fua(&d->blk));
	assert_false(ob_block_can_multi_conn(&d->blk));
	assert_int_equal(d->nr_seen, 0);
	disk_close(d);
}

static void limits_that_make_no_sense_do_not_start(void **state)
{
	struct disk *d = disk_new(OB_DMA_POOLED);
	const struct ob_block_limits good = d->blk.limits;
	struct ob_error err;

#define REFUSES(member, value)                                                                     \
	do {                                                                                       \
		d->blk.limits = good;                                                              \
		d->blk.limits.member = (value);                                                    \
		assert_int_equal(ob_block_start(&d->blk, &err), -EINVAL);                          \
		assert_true(err.why[0]);                                                           \
	} while (0)
	REFUSES(block_size, 0);
	REFUSES(block_size, 256);
	REFUSES(block_size, 513);
	REFUSES(size, 0);
	REFUSES(size, SIZE + 1);
	REFUSES(max_transfer, 511);
	REFUSES(dma_align, 0);
	REFUSES(dma_align, 3);
	REFUSES(queues, 0);
	REFUSES(queues, OB_BLOCK_QUEUES + 1);
	REFUSES(depth, 0);
	assert_int_equal(d->started, 0);
	d->blk.limits = good;
	assert_int_equal(ob_block_start(&d->blk, &err), 0);
	assert_int_equal(ob_block_start(&d->blk, &err), -EBUSY);
	disk_close(d);
}

/* ---- order and room -------------------------------------------------------------- */

static void a_wrong_request_does_not_disturb_its_burst(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[6] = {0}, *reqs[6], *got[6];
	unsigned int n, wrong = 0;

	for (unsigned int i = 0; i < 6; i++) {
		reqs[i] = &req[i];
		req[i].op = OB_BLOCK_WRITE;
		req[i].len = 512;
		req[i].offset = i * 512;
		req[i].buf = d->fake->arena + i * 512;
	}
	req[0].len = 7;
	req[3].op = 99;
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs, 6), 6);
	assert_int_equal(d->nr_seen, 4);
	assert_ptr_equal(d->seen[0], &req[1]);
	assert_ptr_equal(d->seen[1], &req[2]);
	assert_ptr_equal(d->seen[2], &req[4]);
	assert_ptr_equal(d->seen[3], &req[5]);
	n = ob_block_complete(&d->blk, 0, got, 6);
	assert_int_equal(n, 6);
	for (unsigned int i = 0; i < n; i++)
		wrong += got[i]->status != 0;
	assert_int_equal(wrong, 2);
	assert_int_equal(req[0].status, -EINVAL);
	assert_int_equal(req[3].status, -EOPNOTSUPP);
	disk_close(d);
}

static void any_number_of_wrong_requests_can_wait(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[100] = {0}, *got[7];
	unsigned int n, all = 0;

	for (unsigned int i = 0; i < 100; i++)
		submit_one(d, &req[i]); /* a READ of no length */
	while ((n = ob_block_complete(&d->blk, 0, got, 7)) > 0) {
		for (unsigned int i = 0; i < n; i++) {
			assert_int_equal(got[i]->status, -EINVAL);
			got[i]->status = 1;
		}
		all += n;
	}
	assert_int_equal(all, 100);
	disk_close(d);
}

static void a_full_queue_takes_no_more(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[DEPTH + 4] = {0}, *reqs[DEPTH + 4], *got[DEPTH];

	for (unsigned int i = 0; i < DEPTH + 4; i++) {
		reqs[i] = &req[i];
		req[i].len = 512;
		req[i].buf = malloc(512); /* outside of the arena: needs a mapping each */
	}
	d->hold = true;
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs, DEPTH + 4), DEPTH);
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs + DEPTH, 4), 0);
	d->release = 3;
	assert_int_equal(ob_block_complete(&d->blk, 0, got, DEPTH), 3);
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs + DEPTH, 4), 3);
	d->hold = false;
	assert_int_equal(ob_block_complete(&d->blk, 0, got, DEPTH), DEPTH);
	for (unsigned int i = 0; i < DEPTH + 4; i++)
		free(req[i].buf);
	disk_close(d);
}

static void what_the_driver_does_not_take_is_not_mapped(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[4] = {0}, *reqs[4], *got[4];
	char buf[4][512];
	struct ob_dma_stats dma;

	for (unsigned int i = 0; i < 4; i++) {
		reqs[i] = &req[i];
		req[i].len = 512;
		req[i].buf = buf[i];
	}
	req[3].op = 77; /* behind what is not taken: not looked at yet */
	d->room = 2;
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs, 4), 2);
	ob_dma_stats(d->blk.dma, &dma);
	assert_int_equal(dma.mapped, 2);
	assert_int_equal(ob_block_complete(&d->blk, 0, got, 4), 2);
	ob_dma_stats(d->blk.dma, &dma);
	assert_int_equal(dma.mapped, 0);
	disk_close(d);
}

/* ---- buffers --------------------------------------------------------------------- */

static char stored[MAX];

/* As a device: moves bytes by the address that it was given, through the IOMMU where there is one. */
static void work_as_disk(struct disk *d, struct ob_block_req *req)
{
	bool translated = ob_dma_policy(d->blk.dma) != OB_DMA_POOLED;
	char *direct = d->fake->arena + (req->iova.addr - d->blk.dma->iova);

	d->worked = req->iova;
	if (req->op == OB_BLOCK_WRITE && translated)
		assert_int_equal(fake_device_read(d->fake, req->iova, stored, req->len), 0);
	else if (req->op == OB_BLOCK_WRITE)
		memcpy(stored, direct, req->len);
	else if (translated)
		assert_int_equal(fake_device_write(d->fake, req->iova, stored, req->len), 0);
	else
		memcpy(direct, stored, req->len);
}

static void check_both_ways(struct disk *d, char *buf, uint32_t len, uint64_t bounced)
{
	struct ob_block_req req = {.op = OB_BLOCK_WRITE, .len = len, .buf = buf};
	uint64_t before = d->blk.bounced;

	d->work = work_as_disk;
	for (uint32_t i = 0; i < len; i++)
		buf[i] = (char)(i * 7 + 3);
	assert_int_equal(status_of(d, &req), 0);
	memset(buf, 0, len);
	req.op = OB_BLOCK_READ;
	assert_int_equal(status_of(d, &req), 0);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(buf[i], (char)(i * 7 + 3));
	assert_int_equal(d->blk.bounced - before, bounced);
}

static void an_arena_buffer_is_used_in_place(void **state)
{
	struct disk *d = disk_open();
	struct ob_dma_stats dma;

	check_both_ways(d, d->fake->arena + 4096, MAX, 0);
	check_both_ways(d, d->fake->arena + 4096 + 4, 512, 0);
	assert_int_equal(d->worked.addr, d->blk.dma->iova + 4096 + 4);
	ob_dma_stats(d->blk.dma, &dma);
	assert_int_equal(dma.ways[OB_DMA_WAY_ARENA] + dma.ways[OB_DMA_WAY_BOUNCE], 0);
	disk_close(d);
}

static void other_buffers_are_bounced(void **state)
{
	struct disk *d = disk_open();
	char *buf = malloc(MAX + 8);

	check_both_ways(d, buf, MAX, 2);
	/* Not aligned: in the arena or not, the class has to bounce by itself. */
	check_both_ways(d, buf + 1, 512, 2);
	check_both_ways(d, buf + 3, MAX, 2);
	check_both_ways(d, d->fake->arena + 4096 + 2, 4096, 2);
	free(buf);
	disk_close(d);
}

static void a_short_read_does_not_show_what_was_in_the_bounce_buffer(void **state)
{
	struct disk *d = disk_open();
	char buf[516];
	struct ob_block_req req = {.op = OB_BLOCK_WRITE, .len = 512, .buf = buf + 1};

	memset(buf, 's', sizeof(buf));
	assert_int_equal(status_of(d, &req), 0);
	req.op = OB_BLOCK_READ;
	assert_int_equal(status_of(d, &req), 0); /* the driver writes nothing */
	for (unsigned int i = 0; i < 512; i++)
		assert_int_equal(buf[1 + i], 0);
	disk_close(d);
}

static void a_strict_policy_opens_arena_pages_for_the_request_only(void **state)
{
	struct disk *d = disk_new(OB_DMA_STRICT);
	unsigned int before;

	assert_int_equal(ob_block_start(&d->blk, NULL), 0);
	before = d->fake->mapped;
	check_both_ways(d, d->fake->arena + 65536, 8192, 0);
	assert_int_equal(d->fake->mapped, before);
	assert_true(d->fake->maps > 0);
	disk_close(d);
}

static void memory_for_bounces_running_out_is_a_full_queue(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[2] = {0}, *reqs[2] = {&req[0], &req[1]}, *got[2];
	char *buf = malloc(2 * MAX);
	void *hog[64];
	unsigned int hogs = 0;

	/* Leave room for one bounce buffer, not for two. */
	while (hogs < 64 && (hog[hogs] = ob_dma_alloc(d->blk.dma, MAX, 4096, "hog", NULL)))
		hogs++;
	assert_true(hogs > 2);
	ob_dma_free(d->blk.dma, hog[--hogs]);
	for (unsigned int i = 0; i < 2; i++) {
		req[i].op = OB_BLOCK_WRITE;
		req[i].len = MAX;
		req[i].buf = buf + i * MAX + 1;
		req[i].offset = i * MAX;
	}
	req[1].len = MAX - 512;
	d->hold = true;
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs, 2), 1);
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs + 1, 1), 0);
	d->release = 1;
	assert_int_equal(ob_block_complete(&d->blk, 0, got, 2), 1);
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs + 1, 1), 1);
	d->release = 1;
	assert_int_equal(ob_block_complete(&d->blk, 0, got, 2), 1);
	/* With nothing in flight there is nothing to wait for. */
	ob_block_stop(&d->blk);
	while (hogs < 64 && (hog[hogs] = ob_dma_alloc(d->blk.dma, MAX, 4096, "hog", NULL)))
		hogs++;
	d->status = 0;
	assert_int_equal(ob_block_start(&d->blk, NULL), 0);
	assert_int_equal(status_of(d, &req[0]), -ENOMEM);
	while (hogs)
		ob_dma_free(d->blk.dma, hog[--hogs]);
	free(buf);
	disk_close(d);
}

/* ---- ends ------------------------------------------------------------------------ */

static void a_device_that_is_gone_ends_requests(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req = {.len = 512, .buf = d->fake->arena};

	d->fake->dev.gone = 1;
	assert_int_equal(status_of(d, &req), -ENODEV);
	assert_int_equal(d->nr_seen, 0);
	ob_block_stop(&d->blk);
	assert_int_equal(ob_block_start(&d->blk, NULL), -ENODEV);
	d->fake->dev.gone = 0;
	disk_close(d);
}

static void stop_cancels_and_lets_collect(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[3] = {0}, *reqs[3], *got[4];
	struct ob_block_stats stats;
	struct ob_dma_stats dma;
	char buf[512];

	for (unsigned int i = 0; i < 3; i++) {
		reqs[i] = &req[i];
		req[i].len = 512;
		req[i].buf = i ? buf : d->fake->arena;
	}
	req[2].op = 9;
	d->hold = true;
	assert_int_equal(ob_block_submit(&d->blk, 0, reqs, 3), 3);
	ob_block_stop(&d->blk);
	ob_dma_stats(d->blk.dma, &dma);
	assert_int_equal(dma.mapped, 0);
	assert_int_equal(ob_block_complete(&d->blk, 0, got, 4), 3);
	assert_int_equal(req[0].status, -ECANCELED);
	assert_int_equal(req[1].status, -ECANCELED);
	assert_int_equal(req[2].status, -EOPNOTSUPP);
	assert_int_equal(status_of(d, &req[0]), -ECANCELED);
	ob_block_stats(&d->blk, &stats);
	assert_int_equal(stats.errors, 3);
	disk_close(d);
}

static void statistics_count_what_ended_well(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_stats stats;
	struct ob_block_req *got;

	for (unsigned int i = 0; i < 3; i++) {
		struct ob_block_req req = {
			.op = (uint8_t)(i & 1), .len = 4096, .buf = d->fake->arena};

		assert_int_equal(status_of(d, &req), 0);
	}
	d->status = -EILSEQ;
	{
		struct ob_block_req req = {.len = 512, .buf = d->fake->arena};

		assert_int_equal(status_of(d, &req), -EILSEQ);
	}
	assert_int_equal(ob_block_complete(&d->blk, 0, &got, 1), 0);
	ob_block_stop(&d->blk);
	ob_block_stats(&d->blk, &stats);
	assert_int_equal(stats.reads, 2);
	assert_int_equal(stats.read_bytes, 8192);
	assert_int_equal(stats.writes, 1);
	assert_int_equal(stats.write_bytes, 4096);
	assert_int_equal(stats.errors, 1);
	assert_int_equal(stats.polls, 5);
	assert_int_equal(stats.empty_polls, 1);
	assert_int_equal(stats.doorbells, 7);
	disk_close(d);
}

/* ---- ob_block_rw() --------------------------------------------------------------- */

static void rw_splits_at_the_longest_transfer(void **state)
{
	struct disk *d = disk_open();
	char *buf = d->fake->arena;

	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_READ, 0, 512, buf, 5 * MAX + 512), 0);
	assert_int_equal(d->nr_seen, 6);
	d->nr_seen = 0;
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_DISCARD, 0, 0, NULL, 4 << 20), 0);
	assert_int_equal(d->nr_seen, 4);
	d->nr_seen = 0;
	assert_int_equal(
		ob_block_rw(&d->blk, 0, OB_BLOCK_WRITE_ZEROES, OB_BLOCK_FUA, 0, NULL, 4 << 20), 0);
	assert_int_equal(d->nr_seen, 8);
	d->nr_seen = 0;
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(d->nr_seen, 1);
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_READ, 0, 0, buf, 0), 0);
	assert_int_equal(d->nr_seen, 1);
	disk_close(d);
}

static void rw_changes_nothing_when_the_range_is_wrong(void **state)
{
	struct disk *d = disk_open();
	char *buf = d->fake->arena;

	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_WRITE, 0, SIZE - MAX, buf, 2 * MAX),
			 -ERANGE);
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_WRITE, 0, UINT64_MAX - 511, buf, 1024),
			 -ERANGE);
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_WRITE, 0, 0, buf, 1025), -EINVAL);
	assert_int_equal(ob_block_rw(&d->blk, 1, OB_BLOCK_WRITE, 0, 0, buf, 512), -EINVAL);
	assert_int_equal(d->nr_seen, 0);
	disk_close(d);
}

static void rw_returns_the_first_failure(void **state)
{
	struct disk *d = disk_open();

	d->status = -EILSEQ;
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_READ, 0, 0, d->fake->arena, 3 * MAX),
			 -EILSEQ);
	assert_int_equal(d->nr_held, 0);
	disk_close(d);
}

static void rw_sleeps_until_the_interrupt(void **state)
{
	struct disk *d = disk_open();

	d->blk.irq_fd[0] = eventfd(0, EFD_CLOEXEC);
	d->hold = true;
	d->wake = true;
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_READ, 0, 0, d->fake->arena, MAX), 0);
	assert_true(d->arms >= 1);
	close(d->blk.irq_fd[0]);
	disk_close(d);
}

static void rw_ticks_so_that_a_silent_disk_times_out(void **state)
{
	struct disk *d = disk_open();

	d->blk.irq_fd[0] = eventfd(0, EFD_CLOEXEC);
	d->hold = true;
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_READ, 0, 0, d->fake->arena, MAX),
			 -ETIMEDOUT);
	assert_true(d->ticks >= 3);
	close(d->blk.irq_fd[0]);
	/* The same without a vector to sleep on. */
	d->blk.irq_fd[0] = -1;
	d->ticks = 0;
	d->status = 0;
	assert_int_equal(ob_block_rw(&d->blk, 0, OB_BLOCK_READ, 0, 0, d->fake->arena, MAX),
			 -ETIMEDOUT);
	disk_close(d);
}

/* ---- ages -------------------------------------------------------------------------- */

#define STEP 100ull

static void the_oldest_request_is_known_among_others(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req stuck = {.len = 512, .buf = d->fake->arena};
	struct ob_block_req other = {.len = 512, .buf = d->fake->arena + 512}, *got;
	uint64_t now = 1000, age = 0;

	d->hold = true;
	assert_int_equal(ob_block_oldest(&d->blk, now, STEP), 0);
	submit_one(d, &stuck);
	for (unsigned int i = 0; i < 40; i++) {
		submit_one(d, &other);
		/* The first one stays, the one behind it ends. */
		got = d->held[0];
		d->held[0] = d->held[1];
		d->held[1] = got;
		d->release = 1;
		assert_int_equal(ob_block_complete(&d->blk, 0, &got, 1), 1);
		assert_ptr_equal(got, &other);
		now += STEP / 2;
		age = ob_block_oldest(&d->blk, now, STEP);
		assert_true(age <= now - 1000);
		/* Too low by a step and the time between two calls at most. */
		assert_true(age + STEP + STEP / 2 >= now - 1000);
	}
	d->hold = false;
	assert_int_equal(ob_block_complete(&d->blk, 0, &got, 1), 1);
	assert_int_equal(ob_block_oldest(&d->blk, now + 1, STEP), 0);
	disk_close(d);
}

static void a_busy_disk_has_no_old_requests(void **state)
{
	struct disk *d = disk_open();
	struct ob_block_req req[2] = {{.len = 512, .buf = d->fake->arena}, {.op = OB_BLOCK_FLUSH}};
	struct ob_block_req *got;
	uint64_t now = 1;

	/* There is always one in flight, and none for long. */
	submit_one(d, &req[0]);
	for (unsigned int i = 1; i < 100; i++) {
		submit_one(d, &req[i % 2]);
		assert_int_equal(ob_block_complete(&d->blk, 0, &got, 1), 1);
		assert_ptr_equal(got, &req[(i + 1) % 2]);
		now += STEP;
		assert_true(ob_block_oldest(&d->blk, now, STEP) <= 2 * STEP);
	}
	assert_int_equal(ob_block_complete(&d->blk, 0, &got, 1), 1);
	disk_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_requests_come_back_with_their_status),
		cmocka_unit_test(the_last_block_can_be_reached),
		cmocka_unit_test(a_disk_smaller_than_a_transfer_works),
		cmocka_unit_test(a_read_only_disk_refuses_changes),
		cmocka_unit_test(what_a_driver_cannot_is_not_asked_of_it),
		cmocka_unit_test(limits_that_make_no_sense_do_not_start),
		cmocka_unit_test(a_wrong_request_does_not_disturb_its_burst),
		cmocka_unit_test(any_number_of_wrong_requests_can_wait),
		cmocka_unit_test(a_full_queue_takes_no_more),
		cmocka_unit_test(what_the_driver_does_not_take_is_not_mapped),
		cmocka_unit_test(an_arena_buffer_is_used_in_place),
		cmocka_unit_test(other_buffers_are_bounced),
		cmocka_unit_test(a_short_read_does_not_show_what_was_in_the_bounce_buffer),
		cmocka_unit_test(a_strict_policy_opens_arena_pages_for_the_request_only),
		cmocka_unit_test(memory_for_bounces_running_out_is_a_full_queue),
		cmocka_unit_test(a_device_that_is_gone_ends_requests),
		cmocka_unit_test(stop_cancels_and_lets_collect),
		cmocka_unit_test(statistics_count_what_ended_well),
		cmocka_unit_test(rw_splits_at_the_longest_transfer),
		cmocka_unit_test(rw_changes_nothing_when_the_range_is_wrong),
		cmocka_unit_test(rw_returns_the_first_failure),
		cmocka_unit_test(rw_sleeps_until_the_interrupt),
		cmocka_unit_test(rw_ticks_so_that_a_silent_disk_times_out),
		cmocka_unit_test(the_oldest_request_is_known_among_others),
		cmocka_unit_test(a_busy_disk_has_no_old_requests),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
