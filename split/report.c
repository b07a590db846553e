/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people. */
#include <errno.h>
#include <string.h>

#include "split/counts.h"
#include "split/report.h"

enum {
	LONGEST_WAY = 64, /* callers; a longer one is cut */
	WAY_SHOWN = 3,	  /* in a line of the table: its ends say most */
};

static double percent(unsigned int part, unsigned int of)
{
	return of ? 100.0 * part / of : 0;
}

/* From the root to the function; how many there are. */
static int trace(const struct factoring *f, const struct place *p, enum set set,
		 const struct place *way[LONGEST_WAY])
{
	int n = 0;

	for (const struct place *at = p; at && n < LONGEST_WAY;) {
		way[n++] = at;
		at = at->ways[set].by ? place_of(f, at->ways[set].by->from) : NULL;
	}
	for (int i = 0; i < n / 2; i++) {
		const struct place *swap = way[i];

		way[i] = way[n - 1 - i];
		way[n - 1 - i] = swap;
	}
	return n;
}

char *report_way(const struct factoring *f, const struct place *p, enum set set)
{
	const struct place *way[LONGEST_WAY];
	int n = trace(f, p, set, way);
	const struct root *root = way[0]->ways[set].root;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (root)
		fprintf(out, "%s", node_name(root->node));
	for (int i = 0; i < n - 1; i++) {
		if (i == WAY_SHOWN - 1 && n - 1 > WAY_SHOWN + 1) {
			fputs(" > ...", out);
			i = n - 3;
			continue;
		}
		fprintf(out, "%s%s", i ? " > " : ": ", way[i]->function->name);
	}
	fclose(out);
	return text;
}

/* ---- tables --------------------------------------------------------------------------------- */

static void head(const struct result *r, FILE *out)
{
	const struct factoring *f = r->factoring;

	fprintf(out, "%s: %u functions, %u lines, in %zu file%s; class %s (%s)\n", r->name,
		f->all.functions, f->all.lines, r->sources->files.n,
		r->sources->files.n == 1 ? "" : "s", r->policy->name, r->policy->title);
	fprintf(out, "against the headers in %s, in %.1f s (%.1f s of processors)\n\n",
		r->headers->build, r->seconds, r->cpu);
	fprintf(out, "%-14s %9s %7s %7s\n", "WHERE", "FUNCTIONS", "LINES", "SHARE");
	for (int v = 0; v < VERDICTS; v++)
		if (f->verdicts[v].functions)
			fprintf(out, "%-14s %9u %7u %6.1f%%\n", verdict_names[v],
				f->verdicts[v].functions, f->verdicts[v].lines,
				percent(f->verdicts[v].lines, f->all.lines));
}

static void closures(const struct result *r, FILE *out)
{
	static const char *const what[SETS] = {
		[SET_STAY] = "from the fast paths",
		[SET_MUST] = "from configuration, and from no fast path",
		[SET_MIGHT] = "from opening, binding and the like alone",
		[SET_INIT] = "from loading and unloading alone",
		[SET_UNLISTED] = "from what the policy has no rule for",
		[SET_DEAD] = "from nothing",
	};
	const struct factoring *f = r->factoring;

	fprintf(out, "\n%-42s %6s %9s %7s %7s\n", "REACHED", "ROOTS", "FUNCTIONS", "LINES",
		"SHARE");
	for (int s = 0; s < SETS; s++)
		if (f->sets[s].functions)
			fprintf(out, "%-42s %6u %9u %7u %6.1f%%\n", what[s], f->sets[s].roots,
				f->sets[s].functions, f->sets[s].lines,
				percent(f->sets[s].lines, f->all.lines));
	fprintf(out,
		"Of those on the fast paths, %u (%u lines) are needed by configuration, too.\n"
		"Configuration's functions touch %u fields, %u of them shared with the fast paths, %u of "
		"those written.\n"
		"They call down into the fast paths %u times (%u functions), and are called from elsewhere "
		"in the driver %u times.\n",
		f->both.functions, f->both.lines, f->fields_touched, f->fields_shared,
		f->fields_written, f->down_edges, f->down_targets, f->up_edges);
}

static void indirect(const struct result *r, FILE *out)
{
	const struct graph *g = r->graph;
	unsigned int sites = 0;

	for (int i = 0; i < 5; i++)
		sites += g->sites[i];
	if (!sites)
		return;
	fprintf(out,
		"\nIndirect calls: %u; %u resolved to the driver's functions (to %u at most), %u to the "
		"kernel's,\n%u through tables that others fill, %u through what is never set, %u not "
		"resolved.\n",
		sites, g->sites[SITE_RESOLVED], g->most_targets, g->sites[SITE_EXTERNAL],
		g->sites[SITE_LIBRARY], g->sites[SITE_NEVER_SET], g->sites[SITE_UNRESOLVED]);
	for (size_t i = 0; i < r->facts->functions.n; i++) {
		const struct function *fn = r->facts->functions.at[i];

		for (size_t k = 0; k < fn->sites.n; k++)
			if (fn->sites.at[k].state == SITE_UNRESOLVED)
				fprintf(out, "  %s:%u: %s calls %s\n", fn->path,
					fn->sites.at[k].line, fn->name,
					node_name(fn->sites.at[k].node)[0]
						? node_name(fn->sites.at[k].node)
						: "what an expression gives");
	}
}

static int widest(const struct result *r)
{
	int w = 8;

	for (size_t i = 0; i < r->facts->functions.n; i++)
		if (r->facts->functions.at[i]->defined &&
		    (int)strlen(r->facts->functions.at[i]->name) > w)
			w = strlen(r->facts->functions.at[i]->name);
	return w;
}

static void entries(const struct result *r, FILE *out)
{
	const struct factoring *f = r->factoring;
	int w = widest(r), node = 11;

	if (!f->entries.n)
		return;
	for (size_t i = 0; i < f->entries.n; i++)
		if ((int)strlen(node_name(f->entries.at[i].root->node)) > node)
			node = strlen(node_name(f->entries.at[i].root->node));
	fprintf(out, "\n%-*s %-*s %-22s %5s %5s %6s  %s\n", node, "ENTRY POINT", w, "FUNCTION",
		"NEEDS", "CALLS", "READS", "WRITES", "BECAUSE OF");
	for (size_t i = 0; i < f->entries.n; i++) {
		const struct entry *e = &f->entries.at[i];

		fprintf(out, "%-*s %-*s %-22s %5u %5u %6u", node, node_name(e->root->node), w,
			e->root->function->name, difficulty_names[e->difficulty], e->functions - 1,
			e->reads, e->writes);
		if (e->worst)
			fprintf(out, "  %s, %s:%u", e->what, e->worst->path, e->line);
		fputc('\n', out);
	}
}

static void functions(const struct result *r, FILE *out)
{
	static const enum verdict order[] = {VERDICT_MUST,   VERDICT_MIGHT, VERDICT_REPLICATE,
					     VERDICT_CANNOT, VERDICT_STAYS, VERDICT_DEAD};
	const struct factoring *f = r->factoring;
	int w = widest(r);

	fprintf(out, "\n%-*s %-12s %5s  ", w, "FUNCTION", "WHERE", "LINES");
	if (f->counted)
		fprintf(out, "%9s %9s  ", "CALLS", "A SECOND");
	fprintf(out, "%s\n", "BECAUSE");
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++) {
		for (size_t i = 0; i < r->facts->functions.n; i++) {
			const struct place *p = &f->places[i];
			char *way;

			if (!p->function->defined || p->verdict != order[o])
				continue;
			fprintf(out, "%-*s %-12s %5u  ", w, p->function->name,
				verdict_names[p->verdict], facts_lines(p->function));
			if (f->counted)
				fprintf(out, "%9llu %9.1f  ", p->count, p->rate);
			if (p->verdict == VERDICT_CANNOT && p->reasons.n) {
				fprintf(out, "%s (%s:%u)", p->reasons.at[0].text,
					p->reasons.at[0].path ? p->reasons.at[0].path : "?",
					p->reasons.at[0].line);
			} else if (p->set != SET_DEAD) {
				way = report_way(f, p, p->set);
				fprintf(out, "%s", way ? way : "");
				free(way);
				if (p->both && p->verdict == VERDICT_STAYS)
					fputs("; moved ones call it", out);
			} else {
				fputs("nobody calls it", out);
			}
			fputc('\n', out);
		}
	}
}

/* What the policy's roots do not reach, and yet is called all the time. */
static void contradictions(const struct result *r, FILE *out)
{
	const struct factoring *f = r->factoring;
	unsigned int n = 0;

	if (!f->counted)
		return;
	for (size_t i = 0; i < r->facts->functions.n; i++) {
		const struct place *p = &f->places[i];

		if (!p->function->defined || !counts_moves(p) || !counts_hot(p))
			continue;
		fprintf(out, "%s%s would move, and was called %.0f times a second\n",
			n++ ? "" : "\nWARNING\n", p->function->name, p->rate);
	}
	if (!n)
		fprintf(out,
			"\nIn use, no function that would move was called %d times a second or more.\n",
			COUNTS_HOT);
}

static void problems(const struct result *r, FILE *out)
{
	if (r->facts->errors.n)
		fputs("\nNOT ANALYSED\n", out);
	for (size_t i = 0; i < r->facts->errors.n; i++)
		fprintf(out, "%s:%u: %s\n", r->facts->errors.at[i].path,
			r->facts->errors.at[i].line, r->facts->errors.at[i].text);
	for (size_t i = 0; i < r->sources->skipped.n; i++)
		fprintf(out, "%s%s: %s\n", !i && !r->facts->errors.n ? "\nNOT ANALYSED\n" : "",
			r->sources->skipped.at[i].path, r->sources->skipped.at[i].why);
}

void report_text(const struct result *r, FILE *out)
{
	head(r, out);
	closures(r, out);
	indirect(r, out);
	entries(r, out);
	functions(r, out);
	contradictions(r, out);
	problems(r, out);
}

/* ---- one function ------------------------------------------------------------------------------- */

static void explain_way(const struct result *r, const struct place *p, enum set set, FILE *out)
{
	const struct factoring *f = r->factoring;
	const struct place *way[LONGEST_WAY];
	int n = trace(f, p, set, way);

	for (int i = 0; i < n; i++) {
		const struct way *w = &way[i]->ways[set];

		if (w->root) {
			fprintf(out, "    %s: %s", way[i]->function->name,
				node_name(w->root->node));
			if (w->root->path)
				fprintf(out, ", set at %s:%u", w->root->path, w->root->line);
			fprintf(out, "\n      %s\n",
				w->root->rule ? w->root->rule->why
					      : "the policy has no rule for it");
			continue;
		}
		fprintf(out, "    > %s, called at %s:%u", way[i]->function->name, w->by->from->path,
			w->by->line);
		if (w->by->kind == EDGE_INDIRECT)
			fprintf(out, " through %s", node_name(w->by->via));
		else if (w->by->kind == EDGE_LIBRARY)
			fprintf(out, " by %s, a function of the kernel that calls back",
				w->by->via);
		if (w->by->held)
			fprintf(out, ", with %s held", w->by->held);
		fputc('\n', out);
	}
}

static void explain_list(const char *title, const struct reason *list, size_t n, FILE *out)
{
	if (n)
		fprintf(out, "  %s:\n", title);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "    %s", list[i].text);
		if (list[i].path)
			fprintf(out, " (%s:%u)", list[i].path, list[i].line);
		fputc('\n', out);
	}
}

static void explain_uses(const char *title, const struct access *list, size_t n, unsigned int use,
			 FILE *out)
{
	const char *comma = "";

	for (size_t i = 0; i < n; i++) {
		if (!(list[i].use & use))
			continue;
		if (!*comma)
			fprintf(out, "  %s: ", title);
		fprintf(out, "%s%s", comma, list[i].key);
		comma = ", ";
	}
	if (*comma)
		fputc('\n', out);
}

void report_explain(const struct result *r, const struct function *fn, FILE *out)
{
	static const char *const from[SETS] = {
		[SET_STAY] = "The fast paths reach it",
		[SET_MUST] = "Configuration reaches it",
		[SET_MIGHT] = "Opening, binding and the like reach it",
		[SET_INIT] = "Loading or unloading reaches it",
		[SET_UNLISTED] = "The kernel may call it",
	};
	const struct factoring *f = r->factoring;
	const struct place *p = place_of(f, fn);

	fprintf(out, "%s (%s:%u, %u lines): %s\n", fn->name, fn->path, fn->line, facts_lines(fn),
		verdict_names[p->verdict]);
	for (int s = 0; s < SET_DEAD; s++) {
		if (!p->ways[s].reached)
			continue;
		fprintf(out, "  %s:\n", from[s]);
		explain_way(r, p, s, out);
	}
	if (p->set == SET_DEAD)
		fputs("  Nobody calls it, and its address goes nowhere.\n", out);
	explain_list("It cannot move", p->reasons.at, p->reasons.n, out);
	explain_list("To be regarded", p->notes.at, p->notes.n, out);
	for (size_t i = 0; i < fn->sites.n; i++) {
		const struct site *s = &fn->sites.at[i];
		bool twice = false;

		for (size_t k = 0; k < i; k++)
			twice |= fn->sites.at[k].node == s->node;
		if (twice)
			continue;
		fprintf(out, "  Calls through %s:",
			*node_name(s->node) ? node_name(s->node) : "an expression");
		for (size_t k = 0; k < s->targets.n; k++)
			fprintf(out, " %s", s->targets.at[k]->name);
		fputs(s->targets.n ? "\n" : " nothing that is known\n", out);
	}
	explain_uses("Reads", fn->fields.at, fn->fields.n, USE_READ, out);
	explain_uses("Writes", fn->fields.at, fn->fields.n, USE_WRITE, out);
	explain_uses("Reads variables", fn->globals.at, fn->globals.n, USE_READ, out);
	explain_uses("Writes variables", fn->globals.at, fn->globals.n, USE_WRITE, out);
	if (p->count)
		fprintf(out, "  Was called %llu times.\n", p->count);
}
