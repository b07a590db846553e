/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a controller does not do as it should: requests that take too long, completions that make no
 * sense, a fatal status, a device that is gone. NVM Express Base Specification 1.4, 5.1 (Abort), 7.3.2
 * (controller reset), 9.5 (fatal status).
 *
 * What happens to a request:
 *
 *   too late     The controller is asked to abort it. If it does, the request is issued once more; if
 *		  the command ends otherwise meanwhile, that counts. Else the controller is reset.
 *   at a reset   Everything in flight is issued again: nobody was told yet that it had ended, every
 *		  command here may be executed twice with the same outcome, and after CC.EN = 0 the
 *		  controller cannot touch its buffers any more. But a request that was too late
 *		  NVME_TRIES times ends with -ETIMEDOUT, and one that went through NVME_MAX_RESETS resets
 *		  with -EIO.
 *   given up     When a reset fails NVME_RESET_TRIES times, or NVME_IDLE_RESETS in a row brought no
 *		  completion, bus mastering goes off, so that there is no DMA, and everything ends with
 *		  -EIO (-ENODEV when the device is gone), now and later.
 *
 * What was completed before stays true: a controller reset does not touch the volatile write cache.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "drivers/nvme/nvme.h"

static inline void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* The queue's thread may sleep on its eventfd: one more count is one more look. */
void nvme_wake(struct nvme_queue *q)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then it is readable anyway. */
	if (q->fd >= 0 && write(q->fd, &one, sizeof(one)) < 0)
		return;
}

static void log_faults(struct nvme_ctrl *ctrl)
{
	struct ob_fault fault[4];
	int n = ob_device_faults(ctrl->dev, fault, 4);

	for (int i = 0; i < n; i++)
		ob_device_log(ctrl->dev, OB_LOG_ERROR, "%s", fault[i].text);
}

/* ---- reset ----------------------------------------------------------------------- */

static void give_up(struct nvme_ctrl *ctrl, int status)
{
	__atomic_store_n(&ctrl->fate, status, __ATOMIC_RELEASE);
	ob_device_bus_master(ctrl->dev, false);
	ob_device_log(
		ctrl->dev, OB_LOG_ERROR,
		"the controller is given up: every request ends with \"%s\"; unbind and bind the "
		"driver to try again",
		strerror(-status));
}

static int bring_back_once(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	int rc = nvme_restart(ctrl, err);

	if (rc)
		return rc;
	if (ctrl->nr_queues) {
		/* A reset forgets the number of queues, too (5.21.1.7). */
		rc = nvme_set_queues(ctrl, ctrl->nr_queues);
		if (rc < (int)ctrl->nr_queues)
			return ob_error_set(err, rc < 0 ? rc : -EIO,
					    "the controller does not have its %u queues any more",
					    ctrl->nr_queues);
	}
	for (unsigned int i = 0; i < ctrl->nr_queues; i++) {
		if (!ctrl->queue[i]->live)
			continue;
		rc = nvme_create_queue(ctrl, ctrl->queue[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

static int bring_back(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	int rc = -EIO;

	for (unsigned int i = 0; i < NVME_RESET_TRIES && rc && rc != -ENODEV; i++)
		rc = bring_back_once(ctrl, err);
	return rc;
}

static void reissue_or_end(struct nvme_queue *q)
{
	for (unsigned int i = 0; i < q->depth; i++) {
		struct nvme_slot *slot = &q->slot[i];

		if (!slot->req)
			continue;
		slot->resets++;
		if (slot->timeouts >= NVME_TRIES)
			nvme_queue_end(q, i, -ETIMEDOUT);
		else if (slot->resets >= NVME_MAX_RESETS)
			nvme_queue_end(q, i, -EIO);
		else
			nvme_queue_reissue(q, i);
	}
	nvme_queue_ring(q);
}

/* Another thread's burst is short: wait for its end, then keep it out. */
static void enter_all(struct nvme_ctrl *ctrl)
{
	__atomic_store_n(&ctrl->resetting, 1, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < ctrl->nr_queues; i++)
		while (__atomic_exchange_n(&ctrl->queue[i]->busy, 1, __ATOMIC_ACQUIRE))
			sched_yield();
}

static void leave_all(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; i < ctrl->nr_queues; i++)
		nvme_queue_leave(ctrl->queue[i]);
	__atomic_store_n(&ctrl->resetting, 0, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < ctrl->nr_queues; i++)
		nvme_wake(ctrl->queue[i]);
}

int nvme_reset(struct nvme_ctrl *ctrl, const char *why)
{
	struct ob_error err = {0};
	bool idle = true;
	int rc;

	enter_all(ctrl);
	ob_device_log(ctrl->dev, OB_LOG_WARN, "controller reset: %s", why);
	log_faults(ctrl);
	count_add(&ctrl->resets, 1);
	OB_FAULT_POINT("nvme.reset");
	for (unsigned int i = 0; i < ctrl->nr_queues; i++) {
		struct nvme_queue *q = ctrl->queue[i];

		if (q->completed != q->completed_at_reset)
			idle = false;
		q->completed_at_reset = q->completed;
	}
	ctrl->idle_resets = idle ? ctrl->idle_resets + 1 : 0;
	if (ctrl->idle_resets >= NVME_IDLE_RESETS)
		rc = ob_error_set(&err, -EIO, "%u resets in a row without one completion",
				  ctrl->idle_resets);
	else
		rc = bring_back(ctrl, &err);
	if (ob_device_gone(ctrl->dev))
		rc = -ENODEV;
	if (rc) {
		if (err.code)
			ob_device_log(ctrl->dev, OB_LOG_ERROR, "%s%s%s", err.what,
				      err.why[0] ? ": " : "", err.why);
		give_up(ctrl, rc == -ENODEV ? -ENODEV : -EIO);
	}
	for (unsigned int i = 0; i < ctrl->nr_queues; i++) {
		struct nvme_queue *q = ctrl->queue[i];

		if (rc) {
			q->fate = ctrl->fate;
			q->live = false;
			nvme_queue_end_all(q, ctrl->fate);
		} else if (q->live) {
			reissue_or_end(q);
		}
	}
	OB_FAULT_POINT("nvme.reset-done");
	leave_all(ctrl);
	return rc;
}

/* ---- tick ------------------------------------------------------------------------ */

/* 5.1: best effort, and at most ACL + 1 at a time: those beyond are reset if it comes to that. */
static void send_abort(struct nvme_ctrl *ctrl, struct nvme_queue *q, uint16_t cid)
{
	struct nvme_sqe cmd = {
		.cdw0 = NVME_ADMIN_ABORT,
		.cdw10 = (uint32_t)cid << 16 | q->qid,
	};
	unsigned int busy = 0;

	for (unsigned int i = 0; i < NVME_ADMIN_ENTRIES; i++)
		busy += ctrl->admin.slot[i].busy;
	if (busy >= ctrl->id.abort_limit)
		return;
	OB_FAULT_POINT("nvme.abort");
	if (nvme_admin_send(ctrl, &cmd) >= 0)
		count_add(&q->aborts, 1);
}

/* Nobody waits for aborts: whether one worked shows in the completion of its command. */
static void collect_aborts(struct nvme_ctrl *ctrl)
{
	nvme_admin_poll(ctrl);
	for (unsigned int i = 0; i < NVME_ADMIN_ENTRIES; i++)
		if (ctrl->admin.slot[i].done)
			ctrl->admin.slot[i].busy = false;
}

/* Return: true when a command outlived its abort. */
static bool scan_queue(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	/* As long again as half the time-out, at least three ticks, for the abort to work. */
	uint16_t grace = ctrl->timeout_ticks / 2 > 3 ? ctrl->timeout_ticks / 2 : 3;
	bool stuck = false;

	if (!nvme_queue_enter(q))
		return false;
	__atomic_store_n(&q->now, ctrl->tick, __ATOMIC_RELAXED);
	for (unsigned int i = 0; q->nr_free < q->depth && i < q->depth; i++) {
		struct nvme_slot *slot = &q->slot[i];
		uint16_t age = (uint16_t)(ctrl->tick - slot->issued);

		if (!slot->req)
			continue;
		if (slot->aborting) {
			stuck = stuck || age > grace;
		} else if (age > ctrl->timeout_ticks) {
			slot->timeouts++;
			slot->aborting = 1;
			slot->issued = ctrl->tick;
			count_add(&q->timeouts, 1);
			send_abort(ctrl, q, slot->cid);
		}
	}
	nvme_queue_leave(q);
	return stuck;
}

static bool report_bad(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	uint64_t bad = __atomic_load_n(&q->bad_completions, __ATOMIC_RELAXED);

	if (bad != q->bad_reported)
		ob_device_log(
			ctrl->dev, OB_LOG_WARN,
			"refused %llu completions on queue %u that no command in flight explains",
			(unsigned long long)(bad - q->bad_reported), q->qid);
	q->bad_reported = bad;
	return q->bad >= NVME_BAD_LIMIT;
}

static void look(struct nvme_ctrl *ctrl)
{
	uint64_t late = 0, before = 0;
	bool stuck = false, bad = false;
	uint32_t csts;

	ctrl->tick++;
	collect_aborts(ctrl);
	for (unsigned int i = 0; i < ctrl->nr_queues; i++) {
		struct nvme_queue *q = ctrl->queue[i];

		if (!q->live)
			continue;
		before += q->timeouts;
		stuck |= scan_queue(ctrl, q);
		late += q->timeouts;
		bad |= report_bad(ctrl, q);
	}
	if (late != before) {
		ob_device_log(ctrl->dev, OB_LOG_WARN,
			      "%llu requests got no answer within %u ms; asking for their abort",
			      (unsigned long long)(late - before),
			      ctrl->timeout_ticks * NVME_TICK_MS);
		log_faults(ctrl);
	}
	csts = nvme_csts(ctrl);
	if (csts == 0xffffffff) {
		if (ob_device_gone(ctrl->dev))
			return;
		nvme_reset(ctrl, "its registers read as all ones");
	} else if (csts & NVME_CSTS_CFS) {
		nvme_reset(ctrl, "fatal status (CSTS.CFS)");
	} else if (!(csts & NVME_CSTS_RDY)) {
		nvme_reset(ctrl, "it is not ready any more");
	} else if (stuck) {
		nvme_reset(ctrl, "a command was neither completed nor aborted in time");
	} else if (bad) {
		nvme_reset(ctrl, "too many completions that make no sense");
	}
}

void nvme_tick(struct nvme_ctrl *ctrl, uint64_t now_ns)
{
	/* Each queue's thread calls; one of them is enough, and one that is resetting even more so. */
	if (pthread_mutex_trylock(&ctrl->lock))
		return;
	/*
	 * Ticks are counted, not time: when nobody could look for a minute, because the whole machine
	 * stood still, no request is taken to be late for it.
	 */
	if (now_ns - ctrl->last_tick_ns >= (NVME_TICK_MS - 10) * 1000000ull) {
		ctrl->last_tick_ns = now_ns;
		if (ob_device_gone(ctrl->dev)) {
			for (unsigned int i = 0; i < ctrl->nr_queues; i++)
				nvme_wake(ctrl->queue[i]);
		} else if (!ctrl->fate) {
			look(ctrl);
		}
	}
	pthread_mutex_unlock(&ctrl->lock);
}
