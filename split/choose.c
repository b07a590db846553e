// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which functions go to the daemon. An entry, which the kernel calls, goes with all that it reaches, or not at all: a function that the daemon
 * executes can do nothing but compute on what it was sent. What a function in the kernel calls directly stays there, too.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "split/split.h"

const char *const fate_names[FATES] = {
	[FATE_STAYS] = "stays",
	[FATE_ENTRY] = "moved, with a stub",
	[FATE_MOVED] = "moved",
	[FATE_REPLICA] = "on both sides",
};

bool refuse(struct split *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->reason, sizeof(s->reason), fmt, args);
	va_end(args);
	return false;
}

bool split_is_header(const struct function *fn)
{
	size_t n = strlen(fn->path);

	return n > 2 && !strcmp(fn->path + n - 2, ".h");
}

/* ---- one function --------------------------------------------------------------------------- */

static bool is_param_of_module(const struct split *s, const char *name)
{
	char made[300];

	snprintf(made, sizeof(made), "__param_%s", name);
	for (size_t i = 0; i < s->facts->variables.n; i++)
		if (!strncmp(s->facts->variables.at[i].id, made, strlen(made)) &&
		    strchr("@", s->facts->variables.at[i].id[strlen(made)]))
			return true;
	return false;
}

static const struct variable *variable_of(const struct split *s, const char *id)
{
	for (size_t i = 0; i < s->facts->variables.n; i++)
		if (!strcmp(s->facts->variables.at[i].id, id))
			return &s->facts->variables.at[i];
	return NULL;
}

static bool is_written(const struct split *s, const char *id)
{
	for (size_t i = 0; i < s->facts->functions.n; i++) {
		const struct function *fn = s->facts->functions.at[i];

		for (size_t k = 0; k < fn->globals.n; k++)
			if (fn->globals.at[k].key == id && fn->globals.at[k].use & USE_WRITE)
				return true;
	}
	return false;
}

/* A table with functions of the driver in it would be one of the daemon's functions there. */
static bool has_functions(const struct split *s, const char *id)
{
	char node[512];

	snprintf(node, sizeof(node), "global:%s", id);
	for (size_t i = 0; i < s->facts->flows.n; i++)
		if (!strcmp(s->facts->flows.at[i].to, node))
			return true;
	return false;
}

static bool globals_are_good(struct split *s, const struct function *fn)
{
	for (size_t i = 0; i < fn->globals.n; i++) {
		const struct access *a = &fn->globals.at[i];
		const struct variable *v = variable_of(s, a->key);
		char name[256];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(a->key, "@"), a->key);
		/* Switches of messages for debugging are the kernel's business; they are off in the daemon. */
		if (!strncmp(name, "__UNIQUE_ID_ddebug", 18) || strstr(name, "__already_done"))
			continue;
		if (!v)
			return refuse(s, "uses the kernel's variable %s (%s:%u)", name, fn->path,
				      a->line);
		if (a->use & USE_WRITE && !strstr(v->type, "const "))
			return refuse(s, "writes the driver's variable %s (%s:%u)", name, fn->path,
				      a->line);
		if (has_functions(s, a->key))
			return refuse(s, "uses the table of functions %s (%s:%u)", name, fn->path,
				      a->line);
		if (strstr(v->type, "const ") ||
		    (!is_written(s, a->key) && !is_param_of_module(s, name)))
			continue;
		if (strpbrk(v->type, "*[(") || strstr(v->type, "struct "))
			return refuse(s, "uses the driver's variable %s, which changes (%s:%u)",
				      name, fn->path, a->line);
	}
	return true;
}

bool split_is_private(const struct split *s, const char *callee)
{
	for (size_t i = 0; i < s->policy->private.n; i++) {
		const char *rule = s->policy->private.at[i];

		if (!strncmp(rule, callee, strlen(callee)) && rule[strlen(callee)] == ':')
			return true;
	}
	return false;
}

static bool calls_are_good(struct split *s, const struct function *fn)
{
	static const char *const what[APIS] = {
		[API_PORT] = "ports", [API_MMIO] = "registers", [API_DMA] = "DMA",
		[API_SKB] = "NAPI",   [API_IRQ] = "interrupts", [API_SLEEP] = "the scheduler",
	};

	for (size_t i = 0; i < fn->calls.n; i++) {
		const struct call *c = &fn->calls.at[i];
		enum api api = policy_api(s->policy, c->to->name);

		if (c->to->defined || split_is_private(s, c->to->name) ||
		    matches(&s->policy->daemon, c->to->name) ||
		    policy_inline(s->policy, c->to->name) || split_is_kept(s, c->to))
			continue;
		if (c->macro && api <= API_PLAIN)
			api = policy_api(s->policy, c->macro);
		if (what[api])
			return refuse(s, "uses %s: %s (%s:%u)", what[api],
				      c->macro ? c->macro : c->to->name, fn->path, c->line);
		return refuse(s, "calls the kernel's %s (%s:%u)", c->to->name, fn->path, c->line);
	}
	return true;
}

static bool body_is_good(struct split *s, const struct function *fn)
{
	const struct place *p = place_of(s->factoring, fn);

	/* Without its regions it may be good. */
	if (p->verdict == VERDICT_CANNOT && p->reasons.n && (!fn->of || p->atomic)) {
		if (fn->whole && fn->locks.n && p->reasons.at[0].line == fn->locks.at[0].line)
			return refuse(s,
				      "%s; its locked region is no function of its own: %s (%s:%u)",
				      p->reasons.at[0].text, fn->whole, fn->path, fn->whole_line);
		return refuse(s, "%s", p->reasons.at[0].text);
	}
	if (fn->broken || (fn->of && fn->of->broken) || fn->asm_line)
		return refuse(s, fn->asm_line ? "has assembler in it"
					      : "the compiler finds an error in it");
	if (fn->locks.n)
		return refuse(s, "%s %s (%s:%u)",
			      fn->locks.at[0].what == LOCK_ACQUIRE ? "takes" : "gives back",
			      fn->locks.at[0].name, fn->path, fn->locks.at[0].line);
	if (fn->sites.n)
		return refuse(s, "calls through %s (%s:%u)", node_name(fn->sites.at[0].node),
			      fn->path, fn->sites.at[0].line);
	if (!fn->close && !split_is_header(fn))
		return refuse(s, "its text cannot be cut out: a macro makes it (%s:%u)", fn->path,
			      fn->line);
	return calls_are_good(s, fn) && globals_are_good(s, fn);
}

/* ---- one entry ------------------------------------------------------------------------------- */

static char *closure_of(struct split *s, struct entry_plan *e)
{
	unsigned char *seen = calloc(s->facts->functions.n, 1);

	e->closure = calloc(s->facts->functions.n, sizeof(struct function *));
	if (seen && e->closure)
		e->n_closure =
			split_reached(s, e->function->regions.n ? e->function->rest : e->function,
				      e->closure, seen);
	return (char *)seen;
}

static bool closure_is_good(struct split *s, const struct entry_plan *e)
{
	char inner[sizeof(s->reason)];

	for (size_t i = 0; i < e->n_closure; i++) {
		if (body_is_good(s, e->closure[i]))
			continue;
		if (e->closure[i]->index == e->function->index)
			return false;
		snprintf(inner, sizeof(inner), "%s", s->reason);
		return refuse(s, "calls %s, which %s", e->closure[i]->name, inner);
	}
	return true;
}

static bool signature_is_good(struct split *s, const struct function *fn)
{
	if (strpbrk(fn->type, "*[("))
		return refuse(s, "returns an address");
	if (strstr(fn->type, "struct ") || strstr(fn->type, "union "))
		return refuse(s, "returns a struct");
	for (size_t i = 0; i < fn->params.n; i++) {
		const struct param *p = &fn->params.at[i];

		if (!*p->name)
			return refuse(s, "its parameter %zu has no name", i + 1);
		if (strpbrk(p->type, "[("))
			return refuse(s, "its parameter %s is no plain value or address", p->name);
		if (!strchr(p->type, '*') && strstr(p->type, "struct "))
			return refuse(s, "its parameter %s is a struct", p->name);
	}
	if (split_is_header(fn))
		return refuse(s, "it lies in a header");
	return true;
}

/* The kernel's own call comes through the table; a direct one from code that stays would wait for the daemon in the midst of it. */
static const struct function *called_from_kernel(const struct split *s, const struct function *fn)
{
	for (size_t i = 0; i < s->facts->functions.n; i++) {
		for (size_t k = 0; k < s->graph->out[i].n; k++) {
			const struct edge *e = &s->graph->out[i].at[k];

			if (e->to == fn && e->from != fn &&
			    (split_fate(s, e->from)->fate == FATE_STAYS ||
			     split_region_calls(s, e->from, fn)))
				return e->from;
		}
	}
	return NULL;
}

/* A length that is a lie would let a function in the kernel write behind its memory. */
static bool length_is_good(struct split *s, const struct entry_plan *e)
{
	if (!e->length || e->function->result)
		return true;
	for (size_t i = 0; i < s->graph->roots.n; i++) {
		const struct root *r = &s->graph->roots.at[i];

		if (!r->function->defined || !matches(&e->length->users, r->node))
			continue;
		if (split_fate(s, r->function)->fate == FATE_STAYS)
			return refuse(s, "tells how long what %s, which stays, works on is",
				      r->function->name);
		if (split_outlines(s, r->function))
			return refuse(s, "tells how long what a locked region of %s works on is",
				      r->function->name);
	}
	return true;
}

static bool consider(struct split *s, struct entry_plan *e)
{
	const struct function *by = called_from_kernel(s, e->function);
	const char *why = policy_stays(s->policy, e->root->node);

	if (why)
		return refuse(s, "%s", why);
	if (!e->root->rule || (e->root->rule->set != SET_MUST && e->root->rule->set != SET_MIGHT))
		return refuse(s, "the kernel calls it where nobody may wait");
	if (place_of(s->factoring, e->function)->set == SET_STAY)
		return refuse(s, "a fast path reaches it");
	if (!signature_is_good(s, e->function) || !closure_is_good(s, e) ||
	    !split_plan_slots(s, e) || !length_is_good(s, e))
		return false;
	if (by)
		return refuse(s, "%s, which stays, calls it", by->name);
	return true;
}

/* ---- all ------------------------------------------------------------------------------------- */

static void drop(struct split *s, size_t i)
{
	struct entry_plan *e = s->entries.at[i];
	struct fate_of *f = split_fate(s, e->function);

	free(f->why);
	f->why = strdup(s->reason);
	f->fate = FATE_STAYS;
	f->plan = NULL;
	split_plan_free(e);
	memmove(&s->entries.at[i], &s->entries.at[i + 1],
		(s->entries.n - i - 1) * sizeof(s->entries.at[0]));
	s->entries.n--;
}

/* What entries reach is served by the daemon; it leaves the kernel where only such functions call it. */
static void spread(struct split *s)
{
	bool changed = true;

	memset(s->served, 0, s->facts->functions.n);
	for (size_t i = 0; i < s->facts->functions.n; i++)
		if (s->fates[i].fate != FATE_ENTRY)
			s->fates[i].fate = FATE_STAYS;
	for (size_t i = 0; i < s->entries.n; i++) {
		struct entry_plan *e = s->entries.at[i];

		for (size_t k = 0; k < e->n_closure; k++) {
			struct fate_of *f = split_fate(s, e->closure[k]);

			s->served[e->closure[k]->index] = 1;
			if (f->fate == FATE_STAYS)
				f->fate = FATE_MOVED;
		}
	}
	while (changed) {
		changed = false;
		for (size_t i = 0; i < s->facts->functions.n; i++) {
			struct function *fn = s->facts->functions.at[i];
			struct fate_of *f = &s->fates[i];
			bool needed = false;

			if (!fn->defined || f->fate != FATE_MOVED)
				continue;
			for (size_t k = 0; k < s->facts->functions.n && !needed; k++) {
				if (s->fates[k].fate != FATE_STAYS &&
				    s->fates[k].fate != FATE_REPLICA) {
					needed = split_region_calls(s, s->facts->functions.at[k],
								    fn);
					continue;
				}
				for (size_t m = 0; m < s->graph->out[k].n && !needed; m++)
					needed = s->graph->out[k].at[m].to == fn;
			}
			for (size_t k = 0; k < s->graph->roots.n && !needed; k++)
				needed = s->graph->roots.at[k].function == fn;
			if (needed || split_is_header(fn)) {
				f->fate = FATE_REPLICA;
				changed = true;
			}
		}
	}
}

static int add_entry(struct split *s, const struct root *root)
{
	struct fate_of *f = split_fate(s, root->function);
	struct entry_plan *e, **slot;
	char *seen;

	if (!root->function->defined || f->plan)
		return 0;
	e = calloc(1, sizeof(*e));
	slot = e ? vector_add(&s->entries) : NULL;
	if (!slot) {
		free(e);
		return -ENOMEM;
	}
	*slot = e;
	e->function = root->function;
	e->root = root;
	seen = closure_of(s, e);
	free(seen);
	if (!seen || !e->closure)
		return -ENOMEM;
	f->plan = e;
	f->fate = FATE_ENTRY;
	return 0;
}

int split_choose(struct split *s, struct ob_error *err)
{
	bool changed = true;
	int ret = 0;

	s->fates = calloc(s->facts->functions.n, sizeof(*s->fates));
	s->served = calloc(s->facts->functions.n, 1);
	if (!s->fates || !s->served)
		ret = -ENOMEM;
	for (size_t i = 0; !ret && i < s->graph->roots.n; i++)
		ret = add_entry(s, &s->graph->roots.at[i]);
	if (ret)
		return ob_error_set(err, ret, "no memory to split the driver");
	/* What one that stays reads decides on what others may write: again, until all that is left is good. */
	while (changed) {
		changed = false;
		spread(s);
		for (size_t i = s->entries.n; i-- > 0;) {
			if (!consider(s, s->entries.at[i])) {
				drop(s, i);
				changed = true;
			}
		}
	}
	return 0;
}

void split_free(struct split *s)
{
	for (size_t i = 0; i < s->entries.n; i++)
		split_plan_free(s->entries.at[i]);
	vector_free(&s->entries);
	for (size_t i = 0; s->fates && i < s->facts->functions.n; i++)
		free(s->fates[i].why);
	free(s->fates);
	free(s->served);
}
