/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver's source does not say: in which context the kernel calls which of its functions, which functions of the kernel call back, which take
 * locks or reach the device. One file for each class of devices, split/policy/CLASS.json; docs/factor.md describes them.
 */
#ifndef SPLIT_POLICY_H
#define SPLIT_POLICY_H

#include <stdbool.h>

#include <outboard/error.h>

#include "split/vector.h"

/* Where functions belong that are reached from a root; the first that applies counts. */
enum set {
	SET_STAY,
	SET_MUST,
	SET_MIGHT,
	SET_INIT,     /* loading and unloading of the module */
	SET_UNLISTED, /* the kernel gets its address, but no rule says what for */
	SET_DEAD,     /* nobody calls it */
	SETS
};

/* What a function of the kernel does to the device or to the caller; later ones are the harder ones to move. */
enum api {
	API_NONE,
	API_PLAIN, /* strings, arithmetic, messages: a process has the like */
	API_SLEEP,
	API_PORT,
	API_MMIO,
	API_DMA,
	API_SKB,
	API_IRQ,
	APIS
};

/* Patterns are those of fnmatch(3) with FNM_EXTMATCH: @(a|b), *. */
typedef VECTOR(char *) patterns;

struct root_rule {
	patterns at; /* nodes: field:STRUCT.FIELD, param:FUNCTION#INDEX */
	enum set set;
	char *why;
};

struct callback_rule {
	char *library;
	patterns calls; /* functions of the kernel */
	patterns into;	/* nodes whose functions they call */
};

struct lock_rule {
	char *acquire, *release;
	char *name;  /* "": the first argument names it */
	bool sleeps; /* a mutex: its holder may wait for a daemon */
};

struct api_rule {
	enum api api;
	patterns calls;
};

/* What the functions of a split driver get and give, where their types do not say it. In expressions, $0 is the first parameter. */
struct length_rule {
	patterns at;	/* nodes whose functions return a length that the kernel sizes memory by */
	patterns users; /* nodes whose functions take it for granted that the memory is as large */
	char *of, *key; /* expressions: what it is a length of; one answer for each pair */
	char *failed;	/* what is returned when the daemon cannot be asked; NULL: the error */
	long long most;
};

struct buffer_rule {
	patterns at; /* nodes with the number of the parameter: field:ethtool_ops.get_strings#2 */
	char *bytes; /* expression */
	long long most;
};

struct inline_rule {
	patterns calls; /* functions of the kernel's headers that a process can execute */
	patterns reads; /* fields that they read */
};

/* Operations of which the second gets what the first, which cannot fail, said, with one thing changed. */
struct back_rule {
	char *get, *set; /* nodes */
};

enum argument_kind {
	ARGUMENT_OBJECT, /* the address of a struct @of, or of the field @of, in an object of the call */
	ARGUMENT_REGISTER, /* an address in the registers that the field @of points to */
	ARGUMENT_VALUE,	   /* 0 to @most */
	ARGUMENT_ANY,	   /* all that its type can be */
	ARGUMENT_OUT,	   /* the address of a number that the function sets */
	ARGUMENT_NULL,
	ARGUMENT_CALLER, /* what the entry was called with; no policy's */
};

struct argument_rule {
	enum argument_kind kind;
	char *of;
	long long most;
};

/* A function that stays, and that what moved may call: the daemon asks for it. */
struct kept_rule {
	char *call, *why;
	bool is_void;
	VECTOR(struct argument_rule) arguments;
	VECTOR(long long) registers; /* offsets that may be read */
};

struct stay_rule {
	patterns at; /* nodes of roots that a daemon cannot serve */
	char *why;
};

struct policy {
	char *name, *title;
	VECTOR(struct length_rule) lengths;
	VECTOR(struct buffer_rule) buffers;
	VECTOR(struct inline_rule) inlines;
	VECTOR(struct stay_rule) stays;
	VECTOR(struct kept_rule) kept_calls;
	VECTOR(struct back_rule) written_back;
	patterns never_kept; /* functions that none of those may come to */
	patterns callers;    /* functions of the kernel that are about who calls */
	patterns daemon;     /* functions of the kernel that the daemon has, too */
	patterns answers;    /* structs that are made for one call, which the function fills */
	patterns kept;	     /* fields that a daemon may not change: the kernel goes by them */
	patterns
		follow; /* structs that live as long as the device: pointers to them are good or NULL */
	patterns private;   /* FUNCTION:STRUCT: it returns the driver's part of that object */
	patterns detect;    /* nodes that only drivers of this class have */
	patterns otherwise; /* nodes that make it this class where no other is */
	patterns ignore;    /* functions of the kernel that are no roots of anybody */
	VECTOR(struct root_rule) roots;
	VECTOR(struct callback_rule) callbacks;
	VECTOR(struct lock_rule) locks;
	VECTOR(struct api_rule) apis;
	VECTOR(char *) included;
};

extern const char *const set_names[SETS];
extern const char *const api_names[APIS];

/**
 * policy_load() - read DIR/NAME.json and what it includes
 * @dir: folder of policies
 * @name: a class, or a path (with a slash) of a file elsewhere, which may include those of @dir
 *
 * Return: 0; -ENOENT; -EINVAL with file and line of what is wrong in it; -ENOMEM.
 */
int policy_load(struct policy **out, const char *dir, const char *name, struct ob_error *err);
/**
 * policy_add_driver() - the rules of DIR/drivers/DRIVER.json, behind those of the class; without that file there are none
 *
 * Return: as policy_load().
 */
int policy_add_driver(struct policy *p, const char *dir, const char *driver, struct ob_error *err);
void policy_free(struct policy *p);

/** policy_list() - names of the classes in @dir, separated by spaces, without the "any" that they share */
char *policy_list(const char *dir);

bool matches(const patterns *p, const char *text);
const struct length_rule *policy_length(const struct policy *p, const char *node);
const struct buffer_rule *policy_buffer(const struct policy *p, const char *node,
					unsigned int param);
const struct inline_rule *policy_inline(const struct policy *p, const char *function);
/** policy_kept() - the rule for a function that stays and may be asked for; NULL */
const struct kept_rule *policy_kept(const struct policy *p, const char *function);
/** policy_stays() - why a root of this kind is not for a daemon; NULL: it is */
const char *policy_stays(const struct policy *p, const char *node);
/** policy_root() - the rule for a node: one that names it exactly, else the first whose pattern fits; NULL */
const struct root_rule *policy_root(const struct policy *p, const char *node);
/** policy_api() - what calling the function, or using the macro, means */
enum api policy_api(const struct policy *p, const char *function);
/** policy_lock_sleeps() - whether the lock of this name, taken by @function, is one that may be held asleep */
const struct lock_rule *policy_lock(const struct policy *p, const char *function);

#endif
