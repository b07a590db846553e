/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where each function belongs: which roots reach it decides its set; what its body does and who calls it under which lock decides
 * whether it can leave the kernel at all. docs/factor.md has the rules.
 */
#ifndef SPLIT_CLASSIFY_H
#define SPLIT_CLASSIFY_H

#include "split/resolve.h"

enum verdict {
	VERDICT_STAYS,
	VERDICT_REPLICATE, /* needed on both sides, and so simple that each has its own */
	VERDICT_MUST,
	VERDICT_MIGHT,
	VERDICT_CANNOT, /* reached from outside of the fast paths alone, but it has to stay */
	VERDICT_DEAD,
	VERDICTS
};
extern const char *const verdict_names[VERDICTS];

/* The hardest thing in all that an entry point reaches. */
enum difficulty {
	DIFFICULTY_PURE,     /* data only: nobody has to decide anything */
	DIFFICULTY_CALLBACK, /* a library of the kernel calls back */
	DIFFICULTY_REGISTERS,
	DIFFICULTY_LOCKED,
	DIFFICULTY_RING, /* DMA, socket buffers, interrupts */
	DIFFICULTIES
};
extern const char *const difficulty_names[DIFFICULTIES];

struct reason {
	char *text;
	const char *path;
	unsigned int line;
};

/* How a set's roots reach a function. */
struct way {
	bool reached;
	const struct root *root; /* it is one itself, or */
	const struct edge *by;	 /* its nearest caller on the way */
};

struct place {
	struct function *function;
	struct way ways[SETS];
	enum set set;
	bool both; /* stays, and must-move functions need it, too */
	enum verdict verdict;
	bool atomic;		       /* called with a lock held that forbids to sleep */
	unsigned int apis;	       /* bits, by enum api: what its own body calls */
	bool locks;		       /* takes a lock that forbids to sleep */
	VECTOR(struct reason) reasons; /* beside the way; why it cannot move */
	VECTOR(struct reason) notes;   /* what moving it takes */
	unsigned long long count;      /* of calls that were counted (counts.h) */
	double rate;		       /* of those, in a second of the phase of use that had most */
};

struct entry {
	const struct root *root;
	enum difficulty difficulty;
	const struct function *worst; /* whose body decided, and at which line */
	const char *what;
	unsigned int line;
	unsigned int functions, reads, writes; /* in all that it reaches: fields of structs */
};

struct set_size {
	unsigned int functions, lines, roots;
};

struct factoring {
	struct graph *graph;
	struct place *places; /* by function's index; for those not defined, empty */
	struct set_size sets[SETS], both, verdicts[VERDICTS], all;
	unsigned int must_locked, must_registers, must_dma;
	unsigned int fields_touched, fields_shared, fields_written; /* of must-move functions */
	unsigned int down_edges, down_targets, up_edges;
	VECTOR(struct entry) entries; /* the must-move roots */
	bool counted;		      /* calls of a running kernel are known */
};

int classify(struct factoring **out, struct graph *g, struct ob_error *err);
void factoring_free(struct factoring *f);

static inline struct place *place_of(const struct factoring *f, const struct function *fn)
{
	return &f->places[fn->index];
}

/**
 * reached_from() - what a function reaches, itself first
 * @list: room for all functions of the driver
 *
 * Return: how many there are.
 */
size_t reached_from(const struct graph *g, struct function *from, struct function **list,
		    unsigned char *seen);

#endif
