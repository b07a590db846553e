/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel asks of its host, by means of the library; and how the host's thread goes into the kernel. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "kit/host.h"

enum {
	/* Beyond the vectors' numbers in an event's data. */
	EVENT_TIMER = OB_KIT_VECTORS,
	EVENT_REMOVAL,

	/*
	 * A fiber that waits for a device which is gone has its own time-outs, and these are what ends it. Only a
	 * driver that never gives up reaches this.
	 */
	GONE_MS = 30000,

	/* As many empty rounds as a loop makes before it arms (class/loop.c). */
	SKIP_LOOKS = 3,

	/* Interrupts of a vector between two reads of its eventfd. */
	READ_WAKEUPS = 16,
};

#define NEVER (~0ull)

/* ---- log and end -------------------------------------------------------------------------- */

static void host_log(void *host, int level, const char *line, unsigned int len)
{
	struct kit *k = host;
	enum ob_log_level to = level <= 3 ? OB_LOG_ERROR : level == 4 ? OB_LOG_WARN : OB_LOG_INFO;

	if (len && level <= 4) {
		snprintf(k->last_error, sizeof(k->last_error), "%.*s", (int)len, line);
	}
	if (k->quiet || level >= 7)
		to = OB_LOG_DEBUG;
	ob_device_log(k->dev, to, "linux: %.*s", (int)len, line);
}

void kit_last_words(const struct kit *k, struct ob_error *err)
{
	if (k->last_error[0])
		ob_error_why(err, "the kernel's last words: %s", k->last_error);
	/* Many can do without: then it is not what was wrong. */
	if (k->firmware_missing && strcasestr(k->last_error, "firmware"))
		ob_error_fix(
			err,
			"install the package that has the firmware file in %s, or name another "
			"folder by OUTBOARD_FIRMWARE",
			kit_firmware_folder());
}

static __attribute__((noreturn)) void host_fatal(void *host, const char *what,
						 const unsigned long *pc, unsigned int n)
{
	struct kit *k = host;

	ob_device_log(k->dev, OB_LOG_ERROR, "%s: the kernel ends: %s", outboard_driver.name, what);
	kit_log_callers(k, pc, n);
	abort();
}

/* ---- time ----------------------------------------------------------------------------------- */

/* Of a made-up device's driver: each look takes a microsecond, and the same input takes the same way. */
enum {
	UNTIMED_LOOK_NS = 1000
};

static unsigned long long host_clock(void *host)
{
	struct kit *k = host;

	if (k->untimed)
		return k->now += UNTIMED_LOOK_NS;
	return ob_clock_ns();
}

static unsigned long long host_real_time(void *host)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

static void host_entropy(void *host, void *buf, unsigned long len)
{
	char *p = buf;

	/* Up to 256 bytes come whole (getrandom(2)). */
	while (len) {
		ssize_t n = getrandom(p, len < 256 ? len : 256, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (unsigned long)n;
	}
}

/* ---- events ---------------------------------------------------------------------------------- */

static int watch_for(int epoll, int fd, uint32_t what, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u32 = what};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int kit_watch(int epoll, int fd, uint32_t what)
{
	return watch_for(epoll, fd, what, EPOLLIN);
}

/* A message is heard (EPOLLET) whether its descriptor is read or not: that is done now and then, to know how many there were. */
static bool interrupted(struct kit *k, unsigned int vector)
{
	unsigned int counted = k->unread[vector];
	int n;

	if (ob_device_gone(k->dev))
		return false;
	if (k->irqs_are_edges && counted + 1 < READ_WAKEUPS) {
		k->unread[vector]++;
		k->irqs++;
		return true;
	}
	k->unread[vector] = 0;
	n = ob_irq_wait(k->irq[vector], 0);
	if (n > (int)counted)
		k->irqs += (unsigned int)n - counted;
	return n > 0;
}

static int host_poll(void *host, unsigned long long *vectors)
{
	struct epoll_event ev[16];
	struct kit *k = host;
	int n, gone = 0;

	n = epoll_wait(k->events, ev, 16, 0);
	for (int i = 0; i < n; i++) {
		uint32_t what = ev[i].data.u32;

		if (what == EVENT_TIMER) {
			/* The kernel compares the clock itself. Not read: it is heard again when it is set again (EPOLLET). */
			k->timer_set = NEVER;
		} else if (what == EVENT_REMOVAL) {
			/* For ever readable: once is enough. */
			epoll_ctl(k->events, EPOLL_CTL_DEL, ob_device_removal_fd(k->dev), NULL);
			kit_name_callers(k, k->gone_in, sizeof(k->gone_in));
			ob_device_log(k->dev, OB_LOG_WARN, "%s: the device is gone%s%s",
				      outboard_driver.name, k->gone_in[0] ? ", seen in " : "",
				      k->gone_in);
			gone = 1;
		} else if (what == KIT_EVENT_DISK) {
			kit_host_disk_irq(k->host_disk);
		} else if (what < k->nr_irqs && k->irq[what]) {
			if (interrupted(k, what))
				*vectors |= 1ull << what;
		}
	}
	return gone;
}

int kit_events_open(struct kit *k, struct ob_error *err)
{
	int ret;

	k->deadline = k->timer_set = NEVER;
	k->events = epoll_create1(EPOLL_CLOEXEC);
	if (k->events < 0)
		return ob_error_set(err, -errno, "no descriptor for the kernel's events");
	k->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (k->timer_fd < 0) {
		ret = -errno;
		goto close_events;
	}
	ret = watch_for(k->events, k->timer_fd, EVENT_TIMER, EPOLLIN | EPOLLET);
	if (!ret)
		ret = kit_watch(k->events, ob_device_removal_fd(k->dev), EVENT_REMOVAL);
	if (!ret)
		return 0;
	close(k->timer_fd);
close_events:
	close(k->events);
	return ob_error_set(err, ret, "no descriptor for the kernel's events: %s", strerror(-ret));
}

void kit_events_close(struct kit *k)
{
	close(k->timer_fd);
	close(k->events);
}

/* Absolute, so that setting it late does not make it late. */
static void set_timer(struct kit *k)
{
	struct itimerspec its = {0};

	/* One that comes too early is set anew then: that is seldom, while deadlines move with each burst. */
	if (k->timer_set <= k->deadline)
		return;
	if (k->deadline != NEVER) {
		/* Zero would switch it off. */
		unsigned long long at = k->deadline ? k->deadline : 1;

		its.it_value.tv_sec = (time_t)(at / 1000000000ull);
		its.it_value.tv_nsec = (long)(at % 1000000000ull);
	}
	if (!timerfd_settime(k->timer_fd, TFD_TIMER_ABSTIME, &its, NULL))
		k->timer_set = k->deadline;
}

/* To the kernel's next timer at once. False: there is none. */
static bool skip_time(struct kit *k)
{
	if (k->deadline == NEVER)
		return false;
	if (k->now < k->deadline)
		k->now = k->deadline;
	return true;
}

bool kit_look(struct kit *k)
{
	bool busy;

	if (k->skip_looks) {
		k->skip_looks--;
		return false;
	}
	busy = outboard_kernel.busy();
	if (busy)
		k->watchful = false;
	if (!k->watchful && !k->untimed)
		k->skip_looks = SKIP_LOOKS;
	return busy;
}

void kit_watch_out(struct kit *k)
{
	k->watchful = true;
	k->skip_looks = 0;
}

bool kit_arm(struct kit *k)
{
	kit_watch_out(k);
	if (k->brief)
		kit_run(k);
	if (k->untimed)
		return skip_time(k) || outboard_kernel.busy();
	set_timer(k);
	return k->host_disk && kit_host_disk_arm(k->host_disk);
}

/* ---- into the kernel ---------------------------------------------------------------------------- */

void kit_run(struct kit *k)
{
	if (k->stuck)
		return;
	k->brief = false;
	outboard_kernel.run(&k->deadline);
}

void kit_burst(struct kit *k, void (*fn)(void *arg), void *arg)
{
	if (k->stuck)
		return;
	k->brief = true;
	outboard_kernel.burst(fn, arg, &k->deadline);
}

long kit_call(struct kit *k, long (*fn)(void *arg), void *arg)
{
	long ret;

	kit_pacer_busy(&k->pacer, true);
	ret = kit_call_brief(k, fn, arg);
	kit_pacer_busy(&k->pacer, false);
	return ret;
}

/* A call has begun: wait until it has ended. */
static long finish_call(struct kit *k, const long *result, const int *done)
{
	uint64_t gone_since = 0;
	struct pollfd events = {.fd = k->events, .events = POLLIN};

	for (;;) {
		int ms = k->host_disk ? KIT_TICK_MS : -1;
		bool pumped;

		kit_run(k);
		pumped = k->host_disk && kit_host_disk_pump(k->host_disk);
		if (*done)
			return *result;
		if (pumped)
			continue;
		if (outboard_kernel.busy())
			continue;
		if (k->untimed) {
			if (skip_time(k))
				continue;
			/* A call that waits for a device which will never say anything. */
			k->stuck = true;
			return -ETIMEDOUT;
		}
		if (ob_device_gone(k->dev)) {
			uint64_t now = ob_clock_ms();

			if (!gone_since)
				gone_since = now;
			if (now - gone_since > GONE_MS) {
				k->stuck = true;
				return -ENODEV;
			}
			ms = k->host_disk ? KIT_TICK_MS : (int)(GONE_MS - (now - gone_since)) + 1;
		}
		if (k->host_disk && kit_host_disk_arm(k->host_disk))
			continue;
		set_timer(k);
		__atomic_store_n(&k->pacer.asleep, true, __ATOMIC_RELAXED);
		/* What is there is taken by the kernel's own look, after it was idle: an edge is told of once. */
		poll(&events, 1, ms);
		__atomic_store_n(&k->pacer.asleep, false, __ATOMIC_RELAXED);
	}
}

long kit_call_brief(struct kit *k, long (*fn)(void *arg), void *arg)
{
	long result = 0;
	int done = 0;

	if (k->stuck)
		return -ENODEV;
	outboard_kernel.call(fn, arg, &result, &done);
	return finish_call(k, &result, &done);
}

void kit_in_kernel_nothing(void *unused)
{
}

long kit_call_soon(struct kit *k, long (*fn)(void *arg), void *arg)
{
	long result = 0;
	int done = 0;

	if (k->stuck)
		return -ENODEV;
	outboard_kernel.call(fn, arg, &result, &done);
	kit_burst(k, kit_in_kernel_nothing, NULL);
	return done ? result : finish_call(k, &result, &done);
}

void kit_remove(struct kit *k)
{
	if (k->removed)
		return;
	k->removed = true;
	kit_call(k, outboard_kernel.remove, NULL);
}

/* ---- the device ------------------------------------------------------------------------------------ */

static unsigned int host_config_read(void *host, unsigned int off, unsigned int size)
{
	struct kit *k = host;

	return ob_config_read(k->dev, off, size);
}

static void host_config_write(void *host, unsigned int off, unsigned int size, unsigned int val)
{
	struct kit *k = host;

	ob_config_write(k->dev, off, size, val);
}

static void host_bar(void *host, unsigned int index, struct ob_kit_bar *bar)
{
	struct kit *k = host;
	const struct ob_bar *b = ob_device_bar(k->dev, index);
	uint32_t reg;

	memset(bar, 0, sizeof(*bar));
	if (!b || b->kind == OB_BAR_NONE)
		return;
	bar->size = b->size;
	bar->map = (unsigned long)b->map;
	bar->kind = b->kind == OB_BAR_IO ? 2 : 1;
	if (bar->kind == 2)
		return;
	/* PCI Local Bus 3.0, 6.2.5.1. */
	reg = ob_config_read(k->dev, 0x10 + 4 * index, 4);
	bar->is_64bit = (reg & 6) == 4;
	bar->prefetch = !!(reg & 8);
}

/* A BAR, or, behind those, claimed ports. */
static const struct ob_bar *bar_of(const struct kit *k, unsigned int bar)
{
	if (bar < OB_KIT_BARS)
		return ob_device_bar(k->dev, bar);
	return bar - OB_KIT_BARS < k->nr_ports ? &k->ports[bar - OB_KIT_BARS] : NULL;
}

static int host_claim_ports(void *host, unsigned int base, unsigned int count)
{
	struct ob_error err = {0};
	struct kit *k = host;
	int ret;

	if (k->nr_ports == OB_KIT_PORT_RANGES || base + count > 0x10000)
		return -ENOSPC;
	ret = ob_ports_claim(k->dev, (uint16_t)base, (uint16_t)count, &k->ports[k->nr_ports], &err);
	if (ret) {
		ob_device_log(k->dev, OB_LOG_WARN, "linux: ports 0x%x: %s", base, err.what);
		return ret;
	}
	return OB_KIT_BARS + (int)k->nr_ports++;
}

static unsigned long long host_read(void *host, unsigned int bar, unsigned long long off,
				    unsigned int size)
{
	struct kit *k = host;
	const struct ob_bar *b = bar_of(k, bar);

	return b ? ob_bar_read_message(b, off, size) : ~0ull;
}

static void host_write(void *host, unsigned int bar, unsigned long long off, unsigned int size,
		       unsigned long long val)
{
	struct kit *k = host;
	const struct ob_bar *b = bar_of(k, bar);

	if (b)
		ob_bar_write_message(b, off, size, val);
}

static void host_stray(void *host, unsigned int bar, unsigned long long off, unsigned int size,
		       int is_write)
{
	const char *what = is_write ? "write" : "read";
	struct kit *k = host;
	char callers[200];

	/* Once for each: what comes of it the driver's own words say. */
	if (k->strayed & 1u << bar)
		return;
	k->strayed |= 1u << bar;
	kit_name_callers(k, callers, sizeof(callers));
	if (bar < OB_KIT_BARS)
		ob_device_log(
			k->dev, OB_LOG_ERROR,
			"%s: a %s of %u bytes at 0x%llx of BAR %u, which has only 0x%llx, in %s",
			outboard_driver.name, what, size, off, bar,
			(unsigned long long)ob_device_bar(k->dev, bar)->size, callers);
	else
		ob_device_log(k->dev, OB_LOG_ERROR,
			      "%s: a %s of %u bytes at 0x%llx, where the device has no BAR, in %s",
			      outboard_driver.name, what, size, off, callers);
}

static enum ob_irq_kind kind_of(enum ob_kit_irq kind)
{
	return kind == OB_KIT_INTX ? OB_IRQ_INTX : kind == OB_KIT_MSI ? OB_IRQ_MSI : OB_IRQ_MSIX;
}

static unsigned int host_vector_count(void *host, enum ob_kit_irq kind)
{
	struct kit *k = host;

	return ob_irq_count(k->dev, kind_of(kind));
}

static void host_irq_disable(void *host)
{
	struct kit *k = host;

	for (unsigned int i = 0; i < k->nr_irqs; i++) {
		if (!k->irq[i])
			continue;
		epoll_ctl(k->events, EPOLL_CTL_DEL, ob_irq_fd(k->irq[i]), NULL);
		ob_irq_close(k->irq[i]);
		k->irq[i] = NULL;
	}
	if (k->nr_irqs)
		ob_irq_disable(k->dev);
	k->nr_irqs = 0;
}

static int host_irq_enable(void *host, enum ob_kit_irq kind, unsigned int n)
{
	struct ob_error err = {0};
	struct kit *k = host;
	int ret;

	host_irq_disable(k);
	if (n > OB_KIT_VECTORS)
		return -EINVAL;
	ret = ob_irq_enable(k->dev, kind_of(kind), n, &err);
	if (ret)
		goto failed;
	k->nr_irqs = n;
	/* A line is masked until its descriptor is read. */
	k->irqs_are_edges = kind_of(kind) != OB_IRQ_INTX;
	memset(k->unread, 0, sizeof(k->unread));
	for (unsigned int i = 0; i < n; i++) {
		ret = ob_irq_open(k->dev, i, 0, &k->irq[i], &err);
		if (!ret)
			ret = watch_for(k->events, ob_irq_fd(k->irq[i]), i,
					k->irqs_are_edges ? EPOLLIN | EPOLLET : EPOLLIN);
		if (ret) {
			host_irq_disable(k);
			goto failed;
		}
	}
	return 0;

failed:
	ob_device_log(k->dev, OB_LOG_WARN, "linux: %u vectors of %s: %s", n,
		      ob_irq_kind_name(kind_of(kind)), err.code ? err.what : strerror(-ret));
	return ret;
}

static void host_irq_unmask(void *host, unsigned int vector)
{
	struct kit *k = host;

	if (vector < k->nr_irqs && k->irq[vector])
		ob_irq_unmask(k->irq[vector]);
}

static void host_sent(void *host, void *cookie)
{
	ob_pkt_free(cookie);
}

const struct ob_kit_ops kit_ops = {
	.version = OB_KIT_VERSION,
	.log = host_log,
	.fatal = host_fatal,
	.clock = host_clock,
	.real_time = host_real_time,
	.entropy = host_entropy,
	.poll = host_poll,
	.map = kit_memory_map,
	.unmap = kit_memory_unmap,
	.config_read = host_config_read,
	.config_write = host_config_write,
	.bar = host_bar,
	.read = host_read,
	.write = host_write,
	.stray = host_stray,
	.claim_ports = host_claim_ports,
	.vector_count = host_vector_count,
	.irq_enable = host_irq_enable,
	.irq_disable = host_irq_disable,
	.irq_unmask = host_irq_unmask,
	.firmware = kit_firmware,
	.sent = host_sent,
	.disk_submit = kit_host_disk_submit,
};
