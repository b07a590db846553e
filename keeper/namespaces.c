/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Namespaces of a driver process, and its root: an empty, read-only file system of memory in which only that exists which is
 * to be loaded. namespaces(7), pivot_root(2), mount_setattr(2).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sched.h>

#include "keeper/sandbox_parts.h"

const char *const sandbox_library_paths[] = {
	"/etc/ld.so.cache", "/lib", "/lib64", "/usr/lib", "/usr/lib64", NULL,
};

/* ---- fork ------------------------------------------------------------------------------------------------------------- */

bool sandbox_has_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int n = 0;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n > 1;
}

/*
 * A new process namespace is for children only, so it has to be asked for before the child is made; then this thread's next
 * children are its own again.
 */
static pid_t fork_as_root(struct sandbox *s)
{
	int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	/*
	 * The way back is tried first: for root of a user namespace that somebody made for himself there is none, and this process could
	 * start no thread any more.
	 */
	if (own < 0 || setns(own, CLONE_NEWPID) || unshare(CLONE_NEWPID)) {
		sandbox_lacks(s, SANDBOX_PID_NS, "%s", strerror(errno));
		if (own >= 0)
			close(own);
		pid = fork();
		return pid < 0 ? -errno : pid;
	}
	pid = fork();
	if (!pid) {
		s->made_pid_ns = true;
		sandbox_is(s, SANDBOX_PID_NS, NULL);
		return 0;
	}
	if (pid < 0)
		pid = -errno;
	/* Did not fail before. */
	setns(own, CLONE_NEWPID);
	close(own);
	return pid;
}

/*
 * The namespace of processes has to be made within one of users, and a process that entered that one would not come back: so by clone3(). What
 * fork() does besides in a process with one thread is to write the child's number where the C library remembers it.
 */
static pid_t fork_as_user(struct sandbox *s)
{
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWUSER | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
		.exit_signal = SIGCHLD,
	};
	int *tid = NULL;
	long pid = -1;

	if (s->without & 1u << SANDBOX_USER_NS)
		sandbox_lacks(s, SANDBOX_PID_NS, "needs the user namespace");
	else if (sandbox_has_threads())
		sandbox_lacks(s, SANDBOX_PID_NS, "the keeper has several threads and is not root");
	else if (prctl(PR_GET_TID_ADDRESS, &tid))
		sandbox_lacks(s, SANDBOX_PID_NS, "this kernel has no PR_GET_TID_ADDRESS");
	else {
		args.child_tid = (uint64_t)(uintptr_t)tid;
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid < 0)
			sandbox_lacks(s, SANDBOX_PID_NS, "%s", strerror(errno));
	}
	if (pid < 0) {
		pid = fork();
		return pid < 0 ? -errno : (pid_t)pid;
	}
	if (!pid) {
		s->made_pid_ns = true;
		s->made_user_ns = true;
		sandbox_is(s, SANDBOX_PID_NS, NULL);
	}
	return (pid_t)pid;
}

pid_t sandbox_fork(struct sandbox *s)
{
	pid_t pid;

	if (s->without & 1u << SANDBOX_PID_NS) {
		sandbox_lacks(s, SANDBOX_PID_NS, "not wanted");
		pid = fork();
		pid = pid < 0 ? -errno : pid;
	} else {
		pid = s->as_root ? fork_as_root(s) : fork_as_user(s);
	}
	if (!pid)
		s->made = true;
	else if (pid > 0)
		sandbox_cgroup_put(s, pid);
	return pid;
}

/* ---- the user namespace of an ordinary user ------------------------------------------------------------------------------- */

/* The user stays who he is: of the keeper's files the namespace gives him none more. */
static int map_user(const struct sandbox *s)
{
	char text[64];
	int ret;

	snprintf(text, sizeof(text), "%u %u 1\n", s->keeper_uid, s->keeper_uid);
	ret = sandbox_write(AT_FDCWD, "/proc/self/uid_map", text);
	if (!ret)
		ret = sandbox_write(AT_FDCWD, "/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1\n", s->keeper_gid, s->keeper_gid);
	if (!ret)
		ret = sandbox_write(AT_FDCWD, "/proc/self/gid_map", text);
	return ret;
}

static bool enter_user_ns(struct sandbox *s)
{
	int ret = 0;

	if (!sandbox_wants(s, SANDBOX_USER_NS))
		return false;
	if (!s->made_user_ns && unshare(CLONE_NEWUSER))
		ret = -errno;
	if (!ret)
		ret = map_user(s);
	if (!ret) {
		sandbox_is(s, SANDBOX_USER_NS, NULL);
		return true;
	}
	sandbox_lacks(s, SANDBOX_USER_NS, "%s%s", strerror(-ret),
		      ret == -EPERM || ret == -ENOSPC || ret == -EACCES
			      ? ": this system gives ordinary users none (sysctl "
				"user.max_user_namespaces, kernel.unprivileged_userns_clone)"
			      : "");
	return false;
}

/* ---- the root --------------------------------------------------------------------------------------------------------------- */

/* Folders down to what lies at @path (absolute, no ".."), and it itself as an empty folder or file. */
static int make_place(const char *path, bool folder)
{
	char at[4096];
	int fd;

	if (snprintf(at, sizeof(at), ".%s", path) >= (int)sizeof(at))
		return -ENAMETOOLONG;
	for (char *p = at + 2; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (mkdir(at, 0755) && errno != EEXIST)
			return -errno;
	}
	if (folder)
		return mkdir(at, 0755) && errno != EEXIST ? -errno : 0;
	fd = open(at, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static bool plain_path(const char *path)
{
	return path[0] == '/' && path[1] && !strstr(path, "//") && !strstr(path, "/../") &&
	       !strstr(path, "/./") && path[strlen(path) - 1] != '/';
}

/* What is shown inside: a copy of each mount, so that it can be read-only there alone. */
struct shown {
	const char *path;
	int fd;
};

enum {
	SHOWN = 64,
};

/* Return: 0; -ENOENT. */
static int take(struct shown *shown)
{
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};

	if (!plain_path(shown->path))
		return -EINVAL;
	shown->fd = open_tree(AT_FDCWD, shown->path,
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (shown->fd < 0)
		return -errno;
	return mount_setattr(shown->fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr))
		       ? -errno
		       : 0;
}

static int put_in_place(const struct shown *shown)
{
	char at[4096];
	struct stat st;
	int ret = fstat(shown->fd, &st) ? -errno : make_place(shown->path, S_ISDIR(st.st_mode));

	snprintf(at, sizeof(at), ".%s", shown->path);
	if (!ret && move_mount(shown->fd, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH))
		ret = -errno;
	return ret;
}

static int not_shown(const char *path, int ret, struct ob_error *err)
{
	return ob_error_set(err, ret, "sandbox: '%s' cannot be shown inside: %s", path,
			    ret == -EINVAL ? "it is no plain absolute path" : strerror(-ret));
}

/* The descriptors are closed with all others that are not kept. */
static int take_all(const struct sandbox *s, struct shown *shown, unsigned int *n,
		    struct ob_error *err)
{
	int ret;

	*n = 0;
	if (s->nr_read > SHOWN / 2)
		return ob_error_set(err, -E2BIG, "sandbox: more than %d paths are to be shown",
				    SHOWN / 2);
	for (unsigned int i = 0; i < s->nr_read; i++) {
		shown[*n].path = s->read[i];
		ret = take(&shown[(*n)++]);
		if (ret)
			return not_shown(s->read[i], ret, err);
	}
	for (unsigned int i = 0; s->system_libraries && sandbox_library_paths[i]; i++) {
		shown[*n].path = sandbox_library_paths[i];
		ret = take(&shown[*n]);
		if (ret && ret != -ENOENT)
			return not_shown(sandbox_library_paths[i], ret, err);
		*n += !ret;
	}
	return 0;
}

/*
 * The root is "." from now on, and nobody gets back. "." over ".": the old root lies on top of the new one, and is taken from there. The
 * ramdisk that a kernel boots from cannot be taken away (pivot_root(2): EINVAL): there the new root goes over it.
 */
static bool enter_root(void)
{
	if (!syscall(SYS_pivot_root, ".", "."))
		return !umount2(".", MNT_DETACH) && !chdir("/");
	return errno == EINVAL && !mount(".", "/", NULL, MS_MOVE, NULL) && !chroot(".");
}

/*
 * The place for it: any folder does, since the mount is this namespace's own. It hides what was there, so what is shown is taken
 * before; relative paths are the new root's then.
 */
static int change_root(const struct sandbox *s, struct ob_error *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	struct shown shown[SHOWN];
	const char *step = "mount";
	unsigned int n;
	int ret;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		goto failed;
	ret = take_all(s, shown, &n, err);
	if (ret)
		return ret;
	if (mount("outboard", "/tmp", "tmpfs", flags, "mode=0755,size=1M,nr_inodes=4096") ||
	    chdir("/tmp"))
		goto failed;
	for (unsigned int i = 0; i < n; i++) {
		ret = put_in_place(&shown[i]);
		if (ret)
			return not_shown(shown[i].path, ret, err);
	}
	step = "pivot_root";
	if (!enter_root() || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL))
		goto failed;
	return 0;

failed:
	return ob_error_set(err, -errno, "sandbox: %s: %s", step, strerror(errno));
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------- */

static const struct {
	enum sandbox_measure measure;
	int flag;
} spaces[] = {
	{SANDBOX_NET_NS, CLONE_NEWNET},
	{SANDBOX_IPC_NS, CLONE_NEWIPC},
	{SANDBOX_UTS_NS, CLONE_NEWUTS},
};

/* In a chroot it is a folder like others, and pivot_root() refuses that. */
static bool root_is_a_mount(void)
{
	struct statx st;

	return statx(AT_FDCWD, "/", 0, 0, &st) || (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int sandbox_unshare(struct sandbox *s, struct ob_error *err)
{
	bool may = s->as_root || enter_user_ns(s);
	int ret;

	if (s->as_root)
		sandbox_lacks(s, SANDBOX_USER_NS, "not needed: the keeper is root");
	if (!s->made_pid_ns && sandbox_wants(s, SANDBOX_PID_NS) &&
	    !*s->report->measure[SANDBOX_PID_NS].why)
		sandbox_lacks(s, SANDBOX_PID_NS, "the process was not made by sandbox_fork()");
	for (unsigned int i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		if (!sandbox_wants(s, spaces[i].measure))
			continue;
		if (!may)
			sandbox_lacks(s, spaces[i].measure, "needs the user namespace");
		else if (unshare(spaces[i].flag))
			sandbox_lacks(s, spaces[i].measure, "%s", strerror(errno));
		else
			sandbox_is(s, spaces[i].measure, NULL);
	}
	if (!sandbox_wants(s, SANDBOX_MOUNT_NS))
		return 0;
	if (!root_is_a_mount()) {
		sandbox_lacks(s, SANDBOX_MOUNT_NS, "the root of the keeper is no mount (chroot)");
		return 0;
	}
	if (!may || unshare(CLONE_NEWNS)) {
		sandbox_lacks(s, SANDBOX_MOUNT_NS, "%s",
			      may ? strerror(errno) : "needs the user namespace");
		return 0;
	}
	ret = change_root(s, err);
	if (!ret)
		sandbox_is(s, SANDBOX_MOUNT_NS,
			   s->nr_read || s->system_libraries ? "an empty root with what is loaded"
							     : "an empty root");
	return ret;
}
