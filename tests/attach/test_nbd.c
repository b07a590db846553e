/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NBD server as libnbd sees it: what it promises in the negotiation, data, flush and FUA, errors,
 * several connections, many requests at once.
 */
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/attach/nbd_server.h"

static struct nbd_handle *client(const struct server *s)
{
	struct nbd_handle *h = nbd_create();

	assert_non_null(h);
	/* The server's own checks are tested, not the client's. */
	nbd_set_strict_mode(h, 0);
	if (nbd_connect_uri(h, s->uri))
		fail_msg("%s", nbd_get_error());
	return h;
}

static void leave(struct nbd_handle *h)
{
	nbd_shutdown(h, 0);
	nbd_close(h);
}

static void wait_all(struct nbd_handle *h, int64_t *cookies, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		int rc;

		while (!(rc = nbd_aio_command_completed(h, (uint64_t)cookies[i])))
			assert_int_equal(nbd_poll(h, 30000), 1);
		assert_int_equal(rc, 1);
	}
}

static void fill(char *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (char)((i >> 9) * 37 + i * 11 + seed * 131);
}

/* ---- negotiation ----------------------------------------------------------------- */

static void negotiation_tells_size_block_sizes_and_abilities(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h;

	s->ram.blk.limits.block_size = 4096;
	s->ram.blk.limits.physical_block_size = 16384;
	s->ram.blk.limits.rotational = true;
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	assert_int_equal(nbd_get_size(h), SERVER_SIZE);
	assert_int_equal(nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM), 4096);
	assert_int_equal(nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED), 16384);
	assert_int_equal(nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM), 4 << 20);
	assert_int_equal(nbd_is_read_only(h), 0);
	assert_int_equal(nbd_is_rotational(h), 1);
	assert_int_equal(nbd_can_flush(h), 1);
	assert_int_equal(nbd_can_fua(h), 1);
	assert_int_equal(nbd_can_trim(h), 1);
	assert_int_equal(nbd_can_zero(h), 1);
	assert_int_equal(nbd_can_multi_conn(h), 1);
	assert_int_equal(nbd_can_df(h), 1);
	/* What is not there is not offered. */
	assert_int_equal(nbd_can_fast_zero(h), 0);
	assert_int_equal(nbd_can_cache(h), 0);
	assert_int_equal(nbd_get_structured_replies_negotiated(h), 1);
	leave(h);
	server_stop(s);
}

static void what_the_disk_cannot_do_is_not_offered(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h;
	char buf[512] = {1};

	s->ram.fua = s->ram.flush = s->ram.discard = s->ram.zeroes = false;
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	assert_int_equal(nbd_can_flush(h), 0);
	assert_int_equal(nbd_can_fua(h), 0);
	assert_int_equal(nbd_can_trim(h), 0);
	assert_int_equal(nbd_can_zero(h), 0);
	/* And refused when it is asked for all the same. */
	assert_int_equal(nbd_trim(h, 512, 0, 0), -1);
	assert_int_equal(nbd_get_errno(), EINVAL);
	assert_int_equal(nbd_zero(h, 512, 0, 0), -1);
	assert_int_equal(nbd_get_errno(), EINVAL);
	assert_int_equal(nbd_flush(h, 0), -1);
	assert_int_equal(nbd_get_errno(), EINVAL);
	assert_int_equal(nbd_pwrite(h, buf, sizeof(buf), 0, LIBNBD_CMD_FLAG_FUA), -1);
	assert_int_equal(nbd_get_errno(), EINVAL);
	assert_int_equal(nbd_pwrite(h, buf, sizeof(buf), 0, 0), 0);
	leave(h);
	server_stop(s);
}

static int add_export(void *names, const char *name, const char *description)
{
	char *list = names;

	strcat(strcat(list, name), ";");
	strcat(strcat(list, description), "|");
	return 0;
}

static void exports_are_listed_and_an_unknown_name_is_refused(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h = nbd_create();
	char names[256] = "", *description;

	server_start(s, "nbd,export=disk one", OB_MODE_ADAPTIVE);
	assert_non_null(strstr(s->uri, "/disk%20one"));
	nbd_set_opt_mode(h, true);
	assert_int_equal(nbd_connect_uri(h, s->uri), 0);
	assert_int_equal(
		nbd_opt_list(h, (nbd_list_callback){.callback = add_export, .user_data = names}),
		1);
	assert_string_equal(names, "disk one;disk of memory R1|");

	nbd_set_export_name(h, "disk two");
	assert_int_equal(nbd_opt_go(h), -1);
	assert_int_equal(nbd_get_errno(), ENOENT);
	/* The negotiation goes on. */
	nbd_set_export_name(h, "disk one");
	nbd_set_full_info(h, true);
	assert_int_equal(nbd_opt_info(h), 0);
	assert_int_equal(nbd_get_size(h), SERVER_SIZE);
	description = nbd_get_export_description(h);
	assert_string_equal(description, "disk of memory R1");
	free(description);
	assert_int_equal(nbd_opt_go(h), 0);
	leave(h);

	/* The default export is there under its empty name, too. */
	h = nbd_create();
	nbd_set_opt_mode(h, true);
	assert_int_equal(nbd_connect_uri(h, s->uri), 0);
	nbd_set_export_name(h, "");
	assert_int_equal(nbd_opt_go(h), 0);
	leave(h);

	h = nbd_create();
	nbd_set_opt_mode(h, true);
	assert_int_equal(nbd_connect_uri(h, s->uri), 0);
	assert_int_equal(nbd_opt_abort(h), 0);
	nbd_close(h);
	server_stop(s);
}

/* ---- data ------------------------------------------------------------------------ */

static void data_come_back_at_every_size(void **state)
{
	static const uint32_t sizes[] = {512,		1024,	  4096,	     65536,
					 (128 << 10),	131584,	  (1 << 20), (1 << 20) + 512,
					 (3 << 20) / 2, (4 << 20)};
	struct server *s = server_new();
	char *out = malloc(4 << 20), *in = malloc(4 << 20);
	struct nbd_handle *h;

	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t at = 512 * (uint64_t)(i * 7);

		fill(out, sizes[i], i);
		memset(in, 0, sizes[i]);
		assert_int_equal(nbd_pwrite(h, out, sizes[i], at, 0), 0);
		assert_memory_equal(s->ram.data + at, out, sizes[i]);
		assert_int_equal(nbd_pread(h, in, sizes[i], at, 0), 0);
		assert_memory_equal(in, out, sizes[i]);
	}
	/* The last block, and nothing of it outside. */
	assert_int_equal(nbd_pwrite(h, out, 512, SERVER_SIZE - 512, 0), 0);
	assert_int_equal(nbd_pread(h, in, 512, SERVER_SIZE - 512, 0), 0);
	assert_memory_equal(in, out, 512);
	/* Cut to what the disk takes. */
	assert_true(atomic_load(&s->ram.longest) == s->ram.blk.limits.max_transfer);
	leave(h);
	server_stop(s);
	free(out);
	free(in);
}

static void payload_is_never_copied_here(void **state)
{
	struct server *s = server_new();
	struct ob_attach_stats stats;
	struct nbd_handle *h;
	char *buf = malloc(1 << 20);
	int64_t cookies[40];

	fill(buf, 1 << 20, 1);
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	/* Several under way, so that a payload and the next header come in one piece. */
	for (unsigned int i = 0; i < 40; i++)
		cookies[i] = nbd_aio_pwrite(h, buf, 4096u << (i % 8), 0, NBD_NULL_COMPLETION, 0);
	wait_all(h, cookies, 40);
	for (unsigned int i = 0; i < 40; i++)
		cookies[i] = nbd_aio_pread(h, buf, 4096u << (i % 8), 0, NBD_NULL_COMPLETION, 0);
	wait_all(h, cookies, 40);
	leave(h);
	stats = server_stats(s);
	assert_int_equal(stats.own_copies, 0);
	assert_int_equal(stats.kernel_copies, 80);
	assert_int_equal(stats.requests_in, 40);
	assert_int_equal(stats.requests_out, 40);
	assert_int_equal(stats.bytes_in, 5 * 255 * 4096);
	assert_int_equal(stats.bytes_out, 5 * 255 * 4096);
	assert_int_equal(s->ram.blk.bounced, 0);
	server_stop(s); /* looks at s->ram.outside */
	free(buf);
}

static void flush_and_fua_reach_the_disk(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h;
	char buf[4096];

	fill(buf, sizeof(buf), 3);
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	assert_int_equal(nbd_pwrite(h, buf, sizeof(buf), 0, 0), 0);
	assert_int_equal(s->ram.stable[1], 0);
	assert_int_equal(nbd_flush(h, 0), 0);
	assert_memory_equal(s->ram.stable, buf, sizeof(buf));

	assert_int_equal(nbd_pwrite(h, buf, sizeof(buf), 8192, LIBNBD_CMD_FLAG_FUA), 0);
	assert_memory_equal(s->ram.stable + 8192, buf, sizeof(buf));
	assert_int_equal(atomic_load(&s->ram.fua_seen), 1);
	assert_int_equal(nbd_zero(h, sizeof(buf), 8192, LIBNBD_CMD_FLAG_FUA), 0);
	assert_int_equal(s->ram.stable[8193], 0);
	leave(h);
	server_stop(s);
}

static void fua_is_made_of_a_flush_where_the_disk_has_none(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h;
	char *buf = malloc(1 << 20);

	fill(buf, 1 << 20, 4);
	s->ram.fua = false;
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	assert_int_equal(nbd_can_fua(h), 1);
	/* In several parts: the flush comes behind the last. */
	atomic_store(&s->ram.shuffle, true);
	assert_int_equal(nbd_pwrite(h, buf, 1 << 20, 0, LIBNBD_CMD_FLAG_FUA), 0);
	assert_memory_equal(s->ram.stable, buf, 1 << 20);
	assert_int_equal(atomic_load(&s->ram.fua_seen), 0);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_FLUSH]), 1);
	assert_int_equal(nbd_trim(h, 4096, 0, LIBNBD_CMD_FLAG_FUA), 0);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_FLUSH]), 2);
	leave(h);
	server_stop(s);
	free(buf);
}

static void trim_and_zero_of_any_length(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h;

	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	memset(s->ram.data, 0xaa, SERVER_SIZE);
	h = client(s);
	/* Longer than the disk takes at once, longer than any payload. */
	assert_int_equal(nbd_zero(h, 10 << 20, 512, 0), 0);
	assert_int_equal(s->ram.data[511], (char)0xaa);
	for (unsigned int i = 512; i < 512 + (10 << 20); i += 512)
		assert_int_equal(s->ram.data[i], 0);
	assert_int_equal(s->ram.data[512 + (10 << 20)], (char)0xaa);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_WRITE_ZEROES]), 10);
	assert_int_equal(atomic_load(&s->ram.unmap_seen), 10);
	assert_int_equal(nbd_zero(h, 512, 0, LIBNBD_CMD_FLAG_NO_HOLE), 0);
	assert_int_equal(atomic_load(&s->ram.unmap_seen), 10);

	assert_int_equal(nbd_trim(h, SERVER_SIZE, 0, 0), 0);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_DISCARD]), 16);
	assert_int_equal(s->ram.data[SERVER_SIZE - 1], (char)0xdd);
	leave(h);
	server_stop(s);
}

/* ---- refusals and errors --------------------------------------------------------- */

static void expect(struct nbd_handle *h, int rc, int error)
{
	assert_int_equal(rc, -1);
	assert_int_equal(nbd_get_errno(), error);
}

static void a_read_only_disk_refuses_writes(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h;
	char buf[512] = {0};

	s->ram.blk.limits.read_only = true;
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	assert_int_equal(nbd_is_read_only(h), 1);
	expect(h, nbd_pwrite(h, buf, 512, 0, 0), EPERM);
	expect(h, nbd_zero(h, 512, 0, 0), EPERM);
	expect(h, nbd_trim(h, 512, 0, 0), EPERM);
	assert_int_equal(nbd_pread(h, buf, 512, 0, 0), 0);
	leave(h);
	server_stop(s);
}

static void wrong_requests_are_refused_and_the_connection_goes_on(void **state)
{
	struct server *s = server_new();
	char *buf = calloc(1, 8 << 20);
	struct nbd_handle *h;

	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	h = client(s);
	/* outside */
	expect(h, nbd_pread(h, buf, 512, SERVER_SIZE, 0), EINVAL);
	expect(h, nbd_pread(h, buf, 1024, SERVER_SIZE - 512, 0), EINVAL);
	expect(h, nbd_pwrite(h, buf, 512, SERVER_SIZE, 0), ENOSPC);
	expect(h, nbd_pwrite(h, buf, 512, UINT64_MAX - 511, 0), ENOSPC);
	expect(h, nbd_zero(h, 1024, SERVER_SIZE - 512, 0), ENOSPC);
	expect(h, nbd_trim(h, 1024, SERVER_SIZE - 512, 0), EINVAL);
	/* not in blocks */
	expect(h, nbd_pread(h, buf, 511, 0, 0), EINVAL);
	expect(h, nbd_pread(h, buf, 512, 1, 0), EINVAL);
	expect(h, nbd_pwrite(h, buf, 100, 0, 0), EINVAL);
	expect(h, nbd_zero(h, 100, 0, 0), EINVAL);
	/* longer than was promised: the payload is dropped */
	expect(h, nbd_pwrite(h, buf, 8 << 20, 0, 0), EINVAL);
	expect(h, nbd_pread(h, buf, 8 << 20, 0, 0), EINVAL);
	/* flags where they do not belong */
	expect(h, nbd_pwrite(h, buf, 512, 0, LIBNBD_CMD_FLAG_DF), EINVAL);
	expect(h, nbd_trim(h, 512, 0, LIBNBD_CMD_FLAG_NO_HOLE), EINVAL);
	expect(h, nbd_zero(h, 512, 0, LIBNBD_CMD_FLAG_FAST_ZERO), EINVAL);
	/* no such command */
	expect(h, nbd_cache(h, 512, 0, 0), EINVAL);
	/* nothing of it has reached the disk */
	for (unsigned int op = 0; op < 5; op++)
		assert_int_equal(atomic_load(&s->ram.seen[op]), 0);
	assert_int_equal(nbd_pread(h, buf, 512, 0, 0), 0);
	assert_int_equal(server_stats(s).errors, 16);
	leave(h);
	server_stop(s);
	free(buf);
}

static void errors_of_the_disk_reach_the_client(void **state)
{
	static const struct {
		int status, error;
	} cases[] = {{-EIO, EIO},	{-ETIMEDOUT, EIO}, {-EILSEQ, EIO},
		     {-ENOSPC, ENOSPC}, {-ENODEV, EIO},	   {-EROFS, EPERM}};
	struct server *s = server_new();
	char *buf = malloc(1 << 20);
	struct nbd_handle *h;

	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	/* In the middle: one of eight parts. */
	atomic_store(&s->ram.fail_from, 500000);
	atomic_store(&s->ram.fail_to, 500001);
	h = client(s);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		atomic_store(&s->ram.fail_status, cases[i].status);
		expect(h, nbd_pwrite(h, buf, 1 << 20, 0, 0), cases[i].error);
		expect(h, nbd_pwrite(h, buf, 1 << 20, 0, LIBNBD_CMD_FLAG_FUA), cases[i].error);
		expect(h, nbd_pread(h, buf, 1 << 20, 0, 0), cases[i].error);
		assert_int_equal(nbd_pread(h, buf, 4096, 0, 0), 0);
	}
	leave(h);

	/* The same without structured replies. */
	h = nbd_create();
	nbd_set_request_structured_replies(h, false);
	assert_int_equal(nbd_connect_uri(h, s->uri), 0);
	assert_int_equal(nbd_can_df(h), 0);
	expect(h, nbd_pread(h, buf, 1 << 20, 0, 0), EPERM);
	atomic_store(&s->ram.fail_status, 0);
	fill(s->ram.data, 1 << 20, 9);
	assert_int_equal(nbd_pread(h, buf, 1 << 20, 0, 0), 0);
	assert_memory_equal(buf, s->ram.data, 1 << 20);
	leave(h);
	server_stop(s);
	free(buf);
}

/* ---- many at once ---------------------------------------------------------------- */

enum {
	MANY = 400,
	MANY_LEN = 8192,
};

/* More than the disk takes, more than there are tags: what has no room waits in the socket. */
static void hundreds_of_requests_end_in_any_order(void **state)
{
	static const enum ob_mode modes[] = {OB_MODE_ADAPTIVE, OB_MODE_INTERRUPT, OB_MODE_POLL};
	char *out = malloc(MANY * MANY_LEN), *in = calloc(MANY, MANY_LEN);
	int64_t cookies[MANY];

	fill(out, MANY * MANY_LEN, 7);
	for (unsigned int m = 0; m < 3; m++) {
		struct server *s = server_new();
		struct nbd_handle *h;

		s->ram.blk.limits.depth = 4;
		s->ram.blk.limits.max_transfer = 2048;
		atomic_store(&s->ram.shuffle, true);
		server_start(s, "nbd,depth=16,memory=4M", modes[m]);
		h = client(s);
		for (unsigned int i = 0; i < MANY; i++)
			cookies[i] = nbd_aio_pwrite(h, out + i * MANY_LEN, MANY_LEN, i * MANY_LEN,
						    NBD_NULL_COMPLETION, 0);
		wait_all(h, cookies, MANY);
		assert_memory_equal(s->ram.data, out, MANY * MANY_LEN);
		memset(in, 0, MANY * MANY_LEN);
		for (unsigned int i = 0; i < MANY; i++)
			cookies[i] = nbd_aio_pread(h, in + i * MANY_LEN, MANY_LEN, i * MANY_LEN,
						   NBD_NULL_COMPLETION, 0);
		wait_all(h, cookies, MANY);
		assert_memory_equal(in, out, MANY * MANY_LEN);
		assert_int_equal(atomic_load(&s->ram.most_inflight), 4);
		leave(h);
		server_stop(s);
	}
	free(out);
	free(in);
}

static void reads_and_writes_mixed_are_whole(void **state)
{
	struct server *s = server_new();
	char *out = malloc(MANY * MANY_LEN), *in = calloc(MANY, MANY_LEN);
	int64_t cookies[2 * MANY];
	struct nbd_handle *h;

	fill(out, MANY * MANY_LEN, 8);
	server_start(s, "nbd", OB_MODE_ADAPTIVE);
	fill(s->ram.data + (8 << 20), MANY * MANY_LEN, 9);
	atomic_store(&s->ram.shuffle, true);
	h = client(s);
	/* Runs of reads are read ahead; then a write comes into the same buffer. */
	for (unsigned int round = 0; round < 4; round++) {
		unsigned int n = 0, run = round ? 1u << (2 * round) : 100;

		for (unsigned int i = 0; i < MANY; i++) {
			cookies[n++] =
				nbd_aio_pread(h, in + i * MANY_LEN, MANY_LEN,
					      (8 << 20) + i * MANY_LEN, NBD_NULL_COMPLETION, 0);
			if (i % run == run - 1)
				cookies[n++] = nbd_aio_pwrite(h, out + i * MANY_LEN, MANY_LEN,
							      i * MANY_LEN, NBD_NULL_COMPLETION, 0);
		}
		wait_all(h, cookies, n);
		assert_memory_equal(in, s->ram.data + (8 << 20), MANY * MANY_LEN);
		for (unsigned int i = run - 1; i < MANY; i += run)
			assert_memory_equal(s->ram.data + i * MANY_LEN, out + i * MANY_LEN,
					    MANY_LEN);
	}
	leave(h);
	server_stop(s);
	free(out);
	free(in);
}

static void connections_see_each_others_writes_and_flushes(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *h[8];
	char buf[4096], got[4096];

	s->ram.multi_conn = false; /* one queue serves all, so it holds all the same */
	server_start(s, "nbd,connections=8", OB_MODE_ADAPTIVE);
	for (unsigned int i = 0; i < 8; i++)
		h[i] = client(s);
	for (unsigned int i = 0; i < 8; i++) {
		fill(buf, sizeof(buf), i);
		assert_int_equal(nbd_pwrite(h[i], buf, sizeof(buf), i * 4096, 0), 0);
		for (unsigned int j = 0; j < 8; j++) {
			assert_int_equal(nbd_pread(h[j], got, sizeof(got), i * 4096, 0), 0);
			assert_memory_equal(got, buf, sizeof(buf));
		}
		assert_int_equal(nbd_flush(h[(i + 3) % 8], 0), 0);
		assert_memory_equal(s->ram.stable + i * 4096, buf, sizeof(buf));
	}
	for (unsigned int i = 0; i < 8; i++)
		leave(h[i]);
	server_stop(s);
}

static void more_clients_than_allowed_wait_until_one_leaves(void **state)
{
	struct server *s = server_new();
	struct nbd_handle *first, *second = nbd_create();
	char buf[512];

	server_start(s, "nbd,connections=1", OB_MODE_ADAPTIVE);
	first = client(s);
	assert_int_equal(nbd_pread(first, buf, 512, 0, 0), 0);
	assert_int_equal(nbd_aio_connect_uri(second, s->uri), 0);
	for (unsigned int i = 0; i < 5; i++)
		nbd_poll(second, 10);
	assert_false(nbd_aio_is_ready(second));
	leave(first);
	while (!nbd_aio_is_ready(second))
		assert_int_equal(nbd_poll(second, 30000), 1);
	assert_int_equal(nbd_pread(second, buf, 512, 0, 0), 0);
	leave(second);
	server_stop(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(negotiation_tells_size_block_sizes_and_abilities),
		cmocka_unit_test(what_the_disk_cannot_do_is_not_offered),
		cmocka_unit_test(exports_are_listed_and_an_unknown_name_is_refused),
		cmocka_unit_test(data_come_back_at_every_size),
		cmocka_unit_test(payload_is_never_copied_here),
		cmocka_unit_test(flush_and_fua_reach_the_disk),
		cmocka_unit_test(fua_is_made_of_a_flush_where_the_disk_has_none),
		cmocka_unit_test(trim_and_zero_of_any_length),
		cmocka_unit_test(a_read_only_disk_refuses_writes),
		cmocka_unit_test(wrong_requests_are_refused_and_the_connection_goes_on),
		cmocka_unit_test(errors_of_the_disk_reach_the_client),
		cmocka_unit_test(hundreds_of_requests_end_in_any_order),
		cmocka_unit_test(reads_and_writes_mixed_are_whole),
		cmocka_unit_test(connections_see_each_others_writes_and_flushes),
		cmocka_unit_test(more_clients_than_allowed_wait_until_one_leaves),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
