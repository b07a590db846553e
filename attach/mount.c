/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "mount": the file system on a disk, mounted by a Linux kernel in this process, as a directory of the host's. The disk is
 * neither a block device of the host's nor does the host's file system see it. docs/linux-fs.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/disk.h"
#include "attach/fuse_mount.h"
#include "attach/holders.h"
#include "attach/mount.h"

static int mount_probe(struct ob_error *err)
{
	return fuse_mount_probe(false, err);
}

/* ---- open ----------------------------------------------------------------------------------- */

static int read_options(struct mount_attach *m, struct ob_spec_part *part, struct ob_fs_options *o,
			bool *everybody, struct ob_error *err)
{
	uint64_t partition = 0;
	int ret;

	o->type = ob_spec_get(part, "type");
	o->options = ob_spec_get(part, "options");
	ret = ob_spec_get_u64(part, "partition", 0, 255, &partition, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "readonly", &m->read_only, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "everybody", everybody, err);
	o->partition = (unsigned int)partition;
	o->read_only = m->read_only;
	return ret;
}

/* The driver's own object where it has file systems in it, else one that a kernel is booted from for the disk. */
static int find_driver(struct mount_attach *m, const struct ob_binding *b, const char *kernel,
		       struct ob_error *err)
{
	const struct ob_driver *object;
	int ret;

	m->driver = b->driver->fs;
	if (m->driver && !kernel)
		return 0;
	ret = ob_driver_load(kernel ? kernel : "linux:ext4", &object, err);
	if (ret)
		return ret;
	m->driver = object->fs;
	if (m->driver)
		return 0;
	ob_error_set(err, -EINVAL, "%s is no Linux kernel", object->name);
	ob_error_fix(err, "outboard linux build ext4, and kernel=linux:ext4");
	return -EINVAL;
}

static int mount_inside(struct mount_attach *m, const struct ob_binding *b, const char *kernel,
			struct ob_fs_options *o, struct ob_error *err)
{
	int ret = find_driver(m, b, kernel, err);

	if (ret)
		return ret;
	o->ended = mount_ended;
	o->arg = m;
	return m->driver->mount(m->blk, o, m->loop, &m->fs, err);
}

/* What was mounted on the host, but not published. */
static void drop_mount(struct mount_attach *m)
{
	if (m->root >= 0)
		close(m->root);
	else
		fuse_unmount_now(m->mountpoint);
	m->root = -1;
}

static int connect_host(struct mount_attach *m, bool everybody, struct ob_error *err)
{
	int fuse, ret;

	/* Who may do what the modes in the file system say, and the host looks at them. */
	ret = fuse_mount_prepare(m->blk->name, m->mountpoint,
				 everybody ? "default_permissions,allow_other"
					   : "default_permissions",
				 &fuse, &m->root, err);
	if (ret)
		return ret;
	ret = mount_session_connect(m, fuse, err);
	if (ret)
		drop_mount(m);
	return ret;
}

/* Of several disks each has a folder of its name in the directory. */
static int find_mountpoint(struct mount_attach *m, const struct ob_binding *b, const char *path,
			   struct ob_error *err)
{
	char folder[PATH_MAX], absolute[PATH_MAX];
	int ret;

	ret = fuse_mount_check("mount", path, err);
	if (ret)
		return ret;
	if (b->nr_blocks > 1) {
		if (snprintf(folder, sizeof(folder), "%s/%s", path, m->blk->name) >= PATH_MAX)
			return ob_error_set(err, -ENAMETOOLONG, "mountpoint '%s' is too long",
					    path);
		path = folder;
		ret = fuse_mount_check("mount", path, err);
		if (ret) {
			ob_error_fix(err, "mkdir %s", path);
			return ret;
		}
	}
	/* Absolute, because the process may change its directory before it unmounts. */
	if (!realpath(path, absolute) || strlen(absolute) >= sizeof(m->mountpoint))
		return ob_error_set(err, -ENAMETOOLONG, "mountpoint '%s' is too long", path);
	strcpy(m->mountpoint, absolute);
	return 0;
}

static int mount_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		      struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	const char *path = ob_spec_get(part, "mountpoint");
	const char *kernel = ob_spec_get(part, "kernel");
	struct ob_fs_options o = {0};
	struct mount_attach *m = calloc(1, sizeof(*m));
	bool everybody = false;
	int ret;

	if (!m)
		return ob_error_set(err, -ENOMEM, "out of memory");
	m->blk = b->block[index];
	m->loop = loop;
	m->fd = m->root = m->sweeper_pipe = m->mount_id = -1;
	m->read_only = m->blk->limits.read_only;
	ret = find_mountpoint(m, b, path, err);
	if (ret)
		goto free;
	ret = read_options(m, part, &o, &everybody, err);
	if (ret)
		goto free;
	/* What the disk does not allow nobody can ask for. */
	m->read_only |= m->blk->limits.read_only;
	o.read_only = m->read_only;
	ret = mount_session_open(m, err);
	if (ret)
		goto free;
	ret = mount_inside(m, b, kernel, &o, err);
	if (ret)
		goto close_session;
	snprintf(m->type, sizeof(m->type), "%.31s", m->driver->type_name(m->fs));
	ret = connect_host(m, everybody, err);
	if (ret)
		goto unmount;
	*at = &m->at;
	return 0;

unmount:
	m->driver->unmount(m->fs);
close_session:
	mount_session_close(m);
free:
	free(m);
	return ret;
}

/* ---- publish -------------------------------------------------------------------------------------- */

/* Of what is mounted on @path, without a question to its server: name_to_handle_at(2), "EOVERFLOW". */
static int mount_id_of(const char *path)
{
	struct file_handle none = {.handle_bytes = 0};
	int id;

	if (name_to_handle_at(AT_FDCWD, path, &none, &id, 0) && errno != EOVERFLOW)
		return -1;
	return id;
}

/*
 * When this process dies, however it dies, nobody would take the dead mount away. Calls between fork() and the end are
 * those that signal-safety(7) allows, since there are threads.
 */
static void __attribute__((noreturn)) sweep(const struct mount_attach *m, int pipe_fd)
{
	sigset_t all;
	char word;
	ssize_t n;

	prctl(PR_SET_NAME, "outboard-sweeper");
	/* Ctrl-C on the terminal is for the parent, which ends us in order. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	dup2(pipe_fd, 0);
	/* Above all not /dev/fuse, which must end with the parent; and no pipe that somebody waits for. */
	if (syscall(SYS_close_range, 1, ~0u, 0))
		for (int fd = 1; fd < 65536; fd++) /* before Linux 5.9 */
			close(fd);
	do
		n = read(0, &word, 1);
	while (n < 0 && errno == EINTR);
	/* A byte says that all is done. And what is mounted there by now may be another's. */
	if (!n && mount_id_of(m->mountpoint) == m->mount_id)
		fuse_unmount(-1, m->mountpoint);
	_exit(0);
}

static int start_sweeper(struct mount_attach *m, struct ob_error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return ob_error_set(err, -errno, "%s: no pipe: %s", m->mountpoint, strerror(errno));
	m->sweeper = fork();
	if (!m->sweeper)
		sweep(m, fds[0]);
	close(fds[0]);
	if (m->sweeper < 0) {
		m->sweeper = 0;
		close(fds[1]);
		return ob_error_set(err, -errno, "%s: cannot start a process: %s", m->mountpoint,
				    strerror(errno));
	}
	m->sweeper_pipe = fds[1];
	return 0;
}

static void stop_sweeper(struct mount_attach *m)
{
	if (!m->sweeper)
		return;
	/* If it cannot be told it is not there. */
	if (write(m->sweeper_pipe, "!", 1) < 0)
		kill(m->sweeper, SIGKILL);
	close(m->sweeper_pipe);
	m->sweeper_pipe = -1;
	while (waitpid(m->sweeper, NULL, 0) < 0 && errno == EINTR)
		continue;
	m->sweeper = 0;
}

static int mount_publish(struct ob_attach *at, struct ob_error *err)
{
	struct mount_attach *m = (struct mount_attach *)at;
	int ret = fuse_mount_place(m->root, m->mountpoint);

	if (ret)
		return ob_error_set(err, ret, "%s cannot be mounted on '%s': %s", m->blk->name,
				    m->mountpoint, strerror(-ret));
	if (m->root >= 0)
		close(m->root);
	m->root = -1;
	m->mount_id = mount_id_of(m->mountpoint);
	ret = start_sweeper(m, err);
	if (ret)
		fuse_unmount_now(m->mountpoint);
	return ret;
}

/* ---- unpublish and close ------------------------------------------------------------------------------ */

static bool still_mounted(const struct mount_attach *m)
{
	return m->mount_id >= 0 && mount_id_of(m->mountpoint) == m->mount_id;
}

static int mount_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct mount_attach *m = (struct mount_attach *)at;

	if (!force && still_mounted(m) && holder_check_unused(m->mountpoint, m->sweeper, err))
		return -EBUSY;
	atomic_store(&m->ending, true);
	/* The host writes back what it still has, so the loop is serving meanwhile. */
	if (still_mounted(m))
		fuse_unmount_now(m->mountpoint);
	m->mount_id = -1;
	stop_sweeper(m);
	return 0;
}

static void mount_close(struct ob_attach *at)
{
	struct mount_attach *m = (struct mount_attach *)at;

	/* First the connection: nobody serves any more. */
	mount_session_abort(m);
	if (still_mounted(m))
		fuse_unmount_now(m->mountpoint);
	if (m->root >= 0)
		close(m->root);
	stop_sweeper(m);
	m->driver->unmount(m->fs);
	mount_session_close(m);
	free(m);
}

static void mount_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct mount_attach *m = (struct mount_attach *)at;

	memset(info, 0, sizeof(*info));
	info->kind = "mount";
	snprintf(info->name, sizeof(info->name), "%.127s", m->mountpoint);
	snprintf(info->detail, sizeof(info->detail), "%s of a kernel in this process%s", m->type,
		 m->read_only ? ", read-only" : "");
}

static void mount_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	const struct ob_attach_stats *s = &((struct mount_attach *)at)->stats;

	*stats = (struct ob_attach_stats){
		.requests_in = __atomic_load_n(&s->requests_in, __ATOMIC_RELAXED),
		.requests_out = __atomic_load_n(&s->requests_out, __ATOMIC_RELAXED),
		.bytes_in = __atomic_load_n(&s->bytes_in, __ATOMIC_RELAXED),
		.bytes_out = __atomic_load_n(&s->bytes_out, __ATOMIC_RELAXED),
		.kernel_copies = __atomic_load_n(&s->kernel_copies, __ATOMIC_RELAXED),
		.own_copies = __atomic_load_n(&s->own_copies, __ATOMIC_RELAXED),
		.syscalls = __atomic_load_n(&s->syscalls, __ATOMIC_RELAXED),
		.errors = __atomic_load_n(&s->errors, __ATOMIC_RELAXED),
	};
}

const struct ob_attach_ops ob_attach_mount = {
	.name = "mount",
	.summary = "the file system on a disk as a directory, by a Linux kernel in the process",
	.class_ = OB_CLASS_BLOCK,
	.options =
		"mountpoint=DIR,type=ext4,options=TEXT,partition=N,readonly=on|off,everybody=on|off",
	.probe = mount_probe,
	.open = mount_open,
	.publish = mount_publish,
	.unpublish = mount_unpublish,
	.close = mount_close,
	.info = mount_info,
	.stats = mount_stats,
};
