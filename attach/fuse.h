/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as one file of a FUSE file system. Attachment "fuse" mounts it in a directory; attachment "loop"
 * makes a loop device of the file without ever mounting it anywhere.
 */
#ifndef ATTACH_FUSE_H
#define ATTACH_FUSE_H

#include "attach/disk.h"
#include "attach/fuse_keeper.h"

struct fuse_session;
struct fuse_tag;

enum {
	FUSE_FILE_INO = 2,
	FUSE_KEEPER_INO = 3,
	FUSE_DEPTH_MAX = 1024,
};

/**
 * struct fuse_disk - the file system, served by the loop's thread
 * @disk: the requests' other end
 * @file: the file's name in the root directory
 * @fd: /dev/fuse, non-blocking; closing it ends the connection and fails what is under way
 * @rx: memory for the next message: its payload begins PAYLOAD_PAGE bytes into it
 * @broken: the kernel has ended the connection
 * @hold: what the keeper waits for
 */
struct fuse_disk {
	struct disk disk;
	char file[40];
	struct fuse_session *session;
	int fd;
	uint32_t max_write;
	bool broken;
	unsigned int rounds_to_look; /* for messages */
	unsigned int looks_at_once;
	char *rx;
	bool rx_taken; /* a write took over the pages of the message just read */
	struct fuse_tag *tags, *free;
	unsigned int owner_uid, owner_gid;
	struct fuse_hold hold;
};

/** fuse_disk_open() - a session without a connection */
int fuse_disk_open(struct fuse_disk *f, struct ob_binding *b, unsigned int index,
		   struct ob_spec_part *part, struct ob_loop *loop, struct ob_error *err);

/** fuse_disk_connect() - serve @fd, a /dev/fuse that is mounted already; taken over */
int fuse_disk_connect(struct fuse_disk *f, int fd, struct ob_error *err);

/** fuse_disk_abort() - end the connection at once: what clients wait for fails */
void fuse_disk_abort(struct fuse_disk *f);

/** fuse_disk_close() - after the loop has ended */
void fuse_disk_close(struct fuse_disk *f);

#endif
