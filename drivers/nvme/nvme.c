/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVMe disks: finds the controller's namespaces and gives each its own queue pairs. Read nvme_io.c for
 * the way of a request, nvme_recovery.c for what happens when something goes wrong. NVM Express Base
 * Specification 1.4.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "drivers/drivers.h"
#include "drivers/nvme/nvme.h"

/* Requests in flight per queue, when nobody asks for another number; and the most one may ask for. */
#define DEPTH	  128
#define DEPTH_MAX 1023
/* Queues per disk, likewise: more than this many threads per disk are for those who ask. */
#define QUEUES 4

static struct nvme_disk *to_disk(struct ob_block *blk)
{
	return (struct nvme_disk *)blk; /* its first member */
}

/* ---- class/block ----------------------------------------------------------------- */

static unsigned int nvme_submit(struct ob_block *blk, unsigned int queue,
				struct ob_block_req **reqs, unsigned int n)
{
	return nvme_queue_submit(to_disk(blk)->queue[queue], reqs, n);
}

static unsigned int nvme_complete(struct ob_block *blk, unsigned int queue,
				  struct ob_block_req **reqs, unsigned int n)
{
	return nvme_queue_complete(to_disk(blk)->queue[queue], reqs, n);
}

static bool nvme_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	return nvme_irq_arm(to_disk(blk)->queue[queue], on);
}

static void nvme_block_tick(struct ob_block *blk, uint64_t now_ns)
{
	nvme_tick(to_disk(blk)->ctrl, now_ns);
}

/* Return: false when the controller may still use the queue. */
static bool delete_queue(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	struct ob_block_req *reqs[DEPTH_MAX];
	bool answers = !ctrl->fate && !ob_device_gone(ctrl->dev);
	bool deleted = answers && !nvme_delete_sq(ctrl, q);
	/* What ended before it was deleted has ended: tell so, not that it was cancelled. */
	unsigned int n = nvme_queue_complete(q, reqs, DEPTH_MAX);

	while (n)
		nvme_queue_give_back(q, reqs[--n]);
	if (deleted)
		deleted = !nvme_delete_cq(ctrl, q);
	q->live = false;
	return deleted || !answers;
}

/* Delete the first @n queues; what is in flight ends. Called with the lock held. */
static void delete_queues(struct nvme_ctrl *ctrl, struct nvme_disk *disk, unsigned int n)
{
	bool deleted = true;

	for (unsigned int i = 0; i < n; i++)
		deleted &= delete_queue(ctrl, disk->queue[i]);
	/*
	 * A controller that does not delete its queue may still use it. A reset ends that, as the queue is
	 * not created again; and where the reset fails, bus mastering goes off.
	 */
	if (!deleted)
		nvme_reset(ctrl, "it does not delete a queue");
	for (unsigned int i = 0; i < n; i++)
		nvme_queue_end_all(disk->queue[i],
				   ob_device_gone(ctrl->dev) ? -ENODEV : -ECANCELED);
}

static int nvme_start(struct ob_block *blk, struct ob_error *err)
{
	struct nvme_disk *disk = to_disk(blk);
	struct nvme_ctrl *ctrl = disk->ctrl;
	int rc = 0;

	pthread_mutex_lock(&ctrl->lock);
	if (ctrl->fate) {
		rc = ob_error_set(err, ctrl->fate, "disk %s: its controller was given up",
				  blk->name);
		ob_error_fix(err, "unbind the driver and bind it again");
	}
	for (unsigned int i = 0; i < disk->nr_queues && !rc; i++) {
		disk->queue[i]->now = ctrl->tick;
		rc = nvme_create_queue(ctrl, disk->queue[i], err);
		if (rc)
			delete_queues(ctrl, disk, i);
	}
	disk->started = !rc;
	pthread_mutex_unlock(&ctrl->lock);
	return rc;
}

static void nvme_stop(struct ob_block *blk)
{
	struct nvme_disk *disk = to_disk(blk);

	pthread_mutex_lock(&disk->ctrl->lock);
	delete_queues(disk->ctrl, disk, disk->nr_queues);
	disk->started = false;
	pthread_mutex_unlock(&disk->ctrl->lock);
}

/* Flush and FUA are in every controller's NVM command set (6.8, 6.15). */
static bool nvme_yes(struct ob_block *blk)
{
	return true;
}

static bool nvme_can_discard(struct ob_block *blk)
{
	return to_disk(blk)->ctrl->id.dsm;
}

static bool nvme_can_write_zeroes(struct ob_block *blk)
{
	return to_disk(blk)->ctrl->id.write_zeroes;
}

static void nvme_stats(struct ob_block *blk, struct ob_block_stats *stats)
{
	struct nvme_disk *disk = to_disk(blk);

	for (unsigned int i = 0; i < disk->nr_queues; i++) {
		const struct nvme_queue *q = disk->queue[i];

		stats->timeouts += __atomic_load_n(&q->timeouts, __ATOMIC_RELAXED);
		stats->aborts += __atomic_load_n(&q->aborts, __ATOMIC_RELAXED);
		stats->bad_completions += __atomic_load_n(&q->bad_completions, __ATOMIC_RELAXED);
		stats->doorbells += __atomic_load_n(&q->doorbells, __ATOMIC_RELAXED);
		stats->irqs += __atomic_load_n(&q->irqs, __ATOMIC_RELAXED);
	}
	/* The controller's, so every disk's of it. */
	stats->resets = __atomic_load_n(&disk->ctrl->resets, __ATOMIC_RELAXED);
	stats->bad_completions += __atomic_load_n(&disk->ctrl->admin.bad, __ATOMIC_RELAXED);
}

static const struct ob_block_ops nvme_block_ops = {
	.start = nvme_start,
	.stop = nvme_stop,
	.submit = nvme_submit,
	.complete = nvme_complete,
	.irq_arm = nvme_arm,
	.tick = nvme_block_tick,
	.can_fua = nvme_yes,
	.can_flush = nvme_yes,
	.can_discard = nvme_can_discard,
	.can_write_zeroes = nvme_can_write_zeroes,
	/* Flush (6.8) is about the namespace, not about a queue. */
	.can_multi_conn = nvme_yes,
	.stats = nvme_stats,
};

/* ---- namespaces ------------------------------------------------------------------ */

static int fill_disk(struct nvme_ctrl *ctrl, uint32_t nsid, const struct nvme_namespace *ns)
{
	struct nvme_disk *disk = calloc(1, sizeof(*disk));
	struct ob_block_limits *l;
	uint32_t block;

	if (!disk)
		return -ENOMEM;
	disk->ctrl = ctrl;
	disk->nsid = nsid;
	disk->ns = *ns;
	disk->blk.ops = &nvme_block_ops;
	disk->blk.dev = ctrl->dev;
	disk->blk.dma = ctrl->dma;
	disk->blk.driver = ob_driver_nvme.name;
	snprintf(disk->blk.name, sizeof(disk->blk.name), "nvme0n%u", nsid);
	snprintf(disk->blk.model, sizeof(disk->blk.model), "%s", ctrl->id.model);
	snprintf(disk->blk.serial, sizeof(disk->blk.serial), "%s", ctrl->id.serial);
	for (unsigned int i = 0; i < OB_BLOCK_QUEUES; i++)
		disk->blk.irq_fd[i] = -1;

	block = 1u << ns->lba_shift;
	l = &disk->blk.limits;
	l->size = ns->size;
	l->block_size = block;
	l->physical_block_size = ns->physical_block_size;
	l->max_transfer = ctrl->id.max_transfer & ~(block - 1);
	/* One range has 32 bits of blocks; len has 32 bits of bytes. */
	l->max_discard = ctrl->id.dsm ? UINT32_MAX & ~((1u << 20) - 1) : 0;
	/* NLB has 16 bits of blocks, less one (6.17). */
	if (ctrl->id.write_zeroes) {
		uint64_t max = (uint64_t)block << 16;

		l->max_zeroes = max < UINT32_MAX ? (uint32_t)max : UINT32_MAX & ~(block - 1);
	}
	l->dma_align = 4; /* 4.3: PRP offsets are dword aligned */
	l->read_only = ns->read_only;
	l->volatile_cache = ctrl->id.volatile_cache;
	ctrl->disk[ctrl->nr_disks++] = disk;
	return 0;
}

static void find_disk(struct nvme_ctrl *ctrl, uint32_t nsid, void *data, char *why, size_t size)
{
	struct nvme_namespace ns;
	int rc;

	rc = nvme_identify(ctrl, NVME_CNS_NAMESPACE, nsid, data);
	if (rc)
		snprintf(why, size, "Identify failed with %s",
			 rc > 0 ? "an error status" : strerror(-rc));
	else
		rc = nvme_identify_namespace(data, &ns, why, size);
	if (!rc && 1u << ns.lba_shift > ctrl->id.max_transfer) {
		snprintf(why, size, "blocks of %u bytes, but transfers of at most %u",
			 1u << ns.lba_shift, ctrl->id.max_transfer);
		rc = -EINVAL;
	}
	if (!rc) {
		rc = fill_disk(ctrl, nsid, &ns);
		if (rc)
			snprintf(why, size, "%s", strerror(-rc));
	}
	if (rc)
		ob_device_log(ctrl->dev, OB_LOG_WARN, "namespace %u is left out: %s", nsid, why);
}

static int find_disks(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	uint32_t nsid[OB_BINDING_BLOCKS + 1];
	char why[160] = "";
	unsigned int n;
	void *data;
	int rc;

	data = malloc(NVME_IDENTIFY_BYTES);
	if (!data)
		return ob_error_set(err, -ENOMEM, "no memory for identify data");
	/* The list came with 1.1; before, every id up to NN was active (6.1). */
	rc = nvme_identify(ctrl, NVME_CNS_ACTIVE_LIST, 0, data);
	if (!rc) {
		n = nvme_identify_list(data, 0, nsid, OB_BINDING_BLOCKS + 1);
	} else if (rc > 0) {
		for (n = 0; n < ctrl->id.namespaces && n <= OB_BINDING_BLOCKS; n++)
			nsid[n] = n + 1;
	} else {
		free(data);
		return nvme_admin_error(ctrl, err, rc, "list its namespaces");
	}
	if (n > OB_BINDING_BLOCKS) {
		n = OB_BINDING_BLOCKS;
		ob_device_log(ctrl->dev, OB_LOG_WARN,
			      "namespaces above id %u are left out: only %u", nsid[n - 1], n);
	}
	for (unsigned int i = 0; i < n; i++)
		find_disk(ctrl, nsid[i], data, why, sizeof(why));
	free(data);
	if (ctrl->nr_disks)
		return 0;
	ob_error_set(err, -ENODEV, "NVMe controller %s has no disk that can be used",
		     ob_device_info(ctrl->dev)->name);
	if (n)
		ob_error_why(err, "namespace %u: %s", nsid[n - 1], why);
	else
		ob_error_why(err, "it has no active namespace");
	return -ENODEV;
}

/* ---- queues ---------------------------------------------------------------------- */

static void free_queue(struct nvme_ctrl *ctrl, struct nvme_queue *q)
{
	if (!q)
		return;
	ob_dma_free(ctrl->dma, q->mem.prp);
	ob_dma_free(ctrl->dma, q->mem.cq);
	ob_dma_free(ctrl->dma, q->mem.sq);
	nvme_queue_teardown(q);
	free(q);
}

static int make_queue(struct nvme_ctrl *ctrl, struct nvme_disk *disk, unsigned int depth,
		      struct ob_error *err)
{
	unsigned int entries = NVME_CAP_MQES(ctrl->cap) + 1, sq_entries = 2, cq_entries;
	struct nvme_queue_params params = {
		.qid = (uint16_t)(ctrl->nr_queues + 1), /* 0 is the admin queue */
		.nsid = disk->nsid,
		.lba_shift = disk->ns.lba_shift,
		.deac = disk->ns.zeroes_deallocate,
		.fua_by_flush = ctrl->ignores_fua && ctrl->id.volatile_cache,
		.max_transfer = disk->blk.limits.max_transfer,
		.doorbell_stride = ctrl->doorbell_stride,
	};
	uint32_t prp_bytes = nvme_prp_bytes(params.max_transfer);
	struct nvme_queue_memory mem = {0};
	struct nvme_queue *q;

	while (sq_entries <= depth && sq_entries * 2 <= entries)
		sq_entries *= 2;
	/* A completion queue four times as long saves three of four of its doorbells. */
	cq_entries = sq_entries;
	while (cq_entries < 4 * sq_entries && cq_entries * 2 <= entries)
		cq_entries *= 2;
	params.sq_entries = (uint16_t)sq_entries;
	params.cq_entries = (uint16_t)cq_entries;
	params.depth = (uint16_t)(depth < sq_entries ? depth : sq_entries - 1);

	q = aligned_alloc(64, (sizeof(*q) + 63) & ~(size_t)63);
	if (!q)
		return ob_error_set(err, -ENOMEM, "no memory for an I/O queue");
	memset(q, 0, sizeof(*q));
	snprintf(q->sq_label, sizeof(q->sq_label), "nvme sq %u", params.qid);
	snprintf(q->cq_label, sizeof(q->cq_label), "nvme cq %u", params.qid);
	mem.sq = ob_dma_alloc(ctrl->dma, sq_entries * sizeof(*mem.sq), NVME_PAGE, q->sq_label,
			      &mem.sq_iova);
	mem.cq = ob_dma_alloc(ctrl->dma, cq_entries * sizeof(*mem.cq), NVME_PAGE, q->cq_label,
			      &mem.cq_iova);
	mem.prp = ob_dma_alloc(ctrl->dma, (size_t)params.depth * prp_bytes, NVME_PAGE, "nvme prp",
			       &mem.prp_iova);
	if (!mem.sq || !mem.cq || !mem.prp || nvme_queue_setup(q, ctrl, ctrl->bar, &params, &mem)) {
		q->mem = mem;
		free_queue(ctrl, q);
		ob_error_set(err, -ENOMEM, "no DMA memory for I/O queue %u of %s", params.qid,
			     ob_device_info(ctrl->dev)->name);
		ob_error_fix(err, "open the device with a larger arena (arena=SIZE), or bind with "
				  "fewer queues or less depth");
		return -ENOMEM;
	}
	ctrl->queue[ctrl->nr_queues++] = q;
	disk->queue[disk->nr_queues++] = q;
	disk->blk.limits.depth = q->depth;
	disk->blk.limits.queues = (uint16_t)disk->nr_queues;
	return 0;
}

static void drop_disk(struct nvme_ctrl *ctrl)
{
	struct nvme_disk *disk = ctrl->disk[--ctrl->nr_disks];

	ob_device_log(ctrl->dev, OB_LOG_WARN,
		      "namespace %u is left out: the controller has too few queues", disk->nsid);
	free(disk);
	ctrl->disk[ctrl->nr_disks] = NULL;
}

static int make_queues(struct nvme_ctrl *ctrl, const struct ob_driver_config *config,
		       struct ob_error *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int depth = config->depth ? config->depth : DEPTH;
	unsigned int per_disk = config->queues, total, room;
	int rc;

	if (!per_disk)
		per_disk = cpus > 0 && cpus < QUEUES ? (unsigned int)cpus : QUEUES;
	if (per_disk > OB_BLOCK_QUEUES)
		per_disk = OB_BLOCK_QUEUES;
	if (depth > DEPTH_MAX)
		depth = DEPTH_MAX;
	total = per_disk * ctrl->nr_disks;
	if (total > NVME_QUEUES)
		total = NVME_QUEUES;
	/* A pair of doorbells for each, and one for the admin queue, must lie in the BAR. */
	room = (unsigned int)((ctrl->bar->size - NVME_DOORBELLS) / (2 * ctrl->doorbell_stride)) - 1;
	if (total > room)
		total = room;
	/* 5.21.1.7: once after a reset, before any queue is created */
	rc = nvme_set_queues(ctrl, total);
	if (rc <= 0)
		return nvme_admin_error(ctrl, err, rc, "set its number of queues");
	total = (unsigned int)rc;
	while (ctrl->nr_disks > total)
		drop_disk(ctrl);
	rc = nvme_irq_setup(ctrl, config, &total, err);
	if (rc)
		return rc;
	per_disk = total / ctrl->nr_disks < per_disk ? total / ctrl->nr_disks : per_disk;
	for (unsigned int i = 0; i < ctrl->nr_disks; i++) {
		for (unsigned int j = 0; j < per_disk; j++) {
			rc = make_queue(ctrl, ctrl->disk[i], depth, err);
			if (rc)
				return rc;
		}
	}
	rc = nvme_irq_attach(ctrl, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < ctrl->nr_disks; i++)
		for (unsigned int j = 0; j < per_disk; j++)
			ctrl->disk[i]->blk.irq_fd[j] = ctrl->disk[i]->queue[j]->fd;
	return 0;
}

/* ---- probe and remove ------------------------------------------------------------ */

static int check_registers(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	const char *name = ob_device_info(ctrl->dev)->name;
	uint64_t need;

	ctrl->bar = ob_device_bar(ctrl->dev, 0);
	if (!ctrl->bar || ctrl->bar->kind != OB_BAR_MEM || ctrl->bar->size < 2 * NVME_DOORBELLS)
		return ob_error_set(err, -ENODEV, "%s has no NVMe registers in BAR 0", name);
	ctrl->cap = ob_read64(ctrl->bar, NVME_CAP);
	if (ctrl->cap == UINT64_MAX)
		return ob_error_set(err, -ENODEV, "%s does not answer", name);
	if (!NVME_CAP_NVM(ctrl->cap))
		return ob_error_set(err, -EOPNOTSUPP, "%s does not know the NVM command set", name);
	if (NVME_CAP_MPSMIN(ctrl->cap))
		return ob_error_set(err, -EOPNOTSUPP,
				    "%s wants memory pages of at least %u KiB, this driver has 4",
				    name, 4u << NVME_CAP_MPSMIN(ctrl->cap));
	if (!NVME_CAP_MQES(ctrl->cap)) /* 3.1.1: at least 1h, two entries */
		return ob_error_set(err, -EIO, "%s claims queues of one entry", name);
	ctrl->doorbell_stride = 4u << NVME_CAP_DSTRD(ctrl->cap);
	/* The admin queue's doorbells and those of one I/O queue pair, at the least. */
	need = NVME_DOORBELLS + 4ull * ctrl->doorbell_stride;
	if (need > ctrl->bar->size)
		return ob_error_set(err, -EIO, "%s has doorbells outside of its BAR", name);
	ctrl->ready_ms = NVME_CAP_TO(ctrl->cap) * 500;
	/* 0 is reported by some; the shortest that 3.1.1 can express is meant. */
	if (!ctrl->ready_ms)
		ctrl->ready_ms = 500;
	return 0;
}

static int start_controller(struct nvme_ctrl *ctrl, struct ob_error *err)
{
	char why[160];
	void *data;
	int rc;

	rc = nvme_restart(ctrl, err);
	if (rc)
		return rc;
	data = malloc(NVME_IDENTIFY_BYTES);
	if (!data)
		return ob_error_set(err, -ENOMEM, "no memory for identify data");
	rc = nvme_identify(ctrl, NVME_CNS_CONTROLLER, 0, data);
	if (rc) {
		rc = nvme_admin_error(ctrl, err, rc, "identify itself");
	} else {
		rc = nvme_identify_controller(data, &ctrl->id, why, sizeof(why));
		if (rc) {
			ob_error_set(err, rc, "NVMe controller %s cannot be used",
				     ob_device_info(ctrl->dev)->name);
			ob_error_why(err, "its identify data tell of %s", why);
		}
	}
	free(data);
	return rc;
}

/*
 * QEMU's controller takes the FUA bit of Write and Write Zeroes and does nothing with it (found with 7.2 and
 * an image whose flushes fail). As nothing tells a model that would, all of them get a Flush after the write.
 */
static bool ignores_fua(const struct ob_device_info *info)
{
	return info->vendor == 0x1b36 && info->device == 0x0010;
}

/* A cache that is switched off is no cache (5.21.1.6). */
static void ask_write_cache(struct nvme_ctrl *ctrl)
{
	struct nvme_sqe cmd = {.cdw0 = NVME_ADMIN_GET_FEATURES, .cdw10 = NVME_FEATURE_VWC};
	uint32_t result;

	if (ctrl->id.volatile_cache && !nvme_admin_command(ctrl, &cmd, &result))
		ctrl->id.volatile_cache = result & 1;
}

static void teardown(struct nvme_ctrl *ctrl)
{
	struct ob_error err;

	nvme_irq_detach(ctrl);
	if (ctrl->bar && ctrl->admin.sq && !ob_device_gone(ctrl->dev)) {
		if (!ctrl->fate)
			nvme_shutdown(ctrl);
		/* Its memory is freed next: when it cannot be stopped it must not reach any. */
		if (nvme_disable(ctrl, &err) && !ob_device_gone(ctrl->dev))
			ob_device_bus_master(ctrl->dev, false);
	}
	OB_FAULT_POINT("nvme.disabled");
	for (unsigned int i = 0; i < ctrl->nr_queues; i++)
		free_queue(ctrl, ctrl->queue[i]);
	for (unsigned int i = 0; i < ctrl->nr_disks; i++)
		free(ctrl->disk[i]);
	nvme_admin_free(ctrl);
	pthread_mutex_destroy(&ctrl->lock);
	free(ctrl);
}

static int nvme_probe(struct ob_binding *b, struct ob_error *err)
{
	unsigned int timeout_ms = b->config.timeout_ms ? b->config.timeout_ms : NVME_TIMEOUT_MS;
	struct nvme_ctrl *ctrl = OB_FAULT_ERROR("nvme.probe") ? NULL : calloc(1, sizeof(*ctrl));
	int rc;

	if (!ctrl)
		return ob_error_set(err, -ENOMEM, "no memory for an NVMe controller");
	ctrl->dev = b->dev;
	ctrl->dma = ob_device_dma(b->dev);
	ctrl->ignores_fua = ignores_fua(ob_device_info(b->dev));
	pthread_mutex_init(&ctrl->lock, NULL);
	ctrl->admin_ms = timeout_ms < NVME_ADMIN_MIN_MS	  ? NVME_ADMIN_MIN_MS
			 : timeout_ms > NVME_ADMIN_MAX_MS ? NVME_ADMIN_MAX_MS
							  : timeout_ms;
	/* Rounded up, and one more: a request is issued at any time between two ticks. */
	if (timeout_ms > 3600 * 1000)
		timeout_ms = 3600 * 1000;
	ctrl->timeout_ticks = (uint16_t)((timeout_ms + NVME_TICK_MS - 1) / NVME_TICK_MS + 1);

	/* One that was given up had bus mastering taken from it. */
	ob_device_bus_master(b->dev, true);
	rc = check_registers(ctrl, err);
	if (!rc)
		rc = ob_dma_set_mask(ctrl->dma, 64, err);
	if (!rc)
		rc = nvme_admin_alloc(ctrl, err);
	OB_FAULT_POINT("nvme.probe.stopped");
	if (!rc)
		rc = start_controller(ctrl, err);
	OB_FAULT_POINT("nvme.probe.enabled");
	if (!rc) {
		ask_write_cache(ctrl);
		rc = find_disks(ctrl, err);
	}
	OB_FAULT_POINT("nvme.probe.identified");
	if (!rc)
		rc = make_queues(ctrl, &b->config, err);
	OB_FAULT_POINT("nvme.probe.queues");
	if (rc) {
		teardown(ctrl);
		return rc;
	}
	for (unsigned int i = 0; i < ctrl->nr_disks; i++)
		b->block[i] = &ctrl->disk[i]->blk;
	b->nr_blocks = ctrl->nr_disks;
	b->priv = ctrl;
	return 0;
}

static void nvme_remove(struct ob_binding *b)
{
	struct nvme_ctrl *ctrl = b->priv;

	OB_FAULT_POINT("nvme.remove");
	for (unsigned int i = 0; i < ctrl->nr_disks; i++)
		ob_block_stop(&ctrl->disk[i]->blk);
	teardown(ctrl);
	OB_FAULT_POINT("nvme.removed");
	b->priv = NULL;
}

/* ---- self-test ------------------------------------------------------------------- */

struct selftest {
	struct ob_selftest_line *lines;
	unsigned int n, max;
};

static void __attribute__((format(printf, 4, 5)))
report(struct selftest *t, const char *name, int result, const char *fmt, ...)
{
	struct ob_selftest_line *line;
	va_list ap;

	if (t->n == t->max)
		return;
	line = &t->lines[t->n++];
	snprintf(line->name, sizeof(line->name), "%s", name);
	line->result = result;
	va_start(ap, fmt);
	vsnprintf(line->detail, sizeof(line->detail), fmt, ap);
	va_end(ap);
}

static void test_controller(struct nvme_ctrl *ctrl, struct selftest *t)
{
	uint8_t data[NVME_IDENTIFY_BYTES];
	struct nvme_identity id;
	uint32_t csts = nvme_csts(ctrl);
	char why[160] = "";
	int rc;

	report(t, "status", (csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY ? 0 : -EIO,
	       "CSTS %08x", csts);
	pthread_mutex_lock(&ctrl->lock);
	rc = nvme_identify(ctrl, NVME_CNS_CONTROLLER, 0, data);
	if (!rc)
		rc = nvme_identify_controller(data, &id, why, sizeof(why));
	if (!rc && strcmp(id.serial, ctrl->id.serial))
		rc = -EIO;
	report(t, "identify", rc > 0 ? nvme_status_errno((unsigned int)rc) : rc, "%s, serial %s%s",
	       ctrl->id.model, ctrl->id.serial, why);
	rc = nvme_health(ctrl, data);
	if (rc)
		report(t, "health", 1, "the controller gives no health log");
	else /* 5.14.1.2: byte 0 critical warnings, bytes 2:1 temperature, byte 5 percentage used */
		report(t, "health", data[0] ? -EIO : 0,
		       "critical warnings %02xh, %d degrees Celsius, %u %% used", data[0],
		       (data[1] | data[2] << 8) - 273, data[5]);
	pthread_mutex_unlock(&ctrl->lock);
}

/* Read one place twice: it answers, interrupts arrive if there are any, and nothing changes. */
static void test_disk(struct ob_block *blk, struct selftest *t)
{
	uint32_t len = blk->limits.max_transfer < 65536 ? blk->limits.max_transfer : 65536;
	uint64_t end = blk->limits.size;
	uint64_t places[3];
	bool was_started = to_disk(blk)->started;
	char name[40];
	char *a, *b;
	int rc = 0;

	if (len > end)
		len = (uint32_t)end;
	places[0] = 0;
	places[1] = (end / 2) & ~(uint64_t)(blk->limits.block_size - 1);
	places[2] = end - len;
	if (places[1] > places[2])
		places[1] = places[2];
	snprintf(name, sizeof(name), "read %s", blk->name);
	if (was_started) {
		report(t, name, 1, "in use: its queues belong to somebody else");
		return;
	}
	a = malloc(len);
	b = malloc(len);
	if (!a || !b)
		rc = -ENOMEM;
	if (!rc)
		rc = ob_block_start(blk, NULL);
	for (unsigned int q = 0; q < blk->limits.queues && !rc; q++) {
		for (unsigned int i = 0; i < 3 && !rc; i++) {
			memset(a, 0x55, len);
			memset(b, 0xaa, len);
			rc = ob_block_rw(blk, q, OB_BLOCK_READ, 0, places[i], a, len);
			if (!rc)
				rc = ob_block_rw(blk, q, OB_BLOCK_READ, 0, places[i], b, len);
			if (!rc && memcmp(a, b, len))
				rc = -EILSEQ;
		}
	}
	ob_block_stop(blk);
	report(t, name, rc, "%u queues, three places, twice the same%s", blk->limits.queues,
	       rc ? ": no" : "");
	free(a);
	free(b);
}

static int nvme_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct selftest t = {.lines = lines, .max = n};

	test_controller(b->priv, &t);
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		test_disk(b->block[i], &t);
	return (int)t.n;
}

static const struct ob_pci_id nvme_ids[] = {
	{OB_PCI_ANY, OB_PCI_ANY, 0x010802, 0xffffff, "NVM Express controller"},
	{0},
};

const struct ob_driver ob_driver_nvme = {
	.name = "nvme",
	.summary = "NVM Express disks",
	.datasheet = "NVM Express Base Specification 1.4",
	.class_ = OB_CLASS_BLOCK,
	.ids = nvme_ids,
	.probe = nvme_probe,
	.remove = nvme_remove,
	.selftest = nvme_selftest,
};
