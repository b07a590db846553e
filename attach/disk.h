/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the attachments of disks share: requests of clients, of any length, against one ob_block. They are
 * cut to what the device takes, submitted in bursts with one doorbell, and given back when all of their
 * parts have ended. Everything runs in the loop's thread but disk_open(), disk_close() and the counters.
 */
#ifndef ATTACH_DISK_H
#define ATTACH_DISK_H

#include <outboard/attach.h>

#include "attach/payload.h"

enum {
	/* Parts of one client request that are at the device at once. */
	DISK_PARTS = 8,
	/* Parts given to the device in one call. */
	DISK_BURST = 64,
};

/* Options that all attachments of disks have. */
#define DISK_OPTIONS "depth=N,memory=SIZE"

/**
 * struct disk_request - one request of a client; embedded in the front end's own struct
 * @op: enum ob_block_op
 * @flags: enum ob_block_flags; FUA may always be asked for and is made of a flush where the disk has none
 * @offset, @len: bytes, multiples of the block size, within the disk
 * @buf: READ, WRITE: payload memory
 * @iov: or, where it is not NULL, the pieces that it consists of, each a multiple of the block size; they stay until the
 *	request has ended. Each piece is at least one request to the device
 * @iova: with OB_BLOCK_MAPPED: where the device sees @buf
 * @status: at disk_ops.done: 0 or a negative errno value
 *
 * The others are disk.c's.
 */
struct disk_request {
	uint8_t op, flags;
	uint8_t active; /* a bit per part that is at the device or in the burst */
	bool queued;	/* on the list of those that have parts to give */
	bool flush, flush_after;
	int status;
	uint64_t offset, len, given;
	char *buf;
	const struct iovec *iov;
	uint32_t iov_given; /* of the first piece */
	ob_iova iova;
	struct disk_request *link;
	struct ob_block_req part[DISK_PARTS];
};

/**
 * struct disk_ops - the front end
 * @done: a request has ended; its memory is the front end's again
 * @batch_end: after a burst of done()
 */
struct disk_ops {
	void (*done)(void *front, struct disk_request *rq);
	void (*batch_end)(void *front);
};

struct disk {
	struct ob_block *blk;
	const struct disk_ops *ops;
	void *front;
	struct ob_loop *loop;
	unsigned int queue;

	/* what the disk can do, asked once */
	bool fua, flush, discard, zeroes;
	uint32_t max_transfer, max_discard, max_zeroes; /* multiples of the block size */
	char *zero; /* what is written where the disk cannot zero, see disk_zero_by_writing() */

	unsigned int depth;
	struct payload payload;

	struct disk_request *first, *last; /* those with parts to give */
	struct ob_block_req *burst[DISK_BURST];
	unsigned int nr_burst;
	unsigned int inflight;	      /* parts at the device */
	struct ob_attach_stats stats; /* written by the loop's thread, relaxed */
};

/**
 * disk_open() - start the disk, take payload memory, add the disk's source to the loop
 * @part: the attachment's options, of which DISK_OPTIONS are taken
 * @max_depth: most requests of clients at once
 */
int disk_open(struct disk *d, struct ob_block *blk, struct ob_spec_part *part, struct ob_loop *loop,
	      unsigned int max_depth, const struct disk_ops *ops, void *front,
	      struct ob_error *err);

/**
 * disk_zero_by_writing() - from now on take WRITE_ZEROES also where the disk cannot; before the loop runs
 *
 * It is made of writes of zeroes, out of payload memory.
 */
void disk_zero_by_writing(struct disk *d);

/** disk_close() - after the loop has ended. Requests at the device end, with done(), before it returns */
void disk_close(struct disk *d);

/** disk_start() - take a request; it goes to the device at the next disk_submit() */
void disk_start(struct disk *d, struct disk_request *rq);

/** disk_submit() - give the device what it can take, in one burst */
void disk_submit(struct disk *d);

/** disk_can_fua() - can a write be on stable storage when it ends, by FUA or by a flush? */
bool disk_can_fua(const struct disk *d);

void disk_log(const struct disk *d, enum ob_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One thread counts, others look: whole values without a locked instruction. */
static inline void disk_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
void disk_stats(const struct disk *d, struct ob_attach_stats *stats);

/* The block size is a power of two. */
static inline bool disk_aligned(const struct disk *d, uint64_t n)
{
	return !(n & (d->blk->limits.block_size - 1));
}

static inline bool disk_in_range(const struct disk *d, uint64_t offset, uint64_t len)
{
	return offset <= d->blk->limits.size && len <= d->blk->limits.size - offset;
}

#endif
