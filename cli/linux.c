/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard linux: builds drivers of the Linux kernel for use in a process, and lists them. The work is done by the scripts in
 * linux/; here is how they are found, and what they report as text or JSON. docs/linux-build.md.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lines.h"

enum {
	OPT_SOURCE = CLI_LONG,
	OPT_MODULE,
	OPT_VERIFY,
	OPT_ALL,
	FIELDS = 6,	     /* in a line of a report, at most */
	ARGUMENTS = 12,	     /* of a script, at most */
	SILENCE = 10,	     /* seconds between lines of progress where there is no terminal */
	REPORT_FD = 3,	     /* in the script */
	SCRIPT_SIGNAL = 128, /* as a shell's exit code: plus the number of the signal */
};

static const struct cli_option options[] = {
	{'k', "kernel", "VERSION", "build: of which kernel: 6.1, 6.12 (the default) or 7.2"},
	{OPT_SOURCE, "source", "DIR", "build: take that kernel tree, not the distribution's"},
	{OPT_MODULE, "module", "DIR", "build: take the driver in that folder, not the kernel's"},
	{'j', "jobs", "N", "build: that many compilers at once (default: one per processor)"},
	{OPT_VERIFY, "verify", NULL,
	 "list: compare the sources of what is built with the packages'"},
	{OPT_ALL, "all", NULL, "clean: remove what is built and downloaded, too"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "linux",
	.synopsis = "build [PROFILE|DRIVER] [OPTIONS] | list [DRIVER] [--verify] | clean [--all]",
	.about =
		"Builds drivers of the Linux kernel, unmodified, for use in a process, as in\n"
		"'outboard run --driver linux:e1000e ...'; lists those known to work, and on what\n"
		"evidence; removes what building left.",
	.options = options,
};

/* What a script reported. */
struct report {
	struct json_object *doc;
	struct ob_error err;
	char *built[FIELDS]; /* the line of what was built; its fields are the first one's memory */
	time_t spoke;
};

/* ---- the scripts ----------------------------------------------------------------------- */

/* Installed, they lie beside the program; in a build folder, in the source tree that it was built from. */
static int find_script(const char *name, char path[PATH_MAX], struct ob_error *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dirs[] = {NULL, OUTBOARD_SOURCE "/linux"};
	char installed[PATH_MAX + 64];

	if (n > 0) {
		char *slash;

		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		snprintf(installed, sizeof(installed), "%s/../share/outboard/linux", self);
		dirs[0] = installed;
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (!dirs[i] || snprintf(path, PATH_MAX, "%s/%s", dirs[i], name) >= PATH_MAX)
			continue;
		if (!access(path, X_OK))
			return 0;
	}
	ob_error_set(err, -ENOENT, "the scripts that build Linux drivers are not there");
	ob_error_why(err, "neither in %s nor in %s", dirs[0] ? dirs[0] : "share/outboard/linux",
		     dirs[1]);
	return -ENOENT;
}

static int split(char *line, char *field[FIELDS])
{
	int n = 0;

	for (int i = 0; i < FIELDS; i++)
		field[i] = NULL;
	while (line && n < FIELDS)
		field[n++] = strsep(&line, "\t");
	return n;
}

static const char *text(const char *field)
{
	return field ? field : "";
}

static void put_row(struct report *r, const char *list, const char *const *keys, char **field)
{
	struct json_object *array = cli_get(r->doc, list);
	struct json_object *row = json_object_new_object();

	if (!array)
		array = cli_put_array(r->doc, list);
	for (int i = 0; keys[i]; i++)
		cli_put_str(row, keys[i], text(field[i]));
	json_object_array_add(array, row);
}

static int code_of(int exit_code)
{
	switch (exit_code) {
	case CLI_USAGE:
		return -EINVAL;
	case CLI_MISSING:
		return -ENOENT;
	case CLI_BUSY:
		return -EBUSY;
	default:
		return -EIO;
	}
}

static void take_line(void *arg, char *line)
{
	struct report *r = arg;
	static const char *const driver_keys[] = {"name", "class", "title", NULL};
	static const char *const object_keys[] = {"name", "kernel", "path", "package", NULL};
	static const char *const evidence_keys[] = {"name", "kernel", "device", "what", NULL};
	char *field[FIELDS];
	time_t now = time(NULL);

	cli_clean(line);
	split(line, field);
	if (!strcmp(field[0], "say")) {
		cli_progress_end();
		fprintf(stderr, "%s\n", text(field[1]));
	} else if (!strcmp(field[0], "progress")) {
		if (!field[1] || !*field[1]) {
			cli_progress_end();
		} else if (cli_terminal(stderr)) {
			cli_progress("%s", field[1]);
		} else if (now - r->spoke >= SILENCE) {
			fprintf(stderr, "%s\n", field[1]);
			r->spoke = now;
		}
	} else if (!strcmp(field[0], "error")) {
		ob_error_set(&r->err, code_of(atoi(text(field[1]))), "%s", text(field[2]));
		if (field[3] && *field[3])
			ob_error_fix(&r->err, "%s", field[3]);
		if (field[4] && *field[4])
			ob_error_why(&r->err, "%s", field[4]);
	} else if (!strcmp(field[0], "built")) {
		for (int i = 1; i < FIELDS; i++)
			if (field[i] && !r->built[i])
				r->built[i] = strdup(field[i]);
	} else if (!strcmp(field[0], "driver")) {
		put_row(r, "drivers", driver_keys, field + 1);
	} else if (!strcmp(field[0], "object")) {
		put_row(r, "objects", object_keys, field + 1);
	} else if (!strcmp(field[0], "evidence")) {
		put_row(r, "evidence", evidence_keys, field + 1);
	} else if (!strcmp(field[0], "verified")) {
		cli_put_bool(r->doc, "verified", true);
	}
}

static int run_script(const char *name, char **arguments, struct report *r)
{
	char path[PATH_MAX], number[16];
	int status = 0;

	if (find_script(name, path, &r->err))
		return r->err.code;
	snprintf(number, sizeof(number), "%d", REPORT_FD);
	setenv("OUTBOARD_REPORT", number, 1);
	/* What tools print is not the result. */
	if (cli_program_lines(path, arguments, REPORT_FD, take_line, r, &status, &r->err))
		return r->err.code;
	cli_progress_end();
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (!r->err.code) {
		if (WIFSIGNALED(status))
			ob_error_set(&r->err, -EINTR, "%s was ended by signal %d", path,
				     WTERMSIG(status));
		else
			ob_error_set(&r->err, -EIO, "%s ended with exit code %d", path,
				     WEXITSTATUS(status));
	}
	return r->err.code;
}

/* ---- what came of it ------------------------------------------------------------------- */

static int show_built(struct report *r)
{
	const char *name = text(r->built[1]), *kernel = text(r->built[2]);

	if (cli_json()) {
		cli_put_str(r->doc, "name", name);
		cli_put_str(r->doc, "kernel", kernel);
		cli_put_str(r->doc, "path", text(r->built[3]));
		cli_put_str(r->doc, "state", text(r->built[4]));
		cli_put_u64(r->doc, "seconds", strtoull(text(r->built[5]), NULL, 10));
		cli_print_json(r->doc);
		r->doc = NULL;
	} else {
		printf("linux:%s of kernel %s %s (%s s): %s\n", name, kernel, text(r->built[4]),
		       text(r->built[5]), text(r->built[3]));
	}
	return CLI_OK;
}

/* The values of one key in the rows of a list that are about a driver: "6.12, 7.2" */
static char *join(struct report *r, const char *list, const char *driver, const char *extra)
{
	struct json_object *array = cli_get(r->doc, list);
	char *out = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; array && i < cli_array_length(array); i++) {
		struct json_object *row = json_object_array_get_idx(array, i);

		if (strcmp(cli_get_str(row, "name"), driver) != 0)
			continue;
		fprintf(f, "%s%s", ftell(f) ? ", " : "", cli_get_str(row, "kernel"));
		if (extra)
			fprintf(f, " %s", cli_get_str(row, extra));
	}
	fclose(f);
	return out;
}

/* One driver, with all that is known. */
static int show_one(struct report *r, struct json_object *driver)
{
	const char *name = cli_get_str(driver, "name");
	struct json_object *list;

	printf("%s%s%s: %s\n", cli_bold(stdout), name, cli_plain(stdout),
	       cli_get_str(driver, "title"));
	list = cli_get(r->doc, "objects");
	for (size_t i = 0; list && i < cli_array_length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);

		if (!strcmp(cli_get_str(row, "name"), name))
			printf("  built of kernel %s (%s): %s\n", cli_get_str(row, "kernel"),
			       cli_get_str(row, "package"), cli_get_str(row, "path"));
	}
	list = cli_get(r->doc, "evidence");
	for (size_t i = 0; list && i < cli_array_length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);

		if (!strcmp(cli_get_str(row, "name"), name))
			printf("  seen to work in kernel %s on %s: %s\n",
			       cli_get_str(row, "kernel"), cli_get_str(row, "device"),
			       cli_get_str(row, "what"));
	}
	return CLI_OK;
}

static int show_list(struct report *r)
{
	static const char *const heads[] = {"DRIVER", "CLASS", "BUILT FOR", "KNOWN TO WORK",
					    "WHAT"};
	struct json_object *drivers = cli_get(r->doc, "drivers");
	struct cli_table *t;

	if (cli_json()) {
		cli_print_json(r->doc);
		r->doc = NULL;
		return CLI_OK;
	}
	if (drivers && cli_array_length(drivers) == 1)
		return show_one(r, json_object_array_get_idx(drivers, 0));
	t = cli_table_create(heads, sizeof(heads) / sizeof(heads[0]));
	for (size_t i = 0; drivers && i < cli_array_length(drivers); i++) {
		struct json_object *row = json_object_array_get_idx(drivers, i);
		const char *name = cli_get_str(row, "name");
		char *built = join(r, "objects", name, NULL);
		char *works = join(r, "evidence", name, "device");

		cli_cell(t, "%s", name);
		cli_cell(t, "%s", cli_get_str(row, "class"));
		cli_cell(t, "%s", text(built));
		cli_cell(t, "%s", text(works));
		cli_cell(t, "%s", cli_get_str(row, "title"));
		free(built);
		free(works);
	}
	cli_table_print(t, stdout);
	if (cli_get_bool(r->doc, "verified"))
		printf("\nThe sources of all that is built are as the packages have them.\n");
	return CLI_OK;
}

static int show_cleaned(struct report *r)
{
	if (cli_json()) {
		cli_put_bool(r->doc, "cleaned", true);
		cli_print_json(r->doc);
		r->doc = NULL;
	}
	return CLI_OK;
}

/* ---- the command ------------------------------------------------------------------------- */

static const struct action {
	const char *name;
	const char *options; /* ids that it takes */
	int (*show)(struct report *r);
	bool words;
} actions[] = {
	{"build", "kj\1\2", show_built, true},
	{"list", "\3", show_list, true},
	{"clean", "\4", show_cleaned, false},
};

/* Whether the action takes the option; ids above the letters are numbered from OPT_SOURCE. */
static bool takes(const struct action *a, int opt)
{
	return strchr(a->options, opt < CLI_LONG ? opt : opt - OPT_SOURCE + 1) != NULL;
}

static const char *long_name(int opt)
{
	for (const struct cli_option *o = options; o->name; o++)
		if (o->id == opt)
			return o->name;
	return "";
}

int cmd_linux(int argc, char **argv)
{
	const struct action *action = NULL;
	char *arguments[ARGUMENTS + 2] = {NULL};
	struct report report = {0};
	char *option[ARGUMENTS] = {NULL};
	struct cli_args args;
	int opt, ret = CLI_USAGE, n = 1, made = 0;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt == CLI_STOP) {
			ret = args.exit_code;
			goto out;
		}
		if (opt == CLI_WORD && !action) {
			for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
				if (!strcmp(args.value, actions[i].name))
					action = &actions[i];
			if (action)
				continue;
			ret = cli_bad(&usage, "'%s' is none of build, list and clean", args.value);
			goto out;
		}
		if (opt == CLI_WORD && (!action->words || n > 1)) {
			ret = action->words
				      ? cli_bad(&usage,
						"one profile or driver at a time, not '%s', too",
						args.value)
				      : cli_bad(&usage, "'%s' takes no '%s'", action->name,
						args.value);
			goto out;
		}
		if (opt == CLI_WORD) {
			arguments[n++] = (char *)args.value;
			continue;
		}
		if (!action || !takes(action, opt)) {
			ret = action ? cli_bad(&usage, "'%s' has no option --%s", action->name,
					       long_name(opt))
				     : cli_bad(&usage, "build, list or clean first, then options");
			goto out;
		}
		if (made == ARGUMENTS / 2) {
			ret = cli_bad(&usage, "too many options");
			goto out;
		}
		if (args.value ? asprintf(&option[made], "--%s=%s", long_name(opt), args.value) < 0
			       : asprintf(&option[made], "--%s", long_name(opt)) < 0) {
			option[made] = NULL;
			goto out;
		}
		made++;
	}
	if (!action) {
		ret = cli_bad(&usage, "build, list or clean?");
		goto out;
	}
	for (int i = 0; i < made; i++)
		arguments[n++] = option[i];
	report.doc = json_object_new_object();
	if (run_script(action->name, arguments, &report))
		ret = cli_error("linux", &report.err);
	else
		ret = action->show(&report);
out:
	for (int i = 0; i < made; i++)
		free(option[i]);
	for (int i = 0; i < FIELDS; i++)
		free(report.built[i]);
	json_object_put(report.doc);
	return ret;
}
