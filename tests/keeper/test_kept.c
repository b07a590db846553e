/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver process gives to its keeper, and what the two say: whole, in order, and nothing that is not as it has to be. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "attach/kept.h"
#include "keeper/channel.h"

static int ends[2]; /* the driver process's, the keeper's */

static int setup(void **state)
{
	if (channel_pair(ends))
		return -1;
	ob_kept_connect(ends[0], getppid());
	return 0;
}

static int teardown(void **state)
{
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void put(const char *key, int fd0, int fd1, const char *note)
{
	struct kept k = {.fd = {fd0, -1, fd1}, .nr_fds = 3, .note_size = strlen(note)};

	snprintf(k.key, sizeof(k.key), "%s", key);
	memcpy(k.note, note, k.note_size);
	assert_int_equal(kept_put(&k), 0);
}

static void what_was_given_is_found(void **state)
{
	int pipes[2], before;
	struct kept k;

	assert_int_equal(pipe(pipes), 0);
	assert_false(kept_find("tap a 0", &k));
	put("tap a 0", pipes[0], pipes[1], "premade");
	put("tap b 0", pipes[1], pipes[0], "");
	/* Not before the keeper has looked. */
	assert_false(kept_find("tap a 0", &k));
	ob_kept_receive(ends[1]);
	assert_int_equal(ob_kept_count(), 2);
	before = (int)open_descriptors();
	assert_true(kept_find("tap a 0", &k));
	assert_int_equal(k.nr_fds, 3);
	assert_int_equal(k.fd[1], -1);
	assert_true(same_file(k.fd[0], pipes[0]) && same_file(k.fd[2], pipes[1]));
	assert_int_equal(k.note_size, 7);
	assert_memory_equal(k.note, "premade", 7);
	/* Duplicates: what the finder closes stays with the keeper. */
	assert_int_equal(open_descriptors(), before + 2);
	close(k.fd[0]);
	close(k.fd[2]);
	assert_true(kept_find("tap a 0", &k));
	close(k.fd[0]);
	close(k.fd[2]);

	/* Given once more it takes the place of the former. */
	put("tap a 0", pipes[1], pipes[1], "x");
	ob_kept_receive(ends[1]);
	assert_int_equal(ob_kept_count(), 2);
	assert_int_equal(open_descriptors(), before);
	assert_true(kept_find("tap a 0", &k));
	assert_true(same_file(k.fd[0], pipes[1]));
	close(k.fd[0]);
	close(k.fd[2]);
	close(pipes[0]);
	close(pipes[1]);
}

/* A driver process may send what it likes. */
static void what_is_no_gift_is_dropped(void **state)
{
	unsigned int kept = ob_kept_count(), before = open_descriptors();
	static char page[65536];
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {page, 100};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	int fds[3] = {ends[0], ends[1], ends[0]};

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	memset(page, 0xff, sizeof(page));
	for (size_t size = 1; size < sizeof(page); size += size < 2000 ? 1 : 997) {
		iov.iov_len = size;
		assert_true(sendmsg(ends[0], &msg, 0) > 0);
		ob_kept_receive(ends[1]);
	}
	assert_int_equal(ob_kept_count(), kept);
	assert_int_equal(open_descriptors(), before);
}

static void messages_come_whole(void **state)
{
	struct ob_error err = {0};
	struct channel_message m;
	char *text = malloc(CHANNEL_TEXT + 1);

	assert_non_null(text);
	memset(text, 'x', CHANNEL_TEXT);
	text[CHANNEL_TEXT] = '\0';
	assert_int_equal(channel_send(ends[0], CHANNEL_ASK, 0, NULL, text, -1), -EMSGSIZE);
	text[CHANNEL_TEXT - 1] = '\0';
	ob_error_set(&err, -EBUSY, "it is in use");
	assert_int_equal(channel_send(ends[0], CHANNEL_ANSWER, -EBUSY, &err, text, ends[0]), 0);
	assert_int_equal(channel_send(ends[0], CHANNEL_READY, 1, NULL, NULL, -1), 0);

	assert_int_equal(channel_receive(ends[1], &m, 1000), 0);
	assert_int_equal(m.kind, CHANNEL_ANSWER);
	assert_int_equal(m.value, -EBUSY);
	assert_string_equal(m.err.what, "it is in use");
	assert_string_equal(m.text, text);
	assert_true(same_file(m.fd, ends[0]));
	close(m.fd);
	free(m.text);
	assert_int_equal(channel_receive(ends[1], &m, 1000), 0);
	assert_int_equal(m.kind, CHANNEL_READY);
	assert_int_equal(m.fd, -1);
	assert_string_equal(m.text, "");
	free(m.text);
	assert_int_equal(channel_receive(ends[1], &m, 0), -EAGAIN);
	free(text);
}

static void what_is_no_message_is_told_so(void **state)
{
	struct channel_message m;
	unsigned int before;
	int fds[2];

	assert_int_equal(channel_pair(fds), 0);
	before = open_descriptors();
	assert_int_equal(send(fds[0], "short", 5, 0), 5);
	assert_int_equal(channel_receive(fds[1], &m, 1000), -EPROTO);
	assert_int_equal(open_descriptors(), before);
	close(fds[0]);
	assert_int_equal(channel_receive(fds[1], &m, 1000), -ECONNRESET);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_given_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_gift_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(messages_come_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_message_is_told_so, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("kept", tests, NULL, NULL);
}
