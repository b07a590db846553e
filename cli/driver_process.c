/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver process below a keeper: all of an instance but its name and COMMAND. It may die at any instruction; whatever
 * clients need afterwards is the keeper's or the kernel's.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "access/threads.h"
#include "attach/broker.h"
#include "attach/kept.h"
#include "cli/cli.h"
#include "cli/keep.h"
#include "cli/open_one.h"

enum {
	BEGIN_US = 5000000, /* unless its loop has ended already, which is looked at next */
};

struct driver {
	const struct driver_seat *seat;
	struct instance *ins;
	bool said_end;
};

/* A question to a driver, as ethtool's self-test, may take longer than a heartbeat. */
static struct excused {
	struct heartbeat *beats;
	unsigned int index;
} excused[UNITS];

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

/* Of its loop's thread. */
static void excuse(void *arg, bool on)
{
	const struct excused *e = arg;

	heartbeat_excuse(e->beats, e->index, on);
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

/* Its devices are open, and nothing of a driver's has run. */
static void confine(const struct driver *d, const struct descriptors *before)
{
	const struct driver_seat *seat = d->seat;
	int keep[HEARTBEAT_LOOPS + 9] = {
		STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,	     seat->events,     seat->ask,
		seat->gifts,  seat->broker,  seat->vitals->order_fd, d->ins->verify.fd};
	unsigned int n = 9;
	char why[CONFINE_WHY];
	struct ob_error err = {0};

	if (!confine_can_be(d->ins, why, sizeof(why))) {
		if (seat->confine->mode == CONFINE_REQUIRE) {
			ob_error_set(&err, -EPERM, "option '--sandbox=require': %s", why);
			fail(d, &err, CLI_FAILED);
		}
		channel_send(seat->events, CHANNEL_UNCONFINED, 0, NULL, why, -1);
		_exit(CLI_OK);
	}
	for (unsigned int i = 0; i < seat->beats->n; i++)
		keep[n++] = seat->beats->watch[i].ping_fd;
	if (confine_enter(seat->confine, d->ins, before, keep, n, &err))
		fail(d, &err, cli_exit_code(err.code));
}

static void open_all(const struct driver *d)
{
	struct instance *ins = d->ins;
	static struct descriptors before;
	struct ob_error err = {0};
	int ret;

	if (d->seat->confine->on) {
		descriptors_list(&before);
		ob_threads_hold();
	}
	ret = instance_open_devices(ins, &err);
	if (ret)
		fail(d, &err, failure_code(ins, &err));
	if (d->seat->confine->on)
		confine(d, &before);
	ret = load_drivers(ins, &err);
	if (!ret)
		ret = instance_open_drivers(ins, &err);
	if (ret)
		fail(d, &err, failure_code(ins, &err));
}

static void begin(const struct driver *d)
{
	struct instance *ins = d->ins;
	struct ob_error err = {0};
	int ret = 0, netns = -1;
	struct json_object *doc;

	open_all(d);
	for (unsigned int i = 0; i < ins->n && !ret; i++) {
		excused[i] = (struct excused){d->seat->beats, i};
		ins->unit[i].call.excuse_arg = &excused[i];
		ins->unit[i].call.excuse = excuse;
		ret = heartbeat_attach(d->seat->beats, i, ins->unit[i].loop);
		if (ret)
			ob_error_set(&err, ret, "%s: its loop takes no heartbeat: %s",
				     ins->unit[i].spec, strerror(-ret));
	}
	for (unsigned int i = 0; i < ins->n && !ret; i++)
		vitals_attach(d->seat->vitals, i, ins->unit[i].loop, ins->unit[i].dev,
			      ins->unit[i].binding, ins->unit[i].at[0]);
	if (!ret)
		ret = instance_start(ins, &err);
	if (!ret)
		ret = instance_publish(ins, &err);
	if (ret) {
		struct ob_error ignored;
		int code = failure_code(ins, &err);

		if (!ins->goes_on) {
			instance_unpublish(ins, true, &ignored);
			instance_stop(ins);
			instance_close(ins);
		}
		fail(d, &err, code);
	}
	if (d->seat->warns)
		warn(ins);
	/* A loop says in its first round which thread it is, with a call that it does not have later. */
	for (unsigned int us = 0; d->seat->confine->on && us < BEGIN_US; us += 20) {
		if (heartbeat_begun(d->seat->beats))
			break;
		usleep(20);
	}
	/* json-c takes a random number when it is first used. */
	doc = d->seat->ready(d->seat->ready_arg, &netns);
	if (d->seat->confine->on) {
		ret = confine_lock(d->seat->confine, ins, &err);
		if (ret)
			fail(d, &err, CLI_FAILED);
	}
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

void broker_process(const struct instance *ins, pid_t keeper, int sock, int gifts)
{
	const char *attachments[UNITS];
	unsigned int n = 0;
	struct descriptors all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(CLI_FAILED);
	prctl(PR_SET_NAME, "outboard-broker");
	/* What it starts, caretakers, need not be waited for. */
	signal(SIGCHLD, SIG_IGN);
	/* What the keeper has is not to live longer by this process. */
	descriptors_list(&all);
	for (unsigned int i = 0; i < all.n; i++)
		if (all.fd[i] > STDERR_FILENO && all.fd[i] != sock && all.fd[i] != gifts)
			close(all.fd[i]);
	ob_kept_connect(gifts, keeper);
	for (unsigned int i = 0; i < ins->n; i++)
		if (ins->unit[i].attach)
			attachments[n++] = ins->unit[i].attach;
	ob_broker_serve(sock, attachments, n);
	_exit(CLI_OK);
}

/* In the thread of a disk's queue, and nothing is told to its clients any more: they ask the next process. */
static void was_wrong(void *arg, const struct ob_error *what)
{
	const struct driver_seat *seat = arg;

	channel_send(seat->events, CHANNEL_WRONG, 0, what, NULL, -1);
	_exit(CLI_FAILED);
}

void driver_process(const struct driver_seat *seat)
{
	struct driver d = {.seat = seat, .ins = seat->ins};

	/* A process namespace hides the keeper: sandbox_enter() looks after that. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!seat->confine->on && getppid() != seat->keeper)
		_exit(CLI_FAILED); /* it died before the line above */
	prctl(PR_SET_NAME, "outboard-driver");
	ob_kept_connect(seat->gifts, seat->keeper);
	d.ins->goes_on = seat->goes_on;
	d.ins->verify.wrong = was_wrong;
	d.ins->verify.arg = (void *)(uintptr_t)seat;
	if (seat->broker >= 0)
		ob_broker_connect(seat->broker, heartbeat_wait);
	begin(&d);
	for (;;) {
		struct pollfd p[3 + UNITS] = {{.fd = seat->ask, .events = POLLIN},
					      {.fd = seat->vitals->order_fd, .events = POLLIN}};
		int timeout_ms = -1;
		/* What is gone stays readable for ever. */
		unsigned int n =
			d.said_end ? 0
				   : instance_serving_ops.fds(d.ins, p + 2, 1 + UNITS, &timeout_ms);

		if (poll(p, n + 2, timeout_ms) < 0 && errno != EINTR)
			_exit(CLI_FAILED);
		look(&d);
		if (p[1].revents)
			vitals_obey(seat->vitals);
		if (p[0].revents)
			answer(&d);
	}
}
