/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk of another driver's as a disk of the kernel's: what the kernel asks of it goes to that driver, piece by piece, in bursts with one
 * doorbell. The kernel's memory is in the disk's arena, so nothing is copied.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/host.h"

enum {
	/* Requests of the kernel's at once: more than a disk needs to be busy. */
	DEPTH = 64,
	BURST = 64,
};

/**
 * struct flight - a request of the kernel's
 * @request: the kernel's
 * @n, @given, @done: its pieces: all, at the disk, and come back
 */
struct flight {
	void *request;
	struct flight *next;
	unsigned int n, given, done;
	int status;
	struct ob_block_req part[OB_KIT_DISK_PIECES];
};

/**
 * struct kit_host_disk - the disk
 * @disk: the kernel's
 * @first, @last: requests with pieces that the disk has not got yet
 * @armed: its interrupt wakes us
 */
struct kit_host_disk {
	struct kit *k;
	struct ob_block *blk;
	void *disk;
	struct flight flights[DEPTH], *free;
	struct flight *first, *last;
	unsigned int inflight;
	bool armed;
	uint64_t next_tick;
};

/* ---- requests --------------------------------------------------------------------------------- */

void kit_host_disk_submit(void *host, void *disk, const struct ob_kit_disk_request *r)
{
	struct kit_host_disk *d = disk;
	struct flight *f = d->free;
	uint64_t offset = r->offset;

	d->free = f->next;
	f->request = r->request;
	f->next = NULL;
	f->n = r->n ? r->n : 1;
	f->given = f->done = 0;
	f->status = 0;
	for (unsigned int i = 0; i < f->n; i++) {
		struct ob_block_req *p = &f->part[i];

		*p = (struct ob_block_req){
			.op = r->op,
			.flags = r->flags,
			.offset = offset,
			.len = r->n ? r->piece[i].len : r->len,
			.buf = r->n ? kit_to_host(d->k, r->piece[i].data) : NULL,
			.user = f,
		};
		offset += p->len;
	}
	if (d->last)
		d->last->next = f;
	else
		d->first = f;
	d->last = f;
}

/* Pieces, in order, as many as the disk takes. */
static bool give(struct kit_host_disk *d)
{
	struct ob_block_req *burst[BURST];
	unsigned int n = 0, taken;

	for (struct flight *f = d->first; f && n < BURST; f = f->next)
		for (unsigned int i = f->given; i < f->n && n < BURST; i++)
			burst[n++] = &f->part[i];
	if (!n)
		return false;
	taken = ob_block_submit(d->blk, 0, burst, n);
	for (unsigned int i = 0; i < taken; i++) {
		struct flight *f = burst[i]->user;

		if (++f->given < f->n)
			continue;
		d->first = f->next;
		if (!d->first)
			d->last = NULL;
	}
	d->inflight += taken;
	return taken;
}

struct ended {
	struct ob_kit_ended list[BURST];
	unsigned int n;
};

static void in_kernel_ended(void *arg)
{
	const struct ended *e = arg;

	outboard_kernel.host_disk->ended(e->list, e->n);
}

static unsigned int take_back(struct kit_host_disk *d)
{
	struct ob_block_req *reqs[BURST];
	unsigned int got = ob_block_complete(d->blk, 0, reqs, BURST);
	struct ended e = {.n = 0};

	d->inflight -= got;
	for (unsigned int i = 0; i < got; i++) {
		struct flight *f = reqs[i]->user;

		if (reqs[i]->status && !f->status)
			f->status = reqs[i]->status;
		if (++f->done < f->n)
			continue;
		e.list[e.n++] = (struct ob_kit_ended){.cookie = f->request, .status = f->status};
		f->next = d->free;
		d->free = f;
	}
	if (e.n)
		kit_burst(d->k, in_kernel_ended, &e);
	return got;
}

bool kit_host_disk_pump(struct kit_host_disk *d)
{
	uint64_t now;
	bool did;

	if (d->armed) {
		d->armed = false;
		d->blk->ops->irq_arm(d->blk, 0, false);
	}
	did = give(d);
	if (d->inflight && take_back(d))
		did = true;
	now = ob_clock_ms();
	if (d->blk->ops->tick && now >= d->next_tick) {
		d->next_tick = now + KIT_TICK_MS;
		d->blk->ops->tick(d->blk, ob_clock_ns());
	}
	return did;
}

bool kit_host_disk_arm(struct kit_host_disk *d)
{
	if (!d->inflight || !d->blk->ops->irq_arm)
		return false;
	d->armed = true;
	return d->blk->ops->irq_arm(d->blk, 0, true);
}

void kit_host_disk_irq(struct kit_host_disk *d)
{
	uint64_t count;

	/* Whether it was this one's does not matter: it is looked after. */
	if (read(d->blk->irq_fd[0], &count, sizeof(count)) < 0)
		return;
}

/* ---- life ---------------------------------------------------------------------------------------- */

struct disk_call {
	struct kit_host_disk *d;
	struct ob_kit_disk_info info;
};

static long call_add(void *arg)
{
	struct disk_call *c = arg;

	return outboard_kernel.host_disk->add(&c->info, c->d, &c->d->disk);
}

static long call_remove(void *arg)
{
	outboard_kernel.host_disk->remove(((struct disk_call *)arg)->d->disk);
	return 0;
}

static struct ob_kit_disk_info info_of(struct ob_block *blk)
{
	const struct ob_block_limits *l = &blk->limits;
	struct ob_kit_disk_info info = {
		.size = l->size,
		.block_size = l->block_size,
		.physical_block_size = l->physical_block_size,
		.max_transfer = l->max_transfer,
		.max_discard = ob_block_can_discard(blk) ? l->max_discard : 0,
		.max_zeroes = ob_block_can_write_zeroes(blk) ? l->max_zeroes : 0,
		.dma_align = l->dma_align,
		.depth = DEPTH,
		.read_only = l->read_only,
		.volatile_cache = l->volatile_cache,
		.rotational = l->rotational,
		.fua = ob_block_can_fua(blk),
	};

	snprintf(info.name, sizeof(info.name), "%.31s", blk->name);
	return info;
}

int kit_host_disk_create(struct kit *k, struct ob_block *blk, struct ob_error *err)
{
	struct kit_host_disk *d;
	struct disk_call c;
	int ret;

	if (blk->limits.max_transfer < 4096 || blk->limits.block_size > 4096)
		return ob_error_set(err, -EOPNOTSUPP,
				    "%s: blocks of %u and transfers of %u bytes are not a page's",
				    blk->name, blk->limits.block_size, blk->limits.max_transfer);
	d = calloc(1, sizeof(*d));
	if (!d)
		return ob_error_set(err, -ENOMEM, "%s: no memory", blk->name);
	d->k = k;
	d->blk = blk;
	for (unsigned int i = DEPTH; i--;) {
		d->flights[i].next = d->free;
		d->free = &d->flights[i];
	}
	ret = ob_block_start(blk, err);
	if (ret)
		goto free;
	if (blk->irq_fd[0] >= 0) {
		ret = kit_watch(k->events, blk->irq_fd[0], KIT_EVENT_DISK);
		if (ret) {
			ob_error_set(err, ret, "%s: its interrupt cannot be waited for", blk->name);
			goto stop;
		}
	}
	k->host_disk = d;
	c = (struct disk_call){.d = d, .info = info_of(blk)};
	pthread_mutex_lock(&k->lock);
	ret = (int)kit_call(k, call_add, &c);
	pthread_mutex_unlock(&k->lock);
	if (!ret)
		return 0;
	ob_error_set(err, ret, "%s: the kernel does not take it: %s", blk->name, strerror(-ret));
	kit_last_words(k, err);
	k->host_disk = NULL;
stop:
	ob_block_stop(blk);
free:
	free(d);
	return ret;
}

unsigned int kit_host_disk_device(const struct kit_host_disk *d, unsigned int partition)
{
	return outboard_kernel.host_disk->device(d->disk, partition);
}

void kit_host_disk_destroy(struct kit *k)
{
	struct kit_host_disk *d = k->host_disk;
	struct disk_call c = {.d = d};

	pthread_mutex_lock(&k->lock);
	kit_call(k, call_remove, &c);
	pthread_mutex_unlock(&k->lock);
	k->host_disk = NULL;
	ob_block_stop(d->blk);
	free(d);
}
