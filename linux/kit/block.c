/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's disks as disks of our class (include/outboard/block.h). A request whose buffer lies in the arena goes to the driver as it is; another's
 * data go through a buffer there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kit/host.h"

enum {
	BURST = 64,
};

/* Arena memory for a request whose own is not the kernel's, and the request that uses it. */
struct bounce {
	void *p;
	size_t size;
	struct bounce *next;
};

/**
 * struct kit_disk - one of the kernel's disks
 * @blk: the class's; also what has been found out of it
 * @disk: the kernel's
 * @wake: an eventfd, written when somebody else's thread ran the kernel and this disk's requests ended
 * @both: an epoll descriptor of @wake and the kernel's events; -1 where one disk is alone
 * @armed: its thread sleeps, or will
 */
struct kit_disk {
	struct ob_block blk;
	struct kit *k;
	void *disk;
	struct kit_disks *all;
	int wake, both;
	bool armed, open;

	struct bounce *bounce, *free_bounce;
	unsigned int bouncing;

	struct ob_kit_request reqs[BURST];
	unsigned int nr_reqs, taken;
	uint64_t bounced, irqs_before;
};

struct kit_disks {
	struct kit *k;
	char driver[48];
	unsigned int n;
	struct kit_disk *disk[OB_BINDING_BLOCKS];
};

static struct kit_disk *kit_disk_of(struct ob_block *blk)
{
	return (struct kit_disk *)((char *)blk - offsetof(struct kit_disk, blk));
}

static void lock(struct kit_disk *d)
{
	pthread_mutex_lock(&d->k->lock);
}

static void unlock(struct kit_disk *d)
{
	pthread_mutex_unlock(&d->k->lock);
}

/* ---- calls that may sleep -------------------------------------------------------------------- */

struct request {
	struct kit_disk *d;
	struct ob_kit_disk_info *info;
};

static long call_find(void *arg)
{
	return outboard_kernel.block->find();
}

static long call_info(void *arg)
{
	struct request *r = arg;

	outboard_kernel.block->info(r->d->disk, r->info);
	return 0;
}

static long call_open(void *arg)
{
	return outboard_kernel.block->open(((struct request *)arg)->d->disk);
}

static long call_close(void *arg)
{
	outboard_kernel.block->close(((struct request *)arg)->d->disk);
	return 0;
}

static long call_forget(void *arg)
{
	outboard_kernel.block->forget(((struct request *)arg)->d->disk);
	return 0;
}

static long call_put(void *arg)
{
	outboard_kernel.block->put(((struct request *)arg)->d->disk);
	return 0;
}

static int call(struct kit_disk *d, long (*fn)(void *arg), struct ob_kit_disk_info *info)
{
	struct request r = {.d = d, .info = info};
	long ret;

	lock(d);
	ret = kit_call(d->k, fn, &r);
	unlock(d);
	return (int)ret;
}

/* ---- into the kernel ---------------------------------------------------------------------------- */

/* Whoever runs the kernel runs it for all: others' threads are told that something has ended for them. */
static void wake_others(struct kit_disk *me)
{
	static const uint64_t one = 1;

	for (unsigned int i = 0; i < me->all->n; i++) {
		struct kit_disk *d = me->all->disk[i];

		if (d == me || !d->armed || !outboard_kernel.block->waiting(d->disk))
			continue;
		d->armed = false;
		/* It never fails: nobody writes 2^64 - 1 times. */
		if (write(d->wake, &one, sizeof(one)) < 0)
			continue;
	}
}

static void in_kernel_nothing(void *arg)
{
}

static void in_kernel_submit(void *arg)
{
	struct kit_disk *d = arg;

	d->taken = outboard_kernel.block->submit(d->disk, d->reqs, d->nr_reqs);
}

static void run(struct kit_disk *d, void (*fn)(void *arg))
{
	kit_burst(d->k, fn, d);
	if (d->all->n > 1)
		wake_others(d);
}

/* ---- buffers ---------------------------------------------------------------------------------------- */

/* Where the kernel has what the device sees at @iova, or NULL: then it is not the kernel's memory. */
static void *kernel_memory(const struct kit *k, ob_iova iova, uint32_t len)
{
	uint64_t phys = iova.addr - k->mem.dma;

	if (phys >= k->mem.size || len > k->mem.size - phys)
		return NULL;
	return (void *)(k->mem.base + phys);
}

static struct bounce *take_bounce(struct kit_disk *d, uint32_t len)
{
	struct bounce *b = d->free_bounce;
	ob_iova iova;

	if (!b)
		return NULL;
	if (b->size < len) {
		/* Whole pages; the next request may be a little longer. */
		size_t size = ((size_t)len + 4095) & ~(size_t)4095;

		ob_dma_free(d->k->dma, b->p);
		b->size = 0;
		b->p = ob_dma_alloc(d->k->dma, size, 4096, "linux bounce", &iova);
		if (!b->p)
			return NULL;
		b->size = size;
	}
	d->free_bounce = b->next;
	d->bouncing++;
	return b;
}

static void end_bounce(struct kit_disk *d, struct ob_block_req *req)
{
	struct bounce *b = &d->bounce[req->priv - 1];

	if (req->op == OB_BLOCK_READ && !req->status)
		memcpy(req->buf, b->p, req->len);
	b->next = d->free_bounce;
	d->free_bounce = b;
	d->bouncing--;
	req->priv = 0;
}

/* The kernel's address of a request's data. 0; -EAGAIN when it must wait for others' bounce buffers; -ENOMEM. */
static int find_data(struct kit_disk *d, struct ob_block_req *req, void **data)
{
	struct bounce *b;

	req->priv = 0;
	*data = NULL;
	if (req->op > OB_BLOCK_WRITE)
		return 0;
	*data = kernel_memory(d->k, req->iova, req->len);
	if (*data)
		return 0;
	b = take_bounce(d, req->len);
	if (!b)
		return d->bouncing ? -EAGAIN : -ENOMEM;
	if (req->op == OB_BLOCK_WRITE)
		memcpy(b->p, req->buf, req->len);
	else /* A device that writes less must not show what was here before. */
		memset(b->p, 0, req->len);
	d->bounced++;
	req->priv = (uint64_t)(b - d->bounce) + 1;
	*data = kit_to_kernel(d->k, b->p);
	return 0;
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static unsigned int disk_submit(struct ob_block *blk, unsigned int queue,
				struct ob_block_req **reqs, unsigned int n)
{
	struct kit_disk *d = kit_disk_of(blk);
	unsigned int i;

	lock(d);
	for (i = 0; i < n && i < BURST; i++) {
		struct ob_block_req *req = reqs[i];
		void *data;

		if (find_data(d, req, &data))
			break;
		d->reqs[i] = (struct ob_kit_request){
			.data = data,
			.offset = req->offset,
			.len = req->len,
			.op = req->op,
			.flags = req->flags & ~OB_BLOCK_MAPPED,
			.cookie = req,
		};
	}
	d->nr_reqs = i;
	d->taken = 0;
	if (i)
		run(d, in_kernel_submit);
	for (; i > d->taken; i--)
		if (reqs[i - 1]->priv)
			end_bounce(d, reqs[i - 1]);
	unlock(d);
	return d->taken;
}

static unsigned int take_ended(struct kit_disk *d, struct ob_block_req **reqs, unsigned int n)
{
	struct ob_kit_ended ended[BURST];
	unsigned int got;

	got = outboard_kernel.block->ended(d->disk, ended, n < BURST ? n : BURST);
	for (unsigned int i = 0; i < got; i++) {
		struct ob_block_req *req = ended[i].cookie;

		req->status = (int16_t)ended[i].status;
		if (req->priv)
			end_bounce(d, req);
		reqs[i] = req;
	}
	return got;
}

static unsigned int disk_complete(struct ob_block *blk, unsigned int queue,
				  struct ob_block_req **reqs, unsigned int n)
{
	struct kit_disk *d = kit_disk_of(blk);
	unsigned int got;

	lock(d);
	got = take_ended(d, reqs, n);
	if (!got) {
		if (ob_device_gone(blk->dev))
			outboard_kernel.block->give_up(d->disk);
		else if (kit_look(d->k))
			run(d, in_kernel_nothing);
		got = take_ended(d, reqs, n);
	}
	unlock(d);
	return got;
}

static bool disk_irq_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	struct kit_disk *d = kit_disk_of(blk);
	bool ready = false;
	uint64_t count;

	lock(d);
	if (d->wake >= 0 && !d->armed && read(d->wake, &count, sizeof(count)) < 0)
		count = 0;
	d->armed = on;
	kit_watch_out(d->k);
	if (on) {
		ready = kit_arm(d->k) || outboard_kernel.block->waiting(d->disk) ||
			ob_device_gone(blk->dev);
		if (d->all->n > 1)
			wake_others(d);
	}
	unlock(d);
	return ready;
}

/* The kernel's own timers end requests that the device does not answer. */
static void disk_tick(struct ob_block *blk, uint64_t now_ns)
{
	struct kit_disk *d = kit_disk_of(blk);

	lock(d);
	if (!ob_device_gone(blk->dev) && outboard_kernel.busy())
		run(d, in_kernel_nothing);
	unlock(d);
}

/* ---- start and stop ---------------------------------------------------------------------------------------- */

static void free_bounces(struct kit_disk *d)
{
	for (unsigned int i = 0; d->bounce && i < d->blk.limits.depth; i++)
		ob_dma_free(d->k->dma, d->bounce[i].p);
	free(d->bounce);
	d->bounce = d->free_bounce = NULL;
}

static int disk_start(struct ob_block *blk, struct ob_error *err)
{
	struct kit_disk *d = kit_disk_of(blk);
	int ret;

	/* Of an earlier start: all of it was collected. */
	free_bounces(d);
	d->bounce = calloc(blk->limits.depth, sizeof(*d->bounce));
	if (!d->bounce)
		return ob_error_set(err, -ENOMEM, "disk %s: no memory", blk->name);
	for (unsigned int i = blk->limits.depth; i--;) {
		d->bounce[i].next = d->free_bounce;
		d->free_bounce = &d->bounce[i];
	}
	ret = call(d, call_open, NULL);
	if (ret) {
		free_bounces(d);
		ob_error_set(err, ret, "disk %s: the kernel's driver %s does not open it: %s",
			     blk->name, blk->driver, strerror(-ret));
		kit_last_words(d->k, err);
		return ret;
	}
	d->open = true;
	d->irqs_before = d->k->irqs;
	return 0;
}

static void disk_stop(struct ob_block *blk)
{
	struct kit_disk *d = kit_disk_of(blk);

	if (!d->open)
		return;
	d->open = false;
	lock(d);
	if (ob_device_gone(blk->dev)) {
		outboard_kernel.block->give_up(d->disk);
		/* As of one that was pulled out: what waits inside of the kernel ends, too. */
		kit_remove(d->k);
	}
	unlock(d);
	call(d, call_close, NULL);
}

/* ---- questions ------------------------------------------------------------------------------------------------ */

/* With no cache all is stable; else the block layer sends a flush after the write, where the device has no FUA. */
static bool disk_yes(struct ob_block *blk)
{
	return true;
}

static void disk_stats(struct ob_block *blk, struct ob_block_stats *s)
{
	const struct kit_disk *d = kit_disk_of(blk);

	s->irqs = d->open ? d->k->irqs - d->irqs_before : 0;
}

static const struct ob_block_ops ops = {
	.start = disk_start,
	.stop = disk_stop,
	.submit = disk_submit,
	.complete = disk_complete,
	.irq_arm = disk_irq_arm,
	.tick = disk_tick,
	.can_fua = disk_yes,
	.can_flush = disk_yes,
	.can_discard = disk_yes,
	.can_write_zeroes = disk_yes,
	.can_multi_conn = disk_yes,
	.stats = disk_stats,
};

struct kit *kit_disk_kernel(struct ob_block *blk)
{
	return blk->ops == &ops ? kit_disk_of(blk)->k : NULL;
}

unsigned int kit_disk_device(struct ob_block *blk, unsigned int partition)
{
	return outboard_kernel.block->device(kit_disk_of(blk)->disk, partition);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void learn(struct kit_disk *d)
{
	struct ob_kit_disk_info info = {0};

	call(d, call_info, &info);
	snprintf(d->blk.name, sizeof(d->blk.name), "%.31s", info.name);
	snprintf(d->blk.model, sizeof(d->blk.model), "%.47s", info.model);
	snprintf(d->blk.serial, sizeof(d->blk.serial), "%.31s", info.serial);
	d->blk.limits = (struct ob_block_limits){
		.size = info.size,
		.block_size = info.block_size,
		.physical_block_size = info.physical_block_size,
		.max_transfer = info.max_transfer,
		.max_discard = info.max_discard,
		.max_zeroes = info.max_zeroes,
		.dma_align = info.dma_align,
		.queues = 1,
		.depth = (uint16_t)info.depth,
		.read_only = info.read_only,
		.volatile_cache = info.volatile_cache,
		.rotational = info.rotational,
	};
}

static int create_disk(struct kit_disks *all, unsigned int index, bool alone)
{
	struct kit_disk *d = calloc(1, sizeof(*d));
	int ret = 0;

	if (!d)
		return -ENOMEM;
	d->k = all->k;
	d->all = all;
	d->wake = d->both = -1;
	d->disk = outboard_kernel.block->disk(index);
	d->blk.ops = &ops;
	d->blk.dev = all->k->dev;
	d->blk.dma = all->k->dma;
	d->blk.driver = all->driver;
	for (unsigned int i = 0; i < OB_BLOCK_QUEUES; i++)
		d->blk.irq_fd[i] = -1;
	d->blk.irq_fd[0] = all->k->events;
	if (!alone) {
		d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		d->both = epoll_create1(EPOLL_CLOEXEC);
		if (d->wake < 0 || d->both < 0)
			ret = -errno;
		if (!ret)
			ret = kit_watch(d->both, d->wake, 0);
		if (!ret)
			ret = kit_watch(d->both, all->k->events, 0);
		d->blk.irq_fd[0] = d->both;
	}
	all->disk[all->n++] = d;
	if (!ret)
		learn(d);
	return ret;
}

static void destroy_disk(struct kit_disk *d)
{
	ob_block_stop(&d->blk);
	disk_stop(&d->blk);
	call(d, call_forget, NULL);
	call(d, call_put, NULL);
	free_bounces(d);
	if (d->wake >= 0)
		close(d->wake);
	if (d->both >= 0)
		close(d->both);
	free(d);
}

int kit_blocks_create(struct kit *k, const char *driver, struct ob_binding *b, struct ob_error *err)
{
	const char *name = ob_device_info(k->dev)->name;
	struct kit_disks *all = calloc(1, sizeof(*all));
	long found;
	int ret;

	if (!all)
		return ob_error_set(err, -ENOMEM, "%s: no memory", name);
	all->k = k;
	snprintf(all->driver, sizeof(all->driver), "%.47s", driver);
	k->disks = all;
	pthread_mutex_lock(&k->lock);
	found = kit_call(k, call_find, NULL);
	pthread_mutex_unlock(&k->lock);
	if (found <= 0) {
		ret = found ? (int)found : -ENODEV;
		ob_error_set(err, ret, "%s: the kernel's driver %s took it, but found no disk",
			     name, driver);
		kit_last_words(k, err);
		goto destroy;
	}
	for (unsigned int i = 0; i < (unsigned int)found && i < OB_BINDING_BLOCKS; i++) {
		ret = create_disk(all, i, found == 1);
		if (ret) {
			ob_error_set(err, ret, "%s: disk %u: %s", name, i, strerror(-ret));
			goto destroy;
		}
		b->block[i] = &all->disk[i]->blk;
	}
	b->nr_blocks = all->n;
	return 0;

destroy:
	kit_blocks_destroy(k);
	b->nr_blocks = 0;
	return ret;
}

void kit_blocks_destroy(struct kit *k)
{
	struct kit_disks *all = k->disks;

	for (unsigned int i = 0; i < all->n; i++)
		ob_block_stop(&all->disk[i]->blk);
	for (unsigned int i = 0; i < all->n; i++)
		destroy_disk(all->disk[i]);
	free(all);
	k->disks = NULL;
}
