/* SPDX-License-Identifier: BSD-2-Clause */
/* What "fuse" and "loop" need rights for: mounting, the child that holds what lies on the file, loop devices. */
#ifndef ATTACH_FUSE_BROKER_H
#define ATTACH_FUSE_BROKER_H

#include "attach/broker_ops.h"

/* What a child that sets a loop device up reports, as fuse_keeper_report.result. */
enum loop_result {
	LOOP_NUMBER,
	LOOP_DIRECT,
	LOOP_STEP,
};

enum loop_step {
	LOOP_STEP_FILE,
	LOOP_STEP_CONTROL,
	LOOP_STEP_NODE,
	LOOP_STEP_CONFIGURE,
};

/**
 * fuse_mount_broker() - fuse_mount_nowhere(), or with @path fuse_mount_prepare() on it
 * @path: as it was typed; absolute afterwards; or NULL
 */
int fuse_mount_broker(const char *name, char path[512], int *fuse, int *root, struct ob_error *err);

/** fuse_unmount_broker() - fuse_unmount_now() */
void fuse_unmount_broker(const char *path);

/** fuse_hold_spawn() - struct fuse_keeper_job.spawn; @root: or -1 */
int fuse_hold_spawn(const struct broker_hold *hold, int log, int root, int *pidfd, int *go);

/** fuse_check_unused() - holder_check_unused() */
int fuse_check_unused(const char *path, pid_t except, struct ob_error *err);

/** loop_check_idle() - does nobody but @except use a loop device? 0, or -EBUSY with who it is */
int loop_check_idle(int number, pid_t except, struct ob_error *err);

/** loop_look() - is it set up, and in which use of its number? */
void loop_look(int number, struct broker_loop *look);

#endif
