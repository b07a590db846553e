/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of settings, as systemd.syntax(7) has them: sections in brackets, KEY = VALUE in lines, comments that begin with # or ;.
 * What they mean is their reader's.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include <stddef.h>

#include <outboard/error.h>

enum {
	CONFIG_MAX = 64 << 10,
};

/**
 * struct config_line - one setting, or with @key NULL the beginning of a section
 * @file, @number: where it stands, for errors
 * @section, @key, @value: live as long as the text that config_read() was given
 */
struct config_line {
	const char *file;
	unsigned int number;
	const char *section, *key, *value;
};

/** config_load() - a file's text; malloc()ed, the caller's. NULL: @err tells why */
char *config_load(const char *file, struct ob_error *err);

/**
 * config_read() - call @fn for each section and each setting, in their order
 * @text: is changed
 *
 * Return: 0; -EINVAL: a line that is neither, a setting in front of all sections; what @fn returned when it was not 0.
 */
int config_read(const char *file, char *text, int (*fn)(void *arg, const struct config_line *line),
		void *arg, struct ob_error *err);

/** config_error() - put the place in front of what an error says */
int config_error(const struct config_line *line, struct ob_error *err);

#endif
