/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver process below a keeper in a sandbox (keeper/sandbox.h): whether it can be, what it works with, which descriptors it
 * needs. Its rights go after its devices are open and before any code of a driver's is loaded; what attachments still need
 * of the system is done by the broker (attach/broker.h), a process beside it.
 */
#ifndef CLI_CONFINE_H
#define CLI_CONFINE_H

#include "cli/instance.h"
#include "keeper/sandbox.h"

enum confine_mode {
	CONFINE_AUTO, /* where it can be */
	CONFINE_OFF,
	CONFINE_REQUIRE, /* or the run ends */
};

/* What `--sandbox` says of itself, for errors and --help. */
#define CONFINE_HELP                                                                               \
	"auto, off, or require, each with [,memory=SIZE][,memlock=SIZE][,files=N][,threads=N]"     \
	"[,cpu=PERCENT][,debug] or [,unsafe-device]"

enum {
	CONFINE_WHY = 256,
	CONFINE_FDS = 1024,
};

/**
 * struct confine - the sandbox of an instance's driver processes
 * @unsafe_device: require is content with a device that is not isolated
 * @on: driver processes are confined
 * @why_not: or why not
 * @device_why_not: why a device is not isolated; empty when all are
 */
struct confine {
	enum confine_mode mode;
	bool unsafe_device, on;
	char why_not[CONFINE_WHY], device_why_not[2 * CONFINE_WHY];
	struct sandbox box;
	bool prepared;
	uint64_t oom_kills; /* told so far */
};

/** confine_parse() - from the command line's text */
int confine_parse(const char *text, struct confine *c, struct ob_error *err);

/**
 * confine_prepare() - in the keeper, before its first driver process
 *
 * Return: 0; an error where a sandbox is required, and cannot be, or a device is not isolated.
 */
int confine_prepare(struct confine *c, const struct instance *ins, struct ob_error *err);

/** confine_release() - in the keeper, when the last driver process has ended */
void confine_release(struct confine *c);

/** confine_ran_out() - in the keeper: has the cgroup's limit of memory ended a process since this was asked last? */
bool confine_ran_out(struct confine *c);

/** confine_fork() - as fork(); in the sandbox's process namespace where it is on */
pid_t confine_fork(struct confine *c);

/** confine_give_up() - the next driver processes are not confined, for this reason */
void confine_give_up(struct confine *c, const char *why);

/* ---- in the driver process ------------------------------------------------------------------- */

/**
 * struct descriptors - a list of them
 * @own: those of a process that was just forked, to tell them from what it opens
 */
struct descriptors {
	int fd[CONFINE_FDS];
	unsigned int n;
};

/** descriptors_list() - all of this process */
void descriptors_list(struct descriptors *d);

/**
 * confine_can_be() - its devices are open: can all of its attachments be had from within?
 * @why: or why not
 */
bool confine_can_be(const struct instance *ins, char *why, size_t size);

/**
 * confine_enter() - give up all rights
 * @before: what was open when the process began; of that only @keep stays open
 *
 * Drivers' names that are relative paths become absolute: there is another root afterwards.
 */
int confine_enter(struct confine *c, struct instance *ins, const struct descriptors *before,
		  const int *keep, unsigned int nr_keep, struct ob_error *err);

/** confine_lock() - it serves: the short list of system calls */
int confine_lock(struct confine *c, const struct instance *ins, struct ob_error *err);

#endif
