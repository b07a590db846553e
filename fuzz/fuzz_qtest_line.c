/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What QEMU may say on the qtest socket (access/qemu/qtest.h): one line for the parser, then the same
 * bytes as the stream that answers a write and a read. QEMU is not trusted: no byte string may
 * make the client read past a line, call back with a line number that was not sent, or wait for ever.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access/qemu/qtest.h"
#include "fuzz/fuzz.h"

static void parse(const char *text, size_t len, struct qtest_line *line)
{
	/* Of exact size, so that the address sanitizer sees a byte too many. */
	char *exact = malloc(len ? len : 1);

	CHECK(exact);
	memcpy(exact, text, len);
	qtest_parse_line(exact, len, line);
	free(exact);
}

static void one_line(const char *text, size_t len)
{
	struct qtest_line line = {.kind = QTEST_BAD}, again = {.kind = QTEST_BAD};
	char canonical[64];
	int n = 0;

	parse(text, len, &line);
	switch (line.kind) {
	case QTEST_RAISE:
	case QTEST_LOWER:
		n = snprintf(canonical, sizeof(canonical), "IRQ %s %llu",
			     line.kind == QTEST_RAISE ? "raise" : "lower",
			     (unsigned long long)line.value);
		break;
	case QTEST_OK:
		n = snprintf(canonical, sizeof(canonical), "OK 0x%016llx",
			     (unsigned long long)line.value);
		break;
	case QTEST_FAIL:
	case QTEST_BAD:
		CHECK(line.value == 0);
		return;
	default:
		CHECK(!"a kind of line that there is not");
	}
	/* What was understood, written as QEMU writes it, is understood as the same. */
	parse(canonical, (size_t)n, &again);
	CHECK(again.kind == line.kind && again.value == line.value);
}

static void line_changed(void *arg, unsigned int line, bool level)
{
	unsigned int *calls = arg;

	(*calls)++;
}

static void stream(const char *text, size_t len)
{
	unsigned int calls = 0, lines = 0;
	struct qtest qt = {0};
	uint64_t val = 0;
	int pair[2], ret;

	/* More than this and send() below would wait for a reader. */
	if (len > 16384)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return;
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	qtest_open(&qt, pair[0], 1000);
	qt.irq = line_changed;
	qt.irq_arg = &calls;
	CHECK(send(pair[1], text, len, 0) == (ssize_t)len);
	/* An end after the last byte: a wait for more ends at once. */
	shutdown(pair[1], SHUT_WR);
	if (qtest_write(&qt, 0x1000, 4, 1) == 0) {
		ret = qtest_read(&qt, 0x1000, 4, &val);
		CHECK(ret == 0 || ret == -EIO || ret == -ENODEV);
	}
	qtest_pump(&qt);
	ret = qtest_drain(&qt);
	CHECK(ret <= 0);
	CHECK(calls <= lines);
	CHECK(memchr(qt.fail, '\0', sizeof(qt.fail)));
	qtest_close(&qt);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one_line((const char *)data, size);
	stream((const char *)data, size);
	return 0;
}
