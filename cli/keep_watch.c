/* SPDX-License-Identifier: BSD-2-Clause */
/* What a keeper looks at while its driver process serves, beside heartbeats: storms, ages, leaks, the IOMMU's log. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/sysfs.h"
#include "access/vfio/vfio.h"
#include "cli/cli.h"
#include "cli/keep.h"

#define NS_PER_MS 1000000ull

enum {
	LOOK_MS = 1000,
	/* Ages are asked for often enough that one is told in time. */
	LOOKS_PER_AGE = 4,
	/* How long vectors stay masked: as long as it takes a person to see nothing of it, and doubled while it helps little. */
	MUTE_MS = 100,
	MUTE_MOST_MS = 10000,
	/* Quiet for so long after vectors were let go, a storm is over. */
	CALM_MS = 5000,
	/* A driver process that does not mask what it is told to, does not serve either. */
	OBEY_MS = 1000,
	/* Told at most so often: a device may be at it for days. */
	TELL_MS = 1000,
};

static const char *const reason_names[KEEP_REASONS] = {
	[REASON_SIGNAL] = "signal",   [REASON_EXIT] = "exit", [REASON_START] = "start",
	[REASON_LOOP] = "loop",	      [REASON_HANG] = "hang", [REASON_AGE] = "age",
	[REASON_STORM] = "storm",     [REASON_LEAK] = "leak", [REASON_IOMMU] = "iommu-fault",
	[REASON_DATA] = "wrong-data",
};

static const char *device_name(const struct keeper *k, unsigned int i)
{
	return k->watch.irqs[i].name[0] ? k->watch.irqs[i].name : k->ins->unit[i].spec;
}

/* ---- storms ------------------------------------------------------------------------------------ */

static void hold_back(struct keeper *k, unsigned int i, uint64_t rate, uint64_t now)
{
	struct vitals_watch *w = &k->watch.vitals.watch[i];
	uint64_t ms = MUTE_MS;

	for (unsigned int n = 0; n < w->storms && ms < MUTE_MOST_MS; n++)
		ms *= 2;
	ms = ms < MUTE_MOST_MS ? ms : MUTE_MOST_MS;
	w->storms++;
	w->muted_ns = now;
	w->until_ns = now + ms * NS_PER_MS;
	vitals_mute(&k->watch.vitals, i, true);
	if (!k->quiet)
		fprintf(stderr,
			"outboard run: %.80s: %llu interrupts a second without work; they are masked for "
			"%llu ms, and its driver polls\n",
			device_name(k, i), (unsigned long long)rate, (unsigned long long)ms);
}

/* Interrupts are held back: did the driver process do it, and is it time to let them come again? */
static void look_at_muted(struct keeper *k, unsigned int i, uint64_t now)
{
	const struct vitals_unit *u = &k->watch.vitals.unit[i];
	struct vitals_watch *w = &k->watch.vitals.watch[i];
	int muted = atomic_load(&u->muted);

	if (muted < 0)
		keep_kill(k, REASON_STORM,
			  "interrupts of %.80s come without end, and they cannot be masked",
			  device_name(k, i));
	else if (!muted && now - w->muted_ns > OBEY_MS * NS_PER_MS)
		keep_kill(k, REASON_STORM,
			  "interrupts of %.80s come without end, and it does not mask them",
			  device_name(k, i));
	else if (muted && now >= w->until_ns) {
		vitals_mute(&k->watch.vitals, i, false);
		w->muted_ns = 0;
	}
}

static void look_for_storm(struct keeper *k, unsigned int i, uint64_t now)
{
	struct vitals_watch *w = &k->watch.vitals.watch[i];
	uint64_t rate = vitals_storm(&k->watch.vitals, i, now,
				     irq_counts_total(&k->watch.irqs[i], now), k->policy.storm);

	if (w->muted_ns) {
		/* Masked, and yet they come: a reset has let them loose, or nothing holds them. */
		if (rate && atomic_load(&k->watch.vitals.unit[i].muted) == 1 &&
		    now - w->muted_ns > OBEY_MS * NS_PER_MS)
			keep_kill(k, REASON_STORM, "interrupts of %.80s come although masked",
				  device_name(k, i));
		look_at_muted(k, i, now);
		return;
	}
	if (!rate) {
		if (w->storms && now > w->until_ns + CALM_MS * NS_PER_MS)
			w->storms = 0;
		return;
	}
	k->watch.storms++;
	if (k->policy.on_storm == STORM_RESTART)
		keep_kill(k, REASON_STORM, "%.80s had %llu interrupts a second without work",
			  device_name(k, i), (unsigned long long)rate);
	else
		hold_back(k, i, rate, now);
}

/* ---- the IOMMU ----------------------------------------------------------------------------------- */

static void was_blocked(struct keeper *k, uint64_t n, const char *text)
{
	uint64_t now = ob_clock_ns();

	k->watch.blocked += n;
	snprintf(k->watch.last_fault, sizeof(k->watch.last_fault), "%.*s", VITALS_TEXT - 1, text);
	if (k->policy.on_iommu == IOMMU_RESTART) {
		keep_kill(k, REASON_IOMMU, "%.200s", k->watch.last_fault);
	} else if (!k->quiet && now - k->watch.told_ns > TELL_MS * NS_PER_MS) {
		k->watch.told_ns = now;
		fprintf(stderr, "outboard run: %s\n", k->watch.last_fault);
	}
}

/* Return: the text of the next blocked access of one of our devices in the kernel's log; false at its end. */
static bool next_fault(struct keeper *k, struct ob_fault *fault)
{
	char record[KMSG_RECORD], name[SYSFS_NAME];

	for (;;) {
		ssize_t len = read(k->watch.kmsg_fd, record, sizeof(record) - 1);

		if (len < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* what was overwritten before we read it is lost */
		if (len <= 0)
			return false;
		record[len] = '\0';
		if (!vfio_fault_record(record, fault))
			continue;
		sysfs_bdf_name(&fault->source, name);
		for (unsigned int i = 0; i < k->ins->n; i++)
			if (!strcmp(name, k->watch.irqs[i].name))
				return true;
	}
}

static void look_for_faults(struct keeper *k)
{
	char text[VITALS_TEXT];
	struct ob_fault fault;

	while (k->watch.kmsg_fd >= 0 && next_fault(k, &fault))
		was_blocked(k, 1, fault.text);
	for (unsigned int i = 0; i < k->watch.vitals.n; i++) {
		uint64_t n = vitals_blocked(&k->watch.vitals, i, text);

		if (n)
			was_blocked(k, n, text);
	}
}

/* ---- ages and leaks -------------------------------------------------------------------------------- */

static void look_at_ages(struct keeper *k)
{
	struct keep_watch *w = &k->watch;

	w->oldest_ms = w->unsent_ms = 0;
	for (unsigned int i = 0; i < w->vitals.n; i++) {
		uint64_t ms = atomic_load(&w->vitals.unit[i].oldest_ms);
		uint64_t unsent_ms = atomic_load(&w->vitals.unit[i].unsent_ms);

		w->oldest_ms = ms > w->oldest_ms ? ms : w->oldest_ms;
		w->unsent_ms = unsent_ms > w->unsent_ms ? unsent_ms : w->unsent_ms;
		if (k->policy.age_s && ms >= k->policy.age_s * 1000ull)
			keep_kill(k, REASON_AGE,
				  "a request to %.80s has not been answered for %.1f s",
				  device_name(k, i), (double)ms / 1000);
		if (k->policy.unsent_s && unsent_ms >= k->policy.unsent_s * 1000ull)
			keep_kill(
				k, REASON_AGE,
				"frames for %.80s have waited for %.1f s, and none is sent although it has a link",
				device_name(k, i), (double)unsent_ms / 1000);
	}
}

static void look_at_usage(struct keeper *k)
{
	struct keep_watch *w = &k->watch;
	char why[160];

	if (!usage_read(k->pid, &w->last))
		return;
	if (!w->has_first)
		w->first = w->last;
	w->has_first = true;
	if (usage_exceeds(&w->last, &w->first, &k->policy, why, sizeof(why)))
		keep_kill(k, REASON_LEAK, "it leaks: %s", why);
}

/* ---- for keep.c -------------------------------------------------------------------------------------- */

int keep_watch_open(struct keeper *k, struct ob_error *err)
{
	struct keep_watch *w = &k->watch;
	bool real = false;
	int ret;

	w->kmsg_fd = -1;
	ret = vitals_open(&w->vitals, k->ins->n, err);
	if (ret)
		return ret;
	w->embedded = true;
	for (unsigned int i = 0; i < k->ins->n; i++) {
		w->embedded &=
			unit_is_embedded(&k->ins->unit[i]) && !unit_shall_vanish(&k->ins->unit[i]);
		irq_counts_open(&w->irqs[i], k->ins->unit[i].spec);
		real |= w->irqs[i].name[0] != '\0';
		w->vitals.ask_faults[i] = !w->irqs[i].name[0];
	}
	/* Root, or kernel.dmesg_restrict=0; others do without. */
	if (real)
		w->kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return 0;
}

void keep_watch_close(struct keeper *k)
{
	/* Never opened. */
	if (!k->watch.vitals.unit)
		return;
	for (unsigned int i = 0; i < k->ins->n; i++)
		irq_counts_close(&k->watch.irqs[i]);
	if (k->watch.kmsg_fd >= 0)
		close(k->watch.kmsg_fd);
	vitals_close(&k->watch.vitals);
}

void keep_watch_reset(struct keeper *k)
{
	vitals_reset(&k->watch.vitals);
	k->watch.has_first = false;
	k->watch.oldest_ms = k->watch.unsent_ms = 0;
	/* What a device was at for the one before is not this one's fault. */
	if (k->watch.kmsg_fd >= 0)
		lseek(k->watch.kmsg_fd, 0, SEEK_END);
}

int keep_watch_gone(struct keeper *k, struct ob_error *err)
{
	struct sysfs_function fn;

	for (unsigned int i = 0; i < k->ins->n; i++) {
		const char *name = k->watch.irqs[i].name;

		if (!*name || sysfs_function_read("", name, &fn) != -ENODEV)
			continue;
		ob_error_set(err, -ENODEV, "%s is gone while in use", name);
		ob_error_why(err, "this machine has no such PCI function any more");
		return -ENODEV;
	}
	return ob_devices_held_gone(err);
}

bool keep_watch_lives(struct keeper *k)
{
	struct ob_error ignored = {0};

	return k->watch.embedded && !ob_devices_held_gone(&ignored);
}

static unsigned int look_ms(const struct keeper *k)
{
	const struct restart_policy *p = &k->policy;
	unsigned int s = p->unsent_s && p->unsent_s < p->age_s ? p->unsent_s : p->age_s;
	unsigned int ms = s * 1000 / LOOKS_PER_AGE;

	return ms && ms < LOOK_MS ? ms : LOOK_MS;
}

static uint64_t storms_due_ns(const struct keeper *k)
{
	return k->watch.storms_looked_ns + vitals_next_ms(&k->watch.vitals) * NS_PER_MS;
}

void keep_watch_look(struct keeper *k)
{
	struct keep_watch *w = &k->watch;
	uint64_t now = ob_clock_ns();

	if (k->state != KEEP_SERVING || *k->cause)
		return;
	if (k->policy.storm && now >= storms_due_ns(k)) {
		w->storms_looked_ns = now;
		for (unsigned int i = 0; i < w->vitals.n; i++)
			look_for_storm(k, i, now);
	}
	look_for_faults(k);
	if (now - w->looked_ns < look_ms(k) * NS_PER_MS)
		return;
	w->looked_ns = now;
	look_at_ages(k);
	look_at_usage(k);
	heartbeat_ask(&k->beats);
}

unsigned int keep_watch_fds(struct keeper *k, struct pollfd *p, int *timeout_ms)
{
	const uint64_t now = ob_clock_ns();
	uint64_t due = k->watch.looked_ns + look_ms(k) * NS_PER_MS;
	int wait;

	if (k->policy.storm && storms_due_ns(k) < due)
		due = storms_due_ns(k);
	wait = due > now ? (int)((due - now + NS_PER_MS - 1) / NS_PER_MS) : 0;

	/* One that is being ended is not looked at: its end will tell. */
	if (k->state == KEEP_SERVING && !*k->cause && (*timeout_ms < 0 || wait < *timeout_ms))
		*timeout_ms = wait;
	if (k->watch.kmsg_fd < 0)
		return 0;
	*p = (struct pollfd){.fd = k->watch.kmsg_fd, .events = POLLIN};
	return 1;
}

void keep_watch_put_state(struct keeper *k, struct json_object *keeper)
{
	const struct keep_watch *w = &k->watch;
	struct json_object *o = cli_put_object(keeper, "deaths_by");

	for (unsigned int i = REASON_SIGNAL; i < KEEP_REASONS; i++)
		cli_put_u64(o, reason_names[i], k->died_of[i]);
	cli_put_u64(keeper, "storms", w->storms);
	cli_put_u64(keeper, "iommu_faults", w->blocked);
	cli_put_str(keeper, "last_iommu_fault", w->last_fault);
	cli_put_u64(keeper, "oldest_request_ms", w->oldest_ms);
	cli_put_u64(keeper, "unsent_ms", w->unsent_ms);
	o = cli_put_object(keeper, "uses");
	cli_put_u64(o, "memory_bytes", w->last.memory);
	cli_put_u64(o, "pinned_bytes", w->last.pinned);
	cli_put_u64(o, "descriptors", w->last.descriptors);
}
