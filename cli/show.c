/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard show: running instances and their counters, once or again and again. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach/ublk_left.h"
#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/peer.h"

enum {
	OPT_COUNT = CLI_LONG,
	OPT_SANDBOX,
};

static const struct cli_option options[] = {
	{'w', "watch", "[=SECONDS]", "again every second, or every SECONDS, with rates"},
	{OPT_COUNT, "count", "N", "with --watch: N times, not for ever"},
	{OPT_SANDBOX, "sandbox", NULL,
	 "what is in force for the driver process of an instance (the only one, if none is\n"
	 "named), and what not, and why"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "show",
	.synopsis = "[NAME|PID] [--watch[=SECONDS] [--count N] | --sandbox]",
	.about =
		"Lists running instances, or shows all counters of one. Instances of this user and of root\n"
		"are asked; others are only listed.",
	.options = options,
};

enum {
	LEFT_SHOWN = 32,
};

struct view {
	const char *who; /* NULL: all */
	double interval;
	long count; /* -1: for ever */
	bool watch, sandbox;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = signo;
}

static void list_row(struct cli_table *t, const struct peer *p)
{
	struct json_object *devices = cli_get(p->state, "devices");
	char time[16], id[32];

	if (p->pid)
		snprintf(id, sizeof(id), "%d", p->pid);
	else
		snprintf(id, sizeof(id), "%s", p->id);
	if (!p->state) {
		cli_cell(t, "-");
		cli_cell(t, "%s", id);
		for (unsigned int i = 0; i < 4; i++)
			cli_cell(t, "%s", "");
		if (p->trusted)
			cli_cell(t, "does not answer");
		else
			cli_cell(t, "of uid %u: not asked", p->uid);
		return;
	}
	for (size_t i = 0; i < cli_array_length(devices); i++) {
		struct json_object *dev = json_object_array_get_idx(devices, i);
		struct json_object *list = cli_get(dev, "attachments");

		for (size_t k = 0; k < cli_array_length(list); k++) {
			struct json_object *at = json_object_array_get_idx(list, k);
			bool first = !i && !k;

			cli_cell(t, "%s", first ? cli_get_str(p->state, "name") : "");
			cli_cell(t, "%s", first ? id : "");
			cli_cell(t, "%s",
				 first ? cli_seconds(time, cli_get_double(p->state, "seconds"))
				       : "");
			cli_cell(t, "%s", cli_get_str(at, "of"));
			cli_cell(t, "%s", cli_get_str(dev, "driver"));
			cli_cell(t, "%s%s", cli_get_str(at, "name"),
				 cli_get_bool(dev, "gone") ? " (gone)" : "");
			cli_cell(t, "%s", cli_get_str(dev, "spec"));
		}
	}
}

/* Disks whose server died, and that the kernel therefore keeps. */
static void print_left(void)
{
	struct ob_ublk_left left[LEFT_SHOWN];
	unsigned int n = ob_ublk_left(left, LEFT_SHOWN);
	char size[16];

	for (unsigned int i = 0; i < n && i < LEFT_SHOWN; i++)
		printf("/dev/ublkb%u (%s) was left by process %d, which died%s: run its device again, "
		       "or outboard stop ublkb%u\n",
		       left[i].id, cli_size(size, left[i].size), left[i].pid,
		       left[i].waiting ? "; its users wait" : "", left[i].id);
}

static void print_list(struct peer *peers, size_t n)
{
	static const char *const heads[] = {"NAME",   ">PID",	     ">RUNS", "DEVICE",
					    "DRIVER", "ATTACHED AS", "SPEC"};
	struct cli_table *t = cli_table_create(heads, 7);

	if (!n)
		printf("Nothing is running.\n");
	for (size_t i = 0; i < n; i++)
		list_row(t, &peers[i]);
	cli_table_print(t, stdout);
	print_left();
}

static void left_json(struct json_object *doc)
{
	struct ob_ublk_left left[LEFT_SHOWN];
	unsigned int n = ob_ublk_left(left, LEFT_SHOWN);
	struct json_object *list = cli_put_array(doc, "left");
	char name[24];

	for (unsigned int i = 0; i < n && i < LEFT_SHOWN; i++) {
		struct json_object *o = json_object_new_object();

		snprintf(name, sizeof(name), "/dev/ublkb%u", left[i].id);
		cli_put_str(o, "name", name);
		cli_put_u64(o, "pid", left[i].pid > 0 ? (uint64_t)left[i].pid : 0);
		cli_put_u64(o, "size", left[i].size);
		json_object_object_add(o, "waiting", json_object_new_boolean(left[i].waiting));
		json_object_array_add(list, o);
	}
}

static struct json_object *list_json(struct peer *peers, size_t n)
{
	struct json_object *doc = json_object_new_object(), *list, *o;

	list = cli_put_array(doc, "instances");
	for (size_t i = 0; i < n; i++) {
		if (peers[i].state) {
			json_object_array_add(list, json_object_get(peers[i].state));
			continue;
		}
		o = json_object_new_object();
		cli_put_u64(o, "pid", (uint64_t)peers[i].pid);
		cli_put_u64(o, "uid", peers[i].uid);
		cli_put_str(o, "error", peers[i].trusted ? "does not answer" : "not asked");
		json_object_array_add(list, o);
	}
	left_json(doc);
	return doc;
}

/* What is shown once: the state of the one instance, or the list of all. NULL with @err. */
static struct json_object *take(const struct view *v, struct peer *peer, struct peer **peers,
				size_t *n, struct ob_error *err)
{
	struct json_object *state = NULL;

	if (v->who)
		return peer_ask(peer, "show", 5000, &state, err) ? NULL : state;
	*n = peers_list("show", peers);
	return list_json(*peers, *n);
}

static void print_once(const struct view *v, struct json_object *now, struct json_object *before,
		       struct peer *peers, size_t n)
{
	char time_text[32];
	time_t t = time(NULL);
	struct tm tm;

	if (v->watch) {
		/* In place on a terminal; a block for each time elsewhere. */
		if (cli_terminal(stdout))
			fputs("\033[H\033[J", stdout);
		localtime_r(&t, &tm);
		strftime(time_text, sizeof(time_text), "%F %T", &tm);
		printf("%s\n", time_text);
	}
	if (v->who)
		state_print(now, before, stdout);
	else
		print_list(peers, n);
	if (v->watch && !cli_terminal(stdout))
		printf("\n");
	fflush(stdout);
}

static void pause_for(double seconds)
{
	struct timespec ts = {.tv_sec = (time_t)seconds};

	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	/* A signal ends the pause, and then the watch. */
	nanosleep(&ts, NULL);
}

/* An array of documents, written as they come, that is one valid document at every end. */
static void json_item(struct json_object *doc, bool first)
{
	printf("%s%s", first ? "[\n" : ",\n",
	       json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
}

static int show(const struct view *v, struct peer *peer)
{
	struct json_object *before = NULL, *now;
	struct ob_error err = {0};
	bool first = true;

	for (long i = 0; v->count < 0 || i < v->count; i++) {
		struct peer *peers = NULL;
		size_t n = 0;

		now = take(v, peer, &peers, &n, &err);
		if (!now)
			break;
		if (cli_json() && v->watch)
			json_item(now, first);
		else if (cli_json())
			cli_print_json(json_object_get(now));
		else
			print_once(v, now, before, peers, n);
		first = false;
		peers_free(peers, n);
		json_object_put(before);
		before = now;
		if (i + 1 != v->count)
			pause_for(v->interval);
		if (interrupted)
			break;
	}
	json_object_put(before);
	if (cli_json() && v->watch)
		printf("%s]\n", first ? "[" : "\n");
	if (!err.code)
		return CLI_OK;
	/* That it ended while it was watched is no failure of the watch. */
	if (!first) {
		if (!cli_json())
			printf("%s has ended\n", v->who);
		return CLI_OK;
	}
	if (cli_json() && v->watch) {
		cli_error_line("show", &err);
		return cli_exit_code(err.code);
	}
	return cli_error("show", &err);
}

/* ---- the sandbox ------------------------------------------------------------------------- */

static void print_sandbox(struct json_object *doc)
{
	static const char *const heads[] = {"MEASURE", "", "WHAT", "DETAIL"};
	struct json_object *list = cli_get(doc, "measures");
	struct cli_table *t;

	if (!cli_get_bool(doc, "confined")) {
		printf("%s is not confined: %s\n", cli_get_str(doc, "name"),
		       cli_get_str(doc, "why_not"));
	} else {
		printf("Driver process %" PRIu64 " of %s:\n", cli_get_u64(doc, "driver_pid"),
		       cli_get_str(doc, "name"));
		t = cli_table_create(heads, 4);
		for (size_t i = 0; i < cli_array_length(list); i++) {
			struct json_object *m = json_object_array_get_idx(list, i);

			cli_cell(t, "%s", cli_get_str(m, "measure"));
			cli_cell(t, "%s", cli_get_bool(m, "on") ? "on" : "off");
			cli_cell(t, "%s", cli_get_str(m, "what"));
			cli_cell(t, "%s", cli_get_str(m, "detail"));
		}
		cli_table_print(t, stdout);
	}
	if (!cli_get_bool(doc, "device_isolated"))
		printf("Its device is not isolated: %s\n", cli_get_str(doc, "device_why_not"));
}

static int show_sandbox(const struct peer *peer)
{
	struct json_object *doc = NULL;
	struct ob_error err = {0};

	if (peer_ask(peer, "sandbox", 5000, &doc, &err))
		return cli_error("show", &err);
	if (cli_json())
		cli_print_json(doc);
	else
		print_sandbox(doc);
	if (!cli_json())
		json_object_put(doc);
	return CLI_OK;
}

static bool parse_interval(struct cli_args *args, struct view *v)
{
	char *end;

	v->watch = true;
	if (!args->value)
		return true;
	v->interval = strtod(args->value, &end);
	if (end != args->value && !*end && v->interval >= 0.05 && v->interval <= 86400)
		return true;
	args->exit_code = cli_bad(&usage,
				  "option '--watch': '%s' is not a number of seconds from 0.05 to "
				  "86400",
				  args->value);
	return false;
}

int cmd_show(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct view v = {.interval = 1, .count = -1};
	struct ob_error err = {0};
	struct cli_args args;
	struct peer peer;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_WORD:
			if (!cli_only_word(&args, &v.who, "instance"))
				return args.exit_code;
			break;
		case 'w':
			if (!parse_interval(&args, &v))
				return args.exit_code;
			break;
		case OPT_SANDBOX:
			v.sandbox = true;
			break;
		case OPT_COUNT:
			if (!cli_number(&args, "--count", 1, 1000000000, &v.count))
				return args.exit_code;
			break;
		default:
			return args.exit_code;
		}
	}
	if (v.count > 0 && !v.watch)
		return cli_bad(&usage, "option '--count %ld' is for --watch", v.count);
	if (v.sandbox && v.watch)
		return cli_bad(
			&usage,
			"option '--sandbox' shows an instance once, and --watch again and again");
	if (!v.watch)
		v.count = 1;
	if ((v.who || v.sandbox) && peer_find(v.who, &peer, &err))
		return cli_error("show", &err);
	if (v.sandbox)
		return show_sandbox(&peer);
	if (v.watch) {
		sigaction(SIGINT, &sa, NULL);
		sigaction(SIGTERM, &sa, NULL);
	}
	return show(&v, &peer);
}
