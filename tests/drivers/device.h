/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of drivers on real device models share: open and bind, the QEMU behind it, images. */
#ifndef TESTS_DRIVERS_DEVICE_H
#define TESTS_DRIVERS_DEVICE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#define MIB (1ull << 20)

struct bound {
	struct ob_device *dev;
	struct ob_binding *b;
};

static inline struct bound bind_spec(const char *spec, const struct ob_driver_config *config)
{
	struct ob_error err = {0};
	struct bound d;
	char text[2048];

	if (ob_device_open(spec, &d.dev, &err))
		fail_msg("%s: %s", spec, ob_error_text(&err, text, sizeof(text)));
	if (ob_driver_bind(d.dev, NULL, config, &d.b, &err))
		fail_msg("%s: %s", spec, ob_error_text(&err, text, sizeof(text)));
	return d;
}

static inline void release(struct bound *d)
{
	ob_driver_unbind(d->b);
	ob_device_close(d->dev);
}

/* Every line of a self-test has passed; returns how many there were. */
static inline int expect_selftest(struct bound *d)
{
	struct ob_selftest_line lines[64];
	int n = d->b->driver->selftest(d->b, lines, 64);

	assert_true(n > 0);
	for (int i = 0; i < n; i++)
		if (lines[i].result < 0)
			fail_msg("%s: %s (%s)", lines[i].name, strerror(-lines[i].result),
				 lines[i].detail);
	return n;
}

/* Is the program of process @pid QEMU? */
static inline bool is_qemu(int pid)
{
	char path[64], name[64] = "";
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	comm = fopen(path, "re");
	if (!comm)
		return false;
	if (!fgets(name, sizeof(name), comm))
		name[0] = '\0';
	fclose(comm);
	return strstr(name, "qemu");
}

/* The QEMU that a thread of this process started. */
static inline pid_t qemu_pid(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int pid, found = -1;
	struct dirent *e;

	assert_non_null(tasks);
	while ((e = readdir(tasks))) {
		char path[300];
		FILE *children;

		snprintf(path, sizeof(path), "/proc/self/task/%s/children", e->d_name);
		children = fopen(path, "re");
		while (children && fscanf(children, "%d", &pid) == 1)
			if (is_qemu(pid))
				found = pid;
		if (children)
			fclose(children);
	}
	closedir(tasks);
	if (found < 0)
		fail_msg("no QEMU among the children");
	return found;
}

/* A sparse file of @size bytes in the temporary folder; the caller unlinks it. */
static inline void make_image(char path[64], unsigned long long size)
{
	int fd;

	snprintf(path, 64, "%.40s/outboard-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

#endif
