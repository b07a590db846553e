/* SPDX-License-Identifier: BSD-2-Clause */
/* The qtest client against a peer that behaves as QEMU does, and against one that does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/qemu/qtest.h"

static unsigned int raised, lowered, last_line;

static void on_irq(void *arg, unsigned int line, bool level)
{
	last_line = line;
	*(level ? &raised : &lowered) += 1;
}

struct peer {
	struct qtest qt;
	int fd;
};

static int setup(void **state)
{
	static struct peer p;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	qtest_open(&p.qt, pair[0], 300);
	p.qt.irq = on_irq;
	p.fd = pair[1];
	raised = lowered = 0;
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct peer *p = *state;

	qtest_close(&p->qt);
	if (p->fd >= 0)
		close(p->fd);
	return 0;
}

static void say(struct peer *p, const char *text)
{
	assert_int_equal(send(p->fd, text, strlen(text), 0), strlen(text));
}

static void heard(struct peer *p, const char *want)
{
	char buf[256] = "";

	assert_true(recv(p->fd, buf, sizeof(buf) - 1, 0) > 0);
	assert_string_equal(buf, want);
}

static void lines_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		enum qtest_line_kind kind;
		uint64_t value;
	} lines[] = {
		{"OK", QTEST_OK, 0},
		{"OK 0x00000000000010ed", QTEST_OK, 0x10ed},
		{"OK 0x0086", QTEST_OK, 0x86},
		{"OK 17", QTEST_OK, 17},
		{"OK 0xffffffffffffffff", QTEST_OK, UINT64_MAX},
		{"OK little", QTEST_OK, 0},
		{"OKAY", QTEST_BAD, 0},
		{"OK ", QTEST_BAD, 0},
		{"IRQ raise 23", QTEST_RAISE, 23},
		{"IRQ lower 0", QTEST_LOWER, 0},
		{"IRQ raise ", QTEST_BAD, 0},
		{"IRQ raise 5x", QTEST_BAD, 0},
		{"IRQ lower 99999999999999999999999", QTEST_BAD, 0},
		{"FAIL Unknown device", QTEST_FAIL, 0},
		{"", QTEST_BAD, 0},
		{"O", QTEST_BAD, 0},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct qtest_line out;

		qtest_parse_line(lines[i].text, strlen(lines[i].text), &out);
		if (out.kind != lines[i].kind || out.value != lines[i].value)
			fail_msg("'%s' gives %d, %llu", lines[i].text, out.kind,
				 (unsigned long long)out.value);
	}
}

static void a_read_collects_older_replies_and_interrupts(void **state)
{
	struct peer *p = *state;
	uint64_t val;

	assert_int_equal(qtest_write(&p->qt, 0xc0000010, 4, 0), 0);
	assert_int_equal(qtest_out(&p->qt, 0xcf8, 2, 0xabcd), 0);
	heard(p, "writel 0xc0000010 0x0\noutw 0xcf8 0xabcd\n");
	say(p, "OK\nIRQ raise 20\nOK\nIRQ lower 20\nIRQ raise 21\nOK 0x12\n");
	assert_int_equal(qtest_read(&p->qt, 0xdeadbeef00, 8, &val), 0);
	heard(p, "readq 0xdeadbeef00\n");
	assert_int_equal(val, 0x12);
	assert_int_equal(p->qt.outstanding, 0);
	assert_int_equal(raised, 2);
	assert_int_equal(lowered, 1);
	assert_int_equal(last_line, 21);
}

static void posted_writes_without_replies_are_bounded(void **state)
{
	struct peer *p = *state;
	int ret = 0, n;

	for (n = 0; n < 1000 && !ret; n++)
		ret = qtest_write(&p->qt, 0xc0000000, 4, 1);
	assert_int_equal(ret, -ENODEV); /* nobody answers: it waited, then gave up */
	assert_in_range(n, 30, 100);
}

static void a_fail_is_an_error_and_not_the_end(void **state)
{
	struct peer *p = *state;
	uint64_t val;

	say(p, "FAIL Unknown command\n");
	assert_int_equal(qtest_command(&p->qt, "nonsense"), -EIO);
	assert_string_equal(p->qt.fail, "FAIL Unknown command");
	say(p, "OK 0x1\n");
	assert_int_equal(qtest_in(&p->qt, 0x61, 1, &val), 0);
}

static void garbage_ends_the_connection(void **state)
{
	struct peer *p = *state;
	uint64_t val;

	say(p, "what?\n");
	assert_int_equal(qtest_read(&p->qt, 0, 4, &val), -ENODEV);
	say(p, "OK 0x1\n");
	assert_int_equal(qtest_read(&p->qt, 0, 4, &val), -ENODEV);
}

static void a_line_without_end_ends_the_connection(void **state)
{
	struct peer *p = *state;
	char junk[4096];
	uint64_t val;

	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 3; i++)
		assert_true(send(p->fd, junk, sizeof(junk), 0) > 0);
	assert_int_equal(qtest_read(&p->qt, 0, 4, &val), -ENODEV);
}

static void an_answer_without_a_question_ends_the_connection(void **state)
{
	struct peer *p = *state;

	say(p, "OK\n");
	assert_int_equal(qtest_pump(&p->qt), -ENODEV);
}

static void the_end_of_the_peer_is_noticed(void **state)
{
	struct peer *p = *state;
	uint64_t val;

	close(p->fd);
	p->fd = -1;
	assert_int_equal(qtest_read(&p->qt, 0, 4, &val), -ENODEV);
	assert_int_equal(qtest_write(&p->qt, 0, 4, 0), -ENODEV);
	assert_int_equal(qtest_drain(&p->qt), -ENODEV);
}

#define with_peer(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_told_apart),
		with_peer(a_read_collects_older_replies_and_interrupts),
		with_peer(posted_writes_without_replies_are_bounded),
		with_peer(a_fail_is_an_error_and_not_the_end),
		with_peer(garbage_ends_the_connection),
		with_peer(a_line_without_end_ends_the_connection),
		with_peer(an_answer_without_a_question_ends_the_connection),
		with_peer(the_end_of_the_peer_is_noticed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
