/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard specs: what device specifications there are. The backends' own words. */
#include <errno.h>
#include <string.h>

#include <outboard/attach.h>

#include "access/faultpoint.h"
#include "cli/cli.h"

static const struct cli_option options[] = {
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "specs",
	.synopsis = "[NAME]",
	.about =
		"Explains device specifications: wrappers, backends with their devices and options, and\n"
		"attachments with theirs; or the one called NAME; or fault-points, for tests.",
	.options = options,
};

static const char *help_of(const struct ob_access_ops *backend)
{
	return backend->help ? backend->help() : "";
}

static void print_help(const char *text)
{
	size_t n = strlen(text);

	printf("%s%s\n", text, n && text[n - 1] == '\n' ? "" : "\n");
}

/* For tests of who restarts a driver: docs/fault-injection.md. */
static int print_point(void *arg, const struct ob_fault_point *point)
{
	printf("  %s%s\n", point->name, point->can_fail ? "  (can fail)" : "");
	return 0;
}

static void print_points(void)
{
	printf("In the environment, OUTBOARD_FAULT_POINTS=ITEM,...:\n\n");
	print_help(ob_fault_points_help());
	printf("points:\n");
	ob_fault_points_each(print_point, NULL);
}

static int put_point(void *list, const struct ob_fault_point *point)
{
	struct json_object *o = json_object_new_object();

	cli_put_str(o, "name", point->name);
	json_object_object_add(o, "can_fail", json_object_new_boolean(point->can_fail));
	json_object_array_add(list, o);
	return 0;
}

static void print_json(void)
{
	struct json_object *doc = json_object_new_object(), *list, *o;

	list = cli_put_array(doc, "backends");
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++) {
		o = json_object_new_object();
		cli_put_str(o, "name", (*b)->name);
		cli_put_str(o, "summary", (*b)->summary);
		cli_put_str(o, "help", help_of(*b));
		json_object_array_add(list, o);
	}
	list = cli_put_array(doc, "wrappers");
	for (const struct ob_wrapper_ops *const *w = ob_wrappers(); *w; w++) {
		o = json_object_new_object();
		cli_put_str(o, "name", (*w)->name);
		cli_put_str(o, "summary", (*w)->summary);
		cli_put_str(o, "help", (*w)->help ? (*w)->help() : "");
		json_object_array_add(list, o);
	}
	list = cli_put_array(doc, "attachments");
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++) {
		o = json_object_new_object();
		cli_put_str(o, "name", (*a)->name);
		cli_put_str(o, "summary", (*a)->summary);
		cli_put_str(o, "options", (*a)->options);
		json_object_array_add(list, o);
	}
	ob_fault_points_each(put_point, cli_put_array(doc, "fault_points"));
	cli_print_json(doc);
}

static void print_attachment(const struct ob_attach_ops *a)
{
	printf("  %-8s %s\n", a->name, a->summary);
	if (*a->options)
		printf("           options: %s\n", a->options);
}

static bool print_one(const char *name)
{
	bool found = false;

	if (!strcmp(name, "fault-points")) {
		print_points();
		return true;
	}

	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++) {
		if (!strcmp((*b)->name, name)) {
			print_help(help_of(*b));
			found = true;
		}
	}
	for (const struct ob_wrapper_ops *const *w = ob_wrappers(); *w; w++) {
		if (!strcmp((*w)->name, name)) {
			printf("%s[OPTION=VALUE,...]:SPEC\n%s\n\n", name, (*w)->summary);
			print_help((*w)->help ? (*w)->help() : "");
			found = true;
		}
	}
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++) {
		if (!strcmp((*a)->name, name)) {
			print_attachment(*a);
			found = true;
		}
	}
	return found;
}

static void print_all(void)
{
	const char *b0 = cli_bold(stdout), *b1 = cli_plain(stdout);

	printf("A device specification is\n\n"
	       "  [WRAPPER[KEY=VALUE,...]:]...BACKEND:DEVICE[,KEY=VALUE]...\n\n"
	       "A comma in a value is written as two. Numbers take K, M and G.\n\n");
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++) {
		printf("%sBackend %s%s: %s\n\n", b0, (*b)->name, b1, (*b)->summary);
		print_help(help_of(*b));
	}
	printf("%sWrappers%s, around any backend ('outboard specs NAME' lists their options):\n\n",
	       b0, b1);
	for (const struct ob_wrapper_ops *const *w = ob_wrappers(); *w; w++)
		printf("  %-8s %s\n", (*w)->name, (*w)->summary);
	printf("\n%sAttachments%s, for 'outboard run --attach NAME[,OPTION=VALUE]...':\n\n", b0,
	       b1);
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++)
		print_attachment(*a);
	printf("\nMore: man outboard-spec\n");
}

int cmd_specs(int argc, char **argv)
{
	const char *only = NULL;
	struct cli_args args;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt != CLI_WORD)
			return args.exit_code;
		if (!cli_only_word(&args, &only, "name"))
			return args.exit_code;
	}
	if (cli_json())
		print_json();
	else if (!only)
		print_all();
	else if (!print_one(only))
		return cli_bad(&usage, "there is no backend, wrapper or attachment '%s'", only);
	return CLI_OK;
}
