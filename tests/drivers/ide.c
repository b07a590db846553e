/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IDE driver on QEMU's PIIX3: what is written is read back, in any order and size, on every disk of both
 * cables; what goes wrong is told, and loses nothing that was acknowledged.
 */
#include "tests/drivers/device.h"

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

enum {
	DEPTH = 32,
	SECTOR = 512,
	LARGEST = 128, /* sectors of a request of the mixed test */
	REGION = 16 << 20,
};

/* ---- mixed requests against a copy in memory ------------------------------------------------ */

/*
 * One disk under test by one thread. No two requests in flight touch the same sectors (the driver may
 * run them in any order), so that at each moment it is known what every sector holds.
 */
struct mixed {
	struct ob_block *blk;
	enum ob_mode mode;
	unsigned int requests;
	uint64_t seed;
	uint8_t *copy;	 /* what the first REGION bytes must hold */
	uint8_t *in_use; /* per sector */
	uint64_t bytes[2];
	int failed; /* 0, or a line of this file */
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct slot {
	struct ob_block_req req;
	uint8_t *buf;
	bool busy;
};

static void fill(uint8_t *p, size_t len, uint64_t *seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = next_random(seed);

		memcpy(p + i, &v, 8);
	}
}

/* Choose an op and sectors that nobody uses; false when none was found quickly. */
static bool prepare(struct mixed *m, struct slot *s)
{
	struct ob_block_req *r = &s->req;
	uint64_t dice = next_random(&m->seed) % 100;
	uint32_t sectors = (uint32_t)(next_random(&m->seed) % LARGEST) + 1;
	uint64_t first = next_random(&m->seed) % (REGION / SECTOR - sectors);

	*r = (struct ob_block_req){.user = s};
	if (dice < 2) {
		r->op = OB_BLOCK_FLUSH;
		return true;
	}
	for (uint32_t i = 0; i < sectors; i++)
		if (m->in_use[first + i])
			return false;
	memset(m->in_use + first, 1, sectors);
	r->op = dice < 50 ? OB_BLOCK_READ : OB_BLOCK_WRITE;
	r->offset = first * SECTOR;
	r->len = sectors * SECTOR;
	r->buf = s->buf;
	if (r->op == OB_BLOCK_WRITE)
		fill(s->buf, r->len, &m->seed);
	else
		memset(s->buf, 0xdb, r->len);
	return true;
}

static int check(struct mixed *m, struct slot *s)
{
	struct ob_block_req *r = &s->req;

	if (r->status)
		return __LINE__;
	if (r->op == OB_BLOCK_FLUSH)
		return 0;
	memset(m->in_use + r->offset / SECTOR, 0, r->len / SECTOR);
	m->bytes[r->op == OB_BLOCK_WRITE] += r->len;
	if (r->op == OB_BLOCK_WRITE)
		memcpy(m->copy + r->offset, s->buf, r->len);
	else if (memcmp(m->copy + r->offset, s->buf, r->len))
		return __LINE__;
	return 0;
}

/* As a client does: sleep on the vector when there is nothing to do. */
static void wait_for_disk(struct mixed *m, uint64_t *last_tick)
{
	struct ob_block *blk = m->blk;
	struct pollfd p = {.fd = blk->irq_fd[0], .events = POLLIN};
	uint64_t count, now = ob_clock_ns();

	if (now - *last_tick > 100000000) {
		blk->ops->tick(blk, now);
		*last_tick = now;
	}
	if (m->mode == OB_MODE_POLL || blk->ops->irq_arm(blk, 0, true))
		return;
	if (poll(&p, 1, 100) > 0 && read(p.fd, &count, sizeof(count)) < 0)
		m->failed = __LINE__;
}

static void *run_mixed(void *arg)
{
	struct mixed *m = arg;
	struct slot slots[DEPTH];
	struct ob_block_req *reqs[DEPTH];
	unsigned int started = 0, ended = 0;
	uint64_t last_tick = ob_clock_ns();
	/* Half of the buffers lie where the device reaches them, half are any memory. */
	uint8_t *arena =
		ob_dma_alloc(m->blk->dma, DEPTH / 2 * LARGEST * SECTOR, 4096, "test", NULL);
	uint8_t *heap = malloc(DEPTH / 2 * LARGEST * SECTOR);

	m->copy = calloc(1, REGION);
	m->in_use = calloc(1, REGION / SECTOR);
	if (!arena || !heap || !m->copy || !m->in_use) {
		m->failed = __LINE__;
		return NULL;
	}
	for (unsigned int i = 0; i < DEPTH; i++) {
		slots[i].busy = false;
		slots[i].buf = (i & 1 ? heap : arena) + (size_t)(i / 2) * LARGEST * SECTOR;
	}
	while (!m->failed && ended < m->requests) {
		unsigned int n = 0, k;

		for (unsigned int i = 0; i < DEPTH && started + n < m->requests; i++) {
			if (slots[i].busy || !prepare(m, &slots[i]))
				continue;
			slots[i].busy = true;
			reqs[n++] = &slots[i].req;
		}
		if (n && ob_block_submit(m->blk, 0, reqs, n) != n)
			m->failed = __LINE__;
		started += n;
		k = ob_block_complete(m->blk, 0, reqs, DEPTH);
		for (unsigned int i = 0; i < k; i++) {
			struct slot *s = reqs[i]->user;

			s->busy = false;
			if (!m->failed)
				m->failed = check(m, s);
		}
		ended += k;
		if (!k)
			wait_for_disk(m, &last_tick);
	}
	ob_dma_free(m->blk->dma, arena);
	free(heap);
	free(m->in_use);
	return NULL;
}

/* The image on the host holds what the copy says. */
static void compare_image(struct mixed *m, const char *path)
{
	uint8_t *all = malloc(REGION);
	FILE *f = fopen(path, "re");

	assert_non_null(all);
	assert_non_null(f);
	assert_int_equal(fread(all, 1, REGION, f), REGION);
	assert_memory_equal(all, m->copy, REGION);
	fclose(f);
	free(all);
}

static void mixed_requests(const char *options, enum ob_mode mode, unsigned int requests)
{
	const struct ob_driver_config config = {.mode = mode, .depth = DEPTH};
	struct mixed m = {.mode = mode, .requests = requests, .seed = 0x1234567};
	char path[64], spec[256];
	struct bound d;

	make_image(path, 64 * MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s%s", path, options);
	d = bind_spec(spec, &config);
	assert_int_equal(d.b->nr_blocks, 1);
	m.blk = d.b->block[0];
	assert_int_equal(m.blk->limits.size, 64 * MIB);
	assert_int_equal(m.blk->limits.depth, DEPTH);
	assert_int_equal(ob_block_start(m.blk, NULL), 0);
	run_mixed(&m);
	assert_int_equal(m.failed, 0);
	assert_int_equal(ob_block_rw(m.blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	ob_block_stop(m.blk);
	release(&d);
	compare_image(&m, path);
	unlink(path);
	free(m.copy);
}

static void mixed_requests_by_interrupt(void **state)
{
	mixed_requests("", OB_MODE_INTERRUPT, 4000);
}

static void mixed_requests_polled(void **state)
{
	mixed_requests("", OB_MODE_POLL, 4000);
}

static void mixed_requests_with_pages_mapped_only_while_needed(void **state)
{
	mixed_requests(",dma=strict", OB_MODE_INTERRUPT, 2000);
}

static void mixed_requests_without_an_iommu(void **state)
{
	mixed_requests(",iommu=off", OB_MODE_INTERRUPT, 2000);
}

static void four_disks_on_two_cables_serve_four_threads(void **state)
{
	static const char *const names[] = {"ide0-master", "ide0-slave", "ide1-master",
					    "ide1-slave"};
	const struct ob_driver_config config = {.mode = OB_MODE_INTERRUPT, .depth = DEPTH};
	struct mixed m[4] = {0};
	pthread_t threads[4];
	char path[4][64], spec[512];
	struct bound d;

	for (int i = 0; i < 4; i++)
		make_image(path[i], 20 * MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,slave=%s,master2=%s,slave2=%s",
		 path[0], path[1], path[2], path[3]);
	d = bind_spec(spec, &config);
	assert_int_equal(d.b->nr_blocks, 4);
	for (int i = 0; i < 4; i++) {
		m[i].blk = d.b->block[i];
		m[i].mode = OB_MODE_INTERRUPT;
		m[i].requests = 1000;
		m[i].seed = 99 + (uint64_t)i;
		assert_string_equal(m[i].blk->name, names[i]);
		assert_int_equal(ob_block_start(m[i].blk, NULL), 0);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_mixed, &m[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(m[i].failed, 0);
		assert_int_equal(ob_block_rw(m[i].blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	}
	/* Stopping one leaves the other of its cable at work. */
	ob_block_stop(m[0].blk);
	assert_int_equal(ob_block_rw(m[1].blk, 0, OB_BLOCK_READ, 0, 0, m[0].copy, 4096), 0);
	assert_memory_equal(m[0].copy, m[1].copy, 4096);
	release(&d);
	for (int i = 0; i < 4; i++) {
		if (i)
			compare_image(&m[i], path[i]);
		unlink(path[i]);
		free(m[i].copy);
	}
}

/* ---- large disks ----------------------------------------------------------------------------- */

static void addresses_beyond_28_bits_reach_the_right_sectors(void **state)
{
	/* A sector, its namesake when the address is cut to 28 bits, and the last one. */
	static const uint64_t where[] = {(1ull << 28) - 2,
					 (1ull << 28) - 1,
					 1ull << 28,
					 (1ull << 28) + 5,
					 5,
					 0,
					 140 * 1024 * MIB / SECTOR - 1};
	enum {
		N = sizeof(where) / sizeof(where[0])
	};
	char path[64], spec[128];
	uint8_t block[8 * SECTOR], back[8 * SECTOR];
	struct bound d;
	int fd;

	make_image(path, 140 * 1024 * MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s", path);
	d = bind_spec(spec, NULL);
	assert_int_equal(ob_block_start(d.b->block[0], NULL), 0);
	assert_int_equal(d.b->block[0]->limits.size, 140 * 1024 * MIB);
	for (int i = 0; i < N; i++) {
		memset(block, 0x30 + i, SECTOR);
		assert_int_equal(ob_block_rw(d.b->block[0], 0, OB_BLOCK_WRITE, 0, where[i] * SECTOR,
					     block, SECTOR),
				 0);
	}
	for (int i = 0; i < N; i++) {
		memset(block, 0x30 + i, SECTOR);
		assert_int_equal(ob_block_rw(d.b->block[0], 0, OB_BLOCK_READ, 0, where[i] * SECTOR,
					     back, SECTOR),
				 0);
		assert_memory_equal(back, block, SECTOR);
	}
	/* One request across the boundary. */
	memset(block, 0x77, sizeof(block));
	assert_int_equal(ob_block_rw(d.b->block[0], 0, OB_BLOCK_WRITE, 0,
				     ((1ull << 28) - 4) * SECTOR, block, sizeof(block)),
			 0);
	ob_block_stop(d.b->block[0]);
	release(&d);

	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, back, sizeof(back), (off_t)(((1ull << 28) - 4) * SECTOR)),
			 sizeof(back));
	assert_memory_equal(back, block, sizeof(back));
	for (int i = 3; i < N; i++) {
		memset(block, 0x30 + i, SECTOR);
		assert_int_equal(pread(fd, back, SECTOR, (off_t)(where[i] * SECTOR)), SECTOR);
		if (i != 3) /* overwritten just now */
			assert_memory_equal(back, block, SECTOR);
	}
	close(fd);
	unlink(path);
}

/* ---- images that cannot be used ------------------------------------------------------------------ */

static void expect_open_error(const char *spec, int code, const char *says)
{
	struct ob_error err = {0};
	struct ob_device *dev = NULL;
	char text[2048];

	assert_int_equal(ob_device_open(spec, &dev, &err), code);
	assert_null(dev);
	ob_error_text(&err, text, sizeof(text));
	if (!strstr(text, says))
		fail_msg("\"%s\" does not say \"%s\"", text, says);
}

static void images_that_cannot_be_used_are_refused_with_the_reason(void **state)
{
	char path[64], spec[128];

	make_image(path, 511);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s", path);
	expect_open_error(spec, -EINVAL, path);
	unlink(path);
	expect_open_error(spec, -ENOENT, path);

	/* An ATA disk cannot be write protected: it is refused, not opened for writing. */
	make_image(path, MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,readonly", path);
	expect_open_error(spec, -EINVAL, "cannot be read-only");
	if (geteuid()) { /* root may write to anything */
		assert_int_equal(chmod(path, 0400), 0);
		snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s", path);
		expect_open_error(spec, -EACCES, path);
	}
	unlink(path);
}

static void a_cdrom_is_recognised_and_left_alone(void **state)
{
	char disk[64], cd[64], spec[256];
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;
	struct bound d;

	make_image(disk, MIB);
	make_image(cd, MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,cdrom=%s", disk, cd);
	d = bind_spec(spec, NULL);
	assert_int_equal(d.b->nr_blocks, 1);
	release(&d);

	snprintf(spec, sizeof(spec), "qemu:piix3-ide,cdrom=%s", cd);
	assert_int_equal(ob_device_open(spec, &dev, &err), 0);
	assert_int_equal(ob_driver_bind(dev, NULL, NULL, &b, &err), -ENODEV);
	assert_non_null(strstr(err.why, "ATAPI"));
	ob_device_close(dev);
	unlink(disk);
	unlink(cd);
}

/* ---- errors -------------------------------------------------------------------------------------- */

static void only_the_request_with_the_bad_sector_fails(void **state)
{
	static const char rules[] = "[inject-error]\n"
				    "event = \"none\"\n"
				    "errno = \"5\"\n"
				    "sector = \"1000\"\n"
				    "iotype = \"read\"\n";
	char path[64], debug[64], spec[256];
	struct ob_block_req reqs[DEPTH], *p[DEPTH];
	struct ob_block *blk;
	struct bound d;
	unsigned int got = 0;
	uint8_t *buf;
	FILE *f;

	make_image(path, 4 * MIB);
	make_image(debug, 0);
	f = fopen(debug, "we");
	assert_true(fputs(rules, f) > 0);
	fclose(f);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,blkdebug=%s", path, debug);
	d = bind_spec(spec, NULL);
	blk = d.b->block[0];
	assert_int_equal(ob_block_start(blk, NULL), 0);
	buf = ob_dma_alloc(blk->dma, DEPTH * 4096, 4096, "test", NULL);
	for (unsigned int i = 0; i < DEPTH; i++) {
		reqs[i] = (struct ob_block_req){
			.op = OB_BLOCK_READ,
			.offset = (900 + 8 * i) * SECTOR,
			.len = 4096,
			.buf = buf + 4096 * i,
		};
		p[i] = &reqs[i];
	}
	/* All are adjacent: they go as one command, which fails. */
	assert_int_equal(ob_block_submit(blk, 0, p, DEPTH), DEPTH);
	while (got < DEPTH)
		got += ob_block_complete(blk, 0, p, DEPTH);
	for (unsigned int i = 0; i < DEPTH; i++) {
		bool bad = reqs[i].offset <= 1000 * SECTOR && 1000 * SECTOR < reqs[i].offset + 4096;

		assert_int_equal(reqs[i].status, bad ? -EIO : 0);
	}
	ob_dma_free(blk->dma, buf);
	ob_block_stop(blk);
	release(&d);
	unlink(path);
	unlink(debug);
}

static void a_killed_qemu_ends_every_request(enum ob_mode mode, const char *more)
{
	const struct ob_driver_config config = {.mode = mode};
	struct ob_block_req reqs[DEPTH], *p[DEPTH];
	unsigned int got = 0, gone = 0;
	uint64_t last_tick = ob_clock_ns();
	char path[64], spec[256];
	struct mixed m = {.mode = mode};
	struct bound d;
	uint8_t *buf;

	make_image(path, 64 * MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,iops=20%s", path, more);
	d = bind_spec(spec, &config);
	m.blk = d.b->block[0];
	assert_int_equal(ob_block_start(m.blk, NULL), 0);
	buf = ob_dma_alloc(m.blk->dma, DEPTH * 4096, 4096, "test", NULL);
	for (unsigned int i = 0; i < DEPTH; i++) {
		reqs[i] = (struct ob_block_req){
			.op = i & 1 ? OB_BLOCK_WRITE : OB_BLOCK_READ,
			.offset = 65536 * i,
			.len = 4096,
			.buf = buf + 4096 * i,
		};
		p[i] = &reqs[i];
	}
	assert_int_equal(ob_block_submit(m.blk, 0, p, DEPTH), DEPTH);
	assert_int_equal(kill(qemu_pid(), SIGKILL), 0);
	while (got < DEPTH) {
		unsigned int k = ob_block_complete(m.blk, 0, p, DEPTH);

		for (unsigned int i = 0; i < k; i++)
			gone += p[i]->status == -ENODEV;
		got += k;
		if (!k)
			wait_for_disk(&m, &last_tick);
	}
	assert_int_equal(got, DEPTH);
	assert_true(gone > 0);
	/* And so does what comes later. */
	p[0] = &reqs[0];
	assert_int_equal(ob_block_submit(m.blk, 0, p, 1), 1);
	assert_int_equal(ob_block_complete(m.blk, 0, p, 1), 1);
	assert_int_equal(reqs[0].status, -ENODEV);
	ob_dma_free(m.blk->dma, buf);
	ob_block_stop(m.blk);
	release(&d);
	unlink(path);
}

static void a_killed_qemu_ends_every_request_by_interrupt(void **state)
{
	a_killed_qemu_ends_every_request(OB_MODE_INTERRUPT, "");
}

static void a_killed_qemu_ends_every_request_polled(void **state)
{
	a_killed_qemu_ends_every_request(OB_MODE_POLL, "");
}

/* With two disks on the vector a thread serves it: it must tell both. */
static void a_killed_qemu_ends_every_request_of_a_shared_vector(void **state)
{
	char slave[64], more[80];

	make_image(slave, MIB);
	snprintf(more, sizeof(more), ",slave=%s", slave);
	a_killed_qemu_ends_every_request(OB_MODE_INTERRUPT, more);
	unlink(slave);
}

/*
 * A disk that takes longer than a request may: it is reset, the command tried again, and at last given up;
 * a block then has its old content or its new one, and the disk can be used.
 */
static void a_disk_that_is_too_slow_is_reset_and_not_damaged(void **state)
{
	const struct ob_driver_config config = {.timeout_ms = 200};
	char path[64], spec[128];
	uint8_t block[4096], back[4096], zero[4096] = {0};
	struct ob_block_stats stats;
	struct ob_block *blk;
	bool good[4];
	struct bound d;
	int rc, fd;

	make_image(path, MIB);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,iops=1", path);
	d = bind_spec(spec, &config);
	blk = d.b->block[0];
	assert_int_equal(ob_block_start(blk, NULL), 0);
	for (int i = 0; i < 4; i++) {
		memset(block, 'a' + i, sizeof(block));
		rc = ob_block_rw(blk, 0, OB_BLOCK_WRITE, 0, (uint64_t)i * 4096, block,
				 sizeof(block));
		assert_true(rc == 0 || rc == -ETIMEDOUT);
		good[i] = !rc;
	}
	ob_block_stats(blk, &stats);
	assert_true(stats.timeouts > 0);
	assert_int_equal(stats.resets, stats.timeouts);
	ob_block_stop(blk);
	ob_driver_unbind(d.b);

	/* With patience all is well. */
	assert_int_equal(ob_driver_bind(d.dev, NULL, NULL, &d.b, NULL), 0);
	blk = d.b->block[0];
	assert_int_equal(ob_block_start(blk, NULL), 0);
	assert_int_equal(ob_block_rw(blk, 0, OB_BLOCK_READ, 0, 0, back, sizeof(back)), 0);
	ob_block_stop(blk);
	release(&d);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 4; i++) {
		memset(block, 'a' + i, sizeof(block));
		assert_int_equal(pread(fd, back, sizeof(back), i * 4096), sizeof(back));
		if (good[i] || memcmp(back, zero, sizeof(back)))
			assert_memory_equal(back, block, sizeof(block));
	}
	close(fd);
	unlink(path);
}

/* ---- a device that lies ---------------------------------------------------------------------------- */

/* Whatever the registers say, every request ends, and nothing else breaks. */
static void every_request_ends_with(const char *faults)
{
	const struct ob_driver_config config = {.timeout_ms = 100};
	char path[64], spec[256];
	uint8_t *buf = malloc(65536);
	struct ob_error err = {0};
	struct ob_block *blk;
	struct bound d;
	int ended = 0;

	make_image(path, 16 * MIB);
	snprintf(spec, sizeof(spec), "fault[%s,after=2000]:qemu:piix3-ide,file=%s", faults, path);
	d = bind_spec(spec, &config);
	blk = d.b->block[0];
	assert_int_equal(ob_block_start(blk, &err), 0);
	for (int i = 0; i < 200; i++) {
		enum ob_block_op op = i % 3 ? OB_BLOCK_READ : OB_BLOCK_WRITE;
		int rc = ob_block_rw(blk, 0, op, 0, (uint64_t)i * 65536, buf, 65536);

		if (rc > 0)
			fail_msg("status %d", rc);
		ended++;
		if (rc == -ENODEV)
			break;
	}
	assert_true(ended > 0);
	ob_block_stop(blk);
	release(&d);
	unlink(path);
	free(buf);
}

static void every_request_ends_when_registers_lie(void **state)
{
	every_request_ends_with("read=0.02,seed=3");
	every_request_ends_with("ones=0.02,seed=4");
	every_request_ends_with("write=0.005,seed=5");
	every_request_ends_with("irq=0.3,seed=6");
	every_request_ends_with("spurious=0.1,seed=7");
	every_request_ends_with("gone=2500");
}

static void every_request_ends_when_the_prd_table_is_overwritten(void **state)
{
	every_request_ends_with("scribble=prd,rate=0.05,seed=9");
}

/* ---- the rest --------------------------------------------------------------------------------------- */

static void the_selftest_passes_and_writes_nothing(void **state)
{
	char path[64], slave[64], spec[256];
	static uint8_t before[MIB], after[MIB];
	uint64_t seed = 77;
	struct bound d;
	FILE *f;

	make_image(path, MIB);
	make_image(slave, 200 * 1024 * MIB);
	fill(before, sizeof(before), &seed);
	f = fopen(path, "r+e");
	assert_int_equal(fwrite(before, 1, sizeof(before), f), sizeof(before));
	fclose(f);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s,slave=%s", path, slave);
	d = bind_spec(spec, NULL);
	/* the controller; five for a disk, six for one beyond 28 bits */
	assert_int_equal(expect_selftest(&d), 12);
	release(&d);
	f = fopen(path, "re");
	assert_int_equal(fread(after, 1, sizeof(after), f), sizeof(after));
	fclose(f);
	assert_memory_equal(before, after, sizeof(before));
	unlink(path);
	unlink(slave);
}

static void it_can_be_bound_again_and_again(void **state)
{
	struct ob_driver_config config = {0};
	struct ob_error err = {0};
	uint8_t block[SECTOR];
	struct ob_device *dev;
	struct ob_binding *b;
	char text[2048];

	if (ob_device_open("qemu:piix3-ide,null=1G", &dev, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	for (int i = 0; i < 6; i++) {
		config.mode = i & 1 ? OB_MODE_POLL : OB_MODE_INTERRUPT;
		if (ob_driver_bind(dev, NULL, &config, &b, &err))
			fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
		assert_int_equal(ob_block_start(b->block[0], &err), 0);
		assert_int_equal(ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, 0, block, SECTOR),
				 0);
		ob_block_stop(b->block[0]);
		ob_driver_unbind(b);
	}
	ob_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mixed_requests_by_interrupt),
		cmocka_unit_test(mixed_requests_polled),
		cmocka_unit_test(mixed_requests_with_pages_mapped_only_while_needed),
		cmocka_unit_test(mixed_requests_without_an_iommu),
		cmocka_unit_test(four_disks_on_two_cables_serve_four_threads),
		cmocka_unit_test(addresses_beyond_28_bits_reach_the_right_sectors),
		cmocka_unit_test(images_that_cannot_be_used_are_refused_with_the_reason),
		cmocka_unit_test(a_cdrom_is_recognised_and_left_alone),
		cmocka_unit_test(only_the_request_with_the_bad_sector_fails),
		cmocka_unit_test(a_killed_qemu_ends_every_request_by_interrupt),
		cmocka_unit_test(a_killed_qemu_ends_every_request_polled),
		cmocka_unit_test(a_killed_qemu_ends_every_request_of_a_shared_vector),
		cmocka_unit_test(a_disk_that_is_too_slow_is_reset_and_not_damaged),
		cmocka_unit_test(every_request_ends_when_registers_lie),
		cmocka_unit_test(every_request_ends_when_the_prd_table_is_overwritten),
		cmocka_unit_test(the_selftest_passes_and_writes_nothing),
		cmocka_unit_test(it_can_be_bound_again_and_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
