/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptors of this process, for programs that hand all of them to a sandbox. */
#ifndef TESTS_RIG_DESCRIPTORS_H
#define TESTS_RIG_DESCRIPTORS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	DESCRIPTORS = 256, /* more than any of them has */
};

static inline unsigned int every_descriptor(int fds[DESCRIPTORS])
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir) && n < DESCRIPTORS)
			fds[n++] = atoi(e->d_name);
	closedir(dir);
	return n;
}

#endif
