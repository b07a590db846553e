/* SPDX-License-Identifier: BSD-2-Clause */
/* What came of it, for people, for programs, and as a picture. */
#ifndef SPLIT_REPORT_H
#define SPLIT_REPORT_H

#include <stdio.h>

#include <json-c/json.h>

#include "split/classify.h"
#include "split/sources.h"

struct result {
	const char *name; /* of the driver: its folder's or its only file's */
	const struct factoring *factoring;
	const struct facts *facts;
	const struct graph *graph;
	const struct policy *policy;
	const struct sources *sources;
	const struct headers *headers;
	double seconds, cpu; /* that went by, and of processors */
};

/** report_text() - the tables; @all: every function, else those that do not stay as a matter of course */
void report_text(const struct result *r, FILE *out);
/** report_explain() - all that decided on one function */
void report_explain(const struct result *r, const struct function *fn, FILE *out);
/** report_json() - all that is known; NULL without memory. docs/factor.md describes it */
struct json_object *report_json(const struct result *r);
/** report_dot() - the picture in the language of graphviz */
void report_dot(const struct result *r, FILE *out);
/** report_svg() - the same, laid out by dot(1) */
int report_svg(const struct result *r, const char *path, struct ob_error *err);

/** report_way() - how a root reaches the function: "request_irq#1: e1000_intr > e1000_clean"; freed by the caller */
char *report_way(const struct factoring *f, const struct place *p, enum set set);

#endif
