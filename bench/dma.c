/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each way of giving memory to a device costs, per request and per page: first map and unmap alone,
 * then whole reads from a disk. On QEMU's devices with their emulated IOMMU, where a flush is a message to
 * another process; see docs/dma.md for how to read the figures.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

#include "bench/rounds.h"

enum {
	RUNS = 5,
	RUN_NS = 50000000, /* at least half of it */
	RUN_QUICK_NS = 2000000,
	READ_ROUNDS = 31,
	READ_TURN_NS = 20000000,
	READ_TURN_QUICK_NS = 5000000,
	PAGE = 4096,
	MAX_LEN = 1 << 20,
	READ_LEN = 4096,
	MAX_DEPTH = 64,
};

static const unsigned int sizes[] = {64, 512, 4096, 16384, 65536, 262144, 1048576};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

enum memory {
	IN_ARENA,
	IN_NEIGHBOUR, /* the arena of another device of the same machine */
	ON_HEAP,
	ALLOCATED, /* not streaming: ob_dma_alloc() and ob_dma_free() */
};

struct way {
	const char *name;
	const char *policy;
	enum memory memory;
	enum ob_dma_dir dir;
	bool debug;
	const char *what;
};

static const struct way ways[] = {
	{"arena", "pooled", IN_ARENA, OB_DMA_BOTH, false, "subtraction"},
	{"arena-debug", "pooled", IN_ARENA, OB_DMA_BOTH, true, "subtraction, with debug mode"},
	{"arena-lazy", "lazy", IN_ARENA, OB_DMA_BOTH, false, "pages found mapped"},
	{"arena-strict", "strict", IN_ARENA, OB_DMA_BOTH, false, "IOMMU map, unmap and flush"},
	{"cached", "pooled", IN_NEIGHBOUR, OB_DMA_BOTH, false, "other memory, mapping found"},
	{"mapped", "strict", IN_NEIGHBOUR, OB_DMA_BOTH, false,
	 "other memory, IOMMU map, unmap and flush"},
	{"bounce-out", "pooled", ON_HEAP, OB_DMA_TO_DEVICE, false, "copy to the arena"},
	{"bounce-in", "pooled", ON_HEAP, OB_DMA_FROM_DEVICE, false,
	 "zero, then copy from the arena"},
	{"bounce-strict", "strict", ON_HEAP, OB_DMA_TO_DEVICE, false,
	 "copy, IOMMU map, unmap and flush"},
	{"alloc", "pooled", ALLOCATED, OB_DMA_BOTH, false, "consistent memory, zeroed"},
	{"alloc-strict", "strict", ALLOCATED, OB_DMA_BOTH, false,
	 "consistent memory, zeroed, mapped, flushed"},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

struct options {
	const char *json;
	FILE *out; /* open, with --json */
	bool table;
	bool quick, maps_only, reads_only;
	uint64_t run_ns;
	const char *way;
	unsigned int size;
	uint64_t count;
};

/* ---- map and unmap --------------------------------------------------------------------------- */

/* Two devices of one machine, so that one has the other's arena as memory outside of its own. */
struct rig {
	struct ob_device *dev[2];
	struct ob_dma *dma;
	char *heap;
};

struct cell {
	double ns, worst; /* median and slowest run, per request */
	double calls;	  /* of the IOMMU, per request */
};

static int open_rig(struct rig *rig, const char *policy)
{
	struct ob_error err = {0};
	char text[128];
	const char *specs[2] = {text, text};

	snprintf(text, sizeof(text), "qemu:edu,vm=bench,dma=%s,arena=32M", policy);
	if (ob_devices_open(specs, 2, rig->dev, &err))
		return -complain(&err);
	rig->dma = ob_device_dma(rig->dev[0]);
	rig->heap = aligned_alloc(PAGE, MAX_LEN);
	if (!rig->heap)
		return -1;
	memset(rig->heap, 1, MAX_LEN);
	return 0;
}

static void close_rig(struct rig *rig)
{
	free(rig->heap);
	ob_device_close(rig->dev[0]);
	ob_device_close(rig->dev[1]);
}

static int run(struct rig *rig, const struct way *way, size_t len, uint64_t n)
{
	char *mem = way->memory == IN_ARENA  ? rig->dma->base + (8 << 20)
		    : way->memory == ON_HEAP ? rig->heap
					     : ob_device_dma(rig->dev[1])->base + (8 << 20);
	struct ob_dma_mapping map;
	int ret = 0;

	if (way->memory == ALLOCATED) {
		for (; n && !ret; n--) {
			void *p = ob_dma_alloc(rig->dma, len, 1, "bench", NULL);

			ret = p ? 0 : -ENOMEM;
			ob_dma_free(rig->dma, p);
		}
		return ret;
	}
	for (; n && !ret; n--) {
		ret = ob_dma_map(rig->dma, mem, len, way->dir, &map);
		if (!ret)
			ret = ob_dma_unmap(&map);
	}
	return ret;
}

static int measure(struct rig *rig, const struct way *way, size_t len, const struct options *o,
		   struct cell *cell)
{
	struct ob_dma_stats before, after;
	uint64_t n = o->count ? o->count : 1, start, took = 0;
	double ns[RUNS];
	unsigned int i;

	if (run(rig, way, len, 1)) /* the first one fills caches */
		return -1;
	while (!o->count) {
		start = ob_clock_ns();
		if (run(rig, way, len, n))
			return -1;
		took = ob_clock_ns() - start;
		if (took >= o->run_ns / 2)
			break;
		n *= 2;
	}
	ob_dma_stats(rig->dma, &before);
	for (i = 0; i < RUNS; i++) {
		start = ob_clock_ns();
		if (run(rig, way, len, n))
			return -1;
		ns[i] = (double)(ob_clock_ns() - start) / (double)n;
	}
	ob_dma_stats(rig->dma, &after);
	sort_values(ns, RUNS);
	cell->ns = ns[RUNS / 2];
	cell->worst = ns[RUNS - 1];
	cell->calls = (double)(after.iommu_maps - before.iommu_maps + after.iommu_unmaps -
			       before.iommu_unmaps) /
		      (double)(n * RUNS);
	return 0;
}

static void print_map_head(const struct options *o)
{
	unsigned int i;

	if (o->out)
		fprintf(o->out, "\n  \"map_unmap\": [");
	if (!o->table)
		return;
	printf("map + unmap, nanoseconds per request (median of %d runs)\n\n%-14s %-7s", RUNS,
	       "way", "policy");
	for (i = 0; i < SIZES; i++) {
		char text[16];

		snprintf(text, sizeof(text), sizes[i] < 1024 ? "%u B" : "%u K",
			 sizes[i] < 1024 ? sizes[i] : sizes[i] / 1024);
		printf(" %9s", text);
	}
	printf(" %9s  %s\n", "ns/page", "what is done");
}

/* A page's share in a long request: what is left when the fixed cost is spread over 256 of them. */
static void print_map_row(const struct way *way, const struct cell *cells, bool first,
			  const struct options *o)
{
	unsigned int i;
	bool more = false;

	if (o->out) {
		for (i = 0; i < SIZES; i++) {
			if (cells[i].ns < 0)
				continue;
			fprintf(o->out,
				"%s\n    {\"way\": \"%s\", \"policy\": \"%s\", \"bytes\": %u, \"ns\": %.1f, "
				"\"worst_ns\": %.1f, \"ns_per_page\": %.2f, \"iommu_calls\": %.3f}",
				first && !more ? "" : ",", way->name, way->policy, sizes[i],
				cells[i].ns, cells[i].worst,
				cells[i].ns / ((sizes[i] + PAGE - 1) / PAGE), cells[i].calls);
			more = true;
		}
	}
	if (!o->table)
		return;
	printf("%-14s %-7s", way->name, way->policy);
	for (i = 0; i < SIZES; i++) {
		if (cells[i].ns < 0)
			printf(" %9s", "-");
		else
			printf(" %9.*f", cells[i].ns < 100 ? 1 : 0, cells[i].ns);
	}
	if (cells[SIZES - 1].ns < 0)
		printf(" %9s", "-");
	else
		printf(" %9.2f", cells[SIZES - 1].ns / (MAX_LEN / PAGE));
	printf("  %s\n", way->what);
	fflush(stdout);
}

static int bench_map(const struct options *o)
{
	struct cell cells[SIZES];
	bool first = true;
	unsigned int w, i;

	print_map_head(o);
	for (w = 0; w < WAYS; w++) {
		struct rig rig;

		if (o->way && strcmp(o->way, ways[w].name) != 0)
			continue;
		if (open_rig(&rig, ways[w].policy))
			return -1;
		if (ways[w].debug && ob_dma_debug(rig.dma))
			return -1;
		for (i = 0; i < SIZES; i++) {
			cells[i].ns = -1;
			if (o->size && o->size != sizes[i])
				continue;
			if (measure(&rig, &ways[w], sizes[i], o, &cells[i])) {
				fprintf(stderr, "outboard-bench-dma: %s of %u bytes failed\n",
					ways[w].name, sizes[i]);
				close_rig(&rig);
				return -1;
			}
		}
		print_map_row(&ways[w], cells, first, o);
		first = false;
		close_rig(&rig);
	}
	if (o->out)
		fprintf(o->out, "\n  ]");
	return 0;
}

/* ---- reads from a disk ----------------------------------------------------------------------- */

/* NVMe reads of one page from a disk without data, so that what differs is the memory's way. */
struct reads {
	const char *way;
	const char *policy;
	enum memory memory;
};

static const struct reads read_ways[] = {
	{"arena", "pooled", IN_ARENA},	      {"arena-lazy", "lazy", IN_ARENA},
	{"arena-strict", "strict", IN_ARENA}, {"cached", "pooled", IN_NEIGHBOUR},
	{"bounce-in", "pooled", ON_HEAP},
};
#define READ_WAYS (sizeof(read_ways) / sizeof(read_ways[0]))

static const unsigned int depths[] = {1, 16, 64};
#define DEPTHS (sizeof(depths) / sizeof(depths[0]))

/* A disk, what is beside it, and the memory that it reads into. */
struct reader {
	struct ob_device *dev[2];
	struct ob_binding *binding;
	struct ob_block *blk; /* started */
	struct ob_block_req reqs[MAX_DEPTH];
	char *heap;
};

static char *choose_memory(struct reader *r, const struct reads *way)
{
	struct ob_dma *dma = ob_device_dma(r->dev[way->memory == IN_NEIGHBOUR]);
	char *mem;

	if (way->memory == ON_HEAP) {
		r->heap = aligned_alloc(PAGE, MAX_DEPTH * READ_LEN);
		return r->heap;
	}
	mem = ob_dma_alloc(dma, MAX_DEPTH * READ_LEN, PAGE, "bench", NULL);
	/* Consistent memory is mapped as long as it lives; a strict driver maps each request. */
	if (mem && way->memory == IN_ARENA && ob_dma_policy(dma) != OB_DMA_POOLED)
		ob_dma_free(dma, mem);
	return mem;
}

static int open_reader(struct reader *r, const struct reads *way)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_error err = {0};
	char text[2][128], *mem;
	const char *specs[2] = {text[0], text[1]};

	snprintf(text[0], sizeof(text[0]), "qemu:nvme,null=64M,vm=%s,dma=%s,arena=32M", way->way,
		 way->policy);
	snprintf(text[1], sizeof(text[1]), "qemu:edu,vm=%s,arena=32M", way->way);
	if (ob_devices_open(specs, 2, r->dev, &err) ||
	    ob_driver_bind(r->dev[0], NULL, &config, &r->binding, &err) ||
	    ob_block_start(r->binding->block[0], &err))
		return -complain(&err);
	r->blk = r->binding->block[0];
	mem = choose_memory(r, way);
	if (!mem)
		return -1;
	for (unsigned int i = 0; i < MAX_DEPTH; i++)
		r->reqs[i] = (struct ob_block_req){
			.op = OB_BLOCK_READ,
			.len = READ_LEN,
			.offset = (uint64_t)i * READ_LEN,
			.buf = mem + (size_t)i * READ_LEN,
		};
	return 0;
}

static void close_reader(struct reader *r)
{
	if (r->blk)
		ob_block_stop(r->blk);
	ob_driver_unbind(r->binding);
	ob_device_close(r->dev[0]);
	ob_device_close(r->dev[1]);
	free(r->heap);
}

/* Return: nanoseconds per read, in @ns of them; -1 when one failed. */
static double read_turn(struct reader *r, unsigned int depth, uint64_t ns)
{
	struct ob_block_req *idle[MAX_DEPTH];
	uint64_t start = ob_clock_ns(), now = start, ended = 0;
	unsigned int n = depth, got, i;

	for (i = 0; i < depth; i++)
		idle[i] = &r->reqs[i];
	while (now - start < ns || n < depth) {
		if (n && now - start < ns) {
			got = ob_block_submit(r->blk, 0, idle, n);
			n -= got;
			memmove(idle, idle + got, n * sizeof(idle[0]));
		}
		got = ob_block_complete(r->blk, 0, idle + n, depth - n);
		for (i = 0; i < got; i++)
			if (idle[n + i]->status)
				return -1;
		n += got;
		ended += got;
		now = ob_clock_ns();
		if (got)
			continue;
		if (ob_device_gone(r->blk->dev))
			return -1;
		/* The device model is on the same processor. */
		sched_yield();
	}
	return (double)(now - start) / (double)ended;
}

struct read_row {
	double ns[DEPTHS][READ_ROUNDS], ratio[DEPTHS][READ_ROUNDS];
};

/* All are alive at once and take turns, so that noise meets all; the first one is what ratios are of. */
static int compare_reads(struct reader *readers, struct read_row *rows, unsigned int rounds,
			 uint64_t ns)
{
	for (unsigned int d = 0; d < DEPTHS; d++) {
		for (unsigned int round = 0; round <= rounds; round++) {
			double each[READ_WAYS];

			for (unsigned int w = 0; w < READ_WAYS; w++) {
				each[w] = read_turn(&readers[w], depths[d], ns);
				if (each[w] < 0) {
					fprintf(stderr,
						"outboard-bench-dma: a read by %s (%s) failed\n",
						read_ways[w].way, read_ways[w].policy);
					return -1;
				}
			}
			/* The first round fills caches and is not counted. */
			for (unsigned int w = 0; round && w < READ_WAYS; w++) {
				rows[w].ns[d][round - 1] = each[w];
				rows[w].ratio[d][round - 1] = each[w] / each[0];
			}
		}
	}
	return 0;
}

static void report_reads(const struct options *o, const struct read_row *rows, unsigned int rounds)
{
	if (o->out)
		fprintf(o->out, "%s\n  \"nvme_read_4k\": [", o->reads_only ? "" : ",");
	if (o->table)
		printf("\nNVMe reads of 4 KiB, null disk, polled, %u rounds in turn: microseconds per read, and the median\n"
		       "of each round's ratio to arena; device model and driver on one processor\n\n"
		       "%-14s %-7s %9s %6s %9s %6s %9s %6s\n",
		       rounds, "way", "policy", "depth 1", "ratio", "depth 16", "ratio", "depth 64",
		       "ratio");
	for (unsigned int w = 0; w < READ_WAYS; w++) {
		if (o->table)
			printf("%-14s %-7s", read_ways[w].way, read_ways[w].policy);
		for (unsigned int d = 0; d < DEPTHS; d++) {
			double us = median(rows[w].ns[d], rounds) / 1000;
			double ratio = median(rows[w].ratio[d], rounds);

			if (o->table)
				printf(" %9.2f %6.2f", us, ratio);
			if (o->out)
				fprintf(o->out,
					"%s\n    {\"way\": \"%s\", \"policy\": \"%s\", \"depth\": %u, "
					"\"us\": %.3f, \"ratio\": %.4f}",
					w || d ? "," : "", read_ways[w].way, read_ways[w].policy,
					depths[d], us, ratio);
		}
		if (o->table)
			printf("\n");
	}
	if (o->out)
		fprintf(o->out, "\n  ]");
}

static int bench_reads(const struct options *o)
{
	unsigned int rounds = o->quick ? ROUNDS_QUICK : READ_ROUNDS;
	uint64_t ns = o->quick ? READ_TURN_QUICK_NS : READ_TURN_NS;
	static struct reader readers[READ_WAYS];
	static struct read_row rows[READ_WAYS];
	int rc = 0;

	choose_cpus(&(struct rounds){0});
	for (unsigned int w = 0; w < READ_WAYS && !rc; w++)
		rc = open_reader(&readers[w], &read_ways[w]);
	if (!rc)
		rc = compare_reads(readers, rows, rounds, ns);
	if (!rc)
		report_reads(o, rows, rounds);
	for (unsigned int w = 0; w < READ_WAYS; w++)
		close_reader(&readers[w]);
	return rc;
}

/* ---- command line ------------------------------------------------------------------------------ */

static void usage(FILE *to)
{
	unsigned int i;

	fprintf(to,
		"usage: outboard-bench-dma [--json FILE|-] [--quick] [--maps-only | --reads-only]\n"
		"                          [--way NAME] [--size BYTES] [--count N]\n"
		"  --json FILE  also write the figures as JSON (-: instead of the table)\n"
		"  --quick      short runs: a look, not a measurement\n"
		"  --maps-only  without the reads from a disk\n"
		"  --reads-only nothing but those\n"
		"  --way NAME   only this one (and no reads)\n"
		"  --size N     only this size: 64, 512, 4096 ... 1048576\n"
		"  --count N    exactly N requests a run, for instruction counters\n"
		"ways:");
	for (i = 0; i < WAYS; i++)
		fprintf(to, " %s", ways[i].name);
	fprintf(to, "\n");
}

static bool known_way(const char *name)
{
	unsigned int i;

	for (i = 0; i < WAYS; i++) {
		if (!strcmp(ways[i].name, name))
			return true;
	}
	return false;
}

static bool known_size(unsigned int size)
{
	unsigned int i;

	for (i = 0; i < SIZES; i++) {
		if (sizes[i] == size)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	const struct argument arguments[] = {
		{"json", ARGUMENT_TEXT, &o.json},
		{"quick", ARGUMENT_FLAG, &o.quick},
		{"maps-only", ARGUMENT_FLAG, &o.maps_only},
		{"reads-only", ARGUMENT_FLAG, &o.reads_only},
		{"way", ARGUMENT_TEXT, &o.way},
		{"size", ARGUMENT_NUMBER, &o.size},
		{"count", ARGUMENT_COUNT, &o.count},
		{0},
	};
	int rc = read_arguments(argc, argv, arguments, usage);

	if (rc >= 0)
		return rc;
	if ((o.way && !known_way(o.way)) || (o.size && !known_size(o.size))) {
		fprintf(stderr, "outboard-bench-dma: '%s' is not possible\n",
			o.way && !known_way(o.way) ? o.way : "--size");
		usage(stderr);
		return 2;
	}
	if (o.reads_only && (o.maps_only || o.way)) {
		fprintf(stderr, "outboard-bench-dma: --reads-only leaves out what is asked for\n");
		usage(stderr);
		return 2;
	}
	o.run_ns = o.quick ? RUN_QUICK_NS : RUN_NS;
	o.table = wants_table(o.json);
	if (o.json) {
		o.out = open_json(o.json);
		if (!o.out)
			return 1;
	}
	if (o.out)
		fprintf(o.out, "{");
	rc = (!o.reads_only && bench_map(&o)) || (!o.way && !o.maps_only && bench_reads(&o));
	if (!o.out)
		return rc;
	fprintf(o.out, "\n}\n");
	return close_json(o.out, o.json) || rc;
}
