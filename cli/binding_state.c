/* SPDX-License-Identifier: BSD-2-Clause */
/* What was before a function was bound, in /run/outboard/bind; and what driverctl(8) has stored. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/binding.h"

#define STATE_DIR "/run/outboard/bind"

static void state_path(char path[PATH_MAX], const char *root, const struct sysfs_function *fn)
{
	snprintf(path, PATH_MAX, "%s" STATE_DIR "/%s", root, fn->name);
}

/* What stands behind "key " in the file; "" when it is not there. */
static void read_key(const char *text, const char *key, char *value, size_t size)
{
	size_t n = strlen(key);

	value[0] = '\0';
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		if (!strncmp(line, key, n) && line[n] == ' ') {
			snprintf(value, size, "%.*s", (int)strcspn(line + n + 1, "\n"),
				 line + n + 1);
			return;
		}
		if (!strchr(line, '\n'))
			return;
	}
}

bool binding_recall(const char *root, const struct sysfs_function *fn, struct binding_record *rec)
{
	char path[PATH_MAX], text[512], ids[64], persistent[8];
	unsigned int vendor, device;
	ssize_t n;
	int fd;

	memset(rec, 0, sizeof(*rec));
	state_path(path, root, fn);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	read_key(text, "device", ids, sizeof(ids));
	/* Another device in the same slot was never ours. */
	if (sscanf(ids, "%x:%x", &vendor, &device) != 2 || vendor != fn->vendor ||
	    device != fn->device)
		return false;
	rec->vendor = (uint16_t)vendor;
	rec->device = (uint16_t)device;
	read_key(text, "driver", rec->driver, sizeof(rec->driver));
	read_key(text, "override", rec->override, sizeof(rec->override));
	read_key(text, "persistent", persistent, sizeof(persistent));
	rec->persistent = !strcmp(persistent, "yes");
	return true;
}

static int make_dirs(const char *root)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/run/outboard", root);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s" STATE_DIR, root);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	return 0;
}

int binding_remember(const char *root, const struct sysfs_function *fn,
		     const struct binding_record *rec, struct ob_error *err)
{
	char path[PATH_MAX], part[PATH_MAX + 8];
	int ret = make_dirs(root);
	FILE *f = NULL;

	state_path(path, root, fn);
	snprintf(part, sizeof(part), "%s.part", path);
	if (!ret) {
		f = fopen(part, "we");
		ret = f ? 0 : -errno;
	}
	if (f) {
		fprintf(f, "device %04x:%04x\ndriver %s\noverride %s\npersistent %s\n", rec->vendor,
			rec->device, rec->driver, rec->override, rec->persistent ? "yes" : "no");
		if (fclose(f) || rename(part, path))
			ret = -errno;
	}
	if (ret)
		ob_error_set(err, ret, "%s: its driver cannot be remembered in %s: %s", fn->name,
			     path, strerror(-ret));
	return ret;
}

void binding_forget(const char *root, const struct sysfs_function *fn)
{
	char path[PATH_MAX];

	state_path(path, root, fn);
	unlink(path);
}

bool binding_driverctl(const char *root, const struct sysfs_function *fn, char driver[64])
{
	/* driverctl(8), "FILES": one file for each function, with the driver's name in it. */
	return sysfs_line(driver, 64, root, "/etc/driverctl.d/pci-%s", fn->name) && *driver;
}
