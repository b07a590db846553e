/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs outboard-facts for each file of a driver, several at once, and reads what they say. */
#ifndef SPLIT_GATHER_H
#define SPLIT_GATHER_H

#include "split/facts.h"
#include "split/policy.h"
#include "split/sources.h"

/**
 * struct gathering - what to do
 * @program: path of outboard-facts
 * @jobs: how many at once; 0: as many as there are processors
 * @copy: where the facts are copied to as they are, file by file; or NULL
 */
struct gathering {
	const char *program;
	const struct sources *sources;
	const struct headers *headers;
	struct policy *const *policies; /* whose locks are followed */
	size_t n_policies;
	unsigned int jobs;
	FILE *copy;
};

/**
 * gather() - all files' facts
 *
 * A file that the parser cannot get through is an error in them (facts.errors), and the others are there.
 */
int gather(struct facts *f, const struct gathering *g, struct ob_error *err);

#endif
