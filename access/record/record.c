/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wrapper "record": writes down what a driver and its device say to each other, so that the backend "replay" can play the device.
 * `record[file=nvme.rec]:qemu:nvme,file=disk.img`. What is recorded when, and why so: docs/record-replay.md.
 *
 * One lock holds accesses, memory and interrupts in one order, which is the recording's.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/dma.h"
#include "access/record/look.h"
#include "access/record/shadow.h"
#include "access/threads.h"

enum {
	/* A driver that has not been heard of for so long may wait for memory to change without saying so. */
	REST_MS = 2,
	REST_MAX_MS = 32, /* then more and more seldom, as looking costs time */
	HELD_MS = 1,	  /* until a vector that the driver has not read yet is looked at again */
};

/**
 * struct recorder - one wrapper
 * @read: the last read, kept back as the same may come again
 * @unlooked: the driver was given memory and has not said since that it looks
 * @whole: a large piece is mapped at once (SHADOW_WHOLE)
 * @heard_ns: when the driver was last heard of
 * @vectors: of which interrupts are handed on; 0 while they are off
 * @wake: of the thread, to look at all this again
 */
struct recorder {
	struct ob_device *dev;
	pthread_mutex_t lock;
	struct recording_writer *w;
	struct shadow shadow;
	struct record_bytes bytes;
	struct record read;
	bool unlooked, whole, gone;
	uint64_t heard_ns;
	void *lower_arena;

	pthread_t thread;
	bool running, stop;
	int wake_fd;
	unsigned int vectors;
};

static const char *record_help(void)
{
	return "file=PATH   the recording; one that is there already is replaced\n"
	       "`outboard record --print PATH` shows it, replay:PATH plays the device.\n";
}

/* ---- records ---------------------------------------------------------------------------------- */

static void flush_read(struct recorder *r)
{
	if (!r->read.count)
		return;
	recording_add(r->w, &r->read);
	r->read.count = 0;
}

static void put(struct recorder *r, struct record *rec)
{
	flush_read(r);
	recording_add(r->w, rec);
}

/* Reads that follow each other and give the same are one record: somebody waits. */
static void put_read(struct recorder *r, const struct record *rec)
{
	struct record *last = &r->read;

	if (last->count && last->kind == rec->kind && last->bar == rec->bar &&
	    last->off == rec->off && last->size == rec->size && last->val == rec->val) {
		last->count++;
		return;
	}
	flush_read(r);
	*last = *rec;
	last->count = 1;
}

static void heard(struct recorder *r)
{
	r->heard_ns = ob_clock_ns();
}

/* Let the driver see what the device has written. */
static bool fetch(struct recorder *r, enum record_when when)
{
	struct record rec = {.kind = RECORD_MEMORY};
	uint64_t from = r->shadow.first;
	bool any = shadow_look(&r->shadow), more;

	/*
	 * A look that gives nothing is told where the driver got memory since its last one: otherwise a replay would
	 * give it what it got at the next look together with that.
	 */
	if (!any && (when != RECORD_AT_LOOK || !r->unlooked))
		return false;
	do {
		r->bytes.len = 0;
		more = shadow_fetch(&r->shadow, &from, &r->bytes);
		rec.flags = when | (more ? RECORD_MORE : 0);
		rec.data = r->bytes.p;
		rec.len = r->bytes.len;
		put(r, &rec);
	} while (more);
	r->unlooked = when != RECORD_AT_LOOK;
	return any;
}

/* Let the device see what the driver has written. */
static void send(struct recorder *r)
{
	struct record rec = {.kind = RECORD_SENT};

	r->bytes.len = 0;
	shadow_send(&r->shadow, &r->bytes);
	rec.data = r->bytes.p;
	rec.len = r->bytes.len;
	if (rec.len && !r->whole)
		put(r, &rec);
	ob_wmb();
}

static void note_gone(struct recorder *r)
{
	struct record rec = {.kind = RECORD_GONE};

	if (r->gone || !ob_device_gone(r->dev))
		return;
	r->gone = true;
	put(r, &rec);
}

/* ---- accesses --------------------------------------------------------------------------------- */

static uint64_t record_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct recorder *r = bar->dev->priv;
	struct record rec = record_of_access(RECORD_READ, bar, off, size);

	pthread_mutex_lock(&r->lock);
	heard(r);
	rec.val = ob_lower_read(bar, off, size);
	put_read(r, &rec);
	/* What the device wrote before it answered is in memory (PCI 3.0, 3.2.5: a read flushes posted writes). */
	fetch(r, RECORD_AT_READ);
	note_gone(r);
	pthread_mutex_unlock(&r->lock);
	return rec.val;
}

static void record_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct recorder *r = bar->dev->priv;
	struct record rec = record_of_access(RECORD_WRITE, bar, off, size);

	pthread_mutex_lock(&r->lock);
	heard(r);
	send(r);
	rec.val = size < 8 ? val & ((1ull << (8 * size)) - 1) : val;
	put(r, &rec);
	ob_lower_write(bar, off, size, val);
	note_gone(r);
	pthread_mutex_unlock(&r->lock);
}

static int record_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
			 uint32_t *val)
{
	struct recorder *r = dev->priv;
	struct record rec = {
		.kind = write ? RECORD_CONFIG_WRITE : RECORD_CONFIG_READ, .off = off, .size = size};

	pthread_mutex_lock(&r->lock);
	heard(r);
	if (write) {
		rec.val = *val;
		put(r, &rec);
		ob_config_write(dev->lower, off, size, *val);
	} else {
		*val = ob_config_read(dev->lower, off, size);
		rec.val = *val;
		put_read(r, &rec);
	}
	note_gone(r);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

void record_look(struct ob_device *dev)
{
	struct recorder *r = dev->priv;

	pthread_mutex_lock(&r->lock);
	heard(r);
	fetch(r, RECORD_AT_LOOK);
	pthread_mutex_unlock(&r->lock);
}

static int record_ports(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
			struct ob_error *err)
{
	struct recorder *r = dev->priv;
	struct record rec = {.kind = RECORD_PORTS, .off = base, .count = count};
	struct ob_bar *lower;
	unsigned int i;

	/* A driver that is bound again claims the same ranges again. */
	for (i = 0; i < dev->nr_ports; i++)
		if (dev->ports[i].base == base && dev->ports[i].size == count)
			break;
	if (i == OB_PORT_RANGES)
		return ob_error_set(err, -ENOSPC, "%s: more than %d ranges of ports",
				    dev->info.name, OB_PORT_RANGES);
	lower = &dev->ports[i];
	if (i == dev->nr_ports) {
		rec.ret = ob_ports_claim(dev->lower, base, count, lower, err);
		dev->nr_ports += !rec.ret;
	}
	pthread_mutex_lock(&r->lock);
	put(r, &rec);
	pthread_mutex_unlock(&r->lock);
	if (rec.ret)
		return rec.ret;
	*bar = *lower;
	bar->map = NULL;
	bar->dev = dev;
	bar->priv = lower;
	return 0;
}

static int record_reset(struct ob_device *dev, struct ob_error *err)
{
	struct recorder *r = dev->priv;
	struct record rec = {.kind = RECORD_RESET};

	pthread_mutex_lock(&r->lock);
	heard(r);
	send(r);
	rec.ret = ob_device_reset(dev->lower, err);
	put(r, &rec);
	note_gone(r);
	pthread_mutex_unlock(&r->lock);
	return rec.ret;
}

static int record_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n)
{
	struct recorder *r = dev->priv;
	int ret = ob_device_faults(dev->lower, faults, n);

	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < ret; i++) {
		const struct ob_fault *f = &faults[i];
		struct record rec = {
			.kind = RECORD_FAULT,
			.off = f->iova,
			.val = (uint64_t)f->source.domain << 16 | (uint64_t)f->source.bus << 8 |
			       (uint64_t)f->source.dev << 3 | f->source.fn,
			.count = f->reason,
			.flags = f->write,
			.data = (const uint8_t *)f->text,
			.len = strlen(f->text),
		};

		put(r, &rec);
	}
	pthread_mutex_unlock(&r->lock);
	return ret;
}

/* ---- memory ------------------------------------------------------------------------------------- */

static int record_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
			  unsigned int prot)
{
	struct recorder *r = dev->priv;
	uint64_t off = (uint64_t)((char *)va - r->shadow.driver);
	const char *label;
	struct record rec = {.kind = RECORD_MAP, .off = iova, .val = len, .flags = prot};

	/* Memory of others goes through bounce buffers, so that all of it lies in the arena. */
	if (off >= r->shadow.size || len > r->shadow.size - off)
		return -EFAULT;
	/* The DMA layer calls with its lock held. */
	label = dma_ranges_label(&dma_space(dev->dma)->arena, off);
	rec.data = (const uint8_t *)label;
	rec.len = strnlen(label, RECORD_LABEL - 1);
	pthread_mutex_lock(&r->lock);
	shadow_give(&r->shadow, off, len, prot);
	r->whole |= len >= SHADOW_WHOLE_SIZE;
	put(r, &rec);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static int record_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	struct recorder *r = dev->priv;
	struct record rec = {.kind = RECORD_UNMAP, .off = iova, .val = len};

	pthread_mutex_lock(&r->lock);
	shadow_take(&r->shadow, iova - dev->dma->iova, len);
	if (r->w)
		put(r, &rec);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

/* ---- interrupts ----------------------------------------------------------------------------------- */

static void wake(struct recorder *r)
{
	const uint64_t one = 1;

	/* Only a full counter refuses; then it is readable already. */
	if (write(r->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static bool readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

static int record_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			     struct ob_error *err)
{
	struct recorder *r = dev->priv;
	struct record rec = {.kind = RECORD_IRQ_ENABLE, .off = kind, .count = n};

	for (unsigned int i = 0; i < n; i++) {
		if (dev->vector[i].fd < 0)
			dev->vector[i].fd = eventfd(0, EFD_CLOEXEC);
		if (dev->vector[i].fd < 0)
			return ob_error_set(err, -errno, "%s: no descriptor for vector %u",
					    dev->info.name, i);
	}
	pthread_mutex_lock(&r->lock);
	heard(r);
	/* After a reset they are on already below. */
	if (dev->lower->irq_kind != kind || dev->lower->irq_n != n) {
		rec.ret = ob_irq_enable(dev->lower, kind, n, err);
		for (unsigned int i = 0; !rec.ret && i < n; i++)
			ob_irq_empty(dev->vector[i].fd);
	}
	put(r, &rec);
	if (!rec.ret)
		r->vectors = n;
	pthread_mutex_unlock(&r->lock);
	wake(r);
	return rec.ret;
}

static void record_irq_disable(struct ob_device *dev)
{
	struct recorder *r = dev->priv;
	struct record rec = {.kind = RECORD_IRQ_DISABLE};

	pthread_mutex_lock(&r->lock);
	heard(r);
	r->vectors = 0;
	ob_irq_disable(dev->lower);
	put(r, &rec);
	pthread_mutex_unlock(&r->lock);
	wake(r);
}

static int record_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	struct recorder *r = dev->priv;
	struct record rec = {.kind = RECORD_IRQ_MASK, .off = vec, .val = mask};
	struct ob_device *lower = dev->lower;
	int ret;

	while (!lower->ops->irq_mask)
		lower = lower->lower;
	pthread_mutex_lock(&r->lock);
	heard(r);
	put(r, &rec);
	ret = lower->ops->irq_mask(lower, vec, mask);
	pthread_mutex_unlock(&r->lock);
	wake(r);
	return ret;
}

/* Hand one vector's interrupts on, if it is on and there are any. */
static void relay(struct recorder *r, unsigned int vec)
{
	struct record rec = {.kind = RECORD_IRQ, .off = vec};
	uint64_t count;

	pthread_mutex_lock(&r->lock);
	if (vec < r->vectors && readable(r->dev->lower->vector[vec].fd) &&
	    read(r->dev->lower->vector[vec].fd, &count, sizeof(count)) == sizeof(count)) {
		note_gone(r);
		if (!r->gone) {
			fetch(r, RECORD_AT_IRQ);
			rec.count = count;
			put(r, &rec);
		}
		/* Only a full counter refuses; then there is an interrupt already. */
		if (write(r->dev->vector[vec].fd, &count, sizeof(count)) < 0)
			rec.count = 0;
	}
	pthread_mutex_unlock(&r->lock);
}

/* Whoever waits for memory without a word gets it, too. Returns whether there was something. */
static bool rest(struct recorder *r, unsigned int rest_ms)
{
	bool any = false;

	pthread_mutex_lock(&r->lock);
	if (!r->gone && ob_clock_ns() - r->heard_ns >= rest_ms * 1000000ull) {
		any = fetch(r, RECORD_AT_REST);
		/* Devices that look at memory by themselves, as a UHCI, have their drivers in "linux:". */
		if (r->whole)
			send(r);
	}
	pthread_mutex_unlock(&r->lock);
	return any;
}

static void *serve(void *arg)
{
	struct recorder *r = arg;
	struct ob_device *dev = r->dev;
	struct pollfd pfd[OB_IRQ_VECTORS + 2];
	unsigned int rest_ms = REST_MS;
	uint64_t heard_ns = 0, drained;

	for (;;) {
		unsigned int n, i;
		bool held = false, gone;

		pthread_mutex_lock(&r->lock);
		n = r->vectors;
		gone = r->gone;
		if (r->heard_ns != heard_ns)
			rest_ms = REST_MS;
		heard_ns = r->heard_ns;
		pthread_mutex_unlock(&r->lock);
		for (i = 0; i < n; i++) {
			/*
			 * One at a time: the next is held back until the driver has read the last, so that a
			 * replay can tell how often it was woken.
			 */
			bool full = readable(dev->vector[i].fd);

			held |= full;
			pfd[i] = (struct pollfd){.fd = full ? -1 : dev->lower->vector[i].fd,
						 .events = POLLIN};
		}
		pfd[n] = (struct pollfd){.fd = r->wake_fd, .events = POLLIN};
		pfd[n + 1] = (struct pollfd){.fd = gone ? -1 : ob_device_removal_fd(dev),
					     .events = POLLIN};
		if (poll(pfd, n + 2, held ? HELD_MS : (int)rest_ms) < 0)
			continue;
		if (pfd[n].revents && read(r->wake_fd, &drained, sizeof(drained)) < 0)
			continue;
		if (__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
			return NULL;
		if (pfd[n + 1].revents) {
			pthread_mutex_lock(&r->lock);
			note_gone(r);
			pthread_mutex_unlock(&r->lock);
		}
		for (i = 0; i < n; i++)
			if (pfd[i].revents & POLLIN)
				relay(r, i);
		if (rest(r, REST_MS))
			rest_ms = REST_MS;
		else if (rest_ms < REST_MAX_MS)
			rest_ms *= 2;
	}
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void recorder_free(struct recorder *r)
{
	struct ob_device *dev = r->dev;
	int ret;

	if (r->running) {
		__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
		wake(r);
		pthread_join(r->thread, NULL);
	}
	if (r->w) {
		uint64_t count;

		note_gone(r);
		flush_read(r);
		count = recording_count(r->w) + 1;
		ret = recording_close(r->w);
		r->w = NULL;
		if (ret)
			ob_device_log(dev, OB_LOG_ERROR, "the recording is not whole: %s",
				      strerror(-ret));
		else
			ob_device_log(dev, OB_LOG_DEBUG, "%llu records", (unsigned long long)count);
	}
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		if (dev->vector[i].fd >= 0)
			close(dev->vector[i].fd);
	if (dev->dma != dev->lower->dma)
		ob_dma_destroy(dev);
	shadow_destroy(&r->shadow);
	ob_dma_free(dev->lower->dma, r->lower_arena);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
	record_bytes_free(&r->bytes);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void record_close(struct ob_device *dev)
{
	recorder_free(dev->priv);
}

static const struct ob_access_ops record_ops = {
	.name = "record",
	.summary = "writes down what is said to the device below",
	.close = record_close,
	.config = record_config,
	.read = record_read,
	.write = record_write,
	.ports = record_ports,
	.irq_enable = record_irq_enable,
	.irq_disable = record_irq_disable,
	.irq_mask = record_irq_mask,
	.dma_map = record_dma_map,
	.dma_unmap = record_dma_unmap,
	.reset = record_reset,
	.faults = record_faults,
};

bool record_owns(const struct ob_device *dev)
{
	return dev->ops == &record_ops;
}

/* The driver's arena: as large as the device's, seen by the device where that is. */
static int make_arena(struct recorder *r, struct ob_error *err)
{
	struct ob_device *dev = r->dev;
	struct ob_dma *lower = dev->lower->dma;
	struct ob_dma_window window = {.translated = true, .policy = OB_DMA_STRICT};
	ob_iova iova;
	int ret;

	/* For a driver whose device has 32 address lines: afterwards the arena cannot move. It may lie low already, or have to be high. */
	ob_dma_set_mask(lower, 32, NULL);
	r->lower_arena = ob_dma_reserve(lower, lower->size, 4096, "record", &iova);
	if (!r->lower_arena)
		return ob_error_set(err, -ENOMEM, "%s: the DMA arena is in use already",
				    dev->info.name);
	ret = shadow_create(&r->shadow, lower->size, r->lower_arena);
	if (ret)
		return ob_error_set(err, ret, "%s: no memory for a second DMA arena of %llu bytes",
				    dev->info.name, (unsigned long long)lower->size);
	window.base = r->shadow.driver;
	window.size = lower->size;
	window.iova = window.aperture_min = iova.addr;
	window.aperture_max = iova.addr + lower->size - 1;
	return ob_dma_create(dev, &window, err);
}

static int make_file(struct recorder *r, const char *path, struct ob_error *err)
{
	const struct ob_device *dev = r->dev;
	struct recording_info info = {
		.when = (uint64_t)time(NULL),
		.vendor = dev->info.vendor,
		.device = dev->info.device,
		.subvendor = dev->info.subvendor,
		.subdevice = dev->info.subdevice,
		.class_code = dev->info.class_code,
		.revision = dev->info.revision,
		.bdf = dev->info.bdf,
		.iommu = dev->info.iommu,
		.read_only = dev->info.read_only,
		.untimed = dev->info.untimed,
		.arena = dev->dma->size,
		.iova = dev->dma->iova,
	};

	snprintf(info.name, sizeof(info.name), "%s", dev->lower->info.name);
	snprintf(info.spec, sizeof(info.spec), "%s", dev->info.spec);
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		info.bar[i].kind = dev->bar[i].kind;
		info.bar[i].size = dev->bar[i].kind ? dev->bar[i].size : 0;
		info.bar[i].base = dev->bar[i].kind ? dev->bar[i].base : 0;
	}
	for (unsigned int i = OB_IRQ_INTX; i <= OB_IRQ_MSIX; i++)
		info.vectors[i] = ob_irq_count(dev->lower, (enum ob_irq_kind)i);
	return recording_create(path, &info, &r->w, err);
}

static int record_wrap(struct ob_spec_part *part, struct ob_device *dev, struct ob_error *err)
{
	const char *path = ob_spec_get(part, "file");
	struct recorder *r;
	int ret;

	if (!path || !*path) {
		ob_error_set(err, -EINVAL, "%s: where to?", dev->info.name);
		ob_error_fix(err, "record[file=PATH]:...");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < part->n; i++)
		if (!part->opt[i].used) {
			ob_error_set(err, -EINVAL, "record has no option '%s'", part->opt[i].key);
			ob_error_fix(err, "possible: file");
			return -EINVAL;
		}
	if (!dev->lower->dma)
		return ob_error_set(err, -EOPNOTSUPP, "%s has no DMA memory", dev->info.name);
	r = calloc(1, sizeof(*r));
	if (!r)
		return ob_error_set(err, -ENOMEM, "%s: no memory", dev->info.name);
	r->dev = dev;
	r->shadow.fd = r->wake_fd = -1;
	pthread_mutex_init(&r->lock, NULL);
	dev->priv = r;
	dev->ops = &record_ops;
	ret = make_arena(r, err);
	if (!ret)
		ret = make_file(r, path, err);
	if (ret)
		goto fail;
	r->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (r->wake_fd < 0) {
		ret = ob_error_set(err, -errno, "%s: no descriptor", dev->info.name);
		goto fail;
	}
	ret = ob_thread_start(&r->thread, serve, r);
	if (ret) {
		ob_error_set(err, ret, "%s: no thread", dev->info.name);
		goto fail;
	}
	r->running = true;
	return 0;

fail:
	recorder_free(r);
	return ret;
}

const struct ob_wrapper_ops ob_wrapper_record = {
	.name = "record",
	.summary = "writes the conversation with the device to a file, for replay:FILE",
	.help = record_help,
	.wrap = record_wrap,
};
