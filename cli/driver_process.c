/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver process below a keeper: all of an instance but its name and COMMAND. It may die at any instruction; whatever
 * clients need afterwards is the keeper's or the kernel's.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attach/kept.h"
#include "cli/cli.h"
#include "cli/keep.h"
#include "cli/open_one.h"

struct driver {
	const struct driver_seat *seat;
	struct instance *ins;
	bool said_end;
};

static void fail(const struct driver *d, struct ob_error *err, int exit_code)
{
	channel_send(d->seat->events, CHANNEL_FAILED, exit_code, err, NULL, -1);
	/* The keeper's streams and handlers are not ours to run. */
	_exit(exit_code);
}

static int failure_code(const struct instance *ins, const struct ob_error *err)
{
	for (unsigned int i = 0; i < ins->n; i++)
		if (ins->unit[i].dev && ob_device_gone(ins->unit[i].dev))
			return CLI_GONE;
	return cli_exit_code(err->code);
}

/* Code of a driver's runs in this process only, and be it a constructor's. */
static int load_drivers(struct instance *ins, struct ob_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < ins->n && !ret; i++) {
		struct unit *unit = &ins->unit[i];

		if (unit->driver_name && !unit->driver)
			ret = cli_driver(unit->driver_name, &unit->driver, err);
	}
	return ret;
}

/* What is not made to be taken over goes with the process, and comes again as another. */
static void warn(const struct instance *ins)
{
	for (unsigned int i = 0; i < ins->n; i++)
		for (unsigned int k = 0; k < ins->unit[i].nr_at; k++)
			if (!ins->unit[i].at[k]->ops->outlives)
				fprintf(stderr,
					"outboard run: warning: attachment %s does not outlive a driver process: "
					"when it dies, clients of %s get errors\n",
					ins->unit[i].at[k]->ops->name, ins->unit[i].info[k].name);
}

static void begin(const struct driver *d)
{
	struct instance *ins = d->ins;
	struct ob_error err = {0};
	int ret, netns = -1;
	struct json_object *doc;

	ret = load_drivers(ins, &err);
	if (!ret)
		ret = instance_open(ins, &err);
	if (ret)
		fail(d, &err, failure_code(ins, &err));
	for (unsigned int i = 0; i < ins->n && !ret; i++) {
		ret = heartbeat_attach(d->seat->beats, i, ins->unit[i].loop);
		if (ret)
			ob_error_set(&err, ret, "%s: its loop takes no heartbeat: %s",
				     ins->unit[i].spec, strerror(-ret));
	}
	if (!ret)
		ret = instance_start(ins, &err);
	if (!ret)
		ret = instance_publish(ins, &err);
	if (ret) {
		struct ob_error ignored;
		int code = failure_code(ins, &err);

		instance_unpublish(ins, true, &ignored);
		instance_stop(ins);
		instance_close(ins);
		fail(d, &err, code);
	}
	if (d->seat->first)
		warn(ins);
	doc = d->seat->ready(d->seat->ready_arg, &netns);
	ret = channel_send(d->seat->events, CHANNEL_READY, 0, NULL,
			   json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN), netns);
	json_object_put(doc);
	if (ret)
		_exit(CLI_FAILED);
}

static void look(struct driver *d)
{
	struct ob_error err = {0};
	enum ended_by by = instance_serving_ops.look(d->ins, &err);

	for (unsigned int i = 0; i < d->ins->n; i++)
		if (d->ins->unit[i].call.ended)
			heartbeat_detach(d->seat->beats, i);
	if (!by || d->said_end)
		return;
	d->said_end = true;
	channel_send(d->seat->events, CHANNEL_ENDED, (int)by, &err, NULL, -1);
}

static void answer_document(const struct driver *d, struct json_object *doc)
{
	const char *text = json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN);
	struct ob_error err = {0};
	int ret = channel_send(d->seat->ask, CHANNEL_ANSWER, 0, NULL, text, -1);

	if (ret) {
		ob_error_set(&err, ret, "its answer is too long");
		channel_send(d->seat->ask, CHANNEL_ANSWER, ret, &err, NULL, -1);
	}
	json_object_put(doc);
}

static void unpublish(const struct driver *d, bool force)
{
	struct ob_error err = {0};
	int ret = instance_unpublish(d->ins, force, &err);

	channel_send(d->seat->ask, CHANNEL_ANSWER, ret, &err, NULL, -1);
}

static void finish(const struct driver *d)
{
	for (unsigned int i = 0; i < d->ins->n; i++)
		heartbeat_detach(d->seat->beats, i);
	instance_stop(d->ins);
	answer_document(d, instance_state(d->ins));
	instance_close(d->ins);
	_exit(CLI_OK);
}

static void answer(struct driver *d)
{
	struct channel_message m;
	int ret = channel_receive(d->seat->ask, &m, 0);

	if (ret == -EAGAIN)
		return;
	if (ret)
		_exit(CLI_FAILED); /* the keeper is gone */
	if (!strcmp(m.text, "unpublish") || !strcmp(m.text, "unpublish force"))
		unpublish(d, m.text[9] != '\0');
	else if (!strcmp(m.text, "finish"))
		finish(d);
	else
		answer_document(d, instance_answer(d->ins, m.text));
	free(m.text);
}

void driver_process(const struct driver_seat *seat)
{
	struct driver d = {.seat = seat, .ins = seat->ins};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != seat->keeper)
		_exit(CLI_FAILED); /* it died before the line above */
	prctl(PR_SET_NAME, "outboard-driver");
	ob_kept_connect(seat->gifts);
	begin(&d);
	for (;;) {
		struct pollfd p[2 + UNITS] = {{.fd = seat->ask, .events = POLLIN}};
		int timeout_ms = -1;
		/* What is gone stays readable for ever. */
		unsigned int n =
			d.said_end ? 0
				   : instance_serving_ops.fds(d.ins, p + 1, 1 + UNITS, &timeout_ms);

		if (poll(p, n + 1, timeout_ms) < 0 && errno != EINTR)
			_exit(CLI_FAILED);
		look(&d);
		if (p[0].revents)
			answer(&d);
	}
}
