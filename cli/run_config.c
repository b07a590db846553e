/* SPDX-License-Identifier: BSD-2-Clause */
/* cli/run_config.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/access.h>

#include "cli/config.h"
#include "cli/run_config.h"

#define FOLDER "/etc/outboard"
#define SUFFIX ".conf"

/* Of [restart] and [sandbox]: one option each, whose text grows by each line, so that each line is judged where it stands. */
struct policy {
	const char *option;
	char first[64];
	char rest[OB_SPEC_TEXT];
};

struct reader {
	const struct run_config *to;
	struct policy restart, sandbox;
	bool has_spec, failed;
};

void run_config_path(const char *file, char *path, size_t size, char *name, size_t name_size)
{
	const char *last = strrchr(file, '/');
	size_t n;

	if (last)
		snprintf(path, size, "%s", file);
	else
		snprintf(path, size, FOLDER "/%s" SUFFIX, file);
	if (!name)
		return;
	last = last ? last + 1 : file;
	n = strlen(last);
	if (n > strlen(SUFFIX) && !strcmp(last + n - strlen(SUFFIX), SUFFIX))
		n -= strlen(SUFFIX);
	snprintf(name, name_size, "%.*s", (int)n, last);
}

static int wrong(struct reader *r, const char *what)
{
	r->to->args->exit_code = cli_bad(r->to->args->usage, "%s", what);
	return -EINVAL;
}

static int set_option(struct reader *r, const char *name, const char *value)
{
	struct cli_args *args = r->to->args;
	int opt = cli_set(args, name, value);

	if (opt == CLI_END)
		return 0; /* a switch that is off */
	return opt != CLI_STOP && r->to->option(r->to->arg, args, opt) ? 0 : -EINVAL;
}

static int set_policy(struct reader *r, struct policy *p, const struct config_line *line)
{
	char text[sizeof(p->first) + sizeof(p->rest)];
	size_t n = strlen(p->rest);

	if (!strcmp(line->key, "policy")) {
		if ((size_t)snprintf(p->first, sizeof(p->first), "%s", line->value) >=
		    sizeof(p->first))
			return wrong(r, "policy: too long");
	} else if (strchr(line->key, ',') || strchr(line->value, ',')) {
		return wrong(r, "a comma in a value; one setting in each line");
	} else if ((size_t)snprintf(p->rest + n, sizeof(p->rest) - n, ",%s=%s", line->key,
				    line->value) >= sizeof(p->rest) - n) {
		return wrong(r, "too many settings");
	}
	snprintf(text, sizeof(text), "%s%s", p->first, p->rest);
	return set_option(r, p->option, text);
}

static int set_of_device(struct reader *r, const struct config_line *line)
{
	struct cli_args *args = r->to->args;
	char what[160];

	args->value = line->value;
	if (!strcmp(line->key, "spec")) {
		if (r->has_spec)
			return wrong(r, "a second spec; each device has a [device] of its own");
		r->has_spec = true;
		return r->to->device(r->to->arg, args) ? 0 : -EINVAL;
	}
	if (strcmp(line->key, "driver") && strcmp(line->key, "attach") &&
	    strcmp(line->key, "cpu")) {
		snprintf(what, sizeof(what),
			 "[device] has no setting '%.60s'; it has spec, driver, attach and cpu",
			 line->key);
		return wrong(r, what);
	}
	if (!r->has_spec)
		return wrong(r, "spec comes first in a [device]");
	return r->to->of_device(r->to->arg, args, line->key) ? 0 : -EINVAL;
}

static int take_setting(struct reader *r, const struct config_line *line)
{
	char what[160];

	if (!strcmp(line->section, "instance")) {
		if (!line->key)
			return 0;
		if (!strcmp(line->key, "config"))
			return wrong(r, "a file cannot name another one");
		return set_option(r, line->key, line->value);
	}
	if (!strcmp(line->section, "device")) {
		if (line->key)
			return set_of_device(r, line);
		r->has_spec = false;
		return 0;
	}
	if (!strcmp(line->section, "restart") || !strcmp(line->section, "sandbox")) {
		struct policy *p = *line->section == 'r' ? &r->restart : &r->sandbox;

		return line->key ? set_policy(r, p, line) : set_option(r, p->option, p->first);
	}
	snprintf(what, sizeof(what),
		 "there is no section [%.60s]; there are instance, device, restart and sandbox",
		 line->section);
	return wrong(r, what);
}

static int take_line(void *arg, const struct config_line *line)
{
	struct reader *r = arg;
	char place[120];
	int ret;

	snprintf(place, sizeof(place), "%.100s:%u", line->file, line->number);
	cli_set_place(place);
	ret = take_setting(r, line);
	cli_set_place(NULL);
	r->failed |= ret != 0;
	return ret;
}

bool run_config_read(const char *path, const struct run_config *to)
{
	struct reader r = {.to = to,
			   .restart = {.option = "restart", .first = "on-failure"},
			   .sandbox = {.option = "sandbox", .first = "auto"}};
	/* Settings are pointers into it, to the end of the process. */
	static char *text;
	struct ob_error err = {0};
	int ret;

	text = config_load(path, &err);
	ret = text ? config_read(path, text, take_line, &r, &err) : err.code;

	if (!ret)
		return true;
	/* What was wrong with a setting has been said; not so what was wrong with the file. */
	if (!r.failed) {
		to->args->exit_code = cli_error(to->args->usage->command, &err);
		if (err.code == -EINVAL)
			to->args->exit_code = CLI_USAGE;
	}
	free(text);
	text = NULL;
	return false;
}
