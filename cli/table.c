/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables for people: columns as wide as their widest cell, right-aligned numbers, no lines. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum {
	COLUMNS = 16,
};

struct cli_table {
	const char *head[COLUMNS];
	bool right[COLUMNS];
	unsigned int columns;
	char **cell; /* row by row */
	size_t cells, room;
	bool failed; /* out of memory: print what there is */
};

/* Columns on a terminal: code points. Cells hold no wide or combining characters of ours. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

struct cli_table *cli_table_create(const char *const *heads, unsigned int n)
{
	struct cli_table *t = calloc(1, sizeof(*t));

	if (!t || n > COLUMNS) {
		free(t);
		return NULL;
	}
	for (unsigned int i = 0; i < n; i++) {
		t->right[i] = heads[i][0] == '>';
		t->head[i] = heads[i] + t->right[i];
	}
	t->columns = n;
	return t;
}

void cli_cell(struct cli_table *t, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	if (!t || t->failed)
		return;
	if (t->cells == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		char **cell = realloc(t->cell, room * sizeof(*cell));

		if (!cell) {
			t->failed = true;
			return;
		}
		t->cell = cell;
		t->room = room;
	}
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->failed = true;
		return;
	}
	t->cell[t->cells++] = cli_clean(text);
}

static void print_row(const struct cli_table *t, const char *const *row, const size_t *widths,
		      FILE *f)
{
	unsigned int last = t->columns;

	/* Nothing, not even blanks, after the last cell that says something. */
	while (last && (!widths[last - 1] || !*row[last - 1]))
		last--;
	for (unsigned int i = 0; i < last; i++) {
		int pad = (int)(widths[i] - width(row[i]));

		if (!widths[i])
			continue;
		if (t->right[i])
			fprintf(f, "%*s%s", pad, "", row[i]);
		else
			fprintf(f, "%s%*s", row[i], i + 1 < last ? pad : 0, "");
		if (i + 1 < last)
			fputs("  ", f);
	}
	fputc('\n', f);
}

void cli_table_print(struct cli_table *t, FILE *f)
{
	size_t widths[COLUMNS] = {0};
	size_t rows;

	if (!t) {
		fputs("outboard: out of memory\n", stderr);
		return;
	}
	rows = t->cells / t->columns;
	for (size_t i = 0; i < rows * t->columns; i++) {
		size_t w = width(t->cell[i]);

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (unsigned int i = 0; i < t->columns; i++)
		if (widths[i] && width(t->head[i]) > widths[i])
			widths[i] = width(t->head[i]);
	if (rows && *t->head[0]) {
		fputs(cli_bold(f), f);
		print_row(t, t->head, widths, f);
		fputs(cli_plain(f), f);
	}
	for (size_t r = 0; r < rows; r++)
		print_row(t, (const char *const *)t->cell + r * t->columns, widths, f);
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
	free(t);
}
