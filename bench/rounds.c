/* SPDX-License-Identifier: BSD-2-Clause */
/* See rounds.h. */
#include <sched.h>

#include "bench/rounds.h"

bool settle_rounds(struct rounds *rounds)
{
	if (rounds->quick && rounds->n > ROUNDS_QUICK)
		rounds->n = ROUNDS_QUICK;
	if (rounds->quick && rounds->ms > ROUNDS_QUICK_MS)
		rounds->ms = ROUNDS_QUICK_MS;
	return rounds->n && rounds->n <= ROUNDS_MAX && rounds->ms;
}

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
