/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all programs of bench/ do in the same way: they are asked by the same arguments,
 * write their figures as JSON, and say what went wrong. Which arguments each has is in docs/benchmarks.md.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ob_error;

/* ---- arguments ------------------------------------------------------------------- */

struct argument {
	const char *name;
	enum {
		ARGUMENT_FLAG,	 /* without a value; bool */
		ARGUMENT_TEXT,	 /* const char *, of argv */
		ARGUMENT_NUMBER, /* unsigned int, decimal or 0x */
		ARGUMENT_COUNT,	 /* uint64_t, as well */
	} kind;
	void *value;
};

/*
 * read_arguments() - options into the values of @arguments, which ends with an empty one.
 *
 * @usage prints what there is, for --help and after anything that is wrong: an unknown option, a number that
 * is none, something that is no option.
 * Return: -1 to go on, or what main() is to return.
 */
int read_arguments(int argc, char **argv, const struct argument *arguments, void (*usage)(FILE *));

/* ---- results --------------------------------------------------------------------- */

enum {
	VALUES_MAX = 99,
};

/* sort_values() - ascending; median() - of values in any order, at most VALUES_MAX */
void sort_values(double *values, unsigned int n);
double median(const double *values, unsigned int n);

/* Tables are left out when the JSON goes to stdout. @json: the value of --json, NULL without it. */
bool wants_table(const char *json);
/* @path: "-" is stdout. NULL when it cannot be opened; that was printed. */
FILE *open_json(const char *path);
/* Return: what main() is to return. */
int close_json(FILE *f, const char *path);

/* Prints @err after the program's name. Return: 1 */
int complain(const struct ob_error *err);

#endif
