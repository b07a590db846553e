/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adaptive loop (include/outboard/loop.h): polls all sources in turn while there is work, goes on for
 * a short time that it learns from the traffic, then arms interrupts, looks once more, and sleeps.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <outboard/device.h>
#include <outboard/loop.h>

#include "access/faultpoint.h"
#include "class/loop_private.h"

#define NS_PER_MS 1000000ull

enum {
	/* Units one source may do per round, so that a busy one cannot starve the others. */
	BUDGET = 64,

	/*
	 * Sleeping and being woken costs some 5 to 20 us (eventfd write, schedule, epoll). Waiting longer
	 * than a few times of that for the next frame costs more than it saves.
	 */
	SPIN_MAX_NS = 50000,
	/* Empty rounds that are made in any case before arming: bursts often have short gaps. */
	SPIN_MIN_ROUNDS = 2,
	/*
	 * A gap counts for at most this, so that after a pause of any length some twenty short gaps
	 * (with the weight of 1/8 below) turn the loop back to spinning.
	 */
	GAP_CLAMP_NS = 16 * SPIN_MAX_NS,
	GAP_SHIFT = 3,

	/*
	 * Interrupts are switched off only when work goes on for this many rounds: a lone frame then
	 * costs no register write to disarm.
	 */
	DISARM_ROUNDS = 2,

	TICK_MS = 100,
	/* Busy rounds between two looks at the clock. */
	CLOCK_ROUNDS = 64,

	/*
	 * Waking for nothing (an interrupt that nobody serves, a descriptor in error, a source that says
	 * "there is work" and does none) for this long makes the loop pause between rounds.
	 */
	FUTILE_NS = 2000000,
	PAUSE_MS = 1,

	EVENTS = 16,

	/* Wake-ups by an eventfd between two reads of it. */
	READ_WAKEUPS = 16,
};

/*
 * epoll's data word: the descriptor and what it is known to be; no pointer that could go stale. An eventfd tells of each write (EPOLLET), so that
 * it need not be read to be heard again: that is done now and then, to know how many there were.
 */
#define DATA_LEVEL   (1ull << 32)
#define DATA_EVENTFD (1ull << 33)

struct source {
	struct ob_loop_source s;
	bool dead;
	bool silent;	     /* of the last wake-up: it was not this level */
	unsigned int unread; /* wake-ups since its eventfd was read */
};

struct counters {
	_Atomic uint64_t idle_rounds, work, sleeps, wakeups, irqs;
	uint64_t rounds; /* by ob_loop.rounds */
};

struct ob_loop {
	enum ob_mode mode;
	struct source **src;
	unsigned int n, size;
	unsigned int nr_dead;
	bool in_round;
	bool woken;    /* a descriptor has ended a sleep, and no round was made since */
	bool armed;    /* arm(on) was called since the last arm(off) */
	bool has_tick; /* derived from the sources, with blind */
	bool blind;    /* a source cannot wake us */

	int epoll_fd;
	int stop_fd;
	_Atomic bool stop;

	uint64_t next_tick;
	unsigned int rounds_to_clock;
	unsigned int busy_rounds;  /* in a row */
	unsigned int empty_rounds; /* in a row */
	uint64_t idle_since;	   /* 0 while there is work */
	uint64_t gap_ns;	   /* moving average of the time from no work to work */
	bool stuck;		   /* a source says that there is work, and did none */
	uint64_t futile_since;	   /* 0 while sleeping is possible or work is done */
	struct counters stats;
	struct ob_loop_mirror *mirror;
	uint64_t *rounds; /* in @stats, or the overseer's */
	struct ob_loop_overseer overseer;
	_Atomic bool silent;
};

/* One thread writes the counters, so a relaxed load and store is enough, and no locked instruction. */
static void count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

int ob_loop_create(enum ob_mode mode, struct ob_loop **loop)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct ob_loop *l;
	int ret;

	if (mode != OB_MODE_ADAPTIVE && mode != OB_MODE_POLL && mode != OB_MODE_INTERRUPT)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->mode = mode;
	l->rounds = &l->stats.rounds;
	l->overseer.fd = -1;
	l->gap_ns = GAP_CLAMP_NS; /* sparse until shown otherwise */
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		ret = -errno;
		goto free_loop;
	}
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->stop_fd < 0) {
		ret = -errno;
		goto close_epoll;
	}
	ev.data.u64 = DATA_LEVEL | (uint32_t)l->stop_fd;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->stop_fd, &ev)) {
		ret = -errno;
		goto close_stop;
	}
	*loop = l;
	return 0;

close_stop:
	close(l->stop_fd);
close_epoll:
	close(l->epoll_fd);
free_loop:
	free(l);
	return ret;
}

void ob_loop_destroy(struct ob_loop *loop)
{
	if (!loop)
		return;
	for (unsigned int i = 0; i < loop->n; i++)
		free(loop->src[i]);
	free(loop->src);
	close(loop->stop_fd);
	close(loop->epoll_fd);
	free(loop);
}

static struct source *source_of(const struct ob_loop *loop, int fd)
{
	for (unsigned int i = 0; i < loop->n; i++)
		if (!loop->src[i]->dead && loop->src[i]->s.fd == fd)
			return loop->src[i];
	return NULL;
}

/* What follows from the set of sources. A source without a descriptor cannot wake the loop. */
static void sources_changed(struct ob_loop *loop)
{
	loop->has_tick = false;
	loop->blind = false;
	for (unsigned int i = 0; i < loop->n; i++) {
		const struct source *src = loop->src[i];

		if (src->dead)
			continue;
		loop->has_tick |= !!src->s.tick;
		loop->blind |= src->s.poll && src->s.fd < 0;
	}
}

/*
 * Vectors' eventfds are blocking (irq.h). RWF_NOWAIT, so that one that somebody else has read
 * meanwhile cannot stop the loop. @counted: of these, some are counted already. Returns false for what cannot be read at all: an epoll
 * descriptor, which a kernel's driver has, since it takes its interrupts itself.
 */
static bool take_interrupts(struct ob_loop *loop, int fd, unsigned int counted)
{
	uint64_t n;
	struct iovec iov = {&n, sizeof(n)};
	ssize_t ret = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (ret < 0 && errno == EOPNOTSUPP)
		ret = read(fd, &n, sizeof(n));
	if (ret == sizeof(n) && n > counted)
		count(&loop->stats.irqs, n - counted);
	return ret >= 0 || errno != EINVAL;
}

int ob_loop_add(struct ob_loop *loop, const struct ob_loop_source *source)
{
	struct source *src;

	if (!source->poll && !source->tick)
		return -EINVAL;
	if (loop->n == loop->size) {
		unsigned int size = loop->size ? 2 * loop->size : 8;
		struct source **p = realloc(loop->src, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		loop->src = p;
		loop->size = size;
	}
	src = calloc(1, sizeof(*src));
	if (!src)
		return -ENOMEM;
	src->s = *source;
	/* Queues may share a vector: a descriptor is watched once. */
	if (source->fd >= 0 && !source_of(loop, source->fd)) {
		struct epoll_event ev = {.events = EPOLLIN};

		ev.data.u64 = (uint32_t)source->fd | (source->level ? DATA_LEVEL : 0);
		if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &ev)) {
			int ret = -errno;

			free(src);
			return ret;
		}
	}
	loop->src[loop->n++] = src;
	if (loop->armed && source->arm)
		source->arm(source->arg, true); /* what it returns is found by the next poll */
	sources_changed(loop);
	return 0;
}

static void free_dead(struct ob_loop *loop)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < loop->n; i++) {
		if (loop->src[i]->dead)
			free(loop->src[i]);
		else
			loop->src[n++] = loop->src[i];
	}
	loop->n = n;
	loop->nr_dead = 0;
}

void ob_loop_remove(struct ob_loop *loop, void *arg)
{
	for (unsigned int i = 0; i < loop->n; i++) {
		struct source *src = loop->src[i];

		if (src->dead || src->s.arg != arg)
			continue;
		src->dead = true;
		loop->nr_dead++;
		/* Nobody who sleeps on it next is woken by what is old. */
		if (src->unread)
			take_interrupts(loop, src->s.fd, src->unread);
		if (src->s.fd >= 0 && !source_of(loop, src->s.fd))
			epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, src->s.fd, NULL);
	}
	/* A source may remove itself, or others, from its poll: the round goes on over the array. */
	if (!loop->in_round)
		free_dead(loop);
	sources_changed(loop);
}

/* All sources once. The array may grow, and entries may die, under the loop's feet. */
static unsigned int poll_all(struct ob_loop *loop)
{
	unsigned int work = 0;

	loop->in_round = true;
	for (unsigned int i = 0; i < loop->n; i++) {
		struct source *src = loop->src[i];

		if (ob_unlikely(src->silent)) {
			src->silent = false;
			if (loop->woken)
				continue;
		}
		if (ob_likely(!src->dead && src->s.poll))
			work += src->s.poll(src->s.arg, BUDGET);
	}
	loop->in_round = loop->woken = false;
	if (ob_unlikely(loop->nr_dead))
		free_dead(loop);

	/* It may be shared memory: nothing but a counter is read or written there in a round. */
	__atomic_store_n(loop->rounds, __atomic_load_n(loop->rounds, __ATOMIC_RELAXED) + 1,
			 __ATOMIC_RELAXED);
	if (work)
		count(&loop->stats.work, work);
	else
		count(&loop->stats.idle_rounds, 1);
	return work;
}

static bool arm_all(struct ob_loop *loop, bool on)
{
	bool pending = false;

	loop->in_round = true;
	for (unsigned int i = 0; i < loop->n; i++) {
		struct source *src = loop->src[i];

		if (!src->dead && src->s.arm)
			pending |= src->s.arm(src->s.arg, on);
	}
	loop->in_round = false;
	if (loop->nr_dead)
		free_dead(loop);
	loop->armed = on;
	return on && pending;
}

static void tick_all(struct ob_loop *loop, uint64_t now)
{
	if (!loop->has_tick || now < loop->next_tick)
		return;
	loop->next_tick = now + TICK_MS * NS_PER_MS;
	loop->in_round = true;
	for (unsigned int i = 0; i < loop->n; i++) {
		struct source *src = loop->src[i];

		if (!src->dead && src->s.tick)
			src->s.tick(src->s.arg, now);
	}
	loop->in_round = false;
	if (loop->nr_dead)
		free_dead(loop);
}

static int watch_as(struct ob_loop *loop, int fd, uint32_t events, uint64_t kind)
{
	struct epoll_event ev = {.events = events, .data.u64 = (uint32_t)fd | kind};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &ev) ? -errno : 0;
}

int loop_watch(struct ob_loop *loop, int fd, bool on)
{
	return watch_as(loop, fd, on ? EPOLLIN : 0, DATA_LEVEL);
}

static void interrupted(struct ob_loop *loop, int fd, bool known)
{
	struct source *src;

	if (!known) {
		if (take_interrupts(loop, fd, 0))
			watch_as(loop, fd, EPOLLIN | EPOLLET, DATA_EVENTFD);
		else
			watch_as(loop, fd, EPOLLIN, DATA_LEVEL); /* not to be read any more */
		return;
	}
	src = source_of(loop, fd);
	if (!src)
		return;
	count(&loop->stats.irqs, 1);
	if (++src->unread == READ_WAKEUPS) {
		take_interrupts(loop, fd, src->unread);
		src->unread = 0;
	}
}

static void mirror(struct ob_loop *loop)
{
	struct ob_loop_mirror *m = loop->mirror;

	if (!m)
		return;
	__atomic_store_n(&m->irqs, atomic_load_explicit(&loop->stats.irqs, memory_order_relaxed),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&m->work, atomic_load_explicit(&loop->stats.work, memory_order_relaxed),
			 __ATOMIC_RELAXED);
}

static void look_at_overseer(const struct ob_loop *loop)
{
	const struct ob_loop_overseer *o = &loop->overseer;

	if (o->asks && __atomic_load_n(o->asks, __ATOMIC_RELAXED))
		o->answer(o->arg);
}

static void drain_stop(struct ob_loop *loop)
{
	uint64_t n;

	/* Non-blocking: that it was empty is as good. */
	if (read(loop->stop_fd, &n, sizeof(n)) < 0)
		return;
}

/*
 * Some descriptors have ended a sleep. A level that is not among them has nothing: its source is left out of the next round, which
 * would cost a system call for nothing.
 */
static void find_silent(struct ob_loop *loop, const struct epoll_event *ev, int n)
{
	loop->woken = true;
	for (unsigned int i = 0; i < loop->n; i++) {
		struct source *src = loop->src[i];

		src->silent = src->s.level;
		for (int k = 0; k < n && src->silent; k++)
			src->silent = (int)(uint32_t)ev[k].data.u64 != src->s.fd;
	}
}

/* Returns true when a descriptor ended the sleep. */
static bool sleep_on(struct ob_loop *loop, int timeout_ms)
{
	struct epoll_event ev[EVENTS];
	bool woken = false;
	int n;

	count(&loop->stats.sleeps, 1);
	n = OB_FAULT_CALL("loop.wait", epoll_wait(loop->epoll_fd, ev, EVENTS, timeout_ms));
	for (int i = 0; i < n; i++) {
		int fd = (int)(uint32_t)ev[i].data.u64;

		if (fd == loop->stop_fd) {
			/* A stop that had ended the run before its write came; see ob_loop_stop(). */
			if (!atomic_load(&loop->stop))
				drain_stop(loop);
			continue;
		}
		woken = true;
		if (!(ev[i].data.u64 & DATA_LEVEL)) {
			interrupted(loop, fd, ev[i].data.u64 & DATA_EVENTFD);
		} else if (fd == loop->overseer.fd) {
			loop->overseer.answer(loop->overseer.arg);
		}
	}
	if (woken) {
		count(&loop->stats.wakeups, 1);
		find_silent(loop, ev, n);
	}
	mirror(loop);
	return woken;
}

/* How long a sleep may last, at most @limit_ms (-1: for ever). */
static int sleep_limit(const struct ob_loop *loop, uint64_t now, int limit_ms)
{
	if ((loop->blind || atomic_load(&loop->silent)) && (limit_ms < 0 || limit_ms > PAUSE_MS))
		limit_ms = PAUSE_MS;
	if (loop->has_tick) {
		uint64_t left = loop->next_tick > now ? loop->next_tick - now : 0;
		int ms = (int)((left + NS_PER_MS - 1) / NS_PER_MS);

		if (limit_ms < 0 || limit_ms > ms)
			limit_ms = ms;
	}
	return limit_ms;
}

/* Wait for nothing but a stop, when looking at the sources at once again leads nowhere. */
static void pause_futile(struct ob_loop *loop)
{
	struct pollfd p = {.fd = loop->stop_fd, .events = POLLIN};

	count(&loop->stats.sleeps, 1);
	poll(&p, 1, PAUSE_MS);
}

static bool is_futile(struct ob_loop *loop, uint64_t now)
{
	if (!loop->futile_since)
		loop->futile_since = now;
	return now - loop->futile_since > FUTILE_NS;
}

/* Spin on as long as the next work is likely to come sooner than a sleep would pay. */
static bool keep_spinning(const struct ob_loop *loop, uint64_t now)
{
	if (loop->mode == OB_MODE_POLL)
		return true;
	if (loop->mode == OB_MODE_INTERRUPT)
		return false;
	if (loop->empty_rounds <= SPIN_MIN_ROUNDS)
		return true;
	if (loop->gap_ns > SPIN_MAX_NS)
		return false;
	/* Twice the average gap catches most; with SPIN_MAX_NS as the bound. */
	return now - loop->idle_since <
	       (2 * loop->gap_ns < SPIN_MAX_NS ? 2 * loop->gap_ns : SPIN_MAX_NS);
}

static void learn_gap(struct ob_loop *loop, uint64_t now)
{
	uint64_t gap = now - loop->idle_since;

	if (gap > GAP_CLAMP_NS)
		gap = GAP_CLAMP_NS;
	loop->gap_ns = loop->gap_ns - (loop->gap_ns >> GAP_SHIFT) + (gap >> GAP_SHIFT);
}

static void after_work(struct ob_loop *loop)
{
	loop->futile_since = 0;
	loop->stuck = false;
	loop->empty_rounds = 0;
	if (loop->busy_rounds < DISARM_ROUNDS)
		loop->busy_rounds++;
	else if (loop->armed)
		arm_all(loop, false);
	if (loop->idle_since) {
		learn_gap(loop, ob_clock_ns());
		loop->idle_since = 0;
	}
	if (ob_unlikely(!loop->rounds_to_clock--)) {
		loop->rounds_to_clock = CLOCK_ROUNDS;
		mirror(loop);
		look_at_overseer(loop);
		if (loop->has_tick)
			tick_all(loop, ob_clock_ns());
	}
}

/*
 * A round found nothing: spin, or arm and sleep at most @limit_ms. Returns the work that the look
 * between arming and sleeping found: what comes after it makes a descriptor readable, what came
 * before it is seen by it, so nothing is lost.
 */
static unsigned int after_nothing(struct ob_loop *loop, int limit_ms)
{
	uint64_t now = ob_clock_ns(), later;
	bool pending, woken;
	unsigned int work;

	if (atomic_load_explicit(&loop->stop, memory_order_relaxed))
		return 0;
	loop->busy_rounds = 0;
	loop->empty_rounds++;
	if (!loop->idle_since)
		loop->idle_since = now;
	tick_all(loop, now);
	if (keep_spinning(loop, now)) {
		look_at_overseer(loop);
		cpu_relax();
		return 0;
	}
	pending = arm_all(loop, true);
	/*
	 * Work that came meanwhile is found by the next round. Work that is there but cannot be done (a
	 * full ring) is waited for: by the interrupt that says it can, or else for a millisecond.
	 */
	if (pending && !loop->stuck) {
		loop->stuck = true;
		return 0;
	}
	if (pending && (limit_ms < 0 || limit_ms > PAUSE_MS))
		limit_ms = PAUSE_MS;
	work = poll_all(loop);
	if (work)
		return work;
	if (atomic_load_explicit(&loop->stop, memory_order_relaxed))
		return 0;
	woken = sleep_on(loop, sleep_limit(loop, now, limit_ms));
	/* Only wake-ups in quick succession are futile: the next one after a real sleep is not. */
	later = ob_clock_ns();
	if (!woken || later - now > FUTILE_NS / 2)
		loop->futile_since = 0;
	else if (is_futile(loop, later))
		pause_futile(loop);
	return 0;
}

int ob_loop_run(struct ob_loop *loop)
{
	if (loop->overseer.answer)
		loop->overseer.answer(loop->overseer.arg);
	while (ob_likely(!atomic_load_explicit(&loop->stop, memory_order_relaxed))) {
		if (poll_all(loop) || after_nothing(loop, -1))
			after_work(loop);
	}
	if (loop->armed)
		arm_all(loop, false);
	/* The next run is not ended by this stop. In this order, so that one that comes now is kept. */
	atomic_store(&loop->stop, false);
	drain_stop(loop);
	return 0;
}

int ob_loop_once(struct ob_loop *loop, int timeout_ms)
{
	unsigned int work = poll_all(loop);
	uint64_t now;

	if (work) {
		after_work(loop);
		return (int)work;
	}
	now = ob_clock_ns();
	tick_all(loop, now);
	if (!timeout_ms)
		return 0;
	if (loop->mode == OB_MODE_POLL) {
		uint64_t end = timeout_ms < 0 ? UINT64_MAX : now + (uint64_t)timeout_ms * NS_PER_MS;

		do {
			cpu_relax();
			work = poll_all(loop);
			now = ob_clock_ns();
			tick_all(loop, now);
		} while (!work && now < end && !atomic_load(&loop->stop));
		return (int)work;
	}
	if (!arm_all(loop, true)) {
		work = poll_all(loop);
		if (work || atomic_load(&loop->stop))
			return (int)work;
		sleep_on(loop, sleep_limit(loop, now, timeout_ms));
		tick_all(loop, ob_clock_ns());
	}
	work = poll_all(loop);
	if (work)
		after_work(loop);
	return (int)work;
}

/* Cannot fail but for a counter at its maximum, which is readable all the same. */
static void wake(struct ob_loop *loop)
{
	int saved = errno; /* may interrupt anything */
	uint64_t one = 1;

	if (write(loop->stop_fd, &one, sizeof(one)) < 0)
		errno = saved;
	errno = saved;
}

void ob_loop_stop(struct ob_loop *loop)
{
	atomic_store(&loop->stop, true);
	wake(loop);
}

void ob_loop_mirror(struct ob_loop *loop, struct ob_loop_mirror *m)
{
	loop->mirror = m;
}

int ob_loop_oversee(struct ob_loop *loop, const struct ob_loop_overseer *o)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint32_t)o->fd | DATA_LEVEL};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, o->fd, &ev))
		return -errno;
	__atomic_store_n(o->rounds, __atomic_load_n(loop->rounds, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	loop->overseer = *o;
	loop->rounds = o->rounds;
	return 0;
}

void ob_loop_silent(struct ob_loop *loop, bool on)
{
	atomic_store(&loop->silent, on);
	wake(loop);
}

void ob_loop_stats(const struct ob_loop *loop, struct ob_loop_stats *stats)
{
	const struct counters *c = &loop->stats;

	stats->rounds = __atomic_load_n(loop->rounds, __ATOMIC_RELAXED);
	stats->idle_rounds = atomic_load_explicit(&c->idle_rounds, memory_order_relaxed);
	stats->work = atomic_load_explicit(&c->work, memory_order_relaxed);
	stats->sleeps = atomic_load_explicit(&c->sleeps, memory_order_relaxed);
	stats->wakeups = atomic_load_explicit(&c->wakeups, memory_order_relaxed);
	stats->irqs = atomic_load_explicit(&c->irqs, memory_order_relaxed);
}

static const char *const mode_names[] = {
	[OB_MODE_ADAPTIVE] = "adaptive",
	[OB_MODE_POLL] = "poll",
	[OB_MODE_INTERRUPT] = "interrupt",
};

int ob_mode_parse(const char *text, enum ob_mode *mode, struct ob_error *err)
{
	for (unsigned int i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
		if (!strcmp(text, mode_names[i])) {
			*mode = (enum ob_mode)i;
			return 0;
		}
	}
	ob_error_set(err, -EINVAL, "there is no mode \"%.40s\"", text);
	ob_error_fix(err, "use adaptive, poll or interrupt");
	return -EINVAL;
}

const char *ob_mode_name(enum ob_mode mode)
{
	if ((unsigned int)mode >= sizeof(mode_names) / sizeof(mode_names[0]))
		return "?";
	return mode_names[mode];
}
