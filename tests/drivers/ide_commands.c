/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the IDE driver tells a disk to do, and what it makes of answers that no device model gives when it
 * is asked to: against a controller in memory (fake_ide.c), which shows every register.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/drivers/fake_ide.h"

#define SECOND 1000000000ull

struct rig {
	struct fake_ide *f;
	struct ob_binding *b;
	struct ob_block *blk;
	char *buf; /* 1 MiB of the arena, aligned to 64 KiB */
	uint64_t now;
};

static void bind_config(struct rig *r, const struct ob_driver_config *config)
{
	struct ob_error err = {0};

	if (ob_driver_bind(&r->f->dev, NULL, config, &r->b, &err))
		fail_msg("%s (%s)", err.what, err.why);
	r->blk = r->b->block[0];
	if (ob_block_start(r->blk, &err))
		fail_msg("%s", err.what);
	r->buf = ob_dma_alloc(r->blk->dma, 1 << 20, 1 << 16, "test", NULL);
	assert_non_null(r->buf);
	r->f->nr_commands = 0;
	r->now = SECOND;
}

static void bind(struct rig *r)
{
	static const struct ob_driver_config config = {.timeout_ms = 1000};

	bind_config(r, &config);
}

static void finish(struct rig *r)
{
	ob_dma_free(r->f->dev.dma, r->buf);
	ob_block_stop(r->blk);
	ob_driver_unbind(r->b);
	assert_int_equal(r->f->bad, 0);
	fake_ide_close(r->f);
}

static struct ob_block_req request(struct rig *r, enum ob_block_op op, uint64_t sector,
				   uint32_t sectors)
{
	return (struct ob_block_req){
		.op = op,
		.offset = sector * 512,
		.len = op == OB_BLOCK_FLUSH ? 0 : sectors * 512,
		.buf = op == OB_BLOCK_FLUSH ? NULL : r->buf,
	};
}

/* Submit all, then collect all; time passes when nothing else does. */
static void run(struct rig *r, struct ob_block_req *reqs, unsigned int n)
{
	struct ob_block_req *p[64], *done[64];
	unsigned int got = 0;

	assert_true(n <= 64);
	for (unsigned int i = 0; i < n; i++)
		p[i] = &reqs[i];
	assert_int_equal(ob_block_submit(r->blk, 0, p, n), n);
	for (int rounds = 0; got < n; rounds++) {
		unsigned int k = ob_block_complete(r->blk, 0, done, 64);

		got += k;
		if (!k) {
			r->now += SECOND / 10;
			r->blk->ops->tick(r->blk, r->now);
		}
		assert_true(rounds < 2000);
	}
}

static int run_one(struct rig *r, enum ob_block_op op, uint64_t sector, uint32_t sectors)
{
	struct ob_block_req req = request(r, op, sector, sectors);

	run(r, &req, 1);
	return req.status;
}

/* ---- commands --------------------------------------------------------------------------- */

static void commands_are_28_bit_where_that_is_enough(void **state)
{
	static const struct {
		enum ob_block_op op;
		uint64_t sector;
		uint32_t sectors;
		uint8_t command;
	} cases[] = {
		{OB_BLOCK_READ, 0, 1, ATA_READ_DMA},
		{OB_BLOCK_WRITE, 17, 8, ATA_WRITE_DMA},
		{OB_BLOCK_READ, 5, 256, ATA_READ_DMA},
		{OB_BLOCK_READ, 5, 257, ATA_READ_DMA_EXT},
		{OB_BLOCK_WRITE, 5, 2048, ATA_WRITE_DMA_EXT},
		{OB_BLOCK_READ, 0x0ffffffe, 1, ATA_READ_DMA},
		{OB_BLOCK_READ, 0x0fffffff, 1, ATA_READ_DMA_EXT},
		{OB_BLOCK_WRITE, 0x0fffff00, 256, ATA_WRITE_DMA_EXT},
		{OB_BLOCK_READ, 0x123456789a, 3, ATA_READ_DMA_EXT},
		{OB_BLOCK_FLUSH, 0, 0, ATA_FLUSH_CACHE_EXT},
	};
	struct rig r = {.f = fake_ide_open()};

	fake_ide_add(r.f, 0, 1ull << 40, true);
	bind(&r);
	assert_int_equal(r.blk->limits.size, 512ull << 40);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_command *c = &r.f->command[0];

		r.f->nr_commands = 0;
		assert_int_equal(run_one(&r, cases[i].op, cases[i].sector, cases[i].sectors), 0);
		assert_int_equal(r.f->nr_commands, 1);
		assert_int_equal(c->command, cases[i].command);
		if (cases[i].op == OB_BLOCK_FLUSH)
			continue;
		assert_int_equal(c->lba, cases[i].sector);
		assert_int_equal(c->count, cases[i].sectors);
	}
	finish(&r);
}

static void a_disk_without_48_bits_gets_no_48_bit_command(void **state)
{
	struct rig r = {.f = fake_ide_open()};

	fake_ide_add(r.f, 0, 0x0fffffff, false);
	bind(&r);
	assert_int_equal(r.blk->limits.size, 0x0fffffffull * 512);
	assert_int_equal(r.blk->limits.max_transfer, 256 * 512);
	assert_false(ob_block_can_fua(r.blk));
	assert_int_equal(run_one(&r, OB_BLOCK_READ, 0x0ffffffe, 1), 0);
	assert_int_equal(r.f->command[0].command, ATA_READ_DMA);
	assert_int_equal(r.f->command[0].lba, 0x0ffffffe);
	assert_int_equal(run_one(&r, OB_BLOCK_WRITE, 0x0fffff00 - 1, 256), 0);
	assert_int_equal(r.f->command[1].command, ATA_WRITE_DMA);
	assert_int_equal(r.f->command[1].count, 256);
	assert_int_equal(run_one(&r, OB_BLOCK_FLUSH, 0, 0), 0);
	assert_int_equal(r.f->command[2].command, ATA_FLUSH_CACHE);
	finish(&r);
}

static void fua_is_asked_for_only_when_the_disk_has_it(void **state)
{
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req req;

	bind(&r);
	assert_true(ob_block_can_fua(r.blk));
	req = request(&r, OB_BLOCK_WRITE, 3, 2);
	req.flags = OB_BLOCK_FUA;
	run(&r, &req, 1);
	assert_int_equal(req.status, 0);
	assert_int_equal(r.f->command[0].command, ATA_WRITE_DMA_FUA_EXT);
	assert_int_equal(r.f->command[0].lba, 3);
	finish(&r);

	r.f = fake_ide_open();
	r.f->drive[0].identify[84] = 0x4000;
	bind(&r);
	assert_false(ob_block_can_fua(r.blk));
	finish(&r);
}

static void regions_end_at_64_kib_boundaries(void **state)
{
	struct rig r = {.f = fake_ide_open()};
	struct fake_command *c = &r.f->command[0];
	struct ob_block_req req;
	uint64_t sum = 0;

	bind(&r);
	for (unsigned int i = 0; i < 300 * 512; i++)
		r.f->drive[0].content[i] = (uint8_t)(i * 31 + (i >> 9));
	req = request(&r, OB_BLOCK_READ, 0, 300);
	req.buf = r.buf + 4096 + 4; /* as unaligned as dma_align allows */
	run(&r, &req, 1);
	assert_int_equal(req.status, 0);
	assert_memory_equal(req.buf, r.f->drive[0].content, req.len);
	assert_int_equal(c->regions, 3);
	for (unsigned int i = 0; i < c->regions; i++) {
		assert_true((c->address[i] & 0xffff) + c->bytes[i] <= 0x10000);
		sum += c->bytes[i];
	}
	assert_int_equal(sum, req.len);

	/* A region of exactly 64 KiB is written as 0. */
	assert_int_equal(run_one(&r, OB_BLOCK_READ, 0, 128), 0);
	assert_int_equal(r.f->command[1].regions, 1);
	assert_int_equal(r.f->command[1].bytes[0], 0x10000);
	finish(&r);
}

static void a_request_costs_two_register_reads(void **state)
{
	struct rig r = {.f = fake_ide_open()};
	unsigned int before;

	bind(&r);
	run_one(&r, OB_BLOCK_READ, 0, 8); /* selects the device, which costs more */
	before = r.f->reads;
	for (int i = 0; i < 100; i++)
		assert_int_equal(run_one(&r, OB_BLOCK_READ, (uint64_t)i * 16, 8), 0);
	assert_int_equal(r.f->reads - before, 200);
	finish(&r);
}

/* ---- merging ------------------------------------------------------------------------------- */

/* Eight writes; the first is with the disk when the others come. */
static void eight_writes(struct rig *r, struct ob_block_req *reqs, const uint64_t *sectors)
{
	for (unsigned int i = 0; i < 8; i++) {
		reqs[i] = request(r, OB_BLOCK_WRITE, sectors[i], 4);
		reqs[i].buf = r->buf + 4096 * i;
		memset(reqs[i].buf, (int)('a' + i), 4 * 512);
	}
}

static void adjacent_requests_become_one_command(void **state)
{
	static const uint64_t sectors[8] = {100, 104, 108, 112, 116, 120, 124, 128};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[8];

	bind(&r);
	eight_writes(&r, reqs, sectors);
	run(&r, reqs, 8);
	assert_int_equal(r.f->nr_commands, 1);
	assert_int_equal(r.f->command[0].lba, 100);
	assert_int_equal(r.f->command[0].count, 32);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(reqs[i].status, 0);
		assert_memory_equal(r.f->drive[0].content + sectors[i] * 512, reqs[i].buf, 4 * 512);
	}
	finish(&r);
}

static void only_adjacent_requests_of_a_kind_are_merged(void **state)
{
	static const uint64_t sectors[8] = {100, 104, 200, 204, 204, 96, 100, 104};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[8];

	bind(&r);
	eight_writes(&r, reqs, sectors);
	reqs[1].op = OB_BLOCK_READ;
	reqs[7].flags = OB_BLOCK_FUA;
	run(&r, reqs, 8);
	/* 100 | read 104 | 200+204 | 204 | 96+100 | FUA 104 */
	assert_int_equal(r.f->nr_commands, 6);
	assert_int_equal(r.f->command[2].count, 8);
	assert_int_equal(r.f->command[4].count, 8);
	/* In order: what was written last to 204 and 100 is there. */
	assert_memory_equal(r.f->drive[0].content + 204 * 512, reqs[4].buf, 4 * 512);
	assert_memory_equal(r.f->drive[0].content + 100 * 512, reqs[6].buf, 4 * 512);
	finish(&r);
}

static void a_flush_waits_for_the_writes_before_it(void **state)
{
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[3];

	bind(&r);
	reqs[0] = request(&r, OB_BLOCK_WRITE, 10, 4);
	reqs[1] = request(&r, OB_BLOCK_FLUSH, 0, 0);
	reqs[2] = request(&r, OB_BLOCK_WRITE, 14, 4);
	run(&r, reqs, 3);
	assert_int_equal(r.f->nr_commands, 3);
	assert_int_equal(r.f->command[0].command, ATA_WRITE_DMA);
	assert_int_equal(r.f->command[1].command, ATA_FLUSH_CACHE_EXT);
	assert_int_equal(r.f->command[2].command, ATA_WRITE_DMA);
	finish(&r);
}

static void of_merged_requests_only_the_bad_one_fails(void **state)
{
	static const uint64_t sectors[8] = {0, 4, 8, 12, 16, 20, 24, 28};
	static const struct fake_outcome outcomes[] = {
		{.status = ATA_ERR, .error = ATA_UNC}, /* all together */
		{0},
		{0},
		{.status = ATA_ERR, .error = ATA_UNC}, /* the third alone */
	};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_stats stats;
	struct ob_block_req reqs[8];

	bind(&r);
	fake_ide_script(r.f, outcomes, 4);
	eight_writes(&r, reqs, sectors);
	run(&r, reqs, 8);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(reqs[i].status, i == 2 ? -EILSEQ : 0);
	assert_int_equal(r.f->nr_commands, 9);
	ob_block_stats(r.blk, &stats);
	assert_int_equal(stats.writes, 7);
	assert_int_equal(stats.errors, 1);

	/* And merging is back afterwards. */
	r.f->nr_commands = 0;
	run(&r, reqs, 8);
	assert_int_equal(r.f->nr_commands, 1);
	finish(&r);
}

/* ---- errors ------------------------------------------------------------------------------------ */

static void error_registers_become_statuses(void **state)
{
	static const struct {
		struct fake_outcome o[3];
		int status;
		unsigned int commands, resets;
	} cases[] = {
		{{{.status = ATA_ERR, .error = ATA_UNC}}, -EILSEQ, 1, 0},
		{{{.status = ATA_ERR, .error = ATA_IDNF}}, -EIO, 1, 0},
		{{{.status = ATA_ERR, .error = ATA_ABRT}}, -EIO, 1, 0},
		{{{.status = ATA_DF}}, -EIO, 1, 0},
		/* What a cable damages is sent again, three times at most. */
		{{{.status = ATA_ERR, .error = ATA_ICRC | ATA_ABRT}}, 0, 2, 0},
		{{{.status = ATA_ERR, .error = ATA_ICRC},
		  {.status = ATA_ERR, .error = ATA_ICRC},
		  {.status = ATA_ERR, .error = ATA_ICRC}},
		 -EIO,
		 3,
		 0},
		{{{.bm = BM_ERROR}}, 0, 2, 0},
		{{{.bm = BM_ERROR}, {.bm = BM_ERROR}, {.bm = BM_ERROR}}, -EIO, 3, 0},
		{{{.not_ready = true}}, 0, 2, 0},
		/* Device and driver disagree on what is left to move. */
		{{{.status = ATA_DRQ}}, 0, 2, 1},
		{{{.bm = BM_ACTIVE}}, 0, 2, 1},
		{{{.bm = BM_ACTIVE}, {.bm = BM_ACTIVE}, {.bm = BM_ACTIVE}}, -EIO, 3, 3},
		/* The interrupt is there before the device is through. */
		{{{.busy_irq = true}}, 0, 1, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig r = {.f = fake_ide_open()};
		unsigned int before;

		bind(&r);
		before = r.f->resets;
		fake_ide_script(r.f, cases[i].o, 3);
		assert_int_equal(run_one(&r, OB_BLOCK_READ, 1, 1), cases[i].status);
		assert_int_equal(r.f->nr_commands, cases[i].commands);
		assert_int_equal(r.f->resets - before, cases[i].resets);
		/* Whatever it was, the next request is served. */
		r.f->nr_outcomes = 0;
		assert_int_equal(run_one(&r, OB_BLOCK_READ, 2, 1), 0);
		finish(&r);
	}
}

static void a_command_that_hangs_is_reset_and_tried_again(void **state)
{
	static const struct fake_outcome outcomes[] = {{.hang = true}};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_stats stats;

	bind(&r);
	fake_ide_script(r.f, outcomes, 1);
	assert_int_equal(run_one(&r, OB_BLOCK_WRITE, 1, 1), 0);
	ob_block_stats(r.blk, &stats);
	assert_int_equal(stats.timeouts, 1);
	assert_int_equal(stats.resets, 1);
	assert_int_equal(r.f->nr_commands, 2);
	finish(&r);
}

static void a_command_that_always_hangs_times_out_and_others_go_on(void **state)
{
	static const struct fake_outcome outcomes[] = {
		{.hang = true}, {.hang = true}, {.hang = true}};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[3];

	bind(&r);
	fake_ide_script(r.f, outcomes, 3);
	reqs[0] = request(&r, OB_BLOCK_READ, 1, 1);
	reqs[1] = request(&r, OB_BLOCK_READ, 50, 1);
	reqs[2] = request(&r, OB_BLOCK_FLUSH, 0, 0);
	run(&r, reqs, 3);
	assert_int_equal(reqs[0].status, -ETIMEDOUT);
	assert_int_equal(reqs[1].status, 0);
	assert_int_equal(reqs[2].status, 0);
	finish(&r);
}

static void a_flush_may_take_four_times_as_long(void **state)
{
	static const struct fake_outcome outcomes[] = {{.hang = true}};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req req, *p = &req;
	struct ob_block_stats stats;

	bind(&r);
	fake_ide_script(r.f, outcomes, 1);
	req = request(&r, OB_BLOCK_FLUSH, 0, 0);
	assert_int_equal(ob_block_submit(r.blk, 0, &p, 1), 1);
	r.blk->ops->tick(r.blk, r.now);
	r.blk->ops->tick(r.blk, r.now + 4 * SECOND - 1);
	ob_block_stats(r.blk, &stats);
	assert_int_equal(stats.timeouts, 0);
	r.blk->ops->tick(r.blk, r.now + 4 * SECOND);
	ob_block_stats(r.blk, &stats);
	assert_int_equal(stats.timeouts, 1);
	assert_int_equal(ob_block_complete(r.blk, 0, &p, 1), 1);
	assert_int_equal(req.status, 0);
	finish(&r);
}

static void a_disk_that_stays_in_reset_fails_everything(void **state)
{
	static const struct fake_outcome outcomes[] = {{.hang = true}};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[3];

	bind(&r);
	fake_ide_script(r.f, outcomes, 1);
	r.f->hang_reset = true;
	for (unsigned int i = 0; i < 3; i++)
		reqs[i] = request(&r, OB_BLOCK_READ, 10 * i, 1);
	run(&r, reqs, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(reqs[i].status, -EIO);
	assert_true(r.now >= 32 * SECOND);
	/* And what comes later ends at once. */
	assert_int_equal(run_one(&r, OB_BLOCK_READ, 0, 1), -EIO);
	assert_int_equal(r.f->nr_commands, 1);
	finish(&r);
}

static void removal_ends_all_requests(void **state)
{
	static const struct fake_outcome outcomes[] = {{.hang = true}};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[4], *p[4], *done[4];
	unsigned int got = 0;

	bind(&r);
	fake_ide_script(r.f, outcomes, 1);
	for (unsigned int i = 0; i < 4; i++) {
		reqs[i] = request(&r, OB_BLOCK_READ, 10 * i, 1);
		p[i] = &reqs[i];
	}
	assert_int_equal(ob_block_submit(r.blk, 0, p, 4), 4);
	ob_device_set_gone(&r.f->dev);
	for (int i = 0; i < 10; i++)
		got += ob_block_complete(r.blk, 0, done, 4);
	assert_int_equal(got, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(reqs[i].status, -ENODEV);
	finish(&r);
}

static void stop_cancels_what_waits_and_lets_the_running_command_end(void **state)
{
	static const struct fake_outcome outcomes[] = {{.hang = true}};
	struct ob_driver_config config = {.timeout_ms = 50};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req reqs[4], *p[4], *done[4];
	unsigned int got;

	bind_config(&r, &config);
	/* The first hangs; stop waits for it as long as a request may take, then resets. */
	fake_ide_script(r.f, outcomes, 1);
	for (unsigned int i = 0; i < 4; i++) {
		reqs[i] = request(&r, OB_BLOCK_READ, 10 * i, 1);
		p[i] = &reqs[i];
	}
	assert_int_equal(ob_block_submit(r.blk, 0, p, 4), 4);
	ob_block_stop(r.blk);
	got = ob_block_complete(r.blk, 0, done, 4);
	assert_int_equal(got, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(reqs[i].status, -ECANCELED);
	assert_int_equal(r.f->nr_commands, 1);
	assert_false(r.f->bm_command & BM_START);
	finish(&r);
}

/* Found by fuzz_ide_status: the retry was left with the device, and its request given back. */
static void stop_waits_for_a_retry_too(void **state)
{
	static const struct fake_outcome outcomes[] = {{.bm = BM_ERROR}, {.hang = true}};
	struct ob_driver_config config = {.timeout_ms = 50};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req req, *p = &req;

	bind_config(&r, &config);
	fake_ide_script(r.f, outcomes, 2);
	req = request(&r, OB_BLOCK_READ, 7, 1);
	assert_int_equal(ob_block_submit(r.blk, 0, &p, 1), 1);
	ob_block_stop(r.blk);
	assert_int_equal(ob_block_complete(r.blk, 0, &p, 1), 1);
	assert_int_equal(req.status, -ECANCELED);
	assert_int_equal(r.f->nr_commands, 2);
	assert_false(r.f->bm_command & BM_START);
	finish(&r);
}

/* ---- what is on the cable ------------------------------------------------------------------------ */

static void check_refused(struct fake_ide *f, const char *because)
{
	struct ob_error err = {0};
	struct ob_binding *b = NULL;

	assert_int_equal(ob_driver_bind(&f->dev, NULL, NULL, &b, &err), -ENODEV);
	assert_null(b);
	if (!strstr(err.why, because))
		fail_msg("\"%s\" does not say \"%s\"", err.why, because);
	fake_ide_close(f);
}

static void devices_that_are_no_disks_of_ours_are_refused_with_the_reason(void **state)
{
	struct fake_ide *f = fake_ide_open();

	f->drive[0].present = false;
	check_refused(f, "nothing is on its cables");

	f = fake_ide_open();
	f->drive[0].atapi = true;
	check_refused(f, "ide0-master (FAKE DISK): an ATAPI device");

	f = fake_ide_open();
	f->drive[0].identify[49] = 1 << 9;
	check_refused(f, "cannot do DMA");

	f = fake_ide_open();
	f->drive[0].identify[63] = 0x0007;
	check_refused(f, "no DMA mode");

	f = fake_ide_open();
	f->drive[0].identify[128] = 1 << 2;
	check_refused(f, "password");

	f = fake_ide_open();
	f->drive[0].identify[255] = 0x00a5; /* marked as summed up, and is not */
	check_refused(f, "checksum");

	f = fake_ide_open();
	f->drive[0].identify[103] = 1;
	check_refused(f, "48");
}

static void a_checksum_that_fits_is_believed(void **state)
{
	struct rig r = {.f = fake_ide_open()};
	uint16_t *id = r.f->drive[0].identify;
	uint8_t sum = 0xa5;

	for (unsigned int i = 0; i < 255; i++)
		sum = (uint8_t)(sum + (id[i] & 0xff) + (id[i] >> 8));
	id[255] = (uint16_t)((uint8_t)-sum << 8 | 0xa5);
	bind(&r);
	finish(&r);
}

static void sector_sizes_are_taken_from_identify(void **state)
{
	struct rig r = {.f = fake_ide_open()};
	uint16_t *id = r.f->drive[0].identify;

	id[106] = 0x4000 | 1 << 13 | 3;
	bind(&r);
	assert_int_equal(r.blk->limits.block_size, 512);
	assert_int_equal(r.blk->limits.physical_block_size, 4096);
	finish(&r);

	r.f = fake_ide_open();
	id = r.f->drive[0].identify;
	id[106] = 0x4000 | 1 << 12;
	id[117] = 2048;
	bind(&r);
	assert_int_equal(r.blk->limits.block_size, 4096);
	assert_int_equal(r.blk->limits.size, FAKE_SECTORS * 4096ull);
	finish(&r);
}

static void names_come_out_trimmed_and_printable(void **state)
{
	struct rig r = {.f = fake_ide_open()};

	fake_ide_text(r.f->drive[0].identify + 27, 20, "  A\001\xff disk");
	bind(&r);
	assert_string_equal(r.blk->model, "A?? disk");
	assert_string_equal(r.blk->serial, "SERIAL1");
	assert_string_equal(r.blk->name, "ide0-master");
	finish(&r);
}

static void master_and_slave_share_the_cable_in_turns(void **state)
{
	static const struct fake_outcome outcomes[] = {{.hang = true}};
	struct rig r = {.f = fake_ide_open()};
	struct ob_block_req one, two, *p = &one, *q = &two;
	struct ob_block *slave;

	fake_ide_add(r.f, 1, FAKE_SECTORS, true);
	bind(&r);
	assert_int_equal(r.b->nr_blocks, 2);
	slave = r.b->block[1];
	assert_string_equal(slave->name, "ide0-slave");
	assert_int_equal(ob_block_start(slave, NULL), 0);
	fake_ide_script(r.f, outcomes, 1);
	one = request(&r, OB_BLOCK_READ, 1, 1);
	two = request(&r, OB_BLOCK_READ, 2, 1);
	assert_int_equal(ob_block_submit(r.blk, 0, &p, 1), 1);
	assert_int_equal(ob_block_submit(slave, 0, &q, 1), 1);
	/* The master has the cable and hangs; when it is through, the slave is next. */
	assert_int_equal(r.f->nr_commands, 1);
	slave->ops->tick(slave, r.now);
	slave->ops->tick(slave, r.now + SECOND);
	assert_int_equal(ob_block_complete(r.blk, 0, &p, 1), 1);
	assert_int_equal(ob_block_complete(slave, 0, &q, 1), 1);
	assert_ptr_equal(p, &one);
	assert_ptr_equal(q, &two);
	assert_int_equal(one.status | two.status, 0);
	assert_int_equal(r.f->nr_commands, 3);
	assert_int_equal(r.f->command[1].unit, 0);
	assert_int_equal(r.f->command[2].unit, 1);
	ob_block_stop(slave);
	finish(&r);
}

/* ---- other chips: only what the table says of them; none of them was ever run ---------------------- */

static void cmd64x_differs_by_its_table_entry(void **state)
{
	struct rig r = {.f = fake_ide_open()};

	fake_ide_native(r.f, 0x1095, 0x0646);
	bind(&r);
	/* Channels on (CNTRL bits 2 and 3), and its own copy of the interrupt is cleared. */
	assert_int_equal(r.f->config[0x51], 0x0c);
	r.f->config[0x50] = 0;
	assert_int_equal(run_one(&r, OB_BLOCK_READ, 1, 1), 0);
	assert_int_equal(r.f->config[0x50], 0x04);
	finish(&r);
}

static void sii680_is_in_native_mode_whatever_its_class_code_says(void **state)
{
	struct rig r = {.f = fake_ide_open()};

	fake_ide_native(r.f, 0x1095, 0x0680);
	r.f->dev.info.class_code = 0x010400;
	bind(&r);
	assert_int_equal(run_one(&r, OB_BLOCK_READ, 1, 1), 0);
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_28_bit_where_that_is_enough),
		cmocka_unit_test(a_disk_without_48_bits_gets_no_48_bit_command),
		cmocka_unit_test(fua_is_asked_for_only_when_the_disk_has_it),
		cmocka_unit_test(regions_end_at_64_kib_boundaries),
		cmocka_unit_test(a_request_costs_two_register_reads),
		cmocka_unit_test(adjacent_requests_become_one_command),
		cmocka_unit_test(only_adjacent_requests_of_a_kind_are_merged),
		cmocka_unit_test(a_flush_waits_for_the_writes_before_it),
		cmocka_unit_test(of_merged_requests_only_the_bad_one_fails),
		cmocka_unit_test(error_registers_become_statuses),
		cmocka_unit_test(a_command_that_hangs_is_reset_and_tried_again),
		cmocka_unit_test(a_command_that_always_hangs_times_out_and_others_go_on),
		cmocka_unit_test(a_flush_may_take_four_times_as_long),
		cmocka_unit_test(a_disk_that_stays_in_reset_fails_everything),
		cmocka_unit_test(removal_ends_all_requests),
		cmocka_unit_test(stop_cancels_what_waits_and_lets_the_running_command_end),
		cmocka_unit_test(stop_waits_for_a_retry_too),
		cmocka_unit_test(devices_that_are_no_disks_of_ours_are_refused_with_the_reason),
		cmocka_unit_test(a_checksum_that_fits_is_believed),
		cmocka_unit_test(sector_sizes_are_taken_from_identify),
		cmocka_unit_test(names_come_out_trimmed_and_printable),
		cmocka_unit_test(master_and_slave_share_the_cable_in_turns),
		cmocka_unit_test(cmd64x_differs_by_its_table_entry),
		cmocka_unit_test(sii680_is_in_native_mode_whatever_its_class_code_says),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
