// SPDX-License-Identifier: GPL-2.0-only
/*
 * /lib/firmware: a file system whose files are those of the host's folder, looked up when the kernel's firmware loader opens one
 * (Documentation/driver-api/firmware/fw_search_path.rst). Read only.
 */
#include <asm/outboard.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/init.h>
#include <linux/init_syscalls.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <uapi/linux/mount.h>

enum {
	MAGIC = 0x6f626677, /* "obfw": of nobody else in include/uapi/linux/magic.h */
	PIECE = 16384,
};

static struct inode *make_inode(struct super_block *sb, long size);

/* The path below the file system's root, in @buf. */
static const char *path_of(struct dentry *dentry, char *buf, int size)
{
	const char *path = dentry_path_raw(dentry, buf, size);

	return IS_ERR(path) ? path : path + 1;
}

static ssize_t read_file(struct kiocb *kio, struct iov_iter *to)
{
	unsigned long len = min_t(size_t, iov_iter_count(to), PIECE);
	char *path_buf = kmalloc(PATH_MAX + PIECE, GFP_KERNEL);
	const char *path;
	long got;

	if (!path_buf)
		return -ENOMEM;
	path = path_of(kio->ki_filp->f_path.dentry, path_buf, PATH_MAX);
	got = IS_ERR(path) ? PTR_ERR(path) : 0;
	if (!got && len)
		got = outboard_ops->firmware(outboard_host, path, kio->ki_pos, path_buf + PATH_MAX,
					     len);
	if (got > 0) {
		got = copy_to_iter(path_buf + PATH_MAX, got, to);
		kio->ki_pos += got;
	}
	kfree(path_buf);
	return got;
}

static const struct file_operations file_ops = {
	.read_iter = read_file,
	.llseek = generic_file_llseek,
};

static struct dentry *lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	char *buf = __getname();
	struct inode *inode = NULL;
	const char *path;
	long size;

	if (!buf)
		return ERR_PTR(-ENOMEM);
	path = path_of(dentry, buf, PATH_MAX);
	size = IS_ERR(path) ? PTR_ERR(path)
			    : outboard_ops->firmware(outboard_host, path, 0, NULL, 0);
	__putname(buf);
	if (size < 0 && size != -EISDIR && size != -ENOENT)
		return ERR_PTR(size);
	if (size != -ENOENT) {
		inode = make_inode(dir->i_sb, size);
		if (!inode)
			return ERR_PTR(-ENOMEM);
	}
	d_add(dentry, inode);
	return NULL;
}

static const struct inode_operations dir_inode_ops = {
	.lookup = lookup,
};

/* @size: -EISDIR for a folder */
static struct inode *make_inode(struct super_block *sb, long size)
{
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	inode->i_ino = get_next_ino();
	if (size < 0) {
		inode->i_mode = S_IFDIR | 0555;
		inode->i_op = &dir_inode_ops;
		inode->i_fop = &simple_dir_operations;
		set_nlink(inode, 2);
		return inode;
	}
	inode->i_mode = S_IFREG | 0444;
	inode->i_fop = &file_ops;
	inode->i_size = size;
	return inode;
}

static const struct super_operations super_ops = {
	.statfs = simple_statfs,
};

static int fill_super(struct super_block *sb, struct fs_context *fc)
{
	sb->s_magic = MAGIC;
	sb->s_op = &super_ops;
	sb->s_maxbytes = MAX_LFS_FILESIZE;
	sb->s_root = d_make_root(make_inode(sb, -EISDIR));
	return sb->s_root ? 0 : -ENOMEM;
}

static int get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, fill_super);
}

static const struct fs_context_operations context_ops = {
	.get_tree = get_tree,
};

static int init_fs_context(struct fs_context *fc)
{
	fc->ops = &context_ops;
	return 0;
}

static struct file_system_type host_firmware = {
	.name = "host-firmware",
	.init_fs_context = init_fs_context,
	.kill_sb = kill_anon_super,
};

/* The root is there since long, empty; drivers' initcalls come behind this. */
static int __init mount_firmware(void)
{
	int ret = register_filesystem(&host_firmware);

	if (!ret)
		ret = init_mkdir("/lib", 0755);
	if (!ret)
		ret = init_mkdir("/lib/firmware", 0755);
	if (!ret)
		ret = init_mount("host", "/lib/firmware", "host-firmware", MS_RDONLY, NULL);
	return ret;
}
fs_initcall_sync(mount_firmware);
