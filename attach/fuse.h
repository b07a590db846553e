/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as one file of a FUSE file system. Attachment "fuse" mounts it in a directory; attachment "loop"
 * makes a loop device of the file without ever mounting it anywhere.
 */
#ifndef ATTACH_FUSE_H
#define ATTACH_FUSE_H

#include "attach/disk.h"
#include "attach/fuse_keeper.h"
#include "attach/kept.h"

struct fuse_session;
struct fuse_tag;

enum {
	FUSE_FILE_INO = 2,
	FUSE_KEEPER_INO = 3,
	FUSE_DEPTH_MAX = 1024,
};

/**
 * struct fuse_log - what another driver process must know to go on; in memory that outlives this one
 * @max_write: what the kernel was told
 * @init, @init_len: the kernel's first message, of the only kind that is not sent again
 * @mountpoint: of the file's directory, which cannot be looked at while nobody serves it
 * @diskseq: of a loop device over the file
 */
struct fuse_log {
	uint32_t max_write;
	atomic_uint init_len;
	char init[256];
	char mountpoint[512];
	char diskseq[24];
	struct fuse_keeper_report report;
};

/* What a keeper has of it. */
enum fuse_kept_fd {
	FUSE_KEPT_DEVICE,
	FUSE_KEPT_ROOT,	  /* of the mount, until it is placed or used */
	FUSE_KEPT_HOLDER, /* a pidfd of the child in fuse_keeper.c */
	FUSE_KEPT_LOG,
	FUSE_KEPT_FDS,
};

/**
 * struct fuse_disk - the file system, served by the loop's thread
 * @disk: the requests' other end
 * @file: the file's name in the root directory
 * @fd: /dev/fuse, non-blocking; closing it ends the connection and fails what is under way
 * @rx: memory for the next message: its payload begins PAYLOAD_PAGE bytes into it
 * @void_fd: what takes its place at the end, so that its number stays busy
 * @broken: the kernel has ended the connection
 * @hold: what the keeper waits for
 * @kept: a keeper has the connection, and another driver process goes on with it
 * @taken_over: a former one has made it; @left: what it had, ours until it is taken
 */
struct fuse_disk {
	struct disk disk;
	char file[40];
	struct fuse_session *session;
	int fd, void_fd;
	uint32_t max_write;
	bool broken;
	unsigned int rounds_to_look; /* for messages */
	unsigned int looks_at_once;
	char *rx;
	bool rx_taken; /* a write took over the pages of the message just read */
	struct fuse_tag *tags, *free;
	unsigned int owner_uid, owner_gid;
	struct fuse_hold hold;
	struct fuse_log *log;
	int log_fd;
	char key[KEPT_KEY];
	bool kept, taken_over;
	size_t mapped; /* of payload memory, from its beginning on */
	int left[FUSE_KEPT_FDS];
};

/** fuse_disk_open() - a session without a connection; @kind: of attachment */
int fuse_disk_open(struct fuse_disk *f, const char *kind, struct ob_binding *b, unsigned int index,
		   struct ob_spec_part *part, struct ob_loop *loop, struct ob_error *err);

/** fuse_disk_connect() - serve @fd, a /dev/fuse that is mounted already; taken over */
int fuse_disk_connect(struct fuse_disk *f, int fd, struct ob_error *err);

/** fuse_disk_message() - the kernel's next message was read: what has to be remembered of it */
void fuse_disk_message(struct fuse_disk *f, const void *message, size_t len);

/** fuse_disk_keep() - for another driver process; @root, @pidfd: or -1 */
int fuse_disk_keep(const struct fuse_disk *f, int root, int pidfd);

/** fuse_disk_let_holder_go() - the attachment ends: so does the child, unless another driver process may go on with it */
void fuse_disk_let_holder_go(struct fuse_disk *f, struct fuse_keeper *k);

/* fuse_kept.c, for fuse_disk.c: */
int fuse_disk_open_log(struct fuse_disk *f, struct ob_error *err);
void fuse_disk_close_log(struct fuse_disk *f);
int fuse_disk_resume(struct fuse_disk *f, struct ob_error *err);

/** fuse_disk_abort() - end the connection at once: what clients wait for fails */
void fuse_disk_abort(struct fuse_disk *f);

/** fuse_disk_close() - after the loop has ended */
void fuse_disk_close(struct fuse_disk *f);

#endif
