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
#include "attach/fuse_mount.h"
#include "attach/holders.h"

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

static int loop_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct loop_attach *la = calloc(1, sizeof(*la));
	int ret, fuse;

	if (!la)
		return ob_error_set(err, -ENOMEM, "out of memory");
	la->mount_fd = -1;
	la->number = -1;
	la->direct = true;
	ret = ob_spec_get_bool(part, "direct", &la->direct, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "partscan", &la->partscan, err);
	if (!ret)
		ret = fuse_disk_open(&la->f, b, index, part, loop, err);
	if (ret) {
		free(la);
		return ret;
	}
	ret = fuse_mount_nowhere(la->f.file, &fuse, &la->mount_fd, err);
	if (!ret)
		ret = fuse_disk_connect(&la->f, fuse, err);
	if (ret) {
		if (la->mount_fd >= 0)
			close(la->mount_fd);
		fuse_disk_close(&la->f);
		free(la);
		return ret;
	}
	*at = &la->at;
	return 0;
}

/* ---- publish: in the keeper ------------------------------------------------------------------- */

enum setup_result {
	SETUP_NUMBER,
	SETUP_DIRECT,
	SETUP_STEP,
};

enum setup_step {
	STEP_FILE,
	STEP_CONTROL,
	STEP_NODE,
	STEP_CONFIGURE,
};

/* snprintf() is not async-signal-safe. */
static void device_path(char path[32], unsigned int number)
{
	char digits[12];
	unsigned int n = 0;

	strcpy(path, "/dev/loop");
	path += strlen(path);
	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		*path++ = digits[--n];
	*path = '\0';
}

static int configure_loop(const struct loop_attach *la, int fd, struct loop_config *config)
{
	int ret = ioctl(fd, LOOP_CONFIGURE, config) ? -errno : 0;

	/* A file system that has no direct I/O here: through the page cache, then. */
	if (ret == -EINVAL && config->info.lo_flags & LO_FLAGS_DIRECT_IO) {
		config->info.lo_flags &= ~(uint32_t)LO_FLAGS_DIRECT_IO;
		ret = ioctl(fd, LOOP_CONFIGURE, config) ? -errno : 0;
	}
	return ret;
}

/* Set a free loop device up; another process may take the one that we were told of. */
static int take_device(const struct loop_attach *la, struct loop_config *config, int result[])
{
	int access = config->info.lo_flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR;
	int control, ret = -EBUSY;

	result[SETUP_STEP] = STEP_CONTROL;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	for (unsigned int tries = 0; ret == -EBUSY && tries < 100; tries++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd, held;
		struct loop_info64 got;
		char path[32];

		if (number < 0) {
			ret = -errno;
			break;
		}
		result[SETUP_STEP] = STEP_NODE;
		result[SETUP_NUMBER] = number;
		device_path(path, (unsigned int)number);
		fd = open(path, access | O_CLOEXEC);
		if (fd < 0) {
			ret = -errno;
			break;
		}
		result[SETUP_STEP] = STEP_CONFIGURE;
		ret = configure_loop(la, fd, config);
		if (ret) {
			close(fd);
			continue;
		}
		result[SETUP_DIRECT] =
			!ioctl(fd, LOOP_GET_STATUS64, &got) && got.lo_flags & LO_FLAGS_DIRECT_IO;
		/* Held for reading: kernels can be told to mount nothing that is open for writing. */
		held = open(path, O_RDONLY | O_CLOEXEC);
		if (held >= 0)
			close(fd);
	}
	close(control);
	return ret;
}

static int setup_loop(void *arg, int root, int result[KEEPER_RESULTS])
{
	const struct loop_attach *la = arg;
	const struct ob_block_limits *l = &la->f.disk.blk->limits;
	struct loop_config config = {
		.block_size = l->block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int file, ret;

	if (la->direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (la->partscan)
		config.info.lo_flags |= LO_FLAGS_PARTSCAN;
	if (l->read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	memcpy(config.info.lo_file_name, "outboard:", 9);
	strncpy((char *)config.info.lo_file_name + 9, la->f.file,
		sizeof(config.info.lo_file_name) - 10);
	result[SETUP_STEP] = STEP_FILE;
	file = openat(root, la->f.file, (l->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file < 0)
		return -errno;
	config.fd = (uint32_t)file;
	ret = take_device(la, &config, result);
	/* The loop device has its own hold on the file. */
	close(file);
	return ret;
}

/* ---- publish ---------------------------------------------------------------------------------- */

/* Changes with every use of a loop device's number (Linux 5.15); "" where the kernel has none. */
static void read_diskseq(int number, char *seq, size_t size)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/loop%d/diskseq", number);
	seq[0] = '\0';
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(seq, (int)size, file))
		seq[0] = '\0';
	fclose(file);
}

static int explain(const struct loop_attach *la, int ret, const int result[], struct ob_error *err)
{
	const char *what = strerror(-ret);

	switch (result[SETUP_STEP]) {
	case STEP_FILE:
		ob_error_set(err, ret, "%s: its FUSE file cannot be opened: %s", la->f.file, what);
		break;
	case STEP_CONTROL:
		ob_error_set(err, ret, "%s: /dev/loop-control: %s", la->f.file, what);
		break;
	case STEP_NODE:
		ob_error_set(err, ret, "%s: /dev/loop%d cannot be opened: %s", la->f.file,
			     result[SETUP_NUMBER], what);
		if (ret == -ENOENT)
			ob_error_fix(err,
				     "this system makes no /dev/loop nodes by itself: mknod "
				     "/dev/loop%d b %d %d",
				     result[SETUP_NUMBER], LOOP_MAJOR, result[SETUP_NUMBER]);
		break;
	default:
		ob_error_set(err, ret, "%s: no loop device can be set up: %s", la->f.file, what);
		break;
	}
	return ret;
}

static int loop_publish(struct ob_attach *at, struct ob_error *err)
{
	struct loop_attach *la = (struct loop_attach *)at;
	struct fuse_keeper_job job = {.root = la->mount_fd, .setup = setup_loop, .arg = la};
	int result[KEEPER_RESULTS] = {0};
	int ret = fuse_keeper_start(&la->f.hold, &job, &la->keeper, result, err);

	/* The keeper and the loop device have their own hold on the mount. */
	close(la->mount_fd);
	la->mount_fd = -1;
	if (ret)
		return ret == -ETIMEDOUT ? ret : explain(la, ret, result, err);
	la->number = result[SETUP_NUMBER];
	la->direct = result[SETUP_DIRECT];
	read_diskseq(la->number, la->diskseq, sizeof(la->diskseq));
	return 0;
}

/* ---- unpublish and close ---------------------------------------------------------------------------- */

/*
 * Is the device still ours? Once it is cleared its number may belong to somebody else. Asked of sysfs: an
 * open would make us the last user.
 */
static bool still_there(const struct loop_attach *la)
{
	char path[64], seq[sizeof(la->diskseq)];

	snprintf(path, sizeof(path), "/sys/block/loop%d/loop/backing_file", la->number);
	if (access(path, F_OK))
		return false;
	read_diskseq(la->number, seq, sizeof(seq));
	return !strcmp(seq, la->diskseq);
}

/* Nobody else has it: an exclusive open fails while it is mounted, in whatever namespace. */
static int check_idle(struct loop_attach *la, struct ob_error *err)
{
	char disk[16], path[32], who[256];
	bool used;
	int fd;

	snprintf(disk, sizeof(disk), "loop%d", la->number);
	snprintf(path, sizeof(path), "/dev/%s", disk);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	used = fd < 0 && errno == EBUSY;
	if (fd >= 0)
		close(fd);
	if (!holders_of_block(disk, la->keeper.pid, who, sizeof(who)) && !used)
		return 0;
	ob_error_set(err, -EBUSY, "%s is in use", path);
	ob_error_why(err, "%s", who[0] ? who : "it is mounted in another mount namespace");
	ob_error_fix(err, "umount %s", path);
	return -EBUSY;
}

static int loop_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct loop_attach *la = (struct loop_attach *)at;
	int ret = 0;

	if (la->number < 0)
		return 0;
	if (!force) {
		ret = check_idle(la, err);
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
	fuse_keeper_stop(&la->f.hold, &la->keeper);
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
	.options = "direct=on|off,partscan=on|off," DISK_OPTIONS,
	.probe = loop_probe,
	.open = loop_open,
	.publish = loop_publish,
	.unpublish = loop_unpublish,
	.close = loop_close,
	.info = loop_info,
	.stats = loop_stats,
};
