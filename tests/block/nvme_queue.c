/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver's queues alone: the commands that they write, and completions that no sound controller
 * would post. Queue memory and doorbells are plain memory here, and the test plays the controller.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <outboard/access.h>

#include "drivers/nvme/nvme.h"

enum {
	QID = 3,
	DEPTH = 10,
	SQ_ENTRIES = 16,
	CQ_ENTRIES = 64,
	MAX_TRANSFER = 1 << 19,
	SQ_DOORBELL = 0x1000 + 2 * QID * 4,
	CQ_DOORBELL = SQ_DOORBELL + 4,
};
#define SQ_IOVA	 0x100000ull
#define CQ_IOVA	 0x200000ull
#define PRP_IOVA 0x300000ull

struct rig {
	struct ob_device dev;
	struct nvme_ctrl ctrl;
	struct nvme_queue q;
	struct ob_bar bar;
	uint32_t registers[0x2000 / 4];
	/* the controller's side */
	unsigned int sq_head, cq_tail, phase;
	uint64_t posted;
};

static struct rig *rig_open(unsigned int cq_entries)
{
	struct nvme_queue_params params = {
		.qid = QID,
		.depth = DEPTH,
		.sq_entries = SQ_ENTRIES,
		.cq_entries = (uint16_t)cq_entries,
		.nsid = 7,
		.lba_shift = 9,
		.deac = true,
		.max_transfer = MAX_TRANSFER,
		.doorbell_stride = 4,
	};
	struct nvme_queue_memory mem = {
		.sq_iova = {SQ_IOVA}, .cq_iova = {CQ_IOVA}, .prp_iova = {PRP_IOVA}};
	struct rig *r = aligned_alloc(64, (sizeof(*r) + 63) & ~(size_t)63);

	assert_non_null(r);
	memset(r, 0, sizeof(*r));
	r->bar = (struct ob_bar){
		.map = r->registers, .size = sizeof(r->registers), .kind = OB_BAR_MEM};
	r->ctrl.dev = &r->dev;
	mem.sq = aligned_alloc(4096, 4096);
	mem.cq = aligned_alloc(4096, 4096);
	mem.prp = aligned_alloc(4096, (DEPTH * nvme_prp_bytes(MAX_TRANSFER) + 4095) & ~4095ul);
	assert_int_equal(nvme_queue_setup(&r->q, &r->ctrl, &r->bar, &params, &mem), 0);
	r->q.live = true;
	r->phase = 1;
	return r;
}

static void rig_close(struct rig *r)
{
	free(r->q.mem.sq);
	free(r->q.mem.cq);
	free(r->q.mem.prp);
	nvme_queue_teardown(&r->q);
	free(r);
}

static struct ob_block_req *submit_one(struct rig *r, struct ob_block_req *req)
{
	assert_int_equal(nvme_queue_submit(&r->q, &req, 1), 1);
	return req;
}

/* The command that the controller would fetch next. */
static struct nvme_sqe *fetch(struct rig *r)
{
	struct nvme_sqe *sqe = &r->q.sq[r->sq_head];

	assert_int_not_equal(r->registers[SQ_DOORBELL / 4], r->sq_head);
	r->sq_head = (r->sq_head + 1) % SQ_ENTRIES;
	return sqe;
}

static void post(struct rig *r, uint16_t sq_head, uint16_t sq_id, uint16_t cid, unsigned int status)
{
	struct nvme_cqe *cqe = &r->q.cq[r->cq_tail];

	cqe->dw2_3 = sq_head | (uint64_t)sq_id << 16 | (uint64_t)cid << 32 |
		     (uint64_t)r->phase << 48 | (uint64_t)status << 49;
	if (++r->cq_tail == r->q.cq_entries) {
		r->cq_tail = 0;
		r->phase ^= 1;
	}
	r->posted++;
}

static void post_good(struct rig *r, const struct nvme_sqe *sqe, unsigned int status)
{
	post(r, (uint16_t)r->sq_head, QID, (uint16_t)(sqe->cdw0 >> 16), status);
}

static struct ob_block_req *complete_one(struct rig *r)
{
	struct ob_block_req *req = NULL;

	return nvme_queue_complete(&r->q, &req, 1) == 1 ? req : NULL;
}

/* ---- commands -------------------------------------------------------------------- */

static void a_read_and_a_write_are_written_as_specified(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req read = {
		.op = OB_BLOCK_READ, .len = 4096, .offset = 3ull << 41, .iova = {0x123456000}};
	struct ob_block_req write = {.op = OB_BLOCK_WRITE,
				     .flags = OB_BLOCK_FUA,
				     .len = 8192,
				     .offset = 512,
				     .iova = {0x7000}};
	struct nvme_sqe *sqe;

	submit_one(r, &read);
	sqe = fetch(r);
	assert_int_equal(sqe->cdw0 & 0xffff, 0x02); /* not fused, PRPs */
	assert_int_equal(sqe->nsid, 7);
	assert_int_equal(sqe->cdw2_3 | sqe->mptr, 0);
	assert_int_equal(sqe->prp1, 0x123456000);
	assert_int_equal(sqe->prp2, 0);
	assert_int_equal(sqe->slba, 3ull << 32);
	assert_int_equal(sqe->cdw12, 7);
	assert_int_equal(sqe->cdw13 | sqe->cdw14_15, 0);

	submit_one(r, &write);
	sqe = fetch(r);
	assert_int_equal(sqe->cdw0 & 0xffff, 0x01);
	assert_int_equal(sqe->nsid, 7);
	assert_int_equal(sqe->prp1, 0x7000);
	assert_int_equal(sqe->prp2, 0x8000);
	assert_int_equal(sqe->slba, 1);
	assert_int_equal(sqe->cdw12, 15 | 1u << 30);
	rig_close(r);
}

static void the_other_commands_are_written_as_specified(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.op = OB_BLOCK_FLUSH};
	struct nvme_dsm_range *range;
	struct nvme_sqe *sqe;

	submit_one(r, &req);
	sqe = fetch(r);
	assert_int_equal(sqe->cdw0 & 0xffff, 0x00);
	assert_int_equal(sqe->nsid, 7);

	req = (struct ob_block_req){.op = OB_BLOCK_WRITE_ZEROES,
				    .flags = OB_BLOCK_FUA | OB_BLOCK_MAY_UNMAP,
				    .len = 65536 * 512,
				    .offset = 512};
	submit_one(r, &req);
	sqe = fetch(r);
	assert_int_equal(sqe->cdw0 & 0xffff, 0x08);
	assert_int_equal(sqe->slba, 1);
	assert_int_equal(sqe->cdw12, 65535 | 1u << 25 | 1u << 30);

	req = (struct ob_block_req){.op = OB_BLOCK_DISCARD, .len = 1 << 30, .offset = 1024};
	submit_one(r, &req);
	sqe = fetch(r);
	assert_int_equal(sqe->cdw0 & 0xffff, 0x09);
	assert_int_equal(sqe->cdw10, 0);
	assert_int_equal(sqe->cdw11, 1 << 2);
	assert_true(sqe->prp1 >= PRP_IOVA);
	range = (struct nvme_dsm_range *)((char *)r->q.mem.prp + (sqe->prp1 - PRP_IOVA));
	assert_int_equal(range->attributes, 0);
	assert_int_equal(range->blocks, (1 << 30) / 512);
	assert_int_equal(range->slba, 2);
	rig_close(r);
}

/* As a controller walks PRPs (4.3): every page in turn must be the next one of the buffer. */
static void check_prps(struct rig *r, const struct nvme_sqe *sqe, uint64_t iova, uint32_t len)
{
	uint64_t at = iova, end = iova + len;
	uint64_t *list = NULL;
	unsigned int n = 0;

	assert_int_equal(sqe->prp1, iova);
	at = (at | 4095) + 1;
	if (at >= end) {
		assert_int_equal(sqe->prp2, 0);
		return;
	}
	if (end - at <= 4096) {
		assert_int_equal(sqe->prp2, at);
		return;
	}
	assert_true(sqe->prp2 >= PRP_IOVA && sqe->prp2 % 8 == 0);
	list = (uint64_t *)((char *)r->q.mem.prp + (sqe->prp2 - PRP_IOVA));
	for (; at < end; at += 4096)
		assert_int_equal(list[n++], at);
	/* Within the slot's own room, and not across a page, where the last entry would be a link. */
	assert_true(n * 8 <= nvme_prp_bytes(MAX_TRANSFER));
	assert_true((sqe->prp2 & 4095) + n * 8 <= 4096);
}

static void prps_cover_the_buffer_whatever_its_alignment(void **state)
{
	static const uint32_t lens[] = {
		512, 4096, 4608, 8192, 12288, 65536, 131584, MAX_TRANSFER, MAX_TRANSFER - 512};
	struct rig *r = rig_open(CQ_ENTRIES);

	for (unsigned int i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (uint64_t off = 0; off < 4096; off += off < 512 ? 4 : 508) {
			struct ob_block_req req = {
				.op = OB_BLOCK_READ, .len = lens[i], .iova = {0x40000000 + off}};
			struct nvme_sqe *sqe;

			submit_one(r, &req);
			sqe = fetch(r);
			check_prps(r, sqe, req.iova.addr, req.len);
			post_good(r, sqe, 0);
			assert_ptr_equal(complete_one(r), &req);
		}
	}
	rig_close(r);
}

static void a_burst_has_one_doorbell(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req[DEPTH + 2] = {0}, *reqs[DEPTH + 2];

	for (unsigned int i = 0; i < DEPTH + 2; i++) {
		reqs[i] = &req[i];
		req[i].len = 512;
	}
	assert_int_equal(nvme_queue_submit(&r->q, reqs, DEPTH + 2), DEPTH);
	assert_int_equal(r->q.doorbells, 1);
	assert_int_equal(r->registers[SQ_DOORBELL / 4], DEPTH);
	assert_int_equal(nvme_queue_submit(&r->q, reqs + DEPTH, 2), 0);
	assert_int_equal(r->q.doorbells, 1);
	rig_close(r);
}

/* ---- completions ----------------------------------------------------------------- */

/*
 * A sound controller that completes in any order, over many turns of both rings: every request comes
 * back once, and the completion queue never runs over although its doorbell is rung late.
 */
static void run_in_any_order(unsigned int cq_entries)
{
	struct rig *r = rig_open(cq_entries);
	struct ob_block_req req[DEPTH] = {0}, *idle[DEPTH], *got[DEPTH];
	uint16_t waiting[DEPTH];
	unsigned int nr_idle = 0, nr_waiting = 0, seed = 1;
	uint64_t done = 0, fetched = 0;

	for (unsigned int i = 0; i < DEPTH; i++) {
		req[i].len = 512;
		req[i].user = (void *)1;
		idle[nr_idle++] = &req[i];
	}
	while (done < 20000) {
		unsigned int n = (unsigned int)rand_r(&seed) % (nr_idle + 1);

		n = n ? nvme_queue_submit(&r->q, idle + nr_idle - n, n) : 0;
		for (unsigned int i = 0; i < n; i++)
			idle[nr_idle - 1 - i]->user = NULL;
		nr_idle -= n;
		while (r->sq_head != r->registers[SQ_DOORBELL / 4]) {
			waiting[nr_waiting++] = (uint16_t)(fetch(r)->cdw0 >> 16);
			fetched++;
		}
		for (n = (unsigned int)rand_r(&seed) % (nr_waiting + 1); n; n--) {
			unsigned int i = (unsigned int)rand_r(&seed) % nr_waiting;
			unsigned int acked = r->registers[CQ_DOORBELL / 4];

			/* 4.1.1: full when the tail is one behind the head that the host told. */
			assert_int_not_equal((r->cq_tail + 1) % cq_entries, acked);
			post(r, (uint16_t)r->sq_head, QID, waiting[i], 0);
			waiting[i] = waiting[--nr_waiting];
		}
		n = nvme_queue_complete(&r->q, got, 1 + (unsigned int)rand_r(&seed) % DEPTH);
		for (unsigned int i = 0; i < n; i++) {
			assert_null(got[i]->user);
			assert_int_equal(got[i]->status, 0);
			got[i]->user = (void *)1;
			idle[nr_idle++] = got[i];
		}
		done += n;
	}
	assert_true(fetched >= done);
	assert_int_equal(r->q.bad_completions, 0);
	rig_close(r);
}

static void requests_complete_once_in_any_order(void **state)
{
	run_in_any_order(CQ_ENTRIES);
	run_in_any_order(SQ_ENTRIES); /* as a controller with a small MQES makes it */
}

static void the_completion_doorbell_is_rung_only_when_needed(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512};

	for (unsigned int i = 0; i < CQ_ENTRIES - 1 - DEPTH; i++) {
		assert_int_equal(r->registers[CQ_DOORBELL / 4], 0);
		submit_one(r, &req);
		post_good(r, fetch(r), 0);
		assert_ptr_equal(complete_one(r), &req);
	}
	assert_int_equal(r->registers[CQ_DOORBELL / 4], CQ_ENTRIES - 1 - DEPTH);
	rig_close(r);
}

static void refused(struct rig *r, struct ob_block_req *in_flight, const struct nvme_sqe *sqe,
		    uint64_t bad)
{
	struct ob_block_req *got[4];

	assert_int_equal(nvme_queue_complete(&r->q, got, 4), 0);
	assert_int_equal(r->q.bad_completions, bad);
	if (!in_flight)
		return;
	/* The right one still ends it. */
	post_good(r, sqe, 0);
	assert_ptr_equal(complete_one(r), in_flight);
	assert_int_equal(in_flight->status, 0);
}

static void completions_of_nothing_are_refused(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512};
	struct nvme_sqe *sqe;
	uint16_t cid;

	post(r, 0, QID, 0, 0); /* nothing is in flight at all */
	refused(r, NULL, NULL, 1);

	submit_one(r, &req);
	sqe = fetch(r);
	cid = (uint16_t)(sqe->cdw0 >> 16);
	post(r, 1, QID, (uint16_t)(cid ^ 1), 0); /* another slot */
	refused(r, &req, sqe, 2);

	submit_one(r, &req);
	sqe = fetch(r);
	cid = (uint16_t)(sqe->cdw0 >> 16);
	post(r, 2, QID, DEPTH, 0); /* a slot that does not exist: 10 of 16 */
	post(r, 2, QID, 0xffff, 0);
	refused(r, &req, sqe, 4);

	submit_one(r, &req);
	sqe = fetch(r);
	cid = (uint16_t)(sqe->cdw0 >> 16);
	post(r, 3, QID + 1, cid, 0); /* another queue's */
	post(r, 3, 0, cid, 0);
	post(r, SQ_ENTRIES, QID, cid, 0); /* a head outside of the ring */
	post(r, 0xffff, QID, cid, 0);
	refused(r, &req, sqe, 8);
	rig_close(r);
}

static void a_second_completion_is_refused(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512}, other = {.len = 512};
	struct nvme_sqe *sqe;
	uint16_t cid;

	submit_one(r, &req);
	sqe = fetch(r);
	cid = (uint16_t)(sqe->cdw0 >> 16);
	post_good(r, sqe, 0);
	post_good(r, sqe, 0);
	assert_ptr_equal(complete_one(r), &req);
	refused(r, NULL, NULL, 1);
	/* Nor does one end the next request in the same slot. */
	submit_one(r, &other);
	sqe = fetch(r);
	assert_int_equal((sqe->cdw0 >> 16) % 16, cid % 16);
	post(r, 2, QID, cid, 0);
	refused(r, &other, sqe, 2);
	rig_close(r);
}

static void an_entry_of_the_wrong_phase_is_not_there(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512};
	struct nvme_sqe *sqe;

	submit_one(r, &req);
	sqe = fetch(r);
	r->phase = 0;
	post_good(r, sqe, 0);
	r->phase = 1;
	r->cq_tail = 0;
	assert_null(complete_one(r));
	assert_int_equal(r->q.bad_completions, 0);
	post_good(r, sqe, 0);
	assert_ptr_equal(complete_one(r), &req);
	rig_close(r);
}

static void a_ring_full_of_garbage_ends(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req[DEPTH] = {0}, *reqs[DEPTH], *got[DEPTH];
	unsigned int seed = 5;

	for (unsigned int i = 0; i < DEPTH; i++) {
		reqs[i] = &req[i];
		req[i].len = 512;
	}
	assert_int_equal(nvme_queue_submit(&r->q, reqs, DEPTH), DEPTH);
	for (unsigned int round = 0; round < 2000; round++) {
		uint8_t *p = (uint8_t *)r->q.cq;
		unsigned int n;

		for (unsigned int i = 0; i < CQ_ENTRIES * 16; i++)
			p[i] = (uint8_t)(rand_r(&seed) >> 8);
		n = nvme_queue_complete(&r->q, got, DEPTH);
		assert_true(n <= DEPTH);
		/* What chance let through has ended; issue it again. */
		assert_int_equal(n ? nvme_queue_submit(&r->q, got, n) : 0, n);
	}
	assert_true(r->q.bad_completions > 1000);
	assert_true(r->q.bad >= NVME_BAD_LIMIT);
	assert_int_equal(r->q.nr_free, 0);
	rig_close(r);
}

static void statuses_become_errnos(void **state)
{
	static const struct {
		unsigned int sct, sc;
		int status;
	} table[] = {
		{0, 0x00, 0},	    {0, 0x01, -EOPNOTSUPP}, {0, 0x02, -EINVAL}, {0, 0x04, -EIO},
		{0, 0x06, -EIO},    {0, 0x08, -ECANCELED},  {0, 0x20, -EROFS},	{0, 0x80, -ERANGE},
		{0, 0x81, -ENOSPC}, {0, 0x82, -EIO},	    {0, 0x83, -EBUSY},	{1, 0x82, -EROFS},
		{2, 0x80, -EIO},    {2, 0x81, -EILSEQ},	    {2, 0x82, -EILSEQ}, {2, 0x86, -EACCES},
		{7, 0xff, -EIO},
	};
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		submit_one(r, &req);
		/* With "more" and "do not retry", which must not change the meaning. */
		post_good(r, fetch(r), table[i].sct << 8 | table[i].sc | (i ? 3u << 13 : 0));
		assert_ptr_equal(complete_one(r), &req);
		assert_int_equal(req.status, table[i].status);
	}
	rig_close(r);
}

/* ---- recovery, as far as it is the queue's ----------------------------------------- */

static void an_aborted_request_is_issued_once_more(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.op = OB_BLOCK_WRITE, .len = 512, .offset = 512, .iova = {4096}};
	struct nvme_sqe *sqe, first;
	unsigned int index;

	submit_one(r, &req);
	first = *fetch(r);
	index = (first.cdw0 >> 16) % 16;
	r->q.slot[index].timeouts = 1; /* as the tick does it */
	r->q.slot[index].aborting = 1;
	post_good(r, &first, NVME_SC_ABORT_REQUESTED);
	assert_null(complete_one(r));
	sqe = fetch(r); /* its doorbell was rung */
	assert_int_equal(sqe->cdw0 & 0xffff, 0x01);
	assert_int_not_equal(sqe->cdw0 >> 16, first.cdw0 >> 16);
	assert_int_equal(sqe->slba, 1);
	/* A late completion of the first issue is not this one's. */
	post_good(r, &first, 0);
	assert_null(complete_one(r));
	assert_int_equal(r->q.bad_completions, 1);

	r->q.slot[index].timeouts = NVME_TRIES;
	r->q.slot[index].aborting = 1;
	post_good(r, sqe, NVME_SC_ABORT_REQUESTED);
	assert_ptr_equal(complete_one(r), &req);
	assert_int_equal(req.status, -ETIMEDOUT);
	assert_int_equal(r->q.slot[index].history, 0);
	rig_close(r);
}

static void a_write_through_is_a_write_and_a_flush_where_fua_is_ignored(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {
		.op = OB_BLOCK_WRITE, .flags = OB_BLOCK_FUA, .len = 512, .iova = {4096}};
	struct nvme_sqe *sqe;

	r->q.fua_by_flush = true;
	for (unsigned int i = 0; i < 3; i++) {
		req.op = i < 2 ? OB_BLOCK_WRITE : OB_BLOCK_WRITE_ZEROES;
		submit_one(r, &req);
		sqe = fetch(r);
		assert_int_equal(sqe->cdw0 & 0xffff, i < 2 ? 0x01 : 0x08);
		post_good(r, sqe, 0);
		assert_null(complete_one(r));
		sqe = fetch(r);
		assert_int_equal(sqe->cdw0 & 0xffff, 0x00);
		post_good(r, sqe, i ? 0 : NVME_SC_WRITE_FAULT);
		assert_ptr_equal(complete_one(r), &req);
		assert_int_equal(req.status, i ? 0 : -EIO);
	}
	/* Nothing of it is left for the next request in the slot; and a write that fails is not flushed. */
	req.flags = 0;
	req.op = OB_BLOCK_WRITE;
	submit_one(r, &req);
	post_good(r, fetch(r), 0);
	assert_ptr_equal(complete_one(r), &req);
	req.flags = OB_BLOCK_FUA;
	submit_one(r, &req);
	post_good(r, fetch(r), NVME_SC_WRITE_FAULT);
	assert_ptr_equal(complete_one(r), &req);
	assert_int_equal(req.status, -EIO);
	rig_close(r);
}

static void a_late_success_is_a_success(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512};
	struct nvme_sqe *sqe;

	submit_one(r, &req);
	sqe = fetch(r);
	r->q.slot[(sqe->cdw0 >> 16) % 16].timeouts = 1;
	r->q.slot[(sqe->cdw0 >> 16) % 16].aborting = 1;
	post_good(r, sqe, 0);
	assert_ptr_equal(complete_one(r), &req);
	assert_int_equal(req.status, 0);
	rig_close(r);
}

static void a_device_that_is_gone_ends_all(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req[DEPTH] = {0}, *reqs[DEPTH], *got[DEPTH];
	unsigned int n = 0;

	for (unsigned int i = 0; i < DEPTH; i++) {
		reqs[i] = &req[i];
		req[i].len = 512;
	}
	assert_int_equal(nvme_queue_submit(&r->q, reqs, DEPTH), DEPTH);
	post_good(r, fetch(r), 0);
	r->dev.gone = 1;
	/* What had ended has ended; the rest ends now. */
	while (n < DEPTH) {
		unsigned int more = nvme_queue_complete(&r->q, got, 3);

		assert_true(more > 0);
		n += more;
	}
	assert_int_equal(nvme_queue_complete(&r->q, got, 3), 0);
	n = 0;
	for (unsigned int i = 0; i < DEPTH; i++) {
		assert_true(!req[i].status || req[i].status == -ENODEV);
		n += !req[i].status;
	}
	assert_int_equal(n, 1);
	rig_close(r);
}

static void a_controller_that_was_given_up_ends_requests_at_once(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512};

	r->q.fate = -EIO;
	r->q.live = false;
	submit_one(r, &req);
	assert_int_equal(r->q.doorbells, 0);
	assert_true(nvme_queue_pending(&r->q));
	assert_ptr_equal(complete_one(r), &req);
	assert_int_equal(req.status, -EIO);
	assert_false(nvme_queue_pending(&r->q));
	rig_close(r);
}

static void during_a_reset_a_queue_takes_and_gives_nothing(void **state)
{
	struct rig *r = rig_open(CQ_ENTRIES);
	struct ob_block_req req = {.len = 512}, *reqs = &req;

	r->q.busy = 1; /* as nvme_reset() holds it */
	r->ctrl.resetting = 1;
	assert_int_equal(nvme_queue_submit(&r->q, &reqs, 1), 0);
	assert_int_equal(nvme_queue_complete(&r->q, &reqs, 1), 0);
	nvme_queue_leave(&r->q);
	assert_int_equal(nvme_queue_submit(&r->q, &reqs, 1), 1);
	rig_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_and_a_write_are_written_as_specified),
		cmocka_unit_test(the_other_commands_are_written_as_specified),
		cmocka_unit_test(prps_cover_the_buffer_whatever_its_alignment),
		cmocka_unit_test(a_burst_has_one_doorbell),
		cmocka_unit_test(requests_complete_once_in_any_order),
		cmocka_unit_test(the_completion_doorbell_is_rung_only_when_needed),
		cmocka_unit_test(completions_of_nothing_are_refused),
		cmocka_unit_test(a_second_completion_is_refused),
		cmocka_unit_test(an_entry_of_the_wrong_phase_is_not_there),
		cmocka_unit_test(a_ring_full_of_garbage_ends),
		cmocka_unit_test(statuses_become_errnos),
		cmocka_unit_test(an_aborted_request_is_issued_once_more),
		cmocka_unit_test(a_write_through_is_a_write_and_a_flush_where_fua_is_ignored),
		cmocka_unit_test(a_late_success_is_a_success),
		cmocka_unit_test(a_device_that_is_gone_ends_all),
		cmocka_unit_test(a_controller_that_was_given_up_ends_requests_at_once),
		cmocka_unit_test(during_a_reset_a_queue_takes_and_gives_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
