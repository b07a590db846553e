/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a verified disk knows of its blocks, in memory that its driver process shares with whoever follows: a checksum of each block that was
 * acknowledged, and the contents of those that were written last. A process may be killed between any two instructions here.
 */
#ifndef CLASS_VERIFY_MEMORY_H
#define CLASS_VERIFY_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <outboard/error.h>

#include "class/verify.h"

enum {
	/* Requests at once: each is compared with all others that are under way. */
	VERIFY_DEPTH = 32,
	/* A write is at most so long. */
	VERIFY_WRITE = 1 << 20,
	VERIFY_WRITE_BLOCKS = VERIFY_WRITE / 512,
	VERIFY_COMPLAINTS = 16,
	/* The largest block. */
	VERIFY_BLOCK = 32 << 10,
};

enum verify_state {
	VERIFY_UNKNOWN, /* not written */
	VERIFY_KNOWN,
	VERIFY_LOST, /* two processes read something else, and the content is not kept */
};

/**
 * struct verify_entry - of a block
 * @sum: of what it is to be
 * @seen_by: the process that read something else, or 0
 */
struct verify_entry {
	enum verify_state state;
	uint32_t sum;
	uint16_t seen_by;
};

/**
 * struct verify_flight - a write that is under way: a block of it is what it was, or what it is to be
 * @first, @n: blocks; @n 0: none is
 * @zeroes: all are to be zero, and there are no sums
 * @sum: of what each is to be
 */
struct verify_flight {
	uint64_t first;
	uint32_t n;
	uint32_t zeroes;
	uint32_t sum[VERIFY_WRITE_BLOCKS];
};

/* An error that a driver told: @process 0: none is noted here. */
struct verify_complaint {
	uint64_t offset, len;
	uint32_t process;
	uint32_t op;
};

/**
 * struct verify_header - at the beginning of the file
 * @size, @block_size: of the disk
 * @slots: contents that are kept
 * @processes: that had the file
 * @errors: the disk has errors of its own: two processes told the same one
 * @complaint, @complaints: the last errors that one process alone has told, and how many there were
 */
struct verify_header {
	uint64_t size;
	uint32_t block_size;
	uint32_t slots;
	uint32_t processes;
	uint32_t errors, complaints;
	struct verify_complaint complaint[VERIFY_COMPLAINTS];
	struct ob_verify_stats stats;
	struct verify_flight flight[VERIFY_DEPTH];
};

struct verify_memory {
	struct verify_header *header;
	uint64_t *entry;  /* by block */
	uint64_t *holds;  /* by slot: its block + 1, or 0 */
	uint8_t *content; /* by slot */
	uint32_t block_size, slots;
	uint32_t zero_sum;
	uint16_t process; /* this one, never 0 */
	uint64_t bytes;
};

/**
 * verify_memory_open() - map it, and be the next process that has it
 *
 * Return: 0; -EFBIG; -ENOMEM; -EILSEQ: what is there is of another disk.
 */
int verify_memory_open(struct verify_memory *m, const struct ob_verify_options *o, uint64_t size,
		       uint32_t block_size);
void verify_memory_close(struct verify_memory *m);

/** verify_sum() - of a block; @len: a multiple of 32 */
uint32_t verify_sum(const void *buf, uint32_t len);

/** verify_get() - what is known. One that a wild store has changed is unknown */
struct verify_entry verify_get(const struct verify_memory *m, uint64_t block);
void verify_set(struct verify_memory *m, uint64_t block, struct verify_entry e);

/** verify_depart() - a write of @buf, or of zeroes when that is NULL, begins */
void verify_depart(struct verify_memory *m, unsigned int flight, uint64_t first, uint32_t n,
		   const void *buf);
/** verify_land() - it has ended, and what is known of its blocks is in their entries */
void verify_land(struct verify_memory *m, unsigned int flight);
/** verify_awaited() - what is block @block of this write to be? */
uint32_t verify_awaited(const struct verify_memory *m, unsigned int flight, uint64_t block);

/** verify_confirmed() - this process's driver tells of an error. Return: another one's has told of the same, or of any that was confirmed */
bool verify_confirmed(struct verify_memory *m, unsigned int op, uint64_t offset, uint64_t len);
/** verify_refuted() - it could: what was told of it was the driver's error, of a process that is gone, and confirms no later one */
void verify_refuted(struct verify_memory *m, unsigned int op, uint64_t offset, uint64_t len);

/** verify_keep() - remember a block's content, in place of another's that was written earlier */
void verify_keep(struct verify_memory *m, uint64_t block, const void *buf);
/** verify_kept() - the content, if it is still there and is what @sum says; or NULL */
const void *verify_kept(const struct verify_memory *m, uint64_t block, uint32_t sum);

#endif
