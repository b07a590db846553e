// SPDX-License-Identifier: BSD-2-Clause
/* Locked regions: in the kernel a function of each, in the daemon in its place what asks for it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "split/emit.h"

/* On one line: comments and macros' lines that end in \ are the source's. */
static void put_expression(FILE *f, const char *text, const struct region_item *i)
{
	fprintf(f, "(%.*s\n)", (int)(i->end - i->begin), text + i->begin);
}

static void put_variable(FILE *f, const char *text, const struct region_item *i, unsigned int value)
{
	fprintf(f, "\t__typeof__(%s) %s __maybe_unused", i->type, i->name);
	switch (*i->flags) {
	case 'p':
		fprintf(f, " = ob_frame->%s", i->name);
		break;
	case 'i':
		fputs(" = ", f);
		put_expression(f, text, i);
		break;
	case 'v':
		fprintf(f, " = (__typeof__(%s))v[%u]", i->type, value);
		break;
	default: /* what it does not set is not the daemon's to see */
		if (strchr(i->flags, 'o'))
			fputs(" = 0", f);
		break;
	}
	fputs(";\n", f);
}

/* True: a switch is open, to which cases belong. */
static bool put_guard(FILE *f, const char *text, const struct region_item *i)
{
	const bool choice = !strcmp(i->guard, "switch");

	fprintf(f, "\t%s ", choice ? "switch" : !strcmp(i->guard, "if") ? "if (!" : "if (");
	put_expression(f, text, i);
	fputs(choice ? " {\n" : ")\n\t\treturn 0;\n", f);
	return choice;
}

static void put_way(FILE *f, const char *text, const struct region *r)
{
	unsigned int value = 0;
	bool choosing = false;

	for (size_t i = 0; i <= r->items.n; i++) {
		const struct region_item *item = i < r->items.n ? &r->items.at[i] : NULL;
		bool is_case = item && item->guard && !strcmp(item->guard, "case");

		if (choosing && !is_case) {
			fputs("\t\tbreak;\n\tdefault:\n\t\treturn 0;\n\t}\n", f);
			choosing = false;
		}
		if (is_case) {
			fputs("\tcase ", f);
			put_expression(f, text, item);
			fputs(":\n", f);
		} else if (item && item->guard) {
			choosing = put_guard(f, text, item);
		} else if (item) {
			value += region_item_travels(item);
			put_variable(f, text, item, value);
		}
	}
}

void emit_region(FILE *f, const struct entry_plan *e, const struct kept_call *k, const char *text)
{
	const struct function *fn = e->function;
	const struct region *r = k->region;
	unsigned int value = 0;

	fprintf(f,
		"static unsigned long long ob_split_call_%s_%u(void *const *p, unsigned long long *v)\n"
		"{\n\tconst struct ob_split_frame_%s *ob_frame __maybe_unused = p[0];\n\n",
		fn->name, k->number, fn->name);
	put_way(f, text, r);
	fprintf(f, "#line %u \"%s\"\n%.*s\n", r->line, fn->path, (int)(r->end - r->begin),
		text + r->begin);
	for (size_t i = 0; i < r->items.n; i++) {
		const struct region_item *item = &r->items.at[i];

		value += region_item_travels(item);
		if (item->flags && strchr(item->flags, 'o'))
			fprintf(f, "\tv[%u] = (unsigned long long)%s;\n", value, item->name);
	}
	fputs("\treturn 1;\n}\n\n", f);
}

void emit_region_call(FILE *f, const struct kept_call *k)
{
	unsigned int value = 0;

	fputs("{ unsigned long long ob_v[] = {0", f);
	for (size_t i = 0; i < k->region->items.n; i++) {
		const struct region_item *item = &k->region->items.at[i];

		if (!region_item_travels(item))
			continue;
		if (*item->flags == 'v')
			fprintf(f, ", OB_SPLIT_WORD(%s)", item->name);
		else
			fputs(", 0", f);
	}
	fprintf(f, "}; ob_split_ask(%u, ob_v);", k->number);
	for (size_t i = 0; i < k->region->items.n; i++) {
		const struct region_item *item = &k->region->items.at[i];

		value += region_item_travels(item);
		if (item->flags && strchr(item->flags, 'o'))
			fprintf(f, " %s = ob_v[%u];", item->name, value);
	}
	fputs(" }", f);
}
