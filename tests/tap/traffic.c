/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * traffic echo PORT: send every UDP datagram back, until killed.
 * traffic take PORT: one TCP connection to standard output. traffic give ADDRESS PORT: standard input to it;
 * returns when the other side has taken all.
 * traffic sizes ADDRESS PORT MIN MAX: send a datagram of every size and compare what comes back. Prints
 * how many were echoed and how many had to be sent again; fails when one is wrong or never comes.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LARGEST = 65507,
	TRIES = 50,
	WAIT_MS = 200,
};

static uint8_t sent[LARGEST + 1], got[LARGEST + 1];

static int echo(const char *port)
{
	struct sockaddr_in6 here = {.sin6_family = AF_INET6,
				    .sin6_port = htons((uint16_t)atoi(port))};
	struct sockaddr_storage from;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here))) {
		perror("bind");
		return 1;
	}
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len);

		if (n >= 0)
			sendto(fd, got, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
}

static int sizes(const char *address, const char *port, unsigned int min, unsigned int max)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *to;
	unsigned int again = 0, done = 0;
	int fd;

	if (max > LARGEST || getaddrinfo(address, port, &hints, &to)) {
		fprintf(stderr, "no such address\n");
		return 1;
	}
	fd = socket(to->ai_family, SOCK_DGRAM, 0);
	if (connect(fd, to->ai_addr, to->ai_addrlen)) {
		perror("connect");
		return 1;
	}
	for (unsigned int len = min; len <= max; len++) {
		unsigned int tries = 0;

		for (unsigned int i = 0; i < len; i++)
			sent[i] = (uint8_t)((i * 2654435761u + len * 40503u) >> 9);
		for (;;) {
			struct pollfd p = {.fd = fd, .events = POLLIN};
			ssize_t n;

			if (tries++ == TRIES) {
				fprintf(stderr, "%u bytes never came back\n", len);
				return 1;
			}
			again += tries > 1;
			send(fd, sent, len, 0);
			if (poll(&p, 1, WAIT_MS) <= 0)
				continue;
			n = recv(fd, got, sizeof(got), 0);
			if (n < 0)
				continue; /* refused: the server is not there yet */
			/* An older size: an answer to a try that was thought lost. */
			if ((unsigned int)n != len)
				continue;
			if (memcmp(sent, got, len)) {
				fprintf(stderr, "%u bytes came back wrong\n", len);
				return 1;
			}
			break;
		}
		done++;
	}
	printf("%u sizes came back right, %u sent again\n", done, again);
	freeaddrinfo(to);
	return 0;
}

static int copy(int from, int to)
{
	static char buf[1 << 16];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n;) {
			ssize_t m = write(to, buf + at, (size_t)(n - at));

			if (m < 0) {
				perror("write");
				return 1;
			}
			at += m;
		}
	}
	if (n < 0)
		perror("read");
	return n < 0;
}

static int take(const char *port)
{
	struct sockaddr_in6 here = {.sin6_family = AF_INET6,
				    .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), off = 0, on = 1, peer;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) || listen(fd, 1)) {
		perror("bind");
		return 1;
	}
	peer = accept(fd, NULL, NULL);
	if (peer < 0) {
		perror("accept");
		return 1;
	}
	return copy(peer, 1);
}

static int give(const char *address, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *to;
	int fd = -1;
	char c;

	if (getaddrinfo(address, port, &hints, &to)) {
		fprintf(stderr, "no such address\n");
		return 1;
	}
	for (int tries = 0; tries < 100; tries++) {
		fd = socket(to->ai_family, SOCK_STREAM, 0);
		if (!connect(fd, to->ai_addr, to->ai_addrlen))
			break;
		close(fd); /* the other side is not listening yet */
		fd = -1;
		usleep(100000);
	}
	freeaddrinfo(to);
	if (fd < 0) {
		perror("connect");
		return 1;
	}
	if (copy(0, fd) || shutdown(fd, SHUT_WR))
		return 1;
	if (read(fd, &c, 1) != 0) {
		perror("end of the connection");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "echo"))
		return echo(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "take"))
		return take(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "give"))
		return give(argv[2], argv[3]);
	if (argc == 6 && !strcmp(argv[1], "sizes"))
		return sizes(argv[2], argv[3], (unsigned int)atoi(argv[4]),
			     (unsigned int)atoi(argv[5]));
	fprintf(stderr,
		"usage: %s echo PORT | take PORT | give ADDRESS PORT | sizes ADDRESS PORT MIN MAX\n",
		argv[0]);
	return 2;
}
