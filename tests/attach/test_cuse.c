/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A character device's node, with the kernel's side of CUSE (Linux, include/uapi/linux/fuse.h, fs/fuse/cuse.c) played by the
 * test on a socket: what the kernel does in the rig, and what it never would.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "attach/cuse_node.h"
#include "tests/dma/fake.h"

/* A device that doubles numbers. */
static long double_it(struct ob_char *chr, const char *line, char *reply, unsigned long size)
{
	char *end;
	unsigned long n = strtoul(line, &end, 10);

	if (*end)
		return -EINVAL;
	if (n > 1000)
		return -ERANGE;
	return snprintf(reply, size, "%lu\n", 2 * n);
}

static int add_cmd(struct ob_char *chr, unsigned int cmd, uint64_t *val)
{
	if (cmd == 9)
		return -ENOTTY;
	*val += cmd;
	return 0;
}

static const struct ob_char_ops doubling = {.ioctl = add_cmd, .answer = double_it};

struct world {
	struct fake *device;
	struct ob_char chr;
	struct cuse_node node;
	int kernel; /* our end */
	uint64_t unique;
};

struct message {
	struct fuse_in_header h;
	char body[70000];
};

struct answer {
	struct fuse_out_header h;
	char body[70000];
};

static struct message in;
static struct answer out;

static void make_message(struct world *w, uint32_t opcode, const void *body, size_t len)
{
	memset(&in.h, 0, sizeof(in.h));
	in.h.len = (uint32_t)(sizeof(in.h) + len);
	in.h.opcode = opcode;
	in.h.unique = ++w->unique;
	in.h.pid = (uint32_t)getpid();
	if (len && body != in.body)
		memcpy(in.body, body, len);
}

static void send_message(struct world *w, uint32_t opcode, const void *body, size_t len)
{
	make_message(w, opcode, body, len);
	assert_int_equal(send(w->kernel, &in, in.h.len, 0), in.h.len);
}

/* Serve, and take the answer; returns bytes of its body, or its error. */
static int answered(struct world *w)
{
	ssize_t n;

	while (cuse_node_serve(&w->node, 64))
		;
	n = recv(w->kernel, &out, sizeof(out), MSG_DONTWAIT);
	if (n < 0)
		return -EAGAIN;
	assert_true(n >= (ssize_t)sizeof(out.h));
	assert_int_equal(out.h.len, n);
	return out.h.error ? out.h.error : (int)(n - (ssize_t)sizeof(out.h));
}

static int ask(struct world *w, uint32_t opcode, const void *body, size_t len)
{
	int ret;

	send_message(w, opcode, body, len);
	ret = answered(w);
	if (ret != -EAGAIN)
		assert_int_equal(out.h.unique, w->unique);
	return ret;
}

static void open_world(struct world *w, const struct ob_char_ops *ops)
{
	struct cuse_init_in init = {.major = 7, .minor = 31, .flags = CUSE_UNRESTRICTED_IOCTL};
	const struct cuse_init_out *made = (void *)out.body;
	struct ob_error err = {0};
	int pair[2];

	memset(w, 0, sizeof(*w));
	w->device = fake_open(OB_DMA_POOLED, 1 << 20, false);
	w->chr = (struct ob_char){.ops = ops, .dev = &w->device->dev, .name = "twice"};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	w->kernel = pair[0];
	make_message(w, CUSE_INIT, &init, sizeof(init));
	assert_int_equal(cuse_node_open(&w->node, &w->chr, "twice0", pair[1], &in, in.h.len, &err),
			 0);
	assert_true(answered(w) > (int)sizeof(*made));
	assert_string_equal(out.body + sizeof(*made), "DEVNAME=twice0");
	assert_int_equal(made->major, 7);
	assert_true(made->max_write >= 4096 && made->max_write <= 65536);
	assert_int_equal(made->flags & CUSE_UNRESTRICTED_IOCTL, 0);
	assert_true(w->node.ready);
}

static void close_world(struct world *w)
{
	cuse_node_close(&w->node);
	cuse_node_close(&w->node); /* once more does nothing */
	assert_true(w->node.ended);
	close(w->kernel);
	fake_close(w->device);
}

static uint64_t open_file(struct world *w)
{
	struct fuse_open_in o = {.flags = O_RDWR};
	struct fuse_open_out made;

	assert_int_equal(ask(w, FUSE_OPEN, &o, sizeof(o)), sizeof(made));
	memcpy(&made, out.body, sizeof(made));
	assert_true(made.open_flags & FOPEN_DIRECT_IO);
	return made.fh;
}

static void close_file(struct world *w, uint64_t fh)
{
	struct fuse_release_in r = {.fh = fh};

	assert_int_equal(ask(w, FUSE_RELEASE, &r, sizeof(r)), 0);
}

static int write_text(struct world *w, uint64_t fh, const char *text, size_t len)
{
	struct fuse_write_in wr = {.fh = fh, .size = (uint32_t)len};
	struct fuse_write_out done;
	int ret;

	memcpy(in.body, &wr, sizeof(wr));
	memcpy(in.body + sizeof(wr), text, len);
	ret = ask(w, FUSE_WRITE, in.body, sizeof(wr) + len);
	if (ret < 0)
		return ret;
	assert_int_equal(ret, sizeof(done));
	memcpy(&done, out.body, sizeof(done));
	return (int)done.size;
}

static const char *read_text(struct world *w, uint64_t fh, uint32_t size)
{
	struct fuse_read_in r = {.fh = fh, .size = size};
	int ret = ask(w, FUSE_READ, &r, sizeof(r));

	assert_in_range(ret, 0, size);
	out.body[ret] = '\0';
	return out.body;
}

static unsigned int poll_file(struct world *w, uint64_t fh, uint64_t kh)
{
	struct fuse_poll_in p = {.fh = fh, .kh = kh, .flags = kh ? FUSE_POLL_SCHEDULE_NOTIFY : 0};
	struct fuse_poll_out said;

	assert_int_equal(ask(w, FUSE_POLL, &p, sizeof(p)), sizeof(said));
	memcpy(&said, out.body, sizeof(said));
	return said.revents;
}

static void lines_have_replies(void **state)
{
	struct world w;
	uint64_t a, b, c;

	open_world(&w, &doubling);
	a = open_file(&w);
	b = open_file(&w);
	assert_int_equal(w.node.opened, 2);
	assert_string_equal(read_text(&w, a, 100), "");
	assert_int_equal(write_text(&w, a, "21\n", 3), 3);
	assert_string_equal(read_text(&w, a, 1), "4");
	assert_string_equal(read_text(&w, a, 100), "2\n");
	assert_string_equal(read_text(&w, a, 100), "");
	/* Who has not written reads the latest of all, once; who has, his own. */
	assert_string_equal(read_text(&w, b, 100), "42\n");
	assert_string_equal(read_text(&w, b, 100), "");
	assert_int_equal(write_text(&w, b, "1\n2\r\n\n 3 \n4", 11), 11);
	assert_string_equal(read_text(&w, a, 100), "");
	c = open_file(&w);
	assert_string_equal(read_text(&w, c, 3), "2\n4");
	assert_string_equal(read_text(&w, b, 100), "2\n4\n6\n8\n");
	assert_string_equal(read_text(&w, c, 100), "\n6\n8\n");
	/* A new write forgets what was not read. */
	assert_int_equal(write_text(&w, a, "5", 1), 1);
	assert_int_equal(write_text(&w, a, "6", 1), 1);
	assert_string_equal(read_text(&w, a, 100), "12\n");
	close_file(&w, b);
	close_file(&w, a);
	close_file(&w, c);
	assert_int_equal(w.node.opened, 0);
	close_world(&w);
}

static void bad_lines_are_errors_and_good_ones_before_them_count(void **state)
{
	static char long_line[CUSE_LINE_MAX + 1], many[CUSE_REPLY_MAX * 2];
	struct world w;
	uint64_t a;
	int n;

	open_world(&w, &doubling);
	a = open_file(&w);
	assert_int_equal(write_text(&w, a, "x\n", 2), -EINVAL);
	assert_int_equal(write_text(&w, a, "1001\n", 5), -ERANGE);
	assert_int_equal(write_text(&w, a, "1\0002\n", 4), -EINVAL);
	memset(long_line, '1', sizeof(long_line));
	assert_int_equal(write_text(&w, a, long_line, sizeof(long_line)), -EINVAL);
	assert_string_equal(read_text(&w, a, 100), "");
	/* As far as it went; the rest, written again, is the error. */
	assert_int_equal(write_text(&w, a, "7\nx\n", 4), 2);
	assert_string_equal(read_text(&w, a, 100), "14\n");
	assert_int_equal(write_text(&w, a, "x\n", 2), -EINVAL);
	assert_int_equal(write_text(&w, a, "", 0), 0);
	/* More replies than are kept: a part of the lines is taken. */
	for (size_t i = 0; i < sizeof(many); i += 4)
		memcpy(many + i, "999\n", 4);
	n = write_text(&w, a, many, sizeof(many));
	assert_in_range(n, 4, CUSE_REPLY_MAX);
	assert_int_equal(n % 4, 0);
	assert_int_equal(strlen(read_text(&w, a, 65536)), n / 4 * 5);
	close_file(&w, a);
	close_world(&w);
}

static void poll_waits_for_a_reply(void **state)
{
	struct fuse_notify_poll_wakeup_out woken;
	struct world w;
	uint64_t a, b;

	open_world(&w, &doubling);
	a = open_file(&w);
	b = open_file(&w);
	assert_int_equal(poll_file(&w, a, 0) & (POLLIN | POLLOUT), POLLOUT);
	assert_int_equal(poll_file(&w, b, 77) & (POLLIN | POLLOUT), POLLOUT);
	assert_int_equal(poll_file(&w, b, 78) & (POLLIN | POLLOUT),
			 POLLOUT); /* the latter counts */
	/* A write: first who waits is woken, then the writer answered. */
	{
		struct fuse_write_in wr = {.fh = a, .size = 2};

		memcpy(in.body, &wr, sizeof(wr));
		memcpy(in.body + sizeof(wr), "4\n", 2);
		send_message(&w, FUSE_WRITE, in.body, sizeof(wr) + 2);
	}
	assert_int_equal(answered(&w), FUSE_NOTIFY_POLL); /* a notification's "error" is its code */
	assert_int_equal(out.h.unique, 0);
	memcpy(&woken, out.body, sizeof(woken));
	assert_int_equal(woken.kh, 78);
	assert_int_equal(answered(&w), sizeof(struct fuse_write_out));
	assert_int_equal(answered(&w), -EAGAIN);
	assert_int_equal(poll_file(&w, b, 0) & (POLLIN | POLLOUT), POLLIN | POLLOUT);
	assert_string_equal(read_text(&w, b, 10), "8\n");
	assert_int_equal(poll_file(&w, b, 0) & (POLLIN | POLLOUT), POLLOUT);
	/* One that waits and goes: nobody is woken any more. */
	poll_file(&w, b, 79);
	close_file(&w, b);
	assert_int_equal(write_text(&w, a, "4\n", 2), 2);
	assert_int_equal(answered(&w), -EAGAIN);
	close_file(&w, a);
	close_world(&w);
}

static int do_ioctl(struct world *w, uint64_t fh, uint32_t cmd, uint32_t in_size, uint32_t out_size,
		    uint64_t *val)
{
	struct fuse_ioctl_in i = {
		.fh = fh, .cmd = cmd, .arg = 4096, .in_size = in_size, .out_size = out_size};
	int ret;

	memcpy(in.body, &i, sizeof(i));
	memcpy(in.body + sizeof(i), val, sizeof(*val));
	ret = ask(w, FUSE_IOCTL, in.body, sizeof(i) + in_size);
	if (ret < 0)
		return ret;
	assert_int_equal(ret, sizeof(struct fuse_ioctl_out) + sizeof(*val));
	memcpy(val, out.body + sizeof(struct fuse_ioctl_out), sizeof(*val));
	return 0;
}

static void ioctl_is_a_number_in_and_a_number_out(void **state)
{
	struct world w;
	uint64_t a, val = 100;

	open_world(&w, &doubling);
	a = open_file(&w);
	assert_int_equal(do_ioctl(&w, a, (uint32_t)OB_CHAR_IOCTL(5), 8, 8, &val), 0);
	assert_int_equal(val, 105);
	assert_int_equal(do_ioctl(&w, a, (uint32_t)OB_CHAR_IOCTL(9), 8, 8, &val), -ENOTTY);
	assert_int_equal(do_ioctl(&w, a, 0x5401, 0, 60, &val), -ENOTTY);
	assert_int_equal(do_ioctl(&w, a, (uint32_t)OB_CHAR_IOCTL(5), 4, 8, &val), -ENOTTY);
	assert_int_equal(do_ioctl(&w, a, (uint32_t)OB_CHAR_IOCTL(5), 8, 4, &val), -ENOTTY);
	close_file(&w, a);
	close_world(&w);
}

/* ---- a device of bytes ---- */

static char memory[16];

static long memory_read(struct ob_char *chr, void *buf, unsigned long len, uint64_t off)
{
	if (off >= sizeof(memory))
		return 0;
	if (len > sizeof(memory) - off)
		len = sizeof(memory) - off;
	memcpy(buf, memory + off, len);
	return (long)len;
}

static long memory_write(struct ob_char *chr, const void *buf, unsigned long len, uint64_t off)
{
	if (off >= sizeof(memory))
		return -ENOSPC;
	if (len > sizeof(memory) - off)
		len = sizeof(memory) - off;
	memcpy(memory + off, buf, len);
	return (long)len;
}

static void device_without_lines_is_read_and_written_in_order(void **state)
{
	static const struct ob_char_ops ops = {.read = memory_read, .write = memory_write};
	static const struct ob_char_ops none = {0};
	struct fuse_read_in r = {.size = 10};
	struct world w;
	uint64_t a, b;

	open_world(&w, &ops);
	a = open_file(&w);
	b = open_file(&w);
	assert_int_equal(write_text(&w, a, "abcdefgh", 8), 8);
	assert_int_equal(write_text(&w, a, "ijklmnopq", 9), 8);
	assert_int_equal(write_text(&w, a, "q", 1), -ENOSPC);
	assert_string_equal(read_text(&w, b, 10), "abcdefghij");
	assert_string_equal(read_text(&w, b, 10), "klmnop");
	assert_string_equal(read_text(&w, b, 10), "");
	assert_true(poll_file(&w, b, 0) & POLLIN);
	close_file(&w, a);
	close_file(&w, b);
	close_world(&w);

	open_world(&w, &none);
	r.fh = open_file(&w);
	assert_int_equal(ask(&w, FUSE_READ, &r, sizeof(r)), -EOPNOTSUPP);
	assert_int_equal(write_text(&w, r.fh, "a", 1), -EOPNOTSUPP);
	close_file(&w, r.fh);
	close_world(&w);
}

/* A device for one user, that has commands of others' making: what a number says is all that is copied. */
static unsigned int users, closed;

static int open_one(struct ob_char *chr)
{
	if (users)
		return -EBUSY;
	users++;
	return 0;
}

static void close_one(struct ob_char *chr)
{
	users--;
	closed++;
}

static long command(struct ob_char *chr, unsigned int cmd, void *arg)
{
	uint8_t *p = arg;

	if (_IOC_TYPE(cmd) != 'W')
		return -ENOTTY;
	for (unsigned int i = 0; i < _IOC_SIZE(cmd); i++)
		p[i]++;
	return 3;
}

static void users_are_counted_and_commands_have_what_their_number_says(void **state)
{
	static const struct ob_char_ops ops = {
		.open = open_one, .close = close_one, .command = command};
	struct fuse_open_in o = {.flags = O_RDWR};
	struct world w;
	uint64_t a, val = 41;

	open_world(&w, &ops);
	a = open_file(&w);
	assert_int_equal(ask(&w, FUSE_OPEN, &o, sizeof(o)), -EBUSY);
	assert_int_equal(do_ioctl(&w, a, _IOWR('W', 1, uint64_t), 8, 8, &val), 0);
	assert_int_equal(val, 41 + 0x0101010101010101ull);
	/* Nothing is copied in: the device sees zeroes. */
	val = 7;
	assert_int_equal(do_ioctl(&w, a, _IOR('W', 1, uint64_t), 0, 8, &val), 0);
	assert_int_equal(val, 0x0101010101010101ull);
	assert_int_equal(do_ioctl(&w, a, _IOWR('W', 1, uint64_t), 4, 8, &val), -ENOTTY);
	assert_int_equal(do_ioctl(&w, a, _IOR('W', 1, uint64_t), 0, 4, &val), -ENOTTY);
	assert_int_equal(do_ioctl(&w, a, _IOR('W', 1, uint32_t), 8, 8, &val), -ENOTTY);
	assert_int_equal(do_ioctl(&w, a, _IOWR('A', 1, uint64_t), 8, 8, &val), -ENOTTY);
	close_file(&w, a);
	assert_int_equal(closed, 1);
	open_file(&w);
	close_world(&w); /* and who does not close it */
	assert_int_equal(closed, 2);
	assert_int_equal(users, 0);
}

/* ---- what the kernel never says ---- */

static void messages_that_make_no_sense_are_passed_over(void **state)
{
	struct fuse_write_in wr = {.size = 100};
	struct fuse_read_in r = {.size = 10};
	uint64_t a, bad[] = {5, CUSE_FILES_MAX, UINT64_MAX};
	struct world w;

	open_world(&w, &doubling);
	a = open_file(&w);
	wr.fh = r.fh = a;
	/* Shorter than what they are; a write of more, or of less, than there is; a wrong length. */
	assert_int_equal(ask(&w, FUSE_WRITE, &wr, 0), -EAGAIN);
	assert_int_equal(ask(&w, FUSE_WRITE, &wr, sizeof(wr)), -EAGAIN);
	assert_int_equal(ask(&w, FUSE_WRITE, &wr, sizeof(wr) - 1), -EAGAIN);
	assert_int_equal(ask(&w, FUSE_READ, &r, sizeof(r) - 1), -EAGAIN);
	assert_int_equal(ask(&w, FUSE_POLL, &r, 8), -EAGAIN);
	assert_int_equal(ask(&w, FUSE_IOCTL, &r, 8), -EAGAIN);
	assert_int_equal(send(w.kernel, &in, 7, 0), 7);
	assert_int_equal(answered(&w), -EAGAIN);
	in.h.len = 999;
	assert_int_equal(send(w.kernel, &in, sizeof(in.h), 0), sizeof(in.h));
	assert_int_equal(answered(&w), -EAGAIN);
	assert_int_equal(w.node.stats.errors, 8);
	/* Files that are not open. */
	for (unsigned int i = 0; i < 3; i++) {
		struct fuse_release_in rel = {.fh = bad[i]};

		r.fh = bad[i];
		assert_int_equal(ask(&w, FUSE_READ, &r, sizeof(r)), -EBADF);
		assert_int_equal(write_text(&w, bad[i], "1", 1), -EBADF);
		assert_int_equal(ask(&w, FUSE_RELEASE, &rel, sizeof(rel)), -EBADF);
	}
	assert_int_equal(ask(&w, 4242, NULL, 0), -ENOSYS);
	assert_int_equal(write_text(&w, a, "4", 1), 1);
	assert_string_equal(read_text(&w, a, 10), "8\n");
	close_file(&w, a);
	close_world(&w);
}

/* ---- ends ---- */

static void end_of_the_kernels_side_ends_the_node(void **state)
{
	struct world w;

	open_world(&w, &doubling);
	open_file(&w);
	poll_file(&w, open_file(&w), 5);
	close(w.kernel);
	assert_int_equal(cuse_node_serve(&w.node, 64), 0);
	assert_true(w.node.ended);
	assert_int_equal(cuse_node_serve(&w.node, 64), 0);
	w.kernel = dup(2);
	close_world(&w); /* with files open: they are forgotten (the sanitizer watches) */
}

static void only_so_many_can_be_open(void **state)
{
	struct fuse_open_in o = {.flags = O_RDWR};
	struct world w;
	uint64_t fh = 0;

	open_world(&w, &doubling);
	for (unsigned int i = 0; i < CUSE_FILES_MAX; i++)
		fh = open_file(&w);
	assert_int_equal(ask(&w, FUSE_OPEN, &o, sizeof(o)), -ENFILE);
	close_file(&w, fh);
	open_file(&w);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_have_replies),
		cmocka_unit_test(bad_lines_are_errors_and_good_ones_before_them_count),
		cmocka_unit_test(poll_waits_for_a_reply),
		cmocka_unit_test(ioctl_is_a_number_in_and_a_number_out),
		cmocka_unit_test(device_without_lines_is_read_and_written_in_order),
		cmocka_unit_test(users_are_counted_and_commands_have_what_their_number_says),
		cmocka_unit_test(messages_that_make_no_sense_are_passed_over),
		cmocka_unit_test(end_of_the_kernels_side_ends_the_node),
		cmocka_unit_test(only_so_many_can_be_open),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
