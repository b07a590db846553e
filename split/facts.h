/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of a driver's source: functions, whom they call and with which locks held, where addresses of functions are stored, what is
 * read and written. It is written by outboard-facts (split/extract/), one fact a line, fields separated by tabs, so that the facts of
 * two versions can be compared with diff(1):
 *
 *   unit PATH ... end PATH                      what lies between is of that C file; without an end the parser died
 *   error PATH LINE TEXT                        of the compiler; the rest of the file is there
 *   function ID PATH LINE END LINKAGE TYPE      extern, static or inline; TYPE is its result's
 *   param ID INDEX NAME TYPE
 *   extent ID BEGIN OPEN END                    bytes of its text, with that of its body's brace; only where it can be cut out
 *   value ID STRUCT.FIELD LINE                  what it reads there decides on more than a branch
 *   becomes ID CALLEE TYPE                      the void * that the callee returns is used as the address of this type
 *   index ID TYPE                               it counts with an address of this type
 *   call ID CALLEE LINE HELD MACRO              HELD: locks, with commas, or -; MACRO: in whose text the call stands, or -
 *   site ID NODE LINE HELD                      an indirect call, of what NODE has
 *   flow TO FROM LINE ID                        a node takes what another has, or func:ID, an address; in function ID, or in @PATH outside
 *                                               of functions
 *   escape ID FUNCTION LINE                     an address is used in a way that no node tells
 *   access ID r|w|rw|n STRUCT.FIELD LINE        n: by offsetof
 *   global ID r|w|rw VARIABLE LINE
 *   lock ID acquire|release|drop NAME LINE API  drop: gives back one that it has not taken; API: the function called
 *   asm ID LINE
 *   result ID VALUE                             the only one above 0 that it returns; all that it returns are constants
 *   region ID BEGIN END LINE LAST LOCK          bytes of its text, from where it takes a lock to where it gives it back in the same block, with
 *                                               all semicolons; there where all of the function's are as region.c wants them
 *   guard ID REGION if|unless|switch|case BEGIN END
 *                                               it is come to where the bytes' expression is true, false; is one of the cases that follow. REGION
 *                                               counts from 0
 *   local ID REGION NAME p|i|f|v[o] BEGIN END TYPE
 *                                               a variable that it uses: a parameter; computed by the bytes' expression; without a value; or a number that
 *                                               was computed. o: set there, and used behind it
 *   whole ID LINE TEXT                          why its locked regions cannot be cut out
 *   variable ID PATH LINE LINKAGE TYPE          of file scope
 *   struct TYPE BYTES PATH LINE                 that the driver defines
 *   field STRUCT.FIELD OFFSET BITS KIND TYPE    offset in bits in the struct that declares it; -1: not known
 *   path STRUCT.FIELD a.b.FIELD                 how it is written, where it is in a struct without a name
 *
 * Of a function with regions, there are calls, sites, accesses, globals, values, locks and asm once more: with ID%rest, of what is outside of regions; with
 * ID%region, of them; with ID%way, of the expressions of guards and locals.
 *
 * The ID of a function or variable that only its file knows is NAME@PATH, else NAME. A NODE is one of field:STRUCT.FIELD,
 * param:ID#INDEX, local:ID:NAME, global:ID, return:ID, call:NODE#INDEX (an argument of an indirect call), expr: (something else).
 * PATHs are relative to the driver's folder, where they are in it. Lines of a function follow its `function` line.
 */
#ifndef SPLIT_FACTS_H
#define SPLIT_FACTS_H

#include <stdbool.h>
#include <stdio.h>

#include <outboard/error.h>

#include "split/vector.h"

struct function;

enum use {
	USE_READ = 1,
	USE_WRITE = 2,
};

struct param {
	const char *name, *type;
};

struct call {
	struct function *to;
	unsigned int line;
	const char *held;  /* NULL: nothing */
	const char *macro; /* NULL: it stands there as it is called */
};

/* How an indirect call was resolved; filled in by resolve(). */
enum site_state {
	SITE_UNRESOLVED,
	SITE_RESOLVED,	/* to functions of the driver */
	SITE_EXTERNAL,	/* to functions of the kernel alone, which the driver stored there */
	SITE_LIBRARY,	/* through a table that the kernel or another module fills */
	SITE_NEVER_SET, /* through something of the driver's that nothing is ever stored to */
};

struct site {
	const char *node;
	unsigned int line;
	const char *held;
	enum site_state state;
	VECTOR(struct function *) targets;
};

struct access {
	const char *key; /* "struct.field" or a variable's ID; equal ones are the same pointer */
	unsigned int use, line;
};

enum lock_what {
	LOCK_ACQUIRE,
	LOCK_RELEASE,
	LOCK_DROP,
};

struct lock_use {
	enum lock_what what;
	const char *name, *api;
	unsigned int line;
};

/* A condition on the way to a locked region, or a variable that it uses; in the order of the text. */
struct region_item {
	const char *guard;		 /* NULL: a variable */
	const char *name, *type, *flags; /* of one */
	unsigned int begin, end;
};

struct region {
	unsigned int begin, end, line, last;
	const char *lock;
	VECTOR(struct region_item) items;
};

/**
 * struct function - one of the driver's, or (@defined is false) one that it calls
 * @id: as in the facts
 * @name: the same without the file
 */
struct function {
	const char *id, *name, *path, *linkage, *type;
	unsigned int index; /* in facts.functions */
	unsigned int line, end;
	bool defined;
	bool broken; /* the compiler found an error in it */
	unsigned int asm_line, error_line;
	const char *error;
	VECTOR(struct param) params;
	VECTOR(struct call) calls;
	VECTOR(struct site) sites;
	VECTOR(struct access) fields;
	VECTOR(struct access) globals;
	VECTOR(struct lock_use) locks;
	VECTOR(const char *) indexed;	 /* structs with whose addresses it counts */
	VECTOR(struct access) values;	 /* fields of which more than a branch depends */
	unsigned int begin, open, close; /* bytes in its file; all 0: it cannot be cut out */
	long long result;		 /* the only one above 0; 0: there are others */
	VECTOR(struct region) regions;
	const char *whole; /* why these cannot be cut out */
	unsigned int whole_line;
	struct function *rest, *outlined, *way; /* its parts, where there are regions */
	const struct function *of;		/* it is a part itself */
};

struct becomes {
	const struct function *in;
	const char *callee, *type;
};

struct flow {
	const char *to, *from;
	unsigned int line;
	const struct function *in; /* NULL: outside of functions */
	const char *path;
};

struct escape {
	struct function *what;
	const struct function *in;
	unsigned int line;
};

struct source_error {
	const char *path, *text;
	unsigned int line;
};

struct variable {
	const char *id, *path, *linkage, *type;
	unsigned int line;
};

struct record {
	const char *name, *path; /* "foo" of "struct foo" */
	long long bytes;
	unsigned int line;
};

struct field {
	const char *key, *kind, *type;
	const char *path; /* NULL: behind the dot of @key */
	long long offset, bits;
};

struct names; /* texts, each of which is kept once, so that equal ones are the same pointer */

struct facts {
	struct names *names;
	VECTOR(struct function *) functions;
	VECTOR(struct flow) flows;
	VECTOR(struct escape) escapes;
	VECTOR(struct source_error) errors;
	VECTOR(struct variable) variables;
	VECTOR(struct record) records;
	VECTOR(struct field) fields;
	VECTOR(const char *) units;
	VECTOR(struct becomes) becomes;
};

struct facts *facts_create(void);
void facts_free(struct facts *f);

/**
 * facts_read() - add what outboard-facts said of one file
 * @f: what is known so far. What two files know, like a header's inline function, is kept once
 * @from: its output
 * @what: for the error's text: the file
 * @whole: set to whether it came to its end
 *
 * Return: 0; -EPROTO for a line that is no fact; -ENOMEM.
 */
int facts_read(struct facts *f, FILE *from, const char *what, bool *whole, struct ob_error *err);

/** facts_text() - the one pointer that stands for this text; NULL without memory */
const char *facts_text(struct facts *f, const char *text);
/** facts_function() - the function with this ID, made (not defined) where there is none */
struct function *facts_function(struct facts *f, const char *id);
/** facts_known() - the function with this ID, or NULL */
struct function *facts_known(const struct facts *f, const char *id);
/** facts_find() - by ID, or by name where it is unambiguous; else NULL and @n says how many there are */
struct function *facts_find(const struct facts *f, const char *name, unsigned int *n);
/** facts_field() - what is known of the field with this key, or NULL */
const struct field *facts_field(const struct facts *f, const char *key);
/** facts_blame() - mark the functions in which an error stands; once all is read */
void facts_blame(struct facts *f);
/** facts_lines() - of a function, from its first to its last */
static inline unsigned int facts_lines(const struct function *fn)
{
	return fn->end - fn->line + 1;
}

#endif
