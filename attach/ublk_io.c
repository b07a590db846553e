/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ublk in the loop's thread: takes requests from the kernel and gives them back, all of a round with one
 * io_uring_enter(2) at most (Linux, Documentation/block/ublk.rst, "Data plane").
 *
 * The kernel runs what it has to do for us (copying a payload among it) as task work, in this thread and only
 * when this thread enters the ring (IORING_SETUP_DEFER_TASKRUN). That there is some is told by a flag in
 * memory that is shared (IORING_SETUP_TASKRUN_FLAG), so a look costs no call.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/ublk.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* linux/prctl.h, Linux 5.6 */
#endif

enum {
	/*
	 * While the device has requests the next call is put off for so many rounds, or until so many
	 * requests wait for it, so that they share it. A round is well below a microsecond, so that
	 * nobody waits for long; when the device has nothing to do, nothing is put off.
	 */
	HOLD_ROUNDS = 32,
	HOLD_REQUESTS = 32,

	/*
	 * When so many are given back at once and the device has nothing more, the same call waits until
	 * most of them have come again: who had many under way will send others at once. At most so
	 * long, and where that was in vain so many calls do not wait: who has fewer under way now is kept
	 * waiting once.
	 */
	WAIT_FOR_MORE = 4,
	WAIT_NS = 500000,
	WAIT_AGAIN = 64,

	CHAR_FILE = 0, /* index of /dev/ublkcN among the ring's registered files */
};

static void fetch(struct ublk_attach *u, struct ublk_tag *t, unsigned int op, int result)
{
	/* There is an entry for each tag, and a tag is in one place at a time. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	struct ublksrv_io_cmd *cmd;

	if (ob_unlikely(!sqe)) {
		atomic_store(&u->failed, -EOVERFLOW);
		return;
	}
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = CHAR_FILE;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	sqe->user_data = (uintptr_t)t;
	cmd = (struct ublksrv_io_cmd *)sqe->cmd;
	cmd->q_id = t->queue;
	cmd->tag = t->tag;
	cmd->result = result;
	cmd->addr = (uintptr_t)t->buf;
}

static void commit(struct ublk_attach *u, struct ublk_tag *t, int result)
{
	fetch(u, t, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

/* ---- requests -------------------------------------------------------------------- */

static void request_done(void *front, struct disk_request *rq)
{
	struct ublk_attach *u = front;
	struct ublk_tag *t = (struct ublk_tag *)rq;
	struct ob_attach_stats *stats = &u->disk.stats;
	bool is_read = rq->op == OB_BLOCK_READ, payload = rq->op <= OB_BLOCK_WRITE;

	if (ob_unlikely(rq->status)) {
		disk_count(&stats->errors, 1);
		commit(u, t, ublk_error(rq->status));
		return;
	}
	disk_count(is_read ? &stats->requests_out : &stats->requests_in, 1);
	if (payload)
		disk_count(is_read ? &stats->bytes_out : &stats->bytes_in, rq->len);
	/* Of a write the payload was copied before it came, of a read it will be by the call to come. */
	if (payload && !t->shared)
		disk_count(&stats->kernel_copies, 1);
	commit(u, t, payload ? (int)rq->len : 0);
}

static void batch_end(void *front)
{
	(void)front; /* what was committed goes with the next round's call */
}

const struct disk_ops ublk_disk_ops = {
	.done = request_done,
	.batch_end = batch_end,
};

/* The device has all of the shared memory mapped; what is not aligned for it goes the class's way, with a copy. */
static void use_share(struct ublk_attach *u, struct ublk_tag *t)
{
	ob_iova iova = ob_iova_add(u->share_map.iova, (uint64_t)(t->rq.buf - u->share.base));

	if (iova.addr & (u->disk.blk->limits.dma_align - 1)) {
		disk_count(&u->disk.stats.own_copies, 1);
		return;
	}
	t->rq.iova = iova;
	t->rq.flags |= OB_BLOCK_MAPPED;
}

static void take_request(struct ublk_attach *u, struct ublk_tag *t)
{
	struct ublk_request rq;
	int ret = ublk_desc_parse(&u->shape, &u->queue[t->queue].desc[t->tag], t->buf, &rq);

	if (ob_unlikely(ret)) {
		disk_count(&u->disk.stats.errors, 1);
		disk_count(&u->disk.stats.dropped, 1);
		disk_log(&u->disk, OB_LOG_ERROR,
			 "ublk: the kernel asks for what cannot be, queue %u tag %u: %s", t->queue,
			 t->tag, strerror(-ret));
		commit(u, t, ublk_error(ret));
		return;
	}
	t->rq.op = rq.op;
	t->rq.flags = rq.flags;
	t->rq.offset = rq.offset;
	t->rq.len = rq.len;
	t->rq.buf = rq.buf;
	t->shared = rq.shared;
	if (rq.shared)
		use_share(u, t);
	disk_start(&u->disk, &t->rq);
}

/* The kernel does not send this tag any more: the device is being stopped, or has refused us. */
static void tag_gone(struct ublk_attach *u, struct ublk_tag *t, int res)
{
	int none = 0;

	if (!t->gone) {
		t->gone = true;
		u->nr_gone++;
	}
	if (res != UBLK_IO_RES_ABORT && atomic_compare_exchange_strong(&u->failed, &none, res))
		disk_log(&u->disk, OB_LOG_ERROR, "ublk: %s: queue %u tag %u ended: %s", u->node,
			 t->queue, t->tag, strerror(-res));
}

static unsigned int reap(struct ublk_attach *u, unsigned int budget)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		struct ublk_tag *t = (struct ublk_tag *)(uintptr_t)cqe->user_data;
		int res = cqe->res;

		if (ob_likely(res == UBLK_IO_RES_OK))
			take_request(u, t);
		else
			tag_gone(u, t, res);
		if (++n >= budget)
			break;
	}
	if (n)
		io_uring_cq_advance(&u->ring, n);
	return n;
}

/* ---- the source ------------------------------------------------------------------ */

/*
 * Where a client shares the processor with this thread, each of its requests would wake the thread, which would take the
 * processor from it (sched(7), SCHED_BATCH: no preemption at wake-up). So it goes on until it waits, and its
 * requests are served together. On a processor that is free nothing changes. A priority that somebody
 * has chosen stays.
 */
static void stay_behind_clients(void)
{
	struct sched_param param = {0};

	if (sched_getscheduler(0) == SCHED_OTHER)
		sched_setscheduler(0, SCHED_BATCH, &param);
}

static int start(struct ublk_attach *u)
{
	u->alone = sysconf(_SC_NPROCESSORS_ONLN) == 1;
	u->started = true;
	/* By the system call: liburing 2.3 has io_uring_enable_rings() in its header only. */
	if (syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
		    0)) {
		atomic_store(&u->failed, -errno);
		return 0;
	}
	/*
	 * What this thread allocates must not wait for dirty pages that only it can write. Where it may not
	 * (CAP_SYS_RESOURCE) it serves all the same, as every server of an ordinary user does.
	 */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	stay_behind_clients();
	/* From the thread that will serve: the kernel takes commits from no other. */
	for (unsigned int i = 0; i < u->nr_tags; i++)
		fetch(u, &u->tags[i], UBLK_U_IO_FETCH_REQ, 0);
	u->hurry = true;
	return 1;
}

static bool kernel_has_work(const struct ublk_attach *u)
{
	return IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool may_wait(struct ublk_attach *u, unsigned int waiting)
{
	if (u->hurry || !u->disk.inflight || waiting >= HOLD_REQUESTS || u->held >= HOLD_ROUNDS)
		return false;
	u->held++;
	return true;
}

/* How many requests to wait for while giving back @waiting. */
static unsigned int worth_waiting(struct ublk_attach *u, unsigned int waiting)
{
	if (u->hurry || u->disk.inflight || waiting < WAIT_FOR_MORE)
		return 0;
	if (u->no_wait) {
		u->no_wait--;
		return 0;
	}
	/* On other processors clients send while we serve: there the last are not waited for. */
	if (!u->alone)
		waiting = waiting * 3 / 4;
	return waiting < HOLD_REQUESTS ? waiting : HOLD_REQUESTS;
}

static void enter(struct ublk_attach *u, unsigned int waiting)
{
	struct __kernel_timespec ts = {.tv_nsec = WAIT_NS};
	unsigned int want = worth_waiting(u, waiting);
	struct io_uring_cqe *cqe;
	int ret, none = 0;

	u->held = 0;
	u->hurry = false;
	/* What this call completes is seen after it; before it sleeps the loop arms again. */
	io_uring_cq_eventfd_toggle(&u->ring, false);
	disk_count(&u->disk.stats.syscalls, 1);
	if (want) {
		ret = io_uring_submit_and_wait_timeout(&u->ring, &cqe, want, &ts, NULL);
		if (io_uring_cq_ready(&u->ring) < want)
			u->no_wait = WAIT_AGAIN;
	} else {
		ret = io_uring_submit_and_get_events(&u->ring);
	}
	if (ob_likely(ret >= 0) || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY ||
	    ret == -ETIME)
		return;
	if (atomic_compare_exchange_strong(&u->failed, &none, ret))
		disk_log(&u->disk, OB_LOG_ERROR, "ublk: %s: io_uring: %s", u->node, strerror(-ret));
}

static unsigned int ublk_poll(void *arg, unsigned int budget)
{
	struct ublk_attach *u = arg;
	unsigned int waiting, n;

	if (ob_unlikely(!u->started) && !start(u))
		return 0;
	waiting = io_uring_sq_ready(&u->ring);
	if ((waiting || kernel_has_work(u)) && !may_wait(u, waiting))
		enter(u, waiting);
	n = reap(u, budget);
	/* Also what request_done() of the disk's source could not give it. */
	disk_submit(&u->disk);
	return n;
}

static bool ublk_arm(void *arg, bool on)
{
	struct ublk_attach *u = arg;

	io_uring_cq_eventfd_toggle(&u->ring, on);
	if (!on)
		return false;
	u->hurry = true;
	/* The kernel sets its flag before it looks whether to signal; we the other way round. */
	atomic_thread_fence(memory_order_seq_cst);
	return io_uring_sq_ready(&u->ring) || io_uring_cq_ready(&u->ring) || kernel_has_work(u);
}

/* ---- open and close -------------------------------------------------------------- */

static int map_queues(struct ublk_attach *u, struct ob_error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t each = u->dev.queue_depth * sizeof(struct ublksrv_io_desc);
	/* Where the kernel expects each queue's: as far apart as the largest possible are long. */
	size_t apart = UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc);

	each = (each + page - 1) & ~(page - 1);
	apart = (apart + page - 1) & ~(page - 1);
	for (unsigned int q = 0; q < u->dev.nr_hw_queues; q++) {
		void *p = mmap(NULL, each, PROT_READ, MAP_SHARED | MAP_POPULATE, u->char_fd,
			       (off_t)(UBLKSRV_CMD_BUF_OFFSET + q * apart));

		if (p == MAP_FAILED)
			return ob_error_set(err, -errno,
					    "%s: descriptors of queue %u cannot be mapped: %s",
					    u->cnode, q, strerror(errno));
		/* A child that still mapped them would keep the device from being recovered or removed. */
		madvise(p, each, MADV_DONTFORK);
		u->queue[q].desc = p;
		u->queue[q].map_len = each;
	}
	return 0;
}

static int make_tags(struct ublk_attach *u, struct ob_error *err)
{
	unsigned int depth = u->dev.queue_depth;

	u->nr_tags = depth * u->dev.nr_hw_queues;
	u->tags = calloc(u->nr_tags, sizeof(*u->tags));
	if (!u->tags)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", u->node);
	for (unsigned int i = 0; i < u->nr_tags; i++) {
		struct ublk_tag *t = &u->tags[i];

		t->queue = (uint16_t)(i / depth);
		t->tag = (uint16_t)(i % depth);
		t->buf = payload_get(&u->disk.payload, u->shape.max_io);
		if (!t->buf)
			return ob_error_set(err, -ENOSPC, "%s: no payload memory for %u requests",
					    u->node, u->nr_tags);
	}
	return 0;
}

static int make_ring(struct ublk_attach *u, struct ob_error *err)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	};
	int ret = io_uring_queue_init_params(u->nr_tags, &u->ring, &p);

	if (ret)
		return ob_error_set(err, ret, "%s: no io_uring of %u entries: %s", u->node,
				    u->nr_tags, strerror(-ret));
	u->ring_made = true;
	io_uring_ring_dontfork(&u->ring);
	/* Nobody is told before the loop wants to sleep. */
	io_uring_cq_eventfd_toggle(&u->ring, false);
	u->event_fd = eventfd(0, EFD_CLOEXEC);
	ret = u->event_fd < 0 ? -errno : io_uring_register_eventfd(&u->ring, u->event_fd);
	if (!ret)
		ret = io_uring_register_files(&u->ring, &u->char_fd, 1);
	if (ret)
		return ob_error_set(err, ret, "%s: io_uring cannot be set up: %s", u->node,
				    strerror(-ret));
	return 0;
}

int ublk_io_open(struct ublk_attach *u, struct ob_loop *loop, struct ob_error *err)
{
	int ret = map_queues(u, err);

	if (!ret)
		ret = make_tags(u, err);
	if (!ret)
		ret = make_ring(u, err);
	if (ret)
		return ret;
	ret = ob_loop_add(loop, &(struct ob_loop_source){
					.name = "ublk",
					.poll = ublk_poll,
					.arm = ublk_arm,
					.arg = u,
					.fd = u->event_fd,
				});
	if (ret)
		ob_error_set(err, ret, "%s: cannot be added to the loop: %s", u->node,
			     strerror(-ret));
	return ret;
}

void ublk_io_close(struct ublk_attach *u)
{
	if (u->disk.loop)
		ob_loop_remove(u->disk.loop, u);
	if (u->ring_made)
		io_uring_queue_exit(&u->ring);
	u->ring_made = false;
	for (unsigned int q = 0; q < UBLK_QUEUES_MAX; q++) {
		if (u->queue[q].desc)
			munmap((void *)u->queue[q].desc, u->queue[q].map_len);
		u->queue[q].desc = NULL;
	}
	if (u->event_fd >= 0)
		close(u->event_fd);
	u->event_fd = -1;
	if (u->char_fd >= 0)
		close(u->char_fd);
	u->char_fd = -1;
}
