/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard stop: asks a running instance to end, and waits until it has. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/ublk_left.h"
#include "cli/cli.h"
#include "cli/peer.h"

enum {
	OPT_TIMEOUT = CLI_LONG,
};

static const struct cli_option options[] = {
	{'f', "force", NULL, "end it even while what it attached is in use"},
	{OPT_TIMEOUT, "timeout", "SECONDS", "wait that long for it to end (default 30)"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "stop",
	.synopsis = "NAME|PID|ublkbN [--force]",
	.about =
		"Asks a running instance to end, and waits for it. One whose disk is mounted refuses, and\n"
		"says by whom (exit code 4). ublkbN is a disk that an instance left which was killed: it\n"
		"is removed.",
	.options = options,
};

/* "ublkb3" or "/dev/ublkb3": a disk without an instance */
static bool is_disk(const char *who, unsigned int *id)
{
	int end = 0;

	if (!strncmp(who, "/dev/", 5))
		who += 5;
	return sscanf(who, "ublkb%u%n", id, &end) == 1 && !who[end];
}

static int remove_left(const char *who, unsigned int id, bool force)
{
	struct ob_error err = {0};

	if (ob_ublk_remove(id, force, &err))
		return cli_error("stop", &err);
	if (cli_json()) {
		struct json_object *doc = json_object_new_object();

		cli_put_str(doc, "removed", who);
		cli_print_json(doc);
	} else {
		printf("%s is removed\n", who);
	}
	return CLI_OK;
}

int cmd_stop(int argc, char **argv)
{
	struct json_object *answer = NULL;
	struct ob_error err = {0};
	const char *who = NULL;
	struct cli_args args;
	struct peer peer;
	bool force = false;
	unsigned int id;
	long seconds = 30;
	int opt, ret;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_WORD:
			if (!cli_only_word(&args, &who, "instance"))
				return args.exit_code;
			break;
		case 'f':
			force = true;
			break;
		case OPT_TIMEOUT:
			if (!cli_number(&args, "--timeout", 0, 86400, &seconds))
				return args.exit_code;
			break;
		default:
			return args.exit_code;
		}
	}
	if (!who)
		return cli_bad(&usage, "which instance? 'outboard show' lists them");
	if (is_disk(who, &id))
		return remove_left(who, id, force);
	ret = peer_find(who, &peer, &err);
	if (!ret) {
		cli_progress("stopping %s", who);
		ret = peer_ask(&peer, force ? "stop force" : "stop", (int)seconds * 1000, &answer,
			       &err);
		json_object_put(answer);
	}
	if (!ret && !peer_wait_end(&peer, (int)seconds * 1000)) {
		ret = ob_error_set(&err, -ETIMEDOUT, "instance '%s' did not end within %ld s", who,
				   seconds);
		ob_error_fix(&err, "kill -9 %d; everything it holds goes with it", peer.pid);
	}
	cli_progress_end();
	if (ret)
		return cli_error("stop", &err);
	if (cli_json()) {
		struct json_object *doc = json_object_new_object();

		cli_put_str(doc, "stopped", who);
		cli_put_u64(doc, "pid", (uint64_t)peer.pid);
		cli_print_json(doc);
	} else {
		printf("%s has ended\n", who);
	}
	return CLI_OK;
}
