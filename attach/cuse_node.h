/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A character device as a node's open files see it: the far side of CUSE (Linux, fs/fuse/cuse.c; the protocol
 * is that of FUSE, include/uapi/linux/fuse.h). Served by the thread of the device's loop. docs/cuse.md says what
 * clients get.
 */
#ifndef ATTACH_CUSE_NODE_H
#define ATTACH_CUSE_NODE_H

#include <stdatomic.h>

#include <outboard/attach.h>

struct fuse_session;
struct cuse_file;

enum {
	CUSE_REPLY_MAX = 4096, /* what one write can have as its reply */
	CUSE_LINE_MAX = 256,
	CUSE_WRITE_MAX = 65536, /* bytes of one message */
	CUSE_FILES_MAX = 1024,	/* open at once */
};

/**
 * struct cuse_node - a node
 * @name: in /dev
 * @fd: /dev/cuse; closing it ends the node. -1 once closed
 * @file: by the number that the kernel knows it by
 * @reply: of the latest write, by whichever file; @generation counts them
 * @ready: libfuse takes requests
 * @opened: files open, for other threads
 */
struct cuse_node {
	struct ob_char *chr;
	char name[64];
	struct fuse_session *session;
	int fd;
	void *rx;
	struct cuse_file *file[CUSE_FILES_MAX];
	unsigned int nr_files;
	char reply[CUSE_REPLY_MAX];
	unsigned int reply_len;
	uint64_t generation;
	bool said_gone; /* pollers were told that the device is gone */
	unsigned int nr_parked;
	atomic_bool ready, ended;
	atomic_uint opened;
	atomic_int last_pid; /* of who opened it last */
	struct ob_attach_stats stats;
};

/**
 * cuse_node_open() - serve a node that there is
 * @fd: taken over, also on failure; non-blocking
 * @init, @size: the kernel's first message, which has been answered
 */
int cuse_node_open(struct cuse_node *n, struct ob_char *chr, const char *name, int fd,
		   const void *init, size_t size, struct ob_error *err);
/** cuse_node_close() - the node vanishes; what is under way fails. Once more does nothing */
void cuse_node_close(struct cuse_node *n);

/** cuse_node_serve() - answer up to @budget messages; returns how many */
unsigned int cuse_node_serve(struct cuse_node *n, unsigned int budget);
/** cuse_node_tick() - about every 100 ms: has the device gone? */
void cuse_node_tick(struct cuse_node *n);

#endif
