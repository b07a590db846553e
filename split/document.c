/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for programs: one JSON document. docs/factor.md lists its keys. */
#include <string.h>

#include "split/counts.h"
#include "split/report.h"

typedef struct json_object json;

static void put_text(json *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void put_number(json *o, const char *key, unsigned long long n)
{
	json_object_object_add(o, key, json_object_new_int64(n));
}

static void put_flag(json *o, const char *key, bool on)
{
	json_object_object_add(o, key, json_object_new_boolean(on));
}

static json *put_list(json *o, const char *key)
{
	json *list = json_object_new_array();

	json_object_object_add(o, key, list);
	return list;
}

static json *put_object(json *o, const char *key)
{
	json *inner = json_object_new_object();

	json_object_object_add(o, key, inner);
	return inner;
}

static json *add_object(json *list)
{
	json *o = json_object_new_object();

	json_object_array_add(list, o);
	return o;
}

static void put_size(json *o, const char *key, const struct set_size *s, bool roots)
{
	json *inner = put_object(o, key);

	if (roots)
		put_number(inner, "roots", s->roots);
	put_number(inner, "functions", s->functions);
	put_number(inner, "lines", s->lines);
}

static void put_totals(json *doc, const struct result *r)
{
	static const char *const states[] = {"unresolved", "resolved", "external", "library",
					     "never-set"};
	const struct factoring *f = r->factoring;
	json *o = put_object(doc, "totals"), *inner;

	put_number(o, "functions", f->all.functions);
	put_number(o, "lines", f->all.lines);
	inner = put_object(o, "verdicts");
	for (int v = 0; v < VERDICTS; v++)
		put_size(inner, verdict_names[v], &f->verdicts[v], false);
	inner = put_object(o, "sets");
	for (int s = 0; s < SETS; s++)
		put_size(inner, set_names[s], &f->sets[s], true);
	put_size(o, "both", &f->both, false);
	inner = put_object(o, "must");
	put_number(inner, "locked", f->must_locked);
	put_number(inner, "registers", f->must_registers);
	put_number(inner, "dma", f->must_dma);
	put_number(inner, "fields", f->fields_touched);
	put_number(inner, "shared", f->fields_shared);
	put_number(inner, "shared-written", f->fields_written);
	put_number(inner, "down-calls", f->down_edges);
	put_number(inner, "down-targets", f->down_targets);
	put_number(inner, "up-calls", f->up_edges);
	inner = put_object(o, "sites");
	for (int i = 0; i < 5; i++)
		put_number(inner, states[i], r->graph->sites[i]);
	put_number(inner, "most-targets", r->graph->most_targets);
}

static void put_reasons(json *o, const char *key, const struct reason *list, size_t n)
{
	json *out = put_list(o, key);

	for (size_t i = 0; i < n; i++) {
		json *reason = add_object(out);

		put_text(reason, "text", list[i].text);
		put_text(reason, "path", list[i].path);
		put_number(reason, "line", list[i].line);
	}
}

static void put_uses(json *o, const char *reads, const char *writes, const struct access *list,
		     size_t n)
{
	json *r = put_list(o, reads), *w = put_list(o, writes);

	for (size_t i = 0; i < n; i++) {
		if (list[i].use & USE_READ)
			json_object_array_add(r, json_object_new_string(list[i].key));
		if (list[i].use & USE_WRITE)
			json_object_array_add(w, json_object_new_string(list[i].key));
	}
}

/* The chain of one set: from the root to the function. */
static void put_way(json *o, const struct factoring *f, const struct place *p, enum set set)
{
	json *chain = put_list(o, set_names[set]);
	const struct place *at = p;
	size_t n = 0;

	while (at) {
		const struct way *w = &at->ways[set];
		json *link = json_object_new_object();

		put_text(link, "function", at->function->id);
		if (w->root) {
			put_text(link, "root", node_name(w->root->node));
			put_text(link, "path", w->root->path);
			put_number(link, "line", w->root->line);
			put_text(link, "why", w->root->rule ? w->root->rule->why : NULL);
		} else {
			put_text(link, "path", w->by->from->path);
			put_number(link, "line", w->by->line);
			put_text(link, "via", w->by->via ? node_name(w->by->via) : NULL);
			put_text(link, "held", w->by->held);
		}
		/* Told from the function to the root, wanted the other way round. */
		json_object_array_add(chain, link);
		n++;
		at = w->by ? place_of(f, w->by->from) : NULL;
	}
	for (size_t i = 0; i < n / 2; i++) {
		json *a = json_object_get(json_object_array_get_idx(chain, i));
		json *b = json_object_get(json_object_array_get_idx(chain, n - 1 - i));

		json_object_array_put_idx(chain, i, b);
		json_object_array_put_idx(chain, n - 1 - i, a);
	}
}

static void put_calls(json *o, const struct result *r, const struct function *fn)
{
	static const char *const kinds[] = {"direct", "indirect", "library"};
	json *inside = put_list(o, "calls"), *outside = put_list(o, "kernel");

	for (size_t i = 0; i < r->graph->out[fn->index].n; i++) {
		const struct edge *e = &r->graph->out[fn->index].at[i];
		json *call = add_object(inside);

		put_text(call, "to", e->to->id);
		put_text(call, "kind", kinds[e->kind]);
		put_number(call, "line", e->line);
		put_text(call, "via", e->via ? node_name(e->via) : NULL);
		put_text(call, "held", e->held);
	}
	for (size_t i = 0; i < fn->calls.n; i++) {
		json *call;

		if (fn->calls.at[i].to->defined)
			continue;
		call = add_object(outside);
		put_text(call, "to", fn->calls.at[i].to->name);
		put_text(call, "macro", fn->calls.at[i].macro);
		put_number(call, "line", fn->calls.at[i].line);
		put_text(call, "held", fn->calls.at[i].held);
	}
}

static void put_function(json *list, const struct result *r, const struct place *p)
{
	static const char *const whats[] = {"acquire", "release", "drop"};
	const struct function *fn = p->function;
	json *o = add_object(list), *inner;

	put_text(o, "id", fn->id);
	put_text(o, "name", fn->name);
	put_text(o, "path", fn->path);
	put_number(o, "line", fn->line);
	put_number(o, "end", fn->end);
	put_text(o, "linkage", fn->linkage);
	put_text(o, "type", fn->type);
	inner = put_list(o, "params");
	for (size_t i = 0; i < fn->params.n; i++) {
		json *param = add_object(inner);

		put_text(param, "name", fn->params.at[i].name);
		put_text(param, "type", fn->params.at[i].type);
	}
	put_text(o, "set", set_names[p->set]);
	put_flag(o, "both", p->both);
	put_text(o, "verdict", verdict_names[p->verdict]);
	inner = put_object(o, "ways");
	for (int s = 0; s < SET_DEAD; s++)
		if (p->ways[s].reached)
			put_way(inner, r->factoring, p, s);
	put_reasons(o, "reasons", p->reasons.at, p->reasons.n);
	put_reasons(o, "notes", p->notes.at, p->notes.n);
	put_calls(o, r, fn);
	put_uses(o, "reads", "writes", fn->fields.at, fn->fields.n);
	put_uses(o, "reads-variables", "writes-variables", fn->globals.at, fn->globals.n);
	inner = put_list(o, "locks");
	for (size_t i = 0; i < fn->locks.n; i++) {
		json *lock = add_object(inner);

		put_text(lock, "what", whats[fn->locks.at[i].what]);
		put_text(lock, "name", fn->locks.at[i].name);
		put_number(lock, "line", fn->locks.at[i].line);
	}
	inner = put_list(o, "apis");
	for (int a = API_SLEEP; a < APIS; a++)
		if (p->apis & 1u << a)
			json_object_array_add(inner, json_object_new_string(api_names[a]));
	if (r->factoring->counted) {
		put_number(o, "count", p->count);
		json_object_object_add(o, "rate", json_object_new_double(p->rate));
		put_flag(o, "hot", counts_hot(p));
	}
}

static void put_sites(json *doc, const struct result *r)
{
	static const char *const states[] = {"unresolved", "resolved", "external", "library",
					     "never-set"};
	json *list = put_list(doc, "sites");

	for (size_t i = 0; i < r->facts->functions.n; i++) {
		const struct function *fn = r->facts->functions.at[i];

		for (size_t k = 0; k < fn->sites.n; k++) {
			json *o = add_object(list), *targets;

			put_text(o, "function", fn->id);
			put_text(o, "path", fn->path);
			put_number(o, "line", fn->sites.at[k].line);
			put_text(o, "node", fn->sites.at[k].node);
			put_text(o, "state", states[fn->sites.at[k].state]);
			targets = put_list(o, "targets");
			for (size_t t = 0; t < fn->sites.at[k].targets.n; t++)
				json_object_array_add(
					targets,
					json_object_new_string(fn->sites.at[k].targets.at[t]->id));
		}
	}
}

static void put_entries(json *doc, const struct result *r)
{
	json *list = put_list(doc, "entries");

	for (size_t i = 0; i < r->factoring->entries.n; i++) {
		const struct entry *e = &r->factoring->entries.at[i];
		json *o = add_object(list);

		put_text(o, "root", node_name(e->root->node));
		put_text(o, "function", e->root->function->id);
		put_text(o, "needs", difficulty_names[e->difficulty]);
		put_number(o, "functions", e->functions);
		put_number(o, "reads", e->reads);
		put_number(o, "writes", e->writes);
		put_text(o, "because", e->what);
		put_text(o, "path", e->worst ? e->worst->path : NULL);
		put_number(o, "line", e->line);
	}
}

static void put_types(json *doc, const struct result *r)
{
	json *list = put_list(doc, "structs");

	for (size_t i = 0; i < r->facts->records.n; i++) {
		const struct record *s = &r->facts->records.at[i];
		json *o = add_object(list);

		put_text(o, "name", s->name);
		put_number(o, "bytes", s->bytes);
		put_text(o, "path", s->path);
		put_number(o, "line", s->line);
	}
	list = put_list(doc, "fields");
	for (size_t i = 0; i < r->facts->fields.n; i++) {
		const struct field *s = &r->facts->fields.at[i];
		json *o = add_object(list);

		put_text(o, "name", s->key);
		put_number(o, "offset", s->offset);
		put_number(o, "bits", s->bits);
		put_text(o, "kind", s->kind);
		put_text(o, "type", s->type);
	}
}

struct json_object *report_json(const struct result *r)
{
	json *doc = json_object_new_object(), *list;

	if (!doc)
		return NULL;
	put_text(doc, "driver", r->name);
	put_text(doc, "class", r->policy->name);
	put_text(doc, "root", r->sources->root);
	put_text(doc, "headers", r->headers->build);
	json_object_object_add(doc, "seconds", json_object_new_double(r->seconds));
	json_object_object_add(doc, "processor-seconds", json_object_new_double(r->cpu));
	list = put_list(doc, "files");
	for (size_t i = 0; i < r->facts->units.n; i++)
		json_object_array_add(list, json_object_new_string(r->facts->units.at[i]));
	list = put_list(doc, "skipped");
	for (size_t i = 0; i < r->sources->skipped.n; i++) {
		json *o = add_object(list);

		put_text(o, "path", r->sources->skipped.at[i].path);
		put_text(o, "why", r->sources->skipped.at[i].why);
	}
	list = put_list(doc, "errors");
	for (size_t i = 0; i < r->facts->errors.n; i++) {
		json *o = add_object(list);

		put_text(o, "path", r->facts->errors.at[i].path);
		put_number(o, "line", r->facts->errors.at[i].line);
		put_text(o, "text", r->facts->errors.at[i].text);
	}
	put_totals(doc, r);
	put_entries(doc, r);
	list = put_list(doc, "functions");
	for (size_t i = 0; i < r->facts->functions.n; i++)
		if (r->facts->functions.at[i]->defined)
			put_function(list, r, &r->factoring->places[i]);
	put_sites(doc, r);
	put_types(doc, r);
	return doc;
}
