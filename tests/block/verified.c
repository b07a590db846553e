/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A verified disk (class/verify.h) in front of a driver that does not do what it says. Each open is a process of its own, with the memory of
 * those before; what is on the disk is looked at directly.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "class/verify.h"
#include "tests/attach/ram_disk.h"

enum {
	BLOCK = 4096,
	BLOCKS = 64,
	OTHER = 40, /* where what goes astray ends */
	LOG = 1 << 20,
	UNITS = BLOCK / 512, /* the disk's own blocks in one of ours */
};
#define SIZE (8ull << 20)

/* What the driver does with a request. */
enum lie {
	HONEST,
	DROPS_WRITES,
	WRITES_ELSEWHERE,
	READS_ELSEWHERE,
	READS_NOTHING,
	WRITES_FOR_READS,
	FAILS,	/* and does it */
	SHIFTS, /* writes and reads, so that they fit each other */
	ENDS_TWICE,
};

struct bench {
	struct ram_disk r; /* first: the driver below is it */
	struct ob_block_ops ops;
	const struct ob_block_ops *honest;
	enum lie lie;
	struct ob_block *blk;
	int fd;
	uint64_t log;
	unsigned int wrongs;
	char buf[BLOCKS * BLOCK];
};

/* ---- the driver -------------------------------------------------------------------------- */

static void bend(enum lie lie, struct ob_block_req *req)
{
	bool reads = req->op == OB_BLOCK_READ, writes = req->op == OB_BLOCK_WRITE;

	if ((lie == DROPS_WRITES && writes) || (lie == READS_NOTHING && reads))
		req->op = OB_BLOCK_FLUSH;
	else if (lie == WRITES_FOR_READS && reads)
		req->op = OB_BLOCK_WRITE;
	else if ((lie == WRITES_ELSEWHERE && writes) || (lie == READS_ELSEWHERE && reads))
		req->offset = OTHER * BLOCK;
	else if (lie == SHIFTS && (reads || writes))
		req->offset = (req->offset + BLOCK) % SIZE;
}

static unsigned int lying_submit(struct ob_block *blk, unsigned int queue,
				 struct ob_block_req **reqs, unsigned int n)
{
	struct bench *b = (struct bench *)(void *)blk;

	for (unsigned int i = 0; i < n; i++)
		bend(b->lie, reqs[i]);
	return b->honest->submit(blk, queue, reqs, n);
}

static unsigned int lying_complete(struct ob_block *blk, unsigned int queue,
				   struct ob_block_req **reqs, unsigned int n)
{
	struct bench *b = (struct bench *)(void *)blk;
	unsigned int done = b->honest->complete(blk, queue, reqs, n);

	if (b->lie == ENDS_TWICE && done && done < n) {
		reqs[done] = reqs[done - 1];
		done++;
	}
	for (unsigned int i = 0; b->lie == FAILS && i < done; i++)
		reqs[i]->status = -ETIMEDOUT;
	return done;
}

/* ---- processes --------------------------------------------------------------------------- */

static void note_wrong(void *arg, const struct ob_error *what)
{
	struct bench *b = arg;

	assert_int_equal(what->code, -EILSEQ);
	b->wrongs++;
}

/* Return: what its start said */
static int begin(struct bench *b, enum lie lie)
{
	const struct ob_verify_options o = {
		.fd = b->fd, .log = b->log, .wrong = note_wrong, .arg = b};
	struct ob_error err = {0};
	int ret;

	b->lie = lie;
	b->wrongs = 0;
	ret = ob_verify_open(&b->r.blk, &o, &b->blk, &err);
	if (!ret)
		ret = ob_block_start(b->blk, &err);
	if (ret && b->blk) {
		ob_verify_close(b->blk);
		b->blk = NULL;
	}
	return ret;
}

static void end(struct bench *b)
{
	ob_block_stop(b->blk);
	assert_ptr_equal(ob_verify_close(b->blk), &b->r.blk);
	b->blk = NULL;
}

static struct ob_verify_stats stats(const struct bench *b)
{
	struct ob_verify_stats s;

	assert_true(ob_verify_stats(b->blk, &s));
	assert_false(ob_verify_stats(&b->r.blk, &s));
	return s;
}

static char letter(unsigned int block, unsigned int turn)
{
	return (char)(block * 7 + turn * 31 + 1);
}

static int put(struct bench *b, unsigned int block, unsigned int turn)
{
	memset(b->buf, letter(block, turn), BLOCK);
	return ob_block_rw(b->blk, 0, OB_BLOCK_WRITE, 0, (uint64_t)block * BLOCK, b->buf, BLOCK);
}

static int get(struct bench *b, unsigned int block)
{
	memset(b->buf, 0x55, BLOCK);
	return ob_block_rw(b->blk, 0, OB_BLOCK_READ, 0, (uint64_t)block * BLOCK, b->buf, BLOCK);
}

static void assert_holds(const char *at, char c)
{
	for (unsigned int i = 0; i < BLOCK; i++)
		assert_int_equal(at[i], c);
}

static void assert_on_disk(const struct bench *b, unsigned int block, unsigned int turn)
{
	assert_holds(b->r.data + (size_t)block * BLOCK, letter(block, turn));
}

static void assert_all_on_disk(const struct bench *b, unsigned int turn)
{
	for (unsigned int i = 0; i < BLOCKS; i++)
		assert_on_disk(b, i, turn);
}

/* An honest process has written all blocks once. */
static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b)
		return -1;
	ram_disk_init(&b->r, SIZE);
	b->honest = b->r.blk.ops;
	b->ops = *b->honest;
	b->ops.submit = lying_submit;
	b->ops.complete = lying_complete;
	b->r.blk.ops = &b->ops;
	b->fd = memfd_create("verify", MFD_CLOEXEC);
	b->log = LOG;
	if (ram_disk_open(&b->r) || b->fd < 0 || ftruncate(b->fd, 1ll << OB_VERIFY_SHIFT) ||
	    begin(b, HONEST))
		return -1;
	for (unsigned int i = 0; i < BLOCKS; i++)
		if (put(b, i, 0))
			return -1;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	if (b->blk)
		end(b);
	ram_disk_close(&b->r);
	close(b->fd);
	free(b);
	return 0;
}

/* ---- tests ------------------------------------------------------------------------------- */

static void believes_an_honest_driver(void **state)
{
	struct bench *b = *state;
	unsigned int turn[BLOCKS] = {0};
	uint64_t random = 1;

	atomic_store(&b->r.shuffle, true);
	for (unsigned int n = 0; n < 3000; n++) {
		unsigned int i;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		i = (unsigned int)(random >> 40) % BLOCKS;
		if (random >> 63) {
			assert_int_equal(put(b, i, ++turn[i]), 0);
		} else {
			assert_int_equal(get(b, i), 0);
			assert_holds(b->buf, letter(i, turn[i]));
		}
		if (n % 500 == 0) {
			end(b);
			assert_int_equal(begin(b, HONEST), 0);
		}
	}
	assert_int_equal(b->wrongs, 0);
	assert_true(stats(b).written >= 1000);
	assert_int_equal(stats(b).wrong + stats(b).repaired + stats(b).lost, 0);
}

static void checks_long_requests_and_zeroes(void **state)
{
	struct bench *b = *state;

	for (unsigned int i = 0; i < BLOCKS; i++)
		memset(b->buf + (size_t)i * BLOCK, letter(i, 1), BLOCK);
	assert_int_equal(
		ob_block_rw(b->blk, 0, OB_BLOCK_WRITE, OB_BLOCK_FUA, 0, b->buf, sizeof(b->buf)), 0);
	assert_all_on_disk(b, 1);
	assert_int_equal(ob_block_rw(b->blk, 0, OB_BLOCK_WRITE_ZEROES, 0, 0, NULL, 1 << 20), 0);
	assert_int_equal(ob_block_rw(b->blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(get(b, 3), 0);
	assert_holds(b->buf, 0);
	/* Of what was discarded nothing is known. */
	assert_int_equal(ob_block_rw(b->blk, 0, OB_BLOCK_DISCARD, 0, 0, NULL, 1 << 20), 0);
	assert_int_equal(get(b, 3), 0);
	assert_int_equal(b->wrongs, 0);
	/* A zeroing that is none. */
	b->r.data[5 * BLOCK + 512] = 1;
	b->lie = SHIFTS;
	assert_int_equal(ob_block_rw(b->blk, 0, OB_BLOCK_WRITE_ZEROES, 0, 4 * BLOCK, NULL, BLOCK),
			 -EIO);
	assert_int_equal(b->wrongs, 1);
}

static void finds_a_write_before_it_is_acknowledged(void **state)
{
	static const enum lie lies[] = {DROPS_WRITES, WRITES_ELSEWHERE};
	struct bench *b = *state;

	for (unsigned int i = 0; i < 2; i++) {
		b->lie = lies[i];
		b->wrongs = 0;
		assert_int_equal(put(b, 3, 1), -EIO);
		assert_int_equal(b->wrongs, 1);
		/* Nothing that it says is believed any more. */
		assert_int_equal(get(b, 5), -EIO);
		end(b);
		if (lies[i] == WRITES_ELSEWHERE) {
			/* The first process that sees a block spoilt cannot know whose fault it is. */
			assert_int_equal(begin(b, HONEST), -EILSEQ);
			assert_int_equal(b->wrongs, 1);
		}
		assert_int_equal(begin(b, HONEST), 0);
		assert_all_on_disk(b, 0);
		assert_int_equal(stats(b).repaired, lies[i] == WRITES_ELSEWHERE ? UNITS : 0);
	}
	assert_int_equal(put(b, 3, 1), 0);
}

static void finds_a_wrong_read(void **state)
{
	static const enum lie lies[] = {READS_ELSEWHERE, READS_NOTHING, ENDS_TWICE};
	struct bench *b = *state;

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(get(b, 3), 0);
		b->lie = lies[i];
		assert_int_equal(get(b, 3), lies[i] == ENDS_TWICE ? 0 : -EIO);
		assert_int_equal(b->wrongs, 1);
		end(b);
		assert_int_equal(begin(b, HONEST), 0);
		assert_int_equal(stats(b).repaired, 0);
	}
}

/* What was in the buffer, from the write itself, is not taken for what was read. */
static void finds_a_write_that_is_not_read_back(void **state)
{
	struct bench *b = *state;

	b->lie = READS_NOTHING;
	assert_int_equal(put(b, 3, 0), -EIO);
	assert_int_equal(b->wrongs, 1);
}

static void a_driver_that_is_always_wrong_never_serves(void **state)
{
	struct bench *b = *state;

	end(b);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(begin(b, SHIFTS), -EILSEQ);
		assert_int_equal(b->wrongs, 1);
	}
	assert_all_on_disk(b, 0);
	assert_int_equal(begin(b, HONEST), 0);
	assert_int_equal(stats(b).repaired, 0);
}

/* It is wrong in a way that it does not see itself, and only its successors do. */
static void what_was_acknowledged_wrongly_is_repaired(void **state)
{
	struct bench *b = *state;

	b->lie = SHIFTS;
	assert_int_equal(put(b, 10, 1), 0);
	assert_int_equal(put(b, 20, 1), 0);
	b->lie = HONEST;
	end(b);
	/* They are not near each other: a process ends as soon as it has found some. */
	assert_int_equal(begin(b, HONEST), -EILSEQ);
	assert_int_equal(begin(b, HONEST), -EILSEQ);
	assert_int_equal(begin(b, HONEST), 0);
	assert_int_equal(stats(b).repaired, 4 * UNITS);
	for (unsigned int i = 0; i < BLOCKS; i++)
		assert_on_disk(b, i, i == 10 || i == 20);
}

/* A process ends while it writes: a block may be what it was or what it was to be, and nothing else. */
static void a_write_that_nobody_ended(void **state)
{
	struct bench *b = *state;
	struct ob_block_req req[3], *list[3], *got[8];

	memset(b->buf, letter(7, 1), BLOCK);
	for (unsigned int i = 0; i < 3; i++) {
		list[i] = &req[i];
		req[i] = (struct ob_block_req){.op = OB_BLOCK_WRITE,
					       .offset = (7 + i) * BLOCK,
					       .len = BLOCK,
					       .buf = b->buf + (size_t)i * BLOCK};
		memset(req[i].buf, letter(7 + i, 1), BLOCK);
	}
	atomic_store(&b->r.hold, true);
	assert_int_equal(ob_block_submit(b->blk, 0, list, 3), 3);
	end(b);
	assert_int_equal(ob_block_complete(&b->r.blk, 0, got, 8), 0);
	atomic_store(&b->r.hold, false);
	memset(b->r.data + 7 * BLOCK, letter(7, 0), BLOCK); /* it did not begin */
	memset(b->r.data + 8 * BLOCK, letter(8, 1), BLOCK); /* it came to its end */
	memset(b->r.data + 9 * BLOCK, letter(9, 0), BLOCK);
	memset(b->r.data + 9 * BLOCK + 512, 0x11, 100); /* nobody knows to what */
	assert_int_equal(begin(b, HONEST), -EILSEQ);
	assert_int_equal(begin(b, HONEST), 0);
	assert_int_equal(stats(b).repaired, 1);
	for (unsigned int i = 0; i < BLOCKS; i++)
		assert_on_disk(b, i, i == 8);
	assert_int_equal(get(b, 8), 0);
}

static void what_is_not_kept_is_an_error_and_no_wrong_data(void **state)
{
	struct bench *b = *state;

	end(b);
	close(b->fd);
	b->fd = memfd_create("verify", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->fd, 1ll << OB_VERIFY_SHIFT), 0);
	b->log = 8 * BLOCK;
	assert_int_equal(begin(b, HONEST), 0);
	for (unsigned int i = 0; i < BLOCKS; i++)
		assert_int_equal(put(b, i, 0), 0);
	memset(b->r.data + 3 * BLOCK, 0x77, BLOCK);
	assert_int_equal(get(b, 3), -EIO);
	assert_int_equal(b->wrongs, 1);
	end(b);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(begin(b, HONEST), 0);
		assert_int_equal(get(b, 3), -EIO);
		assert_int_equal(get(b, 4), 0);
		assert_int_equal(b->wrongs, 0);
		assert_int_equal(stats(b).lost, UNITS);
		end(b);
	}
	assert_int_equal(begin(b, HONEST), 0);
	assert_int_equal(put(b, 3, 1), 0);
	assert_int_equal(get(b, 3), 0);
}

/* By two processes; then all errors are believed. */
static void an_error_of_the_disk_is_told(void **state)
{
	struct bench *b = *state;

	atomic_store(&b->r.fail_from, 3 * BLOCK);
	atomic_store(&b->r.fail_to, 4 * BLOCK);
	atomic_store(&b->r.fail_status, -ENOSPC);
	assert_int_equal(put(b, 3, 1), -EIO);
	assert_int_equal(b->wrongs, 1);
	end(b);
	assert_int_equal(begin(b, HONEST), 0);
	assert_int_equal(put(b, 3, 1), -ENOSPC);
	assert_int_equal(get(b, 3), -ENOSPC);
	assert_int_equal(get(b, 4), 0);
	atomic_store(&b->r.fail_status, 0);
	assert_int_equal(get(b, 3), 0);
	assert_int_equal(put(b, 3, 2), 0);
	assert_int_equal(b->wrongs, 0);
}

static void an_error_of_the_driver_is_not(void **state)
{
	struct bench *b = *state;

	for (unsigned int turn = 1; turn < 4; turn++) {
		b->lie = FAILS;
		assert_int_equal(put(b, turn, turn), -EIO);
		assert_int_equal(b->wrongs, 1);
		end(b);
		assert_int_equal(begin(b, HONEST), 0);
		assert_int_equal(put(b, turn, turn), 0);
		assert_on_disk(b, turn, turn);
	}
}

/* Each had another fault, and the one between them none: they do not confirm each other. */
static void errors_of_two_drivers_are_not(void **state)
{
	struct bench *b = *state;

	for (unsigned int turn = 1; turn < 4; turn++) {
		b->lie = FAILS;
		assert_int_equal(put(b, 3, turn), -EIO);
		assert_int_equal(b->wrongs, 1);
		end(b);
		assert_int_equal(begin(b, HONEST), 0);
		assert_int_equal(put(b, 3, turn), 0);
		assert_int_equal(b->wrongs, 0);
	}
}

/* It does harm as soon as it looks at what is there: to little of it. */
static void a_driver_that_writes_for_reads(void **state)
{
	struct bench *b = *state;

	end(b);
	assert_int_equal(begin(b, WRITES_FOR_READS), -EILSEQ);
	assert_int_equal(begin(b, HONEST), 0);
	assert_all_on_disk(b, 0);
	assert_true(stats(b).repaired > 0);
}

static void requests_to_the_same_blocks_take_turns(void **state)
{
	struct bench *b = *state;
	struct ob_block_req req[2], *list[2] = {&req[0], &req[1]}, *got[2];
	unsigned int done = 0;

	for (unsigned int i = 0; i < 2; i++) {
		req[i] = (struct ob_block_req){.op = OB_BLOCK_WRITE,
					       .offset = 3 * BLOCK,
					       .len = BLOCK,
					       .buf = b->buf + (size_t)i * BLOCK};
		memset(req[i].buf, letter(3, 1 + i), BLOCK);
	}
	assert_int_equal(ob_block_submit(b->blk, 0, list, 2), 1);
	while (!done)
		done = ob_block_complete(b->blk, 0, got, 2);
	assert_ptr_equal(got[0], &req[0]);
	assert_int_equal(ob_block_submit(b->blk, 0, list + 1, 1), 1);
	while (done < 2)
		done += ob_block_complete(b->blk, 0, got, 2);
	assert_int_equal(req[0].status | req[1].status, 0);
	assert_on_disk(b, 3, 2);
	assert_int_equal(b->wrongs, 0);
}

static void a_disk_of_another_size_is_none(void **state)
{
	struct bench *b = *state;

	end(b);
	b->r.blk.limits.size /= 2;
	assert_int_equal(begin(b, HONEST), -EILSEQ);
	assert_int_equal(b->wrongs, 1);
	b->r.blk.limits.size *= 2;
	assert_int_equal(begin(b, HONEST), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(believes_an_honest_driver),
		TEST(checks_long_requests_and_zeroes),
		TEST(finds_a_write_before_it_is_acknowledged),
		TEST(finds_a_wrong_read),
		TEST(finds_a_write_that_is_not_read_back),
		TEST(a_driver_that_is_always_wrong_never_serves),
		TEST(what_was_acknowledged_wrongly_is_repaired),
		TEST(a_write_that_nobody_ended),
		TEST(what_is_not_kept_is_an_error_and_no_wrong_data),
		TEST(an_error_of_the_disk_is_told),
		TEST(an_error_of_the_driver_is_not),
		TEST(errors_of_two_drivers_are_not),
		TEST(a_driver_that_writes_for_reads),
		TEST(requests_to_the_same_blocks_take_turns),
		TEST(a_disk_of_another_size_is_none),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
