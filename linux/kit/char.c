/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's character devices as one of our class (include/outboard/driver.h): a watchdog and a random generator as their nodes
 * are, sound as WAV files (sound.c), CAN as lines (can.c).
 */
#include <errno.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/char.h"

enum {
	NODES = 32,
};

static struct kit_char *kit_char_of(struct ob_char *chr)
{
	return (struct kit_char *)((char *)chr - offsetof(struct kit_char, chr));
}

/* ---- calls that may sleep -------------------------------------------------------------------- */

struct request {
	const char *name;
	struct ob_kit_node *nodes;
	unsigned int n;
	bool reading, writing;
	void **to;
	void *file, *buf;
	const void *from;
	unsigned long len;
	unsigned int cmd;
};

static long call_find(void *arg)
{
	struct request *r = arg;

	return outboard_kernel.chr->find(r->nodes, r->n);
}

static long call_open(void *arg)
{
	struct request *r = arg;

	return outboard_kernel.chr->open(r->name, r->reading, r->writing, r->to);
}

static long call_close(void *arg)
{
	outboard_kernel.chr->close(((struct request *)arg)->file);
	return 0;
}

static long call_read(void *arg)
{
	struct request *r = arg;

	return outboard_kernel.chr->read(r->file, r->buf, r->len);
}

static long call_write(void *arg)
{
	struct request *r = arg;

	return outboard_kernel.chr->write(r->file, r->from, r->len);
}

static long call_ioctl(void *arg)
{
	struct request *r = arg;

	return outboard_kernel.chr->ioctl(r->file, r->cmd, r->buf);
}

long kit_char_call(struct kit_char *c, long (*fn)(void *arg), void *arg)
{
	long ret;

	pthread_mutex_lock(&c->k->lock);
	ret = kit_call(c->k, fn, arg);
	kit_arm(c->k);
	pthread_mutex_unlock(&c->k->lock);
	return ret;
}

int kit_node_open(struct kit_char *c, const char *node, bool reading, bool writing, void **file)
{
	struct request r = {.name = node, .reading = reading, .writing = writing, .to = file};

	return (int)kit_char_call(c, call_open, &r);
}

void kit_node_close(struct kit_char *c, void *file)
{
	struct request r = {.file = file};

	kit_char_call(c, call_close, &r);
}

long kit_node_read(struct kit_char *c, void *file, void *buf, unsigned long len)
{
	struct request r = {.file = file, .buf = buf, .len = len};

	return kit_char_call(c, call_read, &r);
}

long kit_node_write(struct kit_char *c, void *file, const void *buf, unsigned long len)
{
	struct request r = {.file = file, .from = buf, .len = len};

	return kit_char_call(c, call_write, &r);
}

long kit_node_ioctl(struct kit_char *c, void *file, unsigned int cmd, void *arg)
{
	struct request r = {.file = file, .cmd = cmd, .buf = arg};

	return kit_char_call(c, call_ioctl, &r);
}

/* ---- devices that are used by their node ------------------------------------------------------- */

static int node_open(struct kit_char *c)
{
	return kit_node_open(c, c->node, true, c->kind != OB_KIT_NODE_RANDOM, &c->file);
}

static void node_close(struct kit_char *c)
{
	kit_node_close(c, c->file);
	c->file = NULL;
}

static long node_read(struct kit_char *c, void *buf, unsigned long len)
{
	return kit_node_read(c, c->file, buf, len);
}

static long node_write(struct kit_char *c, const void *buf, unsigned long len)
{
	return kit_node_write(c, c->file, buf, len);
}

/* The kernel's watchdogs and streams have one user each; ours are all the same one to it. */
static const struct kit_char_use watchdog_use = {
	.one = true,
	.open = node_open,
	.close = node_close,
	.read = node_read,
	.write = node_write,
};
static const struct kit_char_use random_use = {
	.open = node_open,
	.close = node_close,
	.read = node_read,
	.write = node_write,
};

/* ---- the class's side -------------------------------------------------------------------------- */

static int char_open(struct ob_char *chr)
{
	struct kit_char *c = kit_char_of(chr);
	int ret = 0;

	if (c->opened && c->use->one)
		return -EBUSY;
	if (!c->opened)
		ret = c->use->open(c);
	if (!ret)
		c->opened++;
	return ret;
}

static void char_close(struct ob_char *chr)
{
	struct kit_char *c = kit_char_of(chr);

	if (c->opened && !--c->opened)
		c->use->close(c);
}

static long char_read(struct ob_char *chr, void *buf, unsigned long len, uint64_t off)
{
	struct kit_char *c = kit_char_of(chr);

	return ob_device_gone(chr->dev) ? -ENODEV : c->use->read(c, buf, len);
}

static long char_write(struct ob_char *chr, const void *buf, unsigned long len, uint64_t off)
{
	struct kit_char *c = kit_char_of(chr);

	return ob_device_gone(chr->dev) ? -ENODEV : c->use->write(c, buf, len);
}

static bool char_waiting(struct ob_char *chr)
{
	struct kit_char *c = kit_char_of(chr);

	return !c->opened || !c->use->waiting || c->use->waiting(c);
}

/*
 * Commands of a watchdog have the memory that their numbers say. Of other devices some have pointers in it, which a client could make
 * point to anything in this process.
 */
static long char_command(struct ob_char *chr, unsigned int cmd, void *arg)
{
	struct kit_char *c = kit_char_of(chr);

	if (c->kind != OB_KIT_NODE_WATCHDOG || _IOC_TYPE(cmd) != WATCHDOG_IOCTL_BASE)
		return -ENOTTY;
	return kit_node_ioctl(c, c->file, cmd, arg);
}

static void char_serve(struct ob_char *chr)
{
	struct kit *k = kit_char_of(chr)->k;

	pthread_mutex_lock(&k->lock);
	do
		kit_run(k);
	while ((outboard_kernel.busy() || kit_arm(k)) && !k->stuck);
	pthread_mutex_unlock(&k->lock);
}

static const struct ob_char_ops ops = {
	.open = char_open,
	.close = char_close,
	.read = char_read,
	.write = char_write,
	.command = char_command,
	.serve = char_serve,
	.waiting = char_waiting,
};

/* ---- life ------------------------------------------------------------------------------------------ */

/* What clients are most likely to want of it. */
static bool choose(struct kit_char *c, const struct ob_kit_node *nodes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct ob_kit_node *node = &nodes[i];
		char *to = node->kind == OB_KIT_NODE_PCM_RECORD ? c->record : c->node;

		if (node->kind == OB_KIT_NODE_OTHER || *to)
			continue;
		c->kind = node->kind == OB_KIT_NODE_PCM_RECORD ? OB_KIT_NODE_PCM_PLAY : node->kind;
		snprintf(to, sizeof(c->node), "%.31s", node->name);
	}
	return *c->node || *c->record;
}

static const struct {
	const char *name;
	const struct kit_char_use *use;
} kinds[] = {
	[OB_KIT_NODE_WATCHDOG] = {"watchdog", &watchdog_use},
	[OB_KIT_NODE_RANDOM] = {"hwrng", &random_use},
	[OB_KIT_NODE_PCM_PLAY] = {"sound", &kit_sound_use},
	[OB_KIT_NODE_CAN] = {"can", &kit_can_use},
};

/* Return: 1; 0 when there is nothing of the kind, or a negative errno value. */
static int find(struct kit_char *c)
{
	struct ob_kit_node nodes[NODES] = {0};
	struct request r = {.nodes = nodes, .n = NODES};
	long n;

	if (kit_can_find(c)) {
		c->kind = OB_KIT_NODE_CAN;
		return 1;
	}
	n = kit_char_call(c, call_find, &r);
	return n > 0 ? choose(c, nodes, (unsigned int)n) : (int)n;
}

int kit_char_create(struct kit *k, const char *driver, struct ob_binding *b, struct ob_error *err)
{
	struct kit_char *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return ob_error_set(err, -ENOMEM, "%s: no memory", ob_device_info(k->dev)->name);
	c->k = k;
	ret = find(c);
	if (ret <= 0) {
		free(c);
		return ret ? ob_error_set(err, ret, "%s: no nodes of the kernel's",
					  ob_device_info(k->dev)->name)
			   : 0;
	}
	c->use = kinds[c->kind].use;
	snprintf(c->driver, sizeof(c->driver), "%.47s", driver);
	c->chr = (struct ob_char){.ops = &ops, .dev = k->dev, .driver = c->driver, .fd = k->events};
	snprintf(c->chr.name, sizeof(c->chr.name), "%s", kinds[c->kind].name);
	k->chr = c;
	b->chr = &c->chr;
	return 1;
}

void kit_char_destroy(struct kit *k)
{
	struct kit_char *c = k->chr;

	if (c->opened) {
		c->opened = 1;
		char_close(&c->chr);
	}
	free(c);
	k->chr = NULL;
}
