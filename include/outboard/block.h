/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * class/block: what all disks have in common. Requests go down and come back in bursts; a queue belongs
 * to one thread at a time.
 */
#ifndef OUTBOARD_BLOCK_H
#define OUTBOARD_BLOCK_H

#include <outboard/dma.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_block;

enum ob_block_op {
	OB_BLOCK_READ,
	OB_BLOCK_WRITE,
	OB_BLOCK_FLUSH,	       /* all completed writes are on stable storage afterwards */
	OB_BLOCK_DISCARD,      /* content becomes undefined */
	OB_BLOCK_WRITE_ZEROES, /* content becomes zero */
};

enum ob_block_flags {
	OB_BLOCK_FUA = 1 << 0,	     /* WRITE, WRITE_ZEROES: on stable storage when completed */
	OB_BLOCK_MAY_UNMAP = 1 << 1, /* WRITE_ZEROES may deallocate */
	/*
	 * READ, WRITE: @iova is given by the caller, who has mapped all of @buf (ob_dma_map()) and keeps it
	 * so until the request has ended: memory that is shared with somebody and mapped once.
	 * It must be aligned to dma_align
	 */
	OB_BLOCK_MAPPED = 1 << 2,
};

/**
 * struct ob_block_req - one request, memory of the caller's until it is completed
 * @op: enum ob_block_op
 * @flags: of enum ob_block_flags
 * @status: set at completion: 0, or -EIO, -ETIMEDOUT, -ENODEV, -EILSEQ (media), -ENOSPC ...
 * @offset: first byte, a multiple of the block size
 * @len: bytes, a multiple of the block size; READ and WRITE: at most max_transfer
 * @buf: READ and WRITE: contiguous memory, any; without a copy when it lies in the arena and
 *	is aligned to dma_align
 * @user: the caller's
 * @iova: where the device sees @buf; filled by the class, but for OB_BLOCK_MAPPED
 * @map: mapping of a buffer outside the arena; the class's
 * @priv: the driver's while the request is in flight
 * @epoch: when it was submitted, for ob_block_oldest(); the class's
 */
struct ob_block_req {
	uint8_t op;
	uint8_t flags;
	int16_t status;
	uint32_t len;
	uint64_t offset;
	void *buf;
	ob_iova iova;
	void *user;
	uint64_t priv;
	struct ob_dma_mapping *map;
	uint32_t epoch;
};

/**
 * struct ob_block_limits - what the disk is and can take
 * @size: bytes
 * @block_size: bytes, power of two ≥ 512: unit of offset and len
 * @physical_block_size: a write of this size does not need a read-modify-write
 * @max_transfer: longest READ or WRITE
 * @max_discard, @max_zeroes: longest of these, 0 when the disk cannot
 * @dma_align: a power of two; buffers in the arena that are aligned to it are used in place
 * @queues: independent queues
 * @depth: requests in flight per queue
 */
struct ob_block_limits {
	uint64_t size;
	uint32_t block_size, physical_block_size;
	uint32_t max_transfer;
	uint32_t max_discard, max_zeroes;
	uint32_t dma_align;
	uint16_t queues, depth;
	bool read_only, volatile_cache, rotational;
};

struct ob_block_stats {
	uint64_t reads, writes, flushes, discards, zeroes;
	uint64_t read_bytes, write_bytes;
	uint64_t errors, timeouts, aborts, resets;
	uint64_t bad_completions; /* what the device wrote and the driver refused */
	uint64_t bounced;	  /* requests whose payload was copied */
	uint64_t doorbells, irqs, polls, empty_polls;
};

/**
 * struct ob_block_ops - a disk driver
 *
 * submit, complete and irq_arm of one queue are called from one thread.
 */
struct ob_block_ops {
	int (*start)(struct ob_block *blk, struct ob_error *err);
	/** @stop: nothing is in flight and no DMA happens when it returns; what was is completed
	 * with -ECANCELED and can be collected by complete. */
	void (*stop)(struct ob_block *blk);

	/**
	 * @submit: start up to @n requests, in order; returns how many were taken (0 when the
	 * queue is full). Validity was checked by the class. At most one doorbell.
	 */
	unsigned int (*submit)(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			       unsigned int n);

	/** @complete: up to @n requests that have ended. Waits for nothing. At most one doorbell. */
	unsigned int (*complete)(struct ob_block *blk, unsigned int queue,
				 struct ob_block_req **reqs, unsigned int n);

	/** @irq_arm: on: interrupt at completion; returns true when some have completed already. */
	bool (*irq_arm)(struct ob_block *blk, unsigned int queue, bool on);

	/** @tick: about every 100 ms, from the thread of the queues: time-outs, abort, reset. */
	void (*tick)(struct ob_block *blk, uint64_t now_ns);

	/* capability questions; NULL answers no */
	bool (*can_fua)(struct ob_block *blk);
	bool (*can_flush)(struct ob_block *blk);
	bool (*can_discard)(struct ob_block *blk);
	bool (*can_write_zeroes)(struct ob_block *blk);
	/** @can_multi_conn: is a flush on one queue good for writes completed on all? */
	bool (*can_multi_conn)(struct ob_block *blk);

	void (*stats)(struct ob_block *blk, struct ob_block_stats *stats);
};

enum {
	OB_BLOCK_QUEUES = 16,
};

/**
 * struct ob_block - a disk; embedded in the driver's own struct
 * @name: e.g. "nvme0n1", "ide0-master"
 * @model, @serial: what the device says, printable
 * @irq_fd: per queue, the eventfd to sleep on, or -1
 */
struct ob_block {
	const struct ob_block_ops *ops;
	struct ob_device *dev;
	struct ob_dma *dma;
	const char *driver;
	char name[32];
	char model[48];
	char serial[32];
	struct ob_block_limits limits;
	int irq_fd[OB_BLOCK_QUEUES];

	/* the class's; zeroed by the driver before its first start */
	uint64_t bounced;
	void *class_priv;			     /* from start to stop */
	struct ob_block_req *ended[OB_BLOCK_QUEUES]; /* ended without the driver, to be collected */
	struct ob_block_stats past;		     /* of earlier starts */
};

int ob_block_start(struct ob_block *blk, struct ob_error *err);
void ob_block_stop(struct ob_block *blk);

/**
 * ob_block_submit() - start up to @n requests
 *
 * Checks every request (op, range, alignment, read-only, size); one that is wrong counts as taken and
 * comes back from ob_block_complete() with its status (-EINVAL, -ERANGE, -EROFS, -EOPNOTSUPP), and so
 * does one on a device that is gone (-ENODEV).
 *
 * Return: how many were taken; fewer than @n when the queue is full.
 */
unsigned int ob_block_submit(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			     unsigned int n);
/** ob_block_complete() - collect up to @n requests that have ended, in any order */
unsigned int ob_block_complete(struct ob_block *blk, unsigned int queue, struct ob_block_req **reqs,
			       unsigned int n);

/**
 * ob_block_rw() - one request, waited for; for tools, tests and drivers' own needs
 * @buf: any memory
 *
 * Splits at the device's limits. Polls, then sleeps. Only when nobody else uses the queue.
 *
 * Return: 0 or the request's status.
 */
int ob_block_rw(struct ob_block *blk, unsigned int queue, enum ob_block_op op, unsigned int flags,
		uint64_t offset, void *buf, uint64_t len);

/**
 * ob_block_oldest() - for how long has the device, or its driver, owed an answer?
 * @now_ns: of ob_clock_ns()
 * @step_ns: the answer is at most this, and the time since the call before, too low
 *
 * In the queues' thread, again and again: a request's age is known from the first call after it was submitted.
 *
 * Return: how old the oldest request in flight is at least, in nanoseconds; 0 when there is none that old.
 */
uint64_t ob_block_oldest(struct ob_block *blk, uint64_t now_ns, uint64_t step_ns);

bool ob_block_can_fua(struct ob_block *blk);
bool ob_block_can_flush(struct ob_block *blk);
bool ob_block_can_discard(struct ob_block *blk);
bool ob_block_can_write_zeroes(struct ob_block *blk);
bool ob_block_can_multi_conn(struct ob_block *blk);
void ob_block_stats(struct ob_block *blk, struct ob_block_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
