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
#include "attach/fuse_mount.h"
#include "attach/holders.h"

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
		fuse_unmount_now(fa->mountpoint);
	fa->root = -1;
}

static int fuse_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	const char *path = ob_spec_get(part, "mountpoint");
	char absolute[PATH_MAX];
	struct fuse_attach *fa;
	int ret = fuse_mount_check("fuse", path, err), fuse;

	if (ret)
		return ret;
	fa = calloc(1, sizeof(*fa));
	if (!fa)
		return ob_error_set(err, -ENOMEM, "out of memory");
	/* Absolute, because the process may change its directory before it unmounts. */
	if (!realpath(path, absolute) || strlen(absolute) >= sizeof(fa->mountpoint)) {
		free(fa);
		return ob_error_set(err, -ENAMETOOLONG, "mountpoint '%s' is too long", path);
	}
	strcpy(fa->mountpoint, absolute);
	ret = fuse_disk_open(&fa->f, b, index, part, loop, err);
	if (ret) {
		free(fa);
		return ret;
	}
	ret = fuse_mount_prepare(fa->f.file, fa->mountpoint, "", &fuse, &fa->root, err);
	if (!ret) {
		ret = fuse_disk_connect(&fa->f, fuse, err);
		if (ret)
			drop_mount(fa);
	}
	if (ret) {
		fuse_disk_close(&fa->f);
		free(fa);
		return ret;
	}
	*at = &fa->at;
	return 0;
}

/* In the keeper. */
static int place(void *arg, int root, int result[KEEPER_RESULTS])
{
	const struct fuse_attach *fa = arg;

	return fuse_mount_place(fa->root < 0 ? -1 : root, fa->mountpoint);
}

static void unmount(void *arg, int root)
{
	const struct fuse_attach *fa = arg;

	fuse_unmount(root, fa->mountpoint);
}

static int fuse_publish(struct ob_attach *at, struct ob_error *err)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;
	struct fuse_keeper_job job = {
		.root = fa->root,
		.path = fa->mountpoint,
		.setup = place,
		.at_end = unmount,
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
	return 0;
}

static int fuse_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;

	if (!fa->keeper.pid)
		return 0;
	if (!force && !fa->f.broken && holder_check_unused(fa->mountpoint, fa->keeper.pid, err))
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
	if (!fa->published)
		drop_mount(fa);
	fuse_keeper_stop(&fa->f.hold, &fa->keeper);
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
	.options = "mountpoint=DIR," DISK_OPTIONS,
	.probe = fuse_probe,
	.open = fuse_open,
	.publish = fuse_publish,
	.unpublish = fuse_unpublish,
	.close = fuse_close,
	.info = fuse_info,
	.stats = fuse_stats,
};
