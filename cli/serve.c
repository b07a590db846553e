/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the main thread does while the loops work: waits for a signal, COMMAND's end, a request to stop, a
 * device's death; then ends COMMAND and takes back what was attached. Nothing here touches the attached
 * devices, and the loops run until it is done, so nothing here can wait for itself.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"

enum {
	COMMAND_GRACE_MS = 5000, /* between the polite signal and SIGKILL */
	RETRY_MS = 300,		 /* is it still in use? */
	LAST_SIGNAL = 3,	 /* this one ends the process as it is */
};

const char *const ended_names[] = {
	[ENDED_NOT] = "",      [ENDED_SIGNAL] = "signal", [ENDED_COMMAND] = "command",
	[ENDED_STOP] = "stop", [ENDED_GONE] = "gone",	  [ENDED_FAILED] = "failure",
};

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void wake(struct serving *s)
{
	const uint64_t one = 1;

	/* Not written only when it is full, and then it is readable. */
	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- signals ----------------------------------------------------------------------------------- */

static void *take_signals(void *arg)
{
	struct serving *s = arg;
	int signo;

	for (;;) {
		if (sigwait(&s->set, &signo))
			continue;
		atomic_store(&s->signo, signo);
		if (atomic_fetch_add(&s->signals, 1) + 1 >= LAST_SIGNAL ||
		    !atomic_load(&s->begun)) {
			/* The kernel, QEMU's and the minder's death watches release everything. */
			fprintf(stderr, "outboard run: ended at once\n");
			_exit(CLI_SIGNAL + signo);
		}
		wake(s);
	}
	return NULL;
}

int serving_init(struct serving *s, const struct serving_ops *ops, void *arg, bool quiet,
		 struct ob_error *err)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->arg = arg;
	s->quiet = quiet;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->answered, NULL);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return ob_error_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
	/* Blocked before the first thread, so blocked in all of them: only sigwait() takes them. */
	sigemptyset(&s->set);
	sigaddset(&s->set, SIGINT);
	sigaddset(&s->set, SIGTERM);
	sigaddset(&s->set, SIGHUP);
	sigaddset(&s->set, SIGQUIT);
	pthread_sigmask(SIG_BLOCK, &s->set, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = -pthread_create(&s->signal_thread, NULL, take_signals, s);
	if (ret)
		return ob_error_set(err, ret, "cannot start a thread: %s", strerror(-ret));
	pthread_detach(s->signal_thread);
	return 0;
}

/* ---- a request to stop --------------------------------------------------------------------------- */

int serving_stop(void *serving, bool force, struct ob_error *err)
{
	struct serving *s = serving;
	int ret;

	pthread_mutex_lock(&s->lock);
	if (s->stop == STOP_NONE) {
		s->stop = STOP_ASKED;
		s->stop_force = force;
		memset(&s->stop_err, 0, sizeof(s->stop_err));
		wake(s);
		while (s->stop == STOP_ASKED)
			pthread_cond_wait(&s->answered, &s->lock);
	}
	*err = s->stop_err;
	ret = s->stop_err.code;
	/* Refused: it may be asked again. */
	if (ret)
		s->stop = STOP_NONE;
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static void answer_stop(struct serving *s)
{
	struct ob_error err = {0};

	pthread_mutex_lock(&s->lock);
	if (s->stop != STOP_ASKED)
		goto unlock;
	/* COMMAND has to end first, and may take its time: the client waits for the process. */
	if (!s->ended && !s->minder)
		s->ops->unpublish(s->arg, s->stop_force, &err);
	if (s->stop_force)
		err.code = 0;
	s->stop_err = err;
	if (!err.code) {
		s->forced |= s->stop_force;
		if (!s->ended)
			s->ended = ENDED_STOP;
	}
	s->stop = STOP_ANSWERED;
	pthread_cond_broadcast(&s->answered);
unlock:
	pthread_mutex_unlock(&s->lock);
}

void serving_end(struct serving *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = STOP_ANSWERED;
	pthread_cond_broadcast(&s->answered);
	pthread_mutex_unlock(&s->lock);
}

/* ---- devices and loops ---------------------------------------------------------------------------- */

static enum ended_by look_at_instance(void *arg, struct ob_error *err)
{
	struct instance *ins = arg;
	enum ended_by ended = ENDED_NOT;
	uint64_t count;

	/* Non-blocking; that it has not been written is as good. */
	if (read(ins->ended_fd, &count, sizeof(count)) < 0)
		count = 0;
	for (unsigned int i = 0; i < ins->n; i++) {
		struct unit *unit = &ins->unit[i];

		if (ob_device_gone(unit->dev)) {
			ob_error_set(err, -ENODEV, "%s is gone while in use",
				     ob_device_info(unit->dev)->name);
			ob_error_why(err, "the device, or the process behind it, died");
			return ENDED_GONE;
		}
		if (unit->call.ended && unit->loop_ret) {
			ob_error_set(err, unit->loop_ret, "%s: its loop failed: %s",
				     ob_device_info(unit->dev)->name, strerror(-unit->loop_ret));
			return ENDED_FAILED;
		}
		/* An attachment has ended it: somebody took away what it had made. */
		if (unit->call.ended)
			ended = ENDED_STOP;
	}
	return ended;
}

static unsigned int instance_fds(void *arg, struct pollfd *p, unsigned int max, int *timeout_ms)
{
	struct instance *ins = arg;
	unsigned int n = 0;

	p[n++] = (struct pollfd){.fd = ins->ended_fd, .events = POLLIN};
	for (unsigned int i = 0; i < ins->n && n < max; i++)
		p[n++] = (struct pollfd){.fd = ob_device_removal_fd(ins->unit[i].dev),
					 .events = POLLIN};
	return n;
}

static int unpublish_instance(void *ins, bool force, struct ob_error *err)
{
	return instance_unpublish(ins, force, err);
}

const struct serving_ops instance_serving_ops = {
	.fds = instance_fds,
	.look = look_at_instance,
	.unpublish = unpublish_instance,
};

/* ---- waiting ----------------------------------------------------------------------------------------- */

static void look(struct serving *s)
{
	struct ob_error err = {0};
	enum ended_by by = ENDED_NOT;

	if (s->ended < ENDED_GONE)
		by = s->ops->look(s->arg, &err);
	if (by >= ENDED_GONE) {
		s->err = err;
		s->ended = by;
		cli_error_line("run", &s->err);
	} else if (by && !s->ended) {
		s->ended = by;
	}
}

static void wait_for_events(struct serving *s, int timeout_ms)
{
	struct pollfd p[4 + UNITS];
	unsigned int n = 0;
	uint64_t count;

	p[n++] = (struct pollfd){.fd = s->wake_fd, .events = POLLIN};
	if (s->minder && s->minder->running)
		p[n++] = (struct pollfd){.fd = s->minder->sock, .events = POLLIN};
	/* What is gone stays readable for ever: once is enough. */
	if (s->ended < ENDED_GONE)
		n += s->ops->fds(s->arg, p + n, 2 + UNITS, &timeout_ms);
	if (poll(p, n, timeout_ms) <= 0)
		return;
	if (p[0].revents && read(p[0].fd, &count, sizeof(count)) < 0)
		count = 0;
	if (s->minder && s->minder->running && p[1].revents && minder_read(s->minder) && !s->ended)
		s->ended = ENDED_COMMAND;
}

/* Politely, and after a while or at another signal not. */
static void end_command(struct serving *s, long *deadline, bool *killed)
{
	int signo = s->ended == ENDED_SIGNAL ? atomic_load(&s->signo) : SIGTERM;

	if (!*deadline) {
		*deadline = now_ms() + COMMAND_GRACE_MS;
		minder_signal(s->minder, signo);
		minder_signal(s->minder, SIGCONT); /* a stopped one hears nothing */
	} else if (!*killed && (now_ms() >= *deadline || atomic_load(&s->signals) > 1)) {
		*killed = true;
		minder_signal(s->minder, SIGKILL);
	}
}

/* Returns true when nothing is published any more. */
static bool take_back(struct serving *s, bool *said)
{
	/* What is dead cannot be saved by waiting for its users. */
	bool force = s->forced || s->ended >= ENDED_GONE;
	struct ob_error err = {0};
	int ret = s->ops->unpublish(s->arg, force, &err);

	if (ret == -EBUSY && !force && atomic_load(&s->signals) > 1) {
		s->forced = true;
		ret = s->ops->unpublish(s->arg, true, &err);
		force = true;
	}
	if (ret != -EBUSY || force) {
		if (ret && s->ended < ENDED_GONE) {
			cli_error_line("run", &err);
			s->err = err;
			if (ret != -EBUSY)
				s->ended = ENDED_FAILED;
		}
		return true;
	}
	if (!*said) {
		cli_error_line("run", &err);
		fprintf(stderr,
			"  It ends when that is over. Ctrl-C (or SIGTERM) %s ends it now.\n",
			atomic_load(&s->signals) ? "again" : "twice");
		*said = true;
	}
	return false;
}

void serve(struct serving *s)
{
	bool killed = false, said = false;
	long deadline = 0;

	for (;;) {
		wait_for_events(s, s->ended ? RETRY_MS : -1);
		look(s);
		answer_stop(s);
		if (!s->ended && atomic_load(&s->signals))
			s->ended = ENDED_SIGNAL;
		if (!s->ended)
			continue;
		if (s->minder && s->minder->running)
			end_command(s, &deadline, &killed);
		else if (take_back(s, &said)) {
			/* That the device was gone may have come after COMMAND ended of it. */
			look(s);
			return;
		}
	}
}
