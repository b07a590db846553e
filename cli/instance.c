/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of an instance. Order matters: attachments are opened before their loop runs, published and
 * unpublished while it runs (the kernel's first and last requests need it), closed after it.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"

/* ---- calls into a loop's thread ---------------------------------------------------------- */

static unsigned int serve_call(void *arg, unsigned int budget)
{
	struct loop_call *call = arg;
	uint64_t n;

	/* Polled in every round, and nearly always for nothing. */
	if (ob_likely(!atomic_load_explicit(&call->pending, memory_order_acquire)))
		return 0;
	pthread_mutex_lock(&call->lock);
	if (call->excuse)
		call->excuse(call->excuse_arg, true);
	call->fn(call->arg);
	if (call->excuse)
		call->excuse(call->excuse_arg, false);
	atomic_store_explicit(&call->pending, false, memory_order_release);
	if (read(call->fd, &n, sizeof(n)) < 0)
		n = 0; /* not written yet: one idle round more */
	pthread_cond_broadcast(&call->done);
	pthread_mutex_unlock(&call->lock);
	return 1;
}

static int call_open(struct unit *unit, struct ob_error *err)
{
	struct loop_call *call = &unit->call;
	struct ob_loop_source source = {
		.name = "questions",
		.poll = serve_call,
		.arg = call,
		.level = true, /* read here: it is no interrupt, and is not to be counted as one */
	};
	int ret;

	pthread_mutex_init(&call->lock, NULL);
	pthread_cond_init(&call->done, NULL);
	call->ended = true;
	call->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	source.fd = call->fd;
	ret = call->fd < 0 ? -errno : ob_loop_add(unit->loop, &source);
	if (ret)
		return ob_error_set(err, ret, "%s: cannot set up its loop: %s", unit->spec,
				    strerror(-ret));
	return 0;
}

void unit_call(struct unit *unit, void (*fn)(void *arg), void *arg)
{
	struct loop_call *call = &unit->call;
	const uint64_t one = 1;

	pthread_mutex_lock(&call->lock);
	while (!call->ended && atomic_load(&call->pending))
		pthread_cond_wait(&call->done, &call->lock);
	if (call->ended) {
		fn(arg);
		pthread_mutex_unlock(&call->lock);
		return;
	}
	call->fn = fn;
	call->arg = arg;
	atomic_store_explicit(&call->pending, true, memory_order_release);
	/* Cannot fail: the counter is read each time. */
	if (write(call->fd, &one, sizeof(one)) == sizeof(one))
		while (!call->ended && atomic_load(&call->pending))
			pthread_cond_wait(&call->done, &call->lock);
	/* The loop ended with the question unheard; nobody else is there now. */
	if (atomic_exchange(&call->pending, false))
		fn(arg);
	pthread_mutex_unlock(&call->lock);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Its specification, to be freed; NULL: it cannot be had. */
static struct ob_spec *spec_of(const struct unit *unit)
{
	struct ob_spec *spec = malloc(sizeof(*spec)); /* some kilobytes */
	struct ob_error ignored;

	if (!spec || !ob_spec_parse(unit->spec, spec, &ignored))
		return spec;
	free(spec);
	return NULL;
}

bool unit_is_embedded(const struct unit *unit)
{
	struct ob_spec *spec = spec_of(unit);
	bool is = spec && !strcmp(spec->backend, "qemu");

	free(spec);
	return is;
}

bool unit_shall_vanish(const struct unit *unit)
{
	struct ob_spec *spec = spec_of(unit);
	bool shall = false;

	for (unsigned int i = 0; spec && i < spec->nr_wrappers; i++)
		shall |= ob_spec_get(&spec->wrapper[i], "gone") != NULL;
	free(spec);
	return shall;
}

const char *unit_part_name(const struct unit *unit, unsigned int index)
{
	const struct ob_binding *b = unit->binding;

	if (b && index < b->nr_blocks)
		return b->block[index]->name;
	return unit->dev ? ob_device_info(unit->dev)->name : unit->spec;
}

static enum ob_class class_of(const struct ob_binding *b)
{
	return b->net ? OB_CLASS_NET : b->nr_blocks ? OB_CLASS_BLOCK : OB_CLASS_CHAR;
}

/* Is this text's attachment one for devices of a class? */
const struct ob_attach_ops *attachment_named(const char *text)
{
	size_t len = strcspn(text, ",");

	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++)
		if (strlen((*a)->name) == len && !strncmp((*a)->name, text, len))
			return *a;
	return NULL;
}

bool attachment_is_auto(const char *text)
{
	return !text || (!strncmp(text, "auto", 4) && (!text[4] || text[4] == ','));
}

static bool attaches(const char *text, enum ob_class class_)
{
	const struct ob_attach_ops *ops = attachment_named(text);

	/* What is unknown ob_attach_open() tells, with the list. */
	return !ops || ops->class_ == class_;
}

/*
 * For the line that is printed: what would have been better than what was taken, and why it was not
 * possible.
 */
static void explain(const struct unit *unit, const struct ob_attach *at, char *why, size_t size)
{
	struct ob_error err;
	size_t n = 0;

	why[0] = '\0';
	if (!attachment_is_auto(unit->attach))
		return; /* no choice of ours */
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a && *a != at->ops; a++) {
		if ((*a)->class_ != at->ops->class_)
			continue;
		memset(&err, 0, sizeof(err));
		if (ob_attach_probe(*a, &err) && n < size)
			n += (size_t)snprintf(why + n, size - n, "%snot %s, because %s",
					      n ? "; " : "", (*a)->name, err.what);
	}
}

static int attach_unit(struct unit *unit, bool may_isolate, struct ob_error *err)
{
	struct ob_binding *b = unit->binding;
	unsigned int n = b->net || (b->chr && !b->nr_blocks) ? 1 : b->nr_blocks;
	const char *text = unit->attach ? unit->attach : "auto";
	int ret;

	if (!n) {
		ob_error_set(err, -EOPNOTSUPP, "%s: driver %s found nothing that can be attached",
			     ob_device_info(unit->dev)->name, b->driver->name);
		ob_error_why(err, "no disk is connected to it");
		return -EOPNOTSUPP;
	}
	for (unsigned int i = 0; i < n; i++) {
		ret = ob_attach_open(b, i, text, unit->loop, &unit->at[i], err);
		if (ret == -EPERM && b->net && may_isolate && attachment_is_auto(text)) {
			/* Where an interface may not be made, COMMAND can have a network of its own. */
			ret = ob_attach_open(b, i, "tap,netns=new", unit->loop, &unit->at[i], err);
			snprintf(unit->why[i], sizeof(unit->why[i]),
				 "this user may make interfaces only in a namespace of its own");
		}
		if (ret)
			return ret;
		unit->nr_at = i + 1;
		if (!*unit->why[i])
			explain(unit, unit->at[i], unit->why[i], sizeof(unit->why[i]));
	}
	return 0;
}

static int open_unit(struct instance *ins, struct unit *unit, struct ob_error *err)
{
	int ret;

	unit->call.fd = -1;
	cli_progress("%s: binding a driver", ob_device_info(unit->dev)->name);
	ret = ob_driver_bind(unit->dev, unit->driver, &unit->config, &unit->binding, err);
	if (!ret)
		ret = verify_unit(ins, (unsigned int)(unit - ins->unit), err);
	if (ret)
		return ret;
	ret = ob_loop_create(ins->mode, &unit->loop);
	if (ret)
		return ob_error_set(err, ret, "%s: cannot make a loop: %s", unit->spec,
				    strerror(-ret));
	ret = call_open(unit, err);
	if (ret)
		return ret;
	/* One --attach for several devices holds for those of its class. */
	if (ins->attach_shared && !attaches(unit->attach, class_of(unit->binding)))
		unit->attach = NULL;
	cli_progress("%s: attaching", unit_part_name(unit, 0));
	return attach_unit(unit, ins->command, err);
}

static int check_shared(const struct instance *ins, const char *text, struct ob_error *err)
{
	for (unsigned int i = 0; i < ins->n; i++)
		if (ins->unit[i].attach)
			return 0;
	return ob_error_set(err, -EINVAL, "option '--attach %s' fits none of the %u devices", text,
			    ins->n);
}

int instance_open_devices(struct instance *ins, struct ob_error *err)
{
	const char *specs[UNITS];
	struct ob_device *devs[UNITS];
	int ret;

	/* Before this process is confined: afterwards it is another user, number 1, and cannot ask. */
	ins->pid = getpid();
	ins->uid = geteuid();
	ins->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ins->ended_fd < 0)
		return ob_error_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
	for (unsigned int i = 0; i < ins->n; i++) {
		specs[i] = ins->unit[i].spec;
		ins->unit[i].ended_fd = ins->ended_fd;
	}
	cli_progress("opening %s%s", specs[0], ins->n > 1 ? " and others" : "");
	ret = ob_devices_open_quiet(specs, ins->n, devs, err);
	if (ret) {
		cli_progress_end();
		close(ins->ended_fd);
		return ret;
	}
	for (unsigned int i = 0; i < ins->n; i++)
		ins->unit[i].dev = devs[i];
	return 0;
}

int instance_open_drivers(struct instance *ins, struct ob_error *err)
{
	const char *shared = ins->unit[0].attach;
	int ret = 0;

	for (unsigned int i = 0; i < ins->n && !ret; i++)
		ret = open_unit(ins, &ins->unit[i], err);
	cli_progress_end();
	if (!ret && ins->attach_shared)
		ret = check_shared(ins, shared, err);
	if (ret) {
		if (!ins->goes_on)
			instance_close(ins);
		return ret;
	}
	clock_gettime(CLOCK_MONOTONIC, &ins->began);
	return 0;
}

int instance_open(struct instance *ins, struct ob_error *err)
{
	int ret = instance_open_devices(ins, err);

	return ret ? ret : instance_open_drivers(ins, err);
}

/* ---- running ------------------------------------------------------------------------------- */

static double thread_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *run_loop(void *arg)
{
	struct unit *unit = arg;
	const uint64_t one = 1;
	int ret = ob_loop_run(unit->loop);

	pthread_mutex_lock(&unit->call.lock);
	unit->call.ended = true;
	unit->loop_ret = ret;
	unit->cpu_seconds = thread_seconds();
	pthread_cond_broadcast(&unit->call.done);
	pthread_mutex_unlock(&unit->call.lock);
	/* Whoever waits for it: that it cannot be written means that it is readable already. */
	if (write(unit->ended_fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

static int start_thread(struct unit *unit, struct ob_error *err)
{
	struct sched_param param = {.sched_priority = unit->priority};
	pthread_attr_t attr;
	cpu_set_t cpus;
	int ret;

	pthread_attr_init(&attr);
	if (unit->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((unsigned int)unit->cpu, &cpus);
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	if (unit->priority) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &param);
	}
	unit->call.ended = false;
	ret = -pthread_create(&unit->thread, &attr, run_loop, unit);
	pthread_attr_destroy(&attr);
	if (!ret) {
		unit->started = true;
		return 0;
	}
	unit->call.ended = true;
	ob_error_set(err, ret, "%s: its thread cannot be started%s: %s", unit->spec,
		     ret == -EPERM			? " with a real-time priority"
		     : ret == -EINVAL && unit->cpu >= 0 ? " on that CPU"
							: "",
		     strerror(-ret));
	if (ret == -EPERM)
		ob_error_fix(err, "run as root, or raise the limit: ulimit -r %d", unit->priority);
	return ret;
}

int instance_start(struct instance *ins, struct ob_error *err)
{
	for (unsigned int i = 0; i < ins->n; i++) {
		int ret = start_thread(&ins->unit[i], err);

		if (ret)
			return ret;
	}
	return 0;
}

/* In the loop's thread. Remembered, because nothing has a name any more once it is taken back. */
static void remember_info(void *arg)
{
	struct unit *unit = arg;

	for (unsigned int i = 0; i < unit->nr_at; i++)
		if (unit->published[i])
			unit->at[i]->ops->info(unit->at[i], &unit->info[i]);
}

void unit_refresh_info(struct unit *unit)
{
	unit_call(unit, remember_info, unit);
}

int instance_publish(struct instance *ins, struct ob_error *err)
{
	for (unsigned int i = 0; i < ins->n; i++) {
		struct unit *unit = &ins->unit[i];

		for (unsigned int k = 0; k < unit->nr_at; k++) {
			int ret;

			cli_progress("%s: publishing", unit_part_name(unit, k));
			ret = ob_attach_publish(unit->at[k], err);
			cli_progress_end();
			if (ret)
				return ret;
			unit->published[k] = true;
		}
		unit_refresh_info(unit);
	}
	return 0;
}

int instance_unpublish(struct instance *ins, bool force, struct ob_error *err)
{
	int first = 0;

	for (unsigned int i = 0; i < ins->n; i++) {
		struct unit *unit = &ins->unit[i];

		for (unsigned int k = 0; k < unit->nr_at; k++) {
			struct ob_error one = {0};
			int ret;

			if (!unit->published[k])
				continue;
			ret = ob_attach_unpublish(unit->at[k], force, &one);
			if (!ret || force)
				unit->published[k] = false;
			if (ret && !first) {
				first = ret;
				*err = one;
			}
		}
	}
	return first;
}

void instance_stop(struct instance *ins)
{
	struct timespec now;

	for (unsigned int i = 0; i < ins->n; i++) {
		struct unit *unit = &ins->unit[i];

		if (!unit->started)
			continue;
		ob_loop_stop(unit->loop);
		pthread_join(unit->thread, NULL);
		unit->started = false;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	ins->served = (double)(now.tv_sec - ins->began.tv_sec) +
		      (double)(now.tv_nsec - ins->began.tv_nsec) / 1e9;
}

void instance_close(struct instance *ins)
{
	for (unsigned int i = ins->n; i-- > 0;) {
		struct unit *unit = &ins->unit[i];

		for (unsigned int k = unit->nr_at; k-- > 0;)
			ob_attach_close(unit->at[k]);
		unit->nr_at = 0;
		verify_unit_end(unit);
		ob_driver_unbind(unit->binding);
		unit->binding = NULL;
		if (unit->loop) {
			ob_loop_destroy(unit->loop);
			if (unit->call.fd >= 0)
				close(unit->call.fd);
			pthread_cond_destroy(&unit->call.done);
			pthread_mutex_destroy(&unit->call.lock);
			unit->loop = NULL;
		}
		ob_device_close(unit->dev);
		unit->dev = NULL;
	}
	close(ins->ended_fd);
	ins->ended_fd = -1;
}
