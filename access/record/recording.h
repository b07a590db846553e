/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A recording: a device's conversation with its driver as a file of records. The format is defined in
 * docs/record-replay.md. Used by the wrapper "record", the backend "replay", `outboard record --print` and the fuzz target.
 */
#ifndef ACCESS_RECORD_RECORDING_H
#define ACCESS_RECORD_RECORDING_H

#include <stdio.h>

#include <outboard/access.h>

enum record_kind {
	RECORD_INFO = 1,
	RECORD_CONFIG_READ,
	RECORD_CONFIG_WRITE,
	RECORD_READ,
	RECORD_WRITE,
	RECORD_SENT,   /* what the driver had put into memory, before the write that follows */
	RECORD_MEMORY, /* what the device had put there */
	RECORD_IRQ_ENABLE,
	RECORD_IRQ_DISABLE,
	RECORD_IRQ_MASK,
	RECORD_IRQ,
	RECORD_PORTS,
	RECORD_MAP,
	RECORD_UNMAP,
	RECORD_RESET,
	RECORD_FAULT,
	RECORD_GONE,
	RECORD_END,
	RECORD_KINDS,
};

/* When the driver was given what a RECORD_MEMORY holds. */
enum record_when {
	RECORD_AT_READ, /* with the answer of the read in front of it */
	RECORD_AT_IRQ,	/* with the interrupt behind it */
	RECORD_AT_LOOK, /* as it said that it looks */
	RECORD_AT_REST, /* by itself, as the driver had not been heard of for a while */
	RECORD_WHENS,
};

enum {
	RECORD_BAR_PORTS = OB_BAR_COUNT, /* .off is the port */
	RECORD_LABEL = 40,
	RECORD_CHUNK = 64 << 10,     /* written when it is so long */
	RECORD_CHUNK_MAX = 64 << 20, /* a record with all of an arena in it is in one of its own */
	RECORD_BURST = 8 << 20,	     /* bytes of memory in one record; more go into several */
	RECORD_MORE = 0x80,	     /* in .flags of a RECORD_MEMORY: the next one belongs to it */
};

/**
 * struct record - one of them
 * @number: from 0
 * @us: microseconds since the recording began
 * @bar: 0 to 5, or RECORD_BAR_PORTS
 * @off: offset; of a MAP, UNMAP, FAULT the IOVA; of an IRQ, IRQ_MASK the vector; of an IRQ_ENABLE the kind; of PORTS the first
 * @size: of the access
 * @val: value; of a MAP, UNMAP the length
 * @count: how often in a row this read gave this value; of an IRQ how many; of an IRQ_ENABLE vectors
 * @ret: what the call returned
 * @flags: of a MEMORY enum record_when, of a MAP the rights, of a FAULT whether it was a write
 * @data, @len: of INFO, SENT, MEMORY, MAP (its label), FAULT (its text); in the recording's memory
 *
 * Which of these a kind has is in recording.c; the others are 0.
 */
struct record {
	enum record_kind kind;
	uint64_t number, us;
	unsigned int bar, size, flags;
	uint64_t off, val, count;
	int ret;
	const uint8_t *data;
	size_t len;
};

/**
 * struct recording_info - what the first record holds
 * @when: seconds since 1970
 * @arena: bytes, and where the device sees them
 */
struct recording_info {
	char name[64];
	char spec[512];
	uint64_t when;
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;
	uint8_t revision;
	struct ob_bdf bdf;
	bool iommu, read_only, untimed;
	struct {
		enum ob_bar_kind kind;
		uint64_t size, base;
	} bar[OB_BAR_COUNT];
	unsigned int vectors[OB_IRQ_MSIX + 1];
	uint64_t arena, iova;
};

/* ---- bytes that grow ------------------------------------------------------------------------- */

/* @failed: there was no memory for something, so that what is there is not all */
struct record_bytes {
	uint8_t *p;
	size_t len, size;
	bool failed;
};

void record_bytes_add(struct record_bytes *b, const void *p, size_t len);
void record_bytes_number(struct record_bytes *b, uint64_t n);
void record_bytes_free(struct record_bytes *b);
/** record_take_number() - false at the end, or for a number that is no number */
bool record_take_number(const uint8_t **p, const uint8_t *end, uint64_t *n);

/* ---- pieces of memory, in SENT and MEMORY ------------------------------------------------------- */

/**
 * struct record_piece - bytes that follow each other
 * @off: from the arena's begin
 * @len: bytes of memory
 * @data: of which these are the first @held; the rest is known by @hash alone
 */
struct record_piece {
	uint64_t off;
	uint64_t len;
	const uint8_t *data;
	uint64_t held;
	uint64_t hash;
};

/**
 * record_add_piece() - append one to a record's data
 * @last: end of the piece before it, 0 for the first; is advanced
 * @whole: all bytes, as of a MEMORY; else of a long one only the first and a hash, as of a SENT
 */
void record_add_piece(struct record_bytes *b, uint64_t *last, uint64_t off, const void *data,
		      uint64_t len, bool whole);
/**
 * record_next_piece() - take the next one apart
 * @p: where to go on; at first the record's data
 * @last: 0 at first
 *
 * Return: 1; 0 at the end; -EBADMSG for what is none, or reaches beyond @arena bytes.
 */
int record_next_piece(const uint8_t **p, const uint8_t *end, uint64_t *last, bool whole,
		      uint64_t arena, struct record_piece *piece);

/* ---- writing ------------------------------------------------------------------------------------- */

struct recording_writer;

/** recording_create() - a file that must not be anything but an ordinary file; what was in it is lost */
int recording_create(const char *path, const struct recording_info *info,
		     struct recording_writer **w, struct ob_error *err);
/** recording_add() - append; .number and .us are the writer's to fill in */
void recording_add(struct recording_writer *w, struct record *r);
/** recording_close() - with the record END. Return: 0, or the first failure since it was created */
int recording_close(struct recording_writer *w);
/** recording_count() - records so far */
uint64_t recording_count(const struct recording_writer *w);

/* ---- reading ------------------------------------------------------------------------------------- */

struct recording;

/** recording_open() - read a file and check all of it; @err says what is wrong and where */
int recording_open(const char *path, struct recording **rec, struct ob_error *err);
/** recording_parse() - the same of memory, which is copied */
int recording_parse(const char *name, const void *data, size_t len, struct recording **rec,
		    struct ob_error *err);
void recording_free(struct recording *rec);

/** recording_checksum() - of a chunk: CRC-32 of IEEE 802.3, 3.2.9 */
uint32_t recording_checksum(const uint8_t *p, size_t len);

const struct recording_info *recording_info(const struct recording *rec);
/** recording_length() - records, with INFO and END */
uint64_t recording_length(const struct recording *rec);
/** recording_get() - one of them; of @number at or beyond the length: the last, END */
void recording_get(const struct recording *rec, uint64_t number, struct record *r);

/* ---- saying --------------------------------------------------------------------------------------- */

/* Which memory is whose, as far as the records until now have told. */
struct record_places {
	struct {
		uint64_t off, len;
		char label[RECORD_LABEL];
	} * place;
	unsigned int n, size;
};

/** record_places_see() - a MAP or UNMAP goes by */
void record_places_see(struct record_places *p, const struct record *r);
void record_places_free(struct record_places *p);
/** record_place() - "nvme admin cq+0x10", or the IOVA as a number */
char *record_place(const struct record_places *p, uint64_t iova, char *buf, size_t size);

/** record_text() - a line for people, without a newline, of an access, a call or an event */
char *record_text(const struct record *r, const struct recording_info *info,
		  const struct record_places *places, char *buf, size_t size);
/** record_of_access() - a read or write of a register, without its value; ports go by their number */
struct record record_of_access(enum record_kind kind, const struct ob_bar *bar, uint64_t off,
			       unsigned int size);
const char *record_kind_name(enum record_kind kind);

#endif
