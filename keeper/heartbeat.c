/* SPDX-License-Identifier: BSD-2-Clause */
/* Heartbeats of a driver process's loops: keeper/heartbeat.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <outboard/device.h>

#include "keeper/heartbeat.h"

#define NS_PER_MS 1000000ull

/* ---- the keeper's side ---------------------------------------------------------------------- */

int heartbeat_open(struct heartbeat *h, unsigned int n, unsigned int period_ms,
		   struct ob_error *err)
{
	void *page;

	memset(h, 0, sizeof(*h));
	for (unsigned int i = 0; i < HEARTBEAT_LOOPS; i++)
		h->watch[i].ping_fd = -1;
	page = mmap(NULL, HEARTBEAT_LOOPS * sizeof(*h->loop), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return ob_error_set(err, -errno, "no memory for heartbeats");
	h->loop = page;
	h->n = n < HEARTBEAT_LOOPS ? n : HEARTBEAT_LOOPS;
	h->period_ns = period_ms * NS_PER_MS;
	for (unsigned int i = 0; i < h->n; i++) {
		h->watch[i].ping_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (h->watch[i].ping_fd < 0)
			return ob_error_set(err, -errno, "no descriptor for a heartbeat: %s",
					    strerror(errno));
	}
	return 0;
}

void heartbeat_close(struct heartbeat *h)
{
	if (!h->loop)
		return;
	for (unsigned int i = 0; i < h->n; i++)
		if (h->watch[i].ping_fd >= 0)
			close(h->watch[i].ping_fd);
	munmap(h->loop, HEARTBEAT_LOOPS * sizeof(*h->loop));
	h->loop = NULL;
}

void heartbeat_reset(struct heartbeat *h)
{
	uint64_t now = ob_clock_ns(), n;

	for (unsigned int i = 0; i < h->n; i++) {
		struct heartbeat_watch *w = &h->watch[i];

		atomic_store(&h->loop[i].tid, 0);
		atomic_store(&h->loop[i].pinged, false);
		if (read(w->ping_fd, &n, sizeof(n)) < 0)
			n = 0; /* it was empty */
		w->since_ns = now;
		w->pinged_ns = 0;
	}
	h->looked_ns = now;
}

int heartbeat_timeout_ms(const struct heartbeat *h)
{
	/* Silence for half a period, a period for the answer, and what a look comes late: two periods at most. */
	return h->period_ns ? (int)(h->period_ns / 4 / NS_PER_MS) + 1 : -1;
}

struct thread {
	char state;
	uint64_t cpu_ns;
};

/* One of a thread's files in /proc; empty when it cannot be read. */
static void read_file(pid_t pid, int tid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
}

/* Return: false when it cannot be known. */
static bool look_at_thread(pid_t pid, int tid, struct thread *t)
{
	char text[512], *p;

	read_file(pid, tid, "stat", text, sizeof(text));
	/* The name in parentheses may hold anything (proc(5)). */
	p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return false;
	t->state = p[2];
	/* On the CPU and waiting for one, in nanoseconds, and how often (Documentation/scheduler/sched-stats.rst). */
	read_file(pid, tid, "schedstat", text, sizeof(text));
	t->cpu_ns = strtoull(text, &p, 10);
	return p != text;
}

static void ping(struct heartbeat *h, unsigned int i, pid_t pid, uint64_t now)
{
	struct heartbeat_watch *w = &h->watch[i];
	const uint64_t one = 1;
	struct thread t;

	w->pinged_ns = now;
	w->cpu_ns = look_at_thread(pid, atomic_load(&h->loop[i].tid), &t) ? t.cpu_ns : 0;
	/* Not written only when it is full, and then it is readable. */
	if (write(w->ping_fd, &one, sizeof(one)) < 0)
		return;
	/* In this order, so that who sees it finds something to read. */
	atomic_store(&h->loop[i].pinged, true);
}

/* It was pinged a period ago and has not counted since. */
static bool hangs(struct heartbeat *h, unsigned int i, pid_t pid, uint64_t now, char *why,
		  size_t size)
{
	struct heartbeat_watch *w = &h->watch[i];
	unsigned int ms = (unsigned int)((now - w->since_ns) / NS_PER_MS);
	const char *at = "sleeps";
	struct thread t;

	if (look_at_thread(pid, atomic_load(&h->loop[i].tid), &t)) {
		uint64_t ran = t.cpu_ns - w->cpu_ns;

		/* Somebody looks at it with a debugger. */
		if (t.state == 't')
			return false;
		if (t.state == 'R') {
			/* It would have answered, had it got a CPU: not half of the time is none. */
			if (ran < h->period_ns / 2) {
				w->pinged_ns = now;
				w->cpu_ns = t.cpu_ns;
				return false;
			}
			at = "spins";
		} else if (t.state == 'T') {
			at = "is stopped";
		} else if (t.state == 'D') {
			at = "waits in the kernel";
		}
	}
	snprintf(why, size, "its loop %u has not answered for %u ms: its thread %s", i, ms, at);
	return true;
}

int heartbeat_look(struct heartbeat *h, pid_t pid, char *why, size_t size)
{
	uint64_t now = ob_clock_ns();
	/* This process did not get to run either, so nobody can be blamed. */
	bool late = now - h->looked_ns > 2 * h->period_ns;

	h->looked_ns = now;
	for (unsigned int i = 0; h->period_ns && i < h->n; i++) {
		struct heartbeat_watch *w = &h->watch[i];
		uint64_t beats = atomic_load(&h->loop[i].beats);

		if (!atomic_load(&h->loop[i].tid) || beats != w->beats || late) {
			w->beats = beats;
			w->since_ns = now;
			w->pinged_ns = 0;
		} else if (!w->pinged_ns && now - w->since_ns >= h->period_ns / 2) {
			ping(h, i, pid, now);
		} else if (w->pinged_ns && now - w->pinged_ns >= h->period_ns &&
			   hangs(h, i, pid, now, why, size)) {
			return (int)i;
		}
	}
	return -1;
}

/* ---- the driver process's side ---------------------------------------------------------------- */

/* The source of each loop: as long-lived as the process. */
static struct beat {
	struct heartbeat_loop *loop;
	int ping_fd;
	bool begun;
} beats[HEARTBEAT_LOOPS];

static unsigned int beat(void *arg, unsigned int budget)
{
	struct beat *b = arg;
	uint64_t n;

	/* One thread writes it: no locked instruction. */
	atomic_store_explicit(&b->loop->beats,
			      atomic_load_explicit(&b->loop->beats, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (ob_unlikely(!b->begun)) {
		b->begun = true;
		atomic_store(&b->loop->tid, gettid());
	}
	if (ob_likely(!atomic_load_explicit(&b->loop->pinged, memory_order_relaxed)))
		return 0;
	atomic_store(&b->loop->pinged, false);
	/* Non-blocking; a predecessor may have read it. */
	if (read(b->ping_fd, &n, sizeof(n)) < 0)
		n = 0;
	return 0;
}

int heartbeat_attach(struct heartbeat *h, unsigned int i, struct ob_loop *loop)
{
	struct ob_loop_source source = {.name = "heartbeat", .poll = beat, .level = true};

	if (i >= h->n)
		return 0;
	beats[i] = (struct beat){.loop = &h->loop[i], .ping_fd = h->watch[i].ping_fd};
	source.arg = &beats[i];
	source.fd = h->watch[i].ping_fd;
	return ob_loop_add(loop, &source);
}

void heartbeat_detach(struct heartbeat *h, unsigned int i)
{
	if (i < h->n)
		atomic_store(&h->loop[i].tid, 0);
}
