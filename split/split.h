/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the analysis to a split driver: which functions go to the daemon (choose.c), what travels with each call (slots.c), the texts of both
 * halves (emit.c), and what was done with which function, and why (account.c). docs/split.md.
 */
#ifndef SPLIT_SPLIT_H
#define SPLIT_SPLIT_H

#include "split/classify.h"
#include "split/slots.h"
#include "split/sources.h"

enum fate {
	FATE_STAYS,
	FATE_ENTRY,   /* in the daemon; a stub has its place in the kernel */
	FATE_MOVED,   /* in the daemon; nobody in the kernel calls it */
	FATE_REPLICA, /* on both sides */
	FATES
};
extern const char *const fate_names[FATES];

/* How an object's address is found, in the kernel and in the daemon. */
enum object_kind {
	OBJECT_FRAME,
	OBJECT_PARAM,	 /* what a parameter points to */
	OBJECT_BUFFER,	 /* the same, with a size that an expression tells */
	OBJECT_PRIVATE,	 /* the driver's part of another object */
	OBJECT_POINTED,	 /* what a field of another object points to */
	OBJECT_VARIABLE, /* of the driver */
};

struct object {
	enum object_kind kind;
	const char *type; /* "net_device" */
	unsigned int param, of;
	const char *call; /* OBJECT_PRIVATE: what returns it */
	char *field;	  /* OBJECT_POINTED: of the object @of */
	const char *name; /* OBJECT_VARIABLE */
	const struct buffer_rule *buffer;
	bool answer; /* made for this call alone */
	bool fixed;  /* const: the function must not write it */
};

struct slot {
	unsigned int object, flags;
	char *path; /* in the object, as C writes it; NULL: the whole object */
	const char *key;
	unsigned int bit, bits,
		word; /* OB_SPLIT_BITS: @word bytes behind the begin of @path's struct */
};

struct kept_place {
	unsigned int object;
	char *path; /* in the object; "": itself */
};

struct kept_argument {
	const struct argument_rule *rule;
	VECTOR(struct kept_place) places;
};

/* A function that stays, and that an entry calls; or a locked region of the entry itself. */
struct kept_call {
	const struct kept_rule *rule;
	struct kept_rule *made;	     /* the same, where no policy has it */
	const struct region *region; /* NULL: a function */
	const struct function *function;
	unsigned int number;
	struct kept_argument arguments[OB_SPLIT_ARGUMENTS];
};

struct entry_plan {
	struct function *function;
	const struct root *root;
	struct function **closure;
	size_t n_closure;
	VECTOR(struct object) objects;
	VECTOR(struct slot) slots;
	VECTOR(struct kept_call) kept;
	const struct length_rule *length;
};

struct fate_of {
	enum fate fate;
	char *why; /* why it stays; NULL: nobody asked */
	struct entry_plan *plan;
};

struct split {
	const struct factoring *factoring;
	struct graph *graph;
	struct facts *facts;
	const struct policy *policy;
	const struct sources *sources;
	const struct headers *headers;
	const char *driver, *kernel;
	struct fate_of *fates; /* by function's index */
	VECTOR(struct entry_plan *) entries;
	unsigned char *served; /* by function's index: it is in the daemon */
	char reason[1024];     /* why what was tried last does not go */
};

/** split_choose() - decide on each function */
int split_choose(struct split *s, struct ob_error *err);
void split_free(struct split *s);

/** split_plan_slots() - what travels with calls of an entry; false: s->reason says what cannot */
bool split_plan_slots(struct split *s, struct entry_plan *e);
void split_plan_free(struct entry_plan *e);

/** split_plan_kept() - what of functions that stay it may ask for; once its objects are known */
bool split_plan_kept(struct split *s, struct entry_plan *e);
void split_forget_kept(struct entry_plan *e);
/** split_plan_regions() - its locked regions, which it may ask for, too; false: s->reason says why not */
bool split_plan_regions(struct split *s, struct entry_plan *e);
/** split_outlines() - it is an entry, and its locked regions stay in the kernel */
bool split_outlines(const struct split *s, const struct function *fn);
/** split_region_calls() - one of these, of @from, calls @to */
bool split_region_calls(const struct split *s, const struct function *from,
			const struct function *to);
/** split_region_lines() - how many lines they have */
unsigned int split_region_lines(const struct split *s, const struct function *fn);
/** region_item_travels() - it is a number that the daemon sends or gets */
bool region_item_travels(const struct region_item *i);
/** split_is_private() - it returns the driver's part of an object */
bool split_is_private(const struct split *s, const char *callee);
/** split_is_kept() - what moved has it done in the kernel */
bool split_is_kept(const struct split *s, const struct function *fn);
/** split_is_handle() - the field's address goes to a function that is kept, which is all that is done with it */
bool split_is_handle(const struct split *s, const struct entry_plan *e, const char *key,
		     const char *type);
/** split_reached() - as reached_from(), without functions that are kept; @seen is all 0 */
size_t split_reached(const struct split *s, struct function *from, struct function **list,
		     unsigned char *seen);

/** refuse() - keep the reason; false */
bool refuse(struct split *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** split_fate() - of a function */
static inline struct fate_of *split_fate(const struct split *s, const struct function *fn)
{
	return &s->fates[fn->index];
}

/** split_is_header() - it lies in a file that others include: its text is on both sides, as it is */
bool split_is_header(const struct function *fn);

struct split_parts {
	const char *program; /* folder of split/ with the runtimes */
	const char *out;
};

/** split_emit() - write the folder kernel/ and daemon/ below parts->out */
int split_emit(struct split *s, const struct split_parts *parts, struct ob_error *err);
/** split_account() - write report.json and report.md */
int split_account(struct split *s, const char *out, struct ob_error *err);
struct json_object *split_json(const struct split *s);
void split_text(const struct split *s, FILE *out);

#endif
