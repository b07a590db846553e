/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard factor: which functions of a Linux driver can leave the kernel. The analysis is in split/; here is what was typed, where its
 * parts are found, and what is shown. docs/factor.md.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lines.h"
#include "split/factor.h"

enum {
	OPT_HEADERS = CLI_LONG,
	OPT_SVG,
	OPT_FACTS,
	OPT_POLICIES,
	MOST_ARGUMENTS = 4096, /* files */
	ARGUMENTS = 4,	       /* of a script */
};

static const struct cli_option options[] = {
	{'c', "class", "CLASS", "net, block, char, ... or a policy's FILE; default: as it looks"},
	{'e', "explain", "FUNCTION", "all that decided on this function"},
	{'k', "kernel", "VERSION",
	 "a driver's name, and headers: of 6.1, 6.12 (the default) or 7.2"},
	{OPT_HEADERS, "kernel-headers", "DIR", "against which it is compiled"},
	{OPT_SVG, "svg", "FILE", "write a picture"},
	{OPT_FACTS, "facts", "FILE", "write what was found in the source, a fact a line"},
	{OPT_POLICIES, "policies", "DIR", "take policies from there"},
	{'j', "jobs", "N", "that many files at once (default: one per processor)"},
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
	char *arguments[MOST_ARGUMENTS];
	int n;
	const char *class, *explain, *kernel, *headers, *svg, *facts, *policies;
	long jobs;
};

/* ---- where things are ----------------------------------------------------------------------- */

/* Beside the program as it is installed, or where it was built. */
static int find_part(const char *what, const char *installed, const char *built,
		     char path[PATH_MAX], struct ob_error *err)
{
	char self[PATH_MAX], near[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;

	self[n < 0 ? 0 : n] = '\0';
	dir = dirname(self);
	if (snprintf(near, sizeof(near), "%s/../%s", dir, installed) < PATH_MAX &&
	    realpath(near, path))
		return 0;
	if (snprintf(near, sizeof(near), "%s%s%s", *built == '/' ? "" : dir,
		     *built == '/' ? "" : "/", built) < PATH_MAX &&
	    realpath(near, path))
		return 0;
	ob_error_set(err, -ENOENT, "%s is not there", what);
	ob_error_why(err, "neither %s/../%s nor %s", dir, installed, near);
	return -ENOENT;
}

static int find_facts_program(char path[PATH_MAX], struct ob_error *err)
{
	/* The build's folder of the program is cli/. */
	int ret = find_part("outboard-facts, which parses C,", "libexec/outboard/outboard-facts",
			    "../split/outboard-facts", path, err);

	if (ret)
		ob_error_fix(err, "apt-get install libclang-dev, and build Outboard again");
	return ret;
}

struct answer {
	texts *lines;
	int ret;
};

static void take_line(void *arg, char *line)
{
	struct answer *answer = arg;

	if (!answer->ret)
		answer->ret = texts_add(answer->lines, "%s", line);
}

/* Run one of the scripts that fetch things, which say on stderr how far they are: the lines that it prints. */
static int ask(texts *lines, const char *what, const char *installed, const char *built,
	       const char *const *words, struct ob_error *err)
{
	struct answer answer = {.lines = lines};
	char *argv[ARGUMENTS + 2] = {NULL}, path[PATH_MAX];
	int status = 0, ret;

	ret = find_part(what, installed, built, path, err);
	if (ret)
		return ret;
	for (int i = 0; i < ARGUMENTS && words[i]; i++)
		argv[i + 1] = (char *)words[i];
	ret = cli_program_lines(path, argv, STDOUT_FILENO, take_line, &answer, &status, err);
	if (ret)
		return ret;
	ret = answer.ret;
	if (!ret && (!WIFEXITED(status) || WEXITSTATUS(status) || !lines->n))
		ret = WIFEXITED(status) && WEXITSTATUS(status) == CLI_USAGE ? -EINVAL : -ENOENT;
	return ret ? ob_error_set(err, ret, "%s cannot be had; the reason stands above", what) : 0;
}

static int ask_one(char path[PATH_MAX], const char *what, const char *installed, const char *built,
		   const char *version, struct ob_error *err)
{
	const char *const words[] = {version, NULL};
	texts lines = {0};
	int ret = ask(&lines, what, installed, built, words, err);

	if (!ret)
		snprintf(path, PATH_MAX, "%s", lines.at[lines.n - 1]);
	texts_free(&lines);
	return ret;
}

static int fetch_headers(char path[PATH_MAX], const char *version, struct ob_error *err)
{
	return ask_one(path, "the kernel's headers", "share/outboard/split/headers",
		       OUTBOARD_SOURCE "/split/headers", version, err);
}

/* Those that were named; else those of the kernel that was named; of that whose tree the driver lies in; of that which runs. */
static int find_headers(struct headers *h, const struct request *q, const struct sources *s,
			struct ob_error *err)
{
	const char *version = q->kernel ? q->kernel : *s->version ? s->version : NULL;
	struct utsname name;
	char dir[PATH_MAX];
	int ret;

	if (q->headers)
		return headers_find(h, q->headers, err);
	if (version) {
		ret = fetch_headers(dir, version, err);
		return ret ? ret : headers_find(h, dir, err);
	}
	uname(&name);
	snprintf(dir, sizeof(dir), "/lib/modules/%s/build", name.release);
	ret = headers_find(h, dir, err);
	if (ret)
		ob_error_fix(err, "outboard factor --kernel 6.12 ..., or --kernel-headers DIR");
	return ret;
}

static bool is_name(const struct request *q)
{
	return q->n == 1 && !strchr(q->arguments[0], '/') && access(q->arguments[0], F_OK);
}

/* A driver by its module's name: its files in the distribution's source of the kernel. */
static int find_driver(struct request *q, struct sources *s, struct ob_error *err)
{
	char tree[PATH_MAX], headers[PATH_MAX];
	const char *words[] = {q->arguments[0], tree, headers, NULL};
	texts files = {0};
	int ret;

	if (!q->kernel)
		q->kernel = "6.12";
	ret = ask_one(tree, "the kernel's source", "share/outboard/linux/sources",
		      OUTBOARD_SOURCE "/linux/sources", q->kernel, err);
	if (!ret && q->headers)
		snprintf(headers, sizeof(headers), "%s", q->headers);
	else if (!ret)
		ret = fetch_headers(headers, q->kernel, err);
	if (!ret)
		ret = ask(&files, "the driver", "share/outboard/split/driver",
			  OUTBOARD_SOURCE "/split/driver", words, err);
	if (!ret)
		ret = sources_find(s, files.at, files.n, err);
	texts_free(&files);
	return ret;
}

static void name_of(const struct sources *s, char name[NAME_MAX + 1])
{
	const char *whole = s->files.n == 1 ? s->files.at[0] : s->root;
	const char *slash = strrchr(whole, '/');
	size_t n = strlen(slash + 1);

	if (s->files.n == 1 && n > 2)
		n -= 2;
	snprintf(name, NAME_MAX + 1, "%.*s", (int)n, slash + 1);
}

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

static int analyse(struct request *q, struct ob_error *err)
{
	char program[PATH_MAX], policies[PATH_MAX], name[NAME_MAX + 1];
	struct factor_request request = {.class = q->class, .jobs = q->jobs, .name = name};
	struct sources sources = {0};
	struct headers headers;
	struct analysis a;
	int ret;

	ret = find_facts_program(program, err);
	if (!ret && !q->policies)
		ret = find_part("the folder of policies", "share/outboard/split/policy",
				OUTBOARD_SOURCE "/split/policy", policies, err);
	if (!ret)
		ret = is_name(q) ? find_driver(q, &sources, err)
				 : sources_find(&sources, q->arguments, q->n, err);
	if (ret)
		return ret;
	ret = find_headers(&headers, q, &sources, err);
	if (ret)
		goto out;
	if (is_name(q))
		snprintf(name, sizeof(name), "%s", q->arguments[0]);
	else
		name_of(&sources, name);
	request.sources = &sources;
	request.headers = &headers;
	request.program = program;
	request.policies = q->policies ? q->policies : policies;
	if (q->facts) {
		request.copy = fopen(q->facts, "we");
		if (!request.copy) {
			ret = ob_error_set(err, -errno, "%s: %s", q->facts, strerror(errno));
			goto out;
		}
	}
	ret = factor(&a, &request, err);
	if (request.copy && fclose(request.copy) && !ret) {
		ret = ob_error_set(err, -errno, "%s: %s", q->facts, strerror(errno));
		analysis_free(&a);
	}
	if (!ret) {
		ret = show(&a, q, err);
		analysis_free(&a);
	}
out:
	sources_free(&sources);
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
		case CLI_WORD:
			if (q.n == MOST_ARGUMENTS)
				return cli_bad(&usage, "more than %d files", MOST_ARGUMENTS);
			q.arguments[q.n++] = (char *)args.value;
			break;
		case 'c':
			q.class = args.value;
			break;
		case 'e':
			q.explain = args.value;
			break;
		case 'j':
			if (!cli_number(&args, "jobs", 1, 1024, &q.jobs))
				return args.exit_code;
			break;
		case 'k':
			q.kernel = args.value;
			break;
		case OPT_HEADERS:
			q.headers = args.value;
			break;
		case OPT_SVG:
			q.svg = args.value;
			break;
		case OPT_FACTS:
			q.facts = args.value;
			break;
		case OPT_POLICIES:
			q.policies = args.value;
			break;
		default:
			break;
		}
	}
	if (!q.n)
		return cli_bad(&usage, "which driver? A folder or files with its source");
	return analyse(&q, &err) ? cli_error("factor", &err) : CLI_OK;
}
