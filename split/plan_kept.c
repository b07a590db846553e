// SPDX-License-Identifier: BSD-2-Clause
/*
 * Functions that stay, and that what moved may call: the daemon asks for them by number. The policy says which, with which arguments and why it does no
 * harm; here is found what these arguments can be in a call of an entry, and refused what the policy's author cannot have meant.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "split/split.h"

enum {
	DEPTH = 4 /* of structs in structs */
};

static const struct kept_rule *rule_of(const struct split *s, const struct call *c)
{
	return policy_kept(s->policy, c->to->name);
}

bool split_is_kept(const struct split *s, const struct function *fn)
{
	return policy_kept(s->policy, fn->name) != NULL;
}

size_t split_reached(const struct split *s, struct function *from, struct function **list,
		     unsigned char *seen)
{
	size_t n = 1;

	list[0] = from;
	seen[from->index] = 1;
	for (size_t head = 0; head < n; head++) {
		/* Of one whose regions stay, what is outside of them. */
		for (size_t i = 0; list[head]->of && i < list[head]->calls.n; i++) {
			struct function *to = list[head]->calls.at[i].to;

			if (!to->defined || seen[to->index] || split_is_kept(s, to))
				continue;
			seen[to->index] = 1;
			list[n++] = to;
		}
		for (size_t i = 0; !list[head]->of && i < s->graph->out[list[head]->index].n; i++) {
			const struct edge *e = &s->graph->out[list[head]->index].at[i];

			if (seen[e->to->index] || split_is_kept(s, e->to) ||
			    (e->kind == EDGE_LIBRARY && policy_kept(s->policy, e->via)))
				continue;
			seen[e->to->index] = 1;
			list[n++] = e->to;
		}
	}
	return n;
}

static bool asks_for(const struct split *s, const struct entry_plan *e, const char *of)
{
	for (size_t i = 0; i < e->n_closure; i++) {
		for (size_t k = 0; k < e->closure[i]->calls.n; k++) {
			const struct kept_rule *r = rule_of(s, &e->closure[i]->calls.at[k]);

			for (size_t m = 0; r && m < r->arguments.n; m++)
				if (r->arguments.at[m].kind == ARGUMENT_OBJECT &&
				    !strcmp(r->arguments.at[m].of, of))
					return true;
		}
	}
	return false;
}

bool split_is_handle(const struct split *s, const struct entry_plan *e, const char *key,
		     const char *type)
{
	return asks_for(s, e, key) || (type && asks_for(s, e, type));
}

/* ---- is it what the rule is about? --------------------------------------------------------------- */

static bool is_address_of(const char *type, const char *name)
{
	char want[300];
	size_t n = (size_t)snprintf(want, sizeof(want), "struct %s", name);

	if (!strncmp(type, "const ", 6))
		type += 6;
	return !strncmp(type, want, n) && !strcmp(type + n + (type[n] == ' '), "*");
}

/* Another driver's function of that name may take other things. */
static bool param_fits(const char *type, const struct argument_rule *a)
{
	const char *star = strchr(type, '*');
	bool number = star && !star[1] && !strstr(type, "struct ") && !strstr(type, "union ") &&
		      strncmp(type, "void ", 5) != 0 && strncmp(type, "const ", 6) != 0;

	switch (a->kind) {
	case ARGUMENT_OBJECT:
		return strchr(a->of, '.') ? number : is_address_of(type, a->of);
	case ARGUMENT_OUT:
		return number;
	case ARGUMENT_REGISTER:
	case ARGUMENT_NULL:
		return star != NULL;
	default:
		return !star && !strstr(type, "struct ") && !strchr(type, '[');
	}
}

/* ---- what it may not do ----------------------------------------------------------------------- */

/* Somebody calls it, or who calls it, with a lock held. */
static bool is_under_lock(const struct split *s, const struct function *fn, unsigned char *seen)
{
	seen[fn->index] = 1;
	for (size_t i = 0; i < s->facts->functions.n; i++) {
		for (size_t k = 0; k < s->graph->out[i].n; k++) {
			const struct edge *e = &s->graph->out[i].at[k];

			if (e->to == fn &&
			    (e->held || (!seen[i] && is_under_lock(s, e->from, seen))))
				return true;
		}
	}
	return false;
}

static bool does_no_harm(struct split *s, struct function *fn)
{
	struct function **list = calloc(s->facts->functions.n, sizeof(*list));
	unsigned char *seen = calloc(s->facts->functions.n, 1);
	size_t n = list && seen ? reached_from(s->graph, fn, list, seen) : 0;
	bool good = n || refuse(s, "there is no memory to plan it"), locks = false;

	for (size_t i = 0; good && i < n; i++) {
		locks |= list[i]->locks.n > 0;
		for (size_t k = 0; good && k < list[i]->calls.n; k++) {
			const struct call *c = &list[i]->calls.at[k];
			enum api api = policy_api(s->policy, c->to->name);

			if (api == API_DMA || api == API_IRQ || api == API_SKB ||
			    matches(&s->policy->never_kept, c->to->name))
				good = refuse(s,
					      "calls %s, which would be kept, but uses %s (%s:%u)",
					      fn->name, c->to->name, list[i]->path, c->line);
		}
	}
	/* Its caller's lock would be missing, as it is asked for from outside of any. */
	if (seen)
		memset(seen, 0, s->facts->functions.n);
	if (good && !locks && is_under_lock(s, fn, seen))
		good = refuse(s, "calls %s, which would be kept, but relies on its callers' lock",
			      fn->name);
	free(list);
	free(seen);
	return good;
}

static bool call_is_good(struct split *s, const struct entry_plan *e, const struct function *by,
			 const struct call *c, const struct kept_rule *r)
{
	struct function *to = c->to;

	if (!to->defined) {
		for (size_t i = 0; i < r->arguments.n; i++)
			if (r->arguments.at[i].kind == ARGUMENT_OUT)
				return refuse(
					s, "calls the kernel's %s, which sets an argument (%s:%u)",
					to->name, by->path, c->line);
		if (split_is_header(by))
			return refuse(s, "calls %s in a header (%s:%u)", to->name, by->path,
				      c->line);
		return true;
	}
	if (to->params.n != r->arguments.n)
		return refuse(s,
			      "calls %s, which has %zu parameters, not %zu as in its rule (%s:%u)",
			      to->name, to->params.n, r->arguments.n, by->path, c->line);
	for (size_t i = 0; i < to->params.n; i++)
		if (!param_fits(to->params.at[i].type, &r->arguments.at[i]))
			return refuse(s,
				      "calls %s, whose parameter %s is not as in its rule (%s:%u)",
				      to->name, to->params.at[i].name, by->path, c->line);
	if (strpbrk(to->type, "*[(") || strstr(to->type, "struct ") ||
	    r->is_void != !strcmp(to->type, "void"))
		return refuse(s, "calls %s, whose result is not as in its rule (%s:%u)", to->name,
			      by->path, c->line);
	if (split_is_header(to) || !to->close ||
	    (!strcmp(to->linkage, "static") && strcmp(to->path, e->function->path) != 0))
		return refuse(s, "calls %s, which %s does not know (%s:%u)", to->name,
			      e->function->path, by->path, c->line);
	return does_no_harm(s, to);
}

/* ---- places ------------------------------------------------------------------------------------ */

static bool uses(const struct entry_plan *e, const char *key)
{
	for (size_t i = 0; i < e->n_closure; i++)
		for (size_t k = 0; k < e->closure[i]->fields.n; k++)
			if (!strcmp(e->closure[i]->fields.at[k].key, key))
				return true;
	return false;
}

struct search {
	struct split *s;
	struct entry_plan *e;
	struct kept_argument *into;
	const char *of; /* a struct, or STRUCT.FIELD */
	unsigned int object;
	bool enough;
};

static void add_place(struct search *q, const char *path)
{
	struct kept_place *place = vector_add(&q->into->places);

	if (place) {
		place->object = q->object;
		place->path = strdup(path);
	}
	q->enough &= place && place->path;
}

/* What lies in it, at any depth, and is mentioned in the functions that move. */
static void search_in(struct search *q, const char *type, const char *prefix, int depth)
{
	const struct facts *f = q->s->facts;
	size_t n = strlen(type);

	for (size_t i = 0; i < f->fields.n; i++) {
		const struct field *field = &f->fields.at[i];
		const char *inner = field->type;
		char path[512];

		if (strncmp(field->key, type, n) != 0 || field->key[n] != '.' ||
		    !uses(q->e, field->key))
			continue;
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "",
			 field->path ? field->path : field->key + n + 1);
		if (!strcmp(field->key, q->of)) {
			add_place(q, path);
			continue;
		}
		if (strcmp(field->kind, "struct") != 0 || strncmp(inner, "struct ", 7) != 0)
			continue;
		if (!strcmp(inner + 7, q->of))
			add_place(q, path);
		else if (depth < DEPTH)
			search_in(q, inner + 7, path, depth + 1);
	}
}

static bool find_places(struct split *s, struct entry_plan *e, struct kept_argument *a)
{
	struct search q = {.s = s, .e = e, .into = a, .of = a->rule->of, .enough = true};

	for (unsigned int i = 1; i < e->objects.n; i++) {
		const char *type = e->objects.at[i].type;

		/* Others are only copied, since the address may be bad. */
		if (e->objects.at[i].kind == OBJECT_POINTED && !matches(&s->policy->follow, type))
			continue;
		q.object = i;
		if (type && !strcmp(type, q.of))
			add_place(&q, "");
		else if (type)
			search_in(&q, type, "", 0);
	}
	return q.enough || refuse(s, "there is no memory to plan it");
}

static bool add_kept(struct split *s, struct entry_plan *e, const struct function *by,
		     const struct call *c, const struct kept_rule *r)
{
	struct kept_call *k;

	for (size_t i = 0; i < e->kept.n; i++)
		if (e->kept.at[i].rule == r)
			return true;
	if (!call_is_good(s, e, by, c, r))
		return false;
	k = vector_add(&e->kept);
	if (!k)
		return refuse(s, "there is no memory to plan it");
	*k = (struct kept_call){
		.rule = r, .function = c->to, .number = r - s->policy->kept_calls.at};
	for (size_t i = 0; i < r->arguments.n; i++) {
		struct kept_argument *a = &k->arguments[i];

		a->rule = &r->arguments.at[i];
		if (a->rule->kind != ARGUMENT_OBJECT && a->rule->kind != ARGUMENT_REGISTER)
			continue;
		if (!find_places(s, e, a))
			return false;
		if (!a->places.n && a->rule->kind == ARGUMENT_REGISTER)
			return refuse(s, "uses registers: %s, of which no rule knows (%s:%u)",
				      c->macro ? c->macro : c->to->name, by->path, c->line);
		if (!a->places.n || (a->rule->kind == ARGUMENT_REGISTER && a->places.n > 1))
			return refuse(s,
				      "calls %s, with %s that is not known to be reached (%s:%u)",
				      c->to->name, a->rule->of, by->path, c->line);
	}
	return true;
}

bool split_plan_kept(struct split *s, struct entry_plan *e)
{
	for (size_t i = 0; i < e->n_closure; i++) {
		for (size_t k = 0; k < e->closure[i]->calls.n; k++) {
			const struct call *c = &e->closure[i]->calls.at[k];
			const struct kept_rule *r = rule_of(s, c);

			if (r && !add_kept(s, e, e->closure[i], c, r))
				return false;
		}
	}
	return true;
}

void split_forget_kept(struct entry_plan *e)
{
	for (size_t i = 0; i < e->kept.n; i++) {
		for (size_t k = 0; k < OB_SPLIT_ARGUMENTS; k++) {
			struct kept_argument *a = &e->kept.at[i].arguments[k];

			for (size_t m = 0; m < a->places.n; m++)
				free(a->places.at[m].path);
			vector_free(&a->places);
		}
		if (e->kept.at[i].made)
			vector_free(&e->kept.at[i].made->arguments);
		free(e->kept.at[i].made);
	}
	vector_free(&e->kept);
	memset(&e->kept, 0, sizeof(e->kept));
}
