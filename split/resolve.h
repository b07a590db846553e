/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The call graph: direct calls, indirect ones by what was stored where they take the address from, and the calls back that functions of the
 * kernel make. And the roots: functions that the kernel calls, by the policy's rules.
 */
#ifndef SPLIT_RESOLVE_H
#define SPLIT_RESOLVE_H

#include "split/facts.h"
#include "split/policy.h"

enum edge_kind {
	EDGE_DIRECT,
	EDGE_INDIRECT, /* @via: the node that it takes the address from */
	EDGE_LIBRARY,  /* @via: the kernel's function that calls back */
};

struct edge {
	struct function *from, *to;
	enum edge_kind kind;
	unsigned int line;
	const char *via;
	const char *held;
};

struct root {
	struct function *function;
	const struct root_rule *rule; /* NULL: no rule is about @node */
	const char *node;
	const char *path; /* where the address is stored */
	unsigned int line;
};

struct graph {
	struct facts *facts;
	const struct policy *policy;
	struct node *nodes;
	size_t n_nodes;
	VECTOR(struct edge) *
		out; /* for each of facts->functions; to functions of the driver only */
	VECTOR(struct root) roots;
	unsigned int sites[5]; /* by enum site_state */
	unsigned int most_targets;
};

/**
 * resolve() - make the graph
 *
 * In two passes: all that is stored anywhere is known before a call is resolved. A field is the same in all objects of its
 * struct, an array is one place, and the order of stores does not matter.
 */
int resolve(struct graph **out, struct facts *f, const struct policy *p, struct ob_error *err);
void graph_free(struct graph *g);

/** node_name() - as people write it: "e1000_adapter.clean_rx", "request_irq#1" */
const char *node_name(const char *node);

#endif
