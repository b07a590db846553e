/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "fuse": the disk as one file in a directory. No root is needed (fusermount3, or a user
 * namespace of one's own), and mkfs, fsck and debugfs take a file as they take a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/fuse.h"
#include "attach/fuse_broker.h"
#include "attach/fuse_mount.h"

struct fuse_attach {
	struct ob_attach at; /* first */
	struct fuse_disk f;
	char mountpoint[512];
	int root; /* before publish, -1 when fusermount3 has mounted it already */
	bool published;
	struct fuse_keeper keeper; /* who unmounts it then */
};

static int fuse_probe(struct ob_error *err)
{
	return fuse_mount_probe(false, err);
}

/* A mount that the keeper does not have yet. */
static void drop_mount(struct fuse_attach *fa)
{
	if (fa->root >= 0)
		close(fa->root);
	else
		fuse_unmount_broker(fa->mountpoint);
	fa->root = -1;
}

/* The connection, and what of the mount is not placed yet: a former driver process's, or another. */
static int connect_file(struct fuse_attach *fa, struct ob_error *err)
{
	struct fuse_disk *f = &fa->f;
	int ret, fuse;

	if (f->taken_over) {
		fuse = f->left[FUSE_KEPT_DEVICE];
		fa->root = f->left[FUSE_KEPT_ROOT];
		fa->keeper.fd = f->left[FUSE_KEPT_HOLDER];
		for (unsigned int i = 0; i < FUSE_KEPT_FDS; i++)
			f->left[i] = -1;
		return fuse_disk_connect(f, fuse, err);
	}
	ret = fuse_mount_broker(f->file, fa->mountpoint, &fuse, &fa->root, err);
	if (ret)
		return ret;
	memcpy(f->log->mountpoint, fa->mountpoint, sizeof(f->log->mountpoint));
	ret = fuse_disk_connect(f, fuse, err);
	if (!ret) {
		ret = fuse_disk_keep(f, fa->root, -1);
		if (ret)
			ob_error_set(err, ret, "%s cannot be kept: %s", f->file, strerror(-ret));
	}
	if (ret)
		drop_mount(fa);
	return ret;
}

/* As it was typed; mounting makes it absolute, because the process may change its directory before it unmounts. */
static int find_mountpoint(struct fuse_attach *fa, const char *path, struct ob_error *err)
{
	if (fa->f.taken_over)
		path = fa->f.log->mountpoint;
	else if (!path || !*path)
		return fuse_mount_check("fuse", path, err);
	if (strnlen(path, sizeof(fa->mountpoint)) >= sizeof(fa->mountpoint))
		return ob_error_set(err, -ENAMETOOLONG, "mountpoint '%.60s...' is too long", path);
	strcpy(fa->mountpoint, path);
	return 0;
}

static int fuse_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	const char *path = ob_spec_get(part, "mountpoint");
	struct fuse_attach *fa = calloc(1, sizeof(*fa));
	int ret;

	if (!fa)
		return ob_error_set(err, -ENOMEM, "out of memory");
	fa->keeper.fd = fa->root = -1;
	ret = fuse_disk_open(&fa->f, "fuse", b, index, part, loop, err);
	if (ret) {
		free(fa);
		return ret;
	}
	ret = find_mountpoint(fa, path, err);
	if (!ret)
		ret = connect_file(fa, err);
	if (ret) {
		if (fa->root >= 0)
			close(fa->root);
		if (fa->keeper.fd >= 0)
			close(fa->keeper.fd);
		fuse_disk_close(&fa->f);
		free(fa);
		return ret;
	}
	*at = &fa->at;
	return 0;
}

static int keep(void *arg, int pidfd)
{
	const struct fuse_attach *fa = arg;

	return fuse_disk_keep(&fa->f, fa->root, pidfd);
}

static int spawn(void *arg, int *pidfd, int *go)
{
	const struct fuse_attach *fa = arg;
	struct broker_hold hold = {.placed = fa->root < 0};

	memcpy(hold.file, fa->f.file, sizeof(hold.file));
	memcpy(hold.path, fa->mountpoint, sizeof(hold.path));
	return fuse_hold_spawn(&hold, fa->f.log_fd, fa->root, pidfd, go);
}

static int fuse_publish(struct ob_attach *at, struct ob_error *err)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;
	struct fuse_keeper_job job = {
		.root = fa->root,
		.path = fa->mountpoint,
		.spawn = spawn,
		.keep = keep,
		.report = &fa->f.log->report,
		.arg = fa,
	};
	int result[KEEPER_RESULTS];
	int ret = fuse_keeper_start(&fa->f.hold, &job, &fa->keeper, result, err);

	if (ret == -ETIMEDOUT)
		return ret;
	if (ret) {
		ob_error_set(err, ret, "%s cannot be mounted on '%s': %s", fa->f.file,
			     fa->mountpoint, strerror(-ret));
		return ret;
	}
	if (fa->root >= 0)
		close(fa->root);
	fa->root = -1;
	fa->published = true;
	/* From now on the keeper holds no mount. */
	ret = fuse_disk_keep(&fa->f, -1, fa->keeper.fd);
	return ret ? ob_error_set(err, ret, "%s cannot be kept: %s", fa->f.file, strerror(-ret))
		   : 0;
}

static int fuse_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;

	if (!fa->keeper.pid)
		return 0;
	if (!force && !fa->f.broken && fuse_check_unused(fa->mountpoint, fa->keeper.pid, err))
		return -EBUSY;
	/* The kernel writes back what it still has, so the loop is serving meanwhile. */
	fuse_keeper_stop(&fa->f.hold, &fa->keeper);
	return 0;
}

static void fuse_close(struct ob_attach *at)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;

	/* First the connection: nobody serves any more. */
	fuse_disk_abort(&fa->f);
	if (!fa->published && !fa->f.taken_over)
		drop_mount(fa);
	else if (fa->root >= 0)
		close(fa->root);
	fuse_disk_let_holder_go(&fa->f, &fa->keeper);
	fuse_disk_close(&fa->f);
	free(fa);
}

static void fuse_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;

	memset(info, 0, sizeof(*info));
	info->kind = "fuse";
	snprintf(info->name, sizeof(info->name), "%.80s/%s", fa->mountpoint, fa->f.file);
	snprintf(info->detail, sizeof(info->detail), "a file, %u requests at once",
		 fa->f.disk.depth);
}

static void fuse_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	disk_stats(&((struct fuse_attach *)at)->f.disk, stats);
}

const struct ob_attach_ops ob_attach_fuse = {
	.name = "fuse",
	.summary = "a file in a directory, without root",
	.class_ = OB_CLASS_BLOCK,
	.confined = true,
	.outlives = true,
	.options = "mountpoint=DIR," DISK_OPTIONS,
	.probe = fuse_probe,
	.open = fuse_open,
	.publish = fuse_publish,
	.unpublish = fuse_unpublish,
	.close = fuse_close,
	.info = fuse_info,
	.stats = fuse_stats,
};
