/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the attachments "fuse" and "loop" need rights for, as operations of the broker (attach/broker.h): mounting, loop devices, and the child
 * that holds them (fuse_keeper.c). Linux, drivers/block/loop.c; loop(4), move_mount(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/fuse.h"
#include "attach/fuse_broker.h"
#include "attach/fuse_mount.h"

/* ---- mounting -------------------------------------------------------------------------------- */

/* A directory that the command line names, in whatever way. */
static bool is_said(const char *path)
{
	char absolute[PATH_MAX];
	const char *typed;

	if (!broker_serves())
		return true;
	for (unsigned int i = 0; (typed = broker_said_next("mountpoint", i)); i++)
		if (realpath(typed, absolute) && !strcmp(absolute, path))
			return true;
	return false;
}

int broker_fuse_mount(struct broker_call *c, struct ob_error *err)
{
	struct broker_fuse a = *(const struct broker_fuse *)c->arg;
	char absolute[PATH_MAX];
	int fuse, root = -1, ret = 0;

	a.name[sizeof(a.name) - 1] = a.path[sizeof(a.path) - 1] = '\0';
	if (!*a.path) {
		ret = fuse_mount_nowhere(a.name, &fuse, &root, err);
	} else {
		ret = fuse_mount_check("fuse", a.path, err);
		if (!ret && (!realpath(a.path, absolute) || strlen(absolute) >= sizeof(a.path)))
			ret = ob_error_set(err, -ENAMETOOLONG, "mountpoint '%s' is too long",
					   a.path);
		if (!ret && !is_said(absolute))
			ret = ob_error_set(err, -EPERM,
					   "fuse: the driver process asks for another directory");
		if (!ret) {
			strcpy(a.path, absolute);
			ret = fuse_mount_prepare(a.name, a.path, "", &fuse, &root, err);
		}
	}
	if (ret)
		return ret;
	a.placed = root < 0;
	c->res_fd[c->nr_res_fds++] = fuse;
	if (root >= 0)
		c->res_fd[c->nr_res_fds++] = root;
	memcpy(c->res, &a, sizeof(a));
	return 0;
}

int broker_fuse_unmount(struct broker_call *c, struct ob_error *err)
{
	struct broker_fuse a = *(const struct broker_fuse *)c->arg;

	a.path[sizeof(a.path) - 1] = '\0';
	if (!is_said(a.path))
		return -EPERM;
	fuse_unmount_now(a.path);
	return 0;
}

int broker_fuse_unused(struct broker_call *c, struct ob_error *err)
{
	struct broker_fuse a = *(const struct broker_fuse *)c->arg;

	a.path[sizeof(a.path) - 1] = '\0';
	return is_said(a.path) ? holder_check_unused(a.path, a.except, err) : -EPERM;
}

/* ---- a loop device, in the child that holds it ------------------------------------------------- */

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

static int configure_loop(int fd, struct loop_config *config)
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
static int take_device(struct loop_config *config, int result[])
{
	int access = config->info.lo_flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR;
	int control, ret = -EBUSY;

	result[LOOP_STEP] = LOOP_STEP_CONTROL;
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
		result[LOOP_STEP] = LOOP_STEP_NODE;
		result[LOOP_NUMBER] = number;
		device_path(path, (unsigned int)number);
		fd = open(path, access | O_CLOEXEC);
		if (fd < 0) {
			ret = -errno;
			break;
		}
		result[LOOP_STEP] = LOOP_STEP_CONFIGURE;
		ret = configure_loop(fd, config);
		if (ret) {
			close(fd);
			continue;
		}
		result[LOOP_DIRECT] =
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
	const struct broker_hold *a = arg;
	struct loop_config config = {
		.block_size = a->block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int file, ret;

	if (a->direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (a->partscan)
		config.info.lo_flags |= LO_FLAGS_PARTSCAN;
	if (a->read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	memcpy(config.info.lo_file_name, "outboard:", 9);
	strncpy((char *)config.info.lo_file_name + 9, a->file,
		sizeof(config.info.lo_file_name) - 10);
	result[LOOP_STEP] = LOOP_STEP_FILE;
	file = openat(root, a->file, (a->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file < 0)
		return -errno;
	config.fd = (uint32_t)file;
	ret = take_device(&config, result);
	/* The loop device has its own hold on the file. */
	close(file);
	return ret;
}

/* ---- a mount, in the child that holds it --------------------------------------------------------- */

static int place(void *arg, int root, int result[KEEPER_RESULTS])
{
	const struct broker_hold *a = arg;

	return fuse_mount_place(a->placed ? -1 : root, a->path);
}

static void unmount(void *arg, int root)
{
	const struct broker_hold *a = arg;

	fuse_unmount(root, a->path);
}

/* ---- the child ------------------------------------------------------------------------------------ */

int broker_fuse_hold(struct broker_call *c, struct ob_error *err)
{
	struct broker_hold a = *(const struct broker_hold *)c->arg;
	struct fuse_keeper_job job = {.root = a.placed ? -1 : c->fd[1], .arg = &a};
	struct fuse_log *log;
	struct stat st;
	int pidfd, go, ret;

	a.file[sizeof(a.file) - 1] = a.path[sizeof(a.path) - 1] = '\0';
	/* Memory of its own, and enough of it: what is cut off later ends the child. */
	if (fstat(c->fd[0], &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(*log) ||
	    strchr(a.file, '/') || (*a.path && !is_said(a.path)))
		return -EPERM;
	log = mmap(NULL, sizeof(*log), PROT_READ | PROT_WRITE, MAP_SHARED, c->fd[0], 0);
	if (log == MAP_FAILED)
		return -errno;
	job.report = &log->report;
	if (*a.path) {
		job.path = a.path;
		job.setup = place;
		job.at_end = unmount;
	} else {
		job.setup = setup_loop;
	}
	ret = fuse_keeper_spawn(&job, &pidfd, &go);
	munmap(log, sizeof(*log));
	if (ret)
		return ret;
	c->res_fd[c->nr_res_fds++] = pidfd;
	c->res_fd[c->nr_res_fds++] = go;
	return 0;
}

/* ---- loop devices ---------------------------------------------------------------------------------- */

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

int broker_loop_look(struct broker_call *c, struct ob_error *err)
{
	const struct broker_loop *a = c->arg;
	struct broker_loop *res = c->res;
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/loop%d/loop/backing_file", a->number);
	res->there = !access(path, F_OK);
	read_diskseq(a->number, res->diskseq, sizeof(res->diskseq));
	return 0;
}

/* Nobody else has it: an exclusive open fails while it is mounted, in whatever namespace. */
static int check_idle(int number, pid_t except, struct ob_error *err)
{
	char disk[16], path[32], who[256];
	bool used;
	int fd;

	snprintf(disk, sizeof(disk), "loop%d", number);
	snprintf(path, sizeof(path), "/dev/%s", disk);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	used = fd < 0 && errno == EBUSY;
	if (fd >= 0)
		close(fd);
	if (!holders_of_block(disk, except, who, sizeof(who)) && !used)
		return 0;
	ob_error_set(err, -EBUSY, "%s is in use", path);
	ob_error_why(err, "%s", who[0] ? who : "it is mounted in another mount namespace");
	ob_error_fix(err, "umount %s", path);
	return -EBUSY;
}

int broker_loop_idle(struct broker_call *c, struct ob_error *err)
{
	const struct broker_loop *a = c->arg;

	return check_idle(a->number, a->except, err);
}

/* ---- for the attachments ----------------------------------------------------------------------------- */

int fuse_mount_broker(const char *name, char path[512], int *fuse, int *root, struct ob_error *err)
{
	struct broker_fuse a = {.placed = false};
	struct broker_call c = {
		.arg = &a,
		.arg_size = sizeof(a),
		.res = &a,
		.res_size = sizeof(a),
	};
	int ret;

	snprintf(a.name, sizeof(a.name), "%s", name);
	if (path)
		memcpy(a.path, path, sizeof(a.path));
	ret = broker_call(BROKER_FUSE_MOUNT, &c, err);
	if (ret)
		return ret;
	*fuse = c.res_fd[0];
	*root = a.placed ? -1 : c.res_fd[1];
	if (path)
		memcpy(path, a.path, sizeof(a.path));
	return 0;
}

void fuse_unmount_broker(const char *path)
{
	struct broker_fuse a = {.placed = true};
	struct broker_call c = {.arg = &a, .arg_size = sizeof(a)};

	snprintf(a.path, sizeof(a.path), "%s", path);
	broker_call(BROKER_FUSE_UNMOUNT, &c, NULL);
}

int fuse_hold_spawn(const struct broker_hold *hold, int log, int root, int *pidfd, int *go)
{
	struct broker_call c = {
		.arg = hold,
		.arg_size = sizeof(*hold),
		.fd = {log, root >= 0 ? root : log},
		.nr_fds = 2,
	};
	int ret = broker_call(BROKER_FUSE_HOLD, &c, NULL);

	if (ret)
		return ret;
	*pidfd = c.res_fd[0];
	*go = c.res_fd[1];
	return 0;
}

int fuse_check_unused(const char *path, pid_t except, struct ob_error *err)
{
	struct broker_fuse a = {.except = except};
	struct broker_call c = {.arg = &a, .arg_size = sizeof(a)};

	snprintf(a.path, sizeof(a.path), "%s", path);
	return broker_call(BROKER_FUSE_UNUSED, &c, err);
}

int loop_check_idle(int number, pid_t except, struct ob_error *err)
{
	struct broker_loop a = {.number = number, .except = except};
	struct broker_call c = {.arg = &a, .arg_size = sizeof(a)};

	return broker_call(BROKER_LOOP_IDLE, &c, err);
}

void loop_look(int number, struct broker_loop *look)
{
	struct broker_loop a = {.number = number};
	struct broker_call c = {
		.arg = &a,
		.arg_size = sizeof(a),
		.res = look,
		.res_size = sizeof(*look),
	};

	memset(look, 0, sizeof(*look));
	broker_call(BROKER_LOOP_LOOK, &c, NULL);
}
