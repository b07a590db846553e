/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings a driver and a device together: finds the driver that matches, or takes the one that was
 * asked for, and loads drivers from shared objects. Contract: include/outboard/driver.h.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <outboard/driver.h>

#include "class/look.h"
#include "drivers/drivers.h"
#include "linux_made_of.h"

/* The symbol that a driver's shared object defines. */
#define DRIVER_SYMBOL "outboard_driver"
/* And an object of `outboard linux build`: what it was made of. */
#define LINUX_SYMBOL "outboard_made_of"

static bool driver_knows(const struct ob_driver *driver, const struct ob_device_info *info)
{
	for (const struct ob_pci_id *i = driver->ids; i->vendor || i->class_mask; i++) {
		if (i->vendor != OB_PCI_ANY && i->vendor != info->vendor)
			continue;
		if (i->device != OB_PCI_ANY && i->device != info->device)
			continue;
		if ((info->class_code & i->class_mask) == i->class_code)
			return true;
	}
	return false;
}

/* "edu, e1000, nvme", cut where the room ends */
static void list_drivers(char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (const struct ob_driver *const *d = ob_drivers(); *d && n < size; d++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", (*d)->name);
}

/* "1234:11e8 8086:100e", cut where the room ends */
static void list_ids(const struct ob_driver *driver, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (const struct ob_pci_id *i = driver->ids; (i->vendor || i->class_mask) && n < size;
	     i++) {
		if (i->vendor == OB_PCI_ANY)
			n += (size_t)snprintf(buf + n, size - n, "%sclass %06x", n ? ", " : "",
					      i->class_code);
		else
			n += (size_t)snprintf(buf + n, size - n, "%s%04x:%04x", n ? ", " : "",
					      i->vendor, i->device);
	}
}

int ob_driver_bind(struct ob_device *dev, const struct ob_driver *driver,
		   const struct ob_driver_config *config, struct ob_binding **bp,
		   struct ob_error *err)
{
	const struct ob_device_info *info = ob_device_info(dev);
	struct ob_error probe_err = {0};
	char list[256];
	struct ob_binding *b;
	int rc;

	if (ob_device_gone(dev))
		return ob_error_set(err, -ENODEV, "%s is gone", info->name);
	if (!driver) {
		driver = ob_driver_match(info->vendor, info->device, info->class_code, NULL);
		if (!driver) {
			list_drivers(list, sizeof(list));
			ob_error_set(err, -ENOENT,
				     "no driver for %s (vendor %04x, device %04x, class %06x)",
				     info->name, info->vendor, info->device, info->class_code);
			ob_error_why(err, "the drivers are: %s", list);
			ob_error_fix(err, "name one with --driver NAME, or a file with --driver "
					  "./NAME.so");
			return -ENOENT;
		}
	} else if (!driver_knows(driver, info)) {
		/* Its registers would be poked at random: never, whoever asked for it. */
		list_ids(driver, list, sizeof(list));
		ob_error_set(err, -ENODEV,
			     "driver %s does not drive %s (vendor %04x, device %04x, class %06x)",
			     driver->name, info->name, info->vendor, info->device,
			     info->class_code);
		ob_error_why(err, "it drives: %s", list);
		driver = ob_driver_match(info->vendor, info->device, info->class_code, NULL);
		if (driver)
			ob_error_fix(err, "--driver %s", driver->name);
		return -ENODEV;
	}

	b = calloc(1, sizeof(*b));
	if (!b)
		return ob_error_set(err, -ENOMEM, "no memory to bind %s", info->name);
	b->driver = driver;
	b->dev = dev;
	if (config)
		b->config = *config;
	if (!driver->masters)
		ob_device_wake(dev);
	rc = driver->probe(b, &probe_err);
	if (!rc) {
		rc = look_install(b);
		if (rc)
			driver->remove(b);
	}
	if (rc) {
		/* A driver may fail without a word; its caller still learns who and where. */
		if (!probe_err.code)
			ob_error_set(&probe_err, rc, "driver %s failed on %s: %s", driver->name,
				     info->name, strerror(-rc));
		if (err)
			*err = probe_err;
		free(b);
		return rc;
	}
	/* Before it starts: a client must not be told that a write was taken when none can be. */
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		b->block[i]->limits.read_only |= info->read_only;
	*bp = b;
	return 0;
}

void ob_driver_unbind(struct ob_binding *b)
{
	if (!b)
		return;
	/* The block class knows whether a disk runs and frees its queues; a network's remove() stops it. */
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		ob_block_stop(b->block[i]);
	look_remove(b);
	b->driver->remove(b);
	free(b);
}

/* What `outboard linux build` makes, and of which kernel where none is named. */
#define LINUX_PREFIX "linux:"
#define LINUX_KERNEL "6.12"

/* "linux:e1000e" or "linux:e1000e@6.1": the object in the cache of linux/build, and whether it is there. */
static int linux_object(const char *name, char *path, size_t size, struct ob_error *err)
{
	const char *cache = secure_getenv("OUTBOARD_LINUX_CACHE");
	const char *xdg = secure_getenv("XDG_CACHE_HOME");
	const char *home = secure_getenv("HOME");
	const char *at = strchr(name, '@');
	int len = at ? (int)(at - name) : (int)strlen(name);
	const char *kernel = at ? at + 1 : LINUX_KERNEL;
	char folder[PATH_MAX];

	if (!len || !*kernel || strchr(name, '/')) {
		ob_error_set(err, -EINVAL, "\"" LINUX_PREFIX "%s\" names no Linux driver", name);
		ob_error_fix(err, LINUX_PREFIX "e1000e, or " LINUX_PREFIX "e1000e@" LINUX_KERNEL);
		return -EINVAL;
	}
	if (cache)
		snprintf(folder, sizeof(folder), "%s", cache);
	else if (xdg)
		snprintf(folder, sizeof(folder), "%s/outboard/linux", xdg);
	else
		snprintf(folder, sizeof(folder), "%s/.cache/outboard/linux", home ? home : "/tmp");
	if (snprintf(path, size, "%s/objects/linux-%.*s-%s.so", folder, len, name, kernel) >=
	    (int)size)
		return ob_error_set(err, -ENAMETOOLONG, "the path of " LINUX_PREFIX "%s", name);
	if (access(path, R_OK)) {
		int rc = -errno;

		ob_error_set(err, rc, "the Linux driver %.*s of kernel %s is not built", len, name,
			     kernel);
		ob_error_why(err, "%s: %s", path, strerror(-rc));
		ob_error_fix(err, "outboard linux build %.*s --kernel %s", len, name, kernel);
		return rc;
	}
	return 0;
}

/* What was made of other sources may lay down a structure of the library's differently. */
static int linux_fits(void *so, const char *path, const char *name, struct ob_error *err)
{
	const char *made_of = dlsym(so, LINUX_SYMBOL);
	const char *at = strchr(name, '@');

	if (made_of && !strncmp(made_of, LINUX_MADE_OF, sizeof(LINUX_MADE_OF)))
		return 0;
	ob_error_set(err, -ENOEXEC, "the object of " LINUX_PREFIX "%s is of another Outboard",
		     name);
	ob_error_why(err, "%s was built with other sources than this program", path);
	ob_error_fix(err, "outboard linux build %.*s --kernel %s",
		     at ? (int)(at - name) : (int)strlen(name), name, at ? at + 1 : LINUX_KERNEL);
	return -ENOEXEC;
}

int ob_driver_path(const char *name, char *path, size_t size, struct ob_error *err)
{
	char whole[PATH_MAX];
	int rc = 0;

	*path = '\0';
	if (!strncmp(name, LINUX_PREFIX, strlen(LINUX_PREFIX)))
		return linux_object(name + strlen(LINUX_PREFIX), path, size, err);
	if (!strchr(name, '/'))
		return 0;
	if (!realpath(name, whole))
		rc = -errno;
	else if (strlen(whole) >= size)
		rc = -ENAMETOOLONG;
	if (rc)
		return ob_error_set(err, rc, "cannot read driver %s: %s", name, strerror(-rc));
	strcpy(path, whole);
	return 0;
}

int ob_driver_load(const char *path, const struct ob_driver **driver, struct ob_error *err)
{
	const char *linux_name = NULL;
	const struct ob_driver *d;
	char object[PATH_MAX];
	struct stat st;
	void *so;

	if (!strncmp(path, LINUX_PREFIX, strlen(LINUX_PREFIX))) {
		int rc;

		linux_name = path + strlen(LINUX_PREFIX);
		rc = linux_object(linux_name, object, sizeof(object), err);
		if (rc)
			return rc;
		path = object;
	}
	/* Without a slash dlopen() would search the system's library folders. */
	if (!strchr(path, '/')) {
		ob_error_set(err, -EINVAL, "\"%s\" is not the path of a driver", path);
		ob_error_why(err, "a path contains a '/'");
		ob_error_fix(err, "./%s", path);
		return -EINVAL;
	}
	if (stat(path, &st) || access(path, R_OK)) {
		int rc = -errno;

		return ob_error_set(err, rc, "cannot read driver %s: %s", path, strerror(-rc));
	}
	if (!S_ISREG(st.st_mode))
		return ob_error_set(err, -EINVAL, "driver %s is not a file", path);

	/* NOW: a symbol that the library lacks shows here, not in the middle of a transfer. */
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		ob_error_set(err, -ENOEXEC, "cannot load driver %s", path);
		ob_error_why(err, "%s", dlerror());
		ob_error_fix(err, "cc -shared -fPIC $(pkg-config --cflags outboard) -o %s ...",
			     path);
		return -ENOEXEC;
	}
	if (linux_name && linux_fits(so, path, linux_name, err))
		goto close;
	d = dlsym(so, DRIVER_SYMBOL);
	if (!d) {
		ob_error_set(err, -ENOEXEC, "%s is no Outboard driver", path);
		ob_error_why(err, "it does not define the symbol " DRIVER_SYMBOL);
		ob_error_fix(err, "const struct ob_driver " DRIVER_SYMBOL " = { .name = ... };");
		goto close;
	}
	if (!d->name || !d->ids || !d->probe || !d->remove) {
		ob_error_set(err, -ENOEXEC, "driver %s is incomplete", path);
		ob_error_why(err, DRIVER_SYMBOL " lacks .%s",
			     !d->name	 ? "name"
			     : !d->ids	 ? "ids"
			     : !d->probe ? "probe"
					 : "remove");
		goto close;
	}
	*driver = d;
	return 0;

close:
	dlclose(so);
	return -ENOEXEC;
}
