/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach/cuse_node, and libfuse behind it, given messages of any content in place of the kernel's: nothing is read outside of a
 * message, no file is used that is not open, and everything is given back at the end.
 *
 * Of an odd number of bytes it is for a device of bytes, of an even for one of lines.
 * Input: messages, each {opcode, length of the body, body}; "unique" and the length of a message are right, bodies are as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/cuse_node.h"
#include "fuzz/fuzz.h"
#include "tests/dma/fake.h"

static long answer(struct ob_char *chr, const char *line, char *reply, unsigned long size)
{
	if (*line == '-')
		return -EINVAL;
	return snprintf(reply, size, "%zu\n", strlen(line)) < (int)size ? (long)strlen(reply)
									: -EOVERFLOW;
}

static int control(struct ob_char *chr, unsigned int cmd, uint64_t *val)
{
	*val ^= cmd;
	return cmd & 64 ? -ENOTTY : 0;
}

/* All of what the command's number says is there, is the device's to read and write. */
static long command(struct ob_char *chr, unsigned int cmd, void *arg)
{
	uint8_t *p = arg;

	for (unsigned int i = 0; i < _IOC_SIZE(cmd); i++)
		p[i] ^= (uint8_t)i;
	return cmd & 64 ? -ENOTTY : 0;
}

static int users;

static int open_(struct ob_char *chr)
{
	/* One that has many users refuses one more. */
	if (users == 5)
		return -EBUSY;
	users++;
	return 0;
}

static void close_(struct ob_char *chr)
{
	CHECK(users-- > 0);
}

static const struct ob_char_ops ops = {
	.open = open_, .close = close_, .answer = answer, .ioctl = control, .command = command};

/* A device of bytes that has some at times: as many as were written to it. */
static unsigned long there;

static long read_(struct ob_char *chr, void *buf, unsigned long len, uint64_t off)
{
	unsigned long n = len < there ? len : there;

	if (len && !n)
		return -EAGAIN;
	memset(buf, 'x', n);
	there -= n;
	return (long)n;
}

static long write_(struct ob_char *chr, const void *buf, unsigned long len, uint64_t off)
{
	there += len;
	return (long)len;
}

static bool waiting(struct ob_char *chr)
{
	return there;
}

static const struct ob_char_ops ops_of_bytes = {
	.open = open_, .close = close_, .read = read_, .write = write_, .waiting = waiting};

static struct {
	struct fuse_in_header h;
	uint8_t body[1024];
} message;

static void make(uint32_t opcode, const void *body, size_t len)
{
	static uint64_t unique;

	memset(&message.h, 0, sizeof(message.h));
	message.h.len = (uint32_t)(sizeof(message.h) + len);
	message.h.opcode = opcode;
	message.h.unique = 2 * ++unique;
	memcpy(message.body, body, len);
}

static void say(int fd, struct cuse_node *n, uint32_t opcode, const void *body, size_t len)
{
	char said[8192];

	make(opcode, body, len);
	if (send(fd, &message, message.h.len, MSG_DONTWAIT) < 0)
		return;
	while (cuse_node_serve(n, 8))
		;
	while (recv(fd, said, sizeof(said), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t opcodes[] = {FUSE_OPEN,  FUSE_READ,	 FUSE_WRITE, FUSE_RELEASE,
					  FUSE_FLUSH, FUSE_IOCTL,	 FUSE_POLL,  FUSE_INTERRUPT,
					  FUSE_FSYNC, FUSE_BATCH_FORGET, 255,	     0};
	static struct ob_device dev;
	struct cuse_init_in init = {.major = 7, .minor = 31};
	struct ob_char chr = {.ops = size & 1 ? &ops_of_bytes : &ops, .dev = &dev, .name = "fuzz"};
	static struct cuse_node node;
	const uint8_t *end = data + size;
	int pair[2];

	there = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
		return 0;
	make(CUSE_INIT, &init, sizeof(init));
	if (cuse_node_open(&node, &chr, "fuzz0", pair[1], &message, message.h.len, NULL)) {
		close(pair[0]);
		return 0;
	}
	while (data + 2 <= end) {
		uint32_t opcode = opcodes[data[0] % sizeof(opcodes)];
		size_t len = data[1];

		data += 2;
		if (len > (size_t)(end - data))
			len = (size_t)(end - data);
		say(pair[0], &node, opcode, data, len);
		data += len;
	}
	cuse_node_close(&node);
	CHECK(!users);
	close(pair[0]);
	return 0;
}
