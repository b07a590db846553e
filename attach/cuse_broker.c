/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the attachment "cuse" needs rights for, as operations of the broker (attach/broker.h). Who answers the kernel's first message chooses
 * the node's name, and whether the memory of who calls ioctl() is open to the server: so the broker answers it, and the driver process
 * gets the connection afterwards. Linux, fs/fuse/cuse.c and include/uapi/linux/fuse.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach/cuse_broker.h"
#include "attach/cuse_node.h"

#define DEVICE "/dev/cuse"

enum {
	NUMBERS = 256, /* edu0 to edu255 */
	/* From the answer to the node: only to turn a hang into an error. */
	APPEAR_MS = 10000,
	LOOK_MS = 5,
};

int cuse_device(struct ob_error *err)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK), ret = -errno;

	if (fd >= 0)
		return fd;
	if (ret == -ENOENT || ret == -ENODEV || ret == -ENXIO) {
		ob_error_set(err, -EOPNOTSUPP, "CUSE is not in this kernel, or not loaded");
		ob_error_why(err, "there is no " DEVICE ", which makes nodes of character devices");
		ob_error_fix(err, "sudo modprobe cuse; or, without a node: outboard char SPEC");
		return -EOPNOTSUPP;
	}
	ob_error_set(err, ret, "cuse: this user may not open " DEVICE);
	ob_error_why(err, "%s", strerror(-ret));
	ob_error_fix(err, "run as root");
	return ret;
}

/* ---- the name ---------------------------------------------------------------------------------- */

static bool taken(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/dev/%s", name);
	if (!access(path, F_OK))
		return true;
	snprintf(path, sizeof(path), "/sys/class/cuse/%s", name);
	return !access(path, F_OK);
}

/* The node's name: one %d in it is the first number that is free. */
static int choose_name(const char *pattern, char name[CUSE_NAME], struct ob_error *err)
{
	const char *mark = strstr(pattern, "%d");
	size_t len = strlen(pattern);

	if (!len || len > 40 || strchr(pattern, '/') || !strcmp(pattern, ".") ||
	    !strcmp(pattern, "..") || strpbrk(pattern, " \t\n!") ||
	    (strchr(pattern, '%') && (!mark || strchr(mark + 1, '%')))) {
		ob_error_set(err, -EINVAL, "cuse: '%s' cannot be the name of a node", pattern);
		ob_error_fix(err, "1 to 40 characters without '/' and spaces, e.g. name=edu0");
		return -EINVAL;
	}
	if (!mark) {
		snprintf(name, CUSE_NAME, "%s", pattern);
		if (!taken(name))
			return 0;
		ob_error_set(err, -EEXIST, "cuse: there is a /dev/%s already", name);
		ob_error_fix(err, "leave name= out, or choose another");
		return -EEXIST;
	}
	for (unsigned int i = 0; i < NUMBERS; i++) {
		snprintf(name, CUSE_NAME, "%.*s%u%s", (int)(mark - pattern), pattern, i, mark + 2);
		if (!taken(name))
			return 0;
	}
	return ob_error_set(err, -EEXIST, "cuse: all %d names like '%s' are in use", NUMBERS,
			    pattern);
}

static bool is_said(uint32_t mode)
{
	const char *said;

	for (unsigned int i = 0; (said = broker_said_next("mode", i)); i++)
		if (strtoul(said, NULL, 8) == mode)
			return true;
	return !broker_serves();
}

/*
 * A name that the command line does not give is the device's kind with a number, which its driver says: then it has a number, so that it
 * is not what something else in /dev is known by.
 */
static int check_said(const struct broker_cuse *a, struct ob_error *err)
{
	if ((broker_said("name", a->name) || strstr(a->name, "%d")) &&
	    (!a->has_mode || is_said(a->mode)))
		return 0;
	return ob_error_set(err, -EPERM, "cuse: the driver process asks for another node");
}

/* ---- the first message --------------------------------------------------------------------------- */

static int read_init(int fd, struct broker_cuse *a)
{
	/* The kernel takes no buffer below FUSE_MIN_READ_BUFFER. */
	_Alignas(8) char message[FUSE_MIN_READ_BUFFER];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct fuse_in_header h;
	ssize_t n;

	if (poll(&p, 1, APPEAR_MS) <= 0)
		return -ETIMEDOUT;
	n = read(fd, message, sizeof(message));
	if (n < (ssize_t)sizeof(a->init))
		return n < 0 ? -errno : -EPROTO;
	memcpy(a->init, message, sizeof(a->init));
	memcpy(&h, message, sizeof(h));
	return h.opcode == CUSE_INIT ? 0 : -EPROTO;
}

static int answer_init(int fd, const struct broker_cuse *a)
{
	const struct fuse_in_header *h = (const struct fuse_in_header *)a->init;
	/* No flags: the server sees no memory but what is an ioctl's by its number. */
	struct cuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_read = CUSE_WRITE_MAX,
		.max_write = CUSE_WRITE_MAX,
	};
	char info[CUSE_NAME + 16];
	struct fuse_out_header out = {.unique = h->unique};
	struct iovec iov[3] = {{&out, sizeof(out)}, {&init, sizeof(init)}, {info, 0}};

	iov[2].iov_len = (size_t)snprintf(info, sizeof(info), "DEVNAME=%s", a->name) + 1;
	out.len = (uint32_t)(sizeof(out) + sizeof(init) + iov[2].iov_len);
	return writev(fd, iov, 3) < 0 ? -errno : 0;
}

static int await_node(int fd, const struct broker_cuse *a, struct ob_error *err)
{
	char path[CUSE_NAME + 8];
	struct pollfd p = {.fd = fd};

	snprintf(path, sizeof(path), "/dev/%s", a->name);
	for (unsigned int ms = 0; ms < APPEAR_MS && !p.revents; ms += LOOK_MS) {
		if (!access(path, F_OK)) {
			if (!a->has_mode || !chmod(path, a->mode))
				return 0;
			return ob_error_set(err, -errno, "cuse: mode of %s: %s", path,
					    strerror(errno));
		}
		poll(&p, 1, LOOK_MS);
	}
	ob_error_set(err, -EIO, "cuse: the kernel did not make %s", path);
	ob_error_why(err, p.revents ? "it ended the connection; its log may say more"
				    : "nothing makes nodes in /dev here (devtmpfs, udev)");
	return -EIO;
}

int broker_cuse_make(struct broker_call *c, struct ob_error *err)
{
	struct broker_cuse a = *(const struct broker_cuse *)c->arg;
	char name[CUSE_NAME];
	int fd, ret;

	a.name[sizeof(a.name) - 1] = '\0';
	ret = check_said(&a, err);
	if (!ret)
		ret = choose_name(a.name, name, err);
	if (ret)
		return ret;
	memcpy(a.name, name, sizeof(a.name));
	fd = cuse_device(err);
	if (fd < 0)
		return fd;
	ret = read_init(fd, &a);
	if (!ret)
		ret = answer_init(fd, &a);
	if (ret)
		ob_error_set(err, ret, "cuse: the kernel does not make /dev/%s: %s", a.name,
			     strerror(-ret));
	else
		ret = await_node(fd, &a, err);
	if (ret) {
		close(fd);
		return ret;
	}
	c->res_fd[c->nr_res_fds++] = fd;
	memcpy(c->res, &a, sizeof(a));
	return 0;
}

int broker_cuse_who(struct broker_call *c, struct ob_error *err)
{
	holder_name(*(const int32_t *)c->arg, c->res, CUSE_NAME);
	return 0;
}
