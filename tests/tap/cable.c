/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cable COMMAND...: run a command with a network cable in its hands: a pair of connected datagram sockets as
 * descriptors 10 and 11, one frame a datagram, for `netdev=fd:10` and `netdev=fd:11`.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int pair[2], room = 4 << 20;

	if (argc < 2 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) {
		fprintf(stderr, "usage: %s COMMAND...\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		/* The default holds fewer bytes than a burst of large frames. */
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		if (dup2(pair[i], 10 + i) < 0) {
			perror("dup2");
			return 2;
		}
		close(pair[i]);
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
