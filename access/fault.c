/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault injection: a wrapper that makes any device misbehave, so that drivers are tested against
 * hardware that lies. `fault[read=0.01,seed=7]:qemu:nvme,file=disk.img`; options in fault_help().
 *
 * What happens at the n-th event depends on seed and n alone, so a run with one thread can be repeated.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/fault.h"
#include "access/threads.h"

const char *const fault_kind_names[FAULT_KINDS] = {
	"reads damaged",      "reads all ones",	    "writes dropped",	   "config reads damaged",
	"DMA memory written", "interrupts dropped", "spurious interrupts", "removals",
};

/* Probabilities are parts of 2^32, so that 1 is certain. */
#define CERTAIN (1ull << 32)

/**
 * struct fault - one wrapper
 * @chance: of each kind
 * @after: register accesses before the first fault
 * @gone: register access at which the device vanishes; 0 for never
 * @max: faults at most
 * @storm: interrupts a second, on each vector, without a cause
 * @bars: bytes that are left of each memory BAR; 0 for all
 * @event: numbers every decision
 * @once_left: events of kind @once until the one that somebody asked for; 0 for none
 * @struck: set to 1 then
 */
struct fault {
	uint64_t chance[FAULT_KINDS];
	uint64_t seed, after, gone, max, storm, bars;
	char scribble[64];
	uint64_t accesses, event, total;
	uint64_t counts[FAULT_KINDS];

	enum fault_kind once;
	uint64_t once_left;
	_Atomic uint32_t *struck;

	/* Interrupts pass through a thread only when some are to be swallowed; it makes the storm, too. */
	bool relaying;
	pthread_t relay;
	unsigned int vectors;
	uint64_t masked; /* a bit for each vector */
	int stop_fd, storm_fd;
	bool own_fds;
};

const char *fault_help(void)
{
	return "seed=N      repeat a run: same seed, same faults (default 1)\n"
	       "read=P      a register read returns a flipped bit or garbage\n"
	       "ones=P      a register read returns all ones\n"
	       "write=P     a register write is dropped\n"
	       "config=P    a configuration read returns a flipped bit or garbage\n"
	       "scribble=L  overwrite a part of consistent DMA memory whose label contains L,\n"
	       "rate=P      after a register write (default 0.01)\n"
	       "irq=P       an interrupt is swallowed; INTx then stays masked until it is unmasked\n"
	       "spurious=P  an interrupt comes after a register access, without a cause\n"
	       "storm=N     N interrupts a second (at most 100000) on each vector, without a cause\n"
	       "bars=SIZE   of each memory BAR only the first SIZE bytes are there\n"
	       "gone=N      the device vanishes at the N-th register access\n"
	       "after=N     the first N register accesses are left alone (default 0)\n"
	       "max=N       at most N faults (default: no limit)\n"
	       "P is a probability: 0.01 or 1/100.\n";
}

static const char options[] =
	"seed, read, ones, write, config, scribble, rate, irq, spurious, storm, bars, gone, after, max";

/* ---- chance --------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014): a good hash of a counter, so no state needs a lock. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t draw(struct fault *f)
{
	uint64_t n = __atomic_fetch_add(&f->event, 1, __ATOMIC_RELAXED);

	return mix(f->seed ^ mix(n));
}

static void record(struct fault *f, enum fault_kind kind)
{
	__atomic_fetch_add(&f->counts[kind], 1, __ATOMIC_RELAXED);
}

/* The one that ob_fault_device_once() is waiting for? */
static bool asked_for(struct fault *f, enum fault_kind kind)
{
	if (ob_likely(!__atomic_load_n(&f->once_left, __ATOMIC_ACQUIRE)) || f->once != kind ||
	    __atomic_fetch_sub(&f->once_left, 1, __ATOMIC_ACQ_REL) != 1)
		return false;
	atomic_store(f->struck, 1);
	return true;
}

/* Shall it happen now? What is granted counts against the limit. */
static bool granted(struct fault *f, enum fault_kind kind)
{
	if (asked_for(f, kind))
		return true;
	if (!f->chance[kind])
		return false;
	if (f->after && __atomic_load_n(&f->accesses, __ATOMIC_RELAXED) <= f->after)
		return false;
	if (draw(f) >> 32 >= f->chance[kind])
		return false;
	if (__atomic_fetch_add(&f->total, 1, __ATOMIC_RELAXED) >= f->max) {
		__atomic_fetch_sub(&f->total, 1, __ATOMIC_RELAXED);
		return false;
	}
	return true;
}

static bool strike(struct fault *f, enum fault_kind kind)
{
	if (!granted(f, kind))
		return false;
	record(f, kind);
	return true;
}

static uint64_t damage(struct fault *f, uint64_t val, unsigned int bits)
{
	uint64_t r = draw(f);

	if (r & 1)
		return val ^ 1ull << ((r >> 1) % bits);
	return mix(r);
}

/* ---- registers ------------------------------------------------------------------------ */

/* A device that is pulled out does no DMA either. */
static void vanish(struct ob_device *dev)
{
	struct fault *f = dev->priv;

	record(f, FAULT_GONE);
	ob_device_bus_master(dev->lower, false);
	ob_device_set_gone(dev);
}

/* Count the access; false when the device is gone with it. */
static bool access_begins(struct ob_device *dev)
{
	struct fault *f = dev->priv;
	uint64_t n = __atomic_add_fetch(&f->accesses, 1, __ATOMIC_RELAXED);

	if (!f->gone || n < f->gone)
		return true;
	if (n == f->gone)
		vanish(dev);
	return false;
}

static void access_ends(struct ob_device *dev)
{
	struct fault *f = dev->priv;
	const uint64_t one = 1;
	unsigned int n = __atomic_load_n(&dev->irq_n, __ATOMIC_RELAXED);

	if (n && strike(f, FAULT_SPURIOUS)) {
		int fd = dev->vector[draw(f) % n].fd;

		/* Only a full counter refuses; then there is an interrupt already. */
		if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
			return;
	}
}

static uint64_t fault_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct ob_device *dev = bar->dev;
	struct fault *f = dev->priv;
	uint64_t val;

	if (!access_begins(dev))
		return UINT64_MAX;
	/* The device sees the read in any case: reading can have effects. */
	val = ob_lower_read(bar, off, size);
	if (strike(f, FAULT_ONES))
		val = UINT64_MAX;
	else if (strike(f, FAULT_READ))
		val = damage(f, val, size * 8);
	access_ends(dev);
	return val;
}

/* ---- DMA memory ----------------------------------------------------------------------- */

struct target {
	struct fault *fault;
	uint64_t n; /* counted so far */
	uint64_t pick;
};

static int count_target(void *arg, const char *label, void *p, size_t size)
{
	struct target *t = arg;

	t->n += strstr(label, t->fault->scribble) != NULL;
	return 0;
}

/* Up to 64 bytes of it: one flipped bit, all ones, zeroes or garbage. */
static int scribble_target(void *arg, const char *label, void *p, size_t size)
{
	struct target *t = arg;
	struct fault *f = t->fault;
	unsigned char *mem = p;
	uint64_t r, how;
	size_t off, len, i;

	if (!strstr(label, f->scribble) || t->n++ != t->pick)
		return 0;
	off = draw(f) % size;
	len = 1 + draw(f) % 64;
	if (len > size - off)
		len = size - off;
	how = draw(f) % 4;
	r = draw(f);
	if (how == 0) {
		mem[off] ^= (unsigned char)(1u << r % 8);
		return 1;
	}
	for (i = 0; i < len; i++) {
		if (how == 1)
			mem[off + i] = 0xff;
		else if (how == 2)
			mem[off + i] = 0;
		else
			mem[off + i] = (unsigned char)mix(r + i);
	}
	return 1;
}

static void scribble(struct ob_device *dev)
{
	struct target t = {.fault = dev->priv};

	ob_dma_for_each(dev->dma, count_target, &t);
	if (!t.n)
		return;
	t.pick = draw(t.fault) % t.n;
	t.n = 0;
	if (ob_dma_for_each(dev->dma, scribble_target, &t))
		record(t.fault, FAULT_SCRIBBLE);
}

static void fault_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct ob_device *dev = bar->dev;
	struct fault *f = dev->priv;

	if (!access_begins(dev))
		return;
	if (!strike(f, FAULT_WRITE))
		ob_lower_write(bar, off, size, val);
	if (f->scribble[0] ? granted(f, FAULT_SCRIBBLE) : asked_for(f, FAULT_SCRIBBLE))
		scribble(dev);
	access_ends(dev);
}

static int fault_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
			uint32_t *val)
{
	struct fault *f = dev->priv;

	if (write) {
		ob_config_write(dev->lower, off, size, *val);
		return 0;
	}
	*val = ob_config_read(dev->lower, off, size);
	if (strike(f, FAULT_CONFIG))
		*val = (uint32_t)damage(f, *val, size * 8);
	return 0;
}

/* ---- interrupts ----------------------------------------------------------------------- */

static void one_more(struct ob_device *dev, unsigned int vector, uint64_t count)
{
	/* Only a full counter refuses; then there is an interrupt already. */
	if (write(dev->vector[vector].fd, &count, sizeof(count)) < 0)
		return;
}

static void storm(struct ob_device *dev)
{
	struct fault *f = dev->priv;

	for (unsigned int i = 0; i < f->vectors; i++) {
		if (f->after && __atomic_load_n(&f->accesses, __ATOMIC_RELAXED) <= f->after)
			return;
		if (__atomic_load_n(&f->masked, __ATOMIC_RELAXED) & 1ull << i)
			continue;
		if (__atomic_fetch_add(&f->total, 1, __ATOMIC_RELAXED) >= f->max) {
			__atomic_fetch_sub(&f->total, 1, __ATOMIC_RELAXED);
			return;
		}
		record(f, FAULT_SPURIOUS);
		one_more(dev, i, 1);
	}
}

/*
 * Read every vector below and write the one above, or not. INTx was masked below as it was delivered;
 * when it is swallowed it stays so, as a lost edge would leave a driver that waits for it.
 */
static void *relay(void *arg)
{
	struct ob_device *dev = arg;
	struct fault *f = dev->priv;
	struct pollfd pfd[OB_IRQ_VECTORS + 2];
	unsigned int n = f->own_fds ? f->vectors : 0, i;
	uint64_t count;

	for (i = 0; i < n; i++)
		pfd[i] = (struct pollfd){.fd = dev->lower->vector[i].fd, .events = POLLIN};
	pfd[n] = (struct pollfd){.fd = f->stop_fd, .events = POLLIN};
	pfd[n + 1] = (struct pollfd){.fd = f->storm_fd, .events = POLLIN};
	for (;;) {
		if (poll(pfd, n + 2, -1) < 0)
			continue;
		if (pfd[n].revents)
			return NULL;
		if (pfd[n + 1].revents && read(f->storm_fd, &count, sizeof(count)) > 0)
			storm(dev);
		for (i = 0; i < n; i++) {
			if (!(pfd[i].revents & POLLIN) ||
			    read(pfd[i].fd, &count, sizeof(count)) != sizeof(count))
				continue;
			/* The wake-up of a device that is gone must reach its driver. */
			if (!ob_device_gone(dev) && strike(f, FAULT_IRQ))
				continue;
			one_more(dev, i, count);
		}
	}
}

/* A timer, and not a wait's end: a confined process has the calls of this one when it serves, too. */
static int start_storm(struct fault *f)
{
	const long period = 1000000000l / (long)f->storm - 1;
	const struct itimerspec every = {
		.it_interval = {.tv_nsec = period},
		.it_value = {.tv_nsec = period},
	};

	f->storm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return f->storm_fd < 0 || timerfd_settime(f->storm_fd, 0, &every, NULL) ? -errno : 0;
}

static int start_relay(struct ob_device *dev, unsigned int n, struct ob_error *err)
{
	struct fault *f = dev->priv;
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		if (!f->own_fds)
			dev->vector[i].fd = dev->lower->vector[i].fd;
		if (dev->vector[i].fd >= 0)
			continue;
		dev->vector[i].fd = eventfd(0, EFD_CLOEXEC);
		if (dev->vector[i].fd < 0)
			return ob_error_set(err, -errno, "%s: no descriptor for vector %u",
					    dev->info.name, i);
	}
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (f->stop_fd < 0)
		return ob_error_set(err, -errno, "%s: no descriptor", dev->info.name);
	f->vectors = n;
	f->storm_fd = -1;
	ret = f->storm ? start_storm(f) : 0;
	if (!ret)
		ret = ob_thread_start(&f->relay, relay, dev);
	if (ret) {
		if (f->storm_fd >= 0)
			close(f->storm_fd);
		close(f->stop_fd);
		return ob_error_set(err, ret, "%s: no thread to swallow interrupts",
				    dev->info.name);
	}
	f->relaying = true;
	return 0;
}

static void stop_relay(struct fault *f)
{
	const uint64_t one = 1;

	if (!f->relaying)
		return;
	/* A fresh eventfd takes a 1 without blocking. */
	if (write(f->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(f->relay, NULL);
	if (f->storm_fd >= 0)
		close(f->storm_fd);
	close(f->stop_fd);
	f->relaying = false;
}

static int fault_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			    struct ob_error *err)
{
	struct fault *f = dev->priv;
	unsigned int i;
	int ret;

	ret = ob_irq_enable(dev->lower, kind, n, err);
	if (ret)
		return ret;
	if (!f->own_fds && !f->storm) {
		for (i = 0; i < n; i++)
			dev->vector[i].fd = dev->lower->vector[i].fd;
		return 0;
	}
	ret = start_relay(dev, n, err);
	if (ret)
		ob_irq_disable(dev->lower);
	return ret;
}

static void fault_irq_disable(struct ob_device *dev)
{
	ob_irq_disable(dev->lower);
	stop_relay(dev->priv);
}

/* A storm, too, is of a device whose vector can be masked. */
static int fault_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	struct fault *f = dev->priv;
	int ret = ob_vector_mask(dev->lower, vec, mask);

	if (!ret && mask)
		__atomic_fetch_or(&f->masked, 1ull << vec, __ATOMIC_RELAXED);
	else if (!ret)
		__atomic_fetch_and(&f->masked, ~(1ull << vec), __ATOMIC_RELAXED);
	return ret;
}

/* ---- life ------------------------------------------------------------------------------ */

static void fault_close(struct ob_device *dev)
{
	struct fault *f = dev->priv;
	char text[300];
	size_t len = 0;
	unsigned int i;

	stop_relay(f);
	for (i = 0; f->own_fds && i < OB_IRQ_VECTORS; i++) {
		if (dev->vector[i].fd >= 0)
			close(dev->vector[i].fd);
	}
	for (i = 0; i < FAULT_KINDS; i++) {
		if (f->counts[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu64 " %s",
						len ? ", " : "", f->counts[i], fault_kind_names[i]);
	}
	ob_device_log(dev, OB_LOG_INFO,
		      "faults injected: %s; %" PRIu64 " register accesses, seed %" PRIu64,
		      len ? text : "none", f->accesses, f->seed);
	free(f);
}

/* "0.015" or "3/200", between 0 and 1. Not strtod(): its decimal point depends on the locale. */
static int parse_chance(const char *text, uint64_t *chance)
{
	uint64_t num = 0, den = 1;
	const char *p = text;
	unsigned int digits = 0;

	for (; *p >= '0' && *p <= '9' && digits < 9; p++, digits++)
		num = num * 10 + (uint64_t)(*p - '0');
	if (!digits)
		return -EINVAL;
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9' && digits < 9; p++, digits++) {
			num = num * 10 + (uint64_t)(*p - '0');
			den *= 10;
		}
	} else if (*p == '/') {
		den = 0;
		for (p++; *p >= '0' && *p <= '9' && den < 100000000; p++)
			den = den * 10 + (uint64_t)(*p - '0');
	}
	if (*p || !den || num > den)
		return -EINVAL;
	*chance = (uint64_t)(((unsigned __int128)num * CERTAIN) / den);
	return 0;
}

static int get_chance(struct ob_spec_part *part, const char *key, uint64_t *chance,
		      struct ob_error *err)
{
	const char *text = ob_spec_get(part, key);

	if (!text || !parse_chance(text, chance))
		return 0;
	ob_error_set(err, -EINVAL, "%s: option %s='%s' is not a probability", part->name, key,
		     text);
	ob_error_fix(err, "write it as 0.01 or 1/100, from 0 to 1");
	return -EINVAL;
}

static int get_options(struct ob_spec_part *part, struct fault *f, struct ob_error *err)
{
	static const struct {
		const char *key;
		enum fault_kind kind;
	} chances[] = {
		{"read", FAULT_READ},	      {"ones", FAULT_ONES},	{"write", FAULT_WRITE},
		{"config", FAULT_CONFIG},     {"rate", FAULT_SCRIBBLE}, {"irq", FAULT_IRQ},
		{"spurious", FAULT_SPURIOUS},
	};
	const char *label;
	unsigned int i;
	int ret = 0;

	f->seed = 1;
	f->max = UINT64_MAX;
	f->chance[FAULT_SCRIBBLE] = CERTAIN / 100;
	for (i = 0; i < sizeof(chances) / sizeof(chances[0]) && !ret; i++)
		ret = get_chance(part, chances[i].key, &f->chance[chances[i].kind], err);
	if (!ret)
		ret = ob_spec_get_u64(part, "seed", 0, UINT64_MAX, &f->seed, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "gone", 1, UINT64_MAX, &f->gone, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "after", 0, UINT64_MAX, &f->after, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "max", 0, UINT64_MAX, &f->max, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "storm", 0, 100000, &f->storm, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "bars", 16, UINT64_MAX, &f->bars, err);
	if (ret)
		return ret;
	label = ob_spec_get(part, "scribble");
	if (label && (!*label || strlen(label) >= sizeof(f->scribble)))
		return ob_error_set(err, -EINVAL,
				    "%s: option scribble='%s' is not the label of a DMA allocation "
				    "(1 to %zu characters)",
				    part->name, label, sizeof(f->scribble) - 1);
	if (label)
		strcpy(f->scribble, label);
	for (i = 0; i < part->n; i++) {
		if (part->opt[i].used)
			continue;
		ob_error_set(err, -EINVAL, "%s has no option '%s'", part->name, part->opt[i].key);
		ob_error_fix(err, "possible: %s", options);
		return -EINVAL;
	}
	return 0;
}

static const struct ob_access_ops fault_ops = {
	.name = "fault",
	.summary = "injects faults into the device below",
	.close = fault_close,
	.config = fault_config,
	.read = fault_read,
	.write = fault_write,
	.irq_enable = fault_irq_enable,
	.irq_disable = fault_irq_disable,
	.irq_mask = fault_irq_mask,
};

int fault_counts(const struct ob_device *dev, uint64_t counts[FAULT_KINDS])
{
	unsigned int i;

	if (dev->ops != &fault_ops)
		return -EINVAL;
	for (i = 0; i < FAULT_KINDS; i++)
		counts[i] =
			__atomic_load_n(&((struct fault *)dev->priv)->counts[i], __ATOMIC_RELAXED);
	return 0;
}

int ob_fault_device_once(struct ob_device *dev, enum fault_kind kind, uint64_t at,
			 _Atomic uint32_t *struck)
{
	struct fault *f = dev->priv;

	if (dev->ops != &fault_ops || kind == FAULT_GONE || kind >= FAULT_KINDS)
		return -EINVAL;
	__atomic_store_n(&f->once_left, 0, __ATOMIC_RELEASE);
	f->once = kind;
	f->struck = struck;
	__atomic_store_n(&f->once_left, at, __ATOMIC_RELEASE);
	return 0;
}

static int fault_wrap(struct ob_spec_part *part, struct ob_device *dev, struct ob_error *err)
{
	struct fault *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return ob_error_set(err, -ENOMEM, "%s: no memory", dev->info.name);
	ret = get_options(part, f, err);
	if (ret) {
		free(f);
		return ret;
	}
	f->own_fds = f->chance[FAULT_IRQ] != 0;
	for (unsigned int i = 0; f->bars && i < OB_BAR_COUNT; i++)
		if (dev->bar[i].kind == OB_BAR_MEM && dev->bar[i].size > f->bars)
			dev->bar[i].size = f->bars;
	dev->ops = &fault_ops;
	dev->priv = f;
	return 0;
}

const struct ob_wrapper_ops ob_wrapper_fault = {
	.name = "fault",
	.summary = "registers, DMA memory and interrupts that misbehave, by chance but repeatably",
	.help = fault_help,
	.wrap = fault_wrap,
};
