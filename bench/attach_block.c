/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-attach_block: what it costs to give a disk back to the system, by attachment. fio is the client of
 * NVMe disks that read zeroes (null=); beside it the same requests through class/block in this process, with no
 * attachment and no client. Copies, system calls and sleeps per request are counted, not timed.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "bench/program.h"

enum {
	DEPTH_MAX = 64,
	ROUNDS_MAX = 31,
};

struct load {
	const char *name, *rw, *bs;
	unsigned int len;
	bool write;
};

static const struct load loads[] = {
	{"read 4 KiB", "randread", "4k", 4096, false},
	{"write 4 KiB", "randwrite", "4k", 4096, true},
	{"read 128 KiB", "randread", "128k", 131072, false},
	{"write 128 KiB", "randwrite", "128k", 131072, true},
};
#define LOADS (sizeof(loads) / sizeof(loads[0]))

/* "%s": a folder of our own. The first is what all others are divided by. */
static const struct way {
	const char *name, *attachment;
} ways[] = {
	{"none", NULL},
	{"nbd, UNIX socket", "nbd,socket=%s/nbd.sock"},
	{"nbd, TCP", "nbd"},
	{"file (fuse)", "fuse,mountpoint=%s/mnt"},
	{"/dev/loopN (loop)", "loop"},
	{"/dev/vdX (vduse-blk)", "vduse-blk"},
	{"/dev/nbdN (nbd-kernel)", "nbd-kernel"},
	{"/dev/ublkbN (ublk)", "ublk"},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

struct options {
	const char *json, *spec;
	unsigned int rounds, seconds, depth;
	bool quick;
};

struct sample {
	struct ob_attach_stats at;
	struct ob_loop_stats loop;
	struct ob_access_stats dev;
	double cpu;
};

struct served {
	const struct way *way;
	struct ob_device *dev;
	struct ob_binding *b;
	struct ob_loop *loop;
	struct ob_attach *at;
	struct ob_attach_info info;
	pthread_t thread;
	bool running;
};

/* Sums over all rounds; @done: requests that came to us. */
struct result {
	double iops[ROUNDS_MAX], ratio[ROUNDS_MAX];
	double done, kernel_copies, own_copies, attach_calls, device_calls, sleeps, cpu;
};

/* ---- a disk and its attachment ------------------------------------------------------ */

static void *run_loop(void *loop)
{
	ob_loop_run(loop);
	return NULL;
}

static void stop(struct served *s)
{
	if (s->running) {
		ob_attach_unpublish(s->at, true, NULL);
		ob_loop_stop(s->loop);
		pthread_join(s->thread, NULL);
	}
	ob_attach_close(s->at);
	ob_loop_destroy(s->loop);
	ob_driver_unbind(s->b);
	ob_device_close(s->dev);
	memset(s, 0, sizeof(*s));
}

static int serve_loop(struct served *s, const char *text, struct ob_error *err)
{
	int rc = ob_loop_create(OB_MODE_ADAPTIVE, &s->loop);

	if (!rc)
		rc = ob_attach_open(s->b, 0, text, s->loop, &s->at, err);
	if (rc)
		return rc;
	rc = -pthread_create(&s->thread, NULL, run_loop, s->loop);
	if (rc)
		return ob_error_set(err, rc, "no thread for %s", text);
	s->running = true;
	rc = ob_attach_publish(s->at, err);
	if (!rc)
		s->at->ops->info(s->at, &s->info);
	return rc;
}

/* False, and told, where this system or this user cannot do it. */
static bool serve(struct served *s, const struct way *way, const struct options *o, const char *dir)
{
	struct ob_driver_config poll = {.mode = OB_MODE_POLL};
	struct ob_error err = {0};
	char text[128];
	int rc = ob_device_open(o->spec, &s->dev, &err);

	s->way = way;
	if (!rc)
		rc = ob_driver_bind(s->dev, NULL, way->attachment ? NULL : &poll, &s->b, &err);
	if (!rc && !way->attachment)
		rc = ob_block_start(s->b->block[0], &err);
	if (!rc && way->attachment) {
		snprintf(text, sizeof(text), way->attachment, dir);
		rc = serve_loop(s, text, &err);
	}
	if (!rc)
		return true;
	complain(&err);
	stop(s);
	return false;
}

/* ---- loads ---------------------------------------------------------------------------- */

/* What fio does, in this process: a closed loop at random places. */
struct closed_loop {
	struct ob_block *blk;
	const struct load *load;
	struct ob_block_req req[DEPTH_MAX], *idle[DEPTH_MAX];
	unsigned int nr_idle, depth;
	uint64_t seed, done;
	bool failed;
};

static void submit_idle(struct closed_loop *c)
{
	unsigned int taken;

	for (unsigned int i = 0; i < c->nr_idle; i++) {
		/* xorshift64: Marsaglia, "Xorshift RNGs", 2003. */
		c->seed ^= c->seed << 13;
		c->seed ^= c->seed >> 7;
		c->seed ^= c->seed << 17;
		c->idle[i]->offset = c->seed % (c->blk->limits.size / c->load->len) * c->load->len;
	}
	taken = ob_block_submit(c->blk, 0, c->idle, c->nr_idle);
	c->nr_idle -= taken;
	memmove(c->idle, c->idle + taken, c->nr_idle * sizeof(c->idle[0]));
}

static unsigned int collect(struct closed_loop *c)
{
	struct ob_block_req **to = c->idle + c->nr_idle;
	unsigned int n = ob_block_complete(c->blk, 0, to, c->depth - c->nr_idle);

	for (unsigned int i = 0; i < n; i++)
		c->failed |= to[i]->status != 0;
	c->nr_idle += n;
	c->done += n;
	return n;
}

/* Return: requests in a second; -1 when one failed. */
static double run_here(struct served *s, const struct load *l, const struct options *o,
		       uint64_t *done)
{
	uint64_t start = ob_clock_ns(), now = start, tick = start;
	uint64_t end = start + o->seconds * 1000000000ull;
	struct closed_loop c = {.blk = s->b->block[0], .load = l, .seed = 88172645463325252ull};
	char *data;

	c.depth = o->depth < c.blk->limits.depth ? o->depth : c.blk->limits.depth;
	data = ob_dma_alloc(c.blk->dma, (size_t)c.depth * l->len, 4096, "bench", NULL);
	if (!data)
		return -1;
	for (c.nr_idle = 0; c.nr_idle < c.depth; c.nr_idle++) {
		struct ob_block_req *req = &c.req[c.nr_idle];

		req->op = l->write ? OB_BLOCK_WRITE : OB_BLOCK_READ;
		req->len = l->len;
		req->buf = data + (size_t)c.nr_idle * l->len;
		c.idle[c.nr_idle] = req;
	}
	while (!c.failed && (now < end || c.nr_idle < c.depth)) {
		if (c.nr_idle && now < end)
			submit_idle(&c);
		/* The device model may be on this processor. */
		if (!collect(&c))
			sched_yield();
		now = ob_clock_ns();
		if (now - tick > 100000000u) {
			tick = now;
			c.blk->ops->tick(c.blk, now);
			c.failed |= ob_device_gone(s->dev);
		}
	}
	/* In flight when one failed: the device still writes there until it is stopped, at the end. */
	if (!c.failed)
		ob_dma_free(c.blk->dma, data);
	*done = c.done;
	return c.failed ? -1 : (double)c.done * 1e9 / (double)(now - start);
}

/* fio's terse output, version 3: the 8th field is IOPS of reads, the 49th of writes (fio(1)). */
static double run_fio(const struct served *s, const struct load *l, const struct options *o)
{
	bool nbd = !strcmp(s->info.kind, "nbd");
	char command[1024], line[4096];
	double iops = -1;
	FILE *f;

	snprintf(command, sizeof(command),
		 "fio --name=load --minimal --terse-version=3 --rw=%s --bs=%s --iodepth=%u "
		 "--size=%llu --time_based --runtime=%u %s'%s' 2>&1",
		 l->rw, l->bs, o->depth, (unsigned long long)s->b->block[0]->limits.size,
		 o->seconds,
		 nbd ? "--ioengine=nbd --uri=" : "--ioengine=libaio --direct=1 --filename=",
		 s->info.name);
	f = popen(command, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		char *field = line;

		if (strncmp(line, "3;", 2) != 0) {
			if (!strstr(line, "connected to NBD server"))
				fputs(line, stderr);
			continue;
		}
		for (unsigned int i = 1; field && i < (l->write ? 49 : 8); i++)
			field = strchr(field, ';') ? strchr(field, ';') + 1 : NULL;
		if (field)
			iops = atof(field);
	}
	return pclose(f) ? -1 : iops;
}

/* ---- figures ---------------------------------------------------------------------------- */

static void take_sample(const struct served *s, struct sample *sample)
{
	struct timespec ts = {0};
	clockid_t clock = CLOCK_THREAD_CPUTIME_ID;

	memset(sample, 0, sizeof(*sample));
	ob_device_stats(s->dev, &sample->dev);
	if (s->at) {
		s->at->ops->stats(s->at, &sample->at);
		ob_loop_stats(s->loop, &sample->loop);
		pthread_getcpuclockid(s->thread, &clock);
	}
	clock_gettime(clock, &ts);
	sample->cpu = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool measure(struct served *s, const struct load *l, const struct options *o,
		    unsigned int round, struct result *r)
{
	struct sample a, b;
	uint64_t done = 0;

	take_sample(s, &a);
	r->iops[round] = s->at ? run_fio(s, l, o) : run_here(s, l, o, &done);
	take_sample(s, &b);
	if (s->at)
		done = b.at.requests_in + b.at.requests_out - a.at.requests_in - a.at.requests_out;
	if (r->iops[round] <= 0 || !done) {
		fprintf(stderr, "outboard-bench-attach_block: %s: %s failed\n", s->way->name,
			s->at ? "fio" : "a request");
		return false;
	}
	r->done += (double)done;
	r->kernel_copies += (double)(b.at.kernel_copies - a.at.kernel_copies);
	r->own_copies += (double)(b.at.own_copies - a.at.own_copies);
	r->attach_calls += (double)(b.at.syscalls - a.at.syscalls);
	r->device_calls += (double)(b.dev.syscalls - a.dev.syscalls);
	r->sleeps += (double)(b.loop.sleeps - a.loop.sleeps);
	r->cpu += b.cpu - a.cpu;
	return true;
}

static void print_rows(const struct options *o, struct served *served,
		       struct result results[WAYS][LOADS])
{
	printf("%s, %u requests in flight, %u rounds of %u s each in turn; per request: copies of its payload by\n"
	       "the kernel and by us, system calls for the attachment and to the device model, sleeps, and processor\n"
	       "time of the thread that serves\n\n",
	       o->spec, o->depth, o->rounds, o->seconds);
	printf("%-22s %-13s %8s %6s %7s %5s %10s %7s %7s %7s\n", "attachment", "load", "IOPS",
	       "ratio", "kernel", "own", "attachment", "device", "sleeps", "us");
	for (unsigned int w = 0; w < WAYS; w++) {
		for (unsigned int l = 0; served[w].way && l < LOADS; l++) {
			const struct result *r = &results[w][l];

			printf("%-22s %-13s %8.0f %6.2f %7.2f %5.2f %10.2f %7.2f %7.3f %7.2f\n",
			       ways[w].name, loads[l].name, median(r->iops, o->rounds),
			       median(r->ratio, o->rounds), r->kernel_copies / r->done,
			       r->own_copies / r->done, r->attach_calls / r->done,
			       r->device_calls / r->done, r->sleeps / r->done,
			       r->cpu * 1e6 / r->done);
		}
	}
	printf("\n\"none\": the same requests through class/block in this process, polled, which is what a ratio is of.\n"
	       "Its processor time includes waiting for the device model.\n");
}

static int write_json(const struct options *o, struct served *served,
		      struct result results[WAYS][LOADS])
{
	FILE *f = open_json(o->json);
	bool first = true;

	if (!f)
		return 1;
	fprintf(f,
		"{\"bench\":\"attach_block\",\"spec\":\"%s\",\"depth\":%u,\"rounds\":%u,"
		"\"round_s\":%u,\"rows\":[",
		o->spec, o->depth, o->rounds, o->seconds);
	for (unsigned int w = 0; w < WAYS; w++) {
		for (unsigned int l = 0; served[w].way && l < LOADS; l++) {
			const struct result *r = &results[w][l];

			fprintf(f,
				"%s\n{\"attachment\":\"%s\",\"load\":\"%s\",\"iops\":%.0f,"
				"\"ratio\":%.4f,\"kernel_copies\":%.3f,\"own_copies\":%.3f,"
				"\"attachment_syscalls\":%.3f,\"device_syscalls\":%.3f,"
				"\"sleeps\":%.4f,\"cpu_us\":%.3f}",
				first ? "" : ",", ways[w].name, loads[l].name,
				median(r->iops, o->rounds), median(r->ratio, o->rounds),
				r->kernel_copies / r->done, r->own_copies / r->done,
				r->attach_calls / r->done, r->device_calls / r->done,
				r->sleeps / r->done, r->cpu * 1e6 / r->done);
			first = false;
		}
	}
	fprintf(f, "\n]}\n");
	return close_json(f, o->json);
}

/* ---- main ------------------------------------------------------------------------------- */

static bool measure_one(struct served *served, unsigned int w, unsigned int l, unsigned int r,
			const struct options *o, struct result results[WAYS][LOADS])
{
	struct result *result = &results[w][l];

	if (!served[w].way || !measure(&served[w], &loads[l], o, r, result))
		return !served[w].way;
	result->ratio[r] = result->iops[r] / results[0][l].iops[r];
	return true;
}

/* All are alive at once, each with a device of its own, and take turns, so that noise meets all. */
static bool side_by_side(struct served *served, const struct options *o, const char *dir,
			 struct result results[WAYS][LOADS])
{
	unsigned int attached = 0;
	bool ok = serve(&served[0], &ways[0], o, dir);

	for (unsigned int w = 1; w < WAYS && ok; w++)
		attached += serve(&served[w], &ways[w], o, dir);
	ok = ok && attached;
	for (unsigned int l = 0; l < LOADS && ok; l++)
		for (unsigned int r = 0; r < o->rounds && ok; r++)
			for (unsigned int w = 0; w < WAYS && ok; w++)
				ok = measure_one(served, w, l, r, o, results);
	for (unsigned int w = 0; w < WAYS; w++) {
		const struct way *way = served[w].way;

		stop(&served[w]);
		served[w].way = way; /* it has results */
	}
	return ok;
}

/* A device that there is once: one after the other. */
static bool one_by_one(struct served *served, const struct options *o, const char *dir,
		       struct result results[WAYS][LOADS])
{
	bool ok = true;

	for (unsigned int w = 0; w < WAYS && ok; w++) {
		const struct way *way = serve(&served[w], &ways[w], o, dir) ? &ways[w] : NULL;

		if (!w && !way)
			return false;
		for (unsigned int l = 0; l < LOADS && way && ok; l++)
			for (unsigned int r = 0; r < o->rounds && ok; r++)
				ok = measure_one(served, w, l, r, o, results);
		if (way)
			stop(&served[w]);
		served[w].way = way;
	}
	return ok;
}

static int compare(const struct options *o, bool one_device, const char *dir)
{
	static struct result results[WAYS][LOADS];
	static struct served served[WAYS];
	bool ok;

	ok = one_device ? one_by_one(served, o, dir, results)
			: side_by_side(served, o, dir, results);
	if (ok && wants_table(o->json))
		print_rows(o, served, results);
	if (ok && o->json)
		ok = !write_json(o, served, results);
	return !ok;
}

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-attach_block [--json FILE|-] [--quick] [--rounds N] [--seconds N]\n"
		"                                   [--depth N] [--spec SPEC]\n"
		"  --json FILE  also write the figures as JSON (-: instead of the table)\n"
		"  --quick      one round of a second: a look, not a measurement\n"
		"  --rounds N   rounds of each load and attachment, in turn (default 3)\n"
		"  --seconds N  length of a round (default 2)\n"
		"  --depth N    requests in flight, at most 64 (default 32)\n"
		"  --spec SPEC  of a disk that there is once, as vfio:0000:00:05.0, which is written to: the\n"
		"               attachments one after the other\n"
		"Needs fio. What this system or user cannot attach is said and left out; a /dev/loopN needs root.\n");
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 3, .seconds = 2, .depth = 32};
	bool one_device;
	const struct argument arguments[] = {
		{"json", ARGUMENT_TEXT, &o.json},
		{"quick", ARGUMENT_FLAG, &o.quick},
		{"rounds", ARGUMENT_NUMBER, &o.rounds},
		{"seconds", ARGUMENT_NUMBER, &o.seconds},
		{"depth", ARGUMENT_NUMBER, &o.depth},
		{"spec", ARGUMENT_TEXT, &o.spec},
		{0},
	};
	char dir[] = "/tmp/outboard-bench-XXXXXX", mountpoint[64];
	int rc = read_arguments(argc, argv, arguments, usage);

	if (rc >= 0)
		return rc;
	if (o.quick)
		o.rounds = o.seconds = 1;
	one_device = o.spec;
	if (!one_device)
		o.spec = "qemu:nvme,null=1G";
	if (!o.rounds || o.rounds > ROUNDS_MAX || !o.seconds || !o.depth || o.depth > DEPTH_MAX) {
		usage(stderr);
		return 2;
	}
	if (system("fio --version >/dev/null 2>&1")) {
		fprintf(stderr,
			"outboard-bench-attach_block: there is no fio: apt-get install fio\n");
		return 1;
	}
	if (!mkdtemp(dir)) {
		fprintf(stderr, "outboard-bench-attach_block: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	snprintf(mountpoint, sizeof(mountpoint), "%s/mnt", dir);
	rc = mkdir(mountpoint, 0700) ? 1 : compare(&o, one_device, dir);
	rmdir(mountpoint);
	rmdir(dir);
	return rc;
}
