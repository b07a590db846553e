/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandbox of `outboard run`: cli/confine.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/threads.h"
#include "attach/kept.h"
#include "cli/cli.h"
#include "cli/confine.h"
#include "keeper/restart.h"

/* PCI Code and ID Assignment Specification, 1.1: base classes. */
enum {
	CLASS_STORAGE = 0x01,
	CLASS_NETWORK = 0x02,
};

/* ---- the command line ------------------------------------------------------------------------ */

int confine_parse(const char *text, struct confine *c, struct ob_error *err)
{
	static const char *const modes[] = {"auto", "off", "require"};
	struct sandbox_limits *l = &c->box.limits;
	char line[OB_SPEC_TEXT];
	struct ob_spec spec;
	unsigned int i;
	int ret;

	/* The same form as a device's specification, with an empty left part. */
	if ((size_t)snprintf(line, sizeof(line), "sandbox:%s", text) >= sizeof(line))
		return ob_error_set(err, -EINVAL, "option '--sandbox': too long");
	ret = ob_spec_parse(line, &spec, err);
	if (ret)
		return ret;
	for (i = 0; i < 3 && strcmp(spec.device.name, modes[i]); i++)
		continue;
	if (i == 3)
		return ob_error_set(err, -EINVAL,
				    "option '--sandbox': '%s' is none of " CONFINE_HELP,
				    spec.device.name);
	c->mode = (enum confine_mode)i;
	ret = ob_spec_get_u64(&spec.device, "memory", 16 << 20, UINT64_MAX, &l->memory, err);
	if (!ret)
		ret = ob_spec_get_u64(&spec.device, "memlock", 1 << 20, UINT64_MAX, &l->memlock,
				      err);
	if (!ret)
		ret = restart_get(&spec.device, "files", 1, 1 << 20, &l->nofile, err);
	if (!ret)
		ret = restart_get(&spec.device, "threads", 1, 1 << 16, &l->nproc, err);
	if (!ret)
		ret = restart_get(&spec.device, "cpu", 1, 100000, &l->cpu_percent, err);
	if (!ret)
		ret = ob_spec_get_bool(&spec.device, "debug", &c->box.debuggable, err);
	if (!ret)
		ret = ob_spec_get_bool(&spec.device, "unsafe-device", &c->unsafe_device, err);
	if (!ret)
		ret = ob_spec_leftover(&spec, CONFINE_HELP, err);
	return ret;
}

/* ---- what it works with ------------------------------------------------------------------------ */

/* What "auto" will be for a class of devices. */
static const struct ob_attach_ops *best(enum ob_class class_)
{
	struct ob_error ignored;

	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++)
		if ((*a)->class_ == class_ && !ob_attach_probe(*a, &ignored))
			return *a;
	return NULL;
}

static enum ob_class class_of(const struct unit *unit)
{
	switch (ob_device_info(unit->dev)->class_code >> 16) {
	case CLASS_NETWORK:
		return OB_CLASS_NET;
	case CLASS_STORAGE:
		return OB_CLASS_BLOCK;
	}
	return OB_CLASS_CHAR;
}

/* Before a driver is bound it is known by the device's own word what it is. */
static const struct ob_attach_ops *ops_of(const struct instance *ins, const struct unit *unit)
{
	const struct ob_attach_ops *ops;

	if (attachment_is_auto(unit->attach))
		return best(class_of(unit));
	ops = attachment_named(unit->attach);
	/* One --attach for several devices holds for those of its class. */
	return ops && ins->attach_shared && ops->class_ != class_of(unit) ? NULL : ops;
}

bool confine_can_be(const struct instance *ins, char *why, size_t size)
{
	for (unsigned int i = 0; i < ins->n; i++) {
		const struct unit *unit = &ins->unit[i];
		const struct ob_attach_ops *ops = ops_of(ins, unit);

		/* What is wrong with the command line is said when it is attached. */
		if (!ops)
			snprintf(why, size, "what %s will be attached as is not known before",
				 ob_device_info(unit->dev)->name);
		else if (!ops->confined)
			snprintf(why, size, "attachment %s needs rights while it serves",
				 ops->name);
		else if (unit->priority)
			snprintf(why, size, "--rt-priority needs a right");
		else
			continue;
		return false;
	}
	return true;
}

static unsigned int uses_of(const struct instance *ins)
{
	unsigned int uses = SANDBOX_USES_PASSING;
	static struct ob_spec spec; /* some kilobytes */
	struct ob_error ignored;

	for (unsigned int i = 0; i < ins->n; i++) {
		const struct unit *unit = &ins->unit[i];
		const struct ob_attach_ops *ops = ops_of(ins, unit);

		if (!ob_spec_parse(unit->spec, &spec, &ignored))
			uses |= sandbox_uses_of(spec.backend);
		if (unit->driver_name)
			uses |= sandbox_uses_of(unit->driver_name);
		if (ops)
			uses |= sandbox_uses_of(ops->name);
		/* The same attachment, which takes vhost-net where it can. */
		if (uses & SANDBOX_USES_TAP)
			uses |= SANDBOX_USES_VHOST;
	}
	return uses;
}

/* ---- in the keeper ------------------------------------------------------------------------------ */

static int check_devices(struct confine *c, const struct instance *ins, struct ob_error *err)
{
	for (unsigned int i = 0; i < ins->n; i++) {
		struct ob_error why = {0};

		if (sandbox_check_isolation("", ins->unit[i].spec, &why) != -EXDEV)
			continue;
		if (!*c->device_why_not)
			snprintf(c->device_why_not, sizeof(c->device_why_not), "%.180s%s%.300s",
				 why.what, *why.why ? ": " : "", why.why);
		if (c->mode == CONFINE_REQUIRE && !c->unsafe_device) {
			*err = why;
			return -EXDEV;
		}
	}
	return 0;
}

int confine_prepare(struct confine *c, const struct instance *ins, struct ob_error *err)
{
	struct ob_error why = {0};
	int ret = check_devices(c, ins, err);

	c->on = !ret && c->mode != CONFINE_OFF;
	if (!c->on)
		snprintf(c->why_not, sizeof(c->why_not), "--sandbox=off");
	if (ret || !c->on)
		return ret;
	/* The answers are the keeper's, and of its driver processes, which could not find them out any more. */
	ob_attach_probe_all();
	c->box.name = ins->name;
	if (c->mode == CONFINE_REQUIRE)
		c->box.required = 1u << SANDBOX_MOUNT_NS | 1u << SANDBOX_NET_NS;
	if (!c->box.limits.memlock)
		c->box.limits.memlock = 1ull << 30;
	ret = sandbox_prepare(&c->box, &why);
	c->prepared = !ret;
	if (!ret)
		return 0;
	confine_give_up(c, why.what);
	if (c->mode == CONFINE_REQUIRE)
		*err = why;
	return c->mode == CONFINE_REQUIRE ? ret : 0;
}

void confine_release(struct confine *c)
{
	if (c->prepared)
		sandbox_release(&c->box);
	c->prepared = false;
}

bool confine_ran_out(struct confine *c)
{
	uint64_t oom_kills, refused, before = c->oom_kills;

	if (!c->on || sandbox_events(&c->box, &oom_kills, &refused))
		return false;
	c->oom_kills = oom_kills;
	return oom_kills > before;
}

pid_t confine_fork(struct confine *c)
{
	pid_t pid;

	if (c->on)
		return sandbox_fork(&c->box);
	pid = fork();
	return pid < 0 ? -errno : pid;
}

void confine_give_up(struct confine *c, const char *why)
{
	c->on = false;
	snprintf(c->why_not, sizeof(c->why_not), "%.*s", CONFINE_WHY - 1, why);
}

/* ---- in the driver process ------------------------------------------------------------------------- */

void descriptors_list(struct descriptors *d)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	d->n = 0;
	while (dir && (e = readdir(dir))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && fd != dirfd(dir) && d->n < CONFINE_FDS)
			d->fd[d->n++] = fd;
	}
	if (dir)
		closedir(dir);
}

static bool has(const struct descriptors *d, int fd)
{
	for (unsigned int i = 0; i < d->n; i++)
		if (d->fd[i] == fd)
			return true;
	return false;
}

static void add(struct descriptors *d, int fd)
{
	if (fd >= 0 && d->n < CONFINE_FDS && !has(d, fd) && fcntl(fd, F_GETFD) >= 0)
		d->fd[d->n++] = fd;
}

/* A descriptor that was handed over on the command line: "nbd,fd=3". */
static int inherited(const char *attach)
{
	const char *at = attach ? strstr(attach, ",fd=") : NULL;

	return at ? atoi(at + 4) : -1;
}

static void choose_descriptors(struct descriptors *d, const struct instance *ins,
			       const struct descriptors *before, const int *keep,
			       unsigned int nr_keep)
{
	struct descriptors now;
	int fds[CONFINE_FDS];
	unsigned int n;

	descriptors_list(&now);
	d->n = 0;
	for (unsigned int i = 0; i < now.n; i++)
		if (!has(before, now.fd[i]))
			add(d, now.fd[i]);
	for (unsigned int i = 0; i < nr_keep; i++)
		add(d, keep[i]);
	for (unsigned int i = 0; i < ins->n; i++)
		add(d, inherited(ins->unit[i].attach));
	n = ob_kept_list(fds, CONFINE_FDS);
	while (n)
		add(d, fds[--n]);
	n = ob_devices_held_list(fds, CONFINE_FDS);
	while (n)
		add(d, fds[--n]);
}

/* An input that ends at once: the terminal is not the driver's. */
static void no_input(void)
{
	int null = open("/dev/null", O_RDONLY);

	if (null > 0) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
}

int confine_enter(struct confine *c, struct instance *ins, const struct descriptors *before,
		  const int *keep, unsigned int nr_keep, struct ob_error *err)
{
	static char paths[UNITS][PATH_MAX];
	static const char *read[UNITS + 1];
	/* A driver is configured by these. */
	static const char *const environment[] = {"OUTBOARD_*", "HOME", "XDG_CACHE_HOME", NULL};
	static struct descriptors fds;
	const char *firmware = getenv("OUTBOARD_FIRMWARE");
	int ret;

	if (!firmware || !*firmware)
		firmware = "/lib/firmware";
	c->box.nr_read = 0;
	for (unsigned int i = 0; i < ins->n; i++) {
		struct unit *unit = &ins->unit[i];

		if (!unit->driver_name)
			continue;
		ret = ob_driver_path(unit->driver_name, paths[i], sizeof(paths[i]), err);
		if (ret)
			return ret;
		if (*paths[i])
			read[c->box.nr_read++] = paths[i];
		if (!strncmp(unit->driver_name, "linux:", 6)) {
			if (!access(firmware, R_OK | X_OK) && c->box.nr_read < UNITS + 1 &&
			    (!c->box.nr_read || read[c->box.nr_read - 1] != firmware))
				read[c->box.nr_read++] = firmware;
		} else if (*paths[i]) {
			/* It may need libraries that this program does not. */
			c->box.system_libraries = true;
			unit->driver_name = paths[i];
		}
	}
	no_input();
	choose_descriptors(&fds, ins, before, keep, nr_keep);
	c->box.uses = uses_of(ins);
	c->box.read = read;
	c->box.keep = fds.fd;
	c->box.nr_keep = fds.n;
	c->box.keep_environment = environment;
	ret = sandbox_enter(&c->box, err);
	if (ret)
		return ret;
	ret = ob_threads_go();
	return ret ? ob_error_set(err, ret, "no thread: %s", strerror(-ret)) : 0;
}

int confine_lock(struct confine *c, const struct instance *ins, struct ob_error *err)
{
	c->box.clients = 0;
	for (unsigned int i = 0; i < ins->n; i++)
		for (unsigned int k = 0; k < ins->unit[i].nr_at; k++)
			c->box.clients += ins->unit[i].at[k]->clients;
	return sandbox_lock(&c->box, err);
}
