/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "loop": a block device /dev/loopN whose backing file is the disk as a FUSE file. For kernels
 * without ublk. The file system is mounted nowhere (fsmount(2) without move_mount(2)), so no mount can be
 * left over; the loop device clears itself with its last user (LO_FLAGS_AUTOCLEAR).
 * Linux, drivers/block/loop.c; loop(4).
 *
 * Somebody must hold the loop device open until a client does. It must not be this process: a dying process
 * that closed it while /dev/fuse was still open would wait for the write-back of dirty pages by a server
 * that does not run any more. So a child holds it, and lets go when its pipe from us ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/fuse.h"
#include "attach/holders.h"

struct loop_attach {
	struct ob_attach at; /* first */
	struct fuse_disk f;
	int mount_fd;
	int number; /* of the loop device, -1 before publish */
	bool direct, partscan;
	pid_t keeper; /* the child that holds it */
	int keeper_pipe;
};

/* ---- what the system can do ------------------------------------------------------------- */

static int loop_probe(struct ob_error *err)
{
	int ret = fuse_device_probe(err), fd;

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
	fd = fsopen("fuse", FSOPEN_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		ob_error_set(err, ret, "FUSE cannot be mounted: %s", strerror(-ret));
		ob_error_fix(err, ret == -ENODEV ? "modprobe fuse" : "run it as root");
		return ret;
	}
	close(fd);
	return 0;
}

/* ---- a mount that is nowhere ---------------------------------------------------------------- */

static int configure(int fs, int fuse)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fuse);
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", "outboard", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "fd", number, 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "rootmode", "40000", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "user_id", "0", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "group_id", "0", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	return 0;
}

static int mount_nowhere(struct loop_attach *la, struct ob_error *err)
{
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int fs = fsopen("fuse", FSOPEN_CLOEXEC);
	int ret = fuse < 0 || fs < 0 ? -errno : 0;

	if (!ret)
		ret = configure(fs, fuse);
	if (!ret) {
		la->mount_fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
		if (la->mount_fd < 0)
			ret = -errno;
	}
	if (fs >= 0)
		close(fs);
	if (ret) {
		if (fuse >= 0)
			close(fuse);
		return ob_error_set(err, ret, "%s: FUSE cannot be mounted: %s", la->f.file,
				    strerror(-ret));
	}
	return fuse_disk_connect(&la->f, fuse, err);
}

/* ---- open ------------------------------------------------------------------------------------- */

static int loop_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct loop_attach *la = calloc(1, sizeof(*la));
	int ret;

	if (!la)
		return ob_error_set(err, -ENOMEM, "out of memory");
	la->mount_fd = la->keeper_pipe = -1;
	la->number = -1;
	la->direct = true;
	ret = ob_spec_get_bool(part, "direct", &la->direct, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "partscan", &la->partscan, err);
	if (!ret)
		ret = fuse_disk_open(&la->f, b, index, part, loop, false, err);
	if (ret) {
		free(la);
		return ret;
	}
	ret = mount_nowhere(la, err);
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

/* ---- publish: the loop's thread serves meanwhile --------------------------------------------------- */

/*
 * The child, after fork in a threaded process: async-signal-safe calls only (fork(2)). It ends with its
 * pipe, whose other end is ours alone.
 */
static void keep(int loop_fd, int pipe_fd)
{
	struct pollfd pfd = {.fd = 4, .events = POLLIN};
	sigset_t all;

	prctl(PR_SET_NAME, "outboard-loop");
	sigfillset(&all); /* Ctrl-C on the terminal is for the parent, which ends us in order */
	sigprocmask(SIG_BLOCK, &all, NULL);
	loop_fd = fcntl(loop_fd, F_DUPFD, 16);
	pipe_fd = fcntl(pipe_fd, F_DUPFD, 16);
	dup2(loop_fd, 3);
	dup2(pipe_fd, 4);
	/* Above all not /dev/fuse, which must end with the parent. 0 to 2 may be a waiting pipe's. */
	close(0);
	close(1);
	close(2);
	syscall(SYS_close_range, 5, ~0u, 0);
	while (poll(&pfd, 1, -1) < 0 || !(pfd.revents & (POLLHUP | POLLIN)))
		continue;
	_exit(0);
}

static int start_keeper(struct loop_attach *la, int loop_fd, struct ob_error *err)
{
	int pipe_fd[2];
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return ob_error_set(err, -errno, "%s: out of descriptors", la->f.file);
	pid = fork();
	if (!pid) {
		close(pipe_fd[1]);
		keep(loop_fd, pipe_fd[0]);
	}
	close(pipe_fd[0]);
	if (pid < 0) {
		close(pipe_fd[1]);
		return ob_error_set(err, -errno, "%s: cannot start a process", la->f.file);
	}
	la->keeper = pid;
	la->keeper_pipe = pipe_fd[1];
	return 0;
}

/* Let go of the loop device and wait for the child, which writes dirty pages back by closing it. */
static void stop_keeper(struct loop_attach *la)
{
	if (la->keeper_pipe < 0)
		return;
	close(la->keeper_pipe);
	la->keeper_pipe = -1;
	while (waitpid(la->keeper, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Set a free loop device up; another process may take the one that we were told of. */
static int take_device(struct loop_attach *la, int file, struct ob_error *err)
{
	const struct ob_block_limits *l = &la->f.disk.blk->limits;
	struct loop_config config = {
		.fd = (uint32_t)file,
		.block_size = l->block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int ret = control < 0 ? -errno : -EBUSY;

	if (la->direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (la->partscan)
		config.info.lo_flags |= LO_FLAGS_PARTSCAN;
	if (l->read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "outboard:%s",
		 la->f.file);
	for (unsigned int tries = 0; ret == -EBUSY && tries < 100; tries++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd;
		char path[32];

		if (number < 0) {
			ret = -errno;
			break;
		}
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		fd = open(path, (l->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (fd < 0) {
			ret = -errno;
			break;
		}
		ret = ioctl(fd, LOOP_CONFIGURE, &config) ? -errno : 0;
		/* A file system that has no direct I/O here: through the page cache, then. */
		if (ret == -EINVAL && config.info.lo_flags & LO_FLAGS_DIRECT_IO) {
			config.info.lo_flags &= ~(uint32_t)LO_FLAGS_DIRECT_IO;
			ret = ioctl(fd, LOOP_CONFIGURE, &config) ? -errno : 0;
		}
		if (!ret) {
			struct loop_info64 got;

			la->number = number;
			la->direct = !ioctl(fd, LOOP_GET_STATUS64, &got) &&
				     got.lo_flags & LO_FLAGS_DIRECT_IO;
			ret = start_keeper(la, fd, err);
			close(fd); /* without a keeper this clears it again */
			close(control);
			return ret;
		}
		close(fd);
	}
	if (control >= 0)
		close(control);
	ob_error_set(err, ret, "%s: no loop device can be set up: %s", la->f.file, strerror(-ret));
	if (ret == -ENOENT)
		ob_error_fix(
			err,
			"this system makes no /dev/loop nodes by itself: mknod /dev/loop0 b %d 0",
			LOOP_MAJOR);
	return ret;
}

static int loop_publish(struct ob_attach *at, struct ob_error *err)
{
	struct loop_attach *la = (struct loop_attach *)at;
	bool ro = la->f.disk.blk->limits.read_only;
	int file, ret;

	file = openat(la->mount_fd, la->f.file, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file < 0)
		return ob_error_set(err, -errno, "%s: its FUSE file cannot be opened: %s",
				    la->f.file, strerror(errno));
	ret = take_device(la, file, err);
	/* The loop device has its own hold on the file, and the file on the mount. */
	close(file);
	close(la->mount_fd);
	la->mount_fd = -1;
	return ret;
}

/* ---- unpublish and close ---------------------------------------------------------------------------- */

/* Is the device still ours? Once it is cleared its number may belong to somebody else. */
static bool still_there(const struct loop_attach *la)
{
	struct loop_info64 info;
	char path[32];
	bool there;
	int fd;

	snprintf(path, sizeof(path), "/dev/loop%d", la->number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	there = !ioctl(fd, LOOP_GET_STATUS64, &info) &&
		!strncmp((char *)info.lo_file_name, "outboard:", 9) && !la->f.broken;
	close(fd);
	return there;
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
	if (!holders_of_block(disk, la->keeper, who, sizeof(who)) && !used)
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
	stop_keeper(la);
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
	stop_keeper(la);
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
