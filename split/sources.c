/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a driver's files and the kernel's headers; split/sources.h. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "split/sources.h"

enum {
	DEPTH = 16, /* of folders below a driver's */
	MOST_FILES =
		4096, /* of one driver; the largest of the kernel's, amdgpu, has some thousand */
};

int texts_add(texts *t, const char *fmt, ...)
{
	char **slot = vector_add(t);
	va_list ap;
	int n;

	if (!slot)
		return -ENOMEM;
	va_start(ap, fmt);
	n = vasprintf(slot, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->n--;
		return -ENOMEM;
	}
	return 0;
}

void texts_free(texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->at[i]);
	vector_free(t);
	memset(t, 0, sizeof(*t));
}

void sources_free(struct sources *s)
{
	texts_free(&s->files);
	for (size_t i = 0; i < s->skipped.n; i++)
		free(s->skipped.at[i].path);
	vector_free(&s->skipped);
}

/* ---- files ------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && !strcmp(name + n - m, end);
}

static int skip(struct sources *s, const char *path, const char *why)
{
	struct skipped_file *f = vector_add(&s->skipped);

	if (!f)
		return -ENOMEM;
	f->path = strdup(path);
	f->why = why;
	return f->path ? 0 : -ENOMEM;
}

static int take_file(struct sources *s, const char *path)
{
	char real[PATH_MAX];

	if (ends_in(path, ".S") || ends_in(path, ".s"))
		return skip(s, path, "assembler, of which nothing is known");
	/* modpost's, with tables that the module loader reads */
	if (ends_in(path, ".mod.c"))
		return 0;
	if (!ends_in(path, ".c"))
		return 0;
	if (!realpath(path, real))
		return skip(s, path, "it cannot be read");
	if (s->files.n == MOST_FILES)
		return -E2BIG;
	for (size_t i = 0; i < s->files.n; i++)
		if (!strcmp(s->files.at[i], real))
			return 0;
	return texts_add(&s->files, "%s", real);
}

static int visible(const struct dirent *e)
{
	return *e->d_name != '.';
}

static int take_folder(struct sources *s, const char *dir, int depth)
{
	struct dirent **list;
	int ret = 0, n;

	if (depth == DEPTH)
		return 0;
	n = scandir(dir, &list, visible, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct stat st;

		if (!ret &&
		    snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name) < PATH_MAX &&
		    !lstat(path, &st)) {
			if (S_ISDIR(st.st_mode))
				ret = take_folder(s, path, depth + 1);
			else if (S_ISREG(st.st_mode))
				ret = take_file(s, path);
		}
		free(list[i]);
	}
	free(list);
	return ret;
}

/* The innermost folder above all files. */
static void find_root(struct sources *s)
{
	for (size_t i = 0; i < s->files.n; i++) {
		char *slash;

		if (!i) {
			snprintf(s->root, sizeof(s->root), "%s", s->files.at[i]);
			slash = strrchr(s->root, '/');
			*slash = '\0';
			continue;
		}
		while (*s->root) {
			size_t n = strlen(s->root);

			if (!strncmp(s->files.at[i], s->root, n) && s->files.at[i][n] == '/')
				break;
			*strrchr(s->root, '/') = '\0';
		}
	}
}

/* A kernel's tree says at the head of its Makefile which one it is. */
static bool read_version(const char *dir, char version[16])
{
	char path[PATH_MAX], line[256];
	int major = -1, minor = -1;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/Makefile", dir) >= PATH_MAX)
		return false;
	f = fopen(path, "re");
	if (!f)
		return false;
	for (int i = 0; i < 8 && fgets(line, sizeof(line), f); i++) {
		sscanf(line, "VERSION = %d", &major);
		sscanf(line, "PATCHLEVEL = %d", &minor);
	}
	fclose(f);
	if (major < 0 || major > 999 || minor < 0 || minor > 999)
		return false;
	snprintf(version, 16, "%d.%d", major, minor);
	return true;
}

static void find_top(struct sources *s)
{
	char *slash;

	snprintf(s->top, sizeof(s->top), "%s", s->root);
	while (*s->top) {
		if (read_version(s->top, s->version))
			return;
		slash = strrchr(s->top, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	*s->top = '\0';
}

int sources_find(struct sources *s, char *const *arguments, int n, struct ob_error *err)
{
	int ret = 0;

	memset(s, 0, sizeof(*s));
	for (int i = 0; !ret && i < n; i++) {
		struct stat st;

		if (stat(arguments[i], &st)) {
			ret = -errno;
			ob_error_set(err, ret, "%s: %s", arguments[i], strerror(errno));
			goto failed;
		}
		ret = S_ISDIR(st.st_mode) ? take_folder(s, arguments[i], 0)
					  : take_file(s, arguments[i]);
		if (ret)
			ob_error_set(err, ret, "%s: %s", arguments[i], strerror(-ret));
	}
	if (!ret && !s->files.n) {
		ret = ob_error_set(err, -ENOENT, "there is no C file in %s%s", arguments[0],
				   n > 1 ? " and the others" : "");
	}
	if (!ret) {
		find_root(s);
		find_top(s);
		return 0;
	}
failed:
	sources_free(s);
	return ret;
}

/* ---- headers ------------------------------------------------------------------------------ */

static bool has(const char *dir, const char *file)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", dir, file) < PATH_MAX && !access(path, R_OK);
}

/* A distribution's headers are two folders; the first's Makefile is one line, "include /usr/src/linux-headers-...-common/Makefile". */
static bool named_by_makefile(const char *dir, char source[PATH_MAX])
{
	char path[PATH_MAX], line[PATH_MAX], name[PATH_MAX];
	char *slash;
	FILE *f;
	bool found = false;

	if (snprintf(path, sizeof(path), "%s/Makefile", dir) >= PATH_MAX)
		return false;
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "include %s", name) != 1)
			continue;
		slash = strrchr(name, '/');
		if (!slash)
			continue;
		*slash = '\0';
		snprintf(source, PATH_MAX, "%s", name);
		found = has(source, "include/linux/kconfig.h");
		/* Unpacked elsewhere, they still lie side by side. */
		slash = strrchr(name, '/');
		if (!found && slash) {
			found = snprintf(source, PATH_MAX, "%s/..%s", dir, slash) < PATH_MAX &&
				has(source, "include/linux/kconfig.h");
		}
	}
	fclose(f);
	return found;
}

int headers_find(struct headers *h, const char *dir, struct ob_error *err)
{
	if (!realpath(dir, h->build))
		return ob_error_set(err, -errno, "kernel headers: %s: %s", dir, strerror(errno));
	if (!has(h->build, "include/generated/autoconf.h")) {
		ob_error_set(
			err, -ENOENT,
			"%s has no kernel headers: there is no include/generated/autoconf.h in it",
			dir);
		ob_error_why(err, "wanted is a folder in which a module can be built, like "
				  "/lib/modules/RELEASE/build");
		return -ENOENT;
	}
	if (has(h->build, "include/linux/kconfig.h")) {
		memcpy(h->source, h->build, sizeof(h->source));
		return 0;
	}
	if (snprintf(h->source, PATH_MAX, "%s/source", h->build) < PATH_MAX &&
	    has(h->source, "include/linux/kconfig.h"))
		return 0;
	if (named_by_makefile(h->build, h->source))
		return 0;
	ob_error_set(err, -ENOENT, "%s has the configuration of a kernel, but not its headers",
		     dir);
	ob_error_why(err, "neither it, nor its link \"source\", nor what its Makefile includes has "
			  "include/linux/kconfig.h");
	return -ENOENT;
}
