/* SPDX-License-Identifier: BSD-2-Clause */
/* See program.h. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

#include "bench/program.h"

enum {
	ARGUMENTS_MAX = 16,
	/* Values of getopt_long() for the arguments: above all letters. */
	ARGUMENT_FIRST = 256,
};

int complain(const struct ob_error *err)
{
	char text[1500];

	fprintf(stderr, "%s: %s\n", program_invocation_short_name,
		ob_error_text(err, text, sizeof(text)));
	return 1;
}

/* ---- arguments ------------------------------------------------------------------- */

static bool take_argument(const struct argument *a, const char *text)
{
	unsigned long long number = 0;
	char *end;

	if (a->kind == ARGUMENT_NUMBER || a->kind == ARGUMENT_COUNT) {
		errno = 0;
		number = strtoull(text, &end, 0);
		/* strtoull() takes a sign. */
		if (*text < '0' || *text > '9' || *end || errno ||
		    (a->kind == ARGUMENT_NUMBER && number > UINT32_MAX)) {
			fprintf(stderr, "%s: --%s: '%s' is no number\n",
				program_invocation_short_name, a->name, text);
			return false;
		}
	}
	switch (a->kind) {
	case ARGUMENT_FLAG:
		*(bool *)a->value = true;
		break;
	case ARGUMENT_TEXT:
		*(const char **)a->value = text;
		break;
	case ARGUMENT_NUMBER:
		*(unsigned int *)a->value = (unsigned int)number;
		break;
	case ARGUMENT_COUNT:
		*(uint64_t *)a->value = number;
		break;
	}
	return true;
}

int read_arguments(int argc, char **argv, const struct argument *arguments, void (*usage)(FILE *))
{
	struct option longs[ARGUMENTS_MAX + 2] = {{"help", no_argument, NULL, 'h'}};
	int c;

	for (int i = 0; i < ARGUMENTS_MAX && arguments[i].name; i++)
		longs[i + 1] = (struct option){
			.name = arguments[i].name,
			.has_arg = arguments[i].kind == ARGUMENT_FLAG ? no_argument
								      : required_argument,
			.val = ARGUMENT_FIRST + i,
		};
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c < ARGUMENT_FIRST || !take_argument(&arguments[c - ARGUMENT_FIRST], optarg)) {
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "%s: '%s' is no option\n", program_invocation_short_name, argv[optind]);
	usage(stderr);
	return 2;
}

/* ---- results --------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void sort_values(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), by_value);
}

double median(const double *values, unsigned int n)
{
	double sorted[VALUES_MAX];

	memcpy(sorted, values, n * sizeof(*values));
	sort_values(sorted, n);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

bool wants_table(const char *json)
{
	return !json || strcmp(json, "-") != 0;
}

static int json_failed(const char *path)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(errno));
	return 1;
}

FILE *open_json(const char *path)
{
	FILE *f = wants_table(path) ? fopen(path, "we") : stdout;

	if (!f)
		json_failed(path);
	return f;
}

int close_json(FILE *f, const char *path)
{
	return f != stdout && fclose(f) ? json_failed(path) : 0;
}
