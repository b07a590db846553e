/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "cuse": a character device as a node in /dev, by the kernel's CUSE. What clients do with it is in
 * cuse_node.c; here the node is made and removed. docs/cuse.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/cuse_broker.h"
#include "attach/cuse_node.h"

enum {
	END_MS = 10000,		 /* only to turn a hang into an error */
	LOOK_PAUSE_NS = 5000000, /* between two looks */
};

/**
 * struct cuse - the attachment
 * @watch: what the loop sleeps on: /dev/cuse from publish on, and @stir
 * @stir: an eventfd that makes the loop look at @end
 * @open: there is a node
 * @end: the node shall go; the loop's thread closes it, and says so in the node
 */
struct cuse {
	struct ob_attach at;
	struct ob_loop *loop;
	struct cuse_node node;
	int watch, stir;
	struct broker_cuse want;
	struct ob_char *chr;
	atomic_bool open, end;
};

static struct cuse *cuse_of(const struct ob_attach *at)
{
	return (struct cuse *)at;
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

	if (ob_unlikely(!atomic_load_explicit(&c->open, memory_order_acquire)))
		return 0;
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

	if (atomic_load_explicit(&c->open, memory_order_acquire))
		cuse_node_tick(&c->node);
}

/* ---- open and close --------------------------------------------------------------------------- */

static int get_mode(struct cuse *c, struct ob_spec_part *part, struct ob_error *err)
{
	const char *text = ob_spec_get(part, "mode");
	char *end;

	if (!text)
		return 0;
	c->want.mode = (uint32_t)strtoul(text, &end, 8);
	c->want.has_mode = true;
	if (*text && !*end && c->want.mode <= 0777)
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
	struct cuse *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return ob_error_set(err, -ENOMEM, "no memory for a node");
	c->loop = loop;
	c->chr = b->chr;
	c->watch = c->stir = -1;
	if (pattern)
		snprintf(c->want.name, sizeof(c->want.name), "%s", pattern);
	else
		snprintf(c->want.name, sizeof(c->want.name), "%.32s%%d", b->chr->name);
	ret = get_mode(c, part, err);
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
		ret = ob_error_set(err, -errno, "cuse: %s cannot be waited for: %s", b->chr->name,
				   strerror(errno));
		goto close;
	}
	*at = &c->at;
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

static int cuse_publish(struct ob_attach *at, struct ob_error *err)
{
	struct cuse *c = cuse_of(at);
	struct epoll_event ev = {.events = EPOLLIN};
	struct broker_cuse made;
	struct broker_call call = {
		.arg = &c->want,
		.arg_size = sizeof(c->want),
		.res = &made,
		.res_size = sizeof(made),
	};
	int ret = broker_call(BROKER_CUSE_MAKE, &call, err);

	if (!ret)
		ret = cuse_node_open(&c->node, c->chr, made.name, call.res_fd[0], made.init,
				     sizeof(made.init), err);
	if (ret)
		return ret;
	atomic_store_explicit(&c->open, true, memory_order_release);
	if (epoll_ctl(c->watch, EPOLL_CTL_ADD, call.res_fd[0], &ev))
		return ob_error_set(err, -errno, "cuse: /dev/%s: %s", made.name, strerror(errno));
	return 0;
}

static void in_use(const struct cuse *c, unsigned int files, struct ob_error *err)
{
	int32_t pid = atomic_load(&c->node.last_pid);
	char who[CUSE_NAME] = "";
	struct broker_call call = {
		.arg = &pid,
		.arg_size = sizeof(pid),
		.res = who,
		.res_size = sizeof(who),
	};

	broker_call(BROKER_CUSE_WHO, &call, NULL);
	ob_error_set(err, -EBUSY, "/dev/%s is in use", c->node.name);
	ob_error_why(err, "it is open %u time%s, last by %s", files, files > 1 ? "s" : "", who);
}

static int cuse_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};
	struct cuse *c = cuse_of(at);
	unsigned int files = atomic_load(&c->node.opened);
	const uint64_t one = 1;

	if (!atomic_load(&c->open))
		return 0;
	if (files && !force) {
		in_use(c, files, err);
		return -EBUSY;
	}
	atomic_store_explicit(&c->end, true, memory_order_release);
	if (write(c->stir, &one, sizeof(one)) < 0)
		return 0; /* full: readable all the same */
	for (unsigned int ms = 0; ms < END_MS && !atomic_load(&c->node.ended);
	     ms += LOOK_PAUSE_NS / 1000000)
		nanosleep(&pause, NULL);
	return 0;
}

static void cuse_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct cuse *c = cuse_of(at);

	memset(info, 0, sizeof(*info));
	info->kind = "cuse";
	snprintf(info->name, sizeof(info->name), "/dev/%s", c->node.name);
	snprintf(info->detail, sizeof(info->detail), "%s", c->chr->ops->answer ? "lines" : "bytes");
}

static void cuse_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	*stats = cuse_of(at)->node.stats;
}

const struct ob_attach_ops ob_attach_cuse = {
	.name = "cuse",
	.summary = "a character device as a node in /dev",
	.class_ = OB_CLASS_CHAR,
	.confined = true,
	.options = "name=NAME, mode=OCTAL",
	.probe = cuse_probe,
	.open = cuse_open,
	.publish = cuse_publish,
	.unpublish = cuse_unpublish,
	.close = cuse_close,
	.info = cuse_info,
	.stats = cuse_stats,
};
