/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "vduse-blk": a block device /dev/vdX, made by the kernel's own virtio driver of a virtio block device that this
 * process is (VDUSE, vduse.h; VIRTIO 1.2, 5.2). The rings are shared with the kernel, so requests cost no
 * system call; payload is copied once, by the kernel, into the device's arena.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/disk.h"
#include "attach/vduse.h"
#include "attach/virtio_blk.h"

enum {
	/* More than what one processor's client has under way at once; 256 is what virtio-blk-pci has. */
	QUEUE_SIZE = 256,
	QUEUES_DEFAULT = 4,
	/*
	 * The bounce area. A 4 KiB request takes four pages of it: payload, header, status and the table of its descriptors; a
	 * longer one up to twice its length (the kernel rounds up to powers of two).
	 */
	BOUNCE_DEFAULT = 16 << 20,
	BOUNCE_MIN = 1 << 20,
	BOUNCE_MAX = 1 << 30,
	/*
	 * Payload in pieces goes to the device piece by piece where they are few and long; else it is copied together:
	 * copying 16 KiB costs about what a request of its own does.
	 */
	PIECES_IN_PLACE = 32,
	PIECE_IN_PLACE = 16 << 10,
};

/*
 * A request, by queue and head.
 * @staging: payload memory that stands for its pieces, or NULL
 * @iov: its pieces, where they are used in place
 */
struct blk_tag {
	struct disk_request rq; /* first: the disk layer hands it back */
	uint16_t head;
	uint8_t queue, type;
	uint8_t *status;
	char *staging;
	uint32_t len;
	struct iovec iov[PIECES_IN_PLACE];
};

struct vduse_blk {
	struct ob_attach at; /* first */
	struct disk disk;
	struct vduse v;
	unsigned int queues, queue_size;
	uint64_t bounce;
	char *umem;    /* of the arena, or NULL */
	char name[16]; /* "vda", once published */

	/* the loop's thread */
	struct blk_tag *tags;
	unsigned int inflight;
	uint32_t dirty; /* a bit per queue that has something to publish */
	bool stopping;
	bool starved; /* a request waits for payload memory */
	unsigned int next_queue;
	struct virtqueue_piece piece[VIRTIO_BLK_PIECES];
};

/* ---- ends of requests -------------------------------------------------------------- */

static uint8_t status_of(int status)
{
	if (!status)
		return VIRTIO_BLK_S_OK;
	return status == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static void push(struct vduse_blk *b, unsigned int queue, uint16_t head, uint32_t written)
{
	virtqueue_push(&b->v.queue[queue], head, written);
	b->dirty |= 1u << queue;
}

static void publish(void *front)
{
	struct vduse_blk *b = front;

	for (; b->dirty; b->dirty &= b->dirty - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(b->dirty);

		if (b->v.running && virtqueue_publish(&b->v.queue[i]))
			vduse_interrupt(&b->v, i);
	}
}

/* The driver may have changed the chain meanwhile: it is checked again, and gets no more than is there. */
static void copy_out(struct vduse_blk *b, struct blk_tag *t)
{
	struct virtqueue_chain chain = {.piece = b->piece, .max = VIRTIO_BLK_PIECES};
	struct virtio_blk_request r;

	if (virtqueue_fetch(&b->v.queue[t->queue], t->head, &chain) < 0 ||
	    virtio_blk_parse(&chain, &r) || !r.written)
		return;
	virtio_blk_copy(&r, 0, t->staging, t->len, true);
	disk_count(&b->disk.stats.own_copies, 1);
}

static void count_end(struct vduse_blk *b, const struct blk_tag *t)
{
	struct ob_attach_stats *stats = &b->disk.stats;

	if (t->rq.status) {
		disk_count(&stats->errors, 1);
		return;
	}
	if (t->type == VIRTIO_BLK_T_IN) {
		disk_count(&stats->requests_out, 1);
		disk_count(&stats->bytes_out, t->len);
	} else {
		disk_count(&stats->requests_in, 1);
		if (t->type == VIRTIO_BLK_T_OUT)
			disk_count(&stats->bytes_in, t->len);
	}
	if (t->len)
		disk_count(&stats->kernel_copies, 1);
}

static void blk_done(void *front, struct disk_request *rq)
{
	struct vduse_blk *b = front;
	struct blk_tag *t = (struct blk_tag *)rq;
	uint32_t written = 1;

	b->inflight--;
	count_end(b, t);
	/* After a reset the rings are not there any more, and nobody waits. */
	if (b->v.running) {
		if (t->type == VIRTIO_BLK_T_IN && !rq->status) {
			if (t->staging)
				copy_out(b, t);
			written += t->len;
		}
		*t->status = status_of(rq->status);
		push(b, t->queue, t->head, written);
	}
	if (t->staging) {
		payload_put(&b->disk.payload, t->staging, t->len);
		t->staging = NULL;
		b->starved = false;
	}
	if (b->stopping && !b->inflight) {
		b->stopping = false;
		vduse_stopped(&b->v);
	}
}

/* ---- requests ----------------------------------------------------------------------- */

static bool range_ok(const struct vduse_blk *b, uint64_t offset, uint64_t len)
{
	const struct disk *d = &b->disk;

	return disk_aligned(d, offset) && disk_aligned(d, len) && disk_in_range(d, offset, len);
}

/* Few long pieces of whole blocks are used where they are, when they are where the device can reach them. */
static bool use_in_place(struct vduse_blk *b, struct blk_tag *t, const struct virtio_blk_request *r)
{
	/* The bounce area is one: either all of it is the arena's or nothing. */
	if (!ob_dma_contains(b->disk.blk->dma, r->data[0].base, r->data[0].len))
		return false;
	if (r->nr_data == 1) {
		t->rq.buf = r->data[0].base;
		return true;
	}
	if (r->nr_data > PIECES_IN_PLACE || r->len / r->nr_data < PIECE_IN_PLACE)
		return false;
	for (unsigned int i = 0; i < r->nr_data; i++) {
		if (!disk_aligned(&b->disk, r->data[i].len))
			return false;
		t->iov[i].iov_base = r->data[i].base;
		t->iov[i].iov_len = r->data[i].len;
	}
	t->rq.buf = NULL;
	t->rq.iov = t->iov;
	return true;
}

/* Returns a status to end it with, or -1 when it was started, or -EAGAIN when there is no memory for it now. */
static int start_transfer(struct vduse_blk *b, struct blk_tag *t,
			  const struct virtio_blk_request *r)
{
	bool writes = r->type == VIRTIO_BLK_T_OUT;
	struct disk *d = &b->disk;

	if (r->sector > UINT64_MAX / VIRTIO_BLK_SECTOR || !r->len || r->written == writes ||
	    r->len > (uint64_t)d->payload.pages * PAYLOAD_PAGE ||
	    !range_ok(b, r->sector * VIRTIO_BLK_SECTOR, r->len) ||
	    (writes && d->blk->limits.read_only))
		return VIRTIO_BLK_S_IOERR;
	t->len = (uint32_t)r->len;
	if (!use_in_place(b, t, r)) {
		t->staging = payload_get(&d->payload, r->len);
		if (!t->staging)
			return -EAGAIN;
		t->rq.buf = t->staging;
		if (writes) {
			virtio_blk_copy(r, 0, t->staging, r->len, false);
			disk_count(&d->stats.own_copies, 1);
		}
	}
	t->rq.op = writes ? OB_BLOCK_WRITE : OB_BLOCK_READ;
	t->rq.offset = r->sector * VIRTIO_BLK_SECTOR;
	t->rq.len = r->len;
	return -1;
}

static int start_range(struct vduse_blk *b, struct blk_tag *t, const struct virtio_blk_request *r)
{
	bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;
	struct disk *d = &b->disk;
	struct virtio_blk_range range;
	uint8_t status;

	if (d->blk->limits.read_only)
		return VIRTIO_BLK_S_IOERR;
	if (zeroes ? !d->zeroes : !d->discard)
		return VIRTIO_BLK_S_UNSUPP;
	status = virtio_blk_range(r, &range);
	if (status != VIRTIO_BLK_S_OK)
		return status;
	if (!range_ok(b, range.offset, range.len))
		return VIRTIO_BLK_S_IOERR;
	if (!range.len)
		return VIRTIO_BLK_S_OK;
	t->rq.op = zeroes ? OB_BLOCK_WRITE_ZEROES : OB_BLOCK_DISCARD;
	t->rq.flags = zeroes && range.may_unmap ? OB_BLOCK_MAY_UNMAP : 0;
	t->rq.offset = range.offset;
	t->rq.len = range.len;
	return -1;
}

static int get_id(struct vduse_blk *b, const struct virtio_blk_request *r)
{
	char id[VIRTIO_BLK_ID] = "";

	if (!r->written)
		return VIRTIO_BLK_S_IOERR;
	memcpy(id, b->disk.blk->serial, strnlen(b->disk.blk->serial, sizeof(id)));
	virtio_blk_copy(r, 0, id, sizeof(id), true);
	return VIRTIO_BLK_S_OK;
}

static int start_request(struct vduse_blk *b, struct blk_tag *t, const struct virtio_blk_request *r)
{
	t->type = (uint8_t)r->type;
	t->status = r->status;
	t->staging = NULL;
	t->len = 0;
	t->rq.flags = 0;
	t->rq.buf = NULL;
	t->rq.iov = NULL;
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return start_transfer(b, t, r);
	case VIRTIO_BLK_T_FLUSH:
		t->rq.op = OB_BLOCK_FLUSH;
		t->rq.offset = 0;
		t->rq.len = 0;
		return -1;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return start_range(b, t, r);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(b, r);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* ---- the queues --------------------------------------------------------------------- */

static void give_up(struct vduse_blk *b, unsigned int i, const char *why)
{
	b->v.queue[i].broken = why;
	disk_log(&b->disk, OB_LOG_ERROR, "vduse-blk: queue %u is dead: the driver gave it %s", i,
		 why);
}

static unsigned int serve_queue(struct vduse_blk *b, unsigned int i, unsigned int budget)
{
	struct virtqueue_chain chain = {.piece = b->piece, .max = VIRTIO_BLK_PIECES};
	struct virtqueue *q = &b->v.queue[i];
	unsigned int n = 0;

	while (n < budget && !b->starved && b->inflight < b->disk.depth) {
		struct virtio_blk_request r;
		struct blk_tag *t;
		int rc = vduse_pop(&b->v, i, &chain);

		if (rc <= 0) {
			if (rc)
				give_up(b, i, q->broken);
			break;
		}
		if (virtio_blk_parse(&chain, &r)) {
			give_up(b, i, "a request without a header or a place for its status");
			break;
		}
		t = &b->tags[i * b->queue_size + chain.head];
		t->head = chain.head;
		t->queue = (uint8_t)i;
		rc = start_request(b, t, &r);
		if (rc == -EAGAIN) {
			vduse_unpop(&b->v, i, chain.head);
			b->starved = true;
			break;
		}
		n++;
		if (rc >= 0) {
			*r.status = (uint8_t)rc;
			push(b, i, chain.head, 1);
			disk_count(&b->disk.stats.errors, rc != VIRTIO_BLK_S_OK);
			continue;
		}
		b->inflight++;
		disk_start(&b->disk, &t->rq);
	}
	return n;
}

static unsigned int blk_work(void *front, unsigned int budget)
{
	struct vduse_blk *b = front;
	unsigned int work = 0;

	for (unsigned int k = 0; k < b->queues; k++) {
		unsigned int i = (b->next_queue + k) % b->queues;
		struct virtqueue *q = &b->v.queue[i];

		if (!q->num || !vduse_pending(&b->v, i))
			continue;
		vduse_before_pop(&b->v);
		work += serve_queue(b, i, budget);
	}
	if (!work)
		return 0;
	/* Each is the first in turn. */
	b->next_queue = (b->next_queue + 1) % b->queues;
	disk_submit(&b->disk);
	publish(b);
	disk_count(&b->disk.stats.syscalls, b->v.syscalls);
	b->v.syscalls = 0;
	return work;
}

static int blk_start(void *front)
{
	struct vduse_blk *b = front;

	b->dirty = 0;
	b->starved = false;
	b->stopping = false;
	return 0;
}

static bool blk_stop(void *front)
{
	struct vduse_blk *b = front;

	b->dirty = 0;
	b->stopping = b->inflight != 0;
	return !b->stopping;
}

static const struct vduse_ops blk_vduse_ops = {
	.start = blk_start,
	.stop = blk_stop,
	.work = blk_work,
};

static const struct disk_ops blk_disk_ops = {
	.done = blk_done,
	.batch_end = publish,
};

/* ---- open ---------------------------------------------------------------------------- */

static int blk_probe(struct ob_error *err)
{
	return vduse_probe("virtio_blk", err);
}

static int parse_options(struct vduse_blk *b, struct ob_spec_part *part, struct ob_error *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t queues = cpus > 0 && cpus < QUEUES_DEFAULT ? (uint64_t)cpus : QUEUES_DEFAULT;
	uint64_t size = QUEUE_SIZE;
	int rc;

	b->bounce = BOUNCE_DEFAULT;
	rc = ob_spec_get_u64(part, "queues", 1, VDUSE_QUEUES, &queues, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "size", 8, VIRTQUEUE_SIZE_MAX, &size, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "bounce", BOUNCE_MIN, BOUNCE_MAX, &b->bounce, err);
	if (rc)
		return rc;
	if (size & (size - 1))
		return ob_error_set(err, -EINVAL, "vduse-blk: size=%u is not a power of two",
				    (unsigned int)size);
	b->bounce = (b->bounce + PAYLOAD_PAGE - 1) & ~(uint64_t)(PAYLOAD_PAGE - 1);
	b->queues = (unsigned int)queues;
	b->queue_size = (unsigned int)size;
	return 0;
}

static uint32_t in_sectors(uint32_t bytes)
{
	return bytes & ~(uint32_t)(VIRTIO_BLK_SECTOR - 1);
}

static int create_device(struct vduse_blk *b, unsigned int index, struct ob_loop *loop,
			 struct ob_error *err)
{
	struct disk *d = &b->disk;
	/* A request is never longer than the memory that it may have to be copied to. */
	uint32_t size_max =
		(uint32_t)((uint64_t)d->payload.pages * PAYLOAD_PAGE / VIRTIO_BLK_SEGMENTS) &
		~(PAYLOAD_PAGE - 1u);
	/* Longer ones are cut by the disk layer. */
	uint32_t longest = in_sectors(UINT32_MAX & ~(d->blk->limits.block_size - 1));
	struct virtio_blk_config space;
	struct vduse_config config = {
		.kind = "vduse-blk",
		.index = index,
		.device_id = VIRTIO_ID_BLOCK,
		.space = &space,
		.space_size = sizeof(space),
		.queues = b->queues,
		.queue_size = b->queue_size,
		.bounce = b->bounce,
		.fail_byte = VIRTIO_BLK_S_IOERR,
	};

	config.features =
		virtio_blk_config(&d->blk->limits, b->queues, size_max, d->flush,
				  d->discard ? longest : 0, d->zeroes ? longest : 0, &space);
	config.features |= 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
			   1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC;
	/* Where the arena is too full for it, payload is copied once more. */
	b->umem = ob_dma_alloc(d->blk->dma, b->bounce, PAYLOAD_PAGE, "vduse bounce area", NULL);
	config.umem = b->umem;
	return vduse_create(&b->v, d->blk->dev, &config, &blk_vduse_ops, b, loop, err);
}

static void blk_free(struct vduse_blk *b)
{
	if (b->umem)
		ob_dma_free(b->disk.blk->dma, b->umem);
	free(b->tags);
	free(b);
}

static int blk_open(struct ob_binding *binding, unsigned int index, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct ob_block *blk = binding->block[index];
	struct vduse_blk *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return ob_error_set(err, -ENOMEM, "vduse-blk: no memory");
	b->disk.blk = blk;
	rc = parse_options(b, part, err);
	if (rc)
		goto free;
	b->tags = calloc((size_t)b->queues * b->queue_size, sizeof(*b->tags));
	if (!b->tags) {
		rc = ob_error_set(err, -ENOMEM, "vduse-blk: no memory");
		goto free;
	}
	rc = disk_open(&b->disk, blk, part, loop, b->queues * b->queue_size, &blk_disk_ops, b, err);
	if (rc) {
		b->disk.blk = blk;
		goto free;
	}
	rc = create_device(b, index, loop, err);
	if (rc)
		goto close_disk;
	*at = &b->at;
	return 0;

close_disk:
	disk_close(&b->disk);
free:
	blk_free(b);
	return rc;
}

/* ---- publish, unpublish, close ---------------------------------------------------------- */

static int blk_publish(struct ob_attach *at, struct ob_error *err)
{
	struct vduse_blk *b = (struct vduse_blk *)at;
	char disk[VDUSE_CHILD] = "";
	int rc = vduse_attach(&b->v, false, disk, err);

	if (rc)
		return rc;
	snprintf(b->name, sizeof(b->name), "%.15s", disk);
	return 0;
}

static int blk_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	return vduse_detach(&((struct vduse_blk *)at)->v, false, force, err);
}

static void blk_close(struct ob_attach *at)
{
	struct vduse_blk *b = (struct vduse_blk *)at;

	/* With the device the last pointers to rings go; requests that are under way do not need them. */
	b->v.running = false;
	b->stopping = false;
	disk_close(&b->disk);
	vduse_destroy(&b->v);
	blk_free(b);
}

static void blk_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct vduse_blk *b = (struct vduse_blk *)at;

	memset(info, 0, sizeof(*info));
	info->kind = "vduse-blk";
	snprintf(info->name, sizeof(info->name), "/dev/%s", b->name);
	snprintf(info->detail, sizeof(info->detail),
		 "virtio-blk in user space, %u queue%s of %u%s%s", b->queues,
		 b->queues > 1 ? "s" : "", b->queue_size, b->umem ? ", payload in the arena" : "",
		 b->disk.blk->limits.read_only ? ", read-only" : "");
}

static void blk_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	disk_stats(&((struct vduse_blk *)at)->disk, stats);
}

const struct ob_attach_ops ob_attach_vduse_blk = {
	.name = "vduse-blk",
	.summary = "a block device /dev/vdX: virtio-blk in user space, through VDUSE",
	.class_ = OB_CLASS_BLOCK,
	.outlives = true,
	.confined = true,
	.options = "queues=N,size=N,bounce=SIZE," DISK_OPTIONS,
	.probe = blk_probe,
	.open = blk_open,
	.publish = blk_publish,
	.unpublish = blk_unpublish,
	.close = blk_close,
	.info = blk_info,
	.stats = blk_stats,
};
