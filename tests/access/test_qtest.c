/* SPDX-License-Identifier: BSD-2-Clause */
/* The qtest client against a peer that behaves as QEMU does, and against one that does not. */
#include <errno.h>
#include <pthread.h>
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

/* Nobody reads the socket again for what was received with the reply: a disk waited for such an interrupt for ever. */
static void an_interrupt_behind_the_reply_is_told_at_once(void **state)
{
	struct peer *p = *state;
	uint64_t val;

	assert_int_equal(qtest_out(&p->qt, 0x1f7, 1, 0xe7), 0);
	say(p, "OK\nOK 0x50\nIRQ raise 14\n");
	assert_int_equal(qtest_in(&p->qt, 0x3f6, 1, &val), 0);
	assert_int_equal(val, 0x50);
	assert_int_equal(raised, 1);
	assert_int_equal(last_line, 14);
}

/* The client remembers how it wrote an address; all of these are remembered in one place. */
static void writes_are_told_apart_by_kind_width_and_address(void **state)
{
	struct peer *p = *state;

	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(qtest_write(&p->qt, 0x10, 4, 0), 0);
		assert_int_equal(qtest_write(&p->qt, 0x20, 4, 0x1234567), 0);
		assert_int_equal(qtest_write(&p->qt, 0x20, 8, 0x123456789), 0);
		assert_int_equal(qtest_out(&p->qt, 0x20, 1, 0xff), 0);
		assert_int_equal(qtest_write(&p->qt, 0xf000000000000000, 8, UINT64_MAX), 0);
		heard(p, "writel 0x10 0x0\nwritel 0x20 0x1234567\nwriteq 0x20 0x123456789\n"
			 "outb 0x20 0xff\nwriteq 0xf000000000000000 0xffffffffffffffff\n");
	}
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

/* Nothing has been sent. */
static void silence(struct peer *p)
{
	char byte;

	assert_int_equal(recv(p->fd, &byte, 1, MSG_DONTWAIT), -1);
}

static void corked_writes_go_together_and_in_order(void **state)
{
	struct peer *p = *state;
	uint64_t before = p->qt.syscalls;

	qtest_cork(&p->qt);
	assert_int_equal(qtest_write_corked(&p->qt, 0x10, 4, 1), 0);
	qtest_cork(&p->qt);
	assert_int_equal(qtest_out_corked(&p->qt, 0x1f7, 1, 0xc8), 0);
	qtest_uncork(&p->qt); /* the inner one */
	assert_int_equal(qtest_write_corked(&p->qt, 0x14, 4, 2), 0);
	silence(p);
	qtest_uncork(&p->qt);
	heard(p, "writel 0x10 0x1\noutb 0x1f7 0xc8\nwritel 0x14 0x2\n");
	assert_int_equal(p->qt.syscalls - before, 1);
	assert_int_equal(p->qt.outstanding, 3);
	say(p, "OK\nOK\nOK\n");
	assert_int_equal(qtest_drain(&p->qt), 0);
	assert_int_equal(p->qt.outstanding, 0);
	/* And afterwards as ever. */
	assert_int_equal(qtest_write_corked(&p->qt, 0x18, 4, 3), 0);
	heard(p, "writel 0x18 0x3\n");
}

static void whatever_is_asked_comes_after_corked_writes(void **state)
{
	struct peer *p = *state;
	uint64_t val;

	qtest_cork(&p->qt);
	assert_int_equal(qtest_write_corked(&p->qt, 0x10, 4, 1), 0);
	say(p, "OK\nOK 0x7\n");
	assert_int_equal(qtest_read(&p->qt, 0x20, 4, &val), 0);
	assert_int_equal(val, 7);
	heard(p, "writel 0x10 0x1\nreadl 0x20\n");

	assert_int_equal(qtest_write_corked(&p->qt, 0x10, 4, 2), 0);
	assert_int_equal(qtest_write(&p->qt, 0x30, 4, 3), 0); /* configuration space, the IOMMU */
	heard(p, "writel 0x10 0x2\nwritel 0x30 0x3\n");

	assert_int_equal(qtest_write_corked(&p->qt, 0x10, 4, 4), 0);
	say(p, "OK\nOK\nOK\n");
	assert_int_equal(qtest_drain(&p->qt), 0);
	heard(p, "writel 0x10 0x4\n");
	assert_int_equal(p->qt.outstanding, 0);
	qtest_uncork(&p->qt);
	silence(p);
}

static void *write_from_a_thread(void *arg)
{
	struct peer *p = arg;

	qtest_cork(&p->qt); /* it is somebody else's */
	if (qtest_write_corked(&p->qt, 0x40, 4, 9))
		return arg;
	qtest_uncork(&p->qt);
	return NULL;
}

static void a_cork_holds_back_only_its_own_thread(void **state)
{
	struct peer *p = *state;
	pthread_t thread;
	void *failed;

	qtest_cork(&p->qt);
	assert_int_equal(qtest_write_corked(&p->qt, 0x10, 4, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_from_a_thread, p), 0);
	pthread_join(thread, &failed);
	assert_null(failed);
	/* The order of all writes is kept, so the first went with it. */
	heard(p, "writel 0x10 0x1\nwritel 0x40 0x9\n");
	assert_int_equal(qtest_write_corked(&p->qt, 0x10, 4, 2), 0);
	silence(p);
	qtest_uncork(&p->qt);
	heard(p, "writel 0x10 0x2\n");
}

static void *answer_all(void *arg)
{
	struct peer *p = arg;
	char buf[4096];
	size_t lines = 0;
	ssize_t n;

	while ((n = recv(p->fd, buf, sizeof(buf), 0)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			lines += buf[i] == '\n';
			if (buf[i] == '\n' && send(p->fd, "OK\n", 3, 0) != 3)
				return NULL;
		}
	return (void *)lines;
}

static void many_corked_writes_do_not_wait(void **state)
{
	struct peer *p = *state;
	pthread_t thread;
	void *lines;

	assert_int_equal(pthread_create(&thread, NULL, answer_all, p), 0);
	qtest_cork(&p->qt);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(
			qtest_write_corked(&p->qt, 0xfedcba9876543210, 8, 0x123456789abcdef0), 0);
		assert_true(p->qt.outstanding + p->qt.held <= 64);
		assert_true(p->qt.tx_len <= sizeof(p->qt.tx) - QTEST_LINE);
	}
	qtest_uncork(&p->qt);
	assert_int_equal(p->qt.held, 0);
	assert_int_equal(qtest_drain(&p->qt), 0);
	shutdown(p->qt.fd, SHUT_WR);
	pthread_join(thread, &lines);
	assert_int_equal((size_t)lines, 1000);
}

static void corked_writes_end_with_the_peer(void **state)
{
	struct peer *p = *state;

	qtest_cork(&p->qt);
	assert_int_equal(qtest_write_corked(&p->qt, 0, 4, 0), 0);
	close(p->fd);
	p->fd = -1;
	qtest_uncork(&p->qt);
	assert_int_equal(qtest_write_corked(&p->qt, 0, 4, 0), -ENODEV);
	assert_int_equal(qtest_drain(&p->qt), -ENODEV);
}

#define with_peer(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_told_apart),
		with_peer(a_read_collects_older_replies_and_interrupts),
		with_peer(an_interrupt_behind_the_reply_is_told_at_once),
		with_peer(writes_are_told_apart_by_kind_width_and_address),
		with_peer(posted_writes_without_replies_are_bounded),
		with_peer(a_fail_is_an_error_and_not_the_end),
		with_peer(garbage_ends_the_connection),
		with_peer(a_line_without_end_ends_the_connection),
		with_peer(an_answer_without_a_question_ends_the_connection),
		with_peer(the_end_of_the_peer_is_noticed),
		with_peer(corked_writes_go_together_and_in_order),
		with_peer(whatever_is_asked_comes_after_corked_writes),
		with_peer(a_cork_holds_back_only_its_own_thread),
		with_peer(many_corked_writes_do_not_wait),
		with_peer(corked_writes_end_with_the_peer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
