/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-facts: one C file of a Linux driver, parsed by libclang, as lines of text. The lines are described in split/facts.h, what
 * they are for in docs/factor.md. It is a program of its own so that what the parser does with malformed source ends one file's
 * analysis and no more, and so that nothing else needs libclang.
 */
#ifndef SPLIT_EXTRACT_EXTRACT_H
#define SPLIT_EXTRACT_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clang-c/Index.h>

enum {
	MAX_HELD = 32,	  /* locks that one function names; later ones are not followed */
	MOST_REGIONS = 8, /* of a function */
	NAME_ROOM = 512	  /* of a key: two identifiers and a path */
};

/*
 * Functions that take a lock and those that give it back: patterns of fnmatch(3) with FNM_EXTMATCH. The lock is the one that the first
 * argument names, or, where there is none (RCU, interrupts off), @name.
 */
struct lock_api {
	const char *acquire, *release, *name;
};

/* How an expression uses the object that it names. */
enum use {
	USE_READ = 1,
	USE_WRITE = 2,
	USE_BOTH = 3,
	USE_NONE = 0, /* names it, as offsetof does */
};

struct text_set; /* names.c */

/* Of a parameter or another variable of the function. */
struct local_use {
	CXCursor variable;
	unsigned int at; /* byte in its file */
	enum use use;
	bool decides; /* it is a condition, and nothing more */
};

/* The function whose body is walked. */
struct body {
	char id[NAME_ROOM];
	CXCursor function;
	struct text_set *said; /* lines without their line number, each of which is said once */
	char locks[MAX_HELD][128];
	int n_locks;
	uint32_t held;
	struct label {
		char name[64];
		uint32_t held;
		struct label *next;
	} * labels; /* that a goto was seen for, with what was held there */
	uint32_t switch_held;
	bool dead;	  /* behind a return or a jump */
	long long result; /* the one that is returned, where it is above 0 */
	bool results;	  /* others are, or what is not known */
	struct local_use *uses;
	size_t n_uses, room;
	bool part;				    /* of a function, whose stores have been told */
	unsigned int skip[MOST_REGIONS][2], n_skip; /* bytes of what is no part of it */
};

struct extract {
	CXTranslationUnit unit;
	const char *root; /* its files are the driver's */
	size_t root_length;
	const struct lock_api *locks;
	unsigned int n_locks;
	struct text_set *types; /* fields and structs that have been described */
	struct file_text *files;
	struct body *body; /* NULL outside of functions */
	bool deciding;	   /* the field that comes next is a condition, and nothing more */
	int quiet;	   /* function names are values that a flow line has told already */
};

/* names.c */
struct text_set *text_set_create(void);
void text_set_free(struct text_set *s);
/** text_set_add() - false: it was there */
bool text_set_add(struct text_set *s, const char *text);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** place_of() - file (relative to the root where it is below it) and line; true when it is the driver's */
bool place_of(struct extract *x, CXSourceLocation where, char path[NAME_ROOM], unsigned int *line);
unsigned int line_of(CXCursor c);
/** spelled_at() - the identifier that stands in the file where @c was written or its macro was used */
void spelled_at(struct extract *x, CXCursor c, char *word, size_t size);
/** char_at() - the first character of @c in its file, 0 when there is none */
char char_at(struct extract *x, CXCursor c);
/** is_written() - the driver's text has braces at the first and before the last of these offsets */
bool is_written(struct extract *x, CXFile file, unsigned int open, unsigned int end);
/** has_whole_directives() - each #if between these bytes of the cursor's file has its #endif there */
bool has_whole_directives(struct extract *x, CXCursor c, unsigned int begin, unsigned int end);
/** ends_statement() - the semicolon comes next: @end is moved behind it */
bool ends_statement(struct extract *x, CXCursor c, unsigned int *end);
void function_id(struct extract *x, CXCursor function, char id[NAME_ROOM]);
void variable_id(struct extract *x, CXCursor variable, char id[NAME_ROOM]);
/** field_key() - "struct.field", by the innermost struct that has a name; false: the field has none */
bool field_key(CXCursor field, char key[NAME_ROOM]);
void type_text(CXType type, char *text, size_t size);
bool is_function_pointer(CXType type);
void files_free(struct extract *x);

/* types.c */
void say_field(struct extract *x, CXCursor field, const char *key);
void say_struct(struct extract *x, CXCursor record);

/* tree.c */
struct children {
	CXCursor *c;
	unsigned int n;
};
struct children children_of(CXCursor c);
void children_free(struct children *c);
CXCursor last_child(CXCursor c);
/** bare() - without parentheses, casts and what is implicit */
CXCursor bare(CXCursor c);
bool is_assignment(struct extract *x, CXCursor op, CXCursor left);
bool is_address_of(CXCursor op, CXCursor operand);
bool is_step(CXCursor op, CXCursor operand); /* ++ or -- */
/** selected() - of _Generic(), by its type, which is all that libclang tells of the choice; may be the null cursor */
CXCursor selected(CXCursor generic);
/** known_value() - the compiler knows it: 0 or 1; -1 when not */
int known_value(CXCursor condition);
/** constant_value() - false: the compiler does not know it */
bool constant_value(CXCursor c, long long *value);

/* values.c */
/** say_flows() - the functions, or places of functions, that @value may be, go to @to */
void say_flows(struct extract *x, const char *to, CXCursor value);
/** each_value() - @emit for each of them */
void each_value(struct extract *x, CXCursor value,
		void (*emit)(struct extract *x, const char *node, void *arg), void *arg);
bool may_be_function(CXCursor value);
/**
 * walk_initializer() - what the initializer @value of something of @type stores
 * @node: what it is stored to, where it is no struct
 */
void walk_initializer(struct extract *x, const char *node, CXType type, CXCursor value);

/* body.c */
void walk_function(struct extract *x, CXCursor function);
void walk_statement(struct extract *x, CXCursor c);
void walk_condition(struct extract *x, CXCursor c);
void walk_expression(struct extract *x, CXCursor c, enum use use);
/** body_begin() - what is walked from now on are facts of the function, or of its part */
void body_begin(struct extract *x, struct body *b, CXCursor function, const char *part);
void body_end(struct extract *x);
/** lock_call() - 1: the call takes the lock of this name; -1: gives it back; 0: neither */
int lock_call(struct extract *x, CXCursor call, char name[NAME_ROOM]);

/* region.c */
/** say_regions() - the locked regions of the function that has been walked, and its parts, as facts */
void say_regions(struct extract *x, CXCursor function);

#endif
