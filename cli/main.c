/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program `outboard`: a table of subcommands, one file for each. Documented in outboard(1).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/peer.h"

static const struct cli_command commands[] = {
	{"run", "drive devices and attach them to the system", cmd_run},
	{"devices", "list PCI devices, who drives them, and the embedded models", cmd_devices},
	{"bind", "take PCI devices from the kernel's drivers, for Outboard", cmd_bind},
	{"unbind", "give them back to the drivers that they had", cmd_unbind},
	{"probe", "show one device in detail", cmd_probe},
	{"show", "show running instances and their counters", cmd_show},
	{"selftest", "let a driver test its device", cmd_selftest},
	{"record", "record what a driver and its device say, and play it to a driver", cmd_record},
	{"ethtool", "ask a network device what ethtool asks", cmd_ethtool},
	{"net", "use a network card from this process alone: ping, send, HTTP", cmd_net},
	{"char", "use a character device from this process alone", cmd_char},
	{"stop", "end a running instance", cmd_stop},
	{"upgrade", "replace the driver of a running instance", cmd_upgrade},
	{"linux", "build drivers of the Linux kernel for use in a process, and list them",
	 cmd_linux},
	{"factor", "find out which functions of a Linux driver can leave the kernel", cmd_factor},
	{"split", "make a kernel module and a daemon of a Linux driver", cmd_split},
	{"bench", "repeat the experiments, and compare what they measure", cmd_bench},
	{"specs", "explain device specifications", cmd_specs},
	{"version", "show the version and what this build can do", cmd_version},
	{"help", "explain a subcommand", cmd_help},
	{NULL, NULL, NULL},
};

const struct cli_command *cli_commands(void)
{
	return commands;
}

static const struct cli_command *find_command(const char *name)
{
	for (const struct cli_command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static void print_commands(FILE *f)
{
	fputs("Usage: outboard COMMAND [OPTIONS]\n\nLinux device drivers in user space.\n\n", f);
	for (const struct cli_command *c = commands; c->name; c++)
		fprintf(f, "  %s%-10s%s %s\n", cli_bold(f), c->name, cli_plain(f), c->summary);
	fputs("\n'outboard COMMAND --help' explains one; the manual is outboard(1).\n", f);
}

static int unknown_command(const char *typed)
{
	struct ob_error err = {.code = -EINVAL};
	const char *near =
		cli_nearest(typed, &commands[0].name, sizeof(commands) / sizeof(commands[0]) - 1,
			    sizeof(commands[0]));

	if (near)
		ob_error_set(&err, -EINVAL, "there is no command '%s'; did you mean '%s'?", typed,
			     near);
	else
		ob_error_set(&err, -EINVAL, "there is no command '%s'", typed);
	ob_error_fix(&err, "outboard help");
	return cli_error(NULL, &err);
}

static const struct cli_option no_options[] = {
	{0, NULL, NULL, NULL},
};

static const struct cli_usage help_usage = {
	.command = "help",
	.synopsis = "[COMMAND]",
	.about = "Lists the commands, or explains one.",
	.options = no_options,
};

int cmd_help(int argc, char **argv)
{
	static char help[] = "--help";
	const struct cli_command *c = NULL;
	struct cli_args args;
	char *again[] = {NULL, help, NULL};
	int opt;

	cli_args_init(&args, &help_usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt != CLI_WORD)
			return args.exit_code;
		if (c)
			return cli_bad(&help_usage, "one command at a time, not '%s', too",
				       args.value);
		c = find_command(args.value);
		if (!c)
			return unknown_command(args.value);
		again[0] = argv[0];
	}
	if (c)
		return c->run(2, again);
	if (cli_json()) {
		struct json_object *doc = json_object_new_object();
		struct json_object *list = cli_put_array(doc, "commands");

		for (c = commands; c->name; c++) {
			struct json_object *o = json_object_new_object();

			cli_put_str(o, "name", c->name);
			cli_put_str(o, "summary", c->summary);
			json_object_array_add(list, o);
		}
		cli_print_json(doc);
		return CLI_OK;
	}
	print_commands(stdout);
	return CLI_OK;
}

/* Without arguments: what is running, or else how to begin. */
static int nothing_typed(void)
{
	char show[] = "show";
	char *argv[] = {show, NULL};

	if (peers_running())
		return cmd_show(1, argv);
	printf("Nothing is running. To begin:\n\n"
	       "  outboard devices                       what this machine has, and the models that "
	       "need no hardware\n"
	       "  outboard selftest qemu:edu             drive a device model, once\n"
	       "  outboard run qemu:nvme,null=1G         drive a disk and attach it, until Ctrl-C\n\n"
	       "'outboard help' lists all commands.\n");
	return CLI_OK;
}

int main(int argc, char **argv)
{
	static char help[] = "help", version[] = "version", show[] = "show";
	const struct cli_command *c;
	int ret;

	if (argc < 2)
		return nothing_typed();
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		argv[1] = help;
	else if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		argv[1] = version;
	else if (!strcmp(argv[1], "--json") && argc == 2) {
		cli_set_json(true);
		argv[1] = show;
	}
	c = find_command(argv[1]);
	if (!c)
		return unknown_command(argv[1]);
	ret = c->run(argc - 1, argv + 1);
	/* A result that could not be written (a full disk, a closed pipe) is no result. */
	if ((fflush(stdout) || ferror(stdout)) && ret == CLI_OK) {
		fprintf(stderr, "outboard %s: cannot write the result: %s\n", c->name,
			strerror(errno));
		ret = CLI_FAILED;
	}
	return ret;
}
