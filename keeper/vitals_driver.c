/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver process's side of keeper/vitals.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <outboard/block.h>
#include <outboard/irq.h>

#include "attach/unsent.h"
#include "keeper/vitals.h"

#define NS_PER_MS 1000000ull

enum {
	/* Ages are told in these steps; the shortest that a policy can ask for is a second. */
	AGE_STEP_MS = 200,
	FAULTS = 8,
};

/* Each unit, as long-lived as the process. */
static struct told {
	struct vitals_unit *unit;
	struct ob_loop *loop;
	struct ob_device *dev;
	struct ob_binding *binding;
	const struct ob_attach *at;
	bool ask_faults, muted;
} told[HEARTBEAT_LOOPS];

static void report_faults(struct told *t)
{
	struct ob_fault fault[FAULTS];
	int n = ob_device_faults(t->dev, fault, FAULTS);

	if (n <= 0)
		return;
	snprintf(t->unit->fault, sizeof(t->unit->fault), "%.159s", fault[n - 1].text);
	atomic_fetch_add(&t->unit->blocked, (uint64_t)n);
}

/* In the loop's thread, when the keeper has asked: now and then. */
static void report(void *arg)
{
	uint64_t now = ob_clock_ns(), oldest = 0;
	struct told *t = arg;

	for (unsigned int i = 0; i < t->binding->nr_blocks; i++) {
		uint64_t age = ob_block_oldest(t->binding->block[i], now, AGE_STEP_MS * NS_PER_MS);

		oldest = age > oldest ? age : oldest;
	}
	atomic_store(&t->unit->oldest_ms, oldest / NS_PER_MS);
	if (t->at)
		atomic_store(&t->unit->unsent_ms, ob_attach_unsent_ns(t->at) / NS_PER_MS);
	if (t->ask_faults)
		report_faults(t);
}

void vitals_attach(struct vitals *v, unsigned int i, struct ob_loop *loop, struct ob_device *dev,
		   struct ob_binding *binding, const struct ob_attach *at)
{
	if (i >= v->n)
		return;
	told[i] = (struct told){.unit = &v->unit[i],
				.loop = loop,
				.dev = dev,
				.binding = binding,
				.at = at,
				.ask_faults = v->ask_faults[i]};
	ob_loop_mirror(loop, &v->unit[i].loop);
	ob_device_count_irqs(dev, &v->unit[i].irqs);
	heartbeat_report(i, report, &told[i]);
}

static void obey(struct told *t)
{
	bool mute = atomic_load(&t->unit->mute);
	int ret;

	if (!t->dev || mute == t->muted)
		return;
	/* The loop polls before its interrupts end, and looks once more after they can come again. */
	if (mute)
		ob_loop_silent(t->loop, true);
	ret = ob_device_mute(t->dev, mute);
	if (!mute)
		ob_loop_silent(t->loop, false);
	t->muted = mute;
	atomic_store(&t->unit->muted, ret ? -1 : mute);
}

void vitals_obey(struct vitals *v)
{
	uint64_t n;

	/* Non-blocking: what was asked for is in the units. */
	if (read(v->order_fd, &n, sizeof(n)) < 0)
		n = 0;
	for (unsigned int i = 0; i < v->n; i++)
		if (told[i].unit)
			obey(&told[i]);
}
