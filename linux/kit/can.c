/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CAN interfaces of the kernel's as lines, one for each frame (can_line.h): what a client writes is sent, what it reads has arrived. Where
 * the device has several, a line begins with the interface's name, as in candump's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/can_line.h"
#include "kit/char.h"

enum {
	NAMED_LINE_MAX = OB_KIT_CAN_NAME + 1 + CAN_LINE_MAX,
};

/**
 * struct kit_can - lines that are not whole
 * @in: begun by the client, @in_len bytes
 * @out: of which @out_at bytes of @out_len were read
 */
struct kit_can {
	char in[NAMED_LINE_MAX], out[NAMED_LINE_MAX];
	size_t in_len, out_at, out_len;
};

static long call_find(void *arg)
{
	return outboard_kernel.can->find(arg, OB_KIT_CAN_PORTS);
}

static long call_open(void *arg)
{
	return outboard_kernel.can->open();
}

static long call_close(void *arg)
{
	outboard_kernel.can->close();
	return 0;
}

static long call_send(void *arg)
{
	return outboard_kernel.can->send(arg);
}

bool kit_can_find(struct kit_char *c)
{
	long n = outboard_kernel.can ? kit_char_call(c, call_find, c->port) : 0;

	c->nr_ports = n > 0 ? (unsigned int)n : 0;
	snprintf(c->node, sizeof(c->node), "%s", c->port[0]);
	return c->nr_ports;
}

static int can_open(struct kit_char *c)
{
	int ret;

	c->can = calloc(1, sizeof(*c->can));
	if (!c->can)
		return -ENOMEM;
	ret = (int)kit_char_call(c, call_open, NULL);
	if (!ret)
		return 0;
	free(c->can);
	c->can = NULL;
	return ret;
}

/* A line that is begun and never ended was not meant. */
static void can_close(struct kit_char *c)
{
	kit_char_call(c, call_close, NULL);
	free(c->can);
	c->can = NULL;
}

/* "can1 123#11": which of several is meant. Return: 0 or -EINVAL */
static int read_line(const struct kit_char *c, const char *line, size_t len,
		     struct ob_kit_can_frame *frame)
{
	unsigned int port = 0;
	size_t name = 0;

	for (; c->nr_ports > 1 && port < c->nr_ports; port++) {
		name = strlen(c->port[port]);
		if (len > name && !memcmp(line, c->port[port], name) && line[name++] == ' ')
			break;
	}
	if (port == c->nr_ports || can_line_read(line + name, len - name, frame))
		return -EINVAL;
	frame->port = (unsigned char)port;
	return 0;
}

/* The line that was begun, and @len bytes more. */
static int send_line(struct kit_char *c, const char *text, size_t len)
{
	struct kit_can *can = c->can;
	struct ob_kit_can_frame frame;
	size_t all = can->in_len + len;

	if (all >= sizeof(can->in)) {
		can->in_len = 0;
		ob_device_log(c->k->dev, OB_LOG_ERROR, "%s: a line of %zu bytes is no CAN frame",
			      c->node, all);
		return -EINVAL;
	}
	memcpy(can->in + can->in_len, text, len);
	can->in_len = 0;
	while (all && strchr(" \t\r", can->in[all - 1]))
		all--;
	if (!all)
		return 0;
	if (read_line(c, can->in, all, &frame)) {
		ob_device_log(c->k->dev, OB_LOG_ERROR,
			      "%s: '%.*s' is no CAN frame; one is %s%s123#DEADBEEF", c->node,
			      (int)all, can->in, c->nr_ports > 1 ? c->node : "",
			      c->nr_ports > 1 ? " " : "");
		return -EINVAL;
	}
	return (int)kit_char_call(c, call_send, &frame);
}

static long can_write(struct kit_char *c, const void *buf, unsigned long len)
{
	struct kit_can *can = c->can;
	const char *text = buf;
	unsigned long done = 0;

	while (done < len) {
		const char *end = memchr(text + done, '\n', len - done);
		size_t n = end ? (size_t)(end - text) - done : len - done;
		int ret = 0;

		if (end || can->in_len + n >= sizeof(can->in)) {
			ret = send_line(c, text + done, n);
		} else {
			memcpy(can->in + can->in_len, text + done, n);
			can->in_len += n;
		}
		/* As far as it went: the client writes the rest again, and is told then what is wrong with it. */
		if (ret)
			return done ? (long)done : ret;
		done += n + (end ? 1 : 0);
	}
	return (long)done;
}

static bool can_waiting(struct kit_char *c)
{
	return c->can->out_at < c->can->out_len || outboard_kernel.can->receive(NULL);
}

static long can_read(struct kit_char *c, void *buf, unsigned long len)
{
	struct kit_can *can = c->can;
	struct ob_kit_can_frame frame;
	unsigned long done = 0;
	char *to = buf;

	while (done < len) {
		size_t left = can->out_len - can->out_at;

		if (!left) {
			if (!outboard_kernel.can->receive(&frame))
				break;
			can->out_at = can->out_len = 0;
			if (c->nr_ports > 1)
				can->out_len =
					(size_t)sprintf(can->out, "%s ", c->port[frame.port]);
			can->out_len += can_line_write(&frame, can->out + can->out_len);
			left = can->out_len;
		}
		if (left > len - done)
			left = len - done;
		memcpy(to + done, can->out + can->out_at, left);
		can->out_at += left;
		done += left;
	}
	return done || !len ? (long)done : -EAGAIN;
}

const struct kit_char_use kit_can_use = {
	.open = can_open,
	.close = can_close,
	.read = can_read,
	.write = can_write,
	.waiting = can_waiting,
};
