/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The attachment "ublk": a disk as /dev/ublkbN of the kernel's own ublk driver (Linux 6.0 and later,
 * Documentation/block/ublk.rst). This file is a device's life: add, start, stop, delete.
 *
 * The mode is the driver's plain one: the kernel copies a payload once, between the client's pages and the tag's
 * buffer, which lies in the device's arena; nothing else copies. (Its modes without a copy, but for shared memory,
 * give the pages to io_uring and never to a process, so they have no address for a device.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/broker_ops.h"
#include "attach/holders.h"
#include "attach/kept.h"
#include "attach/ublk.h"

enum {
	/* A loop that does not serve is a mistake of the application. */
	START_MS = 30000,
	/* What udev may take to give the nodes of an ordinary user's disk to him. */
	NODE_MS = 5000,
	BLOCK_SIZE_MAX = 4096, /* the kernel's: a page */
	/*
	 * How long the kernel may take to notice that a server died: before Linux 6.15, when it had all
	 * requests, only by the time-out of one, 30 s.
	 */
	NOTICE_MS = 40000,
	/* Without requests under way it is done at once. */
	SET_UP_MS = 1000,
	/* The block layer makes no fewer requests than this (include/linux/blkdev.h, BLKDEV_MIN_RQ). */
	REQUESTS_MIN = 4,
	GRACE_DEFAULT = 10,
	GRACE_MAX = 3600,
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Of which this needs the encoding of commands and UBLK_U_CMD_GET_FEATURES: Linux 6.5. */
static int read_features(struct ublk_ctrl *c, uint64_t *features, struct ob_error *err)
{
	int ret = ublk_features(c, features);

	if (ret >= 0 && (*features & UBLK_F_CMD_IOCTL_ENCODE))
		return 0;
	ret = ret < 0 && ret != -EINVAL ? ret : -EOPNOTSUPP;
	ob_error_set(err, ret, "ublk: this kernel's ublk driver is too old, or does not answer: %s",
		     strerror(-ret));
	ob_error_why(err, "Outboard needs that of Linux 6.5 or later");
	return ret;
}

static int ublk_probe(struct ob_error *err)
{
	struct ublk_ctrl c;
	uint64_t features;
	int ret = ublk_ctrl_open(&c, err);

	if (ret)
		return ret;
	ret = read_features(&c, &features, err);
	ublk_ctrl_close(&c);
	return ret;
}

/* ---- options --------------------------------------------------------------------- */

struct wanted {
	uint64_t queues, id, grace;
	const char *share;
	bool id_given, recover, unprivileged;
};

static int parse_options(struct ublk_attach *u, struct ob_spec_part *part, struct wanted *w,
			 struct ob_error *err)
{
	int ret = ob_spec_get_u64(part, "queues", 1, UBLK_QUEUES_MAX, &w->queues, err);

	static const char *const zero_copy[] = {"auto", "off", NULL};
	unsigned int choice = 0;

	w->id_given = ob_spec_get(part, "id") != NULL;
	w->share = ob_spec_get(part, "share");
	if (!ret)
		ret = ob_spec_get_u64(part, "id", 0, INT32_MAX, &w->id, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "recover", &w->recover, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "recovery", &u->recovery, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "grace", 0, GRACE_MAX, &w->grace, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "unprivileged", &w->unprivileged, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "partscan", &u->partscan, err);
	if (!ret)
		ret = ob_spec_get_choice(part, "zero-copy", zero_copy, &choice, err);
	if (ret)
		return ret;
	if (choice == 1)
		w->share = NULL;
	if (w->recover && (!w->id_given || !u->recovery || w->unprivileged)) {
		ob_error_set(err, -EINVAL, "ublk: option recover is for a device that there is");
		ob_error_fix(err,
			     "say which: ublk,id=N,recover; as root, and without recovery=off");
		return -EINVAL;
	}
	u->care.grace = (unsigned int)w->grace;
	return 0;
}

/* ---- adding the device ------------------------------------------------------------------ */

static unsigned int log2_of(uint32_t n)
{
	return (unsigned int)__builtin_ctz(n);
}

static uint32_t sectors(uint64_t bytes, const struct ublk_attach *u)
{
	/* The kernel counts in 32 bits; what is longer than the disk takes at once is cut by disk.c. */
	uint64_t max = (uint64_t)UINT32_MAX << 9;

	return (uint32_t)((bytes < max ? bytes : max) / u->shape.block_size * u->shape.block_size >>
			  9);
}

static void fill_params(const struct ublk_attach *u, struct ublk_params *p)
{
	const struct ob_block_limits *l = &u->disk.blk->limits;
	uint32_t physical = l->physical_block_size;

	/* Only a power of two can be told. */
	if (physical < l->block_size || (physical & (physical - 1)))
		physical = l->block_size;
	memset(p, 0, sizeof(*p));
	p->len = sizeof(*p);
	p->types = UBLK_PARAM_TYPE_BASIC;
	p->basic = (struct ublk_param_basic){
		.logical_bs_shift = (uint8_t)log2_of(l->block_size),
		.physical_bs_shift = (uint8_t)log2_of(physical),
		.io_min_shift = (uint8_t)log2_of(physical),
		.io_opt_shift = (uint8_t)log2_of(physical),
		.max_sectors = u->shape.max_io >> 9,
		.dev_sectors = u->shape.size >> 9,
	};
	if (l->read_only)
		p->basic.attrs |= UBLK_ATTR_READ_ONLY;
	if (l->rotational)
		p->basic.attrs |= UBLK_ATTR_ROTATIONAL;
	/* Without FUA the kernel makes it of a flush, as disk.c would. */
	if (l->volatile_cache && u->disk.flush)
		p->basic.attrs |= UBLK_ATTR_VOLATILE_CACHE | (u->disk.fua ? UBLK_ATTR_FUA : 0u);
	if (l->read_only || (!u->disk.discard && !u->disk.zeroes))
		return;
	p->types |= UBLK_PARAM_TYPE_DISCARD;
	p->discard.discard_granularity = l->block_size;
	/* One request is at most so many parts at the device at once, and is cut to what it takes. */
	if (u->disk.discard)
		p->discard.max_discard_sectors =
			sectors((uint64_t)u->disk.max_discard * DISK_PARTS, u);
	if (u->disk.zeroes)
		p->discard.max_write_zeroes_sectors =
			sectors((uint64_t)u->disk.max_zeroes * DISK_PARTS, u);
	p->discard.max_discard_segments = 1;
}

/* How long a request can be is what the memory gives for each tag. */
static int choose_shape(struct ublk_attach *u, uint64_t queues, struct ob_error *err)
{
	uint64_t tags = queues * u->disk.depth;
	uint64_t each = (uint64_t)u->disk.payload.pages / tags * PAYLOAD_PAGE;

	if (tags > UBLK_TAGS_MAX)
		return ob_error_set(err, -EINVAL, "ublk: %u queues of depth %u are more than %d",
				    (unsigned int)queues, u->disk.depth, UBLK_TAGS_MAX);
	if (!each) {
		ob_error_set(err, -EINVAL,
			     "ublk: %u queues of depth %u need at least %u KiB of memory",
			     (unsigned int)queues, u->disk.depth, (unsigned int)(tags * 4));
		ob_error_fix(err, "give it more (memory=), or less depth");
		return -EINVAL;
	}
	u->shape.max_io = each < UBLK_IO_MAX ? (uint32_t)each : UBLK_IO_MAX;
	return 0;
}

static int explain_add(int ret, const struct wanted *w, struct ob_error *err)
{
	ob_error_set(err, ret, "ublk: the kernel adds no device: %s", strerror(-ret));
	if (ret == -EEXIST) {
		ob_error_why(err, "there is a /dev/ublkc%u already", (unsigned int)w->id);
		ob_error_fix(err, "choose another id, or none; `outboard show` tells whose it is");
	} else if (ret == -EACCES) {
		ob_error_why(err, "there are as many devices of ordinary users as ublk_drv's "
				  "parameter ublks_max allows");
	} else if (ret == -EPERM) {
		ob_error_fix(err, "run as root, or with the option unprivileged");
	}
	return ret;
}

static void set_names(struct ublk_attach *u)
{
	snprintf(u->node, sizeof(u->node), "/dev/ublkb%u", u->dev.dev_id);
	snprintf(u->cnode, sizeof(u->cnode), "/dev/ublkc%u", u->dev.dev_id);
	if (u->unprivileged)
		snprintf(u->ctrl.path, sizeof(u->ctrl.path), "%s", u->cnode);
}

static int add_device(struct ublk_attach *u, const struct wanted *w, struct ob_error *err)
{
	uint64_t want = UBLK_F_CMD_IOCTL_ENCODE;
	uint32_t id = w->id_given ? (uint32_t)w->id : UINT32_MAX;
	int ret;

	if (w->unprivileged)
		want |= UBLK_F_UNPRIVILEGED_DEV;
	else if (u->recovery)
		want |= UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
	if (!u->partscan)
		want |= u->features & UBLK_F_NO_AUTO_PART_SCAN;
	if (u->share.base)
		want |= UBLK_F_SHMEM_ZC;
	u->dev = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = (uint16_t)w->queues,
		.queue_depth = (uint16_t)u->disk.depth,
		.max_io_buf_bytes = u->shape.max_io,
		.dev_id = id,
		.ublksrv_pid = getpid(),
		.flags = want,
		.ublksrv_flags = ublk_identity(u->disk.blk, u->share_mark),
	};
	ret = ublk_ctrl_cmd(&u->ctrl, UBLK_U_CMD_ADD_DEV, id, 0, &u->dev, sizeof(u->dev),
			    UBLK_CTRL_MS, NULL, NULL);
	if (ret < 0)
		return explain_add(ret, w, err);
	u->ours = true;
	/* The kernel leaves out what it cannot, and says nothing. */
	u->unprivileged = u->dev.flags & UBLK_F_UNPRIVILEGED_DEV;
	u->recovery = u->dev.flags & UBLK_F_USER_RECOVERY;
	set_names(u);
	if (u->dev.nr_hw_queues < 1 || u->dev.nr_hw_queues > w->queues ||
	    u->dev.queue_depth != u->disk.depth || u->dev.max_io_buf_bytes < u->shape.max_io)
		return ob_error_set(err, -EPROTO, "%s: the kernel made it otherwise than asked",
				    u->node);
	if (w->unprivileged && !u->unprivileged) {
		ob_error_set(err, -EINVAL,
			     "ublk: option unprivileged is for users who are not root");
		ob_error_fix(err, "leave it out");
		return -EINVAL;
	}
	return 0;
}

/* From now on the device is ours to serve, and to take down when we die. */
static int take_care(struct ublk_attach *u, struct ob_error *err)
{
	int holder = 0, ret = 0;

	if (u->claim_fd < 0)
		ret = ublk_claim(u->dev.dev_id, &u->claim_fd, &holder);
	if (ret)
		return ob_error_set(err, ret, "%s: process %d has a claim on it: %s", u->node,
				    holder, strerror(-ret));
	u->care.id = u->dev.dev_id;
	/* What merges and sorts pays for a disk that seeks; the kernel's own drivers of others do without. */
	u->care.no_scheduler = !u->disk.blk->limits.rotational;
	/*
	 * Before Linux 6.15 the kernel notices the death of a server at once only while a tag of each queue
	 * is not in use, else after 30 s: so one never is. (That kernel is told by a feature of it.)
	 */
	if (!(u->features & UBLK_F_SUPPORT_ZERO_COPY) && u->dev.queue_depth > REQUESTS_MIN)
		u->care.requests = u->dev.queue_depth - 1u;
	if (!u->recovery)
		u->care.grace = 0;
	return ublk_care_start(&u->care, &u->caretaker, err);
}

static int set_params(struct ublk_attach *u, struct ob_error *err)
{
	struct ublk_params p;
	int ret;

	fill_params(u, &p);
	ret = ublk_ctrl_cmd(&u->ctrl, UBLK_U_CMD_SET_PARAMS, u->dev.dev_id, 0, &p, sizeof(p),
			    UBLK_CTRL_MS, NULL, NULL);
	if (ret < 0)
		return ob_error_set(err, ret, "%s: the kernel refuses its parameters: %s", u->node,
				    strerror(-ret));
	return 0;
}

static int ublk_check_idle(unsigned int id, struct ob_error *err)
{
	uint32_t n = id;
	struct broker_call c = {.arg = &n, .arg_size = sizeof(n)};

	return broker_call(BROKER_UBLK_IDLE, &c, err);
}

/* udev makes the node, and for an ordinary user it gives it to him after that. */
static int open_node(struct ublk_attach *u, struct ob_error *err)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t began = now_ms();
	int ret;

	for (;;) {
		ret = ublk_char_open(u->dev.dev_id);
		u->char_fd = ret < 0 ? -1 : ret;
		if (ret >= 0)
			return 0;
		if (now_ms() - began >= NODE_MS ||
		    (ret != -ENOENT && ret != -EACCES && ret != -EBUSY))
			break;
		nanosleep(&pause, NULL);
	}
	ob_error_set(err, ret, "%s cannot be opened: %s", u->cnode, strerror(-ret));
	if (ret == -EACCES) {
		ob_error_why(err,
			     "udev has not given it to this user, who can therefore not remove it "
			     "either; root can: outboard stop ublkb%u",
			     u->dev.dev_id);
		ob_error_fix(err, "a udev rule: see docs/ublk.md");
	} else if (ret == -ENOENT)
		ob_error_fix(err, "mount -t devtmpfs dev /dev");
	return ret;
}

/* ---- taking over a device whose server died --------------------------------------------- */

static int check_same(struct ublk_attach *u, struct ob_error *err)
{
	struct ublk_params p = {.len = sizeof(p)};
	uint64_t tags = (uint64_t)u->dev.nr_hw_queues * u->dev.queue_depth;
	uint32_t max_io = u->dev.max_io_buf_bytes;
	int ret = ublk_ctrl_cmd(&u->ctrl, UBLK_U_CMD_GET_PARAMS, u->dev.dev_id, 0, &p, sizeof(p),
				UBLK_CTRL_MS, NULL, NULL);

	if (ret < 0)
		return ob_error_set(err, ret, "%s: the kernel does not tell its parameters: %s",
				    u->node, strerror(-ret));
	if (!tags || tags > UBLK_TAGS_MAX || u->dev.nr_hw_queues > UBLK_QUEUES_MAX ||
	    max_io < PAYLOAD_PAGE || max_io % PAYLOAD_PAGE || max_io > UBLK_IO_MAX ||
	    p.basic.dev_sectors != u->shape.size >> 9 ||
	    p.basic.logical_bs_shift != log2_of(u->shape.block_size))
		return ob_error_set(err, -EINVAL, "%s was not made for this disk", u->node);
	if (tags * max_io > (uint64_t)u->disk.payload.pages * PAYLOAD_PAGE) {
		ob_error_set(err, -ENOSPC, "%s was made with more payload memory", u->node);
		ob_error_fix(err, "give it at least memory=%uM",
			     (unsigned int)(tags * max_io + (1 << 20) - 1) >> 20);
		return -ENOSPC;
	}
	u->shape.max_io = max_io;
	return 0;
}

/* The kernel lets nobody in before it has noticed, and has everything back from the old server. */
static int start_recovery(struct ublk_attach *u, struct ob_error *err)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	uint64_t began = now_ms();
	int ret;

	for (;;) {
		ret = ublk_ctrl_cmd(&u->ctrl, UBLK_U_CMD_START_USER_RECOVERY, u->dev.dev_id, 0,
				    NULL, 0, UBLK_CTRL_MS, NULL, NULL);
		if (ret != -EBUSY || now_ms() - began >= NOTICE_MS)
			break;
		nanosleep(&pause, NULL);
	}
	if (ret >= 0)
		return 0;
	ob_error_set(err, ret, "%s cannot be taken over: %s", u->node, strerror(-ret));
	if (ret == -EBUSY)
		ob_error_why(err, "a process still has %s open, or its mapping", u->cnode);
	return ret;
}

static int take_over(struct ublk_attach *u, struct ob_error *err)
{
	int ret;

	u->taken = true;
	set_names(u);
	ret = check_same(u, err);
	if (!ret)
		ret = take_care(u, err);
	if (!ret)
		ret = start_recovery(u, err);
	if (!ret)
		ret = open_node(u, err);
	return ret;
}

/* Return: 0 with u->taken when there is one to take over; what cannot be taken over is removed. */
static int look_for_left(struct ublk_attach *u, const struct wanted *w, struct ob_error *err)
{
	uint64_t identity = ublk_identity(u->disk.blk, u->share_mark);
	unsigned int id;
	int holder = 0, ret;

	if (w->recover) {
		ret = ublk_dev_info(&u->ctrl, (uint32_t)w->id, &u->dev);
		if (ret < 0 || u->dev.dev_id != w->id)
			return ob_error_set(err, ret < 0 ? ret : -EPROTO,
					    "there is no /dev/ublkb%u to take over: %s",
					    (uint32_t)w->id, strerror(ret < 0 ? -ret : EPROTO));
		if (u->dev.ublksrv_flags != identity)
			return ob_error_set(err, -EINVAL,
					    "/dev/ublkb%u was not made for this disk, or with "
					    "another share=",
					    (uint32_t)w->id);
		ret = ublk_claim((uint32_t)w->id, &u->claim_fd, &holder);
		if (ret)
			return ob_error_set(err, ret, "/dev/ublkb%u is served by process %d",
					    (uint32_t)w->id, holder);
	} else {
		ret = ublk_find_left(&u->ctrl, identity, &u->claim_fd, &u->dev);
		if (ret < 0)
			return 0;
	}
	id = u->dev.dev_id;
	u->unprivileged = u->dev.flags & UBLK_F_UNPRIVILEGED_DEV;
	if (u->recovery && (u->dev.flags & UBLK_F_USER_RECOVERY) &&
	    u->dev.state != UBLK_S_DEV_DEAD && (w->recover || !w->id_given || w->id == id))
		return take_over(u, err);
	if (w->recover)
		return ob_error_set(err, -EINVAL, "/dev/ublkb%u cannot be taken over: %s", id,
				    u->dev.state == UBLK_S_DEV_DEAD
					    ? "its disk is gone already"
					    : "it was made with recovery=off");
	ob_device_log(u->disk.blk->dev, OB_LOG_INFO, "removing /dev/ublkb%u, which process %d left",
		      id, u->dev.ublksrv_pid);
	ret = ublk_dev_delete(&u->ctrl, id);
	close(u->claim_fd);
	u->claim_fd = -1;
	u->unprivileged = false;
	if (ret)
		return ob_error_set(err, ret,
				    "/dev/ublkb%u, which process %d left, cannot be removed: %s",
				    id, u->dev.ublksrv_pid, strerror(-ret));
	return 0;
}

static int add(struct ublk_attach *u, const struct wanted *w, struct ob_error *err)
{
	int ret = choose_shape(u, w->queues, err);

	if (!ret)
		ret = add_device(u, w, err);
	if (!ret)
		ret = take_care(u, err);
	/* An ordinary user may command a device whose node he may open. */
	if (!ret)
		ret = open_node(u, err);
	if (!ret)
		ret = set_params(u, err);
	return ret;
}

/* ---- open ------------------------------------------------------------------------------- */

/*
 * One that was to be taken over, and was not, is left as it was for another try: the caretaker takes it for the server's
 * death and waits for its time.
 */
static void let_go(struct ublk_attach *u)
{
	struct ublk_ctrl c;

	if (u->taken && !u->ours) {
		if (u->caretaker.pid)
			close(u->caretaker.fd);
		return;
	}
	/* After a command without an answer there is no other by the same way. */
	if (u->ours && ublk_ctrl_usable(&u->ctrl)) {
		ublk_dev_delete(&u->ctrl, u->dev.dev_id);
	} else if (u->ours && !ublk_ctrl_open(&c, NULL)) {
		memcpy(c.path, u->ctrl.path, sizeof(c.path));
		ublk_dev_delete(&c, u->dev.dev_id);
		ublk_ctrl_close(&c);
	}
	caretaker_dismiss(&u->caretaker);
}

static void free_attach(struct ublk_attach *u)
{
	ublk_ctrl_close(&u->ctrl);
	if (u->claim_fd >= 0)
		close(u->claim_fd);
	free(u->tags);
	free(u);
}

static int ublk_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct ublk_attach *u = calloc(1, sizeof(*u));
	struct ob_block *blk = b->block[index];
	struct wanted w = {.queues = 1, .grace = GRACE_DEFAULT};
	int ret;

	if (!u)
		return ob_error_set(err, -ENOMEM, "out of memory");
	u->char_fd = u->event_fd = u->claim_fd = -1;
	u->recovery = true;
	u->partscan = true;
	w.unprivileged = broker_uid() != 0;
	ret = ublk_ctrl_open(&u->ctrl, err);
	if (ret) {
		free(u);
		return ret;
	}
	ret = read_features(&u->ctrl, &u->features, err);
	if (!ret)
		ret = parse_options(u, part, &w, err);
	if (!ret && blk->limits.block_size > BLOCK_SIZE_MAX)
		ret = ob_error_set(err, -EOPNOTSUPP,
				   "ublk: %s has blocks of %u bytes, and the kernel takes at most "
				   "%d",
				   blk->name, blk->limits.block_size, BLOCK_SIZE_MAX);
	if (ret)
		goto fail;
	ret = disk_open(&u->disk, blk, part, loop, UBLK_MAX_QUEUE_DEPTH, &ublk_disk_ops, u, err);
	if (ret)
		goto fail;
	/* As the kernel does, and the memory is not divided among queues that there will not be. */
	if (w.queues > (uint64_t)sysconf(_SC_NPROCESSORS_CONF))
		w.queues = (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
	u->shape.size = blk->limits.size;
	u->shape.block_size = blk->limits.block_size;
	if (w.share)
		ret = ublk_share_open(u, w.share, err);
	if (!ret && !w.unprivileged)
		ret = look_for_left(u, &w, err);
	if (!ret && !u->taken)
		ret = add(u, &w, err);
	if (!ret)
		ret = ublk_share_register(u, err);
	if (!ret)
		ret = ublk_io_open(u, loop, err);
	if (ret)
		goto close_disk;
	*at = &u->at;
	return 0;

close_disk:
	ublk_io_close(u);
	let_go(u);
	ublk_share_close(u);
	disk_close(&u->disk);
fail:
	free_attach(u);
	return ret;
}

/* ---- publish and unpublish ------------------------------------------------------------------ */

static bool cannot_start(void *arg)
{
	struct ublk_attach *u = arg;

	return atomic_load(&u->failed) || ob_device_gone(u->disk.blk->dev);
}

static int explain_start(struct ublk_attach *u, int ret, struct ob_error *err)
{
	if (ret == -ECANCELED)
		ret = atomic_load(&u->failed) ? atomic_load(&u->failed) : -ENODEV;
	ob_error_set(err, ret, "%s cannot be started: %s", u->node, strerror(-ret));
	if (ret == -ETIMEDOUT)
		ob_error_why(err,
			     "the loop has not served it for %d s; publish is called while the "
			     "loop runs, from another thread",
			     START_MS / 1000);
	else if (ret == -ENODEV)
		ob_error_why(err, "the disk's device is gone");
	return ret;
}

/*
 * By the caretaker's child: the kernel lets an attribute be written when it has no request under way, and who waits for that cannot be
 * killed. A server that is killed meanwhile would wait for ever for what only its successor can serve.
 */
static void set_up_queue(struct ublk_attach *u)
{
	/* One that was taken over has been set up. */
	if (!u->taken)
		caretaker_set_up(&u->caretaker, SET_UP_MS);
}

static int ublk_publish(struct ob_attach *at, struct ob_error *err)
{
	struct ublk_attach *u = (struct ublk_attach *)at;
	int ret;

	/* Ends when the loop has fetched all tags and the kernel has read the partition table. */
	ret = ublk_ctrl_cmd(&u->ctrl,
			    u->taken ? UBLK_U_CMD_END_USER_RECOVERY : UBLK_U_CMD_START_DEV,
			    u->dev.dev_id, (uint64_t)getpid(), NULL, 0, START_MS, cannot_start, u);
	if (ret < 0)
		return explain_start(u, ret, err);
	u->ours = true;
	u->published = true;
	set_up_queue(u);
	return 0;
}

static int ublk_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct ublk_attach *u = (struct ublk_attach *)at;
	int ret = 0;

	if (!u->published)
		return 0;
	if (!force) {
		ret = ublk_check_idle(u->dev.dev_id, err);
		if (ret)
			return ret;
	}
	/* The loop serves what is under way; what comes then gets errors. */
	ret = ublk_ctrl_cmd(&u->ctrl, UBLK_U_CMD_STOP_DEV, u->dev.dev_id, 0, NULL, 0, UBLK_CTRL_MS,
			    NULL, NULL);
	if (ret < 0 && ret != -ENODEV)
		return ob_error_set(err, ret, "%s cannot be stopped: %s", u->node, strerror(-ret));
	u->published = false;
	return 0;
}

static void ublk_close(struct ob_attach *at)
{
	struct ublk_attach *u = (struct ublk_attach *)at;

	/* First the device, so that it does not write into memory that is given back. */
	disk_close(&u->disk);
	ublk_io_close(u);
	let_go(u);
	ublk_share_close(u);
	free_attach(u);
}

static void ublk_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct ublk_attach *u = (struct ublk_attach *)at;
	int n;

	memset(info, 0, sizeof(*info));
	info->kind = "ublk";
	snprintf(info->name, sizeof(info->name), "%s", u->node);
	n = snprintf(info->detail, sizeof(info->detail), "%u queue%s of %u, longest %u KiB",
		     u->dev.nr_hw_queues, u->dev.nr_hw_queues > 1 ? "s" : "", u->dev.queue_depth,
		     u->shape.max_io >> 10);
	snprintf(info->detail + n, sizeof(info->detail) - (size_t)n, "%s%s%s%s%s",
		 u->dev.flags & UBLK_F_SHMEM_ZC ? ", shared memory" : "",
		 u->taken ? ", taken over" : "", u->recovery ? ", recoverable" : "",
		 u->unprivileged ? ", unprivileged" : "",
		 u->disk.blk->limits.read_only ? ", read-only" : "");
}

static void ublk_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	disk_stats(&((struct ublk_attach *)at)->disk, stats);
}

const struct ob_attach_ops ob_attach_ublk = {
	.name = "ublk",
	.summary = "a block device /dev/ublkbN",
	.class_ = OB_CLASS_BLOCK,
	.options =
		"queues=N,id=N,recover,recovery=on|off,grace=SECONDS,unprivileged,partscan=on|off,"
		"share=FILE,zero-copy=auto|off," DISK_OPTIONS,
	.confined = true,
	.outlives = true,
	.probe = ublk_probe,
	.open = ublk_open,
	.publish = ublk_publish,
	.unpublish = ublk_unpublish,
	.close = ublk_close,
	.info = ublk_info,
	.stats = ublk_stats,
};
