/* SPDX-License-Identifier: BSD-2-Clause */
/* cli/config.h */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/config.h"

int config_error(const struct config_line *line, struct ob_error *err)
{
	char what[sizeof(err->what)];

	memcpy(what, err->what, sizeof(what));
	snprintf(err->what, sizeof(err->what), "%.80s:%u: %.220s", line->file, line->number, what);
	return err->code;
}

char *config_load(const char *file, struct ob_error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(CONFIG_MAX + 1);
	ssize_t n = text ? 0 : -1;
	size_t size = 0;

	while (text && size <= CONFIG_MAX && (n = read(fd, text + size, CONFIG_MAX + 1 - size)) > 0)
		size += (size_t)n;
	if (n < 0)
		ob_error_set(err, -errno, "'%.200s' cannot be read: %s", file, strerror(errno));
	else if (size > CONFIG_MAX)
		ob_error_set(err, -EFBIG, "'%.200s' is longer than %d bytes", file, CONFIG_MAX);
	else if (memchr(text, '\0', size))
		ob_error_set(err, -EINVAL, "'%.200s' is no text", file);
	if (fd >= 0)
		close(fd);
	if (n < 0 || size > CONFIG_MAX || memchr(text, '\0', size)) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

/* Without the blanks around it. */
static char *trim(char *text)
{
	size_t n;

	while (isspace((unsigned char)*text))
		text++;
	n = strlen(text);
	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text;
}

static int parse_line(char *text, struct config_line *line, struct ob_error *err)
{
	size_t n = strlen(text);
	char *equals;

	line->key = line->value = NULL;
	if (*text == '[') {
		if (n < 3 || text[n - 1] != ']')
			return ob_error_set(err, -EINVAL, "'%.100s' is no section", text);
		text[n - 1] = '\0';
		line->section = trim(text + 1);
		return 0;
	}
	equals = strchr(text, '=');
	if (!equals || equals == text) {
		ob_error_set(err, -EINVAL, "'%.100s' is no setting", text);
		ob_error_fix(err, "write it as KEY = VALUE");
		return -EINVAL;
	}
	if (!line->section)
		return ob_error_set(err, -EINVAL, "a setting in front of the first [SECTION]");
	*equals = '\0';
	line->key = trim(text);
	line->value = trim(equals + 1);
	return 0;
}

int config_read(const char *file, char *text, int (*fn)(void *arg, const struct config_line *line),
		void *arg, struct ob_error *err)
{
	struct config_line line = {.file = file};
	char *next;
	int ret;

	for (; text; text = next) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		line.number++;
		text = trim(text);
		if (!*text || *text == '#' || *text == ';')
			continue;
		ret = parse_line(text, &line, err);
		if (ret)
			return config_error(&line, err);
		ret = fn(arg, &line);
		if (ret)
			return ret;
	}
	return 0;
}
