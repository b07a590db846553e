/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo_peer PROGRAM MODEL FRAMES: run PROGRAM (nic-echo) on a card whose cable ends here, send it frames of
 * all sizes, expect each back with its addresses exchanged, and end it with SIGINT.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SMALLEST = 60,
	LARGEST = 1514,
	PATIENCE_MS = 30000,
	WINDOW = 8,
};

static int give_up(pid_t pid, const char *why)
{
	fprintf(stderr, "echo_peer: %s\n", why);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 1;
}

static size_t make_frame(unsigned char *frame, unsigned int i)
{
	size_t len = SMALLEST + i * 37 % (LARGEST - SMALLEST + 1);

	for (size_t k = 0; k < len; k++)
		frame[k] = (unsigned char)(i * 7 + k);
	memcpy(frame, "\xff\xff\xff\xff\xff\xff\x02outbo", 12); /* to all, from us */
	frame[12] = 0x88; /* an EtherType for local experiments (IEEE 802, 88b5) */
	frame[13] = 0xb5;
	memcpy(frame + 14, &i, sizeof(i));
	return len;
}

/* Our own frames come back in order; anything else is not ours to judge. */
static int take_echo(int fd, unsigned int i)
{
	unsigned char want[LARGEST], got[2048];
	size_t len = make_frame(want, i);
	ssize_t n = recv(fd, got, sizeof(got), 0);

	if (n < 14 || got[12] != 0x88 || got[13] != 0xb5)
		return 0;
	if ((size_t)n != len || memcmp(got, want + 6, 6) || memcmp(got + 6, want, 6) ||
	    memcmp(got + 14, want + 14, len - 14))
		return -1;
	return 1;
}

int main(int argc, char **argv)
{
	unsigned int frames = argc > 3 ? (unsigned int)atoi(argv[3]) : 0, sent = 0, back = 0;
	unsigned char frame[LARGEST];
	struct pollfd p = {.events = POLLIN};
	int cable[2], status, out[2];
	char spec[64], line[16];
	pid_t pid;

	if (!frames || socketpair(AF_UNIX, SOCK_DGRAM, 0, cable) || pipe(out))
		return 2;
	snprintf(spec, sizeof(spec), "qemu:%s,netdev=fd:%d", argv[2], cable[1]);
	pid = fork();
	if (!pid) {
		close(cable[0]);
		dup2(out[1], 1);
		execl(argv[1], argv[1], spec, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	close(cable[1]);
	p.fd = out[0];
	if (poll(&p, 1, PATIENCE_MS) <= 0 || read(out[0], line, sizeof(line)) < 7)
		return give_up(pid, "the program does not say that it echoes");
	p.fd = cable[0];
	while (back < frames) {
		while (sent < frames && sent - back < WINDOW) {
			size_t len = make_frame(frame, sent);

			if (send(cable[0], frame, len, 0) != (ssize_t)len)
				return give_up(pid, "cannot send");
			sent++;
		}
		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return give_up(pid, "a frame did not come back");
		switch (take_echo(cable[0], back)) {
		case -1:
			return give_up(pid, "a frame came back changed");
		case 1:
			back++;
		}
	}
	kill(pid, SIGINT);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		return give_up(pid, "the program did not end well");
	printf("%u frames\n", back);
	return 0;
}
