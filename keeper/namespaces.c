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
 * A new process namespace is for children only, so it has to be asked for with the child. What fork() does besides
 * clone3() in a process with one thread is to write the child's number where the C library remembers it.
 */
pid_t sandbox_fork(struct sandbox *s)
{
	struct clone_args args = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
	int *tid = NULL;
	long pid = -1;

	if (s->without & 1u << SANDBOX_PID_NS ||
	    (!s->as_root && s->without & 1u << SANDBOX_USER_NS))
		goto plain;
	if (sandbox_has_threads()) {
		sandbox_lacks(s, SANDBOX_PID_NS, "the keeper has several threads");
		goto plain;
	}
	if (prctl(PR_GET_TID_ADDRESS, &tid)) {
		sandbox_lacks(s, SANDBOX_PID_NS,
			      "this kernel has no checkpoints (PR_GET_TID_ADDRESS)");
		goto plain;
	}
	args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	args.child_tid = (uint64_t)(uintptr_t)tid;
	if (!s->as_root)
		args.flags |= CLONE_NEWUSER;
	/* What stdio holds would be written twice, as with fork(). */
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0) {
		sandbox_lacks(s, SANDBOX_PID_NS, "%s", strerror(errno));
		goto plain;
	}
	if (!pid) {
		s->made_pid_ns = true;
		s->made_user_ns = !s->as_root;
		sandbox_is(s, SANDBOX_PID_NS, NULL);
	}
	return (pid_t)pid;

plain:
	pid = fork();
	return pid < 0 ? -errno : (pid_t)pid;
}

/* ---- the user namespace of an ordinary user ------------------------------------------------------------------------------- */

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* The user stays who he is: of the keeper's files the namespace gives him none more. */
static int map_user(const struct sandbox *s)
{
	char text[64];
	int ret;

	snprintf(text, sizeof(text), "%u %u 1\n", s->keeper_uid, s->keeper_uid);
	ret = put("/proc/self/uid_map", text);
	if (!ret)
		ret = put("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1\n", s->keeper_gid, s->keeper_gid);
	if (!ret)
		ret = put("/proc/self/gid_map", text);
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

/* A copy of the mount, so that it can be read-only here alone. */
static int show_path(const char *path)
{
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	char at[4096];
	struct stat st;
	int fd, ret;

	fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0)
		return -errno;
	ret = fstat(fd, &st) ? -errno : make_place(path, S_ISDIR(st.st_mode));
	if (!ret && mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)))
		ret = -errno;
	snprintf(at, sizeof(at), ".%s", path);
	if (!ret && move_mount(fd, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH))
		ret = -errno;
	close(fd);
	return ret;
}

static bool plain_path(const char *path)
{
	return path[0] == '/' && path[1] && !strstr(path, "//") && !strstr(path, "/../") &&
	       !strstr(path, "/./") && path[strlen(path) - 1] != '/';
}

static int show_all(const struct sandbox *s, struct ob_error *err)
{
	for (unsigned int i = 0; i < s->nr_read; i++) {
		int ret = plain_path(s->read[i]) ? show_path(s->read[i]) : -EINVAL;

		if (ret)
			return ob_error_set(err, ret, "sandbox: '%s' cannot be shown inside: %s",
					    s->read[i],
					    ret == -EINVAL && !plain_path(s->read[i])
						    ? "it is no plain absolute path"
						    : strerror(-ret));
	}
	for (unsigned int i = 0; s->system_libraries && sandbox_library_paths[i]; i++) {
		int ret = show_path(sandbox_library_paths[i]);

		if (ret && ret != -ENOENT)
			return ob_error_set(err, ret, "sandbox: '%s' cannot be shown inside: %s",
					    sandbox_library_paths[i], strerror(-ret));
	}
	return 0;
}

/*
 * The place for it: any folder does, since the mount is this namespace's own. What is shown is cloned while the old root can still be
 * reached by its paths; relative paths are the new root's.
 */
static int change_root(const struct sandbox *s, struct ob_error *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	const char *step = "mount";
	int ret;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("outboard", "/tmp", "tmpfs", flags, "mode=0755,size=1M,nr_inodes=4096") ||
	    chdir("/tmp"))
		goto failed;
	ret = show_all(s, err);
	if (ret)
		return ret;
	/* "." over ".": the old root lies on top of the new one, and is taken from there. */
	step = "pivot_root";
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/") ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL))
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
