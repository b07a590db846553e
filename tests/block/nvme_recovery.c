/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver when something goes wrong with QEMU's controller: too slow, reset behind its back, in
 * fatal state, killed, or lying. Time is the test's where it can be: ticks are called, not waited for.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <outboard/access.h>

#include "tests/block/nvme_rig.h"

enum {
	N = 8,
	BLOCK = 4096,
};

struct writes {
	struct ob_block_req req[N];
	struct ob_block_req *reqs[N];
	char *buf;
	unsigned int done;
};

static uint64_t fake_now = 1000000000;

/* As if 100 ms had passed. */
static void tick(struct rig *r)
{
	fake_now += 100000000;
	r->blk->ops->tick(r->blk, fake_now);
}

static void pause_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	nanosleep(&ts, NULL);
}

/*
 * Disable the controller behind the driver's back. Not at once after a doorbell: QEMU 7.2 starts the
 * commands of a queue whose doorbell was just rung while it drains, frees the queue, and crashes when they
 * end. A register is read first, and a moment left; nvme_reset() reads one, too, with all queues quiet.
 */
static void disable(struct rig *r)
{
	const struct ob_bar *bar = ob_device_bar(r->dev, 0);

	ob_read32(bar, NVME_CSTS);
	pause_ms(5);
	ob_read32(bar, NVME_CSTS);
	ob_write32(bar, NVME_CC, 0);
}

static void submit_writes(struct rig *r, struct writes *w, uint32_t seed)
{
	memset(w, 0, sizeof(*w));
	w->buf = rig_alloc(r, N * BLOCK);
	rig_pattern(w->buf, N * BLOCK, seed);
	for (unsigned int i = 0; i < N; i++) {
		w->reqs[i] = &w->req[i];
		w->req[i] = (struct ob_block_req){.op = OB_BLOCK_WRITE,
						  .len = BLOCK,
						  .offset = i * BLOCK,
						  .buf = w->buf + i * BLOCK,
						  .status = 1};
	}
	assert_int_equal(ob_block_submit(r->blk, 0, w->reqs, N), N);
}

static void collect(struct rig *r, struct writes *w)
{
	struct ob_block_req *got[N];
	unsigned int n = ob_block_complete(r->blk, 0, got, N);

	for (unsigned int i = 0; i < n; i++)
		assert_true(got[i] >= w->req && got[i] < w->req + N);
	w->done += n;
	assert_true(w->done <= N);
}

static void check_acknowledged(struct rig *r, const struct writes *w)
{
	for (unsigned int i = 0; i < N; i++)
		if (!w->req[i].status)
			rig_expect_image(r, 0, i * BLOCK, w->buf + i * BLOCK, BLOCK);
}

static uint64_t statuses(const struct writes *w, int status)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < N; i++)
		n += w->req[i].status == status;
	return n;
}

/* One request a second, and a time-out of three tenths: aborted, reset, issued again, given up. */
static void requests_too_late_are_aborted_then_reset_then_end(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .timeout_ms = 300};
	struct ob_block_stats s;
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s,iops=1", rig_image(&r, 0, 4 << 20));
	submit_writes(&r, &w, 1);
	for (unsigned int i = 0; i < 100 && w.done < N; i++) {
		tick(&r);
		collect(&r, &w);
	}
	assert_int_equal(w.done, N);
	ob_block_stats(r.blk, &s);
	assert_true(s.timeouts >= N);
	assert_true(s.aborts >= 1);
	assert_true(s.resets >= 2);
	/* Some were done by QEMU as it was reset, but it had no time to say so. */
	assert_true(statuses(&w, -ETIMEDOUT) > 0);
	assert_int_equal(statuses(&w, 0) + statuses(&w, -ETIMEDOUT), N);
	check_acknowledged(&r, &w);
	assert_non_null(strstr(r.log, "abort"));
	assert_non_null(strstr(r.log, "controller reset"));
	rig_close(&r);
}

/* A machine that stands still for a while makes no request late. */
static void *resume_later(void *arg)
{
	pause_ms(1200);
	kill(*(pid_t *)arg, SIGCONT);
	return NULL;
}

static void a_machine_that_stood_still_loses_nothing(void **state)
{
	struct ob_driver_config config = {.timeout_ms = 300};
	struct rig r;
	pthread_t thread;
	char buf[65536];
	pid_t pid;

	rig_open(&r, &config, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	pid = rig_qemu_pid();
	assert_true(pid > 0);
	rig_pattern(buf, sizeof(buf), 3);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(pthread_create(&thread, NULL, resume_later, &pid), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, 0, buf, sizeof(buf)), 0);
	pthread_join(thread, NULL);
	rig_expect_image(&r, 0, 0, buf, sizeof(buf));
	rig_close(&r);
}

static void wait_for_all(struct rig *r, struct writes *w)
{
	for (unsigned int i = 0; i < 20000 && w->done < N; i++) {
		collect(r, w);
		if (w->done < N)
			pause_ms(1);
	}
	assert_int_equal(w->done, N);
}

static void a_controller_disabled_behind_its_back_is_reset_and_goes_on(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_block_stats s;
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s,iops=50", rig_image(&r, 0, 4 << 20));
	submit_writes(&r, &w, 5);
	disable(&r);
	tick(&r);
	wait_for_all(&r, &w);
	assert_int_equal(statuses(&w, 0), N);
	check_acknowledged(&r, &w);
	ob_block_stats(r.blk, &s);
	assert_int_equal(s.resets, 1);
	assert_int_equal(s.timeouts, 0);
	assert_int_equal(s.bad_completions, 0);
	rig_close(&r);
}

static void a_fatal_status_is_reset(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	const struct ob_bar *bar;
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s,iops=50", rig_image(&r, 0, 4 << 20));
	bar = ob_device_bar(r.dev, 0);
	submit_writes(&r, &w, 6);
	/*
	 * Enabled with memory pages of a size that it does not have, above CAP.MPSMAX: 3.1.5, CC.MPS, and
	 * 3.1.6, CFS. (QEMU 10 no longer looks at the size of queue entries here.)
	 */
	disable(&r);
	ob_write32(bar, NVME_CC, NVME_CC_EN | 15u << 7);
	assert_true(ob_read32(bar, NVME_CSTS) & NVME_CSTS_CFS);
	tick(&r);
	assert_non_null(strstr(r.log, "fatal status"));
	wait_for_all(&r, &w);
	assert_int_equal(statuses(&w, 0), N);
	check_acknowledged(&r, &w);
	rig_close(&r);
}

/*
 * In interrupt mode nobody polls: requests that a reset ends have no completion and so no interrupt, and
 * who sleeps has to be woken for them. Their commands never reach the controller here.
 */
static void a_reset_wakes_who_sleeps(void **state)
{
	struct ob_driver_config config = {.irq_kind = OB_IRQ_MSIX, .queues = 1};
	static uint32_t nowhere[0x2000 / 4];
	const struct ob_bar lost = {.map = nowhere, .size = sizeof(nowhere), .kind = OB_BAR_MEM};
	struct ob_block_req *got;
	struct nvme_queue *q;
	struct pollfd pfd;
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	q = ((struct nvme_ctrl *)r.binding->priv)->queue[0];
	q->bar = &lost;
	submit_writes(&r, &w, 7);
	while (r.blk->ops->irq_arm(r.blk, 0, true))
		w.done += ob_block_complete(r.blk, 0, &got, 1);
	assert_int_equal(w.done, 0);
	for (unsigned int i = 0; i < q->depth; i++)
		if (q->slot[i].req)
			q->slot[i].timeouts = NVME_TRIES;
	q->bad = NVME_BAD_LIMIT;
	pfd = (struct pollfd){.fd = r.blk->irq_fd[0], .events = POLLIN};
	assert_int_equal(poll(&pfd, 1, 0), 0);
	tick(&r);
	assert_int_equal(poll(&pfd, 1, 0), 1);
	collect(&r, &w);
	assert_int_equal(statuses(&w, -ETIMEDOUT), N);
	rig_close(&r);
}

/* Each of several queues has its thread; any of them may find that a reset is due. */
struct worker {
	struct rig *r;
	unsigned int queue;
	int status;
	int *stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char *out = malloc(16384), *in = malloc(16384);
	uint64_t base = w->queue * (1ull << 20);

	for (unsigned int i = 0; !w->status && !__atomic_load_n(w->stop, __ATOMIC_RELAXED); i++) {
		uint64_t offset = base + i % 16 * 16384;

		rig_pattern(out, 16384, w->queue * 100000 + i);
		w->status = ob_block_rw(w->r->blk, w->queue, OB_BLOCK_WRITE, 0, offset, out, 16384);
		if (!w->status)
			w->status = ob_block_rw(w->r->blk, w->queue, OB_BLOCK_READ, 0, offset, in,
						16384);
		if (!w->status && memcmp(in, out, 16384))
			w->status = -EILSEQ;
		w->r->blk->ops->tick(w->r->blk, ob_clock_ns());
	}
	free(out);
	free(in);
	return NULL;
}

static void queues_go_on_through_resets(void **state)
{
	struct ob_driver_config config = {.queues = 3};
	struct worker w[3] = {0};
	struct ob_block_stats s;
	pthread_t thread[3];
	struct rig r;
	int stop = 0;

	rig_open(&r, &config, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	for (unsigned int i = 0; i < 3; i++) {
		w[i] = (struct worker){.r = &r, .queue = i, .stop = &stop};
		assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
	}
	for (unsigned int i = 0; i < 10; i++) {
		struct nvme_ctrl *ctrl = r.binding->priv;

		pause_ms(150);
		/* As if it had refused completions; whose thread ticks next finds it. */
		__atomic_store_n(&ctrl->queue[i % 3]->bad, NVME_BAD_LIMIT, __ATOMIC_RELAXED);
	}
	pause_ms(300);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(w[i].status, 0);
	ob_block_stats(r.blk, &s);
	assert_true(s.resets >= 1);
	rig_close(&r);
}

/* The first try to disable it does not arrive, so the function is reset by its configuration space. */
static void a_controller_that_does_not_stop_gets_a_function_reset(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_access_stats access, after;
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s", rig_image(&r, 0, 4 << 20));
	ob_device_stats(r.dev, &access);
	rig_close(&r);
	/* As many accesses as before: then a look at CSTS, at CC, and the write that is lost. */
	rig_open(&r, &config, "fault[write=1,after=%u,max=1]:qemu:nvme,file=%s",
		 (unsigned int)(access.reads + access.writes) + 2, rig_image(&r, 0, 4 << 20));
	((struct nvme_ctrl *)r.binding->priv)->queue[0]->bad = NVME_BAD_LIMIT;
	ob_device_stats(r.dev, &access);
	tick(&r);
	assert_non_null(strstr(r.log, "controller reset"));
	/* It was seen at once, not after looking at CSTS every millisecond for the 7.5 s of CAP.TO. */
	ob_device_stats(r.dev, &after);
	assert_true(after.reads - access.reads < 1000);
	submit_writes(&r, &w, 8);
	wait_for_all(&r, &w);
	assert_int_equal(statuses(&w, 0), N);
	check_acknowledged(&r, &w);
	rig_close(&r);
}

static void a_controller_whose_registers_vanish_is_given_up(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct ob_error err;
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "fault[ones=1,after=60]:qemu:nvme,file=%s,iops=1",
		 rig_image(&r, 0, 4 << 20));
	submit_writes(&r, &w, 9);
	for (unsigned int i = 0; i < 100 && w.done < N; i++) {
		tick(&r);
		collect(&r, &w);
	}
	assert_int_equal(w.done, N);
	assert_int_equal(statuses(&w, 0) + statuses(&w, -ENODEV), N);
	assert_non_null(strstr(r.log, "given up"));
	/* And so do all that come later, at once. */
	w.done = 0;
	assert_int_equal(ob_block_submit(r.blk, 0, w.reqs, N), N);
	collect(&r, &w);
	assert_int_equal(w.done, N);
	assert_int_equal(statuses(&w, -ENODEV), N);
	ob_block_stop(r.blk);
	assert_int_equal(ob_block_start(r.blk, &err), -ENODEV);
	assert_true(err.fix[0]);
	rig_close(&r);
}

static void resets_that_help_nothing_end(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct writes w;
	struct rig r;

	rig_open(&r, &config, "qemu:nvme,file=%s,iops=1", rig_image(&r, 0, 4 << 20));
	submit_writes(&r, &w, 10);
	for (unsigned int i = 0; i < 2 * NVME_MAX_RESETS && w.done < N; i++) {
		disable(&r);
		tick(&r);
		collect(&r, &w);
	}
	assert_int_equal(w.done, N);
	assert_int_equal(statuses(&w, 0) + statuses(&w, -EIO), N);
	check_acknowledged(&r, &w);
	rig_close(&r);
}

static void stop_cancels_what_is_in_flight(void **state)
{
	struct ob_block_stats s;
	struct writes w;
	struct rig r;
	char buf[512];

	rig_open(&r, NULL, "qemu:nvme,file=%s,iops=10", rig_image(&r, 0, 4 << 20));
	submit_writes(&r, &w, 11);
	ob_block_stop(r.blk);
	collect(&r, &w);
	assert_int_equal(w.done, N);
	assert_int_equal(statuses(&w, 0) + statuses(&w, -ECANCELED), N);
	check_acknowledged(&r, &w);
	ob_block_stats(r.blk, &s);
	assert_int_equal(s.resets, 0);
	assert_int_equal(ob_block_start(r.blk, NULL), 0);
	assert_int_equal(ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 0, buf, 512), 0);
	rig_close(&r);
}

/* ---- the end of the device ------------------------------------------------------- */

static void a_killed_qemu_ends_every_request(void **state)
{
	struct ob_driver_config config = {.queues = 2};
	struct ob_error err = {0};
	struct writes w;
	struct rig r;
	char buf[512];

	rig_open(&r, &config, "qemu:nvme,file=%s,iops=1", rig_image(&r, 0, 4 << 20));
	submit_writes(&r, &w, 12);
	assert_int_equal(kill(rig_qemu_pid(), SIGKILL), 0);
	wait_for_all(&r, &w);
	assert_true(statuses(&w, -ENODEV) > 0);
	assert_int_equal(statuses(&w, 0) + statuses(&w, -ENODEV), N);
	assert_int_equal(ob_block_rw(r.blk, 1, OB_BLOCK_READ, 0, 0, buf, 512), -ENODEV);
	tick(&r);
	ob_block_stop(r.blk);
	assert_int_equal(ob_block_start(r.blk, &err), -ENODEV);
	ob_driver_unbind(r.binding);
	r.binding = NULL;
	assert_int_equal(ob_driver_bind(r.dev, NULL, NULL, &r.binding, &err), -ENODEV);
	r.binding = NULL;
	rig_close(&r);
}

static void *kill_later(void *arg)
{
	pause_ms(300);
	kill(*(pid_t *)arg, SIGKILL);
	return NULL;
}

/* Whoever sleeps for an interrupt that cannot come any more is woken: own vectors and a shared one. */
static void a_killed_qemu_wakes_who_sleeps(void **state)
{
	static const enum ob_irq_kind kinds[] = {OB_IRQ_MSIX, OB_IRQ_INTX};

	for (unsigned int i = 0; i < 2; i++) {
		struct ob_driver_config config = {.irq_kind = kinds[i]};
		struct rig r;
		pthread_t thread;
		char buf[16][512];
		pid_t pid;
		int rc = 0;

		rig_open(&r, &config, "qemu:nvme,file=%s,file2=%s,iops=1",
			 rig_image(&r, 0, 4 << 20), rig_image(&r, 1, 4 << 20));
		pid = rig_qemu_pid();
		assert_int_equal(pthread_create(&thread, NULL, kill_later, &pid), 0);
		for (unsigned int j = 0; j < 16 && !rc; j++)
			rc = ob_block_rw(r.blk, 0, OB_BLOCK_WRITE, 0, j * 512, buf[j], 512);
		assert_int_equal(rc, -ENODEV);
		pthread_join(thread, NULL);
		rig_close(&r);
	}
}

static void a_removed_device_ends_every_request(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL};

	/* At any access: while it is bound, started, used, stopped. */
	for (unsigned int at = 1; at < 60; at += 3) {
		struct ob_error err = {0};
		struct rig r;
		char buf[512];
		int rc;

		rc = rig_try(&r, &config, &err, "fault[gone=%u]:qemu:nvme,null=16M", at);
		for (unsigned int i = 0; i < 60 && !rc; i++)
			rc = ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, i * 512, buf, 512);
		assert_int_equal(rc, -ENODEV);
		rig_close(&r);
	}
}

/* ---- a device that lies ---------------------------------------------------------- */

static void garbage_in_identify_data_is_survived(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .timeout_ms = 1000};
	unsigned int refused = 0;

	for (unsigned int seed = 1; seed <= 30; seed++) {
		struct ob_error err = {0};
		struct rig r;
		char buf[512];

		if (rig_try(&r, &config, &err,
			    "fault[seed=%u,scribble=nvme identify,rate=1]:qemu:nvme,null=16M",
			    seed)) {
			assert_true(err.what[0]);
			refused++;
		} else {
			ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, 0, buf, 512);
		}
		rig_close(&r);
	}
	/* The other times it hit what nobody looks at, or was overwritten by the device. */
	assert_true(refused < 30);
}

static void garbage_in_the_admin_queue_ends_in_an_error(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .timeout_ms = 1000};
	unsigned int refused = 0;

	for (unsigned int seed = 1; seed <= 4; seed++) {
		struct ob_error err = {0};
		struct rig r;

		if (rig_try(&r, &config, &err,
			    "fault[seed=%u,scribble=nvme admin cq,rate=1]:qemu:nvme,null=16M",
			    seed)) {
			assert_true(err.what[0] && err.why[0]);
			refused++;
		}
		rig_close(&r);
	}
	assert_true(refused > 0);
}

static void garbage_completions_are_refused_and_reset(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_POLL, .timeout_ms = 500};
	struct ob_block_stats s;
	unsigned int ended = 0;
	struct rig r;
	char buf[4096];

	rig_open(&r, &config, "fault[seed=3,scribble=nvme cq,rate=0.2]:qemu:nvme,null=16M");
	for (unsigned int i = 0; i < 400; i++) {
		int rc = ob_block_rw(r.blk, 0, OB_BLOCK_READ, 0, i * 4096, buf, 4096);

		/* Whatever it is told, it is told something. */
		assert_true(rc <= 0);
		ended++;
		ob_block_stats(r.blk, &s);
		if (s.bad_completions && s.resets)
			break;
		if (rc == -EIO && ((struct nvme_ctrl *)r.binding->priv)->fate)
			break;
	}
	ob_block_stats(r.blk, &s);
	assert_true(ended > 0);
	assert_true(s.bad_completions > 0 || s.resets > 0);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_too_late_are_aborted_then_reset_then_end),
		cmocka_unit_test(a_machine_that_stood_still_loses_nothing),
		cmocka_unit_test(a_controller_disabled_behind_its_back_is_reset_and_goes_on),
		cmocka_unit_test(a_fatal_status_is_reset),
		cmocka_unit_test(a_reset_wakes_who_sleeps),
		cmocka_unit_test(queues_go_on_through_resets),
		cmocka_unit_test(a_controller_that_does_not_stop_gets_a_function_reset),
		cmocka_unit_test(a_controller_whose_registers_vanish_is_given_up),
		cmocka_unit_test(resets_that_help_nothing_end),
		cmocka_unit_test(stop_cancels_what_is_in_flight),
		cmocka_unit_test(a_killed_qemu_ends_every_request),
		cmocka_unit_test(a_killed_qemu_wakes_who_sleeps),
		cmocka_unit_test(a_removed_device_ends_every_request),
		cmocka_unit_test(garbage_in_identify_data_is_survived),
		cmocka_unit_test(garbage_in_the_admin_queue_ends_in_an_error),
		cmocka_unit_test(garbage_completions_are_refused_and_reset),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
