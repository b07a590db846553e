/* SPDX-License-Identifier: BSD-2-Clause */
/* The analysis as a whole: from files to where each function belongs. What `outboard factor` shows is what `outboard split` builds on. */
#ifndef SPLIT_FACTOR_H
#define SPLIT_FACTOR_H

#include "split/report.h"

/**
 * struct factor_request - what is asked for
 * @class: of policies; NULL: the first whose "detect" finds something
 * @policies: folder of policies
 * @program: path of outboard-facts
 * @copy: where facts are copied to, or NULL
 */
struct factor_request {
	const struct sources *sources;
	const struct headers *headers;
	const char *name, *class, *policies, *program;
	unsigned int jobs;
	FILE *copy;
};

struct analysis {
	struct result result;
	struct facts *facts;
	struct policy *policy;
	struct graph *graph;
	struct factoring *factoring;
};

int factor(struct analysis *a, const struct factor_request *request, struct ob_error *err);
void analysis_free(struct analysis *a);

#endif
