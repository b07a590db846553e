// SPDX-License-Identifier: BSD-2-Clause
/* What is generated for functions that stay, and that what moved calls: in the kernel the tables and calls, in the daemon what asks for them. */
#include <stdio.h>
#include <string.h>

#include "split/emit.h"

/* ---- tables, on both sides ------------------------------------------------------------------------ */

static void put_places(FILE *f, const struct entry_plan *e, const struct kept_argument *a)
{
	fprintf(f, "\t .n_places = %zu, .places = (const struct ob_split_place[]){", a->places.n);
	for (size_t i = 0; i < a->places.n; i++) {
		const struct kept_place *p = &a->places.at[i];

		fprintf(f, "{%u, ", p->object);
		if (*p->path) {
			fputs("offsetof(", f);
			emit_type_of(f, &e->objects.at[p->object], e);
			fprintf(f, ", %s)}, ", p->path);
		} else {
			fputs("0}, ", f);
		}
	}
	fputs("},\n", f);
}

static void put_argument(FILE *f, const struct entry_plan *e, const struct kept_call *k,
			 const struct kept_argument *a)
{
	static const char *const kinds[] = {
		[ARGUMENT_OBJECT] = "OB_SPLIT_OBJECT", [ARGUMENT_REGISTER] = "OB_SPLIT_REGISTER",
		[ARGUMENT_VALUE] = "OB_SPLIT_VALUE",   [ARGUMENT_ANY] = "OB_SPLIT_NUMBER",
		[ARGUMENT_OUT] = "OB_SPLIT_RESULT",    [ARGUMENT_NULL] = "OB_SPLIT_NOTHING",
		[ARGUMENT_CALLER] = "OB_SPLIT_CALLER",
	};

	fprintf(f, "\t{.kind = %s, .most = %lld,\n", kinds[a->rule->kind], a->rule->most);
	if (a->places.n)
		put_places(f, e, a);
	if (a->rule->kind == ARGUMENT_REGISTER) {
		fprintf(f, "\t .n_registers = %zu, .registers = (const unsigned int[]){",
			k->rule->registers.n);
		for (size_t i = 0; i < k->rule->registers.n; i++)
			fprintf(f, "%#llx, ", k->rule->registers.at[i]);
		fputs("},\n", f);
	}
	fputs("\t},\n", f);
}

static void put_call(FILE *f, const struct entry_plan *e, const struct kept_call *k)
{
	fprintf(f,
		"static unsigned long long ob_split_call_%s_%u(void *const *p, unsigned long long *v)\n{\n\t%s%s(",
		e->function->name, k->number, k->rule->is_void ? "" : "return (unsigned long long)",
		k->function->name);
	for (size_t i = 0; i < k->rule->arguments.n; i++) {
		static const char *const how[] = {
			[ARGUMENT_OBJECT] = "p[%zu]",	    [ARGUMENT_REGISTER] = "p[%zu]",
			[ARGUMENT_VALUE] = "v[%zu]",	    [ARGUMENT_ANY] = "v[%zu]",
			[ARGUMENT_OUT] = "(void *)&v[%zu]", [ARGUMENT_NULL] = "NULL",
		};
		const char *text = how[k->rule->arguments.at[i].kind];
		const char *number = strstr(text, "%zu");

		fputs(i ? ", " : "", f);
		if (number)
			fprintf(f, "%.*s%zu%s", (int)(number - text), text, i, number + 3);
		else
			fputs(text, f);
	}
	fprintf(f, ");\n%s}\n\n", k->rule->is_void ? "\treturn 0;\n" : "");
}

void emit_kept_table(FILE *f, const struct entry_plan *e, const char *text, bool daemon)
{
	const char *name = e->function->name;

	if (!e->kept.n)
		return;
	for (size_t i = 0; i < e->kept.n; i++) {
		const struct kept_call *k = &e->kept.at[i];

		if (!daemon && k->region)
			emit_region(f, e, k, text);
		else if (!daemon)
			put_call(f, e, k);
		fprintf(f, "static const struct ob_split_argument ob_split_arguments_%s_%u[] = {\n",
			name, k->number);
		for (size_t m = 0; m < k->rule->arguments.n; m++)
			put_argument(f, e, k, &k->arguments[m]);
		fputs("};\n\n", f);
	}
	fprintf(f, "static const struct ob_split_kept ob_split_kept_%s[] = {\n", name);
	for (size_t i = 0; i < e->kept.n; i++) {
		const struct kept_call *k = &e->kept.at[i];

		fprintf(f,
			"\t{.name = \"%s\", .number = %u, .n_arguments = %zu, .arguments = ob_split_arguments_%s_%u",
			k->function->name, k->number, k->rule->arguments.n, name, k->number);
		if (k->region)
			fputs(", .region = 1", f);
		if (!daemon)
			fprintf(f, ", .call = ob_split_call_%s_%u", name, k->number);
		fputs("},\n", f);
	}
	fputs("};\n\n", f);
}

/* ---- the daemon's side ------------------------------------------------------------------------------- */

static const struct kept_call *kept_of(const struct split *s, const struct function *fn)
{
	for (size_t i = 0; i < s->entries.n; i++)
		for (size_t k = 0; k < s->entries.at[i]->kept.n; k++)
			if (s->entries.at[i]->kept.at[k].function == fn &&
			    !s->entries.at[i]->kept.at[k].region)
				return &s->entries.at[i]->kept.at[k];
	return NULL;
}

/* The kernel's functions and macros of that name give way to one that asks. */
void emit_kept_macros(FILE *f, const struct split *s)
{
	for (size_t i = 0; i < s->facts->functions.n; i++) {
		const struct function *fn = s->facts->functions.at[i];
		const struct kept_call *k = fn->defined ? NULL : kept_of(s, fn);

		if (!k)
			continue;
		fprintf(f, "\n#undef %s\n#define %s(", fn->name, fn->name);
		for (size_t m = 0; m < k->rule->arguments.n; m++)
			fprintf(f, "%sob_%zu", m ? ", " : "", m);
		fprintf(f, ") ((__typeof__(%s(", fn->name);
		for (size_t m = 0; m < k->rule->arguments.n; m++)
			fprintf(f, "%sob_%zu", m ? ", " : "", m);
		fprintf(f, ")))ob_split_ask(%u, (unsigned long long[]){", k->number);
		for (size_t m = 0; m < k->rule->arguments.n; m++)
			fprintf(f, "OB_SPLIT_WORD(ob_%zu), ", m);
		fputs("0}))\n", f);
	}
}

bool emit_kept_body(FILE *f, const struct split *s, const struct function *fn)
{
	const struct kept_call *k = kept_of(s, fn);

	if (!k)
		return false;
	fputs("{ unsigned long long ob_v[] = {", f);
	for (size_t i = 0; i < fn->params.n; i++)
		fprintf(f, "OB_SPLIT_WORD(%s%s), ",
			k->rule->arguments.at[i].kind == ARGUMENT_OUT ? "*" : "",
			fn->params.at[i].name);
	fputs("0}; ", f);
	if (!k->rule->is_void)
		fprintf(f, "%s ob_result = (%s)", fn->type, fn->type);
	fprintf(f, "ob_split_ask(%u, ob_v);", k->number);
	for (size_t i = 0; i < fn->params.n; i++)
		if (k->rule->arguments.at[i].kind == ARGUMENT_OUT)
			fprintf(f, " *%s = ob_v[%zu];", fn->params.at[i].name, i);
	fprintf(f, "%s }", k->rule->is_void ? "" : " return ob_result;");
	return true;
}
