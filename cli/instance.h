/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One `outboard run`: its devices, each with a driver, a loop in a thread of its own and attachments;
 * and what it tells of itself.
 */
#ifndef CLI_INSTANCE_H
#define CLI_INSTANCE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include <json-c/json.h>

#include <outboard/attach.h>

enum {
	UNITS = 16,
	NAME_SIZE = 64,
};

/*
 * A function to be called in a loop's thread: questions to drivers and attachments belong there.
 */
struct loop_call {
	pthread_mutex_t lock;
	pthread_cond_t done;
	atomic_bool pending;
	void (*fn)(void *arg);
	void *arg;
	int fd;
	bool ended;			    /* the loop runs no more: call directly */
	void (*excuse)(void *arg, bool on); /* it takes its time; or NULL */
	void *excuse_arg;
};

/**
 * struct unit - one device and all that serves it
 * @spec, @driver, @attach: as they were typed; driver and attach may be NULL
 * @info: of each attachment, as it was when last published
 * @why: why this attachment and not another, for a person; may be empty
 */
struct unit {
	const char *spec;
	const char *driver_name;
	const char *attach;
	const struct ob_driver *driver;
	struct ob_driver_config config;

	struct ob_device *dev;
	struct ob_binding *binding;
	struct ob_loop *loop;
	struct loop_call call;
	pthread_t thread;
	bool started;
	int priority, cpu; /* of the thread: SCHED_FIFO or 0, CPU or -1 */
	int ended_fd;	   /* the instance's; written when the loop ends by itself */
	int loop_ret;
	double cpu_seconds; /* of the thread, once it has ended */

	struct ob_attach *at[OB_BINDING_BLOCKS];
	bool published[OB_BINDING_BLOCKS];
	struct ob_attach_info info[OB_BINDING_BLOCKS];
	char why[OB_BINDING_BLOCKS][256];
	unsigned int nr_at;
};

/**
 * struct verify_seat - --verify: no driver is believed (class/verify.h)
 * @fd: memory for all disks of the instance, the keeper's; -1 without one
 * @log: bytes of contents that are kept for each
 * @wrong: in the driver process, when a driver was wrong
 */
struct verify_seat {
	bool on;
	int fd;
	uint64_t log;
	void (*wrong)(void *arg, const struct ob_error *what);
	void *arg;
};

struct instance {
	char name[NAME_SIZE];
	enum ob_mode mode;
	struct unit unit[UNITS];
	unsigned int n;
	struct timespec began; /* monotonic */
	pid_t pid;	       /* that has opened it */
	uid_t uid;
	double served;	    /* seconds, once it has ended */
	bool attach_shared; /* one --attach for all devices of its class */
	char **command;	    /* or NULL */
	int ended_fd;	    /* eventfd: a loop ended by itself */
	struct verify_seat verify;
	bool goes_on; /* a keeper's, not its first process: what a failed start has opened stays for the next one, as after a crash */
};

/** attachment_named() - of what `--attach` says, or NULL; attachment_is_auto() - does it, or nobody, leave that to us? */
const struct ob_attach_ops *attachment_named(const char *text);
bool attachment_is_auto(const char *text);

/** instance_open() - open the devices, bind the drivers, make the attachments; undone on failure, unless the instance goes on */
int instance_open(struct instance *ins, struct ob_error *err);
/** instance_open_devices(), instance_open_drivers() - the first of these three, and the others. Nothing of a driver's runs in the first */
int instance_open_devices(struct instance *ins, struct ob_error *err);
int instance_open_drivers(struct instance *ins, struct ob_error *err);
/** instance_start() - start the loops' threads */
int instance_start(struct instance *ins, struct ob_error *err);
/** instance_publish() - make the attachments visible; may wait for the loops */
int instance_publish(struct instance *ins, struct ob_error *err);
/** instance_unpublish() - -EBUSY while a client holds one, unless @force; then tell again later */
int instance_unpublish(struct instance *ins, bool force, struct ob_error *err);
/** instance_stop() - end the loops' threads */
void instance_stop(struct instance *ins);
void instance_close(struct instance *ins);

/** verify_parse_log() - the value of --verify-log */
int verify_parse_log(const char *text, struct verify_seat *seat, struct ob_error *err);
/** verify_hold() - in the keeper, before the first driver process: take the memory */
int verify_hold(struct verify_seat *seat, struct ob_error *err);
void verify_release(struct verify_seat *seat);
/** verify_unit() - its driver was bound: its disks are verified from now on */
int verify_unit(struct instance *ins, unsigned int unit, struct ob_error *err);
/** verify_unit_end() - before the driver is unbound */
void verify_unit_end(struct unit *unit);

/** unit_call() - have @fn(@arg) run where questions to @unit's driver belong, and wait for it */
void unit_call(struct unit *unit, void (*fn)(void *arg), void *arg);

/** unit_refresh_info() - fill @unit->info; an interface may have been renamed meanwhile */
void unit_refresh_info(struct unit *unit);

/** instance_state() - all counters, as `show --json` prints them */
struct json_object *instance_state(struct instance *ins);
/** state_print_summary() - the table at the end of a run, from a state */
void state_print_summary(struct json_object *state, FILE *f);
/** state_print() - everything of a state that a person may want */
void state_print(struct json_object *state, struct json_object *before, FILE *f);

/** unit_is_embedded() - is its device a model of QEMU's, which was started for it? */
bool unit_is_embedded(const struct unit *unit);

/** unit_shall_vanish() - is a removal of its device injected (fault[gone=N])? It is gone then, whatever is below */
bool unit_shall_vanish(const struct unit *unit);

/** unit_part_name() - "nvme0n1", or the device's name for what has none of its own */
const char *unit_part_name(const struct unit *unit, unsigned int index);

/* ---- serve.c --------------------------------------------------------------------------- */

enum ended_by {
	ENDED_NOT,
	ENDED_SIGNAL,
	ENDED_COMMAND,
	ENDED_STOP,   /* outboard stop */
	ENDED_GONE,   /* a device, or the QEMU behind it, died */
	ENDED_FAILED, /* a loop failed */
};
extern const char *const ended_names[];

struct minder;
struct pollfd;
struct serving;

/**
 * struct serving_ops - what is served: an instance of this process, or a driver process that is kept
 * @fds: what else to wait for; returns how many were written to @p, at most @max. May shorten *@timeout_ms (-1: for ever)
 * @look: after each wait: by what it is ended, or ENDED_NOT; fills @err for ENDED_GONE and ENDED_FAILED
 * @unpublish: as instance_unpublish()
 */
struct serving_ops {
	unsigned int (*fds)(void *arg, struct pollfd *p, unsigned int max, int *timeout_ms);
	enum ended_by (*look)(void *arg, struct ob_error *err);
	int (*unpublish)(void *arg, bool force, struct ob_error *err);
};
/* For an instance of this process. */
extern const struct serving_ops instance_serving_ops;

/**
 * struct serving - what the main thread watches while the loops work
 * @signals: how many signals came that ask for an end; @signo is the last
 * @begun: devices are open, so that an end takes some order
 * @forced: it was ended although something was in use
 */
struct serving {
	const struct serving_ops *ops;
	void *arg;	       /* for them */
	struct minder *minder; /* NULL without COMMAND */
	bool quiet;
	sigset_t set;
	pthread_t signal_thread;
	int wake_fd;
	atomic_int signals, signo;
	atomic_bool begun;
	enum ended_by ended;
	struct ob_error err; /* for ENDED_GONE and ENDED_FAILED */
	bool forced;

	/* a request to stop, from the control thread */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	enum {
		STOP_NONE,
		STOP_ASKED,
		STOP_ANSWERED
	} stop;
	bool stop_force;
	struct ob_error stop_err;
};

/** serving_init() - from now on signals are counted and do not end the process */
int serving_init(struct serving *s, const struct serving_ops *ops, void *arg, bool quiet,
		 struct ob_error *err);
/** serving_stop() - for control_start(): a request to stop */
int serving_stop(void *serving, bool force, struct ob_error *err);
/** serve() - until something ends it; then COMMAND has ended and nothing is published any more */
void serve(struct serving *s);
/** serving_end() - no more requests to stop are taken; signals still are */
void serving_end(struct serving *s);

/* ---- control.c: the socket that others ask -------------------------------------------- */

struct control;

/**
 * struct control_ops - who answers; called in control's thread
 * @answer: to what is no request to stop; a new object
 * @stop: a request to stop; fills @err when it cannot be
 */
struct control_ops {
	struct json_object *(*answer)(void *arg, const char *request);
	int (*stop)(void *arg, bool force, struct ob_error *err);
};

/**
 * control_start() - listen and answer, in a thread
 * @name: of the instance
 * @arg, @stop_arg: for the two operations
 */
int control_start(const char *name, const struct control_ops *ops, void *arg, void *stop_arg,
		  struct control **control, struct ob_error *err);
/** instance_answer() - control_ops.answer for an instance of this process */
struct json_object *instance_answer(void *ins, const char *request);
/** control_failed() - an answer that is an error */
struct json_object *control_failed(const struct ob_error *err);
void control_end(struct control *control);

/* ---- minder.c: COMMAND ---------------------------------------------------------------- */

/*
 * COMMAND runs below a small process of ours that is forked before there is any thread, device or
 * descriptor to inherit. It ends every process that COMMAND started when COMMAND ends, and when this
 * process dies, however it dies.
 */
struct minder {
	int pid;
	int sock;
	int status; /* of COMMAND, as wait() gives it */
	bool running, ended;
};

struct minder_options {
	char **command;
	bool private_mounts;
	bool output_to_stderr; /* standard output carries the JSON document */
};

int minder_fork(const struct minder_options *options, struct minder *m, struct ob_error *err);
/** minder_go() - run COMMAND. @env: "NAME=VALUE" strings, each ended by a NUL; @netns: or -1 */
int minder_go(struct minder *m, const char *env, size_t size, int netns, int *exit_code,
	      struct ob_error *err);
/** minder_signal() - to COMMAND and its process group */
void minder_signal(struct minder *m, int signo);
/** minder_read() - m->sock was readable: returns true when COMMAND has ended */
bool minder_read(struct minder *m);
/** minder_end() - end what is left of it, and wait */
void minder_end(struct minder *m);

#endif
