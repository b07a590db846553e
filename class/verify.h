/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in front of a driver's disk, which believes the driver nothing: what was written is read back before it is acknowledged, and every
 * later read is compared with what was acknowledged last. docs/verify.md.
 */
#ifndef CLASS_VERIFY_H
#define CLASS_VERIFY_H

#include <outboard/block.h>

enum {
	/* A disk has so much (sparse) memory in a file; the next one's begins there. */
	OB_VERIFY_SHIFT = 40,
};

/**
 * struct ob_verify_options - where what is known is kept, and who is told
 * @fd: a file in memory that outlives the driver process, of which @at on is this disk's; -1: this process's memory
 * @log: bytes of contents that are kept, so that what a driver has spoilt can be written again
 * @wrong: the driver did not do what it said. Need not return; when it does, all requests from now on fail
 */
struct ob_verify_options {
	int fd;
	uint64_t at;
	uint64_t log;
	void (*wrong)(void *arg, const struct ob_error *what);
	void *arg;
};

/**
 * struct ob_verify_stats - counted over all processes that had the file
 * @written, @read: blocks that were compared after a write, and at a read
 * @wrong: how often a process was found to be wrong
 * @repaired: blocks that were written again
 * @lost: blocks that are spoilt and of which the content is not kept any more: reading them fails
 */
struct ob_verify_stats {
	uint64_t written, read, wrong, repaired, lost;
};

/**
 * ob_verify_open() - put a disk in front of @below, which is not started
 *
 * It has one queue. It is started and stopped like any other, and starts and stops @below. Its first start of a process reads what is kept,
 * compares, and may take as long as that takes.
 *
 * Return: 0; -ENOMEM; -EFBIG: the disk is too large; -EILSEQ: it is not the disk that @fd knows, and @wrong was called.
 */
int ob_verify_open(struct ob_block *below, const struct ob_verify_options *options,
		   struct ob_block **blk, struct ob_error *err);

/** ob_verify_close() - of one that is stopped. Return: the disk below */
struct ob_block *ob_verify_close(struct ob_block *blk);

/** ob_verify_stats() - false: @blk is none of these disks */
bool ob_verify_stats(const struct ob_block *blk, struct ob_verify_stats *stats);

/* For the class, which maps no buffers for a disk that asks another one. */
extern const struct ob_block_ops verify_ops;

#endif
