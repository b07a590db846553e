/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lossy-cable LOSS REORDER DUPLICATE COMMAND...: runs a command with the two ends of a bad network
 * cable in its hands, datagram sockets 10 and 11, a frame each, for `netdev=fd:10` and
 * `netdev=fd:11`. One frame in LOSS is lost, one in REORDER overtaken by the next, one in DUPLICATE
 * comes twice; 0 for never. Which ones is the same in each run.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FRAME_MAX = 65536,
	ROOM = 4 << 20, /* more than a burst of large frames */
};

struct direction {
	int from, to;
	unsigned char held[FRAME_MAX];
	ssize_t held_len; /* overtaken by the next; 0 for none */
};

static uint32_t seed = 2463534242; /* Marsaglia 2003, "Xorshift RNGs" */

static int one_in(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return n && seed % n == 0;
}

static void relay(struct direction *d, const unsigned int *odds)
{
	static unsigned char frame[FRAME_MAX];
	ssize_t n = recv(d->from, frame, sizeof(frame), MSG_DONTWAIT);

	if (n <= 0 || one_in(odds[0]))
		return;
	if (!d->held_len && one_in(odds[1])) {
		memcpy(d->held, frame, (size_t)n);
		d->held_len = n;
		return;
	}
	/* An end that is gone takes nothing; that is its matter. */
	send(d->to, frame, (size_t)n, MSG_NOSIGNAL);
	if (one_in(odds[2]))
		send(d->to, frame, (size_t)n, MSG_NOSIGNAL);
	if (d->held_len) {
		send(d->to, d->held, (size_t)d->held_len, MSG_NOSIGNAL);
		d->held_len = 0;
	}
}

int main(int argc, char **argv)
{
	static struct direction way[2];
	unsigned int odds[3];
	int a[2], b[2], room = ROOM, status;
	struct pollfd p[2];
	pid_t pid;

	if (argc < 5 || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, a) ||
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, b)) {
		fprintf(stderr, "usage: %s LOSS REORDER DUPLICATE COMMAND...\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < 3; i++)
		odds[i] = (unsigned int)strtoul(argv[i + 1], NULL, 10);
	for (int i = 0; i < 2; i++) {
		setsockopt(a[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		setsockopt(b[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (dup2(a[1], 10) < 0 || dup2(b[1], 11) < 0)
			_exit(127);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	close(a[1]);
	close(b[1]);
	way[0] = (struct direction){.from = a[0], .to = b[0]};
	way[1] = (struct direction){.from = b[0], .to = a[0]};
	while (!waitpid(pid, &status, WNOHANG)) {
		p[0] = (struct pollfd){.fd = a[0], .events = POLLIN};
		p[1] = (struct pollfd){.fd = b[0], .events = POLLIN};
		/* An end that is closed is readable for ever: then the wait alone paces the loop. */
		if (poll(p, 2, 100) > 0 && !(p[0].revents & POLLIN) && !(p[1].revents & POLLIN))
			usleep(10000);
		for (int i = 0; i < 2; i++)
			if (p[i].revents & POLLIN)
				relay(&way[i], odds);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
