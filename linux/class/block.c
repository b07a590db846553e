// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel's disk for the host: each request becomes a bio over the host's own memory, which is the kernel's memory, too, and goes
 * through the block layer to the driver, a burst under one plug. What has ended waits in a list until the host takes it.
 * Boundary: linux/kit/kit.h.
 */
#include <asm/outboard.h>
#include <linux/bio.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/version.h>

#include "block_ops.h"

enum {
	/* As many as the host can bind (OB_BINDING_BLOCKS). */
	DISKS = 16,
	/* Requests in flight: more than one disk needs to be busy, few enough to have all their bios at hand. */
	DEPTH_MIN = 32,
	DEPTH_MAX = 256,
	/* Where a controller finds its disks after its probe, by work of its own. */
	SCAN_MS = 5000,
	/* USB: a hub takes its time for each port, and usb-storage waits a second for the medium to settle. */
	SCAN_USB_MS = 20000,
	/* No disk came for so long: there are no more. */
	SCAN_SETTLED_MS = 200,
};

struct outboard_disk;

/**
 * struct slot - a request in flight
 * @next: in the list of free ones, of those that have ended, or of those for the fiber
 * @req: as the host gave it, to be made a bio of again
 * @flush_after: it is not stable yet: a flush follows
 * @given_up: the host was told that it has failed, and is not told again
 */
struct slot {
	struct bio bio;
	struct bio_vec vec;
	struct outboard_disk *disk;
	struct slot *next;
	struct ob_kit_request req;
	int status;
	bool busy, flush_after, given_up;
};

struct slots {
	struct slot *first, *last;
};

struct outboard_disk {
	struct gendisk *gd;
	struct block_device *bdev; /* while it is open */
	struct file *file;
	unsigned int depth;
	bool may_sleep; /* the driver's queue function may */

	struct slot *slot;
	struct slot *free;
	struct slots ended;
	unsigned int inflight;
	bool given_up;

	/* Requests that must be able to wait: a fiber of its own submits them. */
	struct task_struct *fiber;
	struct slots waiting;
	wait_queue_head_t work, idle;
};

static struct outboard_disk disks[DISKS];
static unsigned int nr_disks;

static void push(struct slots *l, struct slot *s)
{
	s->next = NULL;
	if (l->last)
		l->last->next = s;
	else
		l->first = s;
	l->last = s;
}

static struct slot *pop(struct slots *l)
{
	struct slot *s = l->first;

	if (s) {
		l->first = s->next;
		if (!l->first)
			l->last = NULL;
	}
	return s;
}

/* ---- requests ----------------------------------------------------------------------------- */

static void to_fiber(struct slot *s)
{
	push(&s->disk->waiting, s);
	wake_up(&s->disk->work);
}

/* The class's statuses: what is special about a disk is told, the rest is an error of input and output. */
static int errno_of(blk_status_t status)
{
	switch (status) {
	case BLK_STS_OK:
		return 0;
	case BLK_STS_NOTSUPP:
		return -EOPNOTSUPP;
	case BLK_STS_TIMEOUT:
		return -ETIMEDOUT;
	case BLK_STS_NOSPC:
		return -ENOSPC;
	case BLK_STS_MEDIUM:
	case BLK_STS_PROTECTION:
		return -EILSEQ;
	case BLK_STS_OFFLINE:
		return -ENODEV;
	default:
		return -EIO;
	}
}

/* The list that the host takes from: it does so while nothing runs in here, so that no lock is needed. */
static void ended(struct slot *s, int status)
{
	struct outboard_disk *d = s->disk;

	s->busy = false;
	if (s->given_up)
		return;
	s->status = status;
	push(&d->ended, s);
	if (!--d->inflight)
		wake_up(&d->idle);
}

static void bio_ended(struct bio *bio)
{
	struct slot *s = container_of(bio, struct slot, bio);
	blk_status_t status = bio->bi_status;

	/* It would have had to wait, for a tag or to be cut in two: a fiber can. */
	if (status == BLK_STS_AGAIN && (bio->bi_opf & REQ_NOWAIT)) {
		to_fiber(s);
		return;
	}
	if (s->flush_after && !status) {
		s->flush_after = false;
		s->req.op = FLUSH_;
		to_fiber(s);
		return;
	}
	ended(s, errno_of(status));
}

static void make_bio(struct slot *s, blk_opf_t opf)
{
	const struct ob_kit_request *r = &s->req;

	switch (r->op) {
	case READ_:
		opf |= REQ_OP_READ;
		break;
	case WRITE_:
		opf |= REQ_OP_WRITE | (r->flags & FUA_ ? REQ_FUA : 0);
		break;
	case DISCARD_:
		opf |= REQ_OP_DISCARD;
		break;
	case ZEROES_:
		opf |= REQ_OP_WRITE_ZEROES | (r->flags & MAY_UNMAP_ ? 0 : REQ_NOUNMAP);
		break;
	default:
		opf |= REQ_OP_WRITE | REQ_PREFLUSH;
		break;
	}
	/* Somebody waits for each. */
	bio_init(&s->bio, s->disk->bdev, &s->vec, 1, opf | REQ_SYNC);
	s->bio.bi_end_io = bio_ended;
	if (r->op == FLUSH_)
		return;
	s->bio.bi_iter.bi_sector = r->offset >> SECTOR_SHIFT;
	if (r->op == READ_ || r->op == WRITE_)
		/* One piece: the host's memory is contiguous for the device. */
		__bio_add_page(&s->bio, virt_to_page(r->data), r->len, offset_in_page(r->data));
	else
		s->bio.bi_iter.bi_size = r->len;
}

static unsigned int disk_submit(void *disk, const struct ob_kit_request *reqs, unsigned int n)
{
	struct outboard_disk *d = disk;
	struct blk_plug plug;
	unsigned int i;

	if (!d->bdev || d->given_up)
		return 0;
	blk_start_plug_nr_ios(&plug, min_t(unsigned int, n, d->depth));
	for (i = 0; i < n && d->free; i++) {
		struct slot *s = d->free;

		d->free = s->next;
		d->inflight++;
		s->busy = true;
		s->req = reqs[i];
		/* The block layer has FUA for writes only. */
		s->flush_after =
			s->req.op == ZEROES_ && (s->req.flags & FUA_) && bdev_write_cache(d->bdev);
		/* Behind those that wait already, so that they come to their turn. */
		if (unlikely(d->may_sleep || d->waiting.first)) {
			to_fiber(s);
			continue;
		}
		make_bio(s, REQ_NOWAIT);
		submit_bio(&s->bio);
	}
	blk_finish_plug(&plug);
	return i;
}

static int fiber_fn(void *arg)
{
	struct outboard_disk *d = arg;

	while (!kthread_should_stop()) {
		struct blk_plug plug;
		struct slot *s;

		wait_event_idle(d->work, d->waiting.first || kthread_should_stop());
		blk_start_plug(&plug);
		while ((s = pop(&d->waiting))) {
			make_bio(s, 0);
			submit_bio(&s->bio);
		}
		blk_finish_plug(&plug);
	}
	return 0;
}

static unsigned int disk_ended(void *disk, struct ob_kit_ended *to, unsigned int n)
{
	struct outboard_disk *d = disk;
	struct slot *s;
	unsigned int i;

	for (i = 0; i < n; i++) {
		s = pop(&d->ended);
		if (!s)
			break;
		to[i] = (struct ob_kit_ended){.cookie = s->req.cookie, .status = s->status};
		if (s->given_up)
			continue; /* its bio may still be somewhere */
		s->next = d->free;
		d->free = s;
	}
	return i;
}

static int disk_waiting(void *disk)
{
	return !!((struct outboard_disk *)disk)->ended.first;
}

/* The device is gone and will write nowhere: nobody needs to wait for what the driver says of it. */
static void disk_give_up(void *disk)
{
	struct outboard_disk *d = disk;
	unsigned int i;

	d->given_up = true;
	for (i = 0; d->slot && i < d->depth; i++) {
		struct slot *s = &d->slot[i];

		if (!s->busy || s->given_up)
			continue;
		s->given_up = true;
		s->status = -ENODEV;
		push(&d->ended, s);
		d->inflight--;
	}
}

/* ---- open and close --------------------------------------------------------------------------- */

static int open_bdev(struct outboard_disk *d)
{
	bool ro = get_disk_ro(d->gd);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	fmode_t mode = FMODE_READ | FMODE_EXCL | (ro ? 0 : FMODE_WRITE);
	struct block_device *bdev = blkdev_get_by_dev(disk_devt(d->gd), mode, d);

	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	d->bdev = bdev;
#else
	blk_mode_t mode = BLK_OPEN_READ | (ro ? 0 : BLK_OPEN_WRITE);
	struct file *file = bdev_file_open_by_dev(disk_devt(d->gd), mode, d, NULL);

	if (IS_ERR(file))
		return PTR_ERR(file);
	d->file = file;
	d->bdev = file_bdev(file);
#endif
	return 0;
}

static void close_bdev(struct outboard_disk *d)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	blkdev_put(d->bdev, FMODE_READ | FMODE_EXCL | (get_disk_ro(d->gd) ? 0 : FMODE_WRITE));
#else
	/* At once: fput() waits for a return to user space that never comes. */
	__fput_sync(d->file);
	d->file = NULL;
#endif
	d->bdev = NULL;
}

/* The host counts by itself, without two looks at the clock for each request: as "echo 0 >queue/iostats". */
static void no_accounting(struct request_queue *q)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
	blk_queue_flag_clear(QUEUE_FLAG_IO_STAT, q);
#else
	struct queue_limits lim = queue_limits_start_update(q);

	lim.features &= ~BLK_FEAT_IO_STAT;
	/* It changes nothing that could be wrong. */
	if (queue_limits_commit_update(q, &lim))
		pr_debug("outboard: requests are counted\n");
#endif
}

static int disk_open(void *disk)
{
	struct outboard_disk *d = disk;
	unsigned int i;
	int ret;

	if (d->bdev)
		return 0;
	d->slot = kvcalloc(d->depth, sizeof(*d->slot), GFP_KERNEL);
	if (!d->slot)
		return -ENOMEM;
	d->free = NULL;
	d->ended = (struct slots){0};
	d->inflight = 0;
	for (i = d->depth; i--;) {
		d->slot[i].disk = d;
		d->slot[i].next = d->free;
		d->free = &d->slot[i];
	}
	ret = open_bdev(d);
	if (ret)
		goto free_slots;
	no_accounting(d->gd->queue);
	d->fiber = kthread_run(fiber_fn, d, "disk-%s", d->gd->disk_name);
	if (!IS_ERR(d->fiber))
		return 0;
	ret = PTR_ERR(d->fiber);
	d->fiber = NULL;
	close_bdev(d);
free_slots:
	kvfree(d->slot);
	d->slot = NULL;
	return ret;
}

static void disk_close(void *disk)
{
	struct outboard_disk *d = disk;

	if (!d->bdev)
		return;
	/* The driver ends all of them, if need be by its time-outs. */
	wait_event_idle(d->idle, !d->inflight);
	kthread_stop(d->fiber);
	d->fiber = NULL;
	close_bdev(d);
}

/* After disk_close(), when the host has taken all that ended. Of what was given up some bios may still be the driver's. */
static void disk_forget(void *disk)
{
	struct outboard_disk *d = disk;

	if (!d->given_up)
		kvfree(d->slot);
	d->slot = NULL;
	d->free = NULL;
}

/* ---- what it is ------------------------------------------------------------------------------------ */

static struct device_attribute *find_attribute(const struct attribute_group *const *groups,
					       const char *name)
{
	for (; groups && *groups; groups++) {
		struct attribute **a = (*groups)->attrs;

		for (; a && *a; a++)
			if (!strcmp((*a)->name, name))
				return container_of(*a, struct device_attribute, attr);
	}
	return NULL;
}

/* What sysfs would say of the disk or of what it hangs on, up to the PCI device: drivers agree on names, not on structures. */
static void ask(struct gendisk *gd, const char *name, char *to, size_t size)
{
	struct device *stop = &outboard_pci_dev()->dev;
	struct device *dev;
	char *page;

	to[0] = '\0';
	page = (char *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		return;
	for (dev = disk_to_dev(gd); dev && dev != stop; dev = dev->parent) {
		struct device_attribute *a = find_attribute(dev->groups, name);

		if (!a && dev->type)
			a = find_attribute(dev->type->groups, name);
		if (!a && dev->class)
			a = find_attribute(dev->class->dev_groups, name);
		if (!a && dev->bus)
			a = find_attribute(dev->bus->dev_groups, name);
		if (!a || !a->show || a->show(dev, a, page) <= 0)
			continue;
		strscpy(to, strim(page), size);
		break;
	}
	free_page((unsigned long)page);
}

/*
 * The longest that always is one request of the driver's: longer bios would be split. A contiguous piece of memory needs as many
 * segments as its length has of the shorter of segment size and boundary, and two more for where it begins.
 */
static unsigned int max_transfer(struct request_queue *q)
{
	u64 segment = min_t(u64, queue_max_segment_size(q), (u64)queue_segment_boundary(q) + 1);
	u64 bytes = (u64)queue_max_sectors(q) << SECTOR_SHIFT;
	unsigned int segments = queue_max_segments(q);

	if (!segment)
		segment = PAGE_SIZE;
	if (segments > 2)
		bytes = min(bytes, (segments - 2) * segment);
	else
		bytes = min_t(u64, bytes, PAGE_SIZE);
	bytes = min_t(u64, bytes, SZ_1M);
	return round_down(bytes, queue_logical_block_size(q));
}

/* Longer ones would be split, and a bio has 32 bits for its length. */
static unsigned int limit_of(unsigned int sectors, struct request_queue *q)
{
	u64 bytes = min_t(u64, (u64)sectors << SECTOR_SHIFT, SZ_2G);

	return round_down(bytes, queue_logical_block_size(q));
}

static void disk_info(void *disk, struct ob_kit_disk_info *info)
{
	struct outboard_disk *d = disk;
	struct block_device *bdev = d->gd->part0;
	struct request_queue *q = d->gd->queue;
	char vendor[16], model[40];

	memset(info, 0, sizeof(*info));
	strscpy(info->name, d->gd->disk_name, sizeof(info->name));
	ask(d->gd, "vendor", vendor, sizeof(vendor));
	ask(d->gd, "model", model, sizeof(model));
	/* SCSI's vendor is a name, but "ATA" says nothing; another's is a number. */
	if (!strncmp(vendor, "0x", 2) || !strcmp(vendor, "ATA"))
		vendor[0] = '\0';
	snprintf(info->model, sizeof(info->model), "%s%s%s", vendor, vendor[0] ? " " : "", model);
	ask(d->gd, "serial", info->serial, sizeof(info->serial));
	info->size = bdev_nr_bytes(bdev);
	info->block_size = queue_logical_block_size(q);
	info->physical_block_size = queue_physical_block_size(q);
	info->max_transfer = max_transfer(q);
	info->max_discard = limit_of(bdev_max_discard_sectors(bdev), q);
	info->max_zeroes = limit_of(q->limits.max_write_zeroes_sectors, q);
	info->dma_align = queue_dma_alignment(q) + 1;
	info->depth = d->depth;
	info->read_only = get_disk_ro(d->gd);
	info->volatile_cache = bdev_write_cache(bdev);
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	info->rotational = !bdev_nonrot(bdev);
#else
	info->rotational = bdev_rot(bdev);
#endif
}

/* ---- which there are --------------------------------------------------------------------------------- */

static unsigned int count_disks(void)
{
	struct device *parent = &outboard_pci_dev()->dev;
	struct class_dev_iter iter;
	struct device *dev;
	unsigned int n = 0;

	class_dev_iter_init(&iter, &block_class, NULL, &disk_type);
	while ((dev = class_dev_iter_next(&iter)) && n < DISKS)
		n += outboard_hangs_on(dev, parent) && get_capacity(dev_to_disk(dev));
	class_dev_iter_exit(&iter);
	return n;
}

/* sda before sdaa, nvme0n2 before nvme0n10. */
static int by_name(const void *a, const void *b)
{
	const char *x = ((const struct outboard_disk *)a)->gd->disk_name;
	const char *y = ((const struct outboard_disk *)b)->gd->disk_name;
	int longer = (int)strlen(x) - (int)strlen(y);

	return longer ?: strcmp(x, y);
}

static unsigned int scan_ms(struct pci_dev *pdev)
{
	return pdev->class >> 16 == PCI_BASE_CLASS_SERIAL ? SCAN_USB_MS : SCAN_MS;
}

/* Return: how many; those without a medium do not count. */
static int find_disks(void)
{
	struct pci_dev *pdev = outboard_pci_dev();
	unsigned int n, before = 0, waited = 0, settled = 0, step = 20;
	struct class_dev_iter iter;
	struct device *dev;

	if (!pdev)
		return 0;
	for (;;) {
		wait_for_device_probe();
		n = count_disks();
		settled = n == before ? settled + step : 0;
		before = n;
		/* Most controllers have found theirs when their probe is done; NVMe's waits for its own scan. */
		if (n && (!waited || settled >= SCAN_SETTLED_MS))
			break;
		if (waited >= scan_ms(pdev))
			break;
		msleep(step);
		waited += step;
	}

	nr_disks = 0;
	class_dev_iter_init(&iter, &block_class, NULL, &disk_type);
	while ((dev = class_dev_iter_next(&iter)) && nr_disks < DISKS) {
		struct outboard_disk *d = &disks[nr_disks];
		struct gendisk *gd = dev_to_disk(dev);
		struct blk_mq_tag_set *set = gd->queue->tag_set;

		if (!outboard_hangs_on(dev, &pdev->dev) || !get_capacity(gd))
			continue;
		*d = (struct outboard_disk){.gd = gd};
		d->depth = clamp_t(unsigned int, gd->queue->nr_requests, DEPTH_MIN, DEPTH_MAX);
		/*
		 * Or whoever looks on would say that it might: submit_bio_noacct() asks so even of a bio with REQ_NOWAIT, and lockdep
		 * of locks that drivers never take in a soft interrupt. Bursts come while the processor idles, so that nobody holds one.
		 */
		d->may_sleep = !set || set->flags & BLK_MQ_F_BLOCKING ||
			       IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP);
		get_device(dev);
		nr_disks++;
	}
	class_dev_iter_exit(&iter);
	/* Drivers find them side by side, in any order. Their fibers do not run yet, so that they can be moved. */
	sort(disks, nr_disks, sizeof(disks[0]), by_name, NULL);
	for (n = 0; n < nr_disks; n++) {
		init_waitqueue_head(&disks[n].work);
		init_waitqueue_head(&disks[n].idle);
	}
	return nr_disks;
}

static void *disk_of(unsigned int index)
{
	return index < nr_disks ? &disks[index] : NULL;
}

/* Of the disk, or of one of its partitions; 0 where there is none of that number. */
unsigned int outboard_disk_device(struct gendisk *gd, unsigned int partition)
{
	struct block_device *bdev = xa_load(&gd->part_tbl, partition);

	return bdev ? new_encode_dev(bdev->bd_dev) : 0;
}

static unsigned int disk_device(void *disk, unsigned int partition)
{
	return outboard_disk_device(((struct outboard_disk *)disk)->gd, partition);
}

/* The kernel takes its disks away: nothing may hold them. */
static void disk_put(void *disk)
{
	struct outboard_disk *d = disk;

	put_device(disk_to_dev(d->gd));
	d->gd = NULL;
}

const struct ob_kernel_block outboard_block = {
	.submit = disk_submit,
	.ended = disk_ended,
	.waiting = disk_waiting,
	.give_up = disk_give_up,
	.find = find_disks,
	.disk = disk_of,
	.info = disk_info,
	.open = disk_open,
	.close = disk_close,
	.forget = disk_forget,
	.put = disk_put,
	.device = disk_device,
};
