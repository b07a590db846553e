/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NBD server against clients that break off, send nonsense, are slow or do not listen: bytes on the
 * wire, written by hand from the protocol (doc/proto.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach/nbd_protocol.h"
#include "tests/attach/nbd_server.h"

static struct server *serve(const char *text)
{
	struct server *s = server_new();

	server_start(s, text, OB_MODE_ADAPTIVE);
	return s;
}

/* Everything of a client's was given back: as many requests fit at once as at the beginning. */
static void assert_still_serves(struct server *s, unsigned int depth)
{
	char *burst = malloc(depth * NBD_REQUEST_SIZE), reply[NBD_SIMPLE_REPLY_SIZE + 512];
	int fd = raw_go(s);

	atomic_store(&s->ram.hold, true);
	for (unsigned int i = 0; i < depth; i++)
		raw_request(burst + i * NBD_REQUEST_SIZE, 0, NBD_CMD_READ, i, i * 512, 512);
	raw_send(fd, burst, depth * NBD_REQUEST_SIZE);
	ram_disk_release(&s->ram);
	for (unsigned int i = 0; i < depth; i++) {
		raw_receive(fd, reply, sizeof(reply));
		assert_int_equal(nbd_get32(reply), NBD_SIMPLE_REPLY_MAGIC);
		assert_int_equal(nbd_get32(reply + 4), 0);
	}
	close(fd);
	free(burst);
}

/* A whole conversation: flags, two options, a write, a read, a flush, a disconnect. */
static size_t conversation(char *p)
{
	char *from = p;

	p = nbd_put32(p, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	p = nbd_put64(p, NBD_OPTION_MAGIC);
	p = nbd_put32(p, NBD_OPT_STRUCTURED_REPLY);
	p = nbd_put32(p, 0);
	p = nbd_put64(p, NBD_OPTION_MAGIC);
	p = nbd_put32(p, NBD_OPT_GO);
	p = nbd_put32(p, 8);
	p = nbd_put32(p, 0);
	p = nbd_put16(p, 1);
	p = nbd_put16(p, NBD_INFO_BLOCK_SIZE);
	raw_request(p, 0, NBD_CMD_WRITE, 1, 4096, 1024);
	memset(p + NBD_REQUEST_SIZE, 0x5a, 1024);
	p += NBD_REQUEST_SIZE + 1024;
	raw_request(p, 0, NBD_CMD_READ, 2, 4096, 1024);
	p += NBD_REQUEST_SIZE;
	raw_request(p, 0, NBD_CMD_FLUSH, 3, 0, 0);
	p += NBD_REQUEST_SIZE;
	raw_request(p, 0, NBD_CMD_DISC, 4, 0, 0);
	return (size_t)(p + NBD_REQUEST_SIZE - from);
}

static void a_client_may_vanish_at_any_byte(void **state)
{
	struct server *s = serve("nbd,depth=16");
	char text[2048];
	size_t len = conversation(text);

	for (size_t n = 0; n < len; n++) {
		int fd = raw_connect(s);

		if (n)
			raw_send(fd, text, n);
		/* Now and then half-closed and read to the end, else reset. */
		if (n % 3 == 0) {
			shutdown(fd, SHUT_WR);
			assert_true(raw_ended(fd));
		}
		close(fd);
	}
	/* A write that did not come whole was not done: only those behind its last byte were. */
	assert_still_serves(s, 8);
	server_stop(s);
}

static void a_client_may_vanish_with_requests_at_the_disk(void **state)
{
	struct server *s = serve("nbd,depth=16");

	for (unsigned int i = 0; i < 50; i++) {
		char burst[4 * NBD_REQUEST_SIZE];
		int fd = raw_go(s);

		atomic_store(&s->ram.hold, i % 2);
		for (unsigned int j = 0; j < 4; j++)
			raw_request(burst + j * NBD_REQUEST_SIZE, 0, NBD_CMD_READ, j, 0, 1 << 20);
		raw_send(fd, burst, sizeof(burst));
		close(fd);
		if (i % 2)
			ram_disk_release(&s->ram);
	}
	assert_still_serves(s, 8);
	server_stop(s);
}

static void a_conversation_in_single_bytes_is_understood(void **state)
{
	struct server *s = serve("nbd");
	char text[2048];
	size_t len = conversation(text);
	int fd = raw_connect(s), one = 1;

	setsockopt(fd, 6, 1, &one, sizeof(one)); /* TCP, NODELAY */
	for (size_t n = 0; n < len; n++)
		raw_send(fd, text + n, 1);
	assert_true(raw_ended(fd));
	close(fd);
	assert_int_equal(s->ram.data[4096], 0x5a);
	assert_int_equal(s->ram.data[4096 + 1023], 0x5a);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_READ]), 1);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_FLUSH]), 1);
	server_stop(s);
}

static void a_conversation_in_one_piece_is_understood(void **state)
{
	struct server *s = serve("nbd");
	char text[2048];
	size_t len = conversation(text);
	int fd = raw_connect(s);

	/* Against the rules (a client waits for replies), but nothing to fall over. */
	raw_send(fd, text, len);
	assert_true(raw_ended(fd));
	close(fd);
	assert_int_equal(s->ram.data[4096 + 1023], 0x5a);
	assert_int_equal(atomic_load(&s->ram.seen[OB_BLOCK_FLUSH]), 1);
	server_stop(s);
}

/*
 * Each connection has a part of the loop's budget, a small one where there are many. Wherever it ends, also
 * behind the last byte that comes for now, what has come whole is done.
 */
static void writes_are_done_wherever_a_budget_ends(void **state)
{
	enum {
		CONNS = 40,
		WRITES = 12,
		LEN = 512,
	};
	struct server *s = serve("nbd,connections=40");
	char burst[WRITES * (NBD_REQUEST_SIZE + LEN)];
	int fd[CONNS];

	memset(burst, 0, sizeof(burst));
	for (unsigned int n = 0; n < CONNS; n++) {
		fd[n] = raw_go(s);
		for (unsigned int writes = 1; writes <= WRITES; writes++) {
			char *p = burst;

			for (unsigned int i = 0; i < writes; i++) {
				raw_request(p, 0, NBD_CMD_WRITE, i, i * LEN, LEN);
				p += NBD_REQUEST_SIZE + LEN;
			}
			raw_send(fd[n], burst, (size_t)(p - burst));
			for (unsigned int i = 0; i < writes; i++)
				assert_int_equal(raw_reply(fd[n], i), 0);
		}
	}
	for (unsigned int n = 0; n < CONNS; n++)
		close(fd[n]);
	server_stop(s);
}

static void garbage_ends_the_connection_and_nothing_else(void **state)
{
	struct server *s = serve("nbd,depth=16");
	unsigned int seed = 1;
	char junk[4096];

	for (unsigned int i = 0; i < 200; i++) {
		int fd = i % 2 ? raw_go(s) : raw_connect(s);

		for (size_t j = 0; j < sizeof(junk); j++)
			junk[j] = (char)(rand_r(&seed) >> 7);
		/* Sometimes behind something that is right. */
		if (i % 4 == 3)
			raw_request(junk, 0, NBD_CMD_READ, 1, 0, 512);
		raw_send(fd, junk, sizeof(junk));
		assert_true(raw_ended(fd));
		close(fd);
	}
	assert_still_serves(s, 8);
	server_stop(s);
}

static void unknown_client_flags_end_the_connection(void **state)
{
	struct server *s = serve("nbd");
	char flags[4];
	int fd = raw_connect(s);

	nbd_put32(flags, 1u << 7);
	raw_send(fd, flags, sizeof(flags));
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static int negotiating(struct server *s)
{
	char hello[NBD_HELLO_SIZE], flags[4];
	int fd = raw_connect(s);

	raw_receive(fd, hello, sizeof(hello));
	assert_true(nbd_get64(hello) == NBD_MAGIC);
	assert_true(nbd_get64(hello + 8) == NBD_OPTION_MAGIC);
	assert_int_equal(nbd_get16(hello + 16), NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	nbd_put32(flags, NBD_FLAG_C_FIXED_NEWSTYLE);
	raw_send(fd, flags, sizeof(flags));
	return fd;
}

static void wrong_options_get_an_error_reply(void **state)
{
	struct server *s = serve("nbd");
	char *data = calloc(1, 2 << 20);
	int fd = negotiating(s);

	assert_int_equal(raw_option(fd, 4711, NULL, 0), NBD_REP_ERR_UNSUP);
	assert_int_equal(raw_option(fd, 5 /* STARTTLS */, NULL, 0), NBD_REP_ERR_UNSUP);
	assert_int_equal(raw_option(fd, NBD_OPT_LIST, "x", 1), NBD_REP_ERR_INVALID);
	assert_int_equal(raw_option(fd, NBD_OPT_STRUCTURED_REPLY, "x", 1), NBD_REP_ERR_INVALID);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 0), NBD_REP_ERR_INVALID);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 5), NBD_REP_ERR_INVALID);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 7), NBD_REP_ERR_INVALID);
	/* a name that is longer than the option, by little and by nearly 2^32 */
	nbd_put32(data, 1);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 6), NBD_REP_ERR_INVALID);
	nbd_put32(data, UINT32_MAX);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 100), NBD_REP_ERR_INVALID);
	nbd_put32(data, UINT32_MAX - 5);
	assert_int_equal(raw_option(fd, NBD_OPT_INFO, data, 6), NBD_REP_ERR_INVALID);
	/* more requests than there are */
	nbd_put32(data, 0);
	nbd_put16(data + 4, 0xffff);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 8), NBD_REP_ERR_INVALID);
	/* the same request a thousand times: one answer */
	nbd_put16(data + 4, 1000);
	for (unsigned int i = 0; i < 1000; i++)
		nbd_put16(data + 6 + 2 * i, NBD_INFO_NAME);
	assert_int_equal(raw_option(fd, NBD_OPT_INFO, data, 2006), NBD_REP_ACK);
	/* the longest name that is legal, then longer ones */
	memset(data, 'n', 10000);
	nbd_put32(data, 4096);
	nbd_put16(data + 4100, 0);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 4102), NBD_REP_ERR_UNKNOWN);
	nbd_put32(data, 4097);
	nbd_put16(data + 4101, 0);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 4103), NBD_REP_ERR_INVALID);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 100000), NBD_REP_ERR_TOO_BIG);
	assert_int_equal(raw_option(fd, 4711, data, 1 << 20), NBD_REP_ERR_TOO_BIG);
	/* and after all that it still works */
	memset(data, 0, 6);
	assert_int_equal(raw_option(fd, NBD_OPT_GO, data, 6), NBD_REP_ACK);
	close(fd);
	server_stop(s);
	free(data);
}

static void options_that_cannot_be_skipped_end_the_connection(void **state)
{
	struct server *s = serve("nbd");
	char head[NBD_OPTION_SIZE], *p = head;
	int fd = negotiating(s);

	p = nbd_put64(p, NBD_OPTION_MAGIC);
	p = nbd_put32(p, NBD_OPT_GO);
	nbd_put32(p, 0xfffffff0u);
	raw_send(fd, head, sizeof(head));
	assert_true(raw_ended(fd));
	close(fd);

	fd = negotiating(s);
	nbd_put64(head, NBD_OPTION_MAGIC + 1);
	raw_send(fd, head, sizeof(head));
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static void export_name_is_answered_in_the_old_way(void **state)
{
	struct server *s = serve("nbd,export=a");
	char option[NBD_OPTION_SIZE + 1], answer[10 + 124], request[NBD_REQUEST_SIZE];
	char reply[NBD_SIMPLE_REPLY_SIZE + 512];
	int fd = negotiating(s);

	nbd_put64(option, NBD_OPTION_MAGIC);
	nbd_put32(option + 8, NBD_OPT_EXPORT_NAME);
	nbd_put32(option + 12, 1);
	option[16] = 'a';
	raw_send(fd, option, sizeof(option));
	raw_receive(fd, answer, sizeof(answer));
	assert_true(nbd_get64(answer) == SERVER_SIZE);
	assert_int_equal(nbd_get16(answer + 8) & NBD_FLAG_HAS_FLAGS, 1);
	assert_int_equal(nbd_get16(answer + 8) & NBD_FLAG_SEND_DF, 0);
	for (unsigned int i = 10; i < sizeof(answer); i++)
		assert_int_equal(answer[i], 0);
	raw_request(request, 0, NBD_CMD_READ, 77, 0, 512);
	raw_send(fd, request, sizeof(request));
	raw_receive(fd, reply, sizeof(reply));
	assert_int_equal(nbd_get32(reply + 4), 0);
	close(fd);

	/* An unknown name cannot be answered: the session ends. */
	fd = negotiating(s);
	option[16] = 'b';
	raw_send(fd, option, sizeof(option));
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static void flood_of_options_does_not_fill_the_memory(void **state)
{
	struct server *s = serve("nbd");
	char option[NBD_OPTION_SIZE], *burst = malloc(NBD_OPTION_SIZE * 10000);
	int fd = negotiating(s);
	size_t sent = 0;

	nbd_put64(option, NBD_OPTION_MAGIC);
	nbd_put32(option + 8, NBD_OPT_LIST);
	nbd_put32(option + 12, 0);
	for (unsigned int i = 0; i < 10000; i++)
		memcpy(burst + i * NBD_OPTION_SIZE, option, NBD_OPTION_SIZE);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	/* Never reading: at some point the server does not take any more. */
	while (sent < 200ul << 20) {
		ssize_t n = send(fd, burst, NBD_OPTION_SIZE * 10000, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	assert_still_serves(s, 8);
	close(fd);
	server_stop(s);
	free(burst);
}

/* ---- transmission ---------------------------------------------------------------- */

static void unknown_commands_and_empty_requests_are_answered(void **state)
{
	struct server *s = serve("nbd");
	char request[NBD_REQUEST_SIZE];
	int fd = raw_go(s);
	static const uint16_t unknown[] = {5 /* CACHE */, 7 /* BLOCK_STATUS */, 8, 0xffff};

	for (unsigned int i = 0; i < 4; i++) {
		raw_request(request, 0, unknown[i], i, 0, 512);
		raw_send(fd, request, sizeof(request));
		assert_int_equal(raw_reply(fd, i), NBD_EINVAL);
	}
	raw_request(request, 0x8000, NBD_CMD_READ, 9, 0, 512);
	raw_send(fd, request, sizeof(request));
	assert_int_equal(raw_reply(fd, 9), NBD_EINVAL);
	raw_request(request, 0, NBD_CMD_FLUSH, 10, 512, 0);
	raw_send(fd, request, sizeof(request));
	assert_int_equal(raw_reply(fd, 10), NBD_EINVAL);
	/* nothing to do, well done */
	static const uint16_t empty[] = {NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM,
					 NBD_CMD_WRITE_ZEROES};
	for (unsigned int i = 0; i < 4; i++) {
		raw_request(request, 0, empty[i], 20 + i, 0, 0);
		raw_send(fd, request, sizeof(request));
		assert_int_equal(raw_reply(fd, 20 + i), 0);
	}
	close(fd);
	server_stop(s);
}

static void a_payload_that_is_too_long_to_skip_ends_the_connection(void **state)
{
	struct server *s = serve("nbd");
	char request[NBD_REQUEST_SIZE];
	int fd = raw_go(s);

	raw_request(request, 0, NBD_CMD_WRITE, 1, 0, UINT32_MAX);
	raw_send(fd, request, sizeof(request));
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static void disconnect_comes_after_the_replies(void **state)
{
	struct server *s = serve("nbd");
	char burst[9 * NBD_REQUEST_SIZE];
	char reply[NBD_SIMPLE_REPLY_SIZE + 4096];
	int fd = raw_go(s);

	atomic_store(&s->ram.hold, true);
	for (unsigned int i = 0; i < 8; i++)
		raw_request(burst + i * NBD_REQUEST_SIZE, 0, NBD_CMD_READ, i, 0, 4096);
	raw_request(burst + 8 * NBD_REQUEST_SIZE, 0, NBD_CMD_DISC, 8, 0, 0);
	raw_send(fd, burst, sizeof(burst));
	ram_disk_release(&s->ram);
	for (unsigned int i = 0; i < 8; i++) {
		raw_receive(fd, reply, sizeof(reply));
		assert_int_equal(nbd_get32(reply + 4), 0);
	}
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static void a_client_that_takes_no_replies_leaves_room_for_others(void **state)
{
	struct server *s = serve("nbd,depth=64,memory=4M,connections=4");
	char *burst = malloc(64 * NBD_REQUEST_SIZE);
	int fd[2];

	for (unsigned int c = 0; c < 2; c++) {
		fd[c] = raw_go(s);
		for (unsigned int i = 0; i < 64; i++)
			raw_request(burst + i * NBD_REQUEST_SIZE, 0, NBD_CMD_READ, i, 0, 512 << 10);
		raw_send(fd[c], burst, 64 * NBD_REQUEST_SIZE);
	}
	/* One more after another, each with what is left. */
	for (unsigned int i = 0; i < 20; i++)
		assert_still_serves(s, 4);
	/* They get everything when they look at last. */
	for (unsigned int c = 0; c < 2; c++) {
		for (unsigned int i = 0; i < 64; i++) {
			static char reply[NBD_SIMPLE_REPLY_SIZE + (512 << 10)];

			raw_receive(fd[c], reply, sizeof(reply));
			assert_int_equal(nbd_get32(reply + 4), 0);
		}
		close(fd[c]);
	}
	server_stop(s);
	free(burst);
}

/* ---- coming and going ------------------------------------------------------------ */

static void unpublish_names_who_is_connected_unless_forced(void **state)
{
	struct server *s = serve("nbd");
	struct ob_error err = {0};
	char pid[32], request[NBD_REQUEST_SIZE];
	int fd = raw_go(s);

	assert_int_equal(ob_attach_unpublish(s->at, false, &err), -EBUSY);
	assert_non_null(strstr(err.what, s->uri));
	snprintf(pid, sizeof(pid), "pid %d (", (int)getpid());
	assert_non_null(strstr(err.why, pid));
	/* and all goes on */
	raw_request(request, 0, NBD_CMD_FLUSH, 1, 0, 0);
	raw_send(fd, request, sizeof(request));
	assert_int_equal(raw_reply(fd, 1), 0);
	close(raw_go(s));

	/* Forced: what is under way is answered, then the end. */
	atomic_store(&s->ram.hold, true);
	raw_request(request, 0, NBD_CMD_FLUSH, 2, 0, 0);
	raw_send(fd, request, sizeof(request));
	while (server_stats(s).requests_in < 1)
		usleep(1000);
	ram_disk_release(&s->ram);
	assert_int_equal(ob_attach_unpublish(s->at, true, &err), 0);
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static void a_client_that_only_negotiates_does_not_hold_it(void **state)
{
	struct server *s = serve("nbd");
	struct ob_error err = {0};
	int fd = negotiating(s);

	assert_int_equal(raw_option(fd, 4711, NULL, 0), NBD_REP_ERR_UNSUP);
	assert_int_equal(ob_attach_unpublish(s->at, false, &err), 0);
	assert_true(raw_ended(fd));
	close(fd);
	server_stop(s);
}

static int connect_path(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

/* Attach another disk, for what open and publish say; not served. */
static int another(const char *text, struct ob_error *err)
{
	struct ram_disk *r = malloc(sizeof(*r));
	struct ob_attach *at = NULL;
	struct ob_loop *loop;
	int rc;

	assert_non_null(r);
	ram_disk_init(r, 1 << 20);
	assert_int_equal(ram_disk_open(r), 0);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &loop), 0);
	memset(err, 0, sizeof(*err));
	rc = ob_attach_open(&r->binding, 0, text, loop, &at, err);
	if (!rc) {
		rc = ob_attach_publish(at, err);
		ob_attach_close(at);
	}
	ob_loop_destroy(loop);
	ram_disk_close(r);
	free(r);
	return rc;
}

static void a_socket_file_is_private_replaced_when_stale_and_removed(void **state)
{
	char dir[] = "/tmp/outboard-nbd-XXXXXX", path[64], text[96];
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char hello[NBD_HELLO_SIZE];
	struct ob_error err;
	struct server *s;
	struct stat st;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s k", dir);
	snprintf(text, sizeof(text), "nbd,socket=%s,memory=4M", path);

	/* left by somebody who was killed */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	assert_int_equal(connect_path(path), -ECONNREFUSED);

	s = serve(text);
	assert_non_null(strstr(s->uri, "/s%20k"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = connect_path(path);
	assert_true(fd >= 0);
	raw_receive(fd, hello, sizeof(hello));
	close(fd);

	/* in use */
	assert_int_equal(another(text, &err), -EBUSY);
	assert_non_null(strstr(err.what, "pid "));
	assert_int_equal(stat(path, &st), 0);
	server_stop(s);
	assert_int_equal(stat(path, &st), -1);

	/* not a socket: left alone */
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	s = serve("nbd,memory=4M");
	assert_int_equal(another(text, &err), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	server_stop(s);
	unlink(path);
	rmdir(dir);
}

/* From now on this process can open none. */
static void use_up_descriptors(struct rlimit *was)
{
	struct rlimit now;
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, was), 0);
	/* The lowest number that is free is not to be had. */
	now = (struct rlimit){(rlim_t)fd, was->rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void connect_to(int fd, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(addr.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void who_comes_while_there_is_no_descriptor_waits(void **state)
{
	char dir[] = "/tmp/outboard-nbd-XXXXXX", path[64], text[96], hello[NBD_HELLO_SIZE];
	int first, second, third;
	struct timespec from, to;
	uint64_t calls, ticks;
	struct rlimit was;
	struct server *s;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(text, sizeof(text), "nbd,socket=%s,memory=4M", path);
	s = server_new();
	server_start(s, text, OB_MODE_INTERRUPT);
	first = socket(AF_UNIX, SOCK_STREAM, 0);
	second = socket(AF_UNIX, SOCK_STREAM, 0);
	third = socket(AF_UNIX, SOCK_STREAM, 0);
	connect_to(first, path);
	raw_receive(first, hello, sizeof(hello));

	/* The loop is not busy with him: some calls with each tick of 100 ms. */
	use_up_descriptors(&was);
	connect_to(second, path);
	usleep(100000);
	clock_gettime(CLOCK_MONOTONIC, &from);
	calls = server_stats(s).syscalls;
	usleep(700000);
	calls = server_stats(s).syscalls - calls;
	clock_gettime(CLOCK_MONOTONIC, &to);
	ticks = (uint64_t)(to.tv_sec - from.tv_sec + 1) * 10;
	assert_in_range(calls, 0, 20 * ticks);

	/* Somebody leaves, or there is another descriptor: he is served. */
	close(first);
	raw_receive(second, hello, sizeof(hello));
	connect_to(third, path);
	usleep(50000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	raw_receive(third, hello, sizeof(hello));
	close(second);
	close(third);
	server_stop(s);
	rmdir(dir);
}

static void a_port_that_is_taken_is_refused(void **state)
{
	struct server *s = serve("nbd,memory=4M");
	struct ob_error err;
	char text[64];

	snprintf(text, sizeof(text), "nbd,port=%u,memory=4M", s->port);
	assert_int_equal(another(text, &err), -EADDRINUSE);
	assert_true(strlen(err.what) > 0);
	server_stop(s);
}

static void a_descriptor_that_was_handed_over_is_served(void **state)
{
	char hello[NBD_HELLO_SIZE], text[64];
	struct server *s;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(text, sizeof(text), "nbd,fd=%d", pair[1]);
	s = serve(text);
	raw_receive(pair[0], hello, sizeof(hello));
	assert_true(nbd_get64(hello) == NBD_MAGIC);
	close(pair[0]);
	server_stop(s);

	/* or one that listens */
	pair[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int len = snprintf(addr.sun_path + 1, 100, "outboard-test-%d", (int)getpid());
	socklen_t size = (socklen_t)(sizeof(addr.sun_family) + 1 + (size_t)len);

	assert_int_equal(bind(pair[0], (struct sockaddr *)&addr, size), 0);
	assert_int_equal(listen(pair[0], 4), 0);
	snprintf(text, sizeof(text), "nbd,fd=%d", pair[0]);
	s = serve(text);
	for (unsigned int i = 0; i < 2; i++) {
		pair[1] = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(connect(pair[1], (struct sockaddr *)&addr, size), 0);
		raw_receive(pair[1], hello, sizeof(hello));
		close(pair[1]);
	}
	server_stop(s);
}

static void a_disk_is_attached_once(void **state)
{
	struct server *s = serve("nbd,memory=4M");
	struct ob_attach *at = NULL;
	struct ob_error err = {0};

	assert_int_equal(ob_attach_open(&s->ram.binding, 0, "nbd", s->loop, &at, &err), -EBUSY);
	assert_null(at);
	assert_non_null(strstr(err.what, "ram0"));
	assert_int_equal(ob_attach_open(&s->ram.binding, 1, "nbd", s->loop, &at, &err), -EINVAL);
	assert_still_serves(s, 8);
	server_stop(s);
}

static void wrong_options_of_the_attachment_are_named(void **state)
{
	static const char *const cases[][2] = {
		{"nbd,port=70000", "port"},
		{"nbd,port=x", "port"},
		{"nbd,port=1,socket=/x", "only one"},
		{"nbd,connections=0", "connections"},
		{"nbd,depth=0", "depth"},
		{"nbd,memory=1K", "memory"},
		{"nbd,memory=1G", "arena"},
		{"nbd,users=me", "users"},
		{"nbd,fd=0x7ffffff0", "descriptor"},
		{"nbd,socket=", "socket"},
		{"nbd,colour=red", "colour"},
		{"ndb", "ndb"},
		{"nbd:port=1", "nbd:port=1"},
		{"tap", "network"},
		{"", "''"},
	};
	struct server *s = serve("nbd,memory=4M");
	struct ob_error err;

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = another(cases[i][0], &err);

		if (!rc || !(strstr(err.what, cases[i][1]) || strstr(err.why, cases[i][1])))
			fail_msg("'%s': %d, '%s' '%s'", cases[i][0], rc, err.what, err.why);
	}
	assert_still_serves(s, 4);
	server_stop(s);
}

/* On a port every local user could connect; by default only the same one and root may. */
static void another_users_client_is_refused_on_a_port(void **state)
{
	static const char *const texts[] = {"nbd", "nbd,users=any"};

	if (geteuid() != 0) {
		print_message("# only root can be somebody else\n");
		skip();
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct server *s = serve(texts[i]);
		int status;
		pid_t pid = fork();

		if (!pid) {
			char hello[NBD_HELLO_SIZE];
			int fd;

			if (setuid(65534))
				_exit(9);
			fd = raw_connect(s);
			_exit(recv(fd, hello, sizeof(hello), MSG_WAITALL) == NBD_HELLO_SIZE);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), i);
		assert_int_equal(server_stats(s).dropped, !i);
		assert_still_serves(s, 4);
		server_stop(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_may_vanish_at_any_byte),
		cmocka_unit_test(a_client_may_vanish_with_requests_at_the_disk),
		cmocka_unit_test(a_conversation_in_single_bytes_is_understood),
		cmocka_unit_test(a_conversation_in_one_piece_is_understood),
		cmocka_unit_test(writes_are_done_wherever_a_budget_ends),
		cmocka_unit_test(garbage_ends_the_connection_and_nothing_else),
		cmocka_unit_test(unknown_client_flags_end_the_connection),
		cmocka_unit_test(wrong_options_get_an_error_reply),
		cmocka_unit_test(options_that_cannot_be_skipped_end_the_connection),
		cmocka_unit_test(export_name_is_answered_in_the_old_way),
		cmocka_unit_test(flood_of_options_does_not_fill_the_memory),
		cmocka_unit_test(unknown_commands_and_empty_requests_are_answered),
		cmocka_unit_test(a_payload_that_is_too_long_to_skip_ends_the_connection),
		cmocka_unit_test(disconnect_comes_after_the_replies),
		cmocka_unit_test(a_client_that_takes_no_replies_leaves_room_for_others),
		cmocka_unit_test(unpublish_names_who_is_connected_unless_forced),
		cmocka_unit_test(a_client_that_only_negotiates_does_not_hold_it),
		cmocka_unit_test(a_socket_file_is_private_replaced_when_stale_and_removed),
		cmocka_unit_test(who_comes_while_there_is_no_descriptor_waits),
		cmocka_unit_test(a_port_that_is_taken_is_refused),
		cmocka_unit_test(a_descriptor_that_was_handed_over_is_served),
		cmocka_unit_test(a_disk_is_attached_once),
		cmocka_unit_test(wrong_options_of_the_attachment_are_named),
		cmocka_unit_test(another_users_client_is_refused_on_a_port),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
