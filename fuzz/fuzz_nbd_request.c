/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of an NBD client, negotiation and transmission (doc/proto.md), in pieces of any size, against the
 * server with a disk of memory behind it. After every client all tags and all payload memory must be back.
 *
 * First byte: 1 the handshake was done already; 2 the disk ends requests in another order; 4 it holds them
 * until the input has ended; 8 the client never reads; the rest is how many bytes are sent at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach/nbd.h"
/* The test's disk is no part of the library. */
#include "tests/attach/ram_disk.c"

enum {
	DISK = 64 << 10,
	ROUNDS = 10000, /* a server that goes on for longer hangs */
};

static struct ram_disk ram;
static struct ob_loop *loop;
static struct nbd_server *server;
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static socklen_t addr_len;

static void start(void)
{
	struct ob_attach *at;
	char text[64];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ram_disk_init(&ram, DISK);
	ram.arena_size = 8 << 20;
	ram.blk.limits.depth = 4;
	ram.blk.limits.max_transfer = 4096;
	ram.blk.limits.max_zeroes = ram.blk.limits.max_discard = 8192;
	addr_len =
		(socklen_t)(sizeof(addr.sun_family) + 1 +
			    (size_t)snprintf(addr.sun_path + 1, 100, "outboard-fuzz-%d", getpid()));
	snprintf(text, sizeof(text), "nbd,fd=%d,depth=8,memory=4M,export=x", fd);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, addr_len) || listen(fd, 4) ||
	    ram_disk_open(&ram) || ob_loop_create(OB_MODE_ADAPTIVE, &loop) ||
	    ob_attach_open(&ram.binding, 0, text, loop, &at, NULL) || ob_attach_publish(at, NULL))
		abort();
	server = (struct nbd_server *)at;
	ob_loop_once(loop, 0);
}

static void turn(int fd, bool reads)
{
	char sink[65536];

	server->rounds_to_look = 0; /* no round without a look */
	ob_loop_once(loop, 0);
	while (reads && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void say(int fd, const uint8_t *data, size_t size, size_t piece, bool reads)
{
	unsigned int blocked = 0;

	while (size && blocked < 100) {
		ssize_t n =
			send(fd, data, size < piece ? size : piece, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n < 0)
			blocked++;
		else
			data += n, size -= (size_t)n;
		turn(fd, reads);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Flags without NO_ZEROES, structured replies, GO without a name. */
	static const uint8_t handshake[] = "\0\0\0\1IHAVEOPT\0\0\0\10\0\0\0\0"
					   "IHAVEOPT\0\0\0\7\0\0\0\6\0\0\0\0\0";
	unsigned int rounds = 0;
	size_t piece;
	bool reads;
	int fd;

	if (!server)
		start();
	if (!size)
		return 0;
	atomic_store(&ram.shuffle, !!(*data & 2));
	atomic_store(&ram.hold, !!(*data & 4));
	reads = !(*data & 8);
	piece = *data >> 4 ? (size_t)(*data >> 4) * 7 : SIZE_MAX;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, addr_len))
		abort();
	turn(fd, reads);
	if (*data & 1)
		say(fd, handshake, sizeof(handshake), SIZE_MAX, true);
	say(fd, data + 1, size - 1, piece, reads);
	atomic_store(&ram.hold, false);
	turn(fd, reads);
	close(fd);
	while (server->nr_conns) {
		ob_loop_once(loop, 0);
		if (++rounds > ROUNDS)
			abort();
	}
	if (server->nr_free != server->disk.depth || server->wait_first ||
	    server->disk.payload.free != server->disk.payload.pages || server->disk.inflight ||
	    ram.nr_pending || atomic_load(&ram.outside))
		abort();
	return 0;
}
