/* SPDX-License-Identifier: BSD-2-Clause */
/* The call graph; split/resolve.h describes it. */
#include <errno.h>
#include <string.h>

#include "split/resolve.h"

struct node {
	const char *text;
	VECTOR(struct function *) functions;
};

/* ---- what each node may hold --------------------------------------------------------------- */

static int by_pointer(const void *a, const void *b)
{
	const char *x = ((const struct node *)a)->text, *y = ((const struct node *)b)->text;

	return x < y ? -1 : x > y;
}

static struct node *node_of(const struct graph *g, const char *text)
{
	struct node key = {.text = text};

	return bsearch(&key, g->nodes, g->n_nodes, sizeof(key), by_pointer);
}

static int collect_nodes(struct graph *g)
{
	struct facts *f = g->facts;
	size_t room = 2 * f->flows.n, n = 0, kept = 0;

	for (size_t i = 0; i < f->functions.n; i++)
		room += f->functions.at[i]->sites.n;
	g->nodes = calloc(room + 1, sizeof(*g->nodes));
	if (!g->nodes)
		return -ENOMEM;
	for (size_t i = 0; i < f->flows.n; i++) {
		g->nodes[n++].text = f->flows.at[i].to;
		g->nodes[n++].text = f->flows.at[i].from;
	}
	for (size_t i = 0; i < f->functions.n; i++)
		for (size_t k = 0; k < f->functions.at[i]->sites.n; k++)
			g->nodes[n++].text = f->functions.at[i]->sites.at[k].node;
	qsort(g->nodes, n, sizeof(*g->nodes), by_pointer);
	for (size_t i = 0; i < n; i++)
		if (!kept || g->nodes[kept - 1].text != g->nodes[i].text)
			g->nodes[kept++] = g->nodes[i];
	g->n_nodes = kept;
	return 0;
}

/* 1: it is new; 0: it was there */
static int put(struct node *n, struct function *fn)
{
	struct function **slot;

	for (size_t i = 0; i < n->functions.n; i++)
		if (n->functions.at[i] == fn)
			return 0;
	slot = vector_add(&n->functions);
	if (!slot)
		return -ENOMEM;
	*slot = fn;
	return 1;
}

static int join(struct node *to, const struct node *from)
{
	int changed = 0;

	for (size_t i = 0; i < from->functions.n; i++) {
		int ret = put(to, from->functions.at[i]);

		if (ret < 0)
			return ret;
		changed |= ret;
	}
	return changed;
}

/* call:NODE#2, the third argument of an indirect call, is the third parameter of all that NODE may hold. */
static int pass_argument(struct graph *g, const struct node *argument)
{
	const char *inner = argument->text + strlen("call:");
	const char *index = strrchr(inner, '#');
	char text[1200];
	struct node *called, *param;
	int changed = 0;

	if (!index)
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)(index - inner), inner);
	called = node_of(g, facts_text(g->facts, text));
	for (size_t i = 0; called && i < called->functions.n; i++) {
		int ret;

		snprintf(text, sizeof(text), "param:%s%s", called->functions.at[i]->id, index);
		param = node_of(g, facts_text(g->facts, text));
		if (!param)
			continue;
		ret = join(param, argument);
		if (ret < 0)
			return ret;
		changed |= ret;
	}
	return changed;
}

static int spread(struct graph *g)
{
	struct facts *f = g->facts;
	int changed;

	for (size_t i = 0; i < f->flows.n; i++) {
		const struct flow *w = &f->flows.at[i];
		struct function *fn;

		if (strncmp(w->from, "func:", 5) != 0)
			continue;
		fn = facts_function(f, w->from + 5);
		if (!fn || put(node_of(g, w->to), fn) < 0)
			return -ENOMEM;
	}
	/* Sets only grow, so it ends. */
	do {
		changed = 0;
		for (size_t i = 0; i < f->flows.n; i++) {
			int ret = join(node_of(g, f->flows.at[i].to),
				       node_of(g, f->flows.at[i].from));

			if (ret < 0)
				return ret;
			changed |= ret;
		}
		for (size_t i = 0; i < g->n_nodes; i++) {
			int ret = strncmp(g->nodes[i].text, "call:", 5)
					  ? 0
					  : pass_argument(g, &g->nodes[i]);

			if (ret < 0)
				return ret;
			changed |= ret;
		}
	} while (changed);
	return 0;
}

/* ---- edges ----------------------------------------------------------------------------------- */

static int add_edge(struct graph *g, struct function *from, struct function *to,
		    enum edge_kind kind, unsigned int line, const char *via, const char *held)
{
	struct edge *e;

	if (!to->defined)
		return 0;
	e = vector_add(&g->out[from->index]);
	if (!e)
		return -ENOMEM;
	*e = (struct edge){from, to, kind, line, via, held};
	return 0;
}

static bool of_the_driver(const struct facts *f, const char *field)
{
	size_t n = strcspn(field, ".");

	for (size_t i = 0; i < f->records.n; i++)
		if (!strncmp(f->records.at[i].name, field, n) && !f->records.at[i].name[n])
			return true;
	return false;
}

/* Why nothing is known of what a node holds. */
static enum site_state without_targets(const struct graph *g, const char *node, int depth)
{
	const struct facts *f = g->facts;
	enum site_state state = SITE_NEVER_SET;
	struct function *fn;
	char id[600];

	if (!strncmp(node, "expr:", 5) || depth > 8)
		return SITE_UNRESOLVED;
	if (!strncmp(node, "field:", 6))
		return of_the_driver(f, node + 6) ? SITE_NEVER_SET : SITE_LIBRARY;
	if (!strncmp(node, "return:", 7))
		return SITE_LIBRARY;
	if (!strncmp(node, "param:", 6)) {
		snprintf(id, sizeof(id), "%.*s", (int)strcspn(node + 6, "#"), node + 6);
		fn = facts_known(f, id);
		if (!fn || !fn->defined || !strcmp(fn->linkage, "extern"))
			return SITE_LIBRARY;
	}
	for (size_t i = 0; i < f->flows.n; i++) {
		if (f->flows.at[i].to != node)
			continue;
		state = without_targets(g, f->flows.at[i].from, depth + 1);
		if (state == SITE_LIBRARY)
			break;
	}
	return state;
}

static int resolve_site(struct graph *g, struct function *fn, struct site *s)
{
	const struct node *n = node_of(g, s->node);
	struct function **slot;
	unsigned int ours = 0;
	int ret;

	for (size_t i = 0; i < n->functions.n; i++) {
		struct function *to = n->functions.at[i];

		slot = vector_add(&s->targets);
		if (!slot)
			return -ENOMEM;
		*slot = to;
		ours += to->defined;
		ret = add_edge(g, fn, to, EDGE_INDIRECT, s->line, s->node, s->held);
		if (ret)
			return ret;
	}
	if (ours)
		s->state = SITE_RESOLVED;
	else if (n->functions.n)
		s->state = SITE_EXTERNAL;
	else
		s->state = without_targets(g, s->node, 0);
	g->sites[s->state]++;
	if (ours > g->most_targets)
		g->most_targets = ours;
	return 0;
}

static int call_back(struct graph *g, struct function *from, const struct call *c)
{
	for (size_t i = 0; i < g->policy->callbacks.n; i++) {
		const struct callback_rule *rule = &g->policy->callbacks.at[i];

		if (!matches(&rule->calls, c->to->name))
			continue;
		for (size_t n = 0; n < g->n_nodes; n++) {
			const struct node *node = &g->nodes[n];

			if (!node->functions.n || !matches(&rule->into, node->text))
				continue;
			for (size_t k = 0; k < node->functions.n; k++) {
				int ret = add_edge(g, from, node->functions.at[k], EDGE_LIBRARY,
						   c->line, c->to->name, c->held);

				if (ret)
					return ret;
			}
		}
	}
	return 0;
}

static int add_edges(struct graph *g, struct function *fn)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < fn->calls.n; i++) {
		const struct call *c = &fn->calls.at[i];

		if (c->to->defined)
			ret = add_edge(g, fn, c->to, EDGE_DIRECT, c->line, NULL, c->held);
		else
			ret = call_back(g, fn, c);
	}
	for (size_t i = 0; !ret && i < fn->sites.n; i++)
		ret = resolve_site(g, fn, &fn->sites.at[i]);
	return ret;
}

/* ---- roots ------------------------------------------------------------------------------------- */

/* A place from which the kernel may call: a field of a struct of its own, an argument of one of its functions. */
static bool is_the_kernels(const struct graph *g, const char *node)
{
	struct function *fn;
	char id[600];

	if (!strncmp(node, "field:", 6))
		return !of_the_driver(g->facts, node + 6);
	if (strncmp(node, "param:", 6) != 0)
		return false;
	snprintf(id, sizeof(id), "%.*s", (int)strcspn(node + 6, "#"), node + 6);
	fn = facts_known(g->facts, id);
	return !fn || !fn->defined;
}

static int add_root(struct graph *g, struct function *fn, const struct root_rule *rule,
		    const char *node)
{
	const struct flow *from = NULL;
	struct root *r;

	for (size_t i = 0; i < g->facts->flows.n; i++) {
		const struct flow *w = &g->facts->flows.at[i];

		if (w->to != node)
			continue;
		/* The place where it is this function, rather than any other. */
		if (!from || (!strncmp(w->from, "func:", 5) && !strcmp(w->from + 5, fn->id)))
			from = w;
	}
	r = vector_add(&g->roots);
	if (!r)
		return -ENOMEM;
	r->function = fn;
	r->rule = rule;
	r->node = node;
	r->path = from ? from->path : NULL;
	r->line = from ? from->line : 0;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp((*(const struct node *const *)a)->text,
		      (*(const struct node *const *)b)->text);
}

static int find_roots(struct graph *g)
{
	const struct node **sorted = calloc(g->n_nodes + 1, sizeof(*sorted));
	int ret = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_nodes; i++)
		sorted[i] = &g->nodes[i];
	/* By name, so that reports do not depend on where memory lay. */
	qsort(sorted, g->n_nodes, sizeof(*sorted), by_text);
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct node *n = sorted[i];
		const struct root_rule *rule = policy_root(g->policy, n->text);

		if (!rule && !is_the_kernels(g, n->text))
			continue;
		for (size_t k = 0; !ret && k < n->functions.n; k++)
			if (n->functions.at[k]->defined &&
			    !matches(&g->policy->ignore, n->functions.at[k]->name))
				ret = add_root(g, n->functions.at[k], rule, n->text);
	}
	free(sorted);
	return ret;
}

/* ---- all of it ------------------------------------------------------------------------------------ */

int resolve(struct graph **out, struct facts *f, const struct policy *p, struct ob_error *err)
{
	struct graph *g = calloc(1, sizeof(*g));
	size_t n = f->functions.n;
	int ret = -ENOMEM;

	*out = NULL;
	if (!g)
		goto failed;
	g->facts = f;
	g->policy = p;
	ret = collect_nodes(g);
	if (!ret)
		ret = spread(g);
	/* No function is added from here on. */
	n = f->functions.n;
	g->out = calloc(n + 1, sizeof(*g->out));
	if (!g->out)
		ret = -ENOMEM;
	for (size_t i = 0; !ret && i < n; i++)
		ret = add_edges(g, f->functions.at[i]);
	if (!ret)
		ret = find_roots(g);
	if (!ret) {
		*out = g;
		return 0;
	}
failed:
	graph_free(g);
	return ob_error_set(err, ret, "no memory for the call graph");
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_nodes; i++)
		vector_free(&g->nodes[i].functions);
	for (size_t i = 0; g->out && i < g->facts->functions.n; i++)
		vector_free(&g->out[i]);
	free(g->out);
	free(g->nodes);
	vector_free(&g->roots);
	free(g);
}

const char *node_name(const char *node)
{
	const char *colon = strchr(node, ':');

	return colon ? colon + 1 : node;
}
