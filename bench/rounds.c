/* SPDX-License-Identifier: BSD-2-Clause */
/* See rounds.h. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

#include "bench/rounds.h"

enum {
	ARGUMENTS_MAX = 16,
	/* Values of getopt_long() for the arguments: above all letters. */
	ARGUMENT_FIRST = 256,
};

int complain(const struct ob_error *err)
{
	char text[1500];

	fprintf(stderr, "%s: %s\n", program_invocation_short_name,
		ob_error_text(err, text, sizeof(text)));
	return 1;
}

/* ---- arguments ------------------------------------------------------------------- */

static void take_argument(const struct argument *a, const char *text)
{
	switch (a->kind) {
	case ARGUMENT_FLAG:
		*(bool *)a->value = true;
		break;
	case ARGUMENT_TEXT:
		*(const char **)a->value = text;
		break;
	case ARGUMENT_NUMBER:
		*(unsigned int *)a->value = (unsigned int)strtoul(text, NULL, 10);
		break;
	case ARGUMENT_COUNT:
		*(uint64_t *)a->value = strtoull(text, NULL, 0);
		break;
	}
}

int read_arguments(int argc, char **argv, const struct argument *arguments, void (*usage)(FILE *))
{
	struct option longs[ARGUMENTS_MAX + 2] = {{"help", no_argument, NULL, 'h'}};
	int c;

	for (int i = 0; i < ARGUMENTS_MAX && arguments[i].name; i++)
		longs[i + 1] = (struct option){
			.name = arguments[i].name,
			.has_arg = arguments[i].kind == ARGUMENT_FLAG ? no_argument
								      : required_argument,
			.val = ARGUMENT_FIRST + i,
		};
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c < ARGUMENT_FIRST) {
			usage(stderr);
			return 2;
		}
		take_argument(&arguments[c - ARGUMENT_FIRST], optarg);
	}
	return -1;
}

/* ---- one comparison -------------------------------------------------------------- */

/* Alternating sides then meet the same conditions. */
void choose_cpus(const struct rounds *rounds)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (rounds->two_cpus)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static bool one_round(const struct side *sides, const struct rounds *rounds, unsigned int size,
		      struct counts *counts)
{
	for (unsigned int s = 0; s < SIDES; s++)
		if (!sides[s].run(sides[s].of, size, rounds->ms * 1000000ull, !rounds->two_cpus,
				  &counts[s]))
			return false;
	return true;
}

bool run_rounds(const struct side *sides, const struct rounds *rounds, struct row *row)
{
	struct counts counts[SIDES];

	if (!one_round(sides, rounds, row->size, counts))
		return false;
	for (unsigned int r = 0; r < rounds->n; r++) {
		if (!one_round(sides, rounds, row->size, counts))
			return false;
		for (unsigned int s = 0; s < SIDES; s++) {
			row->rate[s][r] = (double)counts[s].done * 1e9 / (double)counts[s].ns;
			row->sum[s].done += counts[s].done;
			row->sum[s].doorbells += counts[s].doorbells;
			row->sum[s].syscalls += counts[s].syscalls;
		}
		row->ratio[r] = row->rate[SIDE_OWN][r] / row->rate[SIDE_FLOOR][r];
	}
	return true;
}

/* ---- results --------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void sort_values(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), by_value);
}

static double median(const double *values, unsigned int n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof(*values));
	sort_values(sorted, n);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double per(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

void print_row_end(const struct row *row, const struct rounds *rounds, int width)
{
	const struct counts *own = &row->sum[SIDE_OWN], *bare = &row->sum[SIDE_FLOOR];

	printf("  %*.0f  %*.0f  %6.3f  %*.0f  %5.3f/%5.3f  %5.3f/%5.3f\n", width,
	       median(row->rate[SIDE_OWN], rounds->n), width,
	       median(row->rate[SIDE_FLOOR], rounds->n), median(row->ratio, rounds->n), width,
	       median(row->rate[SIDE_ISOLATED], rounds->n), per(own->doorbells, own->done),
	       per(bare->doorbells, bare->done), per(own->syscalls, own->done),
	       per(bare->syscalls, bare->done));
}

void write_row_end(FILE *f, const struct row *row, const struct rounds *rounds, const char *rate,
		   const char *thing)
{
	const struct counts *own = &row->sum[SIDE_OWN], *bare = &row->sum[SIDE_FLOOR];

	fprintf(f,
		"\"outboard_%s\":%.0f,\"floor_%s\":%.0f,\"ratio\":%.4f,\"outboard_iommu_%s\":%.0f,",
		rate, median(row->rate[SIDE_OWN], rounds->n), rate,
		median(row->rate[SIDE_FLOOR], rounds->n), median(row->ratio, rounds->n), rate,
		median(row->rate[SIDE_ISOLATED], rounds->n));
	fprintf(f, "\"doorbells_per_%s\":%.4f,\"floor_doorbells_per_%s\":%.4f,", thing,
		per(own->doorbells, own->done), thing, per(bare->doorbells, bare->done));
	fprintf(f, "\"syscalls_per_%s\":%.4f,\"floor_syscalls_per_%s\":%.4f}", thing,
		per(own->syscalls, own->done), thing, per(bare->syscalls, bare->done));
}

bool wants_table(const char *json)
{
	return !json || strcmp(json, "-") != 0;
}

static int json_failed(const char *path)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(errno));
	return 1;
}

FILE *open_json(const char *path)
{
	FILE *f = wants_table(path) ? fopen(path, "we") : stdout;

	if (!f)
		json_failed(path);
	return f;
}

int close_json(FILE *f, const char *path)
{
	return f != stdout && fclose(f) ? json_failed(path) : 0;
}
