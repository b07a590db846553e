/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-nvme: 4 KiB reads at random places through Outboard, against a bare loop on the same
 * device model (nvme_floor.c) in the same run, alternating. With --instructions it does only Outboard's
 * part, for callgrind to count (bench/nvme_instructions.sh).
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "bench/callgrind.h"
#include "bench/nvme_floor.h"
#include "bench/rounds.h"

enum {
	BLOCK = 4096,
	DEPTH_MAX = 64,
};

#define DISK_SIZE (4ull << 30)

struct options {
	const char *qemu;
	const char *json;
	const char *spec;
	const char *driver;
	struct rounds rounds;
	unsigned int instructions;
	unsigned int depth;
};

struct disk {
	struct ob_device *dev;
	struct ob_binding *binding;
	struct ob_block *blk;
	struct ob_block_req req[DEPTH_MAX];
	char *data;
	uint64_t seed;
};

static const unsigned int depths[] = {1, 16, 64};
#define DEPTHS (sizeof(depths) / sizeof(depths[0]))

/* ---- Outboard's side ------------------------------------------------------------- */

static int disk_open(struct disk *d, const char *spec, const char *name, unsigned int depth)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .queues = 1, .depth = depth};
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};

	memset(d, 0, sizeof(*d));
	if (name && ob_driver_load(name, &driver, &err))
		return complain(&err);
	if (ob_device_open(spec, &d->dev, &err))
		return complain(&err);
	if (ob_driver_bind(d->dev, driver, &config, &d->binding, &err))
		return complain(&err);
	d->blk = d->binding->block[0];
	if (ob_block_start(d->blk, &err))
		return complain(&err);
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

static bool disk_run(void *disk, unsigned int depth, uint64_t ns, bool yield, struct counts *counts)
{
	struct disk *d = disk;
	struct ob_block_req *reqs[DEPTH_MAX];
	struct ob_block_stats before, after;
	struct ob_access_stats access_before, access_after;
	uint64_t start, end, now, last_tick;
	unsigned int flying, rounds = 0;

	*counts = (struct counts){0};
	ob_block_stats(d->blk, &before);
	ob_device_stats(d->dev, &access_before);
	start = now = last_tick = ob_clock_ns();
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
			counts->done += n;
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
			now = ob_clock_ns();
		if (now - last_tick > 100000000u) {
			last_tick = now;
			d->blk->ops->tick(d->blk, now);
		}
	}
	counts->ns = ob_clock_ns() - start;
	ob_block_stats(d->blk, &after);
	ob_device_stats(d->dev, &access_after);
	counts->doorbells = after.doorbells - before.doorbells;
	counts->syscalls = access_after.syscalls - access_before.syscalls;
	return true;
}

/* ---- comparison ------------------------------------------------------------------ */

static void print_rows(const struct options *o, const struct row *rows)
{
	printf("4 KiB reads, polled, %u rounds of %u ms each, alternating; device model and driver on %s\n",
	       o->rounds.n, o->rounds.ms, o->rounds.two_cpus ? "two processors" : "one processor");
	printf("%5s  %14s  %14s  %6s  %14s  %11s  %11s\n", "depth", "Outboard IOPS",
	       "bare loop IOPS", "ratio", "with IOMMU", "doorbells", "syscalls");
	printf("%5s  %14s  %14s  %6s  %14s  %11s  %11s\n", "", "", "", "", "IOPS", "per request",
	       "per request");
	for (unsigned int i = 0; i < DEPTHS; i++) {
		printf("%5u", rows[i].size);
		print_row_end(&rows[i], &o->rounds, 14);
	}
	printf("(medians; ratio: median of each round's; doorbells and system calls: Outboard/bare loop, the\n"
	       "system calls are the device model's messages. IOMMU: Outboard with the VT-d model on.)\n");
}

static int write_json(const struct options *o, const struct row *rows)
{
	FILE *f = open_json(o->json);

	if (!f)
		return 1;
	fprintf(f,
		"{\"bench\":\"nvme\",\"what\":\"4 KiB random reads, polled\",\"rounds\":%u,"
		"\"round_ms\":%u,\"processors\":%d,\"rows\":[",
		o->rounds.n, o->rounds.ms, o->rounds.two_cpus ? 2 : 1);
	for (unsigned int i = 0; i < DEPTHS; i++) {
		fprintf(f, "%s{\"depth\":%u,", i ? "," : "", rows[i].size);
		write_row_end(f, &rows[i], &o->rounds, "iops", "request");
	}
	fprintf(f, "]}\n");
	return close_json(f, o->json);
}

static int open_sides(const struct options *o, struct disk *plain, struct disk *isolated,
		      struct nvme_floor **f)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "qemu:nvme,null=%llu,iommu=off,qemu=%s",
		 (unsigned long long)DISK_SIZE, o->qemu);
	if (disk_open(plain, spec, NULL, DEPTH_MAX))
		return 1;
	snprintf(spec, sizeof(spec), "qemu:nvme,null=%llu,iommu=on,qemu=%s",
		 (unsigned long long)DISK_SIZE, o->qemu);
	if (disk_open(isolated, spec, NULL, DEPTH_MAX))
		return 1;
	*f = nvme_floor_open(o->qemu, DISK_SIZE);
	if (*f)
		return 0;
	fprintf(stderr, "outboard-bench-nvme: the bare loop's %s did not start\n", o->qemu);
	return 1;
}

static int compare(const struct options *o)
{
	static struct row rows[DEPTHS];
	struct disk plain = {0}, isolated = {0};
	struct nvme_floor *f = NULL;
	struct side sides[SIDES];
	int rc = open_sides(o, &plain, &isolated, &f);

	sides[SIDE_OWN] = (struct side){disk_run, &plain};
	sides[SIDE_FLOOR] = (struct side){nvme_floor_run, f};
	sides[SIDE_ISOLATED] = (struct side){disk_run, &isolated};
	for (unsigned int i = 0; i < DEPTHS && !rc; i++) {
		rows[i].model = "nvme";
		rows[i].size = depths[i];
		if (!run_rounds(sides, &o->rounds, &rows[i])) {
			fprintf(stderr, "outboard-bench-nvme: a device failed\n");
			rc = 1;
		}
	}
	nvme_floor_close(f);
	disk_close(&isolated);
	disk_close(&plain);
	if (rc)
		return rc;
	if (wants_table(o->json))
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
	struct ob_access_stats access_before, access_after;
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
	rc = disk_open(&d, o->spec ? o->spec : spec, o->driver, DEPTH_MAX);
	if (rc)
		return rc;
	ob_device_stats(d.dev, &access_before);
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
		ob_device_stats(d.dev, &access_after);
		printf("requests %u depth %u submit_calls %u complete_calls %u doorbells %llu syscalls %llu\n",
		       done, o->depth, o->instructions, completes,
		       (unsigned long long)stats.doorbells,
		       (unsigned long long)(access_after.syscalls - access_before.syscalls));
	}
	disk_close(&d);
	return rc;
}

/* ---- main ------------------------------------------------------------------------ */

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-nvme [--json FILE|-] [--quick] [--rounds N] [--ms N]\n"
		"                           [--two-cpus] [--qemu PATH]\n"
		"       outboard-bench-nvme --instructions BURSTS [--depth N] [--spec SPEC] [--driver NAME]\n"
		"  --json FILE       also write the figures as JSON (-: instead of the table)\n"
		"  --quick           at most 3 rounds of 20 ms: a look, not a measurement\n"
		"  --rounds N        rounds per depth and side (default 31)\n"
		"  --ms N            length of a round (default 50)\n"
		"  --two-cpus        do not keep driver and device model on one processor\n"
		"  --qemu PATH       another QEMU\n"
		"  --instructions N  under callgrind: count N bursts of Outboard's own code\n"
		"  --spec SPEC       there: another disk, for whichever driver\n"
		"  --driver NAME     there, a driver that is loaded: linux:nvme, or a path\n");
}

int main(int argc, char **argv)
{
	struct options o = {
		.qemu = "qemu-system-x86_64", .rounds = {.n = 31, .ms = 50}, .depth = 32};
	const struct argument arguments[] = {
		{"json", ARGUMENT_TEXT, &o.json},
		ROUNDS_ARGUMENTS(o.rounds),
		{"qemu", ARGUMENT_TEXT, &o.qemu},
		{"instructions", ARGUMENT_NUMBER, &o.instructions},
		{"depth", ARGUMENT_NUMBER, &o.depth},
		{"spec", ARGUMENT_TEXT, &o.spec},
		{"driver", ARGUMENT_TEXT, &o.driver},
		{0},
	};
	int rc = read_arguments(argc, argv, arguments, usage);

	if (rc >= 0)
		return rc;
	if (!settle_rounds(&o.rounds) || !o.depth || o.depth > DEPTH_MAX) {
		usage(stderr);
		return 2;
	}
	if (o.instructions)
		return count_instructions(&o);
	choose_cpus(&o.rounds);
	return compare(&o);
}
