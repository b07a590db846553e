/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults in a driver's code, of the kinds that programmers make (after M. Swift et al., "Improving the Reliability of Commodity
 * Operating Systems", SOSP 2003, section 6.1): which there are in an object, and the one that a seed and a number choose. One
 * instruction differs, in place. Errors end the process with exit code 2: its users are programs of a campaign.
 */
#ifndef CAMPAIGN_MUTATIONS_H
#define CAMPAIGN_MUTATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	INSN_MAX = 15, /* Intel SDM 2, 2.3.11 */
	TEXT = 160,
};

enum kind {
	OPERAND,   /* source and destination swapped, or another register */
	STORE,	   /* a store that is missing */
	BRANCH,	   /* a condition the wrong way round */
	BOUND,	   /* a comparison off by one */
	CHECK,	   /* a test for zero that is missing */
	INIT,	   /* an initialisation that is missing */
	POINTER,   /* another base or displacement */
	INTERFACE, /* a wrong argument of a call into the library */
	BIT,	   /* any bit */
	KINDS,
};

extern const char *const kind_names[KINDS];

struct object;

/**
 * struct mutation - one fault
 * @at: offset in the file
 * @va: address in the object
 * @offset: in @function
 * @was, @is: the instruction's bytes
 * @before, @after: the instructions in words
 */
struct mutation {
	enum kind kind;
	uint64_t at, va, offset;
	const char *function;
	uint8_t size;
	uint8_t was[INSN_MAX], is[INSN_MAX];
	char before[TEXT], after[TEXT];
};

/** object_load() - a shared object, or a kernel module. @only: a pattern, with *, of the names of functions */
struct object *object_load(const char *path, const char *only);
void object_free(struct object *object);

/** object_places() - how many places there are for a class */
size_t object_places(const struct object *object, enum kind kind);

/** object_mutation() - fault @number of @seed: always the same; the object stays as it is */
void object_mutation(struct object *object, uint64_t seed, uint64_t number, struct mutation *m);

/** object_write() - a copy of the object with @m in it */
void object_write(struct object *object, const struct mutation *m, const char *path);

#endif
