/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `outboard run --restart`: the instance is driven by a process of its own, the driver process, and this one keeps what must
 * outlive it: devices' QEMUs and claims, taps, listening sockets, COMMAND, the name. It runs nothing of the driver's.
 */
#ifndef CLI_KEEP_H
#define CLI_KEEP_H

#include "cli/instance.h"
#include "keeper/channel.h"
#include "keeper/heartbeat.h"
#include "keeper/restart.h"

enum {
	KEEP_RECOVERIES = 256,
	KEEP_DRIVER = 768,
};

enum keep_state {
	KEEP_STARTING, /* a driver process opens its devices */
	KEEP_SERVING,
	KEEP_WAITING, /* for the back-off */
	KEEP_DOWN,    /* no more is started */
};

/* Another driver for a device, in its place. */
enum keep_upgrade {
	UPGRADE_NONE,
	UPGRADE_ASKED,
	UPGRADE_RUNNING, /* a driver process with the new one begins */
	UPGRADE_BACK,	 /* one with the old one begins, since the new one did not come up */
	UPGRADE_ENDED,	 /* and nobody has read the result yet */
};

/**
 * struct keeper - one driver process after the other
 * @ready: called in the driver process when all is attached: a document for the keeper and COMMAND; @netns: a namespace, or -1
 * @ready_arg: for it
 * @quiet: nothing but errors is said
 * @generation: of the driver process, from 1
 * @cause, @last_cause: of the death that is dealt with, and of the one before; for people
 * @recovery_ms: from a death to the next READY: the last ones
 */
struct keeper {
	struct instance *ins;
	struct restart_policy policy;
	struct json_object *(*ready)(void *arg, int *netns);
	void *ready_arg;
	bool quiet;

	enum keep_state state;
	pid_t pid;
	int pidfd;
	int events, gifts; /* our ends */
	struct heartbeat beats;
	struct restart_history history;
	unsigned int generation, deaths, hangs;
	uint64_t began_ns, started_ns, ready_ns, died_ns, respawn_ns;
	char cause[256], last_cause[256];
	double recovery_ms[KEEP_RECOVERIES];
	unsigned int recoveries;
	struct ob_error err;

	/* Questions, from any thread. */
	pthread_mutex_t ask_lock;
	int ask;

	/* An upgrade: asked for by control's thread, done by the main thread. */
	enum keep_upgrade upgrade;
	pthread_cond_t upgraded;
	int wake_fd;
	unsigned int upgrade_unit, upgrades;
	char driver[UNITS][KEEP_DRIVER]; /* names that were not on the command line */
	char asked_driver[KEEP_DRIVER], back_driver[KEEP_DRIVER];
	const char *old_driver;
	double upgrade_ms;
	struct ob_error upgrade_err;
};

/**
 * keep_start() - hold the devices, start the first driver process, wait until it serves
 * @k: ins, policy, ready and ready_arg are set
 * @stop: when it becomes true the wait ends with -EINTR
 * @doc: what its ready() said
 * @netns: or -1; the caller's
 *
 * Return: 0; an error, with *@exit_code.
 */
int keep_start(struct keeper *k, const atomic_int *stop, struct json_object **doc, int *netns,
	       int *exit_code, struct ob_error *err);
/** keep_ask() - have the driver process answer; -EAGAIN: there is none now that could */
int keep_ask(struct keeper *k, const char *request, int timeout_ms, struct channel_message *answer);
/** keep_finish() - the driver process ends in order; its last state, or NULL */
struct json_object *keep_finish(struct keeper *k);
/** keep_end() - it ends however it is, and what was held with it */
void keep_end(struct keeper *k);

/** keep_answer() - control_ops.answer */
struct json_object *keep_answer(void *k, const char *request);
/** keep_put_state() - into a state: "keeper" */
void keep_put_state(struct keeper *k, struct json_object *state);
extern const struct serving_ops keep_serving_ops;

/* ---- driver_process.c -------------------------------------------------------------------- */

/**
 * struct driver_seat - what a driver process finds when it is forked
 * @first: there was none before
 * @events, @ask, @gifts: its ends
 */
struct driver_seat {
	struct instance *ins;
	struct heartbeat *beats;
	pid_t keeper;
	bool first;
	int events, ask, gifts;
	struct json_object *(*ready)(void *arg, int *netns);
	void *ready_arg;
};

void driver_process(const struct driver_seat *seat) __attribute__((noreturn));

#endif
