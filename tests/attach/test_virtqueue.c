/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of a split virtqueue: what a good driver gets, and what a bad one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/attach/vring_driver.h"

enum {
	PIECES = 16,
};

struct bed {
	struct vring_driver d;
	struct virtqueue q;
	struct virtqueue_log log;
	struct virtqueue_piece piece[PIECES];
	struct virtqueue_chain c;
	struct virtqueue_layout layout;
};

static int setup(void **state)
{
	struct bed *b = aligned_alloc(4096, (sizeof(*b) + 4095) & ~4095ul);

	assert_non_null(b);
	memset(b, 0, sizeof(*b));
	vring_driver_init(&b->d);
	b->c.piece = b->piece;
	b->c.max = PIECES;
	b->layout = (struct virtqueue_layout){
		.num = VRING_NUM,
		.desc = VRING_DESC,
		.avail = VRING_AVAIL,
		.used = VRING_USED,
		.indirect = true,
	};
	assert_int_equal(virtqueue_init(&b->q, &b->layout, &b->d.map, NULL, false), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void begin(struct bed *b, bool event_idx, struct virtqueue_log *log)
{
	b->layout.event_idx = event_idx;
	assert_int_equal(virtqueue_init(&b->q, &b->layout, &b->d.map, log, false), 0);
}

/* A header to read, data to write, a status to write: head @i, then @i + 1, @i + 2. */
static void offer_three(struct bed *b, uint16_t i)
{
	uint16_t n1 = (uint16_t)(i + 1), n2 = (uint16_t)(i + 2);

	vring_desc(&b->d, VRING_DESC, i, VRING_DATA, 16, VRING_DESC_F_NEXT, n1);
	vring_desc(&b->d, VRING_DESC, n1, VRING_DATA + 0x1000, 4096,
		   VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, n2);
	vring_desc(&b->d, VRING_DESC, n2, VRING_DATA + 0x3000, 1, VRING_DESC_F_WRITE, 0);
	vring_offer(&b->d, i);
}

static void breaks(struct bed *b, const char *why)
{
	assert_int_equal(virtqueue_pop(&b->q, &b->c), -EPROTO);
	assert_non_null(b->q.broken);
	assert_string_equal(b->q.broken, why);
	/* And it stays broken. */
	assert_int_equal(virtqueue_pop(&b->q, &b->c), -EPROTO);
	assert_false(virtqueue_pending(&b->q));
}

static void gives_a_chain_in_order(void **state)
{
	struct bed *b = *state;
	uint32_t head, len;

	assert_int_equal(virtqueue_pop(&b->q, &b->c), 0);
	offer_three(b, 2);
	assert_true(virtqueue_pending(&b->q));
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(b->c.head, 2);
	assert_int_equal(b->c.nr_out, 1);
	assert_int_equal(b->c.nr_in, 2);
	assert_int_equal(b->c.out_len, 16);
	assert_int_equal(b->c.in_len, 4097);
	assert_ptr_equal(b->piece[1].base, vring_at(&b->d, VRING_DATA + 0x1000));
	assert_int_equal(b->piece[2].addr, VRING_DATA + 0x3000);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 0);

	virtqueue_push(&b->q, 2, 4097);
	assert_false(vring_take(&b->d, &head, &len));
	assert_true(virtqueue_publish(&b->q));
	assert_true(vring_take(&b->d, &head, &len));
	assert_int_equal(head, 2);
	assert_int_equal(len, 4097);
	assert_false(virtqueue_publish(&b->q));
}

static void runs_past_the_end_of_its_indices(void **state)
{
	struct bed *b = *state;
	uint32_t head, len;

	for (unsigned int i = 0; i < 70000; i++) {
		offer_three(b, (uint16_t)(i % 5));
		assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
		assert_int_equal(b->c.head, i % 5);
		virtqueue_push(&b->q, b->c.head, i);
		virtqueue_publish(&b->q);
		assert_true(vring_take(&b->d, &head, &len));
		assert_int_equal(head, i % 5);
		assert_int_equal(len, i);
	}
}

static void takes_indirect_tables(void **state)
{
	struct bed *b = *state;
	uint64_t table = VRING_DATA + 7; /* at any address */

	for (unsigned int i = 0; i < 12; i++)
		vring_desc(&b->d, table, i, VRING_DATA + 0x1000 + i, i + 1,
			   (uint16_t)(i < 11 ? VRING_DESC_F_NEXT : VRING_DESC_F_WRITE),
			   (uint16_t)(i + 1));
	vring_desc(&b->d, VRING_DESC, 3, table, 12 * 16, VRING_DESC_F_INDIRECT, 0);
	vring_offer(&b->d, 3);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(b->c.nr_out, 11);
	assert_int_equal(b->c.nr_in, 1);
	assert_int_equal(b->c.out_len, 66);
}

static void cuts_where_memory_is_not_contiguous(void **state)
{
	struct bed *b = *state;

	b->d.piece_max = 1000;
	offer_three(b, 0);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(b->c.nr_in, 6);
	assert_int_equal(b->piece[2].addr, VRING_DATA + 0x1000 + 1000);
	assert_int_equal(b->piece[5].len, 96);
}

static void comes_again_when_untaken(void **state)
{
	struct bed *b = *state;
	uint16_t heads[2];

	offer_three(b, 0);
	offer_three(b, 3);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	heads[0] = b->c.head;
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	heads[1] = b->c.head;
	virtqueue_unpop(&b->q, heads, 2);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(b->c.head, 0);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(b->c.head, 3);
}

/* ---- whether to tell --------------------------------------------------------------- */

static void interrupts_as_the_flag_says(void **state)
{
	struct bed *b = *state;

	vring_avail(&b->d)->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	offer_three(b, 0);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	virtqueue_push(&b->q, 0, 0);
	assert_false(virtqueue_publish(&b->q));
	virtqueue_disable_notify(&b->q);
	assert_int_equal(le16toh(vring_used(&b->d)->flags), VRING_USED_F_NO_NOTIFY);
	assert_false(virtqueue_enable_notify(&b->q));
	assert_int_equal(vring_used(&b->d)->flags, 0);
	offer_three(b, 0);
	assert_true(virtqueue_enable_notify(&b->q));
}

static void interrupts_as_the_event_says(void **state)
{
	struct bed *b = *state;
	uint16_t *used_event = &vring_avail(&b->d)->ring[VRING_NUM];
	uint16_t *avail_event = (uint16_t *)&vring_used(&b->d)->ring[VRING_NUM];

	begin(b, true, NULL);
	*used_event = htole16(1); /* tell at the second */
	for (uint16_t i = 0; i < 3; i++) {
		offer_three(b, 0);
		assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
		virtqueue_push(&b->q, 0, 0);
		assert_int_equal(virtqueue_publish(&b->q), i == 1);
	}
	assert_false(virtqueue_enable_notify(&b->q));
	assert_int_equal(le16toh(*avail_event), 3);
}

/* ---- bad drivers ------------------------------------------------------------------- */

static void refuses_impossible_rings(void **state)
{
	struct bed *b = *state;
	struct virtqueue_layout l = b->layout;
	struct virtqueue q;

	l.num = 0;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EINVAL);
	l.num = 6;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EINVAL);
	l.num = 2 * VIRTQUEUE_SIZE_MAX;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EINVAL);
	l = b->layout;
	l.desc += 8;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EFAULT);
	l = b->layout;
	l.avail = VRING_BASE + VRING_MEMORY - 2;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EFAULT);
	l = b->layout;
	l.used = UINT64_MAX - 3;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EFAULT);
	l = b->layout;
	b->d.read_only_from = VRING_USED;
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, false), -EFAULT);
	assert_int_equal(virtqueue_init(&q, &l, &b->d.map, NULL, true), -EINVAL);
}

static void an_index_far_ahead_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_avail(&b->d)->idx = htole16(VRING_NUM + 1);
	breaks(b, "an available index that is ahead by more than the ring");
}

static void a_head_beyond_the_table_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_offer(&b->d, VRING_NUM);
	breaks(b, "an available entry beyond the table of descriptors");
}

static void a_buffer_twice_breaks_it(void **state)
{
	struct bed *b = *state;

	offer_three(b, 0);
	vring_offer(&b->d, 0);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	breaks(b, "a buffer that was made available twice");
}

static void a_next_beyond_the_table_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 16, VRING_DESC_F_NEXT, VRING_NUM);
	vring_offer(&b->d, 0);
	breaks(b, "a descriptor index beyond its table");
}

static void a_loop_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 16, VRING_DESC_F_NEXT, 1);
	vring_desc(&b->d, VRING_DESC, 1, VRING_DATA, 16, VRING_DESC_F_NEXT, 0);
	vring_offer(&b->d, 0);
	breaks(b, "a chain of descriptors that does not end");
}

static void too_many_pieces_break_it(void **state)
{
	struct bed *b = *state;

	b->c.max = 2;
	offer_three(b, 0);
	breaks(b, "a buffer of more pieces than were announced");
}

static void no_length_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 0, 0, 0);
	vring_offer(&b->d, 0);
	breaks(b, "a descriptor without length");
}

static void a_wrapping_address_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, UINT64_MAX - 4, 16, 0, 0);
	vring_offer(&b->d, 0);
	breaks(b, "a descriptor beyond the end of the address space");
}

static void foreign_memory_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_BASE + VRING_MEMORY - 8, 16, 0, 0);
	vring_offer(&b->d, 0);
	breaks(b, "a descriptor whose address is no memory for this");
}

static void writing_what_is_for_reading_breaks_it(void **state)
{
	struct bed *b = *state;

	b->d.read_only_from = VRING_DATA + 0x1000;
	offer_three(b, 0);
	breaks(b, "a descriptor whose address is no memory for this");
}

static void reading_behind_writing_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	vring_desc(&b->d, VRING_DESC, 1, VRING_DATA, 16, 0, 0);
	vring_offer(&b->d, 0);
	breaks(b, "a descriptor to read behind one to write");
}

static void an_indirect_in_an_indirect_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DATA, 0, VRING_DATA, 16, VRING_DESC_F_INDIRECT, 0);
	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 16, VRING_DESC_F_INDIRECT, 0);
	vring_offer(&b->d, 0);
	breaks(b, "an indirect descriptor in an indirect table");
}

static void an_indirect_with_a_next_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT,
		   1);
	vring_offer(&b->d, 0);
	breaks(b, "an indirect descriptor with a next one");
}

static void a_crooked_indirect_table_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 24, VRING_DESC_F_INDIRECT, 0);
	vring_offer(&b->d, 0);
	breaks(b, "an indirect table of no possible size");
}

static void an_indirect_table_elsewhere_breaks_it(void **state)
{
	struct bed *b = *state;

	vring_desc(&b->d, VRING_DESC, 0, 0x1000, 32, VRING_DESC_F_INDIRECT, 0);
	vring_offer(&b->d, 0);
	breaks(b, "an indirect table that is no contiguous memory");
}

static void an_indirect_unasked_breaks_it(void **state)
{
	struct bed *b = *state;

	b->layout.indirect = false;
	begin(b, false, NULL);
	vring_desc(&b->d, VRING_DESC, 0, VRING_DATA, 16, VRING_DESC_F_INDIRECT, 0);
	vring_offer(&b->d, 0);
	breaks(b, "an indirect descriptor that was not negotiated");
}

/* What was pushed lies in the driver's memory; its word on it is not taken. */
static void a_used_entry_that_the_driver_rewrites_frees_no_other(void **state)
{
	struct bed *b = *state;
	uint64_t after = 0;

	begin(b, false, &b->log);
	offer_three(b, 0);
	offer_three(b, 3);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	virtqueue_push(&b->q, 3, 0);
	vring_used(&b->d)->ring[0].id = htole32(0);
	virtqueue_publish(&b->q);
	assert_int_equal(virtqueue_resumed(&b->q, &after), 0);
	assert_int_equal(virtqueue_resumed(&b->q, &after), -1);
	/* Number 0 is still out, and is not to be had again. */
	vring_offer(&b->d, 0);
	breaks(b, "a buffer that was made available twice");
}

/* ---- successors -------------------------------------------------------------------- */

static void a_successor_finds_what_is_out(void **state)
{
	struct bed *b = *state;
	struct virtqueue next;
	uint64_t after = 0;

	begin(b, false, &b->log);
	offer_three(b, 0);
	offer_three(b, 3);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	virtqueue_push(&b->q, 0, 0);
	virtqueue_publish(&b->q);
	offer_three(b, 0); /* not taken yet */

	assert_int_equal(virtqueue_init(&next, &b->layout, &b->d.map, &b->log, true), 0);
	assert_int_equal(virtqueue_resumed(&next, &after), 3);
	assert_int_equal(virtqueue_resumed(&next, &after), -1);
	assert_int_equal(virtqueue_fetch(&next, 3, &b->c), 1);
	assert_int_equal(b->c.in_len, 4097);
	assert_int_equal(virtqueue_pop(&next, &b->c), 1);
	assert_int_equal(b->c.head, 0);
	assert_int_equal(virtqueue_pop(&next, &b->c), 0);
}

/* Also the successor's successor, and whatever numbers the driver has chosen. */
static void what_is_out_comes_in_the_order_in_which_it_was_taken(void **state)
{
	struct bed *b = *state;
	struct virtqueue next, last;
	uint64_t after = 0;

	begin(b, false, &b->log);
	offer_three(b, 3);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(virtqueue_init(&next, &b->layout, &b->d.map, &b->log, true), 0);
	offer_three(b, 0);
	assert_int_equal(virtqueue_pop(&next, &b->c), 1);
	assert_int_equal(virtqueue_init(&last, &b->layout, &b->d.map, &b->log, true), 0);
	assert_int_equal(virtqueue_resumed(&last, &after), 3);
	assert_int_equal(virtqueue_resumed(&last, &after), 0);
	assert_int_equal(virtqueue_resumed(&last, &after), -1);
	virtqueue_push(&last, 3, 0);
	virtqueue_push(&last, 0, 0);
	virtqueue_publish(&last);
	after = 0;
	assert_int_equal(virtqueue_resumed(&last, &after), -1);
}

/* Killed after the driver saw the entry and before the log was cleared. */
static void a_successor_trusts_the_ring_more_than_the_log(void **state)
{
	struct bed *b = *state;
	struct virtqueue_log before;
	struct virtqueue next;
	uint64_t after = 0;

	begin(b, false, &b->log);
	offer_three(b, 0);
	offer_three(b, 3);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	assert_int_equal(virtqueue_pop(&b->q, &b->c), 1);
	virtqueue_push(&b->q, 3, 0);
	before = b->log;
	virtqueue_publish(&b->q);
	assert_int_equal(virtqueue_init(&next, &b->layout, &b->d.map, &before, true), 0);
	assert_int_equal(virtqueue_resumed(&next, &after), 0);
	assert_int_equal(virtqueue_resumed(&next, &after), -1);
	assert_int_equal(virtqueue_pop(&next, &b->c), 0);
}

static void a_successor_refuses_what_cannot_be(void **state)
{
	struct bed *b = *state;

	begin(b, false, &b->log);
	b->log.used = 100;
	assert_int_equal(virtqueue_init(&b->q, &b->layout, &b->d.map, &b->log, true), -EPROTO);
	b->log.used = 0;
	vring_avail(&b->d)->idx = htole16(2 * VRING_NUM);
	assert_int_equal(virtqueue_init(&b->q, &b->layout, &b->d.map, &b->log, true), -EPROTO);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_a_chain_in_order),
		TEST(runs_past_the_end_of_its_indices),
		TEST(takes_indirect_tables),
		TEST(cuts_where_memory_is_not_contiguous),
		TEST(comes_again_when_untaken),
		TEST(interrupts_as_the_flag_says),
		TEST(interrupts_as_the_event_says),
		TEST(refuses_impossible_rings),
		TEST(an_index_far_ahead_breaks_it),
		TEST(a_head_beyond_the_table_breaks_it),
		TEST(a_buffer_twice_breaks_it),
		TEST(a_next_beyond_the_table_breaks_it),
		TEST(a_loop_breaks_it),
		TEST(too_many_pieces_break_it),
		TEST(no_length_breaks_it),
		TEST(a_wrapping_address_breaks_it),
		TEST(foreign_memory_breaks_it),
		TEST(writing_what_is_for_reading_breaks_it),
		TEST(reading_behind_writing_breaks_it),
		TEST(an_indirect_in_an_indirect_breaks_it),
		TEST(an_indirect_with_a_next_breaks_it),
		TEST(a_crooked_indirect_table_breaks_it),
		TEST(an_indirect_table_elsewhere_breaks_it),
		TEST(an_indirect_unasked_breaks_it),
		TEST(a_used_entry_that_the_driver_rewrites_frees_no_other),
		TEST(a_successor_finds_what_is_out),
		TEST(what_is_out_comes_in_the_order_in_which_it_was_taken),
		TEST(a_successor_trusts_the_ring_more_than_the_log),
		TEST(a_successor_refuses_what_cannot_be),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
