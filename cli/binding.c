/* SPDX-License-Identifier: BSD-2-Clause */
/* Giving PCI functions to vfio-pci or uio_pci_generic and back: cli/binding.h. */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spawn.h>

#include "cli/binding.h"

extern char **environ;

bool binding_is_ours(const char *driver)
{
	return !strcmp(driver, BINDING_VFIO) || !strcmp(driver, BINDING_UIO);
}

const char *binding_choose(const struct sysfs_function *fn)
{
	return fn->group >= 0 ? BINDING_VFIO : BINDING_UIO;
}

int binding_add(struct binding_order *order, const struct pci_machine *machine, const char *address,
		struct ob_error *err)
{
	struct binding_step *step;
	const struct pci_function *f;
	struct ob_bdf bdf;

	if (!sysfs_parse_bdf(address, &bdf)) {
		ob_error_set(err, -EINVAL, "'%s' is no PCI address", address);
		ob_error_fix(err, "write it like 0000:03:00.0 (`outboard devices` lists them)");
		return -EINVAL;
	}
	f = pci_machine_find(machine, address);
	if (!f) {
		ob_error_set(err, -ENOENT, "there is no PCI device %s", address);
		ob_error_fix(err, "`outboard devices` lists them");
		return -ENOENT;
	}
	for (unsigned int i = 0; i < order->n; i++)
		if (!strcmp(order->step[i].fn.name, f->pci.name))
			return 0;
	if (order->n == BINDING_STEPS)
		return ob_error_set(err, -ENOSPC, "more than %d devices at once", BINDING_STEPS);
	step = &order->step[order->n++];
	*step = (struct binding_step){.fn = f->pci};
	snprintf(step->previous, sizeof(step->previous), "%s", f->pci.driver);
	return 0;
}

static int add_groups(struct binding_order *order, const struct pci_machine *machine,
		      struct ob_error *err)
{
	unsigned int asked = order->n;
	int ret = 0;

	for (unsigned int i = 0; i < asked; i++) {
		for (size_t k = 0; k < machine->n && !ret; k++) {
			const struct sysfs_function *other = &machine->fn[k].pci;

			if (other->group >= 0 && other->group == order->step[i].fn.group &&
			    !sysfs_is_bridge(other))
				ret = binding_add(order, machine, other->name, err);
		}
	}
	return ret;
}

/* ---- programs ------------------------------------------------------------------------------------ */

/* Return: its exit code, or a negative errno value. */
static int run(const char *const *argv)
{
	int status, ret;
	pid_t pid;

	fflush(stdout);
	/* posix_spawnp() does not change what it is given. */
	ret = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (ret)
		return -ret;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int load_module(const char *root, const char *module, bool must, struct ob_error *err)
{
	const char *const argv[] = {"modprobe", "-q", module, NULL};
	int ret;

	ret = *root ? 0 : run(argv);
	if (!ret || !must)
		return 0;
	ob_error_set(err, -ENOENT, "the kernel's module %s cannot be loaded", module);
	if (ret == -ENOENT)
		ob_error_why(err, "there is no program modprobe to load it");
	else
		ob_error_why(err,
			     "`modprobe %s` failed; this kernel may have been built without it",
			     module);
	if (ret == -ENOENT)
		ob_error_fix(err, "sudo apt install kmod");
	else
		ob_error_fix(
			err,
			"see what `sudo modprobe %s` says; Debian's cloud kernels lack it, then: "
			"sudo apt install linux-image-amd64",
			module);
	return -ENOENT;
}

static int load_driver(const char *root, const char *driver, struct ob_error *err)
{
	int ret = 0;

	if (!sysfs_driver_present(root, driver))
		ret = load_module(root, driver, true, err);
	/* vfio-pci can do without, but nobody can open it then; it asks for it only softly. */
	if (!ret && !strcmp(driver, BINDING_VFIO) &&
	    !sysfs_module_present(root, "vfio_iommu_type1"))
		ret = load_module(root, "vfio_iommu_type1", false, err);
	if (!ret && !sysfs_driver_present(root, driver))
		return ob_error_set(err, -ENOENT, "the kernel has no PCI driver %s", driver);
	return ret;
}

static bool has_program(const char *name)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	/* Root's programs, also where the user's path lacks them. */
	for (const char *p = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *p;) {
		size_t n = strcspn(p, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)n, p, name);
		if (!access(file, X_OK))
			return true;
		p += n + (p[n] == ':');
	}
	snprintf(file, sizeof(file), "/usr/sbin/%s", name);
	return !access(file, X_OK);
}

static int need_driverctl(struct ob_error *err)
{
	if (has_program("driverctl"))
		return 0;
	ob_error_set(err, -ENOENT, "--persist needs driverctl, which is not installed");
	ob_error_why(err, "it keeps a device's driver over restarts, by a rule of udev");
	ob_error_fix(err, "sudo apt install driverctl");
	return -ENOENT;
}

/* ---- one function --------------------------------------------------------------------------------- */

static bool current_driver(const char *root, const char *name, char driver[64])
{
	driver[0] = '\0';
	return sysfs_link_name(driver, 64, root, "/sys/bus/pci/devices/%s/driver", name);
}

static int set_override(const char *root, const char *name, const char *driver)
{
	char line[72];

	/* An empty line takes it away. */
	snprintf(line, sizeof(line), "%s\n", driver);
	return sysfs_write(root, line, "/sys/bus/pci/devices/%s/driver_override", name);
}

static int leave_driver(const char *root, const char *name)
{
	char driver[64];

	if (!current_driver(root, name, driver))
		return 0;
	return sysfs_write(root, name, "/sys/bus/pci/drivers/%s/unbind", driver);
}

/*
 * drivers_probe says that all went well also when no driver wanted the device, so look. Where @driver did not
 * take it, its own file `bind` tells why.
 */
static int probe_for(const char *root, const char *name, const char *driver)
{
	char now[64];
	int ret = sysfs_write(root, name, "/sys/bus/pci/drivers_probe");

	/* Some drivers are probed in the background: a moment is theirs. */
	for (int i = 0; i < 50; i++) {
		if (current_driver(root, name, now) && (!driver || !strcmp(now, driver)))
			return 0;
		if (!driver || *root)
			break;
		usleep(i < 10 ? 1000 : 20000);
	}
	if (!driver)
		return 0;
	if (!*now) {
		int why = sysfs_write(root, name, "/sys/bus/pci/drivers/%s/bind", driver);

		if (current_driver(root, name, now) && !strcmp(now, driver))
			return 0;
		if (why)
			return why;
	}
	return ret ? ret : -EIO;
}

static int put_back(const char *root, const struct sysfs_function *fn,
		    const struct binding_record *rec)
{
	int ret = leave_driver(root, fn->name), last;

	if (!ret && *rec->driver) {
		if (!sysfs_driver_present(root, rec->driver))
			load_module(root, rec->driver, false, NULL);
		/* By name: an override of before may have been for another driver than it had. */
		ret = set_override(root, fn->name, rec->driver);
		if (!ret)
			ret = probe_for(root, fn->name, rec->driver);
	}
	last = set_override(root, fn->name, rec->override);
	return ret ? ret : last;
}

/*
 * It stores the driver for the next start, and while it is at it takes the device away from its driver and (but for
 * unset) gives it to @driver again, so look at the result.
 */
static int tell_driverctl(const char *root, const struct sysfs_function *fn, const char *driver,
			  struct ob_error *err)
{
	const char *const set[] = {"driverctl", "set-override", fn->name, driver, NULL};
	const char *const unset[] = {"driverctl", "--noprobe", "unset-override", fn->name, NULL};
	int ret = *root ? 0 : run(driver ? set : unset);

	if (!ret && driver)
		ret = probe_for(root, fn->name, driver);
	if (!ret)
		return 0;
	ob_error_set(err, -EIO, "%s: driverctl did not store %s for it", fn->name,
		     driver ? driver : "nothing");
	ob_error_fix(err, "see what `sudo driverctl -v set-override %s %s` says", fn->name,
		     driver ? driver : "none");
	return -EIO;
}

static int own_node(const struct sysfs_function *fn, const char *user, struct ob_error *err)
{
	struct passwd *pw = getpwnam(user);
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", fn->group);
	if (!pw)
		return ob_error_set(err, -EINVAL, "there is no user '%s'", user);
	if (chown(path, pw->pw_uid, (gid_t)-1))
		return ob_error_set(err, -errno, "%s cannot be given to %s: %s", path, user,
				    strerror(errno));
	return 0;
}

static int not_taken(const struct sysfs_function *fn, const char *driver, int why, bool restored,
		     struct ob_error *err)
{
	ob_error_set(err, -EIO, "%s: %s did not take it", fn->name, driver);
	if (why == -ENODEV && !strcmp(driver, BINDING_UIO))
		ob_error_why(err, "its interrupt cannot be masked in configuration space%s",
			     restored ? "; it is back where it was" : "");
	else
		ob_error_why(err, "%s%s",
			     why == -EIO ? "the kernel does not say why" : strerror(-why),
			     restored ? "; it is back where it was" : "");
	ob_error_fix(err, "the kernel's log may say more: sudo dmesg | tail");
	return -EIO;
}

static int bind_one(const char *root, struct binding_step *step, const char *driver,
		    const struct binding_options *options, struct ob_error *err)
{
	struct sysfs_function *fn = &step->fn;
	struct binding_record rec;
	bool known = binding_recall(root, fn, &rec);
	int ret;

	snprintf(step->previous, sizeof(step->previous), "%s", fn->driver);
	if (!known) {
		rec.vendor = fn->vendor;
		rec.device = fn->device;
		snprintf(rec.driver, sizeof(rec.driver), "%s", fn->driver);
		snprintf(rec.override, sizeof(rec.override), "%s", fn->override);
		ret = binding_remember(root, fn, &rec, err);
		if (ret)
			return ret;
	}
	ret = set_override(root, fn->name, driver);
	if (!ret)
		ret = leave_driver(root, fn->name);
	if (!ret)
		ret = probe_for(root, fn->name, driver);
	if (ret) {
		struct binding_record before = rec;
		bool restored;

		snprintf(before.driver, sizeof(before.driver), "%s", fn->driver);
		snprintf(before.override, sizeof(before.override), "%s", fn->override);
		restored = !put_back(root, fn, &before);
		if (!known)
			binding_forget(root, fn);
		return not_taken(fn, driver, ret, restored, err);
	}
	step->changed = true;
	return 0;
}

static void undo(const char *root, struct binding_order *order)
{
	for (unsigned int i = 0; i < order->n; i++) {
		struct binding_step *step = &order->step[i];
		struct binding_record before = {.vendor = step->fn.vendor};

		if (!step->changed)
			continue;
		snprintf(before.driver, sizeof(before.driver), "%s", step->previous);
		snprintf(before.override, sizeof(before.override), "%s", step->fn.override);
		if (!put_back(root, &step->fn, &before) && !binding_is_ours(step->previous))
			binding_forget(root, &step->fn);
		step->changed = false;
	}
}

static int finish(const char *root, struct binding_step *step, const char *driver,
		  const struct binding_options *options, struct ob_error *err)
{
	struct binding_record rec;
	int ret = 0;

	if (options->persist) {
		ret = tell_driverctl(root, &step->fn, driver, err);
		if (!ret && binding_recall(root, &step->fn, &rec) && !rec.persistent) {
			rec.persistent = true;
			ret = binding_remember(root, &step->fn, &rec, err);
		}
	}
	if (!ret && options->user)
		ret = own_node(&step->fn, options->user, err);
	return ret;
}

int binding_bind(const char *root, const struct pci_machine *machine, struct binding_order *order,
		 const char *driver, const struct binding_options *options, struct ob_error *err)
{
	int ret = 0;

	if (options->user && strcmp(driver, BINDING_VFIO) != 0)
		return ob_error_set(err, -EINVAL,
				    "--user is for vfio-pci: with " BINDING_UIO
				    " a device reaches all memory, which is root's alone");
	if (options->user && !getpwnam(options->user))
		return ob_error_set(err, -EINVAL, "there is no user '%s'", options->user);
	if (options->persist)
		ret = need_driverctl(err);
	if (!ret && options->whole_group)
		ret = add_groups(order, machine, err);
	/* All are looked at before the first is touched. */
	for (unsigned int i = 0; i < order->n && !ret; i++) {
		const struct sysfs_function *fn = &order->step[i].fn;

		if (!strcmp(fn->driver, driver) && !options->persist && !options->user)
			continue;
		ret = binding_check_root(root, fn, "bind", err);
		if (!ret && strcmp(fn->driver, driver) != 0)
			ret = binding_check(root, machine, fn, driver, options, err);
	}
	if (ret)
		return ret;
	for (unsigned int i = 0; i < order->n && !ret; i++) {
		struct binding_step *step = &order->step[i];

		if (!strcmp(step->fn.driver, driver))
			continue;
		ret = load_driver(root, driver, err);
		if (!ret)
			ret = bind_one(root, step, driver, options, err);
	}
	if (ret) {
		undo(root, order);
		return ret;
	}
	for (unsigned int i = 0; i < order->n && !ret; i++)
		ret = finish(root, &order->step[i], driver, options, err);
	for (unsigned int i = 0; i < order->n; i++)
		sysfs_function_read(root, order->step[i].fn.name, &order->step[i].fn);
	return ret;
}

/* ---- back ------------------------------------------------------------------------------------------ */

static int unbind_one(const char *root, struct binding_step *step,
		      const struct binding_options *options, struct ob_error *err)
{
	struct sysfs_function *fn = &step->fn;
	struct binding_record rec;
	bool known = binding_recall(root, fn, &rec);
	char now[64];
	int ret;

	snprintf(step->previous, sizeof(step->previous), "%s", fn->driver);
	if (known && rec.persistent && has_program("driverctl")) {
		ret = tell_driverctl(root, fn, NULL, err);
		if (ret)
			return ret;
	}
	if (known) {
		ret = put_back(root, fn, &rec);
	} else {
		/* Somebody else bound it, or before a restart: the driver that the kernel would choose. */
		char alias[128];

		ret = leave_driver(root, fn->name);
		if (!ret)
			ret = set_override(root, fn->name, "");
		if (!ret && sysfs_line(alias, sizeof(alias), root,
				       "/sys/bus/pci/devices/%s/modalias", fn->name))
			load_module(root, alias, false, NULL);
		if (!ret)
			ret = probe_for(root, fn->name, NULL);
	}
	if (ret) {
		ob_error_set(err, -EIO, "%s did not go back to %s", fn->name,
			     known && *rec.driver ? rec.driver : "its driver");
		if (current_driver(root, fn->name, now))
			ob_error_why(err, "%s has it now (%s)", now, strerror(-ret));
		else
			ob_error_why(err, "no driver has it now (%s)", strerror(-ret));
		ob_error_fix(err, "the kernel's log may say more: sudo dmesg | tail");
		return -EIO;
	}
	binding_forget(root, fn);
	step->changed = true;
	return 0;
}

static int check_unbind(const char *root, const struct sysfs_function *fn,
			const struct binding_options *options, struct ob_error *err)
{
	struct binding_record rec;
	char stored[64];
	int ret = binding_check_root(root, fn, "unbind", err);

	if (!ret)
		ret = binding_check_free(root, fn, err);
	if (ret || options->force)
		return ret;
	if (binding_driverctl(root, fn, stored) &&
	    !(binding_recall(root, fn, &rec) && rec.persistent)) {
		ob_error_set(err, -EBUSY, "%s: driverctl has stored %s for it", fn->name, stored);
		ob_error_fix(err,
			     "sudo driverctl unset-override %s, or unbind it with --force "
			     "until the next start",
			     fn->name);
		return -EBUSY;
	}
	return 0;
}

int binding_unbind(const char *root, const struct pci_machine *machine, struct binding_order *order,
		   const struct binding_options *options, struct ob_error *err)
{
	int ret = 0;

	if (options->whole_group)
		ret = add_groups(order, machine, err);
	for (unsigned int i = 0; i < order->n && !ret; i++)
		if (binding_is_ours(order->step[i].fn.driver))
			ret = check_unbind(root, &order->step[i].fn, options, err);
	for (unsigned int i = 0; i < order->n && !ret; i++) {
		struct binding_step *step = &order->step[i];

		/* A record of a function that somebody else has taken back is of no use any more. */
		if (!binding_is_ours(step->fn.driver))
			binding_forget(root, &step->fn);
		else
			ret = unbind_one(root, step, options, err);
	}
	for (unsigned int i = 0; i < order->n; i++)
		sysfs_function_read(root, order->step[i].fn.name, &order->step[i].fn);
	return ret;
}
