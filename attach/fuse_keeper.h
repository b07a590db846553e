/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: a child process that holds what must be let go only after our FUSE connection has ended,
 * however this process ends. See fuse_keeper.c for why it cannot be this process.
 */
#ifndef ATTACH_FUSE_KEEPER_H
#define ATTACH_FUSE_KEEPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <outboard/error.h>

/* Not listed, and a read of it is not answered before fuse_keeper_stop(). */
#define FUSE_KEEPER_FILE ".keeper"

enum {
	KEEPER_RESULTS = 4,
};

struct fuse_req;

/**
 * struct fuse_hold - what the keeper waits for: a read of FUSE_KEEPER_FILE that is not answered
 * @name: of the file system, for messages
 */
struct fuse_hold {
	const char *name;
	_Atomic(struct fuse_req *) read;
	_Atomic bool may_go;
};

/** fuse_hold_read() - the server got a read of FUSE_KEEPER_FILE */
void fuse_hold_read(struct fuse_hold *h, struct fuse_req *req);
/** fuse_hold_end() - the connection has ended: the request's memory is freed */
void fuse_hold_end(struct fuse_hold *h);

/**
 * struct fuse_keeper_report - what the child has to say; in shared memory, so that it is there for another process, too
 * @done: all else is set
 * @status: what setup returned
 */
struct fuse_keeper_report {
	atomic_bool done;
	int status;
	pid_t pid;
	int result[KEEPER_RESULTS];
};

/**
 * struct fuse_keeper_job - what the child does; it is a fork of a threaded process, so with
 *	async-signal-safe calls only (signal-safety(7))
 * @root: the root directory of the file system, or -1 to open @path
 * @path: the directory that it is mounted on, or NULL
 * @setup: make what is to be held, by descriptors that are left open; 0 or a negative errno value. The file
 *	system is served meanwhile. NULL: nothing to make
 * @keep: called before the child makes anything, with a descriptor of its process (pidfd), by which another process can go on with
 *	it; or NULL
 * @report: room for its report; may be the former process's, and is then as that left it
 * @spawn: fork the child in another way, by fuse_keeper_spawn() in another process; or NULL
 * @at_end: the last thing it does: fuse_keeper_stop() was called, or the connection has ended; may be NULL
 */
struct fuse_keeper_job {
	int root;
	const char *path;
	int (*setup)(void *arg, int root, int result[KEEPER_RESULTS]);
	int (*keep)(void *arg, int pidfd);
	int (*spawn)(void *arg, int *pidfd, int *go);
	struct fuse_keeper_report *report;
	void (*at_end)(void *arg, int root);
	void *arg;
};

/**
 * struct fuse_keeper - the child
 * @pid: 0: none
 * @fd: of its process; -1: none. Set when a former process has started it
 */
struct fuse_keeper {
	pid_t pid;
	int fd;
};

/**
 * fuse_keeper_spawn() - fork the child, which begins when a byte is written to *@go, and ends when that is closed without
 * @pidfd: set to a descriptor of its process
 *
 * Return: 0 or a negative errno value.
 */
int fuse_keeper_spawn(const struct fuse_keeper_job *job, int *pidfd, int *go);

/**
 * fuse_keeper_start() - from another thread than the loop's, which serves meanwhile
 * @result: what @job->setup made
 *
 * Return: 0; what @job->setup returned; -ETIMEDOUT when the loop does not serve.
 */
int fuse_keeper_start(struct fuse_hold *h, const struct fuse_keeper_job *job, struct fuse_keeper *k,
		      int result[KEEPER_RESULTS], struct ob_error *err);

/**
 * fuse_keeper_stop() - let it go, and wait until it has: what it closes may be written back
 *
 * While the loop serves, or after the connection has ended.
 */
void fuse_keeper_stop(struct fuse_hold *h, struct fuse_keeper *k);

#endif
