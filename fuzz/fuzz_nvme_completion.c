/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completions of a controller that lies. The input is a program: requests are submitted, entries written
 * anywhere in the completion queue, requests collected. Each must come back at most once for each time it
 * was submitted, the counts must agree, and nothing outside of the queue may be touched.
 */
#include <stdlib.h>
#include <string.h>

#include <outboard/access.h>

#include "drivers/nvme/nvme.h"

enum {
	QID = 1,
	DEPTH = 5,
	SQ_ENTRIES = 8,
	CQ_ENTRIES = 16,
	MAX_TRANSFER = 65536,
};

struct reader {
	const uint8_t *p, *end;
};

static uint64_t take(struct reader *r, unsigned int bytes)
{
	uint64_t val = 0;

	for (unsigned int i = 0; i < bytes && r->p < r->end; i++)
		val |= (uint64_t)*r->p++ << 8 * i;
	return val;
}

static void submit(struct nvme_queue *q, struct ob_block_req *reqs, bool *in_flight,
		   struct reader *r)
{
	uint8_t what = (uint8_t)take(r, 1);
	struct ob_block_req *idle[DEPTH];
	unsigned int n = 0, taken;

	for (unsigned int i = 0; i < DEPTH && n <= what % DEPTH; i++) {
		if (in_flight[i])
			continue;
		/* What the class lets through, and nothing else. */
		reqs[i] = (struct ob_block_req){.op = (uint8_t)(what / DEPTH % 5),
						.len = 4096u << what % 5,
						.offset = 512u * what,
						.iova = {0x10000 + what * 4u}};
		if (what & 0x80 && reqs[i].op == OB_BLOCK_WRITE)
			reqs[i].flags = OB_BLOCK_FUA;
		idle[n++] = &reqs[i];
	}
	taken = nvme_queue_submit(q, idle, n);
	if (taken > n)
		abort();
	for (unsigned int i = 0; i < taken; i++)
		in_flight[idle[i] - reqs] = true;
}

static void collect(struct nvme_queue *q, struct ob_block_req *reqs, bool *in_flight,
		    unsigned int n)
{
	struct ob_block_req *got[DEPTH];

	n = nvme_queue_complete(q, got, n);
	for (unsigned int i = 0; i < n; i++) {
		ptrdiff_t index = got[i] - reqs;

		if (index < 0 || index >= DEPTH || !in_flight[index] || got[i]->status > 0)
			abort();
		in_flight[index] = false;
	}
}

/* As a sound controller would, but for what the input changes. */
static void complete(struct nvme_queue *q, unsigned int *tail, unsigned int *phase,
		     struct reader *r)
{
	uint8_t how = (uint8_t)take(r, 1);
	unsigned int index = (unsigned int)take(r, 1) % DEPTH;
	uint16_t cid = q->slot[index].cid, sq_head = (uint16_t)(how % SQ_ENTRIES), sq_id = QID;
	uint16_t status = 0;

	if (how & 0x10)
		cid = (uint16_t)take(r, 2);
	if (how & 0x20)
		sq_id = (uint16_t)take(r, 2);
	if (how & 0x40)
		sq_head = (uint16_t)take(r, 2);
	if (how & 0x80)
		status = (uint16_t)take(r, 2) & 0x7fff;
	q->mem.cq[*tail].dw2_3 = sq_head | (uint64_t)sq_id << 16 | (uint64_t)cid << 32 |
				 (uint64_t)*phase << 48 | (uint64_t)status << 49;
	if (++*tail == CQ_ENTRIES) {
		*tail = 0;
		*phase ^= 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nvme_queue_params params = {
		.qid = QID,
		.depth = DEPTH,
		.sq_entries = SQ_ENTRIES,
		.cq_entries = CQ_ENTRIES,
		.nsid = 1,
		.lba_shift = 9,
		.max_transfer = MAX_TRANSFER,
		.doorbell_stride = 4,
	};
	struct nvme_queue_memory mem = {.prp_iova = {0x100000}};
	struct reader r = {data, data + size};
	unsigned int tail = 0, phase = 1, busy = 0;
	static uint32_t registers[0x1100 / 4];
	struct ob_bar bar = {.map = registers, .size = sizeof(registers), .kind = OB_BAR_MEM};
	struct ob_block_req reqs[DEPTH];
	bool in_flight[DEPTH] = {false};
	struct ob_device dev = {0};
	struct nvme_ctrl *ctrl = calloc(1, sizeof(*ctrl));
	struct nvme_queue *q = aligned_alloc(64, (sizeof(*q) + 63) & ~(size_t)63);

	memset(q, 0, sizeof(*q));
	ctrl->dev = &dev;
	/* Each on its own, so that an access beyond one is found. */
	mem.sq = malloc(SQ_ENTRIES * sizeof(*mem.sq));
	mem.cq = malloc(CQ_ENTRIES * sizeof(*mem.cq));
	mem.prp = malloc(DEPTH * nvme_prp_bytes(MAX_TRANSFER));
	if (nvme_queue_setup(q, ctrl, &bar, &params, &mem))
		abort();
	q->live = true;
	while (r.p < r.end) {
		switch (take(&r, 1) % 8) {
		case 0:
		case 1:
			submit(q, reqs, in_flight, &r);
			break;
		case 2:
		case 3:
			complete(q, &tail, &phase, &r);
			break;
		case 4:
			collect(q, reqs, in_flight, 1 + (unsigned int)take(&r, 1) % DEPTH);
			break;
		case 5: /* anything anywhere */
			mem.cq[take(&r, 1) % CQ_ENTRIES].dw2_3 = take(&r, 8);
			break;
		case 6: { /* the tick finds it late */
			struct nvme_slot *slot = &q->slot[take(&r, 1) % DEPTH];

			if (slot->req && !slot->aborting) {
				slot->timeouts++;
				slot->aborting = 1;
			}
			break;
		}
		case 7: /* a controller reset, or the end of all */
			q->fua_by_flush = take(&r, 1) & 1;
			nvme_queue_rewind(q);
			tail = 0;
			phase = 1;
			for (unsigned int i = 0; i < DEPTH; i++)
				if (q->slot[i].req && !(q->slot[i].timeouts & 1))
					nvme_queue_reissue(q, i);
				else if (q->slot[i].req)
					nvme_queue_end(q, i, -5);
			nvme_queue_ring(q);
			break;
		}
		busy = 0;
		for (unsigned int i = 0; i < DEPTH; i++)
			busy += q->slot[i].req != NULL;
		if (busy + q->nr_free != DEPTH || q->sq_tail >= SQ_ENTRIES ||
		    q->cq_head >= CQ_ENTRIES)
			abort();
	}
	/* In the end each request that is in flight comes back, once. */
	dev.gone = 1;
	for (unsigned int i = 0; i < 2 * DEPTH + CQ_ENTRIES; i++)
		collect(q, reqs, in_flight, 1);
	for (unsigned int i = 0; i < DEPTH; i++)
		if (in_flight[i])
			abort();
	nvme_queue_teardown(q);
	free(mem.sq);
	free(mem.cq);
	free(mem.prp);
	free(ctrl);
	free(q);
	return 0;
}
