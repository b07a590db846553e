/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File systems that the kernel mounts, for the program (linux/kit/fs.h): requests go into the kernel in bursts, and what has ended
 * is told by the loop's thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/loop.h>

#include "kit/fs.h"
#include "kit/host.h"

/**
 * struct ob_fs - a mounted file system
 * @mount: the kernel's
 * @own_kernel: booted for the disk of another driver's
 * @ended: requests that have ended and were not told yet
 */
struct ob_fs {
	struct kit *k;
	struct ob_block *blk;
	void *mount;
	bool own_kernel;
	struct ob_loop *loop;
	struct ob_fs_options o;
	char name[32];
	struct ob_fs_request *ended;
};

/* ---- in the kernel ------------------------------------------------------------------------ */

/* Numbers of partitions are known to the kernel when it has read the first block, so when it gets here. */
static long call_mount(void *arg)
{
	struct ob_fs *fs = arg;
	const struct ob_fs_options *o = &fs->o;
	unsigned int device = fs->k->host_disk
				      ? kit_host_disk_device(fs->k->host_disk, o->partition)
				      : kit_disk_device(fs->blk, o->partition);

	if (!device)
		return -ENXIO;
	return outboard_kernel.fs->mount(device, o->type, o->options, o->read_only, &fs->mount);
}

static long call_unmount(void *arg)
{
	outboard_kernel.fs->unmount(((struct ob_fs *)arg)->mount);
	return 0;
}

static void in_kernel_submit(void *arg)
{
	outboard_kernel.fs->submit(arg);
}

/* ---- the loop's source ---------------------------------------------------------------------- */

/* With the lock held. */
static void collect(struct ob_fs *fs)
{
	if (!fs->ended)
		fs->ended = outboard_kernel.fs->ended(fs->mount);
}

static unsigned int fs_poll(void *arg, unsigned int budget)
{
	struct ob_fs *fs = arg;
	struct ob_fs_request *first;
	unsigned int n = 0;

	pthread_mutex_lock(&fs->k->lock);
	if (outboard_kernel.busy())
		kit_run(fs->k);
	if (fs->k->host_disk && kit_host_disk_pump(fs->k->host_disk))
		n++;
	/* As of a card that was pulled out: the driver ends what waits for it. */
	if (!fs->own_kernel && ob_device_gone(fs->k->dev))
		kit_remove(fs->k);
	collect(fs);
	first = fs->ended;
	fs->ended = NULL;
	pthread_mutex_unlock(&fs->k->lock);
	for (const struct ob_fs_request *r = first; r; r = r->next)
		n++;
	if (first)
		fs->o.ended(fs->o.arg, first);
	return n;
}

static bool fs_arm(void *arg, bool on)
{
	struct ob_fs *fs = arg;
	bool ready;

	if (!on)
		return false;
	pthread_mutex_lock(&fs->k->lock);
	ready = kit_arm(fs->k);
	collect(fs);
	ready |= !!fs->ended;
	pthread_mutex_unlock(&fs->k->lock);
	return ready;
}

/* The disk's driver has time-outs. */
static void fs_tick(void *arg, uint64_t now_ns)
{
	struct ob_fs *fs = arg;

	pthread_mutex_lock(&fs->k->lock);
	kit_host_disk_pump(fs->k->host_disk);
	pthread_mutex_unlock(&fs->k->lock);
}

/* ---- life -------------------------------------------------------------------------------------- */

/* What the kernel's errors say of a disk. */
static void explain(const struct ob_fs *fs, int ret, struct ob_error *err)
{
	const char *type = fs->o.type ? fs->o.type : "file system";

	if (ret == -ENXIO)
		ob_error_set(err, ret, "%s has no partition %u", fs->name, fs->o.partition);
	else if (ret == -ENODEV && fs->o.type)
		ob_error_set(err, ret, "the kernel in this object does not have %s", type);
	else if (ret == -EBUSY)
		ob_error_set(err, ret, "%s is in use", fs->name);
	else
		ob_error_set(err, ret, "%s: the kernel does not mount it: %s", fs->name,
			     ret == -EINVAL
				     ? "no file system that it knows, or an option that it does not"
				     : strerror(-ret));
	kit_last_words(fs->k, err);
}

/* The disk's own kernel, or one that is booted for it. */
static int find_kernel(struct ob_fs *fs, struct ob_error *err)
{
	int ret;

	fs->k = kit_disk_kernel(fs->blk);
	if (fs->k)
		return 0;
	ret = kit_create(fs->blk->dev, fs->blk->dma, &fs->k, err);
	if (ret)
		return ret;
	fs->own_kernel = true;
	ret = kit_host_disk_create(fs->k, fs->blk, err);
	if (ret)
		kit_destroy(fs->k);
	return ret;
}

static void leave_kernel(struct ob_fs *fs)
{
	if (!fs->own_kernel)
		return;
	kit_host_disk_destroy(fs->k);
	kit_destroy(fs->k);
}

static long call(struct ob_fs *fs, long (*fn)(void *arg))
{
	long ret;

	pthread_mutex_lock(&fs->k->lock);
	fs->k->last_error[0] = '\0';
	ret = kit_call(fs->k, fn, fs);
	pthread_mutex_unlock(&fs->k->lock);
	return ret;
}

static int fs_mount(struct ob_block *blk, const struct ob_fs_options *options, struct ob_loop *loop,
		    struct ob_fs **to, struct ob_error *err)
{
	struct ob_loop_source source = {
		.name = "linux",
		.poll = fs_poll,
		.arm = fs_arm,
		.level = true,
	};
	struct ob_fs *fs;
	int ret;

	if (!outboard_kernel.fs) {
		ob_error_set(err, -EOPNOTSUPP,
			     "linux:" OUTBOARD_LINUX_NAME " has no file system in it");
		ob_error_fix(err, "outboard linux build " OUTBOARD_LINUX_NAME
				  "+ext4, and --driver linux:" OUTBOARD_LINUX_NAME "+ext4");
		return -EOPNOTSUPP;
	}
	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return ob_error_set(err, -ENOMEM, "%s: no memory", blk->name);
	fs->o = *options;
	fs->blk = blk;
	fs->loop = loop;
	snprintf(fs->name, sizeof(fs->name), "%s", blk->name);
	ret = find_kernel(fs, err);
	if (ret)
		goto free;
	ret = (int)call(fs, call_mount);
	if (ret) {
		explain(fs, ret, err);
		goto leave;
	}
	source.arg = fs;
	source.fd = fs->k->events;
	if (fs->own_kernel)
		source.tick = fs_tick;
	ret = ob_loop_add(loop, &source);
	if (ret) {
		ob_error_set(err, ret, "%s: the kernel's events cannot be added to the loop",
			     fs->name);
		goto unmount;
	}
	*to = fs;
	return 0;

unmount:
	call(fs, call_unmount);
leave:
	leave_kernel(fs);
free:
	free(fs);
	return ret;
}

static void fs_unmount(struct ob_fs *fs)
{
	long ret;

	ob_loop_remove(fs->loop, fs);
	pthread_mutex_lock(&fs->k->lock);
	if (!fs->own_kernel && ob_device_gone(fs->k->dev))
		kit_remove(fs->k);
	ret = kit_call(fs->k, call_unmount, fs);
	pthread_mutex_unlock(&fs->k->lock);
	if (ret)
		ob_device_log(
			fs->k->dev, OB_LOG_ERROR,
			"linux: the file system on %s was not unmounted, the device being gone",
			fs->name);
	free(fs);
}

static const char *fs_type_name(struct ob_fs *fs)
{
	return outboard_kernel.fs->type_name(fs->mount);
}

static void fs_submit(struct ob_fs *fs, struct ob_fs_request *first)
{
	for (struct ob_fs_request *r = first; r; r = r->next)
		r->fs = fs->mount;
	pthread_mutex_lock(&fs->k->lock);
	kit_burst(fs->k, in_kernel_submit, first);
	if (fs->k->host_disk)
		kit_host_disk_pump(fs->k->host_disk);
	pthread_mutex_unlock(&fs->k->lock);
}

const struct ob_fs_driver kit_fs_driver = {
	.mount = fs_mount,
	.unmount = fs_unmount,
	.type_name = fs_type_name,
	.submit = fs_submit,
};
