/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests and configuration of a virtio block device: what is in them, however they are cut. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attach/virtio_blk.h"

enum {
	PIECES = 64,
};

/* A chain of pieces that lie anywhere: @lens, the first @nr_out of them to be read. */
struct bed {
	char memory[64 << 10];
	size_t used;
	struct virtqueue_piece piece[PIECES];
	struct virtqueue_chain c;
};

static void add(struct bed *b, const void *data, uint32_t len, bool write)
{
	struct virtqueue_piece *p = &b->piece[b->c.nr_out + b->c.nr_in];

	p->base = b->memory + b->used;
	p->addr = 0x100000 + b->used;
	p->len = len;
	b->used += len + 3; /* not contiguous */
	if (data)
		memcpy(p->base, data, len);
	if (write) {
		b->c.nr_in++;
		b->c.in_len += len;
	} else {
		b->c.nr_out++;
		b->c.out_len += len;
	}
}

static struct bed *begin(void)
{
	static struct bed b;

	memset(&b, 0, sizeof(b));
	b.c.piece = b.piece;
	b.c.max = PIECES;
	return &b;
}

static struct virtio_blk_outhdr header(uint32_t type, uint64_t sector)
{
	return (struct virtio_blk_outhdr){.type = type, .sector = sector};
}

static void a_read_is_found_in_its_pieces(void **state)
{
	struct virtio_blk_outhdr h = header(VIRTIO_BLK_T_IN, 0x123456789aull);
	struct virtio_blk_request r;
	struct bed *b = begin();
	char text[700];

	add(b, &h, sizeof(h), false);
	add(b, NULL, 512, true);
	add(b, NULL, 188, true);
	add(b, NULL, 1, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), 0);
	assert_int_equal(r.type, VIRTIO_BLK_T_IN);
	assert_true(r.sector == 0x123456789aull);
	assert_int_equal(r.nr_data, 2);
	assert_int_equal(r.len, 700);
	assert_true(r.written);
	assert_ptr_equal(r.status, b->piece[3].base);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	assert_int_equal(virtio_blk_copy(&r, 0, text, sizeof(text), true), sizeof(text));
	assert_memory_equal(b->piece[1].base, text, 512);
	assert_memory_equal(b->piece[2].base, text + 512, 188);
	/* Never beyond the pieces. */
	assert_int_equal(virtio_blk_copy(&r, 600, text, sizeof(text), true), 100);
	assert_int_equal(virtio_blk_copy(&r, 700, text, sizeof(text), true), 0);
}

/* 2.7.4: "the device MUST NOT make assumptions about the particular arrangement of descriptors" */
static void a_write_is_the_same_however_it_is_cut(void **state)
{
	char out[16 + 1024], back[1024];
	struct virtio_blk_outhdr h = header(VIRTIO_BLK_T_OUT, 77);

	memcpy(out, &h, sizeof(h));
	for (size_t i = 16; i < sizeof(out); i++)
		out[i] = (char)(i * 7);
	for (uint32_t first = 1; first < sizeof(out); first++) {
		struct virtio_blk_request r;
		struct bed *b = begin();

		add(b, out, first, false);
		add(b, out + first, (uint32_t)sizeof(out) - first, false);
		add(b, NULL, 1, true);
		assert_int_equal(virtio_blk_parse(&b->c, &r), 0);
		assert_int_equal(r.type, VIRTIO_BLK_T_OUT);
		assert_true(r.sector == 77);
		assert_int_equal(r.len, 1024);
		assert_false(r.written);
		assert_int_equal(virtio_blk_copy(&r, 0, back, sizeof(back), false), sizeof(back));
		assert_memory_equal(back, out + 16, sizeof(back));
	}
}

static void the_status_is_the_last_byte_to_write(void **state)
{
	struct virtio_blk_outhdr h = header(VIRTIO_BLK_T_IN, 0);
	struct virtio_blk_request r;
	struct bed *b = begin();

	add(b, &h, sizeof(h), false);
	add(b, NULL, 513, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), 0);
	assert_int_equal(r.len, 512);
	assert_ptr_equal(r.status, (char *)b->piece[1].base + 512);
}

static void a_flush_has_no_payload(void **state)
{
	struct virtio_blk_outhdr h = header(VIRTIO_BLK_T_FLUSH, 0);
	struct virtio_blk_request r;
	struct bed *b = begin();

	add(b, &h, sizeof(h), false);
	add(b, NULL, 1, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), 0);
	assert_int_equal(r.len, 0);
	assert_int_equal(r.nr_data, 0);
}

static void without_header_or_status_it_is_no_request(void **state)
{
	struct virtio_blk_outhdr h = header(VIRTIO_BLK_T_IN, 0);
	struct virtio_blk_request r;
	struct bed *b = begin();

	add(b, &h, 15, false);
	add(b, NULL, 1, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), -EPROTO);
	b = begin();
	add(b, &h, sizeof(h), false);
	assert_int_equal(virtio_blk_parse(&b->c, &r), -EPROTO);
	b = begin();
	add(b, NULL, 1, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), -EPROTO);
}

static void payload_goes_one_way_only(void **state)
{
	struct virtio_blk_outhdr h = header(VIRTIO_BLK_T_OUT, 0);
	struct virtio_blk_request r;
	struct bed *b = begin();

	add(b, &h, sizeof(h), false);
	add(b, NULL, 512, false);
	add(b, NULL, 513, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), -EPROTO);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags, uint32_t len,
		     struct virtio_blk_range *got)
{
	struct virtio_blk_discard_write_zeroes seg[2] = {{sector, sectors, flags}};
	struct virtio_blk_outhdr h = header(type, 0);
	struct virtio_blk_request r;
	struct bed *b = begin();

	add(b, &h, sizeof(h), false);
	add(b, seg, 7, false);
	add(b, (char *)seg + 7, len - 7, false);
	add(b, NULL, 1, true);
	assert_int_equal(virtio_blk_parse(&b->c, &r), 0);
	return virtio_blk_range(&r, got);
}

static void ranges_are_what_they_say(void **state)
{
	struct virtio_blk_range got;

	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 16, 0, 16, &got), VIRTIO_BLK_S_OK);
	assert_int_equal(got.offset, 4096);
	assert_int_equal(got.len, 8192);
	assert_false(got.may_unmap);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 1, UINT32_MAX, 1, 16, &got),
			 VIRTIO_BLK_S_OK);
	assert_true(got.len == 512ull * UINT32_MAX);
	assert_true(got.may_unmap);
}

static void ranges_that_cannot_be_are_refused(void **state)
{
	struct virtio_blk_range got;

	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 1, 1, 16, &got), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2, 16, &got), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, UINT64_MAX / 512 + 1, 1, 0, 16, &got),
			 VIRTIO_BLK_S_IOERR);
	/* One range each is what we announce. */
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 1, 0, 32, &got), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 1, 0, 15, &got), VIRTIO_BLK_S_IOERR);
}

static bool has(uint64_t features, unsigned int bit)
{
	return features >> bit & 1;
}

static void a_disk_offers_what_it_can(void **state)
{
	struct ob_block_limits l = {
		.size = 1 << 30,
		.block_size = 512,
		.physical_block_size = 4096,
	};
	struct virtio_blk_config c;
	uint64_t f = virtio_blk_config(&l, 4, 65536, true, 1 << 20, 2 << 20, &c);

	assert_true(has(f, VIRTIO_BLK_F_FLUSH) && has(f, VIRTIO_BLK_F_MQ));
	assert_true(has(f, VIRTIO_BLK_F_DISCARD) && has(f, VIRTIO_BLK_F_WRITE_ZEROES));
	assert_false(has(f, VIRTIO_BLK_F_RO) || has(f, VIRTIO_BLK_F_CONFIG_WCE));
	assert_int_equal(c.capacity, (1 << 30) / 512);
	assert_int_equal(c.blk_size, 512);
	assert_int_equal(c.physical_block_exp, 3);
	assert_int_equal(c.num_queues, 4);
	assert_int_equal(c.size_max, 65536);
	assert_int_equal(c.max_discard_sectors, (1 << 20) / 512);
	assert_int_equal(c.max_write_zeroes_sectors, (2 << 20) / 512);

	l.read_only = true;
	f = virtio_blk_config(&l, 1, 65536, false, 1 << 20, 2 << 20, &c);
	assert_true(has(f, VIRTIO_BLK_F_RO));
	assert_false(has(f, VIRTIO_BLK_F_FLUSH) || has(f, VIRTIO_BLK_F_DISCARD) ||
		     has(f, VIRTIO_BLK_F_WRITE_ZEROES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_is_found_in_its_pieces),
		cmocka_unit_test(a_write_is_the_same_however_it_is_cut),
		cmocka_unit_test(the_status_is_the_last_byte_to_write),
		cmocka_unit_test(a_flush_has_no_payload),
		cmocka_unit_test(without_header_or_status_it_is_no_request),
		cmocka_unit_test(payload_goes_one_way_only),
		cmocka_unit_test(ranges_are_what_they_say),
		cmocka_unit_test(ranges_that_cannot_be_are_refused),
		cmocka_unit_test(a_disk_offers_what_it_can),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("virtio-blk", tests, NULL, NULL);
}
