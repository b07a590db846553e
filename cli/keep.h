/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `outboard run --restart`: the instance is driven by a process of its own, the driver process, and this one keeps what must
 * outlive it: devices' QEMUs and claims, taps, listening sockets, COMMAND, the name. It runs nothing of the driver's.
 */
#ifndef CLI_KEEP_H
#define CLI_KEEP_H

#include "cli/confine.h"
#include "cli/instance.h"
#include "keeper/channel.h"
#include "keeper/heartbeat.h"
#include "keeper/irq_counts.h"
#include "keeper/restart.h"
#include "keeper/usage.h"
#include "keeper/vitals.h"

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

/* Why a driver process died, for counts. */
enum keep_reason {
	REASON_NONE,
	REASON_SIGNAL,
	REASON_EXIT,
	REASON_START, /* it could not begin */
	REASON_LOOP,  /* a loop failed */
	REASON_HANG,
	REASON_AGE,
	REASON_STORM,
	REASON_LEAK,
	REASON_IOMMU,
	REASON_DATA, /* a disk's data are not what was written */
	KEEP_REASONS,
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
 * struct keep_watch - what is looked at while a driver process serves, beside its heartbeat
 * @first: what it used when it began to serve, once @has_first
 * @kmsg_fd: the kernel's log, which tells of blocked accesses of this machine's devices; or -1
 * @embedded: all its devices are models, whose QEMU this process holds, and which vanish only with it
 * @storms, @blocked: counted over all driver processes
 * @last_fault: for people
 */
struct keep_watch {
	struct vitals vitals;
	struct irq_counts irqs[UNITS];
	struct usage first, last;
	bool has_first, embedded;
	int kmsg_fd;
	uint64_t looked_ns, storms_looked_ns;
	uint64_t storms, blocked, told_ns;
	uint64_t oldest_ms, unsent_ms; /* now */
	char last_fault[VITALS_TEXT];
};

/**
 * struct keeper - one driver process after the other
 * @ready: called in the driver process when all is attached: a document for the keeper and COMMAND; @netns: a namespace, or -1
 * @ready_arg: for it
 * @begun: set when there is something to end in order
 * @ended: by what the instance is ending, if it is
 * @quiet: nothing but errors is said
 * @restart_given: somebody counts on it, and is warned of what does not outlive a driver process
 * @generation: of the driver process, from 1
 * @cause, @last_cause: of the death that is dealt with, and of the one before; for people
 * @recovery_ms: from a death to the next READY: the last ones
 */
struct keeper {
	struct instance *ins;
	struct restart_policy policy;
	struct confine confine;
	struct json_object *(*ready)(void *arg, int *netns);
	void *ready_arg;
	atomic_bool *begun;
	const enum ended_by *ended;
	bool quiet, restart_given;
	uint64_t alive_ns; /* when the manager was told */

	enum keep_state state;
	pid_t pid, broker, ended_broker; /* 0: none; the last one is still to be waited for */
	int pidfd;
	int events, gifts; /* our ends */
	struct heartbeat beats;
	struct keep_watch watch;
	struct restart_history history;
	unsigned int generation, deaths, hangs;
	unsigned int deaths_at_end; /* while it is ending, since one answered what became of that */
	enum keep_reason reason;    /* of the death that is dealt with */
	unsigned int died_of[KEEP_REASONS];
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

/** keep_kill() - end the driver process for a reason, unless it is being ended for another */
void keep_kill(struct keeper *k, enum keep_reason reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- keep_watch.c ------------------------------------------------------------------------- */

int keep_watch_open(struct keeper *k, struct ob_error *err);
void keep_watch_close(struct keeper *k);
/** keep_watch_reset() - another driver process begins */
void keep_watch_reset(struct keeper *k);
/** keep_watch_look() - at one that serves */
void keep_watch_look(struct keeper *k);
/** keep_watch_fds() - what else to wait for, and until when; returns how many were written to @p */
unsigned int keep_watch_fds(struct keeper *k, struct pollfd *p, int *timeout_ms);
/** keep_watch_gone() - is a device gone, so that no driver process can serve it? -ENODEV, and @err says which and why; 0 */
int keep_watch_gone(struct keeper *k, struct ob_error *err);
/** keep_watch_lives() - are its devices there for certain, although a driver process could not reach one? */
bool keep_watch_lives(struct keeper *k);
/** keep_watch_put_state() - into "keeper" of a state */
void keep_watch_put_state(struct keeper *k, struct json_object *keeper);

/* ---- keep_manager.c: what a manager of services is told, if one started us (keeper/notify.h) ------------- */

/** keep_manager_tell() - the state has changed */
void keep_manager_tell(const struct keeper *k);
/** keep_manager_look() - the main loop is alive; shortens *@timeout_ms to when it has to say so again */
void keep_manager_look(struct keeper *k, int *timeout_ms);
/** keep_manager_stopping() - it ends, and that may take long */
void keep_manager_stopping(const struct keeper *k);

/** keep_answer() - control_ops.answer */
struct json_object *keep_answer(void *k, const char *request);
/** keep_put_state() - into a state: "keeper" */
void keep_put_state(struct keeper *k, struct json_object *state);
extern const struct serving_ops keep_serving_ops;

/* ---- driver_process.c -------------------------------------------------------------------- */

/**
 * struct driver_seat - what a driver process finds when it is forked
 * @warns: of attachments that do not outlive it
 * @goes_on: others have served before it, whose clients wait
 * @confine: its sandbox, if that is on
 * @events, @ask, @gifts, @broker: its ends; @broker -1 where there is none
 */
struct driver_seat {
	struct instance *ins;
	struct confine *confine;
	struct heartbeat *beats;
	struct vitals *vitals;
	pid_t keeper;
	bool warns, goes_on;
	int events, ask, gifts, broker;
	struct json_object *(*ready)(void *arg, int *netns);
	void *ready_arg;
};

void driver_process(const struct driver_seat *seat) __attribute__((noreturn));

/**
 * broker_process() - in a process that was just forked, for the driver process behind @sock: attach/broker.h
 * @gifts: as the driver process's
 */
void broker_process(const struct instance *ins, pid_t keeper, int sock, int gifts)
	__attribute__((noreturn));

#endif
