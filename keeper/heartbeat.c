/* SPDX-License-Identifier: BSD-2-Clause */
/* Heartbeats of a driver process's loops: keeper/heartbeat.h. */
#include <dirent.h>
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
		__atomic_store_n(&h->loop[i].pinged, false, __ATOMIC_RELAXED);
		atomic_store(&h->loop[i].excused, false);
		if (read(w->ping_fd, &n, sizeof(n)) < 0)
			n = 0; /* it was empty */
		w->since_ns = now;
		w->pinged_ns = 0;
		w->tid = w->seen_as = 0;
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

/* proc(5), status, "NSpid": a thread's number in each namespace, from that of the reader's /proc to its own. */
static bool is_thread(pid_t pid, int candidate, int tid)
{
	char text[2048], *line, *last;

	read_file(pid, candidate, "status", text, sizeof(text));
	line = strstr(text, "\nNSpid:");
	if (!line)
		return false;
	line++;
	line[strcspn(line, "\n")] = '\0';
	last = strrchr(line, '\t');
	return last && atoi(last + 1) == tid;
}

/* A driver process in a process namespace of its own counts from 1. */
static int thread_here(struct heartbeat_watch *w, pid_t pid, int tid)
{
	char path[32];
	struct dirent *e;
	DIR *dir;

	if (w->tid == tid && w->seen_as)
		return w->seen_as;
	w->tid = tid;
	w->seen_as = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !w->seen_as && (e = readdir(dir)))
		if (e->d_name[0] != '.' && is_thread(pid, atoi(e->d_name), tid))
			w->seen_as = atoi(e->d_name);
	if (dir)
		closedir(dir);
	return w->seen_as;
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

static void call_on(struct heartbeat *h, unsigned int i)
{
	const uint64_t one = 1;

	/* Not written only when it is full, and then it is readable. */
	if (write(h->watch[i].ping_fd, &one, sizeof(one)) < 0)
		return;
	/* In this order, so that who sees it finds something to read. */
	__atomic_store_n(&h->loop[i].pinged, true, __ATOMIC_RELEASE);
}

static void ping(struct heartbeat *h, unsigned int i, pid_t pid, uint64_t now)
{
	struct heartbeat_watch *w = &h->watch[i];
	struct thread t;

	w->pinged_ns = now;
	w->cpu_ns = look_at_thread(pid, thread_here(w, pid, atomic_load(&h->loop[i].tid)), &t)
			    ? t.cpu_ns
			    : 0;
	call_on(h, i);
}

void heartbeat_ask(struct heartbeat *h)
{
	for (unsigned int i = 0; i < h->n; i++)
		if (atomic_load(&h->loop[i].tid))
			call_on(h, i);
}

/* It was pinged a period ago and has not counted since. */
static bool hangs(struct heartbeat *h, unsigned int i, pid_t pid, uint64_t now, char *why,
		  size_t size)
{
	struct heartbeat_watch *w = &h->watch[i];
	unsigned int ms = (unsigned int)((now - w->since_ns) / NS_PER_MS);
	const char *at = "cannot be looked at";
	struct thread t;

	if (look_at_thread(pid, thread_here(w, pid, atomic_load(&h->loop[i].tid)), &t)) {
		uint64_t ran = t.cpu_ns - w->cpu_ns;

		/* Somebody looks at it with a debugger. */
		if (t.state == 't')
			return false;
		if (t.state == 'R') {
			/*
			 * It would have answered, had it got a CPU for half a period since it was pinged. On a machine with more to
			 * do than processors that takes longer, but one that spins gets there.
			 */
			if (ran < h->period_ns / 2)
				return false;
			at = "spins";
		} else if (t.state == 'T') {
			at = "is stopped";
		} else if (t.state == 'D') {
			/* For a lock of the kernel's, perhaps, that another driver holds: to be killed would not end that. */
			if (now - w->since_ns < HEARTBEAT_EXCUSE_S * 1000 * NS_PER_MS)
				return false;
			at = "waits in the kernel";
		} else if (t.state == 'X' || t.state == 'Z') {
			at = "has ended";
		} else {
			at = "sleeps";
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
		uint64_t beats = __atomic_load_n(&h->loop[i].beats, __ATOMIC_RELAXED);

		if (!atomic_load(&h->loop[i].tid) || beats != w->beats || late) {
			w->beats = beats;
			w->since_ns = now;
			w->pinged_ns = 0;
		} else if (atomic_load(&h->loop[i].excused) &&
			   now - w->since_ns < HEARTBEAT_EXCUSE_S * 1000 * NS_PER_MS) {
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

/* Of each loop: as long-lived as the process. */
static struct beat {
	struct heartbeat_loop *loop;
	int ping_fd;
	atomic_bool begun;
	void (*report)(void *arg);
	void *arg;
} beats[HEARTBEAT_LOOPS];

/* Of the loop that this thread runs. */
static _Thread_local struct beat *own;

/* In the loop's thread. */
static void answer(void *arg)
{
	struct beat *b = arg;
	uint64_t n;

	if (!atomic_load_explicit(&b->begun, memory_order_relaxed)) {
		own = b;
		atomic_store(&b->loop->tid, gettid());
		atomic_store(&b->begun, true);
	}
	__atomic_store_n(&b->loop->pinged, false, __ATOMIC_RELAXED);
	/* Non-blocking; a predecessor may have read it. */
	if (read(b->ping_fd, &n, sizeof(n)) < 0)
		n = 0;
	if (b->report)
		b->report(b->arg);
}

int heartbeat_attach(struct heartbeat *h, unsigned int i, struct ob_loop *loop)
{
	if (i >= h->n)
		return 0;
	beats[i].loop = &h->loop[i];
	beats[i].ping_fd = h->watch[i].ping_fd;
	atomic_store(&beats[i].begun, false);
	return ob_loop_oversee(loop, &(struct ob_loop_overseer){
					     .rounds = &h->loop[i].beats,
					     .asks = &h->loop[i].pinged,
					     .fd = h->watch[i].ping_fd,
					     .answer = answer,
					     .arg = &beats[i],
				     });
}

void heartbeat_excuse(struct heartbeat *h, unsigned int i, bool on)
{
	if (i < h->n)
		atomic_store(&h->loop[i].excused, on);
}

void heartbeat_report(unsigned int i, void (*fn)(void *arg), void *arg)
{
	beats[i].arg = arg;
	beats[i].report = fn;
}

void heartbeat_wait(bool on)
{
	if (own)
		atomic_store(&own->loop->excused, on);
}

bool heartbeat_begun(const struct heartbeat *h)
{
	for (unsigned int i = 0; i < h->n; i++)
		if (!atomic_load(&h->loop[i].tid) && beats[i].loop && !beats[i].begun)
			return false;
	return true;
}

void heartbeat_detach(struct heartbeat *h, unsigned int i)
{
	if (i < h->n)
		atomic_store(&h->loop[i].tid, 0);
}
