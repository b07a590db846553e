/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "loop": a block device /dev/loopN whose backing file is the disk as a FUSE file. For kernels
 * without ublk. The file system is mounted nowhere (fsmount(2) without move_mount(2)), so no mount can be
 * left over; the loop device clears itself with its last user (LO_FLAGS_AUTOCLEAR).
 * Linux, drivers/block/loop.c; loop(4).
 *
 * Somebody must hold the loop device open until a client does: the keeper (fuse_keeper.c), who also sets it
 * up, so that no thread of ours ever waits for I/O that this process has to serve.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/fuse.h"
#include "attach/fuse_broker.h"
#include "attach/fuse_mount.h"

struct loop_attach {
	struct ob_attach at; /* first */
	struct fuse_disk f;
	int mount_fd;
	int number; /* of the loop device, -1 before publish */
	bool direct, partscan;
	char diskseq[24]; /* tells our use of the number from another's */
	struct fuse_keeper keeper;
};

/* ---- what the system can do ------------------------------------------------------------- */

static int loop_probe(struct ob_error *err)
{
	int ret = fuse_mount_probe(true, err), fd;

	if (ret)
		return ret;
	fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		ob_error_set(err, ret, "/dev/loop-control cannot be opened: %s", strerror(-ret));
		if (ret == -ENOENT)
			ob_error_fix(err, "modprobe loop");
		else
			ob_error_fix(err, "run it as root: loop devices need it");
		return ret;
	}
	close(fd);
	return 0;
}

/* ---- open ------------------------------------------------------------------------------------- */

/* The connection, and the mount until the loop device has it: a former driver process's, or another. */
static int connect_file(struct loop_attach *la, struct ob_error *err)
{
	struct fuse_disk *f = &la->f;
	int ret, fuse;

	if (f->taken_over) {
		fuse = f->left[FUSE_KEPT_DEVICE];
		la->mount_fd = f->left[FUSE_KEPT_ROOT];
		la->keeper.fd = f->left[FUSE_KEPT_HOLDER];
		for (unsigned int i = 0; i < FUSE_KEPT_FDS; i++)
			f->left[i] = -1;
		return fuse_disk_connect(f, fuse, err);
	}
	ret = fuse_mount_broker(f->file, NULL, &fuse, &la->mount_fd, err);
	if (!ret)
		ret = fuse_disk_connect(f, fuse, err);
	if (ret)
		return ret;
	ret = fuse_disk_keep(f, la->mount_fd, -1);
	return ret ? ob_error_set(err, ret, "%s cannot be kept: %s", f->file, strerror(-ret)) : 0;
}

static int loop_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct loop_attach *la = calloc(1, sizeof(*la));
	int ret;

	if (!la)
		return ob_error_set(err, -ENOMEM, "out of memory");
	la->mount_fd = -1;
	la->keeper.fd = -1;
	la->number = -1;
	la->direct = true;
	ret = ob_spec_get_bool(part, "direct", &la->direct, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "partscan", &la->partscan, err);
	if (!ret)
		ret = fuse_disk_open(&la->f, "loop", b, index, part, loop, err);
	if (ret) {
		free(la);
		return ret;
	}
	ret = connect_file(la, err);
	if (ret) {
		if (la->mount_fd >= 0)
			close(la->mount_fd);
		if (la->keeper.fd >= 0)
			close(la->keeper.fd);
		fuse_disk_close(&la->f);
		free(la);
		return ret;
	}
	*at = &la->at;
	return 0;
}

/* ---- publish ---------------------------------------------------------------------------------- */

static int explain(const struct loop_attach *la, int ret, const int result[], struct ob_error *err)
{
	const char *what = strerror(-ret);

	switch (result[LOOP_STEP]) {
	case LOOP_STEP_FILE:
		ob_error_set(err, ret, "%s: its FUSE file cannot be opened: %s", la->f.file, what);
		break;
	case LOOP_STEP_CONTROL:
		ob_error_set(err, ret, "%s: /dev/loop-control: %s", la->f.file, what);
		break;
	case LOOP_STEP_NODE:
		ob_error_set(err, ret, "%s: /dev/loop%d cannot be opened: %s", la->f.file,
			     result[LOOP_NUMBER], what);
		if (ret == -ENOENT)
			ob_error_fix(err,
				     "this system makes no /dev/loop nodes by itself: mknod "
				     "/dev/loop%d b %d %d",
				     result[LOOP_NUMBER], LOOP_MAJOR, result[LOOP_NUMBER]);
		break;
	default:
		ob_error_set(err, ret, "%s: no loop device can be set up: %s", la->f.file, what);
		break;
	}
	return ret;
}

static int keep(void *arg, int pidfd)
{
	const struct loop_attach *la = arg;

	return fuse_disk_keep(&la->f, la->mount_fd, pidfd);
}

static int spawn(void *arg, int *pidfd, int *go)
{
	const struct loop_attach *la = arg;
	const struct ob_block_limits *l = &la->f.disk.blk->limits;
	struct broker_hold hold = {
		.direct = la->direct,
		.partscan = la->partscan,
		.read_only = l->read_only,
		.block_size = l->block_size,
	};

	memcpy(hold.file, la->f.file, sizeof(hold.file));
	return fuse_hold_spawn(&hold, la->f.log_fd, la->mount_fd, pidfd, go);
}

static int loop_publish(struct ob_attach *at, struct ob_error *err)
{
	struct loop_attach *la = (struct loop_attach *)at;
	struct fuse_keeper_job job = {
		.root = la->mount_fd,
		.spawn = spawn,
		.keep = keep,
		.report = &la->f.log->report,
		.arg = la,
	};
	char *seq = la->f.log->diskseq;
	struct broker_loop look;
	int result[KEEPER_RESULTS] = {0};
	int ret = fuse_keeper_start(&la->f.hold, &job, &la->keeper, result, err);

	/* The keeper and the loop device have their own hold on the mount. */
	if (la->mount_fd >= 0)
		close(la->mount_fd);
	la->mount_fd = -1;
	if (ret)
		return ret == -ETIMEDOUT ? ret : explain(la, ret, result, err);
	la->number = result[LOOP_NUMBER];
	la->direct = result[LOOP_DIRECT];
	if (!*seq) {
		loop_look(la->number, &look);
		memcpy(seq, look.diskseq, sizeof(la->f.log->diskseq));
	}
	memcpy(la->diskseq, seq, sizeof(la->diskseq));
	la->diskseq[sizeof(la->diskseq) - 1] = '\0';
	ret = fuse_disk_keep(&la->f, -1, la->keeper.fd);
	return ret ? ob_error_set(err, ret, "%s cannot be kept: %s", la->f.file, strerror(-ret))
		   : 0;
}

/* ---- unpublish and close ---------------------------------------------------------------------------- */

/*
 * Is the device still ours? Once it is cleared its number may belong to somebody else. Asked of sysfs: an
 * open would make us the last user.
 */
static bool still_there(const struct loop_attach *la)
{
	struct broker_loop look;

	loop_look(la->number, &look);
	return look.there && !strcmp(look.diskseq, la->diskseq);
}

static int loop_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct loop_attach *la = (struct loop_attach *)at;
	int ret = 0;

	if (la->number < 0)
		return 0;
	if (!force) {
		ret = loop_check_idle(la->number, la->keeper.pid, err);
		if (ret)
			return ret;
	}
	/*
	 * Dirty pages are written back by the last close, which the loop's thread serves meanwhile. Where a
	 * client goes on using it, close() ends the connection, and he gets I/O errors.
	 */
	fuse_keeper_stop(&la->f.hold, &la->keeper);
	for (unsigned int ms = 0; !force && ms < 5000 && still_there(la); ms++)
		usleep(1000);
	la->number = -1;
	return 0;
}

static void loop_close(struct ob_attach *at)
{
	struct loop_attach *la = (struct loop_attach *)at;

	if (la->mount_fd >= 0)
		close(la->mount_fd);
	/* First the connection: with the loop ended nobody would serve the write-back. */
	fuse_disk_abort(&la->f);
	fuse_disk_let_holder_go(&la->f, &la->keeper);
	fuse_disk_close(&la->f);
	free(la);
}

static void loop_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct loop_attach *la = (struct loop_attach *)at;

	memset(info, 0, sizeof(*info));
	info->kind = "loop";
	snprintf(info->name, sizeof(info->name), "/dev/loop%d", la->number);
	snprintf(info->detail, sizeof(info->detail), "FUSE + loop, %s, %u requests at once",
		 la->direct ? "direct I/O" : "through the page cache", la->f.disk.depth);
}

static void loop_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	disk_stats(&((struct loop_attach *)at)->f.disk, stats);
}

const struct ob_attach_ops ob_attach_loop = {
	.name = "loop",
	.summary = "a block device /dev/loopN over a FUSE file, for kernels without ublk",
	.class_ = OB_CLASS_BLOCK,
	.confined = true,
	.outlives = true,
	.options = "direct=on|off,partscan=on|off," DISK_OPTIONS,
	.probe = loop_probe,
	.open = loop_open,
	.publish = loop_publish,
	.unpublish = loop_unpublish,
	.close = loop_close,
	.info = loop_info,
	.stats = loop_stats,
};
