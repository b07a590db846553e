/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of subcommands. One table serves the parser, --help and the suggestions, so they agree;
 * getopt_long() could not name what was typed, nor suggest what was meant.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum {
	ID_HELP = -100,
	ID_JSON = -101,
};

static const struct cli_option everywhere[] = {
	{ID_JSON, "json", NULL, "print one JSON document on standard output, errors too"},
	{ID_HELP, "help", NULL, "this text"},
};

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein's distance with transpositions; names are short, longer ones are far from anything. */
static unsigned int distance(const char *a, const char *b)
{
	enum {
		MAX = 32
	};
	unsigned int d[MAX + 1][MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > MAX || m > MAX)
		return MAX;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			if (!i || !j) {
				d[i][j] = (unsigned int)(i + j);
				continue;
			}
			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
				       d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[n][m];
}

const char *cli_nearest(const char *typed, const void *names, size_t n, size_t stride)
{
	/* A third of the letters may be wrong; more is no misspelling but another word. */
	unsigned int best = (unsigned int)(strlen(typed) + 2) / 3;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *name = *(const char *const *)((const char *)names + i * stride);
		unsigned int d = distance(typed, name);

		/* What was begun is what was meant: "dev" for "devices". */
		if (strlen(typed) > 1 && !strncmp(typed, name, strlen(typed)))
			return name;
		if (d <= best) {
			best = d ? d - 1 : 0;
			found = name;
		}
	}
	return found;
}

int cli_bad(const struct cli_usage *usage, const char *fmt, ...)
{
	struct ob_error err = {.code = -EINVAL};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.what, sizeof(err.what), fmt, ap);
	va_end(ap);
	ob_error_fix(&err, "outboard %s --help", usage->command);
	cli_error(usage->command, &err);
	return CLI_USAGE;
}

void cli_args_init(struct cli_args *args, const struct cli_usage *usage, int argc, char **argv)
{
	memset(args, 0, sizeof(*args));
	args->usage = usage;
	args->argc = argc;
	args->argv = argv;
	args->at = 1;
	/* Known before the first error, which may be about what stands in front of it. */
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json"))
			cli_set_json(true);
}

static const struct cli_option *find_long(const struct cli_usage *usage, const char *name,
					  size_t len)
{
	const struct cli_option *o;

	for (o = usage->options; o->name; o++)
		if (strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++)
		if (strlen(everywhere[i].name) == len && !strncmp(everywhere[i].name, name, len))
			return &everywhere[i];
	return NULL;
}

static const struct cli_option *find_letter(const struct cli_usage *usage, char letter)
{
	if (letter == 'h')
		return &everywhere[1];
	for (const struct cli_option *o = usage->options; o->name; o++)
		if (o->id == letter)
			return o;
	return NULL;
}

static void help_option(const struct cli_option *o)
{
	char left[48], name[40];
	const char *line = o->help, *end;
	bool letter = o->id > 0 && o->id < CLI_LONG;

	/* Some options, those of ethtool, are letters only: their name is the letter. */
	snprintf(name, sizeof(name), "%s%s%s%s", o->name[1] ? "--" : "-", o->name,
		 o->arg && *o->arg != '[' ? " " : "", o->arg ? o->arg : "");
	if (letter && o->name[1])
		snprintf(left, sizeof(left), "-%c, %.34s", o->id, name);
	else
		snprintf(left, sizeof(left), "%s%s", o->name[1] ? "    " : "", name);
	for (;; line = end + 1) {
		end = strchr(line, '\n');
		printf("  %-26s %.*s\n", left, (int)(end ? end - line : (long)strlen(line)), line);
		if (!end)
			return;
		left[0] = '\0';
	}
}

static int print_help(const struct cli_usage *usage)
{
	/* Help for people, whatever --json says: it is no result. */
	printf("Usage: outboard %s%s%s\n\n%s\n\nOptions:\n", usage->command,
	       *usage->synopsis ? " " : "", usage->synopsis, usage->about);
	for (const struct cli_option *o = usage->options; o->name; o++)
		help_option(o);
	for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++)
		if (!find_long(usage, everywhere[i].name, strlen(everywhere[i].name)) ||
		    find_long(usage, everywhere[i].name, strlen(everywhere[i].name)) ==
			    &everywhere[i])
			help_option(&everywhere[i]);
	printf("\nMore: man outboard-%s\n", usage->command);
	return CLI_OK;
}

static int unknown_option(struct cli_args *args, const char *word, size_t len)
{
	const struct cli_usage *usage = args->usage;
	char typed[64];
	const char *near;

	snprintf(typed, sizeof(typed), "%.*s", (int)(len < 60 ? len : 60), word);
	near = cli_nearest(typed, &everywhere[0].name, 2, sizeof(everywhere[0]));
	for (size_t n = 0; !near && usage->options[n].name; n++)
		near = cli_nearest(typed, &usage->options[n].name, 1, sizeof(*usage->options));
	if (near)
		args->exit_code =
			cli_bad(usage, "unknown option '--%s'; did you mean '--%s'?", typed, near);
	else
		args->exit_code = cli_bad(usage, "unknown option '--%s'", typed);
	return CLI_STOP;
}

/* An option was found; take its value from @inline_value or from the next word. */
static int take(struct cli_args *args, const struct cli_option *o, const char *inline_value)
{
	bool optional = o->arg && *o->arg == '[';
	char typed[40];

	snprintf(typed, sizeof(typed), "%s%s", o->name[1] ? "--" : "-", o->name);
	args->value = NULL;
	if (!o->arg && inline_value) {
		args->exit_code = cli_bad(args->usage, "option '%s' takes no value, not '%s'",
					  typed, inline_value);
		return CLI_STOP;
	}
	if (o->arg && !optional && !inline_value) {
		if (args->at >= args->argc) {
			args->exit_code = cli_bad(args->usage, "option '%s' needs a value (%s)",
						  typed, o->arg);
			return CLI_STOP;
		}
		inline_value = args->argv[args->at++];
	}
	args->value = inline_value;
	if (o->id == ID_HELP) {
		args->exit_code = print_help(args->usage);
		return CLI_STOP;
	}
	if (o->id == ID_JSON)
		return cli_next(args);
	return o->id;
}

int cli_next(struct cli_args *args)
{
	const struct cli_option *o;
	const char *word, *eq;
	size_t len;

	if (args->letters && *args->letters) {
		char letter = *args->letters++;

		o = find_letter(args->usage, letter);
		if (!o) {
			args->exit_code = cli_bad(args->usage, "unknown option '-%c'", letter);
			return CLI_STOP;
		}
		if (o->arg && *o->arg != '[' && *args->letters) {
			word = args->letters;
			args->letters = NULL;
			return take(args, o, word);
		}
		return take(args, o, NULL);
	}
	if (args->at >= args->argc)
		return CLI_END;
	word = args->argv[args->at++];
	if (args->words_only || word[0] != '-' || !word[1]) {
		args->value = word;
		return CLI_WORD;
	}
	if (word[1] != '-') {
		args->letters = word + 1;
		return cli_next(args);
	}
	if (!word[2]) {
		if (args->usage->rest) {
			args->rest = args->argv + args->at;
			args->at = args->argc;
			return CLI_END;
		}
		args->words_only = true;
		return cli_next(args);
	}
	word += 2;
	eq = strchr(word, '=');
	len = eq ? (size_t)(eq - word) : strlen(word);
	o = len > 1 ? find_long(args->usage, word, len) : NULL;
	if (!o)
		return unknown_option(args, word, len);
	return take(args, o, eq ? eq + 1 : NULL);
}

int cli_set(struct cli_args *args, const char *name, const char *value)
{
	static const char *const yes[] = {"yes", "on", "true", "1"};
	static const char *const no[] = {"no", "off", "false", "0"};
	const struct cli_option *o = find_long(args->usage, name, strlen(name));

	if (!o || o->id == ID_HELP || o->id == ID_JSON)
		return unknown_option(args, name, strlen(name));
	if (o->arg)
		return take(args, o, value);
	for (unsigned int i = 0; i < 4; i++) {
		if (!strcmp(value, yes[i]))
			return take(args, o, NULL);
		if (!strcmp(value, no[i]))
			return CLI_END;
	}
	args->exit_code = cli_bad(args->usage, "%s: '%s' is neither yes nor no", name, value);
	return CLI_STOP;
}

bool cli_only_word(struct cli_args *args, const char **word, const char *what)
{
	if (*word) {
		args->exit_code =
			cli_bad(args->usage, "one %s at a time, not '%s', too", what, args->value);
		return false;
	}
	*word = args->value;
	return true;
}

bool cli_number(struct cli_args *args, const char *option, long min, long max, long *val)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(args->value, &end, 0);
	if (end == args->value || *end || errno || n < min || n > max) {
		args->exit_code =
			cli_bad(args->usage, "option '%s': '%s' is not a number from %ld to %ld",
				option, args->value, min, max);
		return false;
	}
	*val = n;
	return true;
}
