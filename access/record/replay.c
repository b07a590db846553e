/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend "replay": plays a device by a recording of the wrapper "record". What the driver does is compared with what the recorded
 * one did; what the device did is given at the recorded points. At the first departure it says where and what, and the device is gone.
 * docs/record-replay.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/dma.h"
#include "access/record/look.h"
#include "access/record/replay.h"
#include "access/record/shadow.h"
#include "access/threads.h"

enum {
	CONTEXT = 10, /* records that are shown in front of a departure */
	LINE = 320,   /* characters of one of them */
	TURN_MS = 1,  /* between looks whether a vector has been read */
	REST_MS =
		2, /* as in record.c: memory that came by itself comes when the driver is quiet for so long */
	PATIENCE =
		200, /* turns: then an interrupt comes on top of one that was not read, as it would */
};

/**
 * struct player - one replay
 * @next: the record whose turn it is
 * @served: reads that the record @next has answered, of one that stands for several
 * @polled: the record before was such a one: a driver may read the same once more
 * @heard_ns: when the driver did something, for memory that comes at rest
 * @turns: for which the thread has waited with an interrupt
 * @closing: nobody drives the device any more
 */
struct player {
	struct ob_device *dev;
	struct recording *rec;
	const struct recording_info *info;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct shadow shadow;
	struct record_places places;
	struct record_bytes sent;
	uint64_t next, served;
	bool polled;
	struct record last_read;
	uint64_t heard_ns;
	unsigned int turns, vectors;
	struct ob_replay_result result;

	pthread_t thread;
	bool running, stop;
};

static const char *replay_help(void)
{
	return "replay:FILE  a device as the recording FILE has it (outboard-record(1)), without the device.\n"
	       "The driver must do what it did when it was recorded; where it departs is told, and the device is\n"
	       "gone. No options.\n";
}

static uint64_t ones(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

/* ---- departures ---------------------------------------------------------------------------------- */

static bool over(const struct player *p)
{
	return p->result.departed;
}

static void peek(const struct player *p, struct record *r)
{
	recording_get(p->rec, p->next, r);
}

static char *text_of(const struct player *p, const struct record *r, char *buf, size_t size)
{
	return record_text(r, p->info, &p->places, buf, size);
}

static void __attribute__((format(printf, 2, 3))) depart(struct player *p, const char *fmt, ...)
{
	struct ob_replay_result *result = &p->result;
	uint64_t first = p->next > CONTEXT ? p->next - CONTEXT : 0;
	struct record r;
	char line[LINE];
	va_list ap;

	if (over(p))
		return;
	peek(p, &r);
	result->departed = true;
	va_start(ap, fmt);
	vsnprintf(result->text, sizeof(result->text), fmt, ap);
	va_end(ap);
	ob_device_log(p->dev, OB_LOG_ERROR,
		      "the driver departs from the recording at record %" PRIu64 " (%" PRIu64
		      ".%06" PRIu64 " s): %.380s",
		      p->next, r.us / 1000000, r.us % 1000000, result->text);
	for (uint64_t i = first; i <= p->next && i < recording_length(p->rec); i++) {
		recording_get(p->rec, i, &r);
		ob_device_log(p->dev, OB_LOG_ERROR, "%s %6" PRIu64 "  %s", i == p->next ? ">" : " ",
			      i, text_of(p, &r, line, sizeof(line)));
	}
	ob_device_set_gone(p->dev);
}

/* It did @came, where the record that is next stands. */
static void depart_at(struct player *p, const struct record *came)
{
	char want[LINE], got[LINE];
	struct record r;

	peek(p, &r);
	depart(p, "expected '%.240s', came '%.240s'",
	       r.kind == RECORD_END ? "nothing more" : text_of(p, &r, want, sizeof(want)),
	       text_of(p, came, got, sizeof(got)));
}

/* ---- what the device did ------------------------------------------------------------------------- */

static bool readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return fd >= 0 && poll(&pfd, 1, 0) > 0;
}

static void step(struct player *p, const struct record *r)
{
	record_places_see(&p->places, r);
	p->polled = false;
	p->served = 0;
	p->turns = 0;
	if (r->kind != RECORD_END)
		p->next++;
}

/* All records of memory that belong together. */
static void apply(struct player *p, struct record *r)
{
	for (;;) {
		bool more = r->flags & RECORD_MORE;

		shadow_apply(&p->shadow, r);
		step(p, r);
		peek(p, r);
		if (!more || r->kind != RECORD_MEMORY)
			return;
	}
}

static void interrupt(struct player *p, const struct record *r)
{
	struct ob_device *dev = p->dev;
	const uint64_t count = r->count;

	/* Only a full counter refuses; then there is an interrupt already. */
	if (r->off < p->vectors && write(dev->vector[r->off].fd, &count, sizeof(count)) < 0)
		p->turns = 0;
}

static unsigned int when_of(const struct record *r)
{
	return r->flags & ~(unsigned int)RECORD_MORE;
}

/* The vector that the next records are for: an interrupt, or memory that came with it. -1: for none */
static int vector_ahead(const struct player *p)
{
	uint64_t at = p->next;
	struct record r;

	do
		recording_get(p->rec, at++, &r);
	while (r.kind == RECORD_MEMORY && when_of(&r) == RECORD_AT_IRQ);
	return r.kind == RECORD_IRQ ? (int)r.off : -1;
}

/* What the driver is at, as far as that decides what of the device's comes now. */
enum moment {
	/* An interrupt waits until the one before it has been read, as it did in the recording. */
	AT_REST,
	/*
	 * It looks at memory, where it slept until that interrupt when it was recorded: so it has not read it, and would look for what
	 * comes with the next in vain. That one comes on top.
	 */
	AT_LOOK,
	/* It goes on to the next thing, so it has done without what it did not look for. */
	AT_ACCESS,
};

/* Do what the device did next, as far as it did so before the driver did anything. */
static void advance(struct player *p, enum moment moment)
{
	struct record r;
	int vec;

	while (!over(p)) {
		peek(p, &r);
		switch (r.kind) {
		case RECORD_MEMORY:
			vec = vector_ahead(p);
			if (when_of(&r) == RECORD_AT_IRQ && vec >= 0 && moment == AT_REST &&
			    readable(p->dev->vector[vec].fd))
				return;
			if (when_of(&r) > RECORD_AT_IRQ && moment != AT_ACCESS)
				return;
			apply(p, &r);
			break;
		case RECORD_IRQ:
			if (moment == AT_REST && readable(p->dev->vector[r.off].fd))
				return;
			interrupt(p, &r);
			step(p, &r);
			break;
		case RECORD_GONE:
			step(p, &r);
			ob_device_set_gone(p->dev);
			return;
		case RECORD_IRQ_MASK:
		case RECORD_FAULT:
			if (moment != AT_ACCESS)
				return;
			step(p, &r);
			break;
		default:
			return;
		}
	}
}

/*
 * The driver does something. Returns the record that it must be, with all before it that was the device's done, or that the driver
 * need not do: the rest of a read that it repeated until it had waited enough.
 */
static void turn(struct player *p, struct record *r)
{
	p->heard_ns = ob_clock_ns();
	advance(p, AT_ACCESS);
	peek(p, r);
}

static void settled(struct player *p)
{
	advance(p, AT_REST);
	pthread_cond_signal(&p->moved);
}

/* Whoever stops to read the same before it did so as often as recorded has waited for something else, or for time. */
static void end_polling(struct player *p, struct record *r)
{
	if (!p->served || r->count < 2)
		return;
	step(p, r);
	turn(p, r);
}

static bool same_place(const struct record *a, const struct record *b)
{
	return a->kind == b->kind && a->bar == b->bar && a->off == b->off && a->size == b->size;
}

static uint64_t play_read(struct player *p, struct record *came)
{
	struct record r;
	bool polled = p->polled;

	turn(p, &r);
	if (over(p) || ob_device_gone(p->dev))
		return UINT64_MAX;
	if (!same_place(&r, came))
		end_polling(p, &r);
	if (!same_place(&r, came)) {
		/* It waits a little longer than it did, while nothing has happened. */
		if (polled && p->polled && same_place(&p->last_read, came))
			return p->last_read.val;
		depart_at(p, came);
		return UINT64_MAX;
	}
	p->last_read = r;
	if (++p->served >= r.count) {
		step(p, &r);
		p->polled = r.count > 1;
		settled(p);
	}
	return r.val;
}

/* ---- accesses -------------------------------------------------------------------------------------- */

static uint64_t replay_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct player *p = bar->dev->priv;
	struct record came = record_of_access(RECORD_READ, bar, off, size);
	uint64_t val;

	pthread_mutex_lock(&p->lock);
	val = play_read(p, &came);
	pthread_mutex_unlock(&p->lock);
	return val;
}

/* Compare what the driver has put into memory with what it had put there in the recording. */
static void compare_sent(struct player *p, const struct record *want)
{
	const struct record came = {.kind = RECORD_SENT, .data = p->sent.p, .len = p->sent.len};
	const uint8_t *a = want->data, *b = came.data;
	uint64_t last_a = 0, last_b = 0, at;
	struct record_piece x, y;
	char place[80];
	uint64_t i = 0;
	int more_x, more_y;

	if (want->len == came.len && !memcmp(want->data, came.data, came.len))
		return;
	/* Where it begins: the first piece that is another one. */
	do {
		more_x = record_next_piece(&a, want->data + want->len, &last_a, false,
					   p->info->arena, &x);
		more_y = record_next_piece(&b, came.data + came.len, &last_b, false, p->info->arena,
					   &y);
	} while (more_x > 0 && more_y > 0 && x.off == y.off && x.len == y.len && x.hash == y.hash &&
		 !memcmp(x.data, y.data, x.held));
	if (more_x <= 0 || (more_y > 0 && y.off < x.off)) {
		at = y.off;
		depart(p, "memory: '%s' was not written in the recording, now with %02x",
		       record_place(&p->places, p->info->iova + at, place, sizeof(place)),
		       y.data[0]);
		return;
	}
	if (more_y <= 0 || x.off < y.off) {
		at = x.off;
		depart(p, "memory: '%s' was written with %02x in the recording, now it was not",
		       record_place(&p->places, p->info->iova + at, place, sizeof(place)),
		       x.data[0]);
		return;
	}
	while (i < x.held && i < y.held && x.data[i] == y.data[i])
		i++;
	at = x.off + i;
	record_place(&p->places, p->info->iova + at, place, sizeof(place));
	if (i < x.held && i < y.held)
		depart(p, "memory: at '%s' expected %02x, came %02x", place, x.data[i], y.data[i]);
	else if (x.len != y.len)
		depart(p, "memory: from '%s' on %" PRIu64 " bytes were written, now %" PRIu64,
		       place, x.len - i, y.len - i);
	else
		depart(p, "memory: one of the %" PRIu64 " bytes from '%s' on is another one",
		       x.len - i, place);
}

static void replay_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct player *p = bar->dev->priv;
	struct record came = record_of_access(RECORD_WRITE, bar, off, size), r, write;

	came.val = val & ones(size);
	pthread_mutex_lock(&p->lock);
	turn(p, &r);
	if (r.kind == RECORD_READ || r.kind == RECORD_CONFIG_READ)
		end_polling(p, &r);
	if (over(p) || ob_device_gone(p->dev))
		goto out;
	write = r;
	if (r.kind == RECORD_SENT)
		recording_get(p->rec, p->next + 1, &write);
	if (!same_place(&write, &came) || write.val != came.val) {
		if (r.kind == RECORD_SENT)
			p->next++;
		depart_at(p, &came);
		goto out;
	}
	p->sent.len = 0;
	shadow_send(&p->shadow, &p->sent);
	if (r.kind == RECORD_SENT) {
		compare_sent(p, &r);
		if (over(p))
			goto out;
		step(p, &r);
	} else if (p->sent.len) {
		compare_sent(p, &(struct record){.kind = RECORD_SENT});
		if (over(p))
			goto out;
	}
	step(p, &write);
	settled(p);
out:
	pthread_mutex_unlock(&p->lock);
}

static int replay_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
			 uint32_t *val)
{
	struct player *p = dev->priv;
	struct record came = {.kind = write ? RECORD_CONFIG_WRITE : RECORD_CONFIG_READ,
			      .off = off,
			      .size = size,
			      .count = 1},
		      r;

	pthread_mutex_lock(&p->lock);
	turn(p, &r);
	/* Closing a device turns bus mastering off, below all wrappers: that was not recorded. */
	if (r.kind == RECORD_END && off == 0x04) {
		if (!write)
			*val = 0;
		goto out;
	}
	if (!write) {
		*val = (uint32_t)play_read(p, &came);
		goto out;
	}
	came.val = *val;
	end_polling(p, &r);
	if (over(p) || ob_device_gone(dev))
		goto out;
	if (!same_place(&r, &came) || r.val != came.val) {
		depart_at(p, &came);
		goto out;
	}
	step(p, &r);
	settled(p);
out:
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* A call that is one record: @came, of which all but the answer must be as recorded. Returns the recorded answer. */
static int play_call(struct player *p, const struct record *came)
{
	struct record r;
	int ret = -ENODEV;

	pthread_mutex_lock(&p->lock);
	turn(p, &r);
	end_polling(p, &r);
	if (over(p) || ob_device_gone(p->dev))
		goto out;
	if (r.kind != came->kind || r.off != came->off || r.val != came->val ||
	    r.count != came->count || r.flags != came->flags) {
		depart_at(p, came);
		goto out;
	}
	ret = r.ret;
	step(p, &r);
	if (!ret && r.kind == RECORD_IRQ_ENABLE)
		p->vectors = (unsigned int)r.count;
	settled(p);
out:
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void replay_look(struct ob_device *dev)
{
	struct player *p = dev->priv;
	struct record r;
	unsigned int when;

	pthread_mutex_lock(&p->lock);
	p->heard_ns = ob_clock_ns();
	advance(p, AT_LOOK);
	while (!over(p)) {
		peek(p, &r);
		/* Masks need not be in order, and what came by itself is there when one looks. */
		if (r.kind == RECORD_IRQ_MASK) {
			step(p, &r);
			continue;
		}
		when = when_of(&r);
		if (r.kind != RECORD_MEMORY || when < RECORD_AT_LOOK)
			break;
		apply(p, &r);
		if (when == RECORD_AT_LOOK) {
			settled(p);
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
}

static void replay_flush(struct ob_device *dev)
{
}

static int replay_ports(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
			struct ob_error *err)
{
	const struct record came = {.kind = RECORD_PORTS, .off = base, .count = count};
	int ret = play_call(dev->priv, &came);

	if (ret)
		return ob_error_set(err, ret, "%s: ports 0x%x to 0x%x: %s", dev->info.name, base,
				    base + count - 1, strerror(-ret));
	*bar = (struct ob_bar){
		.size = count, .kind = OB_BAR_IO, .index = -1, .dev = dev, .base = base};
	return 0;
}

/* ---- interrupts -------------------------------------------------------------------------------------- */

static unsigned int replay_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	const struct player *p = dev->priv;

	return kind <= OB_IRQ_MSIX ? p->info->vectors[kind] : 0;
}

static int replay_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			     struct ob_error *err)
{
	const struct record came = {.kind = RECORD_IRQ_ENABLE, .off = kind, .count = n};
	int ret;

	for (unsigned int i = 0; i < n; i++) {
		if (dev->vector[i].fd < 0)
			dev->vector[i].fd = eventfd(0, EFD_CLOEXEC);
		if (dev->vector[i].fd < 0)
			return ob_error_set(err, -errno, "%s: no descriptor for vector %u",
					    dev->info.name, i);
		ob_irq_empty(dev->vector[i].fd);
	}
	ret = play_call(dev->priv, &came);
	return ret ? ob_error_set(err, ret, "%s: interrupts cannot be enabled: %s", dev->info.name,
				  strerror(-ret))
		   : 0;
}

static void replay_irq_disable(struct ob_device *dev)
{
	const struct record came = {.kind = RECORD_IRQ_DISABLE};
	struct player *p = dev->priv;
	struct record r;

	pthread_mutex_lock(&p->lock);
	turn(p, &r);
	p->vectors = 0;
	pthread_mutex_unlock(&p->lock);
	/* Closing a device does so by itself; that was not recorded. */
	if (r.kind != RECORD_END)
		play_call(p, &came);
}

static int replay_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	struct player *p = dev->priv;
	struct record r;

	/* Interrupts come where they came; so this is in nobody's way. It is followed as it marks when one may come. */
	pthread_mutex_lock(&p->lock);
	p->heard_ns = ob_clock_ns();
	peek(p, &r);
	if (r.kind == RECORD_IRQ_MASK && r.off == vec && r.val == mask) {
		step(p, &r);
		settled(p);
	}
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* ---- memory, reset, faults ----------------------------------------------------------------------------- */

static int replay_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
			  unsigned int prot)
{
	struct player *p = dev->priv;
	uint64_t off = (uint64_t)((char *)va - p->shadow.driver);
	struct record came = {.kind = RECORD_MAP, .off = iova, .val = len, .flags = prot};
	const char *label;

	if (off >= p->shadow.size || len > p->shadow.size - off)
		return -EFAULT; /* as record.c: it is bounced */
	/* The DMA layer calls with its lock held. */
	label = dma_ranges_label(&dma_space(dev->dma)->arena, off);
	came.data = (const uint8_t *)label;
	came.len = strnlen(label, RECORD_LABEL - 1);
	if (play_call(p, &came))
		return -ENODEV;
	pthread_mutex_lock(&p->lock);
	shadow_give(&p->shadow, off, len, prot);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int replay_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	const struct record came = {.kind = RECORD_UNMAP, .off = iova, .val = len};
	struct player *p = dev->priv;
	struct record r;

	pthread_mutex_lock(&p->lock);
	shadow_take(&p->shadow, iova - p->info->iova, len);
	turn(p, &r);
	pthread_mutex_unlock(&p->lock);
	/* What is left is unmapped when a device is closed. */
	if (r.kind != RECORD_END && !over(p) && !ob_device_gone(dev))
		play_call(p, &came);
	return 0;
}

static int replay_reset(struct ob_device *dev, struct ob_error *err)
{
	const struct record came = {.kind = RECORD_RESET};
	struct player *p = dev->priv;
	struct record r;
	int ret;

	pthread_mutex_lock(&p->lock);
	turn(p, &r);
	if (r.kind == RECORD_SENT) {
		p->sent.len = 0;
		shadow_send(&p->shadow, &p->sent);
		compare_sent(p, &r);
		if (!over(p))
			step(p, &r);
	}
	pthread_mutex_unlock(&p->lock);
	ret = play_call(p, &came);
	return ret ? ob_error_set(err, ret, "%s cannot be reset: %s", dev->info.name,
				  strerror(-ret))
		   : 0;
}

static int replay_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n)
{
	struct player *p = dev->priv;
	unsigned int got = 0;
	struct record r;

	if (!p->info->iommu)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&p->lock);
	for (peek(p, &r); got < n && r.kind == RECORD_FAULT; peek(p, &r), got++) {
		struct ob_fault *f = &faults[got];

		memset(f, 0, sizeof(*f));
		f->iova = r.off;
		f->source = (struct ob_bdf){(uint16_t)(r.val >> 16), (uint8_t)(r.val >> 8),
					    (uint8_t)(r.val >> 3 & 31), (uint8_t)(r.val & 7)};
		f->reason = (unsigned int)r.count;
		f->write = r.flags;
		memcpy(f->text, r.data, r.len);
		step(p, &r);
	}
	if (got)
		settled(p);
	pthread_mutex_unlock(&p->lock);
	return (int)got;
}

/* ---- what comes by itself ---------------------------------------------------------------------------------- */

/* An interrupt that waits for the one before it, and memory for a driver that does not say that it looks. */
static void *serve(void *arg)
{
	struct player *p = arg;
	struct timespec until;
	struct record r;
	unsigned int when;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		advance(p, AT_REST);
		peek(p, &r);
		when = when_of(&r);
		if (over(p) || !(r.kind == RECORD_IRQ ||
				 (r.kind == RECORD_MEMORY && when != RECORD_AT_LOOK))) {
			pthread_cond_wait(&p->moved, &p->lock);
			continue;
		}
		if (r.kind == RECORD_MEMORY && when == RECORD_AT_REST) {
			if (ob_clock_ns() - p->heard_ns >= REST_MS * 1000000ull) {
				apply(p, &r);
				p->heard_ns = ob_clock_ns();
				continue;
			}
		} else if (++p->turns > PATIENCE) {
			/* Nobody reads this vector. */
			if (r.kind == RECORD_MEMORY)
				apply(p, &r);
			while (r.kind == RECORD_MEMORY && !over(p))
				apply(p, &r);
			if (r.kind == RECORD_IRQ) {
				interrupt(p, &r);
				step(p, &r);
			}
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TURN_MS * 1000000l;
		if (until.tv_nsec >= 1000000000l) {
			until.tv_nsec -= 1000000000l;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&p->moved, &p->lock, &until);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

int ob_replay_result(struct ob_device *dev, struct ob_replay_result *result)
{
	struct player *p;
	struct record r;

	while (dev->lower)
		dev = dev->lower;
	if (dev->ops != &ob_access_replay)
		return -EINVAL;
	p = dev->priv;
	pthread_mutex_lock(&p->lock);
	advance(p, AT_ACCESS);
	peek(p, &r);
	p->result.record = p->next;
	p->result.records = recording_length(p->rec);
	p->result.ended = r.kind == RECORD_END;
	if (!p->result.ended && !over(p)) {
		char line[LINE];

		snprintf(p->result.text, sizeof(p->result.text), "expected '%s', came nothing more",
			 text_of(p, &r, line, sizeof(line)));
	}
	*result = p->result;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static void replay_close(struct ob_device *dev)
{
	struct player *p = dev->priv;

	if (!p)
		return;
	if (p->running) {
		pthread_mutex_lock(&p->lock);
		p->stop = true;
		pthread_cond_signal(&p->moved);
		pthread_mutex_unlock(&p->lock);
		pthread_join(p->thread, NULL);
		if (!over(p) && !p->result.ended) {
			struct ob_replay_result result;

			ob_replay_result(dev, &result);
			if (!result.ended)
				ob_device_log(dev, OB_LOG_WARN,
					      "the driver ended at record %" PRIu64 " of %" PRIu64
					      ": %.380s",
					      result.record, result.records, result.text);
		}
	}
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++) {
		if (dev->vector[i].fd >= 0)
			close(dev->vector[i].fd);
		dev->vector[i].fd = -1;
	}
	shadow_destroy(&p->shadow);
	recording_free(p->rec);
	record_places_free(&p->places);
	record_bytes_free(&p->sent);
	pthread_cond_destroy(&p->moved);
	pthread_mutex_destroy(&p->lock);
	free(p);
	dev->priv = NULL;
}

static void fill_device(struct player *p)
{
	const struct recording_info *info = p->info;
	struct ob_device *dev = p->dev;

	snprintf(dev->info.name, sizeof(dev->info.name), "replay:%.50s", info->name);
	dev->info.bdf = info->bdf;
	dev->info.vendor = info->vendor;
	dev->info.device = info->device;
	dev->info.subvendor = info->subvendor;
	dev->info.subdevice = info->subdevice;
	dev->info.class_code = info->class_code;
	dev->info.revision = info->revision;
	dev->info.iommu = info->iommu;
	dev->info.read_only = info->read_only;
	dev->info.untimed = info->untimed;
	for (int i = 0; i < OB_BAR_COUNT; i++) {
		dev->bar[i].dev = dev;
		dev->bar[i].index = i;
		dev->bar[i].kind = info->bar[i].kind;
		dev->bar[i].size = info->bar[i].size;
		dev->bar[i].base = info->bar[i].base;
	}
}

static int make_arena(struct player *p, struct ob_error *err)
{
	struct ob_dma_window window = {.translated = true, .policy = OB_DMA_STRICT};
	int ret = shadow_create(&p->shadow, p->info->arena, NULL);

	if (ret)
		return ob_error_set(err, ret, "%s: no memory for a DMA arena of %" PRIu64 " bytes",
				    p->dev->info.name, p->info->arena);
	/* As record.c has it, so that the same allocations get the same addresses. */
	window.base = p->shadow.driver;
	window.size = p->info->arena;
	window.iova = window.aperture_min = p->info->iova;
	window.aperture_max = p->info->iova + p->info->arena - 1;
	return ob_dma_create(p->dev, &window, err);
}

static int open_one(struct ob_spec *spec, struct ob_device *dev, struct ob_error *err)
{
	struct player *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;
	int ret;

	if (!p)
		return ob_error_set(err, -ENOMEM, "no memory for a replay");
	dev->priv = p;
	p->dev = dev;
	p->shadow.fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->moved, &attr);
	pthread_condattr_destroy(&attr);
	ret = recording_open(spec->device.name, &p->rec, err);
	if (ret)
		return ret;
	p->info = recording_info(p->rec);
	p->next = 1; /* behind the device */
	fill_device(p);
	ret = make_arena(p, err);
	if (ret)
		return ret;
	ret = ob_thread_start(&p->thread, serve, p);
	if (ret)
		return ob_error_set(err, ret, "%s: no thread", dev->info.name);
	p->running = true;
	return 0;
}

static int replay_open(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		       struct ob_error *err)
{
	int ret = 0;
	unsigned int i;

	for (i = 0; i < n && !ret; i++)
		ret = open_one(specs[i], devs[i], err);
	while (ret && i--) {
		ob_dma_destroy(devs[i]);
		replay_close(devs[i]);
	}
	return ret;
}

const struct ob_access_ops ob_access_replay = {
	.name = "replay",
	.summary = "a device as a recording has it, without the device",
	.help = replay_help,
	.open = replay_open,
	.close = replay_close,
	.config = replay_config,
	.read = replay_read,
	.write = replay_write,
	.flush = replay_flush,
	.ports = replay_ports,
	.irq_count = replay_irq_count,
	.irq_enable = replay_irq_enable,
	.irq_disable = replay_irq_disable,
	.irq_mask = replay_irq_mask,
	.dma_map = replay_dma_map,
	.dma_unmap = replay_dma_unmap,
	.reset = replay_reset,
	.faults = replay_faults,
};

bool replay_owns(const struct ob_device *dev)
{
	return dev->ops == &ob_access_replay;
}
