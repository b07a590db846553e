/* SPDX-License-Identifier: BSD-2-Clause */
/* The keeper's side of `outboard run --restart`: cli/keep.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/kept.h"
#include "cli/cli.h"
#include "cli/keep.h"
#include "keeper/fd_store.h"

#define NS_PER_MS 1000000ull

enum {
	/* A self-test that sets up the link anew on an emulated processor; whoever asks may have given up long before. */
	ASK_MS = 60000,
	/* The kernel may have to write back what is dirty. */
	UNPUBLISH_MS = 120000,
	FINISH_MS = 30000,
	SLICE_MS = 50,
	/* Driver processes that may die before what was attached is taken back: without a limit of deaths nothing else would end it. */
	DEATHS_AT_END = 5,
};

static const char *const state_names[] = {
	[KEEP_STARTING] = "starting",
	[KEEP_SERVING] = "serving",
	[KEEP_WAITING] = "waiting",
	[KEEP_DOWN] = "failed",
};

/* ---- a driver process -------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Before anything that it is not to have; and a driver process is not to have its end. */
static int start_broker(struct keeper *k, int gifts, int *end)
{
	const pid_t keeper = getpid();
	int pair[2], ret;

	*end = -1;
	if (!k->confine.on)
		return 0;
	ret = channel_pair(pair);
	if (ret)
		return ret;
	fflush(NULL);
	k->broker = fork();
	if (!k->broker)
		broker_process(k->ins, keeper, pair[1], gifts);
	ret = k->broker < 0 ? -errno : 0;
	if (ret) {
		k->broker = 0;
		close(pair[0]);
	}
	close(pair[1]);
	*end = ret ? -1 : pair[0];
	return ret;
}

static void reap_broker(struct keeper *k)
{
	while (k->ended_broker && waitpid(k->ended_broker, NULL, 0) < 0 && errno == EINTR)
		continue;
	k->ended_broker = 0;
}

/* It does nothing that is not finished with its driver process. That it is gone is waited for while the next one opens its device. */
static void end_broker(struct keeper *k)
{
	if (!k->broker)
		return;
	kill(k->broker, SIGKILL);
	reap_broker(k);
	k->ended_broker = k->broker;
	k->broker = 0;
}

static int spawn(struct keeper *k, struct ob_error *err)
{
	const pid_t keeper = getpid();
	int events[2], ask[2], gifts[2], broker, ret;

	/* What the one before died of, perhaps, or has ended since. */
	ret = k->generation ? keep_watch_gone(k, err) : 0;
	if (ret)
		return ret;
	ret = channel_pair(gifts);
	if (ret)
		goto fail;
	ret = start_broker(k, gifts[1], &broker);
	if (ret)
		goto close_gifts;
	ret = channel_pair(events);
	if (ret)
		goto close_broker;
	ret = channel_pair(ask);
	if (ret)
		goto close_events;
	heartbeat_reset(&k->beats);
	keep_watch_reset(k);
	k->reason = REASON_NONE;
	fflush(NULL);
	k->started_ns = ob_clock_ns();
	k->pid = confine_fork(&k->confine);
	if (!k->pid) {
		const struct driver_seat seat = {
			.ins = k->ins,
			.confine = &k->confine,
			.beats = &k->beats,
			.vitals = &k->watch.vitals,
			.keeper = keeper,
			.warns = !k->generation && k->restart_given,
			.goes_on = k->began_ns != 0,
			.events = events[1],
			.ask = ask[1],
			.gifts = gifts[1],
			.broker = broker,
			.ready = k->ready,
			.ready_arg = k->ready_arg,
		};

		close(events[0]);
		close(ask[0]);
		close(gifts[0]);
		driver_process(&seat);
	}
	if (k->pid < 0) {
		ret = k->pid;
		goto close_ask;
	}
	k->pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0);
	if (k->pidfd < 0) {
		ret = -errno;
		kill(k->pid, SIGKILL);
		waitpid(k->pid, NULL, 0);
		goto close_ask;
	}
	close(events[1]);
	close(ask[1]);
	close(gifts[1]);
	close_fd(&broker);
	reap_broker(k);
	k->events = events[0];
	k->gifts = gifts[0];
	pthread_mutex_lock(&k->ask_lock);
	k->ask = ask[0];
	k->state = KEEP_STARTING;
	k->generation++;
	pthread_mutex_unlock(&k->ask_lock);
	return 0;

close_ask:
	close(ask[0]);
	close(ask[1]);
close_events:
	close(events[0]);
	close(events[1]);
close_broker:
	close_fd(&broker);
	end_broker(k);
close_gifts:
	close(gifts[0]);
	close(gifts[1]);
fail:
	return ob_error_set(err, ret, "the driver process cannot be started: %s", strerror(-ret));
}

/* It has ended; nothing of it is left but what it gave. */
static int bury(struct keeper *k)
{
	int status = 0;

	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	k->died_ns = ob_clock_ns();
	end_broker(k);
	ob_kept_receive(k->gifts);
	close_fd(&k->pidfd);
	close_fd(&k->events);
	close_fd(&k->gifts);
	pthread_mutex_lock(&k->ask_lock);
	close_fd(&k->ask);
	k->pid = 0;
	k->state = KEEP_DOWN;
	pthread_mutex_unlock(&k->ask_lock);
	return status;
}

static void say_cause(struct keeper *k, int status)
{
	bool ran_out = confine_ran_out(&k->confine);

	if (*k->cause)
		return; /* it was killed for something that is known, or had said what is wrong */
	k->reason = ran_out ? REASON_LEAK : WIFSIGNALED(status) ? REASON_SIGNAL : REASON_EXIT;
	if (ran_out)
		snprintf(k->cause, sizeof(k->cause), "it used more memory than its cgroup may");
	else if (WIFSIGNALED(status))
		snprintf(k->cause, sizeof(k->cause), "it was ended by signal %d (%s)%s%s",
			 WTERMSIG(status), strsignal(WTERMSIG(status)),
			 WCOREDUMP(status) ? ", core dumped" : "",
			 k->confine.on && WTERMSIG(status) == SIGSYS
				 ? ": it made a system call that its sandbox forbids"
				 : "");
	else
		snprintf(k->cause, sizeof(k->cause), "it exited with code %d", WEXITSTATUS(status));
}

void keep_kill(struct keeper *k, enum keep_reason reason, const char *fmt, ...)
{
	va_list ap;

	if (*k->cause || k->pid <= 0)
		return;
	va_start(ap, fmt);
	vsnprintf(k->cause, sizeof(k->cause), fmt, ap);
	va_end(ap);
	k->reason = reason;
	kill(k->pid, SIGKILL);
}

/* ---- while it serves --------------------------------------------------------------------------------- */

static void end_upgrade(struct keeper *k, uint64_t now)
{
	if (k->upgrade != UPGRADE_RUNNING && k->upgrade != UPGRADE_BACK)
		return;
	k->upgrade_ms = (double)(now - k->died_ns) / 1e6;
	k->upgrades += k->upgrade == UPGRADE_RUNNING;
	k->upgrade = UPGRADE_ENDED;
	pthread_cond_broadcast(&k->upgraded);
}

static void is_ready(struct keeper *k)
{
	uint64_t now = ob_clock_ns();
	bool upgraded;

	pthread_mutex_lock(&k->ask_lock);
	k->state = KEEP_SERVING;
	k->ready_ns = now;
	if (!k->began_ns)
		k->began_ns = now;
	upgraded = k->upgrade == UPGRADE_RUNNING;
	if (k->died_ns && !upgraded) {
		double ms = (double)(now - k->died_ns) / 1e6;

		k->recovery_ms[k->recoveries++ % KEEP_RECOVERIES] = ms;
	}
	end_upgrade(k, now);
	pthread_mutex_unlock(&k->ask_lock);
	keep_manager_tell(k);
	if (k->died_ns && !upgraded && !k->quiet)
		fprintf(stderr, "outboard run: driver process %d serves again after %.1f ms\n",
			k->pid, (double)(now - k->died_ns) / 1e6);
}

/* Return: what ended the instance, if it did. */
static enum ended_by take_event(struct keeper *k, const struct channel_message *m,
				struct ob_error *err)
{
	switch (m->kind) {
	case CHANNEL_READY:
		if (k->state == KEEP_STARTING)
			is_ready(k);
		break;
	case CHANNEL_FAILED:
		snprintf(k->cause, sizeof(k->cause), "it could not begin: %.200s", m->err.what);
		k->reason = REASON_START;
		k->err = m->err;
		/* A device that is gone comes back by no restart. One that this process alone cannot reach is there. */
		if (m->value == CLI_GONE && !keep_watch_lives(k)) {
			*err = m->err;
			return ENDED_GONE;
		}
		break;
	case CHANNEL_WRONG:
		if (*k->cause)
			break;
		snprintf(k->cause, sizeof(k->cause), "its driver was wrong: %.220s", m->err.what);
		k->reason = REASON_DATA;
		break;
	case CHANNEL_ENDED:
		*err = m->err;
		/* More may be known here. */
		if (m->value == ENDED_GONE)
			keep_watch_gone(k, err);
		if ((m->value == ENDED_GONE && !keep_watch_lives(k)) || m->value == ENDED_STOP)
			return (enum ended_by)m->value;
		/* Its loop failed, or its way to a QEMU that lives: another process may do better. */
		keep_kill(k, REASON_LOOP, "%.200s%s", m->err.what,
			  m->value == ENDED_GONE ? ", for it alone: QEMU lives" : "");
		break;
	}
	return ENDED_NOT;
}

static enum ended_by take_events(struct keeper *k, struct ob_error *err)
{
	enum ended_by ended = ENDED_NOT;
	struct channel_message m;

	while (ended == ENDED_NOT && k->events >= 0 && !channel_receive(k->events, &m, 0)) {
		ended = take_event(k, &m, err);
		if (m.fd >= 0)
			close(m.fd);
		free(m.text);
	}
	return ended;
}

static bool has_ended(const struct keeper *k)
{
	struct pollfd p = {.fd = k->pidfd, .events = POLLIN};

	return k->pidfd >= 0 && poll(&p, 1, 0) > 0;
}

/* ---- upgrades ------------------------------------------------------------------------------------------ */

static void set_driver(struct keeper *k, const char *name)
{
	struct unit *unit = &k->ins->unit[k->upgrade_unit];

	unit->driver_name = name;
	unit->driver = NULL;
}

/*
 * The process that serves is ended as a crash would end it: what it has under way goes to its successor by the same means. So the
 * means are one, and tested by every kill.
 */
static void begin_upgrade(struct keeper *k)
{
	struct unit *unit = &k->ins->unit[k->upgrade_unit];
	char *name = k->driver[k->upgrade_unit];

	k->old_driver = unit->driver_name;
	if (k->old_driver == name) {
		/* Its memory is about to be the new one's. */
		snprintf(k->back_driver, sizeof(k->back_driver), "%s", name);
		k->old_driver = k->back_driver;
	}
	snprintf(name, KEEP_DRIVER, "%s", k->asked_driver);
	set_driver(k, name);
	pthread_mutex_lock(&k->ask_lock);
	k->upgrade = UPGRADE_RUNNING;
	pthread_mutex_unlock(&k->ask_lock);
	kill(k->pid, SIGKILL);
}

static enum ended_by start_next(struct keeper *k, struct ob_error *err)
{
	int ret;

	k->cause[0] = '\0';
	ret = spawn(k, err);
	return ret == -ENODEV ? ENDED_GONE : ret ? ENDED_FAILED : ENDED_NOT;
}

/* The process that was to be replaced, or the one that was to replace it, has ended. */
static enum ended_by died_of_upgrade(struct keeper *k, struct ob_error *err)
{
	bool replaced = k->state == KEEP_SERVING;

	say_cause(k, bury(k));
	if (!replaced) {
		pthread_mutex_lock(&k->ask_lock);
		k->upgrade = UPGRADE_BACK;
		ob_error_set(&k->upgrade_err, -ECHILD,
			     "driver '%s' does not come up; the one before serves again",
			     k->asked_driver);
		ob_error_why(&k->upgrade_err, "%s%s%s", k->err.code ? k->err.what : k->cause,
			     k->err.code && *k->err.why ? ": " : "", k->err.code ? k->err.why : "");
		pthread_mutex_unlock(&k->ask_lock);
		set_driver(k, k->old_driver);
	}
	return start_next(k, err);
}

static const char *upgrade_request(struct keeper *k, const char *request, struct ob_error *err)
{
	unsigned int unit;
	int at = 0;

	if (sscanf(request, "upgrade %u %n", &unit, &at) != 1 || !at || !request[at] ||
	    strlen(request + at) >= KEEP_DRIVER) {
		ob_error_set(err, -EINVAL, "an upgrade wants a device and a driver");
		return NULL;
	}
	if (unit >= k->ins->n) {
		ob_error_set(err, -EINVAL, "instance '%s' has %u device%s, no number %u",
			     k->ins->name, k->ins->n, k->ins->n > 1 ? "s" : "", unit);
		return NULL;
	}
	if (k->state != KEEP_SERVING || k->upgrade != UPGRADE_NONE) {
		ob_error_set(err, -EBUSY, "instance '%s' is %s", k->ins->name,
			     k->upgrade != UPGRADE_NONE ? "being upgraded" : state_names[k->state]);
		return NULL;
	}
	k->upgrade_unit = unit;
	return request + at;
}

/* In control's thread. */
static struct json_object *answer_upgrade(struct keeper *k, const char *request)
{
	struct json_object *doc = NULL;
	struct ob_error err = {0};
	struct timespec until;
	const char *driver;
	const uint64_t one = 1;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2 * k->policy.start_ms / 1000 + 1;
	pthread_mutex_lock(&k->ask_lock);
	driver = upgrade_request(k, request, &err);
	if (driver) {
		snprintf(k->asked_driver, sizeof(k->asked_driver), "%s", driver);
		memset(&k->upgrade_err, 0, sizeof(k->upgrade_err));
		k->upgrade = UPGRADE_ASKED;
		/* The main thread sleeps on it, among others. */
		if (write(k->wake_fd, &one, sizeof(one)) < 0)
			k->upgrade_err.code = 0;
		while (k->upgrade != UPGRADE_ENDED)
			if (pthread_cond_timedwait(&k->upgraded, &k->ask_lock, &until))
				break;
		err = k->upgrade_err;
		if (k->upgrade != UPGRADE_ENDED)
			ob_error_set(&err, -ETIMEDOUT, "the upgrade has not ended in time");
		k->upgrade = UPGRADE_NONE;
	}
	if (!err.code) {
		doc = json_object_new_object();
		cli_put_str(doc, "driver", k->asked_driver);
		cli_put_u64(doc, "driver_pid", (uint64_t)k->pid);
		cli_put_double(doc, "pause_ms", k->upgrade_ms);
	}
	pthread_mutex_unlock(&k->ask_lock);
	return doc ? doc : control_failed(&err);
}

static enum ended_by died(struct keeper *k, struct ob_error *err)
{
	uint64_t served_ms =
		k->state == KEEP_SERVING ? (ob_clock_ns() - k->ready_ns) / NS_PER_MS + 1 : 0;
	pid_t pid = k->pid;
	int pause;

	say_cause(k, bury(k));
	k->deaths++;
	k->died_of[k->reason]++;
	pause = restart_after(&k->policy, &k->history, k->died_ns / NS_PER_MS, served_ms);
	fprintf(stderr, "outboard run: driver process %d died: %s\n", pid, k->cause);
	if (keep_watch_gone(k, err))
		return ENDED_GONE;
	k->deaths_at_end += *k->ended != ENDED_NOT;
	if (pause < 0 || k->deaths_at_end == DEATHS_AT_END) {
		ob_error_set(err, -ECHILD, "driver process %d died: %s", pid, k->cause);
		if (k->deaths_at_end == DEATHS_AT_END)
			ob_error_why(err,
				     "the instance was ending, and %d driver processes died before "
				     "what was attached was taken back",
				     DEATHS_AT_END);
		else if (k->policy.restart)
			ob_error_why(err,
				     "it was death number %u, and more than %u in %u s are "
				     "not followed by another start",
				     k->deaths, k->policy.limit, k->policy.within_s);
		else
			ob_error_fix(err, "have it restarted: --restart=on-failure");
		return ENDED_FAILED;
	}
	pthread_mutex_lock(&k->ask_lock);
	k->state = KEEP_WAITING;
	pthread_mutex_unlock(&k->ask_lock);
	keep_manager_tell(k);
	/* At its end there are few more, and nobody wants to wait for them. */
	if (*k->ended != ENDED_NOT)
		pause = 0;
	k->respawn_ns = k->died_ns + (uint64_t)pause * NS_PER_MS;
	return ENDED_NOT;
}

static void look_for_hang(struct keeper *k)
{
	char why[160];
	bool hung = false;

	if (k->state == KEEP_SERVING) {
		hung = heartbeat_look(&k->beats, k->pid, why, sizeof(why)) >= 0;
	} else if (k->state == KEEP_STARTING) {
		hung = ob_clock_ns() - k->started_ns > k->policy.start_ms * NS_PER_MS;
		snprintf(why, sizeof(why), "it was not ready after %u ms", k->policy.start_ms);
	}
	if (!hung || *k->cause)
		return;
	k->hangs++;
	keep_kill(k, REASON_HANG, "it hung: %s", why);
}

static enum ended_by keep_look(void *arg, struct ob_error *err)
{
	struct keeper *k = arg;
	enum ended_by ended;
	uint64_t count;

	/* Non-blocking: it may not have been written. */
	if (read(k->wake_fd, &count, sizeof(count)) < 0)
		count = 0;
	if (k->pid > 0) {
		ob_kept_receive(k->gifts);
		ended = take_events(k, err);
		if (ended)
			return ended;
		if (has_ended(k)) {
			/* What it said last. */
			ended = take_events(k, err);
			if (!ended)
				ended = k->upgrade == UPGRADE_RUNNING ? died_of_upgrade(k, err)
								      : died(k, err);
			if (ended)
				return ended;
		} else {
			look_for_hang(k);
			keep_watch_look(k);
		}
	}
	if (k->upgrade == UPGRADE_ASKED && k->state == KEEP_SERVING)
		begin_upgrade(k);
	if (k->state == KEEP_WAITING &&
	    (ob_clock_ns() >= k->respawn_ns || *k->ended != ENDED_NOT)) {
		snprintf(k->last_cause, sizeof(k->last_cause), "%s", k->cause);
		return start_next(k, err);
	}
	return ENDED_NOT;
}

/* Milliseconds until @until_ns, rounded up. */
static int ms_until(uint64_t until_ns)
{
	uint64_t now = ob_clock_ns();

	return until_ns > now ? (int)((until_ns - now) / NS_PER_MS) + 1 : 0;
}

static unsigned int keep_fds(void *arg, struct pollfd *p, unsigned int max, int *timeout_ms)
{
	struct keeper *k = arg;
	unsigned int n = 0;
	int wait = heartbeat_timeout_ms(&k->beats);

	p[n++] = (struct pollfd){.fd = k->wake_fd, .events = POLLIN};
	if (k->pid > 0) {
		p[n++] = (struct pollfd){.fd = k->pidfd, .events = POLLIN};
		p[n++] = (struct pollfd){.fd = k->events, .events = POLLIN};
		p[n++] = (struct pollfd){.fd = k->gifts, .events = POLLIN};
		n += keep_watch_fds(k, p + n, &wait);
	} else if (k->state == KEEP_WAITING) {
		wait = ms_until(k->respawn_ns);
	}
	/* Watched without heartbeats, too. */
	if (k->state == KEEP_STARTING && wait < 0)
		wait = ms_until(k->started_ns + k->policy.start_ms * NS_PER_MS);
	keep_manager_look(k, &wait);
	if (wait >= 0 && (*timeout_ms < 0 || wait < *timeout_ms))
		*timeout_ms = wait;
	return n;
}

/* ---- questions ----------------------------------------------------------------------------------------- */

/* @watch: in the main thread, which else looks whether the driver process hangs */
static int await_answer(struct keeper *k, int timeout_ms, bool watch,
			struct channel_message *answer)
{
	int ret;

	do {
		ret = channel_receive(k->ask, answer, watch ? SLICE_MS : timeout_ms);
		if (watch && ret == -EAGAIN)
			look_for_hang(k);
		timeout_ms -= SLICE_MS;
	} while (watch && ret == -EAGAIN && timeout_ms > 0);
	return ret;
}

static int ask(struct keeper *k, const char *request, int timeout_ms, bool watch,
	       struct channel_message *answer)
{
	int ret = -EAGAIN;

	pthread_mutex_lock(&k->ask_lock);
	if (k->state == KEEP_SERVING)
		ret = channel_send(k->ask, CHANNEL_ASK, 0, NULL, request, -1);
	if (!ret)
		ret = await_answer(k, timeout_ms, watch, answer);
	if (ret == -EAGAIN && k->state == KEEP_SERVING)
		ret = -ETIMEDOUT; /* its answer would be taken for that to the next question */
	if (ret == -ETIMEDOUT)
		keep_kill(k, REASON_HANG, "it has not answered '%.40s' for %d s", request,
			  timeout_ms / 1000);
	pthread_mutex_unlock(&k->ask_lock);
	return ret;
}

int keep_ask(struct keeper *k, const char *request, int timeout_ms, struct channel_message *answer)
{
	return ask(k, request, timeout_ms, false, answer);
}

static int keep_unpublish(void *arg, bool force, struct ob_error *err)
{
	struct keeper *k = arg;
	struct channel_message m;
	int ret;

	/* Nothing serves, and nothing will. */
	if (k->state == KEEP_DOWN)
		return 0;
	keep_manager_stopping(k);
	ret = ask(k, force ? "unpublish force" : "unpublish", UNPUBLISH_MS, true, &m);
	if (ret) {
		ob_error_set(err, -EBUSY, "instance '%s' has no driver process just now",
			     k->ins->name);
		ob_error_why(err, "the last one died: %s", k->cause);
		return -EBUSY;
	}
	k->deaths_at_end = 0;
	ret = m.value;
	*err = m.err;
	free(m.text);
	return ret;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void put_recoveries(struct keeper *k, struct json_object *o)
{
	unsigned int n = k->recoveries < KEEP_RECOVERIES ? k->recoveries : KEEP_RECOVERIES;
	double ms[KEEP_RECOVERIES];

	if (!n)
		return;
	memcpy(ms, k->recovery_ms, n * sizeof(*ms));
	qsort(ms, n, sizeof(*ms), by_size);
	o = cli_put_object(o, "recovery_ms");
	cli_put_u64(o, "of_the_last", n);
	cli_put_double(o, "p50", ms[n / 2]);
	cli_put_double(o, "p99", ms[n * 99 / 100]);
	cli_put_double(o, "max", ms[n - 1]);
}

void keep_put_state(struct keeper *k, struct json_object *state)
{
	struct json_object *o = cli_put_object(state, "keeper");

	pthread_mutex_lock(&k->ask_lock);
	cli_put_u64(o, "pid", (uint64_t)getpid());
	cli_put_u64(o, "driver_pid", (uint64_t)k->pid);
	cli_put_str(o, "state", state_names[k->state]);
	cli_put_u64(o, "generation", k->generation);
	cli_put_double(o, "seconds", (double)(ob_clock_ns() - k->began_ns) / 1e9);
	cli_put_u64(o, "deaths", k->deaths);
	cli_put_u64(o, "hangs", k->hangs);
	keep_watch_put_state(k, o);
	cli_put_u64(o, "upgrades", k->upgrades);
	cli_put_str(o, "last_death", *k->cause ? k->cause : k->last_cause);
	cli_put_bool(o, "restart", k->policy.restart);
	cli_put_bool(o, "confined", k->confine.on);
	cli_put_u64(o, "limit", k->policy.limit);
	cli_put_u64(o, "within_seconds", k->policy.within_s);
	cli_put_u64(o, "heartbeat_ms", k->policy.heartbeat_ms);
	put_recoveries(k, o);
	pthread_mutex_unlock(&k->ask_lock);
}

/* Between two driver processes there are no counters, but a state. */
static struct json_object *bare_state(struct keeper *k)
{
	struct json_object *doc = json_object_new_object();

	cli_put_str(doc, "name", k->ins->name);
	cli_put_u64(doc, "pid", (uint64_t)getpid());
	cli_put_array(doc, "devices");
	return doc;
}

static struct json_object *answer_sandbox(struct keeper *k)
{
	struct json_object *doc = json_object_new_object();

	pthread_mutex_lock(&k->ask_lock);
	cli_put_str(doc, "name", k->ins->name);
	cli_put_u64(doc, "driver_pid", (uint64_t)k->pid);
	cli_put_bool(doc, "confined", k->confine.on);
	if (k->confine.on)
		sandbox_describe(&k->confine.box, k->pid, doc, NULL);
	else
		cli_put_str(doc, "why_not", k->confine.why_not);
	cli_put_bool(doc, "device_isolated", !*k->confine.device_why_not);
	if (*k->confine.device_why_not)
		cli_put_str(doc, "device_why_not", k->confine.device_why_not);
	pthread_mutex_unlock(&k->ask_lock);
	return doc;
}

struct json_object *keep_answer(void *arg, const char *request)
{
	struct keeper *k = arg;
	bool show = !strcmp(request, "show");
	struct json_object *doc = NULL;
	struct ob_error err = {0};
	struct channel_message m;
	int ret;

	if (!strncmp(request, "upgrade ", 8))
		return answer_upgrade(k, request);
	if (!strcmp(request, "sandbox"))
		return answer_sandbox(k);
	ret = keep_ask(k, request, ASK_MS, &m);
	if (!ret) {
		doc = json_tokener_parse(m.text);
		free(m.text);
	}
	if (!doc && show)
		doc = bare_state(k);
	if (doc && show) {
		json_object_object_add(doc, "pid", json_object_new_int(getpid()));
		keep_put_state(k, doc);
	}
	if (doc)
		return doc;
	ob_error_set(&err, -EAGAIN, "instance '%s' has no driver process just now", k->ins->name);
	ob_error_why(&err, "the last one died: %s", k->cause);
	return control_failed(&err);
}

/* ---- begin and end ----------------------------------------------------------------------------------------- */

static int first_event(struct keeper *k, const atomic_int *stop, struct channel_message *m)
{
	for (;;) {
		int ret = channel_receive(k->events, m, 100);

		if (ret != -EAGAIN)
			return ret;
		if (atomic_load(stop))
			return -EINTR;
		look_for_hang(k);
	}
}

/* Its sandbox is not for what it is to do; it has ended, and has done nothing. */
static void without_sandbox(struct keeper *k, struct channel_message *m)
{
	confine_give_up(&k->confine, m->text);
	if (m->fd >= 0)
		close(m->fd);
	free(m->text);
	bury(k);
	k->died_ns = 0;
	k->generation--;
}

/* Until one says that it serves, or that it cannot; those that die before are followed as later ones are. */
static int first_word(struct keeper *k, const atomic_int *stop, struct channel_message *m,
		      struct ob_error *err)
{
	for (;;) {
		int ret = spawn(k, err), pause;

		if (ret)
			return ret;
		ret = first_event(k, stop, m);
		if (!ret && m->kind == CHANNEL_UNCONFINED) {
			without_sandbox(k, m);
			continue;
		}
		if (!ret)
			return 0;
		if (ret == -EINTR)
			return ob_error_set(err, ret, "interrupted");
		/* No word from it: it died. */
		say_cause(k, bury(k));
		k->deaths++;
		k->died_of[k->reason]++;
		pause = restart_after(&k->policy, &k->history, k->died_ns / NS_PER_MS, 0);
		if (pause < 0)
			return ob_error_set(err, -ECHILD,
					    "the driver process died before it was ready: %s",
					    k->cause);
		fprintf(stderr, "outboard run: the driver process died before it was ready: %s\n",
			k->cause);
		snprintf(k->last_cause, sizeof(k->last_cause), "%s", k->cause);
		k->cause[0] = '\0';
		while (pause > 0 && !atomic_load(stop)) {
			int part = pause < 100 ? pause : 100;

			usleep((useconds_t)part * 1000);
			pause -= part;
		}
	}
}

int keep_start(struct keeper *k, const atomic_int *stop, struct json_object **doc, int *netns,
	       int *exit_code, struct ob_error *err)
{
	const char *specs[UNITS];
	struct channel_message m;
	int ret;

	*doc = NULL;
	*netns = -1;
	*exit_code = CLI_FAILED;
	k->pidfd = k->events = k->gifts = k->ask = -1;
	k->state = KEEP_DOWN;
	pthread_mutex_init(&k->ask_lock, NULL);
	pthread_cond_init(&k->upgraded, NULL);
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->wake_fd < 0)
		return ob_error_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
	ret = confine_prepare(&k->confine, k->ins, err);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < k->ins->n; i++)
		specs[i] = k->ins->unit[i].spec;
	cli_progress("opening %s%s", specs[0], k->ins->n > 1 ? " and others" : "");
	ret = ob_devices_hold(specs, k->ins->n, err);
	cli_progress_end();
	if (ret) {
		*exit_code = cli_exit_code(ret);
		return ret;
	}
	atomic_store(k->begun, true);
	fd_store_open();
	ret = heartbeat_open(&k->beats, k->ins->n, k->policy.heartbeat_ms, err);
	if (!ret)
		ret = keep_watch_open(k, err);
	if (!ret && k->ins->verify.on)
		ret = verify_hold(&k->ins->verify, err);
	if (!ret)
		ret = first_word(k, stop, &m, err);
	if (ret == -ENODEV)
		*exit_code = CLI_GONE;
	if (ret)
		return ret;
	if (m.kind == CHANNEL_READY) {
		*netns = m.fd;
		*doc = json_tokener_parse(m.text);
		is_ready(k);
	} else {
		*err = m.err;
		*exit_code = m.kind == CHANNEL_FAILED ? m.value : CLI_FAILED;
		ret = m.err.code ? m.err.code : -EIO;
		if (m.fd >= 0)
			close(m.fd);
	}
	free(m.text);
	return ret;
}

struct json_object *keep_finish(struct keeper *k)
{
	struct pollfd p = {.fd = k->pidfd, .events = POLLIN};
	struct json_object *doc = NULL;
	struct channel_message m;

	/* Nobody is to wait for an upgrade that does not come any more. */
	pthread_mutex_lock(&k->ask_lock);
	if (k->upgrade != UPGRADE_NONE && k->upgrade != UPGRADE_ENDED) {
		ob_error_set(&k->upgrade_err, -ECANCELED, "instance '%s' ended meanwhile",
			     k->ins->name);
		k->upgrade = UPGRADE_ENDED;
		pthread_cond_broadcast(&k->upgraded);
	}
	pthread_mutex_unlock(&k->ask_lock);
	if (!keep_ask(k, "finish", FINISH_MS, &m)) {
		doc = json_tokener_parse(m.text);
		free(m.text);
		poll(&p, 1, FINISH_MS);
	}
	return doc;
}

void keep_end(struct keeper *k)
{
	if (k->pid > 0) {
		kill(k->pid, SIGKILL);
		bury(k);
	}
	confine_release(&k->confine);
	heartbeat_close(&k->beats);
	keep_watch_close(k);
	verify_release(&k->ins->verify);
	ob_devices_release();
	close_fd(&k->wake_fd);
	pthread_cond_destroy(&k->upgraded);
	pthread_mutex_destroy(&k->ask_lock);
}

const struct serving_ops keep_serving_ops = {
	.fds = keep_fds,
	.look = keep_look,
	.unpublish = keep_unpublish,
};
