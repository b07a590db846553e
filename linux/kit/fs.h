/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file system that the kernel in this process has mounted, for whoever gives its files on (attach/mount.c). Read by both sides of the boundary, so
 * it includes no header of either; see linux/kit/kit.h. Operations and their meaning are FUSE's (Linux, include/uapi/linux/fuse.h), and so
 * are the bits and flags in a request.
 */
#ifndef OUTBOARD_LINUX_FS_H
#define OUTBOARD_LINUX_FS_H

enum ob_fs_op {
	OB_FS_LOOKUP,
	OB_FS_FORGET,
	OB_FS_GETATTR,
	OB_FS_SETATTR,
	OB_FS_READLINK,
	OB_FS_MKNOD,
	OB_FS_MKDIR,
	OB_FS_SYMLINK,
	OB_FS_LINK,
	OB_FS_UNLINK,
	OB_FS_RMDIR,
	OB_FS_RENAME,
	OB_FS_OPEN,
	OB_FS_CREATE,
	OB_FS_READ,
	OB_FS_WRITE,
	OB_FS_FSYNC,
	OB_FS_RELEASE,
	OB_FS_OPENDIR,
	OB_FS_READDIR,
	OB_FS_STATFS,
	OB_FS_SYNCFS,
	OB_FS_SETXATTR,
	OB_FS_GETXATTR,
	OB_FS_LISTXATTR,
	OB_FS_REMOVEXATTR,
	OB_FS_FALLOCATE,
	OB_FS_LSEEK,
	OB_FS_OPS,
};

/* What of the attributes is to be set; as FUSE's FATTR_ bits. */
enum {
	OB_FS_SET_MODE = 1 << 0,
	OB_FS_SET_UID = 1 << 1,
	OB_FS_SET_GID = 1 << 2,
	OB_FS_SET_SIZE = 1 << 3,
	OB_FS_SET_ATIME = 1 << 4,
	OB_FS_SET_MTIME = 1 << 5,
	OB_FS_SET_ATIME_NOW = 1 << 7,
	OB_FS_SET_MTIME_NOW = 1 << 8,
	OB_FS_SET_CTIME = 1 << 10,
};

/* The root directory's node, whatever number it has on the disk. */
#define OB_FS_ROOT 1ull

/* A node that the host does not know any more, and how often it had been told of it. */
struct ob_fs_forget {
	unsigned long long node, lookups;
};

struct ob_fs_time {
	long long sec;
	unsigned int nsec;
};

struct ob_fs_attr {
	unsigned long long ino, size, blocks;
	struct ob_fs_time atime, mtime, ctime;
	unsigned int mode, nlink, uid, gid, rdev, blksize;
};

struct ob_fs_statfs {
	unsigned long long blocks, bfree, bavail, files, ffree;
	unsigned int bsize, frsize, namelen;
};

/**
 * struct ob_fs_request - one operation; its memory, and what it points to, stay until it has ended
 * @fs: of the kernel's mount; set by ob_fs_driver.submit()
 * @next: in a list of requests; of whoever has it
 * @op: enum ob_fs_op
 * @node: what the operation is about: a directory, where there is @name
 * @node2: of LINK and RENAME the other directory
 * @handle: of an open file, 0 without
 * @name, @name2: ended by a NUL; checked by the kernel's side
 * @buf, @len: data of READ, READDIR (struct fuse_dirent), READLINK, WRITE, FORGET (struct ob_fs_forget), and of the extended attributes
 * @offset, @length: in the file; LSEEK answers in @offset
 * @flags: as of open(2), renameat2(2), fallocate(2), setxattr(2), lseek(2)'s whence, FSYNC: 1 for data only
 * @uid, @gid: who makes a file
 * @valid: of SETATTR, OB_FS_SET_ bits
 * @attr: what is to be set, and what it is afterwards
 * @generation: with @node the answer of what makes a node
 * @result: bytes, or 0, or a negative errno value
 */
struct ob_fs_request {
	void *fs;
	struct ob_fs_request *next;
	unsigned int op;
	unsigned long long node, node2, handle;
	const char *name, *name2;
	void *buf;
	unsigned int len;
	long long offset;
	unsigned long long length;
	unsigned int flags, mode, rdev, uid, gid, valid;
	union {
		struct ob_fs_attr attr;
		struct ob_fs_statfs statfs;
	};
	unsigned long long generation;
	long result;
};

/**
 * struct ob_kernel_fs - file systems. @submit is called inside of burst(), @ended only looks; the others are called inside of call()
 */
struct ob_kernel_fs {
	/**
	 * @mount: mount what is on a disk of the kernel's
	 * @device: its number, as ob_kernel_block.device() or ob_kernel_host_disk.device() say
	 * @type: the file system's name, or NULL for any that the object has and that is there
	 * @options: its options, as of mount(8), or NULL
	 * @fs: set to what the others take
	 */
	int (*mount)(unsigned int device, const char *type, const char *options, int read_only,
		     void **fs);
	/** @unmount: files that are still open are closed, all is written, the disk is free */
	void (*unmount)(void *fs);
	/** @type_name: of a mounted one */
	const char *(*type_name)(void *fs);
	void (*submit)(struct ob_fs_request *first);
	/** @ended: the list of what has ended since the last call */
	struct ob_fs_request *(*ended)(void *fs);
};

/* ---- for the program --------------------------------------------------------------------- */

struct ob_block;
struct ob_error;
struct ob_fs;
struct ob_loop;

/**
 * struct ob_fs_options - how to mount
 * @type, @options, @read_only: as of ob_kernel_fs.mount()
 * @partition: its number, 0 for the whole disk
 * @ended: called in the loop's thread with a list of requests that have ended; not from within submit()
 */
struct ob_fs_options {
	const char *type, *options;
	unsigned int partition;
	int read_only;
	void (*ended)(void *arg, struct ob_fs_request *first);
	void *arg;
};

/**
 * struct ob_fs_driver - what an object that has file systems can do (ob_driver.fs)
 */
struct ob_fs_driver {
	/**
	 * @mount: mount what is on @blk, a disk that is not started: one of the object's own, or another driver's, then a kernel is booted
	 *	for it. What it needs is added to @loop, which does not run yet
	 */
	int (*mount)(struct ob_block *blk, const struct ob_fs_options *options,
		     struct ob_loop *loop, struct ob_fs **fs, struct ob_error *err);
	/** @unmount: when the loop has ended. What is under way ends without ended() */
	void (*unmount)(struct ob_fs *fs);
	const char *(*type_name)(struct ob_fs *fs);
	/** @submit: in the loop's thread: a list of requests, all of which are taken */
	void (*submit)(struct ob_fs *fs, struct ob_fs_request *first);
};

#endif
