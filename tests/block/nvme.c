/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver on QEMU's NVMe controller: what it finds, what reaches the image, in which way it
 * waits. What happens when something goes wrong is in nvme_recovery.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/block/nvme_rig.h"

/* ---- what it finds --------------------------------------------------------------- */

static void a_disk_is_what_its_controller_says(void **state)
{
	struct rig r;
	struct ob_block *blk;

	rig_open(&r, NULL, "qemu:nvme,file=%s,serial=S-42", rig_image(&r, 0, 8 << 20));
	assert_string_equal(r.binding->driver->name, "nvme");
	assert_int_equal(r.binding->nr_blocks, 1);
	blk = r.blk;
	assert_string_equal(blk->name, "nvme0n1");
	assert_string_equal(blk->serial, "S-42");
	assert_true(blk->model[0]);
	assert_int_equal(blk->limits.size, 8 << 20);
	assert_int_equal(blk->limits.block_size, 512);
	assert_int_equal(blk->limits.max_transfer, 512 << 10); /* QEMU's mdts=7 */
	assert_int_equal(blk->limits.max_zeroes, 65536 * 512);
	assert_true(blk->limits.max_discard > 1 << 30);
	assert_true(blk->limits.volatile_cache);
	assert_true(ob_block_can_flush(blk) && ob_block_can_fua(blk));
	assert_true(ob_block_can_discard(blk) && ob_block_can_write_zeroes(blk));
	assert_true(ob_block_can_multi_conn(blk));
	rig_close(&r);
}

static void every_namespace_is_a_disk_of_its_own(void **state)
{
	enum {
		N = 8
	};
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_block_req req[2][N] = {0}, *reqs[2][N], *got[N];
	struct rig r;
	char *buf;

	rig_open(&r, &config, "qemu:nvme,file=%s,file2=%s", rig_image(&r, 0, 4 << 20),
		 rig_image(&r, 1, 8 << 20));
	assert_int_equal(r.binding->nr_blocks, 2);
	assert_string_equal(r.binding->block[1]->name, "nvme0n2");
	assert_int_equal(r.binding->block[1]->limits.size, 8 << 20);
	assert_int_equal(ob_block_start(r.binding->block[1], NULL), 0);
	buf = rig_alloc(&r, 2 * N * 4096);
	/* Both at once; neither gets what is the other's. */
	for (unsigned int d = 0; d < 2; d++) {
		for (unsigned int i = 0; i < N; i++) {
			char *p = buf + (d * N + i) * 4096;

			memset(p, (int)('a' + d * N + i), 4096);
			req[d][i] = (struct ob_block_req){.op = OB_BLOCK_WRITE,
							  .len = 4096,
							  .offset = i * 4096,
							  .buf = p,
							  .user = r.binding->block[d]};
			reqs[d][i] = &req[d][i];
		}
	}
	for (unsigned int d = 0; d < 2; d++)
		assert_int_equal(ob_block_submit(r.binding->block[d], 0, reqs[d], N), N);
	for (unsigned int d = 2; d-- > 0;) {
		unsigned int done = 0;

		while (done < N) {
			unsigned int n = ob_block_complete(r.binding->block[d], 0, got, N);

			for (unsigned int i = 0; i < n; i++) {
				assert_ptr_equal(got[i]->user, r.binding->block[d]);
				assert_int_equal(got[i]->status, 0);
			}
			done += n;
		}
	}
	for (unsigned int d = 0; d < 2; d++) {
		char *data = rig_read_image(&r, d, 0, N * 4096);

		assert_memory_equal(data, buf + d * N * 4096, N * 4096);
		free(data);
	}
	rig_close(&r);
}

static void namespaces_without_a_queue_are_left_out_with_a_word(void **state)
{
	struct rig r;

	rig_open(&r, NULL, "qemu:nvme,null=16M,namespaces=3,prop.max_ioqpairs=2");
	assert_int_equal(r.binding->nr_blocks, 2);
	assert_non_null(strstr(r.log, "namespace 3 is left out"));
	rig_close(&r);
}

static void blocks_of_4096_bytes_work(void **state)
{
	struct rig r;
	char buf[8192];

	rig_open(&r, NULL, "qemu:nvme,file=%s,qemu=%s", rig_image(&r, 0, 4 << 20),
		 rig_qemu(&r, "-global nvme-ns.logical_block_size=4096 "
			      "-global nvme-ns.physical_block_size=4096"));
	assert_int_equal(r.blk->limits.block_size, 4096);
	rig_pattern(buf, sizeof(buf), 3);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 4096, buf, sizeof(buf)), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 512, buf, 512), -EINVAL);
	rig_expect_image(&r, 0, 4096, buf, sizeof(buf));
	rig_close(&r);
}

static void a_namespace_with_metadata_is_refused_by_name(void **state)
{
	struct ob_error err = {0};
	struct rig r;
	int rc;

	rc = rig_try(&r, NULL, &err, "qemu:nvme,file=%s,qemu=%s", rig_image(&r, 0, 4 << 20),
		     rig_qemu(&r, "-global nvme-ns.ms=8"));
	assert_int_equal(rc, -ENODEV);
	assert_non_null(strstr(err.why, "metadata"));
	rig_close(&r);
}

static void long_requests_are_split_at_mdts(void **state)
{
	struct rig r;
	char *buf = malloc(300000), *back = malloc(300000);

	rig_open(&r, NULL, "qemu:nvme,file=%s,prop.mdts=1", rig_image(&r, 0, 4 << 20));
	assert_int_equal(r.blk->limits.max_transfer, 8192);
	rig_pattern(buf, 300000, 5);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 512, buf, 299008), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 512, back, 299008), 0);
	assert_memory_equal(buf, back, 299008);
	rig_expect_image(&r, 0, 512, buf, 299008);
	rig_close(&r);

	/* 2 MiB, more than the driver's own limit. (QEMU 10 refuses 0, no limit at all: nvme_identify.c has it.) */
	rig_open(&r, NULL, "qemu:nvme,file=%s,prop.mdts=9", rig_image(&r, 0, 4 << 20));
	assert_int_equal(r.blk->limits.max_transfer, NVME_MAX_TRANSFER);
	free(buf);
	buf = rig_alloc(&r, NVME_MAX_TRANSFER + 4);
	rig_pattern(buf + 4, NVME_MAX_TRANSFER, 9);
	/* Misaligned by a dword: as many pages as there can be. */
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf + 4, NVME_MAX_TRANSFER),
			 0);
	assert_int_equal(r.blk->bounced, 0);
	rig_expect_image(&r, 0, 0, buf + 4, NVME_MAX_TRANSFER);
	free(back);
	rig_close(&r);
}

/* ---- what reaches the image ------------------------------------------------------ */

static void what_is_written_is_in_the_image_and_back(void **state)
{
	struct rig r;
	char *in_arena, *elsewhere = malloc(65536 + 1);

	rig_open(&r, NULL, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	in_arena = rig_alloc(&r, 65536);
	rig_pattern(in_arena, 65536, 1);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 4096, in_arena, 65536), 0);
	assert_int_equal(r.blk->bounced, 0);
	rig_expect_image(&r, 0, 4096, in_arena, 65536);
	rig_pattern(elsewhere + 1, 65536, 2);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 1 << 20, elsewhere + 1, 65536),
			 0);
	assert_true(r.blk->bounced > 0);
	rig_expect_image(&r, 0, 1 << 20, elsewhere + 1, 65536);
	/* Crosswise back. */
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 4096, elsewhere + 1, 65536), 0);
	assert_memory_equal(elsewhere + 1, in_arena, 65536);
	free(elsewhere);
	rig_close(&r);
}

static void zeroes_and_discards_keep_to_their_range(void **state)
{
	enum {
		LEN = 1 << 20
	};
	struct rig r;
	char *buf, *data;

	rig_open(&r, NULL, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	buf = rig_alloc(&r, LEN);
	rig_pattern(buf, LEN, 7);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, LEN), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE_ZEROES, 0, 512, NULL, 1024), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE_ZEROES, OB_BLOCK_MAY_UNMAP, 65536,
				     NULL, 65536),
			 0);
	assert_int_equal(
		ob_block_rw(r.blk, 0, OB_BLOCK_WRITE_ZEROES, OB_BLOCK_FUA, 262144, NULL, 4096), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_DISCARD, 0, 524288, NULL, 65536), 0);
	memset(buf + 512, 0, 1024);
	memset(buf + 65536, 0, 65536);
	memset(buf + 262144, 0, 4096);
	data = rig_read_image(&r, 0, 0, LEN);
	/* What was discarded may be anything. */
	memcpy(data + 524288, buf + 524288, 65536);
	assert_memory_equal(data, buf, LEN);
	free(data);
	rig_close(&r);
}

static void a_discard_gives_the_space_back(void **state)
{
	struct stat before, after;
	struct rig r;
	char *buf;

	rig_open(&r, NULL, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	if (!rig_can_punch(&r)) {
		rig_close(&r);
		print_message("# this file system makes no holes in files\n");
		skip();
	}
	buf = rig_alloc(&r, 2 << 20);
	rig_pattern(buf, 2 << 20, 7);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, 2 << 20), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(stat(r.image[0], &before), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_DISCARD, 0, 1 << 20, NULL, 1 << 20), 0);
	assert_int_equal(stat(r.image[0], &after), 0);
	assert_true(after.st_blocks <= before.st_blocks - (1 << 20) / 512);
	rig_close(&r);
}

/* An image whose flushes fail shows which requests flush. */
static void flush_and_fua_reach_the_medium(void **state)
{
	struct rig r;
	char buf[512] = "";

	rig_open(&r, NULL, "qemu:nvme,file=%s,blkdebug=%s", rig_image(&r, 0, 4 << 20),
		 rig_file(&r, "[inject-error]\nevent = \"flush_to_disk\"\niotype = \"flush\"\n"
			      "errno = \"5\"\nonce = \"off\"\n"));
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, 512), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, OB_BLOCK_FUA, 0, buf, 512), -EIO);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, 512), 0);
	rig_close(&r);
}

static void an_unreadable_block_is_a_media_error_of_its_own(void **state)
{
	struct rig r;
	char buf[8192];

	rig_open(&r, NULL, "qemu:nvme,file=%s,blkdebug=%s", rig_image(&r, 0, 4 << 20),
		 rig_file(&r,
			  "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\nsector = \"64\"\n"
			  "once = \"off\"\n"));
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 0, buf, 8192), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 64 * 512, buf, 512), -EILSEQ);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 65 * 512, buf, 512), 0);
	rig_close(&r);
}

static void a_read_only_image_is_never_changed(void **state)
{
	struct rig r;
	char buf[4096], *data;

	rig_open(&r, NULL, "qemu:nvme,file=%s,readonly", rig_image(&r, 0, 4 << 20));
	memset(buf, 'x', sizeof(buf));
	/* The model does not say so itself; its clients have to know before they write. */
	assert_true(r.blk->limits.read_only);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, 4096), -EROFS);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE_ZEROES, 0, 0, NULL, 4096), -EROFS);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 0, buf, 4096), 0);
	assert_int_equal(buf[0], 0);
	data = rig_read_image(&r, 0, 0, 4096);
	assert_memory_equal(data, buf, 4096);
	free(data);
	rig_close(&r);
}

/* ---- ways to wait ---------------------------------------------------------------- */

/* Read through an ob_loop until @n reads of each of @disks disks are done. */
struct reader {
	struct ob_block *blk;
	struct ob_block_req req;
	unsigned int done, want;
	bool busy;
};

static unsigned int reader_poll(void *arg, unsigned int budget)
{
	struct reader *rd = arg;
	struct ob_block_req *req = &rd->req;
	unsigned int work = 0;

	if (ob_block_complete(rd->blk, 0, &req, 1)) {
		assert_int_equal(req->status, 0);
		rd->busy = false;
		rd->done++;
		work++;
	}
	if (!rd->busy && rd->done < rd->want) {
		req = &rd->req;
		req->offset = rd->done * 4096ull % rd->blk->limits.size;
		work += ob_block_submit(rd->blk, 0, &req, 1);
		rd->busy = true;
	}
	return work;
}

static bool reader_arm(void *arg, bool on)
{
	struct reader *rd = arg;

	return rd->blk->ops->irq_arm(rd->blk, 0, on);
}

static void read_by_loop(struct rig *r, enum ob_mode mode, unsigned int disks, unsigned int n,
			 struct ob_loop_stats *stats)
{
	struct reader rd[OB_BINDING_BLOCKS] = {0};
	struct ob_loop *loop;
	unsigned int done = 0;

	assert_int_equal(ob_loop_create(mode, &loop), 0);
	for (unsigned int i = 0; i < disks; i++) {
		struct ob_block *blk = r->binding->block[i];
		struct ob_loop_source source = {.name = blk->name,
						.poll = reader_poll,
						.arm = reader_arm,
						.arg = &rd[i],
						.fd = blk->irq_fd[0]};

		if (i)
			assert_int_equal(ob_block_start(blk, NULL), 0);
		rd[i].blk = blk;
		rd[i].want = n;
		rd[i].req = (struct ob_block_req){.len = 4096, .buf = rig_alloc(r, 4096)};
		assert_int_equal(ob_loop_add(loop, &source), 0);
	}
	while (done < disks * n) {
		uint64_t start = ob_clock_ms();

		/* Nobody ticks here: a lost interrupt shows as a sleep of all the time there is. */
		if (!ob_loop_once(loop, 60000))
			assert_true(ob_clock_ms() - start < 59900);
		done = 0;
		for (unsigned int i = 0; i < disks; i++)
			done += rd[i].done;
	}
	ob_loop_stats(loop, stats);
	ob_loop_destroy(loop);
}

/* With nothing in flight it arms; what is submitted then must be heard of. */
static void wait_by_descriptor(struct rig *r, struct ob_block *blk, unsigned int queue)
{
	struct pollfd pfd = {.fd = blk->irq_fd[queue], .events = POLLIN};
	struct ob_block_req req = {.len = 4096, .buf = rig_alloc(r, 4096)}, *reqs = &req;
	uint64_t count;

	for (unsigned int i = 0; i < 200; i++) {
		bool done = false;

		while (blk->ops->irq_arm(blk, queue, true))
			assert_int_equal(ob_block_complete(blk, queue, &reqs, 1), 0);
		reqs = &req;
		assert_int_equal(ob_block_submit(blk, queue, &reqs, 1), 1);
		/* More than one may come: one for each time that the device found something to tell. */
		while (!done) {
			assert_int_equal(poll(&pfd, 1, 60000), 1);
			assert_int_equal(read(pfd.fd, &count, sizeof(count)), sizeof(count));
			done = ob_block_complete(blk, queue, &reqs, 1) == 1;
			if (!done && blk->ops->irq_arm(blk, queue, true))
				done = ob_block_complete(blk, queue, &reqs, 1) == 1;
		}
		assert_int_equal(req.status, 0);
	}
}

static void check_interrupts(enum ob_irq_kind kind, unsigned int disks)
{
	struct ob_driver_config config = {.mode = OB_MODE_INTERRUPT, .irq_kind = kind, .queues = 2};
	struct ob_loop_stats stats;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,null=16M,namespaces=%u", disks);
	assert_int_equal(r.blk->limits.queues, kind == OB_IRQ_INTX ? 1 : 2);
	for (unsigned int q = 0; q < r.blk->limits.queues; q++)
		wait_by_descriptor(&r, r.blk, q);
	read_by_loop(&r, OB_MODE_INTERRUPT, disks, 300, &stats);
	rig_close(&r);
}

static void interrupts_by_msix(void **state)
{
	check_interrupts(OB_IRQ_MSIX, 1);
	check_interrupts(OB_IRQ_MSIX, 3);
}

static void interrupts_by_intx(void **state)
{
	check_interrupts(OB_IRQ_INTX, 1);
}

static void disks_that_share_intx_are_all_woken(void **state)
{
	check_interrupts(OB_IRQ_INTX, 3);
}

/* Arming forgets interrupts that came before; so what they were for must be told, or it is slept upon. */
static void arming_tells_of_what_has_completed(void **state)
{
	static const enum ob_irq_kind kinds[] = {OB_IRQ_MSIX, OB_IRQ_INTX};

	for (unsigned int i = 0; i < 2; i++) {
		struct ob_driver_config config = {.irq_kind = kinds[i]};
		struct ob_block_req req = {.len = 4096}, *reqs = &req;
		struct pollfd pfd;
		struct rig r;

		rig_open(&r, &config, "qemu:nvme,null=16M");
		req.buf = rig_alloc(&r, 4096);
		pfd = (struct pollfd){.fd = r.blk->irq_fd[0], .events = POLLIN};
		while (r.blk->ops->irq_arm(r.blk, 0, true))
			assert_int_equal(ob_block_complete(r.blk, 0, &reqs, 1), 0);
		reqs = &req;
		assert_int_equal(ob_block_submit(r.blk, 0, &reqs, 1), 1);
		assert_int_equal(poll(&pfd, 1, 60000), 1);
		/* INTx may have been asserted for an admin command; the disk needs no time for a read. */
		while (!nvme_queue_pending(((struct nvme_ctrl *)r.binding->priv)->queue[0]))
			sched_yield();
		assert_true(r.blk->ops->irq_arm(r.blk, 0, true));
		assert_int_equal(ob_block_complete(r.blk, 0, &reqs, 1), 1);
		assert_false(r.blk->ops->irq_arm(r.blk, 0, true));
		rig_close(&r);
	}
}

static void polling_uses_no_vector_at_all(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_access_stats access;
	struct ob_loop_stats stats;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,null=16M");
	assert_int_equal(r.blk->irq_fd[0], -1);
	read_by_loop(&r, OB_MODE_POLL, 1, 300, &stats);
	ob_device_stats(r.dev, &access);
	assert_int_equal(access.irqs, 0);
	assert_int_equal(stats.sleeps, 0);
	rig_close(&r);
}

static void too_few_vectors_mean_fewer_queues(void **state)
{
	struct ob_driver_config config = {.queues = 4};
	struct ob_loop_stats stats;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,null=16M,prop.msix_qsize=3");
	assert_int_equal(r.blk->limits.queues, 2);
	read_by_loop(&r, OB_MODE_INTERRUPT, 1, 20, &stats);
	rig_close(&r);
	/* One vector for two disks: shared. */
	rig_open(&r, &config, "qemu:nvme,null=16M,namespaces=2,prop.msix_qsize=2");
	assert_int_equal(r.blk->limits.queues, 1);
	read_by_loop(&r, OB_MODE_INTERRUPT, 2, 100, &stats);
	rig_close(&r);
}

static void an_interrupt_kind_that_is_not_there_is_an_error(void **state)
{
	struct ob_driver_config config = {.irq_kind = OB_IRQ_MSI}; /* QEMU's controller has none */
	struct ob_error err = {0};
	struct rig r;

	assert_int_equal(rig_try(&r, &config, &err, "qemu:nvme,null=16M"), -EOPNOTSUPP);
	assert_non_null(strstr(err.what, "MSI"));
	assert_non_null(strstr(err.fix, "poll"));
	rig_close(&r);
}

/* ---- queues ---------------------------------------------------------------------- */

struct worker {
	struct rig *r;
	unsigned int queue;
	int status;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t base = w->queue * (1ull << 20);
	char *out = malloc(65536), *in = malloc(65536);

	for (unsigned int i = 0; i < 64 && !w->status; i++) {
		uint64_t offset = base + i % 16 * 65536;

		rig_pattern(out, 65536, w->queue * 1000 + i);
		w->status = ob_block_rw(w->r->blk, w->queue, OB_BLOCK_WRITE, 0, offset, out, 65536);
		if (!w->status)
			w->status = ob_block_rw(w->r->blk, w->queue, OB_BLOCK_READ, 0, offset, in,
						65536);
		if (!w->status && memcmp(in, out, 65536))
			w->status = -EILSEQ;
	}
	free(out);
	free(in);
	return NULL;
}

static void queues_work_side_by_side(void **state)
{
	struct ob_driver_config config = {.queues = 4};
	struct worker w[4] = {0};
	pthread_t thread[4];
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	assert_int_equal(r.blk->limits.queues, 4);
	for (unsigned int i = 0; i < 4; i++) {
		w[i] = (struct worker){.r = &r, .queue = i};
		assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(w[i].status, 0);
	rig_close(&r);
}

static void a_disk_starts_and_stops_and_starts(void **state)
{
	struct rig r;
	char buf[512];

	rig_open(&r, NULL, "qemu:nvme,null=16M");
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 0, buf, 512), 0);
		ob_block_stop(r.blk);
		assert_int_equal(ob_block_start(r.blk, NULL), 0);
	}
	rig_close(&r);
}

static void a_driver_can_be_bound_again(void **state)
{
	struct ob_dma_stats dma;
	struct rig r;
	char buf[512];

	rig_open(&r, NULL, "qemu:nvme,null=16M");
	for (unsigned int i = 0; i < 3; i++) {
		ob_driver_unbind(r.binding);
		r.binding = NULL;
		ob_dma_stats(ob_device_dma(r.dev), &dma);
		assert_int_equal(dma.allocated, 0);
		assert_int_equal(dma.mapped, 0);
		assert_int_equal(ob_driver_bind(r.dev, NULL, NULL, &r.binding, NULL), 0);
		r.blk = r.binding->block[0];
		assert_int_equal(ob_block_start(r.blk, NULL), 0);
		assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 0, buf, 512), 0);
	}
	rig_close(&r);
}

static void the_self_test_passes_and_leaves_data_alone(void **state)
{
	struct ob_selftest_line lines[8];
	struct rig r;
	char buf[4096];
	int n;

	rig_open(&r, NULL, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	rig_pattern(buf, sizeof(buf), 4);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, 4096), 0);
	n = r.binding->driver->selftest(r.binding, lines, 8);
	assert_int_equal(n, 4);
	assert_int_equal(lines[3].result, 1); /* skipped: the test has the disk in use */
	ob_block_stop(r.blk);
	n = r.binding->driver->selftest(r.binding, lines, 8);
	assert_int_equal(n, 4);
	for (int i = 0; i < n; i++)
		assert_int_equal(lines[i].result, 0);
	rig_expect_image(&r, 0, 0, buf, 4096);
	assert_int_equal(r.binding->driver->selftest(r.binding, lines, 2), 2);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_is_what_its_controller_says),
		cmocka_unit_test(every_namespace_is_a_disk_of_its_own),
		cmocka_unit_test(namespaces_without_a_queue_are_left_out_with_a_word),
		cmocka_unit_test(blocks_of_4096_bytes_work),
		cmocka_unit_test(a_namespace_with_metadata_is_refused_by_name),
		cmocka_unit_test(long_requests_are_split_at_mdts),
		cmocka_unit_test(what_is_written_is_in_the_image_and_back),
		cmocka_unit_test(zeroes_and_discards_keep_to_their_range),
		cmocka_unit_test(a_discard_gives_the_space_back),
		cmocka_unit_test(flush_and_fua_reach_the_medium),
		cmocka_unit_test(an_unreadable_block_is_a_media_error_of_its_own),
		cmocka_unit_test(a_read_only_image_is_never_changed),
		cmocka_unit_test(interrupts_by_msix),
		cmocka_unit_test(interrupts_by_intx),
		cmocka_unit_test(disks_that_share_intx_are_all_woken),
		cmocka_unit_test(arming_tells_of_what_has_completed),
		cmocka_unit_test(polling_uses_no_vector_at_all),
		cmocka_unit_test(too_few_vectors_mean_fewer_queues),
		cmocka_unit_test(an_interrupt_kind_that_is_not_there_is_an_error),
		cmocka_unit_test(queues_work_side_by_side),
		cmocka_unit_test(a_disk_starts_and_stops_and_starts),
		cmocka_unit_test(a_driver_can_be_bound_again),
		cmocka_unit_test(the_self_test_passes_and_leaves_data_alone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
