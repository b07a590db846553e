/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounting a FUSE file system by fsopen(2), fsmount(2) and move_mount(2), or for ordinary users by fusermount3(1),
 * which hands the connection over through the socket in _FUSE_COMMFD.
 * Linux, Documentation/filesystems/fuse.rst; libfuse, doc/fusermount3.1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/fuse_mount.h"

static const char *const fusermount_paths[] = {
	"/usr/bin/fusermount3",
	"/bin/fusermount3",
	"/usr/local/bin/fusermount3",
	NULL,
};

static const char *find_fusermount(void)
{
	for (const char *const *p = fusermount_paths; *p; p++)
		if (!access(*p, X_OK))
			return *p;
	return NULL;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* ---- by the kernel's calls --------------------------------------------------------------- */

static int set_number(int fs, const char *key, unsigned int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0) ? -errno : 0;
}

/* "default_permissions,allow_other": each is a flag */
static int set_flags(int fs, const char *flags)
{
	char flag[32];
	size_t len;

	for (const char *p = flags; *p; p += len + (p[len] == ',')) {
		len = strcspn(p, ",");
		snprintf(flag, sizeof(flag), "%.*s", (int)len, p);
		if (fsconfig(fs, FSCONFIG_SET_FLAG, flag, NULL, 0))
			return -errno;
	}
	return 0;
}

static int configure(int fs, int fuse, const char *flags)
{
	int ret = set_number(fs, "fd", (unsigned int)fuse);

	if (!ret)
		ret = set_number(fs, "user_id", geteuid());
	if (!ret)
		ret = set_number(fs, "group_id", getegid());
	if (!ret)
		ret = set_flags(fs, flags);
	if (!ret && (fsconfig(fs, FSCONFIG_SET_STRING, "source", "outboard", 0) ||
		     fsconfig(fs, FSCONFIG_SET_STRING, "rootmode", "40000", 0) ||
		     fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)))
		ret = -errno;
	return ret;
}

static int mount_by_kernel(const char *flags, int *fuse, int *root)
{
	int fs, ret;

	*root = -1;
	*fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (*fuse < 0)
		return -errno;
	fs = fsopen("fuse", FSOPEN_CLOEXEC);
	ret = fs < 0 ? -errno : configure(fs, *fuse, flags);
	if (!ret) {
		*root = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
		if (*root < 0)
			ret = -errno;
	}
	close_fd(fs);
	if (ret) {
		close(*fuse);
		*fuse = -1;
	}
	return ret;
}

int fuse_mount_nowhere(const char *name, int *fuse, int *root, struct ob_error *err)
{
	int ret = mount_by_kernel("", fuse, root);

	if (ret)
		ob_error_set(err, ret, "%s: FUSE cannot be mounted: %s", name, strerror(-ret));
	return ret;
}

/* ---- by fusermount3 ---------------------------------------------------------------------- */

static int receive_fd(int sock, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPERM; /* it has ended without: its words went to standard error */
	memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return 0;
}

/* Also below sanitizers and in threaded programs: nothing but exec after the fork. */
static int mount_by_fusermount(const char *path, const char *flags, int *fuse)
{
	const char *program = find_fusermount();
	char commfd[32], options[128];
	char *const argv[] = {(char *)program, (char *)"-o", options,
			      (char *)"--",    (char *)path, NULL};
	char *const envp[] = {commfd, (char *)"PATH=/usr/bin:/bin", NULL};
	int socks[2], ret, status;
	sigset_t none;
	pid_t pid;

	*fuse = -1;
	if (!program)
		return -ENOENT;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		return -errno;
	snprintf(options, sizeof(options), "fsname=outboard,nosuid,nodev%s%s", *flags ? "," : "",
		 flags);
	snprintf(commfd, sizeof(commfd), "_FUSE_COMMFD=%d", socks[1]);
	pid = fork();
	if (!pid) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		fcntl(socks[1], F_SETFD, 0);
		execve(program, argv, envp);
		_exit(127);
	}
	close(socks[1]);
	ret = pid < 0 ? -errno : receive_fd(socks[0], fuse);
	close(socks[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return ret;
}

int fuse_mount_check(const char *attachment, const char *path, struct ob_error *err)
{
	struct stat st;

	if (!path || !*path) {
		ob_error_set(err, -EINVAL, "attachment '%s' needs a directory", attachment);
		ob_error_fix(err, "--attach %s,mountpoint=DIR", attachment);
		return -EINVAL;
	}
	if (stat(path, &st))
		return ob_error_set(err, -errno, "mountpoint '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return ob_error_set(err, -ENOTDIR, "mountpoint '%s' is not a directory", path);
	return 0;
}

int fuse_mount_prepare(const char *name, const char *path, const char *flags, int *fuse, int *root,
		       struct ob_error *err)
{
	int ret = mount_by_kernel(flags, fuse, root);

	/* Where /dev/fuse itself is closed to us fusermount3 does not help: it opens it with our rights. */
	if (ret == -EPERM)
		ret = mount_by_fusermount(path, flags, fuse);
	if (!ret)
		return 0;
	ob_error_set(err, ret, "%s: cannot mount on '%s': %s", name, path, strerror(-ret));
	if (!find_fusermount())
		ob_error_fix(err,
			     "apt-get install fuse3 (for fusermount3), run it as root, or in a "
			     "namespace of one's own: unshare -Urm");
	else if (ret == -EPERM || ret == -EACCES)
		ob_error_fix(err, "mount on a directory of your own");
	return ret;
}

int fuse_mount_place(int root, const char *path)
{
	/* fusermount3 has placed it already. */
	if (root < 0)
		return 0;
	return move_mount(root, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) ? -errno : 0;
}

/* ---- unmount ----------------------------------------------------------------------------- */

void fuse_unmount(int root, const char *path)
{
	char self[] = "/proc/self/fd/0";
	sigset_t none;

	/* By its descriptor, so that nothing else that is mounted there by now is hit. */
	if (root >= 0 && root <= 9) {
		self[sizeof(self) - 2] = (char)('0' + root);
		if (!umount2(self, MNT_DETACH))
			return;
		if (errno == EINVAL)
			return; /* it is not mounted any more */
	}
	if (!umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (const char *const *p = fusermount_paths; *p; p++)
		execl(*p, *p, "-u", "-q", "-z", "--", path, (char *)NULL);
}

void fuse_unmount_now(const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		fuse_unmount(-1, path);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* ---- probe ------------------------------------------------------------------------------- */

int fuse_mount_probe(bool nowhere, struct ob_error *err)
{
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), fs;
	int ret = fuse < 0 ? -errno : 0;

	close_fd(fuse);
	if (ret) {
		ob_error_set(err, ret, "/dev/fuse cannot be opened: %s", strerror(-ret));
		if (ret == -EACCES || ret == -EPERM)
			ob_error_fix(
				err,
				"chmod 666 /dev/fuse, which is the usual mode, or run it as root");
		else
			ob_error_fix(err, "modprobe fuse");
		return ret;
	}
	fs = fsopen("fuse", FSOPEN_CLOEXEC);
	ret = fs < 0 ? -errno : 0;
	close_fd(fs);
	if (!ret || (!nowhere && ret == -EPERM && find_fusermount()))
		return 0;
	ob_error_set(err, ret, "FUSE file systems cannot be mounted: %s", strerror(-ret));
	if (ret == -ENODEV)
		ob_error_fix(err, "modprobe fuse");
	else if (nowhere)
		ob_error_fix(err, "run it as root");
	else
		ob_error_fix(err, "apt-get install fuse3 (for fusermount3), or run it as root");
	return ret;
}
