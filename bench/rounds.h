/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A comparison in rounds: Outboard and a bare loop on the same device model (the "floor") take turns, so that
 * what disturbs the machine meets both, and the ratio of each round is formed by itself.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include "bench/program.h"

enum {
	ROUNDS_MAX = VALUES_MAX,
	/* What --quick leaves of them. */
	ROUNDS_QUICK = 3,
	ROUNDS_QUICK_MS = 20,
};

struct rounds {
	unsigned int n;	 /* 1 to ROUNDS_MAX */
	unsigned int ms; /* length of one */
	bool quick;	 /* few and short: a look, not a measurement */
	bool two_cpus;	 /* do not keep driver and device model on one processor */
};

/* The arguments that set them, in the table of a program (program.h). */
/* clang-format off */
#define ROUNDS_ARGUMENTS(rounds)                                \
	{"quick", ARGUMENT_FLAG, &(rounds).quick},              \
	{"rounds", ARGUMENT_NUMBER, &(rounds).n},               \
	{"ms", ARGUMENT_NUMBER, &(rounds).ms},                  \
	{"two-cpus", ARGUMENT_FLAG, &(rounds).two_cpus}
/* clang-format on */

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

/* settle_rounds() - what was asked for, made shorter by @quick; false when it makes no sense */
bool settle_rounds(struct rounds *rounds);
/* To be called before device models start: they are children and inherit the processor. */
void choose_cpus(const struct rounds *rounds);
/* run_rounds() - a round that is not counted, then all of @rounds, each side after the other. */
bool run_rounds(const struct side *sides, const struct rounds *rounds, struct row *row);
/* print_row_end() - rates, @width wide, ratio, doorbells and system calls of each thing done */
void print_row_end(const struct row *row, const struct rounds *rounds, int width);
/* @rate names a rate's unit ("iops"), @thing what is done ("request"). */
void write_row_end(FILE *f, const struct row *row, const struct rounds *rounds, const char *rate,
		   const char *thing);

#endif
