/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of I/O queues: a vector for each where there are enough (MSI-X, MSI), else one for all,
 * which a thread passes on to an eventfd for each queue. Polled, no vector is used at all. NVM Express
 * Base Specification 1.4, 7.5.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "drivers/nvme/nvme.h"

/* Rounds with work after which the loop is taken to be polling, and its vector is masked. */
#define QUIET_ROUNDS 16

/* Vectors of a kind that can be used; 1 for a kind with less than two usable ones. */
static unsigned int usable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int want)
{
	unsigned int n = ob_irq_count(dev, kind), power = 1;

	if (n > want)
		n = want;
	if (kind != OB_IRQ_MSI)
		return kind == OB_IRQ_INTX && n ? 1 : n;
	while (power * 2 <= n)
		power *= 2; /* MSI comes in powers of two */
	return n ? power : 0;
}

int nvme_irq_setup(struct nvme_ctrl *ctrl, const struct ob_driver_config *config,
		   unsigned int *queues, struct ob_error *err)
{
	static const enum ob_irq_kind best[] = {OB_IRQ_MSIX, OB_IRQ_MSI, OB_IRQ_INTX};
	enum ob_irq_kind kind = config->irq_kind;
	unsigned int n = 0, want = *queues + 1; /* vector 0 is the admin queue's */
	int rc;

	ctrl->irq_mode = NVME_IRQ_NONE;
	if (config->mode == OB_MODE_POLL)
		return 0;
	if (kind != OB_IRQ_NONE) {
		n = usable(ctrl->dev, kind, want);
	} else {
		for (unsigned int i = 0; i < 3 && !n; i++) {
			kind = best[i];
			n = usable(ctrl->dev, kind, want);
		}
	}
	if (!n) {
		ob_error_set(err, -EOPNOTSUPP, "%s has no %s interrupts here",
			     ob_device_info(ctrl->dev)->name,
			     config->irq_kind ? ob_irq_kind_name(config->irq_kind) : "usable");
		ob_error_fix(err, "run with --mode poll, which needs none");
		return -EOPNOTSUPP;
	}
	/* Fewer vectors for queues than disks: all share the first, and each disk has one queue. */
	if (n - 1 < ctrl->nr_disks)
		n = 1;
	rc = ob_irq_enable(ctrl->dev, kind, n, err);
	if (rc)
		return rc;
	ctrl->irq_kind = kind;
	ctrl->irq_mode = n > 1 ? NVME_IRQ_OWN : NVME_IRQ_SHARED;
	*queues = n > 1 ? n - 1 : ctrl->nr_disks;
	return 0;
}

/*
 * The shared vector came. While a queue is not served yet a level (INTx) stays asserted: mask it in
 * the controller (3.1.3; bit 0 is the only vector), until some queue's thread arms again.
 */
static void pass_on(void *arg, uint64_t count)
{
	struct nvme_ctrl *ctrl = arg;

	if (ctrl->irq_kind != OB_IRQ_MSIX)
		ob_write32(ctrl->bar, NVME_INTMS, 1);
	for (unsigned int i = 0; i < ctrl->nr_queues; i++)
		nvme_wake(ctrl->queue[i]);
}

static int attach_own(struct nvme_ctrl *ctrl, struct nvme_queue *q, unsigned int vec,
		      struct ob_error *err)
{
	int rc = ob_irq_open(ctrl->dev, vec, 0, &q->irq, err);

	if (rc)
		return rc;
	q->vector = (uint16_t)vec;
	q->interrupts = true;
	q->fd = ob_irq_fd(q->irq);
	return 0;
}

int nvme_irq_attach(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	int rc = 0;

	if (ctrl->irq_mode == NVME_IRQ_NONE)
		return 0;
	if (ctrl->irq_mode == NVME_IRQ_SHARED && ctrl->nr_queues == 1)
		return attach_own(ctrl, ctrl->queue[0], 0, err);
	for (unsigned int i = 0; i < ctrl->nr_queues && !rc; i++) {
		struct nvme_queue *q = ctrl->queue[i];

		if (ctrl->irq_mode == NVME_IRQ_OWN) {
			rc = attach_own(ctrl, q, q->qid, err);
			continue;
		}
		q->interrupts = true;
		q->own_fd = true;
		q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (q->fd < 0)
			rc = ob_error_set(err, -errno, "no eventfd for a queue: %s",
					  strerror(errno));
	}
	if (!rc && ctrl->irq_mode == NVME_IRQ_SHARED) {
		rc = ob_irq_open(ctrl->dev, 0, 0, &ctrl->shared, err);
		if (!rc)
			rc = ob_irq_thread(ctrl->shared, pass_on, ctrl, 0, err);
	}
	if (rc)
		nvme_irq_detach(ctrl);
	return rc;
}

void nvme_irq_detach(struct nvme_ctrl *ctrl)
{
	/* The thread first: it writes to the queues' descriptors. */
	ob_irq_close(ctrl->shared);
	ctrl->shared = NULL;
	for (unsigned int i = 0; i < ctrl->nr_queues; i++) {
		struct nvme_queue *q = ctrl->queue[i];

		if (q->own_fd && q->fd >= 0)
			close(q->fd);
		ob_irq_close(q->irq);
		q->irq = NULL;
		q->own_fd = false;
		q->fd = -1;
	}
	if (ctrl->irq_mode != NVME_IRQ_NONE)
		ob_irq_disable(ctrl->dev);
	ctrl->irq_mode = NVME_IRQ_NONE;
}

/*
 * Masking a vector costs two register writes, sleeping without it at most one interrupt too many. So
 * it pays only when the queue's thread polls on and on; nvme_queue_complete() counts rounds with work.
 */
void nvme_irq_quiet(struct nvme_queue *q)
{
	if (!q->irq || q->ctrl->irq_kind == OB_IRQ_INTX || q->irq_masked)
		return;
	if (!ob_irq_mask(q->irq))
		q->irq_masked = true;
}

static void drain(struct nvme_queue *q)
{
	uint64_t count = 0;
	int n;

	if (q->irq) {
		n = ob_irq_wait(q->irq, 0);
		count = n > 0 ? (uint64_t)n : 0;
	} else if (read(q->fd, &count, sizeof(count)) != (ssize_t)sizeof(count)) {
		count = 0; /* nothing there: the descriptor does not block */
	}
	__atomic_store_n(&q->irqs, q->irqs + count, __ATOMIC_RELAXED);
}

bool nvme_irq_arm(struct nvme_queue *q, bool on)
{
	bool work;

	if (!q->interrupts)
		return on; /* nothing to sleep on: say that there is work, so that nobody does */
	if (!on) {
		q->quiet_in = QUIET_ROUNDS;
		return false;
	}
	q->quiet_in = 0;
	/*
	 * Acknowledge first: an INTx line is asserted as long as entries are not (7.5.1). Then forget what
	 * is counted for completions that were taken already. What comes after the drain is counted
	 * again, what came before it is seen by the look at the ring.
	 */
	if (!nvme_queue_enter(q))
		return false; /* a reset; it wakes the queue when it is over */
	nvme_queue_ack(q);
	nvme_queue_leave(q);
	drain(q);
	if (!q->irq && q->ctrl->irq_kind != OB_IRQ_MSIX)
		ob_write32(q->bar, NVME_INTMC, 1);
	else if (q->irq && (q->irq_masked || q->ctrl->irq_kind == OB_IRQ_INTX))
		ob_irq_unmask(q->irq);
	q->irq_masked = false;
	if (!nvme_queue_enter(q))
		return false;
	work = nvme_queue_pending(q);
	nvme_queue_leave(q);
	return work || ob_device_gone(q->ctrl->dev);
}
