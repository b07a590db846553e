/* SPDX-License-Identifier: BSD-2-Clause */
/* See nbd_server.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/nbd_protocol.h"
#include "tests/attach/nbd_server.h"

/* To catch hangs only. */
#define HANG_MS 60000

struct server *server_new(void)
{
	struct server *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	ram_disk_init(&s->ram, SERVER_SIZE);
	return s;
}

static void *serve(void *loop)
{
	ob_loop_run(loop);
	return NULL;
}

void server_start(struct server *s, const char *text, enum ob_mode mode)
{
	struct ob_attach_info info;
	struct ob_error err = {0};
	pthread_t thread;
	const char *port;

	assert_int_equal(ram_disk_open(&s->ram), 0);
	assert_int_equal(ob_loop_create(mode, &s->loop), 0);
	if (ob_attach_open(&s->ram.binding, 0, text, s->loop, &s->at, &err))
		fail_msg("%s: %s", err.what, err.why);
	assert_int_equal(pthread_create(&thread, NULL, serve, s->loop), 0);
	s->thread = thread;
	if (ob_attach_publish(s->at, &err))
		fail_msg("%s: %s", err.what, err.why);
	s->at->ops->info(s->at, &info);
	snprintf(s->uri, sizeof(s->uri), "%s", info.name);
	port = strrchr(s->uri, ':');
	s->port = port ? (uint16_t)atoi(port + 1) : 0;
}

void server_stop(struct server *s)
{
	struct ob_error err = {0};

	if (ob_attach_unpublish(s->at, true, &err))
		fail_msg("%s: %s", err.what, err.why);
	ob_loop_stop(s->loop);
	pthread_join(s->thread, NULL);
	ob_attach_close(s->at);
	ob_loop_destroy(s->loop);
	assert_int_equal(atomic_load(&s->ram.outside), 0);
	ram_disk_close(&s->ram);
	free(s);
}

struct ob_attach_stats server_stats(struct server *s)
{
	struct ob_attach_stats stats;

	s->at->ops->stats(s->at, &stats);
	return stats;
}

int raw_connect(const struct server *s)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void raw_send(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, HANG_MS), 1);
}

void raw_receive(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n;

		wait_readable(fd);
		n = recv(fd, p, len, 0);
		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

bool raw_ended(int fd)
{
	char buf[4096];
	ssize_t n;

	do {
		wait_readable(fd);
		n = recv(fd, buf, sizeof(buf), 0);
	} while (n > 0);
	return n == 0 || errno == ECONNRESET;
}

uint32_t raw_option(int fd, uint32_t option, const void *data, uint32_t len)
{
	char head[NBD_OPTION_REPLY_SIZE], text[8192], *p = head;
	uint32_t type, size;

	p = nbd_put64(p, NBD_OPTION_MAGIC);
	p = nbd_put32(p, option);
	p = nbd_put32(p, len);
	raw_send(fd, head, (size_t)(p - head));
	if (len)
		raw_send(fd, data, len);
	do {
		raw_receive(fd, head, sizeof(head));
		assert_true(nbd_get64(head) == NBD_OPTION_REPLY_MAGIC);
		assert_int_equal(nbd_get32(head + 8), option);
		type = nbd_get32(head + 12);
		size = nbd_get32(head + 16);
		assert_true(size <= sizeof(text));
		raw_receive(fd, text, size);
	} while (type == NBD_REP_INFO || type == NBD_REP_SERVER);
	return type;
}

int raw_go(const struct server *s)
{
	static const char go[6]; /* no name, no requests */
	char hello[NBD_HELLO_SIZE], flags[4];
	int fd = raw_connect(s);

	raw_receive(fd, hello, sizeof(hello));
	nbd_put32(flags, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	raw_send(fd, flags, sizeof(flags));
	assert_int_equal(raw_option(fd, NBD_OPT_GO, go, sizeof(go)), NBD_REP_ACK);
	return fd;
}

void raw_request(char *p, uint16_t flags, uint16_t command, uint64_t cookie, uint64_t offset,
		 uint32_t len)
{
	p = nbd_put32(p, NBD_REQUEST_MAGIC);
	p = nbd_put16(p, flags);
	p = nbd_put16(p, command);
	p = nbd_put64(p, cookie);
	p = nbd_put64(p, offset);
	nbd_put32(p, len);
}

uint32_t raw_reply(int fd, uint64_t cookie)
{
	char reply[NBD_SIMPLE_REPLY_SIZE];

	raw_receive(fd, reply, sizeof(reply));
	assert_int_equal(nbd_get32(reply), NBD_SIMPLE_REPLY_MAGIC);
	assert_true(nbd_get64(reply + 8) == cookie);
	return nbd_get32(reply + 4);
}
