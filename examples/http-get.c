/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http-get SPEC ADDRESS [PATH [DRIVER STACK]]: what a web server answers, on standard output. The driver, TCP/IP
 * and the application are one process, and the network of the kernel below is not in it.
 *
 *   http-get qemu:e1000e,netdev=user,fwd=10.0.2.100:80-8000 10.0.2.100 /index.html
 *   http-get qemu:e1000e,netdev=user,fwd=10.0.2.100:80-8000 10.0.2.100 /index.html linux:e1000e linux
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <outboard/outboard.h>
#include <outboard/stack.h>

enum {
	TIMEOUT_MS = 10000,
};

static int complain(const struct ob_error *err)
{
	char text[1400];

	fprintf(stderr, "http-get: %s\n", ob_error_text(err, text, sizeof(text)));
	return 1;
}

/* Headers end with an empty line; what follows is written from where the card put it, without a copy. */
struct answer {
	char head[4096];
	size_t head_len;
	bool in_body;
	unsigned long long left; /* of the body */
};

enum {
	COMPLETE = 1,
};

static int take_head(struct answer *a, char c)
{
	const char *line = a->head;

	if (a->head_len == sizeof(a->head) - 1)
		return -1;
	a->head[a->head_len++] = c;
	if (a->head_len < 4 || memcmp(a->head + a->head_len - 4, "\r\n\r\n", 4) != 0)
		return 0;
	a->in_body = true;
	/* Without a length the body lasts until the server ends the connection. */
	a->left = ULLONG_MAX;
	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncasecmp(line, "content-length:", 15))
			a->left = strtoull(line + 15, NULL, 10);
	}
	return a->left ? 0 : COMPLETE;
}

static int take(void *arg, const void *data, size_t len)
{
	struct answer *a = arg;
	const char *p = data, *end = p + len;
	size_t n;
	int ret = 0;

	while (!a->in_body && p < end && !ret)
		ret = take_head(a, *p++);
	n = (size_t)(end - p) < a->left ? (size_t)(end - p) : a->left;
	if (ret || !n)
		return ret;
	a->left -= n;
	if (fwrite(p, 1, n, stdout) != n)
		return -1;
	return a->left ? 0 : COMPLETE;
}

static int get(struct ob_stack *stack, const char *address, const char *path, struct ob_error *err)
{
	struct answer answer = {.head = ""};
	struct ob_stream *stream;
	char request[1024];
	int ret;

	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, address);
	ret = ob_stream_connect(stack, address, 80, TIMEOUT_MS, &stream, err);
	if (ret)
		return ret;
	ret = ob_stream_write(stream, request, strlen(request), err);
	if (!ret)
		ret = ob_stream_receive(stream, take, &answer, err);
	if (ret == COMPLETE || (!ret && answer.in_body && answer.left == ULLONG_MAX))
		ret = 0;
	else if (ret == 0 || ret == -1)
		ret = ob_error_set(err, -1, "%s did not answer in HTTP, or broke off", address);
	ob_stream_close(stream);
	return ret;
}

static int with_device(struct ob_net *net, const char *kind, const char *address, const char *path,
		       struct ob_error *err)
{
	struct ob_stack *stack;
	struct ob_loop *loop;
	int ret;

	ret = ob_loop_create(OB_MODE_ADAPTIVE, &loop);
	if (ret)
		return ob_error_set(err, ret, "no loop");
	ret = ob_stack_open_kind(net, loop, kind, &stack, err);
	if (!ret) {
		ret = ob_stack_dhcp(stack, TIMEOUT_MS, NULL, err);
		if (!ret)
			ret = get(stack, address, path, err);
		ob_stack_close(stack);
	}
	ob_loop_destroy(loop);
	return ret;
}

int main(int argc, char **argv)
{
	struct ob_error err = {0};
	const struct ob_driver *driver = NULL;
	struct ob_binding *binding;
	struct ob_device *dev;
	int ret;

	if (argc < 3 || argc > 6 || argc == 5) {
		fprintf(stderr, "usage: http-get SPEC ADDRESS [PATH [DRIVER STACK]]\n");
		return 2;
	}
	/* The one that matches, or one of the Linux kernel's. */
	if (argc > 5 && ob_driver_load(argv[4], &driver, &err))
		return complain(&err);
	if (ob_device_open(argv[1], &dev, &err))
		return complain(&err);
	ret = ob_driver_bind(dev, driver, NULL, &binding, &err);
	if (!ret) {
		if (binding->net)
			ret = with_device(binding->net, argc > 5 ? argv[5] : NULL, argv[2],
					  argc > 3 ? argv[3] : "/", &err);
		else
			ret = ob_error_set(&err, -1, "%s is no network card", argv[1]);
		ob_driver_unbind(binding);
	}
	ob_device_close(dev);
	return ret ? complain(&err) : 0;
}
