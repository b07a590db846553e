/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver's source as it is named on a command line: folders and files, or a module's name; and the headers that belong to it. */
#ifndef CLI_DRIVER_SOURCE_H
#define CLI_DRIVER_SOURCE_H

#include <limits.h>

#include "cli/cli.h"
#include "split/factor.h"

enum {
	MOST_SOURCES = 4096, /* arguments */

	/* Options: -c, -k, -j and */
	DRIVER_HEADERS = CLI_LONG,
	DRIVER_POLICIES,
	DRIVER_NEXT, /* where a command's own begin */
};

#define DRIVER_OPTIONS                                                                             \
	{'c', "class", "CLASS", "net, block, char, ... or a policy's FILE; default: as it looks"}, \
		{'k', "kernel", "VERSION",                                                         \
		 "a driver's name, and headers: of 6.1, 6.12 (the default) or 7.2"},               \
		{DRIVER_HEADERS, "kernel-headers", "DIR", "against which it is compiled"},         \
		{DRIVER_POLICIES, "policies", "DIR", "take policies from there"},                  \
	{                                                                                          \
		'j', "jobs", "N", "that many files at once (default: one per processor)"           \
	}

/**
 * struct driver_source - what was typed, and what was found
 * @kernel: a version, or NULL
 * @headers: a folder, or NULL
 * @class: of policies, or NULL
 * @policies: their folder, or NULL
 */
struct driver_source {
	char *arguments[MOST_SOURCES];
	int n;
	const char *kernel, *headers, *class, *policies;
	long jobs;
	struct sources sources;
	struct headers parsed;
	char name[NAME_MAX + 1];
};

/**
 * driver_analyse() - fetch what has to be fetched, and what factor() finds out about the driver; @q->sources is to be freed by sources_free()
 *
 * @copy: where facts are copied to, or NULL
 */
int driver_analyse(struct analysis *a, struct driver_source *q, FILE *copy, struct ob_error *err);

/** driver_option() - a word, or one of DRIVER_OPTIONS; false: said what is wrong with it, the exit code is in @args */
bool driver_option(struct driver_source *q, struct cli_args *args, int opt);

/** find_part() - beside the program as it is installed, or where it was built */
int find_part(const char *what, const char *installed, const char *built, char path[PATH_MAX],
	      struct ob_error *err);

#endif
