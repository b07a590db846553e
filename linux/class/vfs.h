/* SPDX-License-Identifier: GPL-2.0-only */
/* What of the kernel's vfs has other names and arguments in other versions of it. A delegated inode (NFS's) is nobody's here. */
#ifndef OUTBOARD_CLASS_VFS_H
#define OUTBOARD_CLASS_VFS_H

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/task_work.h>
#include <linux/version.h>

/* Whose files a mount's are to whom was a user namespace. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define mnt_idmap     user_namespace
#define vfs_idmap     mnt_user_ns
#define old_mnt_idmap old_mnt_userns
#define new_mnt_idmap new_mnt_userns
#else
#define vfs_idmap mnt_idmap
#endif

/* At once: fput() leaves it to somebody who runs later, and the disk would be in use until then. */
static inline void vfs_close(struct file *file)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	/* For threads of the kernel's alone, of which the first is none: it does what it would on its way to user space. */
	if (!(current->flags & PF_KTHREAD)) {
		fput(file);
		task_work_run();
		return;
	}
#endif
	__fput_sync(file);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)

static inline struct dentry *vfs_lookup(const char *name, struct dentry *dir)
{
	return lookup_one_len(name, dir, strlen(name));
}

static inline struct dentry *vfs_lookup_unlocked(const char *name, struct dentry *dir)
{
	return lookup_one_len_unlocked(name, dir, strlen(name));
}

static inline int vfs_make_file(struct mnt_idmap *idmap, struct inode *dir, struct dentry *d,
				umode_t mode)
{
	return vfs_create(idmap, dir, d, mode, true);
}

static inline int vfs_make_directory(struct mnt_idmap *idmap, struct inode *dir, struct dentry **d,
				     umode_t mode)
{
	return vfs_mkdir(idmap, dir, *d, mode);
}

#define vfs_make_node		       vfs_mknod
#define vfs_make_symlink	       vfs_symlink
#define vfs_make_link		       vfs_link
#define vfs_remove_directory	       vfs_rmdir
#define vfs_remove_file(idmap, dir, d) vfs_unlink(idmap, dir, d, NULL)
#define vfs_path_create		       kern_path_create
#define vfs_path_create_end	       done_path_create

static inline int vfs_rename_to(struct mnt_idmap *idmap, struct dentry *from_dir, const char *name,
				struct dentry *to_dir, const char *to_name, unsigned int flags)
{
	/* The directory that is above the other. */
	struct dentry *trap = lock_rename(to_dir, from_dir);
	struct renamedata rd = {
		.old_mnt_idmap = idmap,
		.old_dir = d_inode(from_dir),
		.new_mnt_idmap = idmap,
		.new_dir = d_inode(to_dir),
		.flags = flags,
	};
	struct dentry *from, *to;
	int ret;

	if (IS_ERR(trap))
		return PTR_ERR(trap);
	from = vfs_lookup(name, from_dir);
	if (IS_ERR(from)) {
		ret = PTR_ERR(from);
		goto unlock;
	}
	to = vfs_lookup(to_name, to_dir);
	if (IS_ERR(to)) {
		ret = PTR_ERR(to);
		goto put_from;
	}
	rd.old_dentry = from;
	rd.new_dentry = to;
	if (d_is_negative(from) || ((flags & RENAME_EXCHANGE) && d_is_negative(to)))
		ret = -ENOENT;
	else if ((flags & RENAME_NOREPLACE) && d_is_positive(to))
		ret = -EEXIST;
	else if (from == trap)
		ret = -EINVAL;
	else if (to == trap)
		ret = flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	else
		ret = vfs_rename(&rd);
	dput(to);
put_from:
	dput(from);
unlock:
	unlock_rename(to_dir, from_dir);
	return ret;
}

#else

static inline struct dentry *vfs_lookup(const char *name, struct dentry *dir)
{
	return lookup_noperm(&QSTR(name), dir);
}

static inline struct dentry *vfs_lookup_unlocked(const char *name, struct dentry *dir)
{
	return lookup_noperm_unlocked(&QSTR(name), dir);
}

static inline int vfs_make_file(struct mnt_idmap *idmap, struct inode *dir, struct dentry *d,
				umode_t mode)
{
	return vfs_create(idmap, d, mode, NULL);
}

/* It may be another dentry than the one that was looked up. A failure takes the reference and the lock along; we keep the lock. */
static inline int vfs_make_directory(struct mnt_idmap *idmap, struct inode *dir, struct dentry **d,
				     umode_t mode)
{
	struct dentry *made = vfs_mkdir(idmap, dir, *d, mode, NULL);

	*d = IS_ERR(made) ? NULL : made;
	if (IS_ERR(made))
		inode_lock_nested(dir, I_MUTEX_PARENT);
	return PTR_ERR_OR_ZERO(made);
}

#define vfs_make_node(idmap, dir, d, mode, dev) vfs_mknod(idmap, dir, d, mode, dev, NULL)
#define vfs_make_symlink(idmap, dir, d, to)	vfs_symlink(idmap, dir, d, to, NULL)
#define vfs_make_link				vfs_link
#define vfs_remove_directory(idmap, dir, d)	vfs_rmdir(idmap, dir, d, NULL)
#define vfs_remove_file(idmap, dir, d)		vfs_unlink(idmap, dir, d, NULL)
#define vfs_path_create				start_creating_path
#define vfs_path_create_end			end_creating_path

static inline int vfs_rename_to(struct mnt_idmap *idmap, struct dentry *from_dir, const char *name,
				struct dentry *to_dir, const char *to_name, unsigned int flags)
{
	struct renamedata rd = {
		.mnt_idmap = idmap,
		.old_parent = from_dir,
		.new_parent = to_dir,
		.flags = flags,
	};
	int ret = start_renaming(&rd, 0, &QSTR(name), &QSTR(to_name));

	if (ret)
		return ret;
	ret = vfs_rename(&rd);
	end_renaming(&rd);
	return ret;
}

#endif

#endif
