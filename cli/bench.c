/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard bench: runs experiments, shows and compares what they measured. The work is done by bench/engine, with the programs in bench/
 * of a build folder; here are its options. docs/benchmarks.md.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

enum {
	OPT_ALL = CLI_LONG,
	OPT_QUICK,
	OPT_SMOKE,
	OPT_BOOTS,
	OPT_RESULTS,
	OPT_BUILD,
	OPT_OUTPUT,
	ENGINE_WORDS = 64, /* of the engine's command line, at most */
	BOOTS_MAX = 99,
};

static const struct cli_option options[] = {
	{OPT_ALL, "all", NULL, "run: every experiment there is"},
	{OPT_QUICK, "quick", NULL, "run: fewer sizes, fewer operations, two boots"},
	{OPT_SMOKE, "smoke", NULL, "run: one small step of each, to see whether it works"},
	{OPT_BOOTS, "boots", "N", "run: so many boots of each (default: what it says itself)"},
	{OPT_RESULTS, "results", "DIR", "run: where they go (default: by date)"},
	{OPT_BUILD, "build", "DIR", "run: the build folder (default: this program's)"},
	{'o', "output", "FILE", "report: where the page goes (default: index.html there)"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "bench",
	.synopsis = "list | run NAME...|--all [OPTIONS] | report [DIR] | compare DIR DIR",
	.about =
		"Repeats the experiments that say how good drivers in user space are: each with all of its\n"
		"sides in one boot of a virtual machine, several times. Keeps every sample as JSON; 'report'\n"
		"makes a page of them, 'compare' says what differs between two sets, as far as the noise\n"
		"lets one see.",
	.options = options,
};

static const struct action {
	const char *name;
	const char *options; /* ids that it takes, numbered from OPT_ALL; 'o' itself */
	size_t words_max;
	bool json;
} actions[] = {
	{"list", "", 0, true},
	{"run", "\1\2\3\4\5\6", ENGINE_WORDS / 2, false},
	{"report", "o", 1, false},
	{"compare", "", 2, true},
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(actions[i].name, name))
			return &actions[i];
	return NULL;
}

static bool takes(const struct action *a, int opt)
{
	return strchr(a->options, opt < CLI_LONG ? opt : opt - OPT_ALL + 1) != NULL;
}

/* The folder above the program's own, where meson put it: BUILD/cli/outboard. */
static bool own_build(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	for (int up = 0; up < 2 && n > 0; up++) {
		char *slash;

		path[n] = '\0';
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			return false;
		n = slash - path;
		path[n] = '\0';
	}
	return n > 0;
}

static int start_engine(char **words)
{
	struct ob_error err = {0};

	if (access(OUTBOARD_SOURCE "/bench/engine/__main__.py", R_OK)) {
		ob_error_set(&err, -ENOENT, "the experiments are not there");
		ob_error_why(&err,
			     "they are not installed: they are in the source tree, which was %s",
			     OUTBOARD_SOURCE);
		return cli_error("bench", &err);
	}
	fflush(stdout);
	execvp(words[0], words);
	ob_error_set(&err, -errno, "cannot start %s: %s", words[0], strerror(errno));
	ob_error_fix(&err, "apt-get install python3");
	return cli_error("bench", &err);
}

int cmd_bench(int argc, char **argv)
{
	static char python[] = "python3", unbuffered[] = "-B",
		    engine[] = OUTBOARD_SOURCE "/bench/engine", json[] = "--json",
		    build_option[] = "--build";
	char *words[ENGINE_WORDS] = {python, unbuffered, engine}, build[PATH_MAX];
	char flags[8][16];
	const struct action *action = NULL;
	bool own = true;
	struct cli_args args;
	size_t n = 4, given = 0, flag = 0;
	long boots;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		const struct cli_option *o = options;

		if (opt == CLI_STOP)
			return args.exit_code;
		if (n + 6 > ENGINE_WORDS)
			return cli_bad(&usage, "so many words are too many");
		if (opt == CLI_WORD && !action) {
			action = find_action(args.value);
			if (!action)
				return cli_bad(&usage, "'%s' is not list, run, report or compare",
					       args.value);
			words[3] = (char *)action->name;
			continue;
		}
		if (!action)
			return cli_bad(&usage, "list, run, report or compare comes first");
		if (opt == CLI_WORD) {
			if (++given > action->words_max)
				return cli_bad(&usage, "%s does not take '%s', too", action->name,
					       args.value);
			words[n++] = (char *)args.value;
			continue;
		}
		while (o->name && o->id != opt)
			o++;
		if (!takes(action, opt) || flag == sizeof(flags) / sizeof(flags[0]))
			return cli_bad(&usage, "%s has no --%s", action->name, o->name);
		if (opt == OPT_BOOTS && !cli_number(&args, "--boots", 1, BOOTS_MAX, &boots))
			return args.exit_code;
		own = own && opt != OPT_BUILD;
		snprintf(flags[flag], sizeof(flags[flag]), "--%s", o->name);
		words[n++] = flags[flag++];
		if (o->arg)
			words[n++] = (char *)args.value;
	}
	if (!action)
		return cli_bad(&usage, "list, run, report or compare?");
	if (!strcmp(action->name, "compare") && given != 2)
		return cli_bad(&usage, "compare needs two folders of results");
	if (cli_json()) {
		if (!action->json)
			return cli_bad(&usage, "%s has no --json: its results are JSON files",
				       action->name);
		words[n++] = json;
	}
	if (!strcmp(action->name, "run") && own && own_build(build)) {
		words[n++] = build_option;
		words[n++] = build;
	}
	return start_engine(words);
}
