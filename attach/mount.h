/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two files of attachment "mount" share. */
#ifndef ATTACH_MOUNT_H
#define ATTACH_MOUNT_H

#include <stdatomic.h>
#include <sys/types.h>

#include <outboard/attach.h>

#include "linux/kit/fs.h"

struct fuse_req;
struct fuse_session;

enum {
	/* Longest read or write: 64 pages. */
	MOUNT_DATA = 256 << 10,
	/* What is in front of a write's data, and more than all other messages have: libfuse wants a page. */
	MOUNT_HEADER = 4096,
	/* Requests of the host's at once. */
	MOUNT_TAGS = 32,
};

/**
 * struct mount_tag - one request of the host's
 * @r: first: the kernel's side hands it back
 * @msg: the message, MOUNT_HEADER + MOUNT_DATA; then the place of the answer's data
 * @name, @name2: copies of a message's; one longer than there may be is cut to one that is too long
 * @answer: what to reply with, when it has ended
 */
struct mount_tag {
	struct ob_fs_request r;
	struct mount_attach *m;
	struct fuse_req *req;
	struct mount_tag *link;
	void (*answer)(struct mount_tag *t);
	char *msg;
	size_t msg_len;
	bool taken;
	char name[258], name2[4098];
};

/**
 * struct mount_attach - the attachment
 * @fd: /dev/fuse, non-blocking
 * @first, @last: requests that go into the kernel together
 * @broken: the host has ended the connection
 * @ending: by order of ours
 * @mount_id: of the mount, in this process's namespace
 * @sweeper: a child that unmounts when this process has died; @sweeper_pipe: by which it knows
 */
struct mount_attach {
	struct ob_attach at; /* first */
	struct ob_block *blk;
	const struct ob_fs_driver *driver;
	struct ob_fs *fs;
	struct ob_loop *loop;
	char mountpoint[512];
	char type[32];
	bool read_only;

	struct fuse_session *session;
	int fd, root;
	bool broken, look_at_once;
	unsigned int rounds_to_look; /* for messages */
	atomic_bool ending;
	struct mount_tag *tags, *free, *now;
	struct ob_fs_request *first, **last;

	int mount_id;
	pid_t sweeper;
	int sweeper_pipe;
	struct ob_attach_stats stats; /* written by the loop's thread, relaxed */
};

/* mount_ops.c */
int mount_session_open(struct mount_attach *m, struct ob_error *err);
/* Serve @fd, which is mounted already; taken over. */
int mount_session_connect(struct mount_attach *m, int fd, struct ob_error *err);
/* The connection ends at once: what clients wait for fails. */
void mount_session_abort(struct mount_attach *m);
/* After the loop and the file system have ended. */
void mount_session_close(struct mount_attach *m);
/* ob_fs_options.ended */
void mount_ended(void *attach, struct ob_fs_request *first);

#endif
