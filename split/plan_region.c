// SPDX-License-Identifier: BSD-2-Clause
/*
 * Locked regions: where an entry takes a lock that the kernel's side takes, too, the text from there to where it gives it back stays in the kernel as a
 * function of its own, and the daemon asks for it as for any function that is kept. What the region works on, the kernel computes anew from what
 * the entry was called with. The facts say where that can be done (extract/region.c); here is looked at what only the policy and the other functions tell.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "split/split.h"

bool split_outlines(const struct split *s, const struct function *fn)
{
	const struct fate_of *f = split_fate(s, fn);

	return f->fate == FATE_ENTRY && f->plan && fn->regions.n;
}

bool split_region_calls(const struct split *s, const struct function *from,
			const struct function *to)
{
	if (!split_outlines(s, from))
		return false;
	for (size_t i = 0; i < s->graph->out[from->index].n; i++) {
		const struct edge *e = &s->graph->out[from->index].at[i];

		for (size_t k = 0; e->to == to && k < from->regions.n; k++)
			if (e->line >= from->regions.at[k].line &&
			    e->line <= from->regions.at[k].last)
				return true;
	}
	return false;
}

unsigned int split_region_lines(const struct split *s, const struct function *fn)
{
	unsigned int n = 0;

	for (size_t i = 0; split_outlines(s, fn) && i < fn->regions.n; i++)
		n += fn->regions.at[i].last - fn->regions.at[i].line + 1;
	return n;
}

bool region_item_travels(const struct region_item *i)
{
	return i->flags && (*i->flags == 'v' || strchr(i->flags, 'o'));
}

/* The kernel evaluates it before a region, beside the daemon, which evaluates it, too. */
static bool way_is_good(struct split *s, const struct function *fn)
{
	const struct function *way = fn->way, *rest = fn->rest;

	for (size_t i = 0; i < way->calls.n; i++) {
		const struct call *c = &way->calls.at[i];

		if (!split_is_private(s, c->to->name) && !policy_inline(s->policy, c->to->name) &&
		    !matches(&s->policy->daemon, c->to->name))
			return refuse(s, "calls %s before a locked region (%s:%u)", c->to->name,
				      fn->path, c->line);
	}
	if (way->sites.n)
		return refuse(s, "calls through %s before a locked region (%s:%u)",
			      node_name(way->sites.at[0].node), fn->path, way->sites.at[0].line);
	for (size_t i = 0; i < way->fields.n; i++)
		for (size_t k = 0; k < rest->fields.n; k++)
			if (rest->fields.at[k].key == way->fields.at[i].key &&
			    rest->fields.at[k].use & USE_WRITE)
				return refuse(s,
					      "writes %s, on which a locked region depends (%s:%u)",
					      rest->fields.at[k].key, fn->path,
					      rest->fields.at[k].line);
	return true;
}

/* A region is executed by the daemon's thread: what depends on who executes it would see the daemon. */
static bool calls_are_anybodys(struct split *s, const struct function *fn,
			       const struct function *by)
{
	for (size_t i = 0; i < by->calls.n; i++)
		if (matches(&s->policy->callers, by->calls.at[i].to->name))
			return refuse(
				s, "calls %s in a locked region, which is about who calls (%s:%u)",
				by->calls.at[i].to->name, by->path, by->calls.at[i].line);
	return true;
}

static bool locks_are_good(struct split *s, const struct function *fn)
{
	if (fn->whole)
		return refuse(s, "has a locked region that is no function of its own: %s (%s:%u)",
			      fn->whole, fn->path, fn->whole_line);
	for (size_t i = 0; i < fn->outlined->locks.n; i++)
		if (fn->outlined->locks.at[i].what == LOCK_DROP)
			return refuse(
				s, "gives back its caller's %s while it has another lock (%s:%u)",
				fn->outlined->locks.at[i].name, fn->path,
				fn->outlined->locks.at[i].line);
	return true;
}

static bool region_is_good(struct split *s, struct function *fn)
{
	struct function **list = calloc(s->facts->functions.n + 1, sizeof(*list));
	unsigned char *seen = calloc(s->facts->functions.n + 1, 1);
	bool good = list && seen ? calls_are_anybodys(s, fn, fn->outlined)
				 : refuse(s, "there is no memory to plan it");

	for (size_t i = 0; good && i < s->facts->functions.n; i++) {
		struct function *to = s->facts->functions.at[i];
		size_t n;

		if (seen[i] || !to->defined || !split_region_calls(s, fn, to))
			continue;
		n = reached_from(s->graph, to, list, seen);
		for (size_t k = 0; good && k < n; k++)
			good = calls_are_anybodys(s, fn, list[k]);
	}
	free(list);
	free(seen);
	return good;
}

static bool add_region(struct split *s, struct entry_plan *e, unsigned int n)
{
	const struct region *r = &e->function->regions.at[n];
	struct kept_rule *rule = calloc(1, sizeof(*rule));
	struct kept_call *k = rule ? vector_add(&e->kept) : NULL;
	struct argument_rule *a;

	if (!k) {
		free(rule);
		return refuse(s, "there is no memory to plan it");
	}
	*k = (struct kept_call){.rule = rule,
				.made = rule,
				.region = r,
				.function = e->function,
				.number = s->policy->kept_calls.n + n};
	for (size_t i = 0; i <= r->items.n; i++) {
		if (i && !region_item_travels(&r->items.at[i - 1]))
			continue;
		if (rule->arguments.n == OB_SPLIT_ARGUMENTS)
			return refuse(s, "shares more than %d numbers with a locked region (%s:%u)",
				      OB_SPLIT_ARGUMENTS - 1, e->function->path, r->line);
		a = vector_add(&rule->arguments);
		if (!a)
			return refuse(s, "there is no memory to plan it");
		a->kind = !i					  ? ARGUMENT_CALLER
			  : strchr(r->items.at[i - 1].flags, 'o') ? ARGUMENT_OUT
								  : ARGUMENT_ANY;
	}
	for (size_t i = 0; i < rule->arguments.n; i++)
		k->arguments[i].rule = &rule->arguments.at[i];
	return true;
}

bool split_plan_regions(struct split *s, struct entry_plan *e)
{
	if (!split_outlines(s, e->function))
		return true;
	if (!locks_are_good(s, e->function) || !way_is_good(s, e->function) ||
	    !region_is_good(s, e->function))
		return false;
	for (unsigned int i = 0; i < e->function->regions.n; i++)
		if (!add_region(s, e, i))
			return false;
	return true;
}
