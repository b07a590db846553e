/* SPDX-License-Identifier: BSD-2-Clause */
/* Mounting a FUSE file system: nowhere, or on a directory, with root's rights or without. */
#ifndef ATTACH_FUSE_MOUNT_H
#define ATTACH_FUSE_MOUNT_H

#include <stdbool.h>

#include <outboard/error.h>

/**
 * fuse_mount_nowhere() - a mount that has no place and ends with its last user
 * @name: for messages
 * @fuse: set to the connection, /dev/fuse
 * @root: set to its root directory
 */
int fuse_mount_nowhere(const char *name, int *fuse, int *root, struct ob_error *err);

/** fuse_mount_check() - is @path a directory to mount on? @attachment: for messages */
int fuse_mount_check(const char *attachment, const char *path, struct ob_error *err);

/**
 * fuse_mount_prepare() - as fuse_mount_nowhere() where we may; else mount on @path by fusermount3(1)
 * @flags: options without a value, as "default_permissions,allow_other"; may be empty
 * @root: set to -1 when it is mounted already
 */
int fuse_mount_prepare(const char *name, const char *path, const char *flags, int *fuse, int *root,
		       struct ob_error *err);

/** fuse_mount_place() - put what was prepared on @path. Async-signal-safe. 0 or a negative errno value */
int fuse_mount_place(int root, const char *path);

/**
 * fuse_unmount() - detach the mount whose root is @root, or what is mounted on @path
 *
 * @root: 0 to 9, or -1
 *
 * Lazily: who has a file open keeps it. Async-signal-safe; may replace this process by fusermount3, so only
 * for a child that has nothing else to do.
 */
void fuse_unmount(int root, const char *path);

/** fuse_unmount_now() - the same for a process that goes on */
void fuse_unmount_now(const char *path);

/** fuse_mount_probe() - can this user mount FUSE file systems? @nowhere: as fuse_mount_nowhere() does */
int fuse_mount_probe(bool nowhere, struct ob_error *err);

#endif
