/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault campaign's client of a network card: datagrams of all sizes through its interface to the other end of its wire, which sends all
 * back; sent again until they were answered. Frames may be lost. What the kernel delivers, trusting the card's word on
 * checksums where it is given, is to be what was sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/campaign/faults.h"

enum {
	DATAGRAMS = 12,
	/* Three frames, as fragments; most are one. */
	LONGEST = 4000,
	PORT = 7, /* RFC 862, the echo */
	/* A lost one is sent again after this. */
	AGAIN_MS = 100,
	CHECK_MS = 20000,
	/* So much longer than age= and a start take a client that nobody has answered gives the keeper to notice. */
	NOTICE_MS = 3000,
};

struct label {
	uint64_t seed, number, size;
};

static int sock = -1;
static uint64_t numbers;
static uint64_t rng;

/* ---- the other end of its wire, in a process of its own -------------------------------------------------- */

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t t[8];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

/* RFC 826: whoever is asked for says that he is it. */
static bool answer_arp(uint8_t *frame, size_t n)
{
	static const uint8_t mac[6] = {0x52, 0x55, 10, 0, 2, 2};
	uint8_t *arp = frame + ETHER_HDR_LEN;

	if (n < ETHER_HDR_LEN + 28 || arp[7] != 1)
		return false;
	arp[7] = 2;
	swap(arp + 14, arp + 24, 4);
	memcpy(arp + 18, arp + 8, 6);
	memcpy(arp + 8, mac, 6);
	memcpy(frame, arp + 18, 6);
	memcpy(frame + 6, mac, 6);
	return true;
}

/* Back to who sent it; its checksums, right or wrong, stay what they are, since they are sums. */
static bool send_back(uint8_t *frame, size_t n)
{
	uint8_t *ip = frame + ETHER_HDR_LEN;
	size_t header = ip[0] % 16 * 4u;

	if (n < ETHER_HDR_LEN + header + 8 || header < 20 || ip[9] != IPPROTO_UDP)
		return false;
	swap(frame, frame + 6, 6);
	swap(ip + 12, ip + 16, 4);
	/* Only a first fragment has the ports. */
	if (!(ip[6] & 0x1f) && !ip[7])
		swap(ip + header, ip + header + 2, 2);
	return true;
}

/* A control: what a sum does not tell, since it is the same in any order (RFC 1071). */
static void spoil(uint8_t *frame, size_t n)
{
	static unsigned int frames;

	if (o.spoil && !(++frames % o.spoil) && n >= 128)
		swap(frame + n - 8, frame + n - 4, 2);
}

static void reflect(int fd, pid_t parent)
{
	static uint8_t frame[65536];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (;;) {
		ssize_t n = recv(fd, frame, sizeof(frame), 0);
		bool answered = false;

		if (n > ETHER_HDR_LEN && frame[12] == 8 && frame[13] == 6)
			answered = answer_arp(frame, (size_t)n);
		else if (n > ETHER_HDR_LEN && frame[12] == 8 && !frame[13])
			answered = send_back(frame, (size_t)n);
		if (answered)
			spoil(frame, (size_t)n);
		/* What the card does not take at once is lost. */
		if (answered && send(fd, frame, (size_t)n, MSG_DONTWAIT) < 0)
			continue;
	}
}

static bool net_prepare(char *options, size_t size)
{
	const pid_t parent = getpid();
	int fd[2];
	pid_t pid;

	/* One end is for all instances of the shard. */
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fd))
		return false;
	pid = fork();
	if (!pid) {
		close(fd[0]);
		reflect(fd[1], parent);
	}
	close(fd[1]);
	snprintf(options, size, ",netdev=fd:%d", fd[0]);
	return pid > 0;
}

/* ---- the client ------------------------------------------------------------------------------------------ */

static bool set_address(struct ifreq *ifr, unsigned long request, const char *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&ifr->ifr_addr;

	memset(in, 0, sizeof(*in));
	in->sin_family = AF_INET;
	return inet_pton(AF_INET, address, &in->sin_addr) == 1 && !ioctl(sock, request, ifr);
}

static bool set_up(void)
{
	const char *interface = getenv("OUTBOARD_IF");
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct ifreq ifr = {0};

	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0 || !interface)
		return false;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	if (!set_address(&ifr, SIOCSIFADDR, "10.0.2.15") ||
	    !set_address(&ifr, SIOCSIFNETMASK, "255.255.255.0") || ioctl(sock, SIOCGIFFLAGS, &ifr))
		return false;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr) || inet_pton(AF_INET, "10.0.2.2", &to.sin_addr) != 1)
		return false;
	return !connect(sock, (struct sockaddr *)&to, sizeof(to));
}

static void fill(char *buf, uint64_t number, size_t size)
{
	uint64_t state = (o.seed << 20) + number + 1;
	const struct label label = {.seed = o.seed, .number = number, .size = size};

	for (size_t i = sizeof(label); i < size; i++)
		buf[i] = (char)next_random(&state);
	memcpy(buf, &label, sizeof(label));
}

/* Return: which of those from @first on it is; -1: an earlier one, answered late or twice; -2: none that was sent */
static int recognise(const char *buf, size_t n, uint64_t first, const size_t *sizes)
{
	static char sent[LONGEST];
	struct label label;

	memcpy(&label, buf, n < sizeof(label) ? n : sizeof(label));
	if (n < sizeof(label) || label.seed != o.seed || label.size != n || n > LONGEST ||
	    label.number >= numbers)
		return -2;
	fill(sent, label.number, n);
	if (memcmp(sent, buf, n))
		return -2;
	if (label.number < first)
		return -1;
	return sizes[label.number - first] == n ? (int)(label.number - first) : -2;
}

static void take_answers(uint64_t first, const size_t *sizes, bool *answered, struct outcome *out)
{
	static char buf[65536];

	for (;;) {
		ssize_t n = recv(sock, buf, sizeof(buf), 0);
		int i;

		/* An error is of a datagram before it: nobody has answered its address, or nobody listens. */
		if (n < 0 && errno != EAGAIN)
			continue;
		if (n < 0)
			return;
		i = recognise(buf, (size_t)n, first, sizes);
		if (i == -2) {
			fprintf(stderr, "faults: a datagram of %zd bytes is not what was sent\n",
				n);
			out->wrong++;
		} else if (i >= 0) {
			answered[i] = true;
		}
	}
}

static bool all_of(const bool *answered)
{
	for (unsigned int i = 0; i < DATAGRAMS; i++)
		if (!answered[i])
			return false;
	return true;
}

/* Return: all were answered in time */
static bool exchange(struct outcome *out, unsigned int ms)
{
	static char buf[LONGEST];
	const uint64_t first = numbers, until = now_ns() + ms * (NS / 1000);
	bool answered[DATAGRAMS] = {false};
	size_t sizes[DATAGRAMS];
	uint64_t again = 0;

	numbers += DATAGRAMS;
	for (unsigned int i = 0; i < DATAGRAMS; i++)
		sizes[i] = sizeof(struct label) + next_random(&rng) % ((i % 4 ? 1472 : LONGEST) -
								       sizeof(struct label) + 1);
	while (!all_of(answered) && now_ns() < until) {
		struct pollfd p = {.fd = sock, .events = POLLIN};

		for (unsigned int i = 0; now_ns() >= again && i < DATAGRAMS; i++) {
			if (answered[i])
				continue;
			fill(buf, first + i, sizes[i]);
			/* A full queue loses it. */
			if (send(sock, buf, sizes[i], 0) < 0)
				break;
		}
		if (now_ns() >= again)
			again = now_ns() + AGAIN_MS * (NS / 1000);
		poll(&p, 1, 10);
		take_answers(first, sizes, answered, out);
	}
	return all_of(answered);
}

static void net_work(struct outcome *out)
{
	out->late = !exchange(out, o.patience_ms);
	if (out->late)
		exchange(out, NOTICE_MS);
}

/* What comes late of the process with the fault is its own. */
static bool net_check(struct outcome *out)
{
	struct outcome after = {0};
	bool good = exchange(&after, CHECK_MS);

	out->lost += after.wrong;
	if (!good)
		fprintf(stderr, "faults: nobody answers for %u ms\n", CHECK_MS);
	return good;
}

static bool net_begin(void)
{
	struct outcome out = {0};

	rng = o.seed * 1000 + o.shard + 1;
	/* A control: without a fault all is well. */
	return set_up() && net_check(&out) && exchange(&out, o.patience_ms) && !out.wrong &&
	       !out.lost;
}

const struct client net_e1000 = {
	.driver = "e1000",
	.model = "e1000e",
	.start_ms = 2500,
	.age_s = 1,
	.prepare = net_prepare,
	.begin = net_begin,
	.work = net_work,
	.check = net_check,
};
