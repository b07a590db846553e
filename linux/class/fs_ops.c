// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host asks of a mounted file system, one function for each operation, by the kernel's vfs. Nodes, handles, names, lengths, modes and flags
 * are a client's, and looked at before they are used; who may do what the host has decided (FUSE's default_permissions).
 */
#include "fs.h"
#include "vfs.h"

#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/iversion.h>
#include <linux/mount.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/statfs.h>
#include <linux/xattr.h>
#include <uapi/linux/fuse.h>

static struct path path_of(const struct outboard_mount *fs, struct dentry *dentry)
{
	return (struct path){.mnt = fs->mnt, .dentry = dentry};
}

static struct mnt_idmap *idmap_of(const struct outboard_mount *fs)
{
	return vfs_idmap(fs->mnt);
}

static int check_name(const char *name)
{
	size_t len = name ? strnlen(name, NAME_MAX + 1) : 0;

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	return !len || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/') ? -EINVAL : 0;
}

/* Return: with a reference; a directory, or an error */
static struct dentry *directory(struct outboard_mount *fs, u64 number)
{
	struct dentry *dentry = outboard_fs_node(fs, number);

	if (!dentry)
		return ERR_PTR(-ESTALE);
	if (d_is_dir(dentry))
		return dentry;
	dput(dentry);
	return ERR_PTR(-ENOTDIR);
}

static struct dentry *any_node(struct outboard_mount *fs, u64 number)
{
	return outboard_fs_node(fs, number) ?: ERR_PTR(-ESTALE);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static struct ob_fs_time time_of(struct timespec64 t)
{
	return (struct ob_fs_time){.sec = t.tv_sec, .nsec = t.tv_nsec};
}

static int fill_attr(struct ob_fs_request *r, struct dentry *dentry)
{
	struct outboard_mount *fs = r->fs;
	struct path path = path_of(fs, dentry);
	struct kstat st;
	int ret = vfs_getattr_nosec(&path, &st, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);

	if (ret)
		return ret;
	r->attr = (struct ob_fs_attr){
		.ino = st.ino,
		.size = st.size,
		.blocks = st.blocks,
		.atime = time_of(st.atime),
		.mtime = time_of(st.mtime),
		.ctime = time_of(st.ctime),
		.mode = st.mode,
		.nlink = st.nlink,
		.uid = from_kuid(&init_user_ns, st.uid),
		.gid = from_kgid(&init_user_ns, st.gid),
		.rdev = new_encode_dev(st.rdev),
		.blksize = st.blksize,
	};
	return 0;
}

static long do_getattr(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *dentry = any_node(fs, r->node);
	long ret;

	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	ret = fill_attr(r, dentry);
	dput(dentry);
	return ret;
}

static void ask_time(struct iattr *ia, const struct ob_fs_request *r, struct timespec64 *to,
		     const struct ob_fs_time *t, unsigned int set, unsigned int set_now,
		     unsigned int bit, unsigned int bit_set)
{
	if (!(r->valid & set))
		return;
	ia->ia_valid |= bit;
	if (r->valid & set_now)
		return;
	ia->ia_valid |= bit_set;
	*to = (struct timespec64){.tv_sec = t->sec, .tv_nsec = t->nsec};
}

static int set_attributes(struct ob_fs_request *r, struct outboard_mount *fs, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	struct iattr ia = {.ia_valid = ATTR_CTIME};
	int ret;

	if (r->attr.atime.nsec >= NSEC_PER_SEC || r->attr.mtime.nsec >= NSEC_PER_SEC)
		return -EINVAL;
	if (r->valid & OB_FS_SET_MODE) {
		ia.ia_valid |= ATTR_MODE;
		ia.ia_mode = (r->attr.mode & S_IALLUGO) | (inode->i_mode & ~S_IALLUGO);
	}
	if (r->valid & OB_FS_SET_UID) {
		ia.ia_valid |= ATTR_UID;
		ia.ia_vfsuid = VFSUIDT_INIT(make_kuid(&init_user_ns, r->attr.uid));
	}
	if (r->valid & OB_FS_SET_GID) {
		ia.ia_valid |= ATTR_GID;
		ia.ia_vfsgid = VFSGIDT_INIT(make_kgid(&init_user_ns, r->attr.gid));
	}
	ask_time(&ia, r, &ia.ia_atime, &r->attr.atime, OB_FS_SET_ATIME, OB_FS_SET_ATIME_NOW,
		 ATTR_ATIME, ATTR_ATIME_SET);
	ask_time(&ia, r, &ia.ia_mtime, &r->attr.mtime, OB_FS_SET_MTIME, OB_FS_SET_MTIME_NOW,
		 ATTR_MTIME, ATTR_MTIME_SET);
	if (ia.ia_valid == ATTR_CTIME)
		return 0;
	ret = mnt_want_write(fs->mnt);
	if (ret)
		return ret;
	inode_lock(inode);
	ret = notify_change(idmap_of(fs), dentry, &ia, NULL);
	inode_unlock(inode);
	mnt_drop_write(fs->mnt);
	return ret;
}

static long do_setattr(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *dentry = any_node(fs, r->node);
	long ret = 0;

	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	if (r->valid & OB_FS_SET_SIZE) {
		struct path path = path_of(fs, dentry);

		ret = r->attr.size > MAX_LFS_FILESIZE ? -EFBIG : vfs_truncate(&path, r->attr.size);
	}
	if (!ret)
		ret = set_attributes(r, fs, dentry);
	if (!ret)
		ret = fill_attr(r, dentry);
	dput(dentry);
	return ret;
}

static long do_statfs(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct path path = path_of(fs, fs->mnt->mnt_root);
	struct kstatfs st;
	int ret = vfs_statfs(&path, &st);

	if (ret)
		return ret;
	r->statfs = (struct ob_fs_statfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = st.f_bsize,
		.frsize = st.f_frsize,
		.namelen = st.f_namelen,
	};
	return 0;
}

/* ---- names ------------------------------------------------------------------------------------- */

/* The answer to all that finds or makes a node. */
static int tell(struct ob_fs_request *r, struct dentry *dentry)
{
	struct outboard_mount *fs = r->fs;
	int ret;

	if (d_is_negative(dentry))
		return -ENOENT;
	ret = fill_attr(r, dentry);
	if (ret)
		return ret;
	r->node = outboard_fs_number(fs, d_inode(dentry));
	r->generation = d_inode(dentry)->i_generation;
	return outboard_fs_remember(fs, dentry);
}

static long do_lookup(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *dir, *dentry;
	long ret = check_name(r->name);

	if (ret)
		return ret;
	dir = directory(fs, r->node);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	dentry = vfs_lookup_unlocked(r->name, dir);
	dput(dir);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	ret = tell(r, dentry);
	dput(dentry);
	return ret;
}

static long do_forget(struct ob_fs_request *r, struct outboard_mount *fs)
{
	const struct ob_fs_forget *f = r->buf;
	unsigned int i;

	for (i = 0; i < r->len / sizeof(*f); i++)
		outboard_fs_forget(fs, f[i].node, f[i].lookups);
	return 0;
}

/**
 * struct place - a name in a directory that is locked, on a file system that may be written
 * @dentry: what has the name, or nothing
 */
struct place {
	struct outboard_mount *fs;
	struct dentry *dir, *dentry;
};

static int place_lock(struct place *p, struct outboard_mount *fs, u64 number, const char *name)
{
	int ret = check_name(name);

	if (ret)
		return ret;
	p->fs = fs;
	p->dir = directory(fs, number);
	if (IS_ERR(p->dir))
		return PTR_ERR(p->dir);
	ret = mnt_want_write(fs->mnt);
	if (ret)
		goto put;
	inode_lock_nested(d_inode(p->dir), I_MUTEX_PARENT);
	p->dentry = vfs_lookup(name, p->dir);
	if (!IS_ERR(p->dentry))
		return 0;
	ret = PTR_ERR(p->dentry);
	inode_unlock(d_inode(p->dir));
	mnt_drop_write(fs->mnt);
put:
	dput(p->dir);
	return ret;
}

static void place_unlock(struct place *p)
{
	inode_unlock(d_inode(p->dir));
	dput(p->dentry);
	mnt_drop_write(p->fs->mnt);
	dput(p->dir);
}

/* Makes what the request wants where nothing is. */
static int make(struct ob_fs_request *r, struct place *p)
{
	struct mnt_idmap *idmap = idmap_of(p->fs);
	struct inode *dir = d_inode(p->dir);

	if (d_is_positive(p->dentry))
		return -EEXIST;
	switch (r->op) {
	case OB_FS_MKDIR:
		return vfs_make_directory(idmap, dir, &p->dentry, r->mode & (S_IRWXUGO | S_ISVTX));
	case OB_FS_SYMLINK:
		if (!r->name2 || !*r->name2)
			return -EINVAL;
		if (strnlen(r->name2, PATH_MAX) == PATH_MAX)
			return -ENAMETOOLONG;
		return vfs_make_symlink(idmap, dir, p->dentry, r->name2);
	case OB_FS_CREATE:
		return vfs_make_file(idmap, dir, p->dentry, r->mode & S_IALLUGO);
	}
	switch (r->mode & S_IFMT) {
	case 0:
	case S_IFREG:
		return vfs_make_file(idmap, dir, p->dentry, r->mode & S_IALLUGO);
	case S_IFCHR:
	case S_IFBLK:
		return vfs_make_node(idmap, dir, p->dentry, r->mode, new_decode_dev(r->rdev));
	case S_IFIFO:
	case S_IFSOCK:
		return vfs_make_node(idmap, dir, p->dentry, r->mode, 0);
	}
	return -EINVAL;
}

static long do_make(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct place p;
	long ret = place_lock(&p, fs, r->node, r->name);

	if (ret)
		return ret;
	ret = make(r, &p);
	if (!ret)
		ret = tell(r, p.dentry);
	place_unlock(&p);
	return ret;
}

static long do_link(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *from = any_node(fs, r->node);
	struct place p;
	long ret;

	if (IS_ERR(from))
		return PTR_ERR(from);
	ret = place_lock(&p, fs, r->node2, r->name);
	if (ret)
		goto put;
	if (d_is_positive(p.dentry))
		ret = -EEXIST;
	else
		ret = vfs_make_link(from, idmap_of(fs), d_inode(p.dir), p.dentry, NULL);
	if (!ret)
		ret = tell(r, p.dentry);
	place_unlock(&p);
put:
	dput(from);
	return ret;
}

static long do_remove(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct inode *inode = NULL;
	struct place p;
	long ret = place_lock(&p, fs, r->node, r->name);

	if (ret)
		return ret;
	if (d_is_negative(p.dentry)) {
		ret = -ENOENT;
	} else {
		inode = d_inode(p.dentry);
		ihold(inode);
		if (r->op == OB_FS_RMDIR)
			ret = vfs_remove_directory(idmap_of(fs), d_inode(p.dir), p.dentry);
		else
			ret = vfs_remove_file(idmap_of(fs), d_inode(p.dir), p.dentry);
	}
	place_unlock(&p);
	/* Its blocks are freed here, where the directory is not locked any more. */
	if (inode)
		iput(inode);
	return ret;
}

static long do_rename(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *from_dir, *to_dir;
	long ret = check_name(r->name) ?: check_name(r->name2);

	if (ret)
		return ret;
	if (r->flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    r->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	from_dir = directory(fs, r->node);
	if (IS_ERR(from_dir))
		return PTR_ERR(from_dir);
	to_dir = directory(fs, r->node2);
	if (IS_ERR(to_dir)) {
		ret = PTR_ERR(to_dir);
		goto put_from;
	}
	ret = mnt_want_write(fs->mnt);
	if (ret)
		goto put_to;
	ret = vfs_rename_to(idmap_of(fs), from_dir, r->name, to_dir, r->name2, r->flags);
	mnt_drop_write(fs->mnt);
put_to:
	dput(to_dir);
put_from:
	dput(from_dir);
	return ret;
}

static long do_readlink(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *dentry = any_node(fs, r->node);
	DEFINE_DELAYED_CALL(done);
	const char *to;
	long ret;

	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	to = d_is_symlink(dentry) ? vfs_get_link(dentry, &done) : ERR_PTR(-EINVAL);
	if (IS_ERR(to)) {
		ret = PTR_ERR(to);
	} else {
		ret = min_t(size_t, strlen(to), r->len);
		memcpy(r->buf, to, ret);
	}
	do_delayed_call(&done);
	dput(dentry);
	return ret;
}

/* ---- open files ------------------------------------------------------------------------------------ */

/* A device or a pipe on the disk is the host's affair; here its opening would be that of a device of this kernel's. */
static long open_node(struct ob_fs_request *r, struct outboard_mount *fs, struct dentry *dentry)
{
	struct path path = path_of(fs, dentry);
	struct inode *inode = d_inode(dentry);
	bool writes = (r->flags & O_ACCMODE) != O_RDONLY;
	int flags = O_LARGEFILE;
	struct file *file;
	int ret;

	if (r->op == OB_FS_OPENDIR) {
		if (!S_ISDIR(inode->i_mode))
			return -ENOTDIR;
		flags |= O_DIRECTORY;
	} else {
		if (!S_ISREG(inode->i_mode))
			return S_ISDIR(inode->i_mode) ? -EISDIR : -EINVAL;
		/* Where it is written to and what is synced the host says with each request. */
		flags |= r->flags & O_ACCMODE;
		if (writes && (IS_IMMUTABLE(inode) || (IS_APPEND(inode) && !(r->flags & O_APPEND))))
			return -EPERM;
	}
	file = dentry_open(&path, flags, current_cred());
	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = outboard_fs_keep(fs, file, &r->handle);
	if (ret)
		vfs_close(file);
	return ret;
}

static long do_open(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct dentry *dentry = any_node(fs, r->node);
	long ret;

	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	ret = open_node(r, fs, dentry);
	dput(dentry);
	return ret;
}

static long do_create(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct place p;
	long ret = place_lock(&p, fs, r->node, r->name);

	if (ret)
		return ret;
	/* Somebody may have made it since the host looked, and then it is just opened. */
	if (d_is_negative(p.dentry) || r->flags & O_EXCL)
		ret = make(r, &p);
	if (!ret)
		ret = open_node(r, fs, p.dentry);
	if (!ret) {
		ret = tell(r, p.dentry);
		if (ret)
			outboard_fs_release(fs, r->handle);
	}
	place_unlock(&p);
	return ret;
}

static long do_release(struct ob_fs_request *r, struct outboard_mount *fs)
{
	return outboard_fs_release(fs, r->handle);
}

/* What needs an open file. */
static long on_file(struct ob_fs_request *r, struct outboard_mount *fs,
		    long (*fn)(struct ob_fs_request *r, struct file *file))
{
	struct file *file = outboard_fs_file(fs, r->handle);
	long ret;

	if (!file)
		return -EBADF;
	ret = fn(r, file);
	/* The last one, if it was released meanwhile. */
	vfs_close(file);
	return ret;
}

static long file_read(struct ob_fs_request *r, struct file *file)
{
	loff_t pos = r->offset;
	unsigned int done = 0;

	/* Of the kernel's own callers it is expected that they know. */
	if (!(file->f_mode & FMODE_READ) || !S_ISREG(file_inode(file)->i_mode))
		return -EBADF;
	while (done < r->len) {
		ssize_t n = kernel_read(file, r->buf + done, r->len - done, &pos);

		if (n < 0)
			return done ?: n;
		if (!n)
			break;
		done += n;
	}
	return done;
}

static long file_write(struct ob_fs_request *r, struct file *file)
{
	loff_t pos = r->offset;
	unsigned int done = 0;

	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	while (done < r->len) {
		ssize_t n = kernel_write(file, r->buf + done, r->len - done, &pos);

		if (n < 0)
			return done ?: n;
		if (!n)
			break;
		done += n;
	}
	return done;
}

static long file_fsync(struct ob_fs_request *r, struct file *file)
{
	return vfs_fsync(file, r->flags & 1);
}

static long file_fallocate(struct ob_fs_request *r, struct file *file)
{
	if (r->length > MAX_LFS_FILESIZE)
		return -EFBIG;
	return vfs_fallocate(file, r->flags, r->offset, r->length);
}

static long file_lseek(struct ob_fs_request *r, struct file *file)
{
	loff_t ret;

	if (r->flags != SEEK_DATA && r->flags != SEEK_HOLE)
		return -EINVAL;
	ret = vfs_llseek(file, r->offset, r->flags);
	if (ret < 0)
		return ret;
	r->offset = ret;
	return 0;
}

/**
 * struct entries - a directory's, as FUSE has them
 * @last: the last one: where it ends is only known when the next is seen
 */
struct entries {
	struct dir_context ctx;
	struct ob_fs_request *r;
	struct fuse_dirent *last;
	unsigned int n;
};

static bool add_entry(struct dir_context *ctx, const char *name, int len, loff_t offset, u64 ino,
		      unsigned int type)
{
	struct entries *e = container_of(ctx, struct entries, ctx);
	struct fuse_dirent *d = e->r->buf + e->n;
	unsigned int size = FUSE_REC_ALIGN(FUSE_NAME_OFFSET + len);

	if (e->last)
		e->last->off = offset;
	if (len <= 0 || len > NAME_MAX || size > e->r->len - e->n)
		return false;
	memset(d, 0, size);
	d->ino = ino;
	d->type = type;
	d->namelen = len;
	memcpy(d->name, name, len);
	e->last = d;
	e->n += size;
	return true;
}

static long file_readdir(struct ob_fs_request *r, struct file *file)
{
	struct entries e = {.ctx.actor = add_entry, .r = r};
	long ret = 0;

	if (!S_ISDIR(file_inode(file)->i_mode))
		return -ENOTDIR;
	/* One at a time: what the file system keeps for the file it keeps without a lock. */
	mutex_lock(&file->f_pos_lock);
	if (file->f_pos != r->offset)
		ret = min_t(loff_t, vfs_llseek(file, r->offset, SEEK_SET), 0);
	if (!ret)
		ret = iterate_dir(file, &e.ctx);
	mutex_unlock(&file->f_pos_lock);
	if (ret < 0)
		return ret;
	if (e.last)
		e.last->off = e.ctx.pos;
	return e.n;
}

static long do_syncfs(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct super_block *sb = fs->mnt->mnt_sb;
	int ret;

	down_read(&sb->s_umount);
	ret = sync_filesystem(sb);
	up_read(&sb->s_umount);
	return ret;
}

/* ---- extended attributes ------------------------------------------------------------------------------- */

static long do_xattr(struct ob_fs_request *r, struct outboard_mount *fs)
{
	struct mnt_idmap *idmap = idmap_of(fs);
	struct dentry *dentry;
	long ret;

	if (r->op != OB_FS_LISTXATTR &&
	    (!r->name || !*r->name || strnlen(r->name, XATTR_NAME_MAX + 1) > XATTR_NAME_MAX))
		return -ERANGE;
	if (r->len > XATTR_SIZE_MAX)
		return -E2BIG;
	dentry = any_node(fs, r->node);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	switch (r->op) {
	case OB_FS_GETXATTR:
		ret = vfs_getxattr(idmap, dentry, r->name, r->len ? r->buf : NULL, r->len);
		goto put;
	case OB_FS_LISTXATTR:
		ret = vfs_listxattr(dentry, r->len ? r->buf : NULL, r->len);
		goto put;
	}
	ret = mnt_want_write(fs->mnt);
	if (ret)
		goto put;
	if (r->op == OB_FS_REMOVEXATTR)
		ret = vfs_removexattr(idmap, dentry, r->name);
	else if (r->flags & ~(XATTR_CREATE | XATTR_REPLACE))
		ret = -EINVAL;
	else
		ret = vfs_setxattr(idmap, dentry, r->name, r->buf, r->len, r->flags);
	mnt_drop_write(fs->mnt);
put:
	dput(dentry);
	return ret;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

long outboard_fs_do(struct ob_fs_request *r)
{
	static long (*const by_node[OB_FS_OPS])(struct ob_fs_request *, struct outboard_mount *) = {
		[OB_FS_LOOKUP] = do_lookup,	[OB_FS_FORGET] = do_forget,
		[OB_FS_GETATTR] = do_getattr,	[OB_FS_SETATTR] = do_setattr,
		[OB_FS_READLINK] = do_readlink, [OB_FS_MKNOD] = do_make,
		[OB_FS_MKDIR] = do_make,	[OB_FS_SYMLINK] = do_make,
		[OB_FS_LINK] = do_link,		[OB_FS_UNLINK] = do_remove,
		[OB_FS_RMDIR] = do_remove,	[OB_FS_RENAME] = do_rename,
		[OB_FS_OPEN] = do_open,		[OB_FS_CREATE] = do_create,
		[OB_FS_RELEASE] = do_release,	[OB_FS_OPENDIR] = do_open,
		[OB_FS_STATFS] = do_statfs,	[OB_FS_SYNCFS] = do_syncfs,
		[OB_FS_SETXATTR] = do_xattr,	[OB_FS_GETXATTR] = do_xattr,
		[OB_FS_LISTXATTR] = do_xattr,	[OB_FS_REMOVEXATTR] = do_xattr,
	};
	static long (*const by_file[OB_FS_OPS])(struct ob_fs_request *, struct file *) = {
		[OB_FS_READ] = file_read,	    [OB_FS_WRITE] = file_write,
		[OB_FS_FSYNC] = file_fsync,	    [OB_FS_READDIR] = file_readdir,
		[OB_FS_FALLOCATE] = file_fallocate, [OB_FS_LSEEK] = file_lseek,
	};

	if (r->op >= OB_FS_OPS || r->offset < 0 || r->len > INT_MAX)
		return -EINVAL;
	if (by_file[r->op])
		return on_file(r, r->fs, by_file[r->op]);
	return by_node[r->op](r, r->fs);
}
