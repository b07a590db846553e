/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_disk SPEC [options]: random mixed I/O on a disk, with data that say what they are.
 *
 * Every 512 bytes written carry the seed, their place and a generation; what is read is compared with
 * the generation that was last acknowledged there, word by word. At the end all of the region is read.
 * Overwrites the disk. Exit code 0 when nothing was wrong, 1 otherwise; --help for the options.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <outboard/outboard.h>

enum {
	SECTOR = 512,
	SLOTS_MAX = 1024,
	/* Generations: what a sector may hold besides a write of ours. */
	GEN_UNKNOWN = 0, /* never written, discarded, or a write of it failed */
	GEN_ZERO = 1,
	GEN_FIRST = 2,
};

struct options {
	const char *spec, *driver;
	struct ob_driver_config config;
	uint64_t bytes, region, seed;
	unsigned int depth, max, disk;
	bool tolerate, quiet;
};

struct slot {
	struct ob_block_req req;
	char *arena;
	char *heap;
	uint32_t gen;
	bool busy;
	struct queue *queue;
};

struct queue {
	struct verify *v;
	unsigned int index;
	struct slot *slots;
	struct slot **idle;
	unsigned int nr_idle;
};

struct verify {
	struct options o;
	struct ob_device *dev;
	struct ob_binding *binding;
	struct ob_block *blk;
	struct ob_loop *loop;
	struct queue queue[OB_BLOCK_QUEUES];
	unsigned int nr_queues;
	uint64_t seed, region, sectors;
	uint32_t *gen; /* per sector of the region */
	uint32_t next_gen;
	uint64_t started_bytes;
	uint64_t ops[5], bytes[5];
	uint64_t errors, failed;
	unsigned int reported;
	unsigned int flying;
	bool sweeping; /* reads all of it, in order */
	uint64_t sweep;
};

static uint64_t next_random(uint64_t *state)
{
	/* xorshift64* (Vigna 2016) */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(struct verify *v, uint64_t limit)
{
	return (uint64_t)((unsigned __int128)next_random(&v->seed) * limit >> 64);
}

static void __attribute__((format(printf, 2, 3))) wrong(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	v->errors++;
	if (v->reported++ >= 10)
		return;
	fprintf(stderr, "verify_disk: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- data ------------------------------------------------------------------------ */

/* First word: generation and its complement; then the place, the seed, and a sequence from all three. */
static void fill_sector(const struct verify *v, char *to, uint64_t sector, uint32_t gen)
{
	uint64_t word = gen | (uint64_t)~gen << 32;
	uint64_t mixed = (word ^ sector * 0x9e3779b97f4a7c15ull) + v->o.seed;

	memcpy(to, &word, 8);
	memcpy(to + 8, &sector, 8);
	memcpy(to + 16, &v->o.seed, 8);
	for (unsigned int i = 24; i < SECTOR; i += 8) {
		mixed += 0xbf58476d1ce4e5b9ull;
		memcpy(to + i, &mixed, 8);
	}
}

static void check_sector(struct verify *v, const char *got, uint64_t sector)
{
	uint32_t gen = v->gen[sector];
	char want[SECTOR];
	uint64_t word[3];

	if (gen == GEN_UNKNOWN)
		return;
	if (gen == GEN_ZERO)
		memset(want, 0, SECTOR);
	else
		fill_sector(v, want, sector, gen);
	if (!memcmp(got, want, SECTOR))
		return;
	memcpy(word, got, sizeof(word));
	if ((uint32_t)word[0] == ~(uint32_t)(word[0] >> 32) && word[2] == v->o.seed)
		wrong(v, "sector %llu: generation %u of sector %llu instead of generation %u",
		      (unsigned long long)sector, (uint32_t)word[0], (unsigned long long)word[1],
		      gen);
	else
		wrong(v, "sector %llu: begins with %016llx instead of generation %u",
		      (unsigned long long)sector, (unsigned long long)word[0], gen);
}

/* ---- requests -------------------------------------------------------------------- */

static bool overlaps(const struct verify *v, uint64_t offset, uint64_t len)
{
	for (unsigned int q = 0; q < v->nr_queues; q++) {
		for (unsigned int i = 0; i < v->o.depth; i++) {
			const struct slot *s = &v->queue[q].slots[i];

			if (s->busy && offset < s->req.offset + s->req.len &&
			    s->req.offset < offset + len)
				return true;
		}
	}
	return false;
}

/* Mostly reads and writes; what the disk cannot is left out. */
static enum ob_block_op choose_op(struct verify *v)
{
	uint64_t r = below(v, 100);

	if (r < 2 && ob_block_can_discard(v->blk))
		return OB_BLOCK_DISCARD;
	if (r < 6 && ob_block_can_write_zeroes(v->blk))
		return OB_BLOCK_WRITE_ZEROES;
	if (r < 8 && ob_block_can_flush(v->blk))
		return OB_BLOCK_FLUSH;
	return r < 54 ? OB_BLOCK_WRITE : OB_BLOCK_READ;
}

static bool choose_random(struct verify *v, struct slot *s)
{
	uint32_t unit = v->blk->limits.block_size;
	uint64_t units = v->region / unit;
	enum ob_block_op op = choose_op(v);
	uint64_t offset, len;

	s->req = (struct ob_block_req){.op = (uint8_t)op, .user = s};
	if (op == OB_BLOCK_FLUSH)
		return true;
	for (unsigned int tries = 0;; tries++) {
		/* Small ones often, long ones sometimes. */
		uint64_t most = (below(v, 4) ? 16384 : v->o.max) / unit;

		len = (1 + below(v, most ? most : 1)) * unit;
		offset = below(v, units) * unit;
		if (len > v->region - offset)
			len = v->region - offset;
		if (!overlaps(v, offset, len))
			break;
		if (tries == 100)
			return false;
	}
	s->req.offset = offset;
	s->req.len = (uint32_t)len;
	if ((op == OB_BLOCK_WRITE || op == OB_BLOCK_WRITE_ZEROES) && ob_block_can_fua(v->blk) &&
	    !below(v, 20))
		s->req.flags |= OB_BLOCK_FUA;
	if (op == OB_BLOCK_WRITE_ZEROES && below(v, 2))
		s->req.flags |= OB_BLOCK_MAY_UNMAP;
	/* Three of four in the arena; the rest elsewhere, at any address, to be bounced. */
	s->req.buf = below(v, 4) ? s->arena + below(v, 16) * 4 : s->heap + below(v, 64);
	if (op == OB_BLOCK_WRITE) {
		s->gen = v->next_gen++;
		for (uint64_t i = 0; i < len; i += SECTOR)
			fill_sector(v, (char *)s->req.buf + i, (offset + i) / SECTOR, s->gen);
	} else if (op == OB_BLOCK_READ) {
		memset(s->req.buf, 0xa5, len);
	}
	return true;
}

static bool choose_sweep(struct verify *v, struct slot *s)
{
	uint64_t len = v->region - v->sweep;

	if (!len)
		return false;
	if (len > v->o.max)
		len = v->o.max;
	s->req = (struct ob_block_req){.op = OB_BLOCK_READ,
				       .offset = v->sweep,
				       .len = (uint32_t)len,
				       .buf = s->arena,
				       .user = s};
	memset(s->arena, 0xa5, len);
	v->sweep += len;
	return true;
}

static void finish(struct verify *v, struct slot *s)
{
	const struct ob_block_req *req = &s->req;
	uint64_t first = req->offset / SECTOR, n = req->len / SECTOR;
	uint32_t gen = GEN_UNKNOWN;

	v->ops[req->op]++;
	v->bytes[req->op] += req->len;
	if (req->status) {
		v->failed++;
		if (!v->o.tolerate)
			wrong(v, "op %u at %llu, %u bytes: %s", req->op,
			      (unsigned long long)req->offset, req->len, strerror(-req->status));
	} else if (req->op == OB_BLOCK_READ) {
		for (uint64_t i = 0; i < n; i++)
			check_sector(v, (char *)req->buf + i * SECTOR, first + i);
		return;
	} else if (req->op == OB_BLOCK_WRITE) {
		gen = s->gen;
	} else if (req->op == OB_BLOCK_WRITE_ZEROES) {
		gen = GEN_ZERO;
	}
	/* A write that failed may have happened, or in part. */
	if (req->op == OB_BLOCK_READ || req->op == OB_BLOCK_FLUSH)
		return;
	for (uint64_t i = 0; i < n; i++)
		v->gen[first + i] = gen;
}

static bool more(const struct verify *v)
{
	if (ob_device_gone(v->dev))
		return false;
	return v->sweeping ? v->sweep < v->region : v->started_bytes < v->o.bytes;
}

/* What counts for --bytes. */
static uint64_t payload(const struct ob_block_req *req)
{
	return req->op == OB_BLOCK_READ || req->op == OB_BLOCK_WRITE ? req->len : 0;
}

static unsigned int serve(void *arg, unsigned int budget)
{
	struct queue *q = arg;
	struct verify *v = q->v;
	struct ob_block_req *reqs[SLOTS_MAX];
	unsigned int n, taken, chosen = 0, work;

	if (budget > SLOTS_MAX)
		budget = SLOTS_MAX;
	n = ob_block_complete(v->blk, q->index, reqs, budget);
	for (unsigned int i = 0; i < n; i++) {
		struct slot *s = reqs[i]->user;

		if (!s->busy) {
			wrong(v, "a request came back twice");
			continue;
		}
		finish(v, s);
		s->busy = false;
		q->idle[q->nr_idle++] = s;
		v->flying--;
	}
	work = n;
	while (chosen < q->nr_idle && more(v)) {
		struct slot *s = q->idle[q->nr_idle - 1 - chosen];

		if (!(v->sweeping ? choose_sweep(v, s) : choose_random(v, s)))
			break;
		s->busy = true;
		v->started_bytes += payload(&s->req);
		reqs[chosen++] = &s->req;
	}
	if (!chosen)
		return work;
	taken = ob_block_submit(v->blk, q->index, reqs, chosen);
	v->flying += taken;
	work += taken;
	/* What was not taken is forgotten, but for a sweep, which goes back. */
	for (unsigned int i = chosen; i > taken; i--) {
		struct slot *s = reqs[i - 1]->user;

		s->busy = false;
		v->started_bytes -= payload(&s->req);
		if (v->sweeping)
			v->sweep -= s->req.len;
	}
	/* Those taken are the top ones of the stack, in order. */
	q->nr_idle -= taken;
	for (unsigned int i = 0; i < chosen - taken; i++)
		q->idle[q->nr_idle - 1 - i] = reqs[taken + i]->user;
	return work;
}

static bool arm(void *arg, bool on)
{
	struct queue *q = arg;

	return q->v->blk->ops->irq_arm(q->v->blk, q->index, on);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct queue *q = arg;

	q->v->blk->ops->tick(q->v->blk, now_ns);
}

/* ---- set-up ---------------------------------------------------------------------- */

static int failed(const struct ob_error *err)
{
	char text[1200];

	fprintf(stderr, "verify_disk: %s\n", ob_error_text(err, text, sizeof(text)));
	return -1;
}

static int open_disk(struct verify *v)
{
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};

	if (ob_device_open(v->o.spec, &v->dev, &err))
		return failed(&err);
	if (v->o.driver) {
		driver = ob_driver_find(v->o.driver);
		if (!driver) {
			fprintf(stderr, "verify_disk: no driver '%s'\n", v->o.driver);
			return -1;
		}
	}
	if (ob_driver_bind(v->dev, driver, &v->o.config, &v->binding, &err))
		return failed(&err);
	if (v->o.disk >= v->binding->nr_blocks) {
		fprintf(stderr, "verify_disk: no disk %u, there are %u\n", v->o.disk,
			v->binding->nr_blocks);
		return -1;
	}
	v->blk = v->binding->block[v->o.disk];
	if (v->blk->limits.read_only) {
		fprintf(stderr, "verify_disk: %s cannot be written\n", v->blk->name);
		return -1;
	}
	if (ob_block_start(v->blk, &err))
		return failed(&err);
	return 0;
}

static int make_queue(struct verify *v, unsigned int index)
{
	struct ob_loop_source source = {
		.name = "disk",
		.poll = serve,
		.arm = v->blk->ops->irq_arm ? arm : NULL,
		.tick = v->blk->ops->tick ? tick : NULL,
		.arg = &v->queue[index],
		.fd = v->blk->irq_fd[index],
	};
	struct queue *q = &v->queue[index];

	q->v = v;
	q->index = index;
	q->slots = calloc(v->o.depth, sizeof(*q->slots));
	q->idle = calloc(v->o.depth, sizeof(*q->idle));
	if (!q->slots || !q->idle)
		return -1;
	for (unsigned int i = 0; i < v->o.depth; i++) {
		struct slot *s = &q->slots[i];

		s->queue = q;
		s->arena = ob_dma_alloc(ob_device_dma(v->dev), v->o.max + 64, 64, "verify", NULL);
		s->heap = malloc(v->o.max + 64);
		if (!s->arena || !s->heap) {
			fprintf(stderr, "verify_disk: no memory for buffers; use less --max, "
					"--depth or --queues\n");
			return -1;
		}
		q->idle[q->nr_idle++] = s;
	}
	return ob_loop_add(v->loop, &source);
}

static int set_up(struct verify *v)
{
	const struct ob_block_limits *l;

	if (open_disk(v))
		return -1;
	l = &v->blk->limits;
	v->region = v->o.region && v->o.region < l->size ? v->o.region : l->size;
	v->region &= ~(uint64_t)(l->block_size - 1);
	v->sectors = v->region / SECTOR;
	v->nr_queues = l->queues;
	if (v->o.max > l->max_transfer)
		v->o.max = l->max_transfer;
	v->o.max &= ~(l->block_size - 1);
	v->gen = calloc(v->sectors, sizeof(*v->gen));
	v->next_gen = GEN_FIRST;
	v->seed = v->o.seed * 2 + 1;
	if (!v->gen || !v->o.max || ob_loop_create(v->o.config.mode, &v->loop)) {
		fprintf(stderr, "verify_disk: no memory\n");
		return -1;
	}
	for (unsigned int i = 0; i < v->nr_queues; i++)
		if (make_queue(v, i))
			return -1;
	return 0;
}

static void tear_down(struct verify *v)
{
	ob_loop_destroy(v->loop);
	for (unsigned int i = 0; i < v->nr_queues; i++) {
		struct queue *q = &v->queue[i];

		for (unsigned int j = 0; q->slots && j < v->o.depth; j++) {
			ob_dma_free(ob_device_dma(v->dev), q->slots[j].arena);
			free(q->slots[j].heap);
		}
		free(q->slots);
		free(q->idle);
	}
	ob_driver_unbind(v->binding);
	ob_device_close(v->dev);
	free(v->gen);
}

static int run(struct verify *v)
{
	/* With --mode interrupt or adaptive it sleeps here; the tick bounds every wait. */
	while (v->flying || more(v)) {
		ob_loop_once(v->loop, v->o.config.mode == OB_MODE_POLL ? 0 : 100);
		if (ob_device_gone(v->dev) && !v->flying) {
			fprintf(stderr, "verify_disk: the device is gone\n");
			return -1;
		}
	}
	return 0;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const struct verify *v, double took)
{
	struct ob_block_stats s;
	struct ob_loop_stats l;

	ob_block_stats(v->blk, &s);
	ob_loop_stats(v->loop, &l);
	printf("%s: %llu reads, %llu writes, %llu flushes, %llu discards, %llu zeroes; %.1f MiB read, "
	       "%.1f MiB written in %.1f s; %llu failed, %llu errors\n",
	       v->blk->name, (unsigned long long)v->ops[0], (unsigned long long)v->ops[1],
	       (unsigned long long)v->ops[2], (unsigned long long)v->ops[3],
	       (unsigned long long)v->ops[4], (double)v->bytes[0] / 1048576,
	       (double)v->bytes[1] / 1048576, took, (unsigned long long)v->failed,
	       (unsigned long long)v->errors);
	if (v->o.quiet)
		return;
	printf("doorbells %llu, bounced %llu, interrupts %llu, sleeps %llu, timeouts %llu, aborts %llu, "
	       "resets %llu, bad completions %llu\n",
	       (unsigned long long)s.doorbells, (unsigned long long)s.bounced,
	       (unsigned long long)(l.irqs + s.irqs), (unsigned long long)l.sleeps,
	       (unsigned long long)s.timeouts, (unsigned long long)s.aborts,
	       (unsigned long long)s.resets, (unsigned long long)s.bad_completions);
}

/* ---- options --------------------------------------------------------------------- */

static void usage(FILE *f)
{
	fprintf(f,
		"usage: verify_disk SPEC [options]      overwrites the disk\n"
		"  --bytes N        bytes to read and write at random (default 64M); K, M, G\n"
		"  --region N       only the first N bytes of the disk (default all)\n"
		"  --depth N        requests in flight per queue (default 32)\n"
		"  --queues N       queues (default 1)\n"
		"  --max N          longest request (default 128K)\n"
		"  --seed N         repeat a run (default 1)\n"
		"  --mode M         adaptive, poll or interrupt (default adaptive)\n"
		"  --irq K          msix, msi or intx (default the best)\n"
		"  --timeout MS     of a request (default the driver's)\n"
		"  --driver NAME    (default the one that matches)\n"
		"  --disk N         which disk of the device (default 0)\n"
		"  --tolerate       requests may fail; what was acknowledged must still be there\n"
		"  --quiet          one line at the end\n");
}

static bool size_arg(const char *text, uint64_t *val)
{
	char *end;

	errno = 0;
	*val = strtoull(text, &end, 0);
	switch (*end) {
	case 'G':
		*val <<= 10; /* fall through */
	case 'M':
		*val <<= 10; /* fall through */
	case 'K':
		*val <<= 10;
		end++;
	}
	return end != text && !*end && !errno;
}

static int parse(int argc, char **argv, struct options *o)
{
	enum {
		BYTES = 256,
		REGION,
		DEPTH,
		QUEUES,
		MAX,
		SEED,
		MODE,
		IRQ,
		TIMEOUT,
		DRIVER,
		DISK,
		TOLERATE,
		QUIET,
		HELP
	};
	static const struct option options[] = {
		{"bytes", required_argument, NULL, BYTES},
		{"region", required_argument, NULL, REGION},
		{"depth", required_argument, NULL, DEPTH},
		{"queues", required_argument, NULL, QUEUES},
		{"max", required_argument, NULL, MAX},
		{"seed", required_argument, NULL, SEED},
		{"mode", required_argument, NULL, MODE},
		{"irq", required_argument, NULL, IRQ},
		{"timeout", required_argument, NULL, TIMEOUT},
		{"driver", required_argument, NULL, DRIVER},
		{"disk", required_argument, NULL, DISK},
		{"tolerate", no_argument, NULL, TOLERATE},
		{"quiet", no_argument, NULL, QUIET},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	uint64_t val = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool number = c >= BYTES && c <= TIMEOUT && c != MODE && c != IRQ;

		if (c == DISK || number) {
			if (!size_arg(optarg, &val)) {
				fprintf(stderr, "verify_disk: '%s' is not a number\n", optarg);
				return -1;
			}
		}
		switch (c) {
		case BYTES:
			o->bytes = val;
			break;
		case REGION:
			o->region = val;
			break;
		case DEPTH:
			o->depth = (unsigned int)val;
			break;
		case QUEUES:
			o->config.queues = (unsigned int)val;
			break;
		case MAX:
			o->max = (unsigned int)val;
			break;
		case SEED:
			o->seed = val;
			break;
		case MODE:
			if (ob_mode_parse(optarg, &o->config.mode, NULL)) {
				fprintf(stderr, "verify_disk: no mode '%s'\n", optarg);
				return -1;
			}
			break;
		case IRQ:
			o->config.irq_kind = !strcmp(optarg, "msix")  ? OB_IRQ_MSIX
					     : !strcmp(optarg, "msi") ? OB_IRQ_MSI
								      : OB_IRQ_INTX;
			break;
		case TIMEOUT:
			o->config.timeout_ms = (unsigned int)val;
			break;
		case DRIVER:
			o->driver = optarg;
			break;
		case DISK:
			o->disk = (unsigned int)val;
			break;
		case TOLERATE:
			o->tolerate = true;
			break;
		case QUIET:
			o->quiet = true;
			break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			return -1;
		}
	}
	if (optind != argc - 1 || !o->depth || o->depth > SLOTS_MAX || o->max < SECTOR) {
		usage(stderr);
		return -1;
	}
	o->spec = argv[optind];
	o->config.depth = o->depth;
	return 0;
}

int main(int argc, char **argv)
{
	struct verify v = {
		.o = {.bytes = 64 << 20, .depth = 32, .max = 128 << 10, .seed = 1},
	};
	double start;
	int rc;

	v.o.config.queues = 1;
	if (parse(argc, argv, &v.o))
		return 2;
	rc = set_up(&v);
	if (!rc) {
		start = seconds();
		rc = run(&v);
		v.sweeping = true;
		if (!rc)
			rc = run(&v);
		report(&v, seconds() - start);
	}
	tear_down(&v);
	return rc || v.errors ? 1 : 0;
}
