/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder like sysfs, for what this machine does not have: made for each test, and removed. */
#ifndef TESTS_CLI_SYSFS_FOLDER_H
#define TESTS_CLI_SYSFS_FOLDER_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static inline void make_parents(const char *path)
{
	char dir[512];

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(p - path), path);
		mkdir(dir, 0755);
	}
}

static inline void __attribute__((format(printf, 2, 3))) put(const char *file, const char *fmt, ...)
{
	char path[512];
	va_list ap;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, file);
	make_parents(path);
	f = fopen(path, "w");
	assert_non_null(f);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fclose(f);
}

static inline void link_to(const char *target, const char *file)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, file);
	make_parents(path);
	assert_int_equal(symlink(target, path), 0);
}

static inline int make_root(void **state)
{
	strcpy(root, "/tmp/outboard-test-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline int remove_root(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
