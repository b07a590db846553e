/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "cuse": a character device as a node in /dev, by the kernel's CUSE. What clients do with it is in
 * cuse_node.c; here the node is made and removed. docs/cuse.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/cuse_node.h"
#include "attach/holders.h"

#define DEVICE "/dev/cuse"

enum {
	NAMES_MAX = 256, /* edu0 to edu255 */
	APPEAR_MS =
		10000, /* from the kernel's answer to the node: only to turn a hang into an error */
	LOOK_PAUSE_NS = 5000000, /* between two looks */
};

/**
 * struct cuse - the attachment
 * @watch: what the loop sleeps on: /dev/cuse from publish on, and @stir
 * @stir: an eventfd that makes the loop look at @end
 * @end: the node shall go; the loop's thread closes it, and says so in the node
 */
struct cuse {
	struct ob_attach at;
	struct ob_loop *loop;
	struct cuse_node node;
	int watch, stir;
	unsigned int mode;
	bool has_mode;
	atomic_bool end;
};

static struct cuse *cuse_of(const struct ob_attach *at)
{
	return (struct cuse *)at;
}

static int cuse_device(struct ob_error *err)
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

static int cuse_probe(struct ob_error *err)
{
	int fd = cuse_device(err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static unsigned int serve(void *arg, unsigned int budget)
{
	struct cuse *c = arg;

	if (ob_unlikely(atomic_load_explicit(&c->end, memory_order_acquire))) {
		uint64_t n;

		if (read(c->stir, &n, sizeof(n)) < 0)
			n = 0; /* taken already */
		cuse_node_close(&c->node);
		return 0;
	}
	if (c->node.chr->ops->serve)
		c->node.chr->ops->serve(c->node.chr);
	return cuse_node_serve(&c->node, budget);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct cuse *c = arg;

	cuse_node_tick(&c->node);
}

/* ---- open and close --------------------------------------------------------------------------- */

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
static int choose_name(const char *pattern, char *name, size_t size, struct ob_error *err)
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
		snprintf(name, size, "%s", pattern);
		if (!taken(name))
			return 0;
		ob_error_set(err, -EEXIST, "cuse: there is a /dev/%s already", name);
		ob_error_fix(err, "leave name= out, or choose another");
		return -EEXIST;
	}
	for (unsigned int i = 0; i < NAMES_MAX; i++) {
		snprintf(name, size, "%.*s%u%s", (int)(mark - pattern), pattern, i, mark + 2);
		if (!taken(name))
			return 0;
	}
	return ob_error_set(err, -EEXIST, "cuse: all %d names like '%s' are in use", NAMES_MAX,
			    pattern);
}

static int get_mode(struct cuse *c, struct ob_spec_part *part, struct ob_error *err)
{
	const char *text = ob_spec_get(part, "mode");
	char *end;

	if (!text)
		return 0;
	c->mode = (unsigned int)strtoul(text, &end, 8);
	c->has_mode = true;
	if (*text && !*end && c->mode <= 0777)
		return 0;
	ob_error_set(err, -EINVAL, "cuse: mode=%s is no access mode", text);
	ob_error_fix(err, "three octal digits, e.g. mode=660");
	return -EINVAL;
}

static void cuse_close(struct ob_attach *at)
{
	struct cuse *c = cuse_of(at);

	ob_loop_remove(c->loop, c);
	cuse_node_close(&c->node);
	if (c->watch >= 0)
		close(c->watch);
	if (c->stir >= 0)
		close(c->stir);
	free(c);
}

static int cuse_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct ob_loop_source source = {.name = "cuse", .poll = serve, .tick = tick, .level = true};
	const char *pattern = ob_spec_get(part, "name");
	char name[sizeof(((struct cuse_node *)0)->name)], usual[48];
	struct cuse *c = calloc(1, sizeof(*c));
	int ret, fd;

	if (!c)
		return ob_error_set(err, -ENOMEM, "no memory for a node");
	c->loop = loop;
	c->watch = c->stir = -1;
	snprintf(usual, sizeof(usual), "%.32s%%d", b->chr->name);
	ret = choose_name(pattern ? pattern : usual, name, sizeof(name), err);
	if (!ret)
		ret = get_mode(c, part, err);
	if (ret)
		goto close;
	fd = cuse_device(err);
	ret = fd;
	if (fd < 0)
		goto close;
	ret = cuse_node_open(&c->node, b->chr, name, fd, err);
	if (ret)
		goto close;
	c->watch = epoll_create1(EPOLL_CLOEXEC);
	c->stir = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->watch < 0 || c->stir < 0 || epoll_ctl(c->watch, EPOLL_CTL_ADD, c->stir, &ev)) {
		ret = ob_error_set(err, -errno, "cuse: no descriptors to wait on: %s",
				   strerror(errno));
		goto close;
	}
	if (b->chr->ops->serve && epoll_ctl(c->watch, EPOLL_CTL_ADD, b->chr->fd, &ev)) {
		ret = ob_error_set(err, -errno, "cuse: %s cannot be waited for: %s", name,
				   strerror(errno));
		goto close;
	}
	*at = &c->at;
	/* Until publish the kernel's first message is left unread, so there is no node. */
	source.arg = c;
	source.fd = c->watch;
	ret = ob_loop_add(loop, &source);
	if (!ret)
		return 0;
	ob_error_set(err, ret, "cuse: the loop takes no more sources");
close:
	cuse_close(&c->at);
	return ret;
}

/* ---- publish and unpublish: from another thread --------------------------------------------------- */

/* Look until @done, or the node has ended, or for too long. */
static bool wait_until(struct cuse *c, bool (*done)(struct cuse *c))
{
	const struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};

	for (unsigned int ms = 0; ms < APPEAR_MS; ms += LOOK_PAUSE_NS / 1000000) {
		if (done(c))
			return true;
		if (atomic_load(&c->node.ended))
			break;
		nanosleep(&pause, NULL);
	}
	return done(c);
}

static bool is_there(struct cuse *c)
{
	char path[96];

	snprintf(path, sizeof(path), "/dev/%s", c->node.name);
	return atomic_load(&c->node.ready) && !access(path, F_OK);
}

static bool has_ended(struct cuse *c)
{
	return atomic_load(&c->node.ended);
}

static int cuse_publish(struct ob_attach *at, struct ob_error *err)
{
	struct cuse *c = cuse_of(at);
	struct epoll_event ev = {.events = EPOLLIN};
	char path[96];

	snprintf(path, sizeof(path), "/dev/%s", c->node.name);
	if (epoll_ctl(c->watch, EPOLL_CTL_ADD, c->node.fd, &ev))
		return ob_error_set(err, -errno, "cuse: %s: %s", path, strerror(errno));
	if (!wait_until(c, is_there)) {
		ob_error_set(err, -EIO, "cuse: the kernel did not make %s", path);
		ob_error_why(err, atomic_load(&c->node.ended)
					  ? "it ended the connection; its log may say more"
					  : "nothing makes nodes in /dev here (devtmpfs, udev)");
		return -EIO;
	}
	if (c->has_mode && chmod(path, c->mode))
		return ob_error_set(err, -errno, "cuse: mode of %s: %s", path, strerror(errno));
	return 0;
}

static int cuse_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct cuse *c = cuse_of(at);
	unsigned int files = atomic_load(&c->node.opened);
	const uint64_t one = 1;
	char who[64];

	if (files && !force) {
		holder_name(atomic_load(&c->node.last_pid), who, sizeof(who));
		ob_error_set(err, -EBUSY, "/dev/%s is in use", c->node.name);
		ob_error_why(err, "it is open %u time%s, last by %s", files, files > 1 ? "s" : "",
			     who);
		return -EBUSY;
	}
	atomic_store_explicit(&c->end, true, memory_order_release);
	if (write(c->stir, &one, sizeof(one)) < 0)
		return 0; /* full: readable all the same */
	wait_until(c, has_ended);
	return 0;
}

static void cuse_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct cuse *c = cuse_of(at);

	memset(info, 0, sizeof(*info));
	info->kind = "cuse";
	snprintf(info->name, sizeof(info->name), "/dev/%s", c->node.name);
	snprintf(info->detail, sizeof(info->detail), "%s",
		 c->node.chr->ops->answer ? "lines" : "bytes");
}

static void cuse_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	*stats = cuse_of(at)->node.stats;
}

const struct ob_attach_ops ob_attach_cuse = {
	.name = "cuse",
	.summary = "a character device as a node in /dev",
	.class_ = OB_CLASS_CHAR,
	.options = "name=NAME, mode=OCTAL",
	.probe = cuse_probe,
	.open = cuse_open,
	.publish = cuse_publish,
	.unpublish = cuse_unpublish,
	.close = cuse_close,
	.info = cuse_info,
	.stats = cuse_stats,
};
