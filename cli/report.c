/* SPDX-License-Identifier: BSD-2-Clause */
/* How the program speaks: errors, exit codes, JSON, progress, colours, numbers for people. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* The program is one process with one standard output; this is its whole state. */
static bool json_wanted;
static bool progress_shown;

bool cli_json(void)
{
	return json_wanted;
}

void cli_set_json(bool on)
{
	json_wanted = on;
}

void cli_print_json(struct json_object *doc)
{
	cli_progress_end();
	printf("%s\n", json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(doc);
}

/* ---- errors -------------------------------------------------------------------------- */

int cli_exit_code(int code)
{
	switch (code) {
	case 0:
		return CLI_OK;
	case -EINVAL:
	case -ENAMETOOLONG:
		return CLI_USAGE;
	case -EBUSY:
	case -EADDRINUSE:
		return CLI_BUSY;
	case -ENOENT:
	case -EPERM:
	case -EACCES:
	case -EROFS:
	case -EOPNOTSUPP:
	case -ENOSYS:
		return CLI_MISSING;
	default:
		return CLI_FAILED;
	}
}

struct json_object *cli_error_json(const struct ob_error *err, int exit_code)
{
	struct json_object *o = json_object_new_object();
	char what[sizeof(err->what)], why[sizeof(err->why)], fix[sizeof(err->fix)];

	memcpy(what, err->what, sizeof(what));
	memcpy(why, err->why, sizeof(why));
	memcpy(fix, err->fix, sizeof(fix));
	cli_put_u64(o, "exit", (uint64_t)exit_code);
	json_object_object_add(o, "code", json_object_new_int(err->code));
	cli_put_str(o, "errno", err->code ? strerrorname_np(-err->code) : "");
	cli_put_str(o, "what", cli_clean(what));
	cli_put_str(o, "why", cli_clean(why));
	cli_put_str(o, "fix", cli_clean(fix));
	return o;
}

void cli_error_line(const char *command, const struct ob_error *err)
{
	char text[1400];

	cli_progress_end();
	fflush(stdout);
	fprintf(stderr, "%soutboard%s%s:%s %s\n", cli_red(stderr), command ? " " : "",
		command ? command : "", cli_plain(stderr),
		cli_clean(ob_error_text(err, text, sizeof(text))));
}

static char place[128];

void cli_set_place(const char *text)
{
	snprintf(place, sizeof(place), "%s", text ? text : "");
}

int cli_error(const char *command, const struct ob_error *error)
{
	int exit_code = cli_exit_code(error->code);
	struct ob_error placed = *error, *err = &placed;

	if (*place)
		snprintf(placed.what, sizeof(placed.what), "%s: %.180s", place, error->what);
	cli_error_line(command, err);
	if (cli_json()) {
		struct json_object *doc = json_object_new_object();

		json_object_object_add(doc, "error", cli_error_json(err, exit_code));
		cli_print_json(doc);
	}
	return exit_code;
}

char *cli_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
	return text;
}

/* ---- terminals ------------------------------------------------------------------------ */

bool cli_terminal(FILE *f)
{
	const char *term = getenv("TERM");

	return isatty(fileno(f)) && term && *term && strcmp(term, "dumb") != 0;
}

static const char *escape(FILE *f, const char *sequence)
{
	const char *no = getenv("NO_COLOR");

	return (no && *no) || !cli_terminal(f) ? "" : sequence;
}

const char *cli_bold(FILE *f)
{
	return escape(f, "\033[1m");
}

const char *cli_dim(FILE *f)
{
	return escape(f, "\033[2m");
}

const char *cli_red(FILE *f)
{
	return escape(f, "\033[1;31m");
}

const char *cli_plain(FILE *f)
{
	return escape(f, "\033[0m");
}

void cli_progress(const char *fmt, ...)
{
	va_list ap;

	if (!cli_terminal(stderr))
		return;
	fputs("\r\033[K", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fflush(stderr);
	progress_shown = true;
}

void cli_progress_end(void)
{
	if (!progress_shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	progress_shown = false;
}

/* ---- numbers -------------------------------------------------------------------------- */

char *cli_size(char buf[16], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes;
	unsigned int u = 0;

	for (; n >= 1024 && u < 6; u++)
		n /= 1024;
	snprintf(buf, 16, n < 10 && n != (double)(int)n ? "%.1f %s" : "%.0f %s", n, units[u]);
	return buf;
}

char *cli_count(char buf[16], uint64_t n)
{
	if (n < 1000)
		snprintf(buf, 16, "%u", (unsigned int)n);
	else if (n < 1000000)
		snprintf(buf, 16, "%u,%03u", (unsigned int)(n / 1000), (unsigned int)(n % 1000));
	else if (n < 1000000000)
		snprintf(buf, 16, "%.2f M", (double)n / 1e6);
	else
		snprintf(buf, 16, "%.3g G", (double)n / 1e9);
	return buf;
}

char *cli_seconds(char buf[16], double s)
{
	unsigned int n = (unsigned int)s;

	if (s < 0)
		n = 0;
	if (s < 100)
		snprintf(buf, 16, "%.1f s", s < 0 ? 0 : s);
	else if (n < 3600)
		snprintf(buf, 16, "%u m %02u s", n / 60 % 60, n % 60);
	else
		snprintf(buf, 16, "%u h %02u m", n / 3600 % 100000, n / 60 % 60);
	return buf;
}

/* ---- json-c --------------------------------------------------------------------------- */

void cli_put_str(struct json_object *o, const char *key, const char *val)
{
	json_object_object_add(o, key, json_object_new_string(val ? val : ""));
}

void cli_put_u64(struct json_object *o, const char *key, uint64_t val)
{
	json_object_object_add(o, key, json_object_new_uint64(val));
}

void cli_put_bool(struct json_object *o, const char *key, bool val)
{
	json_object_object_add(o, key, json_object_new_boolean(val));
}

void cli_put_double(struct json_object *o, const char *key, double val)
{
	char text[32];

	/* Three digits: more would be noise, and json-c would print seventeen. */
	snprintf(text, sizeof(text), "%.3f", val);
	json_object_object_add(o, key, json_object_new_double_s(val, text));
}

struct json_object *cli_put_object(struct json_object *o, const char *key)
{
	struct json_object *val = json_object_new_object();

	json_object_object_add(o, key, val);
	return val;
}

struct json_object *cli_put_array(struct json_object *o, const char *key)
{
	struct json_object *val = json_object_new_array();

	json_object_object_add(o, key, val);
	return val;
}

struct json_object *cli_get(struct json_object *o, const char *key)
{
	struct json_object *val;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &val))
		return NULL;
	return val;
}

const char *cli_get_str(struct json_object *o, const char *key)
{
	struct json_object *val = cli_get(o, key);

	return json_object_is_type(val, json_type_string) ? json_object_get_string(val) : "";
}

uint64_t cli_get_u64(struct json_object *o, const char *key)
{
	return json_object_get_uint64(cli_get(o, key));
}

double cli_get_double(struct json_object *o, const char *key)
{
	return json_object_get_double(cli_get(o, key));
}

bool cli_get_bool(struct json_object *o, const char *key)
{
	return json_object_get_boolean(cli_get(o, key));
}

size_t cli_array_length(struct json_object *o)
{
	return json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
}
