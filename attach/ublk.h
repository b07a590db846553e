/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The attachment "ublk": its own structs. ublk.c opens and publishes, ublk_io.c serves in the loop's thread,
 * ublk_ctrl.c gives commands, ublk_desc.c checks what the kernel asks, ublk_left.c finds what a server that
 * died has left, and removes it; ublk_shmem.c shares memory with clients.
 */
#ifndef ATTACH_UBLK_H
#define ATTACH_UBLK_H

#include <pthread.h>
#include <stdatomic.h>

#include "attach/caretaker.h"
#include "attach/disk.h"
#include "attach/ublk_ctrl.h"
#include "attach/ublk_desc.h"
#include "attach/ublk_left.h"

enum {
	UBLK_QUEUES_MAX = 16,
	/* Of all queues together: an SQE each, and io_uring has 32,768 at most. */
	UBLK_TAGS_MAX = 8192,
	/* Longer requests of clients are cut by the kernel; one MiB is more than it makes by itself. */
	UBLK_IO_MAX = 1 << 20,
	UBLK_PATH = 32,
};

/**
 * struct ublk_tag - a place for a request, for the life of the device
 * @buf: where its payload lies, in the device's arena
 */
struct ublk_tag {
	struct disk_request rq; /* first: the disk layer hands it back */
	char *buf;
	uint16_t queue, tag;
	bool shared; /* the payload is the client's own memory */
	bool gone;   /* the kernel has taken it back */
};

struct ublk_queue {
	const struct ublksrv_io_desc *desc;
	size_t map_len;
};

struct ublk_attach {
	struct ob_attach at; /* first */
	struct disk disk;
	struct ublk_shape shape;

	/* the device */
	struct ublk_ctrl ctrl;
	uint64_t features;
	struct ublksrv_ctrl_dev_info dev;
	bool ours;  /* to be deleted at the end */
	bool taken; /* over from a server that died */
	bool published;
	bool recovery; /* it survives this process */
	bool partscan;
	bool unprivileged;
	int claim_fd;
	int char_fd;
	struct ublk_care care;
	struct caretaker caretaker;
	char node[UBLK_PATH];  /* /dev/ublkbN */
	char cnode[UBLK_PATH]; /* /dev/ublkcN */

	/* memory shared with clients */
	struct ublk_region share;
	struct ob_dma_mapping share_map;
	uint16_t share_mark;

	/* the loop's thread */
	struct io_uring ring;
	bool ring_made;
	int event_fd;
	struct ublk_queue queue[UBLK_QUEUES_MAX];
	struct ublk_tag *tags;
	unsigned int nr_tags;
	unsigned int nr_gone;
	bool started;
	unsigned int held;    /* rounds that a call was put off */
	unsigned int no_wait; /* calls that do not wait for more */
	bool alone;	      /* there is one processor */
	bool hurry;	      /* nothing is put off: a sleep comes */
	_Atomic int failed; /* the first error of a FETCH, for who waits for the device to start */
};

/* ---- ublk_io.c ------------------------------------------------------------------- */

/** ublk_io_open() - ring, descriptors and tags of the device that u->char_fd is; adds the source to the loop */
int ublk_io_open(struct ublk_attach *u, struct ob_loop *loop, struct ob_error *err);
/** ublk_io_close() - after the loop has ended, or will not serve any more */
void ublk_io_close(struct ublk_attach *u);

extern const struct disk_ops ublk_disk_ops;

/* ---- ublk_shmem.c ---------------------------------------------------------------- */

/** ublk_share_open() - map a file for us and for the device; 0 with nothing done where the kernel cannot */
int ublk_share_open(struct ublk_attach *u, const char *path, struct ob_error *err);
/** ublk_share_register() - tell the kernel; the device is added and not started */
int ublk_share_register(struct ublk_attach *u, struct ob_error *err);
/** ublk_share_close() - when the disk is stopped */
void ublk_share_close(struct ublk_attach *u);

#endif
