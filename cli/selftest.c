/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard selftest: lets a driver exercise its device, in this process, without attaching it. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/open_one.h"

enum {
	LINES = 64,
	OPT_DRIVER = CLI_LONG,
	OPT_MODE,
};

static const struct cli_option options[] = {
	{OPT_DRIVER, "driver", "NAME", "use this driver: a name, or the path of a shared object"},
	{OPT_MODE, "mode", "MODE", "adaptive (default), poll or interrupt"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "selftest",
	.synopsis = "SPEC [--driver NAME]",
	.about =
		"Opens a device, binds its driver and lets it test the device. Nothing is attached, root is\n"
		"not needed, and nothing that is stored is destroyed.",
	.options = options,
};

static const char *verdict(const struct ob_selftest_line *line)
{
	return line->result > 0 ? "skipped" : line->result ? "FAILED" : "passed";
}

static void print_json(const struct ob_binding *b, const char *spec,
		       const struct ob_selftest_line *lines, int n, bool passed)
{
	struct json_object *doc = json_object_new_object(), *list, *o;

	cli_put_str(doc, "spec", spec);
	cli_put_str(doc, "device", ob_device_info(b->dev)->name);
	cli_put_str(doc, "driver", b->driver->name);
	cli_put_bool(doc, "passed", passed);
	list = cli_put_array(doc, "tests");
	for (int i = 0; i < n; i++) {
		o = json_object_new_object();
		cli_put_str(o, "name", lines[i].name);
		cli_put_str(o, "result", verdict(&lines[i]));
		if (lines[i].result < 0)
			cli_put_str(o, "errno", strerrorname_np(-lines[i].result));
		cli_put_str(o, "detail", lines[i].detail);
		json_object_array_add(list, o);
	}
	cli_print_json(doc);
}

static void print_table(const struct ob_binding *b, const struct ob_selftest_line *lines, int n)
{
	static const char *const heads[] = {"TEST", "RESULT", "DETAIL"};
	struct cli_table *t = cli_table_create(heads, 3);

	printf("%s, driver %s\n", ob_device_info(b->dev)->name, b->driver->name);
	for (int i = 0; i < n; i++) {
		cli_cell(t, "%s", lines[i].name);
		cli_cell(t, "%s", verdict(&lines[i]));
		cli_cell(t, "%s%s%s", lines[i].result < 0 ? strerror(-lines[i].result) : "",
			 lines[i].result < 0 && *lines[i].detail ? ": " : "", lines[i].detail);
	}
	cli_table_print(t, stdout);
}

static int test(struct ob_binding *b, const char *spec)
{
	struct ob_selftest_line lines[LINES];
	struct ob_error err = {0};
	bool passed = true;
	int n;

	memset(lines, 0, sizeof(lines));
	if (!b->driver->selftest) {
		ob_error_set(&err, -EOPNOTSUPP, "driver %s has no self-test", b->driver->name);
		return cli_error("selftest", &err);
	}
	cli_progress("%s: testing", ob_device_info(b->dev)->name);
	n = b->driver->selftest(b, lines, LINES);
	cli_progress_end();
	if (ob_device_gone(b->dev)) {
		ob_error_set(&err, -ENODEV, "%s vanished while it was tested",
			     ob_device_info(b->dev)->name);
		cli_error("selftest", &err);
		return CLI_GONE;
	}
	if (n > LINES)
		n = LINES;
	if (n <= 0) {
		ob_error_set(&err, n ? n : -EIO, "%s: the self-test of driver %s tested nothing",
			     ob_device_info(b->dev)->name, b->driver->name);
		cli_error("selftest", &err);
		return CLI_FAILED;
	}
	for (int i = 0; i < n; i++)
		passed &= lines[i].result >= 0;
	if (cli_json())
		print_json(b, spec, lines, n, passed);
	else
		print_table(b, lines, n);
	return passed ? CLI_OK : CLI_FAILED;
}

int cmd_selftest(int argc, char **argv)
{
	struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	const char *spec = NULL, *driver = NULL;
	struct ob_error err = {0};
	struct ob_binding *b;
	struct cli_args args;
	int opt, ret;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_WORD:
			if (!cli_only_word(&args, &spec, "device"))
				return args.exit_code;
			break;
		case OPT_DRIVER:
			driver = args.value;
			break;
		case OPT_MODE:
			if (ob_mode_parse(args.value, &config.mode, &err))
				return cli_error("selftest", &err);
			break;
		default:
			return args.exit_code;
		}
	}
	if (!spec)
		return cli_bad(&usage, "which device? A SPEC is missing, e.g. qemu:edu");
	ret = open_one(spec, driver, &config, &b, &err);
	if (ret)
		return cli_error("selftest", &err);
	ret = test(b, spec);
	close_one(b);
	return ret;
}
