/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * I/O queue pairs: commands in, completions out. The two functions that run for every burst are
 * nvme_queue_submit() and nvme_queue_complete(); all else here is off the common path. NVM Express
 * Base Specification 1.4, chapters 4 and 6.
 *
 * The rings lie in the arena, where a broken device may write. So nothing is ever read back from the
 * submission queue or the PRP lists, and a completion is believed only when it names this queue, an
 * entry of its submission queue, and a command that is in flight.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "access/faultpoint.h"
#include "drivers/nvme/nvme.h"

/* Refused completions that one call looks past: garbage must not keep the queue's thread. */
#define BAD_PER_CALL 16

/* One writer, the queue's thread; read by any thread for statistics. */
static inline void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) bool enter_contended(struct nvme_queue *q)
{
	while (__atomic_exchange_n(&q->busy, 1, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&q->ctrl->resetting, __ATOMIC_ACQUIRE))
			return false;
		sched_yield(); /* whoever is there may want this processor */
	}
	return true;
}

static inline bool enter(struct nvme_queue *q)
{
	if (ob_likely(!__atomic_exchange_n(&q->busy, 1, __ATOMIC_ACQUIRE)))
		return true;
	return enter_contended(q);
}

bool nvme_queue_enter(struct nvme_queue *q)
{
	return enter(q);
}

/* ---- commands -------------------------------------------------------------------- */

uint32_t nvme_prp_bytes(uint32_t max_transfer)
{
	/* Misaligned by any amount, a transfer of n pages touches n + 1; the first is in PRP1. */
	uint32_t need = max_transfer / NVME_PAGE * 8, bytes = 64;

	while (bytes < need && bytes < NVME_PAGE)
		bytes *= 2;
	return bytes;
}

/*
 * PRP2 of a transfer that goes beyond its first page (4.3): the second page, or where the list of all
 * others is. Lists are powers of two, aligned to themselves, so none crosses a page and none chains.
 */
static __attribute__((noinline)) uint64_t prp_rest(struct nvme_queue *q, unsigned int index,
						   uint64_t iova, uint32_t len)
{
	uint64_t page = (iova & ~(uint64_t)(NVME_PAGE - 1)) + NVME_PAGE;
	uint64_t end = iova + len;
	uint64_t *list;
	unsigned int n = 0;

	if (end <= page + NVME_PAGE)
		return page;
	list = (uint64_t *)((char *)q->mem.prp + (size_t)index * q->prp_bytes);
	for (; page < end && n < q->prp_bytes / 8; page += NVME_PAGE)
		list[n++] = page;
	return q->mem.prp_iova.addr + (uint64_t)index * q->prp_bytes;
}

/* A READ or WRITE without flags: nearly every request. op and flags are neighbours, one load. */
static inline bool is_plain(const struct ob_block_req *req)
{
	return (req->op | (uint32_t)req->flags << 8) <= OB_BLOCK_WRITE;
}

/* 6.9 Read, 6.15 Write. The words that are not set here are zero in every command of this driver. */
static inline void build_rw(struct nvme_queue *q, struct nvme_sqe *sqe,
			    const struct nvme_slot *slot, const struct ob_block_req *req,
			    unsigned int lba_shift)
{
	uint64_t iova = req->iova.addr;
	uint32_t len = req->len;

	/* The slot has it as a read, 02h; OB_BLOCK_WRITE is 1, and a write's opcode one less, 01h. */
	sqe->cdw0_1 = slot->command - req->op;
	sqe->prp1 = iova;
	sqe->prp2 = 0;
	if (ob_unlikely((iova & (NVME_PAGE - 1)) + len > NVME_PAGE))
		sqe->prp2 = prp_rest(q, slot->index, iova, len);
	sqe->slba = req->offset >> lba_shift;
	sqe->cdw12_13 = (len >> lba_shift) - 1; /* blocks, less one */
}
_Static_assert(OB_BLOCK_READ == 0 && OB_BLOCK_WRITE == 1 && NVME_IO_READ - 1 == NVME_IO_WRITE,
	       "opcode of a read and of a write");

static __attribute__((noinline)) void build_any(struct nvme_queue *q, struct nvme_sqe *sqe,
						const struct nvme_slot *slot,
						const struct ob_block_req *req)
{
	size_t room = (size_t)slot->index * q->prp_bytes;
	struct nvme_dsm_range *range;

	if (req->op <= OB_BLOCK_WRITE && slot->fua != NVME_FUA_FLUSHING) {
		build_rw(q, sqe, slot, req, q->lba_shift);
		if (req->flags & OB_BLOCK_FUA)
			sqe->cdw12 |= NVME_RW_FUA;
		return;
	}
	*sqe = (struct nvme_sqe){.nsid = q->nsid};
	switch (slot->fua == NVME_FUA_FLUSHING ? OB_BLOCK_FLUSH : req->op) {
	case OB_BLOCK_FLUSH:
		sqe->cdw0 = NVME_IO_FLUSH;
		break;
	case OB_BLOCK_WRITE_ZEROES: /* 6.17; the class keeps len below 2^16 blocks */
		sqe->cdw0 = NVME_IO_WRITE_ZEROES;
		sqe->slba = req->offset >> q->lba_shift;
		sqe->cdw12 = ((req->len >> q->lba_shift) - 1) & 0xffff;
		if (req->flags & OB_BLOCK_FUA)
			sqe->cdw12 |= NVME_RW_FUA;
		if ((req->flags & OB_BLOCK_MAY_UNMAP) && q->deac)
			sqe->cdw12 |= NVME_ZEROES_DEAC;
		break;
	case OB_BLOCK_DISCARD: /* 6.7: one range, in the memory of the slot's PRP list */
		range = (struct nvme_dsm_range *)((char *)q->mem.prp + room);
		range->attributes = 0;
		range->blocks = req->len >> q->lba_shift;
		range->slba = req->offset >> q->lba_shift;
		sqe->cdw0 = NVME_IO_DSM;
		sqe->prp1 = q->mem.prp_iova.addr + room;
		sqe->cdw10 = 0; /* ranges, less one */
		sqe->cdw11 = NVME_DSM_AD;
		break;
	default: /* The class lets nothing else through; a flush is the one that harms least. */
		sqe->cdw0 = NVME_IO_FLUSH;
		break;
	}
	sqe->cdw0 |= (uint32_t)slot->cid << 16;
}

static void ring_sq(struct nvme_queue *q)
{
	/* The commands must be in memory before the controller hears of them. */
	ob_wmb();
	OB_FAULT_POINT("nvme.before-doorbell");
	ob_write32(q->bar, q->sq_doorbell, q->sq_tail);
	OB_FAULT_POINT("nvme.after-doorbell");
	count_add(&q->doorbells, 1);
	q->kick = false;
}

void nvme_queue_ring(struct nvme_queue *q)
{
	if (q->kick)
		ring_sq(q);
}

static void end_request(struct nvme_queue *q, struct ob_block_req *req, int status)
{
	req->status = (int16_t)status;
	req->priv = (uint64_t)(uintptr_t)q->ended;
	q->ended = req;
}

unsigned int nvme_queue_submit(struct nvme_queue *q, struct ob_block_req **reqs, unsigned int n)
{
	struct nvme_sqe *sqe, *last;
	struct nvme_slot **free;
	unsigned int lba_shift;
	uint16_t now;

	if (!enter(q))
		return 0;
	if (ob_unlikely(q->fate)) {
		for (unsigned int i = 0; i < n; i++)
			end_request(q, reqs[i], q->fate);
		nvme_queue_leave(q);
		return n;
	}
	if (n > q->nr_free)
		n = q->nr_free;
	if (ob_unlikely(!n)) {
		nvme_queue_leave(q);
		return 0;
	}
	sqe = &q->sq[q->sq_tail];
	last = &q->sq[q->sq_entries - 1];
	free = &q->free[q->nr_free];
	lba_shift = q->lba_shift;
	now = __atomic_load_n(&q->now, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < n; i++) {
		struct ob_block_req *req = reqs[i];
		struct nvme_slot *slot = *--free;

		/*
		 * Slots are fewer than entries, and a slot is free only when its command was completed, so
		 * was fetched: the entry at the tail is the driver's.
		 */
		slot->req = req;
		slot->issued = now;
		if (ob_likely(is_plain(req))) {
			build_rw(q, sqe, slot, req, lba_shift);
		} else {
			if ((req->flags & OB_BLOCK_FUA) && q->fua_by_flush)
				slot->fua = NVME_FUA_WRITING;
			build_any(q, sqe, slot, req);
		}
		sqe = sqe == last ? q->sq : sqe + 1;
	}
	q->nr_free -= n;
	q->sq_tail = (uint32_t)(sqe - q->sq);
	ring_sq(q);
	nvme_queue_leave(q);
	return n;
}

void nvme_queue_reissue(struct nvme_queue *q, unsigned int index)
{
	struct nvme_slot *slot = &q->slot[index];
	struct nvme_sqe *sqe = &q->sq[q->sq_tail];

	/* A new id: whatever still comes for the earlier issue is refused. */
	slot->cid = (uint16_t)(slot->cid + q->cid_step);
	slot->issued = q->now;
	slot->aborting = 0;
	build_any(q, sqe, slot, slot->req);
	if (++q->sq_tail == q->sq_entries)
		q->sq_tail = 0;
	q->kick = true;
}

/* ---- completions ----------------------------------------------------------------- */

int nvme_status_errno(unsigned int status)
{
	switch (NVME_STATUS_CODE(status)) {
	case NVME_SC_SUCCESS:
		return 0;
	case NVME_SC_INVALID_OPCODE:
		return -EOPNOTSUPP;
	case NVME_SC_INVALID_FIELD:
		return -EINVAL;
	case NVME_SC_ABORT_REQUESTED:
		return -ETIMEDOUT; /* only this driver's tick asks for it */
	case NVME_SC_SQ_DELETED:
		return -ECANCELED;
	case NVME_SC_WRITE_PROTECTED:
	case NVME_SC_READ_ONLY_RANGE:
		return -EROFS;
	case NVME_SC_LBA_RANGE:
		return -ERANGE;
	case NVME_SC_CAPACITY:
		return -ENOSPC;
	case NVME_SC_RESERVED:
		return -EBUSY;
	case NVME_SC_ACCESS_DENIED:
		return -EACCES;
	case NVME_SC_READ_ERROR:
	case NVME_SC_GUARD_CHECK:
	case NVME_SC_APP_TAG_CHECK:
	case NVME_SC_REF_TAG_CHECK:
	case NVME_SC_UNWRITTEN:
		return -EILSEQ;
	default:
		return -EIO;
	}
}

void nvme_queue_give_back(struct nvme_queue *q, struct ob_block_req *req)
{
	end_request(q, req, req->status);
}

void nvme_queue_end(struct nvme_queue *q, unsigned int index, int status)
{
	struct nvme_slot *slot = &q->slot[index];

	end_request(q, slot->req, status);
	slot->history = 0;
	slot->req = NULL;
	slot->cid = (uint16_t)(slot->cid + q->cid_step);
	q->free[q->nr_free++] = slot;
}

void nvme_queue_end_all(struct nvme_queue *q, int status)
{
	for (unsigned int i = 0; i < q->depth; i++)
		if (q->slot[i].req)
			nvme_queue_end(q, i, status);
}

/*
 * A completion that is not a plain success of a request that was always on time.
 *
 * Return: false when the request is on its way again.
 */
static __attribute__((noinline)) bool complete_slow(struct nvme_queue *q, struct nvme_slot *slot,
						    unsigned int status)
{
	if (NVME_STATUS_CODE(status) == NVME_SC_ABORT_REQUESTED && slot->aborting &&
	    slot->timeouts < NVME_TRIES) {
		/* The abort worked: the command was not executed, or not wholly. Once more. */
		nvme_queue_reissue(q, slot->index);
		return false;
	}
	if (slot->fua == NVME_FUA_WRITING && NVME_STATUS_CODE(status) == NVME_SC_SUCCESS) {
		slot->fua = NVME_FUA_FLUSHING;
		nvme_queue_reissue(q, slot->index);
		return false;
	}
	slot->req->status = (int16_t)nvme_status_errno(status);
	slot->history = 0;
	return true;
}

/* 4.1: "the host updates the head doorbell": late, but before the controller could run out of room. */
static void ring_cq(struct nvme_queue *q)
{
	ob_write32(q->bar, q->cq_doorbell, q->cq_head);
	count_add(&q->doorbells, 1);
	q->unacked = 0;
}

void nvme_queue_ack(struct nvme_queue *q)
{
	if (q->unacked && q->live)
		ring_cq(q);
}

static inline uint64_t load_cqe(const struct nvme_cqe *cqe)
{
	return __atomic_load_n(&cqe->dw2_3, __ATOMIC_RELAXED);
}

bool nvme_queue_pending(struct nvme_queue *q)
{
	uint32_t high = NVME_CQE_HIGH(load_cqe(&q->cq[q->cq_head]));

	return q->ended || (q->live && !((high ^ q->cq_want) & NVME_CQE_PHASE));
}

static __attribute__((noinline)) unsigned int take_ended(struct nvme_queue *q,
							 struct ob_block_req **reqs, unsigned int n)
{
	unsigned int done = 0;

	while (done < n && q->ended) {
		struct ob_block_req *req = q->ended;

		q->ended = (struct ob_block_req *)(uintptr_t)req->priv;
		reqs[done++] = req;
	}
	return done;
}

static inline unsigned int reap(struct nvme_queue *q, struct ob_block_req **reqs, unsigned int n)
{
	struct nvme_slot **free = &q->free[q->nr_free], *const slots = q->slot;
	struct nvme_cqe *cqe = &q->cq[q->cq_head], *const end = &q->cq[q->cq_entries];
	struct ob_block_req **out = reqs, **const full = reqs + n;
	const uint32_t id_word = q->id_word, slot_mask = q->slot_mask;
	unsigned int done, bad = 0, again = 0;
	uint32_t want = q->cq_want;

	while (out < full) {
		/*
		 * Phase, id, status and head in one load of an aligned word, which sees a write of the device
		 * to the word as a whole: so no barrier is needed between phase and the rest.
		 */
		uint64_t word = load_cqe(cqe);
		uint32_t high = NVME_CQE_HIGH(word) ^ want;
		struct ob_block_req *req;
		struct nvme_slot *slot;

		if (high & NVME_CQE_PHASE)
			break;
		if (ob_unlikely(++cqe == end)) {
			cqe = q->cq;
			want ^= NVME_CQE_PHASE;
		}
		slot = &slots[high & slot_mask];
		req = slot->req;
		/* SQ id and head in one comparison: with the right id, only the head is left. */
		if (ob_unlikely((NVME_CQE_LOW(word) ^ id_word) >= q->sq_entries) ||
		    ob_unlikely(!req) || ob_unlikely(slot->cid != NVME_CQE_CID(high))) {
			if (++bad == BAD_PER_CALL)
				break;
			continue;
		}
		req->status = 0;
		if (ob_unlikely(NVME_CQE_STATUS(high) | slot->history) &&
		    !complete_slow(q, slot, NVME_CQE_STATUS(high))) {
			again++;
			continue;
		}
		slot->req = NULL;
		slot->cid = (uint16_t)(slot->cid + q->cid_step);
		*free++ = slot;
		*out++ = req;
	}
	done = (unsigned int)(out - reqs);
	if (!(done + bad + again))
		return 0;
	/* Loads of what the device wrote to the buffers come after those of the completions. */
	ob_rmb();
	OB_FAULT_POINT("nvme.completions-seen");
	q->nr_free += done;
	q->cq_head = (uint32_t)(cqe - q->cq);
	q->cq_want = want;
	q->unacked += done + bad + again;
	if (q->unacked >= q->ack_at)
		ring_cq(q);
	OB_FAULT_POINT("nvme.completions-taken");
	if (ob_unlikely(q->kick))
		ring_sq(q);
	count_add(&q->completed, done);
	if (ob_unlikely(bad)) {
		q->bad = (uint16_t)(q->bad + bad);
		count_add(&q->bad_completions, bad);
	}
	return done;
}

unsigned int nvme_queue_complete(struct nvme_queue *q, struct ob_block_req **reqs, unsigned int n)
{
	unsigned int done = 0;

	if (!enter(q))
		return 0;
	if (ob_unlikely(q->ended != NULL))
		done = take_ended(q, reqs, n);
	if (ob_likely(q->live))
		done += reap(q, reqs + done, n - done);
	if (!done && ob_device_gone(q->ctrl->dev)) {
		/* No completion comes any more, and no DMA: everything ends now. */
		nvme_queue_end_all(q, -ENODEV);
		done = take_ended(q, reqs, n);
	}
	if (ob_unlikely(q->quiet_in) && done && !--q->quiet_in)
		nvme_irq_quiet(q);
	nvme_queue_leave(q);
	return done;
}

/* ---- set-up ---------------------------------------------------------------------- */

int nvme_queue_setup(struct nvme_queue *q, struct nvme_ctrl *ctrl, const struct ob_bar *bar,
		     const struct nvme_queue_params *params, const struct nvme_queue_memory *mem)
{
	unsigned int slots = 1;

	while (slots < params->depth)
		slots *= 2;
	q->slot = aligned_alloc(64, (slots * sizeof(*q->slot) + 63) & ~(size_t)63);
	q->free = calloc(params->depth, sizeof(*q->free));
	if (!q->slot || !q->free) {
		nvme_queue_teardown(q);
		return -ENOMEM;
	}
	memset(q->slot, 0, slots * sizeof(*q->slot));
	q->ctrl = ctrl;
	q->bar = bar;
	q->mem = *mem;
	q->sq = mem->sq;
	q->cq = mem->cq;
	q->qid = params->qid;
	q->nsid = params->nsid;
	q->lba_shift = params->lba_shift;
	q->deac = params->deac;
	q->fua_by_flush = params->fua_by_flush;
	q->depth = params->depth;
	q->sq_entries = params->sq_entries;
	q->cq_entries = params->cq_entries;
	q->slot_mask = slots - 1;
	q->cid_step = (uint16_t)slots;
	q->id_word = (uint32_t)params->qid << 16;
	q->prp_bytes = nvme_prp_bytes(params->max_transfer);
	q->sq_doorbell = NVME_DOORBELLS + 2u * params->qid * params->doorbell_stride;
	q->cq_doorbell = q->sq_doorbell + params->doorbell_stride;
	/*
	 * Taken but unacknowledged entries and those still to come, at most depth, must leave one entry
	 * empty (4.1.1: a full queue has one): the head doorbell is due at the difference.
	 */
	q->ack_at = (uint32_t)params->cq_entries - 1 - params->depth;
	if (!q->ack_at)
		q->ack_at = 1;
	q->fd = -1;
	/* Low indices on top of the stack, so that a shallow load uses few cache lines. */
	for (unsigned int i = 0; i < params->depth; i++) {
		struct nvme_slot *slot = &q->slot[i];

		slot->index = (uint16_t)i;
		slot->opcode = NVME_IO_READ;
		slot->cid = (uint16_t)i;
		slot->nsid = params->nsid;
		q->free[params->depth - 1 - i] = slot;
	}
	q->nr_free = params->depth;
	nvme_queue_rewind(q);
	return 0;
}

void nvme_queue_teardown(struct nvme_queue *q)
{
	free(q->slot);
	free(q->free);
	q->slot = NULL;
	q->free = NULL;
}

void nvme_queue_rewind(struct nvme_queue *q)
{
	memset(q->sq, 0, q->sq_entries * sizeof(*q->sq));
	memset(q->cq, 0, q->cq_entries * sizeof(*q->cq));
	q->sq_tail = 0;
	q->cq_head = 0;
	q->cq_want = NVME_CQE_PHASE; /* 4.6: the first pass writes 1 */
	q->unacked = 0;
	q->kick = false;
	q->bad = 0;
}
