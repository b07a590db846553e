/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: a child process that holds what must be let go only after our FUSE connection has ended,
 * however this process ends. See fuse_keeper.c for why it cannot be this process.
 */
#ifndef ATTACH_FUSE_KEEPER_H
#define ATTACH_FUSE_KEEPER_H

#include <limits.h>
#include <sys/types.h>

#include "attach/fuse.h"

enum {
	KEEPER_RESULTS = 4,
};

/**
 * struct fuse_keeper_job - what the child does; it is a fork of a threaded process, so with
 *	async-signal-safe calls only (signal-safety(7))
 * @root: the root directory of the file system, or -1 to open @path
 * @path: the directory that it is mounted on, or NULL
 * @setup: make what is to be held, by descriptors that are left open; 0 or a negative errno value. The file
 *	system is served meanwhile. NULL: nothing to make
 * @at_end: the last thing it does: fuse_keeper_stop() was called, or the connection has ended; may be NULL
 */
struct fuse_keeper_job {
	int root;
	const char *path;
	int (*setup)(void *arg, int root, int result[KEEPER_RESULTS]);
	void (*at_end)(void *arg, int root);
	void *arg;
};

struct fuse_keeper {
	pid_t pid; /* 0: none */
};

/**
 * fuse_keeper_start() - from another thread than the loop's, which serves meanwhile
 * @result: what @job->setup made
 *
 * Return: 0; what @job->setup returned; -ETIMEDOUT when the loop does not serve.
 */
int fuse_keeper_start(struct fuse_disk *f, const struct fuse_keeper_job *job, struct fuse_keeper *k,
		      int result[KEEPER_RESULTS], struct ob_error *err);

/**
 * fuse_keeper_stop() - let it go, and wait until it has: what it closes may be written back
 *
 * While the loop serves, or after fuse_disk_abort().
 */
void fuse_keeper_stop(struct fuse_disk *f, struct fuse_keeper *k);

#endif
