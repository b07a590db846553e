/* SPDX-License-Identifier: BSD-2-Clause */
/* See ram_disk.h. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/attach/ram_disk.h"

#define RAM_IOVA 0x1000000ull

static int ram_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
		       unsigned int prot)
{
	struct ram_disk *r = (struct ram_disk *)((char *)dev - offsetof(struct ram_disk, dev));

	for (unsigned int i = 0; i < RAM_MAPS; i++) {
		if (r->map[i].len)
			continue;
		r->map[i] = (struct ram_map){va, iova, len};
		return 0;
	}
	return -ENOSPC;
}

static int ram_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	struct ram_disk *r = (struct ram_disk *)((char *)dev - offsetof(struct ram_disk, dev));

	for (unsigned int i = 0; i < RAM_MAPS; i++)
		if (r->map[i].len && r->map[i].iova == iova)
			r->map[i].len = 0;
	return 0;
}

static const struct ob_access_ops ram_access_ops = {
	.name = "ram",
	.dma_map = ram_dma_map,
	.dma_unmap = ram_dma_unmap,
};

/* What the device would do with the address it was given, not with the pointer. */
static char *reach(struct ram_disk *r, const struct ob_block_req *req)
{
	uint64_t iova = req->iova.addr;

	if (!r->iommu)
		return r->arena + (iova - RAM_IOVA);
	for (unsigned int i = 0; i < RAM_MAPS; i++) {
		const struct ram_map *m = &r->map[i];

		if (iova >= m->iova && iova - m->iova < m->len &&
		    req->len <= m->len - (iova - m->iova))
			return m->va + (iova - m->iova);
	}
	abort(); /* an IOMMU would report it */
}

static bool fails(struct ram_disk *r, const struct ob_block_req *req)
{
	uint64_t from = atomic_load(&r->fail_from), to = atomic_load(&r->fail_to);

	return atomic_load(&r->fail_status) && req->op <= OB_BLOCK_WRITE && req->offset < to &&
	       req->offset + req->len > from;
}

static void execute(struct ram_disk *r, struct ob_block_req *req)
{
	bool fua = req->flags & OB_BLOCK_FUA;

	atomic_fetch_add(&r->seen[req->op], 1);
	atomic_fetch_add(&r->fua_seen, fua);
	atomic_fetch_add(&r->unmap_seen, !!(req->flags & OB_BLOCK_MAY_UNMAP));
	if (req->op <= OB_BLOCK_WRITE && req->len > atomic_load(&r->longest))
		atomic_store(&r->longest, req->len);
	if (req->op <= OB_BLOCK_WRITE && reach(r, req) != req->buf)
		atomic_fetch_add(&r->outside, 1);
	if (fails(r, req)) {
		req->status = (int16_t)atomic_load(&r->fail_status);
		return;
	}
	req->status = 0;
	switch (req->op) {
	case OB_BLOCK_READ:
		memcpy(reach(r, req), r->data + req->offset, req->len);
		break;
	case OB_BLOCK_WRITE:
		memcpy(r->data + req->offset, reach(r, req), req->len);
		break;
	case OB_BLOCK_FLUSH:
		if (r->stable)
			memcpy(r->stable, r->data, r->blk.limits.size);
		break;
	case OB_BLOCK_DISCARD:
		/* Undefined content: nobody is to rely on zeroes. */
		memset(r->data + req->offset, 0xdd, req->len);
		break;
	case OB_BLOCK_WRITE_ZEROES:
		memset(r->data + req->offset, 0, req->len);
		break;
	}
	if (fua && r->stable)
		memcpy(r->stable + req->offset, r->data + req->offset, req->len);
}

static void wake(struct ram_disk *r)
{
	uint64_t one = 1;

	if (write(r->blk.irq_fd[0], &one, sizeof(one)) < 0)
		abort();
}

static unsigned int ram_submit(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			       unsigned int n)
{
	struct ram_disk *r = (struct ram_disk *)blk;
	unsigned int taken = 0;

	while (taken < n && r->nr_pending < blk->limits.depth)
		r->pending[r->nr_pending++] = reqs[taken++];
	if (r->nr_pending > atomic_load(&r->most_inflight))
		atomic_store(&r->most_inflight, r->nr_pending);
	if (taken && r->armed)
		wake(r);
	return taken;
}

static unsigned int ram_complete(struct ob_block *blk, unsigned int queue,
				 struct ob_block_req **reqs, unsigned int n)
{
	struct ram_disk *r = (struct ram_disk *)blk;
	unsigned int done = 0;

	if (atomic_load(&r->hold))
		return 0;
	while (done < n && r->nr_pending) {
		unsigned int i = 0;

		if (atomic_load(&r->shuffle)) {
			r->random = r->random * 6364136223846793005ull + 1442695040888963407ull;
			i = (unsigned int)(r->random >> 33) % r->nr_pending;
		}
		reqs[done] = r->pending[i];
		execute(r, reqs[done++]);
		memmove(&r->pending[i], &r->pending[i + 1],
			(r->nr_pending - i - 1) * sizeof(r->pending[0]));
		r->nr_pending--;
		/* Now and then only some have ended. */
		if (atomic_load(&r->shuffle) && !(r->random >> 61))
			break;
	}
	return done;
}

static bool ram_irq_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	struct ram_disk *r = (struct ram_disk *)blk;

	r->armed = on;
	return on && r->nr_pending && !atomic_load(&r->hold);
}

static void ram_stop(struct ob_block *blk)
{
	struct ram_disk *r = (struct ram_disk *)blk;

	atomic_store(&r->hold, false);
}

static bool ram_can_fua(struct ob_block *blk)
{
	return ((struct ram_disk *)blk)->fua;
}
static bool ram_can_flush(struct ob_block *blk)
{
	return ((struct ram_disk *)blk)->flush;
}
static bool ram_can_discard(struct ob_block *blk)
{
	return ((struct ram_disk *)blk)->discard;
}
static bool ram_can_write_zeroes(struct ob_block *blk)
{
	return ((struct ram_disk *)blk)->zeroes;
}
static bool ram_can_multi_conn(struct ob_block *blk)
{
	return ((struct ram_disk *)blk)->multi_conn;
}

static const struct ob_block_ops ram_ops = {
	.stop = ram_stop,
	.submit = ram_submit,
	.complete = ram_complete,
	.irq_arm = ram_irq_arm,
	.can_fua = ram_can_fua,
	.can_flush = ram_can_flush,
	.can_discard = ram_can_discard,
	.can_write_zeroes = ram_can_write_zeroes,
	.can_multi_conn = ram_can_multi_conn,
};

void ram_disk_init(struct ram_disk *r, uint64_t size)
{
	memset(r, 0, sizeof(*r));
	r->arena_size = 32 << 20;
	r->random = 1;
	r->fua = r->flush = r->discard = r->zeroes = true;
	r->blk.ops = &ram_ops;
	r->blk.driver = "ram";
	snprintf(r->blk.name, sizeof(r->blk.name), "ram0");
	snprintf(r->blk.model, sizeof(r->blk.model), "disk of memory");
	snprintf(r->blk.serial, sizeof(r->blk.serial), "R1");
	r->blk.limits = (struct ob_block_limits){
		.size = size,
		.block_size = 512,
		.physical_block_size = 512,
		.max_transfer = 128 << 10,
		.max_discard = 1 << 20,
		.max_zeroes = 1 << 20,
		.dma_align = 4,
		.queues = 1,
		.depth = 32,
		.volatile_cache = true,
	};
	r->blk.irq_fd[0] = -1;
}

static char *make_data(const struct ram_disk *r)
{
	size_t size = r->blk.limits.size;
	int flags = MAP_SHARED, fd = -1;
	char *data = NULL;

	if (!r->file)
		flags = MAP_PRIVATE | MAP_ANONYMOUS;
	else
		fd = open(r->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (!r->file || (fd >= 0 && !ftruncate(fd, (off_t)size)))
		data = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	return data == MAP_FAILED ? NULL : data;
}

int ram_disk_open(struct ram_disk *r)
{
	struct ob_dma_window w = {
		.size = r->arena_size,
		.iova = RAM_IOVA,
		.aperture_max = UINT32_MAX,
		.translated = r->iommu,
		.policy = OB_DMA_POOLED,
	};
	struct ob_error err = {0};
	int rc;

	r->arena = mmap(NULL, r->arena_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	r->data = make_data(r);
	r->stable = r->no_stable ? NULL : calloc(1, r->blk.limits.size);
	r->blk.irq_fd[0] = eventfd(0, EFD_CLOEXEC);
	if (r->arena == MAP_FAILED || !r->data || (!r->stable && !r->no_stable) ||
	    r->blk.irq_fd[0] < 0)
		return -ENOMEM;
	r->dev.ops = &ram_access_ops;
	r->dev.removal_fd = -1;
	snprintf(r->dev.info.name, sizeof(r->dev.info.name), "ram");
	w.base = r->arena;
	rc = ob_dma_create(&r->dev, &w, &err);
	if (rc)
		return rc;
	r->blk.dev = &r->dev;
	r->blk.dma = r->dev.dma;
	r->driver.name = "ram";
	r->driver.class_ = OB_CLASS_BLOCK;
	r->binding.driver = &r->driver;
	r->binding.dev = &r->dev;
	r->binding.block[0] = &r->blk;
	r->binding.nr_blocks = 1;
	return 0;
}

void ram_disk_close(struct ram_disk *r)
{
	ob_dma_destroy(&r->dev);
	munmap(r->arena, r->arena_size);
	munmap(r->data, r->blk.limits.size);
	free(r->stable);
	close(r->blk.irq_fd[0]);
}

void ram_disk_release(struct ram_disk *r)
{
	atomic_store(&r->hold, false);
	wake(r);
}
