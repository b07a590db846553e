/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options for the parser. Those of kbuild are for gcc and mostly about the code that it makes: what decides how a text is read is kept, the rest
 * left out. The .cmd files are described in scripts/Kbuild.include of the kernel.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "split/sources.h"

enum {
	CMD_LIMIT = 1 << 20 /* bytes; they have some kilobytes */
};

/* ---- .cmd ---------------------------------------------------------------------------------- */

/* Options of which the next word is the value, when nothing is stuck to them. */
static bool takes_word(const char *word)
{
	static const char *const names[] = {"-I",	"-D",	       "-U",	     "-include",
					    "-isystem", "-iquote",     "-idirafter", "-imacros",
					    "-iprefix", "-iwithprefix"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(word, names[i]))
			return true;
	return false;
}

static bool is_wanted(const char *word)
{
	static const char *const begins[] = {"-I",
					     "-D",
					     "-U",
					     "-std=",
					     "-nostdinc",
					     "-fshort-wchar",
					     "-m64",
					     "-m32",
					     "-mno-80",
					     "-mno-sse",
					     "-funsigned-char",
					     "-fsigned-char",
					     "-O",
					     "-ffreestanding"};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (!strncmp(word, begins[i], strlen(begins[i])))
			return true;
	return false;
}

/* The next word as a shell has it: quotes and backslashes are taken away. Returns what is behind it; NULL at the end of the command. */
static const char *next_word(const char *at, char *word, size_t size)
{
	size_t n = 0;
	char quote = 0;

	while (*at == ' ' || *at == '\t')
		at++;
	/* "; ./tools/objtool ...": another command */
	if (!*at || *at == '\n' || *at == ';')
		return NULL;
	for (; *at && *at != '\n'; at++) {
		char c = *at;

		if (quote) {
			if (c == quote) {
				quote = 0;
				continue;
			}
			if (c == '\\' && quote == '"' && at[1])
				c = *++at;
		} else if (c == '\'' || c == '"') {
			quote = c;
			continue;
		} else if (c == '\\' && at[1]) {
			c = *++at;
		} else if (c == ' ' || c == '\t' || c == ';') {
			break;
		}
		if (n + 1 < size)
			word[n++] = c;
	}
	word[n] = '\0';
	return at;
}

int flags_from_cmd(texts *flags, const char *text)
{
	char word[4096];
	const char *at = text;
	bool value = false;
	int ret = 0;

	/* cmd_drivers/net/foo.o := gcc ...; since 6.4 savedcmd_ */
	while (at && strncmp(at, "cmd_", 4) != 0 && strncmp(at, "savedcmd_", 9) != 0) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	at = at ? strstr(at, ":=") : NULL;
	at = at ? next_word(at + 2, word, sizeof(word)) : NULL; /* the compiler */
	if (!at)
		return -EINVAL;
	while (!ret && (at = next_word(at, word, sizeof(word)))) {
		if (value) {
			ret = texts_add(flags, "%s", word);
			value = false;
		} else if (takes_word(word)) {
			ret = texts_add(flags, "%s", word);
			value = true;
		} else if (is_wanted(word)) {
			ret = texts_add(flags, "%s", word);
		}
	}
	if (value && !ret) {
		/* Cut off: an option without its value would take the next one's place. */
		free(flags->at[--flags->n]);
	}
	return ret;
}

/* ---- Makefile ---------------------------------------------------------------------------------- */

/* What stands for folders in a Makefile of kbuild. */
static void expand(const char *word, const char *dir, const char *top, char *out, size_t size)
{
	static const char both[] = "$(srctree)/$(src)", tree[] = "$(srctree)", src[] = "$(src)",
			  obj[] = "$(obj)";
	size_t n = 0;

	while (*word && n + 1 < size) {
		const char *put = NULL;
		size_t length = 0;

		if (!strncmp(word, both, sizeof(both) - 1)) {
			put = dir;
			length = sizeof(both) - 1;
		} else if (!strncmp(word, tree, sizeof(tree) - 1)) {
			put = top;
			length = sizeof(tree) - 1;
		} else if (!strncmp(word, src, sizeof(src) - 1)) {
			put = dir;
			length = sizeof(src) - 1;
		} else if (!strncmp(word, obj, sizeof(obj) - 1)) {
			put = dir;
			length = sizeof(obj) - 1;
		}
		if (put) {
			int k = snprintf(out + n, size - n, "%s", put);

			n += (size_t)k < size - n ? (size_t)k : size - n - 1;
			word += length;
		} else {
			out[n++] = *word++;
		}
	}
	out[n] = '\0';
}

int flags_from_makefile(texts *flags, const char *text, const char *dir, const char *top)
{
	char word[1024], full[2048];
	const char *line = text;
	bool on = false;
	int ret = 0;

	while (line && *line && !ret) {
		const char *end = strchrnul(line, '\n');
		const char *at = line;
		bool more = end > line && end[-1] == '\\';

		/* ccflags-y += -I$(src), subdir-ccflags-y, ccflags-$(CONFIG_FOO), CFLAGS_file.o */
		if (!on) {
			size_t name = strcspn(line, "=\n");
			const char *hit = strstr(line, "ccflags-");

			on = name < (size_t)(end - line) &&
			     ((hit && hit < line + name) || !strncmp(line, "CFLAGS_", 7));
			at = on ? line + name + 1 : end;
		}
		while (!ret && on && at < end) {
			const char *behind = next_word(at, word, sizeof(word));

			if (!behind || behind > end)
				break;
			at = behind;
			if (*at == ';')
				at++;
			if (!strcmp(word, "-I")) {
				behind = next_word(at, word + 2, sizeof(word) - 2);
				if (!behind || behind > end)
					break;
				word[0] = '-';
				word[1] = 'I';
				at = behind;
			}
			if ((strncmp(word, "-I", 2) && strncmp(word, "-D", 2)) || !word[2])
				continue;
			expand(word, dir, top, full, sizeof(full));
			/* What is left of make's language is for make. */
			if (!strstr(full, "$("))
				ret = texts_add(flags, "%s", full);
		}
		on = on && more;
		line = *end ? end + 1 : NULL;
	}
	return ret;
}

/* ---- one file's ----------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		return NULL;
	text = malloc(CMD_LIMIT);
	if (text) {
		n = fread(text, 1, CMD_LIMIT - 1, f);
		text[n] = '\0';
	}
	fclose(f);
	return text;
}

static int from_kbuild(texts *flags, const struct headers *h, const char *file, bool *found)
{
	char path[PATH_MAX + 16];
	const char *slash = strrchr(file, '/');
	char *text;
	int ret;

	*found = false;
	snprintf(path, sizeof(path), "%.*s/.%.*s.o.cmd", (int)(slash - file), file,
		 (int)strlen(slash + 1) - 2, slash + 1);
	text = read_text(path);
	if (!text)
		return 0;
	ret = flags_from_cmd(flags, text);
	free(text);
	if (ret == -EINVAL)
		return 0;
	*found = true;
	/* kbuild runs the compiler in the headers' folder, and so are its paths. */
	return ret ? ret : texts_add(flags, "-working-directory=%s", h->build);
}

static int add_makefiles(texts *flags, const struct sources *s, const char *dir)
{
	static const char *const names[] = {"Makefile", "Kbuild"};
	char path[PATH_MAX + 16];
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(names) / sizeof(names[0]); i++) {
		char *text;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		text = read_text(path);
		if (text)
			ret = flags_from_makefile(flags, text, dir, *s->top ? s->top : s->root);
		free(text);
	}
	return ret;
}

static int for_any_driver(texts *flags, const struct sources *s, const struct headers *h,
			  const char *file)
{
	static const char *const built[] = {"arch/x86/include/generated", "include",
					    "arch/x86/include/generated/uapi",
					    "include/generated/uapi"};
	static const char *const sources[] = {"arch/x86/include", "include",
					      "arch/x86/include/uapi", "include/uapi"};
	static const char *const first[] = {"compiler-version.h", "kconfig.h", "compiler_types.h"};
	/* asm/ftrace.h refuses to be read without CC_USING_FENTRY. */
	static const char *const others[] = {"-DCC_USING_FENTRY", "-nostdinc",	"-D__KERNEL__",
					     "-DMODULE",	  "-std=gnu11", "-O2",
					     "-fshort-wchar",	  "-m64",	"-mno-sse",
					     "-mno-80387"};
	char dir[PATH_MAX], name[256];
	const char *slash = strrchr(file, '/');
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(others) / sizeof(others[0]); i++)
		ret = texts_add(flags, "%s", others[i]);
	for (size_t i = 0; !ret && i < sizeof(built) / sizeof(built[0]); i++) {
		ret = texts_add(flags, "-I%s/%s", h->source, sources[i]);
		if (!ret)
			ret = texts_add(flags, "-I%s/%s", h->build, built[i]);
	}
	for (size_t i = 0; !ret && i < sizeof(first) / sizeof(first[0]); i++) {
		ret = texts_add(flags, "-include");
		if (!ret)
			ret = texts_add(flags, "%s/include/linux/%s", h->source, first[i]);
	}
	snprintf(name, sizeof(name), "%.*s", (int)strlen(slash + 1) - 2, slash + 1);
	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	if (!ret)
		ret = texts_add(flags, "-DKBUILD_BASENAME=\"%s\"", name);
	if (!ret)
		ret = texts_add(flags, "-DKBUILD_MODNAME=\"%s\"", name);
	if (!ret)
		ret = texts_add(flags, "-DKBUILD_MODFILE=\"%s\"", name);
	if (!ret)
		ret = texts_add(flags, "-D__KBUILD_MODNAME=kmod_%s", name);
	/* Its folder and those above, up to the driver's: a subfolder's files use their parents' headers. */
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - file), file);
	while (!ret && strlen(dir) >= strlen(s->root)) {
		ret = add_makefiles(flags, s, dir);
		if (!ret)
			ret = texts_add(flags, "-I%s", dir);
		*strrchr(dir, '/') = '\0';
	}
	/*
	 * Trace points include themselves as "../../drivers/...", counted from include/trace of the kernel's tree
	 * (trace/define_trace.h), where packages of headers have no drivers.
	 */
	if (!ret && *s->top)
		ret = texts_add(flags, "-idirafter%s/include/trace", s->top);
	return ret;
}

int flags_find(texts *flags, const struct sources *s, const struct headers *h, const char *file,
	       struct ob_error *err)
{
	bool found;
	int ret = from_kbuild(flags, h, file, &found);

	if (!ret && !found)
		ret = for_any_driver(flags, s, h, file);
	if (!ret)
		ret = texts_add(flags, "-Wno-everything");
	return ret ? ob_error_set(err, ret, "no memory for the options of %s", file) : 0;
}
