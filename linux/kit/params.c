/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is given to the kernel's command line is looked at first: of a parameter that a driver does not have the kernel says nothing, since on
 * its own command line it may belong to a module that is loaded later.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kit/host.h"

/* As the kernel compares them: '-' is '_' (kernel/params.c, parameq()). */
static bool same(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char x = a[i] == '-' ? '_' : a[i], y = b[i] == '-' ? '_' : b[i];

		if (x != y || !x)
			return false;
	}
	return true;
}

/* @len bytes at @word: "driver.parameter", without its value. */
static int check(const char *word, size_t len, struct ob_error *err)
{
	const char *dot = memchr(word, '.', len);
	size_t module = dot ? (size_t)(dot - word) : 0, n = 0;
	char list[400] = "";
	const char *name;

	/* One of the kernel's own; it says itself which of these it does not know. */
	if (!module)
		return 0;
	for (unsigned int i = 0; (name = outboard_kernel.param(i)); i++) {
		if (strlen(name) <= module || name[module] != '.' || !same(name, word, module))
			continue;
		if (strlen(name) == len && same(name, word, len))
			return 0;
		if (n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
					      name + module + 1);
	}
	ob_error_set(err, -EINVAL, "%.*s has no parameter '%.*s' in kernel %s", (int)module, word,
		     (int)(len - module - 1), dot + 1, outboard_kernel.release);
	if (*list)
		ob_error_why(err, "it has: %s", list);
	else
		ob_error_why(err, "no part of this object called '%.*s' has parameters",
			     (int)module, word);
	ob_error_fix(err, "change OUTBOARD_LINUX_ARGS");
	return -EINVAL;
}

int kit_params_check(const char *args, struct ob_error *err)
{
	while (args && *args) {
		size_t blank = strspn(args, " \t\n"), len, name;
		int ret;

		args += blank;
		len = strcspn(args, " \t\n");
		name = strcspn(args, "= \t\n");
		ret = check(args, name < len ? name : len, err);
		if (ret)
			return ret;
		args += len;
	}
	return 0;
}
