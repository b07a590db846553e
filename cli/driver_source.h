/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver's source as it is named on a command line: folders and files, or a module's name; and the headers that belong to it. */
#ifndef CLI_DRIVER_SOURCE_H
#define CLI_DRIVER_SOURCE_H

#include <limits.h>

#include "split/factor.h"

enum {
	MOST_SOURCES = 4096 /* arguments */
};

/**
 * struct driver_source - what was typed, and what was found
 * @kernel: a version, or NULL
 * @headers: a folder, or NULL
 */
struct driver_source {
	char *arguments[MOST_SOURCES];
	int n;
	const char *kernel, *headers;
	struct sources sources;
	struct headers parsed;
	char name[NAME_MAX + 1];
};

/**
 * driver_analyse() - fetch what has to be fetched, and what factor() finds out about the driver; @q->sources is to be freed by sources_free()
 *
 * @class: of policies, or NULL
 * @policies: their folder, or NULL
 * @copy: where facts are copied to, or NULL
 */
int driver_analyse(struct analysis *a, struct driver_source *q, const char *class,
		   const char *policies, long jobs, FILE *copy, struct ob_error *err);

/** find_part() - beside the program as it is installed, or where it was built */
int find_part(const char *what, const char *installed, const char *built, char path[PATH_MAX],
	      struct ob_error *err);

#endif
