/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files are a driver, and with which options the compiler reads them. */
#ifndef SPLIT_SOURCES_H
#define SPLIT_SOURCES_H

#include <limits.h>
#include <stdbool.h>

#include <outboard/error.h>

#include "split/vector.h"

typedef VECTOR(char *) texts;

struct skipped_file {
	char *path;
	const char *why;
};

/**
 * struct sources - the files of one driver
 * @root: the innermost folder that has them all
 * @top: of the kernel tree in which it lies, or ""
 * @version: of that tree, "6.1", or ""
 */
struct sources {
	char root[PATH_MAX], top[PATH_MAX], version[16];
	texts files; /* absolute */
	VECTOR(struct skipped_file) skipped;
};

/**
 * struct headers - what a driver is compiled against
 * @build: has include/generated/autoconf.h, e.g. linux-headers-6.1.0-56-amd64
 * @source: has include/linux/kconfig.h; the same folder, or the one that it names
 */
struct headers {
	char build[PATH_MAX], source[PATH_MAX];
};

/** sources_find() - the C files that arguments name, those of folders and what is below them */
int sources_find(struct sources *s, char *const *arguments, int n, struct ob_error *err);
void sources_free(struct sources *s);

/** headers_find() - the two folders, from the one that was given */
int headers_find(struct headers *h, const char *dir, struct ob_error *err);

void texts_free(texts *t);
int texts_add(texts *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * flags_find() - options for one file
 *
 * Those that kbuild left in .FILE.o.cmd beside it, else a set for any driver with the -I and -D of its folder's Makefile.
 */
int flags_find(texts *flags, const struct sources *s, const struct headers *h, const char *file,
	       struct ob_error *err);

/**
 * flags_from_cmd() - what matters to a parser of the command line that kbuild wrote
 * @text: of a .cmd file
 *
 * Return: 0; -EINVAL when there is no command line in it; -ENOMEM.
 */
int flags_from_cmd(texts *flags, const char *text);

/** flags_from_makefile() - the -I and -D of its ccflags; @dir is where it lies, @top the kernel's tree */
int flags_from_makefile(texts *flags, const char *text, const char *dir, const char *top);

#endif
