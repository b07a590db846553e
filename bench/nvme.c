/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-nvme: 4 KiB reads at random places through Outboard, against a bare loop on the same
 * device model (nvme_floor.c) in the same run, alternating. With --instructions it does only Outboard's
 * part, for callgrind to count (bench/nvme_instructions.sh).
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#define RUNNING_ON_VALGRIND 0
#endif

#include <outboard/outboard.h>

#include "bench/nvme_floor.h"

enum {
	BLOCK = 4096,
	DEPTH_MAX = 64,
	ROUNDS_MAX = 99,
};

#define DISK_SIZE (4ull << 30)

struct options {
	const char *qemu;
	const char *json;
	const char *spec;
	unsigned int rounds;
	unsigned int ms;
	unsigned int instructions;
	unsigned int depth;
	bool two_cpus;
};

struct disk {
	struct ob_device *dev;
	struct ob_binding *binding;
	struct ob_block *blk;
	struct ob_block_req req[DEPTH_MAX];
	char *data;
	uint64_t seed;
};

struct counts {
	uint64_t requests, doorbells, syscalls, ns;
};

static const unsigned int depths[] = {1, 16, 64};
#define DEPTHS (sizeof(depths) / sizeof(depths[0]))

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- Outboard's side ------------------------------------------------------------- */

static int fail(const struct ob_error *err)
{
	char text[1200];

	fprintf(stderr, "outboard-bench-nvme: %s\n", ob_error_text(err, text, sizeof(text)));
	return 1;
}

static int disk_open(struct disk *d, const char *spec, unsigned int depth)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .queues = 1, .depth = depth};
	struct ob_error err = {0};

	memset(d, 0, sizeof(*d));
	if (ob_device_open(spec, &d->dev, &err))
		return fail(&err);
	if (ob_driver_bind(d->dev, NULL, &config, &d->binding, &err))
		return fail(&err);
	d->blk = d->binding->block[0];
	if (ob_block_start(d->blk, &err))
		return fail(&err);
	d->data =
		ob_dma_alloc(ob_device_dma(d->dev), (size_t)DEPTH_MAX * BLOCK, BLOCK, "data", NULL);
	if (!d->data) {
		fprintf(stderr, "outboard-bench-nvme: no DMA memory\n");
		return 1;
	}
	d->seed = 0x9e3779b97f4a7c15ull;
	return 0;
}

static void disk_close(struct disk *d)
{
	if (d->data)
		ob_dma_free(ob_device_dma(d->dev), d->data);
	ob_driver_unbind(d->binding);
	ob_device_close(d->dev);
}

static inline void prepare(struct disk *d, struct ob_block_req *req)
{
	uint64_t blocks = d->blk->limits.size / BLOCK;

	/* As the floor does it. */
	d->seed ^= d->seed << 13;
	d->seed ^= d->seed >> 7;
	d->seed ^= d->seed << 17;
	req->op = OB_BLOCK_READ;
	req->len = BLOCK;
	req->buf = d->data + (size_t)(req - d->req) * BLOCK;
	req->offset = (uint64_t)((unsigned __int128)d->seed * blocks >> 64) * BLOCK;
}

static bool disk_run(struct disk *d, unsigned int depth, uint64_t ns, bool yield,
		     struct counts *counts)
{
	struct ob_block_req *reqs[DEPTH_MAX];
	struct ob_block_stats before, after;
	struct ob_access_stats access_before, access_after;
	uint64_t start, end, now, last_tick;
	unsigned int flying, rounds = 0;

	*counts = (struct counts){0};
	ob_block_stats(d->blk, &before);
	ob_device_stats(d->dev, &access_before);
	start = now = last_tick = now_ns();
	end = start + ns;
	for (unsigned int i = 0; i < depth; i++) {
		prepare(d, &d->req[i]);
		reqs[i] = &d->req[i];
	}
	flying = ob_block_submit(d->blk, 0, reqs, depth);
	while (flying) {
		unsigned int n = ob_block_complete(d->blk, 0, reqs, depth);

		if (n) {
			for (unsigned int i = 0; i < n; i++)
				if (reqs[i]->status)
					return false;
			counts->requests += n;
			flying -= n;
			if (now < end) {
				for (unsigned int i = 0; i < n; i++)
					prepare(d, reqs[i]);
				flying += ob_block_submit(d->blk, 0, reqs, n);
			}
		} else if (yield) {
			sched_yield();
		}
		if (!(++rounds & 15) || !n)
			now = now_ns();
		if (now - last_tick > 100000000u) {
			last_tick = now;
			d->blk->ops->tick(d->blk, now);
		}
	}
	counts->ns = now_ns() - start;
	ob_block_stats(d->blk, &after);
	ob_device_stats(d->dev, &access_after);
	counts->doorbells = after.doorbells - before.doorbells;
	counts->syscalls = access_after.syscalls - access_before.syscalls;
	return true;
}

/* ---- comparison ------------------------------------------------------------------ */

struct row {
	unsigned int depth;
	double own[ROUNDS_MAX], isolated[ROUNDS_MAX], floor[ROUNDS_MAX], ratio[ROUNDS_MAX];
	struct counts own_sum;
	struct floor_counts floor_sum;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned int n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), by_value);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double per(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static void print_rows(const struct options *o, const struct row *rows)
{
	printf("4 KiB reads, polled, %u rounds of %u ms each, alternating; device model and driver on %s\n",
	       o->rounds, o->ms, o->two_cpus ? "two processors" : "one processor");
	printf("%5s  %14s  %14s  %6s  %14s  %11s  %11s\n", "depth", "Outboard IOPS",
	       "bare loop IOPS", "ratio", "with IOMMU", "doorbells", "syscalls");
	printf("%5s  %14s  %14s  %6s  %14s  %11s  %11s\n", "", "", "", "", "IOPS", "per request",
	       "per request");
	for (unsigned int i = 0; i < DEPTHS; i++) {
		const struct row *r = &rows[i];

		printf("%5u  %14.0f  %14.0f  %6.3f  %14.0f  %5.3f/%5.3f  %5.3f/%5.3f\n", r->depth,
		       median(r->own, o->rounds), median(r->floor, o->rounds),
		       median(r->ratio, o->rounds), median(r->isolated, o->rounds),
		       per(r->own_sum.doorbells, r->own_sum.requests),
		       per(r->floor_sum.doorbells, r->floor_sum.requests),
		       per(r->own_sum.syscalls, r->own_sum.requests),
		       per(r->floor_sum.syscalls, r->floor_sum.requests));
	}
	printf("(medians; ratio: median of each round's; doorbells and system calls: Outboard/bare loop, the\n"
	       "system calls are the device model's messages. IOMMU: Outboard with the VT-d model on.)\n");
}

static int write_json(const struct options *o, const struct row *rows)
{
	FILE *f = !strcmp(o->json, "-") ? stdout : fopen(o->json, "we");

	if (!f) {
		fprintf(stderr, "outboard-bench-nvme: %s: %s\n", o->json, strerror(errno));
		return 1;
	}
	fprintf(f,
		"{\"bench\":\"nvme\",\"what\":\"4 KiB random reads, polled\",\"rounds\":%u,"
		"\"round_ms\":%u,\"processors\":%d,\"rows\":[",
		o->rounds, o->ms, o->two_cpus ? 2 : 1);
	for (unsigned int i = 0; i < DEPTHS; i++) {
		const struct row *r = &rows[i];

		fprintf(f,
			"%s{\"depth\":%u,\"outboard_iops\":%.0f,\"floor_iops\":%.0f,\"ratio\":%.4f,"
			"\"outboard_iommu_iops\":%.0f,\"doorbells_per_request\":%.4f,"
			"\"floor_doorbells_per_request\":%.4f,\"syscalls_per_request\":%.4f,"
			"\"floor_syscalls_per_request\":%.4f}",
			i ? "," : "", r->depth, median(r->own, o->rounds),
			median(r->floor, o->rounds), median(r->ratio, o->rounds),
			median(r->isolated, o->rounds),
			per(r->own_sum.doorbells, r->own_sum.requests),
			per(r->floor_sum.doorbells, r->floor_sum.requests),
			per(r->own_sum.syscalls, r->own_sum.requests),
			per(r->floor_sum.syscalls, r->floor_sum.requests));
	}
	fprintf(f, "]}\n");
	if (f != stdout)
		fclose(f);
	return 0;
}

static bool one_round(struct row *r, unsigned int round, struct disk *plain, struct disk *isolated,
		      struct floor *f, const struct options *o)
{
	uint64_t ns = o->ms * 1000000ull, floor_ns;
	bool yield = !o->two_cpus;
	struct counts own, with_iommu;
	struct floor_counts bare;

	if (!disk_run(plain, r->depth, ns, yield, &own))
		return false;
	floor_ns = floor_run(f, r->depth, ns, yield, &bare);
	if (!floor_ns || !disk_run(isolated, r->depth, ns, yield, &with_iommu))
		return false;
	r->own[round] = (double)own.requests * 1e9 / (double)own.ns;
	r->floor[round] = (double)bare.requests * 1e9 / (double)floor_ns;
	r->isolated[round] = (double)with_iommu.requests * 1e9 / (double)with_iommu.ns;
	r->ratio[round] = r->own[round] / r->floor[round];
	r->own_sum.requests += own.requests;
	r->own_sum.doorbells += own.doorbells;
	r->own_sum.syscalls += own.syscalls;
	r->floor_sum.requests += bare.requests;
	r->floor_sum.doorbells += bare.doorbells;
	r->floor_sum.syscalls += bare.syscalls;
	return true;
}

static int compare(const struct options *o)
{
	static struct row rows[DEPTHS];
	struct disk plain = {0}, isolated = {0};
	struct floor *f = NULL;
	struct row warm_up;
	char why[160] = "", spec[256];
	int rc;

	snprintf(spec, sizeof(spec), "qemu:nvme,null=%llu,iommu=off,qemu=%s",
		 (unsigned long long)DISK_SIZE, o->qemu);
	rc = disk_open(&plain, spec, DEPTH_MAX);
	snprintf(spec, sizeof(spec), "qemu:nvme,null=%llu,iommu=on,qemu=%s",
		 (unsigned long long)DISK_SIZE, o->qemu);
	if (!rc)
		rc = disk_open(&isolated, spec, DEPTH_MAX);
	if (!rc) {
		f = floor_open(o->qemu, DISK_SIZE, why, sizeof(why));
		if (!f) {
			fprintf(stderr, "outboard-bench-nvme: %s\n", why);
			rc = 1;
		}
	}
	for (unsigned int i = 0; i < DEPTHS && !rc; i++) {
		memset(&warm_up, 0, sizeof(warm_up));
		warm_up.depth = rows[i].depth = depths[i];
		if (!one_round(&warm_up, 0, &plain, &isolated, f, o))
			rc = 1;
		for (unsigned int r = 0; r < o->rounds && !rc; r++)
			if (!one_round(&rows[i], r, &plain, &isolated, f, o))
				rc = 1;
		if (rc)
			fprintf(stderr, "outboard-bench-nvme: a device failed\n");
	}
	floor_close(f);
	disk_close(&isolated);
	disk_close(&plain);
	if (rc)
		return rc;
	if (!o->json || strcmp(o->json, "-"))
		print_rows(o, rows);
	return o->json ? write_json(o, rows) : 0;
}

/* ---- for callgrind --------------------------------------------------------------- */

/*
 * Collection is on in the two class calls alone, with what they call: class, driver, and the message that
 * is a doorbell here. A burst is complete before it is collected, so that each is one call of either.
 */
static int count_instructions(const struct options *o)
{
	struct ob_block_req *reqs[DEPTH_MAX];
	struct ob_block_stats stats;
	unsigned int done = 0, completes = 0;
	struct disk d = {0};
	char spec[256];
	int rc;

	if (!RUNNING_ON_VALGRIND) {
		fprintf(stderr, "outboard-bench-nvme: --instructions counts nothing by itself; run "
				"bench/nvme_instructions.sh\n");
		return 1;
	}
	snprintf(spec, sizeof(spec), "qemu:nvme,null=%llu,qemu=%s", (unsigned long long)DISK_SIZE,
		 o->qemu);
	rc = disk_open(&d, o->spec ? o->spec : spec, DEPTH_MAX);
	for (unsigned int burst = 0; burst < o->instructions && !rc; burst++) {
		unsigned int n = 0, flying;

		for (unsigned int i = 0; i < o->depth; i++) {
			prepare(&d, &d.req[i]);
			reqs[i] = &d.req[i];
		}
		CALLGRIND_TOGGLE_COLLECT;
		flying = ob_block_submit(d.blk, 0, reqs, o->depth);
		CALLGRIND_TOGGLE_COLLECT;
		while (flying) {
			usleep(2000);
			CALLGRIND_TOGGLE_COLLECT;
			n = ob_block_complete(d.blk, 0, reqs, o->depth);
			CALLGRIND_TOGGLE_COLLECT;
			completes++;
			for (unsigned int i = 0; i < n; i++)
				if (reqs[i]->status)
					rc = 1;
			flying -= n;
			done += n;
		}
	}
	if (!rc) {
		ob_block_stats(d.blk, &stats);
		printf("requests %u depth %u submit_calls %u complete_calls %u doorbells %llu\n",
		       done, o->depth, o->instructions, completes,
		       (unsigned long long)stats.doorbells);
	}
	disk_close(&d);
	return rc;
}

/* ---- main ------------------------------------------------------------------------ */

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-nvme [--json FILE|-] [--rounds N] [--ms N] [--qemu PATH]\n"
		"                           [--two-cpus]\n"
		"       outboard-bench-nvme --instructions BURSTS [--depth N] [--spec SPEC]\n"
		"  --json FILE       also write the figures as JSON (-: instead of the table)\n"
		"  --rounds N        rounds per depth and side (default 9)\n"
		"  --ms N            length of a round (default 150)\n"
		"  --two-cpus        do not keep driver and device model on one processor\n"
		"  --instructions N  under callgrind: count N bursts of Outboard's own code\n");
}

/* Device models are children and inherit this: alternating sides then meet the same conditions. */
static void use_one_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"json", required_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'},
		{"ms", required_argument, NULL, 'm'},
		{"qemu", required_argument, NULL, 'q'},
		{"two-cpus", no_argument, NULL, '2'},
		{"instructions", required_argument, NULL, 'i'},
		{"depth", required_argument, NULL, 'd'},
		{"spec", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options o = {.qemu = "qemu-system-x86_64", .rounds = 9, .ms = 150, .depth = 32};
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case 'j':
			o.json = optarg;
			break;
		case 'r':
			o.rounds = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			o.ms = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			o.qemu = optarg;
			break;
		case '2':
			o.two_cpus = true;
			break;
		case 'i':
			o.instructions = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			o.depth = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o.spec = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc || !o.rounds || o.rounds > ROUNDS_MAX || !o.ms || !o.depth ||
	    o.depth > DEPTH_MAX) {
		usage(stderr);
		return 2;
	}
	if (o.instructions)
		return count_instructions(&o);
	if (!o.two_cpus)
		use_one_cpu();
	return compare(&o);
}
