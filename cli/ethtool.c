/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard ethtool: asks a network device, of a running instance or opened for it, as ethtool(8) does. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/ethtool_query.h"
#include "cli/open_one.h"
#include "cli/peer.h"

static const struct cli_option options[] = {
	{'i', "i", NULL, "driver information"},
	{'S', "S", NULL, "the device's own statistics"},
	{'g', "g", NULL, "ring parameters"},
	{'d', "d", NULL, "register dump"},
	{'t', "t", NULL, "self-test; interrupts the traffic of a running instance"},
	{'e', "e", NULL, "EEPROM dump"},
	{'k', "k", NULL, "offloads"},
	{CLI_LONG, "driver", "NAME", "use this driver (SPEC only)"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "ethtool",
	.synopsis = "SPEC|INTERFACE|NAME|PID [-i|-S|-g|-d|-t|-e|-k]",
	.about =
		"Asks a network device what ethtool asks; without a letter, for its link. The device is the one\n"
		"behind an interface, the first of a running instance, by its name or PID, or one that is\n"
		"opened for the question.",
	.options = options,
};

/* A fresh device negotiates its link for a moment: questions about it wait for that. */
static void settle(struct ob_net *net)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	struct ob_net_link link = {0};
	struct timespec now;

	for (unsigned int i = 0; i < 150 && net->ops->link; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (net->ops->tick)
			net->ops->tick(net,
				       (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
		net->ops->link(net, &link);
		if (link.up)
			return;
		nanosleep(&pause, NULL);
	}
}

static int ask_device(const char *spec, const char *driver, char what, struct json_object **answer,
		      struct ob_error *err)
{
	/* The self-test is to see interrupts; no other question needs them. */
	const struct ob_driver_config config = {.mode = what == 't' ? OB_MODE_ADAPTIVE
								    : OB_MODE_POLL};
	struct ob_binding *b;
	int ret;

	ret = open_one(spec, driver, &config, &b, err);
	if (ret)
		return ret;
	if (!b->net) {
		ret = ob_error_set(err, -EOPNOTSUPP, "%s is no network device",
				   ob_device_info(b->dev)->name);
		goto close;
	}
	ret = ob_net_start(b->net, err);
	if (ret)
		goto close;
	if (what == '.' || what == 't')
		settle(b->net);
	*answer = ethtool_query(b->net, what, err);
	ret = *answer ? 0 : err->code;
	ob_net_stop(b->net);
close:
	close_one(b);
	return ret;
}

/* Is an interface of this name attached by the instance? */
static bool has_interface(const struct peer *peer, const char *name)
{
	struct json_object *devices = cli_get(peer->state, "devices");

	for (size_t i = 0; i < cli_array_length(devices); i++) {
		struct json_object *dev = json_object_array_get_idx(devices, i);
		struct json_object *list = cli_get(dev, "attachments");

		if (!cli_get(dev, "net"))
			continue;
		for (size_t k = 0; k < cli_array_length(list); k++)
			if (!strcmp(cli_get_str(json_object_array_get_idx(list, k), "name"), name))
				return true;
	}
	return false;
}

/* The instance that a person named by an interface of it: 0; -ESRCH; -EINVAL when there are several. */
static int find_by_interface(const char *name, struct peer *peer, struct ob_error *err)
{
	struct peer *peers;
	size_t n = peers_list("show", &peers), found = 0;
	char list[256] = "";
	size_t len = 0;
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
		if (!peers[i].trusted || !has_interface(&peers[i], name))
			continue;
		if (!found++)
			*peer = peers[i];
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", peers[i].id);
	}
	if (!found) {
		ret = -ESRCH;
	} else if (found > 1) {
		ret = ob_error_set(err, -EINVAL, "%zu instances have an interface '%s': %s", found,
				   name, list);
		ob_error_fix(err, "name one by its PID");
	}
	peer->state = NULL;
	peers_free(peers, n);
	return ret;
}

static int ask_instance(const char *who, char what, struct json_object **answer,
			struct ob_error *err)
{
	char request[PEER_REQUEST];
	struct peer peer = {0};
	int ret = find_by_interface(who, &peer, err);

	if (!ret) {
		snprintf(request, sizeof(request), "ethtool %c %s", what, who);
	} else if (ret == -ESRCH) {
		ret = peer_find(who, &peer, err);
		snprintf(request, sizeof(request), "ethtool %c", what);
	}
	/* A self-test takes seconds. */
	return ret ? ret : peer_ask(&peer, request, 30000, answer, err);
}

int cmd_ethtool(int argc, char **argv)
{
	struct json_object *answer = NULL;
	const char *who = NULL, *driver = NULL;
	struct ob_error err = {0};
	struct cli_args args;
	char what = '.';
	bool passed;
	int opt, ret;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_WORD:
			if (!cli_only_word(&args, &who, "device"))
				return args.exit_code;
			break;
		case CLI_LONG:
			driver = args.value;
			break;
		case CLI_STOP:
			return args.exit_code;
		default:
			if (what != '.')
				return cli_bad(&usage, "one question at a time, not -%c and -%c",
					       what, opt);
			what = (char)opt;
		}
	}
	if (!who)
		return cli_bad(&usage, "which device? A SPEC, or the name or PID of an instance");
	if (driver && !cli_is_spec(who))
		return cli_bad(&usage, "'--driver %s': a running instance has its driver already",
			       driver);
	ret = cli_is_spec(who) ? ask_device(who, driver, what, &answer, &err)
			       : ask_instance(who, what, &answer, &err);
	if (ret)
		return cli_error("ethtool", &err);
	if (cli_json()) {
		passed = what != 't' || cli_get_bool(answer, "passed");
		cli_print_json(answer);
	} else {
		passed = ethtool_print(answer, what, who);
		json_object_put(answer);
	}
	return passed ? CLI_OK : CLI_FAILED;
}
