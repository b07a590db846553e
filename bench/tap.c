/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-tap: TCP through two network cards with a cable between them, each attached as a tap in a
 * network namespace of its own. Compares the tap's offloads with each other in one run: what crosses the
 * machine's noise is the ratio to a tap without any (docs/attach-net.md).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "attach/tap.h"
#include "bench/program.h"

enum {
	ROUNDS_MAX = VALUES_MAX,
	/* What --quick leaves of them. */
	ROUNDS_QUICK = 2,
	ROUNDS_QUICK_MS = 100,
	SEGMENT = 1448, /* bytes of TCP in an Ethernet frame, with time stamps */
	PORT = 5001,
	START_S = 20, /* QEMU's e1000 receives nothing for a second after its start */
};

/* What is compared; the first is what all others are divided by. */
static const struct variant {
	const char *name;
	const char *options;
} variants[] = {
	{"nothing", ",csum=off,gso=off,gro=off"},
	{"checksums", ",gso=off,gro=off"},
	{"segmentation (gso)", ",gro=off"},
	{"coalescing (gro)", ",gso=off"},
	{"all, the default", ""},
};

enum {
	VARIANTS = sizeof(variants) / sizeof(variants[0]),
};

static const char *const models[] = {"e1000e", "e1000-82545em"};

/* What a driver process has counted. */
struct counts {
	uint64_t frames; /* between it and the kernel, both ways */
	uint64_t kernel_copies, own_copies, syscalls, dropped;
	double cpu;
};

/* What is asked of a driver process, and what it answers. */
enum command {
	COUNTS = 'c',  /* struct counts */
	RECEIVE = 'r', /* struct report when it listens and when it is done */
	SEND = 's',    /* struct report when done */
};

struct request {
	int command;
	unsigned int ms;
};

struct side {
	pid_t pid;
	int fd;
};

struct row {
	const char *model;
	const struct variant *variant;
	double mbps[ROUNDS_MAX];
	double median, ratio;
	uint64_t bytes;
	struct counts sum; /* both sides, all rounds */
};

struct options {
	const char *json;
	const char *model;
	unsigned int rounds, ms;
	bool quick;
};

static bool write_all(int fd, const void *p, size_t n)
{
	return send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool read_all(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

/* ---- one end of a TCP connection, in the interface's namespace --------------------------- */

static struct sockaddr_in address(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	inet_pton(AF_INET, text, &a.sin_addr);
	return a;
}

/* What an end of a connection reports: 'l' it listens, 'd' done, 'x' failed. */
struct report {
	int what;
	uint64_t bytes, ns;
};

static int receive(int out)
{
	struct sockaddr_in here = address("10.9.0.2");
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct report rep = {.what = 'l'};
	static char buf[1 << 20];
	uint64_t start = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) || listen(fd, 1) ||
	    !write_all(out, &rep, sizeof(rep)))
		return 1;
	/* A connection that was given up before it carried anything is not the one. */
	while (!rep.bytes) {
		int peer = accept(fd, NULL, NULL);
		ssize_t n;

		if (peer < 0)
			return 1;
		while ((n = recv(peer, buf, sizeof(buf), 0)) > 0) {
			if (!start)
				start = ob_clock_ns();
			rep.bytes += (uint64_t)n;
			rep.ns = ob_clock_ns() - start;
		}
		close(peer);
	}
	rep.what = 'd';
	return !write_all(out, &rep, sizeof(rep));
}

static int transmit(int out, unsigned int ms)
{
	struct sockaddr_in there = address("10.9.0.2");
	uint64_t until = ob_clock_ns() + START_S * 1000000000ull;
	struct timeval patience = {.tv_sec = 5};
	struct report rep = {.what = 'd'};
	static char buf[1 << 18];
	int fd;

	for (;;) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (!connect(fd, (struct sockaddr *)&there, sizeof(there)))
			break;
		close(fd);
		if (ob_clock_ns() > until)
			return 1;
		usleep(100000);
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	until = ob_clock_ns() + ms * 1000000ull;
	while (ob_clock_ns() < until)
		if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) < 0)
			return 1;
	close(fd);
	return !write_all(out, &rep, sizeof(rep));
}

static int endpoint(int out, struct ob_attach *at, const struct request *rq)
{
	struct report failed = {.what = 'x'};
	int ret = ob_attach_tap_enter(at);

	if (!ret)
		ret = rq->command == RECEIVE ? receive(out) : transmit(out, rq->ms);
	if (ret)
		write_all(out, &failed, sizeof(failed));
	return ret;
}

/* ---- a driver process --------------------------------------------------------------------- */

static void *serve(void *loop)
{
	ob_loop_run(loop);
	return NULL;
}

static bool send_counts(int fd, struct ob_attach *at)
{
	struct ob_attach_stats s;
	struct counts c = {0};
	struct rusage u;

	at->ops->stats(at, &s);
	getrusage(RUSAGE_SELF, &u);
	c.frames = s.requests_in + s.requests_out;
	c.kernel_copies = s.kernel_copies;
	c.own_copies = s.own_copies;
	c.syscalls = s.syscalls;
	c.dropped = s.dropped;
	c.cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	return write_all(fd, &c, sizeof(c));
}

static void obey(int fd, struct ob_attach *at)
{
	struct request rq;

	while (read_all(fd, &rq, sizeof(rq))) {
		pid_t pid;

		if (rq.command == COUNTS) {
			if (!send_counts(fd, at))
				return;
			continue;
		}
		/* A process of its own, because entering a user namespace takes a single thread. */
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(endpoint(fd, at, &rq));
		}
		if (pid < 0)
			return;
	}
}

/* All resources of the child go with it, the interface and its namespace too. */
static int drive(int fd, int cable, const char *model, const char *options, int nr)
{
	struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	struct ob_device *dev = NULL;
	struct ob_binding *b = NULL;
	struct ob_attach *at = NULL;
	struct ob_loop *loop = NULL;
	struct ob_error err = {0};
	char spec[128], text[128];
	pthread_t thread;

	signal(SIGCHLD, SIG_IGN); /* endpoints are not waited for */
	snprintf(spec, sizeof(spec), "qemu:%s,netdev=fd:%d,mac=52:54:00:00:00:0%d", model, cable,
		 nr);
	snprintf(text, sizeof(text), "tap,vhost=off,netns=new,address=10.9.0.%d/24%s", nr, options);
	if (ob_device_open(spec, &dev, &err) || ob_driver_bind(dev, NULL, &config, &b, &err) ||
	    ob_loop_create(config.mode, &loop) || ob_attach_open(b, 0, text, loop, &at, &err)) {
		complain(&err);
		goto out;
	}
	if (pthread_create(&thread, NULL, serve, loop))
		goto out;
	if (ob_attach_publish(at, &err))
		complain(&err);
	else if (write_all(fd, "u", 1))
		obey(fd, at);
	ob_loop_stop(loop);
	pthread_join(thread, NULL);
out:
	ob_attach_close(at);
	ob_loop_destroy(loop);
	ob_driver_unbind(b);
	ob_device_close(dev);
	return 1;
}

/* ---- two of them ---------------------------------------------------------------------------- */

static bool start_side(struct side *s, const int *cable, int mine, const char *model,
		       const char *options)
{
	int pair[2];
	char up;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	fflush(NULL);
	s->pid = fork();
	if (!s->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		close(cable[!mine]);
		_exit(drive(pair[1], cable[mine], model, options, mine + 1));
	}
	close(pair[1]);
	s->fd = pair[0];
	return s->pid > 0 && read_all(s->fd, &up, 1);
}

static void stop_side(struct side *s)
{
	if (s->pid <= 0)
		return;
	/* It sees that, and ends. Not only closed: later sides have inherited it. */
	shutdown(s->fd, SHUT_RDWR);
	close(s->fd);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static bool start_pair(struct side *sides, const char *model, const char *options)
{
	int cable[2], room = 4 << 20;
	bool ok;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, cable))
		return false;
	for (int i = 0; i < 2; i++)
		setsockopt(cable[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	ok = start_side(&sides[0], cable, 0, model, options) &&
	     start_side(&sides[1], cable, 1, model, options);
	close(cable[0]);
	close(cable[1]);
	return ok;
}

static bool get_counts(struct side *s, struct counts *c)
{
	struct request rq = {.command = COUNTS};

	return write_all(s->fd, &rq, sizeof(rq)) && read_all(s->fd, c, sizeof(*c));
}

static bool told(struct side *s, struct report *rep, int what)
{
	return read_all(s->fd, rep, sizeof(*rep)) && rep->what == what;
}

static bool one_round(struct side *sides, unsigned int ms, struct report *result)
{
	struct request rx = {.command = RECEIVE}, tx = {.command = SEND, .ms = ms};

	return write_all(sides[1].fd, &rx, sizeof(rx)) && told(&sides[1], result, 'l') &&
	       write_all(sides[0].fd, &tx, sizeof(tx)) && told(&sides[0], result, 'd') &&
	       told(&sides[1], result, 'd') && result->ns;
}

static void add_counts(struct counts *sum, const struct counts *a, const struct counts *b)
{
	sum->frames += b->frames - a->frames;
	sum->kernel_copies += b->kernel_copies - a->kernel_copies;
	sum->own_copies += b->own_copies - a->own_copies;
	sum->syscalls += b->syscalls - a->syscalls;
	sum->dropped += b->dropped - a->dropped;
	sum->cpu += b->cpu - a->cpu;
}

static bool measure(struct side *sides, struct row *row, unsigned int round, unsigned int ms)
{
	struct counts before[2], after[2];
	struct report result;

	for (int i = 0; i < 2; i++)
		if (!get_counts(&sides[i], &before[i]))
			return false;
	if (!one_round(sides, ms, &result))
		return false;
	for (int i = 0; i < 2; i++) {
		if (!get_counts(&sides[i], &after[i]))
			return false;
		add_counts(&row->sum, &before[i], &after[i]);
	}
	row->bytes += result.bytes;
	row->mbps[round] = (double)result.bytes * 8e3 / (double)result.ns;
	return true;
}

/* All variants of one model are alive at once and take turns, so that noise meets all. */
static bool compare(const struct options *o, const char *model, struct row *rows)
{
	struct side sides[VARIANTS][2] = {0};
	bool ok = true;

	for (unsigned int v = 0; v < VARIANTS && ok; v++) {
		struct report ignored;

		rows[v].model = model;
		rows[v].variant = &variants[v];
		/* The first round ends when the card has begun to receive; it does not count. */
		ok = start_pair(sides[v], model, variants[v].options) &&
		     one_round(sides[v], 100, &ignored);
	}
	for (unsigned int r = 0; r < o->rounds && ok; r++)
		for (unsigned int v = 0; v < VARIANTS && ok; v++)
			ok = measure(sides[v], &rows[v], r, o->ms);
	for (unsigned int v = 0; v < VARIANTS; v++) {
		for (int i = 0; i < 2; i++)
			stop_side(&sides[v][i]);
		sort_values(rows[v].mbps, o->rounds);
		rows[v].median = median(rows[v].mbps, o->rounds);
		rows[v].ratio = rows[0].median ? rows[v].median / rows[0].median : 0;
	}
	if (!ok)
		fprintf(stderr, "outboard-bench-tap: %s: no TCP connection through the cards\n",
			model);
	return ok;
}

/* ---- results ---------------------------------------------------------------------------------- */

/* One for each 1,448 bytes that arrived. */
static double per_segment(const struct row *r, uint64_t n)
{
	return r->bytes ? (double)n * SEGMENT / (double)r->bytes : 0;
}

static double cpu_per_gib(const struct row *r)
{
	return r->bytes ? r->sum.cpu * (1 << 30) / (double)r->bytes : 0;
}

static void print_rows(const struct row *rows, unsigned int n)
{
	printf("TCP between two cards, one way; counts of both drivers for each segment of %d bytes\n\n",
	       SEGMENT);
	printf("%-14s %-19s %8s %6s %9s %9s %9s %9s\n", "model", "offloads of the tap", "Mb/s",
	       "ratio", "syscalls", "copies by", "own", "CPU s");
	printf("%-14s %-19s %8s %6s %9s %9s %9s %9s\n", "", "", "", "", "", "kernel", "copies",
	       "per GiB");
	for (unsigned int i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		printf("%-14s %-19s %8.0f %6.2f %9.3f %9.3f %9.3f %9.2f\n", r->model,
		       r->variant->name, r->median, r->ratio, per_segment(r, r->sum.syscalls),
		       per_segment(r, r->sum.kernel_copies), per_segment(r, r->sum.own_copies),
		       cpu_per_gib(r));
	}
	printf("\nA copy moves a whole frame: one of 64 KiB counts once, for some 45 segments. CPU is that of\n"
	       "the two driver processes, without QEMU's and the kernel's for the program's sockets.\n");
}

static int write_json(const struct options *o, const struct row *rows, unsigned int n)
{
	FILE *f = open_json(o->json);

	if (!f)
		return 1;
	fprintf(f,
		"{\"bench\":\"tap\",\"what\":\"TCP one way between two cards attached as taps\","
		"\"rounds\":%u,\"round_ms\":%u,\"segment\":%d,\"rows\":[",
		o->rounds, o->ms, SEGMENT);
	for (unsigned int i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		fprintf(f,
			"%s{\"model\":\"%s\",\"offloads\":\"%s\",\"options\":\"%s\",\"mbps\":%.1f,"
			"\"mbps_min\":%.1f,\"mbps_max\":%.1f,\"ratio\":%.3f,\"bytes\":%" PRIu64
			",\"frames\":%" PRIu64 ",\"syscalls_per_segment\":%.4f,"
			"\"kernel_copies_per_segment\":%.4f,\"own_copies_per_segment\":%.4f,"
			"\"kernel_copies_per_frame\":%.4f,\"dropped\":%" PRIu64
			",\"cpu_s_per_gib\":%.3f}",
			i ? "," : "", r->model, r->variant->name, r->variant->options, r->median,
			r->mbps[0], r->mbps[o->rounds - 1], r->ratio, r->bytes, r->sum.frames,
			per_segment(r, r->sum.syscalls), per_segment(r, r->sum.kernel_copies),
			per_segment(r, r->sum.own_copies),
			r->sum.frames ? (double)r->sum.kernel_copies / (double)r->sum.frames : 0,
			r->sum.dropped, cpu_per_gib(r));
	}
	fprintf(f, "]}\n");
	return close_json(f, o->json);
}

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-tap [--json FILE|-] [--quick] [--rounds N] [--ms N] [--model MODEL]\n"
		"  --json FILE    also write the figures as JSON (-: instead of the table)\n"
		"  --quick        at most 2 rounds of 100 ms: a look, not a measurement\n"
		"  --rounds N     rounds of each variant, in turn (default 7)\n"
		"  --ms N         length of a round (default 500)\n"
		"  --model MODEL  e1000e or e1000-82545em (default both)\n"
		"Needs /dev/net/tun, and root or user namespaces.\n");
}

int main(int argc, char **argv)
{
	static struct row rows[2 * VARIANTS];
	struct options o = {.rounds = 7, .ms = 500};
	const struct argument arguments[] = {
		{"json", ARGUMENT_TEXT, &o.json},	{"quick", ARGUMENT_FLAG, &o.quick},
		{"rounds", ARGUMENT_NUMBER, &o.rounds}, {"ms", ARGUMENT_NUMBER, &o.ms},
		{"model", ARGUMENT_TEXT, &o.model},	{0},
	};
	unsigned int n = 0;
	int rc = read_arguments(argc, argv, arguments, usage);

	if (rc >= 0)
		return rc;
	if (o.quick && o.rounds > ROUNDS_QUICK)
		o.rounds = ROUNDS_QUICK;
	if (o.quick && o.ms > ROUNDS_QUICK_MS)
		o.ms = ROUNDS_QUICK_MS;
	if (!o.rounds || o.rounds > ROUNDS_MAX || !o.ms) {
		usage(stderr);
		return 2;
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (o.model && strcmp(o.model, models[i]))
			continue;
		if (!compare(&o, models[i], &rows[n]))
			return 1;
		n += VARIANTS;
	}
	if (!n) {
		fprintf(stderr, "outboard-bench-tap: no model \"%s\": e1000e or e1000-82545em\n",
			o.model);
		return 2;
	}
	if (wants_table(o.json))
		print_rows(rows, n);
	return o.json ? write_json(&o, rows, n) : 0;
}
