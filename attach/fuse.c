/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "fuse": the disk as one file in a directory. No root is needed (fusermount3, or a user
 * namespace of one's own), and mkfs, fsck and debugfs take a file as they take a disk.
 */
#define FUSE_USE_VERSION 312

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/fuse.h"
#include "attach/holders.h"

struct fuse_attach {
	struct ob_attach at; /* first */
	struct fuse_disk f;
	char mountpoint[512];
	bool mounted;
};

static int fuse_probe(struct ob_error *err)
{
	return fuse_device_probe(err);
}

static int check_mountpoint(const char *path, struct ob_error *err)
{
	struct stat st;

	if (!path || !*path) {
		ob_error_set(err, -EINVAL, "attachment 'fuse' needs a directory");
		ob_error_fix(err, "--attach fuse,mountpoint=DIR");
		return -EINVAL;
	}
	if (stat(path, &st))
		return ob_error_set(err, -errno, "mountpoint '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return ob_error_set(err, -ENOTDIR, "mountpoint '%s' is not a directory", path);
	return 0;
}

static int fuse_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	const char *path = ob_spec_get(part, "mountpoint");
	char absolute[PATH_MAX];
	struct fuse_attach *fa;
	int ret = check_mountpoint(path, err);

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
	ret = fuse_disk_open(&fa->f, b, index, part, loop, true, err);
	if (ret) {
		free(fa);
		return ret;
	}
	/* The file is seen from here on; whoever opens it waits for the loop to run. */
	ret = fuse_disk_mount(&fa->f, fa->mountpoint, err);
	if (ret) {
		fuse_disk_close(&fa->f);
		free(fa);
		return ret;
	}
	fa->mounted = true;
	*at = &fa->at;
	return 0;
}

static int fuse_publish(struct ob_attach *at, struct ob_error *err)
{
	return 0;
}

/* A process that has something of our file system open, or 0. */
static pid_t find_user(const char *mountpoint)
{
	DIR *proc = opendir("/proc");
	struct dirent *e, *f;
	struct stat root, st;
	pid_t found = 0;

	if (!proc || stat(mountpoint, &root)) {
		if (proc)
			closedir(proc);
		return 0;
	}
	while (!found && (e = readdir(proc))) {
		char path[300];
		DIR *fds;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cwd", e->d_name);
		if (!stat(path, &st) && st.st_dev == root.st_dev)
			found = atoi(e->d_name);
		snprintf(path, sizeof(path), "/proc/%s/fd", e->d_name);
		fds = opendir(path);
		while (fds && !found && (f = readdir(fds)))
			if (!fstatat(dirfd(fds), f->d_name, &st, 0) && st.st_dev == root.st_dev)
				found = atoi(e->d_name);
		if (fds)
			closedir(fds);
	}
	closedir(proc);
	return found;
}

static int fuse_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;
	pid_t user = force || fa->f.broken ? 0 : find_user(fa->mountpoint);
	char name[64];

	if (!fa->mounted)
		return 0;
	if (user) {
		holder_name(user, name, sizeof(name));
		ob_error_set(err, -EBUSY, "'%s' is in use", fa->mountpoint);
		ob_error_why(err, "%s has it open", name);
		ob_error_fix(err, "let it end, or kill %d", user);
		return -EBUSY;
	}
	/* The kernel writes back what it still has, so the loop is serving meanwhile. */
	fuse_session_unmount(fa->f.session);
	fa->mounted = false;
	return 0;
}

static void fuse_close(struct ob_attach *at)
{
	struct fuse_attach *fa = (struct fuse_attach *)at;

	if (fa->mounted) {
		/* Nobody serves any more: end the connection first, or unmounting would wait for us. */
		fuse_disk_abort(&fa->f);
		fuse_session_unmount(fa->f.session);
	}
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
