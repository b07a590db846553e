/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard factor: which functions of a Linux driver can leave the kernel. The analysis is in split/; here is what was typed, where its
 * parts are found, and what is shown. docs/factor.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/driver_source.h"
#include "split/counts.h"

enum {
	OPT_SVG = DRIVER_NEXT,
	OPT_FACTS,
	OPT_COUNTS,
};

static const struct cli_option options[] = {
	{'e', "explain", "FUNCTION", "all that decided on this function"},
	{OPT_SVG, "svg", "FILE", "write a picture"},
	{OPT_FACTS, "facts", "FILE", "write what was found in the source, a fact a line"},
	{OPT_COUNTS, "counts", "FILE", "how often each was called in a running kernel"},
	DRIVER_OPTIONS,
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "factor",
	.synopsis = "DIR|FILE... [OPTIONS]",
	.about =
		"Sorts the functions of a Linux driver, given in source, into those that stay in the\n"
		"kernel and those that can move to a process, and says why.",
	.options = options,
};

struct request {
	struct driver_source source;
	const char *explain, *svg, *facts, *counts;
};

/* ---- what is shown ------------------------------------------------------------------------------ */

static int explain(const struct analysis *a, const char *name, struct ob_error *err)
{
	unsigned int n;
	const struct function *fn = facts_find(a->facts, name, &n);

	if (fn) {
		report_explain(&a->result, fn, stdout);
		return 0;
	}
	if (n) {
		ob_error_set(err, -EINVAL, "%u functions are called '%s'", n, name);
		for (size_t i = 0; i < a->facts->functions.n; i++) {
			fn = a->facts->functions.at[i];
			if (fn->defined && !strcmp(fn->name, name))
				ob_error_fix(err, "outboard factor --explain %s ...", fn->id);
		}
		return -EINVAL;
	}
	ob_error_set(err, -ENOENT, "%s has no function '%s'", a->result.name, name);
	return -ENOENT;
}

static int show(const struct analysis *a, const struct request *q, struct ob_error *err)
{
	int ret = 0;

	if (q->svg)
		ret = report_svg(&a->result, q->svg, err);
	if (ret)
		return ret;
	if (q->explain && !cli_json())
		return explain(a, q->explain, err);
	if (cli_json()) {
		struct json_object *doc = report_json(&a->result);

		if (!doc)
			return ob_error_set(err, -ENOMEM, "no memory for the report");
		cli_print_json(doc);
	} else {
		report_text(&a->result, stdout);
	}
	return 0;
}

static int read_counts(struct analysis *a, const char *path, struct ob_error *err)
{
	FILE *in = fopen(path, "re");
	int ret;

	if (!in)
		return ob_error_set(err, -errno, "%s: %s", path, strerror(errno));
	ret = counts_read(a->factoring, in, path, err);
	fclose(in);
	return ret;
}

static int analyse(struct request *q, struct ob_error *err)
{
	FILE *copy = NULL;
	struct analysis a;
	int ret;

	if (q->facts) {
		copy = fopen(q->facts, "we");
		if (!copy)
			return ob_error_set(err, -errno, "%s: %s", q->facts, strerror(errno));
	}
	ret = driver_analyse(&a, &q->source, copy, err);
	if (copy && fclose(copy) && !ret) {
		ret = ob_error_set(err, -errno, "%s: %s", q->facts, strerror(errno));
		analysis_free(&a);
	}
	if (!ret) {
		ret = q->counts ? read_counts(&a, q->counts, err) : 0;
		if (!ret)
			ret = show(&a, q, err);
		analysis_free(&a);
	}
	sources_free(&q->source.sources);
	return ret;
}

int cmd_factor(int argc, char **argv)
{
	static struct request q;
	struct ob_error err = {0};
	struct cli_args args;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_STOP:
			return args.exit_code;
		case 'e':
			q.explain = args.value;
			break;
		case OPT_SVG:
			q.svg = args.value;
			break;
		case OPT_FACTS:
			q.facts = args.value;
			break;
		case OPT_COUNTS:
			q.counts = args.value;
			break;
		default:
			if (!driver_option(&q.source, &args, opt))
				return args.exit_code;
			break;
		}
	}
	if (!q.source.n)
		return cli_bad(&usage, "which driver? A folder or files with its source");
	return analyse(&q, &err) ? cli_error("factor", &err) : CLI_OK;
}
