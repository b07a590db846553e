// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk of the host's for the kernel: a block device whose requests go out, each with its pieces of memory, which is the host's, too, and come back
 * when the host's driver has done them. Boundary: linux/kit/kit.h. Form: Documentation/block/blk-mq.rst of the kernel.
 */
#include <asm/outboard.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "block_ops.h"

struct outboard_host_disk {
	struct blk_mq_tag_set set;
	struct gendisk *gd;
	void *host; /* how the host calls it */
};

static const struct block_device_operations disk_ops;

static void pieces_of(struct request *rq, struct ob_kit_disk_request *r)
{
	struct scatterlist sg[OB_KIT_DISK_PIECES], *s;
	unsigned int i;

	sg_init_table(sg, ARRAY_SIZE(sg));
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
	r->n = blk_rq_map_sg(rq->q, rq, sg);
#else
	r->n = blk_rq_map_sg(rq, sg);
#endif
	for_each_sg(sg, s, r->n, i) r->piece[i] =
		(struct ob_kit_piece){.data = sg_virt(s), .len = s->length};
}

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct outboard_host_disk *d = hctx->queue->queuedata;
	struct request *rq = bd->rq;
	struct ob_kit_disk_request r = {
		.request = rq,
		.offset = (u64)blk_rq_pos(rq) << SECTOR_SHIFT,
		.len = blk_rq_bytes(rq),
	};

	switch (req_op(rq)) {
	case REQ_OP_READ:
		r.op = READ_;
		break;
	case REQ_OP_WRITE:
		r.op = WRITE_;
		r.flags = rq->cmd_flags & REQ_FUA ? FUA_ : 0;
		break;
	case REQ_OP_FLUSH:
		r.op = FLUSH_;
		r.offset = r.len = 0;
		break;
	case REQ_OP_DISCARD:
		r.op = DISCARD_;
		break;
	case REQ_OP_WRITE_ZEROES:
		r.op = ZEROES_;
		r.flags = rq->cmd_flags & REQ_NOUNMAP ? 0 : MAY_UNMAP_;
		break;
	default:
		return BLK_STS_NOTSUPP;
	}
	blk_mq_start_request(rq);
	if (r.op == READ_ || r.op == WRITE_)
		pieces_of(rq, &r);
	outboard_ops->disk_submit(outboard_host, d->host, &r);
	return BLK_STS_OK;
}

static const struct blk_mq_ops mq_ops = {.queue_rq = queue_rq};

static void host_disk_ended(const struct ob_kit_ended *ended, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		/* The host's word for bad media is an error of contents. */
		blk_mq_end_request(ended[i].cookie, ended[i].status == -EILSEQ
							    ? BLK_STS_MEDIUM
							    : errno_to_blk_status(ended[i].status));
}

/* Each piece is a request of the host's, so that a piece, not a request, may be as long as its driver takes. */
static struct gendisk *alloc_disk(const struct ob_kit_disk_info *info, struct outboard_host_disk *d)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	struct gendisk *gd = blk_mq_alloc_disk(&d->set, d);
	struct request_queue *q;

	if (IS_ERR(gd))
		return gd;
	q = gd->queue;
	blk_queue_logical_block_size(q, info->block_size);
	blk_queue_physical_block_size(q, info->physical_block_size);
	blk_queue_max_segments(q, OB_KIT_DISK_PIECES);
	blk_queue_max_segment_size(q, min(info->max_transfer, (unsigned int)SZ_1M));
	blk_queue_max_hw_sectors(q, SZ_1M >> SECTOR_SHIFT);
	blk_queue_max_discard_sectors(q, info->max_discard >> SECTOR_SHIFT);
	blk_queue_max_write_zeroes_sectors(q, info->max_zeroes >> SECTOR_SHIFT);
	q->limits.discard_granularity = info->max_discard ? info->block_size : 0;
	blk_queue_dma_alignment(q, max(info->dma_align, info->block_size) - 1);
	blk_queue_write_cache(q, info->volatile_cache, info->volatile_cache && info->fua);
	if (!info->rotational)
		blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	return gd;
#else
	struct queue_limits lim = {
		.logical_block_size = info->block_size,
		.physical_block_size = info->physical_block_size,
		.max_segments = OB_KIT_DISK_PIECES,
		.max_segment_size = min(info->max_transfer, (unsigned int)SZ_1M),
		.max_hw_sectors = SZ_1M >> SECTOR_SHIFT,
		.max_hw_discard_sectors = info->max_discard >> SECTOR_SHIFT,
		.max_write_zeroes_sectors = info->max_zeroes >> SECTOR_SHIFT,
		.discard_granularity = info->max_discard ? info->block_size : 0,
		.dma_alignment = max(info->dma_align, info->block_size) - 1,
	};

	if (info->volatile_cache)
		lim.features |= BLK_FEAT_WRITE_CACHE | (info->fua ? BLK_FEAT_FUA : 0);
	if (info->rotational)
		lim.features |= BLK_FEAT_ROTATIONAL;
	return blk_mq_alloc_disk(&d->set, &lim, d);
#endif
}

static int host_disk_add(const struct ob_kit_disk_info *info, void *host, void **to)
{
	struct outboard_host_disk *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int ret;

	if (!d)
		return -ENOMEM;
	d->host = host;
	d->set.ops = &mq_ops;
	d->set.nr_hw_queues = 1;
	d->set.queue_depth = info->depth;
	d->set.numa_node = NUMA_NO_NODE;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
	d->set.flags = BLK_MQ_F_SHOULD_MERGE;
#endif
	ret = blk_mq_alloc_tag_set(&d->set);
	if (ret)
		goto free;
	d->gd = alloc_disk(info, d);
	if (IS_ERR(d->gd)) {
		ret = PTR_ERR(d->gd);
		goto free_set;
	}
	strscpy(d->gd->disk_name, info->name, sizeof(d->gd->disk_name));
	d->gd->fops = &disk_ops;
	set_capacity(d->gd, info->size >> SECTOR_SHIFT);
	set_disk_ro(d->gd, info->read_only);
	ret = add_disk(d->gd);
	if (ret)
		goto put;
	*to = d;
	return 0;

put:
	put_disk(d->gd);
free_set:
	blk_mq_free_tag_set(&d->set);
free:
	kfree(d);
	return ret;
}

static void host_disk_remove(void *disk)
{
	struct outboard_host_disk *d = disk;

	del_gendisk(d->gd);
	put_disk(d->gd);
	blk_mq_free_tag_set(&d->set);
	kfree(d);
}

static unsigned int host_disk_device(void *disk, unsigned int partition)
{
	return outboard_disk_device(((struct outboard_host_disk *)disk)->gd, partition);
}

const struct ob_kernel_host_disk outboard_host_disk = {
	.add = host_disk_add,
	.remove = host_disk_remove,
	.device = host_disk_device,
	.ended = host_disk_ended,
};
