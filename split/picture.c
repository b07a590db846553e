/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The picture: a box for each function, coloured by where it belongs, in clusters from what stays to what moves; the calls that cross the
 * cut stand out. Laid out by dot(1) of graphviz.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "split/report.h"

enum {
	BUSY = 6,	 /* calls from moved code, above which they are a number */
	ROOTS_SHOWN = 2, /* in a box; the rest is in the report */
	EXIT_NOEXEC = 127,
};

static const char *const fill[VERDICTS] = {
	[VERDICT_STAYS] = "#f4b6ae", [VERDICT_REPLICATE] = "#e3cdf2", [VERDICT_MUST] = "#a9d8b0",
	[VERDICT_MIGHT] = "#d6ecc0", [VERDICT_CANNOT] = "#f7d79e",    [VERDICT_DEAD] = "#e2e2e2",
};

static const char *const legend[VERDICTS] = {
	[VERDICT_STAYS] = "stays in the kernel: the fast paths reach it",
	[VERDICT_REPLICATE] = "replicated: both sides have it",
	[VERDICT_MUST] = "must move: configuration alone",
	[VERDICT_MIGHT] = "might move: opening, binding and the like",
	[VERDICT_CANNOT] = "cannot move: rings, shared locks, interrupts",
	[VERDICT_DEAD] = "never called",
};

static bool moves(const struct place *p)
{
	return p->verdict == VERDICT_MUST || p->verdict == VERDICT_MIGHT;
}

/* A register access that all moved code needs would be a carpet of arrows: such a box says how many there are. */
static unsigned int callers_above(const struct result *r, const struct function *fn)
{
	unsigned int n = 0;

	for (size_t i = 0; i < r->facts->functions.n; i++) {
		bool calls = false;

		if (!moves(&r->factoring->places[i]))
			continue;
		for (size_t k = 0; k < r->graph->out[i].n; k++)
			calls |= r->graph->out[i].at[k].to == fn;
		n += calls;
	}
	return n;
}

static void box(const struct result *r, const struct place *p, FILE *out)
{
	const struct function *fn = p->function;
	unsigned int roots = 0;

	fprintf(out, "    f%u [label=<%s", fn->index, fn->name);
	for (size_t i = 0; i < r->graph->roots.n; i++) {
		const struct root *root = &r->graph->roots.at[i];

		if (root->function != fn)
			continue;
		if (roots < ROOTS_SHOWN)
			fprintf(out, "<br/><font point-size=\"8\" color=\"#555555\">%s</font>",
				node_name(root->node));
		roots++;
	}
	if (!moves(p) && callers_above(r, fn) > BUSY)
		fprintf(out,
			"<br/><font point-size=\"8\" color=\"#a04000\">%u moved ones call it</font>",
			callers_above(r, fn));
	fprintf(out, ">, fillcolor=\"%s\"%s, tooltip=\"%s:%u, %u lines, %s\"];\n", fill[p->verdict],
		roots ? ", penwidth=1.8" : ", color=\"#999999\"", fn->path, fn->line,
		facts_lines(fn), verdict_names[p->verdict]);
}

static void arrow(const struct result *r, const struct edge *e, FILE *out)
{
	const struct place *from = place_of(r->factoring, e->from);
	const struct place *to = place_of(r->factoring, e->to);
	const char *style = "color=\"#00000050\"";

	if (moves(from) && !moves(to) && callers_above(r, e->to) > BUSY)
		return;
	if (moves(from) && !moves(to) && to->verdict != VERDICT_REPLICATE)
		style = "color=\"#c05000\", penwidth=1.4";
	else if (!moves(from) && moves(to))
		style = "color=\"#c00000\", penwidth=1.8";
	fprintf(out, "  f%u -> f%u [%s%s];\n", e->from->index, e->to->index, style,
		e->kind == EDGE_DIRECT ? "" : ", style=dashed");
}

void report_dot(const struct result *r, FILE *out)
{
	static const enum verdict order[] = {VERDICT_MUST,  VERDICT_MIGHT,     VERDICT_CANNOT,
					     VERDICT_STAYS, VERDICT_REPLICATE, VERDICT_DEAD};
	const struct factoring *f = r->factoring;

	fprintf(out, "digraph driver {\n"
		     "  graph [rankdir=LR, fontname=\"sans-serif\", fontsize=20, ranksep=1.1, "
		     "nodesep=0.12, newrank=true, concentrate=false, labelloc=t,\n"
		     "    label=<<b>");
	for (const char *c = r->name; *c; c++)
		fprintf(out, *c == '&' ? "&amp;" : *c == '<' ? "&lt;" : "%c", *c);
	fprintf(out,
		"</b>: %u functions, %u lines<br/><font point-size=\"12\">thick border: called by "
		"the kernel; dashed: through a pointer or a library; orange: moved code calls "
		"down; red: kernel code calls up</font>>];\n"
		"  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=11, "
		"height=0.25, margin=\"0.08,0.03\"];\n"
		"  edge [arrowsize=0.6];\n",
		f->all.functions, f->all.lines);
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++) {
		enum verdict v = order[o];

		if (!f->verdicts[v].functions)
			continue;
		fprintf(out,
			"  subgraph cluster_%d {\n    label=<%s (%u functions, %u lines)>; "
			"style=\"rounded,filled\"; fillcolor=\"%s30\"; color=\"#888888\"; fontsize=14;\n",
			v, legend[v], f->verdicts[v].functions, f->verdicts[v].lines, fill[v]);
		for (size_t i = 0; i < r->facts->functions.n; i++)
			if (f->places[i].function->defined && f->places[i].verdict == v)
				box(r, &f->places[i], out);
		fputs("  }\n", out);
	}
	for (size_t i = 0; i < r->facts->functions.n; i++) {
		for (size_t k = 0; k < r->graph->out[i].n; k++) {
			const struct edge *e = &r->graph->out[i].at[k];
			bool twice = e->to == e->from;

			for (size_t m = 0; m < k; m++)
				twice |= r->graph->out[i].at[m].to == e->to;
			if (!twice)
				arrow(r, e, out);
		}
	}
	fputs("}\n", out);
}

int report_svg(const struct result *r, const char *path, struct ob_error *err)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	int fds[2], status = 0;
	FILE *to;
	pid_t pid;
	bool lost;

	if (pipe2(fds, O_CLOEXEC))
		return ob_error_set(err, -errno, "no pipe to dot: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return ob_error_set(err, -EAGAIN, "cannot start dot: %s", strerror(errno));
	}
	if (!pid) {
		dup2(fds[0], STDIN_FILENO);
		execlp("dot", "dot", "-Tsvg", "-o", path, (char *)NULL);
		_exit(EXIT_NOEXEC);
	}
	close(fds[0]);
	/* When dot dies early, the rest has nobody to read it. */
	sigaction(SIGPIPE, &ignore, &before);
	to = fdopen(fds[1], "w");
	if (to) {
		report_dot(r, to);
		lost = ferror(to);
		lost |= fclose(to) != 0;
	} else {
		lost = true;
		close(fds[1]);
	}
	sigaction(SIGPIPE, &before, NULL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOEXEC) {
		ob_error_set(err, -ENOENT, "there is no dot here, which lays pictures out");
		ob_error_fix(err, "apt-get install graphviz");
		return -ENOENT;
	}
	if (lost || !WIFEXITED(status) || WEXITSTATUS(status))
		return ob_error_set(err, -EIO, "dot could not make %s", path);
	return 0;
}
