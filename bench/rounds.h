/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A measurement in rounds, from its arguments to its figures: what all programs of bench/ are asked in the
 * same way, the clock, the comparison of Outboard with a bare loop (the "floor") in turns, and the results.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct ob_error;

enum {
	ROUNDS_MAX = 99,
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- arguments ------------------------------------------------------------------- */

struct argument {
	const char *name;
	enum {
		ARGUMENT_FLAG,	 /* without a value; bool */
		ARGUMENT_TEXT,	 /* const char *, of argv */
		ARGUMENT_NUMBER, /* unsigned int, decimal */
		ARGUMENT_COUNT,	 /* uint64_t, decimal or 0x */
	} kind;
	void *value;
};

/*
 * read_arguments() - options into the values of @arguments, which ends with an empty one.
 *
 * @usage prints what there is, for --help and after a wrong option; optind is then as getopt_long() left it.
 * Return: -1 to go on, or what main() is to return.
 */
int read_arguments(int argc, char **argv, const struct argument *arguments, void (*usage)(FILE *));

/* ---- one comparison -------------------------------------------------------------- */

struct rounds {
	unsigned int n;	 /* 1 to ROUNDS_MAX */
	unsigned int ms; /* length of one */
	bool two_cpus;	 /* do not keep driver and device model on one processor */
};

/* What one side did in a round. @done: requests, frames. */
struct counts {
	uint64_t done, doorbells, syscalls, ns;
};

/*
 * A side has a turn of @ns nanoseconds, with bursts or a queue depth of @size; @yield: it gives the
 * processor away when it waits (the device model is on the same one). False when the device failed.
 */
struct side {
	bool (*run)(void *of, unsigned int size, uint64_t ns, bool yield, struct counts *counts);
	void *of;
};

enum {
	SIDE_OWN,      /* Outboard without an IOMMU, as the floor is */
	SIDE_FLOOR,    /* the bare loop */
	SIDE_ISOLATED, /* Outboard with an IOMMU */
	SIDES,
};

/* Rates are of things done in a second. */
struct row {
	const char *model;
	unsigned int size;
	double rate[SIDES][ROUNDS_MAX], ratio[ROUNDS_MAX];
	struct counts sum[SIDES];
};

/* To be called before device models start: they are children and inherit the processor. */
void choose_cpus(const struct rounds *rounds);
/* run_rounds() - a round that is not counted, then all of @rounds, each side after the other. */
bool run_rounds(const struct side *sides, const struct rounds *rounds, struct row *row);
/* print_row_end() - rates, @width wide, ratio, doorbells and system calls of each thing done */
void print_row_end(const struct row *row, const struct rounds *rounds, int width);
/* @rate names a rate's unit ("iops"), @thing what is done ("request"). */
void write_row_end(FILE *f, const struct row *row, const struct rounds *rounds, const char *rate,
		   const char *thing);

/* ---- results --------------------------------------------------------------------- */

void sort_values(double *values, unsigned int n);

/* Tables are left out when the JSON goes to stdout. @json: the value of --json, NULL without it. */
bool wants_table(const char *json);
/* @path: "-" is stdout. NULL when it cannot be opened; that was printed. */
FILE *open_json(const char *path);
/* Return: what main() is to return. */
int close_json(FILE *f, const char *path);

/* Prints @err after the program's name. Return: 1 */
int complain(const struct ob_error *err);

#endif
