/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard upgrade: another driver takes a device over from the one that serves, while its clients wait. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/peer.h"

enum {
	OPT_DEVICE = CLI_LONG,
	/* Twice what a driver may take to begin: for the new one, and for the old one again. */
	PATIENCE_MS = 300000,
};

static const struct cli_option options[] = {
	{'d', "driver", "NAME", "the driver: a name, linux:NAME, or the path of a shared object"},
	{OPT_DEVICE, "device", "N", "which of the instance's devices, from 0 on (default 0)"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "upgrade",
	.synopsis = "NAME|PID --driver DRIVER",
	.about =
		"Replaces the driver of a running instance that has a keeper (outboard run --restart) by\n"
		"another. Its clients wait meanwhile and lose nothing. When the new driver does not come\n"
		"up the one before serves again, and the exit code is 1.",
	.options = options,
};

/* Of a path the other process must know all. */
static const char *absolute(const char *driver, char path[PATH_MAX], struct ob_error *err)
{
	if (!strchr(driver, '/') || !strncmp(driver, "linux:", 6))
		return driver;
	if (realpath(driver, path))
		return path;
	ob_error_set(err, -errno, "driver '%s': %s", driver, strerror(errno));
	return NULL;
}

static int ask(const char *who, const char *driver, long device, struct json_object **answer,
	       struct ob_error *err)
{
	char path[PATH_MAX], request[PEER_REQUEST];
	struct peer peer;
	int ret;

	driver = absolute(driver, path, err);
	if (!driver)
		return err->code;
	if ((size_t)snprintf(request, sizeof(request), "upgrade %ld %s", device, driver) >=
	    sizeof(request) - 1)
		return ob_error_set(err, -ENAMETOOLONG, "driver '%s': the path is too long",
				    driver);
	ret = peer_find(who, &peer, err);
	if (ret)
		return ret;
	cli_progress("upgrading %s", who);
	ret = peer_ask(&peer, request, PATIENCE_MS, answer, err);
	cli_progress_end();
	return ret;
}

int cmd_upgrade(int argc, char **argv)
{
	const char *who = NULL, *driver = NULL;
	struct json_object *answer = NULL;
	struct ob_error err = {0};
	struct cli_args args;
	long device = 0;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_WORD:
			if (!cli_only_word(&args, &who, "instance"))
				return args.exit_code;
			break;
		case 'd':
			driver = args.value;
			break;
		case OPT_DEVICE:
			if (!cli_number(&args, "--device", 0, 15, &device))
				return args.exit_code;
			break;
		default:
			return args.exit_code;
		}
	}
	if (!who)
		return cli_bad(&usage, "which instance? 'outboard show' lists them");
	if (!driver)
		return cli_bad(&usage, "which driver? Say --driver NAME");
	if (ask(who, driver, device, &answer, &err))
		return cli_error("upgrade", &err);
	if (cli_json()) {
		cli_print_json(answer);
		return CLI_OK;
	}
	printf("%s serves now, in process %llu; its clients waited for %.1f ms\n",
	       cli_get_str(answer, "driver"), (unsigned long long)cli_get_u64(answer, "driver_pid"),
	       cli_get_double(answer, "pause_ms"));
	json_object_put(answer);
	return CLI_OK;
}
