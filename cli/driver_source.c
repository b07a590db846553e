/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver's source, the headers that it is compiled against, and the parts that read them; for `outboard factor` and `outboard split`. */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/driver_source.h"
#include "cli/lines.h"

enum {
	ARGUMENTS = 4, /* of a script */
};

/* Beside the program as it is installed, or where it was built. */
int find_part(const char *what, const char *installed, const char *built, char path[PATH_MAX],
	      struct ob_error *err)
{
	char self[PATH_MAX], near[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;

	self[n < 0 ? 0 : n] = '\0';
	dir = dirname(self);
	if (snprintf(near, sizeof(near), "%s/../%s", dir, installed) < PATH_MAX &&
	    realpath(near, path))
		return 0;
	if (snprintf(near, sizeof(near), "%s%s%s", *built == '/' ? "" : dir,
		     *built == '/' ? "" : "/", built) < PATH_MAX &&
	    realpath(near, path))
		return 0;
	ob_error_set(err, -ENOENT, "%s is not there", what);
	ob_error_why(err, "neither %s/../%s nor %s", dir, installed, near);
	return -ENOENT;
}

static int find_facts_program(char path[PATH_MAX], struct ob_error *err)
{
	/* The build's folder of the program is cli/. */
	int ret = find_part("outboard-facts, which parses C,", "libexec/outboard/outboard-facts",
			    "../split/outboard-facts", path, err);

	if (ret)
		ob_error_fix(err, "apt-get install libclang-dev, and build Outboard again");
	return ret;
}

struct answer {
	texts *lines;
	int ret;
};

static void take_line(void *arg, char *line)
{
	struct answer *answer = arg;

	if (!answer->ret)
		answer->ret = texts_add(answer->lines, "%s", line);
}

/* Run one of the scripts that fetch things, which say on stderr how far they are: the lines that it prints. */
static int ask(texts *lines, const char *what, const char *installed, const char *built,
	       const char *const *words, struct ob_error *err)
{
	struct answer answer = {.lines = lines};
	char *argv[ARGUMENTS + 2] = {NULL}, path[PATH_MAX];
	int status = 0, ret;

	ret = find_part(what, installed, built, path, err);
	if (ret)
		return ret;
	for (int i = 0; i < ARGUMENTS && words[i]; i++)
		argv[i + 1] = (char *)words[i];
	ret = cli_program_lines(path, argv, STDOUT_FILENO, take_line, &answer, &status, err);
	if (ret)
		return ret;
	ret = answer.ret;
	if (!ret && (!WIFEXITED(status) || WEXITSTATUS(status) || !lines->n))
		ret = WIFEXITED(status) && WEXITSTATUS(status) == CLI_USAGE ? -EINVAL : -ENOENT;
	return ret ? ob_error_set(err, ret, "%s cannot be had; the reason stands above", what) : 0;
}

static int ask_one(char path[PATH_MAX], const char *what, const char *installed, const char *built,
		   const char *version, struct ob_error *err)
{
	const char *const words[] = {version, NULL};
	texts lines = {0};
	int ret = ask(&lines, what, installed, built, words, err);

	if (!ret)
		snprintf(path, PATH_MAX, "%s", lines.at[lines.n - 1]);
	texts_free(&lines);
	return ret;
}

static int fetch_headers(char path[PATH_MAX], const char *version, struct ob_error *err)
{
	return ask_one(path, "the kernel's headers", "share/outboard/split/headers",
		       OUTBOARD_SOURCE "/split/headers", version, err);
}

/* Those that were named; else those of the kernel that was named; of that whose tree the driver lies in; of that which runs. */
static int find_headers(struct headers *h, const struct driver_source *q, const struct sources *s,
			struct ob_error *err)
{
	const char *version = q->kernel ? q->kernel : *s->version ? s->version : NULL;
	struct utsname name;
	char dir[PATH_MAX];
	int ret;

	if (q->headers)
		return headers_find(h, q->headers, err);
	if (version) {
		ret = fetch_headers(dir, version, err);
		return ret ? ret : headers_find(h, dir, err);
	}
	uname(&name);
	snprintf(dir, sizeof(dir), "/lib/modules/%s/build", name.release);
	ret = headers_find(h, dir, err);
	if (ret)
		ob_error_fix(err, "outboard factor --kernel 6.12 ..., or --kernel-headers DIR");
	return ret;
}

static bool is_name(const struct driver_source *q)
{
	return q->n == 1 && !strchr(q->arguments[0], '/') && access(q->arguments[0], F_OK);
}

/* A driver by its module's name: its files in the distribution's source of the kernel. */
static int find_driver(struct driver_source *q, struct sources *s, struct ob_error *err)
{
	char tree[PATH_MAX], headers[PATH_MAX];
	const char *words[] = {q->arguments[0], tree, headers, NULL};
	texts files = {0};
	int ret;

	if (!q->kernel)
		q->kernel = "6.12";
	ret = ask_one(tree, "the kernel's source", "share/outboard/linux/sources",
		      OUTBOARD_SOURCE "/linux/sources", q->kernel, err);
	if (!ret && q->headers)
		snprintf(headers, sizeof(headers), "%s", q->headers);
	else if (!ret)
		ret = fetch_headers(headers, q->kernel, err);
	if (!ret)
		ret = ask(&files, "the driver", "share/outboard/split/driver",
			  OUTBOARD_SOURCE "/split/driver", words, err);
	if (!ret)
		ret = sources_find(s, files.at, files.n, err);
	texts_free(&files);
	return ret;
}

static void name_of(const struct sources *s, char name[NAME_MAX + 1])
{
	const char *whole = s->files.n == 1 ? s->files.at[0] : s->root;
	const char *slash = strrchr(whole, '/');
	size_t n = strlen(slash + 1);

	if (s->files.n == 1 && n > 2)
		n -= 2;
	snprintf(name, NAME_MAX + 1, "%.*s", (int)n, slash + 1);
}

static int driver_source_find(struct driver_source *q, struct ob_error *err)
{
	bool named = is_name(q);
	int ret = named ? find_driver(q, &q->sources, err)
			: sources_find(&q->sources, q->arguments, q->n, err);

	if (!ret)
		ret = find_headers(&q->parsed, q, &q->sources, err);
	if (ret)
		return ret;
	if (named)
		snprintf(q->name, sizeof(q->name), "%s", q->arguments[0]);
	else
		name_of(&q->sources, q->name);
	return 0;
}

bool driver_option(struct driver_source *q, struct cli_args *args, int opt)
{
	switch (opt) {
	case CLI_WORD:
		if (q->n == MOST_SOURCES) {
			args->exit_code = cli_bad(args->usage, "more than %d files", MOST_SOURCES);
			return false;
		}
		q->arguments[q->n++] = (char *)args->value;
		return true;
	case 'c':
		q->class = args->value;
		return true;
	case 'j':
		return cli_number(args, "jobs", 1, 1024, &q->jobs);
	case 'k':
		q->kernel = args->value;
		return true;
	case DRIVER_HEADERS:
		q->headers = args->value;
		return true;
	case DRIVER_POLICIES:
		q->policies = args->value;
		return true;
	default:
		return true;
	}
}

int driver_analyse(struct analysis *a, struct driver_source *q, FILE *copy, struct ob_error *err)
{
	char program[PATH_MAX], found[PATH_MAX];
	struct factor_request request = {.class = q->class,
					 .jobs = q->jobs,
					 .copy = copy,
					 .name = q->name,
					 .sources = &q->sources,
					 .headers = &q->parsed,
					 .program = program,
					 .policies = q->policies ? q->policies : found};
	int ret = find_facts_program(program, err);

	if (!ret && !q->policies)
		ret = find_part("the folder of policies", "share/outboard/split/policy",
				OUTBOARD_SOURCE "/split/policy", found, err);
	if (!ret)
		ret = driver_source_find(q, err);
	return ret ? ret : factor(a, &request, err);
}
