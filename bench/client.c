/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-client TEST ...: the same load on whatever carries it, the kernel's own disk or interface or one that
 * Outboard gave back. A fixed number of operations, own random numbers from a fixed seed, twice: to warm up, and
 * between the marks of rig/marker.h (docs/benchmarks.md). Used by bench/kernel.sh in the rig.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/marked.h"
#include "bench/program.h"

#define PORT 5301

static const char *test, *path, *op = "read", *to = "", *from_ns, *to_ns, *memory;
static unsigned int size = 4096, depth = 32;
static uint64_t count = 20000;
static bool polled, away, soak;
static unsigned int rate = 1000, pace;

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-client --test TEST [options]; prints one line of JSON\n"
		"  --test disk       --path DEV --op read|write [--size 4096] [--depth 32], direct, at random\n"
		"                    places (in order from 64 KiB on); [--memory FILE]: its buffers are that\n"
		"                    file's memory, which the disk's server can share (ublk's share=FILE);\n"
		"                    [--polled]: the least that the kernel can do: completions by polling, buffers and\n"
		"                    the file registered (a kernel's driver with polled queues); --depth at a time,\n"
		"                    looked for when they are there;\n"
		"                    [--pace N]: at most so many begin in a second; [--soak]: what a thread of the lowest rank\n"
		"                    gets of the processor meanwhile is \"available\"\n"
		"  --test tcp        --from-ns NAME --to-ns NAME --to ADDRESS: --count messages of --size bytes\n"
		"  --test udp        the same by datagrams, in bursts of --depth that have arrived before the next\n"
		"  --test ping       the same, one to and one back at a time\n"
		"  --test echo       the same: --rate datagrams a second are sent, each of which comes back, from a thread\n"
		"                    here, or, with --away, from somebody else at that address; counted are those that do\n"
		"  --test command    --path 'WORDS': bash runs that, $N is the number of operations\n"
		"  --test nothing    for --count milliseconds, while others do something\n"
		"  --test frames     --path INTERFACE: frames of --size bytes by a packet socket, --depth a call\n"
		"  --test forward    --path INTERFACE, which sends back what it receives, and so does its peer: --depth\n"
		"                    frames are sent once, and until --count are sent back nothing is done but to wait\n"
		"  --count N         operations (20000); a tenth of them before, to warm up\n");
}

static int fail(const char *what)
{
	fprintf(stderr, "outboard-bench-client: %s: %s\n", what, strerror(errno));
	return 1;
}

/* ---- disks ------------------------------------------------------------------------ */

struct disk {
	struct io_uring ring;
	int fd;
	char *buf;
	uint64_t blocks, next;
};

static void queue_request(struct disk *d, unsigned int tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);
	uint64_t block = size >= 65536 ? d->next++ % d->blocks : marked_random() % d->blocks;
	char *buf = d->buf + (size_t)tag * size;

	marked_pace(pace);
	if (polled) {
		if (op[0] == 'w')
			io_uring_prep_write_fixed(sqe, 0, buf, size, block * size, 0);
		else
			io_uring_prep_read_fixed(sqe, 0, buf, size, block * size, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else if (op[0] == 'w')
		io_uring_prep_write(sqe, d->fd, buf, size, block * size);
	else
		io_uring_prep_read(sqe, d->fd, buf, size, block * size);
	sqe->user_data = tag;
}

/* Much longer than QEMU needs for all of them, also on a busy machine: it costs only time. */
static unsigned int disk_pause(void)
{
	return depth * (200 + size / 100);
}

static int run_disk(void *of, uint64_t n)
{
	struct disk *d = of;
	uint64_t queued = 0, done = 0;

	while (queued < depth && queued < n)
		queue_request(d, (unsigned int)queued++);
	while (done < n) {
		struct io_uring_cqe *cqe;
		unsigned int head, seen = 0;

		if (polled) {
			/* All of a burst together, so that there is no looking in vain. */
			if (io_uring_submit(&d->ring) < 0)
				return fail("io_uring");
			marked_pause(disk_pause());
			errno = -io_uring_wait_cqe_nr(
				&d->ring, &cqe,
				queued - done < depth ? (unsigned int)(queued - done) : depth);
			if (errno)
				return fail("io_uring");
		} else if (io_uring_submit_and_wait(&d->ring, 1) < 0) {
			return fail("io_uring");
		}
		io_uring_for_each_cqe(&d->ring, head, cqe)
		{
			if (cqe->res != (int)size) {
				errno = cqe->res < 0 ? -cqe->res : EIO;
				return fail(path);
			}
			if (queued < n) {
				queue_request(d, (unsigned int)cqe->user_data);
				queued++;
			}
			seen++;
		}
		io_uring_cq_advance(&d->ring, seen);
		done += seen;
	}
	return 0;
}

static int open_disk(struct disk *d)
{
	off_t bytes;

	d->fd = open(path, (op[0] == 'w' ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	bytes = d->fd < 0 ? -1 : lseek(d->fd, 0, SEEK_END);
	if (bytes < (off_t)size)
		return fail(path);
	d->blocks = (uint64_t)bytes / size;
	if (memory) {
		int fd = open(memory, O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return fail(memory);
		d->buf =
			mmap(NULL, (size_t)depth * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		if (d->buf == MAP_FAILED)
			return fail(memory);
	} else if (posix_memalign((void **)&d->buf, 4096, (size_t)depth * size)) {
		return fail("memory");
	}
	memset(d->buf, 0x5a, (size_t)depth * size);
	errno = -io_uring_queue_init(depth, &d->ring, polled ? IORING_SETUP_IOPOLL : 0);
	if (!errno && polled) {
		struct iovec iov = {d->buf, (size_t)depth * size};

		errno = -io_uring_register_buffers(&d->ring, &iov, 1);
		if (!errno)
			errno = -io_uring_register_files(&d->ring, &d->fd, 1);
	}
	return errno ? fail("io_uring") : 0;
}

/* ---- networks ---------------------------------------------------------------------- */

struct pair {
	int out, in; /* sockets of the sender and of the receiver, each in its network namespace */
	char *buf;
	uint64_t left; /* of the receiving thread */
	pthread_t thread;
};

/* A socket of the namespace @ns, which was made by `ip netns add`. */
static int socket_in(const char *ns, int type)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), other = -1, fd = -1;
	char name[200];

	snprintf(name, sizeof(name), "/run/netns/%s", ns);
	other = open(name, O_RDONLY | O_CLOEXEC);
	if (own >= 0 && other >= 0 && !setns(other, CLONE_NEWNET)) {
		fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
		if (setns(own, CLONE_NEWNET))
			abort(); /* nothing that follows would be where it should */
	}
	close(own);
	close(other);
	return fd;
}

static int open_pair(struct pair *p, int type)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int listener, one = 1, bytes = 4 << 20;

	p->buf = calloc(2, size > 65536 ? size : 65536);
	if (!p->buf || !from_ns || !to_ns || inet_pton(AF_INET, to, &addr.sin_addr) != 1) {
		errno = EINVAL;
		return fail("a network test needs --from-ns, --to-ns and --to");
	}
	listener = socket_in(to_ns, type);
	p->out = socket_in(from_ns, type);
	if (listener < 0 || p->out < 0)
		return fail("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (bind(listener, (void *)&addr, sizeof(addr)))
		return fail("bind");
	if (type == SOCK_STREAM && listen(listener, 1))
		return fail("listen");
	if (connect(p->out, (void *)&addr, sizeof(addr)))
		return fail("connect");
	p->in = type == SOCK_STREAM ? accept(listener, NULL, NULL) : listener;
	if (p->in < 0)
		return fail("accept");
	if (type == SOCK_STREAM) {
		close(listener);
	} else {
		/* The receiver answers: it learns the sender's address from a first datagram. */
		socklen_t len = sizeof(addr);

		for (unsigned int i = 0; i < 50; i++) { /* the first ones wait for ARP or a link */
			struct pollfd pfd = {.fd = p->in, .events = POLLIN};

			if (send(p->out, p->buf, 1, 0) < 0 && errno != ECONNREFUSED)
				return fail("send");
			if (poll(&pfd, 1, 200) == 1)
				break;
		}
		if (recvfrom(p->in, p->buf, 1, MSG_DONTWAIT, (void *)&addr, &len) != 1 ||
		    connect(p->in, (void *)&addr, sizeof(addr)))
			return fail("no datagram arrives");
		while (recv(p->in, p->buf, 1, MSG_DONTWAIT) > 0)
			;
	}
	return 0;
}

static void *receive_stream(void *of)
{
	struct pair *p = of;
	char *buf = p->buf + (size > 65536 ? size : 65536);

	while (p->left) {
		ssize_t n = recv(p->in, buf, p->left < 65536 ? p->left : 65536, 0);

		if (n <= 0)
			break;
		p->left -= (uint64_t)n;
	}
	return NULL;
}

static int run_tcp(void *of, uint64_t n)
{
	struct pair *p = of;

	p->left = n * size;
	errno = pthread_create(&p->thread, NULL, receive_stream, p);
	if (errno)
		return fail("thread");
	for (uint64_t i = 0; i < n; i++) {
		if (send(p->out, p->buf, size, MSG_NOSIGNAL) != (ssize_t)size)
			return fail("send");
	}
	pthread_join(p->thread, NULL);
	errno = EIO;
	return p->left ? fail("the stream ended early") : 0;
}

/* One datagram, or what went wrong: none for two seconds is a loss, and then no figure is right. */
static int receive_one(int fd, char *buf)
{
	struct timeval patience = {.tv_sec = 2};
	ssize_t len;

	len = recv(fd, buf, 65536, MSG_DONTWAIT);
	if (len < 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		len = recv(fd, buf, 65536, 0);
	}
	if (len == (ssize_t)size)
		return 0;
	if (len >= 0)
		errno = EMSGSIZE;
	return fail("a datagram is lost");
}

static int run_udp(void *of, uint64_t n)
{
	struct pair *p = of;

	for (uint64_t done = 0; done < n;) {
		unsigned int burst = n - done < depth ? (unsigned int)(n - done) : depth;

		for (unsigned int i = 0; i < burst; i++)
			if (send(p->out, p->buf, size, 0) != (ssize_t)size)
				return fail("send");
		for (unsigned int i = 0; i < burst; i++)
			if (receive_one(p->in, p->buf))
				return 1;
		done += burst;
	}
	return 0;
}

static int run_ping(void *of, uint64_t n)
{
	struct pair *p = of;

	while (n--) {
		if (send(p->out, p->buf, size, 0) != (ssize_t)size || receive_one(p->in, p->buf) ||
		    send(p->in, p->buf, size, 0) != (ssize_t)size || receive_one(p->out, p->buf))
			return 1;
	}
	return 0;
}

/* ---- an offered load ----------------------------------------------------------------- */

enum {
	ECHO_TICK_NS = 250000, /* what is due is sent together, as a busy sender does */
	ECHO_BUFFER =
		64
		<< 20, /* of the receiver's socket: who is too slow loses at the card or in the queue of its stack */
	ECHO_DATAGRAM_MAX = 1472 /* in one frame: others would be parted */
};

struct echo {
	int out, server;
	char buf[2048];
	pthread_t thread;
	uint64_t back;
};

/* A thread of its own is the whole server, as an inetd's is. */
static void *serve_echo(void *of)
{
	struct echo *e = of;
	char buf[2048];

	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(e->server, buf, sizeof(buf), 0, (void *)&from, &len);

		if (n < 0 && errno != EINTR)
			return NULL;
		/* What does not fit into a queue is lost, as with any server of datagrams. */
		if (n > 0)
			sendto(e->server, buf, (size_t)n, MSG_DONTWAIT, (void *)&from, len);
	}
}

static int open_echo(struct echo *e)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int bytes = ECHO_BUFFER;

	if (!from_ns || (!to_ns && !away) || inet_pton(AF_INET, to, &addr.sin_addr) != 1) {
		errno = EINVAL;
		return fail("echo needs --from-ns, --to, and --to-ns or --away");
	}
	e->out = socket_in(from_ns, SOCK_DGRAM);
	if (e->out < 0 || connect(e->out, (void *)&addr, sizeof(addr)))
		return fail("socket");
	setsockopt(e->out, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (away)
		return 0;
	e->server = socket_in(to_ns, SOCK_DGRAM);
	if (e->server < 0 || bind(e->server, (void *)&addr, sizeof(addr)))
		return fail("bind");
	errno = pthread_create(&e->thread, NULL, serve_echo, e);
	return errno ? fail("thread") : 0;
}

static void take_answers(struct echo *e)
{
	while (recv(e->out, e->buf, sizeof(e->buf), MSG_DONTWAIT) == (ssize_t)size)
		e->back++;
}

static int run_echo(void *of, uint64_t n)
{
	struct echo *e = of;
	struct timespec next;
	uint64_t sent = 0, ticks = 0;

	/* What comes late of the warming up makes up for what comes late of this. */
	e->back = 0;
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (sent < n) {
		uint64_t due = ++ticks * rate / (1000000000 / ECHO_TICK_NS);

		for (; sent < due && sent < n; sent++) {
			/* One that the own queue does not take was offered, too. */
			if (send(e->out, e->buf, size, MSG_DONTWAIT) < 0 && errno != EAGAIN &&
			    errno != ENOBUFS && errno != ECONNREFUSED)
				return fail("send");
		}
		take_answers(e);
		next.tv_nsec += ECHO_TICK_NS;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		/* Late is late: ticks that have passed are made up for at once. */
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	take_answers(e);
	errno = ETIMEDOUT;
	return e->back ? 0 : fail("nothing comes back");
}

/* ---- frames -------------------------------------------------------------------------- */

struct frames {
	int fd;
	char *buf;
	struct mmsghdr *msgs;

	/* Of what is sent back by the interface itself. */
	int counter;
	bool started;
	uint64_t done;
};

static int open_frames(struct frames *f)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_802_EX1)};
	/* To nobody, from a locally administered address, of a protocol for experiments. */
	static const uint8_t header[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
	struct iovec *iov = calloc(depth, sizeof(*iov));

	f->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	f->buf = calloc(1, size);
	f->msgs = calloc(depth, sizeof(*f->msgs));
	addr.sll_ifindex = (int)if_nametoindex(path);
	if (f->fd < 0 || !addr.sll_ifindex || bind(f->fd, (void *)&addr, sizeof(addr)) || !f->buf ||
	    !f->msgs || !iov)
		return fail(path);
	memcpy(f->buf, header, sizeof(header));
	for (unsigned int i = 0; i < depth; i++) {
		iov[i] = (struct iovec){f->buf, size};
		f->msgs[i].msg_hdr.msg_iov = &iov[i];
		f->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

static int run_frames(void *of, uint64_t n)
{
	struct frames *f = of;

	while (n) {
		int sent = sendmmsg(f->fd, f->msgs, n < depth ? (unsigned int)n : depth, 0);

		if (sent <= 0 && errno != ENOBUFS)
			return fail("sendmmsg");
		n -= sent > 0 ? (uint64_t)sent : 0;
	}
	return 0;
}

static int open_forward(struct frames *f)
{
	char name[200];

	snprintf(name, sizeof(name), "/sys/class/net/%s/statistics/tx_packets", path);
	f->counter = open(name, O_RDONLY | O_CLOEXEC);
	if (f->counter < 0 || open_frames(f))
		return fail(name);
	memset(f->buf, 0xff, 6); /* to all: each card takes it */
	return 0;
}

static uint64_t frames_sent(const struct frames *f)
{
	char text[32] = "";

	return pread(f->counter, text, sizeof(text) - 1, 0) > 0 ? strtoull(text, NULL, 10) : 0;
}

static int run_forward(void *of, uint64_t n)
{
	struct frames *f = of;
	uint64_t first, sent, last = 0;
	unsigned int idle = 0;

	if (!f->started && run_frames(f, depth))
		return 1;
	f->started = true;
	first = sent = frames_sent(f);
	while (sent - first < n) {
		usleep(2000);
		sent = frames_sent(f);
		/* e1000 counts what it has reclaimed, every so often. */
		idle = sent == last ? idle + 1 : 0;
		last = sent;
		errno = ETIMEDOUT;
		if (idle == 1000)
			return fail("no frame is sent back");
	}
	f->done = sent - first;
	return 0;
}

/* ---- somebody else's load ------------------------------------------------------------- */

static int run_command(void *of, uint64_t n)
{
	char number[24];
	int status = -1;
	pid_t pid;

	(void)of;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	pid = fork();
	if (!pid) {
		setenv("N", number, 1);
		/* Not system()'s shell, which knows nothing of exported functions. */
		execlp("bash", "bash", "-c", path, (char *)NULL);
		_exit(127);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && !status)
		return 0;
	fprintf(stderr, "outboard-bench-client: %s: wait status %d\n", path, status);
	return 1;
}

static int run_nothing(void *of, uint64_t n)
{
	return usleep((useconds_t)n * 1000);
}

/* ---- all ----------------------------------------------------------------------------- */

static int measure(int (*run)(void *of, uint64_t n), void *of)
{
	const struct frames *f = of;
	const struct echo *e = of;
	const uint64_t *done = run == run_forward ? &f->done : run == run_echo ? &e->back : NULL;
	const struct marked_load load = {test, op, size, depth, count, done};

	return marked_run(&load, run, of);
}

int main(int argc, char **argv)
{
	const struct argument arguments[] = {
		{"test", ARGUMENT_TEXT, &test},	      {"path", ARGUMENT_TEXT, &path},
		{"op", ARGUMENT_TEXT, &op},	      {"to", ARGUMENT_TEXT, &to},
		{"from-ns", ARGUMENT_TEXT, &from_ns}, {"to-ns", ARGUMENT_TEXT, &to_ns},
		{"size", ARGUMENT_NUMBER, &size},     {"depth", ARGUMENT_NUMBER, &depth},
		{"count", ARGUMENT_COUNT, &count},    {"memory", ARGUMENT_TEXT, &memory},
		{"polled", ARGUMENT_FLAG, &polled},   {"away", ARGUMENT_FLAG, &away},
		{"rate", ARGUMENT_NUMBER, &rate},     {"pace", ARGUMENT_NUMBER, &pace},
		{"soak", ARGUMENT_FLAG, &soak},	      {NULL, 0, NULL},
	};
	static struct echo e;
	struct frames f = {0};
	struct disk d = {0};
	struct pair p = {0};
	int ret = read_arguments(argc, argv, arguments, usage);

	if (ret >= 0)
		return ret;
	if (!test || !size || size > (4u << 20) || !depth || depth > 1024 || !count) {
		usage(stderr);
		return 2;
	}
	errno = soak ? -marked_soak() : 0;
	if (errno)
		return fail("a thread of the lowest rank");
	if (!strcmp(test, "command") && path)
		return measure(run_command, &e);
	if (!strcmp(test, "disk") && path)
		return open_disk(&d) || measure(run_disk, &d);
	if (!strcmp(test, "frames") && path && size >= 14 && size <= 1514)
		return open_frames(&f) || measure(run_frames, &f);
	if (!strcmp(test, "forward") && path && size >= 14 && size <= 1514)
		return open_forward(&f) || measure(run_forward, &f);
	if (!strcmp(test, "tcp"))
		return open_pair(&p, SOCK_STREAM) || measure(run_tcp, &p);
	if (!strcmp(test, "udp") && size <= 65507)
		return open_pair(&p, SOCK_DGRAM) || measure(run_udp, &p);
	if (!strcmp(test, "nothing") && count <= 60000)
		return measure(run_nothing, &e);
	if (!strcmp(test, "echo") && size <= ECHO_DATAGRAM_MAX && rate)
		return open_echo(&e) || measure(run_echo, &e);
	if (!strcmp(test, "ping") && size <= 65507)
		return open_pair(&p, SOCK_DGRAM) || measure(run_ping, &p);
	usage(stderr);
	return 2;
}
