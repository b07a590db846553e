/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard version: the version, and what this build can do on this system. */
#include <string.h>
#include <sys/utsname.h>

#include <outboard/attach.h>
#include <outboard/driver.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "version",
	.synopsis = "",
	.about =
		"Shows the version, the drivers and backends of this build, and which attachments this\n"
		"system allows, and why not the others.",
	.options = options,
};

static const char *class_name(enum ob_class class_)
{
	return class_ == OB_CLASS_NET ? "net" : class_ == OB_CLASS_BLOCK ? "block" : "char";
}

static void print_json(const char *kernel)
{
	struct json_object *doc = json_object_new_object(), *list, *o;

	cli_put_str(doc, "version", OUTBOARD_VERSION);
	cli_put_str(doc, "kernel", kernel);
	list = cli_put_array(doc, "backends");
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++)
		json_object_array_add(list, json_object_new_string((*b)->name));
	list = cli_put_array(doc, "drivers");
	for (const struct ob_driver *const *d = ob_drivers(); *d; d++) {
		o = json_object_new_object();
		cli_put_str(o, "name", (*d)->name);
		cli_put_str(o, "class", class_name((*d)->class_));
		cli_put_str(o, "summary", (*d)->summary);
		cli_put_str(o, "datasheet", (*d)->datasheet);
		json_object_array_add(list, o);
	}
	list = cli_put_array(doc, "attachments");
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++) {
		struct ob_error err = {0};
		bool usable = !(*a)->probe(&err);

		o = json_object_new_object();
		cli_put_str(o, "name", (*a)->name);
		cli_put_str(o, "class", class_name((*a)->class_));
		cli_put_bool(o, "usable", usable);
		if (!usable)
			json_object_object_add(o, "error",
					       cli_error_json(&err, cli_exit_code(err.code)));
		json_object_array_add(list, o);
	}
	cli_print_json(doc);
}

static void print_text(const char *kernel)
{
	static const char *const driver_heads[] = {"DRIVER", "CLASS", "FOR"};
	static const char *const attach_heads[] = {"ATTACHMENT", "CLASS", "HERE"};
	struct cli_table *t;

	printf("outboard %s, on Linux %s\nbackends:", OUTBOARD_VERSION, kernel);
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++)
		printf(" %s", (*b)->name);
	printf("\n\n");

	t = cli_table_create(driver_heads, 3);
	for (const struct ob_driver *const *d = ob_drivers(); *d; d++) {
		cli_cell(t, "%s", (*d)->name);
		cli_cell(t, "%s", class_name((*d)->class_));
		cli_cell(t, "%s", (*d)->summary);
	}
	cli_table_print(t, stdout);
	printf("\n");

	t = cli_table_create(attach_heads, 3);
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++) {
		struct ob_error err = {0};

		cli_cell(t, "%s", (*a)->name);
		cli_cell(t, "%s", class_name((*a)->class_));
		if ((*a)->probe(&err))
			cli_cell(t, "no: %s%s%s", err.what, *err.why ? ": " : "", err.why);
		else
			cli_cell(t, "yes");
	}
	cli_table_print(t, stdout);
}

int cmd_version(int argc, char **argv)
{
	struct utsname name;
	struct cli_args args;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt == CLI_WORD)
			return cli_bad(&usage, "'%s' is too much: no argument is taken",
				       args.value);
		return args.exit_code;
	}
	if (uname(&name))
		strcpy(name.release, "?");
	if (cli_json())
		print_json(name.release);
	else
		print_text(name.release);
	return CLI_OK;
}
