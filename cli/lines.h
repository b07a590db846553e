/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines that a program says. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "outboard/error.h"

/**
 * cli_program_lines() - run a program to its end and take each line that it writes to a descriptor
 * @argv: ends with NULL; argv[0] is replaced by @path
 * @fd: of the program; when it is not its standard output, that goes to standard error
 * @take: gets @arg and a line without its end, which is valid for that call alone
 * @status: as waitpid(2) gives it
 *
 * Return: 0 when it could be run, however it ended, or a negative errno value.
 */
int cli_program_lines(const char *path, char **argv, int fd, void (*take)(void *arg, char *line),
		      void *arg, int *status, struct ob_error *err);

#endif
