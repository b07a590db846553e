/* SPDX-License-Identifier: GPL-2.0-only */
/* What the two files of the class share. */
#ifndef OUTBOARD_CLASS_FS_H
#define OUTBOARD_CLASS_FS_H

#include <asm/outboard.h>
#include <kit/fs.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/wait.h>
#include <linux/xarray.h>

/**
 * struct outboard_mount - a mounted file system
 * @nodes: struct outboard_fs_node by number; @files: struct file by handle
 * @ended: for the host, last first
 */
struct outboard_mount {
	struct vfsmount *mnt;
	struct xarray nodes, files;
	struct ob_fs_request *ended;
	unsigned int inflight;
	wait_queue_head_t idle;
};

/* What the host knows by its number, as often as it has looked it up. */
struct outboard_fs_node {
	struct dentry *dentry;
	u64 lookups;
};

/* fs.c */
u64 outboard_fs_number(const struct outboard_mount *fs, const struct inode *inode);
struct dentry *outboard_fs_node(struct outboard_mount *fs, u64 number);
int outboard_fs_remember(struct outboard_mount *fs, struct dentry *dentry);
void outboard_fs_forget(struct outboard_mount *fs, u64 number, u64 lookups);
int outboard_fs_keep(struct outboard_mount *fs, struct file *file, u64 *handle);
struct file *outboard_fs_file(struct outboard_mount *fs, u64 handle);
int outboard_fs_release(struct outboard_mount *fs, u64 handle);

/* fs_ops.c: 0, bytes, or a negative errno value */
long outboard_fs_do(struct ob_fs_request *r);

#endif
