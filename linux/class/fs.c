// SPDX-License-Identifier: GPL-2.0-only
/*
 * File systems for the host: what is on a disk is mounted in here, nowhere in any tree, and its files are found by numbers of nodes, as FUSE has
 * them. Each operation runs in one of some fibers, because it may wait for the disk. Operations: linux/class/fs_ops.c; boundary:
 * linux/kit/fs.h.
 */
#include "fs.h"
#include "vfs.h"

#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs_struct.h>
#include <linux/kdev_t.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/slab.h>

enum {
	/* Operations that wait for the disk at once. */
	FIBERS = 16,
};

struct requests {
	struct ob_fs_request *first, *last;
};

static struct requests waiting;
static DECLARE_WAIT_QUEUE_HEAD(work);
static struct task_struct *fibers[FIBERS];
static unsigned int mounts;

static void push(struct requests *l, struct ob_fs_request *r)
{
	r->next = NULL;
	if (l->last)
		l->last->next = r;
	else
		l->first = r;
	l->last = r;
}

static struct ob_fs_request *pop(struct requests *l)
{
	struct ob_fs_request *r = l->first;

	if (r) {
		l->first = r->next;
		if (!l->first)
			l->last = NULL;
	}
	return r;
}

/* ---- nodes ------------------------------------------------------------------------------------ */

/* By inode, so that a file with two names is one. 0 and 1 are FUSE's own. */
u64 outboard_fs_number(const struct outboard_mount *fs, const struct inode *inode)
{
	return inode == d_inode(fs->mnt->mnt_root) ? OB_FS_ROOT : inode->i_ino + 1;
}

/* Return: with a reference, or NULL. */
struct dentry *outboard_fs_node(struct outboard_mount *fs, u64 number)
{
	struct outboard_fs_node *node;

	if (number == OB_FS_ROOT)
		return dget(fs->mnt->mnt_root);
	node = xa_load(&fs->nodes, number);
	return node ? dget(node->dentry) : NULL;
}

/* One lookup more: the host will forget as many. */
int outboard_fs_remember(struct outboard_mount *fs, struct dentry *dentry)
{
	u64 number = outboard_fs_number(fs, d_inode(dentry));
	struct outboard_fs_node *node, *made;

	if (number == OB_FS_ROOT)
		return 0;
	node = xa_load(&fs->nodes, number);
	if (!node) {
		int ret;

		made = kmalloc(sizeof(*made), GFP_KERNEL);
		if (!made)
			return -ENOMEM;
		*made = (struct outboard_fs_node){.dentry = dget(dentry)};
		ret = xa_insert(&fs->nodes, number, made, GFP_KERNEL);
		node = made;
		if (ret) {
			dput(dentry);
			kfree(made);
			/* Another fiber was faster while this one waited for memory. */
			node = ret == -EBUSY ? xa_load(&fs->nodes, number) : NULL;
			if (!node)
				return -ENOMEM;
		}
	}
	/* One name may be gone while there is another. */
	if (d_unhashed(node->dentry) && !d_unhashed(dentry)) {
		struct dentry *old = node->dentry;

		node->dentry = dget(dentry);
		node->lookups++;
		dput(old);
		return 0;
	}
	node->lookups++;
	return 0;
}

void outboard_fs_forget(struct outboard_mount *fs, u64 number, u64 lookups)
{
	struct outboard_fs_node *node = xa_load(&fs->nodes, number);

	if (!node)
		return;
	if (lookups < node->lookups) {
		node->lookups -= lookups;
		return;
	}
	xa_erase(&fs->nodes, number);
	dput(node->dentry);
	kfree(node);
}

/* ---- open files --------------------------------------------------------------------------------- */

int outboard_fs_keep(struct outboard_mount *fs, struct file *file, u64 *handle)
{
	u32 id;
	int ret = xa_alloc(&fs->files, &id, file, xa_limit_31b, GFP_KERNEL);

	if (!ret)
		*handle = id;
	return ret;
}

struct file *outboard_fs_file(struct outboard_mount *fs, u64 handle)
{
	struct file *file = handle <= U32_MAX ? xa_load(&fs->files, handle) : NULL;

	return file ? get_file(file) : NULL;
}

int outboard_fs_release(struct outboard_mount *fs, u64 handle)
{
	struct file *file = handle <= U32_MAX ? xa_erase(&fs->files, handle) : NULL;

	if (!file)
		return -EBADF;
	vfs_close(file);
	return 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

/* What is made belongs to who asked for it; that he may is looked at by the host, for all the rest this is root. */
static long with_owner(struct ob_fs_request *r)
{
	const struct cred *before;
	struct cred *cred;
	long ret;

	if (!r->uid && !r->gid)
		return outboard_fs_do(r);
	cred = prepare_creds();
	if (!cred)
		return -ENOMEM;
	cred->fsuid = make_kuid(&init_user_ns, r->uid);
	cred->fsgid = make_kgid(&init_user_ns, r->gid);
	before = override_creds(cred);
	ret = outboard_fs_do(r);
	revert_creds(before);
	put_cred(cred);
	return ret;
}

/* The list that the host takes from: it does so while nothing runs in here, so that no lock is needed. */
static void ended(struct ob_fs_request *r)
{
	struct outboard_mount *fs = r->fs;

	r->next = fs->ended;
	fs->ended = r;
	if (!--fs->inflight)
		wake_up(&fs->idle);
}

static int fiber_fn(void *unused)
{
	struct ob_fs_request *r;

	while (!kthread_should_stop()) {
		wait_event_idle_exclusive(work, waiting.first || kthread_should_stop());
		while ((r = pop(&waiting))) {
			r->result = with_owner(r);
			ended(r);
		}
	}
	return 0;
}

static void fs_submit(struct ob_fs_request *first)
{
	struct ob_fs_request *r, *next;
	int n = 0;

	for (r = first; r; r = next) {
		next = r->next;
		((struct outboard_mount *)r->fs)->inflight++;
		push(&waiting, r);
		n++;
	}
	wake_up_nr(&work, n);
}

static struct ob_fs_request *fs_ended(void *arg)
{
	struct outboard_mount *fs = arg;
	struct ob_fs_request *list = fs->ended, *first = NULL, *next;

	/* In the order in which they ended. */
	for (; list; list = next) {
		next = list->next;
		list->next = first;
		first = list;
	}
	fs->ended = NULL;
	return first;
}

static void stop_fibers(void)
{
	unsigned int i;

	for (i = 0; i < FIBERS; i++) {
		if (fibers[i])
			kthread_stop(fibers[i]);
		fibers[i] = NULL;
	}
}

static int start_fibers(void)
{
	unsigned int i;

	for (i = 0; i < FIBERS; i++) {
		struct task_struct *t = kthread_run(fiber_fn, NULL, "fs/%u", i);

		if (IS_ERR(t)) {
			stop_fibers();
			return PTR_ERR(t);
		}
		fibers[i] = t;
	}
	return 0;
}

/* ---- mount ------------------------------------------------------------------------------------------ */

/* Those that an object may have, in the order in which they are tried. */
static const char *const types[] = {"ext4", "xfs"};

/* A name for the disk in the root file system, by which mounting finds it. */
static int make_node(const char *path, dev_t dev)
{
	struct path parent;
	struct dentry *dentry;
	int ret;

	dentry = vfs_path_create(AT_FDCWD, path, &parent, 0);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	ret = vfs_make_node(vfs_idmap(parent.mnt), d_inode(parent.dentry), dentry, S_IFBLK | 0600,
			    dev);
	vfs_path_create_end(&parent, dentry);
	return ret;
}

static void remove_node(const char *path)
{
	struct dentry *dentry;
	struct path found;

	if (kern_path(path, 0, &found))
		return;
	dentry = dget_parent(found.dentry);
	inode_lock_nested(d_inode(dentry), I_MUTEX_PARENT);
	if (vfs_remove_file(vfs_idmap(found.mnt), d_inode(dentry), found.dentry))
		pr_warn("outboard: %s stays\n", path);
	inode_unlock(d_inode(dentry));
	dput(dentry);
	path_put(&found);
}

static struct vfsmount *mount_type(const char *type, const char *node, const char *options,
				   bool read_only)
{
	struct file_system_type *t = get_fs_type(type);
	struct vfsmount *mnt;
	char *copy = NULL;

	if (!t)
		return ERR_PTR(-ENODEV);
	/* Its parser cuts it up. */
	if (options && *options) {
		copy = kstrdup(options, GFP_KERNEL);
		if (!copy) {
			module_put(t->owner);
			return ERR_PTR(-ENOMEM);
		}
	}
	/* The kernel's own mount: nobody else unmounts it, and its end waits for nothing else. */
	mnt = vfs_kern_mount(t, SB_KERNMOUNT | (read_only ? SB_RDONLY : 0), node, copy);
	kfree(copy);
	module_put(t->owner);
	return mnt;
}

/* Another type's error says nothing, one of the type that is on the disk a lot. */
static struct vfsmount *mount_any(const char *type, const char *node, const char *options,
				  bool read_only)
{
	struct vfsmount *mnt = ERR_PTR(-ENODEV);
	unsigned int i;

	if (type)
		return mount_type(type, node, options, read_only);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		struct vfsmount *one = mount_type(types[i], node, options, read_only);

		if (!IS_ERR(one))
			return one;
		if (PTR_ERR(one) != -ENODEV)
			mnt = one;
		if (PTR_ERR(one) != -ENODEV && PTR_ERR(one) != -EINVAL)
			break;
	}
	return mnt;
}

static int fs_mount(unsigned int device, const char *type, const char *options, int read_only,
		    void **to)
{
	dev_t dev = new_decode_dev(device);
	struct outboard_mount *fs;
	char node[32];
	int ret;

	fs = kzalloc(sizeof(*fs), GFP_KERNEL);
	if (!fs)
		return -ENOMEM;
	xa_init(&fs->nodes);
	xa_init_flags(&fs->files, XA_FLAGS_ALLOC1);
	init_waitqueue_head(&fs->idle);
	if (!mounts) {
		ret = start_fibers();
		if (ret)
			goto free;
	}
	/* Whoever asks for a mode has taken his mask off already. */
	current->fs->umask = 0;
	snprintf(node, sizeof(node), "/disk-%u-%u", MAJOR(dev), MINOR(dev));
	ret = make_node(node, dev);
	if (ret)
		goto stop;
	fs->mnt = mount_any(type, node, options, read_only);
	remove_node(node);
	if (IS_ERR(fs->mnt)) {
		ret = PTR_ERR(fs->mnt);
		goto stop;
	}
	mounts++;
	*to = fs;
	return 0;

stop:
	if (!mounts)
		stop_fibers();
free:
	kfree(fs);
	return ret;
}

static void fs_unmount(void *arg)
{
	struct outboard_mount *fs = arg;
	struct outboard_fs_node *node;
	unsigned long i;
	struct file *file;

	wait_event_idle(fs->idle, !fs->inflight);
	xa_for_each(&fs->files, i, file) vfs_close(file);
	xa_for_each(&fs->nodes, i, node)
	{
		dput(node->dentry);
		kfree(node);
	}
	xa_destroy(&fs->files);
	xa_destroy(&fs->nodes);
	kern_unmount(fs->mnt);
	if (!--mounts)
		stop_fibers();
	kfree(fs);
}

static const char *fs_type_name(void *fs)
{
	return ((struct outboard_mount *)fs)->mnt->mnt_sb->s_type->name;
}

const struct ob_kernel_fs outboard_fs = {
	.mount = fs_mount,
	.unmount = fs_unmount,
	.type_name = fs_type_name,
	.submit = fs_submit,
	.ended = fs_ended,
};
