/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller: enable and disable, the admin queue pair, and the admin commands that the driver
 * uses. NVM Express Base Specification 1.4, chapters 3, 5 and 7.6. Callers hold ctrl->lock.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "access/faultpoint.h"
#include "drivers/nvme/nvme.h"

/* 7.6.2 leaves the time to RTD3E; controllers that do not report it get this, the others at most 30 s. */
#define SHUTDOWN_MS	5000
#define SHUTDOWN_MAX_MS 30000

#define CID_STEP	NVME_ADMIN_ENTRIES /* above the slot's index, as for I/O queues */

static void sleep_us(unsigned int us)
{
	struct timespec ts = {.tv_nsec = (long)us * 1000};

	nanosleep(&ts, NULL);
}

uint32_t nvme_csts(struct nvme_ctrl *ctrl)
{
	return ob_read32(ctrl->bar, NVME_CSTS);
}

/*
 * Wait for CSTS bits. Reads of a removed device give all ones, which no controller reports: the bits
 * 31:6 are reserved (3.1.6).
 */
static int wait_csts(struct nvme_ctrl *ctrl, uint32_t mask, uint32_t want, unsigned int ms,
		     bool fatal)
{
	uint64_t end = ob_clock_ms() + ms;
	unsigned int us = 10;

	for (;;) {
		bool late = ob_clock_ms() > end;
		uint32_t csts = nvme_csts(ctrl);

		if (csts == 0xffffffff || ob_device_gone(ctrl->dev))
			return -ENODEV;
		if ((csts & mask) == want)
			return 0;
		if (fatal && (csts & NVME_CSTS_CFS))
			return -EIO;
		if (late)
			return -ETIMEDOUT;
		sleep_us(us);
		if (us < 1000)
			us *= 2;
	}
}

/*
 * Write CC and look whether it arrived: EN and SHN are the host's alone (3.1.5), so they read back as written at once.
 * A controller that does not take them would be waited for in vain as long as CAP.TO allows, which is 7.5 s on
 * QEMU's.
 */
static int write_cc(struct nvme_ctrl *ctrl, uint32_t cc)
{
	uint32_t now;

	ob_write32(ctrl->bar, NVME_CC, cc);
	now = ob_read32(ctrl->bar, NVME_CC);
	if (now == 0xffffffff || ob_device_gone(ctrl->dev))
		return -ENODEV;
	return (now ^ cc) & (NVME_CC_EN | NVME_CC_SHN_MASK) ? -EPROTO : 0;
}

static int enable_error(struct nvme_ctrl *ctrl, struct ob_error *err, int rc, const char *what)
{
	const char *name = ob_device_info(ctrl->dev)->name;

	ob_error_set(err, rc, "NVMe controller %s does not %s", name, what);
	if (rc == -ENODEV)
		ob_error_why(err, "the device is gone");
	else if (rc == -EIO)
		ob_error_why(err, "it reports a fatal error (CSTS.CFS)");
	else if (rc == -EPROTO)
		ob_error_why(err, "its register CC does not hold what was written to it");
	else
		ob_error_why(err, "it took longer than its CAP.TO of %u ms", ctrl->ready_ms);
	return rc;
}

int nvme_disable(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	uint32_t cc = ob_read32(ctrl->bar, NVME_CC);
	int rc;

	/* 7.3.2: clearing EN is a controller reset; afterwards it does no DMA and has no I/O queue. */
	rc = write_cc(ctrl, cc & ~NVME_CC_EN);
	if (!rc)
		rc = wait_csts(ctrl, NVME_CSTS_RDY, 0, ctrl->ready_ms, false);
	return rc ? enable_error(ctrl, err, rc, "stop") : 0;
}

int nvme_enable(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	struct nvme_admin *a = &ctrl->admin;
	uint32_t size = NVME_ADMIN_ENTRIES - 1;
	int rc;

	memset(a->cq, 0, NVME_ADMIN_ENTRIES * sizeof(*a->cq));
	memset(a->slot, 0, sizeof(a->slot));
	for (unsigned int i = 0; i < NVME_ADMIN_ENTRIES; i++)
		a->slot[i].cid = (uint16_t)i;
	a->tail = 0;
	a->head = 0;
	a->want = NVME_CQE_PHASE;

	/* 7.6.1: the admin queue first, then the configuration with EN, then RDY. */
	ob_write32(ctrl->bar, NVME_AQA, size << 16 | size);
	ob_write64(ctrl->bar, NVME_ASQ, a->sq_iova.addr);
	ob_write64(ctrl->bar, NVME_ACQ, a->cq_iova.addr);
	/* CSS 0: NVM commands; MPS 0: pages of 4 KiB; AMS 0: round robin; SHN 0 */
	rc = write_cc(ctrl, NVME_CC_EN | NVME_CC_IOSQES(NVME_SQES) | NVME_CC_IOCQES(NVME_CQES));
	if (!rc)
		rc = wait_csts(ctrl, NVME_CSTS_RDY, NVME_CSTS_RDY, ctrl->ready_ms, true);
	return rc ? enable_error(ctrl, err, rc, "start") : 0;
}

int nvme_restart(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	int rc = nvme_disable(ctrl, err);

	if (rc && rc != -ENODEV) {
		/* It does not even stop: reset the function. Its registers are as after power-on. */
		rc = ob_device_reset(ctrl->dev, err);
		if (!rc)
			rc = nvme_disable(ctrl, err);
	}
	return rc ? rc : nvme_enable(ctrl, err);
}

void nvme_shutdown(struct nvme_ctrl *ctrl)
{
	unsigned int ms = ctrl->id.shutdown_us ? ctrl->id.shutdown_us / 1000 + 1 : SHUTDOWN_MS;
	uint32_t cc = ob_read32(ctrl->bar, NVME_CC);

	if (cc == 0xffffffff || !(cc & NVME_CC_EN))
		return;
	/* 7.6.2: a normal shutdown writes the volatile cache to the medium. */
	if (write_cc(ctrl, (cc & ~NVME_CC_SHN_MASK) | NVME_CC_SHN_NORMAL) ||
	    wait_csts(ctrl, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_DONE,
		      ms < SHUTDOWN_MAX_MS ? ms : SHUTDOWN_MAX_MS, false))
		ob_device_log(ctrl->dev, OB_LOG_WARN,
			      "the controller did not acknowledge its shutdown; data in its cache "
			      "that were not flushed may be lost");
}

/* ---- admin queue ----------------------------------------------------------------- */

int nvme_admin_alloc(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	struct nvme_admin *a = &ctrl->admin;

	/* 3.1.9, 3.1.10: page aligned */
	a->sq = ob_dma_alloc(ctrl->dma, NVME_ADMIN_ENTRIES * sizeof(*a->sq), NVME_PAGE,
			     "nvme admin sq", &a->sq_iova);
	a->cq = ob_dma_alloc(ctrl->dma, NVME_ADMIN_ENTRIES * sizeof(*a->cq), NVME_PAGE,
			     "nvme admin cq", &a->cq_iova);
	ctrl->page =
		ob_dma_alloc(ctrl->dma, NVME_PAGE, NVME_PAGE, "nvme identify", &ctrl->page_iova);
	if (a->sq && a->cq && ctrl->page)
		return 0;
	nvme_admin_free(ctrl);
	return ob_error_set(err, -ENOMEM, "no DMA memory for the admin queue of %s",
			    ob_device_info(ctrl->dev)->name);
}

void nvme_admin_free(struct nvme_ctrl *ctrl)
{
	ob_dma_free(ctrl->dma, ctrl->page);
	ob_dma_free(ctrl->dma, ctrl->admin.cq);
	ob_dma_free(ctrl->dma, ctrl->admin.sq);
	ctrl->page = NULL;
	ctrl->admin.cq = NULL;
	ctrl->admin.sq = NULL;
}

int nvme_admin_send(struct nvme_ctrl *ctrl, struct nvme_sqe *cmd)
{
	struct nvme_admin *a = &ctrl->admin;
	struct nvme_admin_slot *slot;
	unsigned int index = 0, used = 0;

	for (unsigned int i = 0; i < NVME_ADMIN_ENTRIES; i++) {
		used += a->slot[i].busy;
		if (!a->slot[i].busy)
			index = i;
	}
	/* One entry stays empty, as a full queue is one entry short (4.1.1). */
	if (used >= NVME_ADMIN_ENTRIES - 1)
		return -EBUSY;
	slot = &a->slot[index];
	slot->busy = true;
	slot->done = false;
	slot->cid = (uint16_t)(slot->cid + CID_STEP);
	cmd->cdw0 = (cmd->cdw0 & 0xffff) | (uint32_t)slot->cid << 16;
	a->sq[a->tail] = *cmd;
	a->tail = (uint16_t)((a->tail + 1) % NVME_ADMIN_ENTRIES);
	ob_wmb(); /* the command before its doorbell */
	ob_write32(ctrl->bar, NVME_DOORBELLS, a->tail);
	return (int)index;
}

void nvme_admin_poll(struct nvme_ctrl *ctrl)
{
	struct nvme_admin *a = &ctrl->admin;
	unsigned int taken = 0;

	for (; taken < NVME_ADMIN_ENTRIES; taken++) {
		struct nvme_cqe *cqe = &a->cq[a->head];
		uint64_t word = __atomic_load_n(&cqe->dw2_3, __ATOMIC_RELAXED);
		uint32_t low = NVME_CQE_LOW(word), high = NVME_CQE_HIGH(word);
		struct nvme_admin_slot *slot;

		if ((high ^ a->want) & NVME_CQE_PHASE)
			break;
		ob_rmb(); /* the result after the phase */
		if (++a->head == NVME_ADMIN_ENTRIES) {
			a->head = 0;
			a->want ^= NVME_CQE_PHASE;
		}
		slot = &a->slot[NVME_CQE_CID(high) % NVME_ADMIN_ENTRIES];
		if (NVME_CQE_SQ_ID(low) || NVME_CQE_SQ_HEAD(low) >= NVME_ADMIN_ENTRIES ||
		    !slot->busy || slot->done || slot->cid != NVME_CQE_CID(high)) {
			__atomic_store_n(&a->bad, a->bad + 1, __ATOMIC_RELAXED);
			continue;
		}
		slot->result = cqe->result;
		slot->status = (uint16_t)NVME_CQE_STATUS(high);
		slot->done = true;
	}
	if (taken)
		ob_write32(ctrl->bar, NVME_DOORBELLS + ctrl->doorbell_stride, a->head);
}

int nvme_admin_command(struct nvme_ctrl *ctrl, struct nvme_sqe *cmd, uint32_t *result)
{
	int index = nvme_admin_send(ctrl, cmd);
	struct nvme_admin_slot *slot;
	unsigned int us = 5;
	uint64_t end;

	if (index < 0)
		return index;
	slot = &ctrl->admin.slot[index];
	end = ob_clock_ms() + ctrl->admin_ms;
	for (;;) {
		bool late = ob_clock_ms() > end;

		ob_device_look(ctrl->dev);
		nvme_admin_poll(ctrl);
		if (slot->done)
			break;
		if (ob_device_gone(ctrl->dev))
			return -ENODEV;
		/* The slot stays in use: its completion may still come. A reset frees it. */
		if (late)
			return -ETIMEDOUT;
		sleep_us(us);
		if (us < 500)
			us *= 2;
	}
	slot->busy = false;
	if (result)
		*result = slot->result;
	/* 4.6.1: the code without CRD, M and DNR */
	return (int)NVME_STATUS_CODE(slot->status);
}

int nvme_admin_error(struct nvme_ctrl *ctrl, struct ob_error *err, int rc, const char *what)
{
	const char *name = ob_device_info(ctrl->dev)->name;
	int code = rc > 0 ? nvme_status_errno((unsigned int)rc) : rc;

	ob_error_set(err, code, "NVMe controller %s: cannot %s", name, what);
	if (rc > 0)
		ob_error_why(err, "it answered with status %xh/%02xh (type, code)", rc >> 8,
			     rc & 0xff);
	else if (rc == -ETIMEDOUT)
		ob_error_why(err, "no answer within %u ms%s", ctrl->admin_ms,
			     ctrl->admin.bad ? ", but completions that made no sense" : "");
	else if (rc == -ENODEV)
		ob_error_why(err, "the device is gone");
	else
		ob_error_why(err, "%s", strerror(-rc));
	return code;
}

/* ---- commands -------------------------------------------------------------------- */

/* The page is copied before anybody looks: the device could change it meanwhile. */
static int read_page(struct nvme_ctrl *ctrl, struct nvme_sqe *cmd, void *data, size_t len)
{
	int rc;

	memset(ctrl->page, 0, NVME_PAGE);
	cmd->prp1 = ctrl->page_iova.addr;
	rc = nvme_admin_command(ctrl, cmd, NULL);
	if (rc)
		return rc;
	ob_rmb();
	memcpy(data, ctrl->page, len);
	return 0;
}

int nvme_identify(struct nvme_ctrl *ctrl, uint8_t cns, uint32_t nsid, void *data)
{
	struct nvme_sqe cmd = {.cdw0 = NVME_ADMIN_IDENTIFY, .nsid = nsid, .cdw10 = cns};

	return read_page(ctrl, &cmd, data, NVME_IDENTIFY_BYTES);
}

int nvme_health(struct nvme_ctrl *ctrl, void *data512)
{
	struct nvme_sqe cmd = {
		.cdw0 = NVME_ADMIN_GET_LOG_PAGE,
		.nsid = 0xffffffff, /* the whole controller's */
		.cdw10 = NVME_LOG_HEALTH | (512 / 4 - 1) << 16,
	};

	return read_page(ctrl, &cmd, data512, 512);
}

int nvme_set_queues(struct nvme_ctrl *ctrl, unsigned int want)
{
	struct nvme_sqe cmd = {
		.cdw0 = NVME_ADMIN_SET_FEATURES,
		.cdw10 = NVME_FEATURE_QUEUES,
		.cdw11 =
			(want - 1) << 16 | (want - 1), /* completion, submission queues, less one */
	};
	unsigned int cqs, sqs, n;
	uint32_t result;
	int rc = nvme_admin_command(ctrl, &cmd, &result);

	if (rc)
		return rc > 0 ? nvme_status_errno((unsigned int)rc) : rc;
	cqs = (result >> 16) + 1;
	sqs = (result & 0xffff) + 1;
	n = cqs < sqs ? cqs : sqs;
	return (int)(n < want ? n : want);
}

static int create_cq(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	struct nvme_sqe cmd = {
		.cdw0 = NVME_ADMIN_CREATE_CQ,
		.prp1 = q->mem.cq_iova.addr,
		.cdw10 = (q->cq_entries - 1) << 16 | q->qid,
		/* contiguous; interrupts on or off; vector */
		.cdw11 = 1u | (q->interrupts ? 2u : 0u) | (uint32_t)q->vector << 16,
	};

	return nvme_admin_command(ctrl, &cmd, NULL);
}

static int create_sq(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	struct nvme_sqe cmd = {
		.cdw0 = NVME_ADMIN_CREATE_SQ,
		.prp1 = q->mem.sq_iova.addr,
		.cdw10 = (q->sq_entries - 1) << 16 | q->qid,
		.cdw11 = 1u | (uint32_t)q->qid << 16, /* contiguous; its completion queue */
	};

	return nvme_admin_command(ctrl, &cmd, NULL);
}

static int delete_one(struct nvme_ctrl *ctrl, uint8_t opcode, uint16_t qid)
{
	struct nvme_sqe cmd = {.cdw0 = opcode, .cdw10 = qid};

	return nvme_admin_command(ctrl, &cmd, NULL);
}

int nvme_create_queue(struct nvme_ctrl *ctrl, struct nvme_queue *q, struct ob_error *err)
{
	char what[64];
	int rc;

	nvme_queue_rewind(q);
	rc = create_cq(ctrl, q);
	if (!rc) {
		rc = create_sq(ctrl, q);
		if (rc)
			delete_one(ctrl, NVME_ADMIN_DELETE_CQ, q->qid);
	}
	if (rc) {
		snprintf(what, sizeof(what), "create I/O queue %u of %u entries", q->qid,
			 q->sq_entries);
		return nvme_admin_error(ctrl, err, rc, what);
	}
	q->live = true;
	OB_FAULT_POINT("nvme.queue-created");
	return 0;
}

int nvme_delete_sq(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	OB_FAULT_POINT("nvme.queue-deletion");
	/* 5.6: all commands of the queue have ended, one way or the other, when this completes. */
	return delete_one(ctrl, NVME_ADMIN_DELETE_SQ, q->qid);
}

int nvme_delete_cq(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	return delete_one(ctrl, NVME_ADMIN_DELETE_CQ, q->qid);
}
