// SPDX-License-Identifier: BSD-2-Clause
/* The tables of slots, and how the daemon places objects and calls functions. Offsets and sizes are the compiler's, on each side anew. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "split/emit.h"

static const struct {
	unsigned int flag;
	const char *name;
} flag_names[] = {{OB_SPLIT_IN, "OB_SPLIT_IN"},		  {OB_SPLIT_OUT, "OB_SPLIT_OUT"},
		  {OB_SPLIT_POINTER, "OB_SPLIT_POINTER"}, {OB_SPLIT_TEXT, "OB_SPLIT_TEXT"},
		  {OB_SPLIT_STRING, "OB_SPLIT_STRING"},	  {OB_SPLIT_WHOLE, "OB_SPLIT_WHOLE"},
		  {OB_SPLIT_BITS, "OB_SPLIT_BITS"}};

static void put_flags(FILE *f, unsigned int flags)
{
	bool any = false;

	for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++) {
		if (!(flags & flag_names[i].flag))
			continue;
		fprintf(f, "%s%s", any ? " | " : "", flag_names[i].name);
		any = true;
	}
}

static void put_offset(FILE *f, const struct entry_plan *e, const struct object *o,
		       const char *path)
{
	fputs("offsetof(", f);
	emit_type_of(f, o, e);
	fprintf(f, ", %s)", path);
}

static void put_slot(FILE *f, const struct entry_plan *e, const struct slot *slot)
{
	const struct object *o = &e->objects.at[slot->object];

	fprintf(f, "\t{.object = %u, .flags = ", slot->object);
	put_flags(f, slot->flags);
	fputs(", .offset = ", f);
	if (slot->flags & OB_SPLIT_BITS) {
		if (slot->path && *slot->path) {
			put_offset(f, e, o, slot->path);
			fputs(" + ", f);
		}
		fprintf(f, "%u, .size = 4, .bit = %u, .bits = %u},\n", slot->word, slot->bit,
			slot->bits);
		return;
	}
	if (slot->path)
		put_offset(f, e, o, slot->path);
	else
		fputs("0", f);
	fputs(", .size = ", f);
	if (o->kind == OBJECT_BUFFER) {
		fprintf(f, "%lld", o->buffer->most);
	} else {
		fputs("sizeof(", f);
		if (slot->path) {
			fputs("((", f);
			emit_type_of(f, o, e);
			fprintf(f, " *)0)->%s", slot->path);
		} else {
			emit_type_of(f, o, e);
		}
		fputs(")", f);
	}
	fputs("},\n", f);
}

/* Where an object and the driver's part of it lie behind each other, one piece of memory has both. */
static void put_place(FILE *f, const struct entry_plan *e)
{
	fprintf(f,
		"static void ob_split_place_%s(struct ob_split_object *o, void *(*get)(unsigned long size))\n{\n",
		e->function->name);
	for (unsigned int i = 0; i < e->objects.n; i++) {
		const struct object *o = &e->objects.at[i];

		switch (o->kind) {
		case OBJECT_BUFFER:
			fprintf(f, "\to[%u].base = get(%lld);\n", i, o->buffer->most);
			break;
		case OBJECT_PRIVATE:
			fprintf(f, "\to[%u].base = %s(o[%u].base);\n", i, o->call, o->of);
			break;
		case OBJECT_VARIABLE:
			fprintf(f, "\to[%u].base = (void *)&%s;\n", i, o->name);
			break;
		default:
			fprintf(f, "\to[%u].base = get(sizeof(", i);
			emit_type_of(f, o, e);
			fputs(")", f);
			for (unsigned int k = 0; k < e->objects.n; k++)
				if (e->objects.at[k].kind == OBJECT_PRIVATE &&
				    e->objects.at[k].of == i)
					fprintf(f, " + 64 + sizeof(struct %s)",
						e->objects.at[k].type);
			fputs(");\n", f);
			break;
		}
		fprintf(f, "\to[%u].size = ", i);
		if (o->kind == OBJECT_BUFFER) {
			fprintf(f, "%lld;\n", o->buffer->most);
		} else {
			fputs("sizeof(", f);
			emit_type_of(f, o, e);
			fputs(");\n", f);
		}
	}
	fputs("}\n\n", f);
}

static void put_serve(FILE *f, const struct entry_plan *e)
{
	const struct function *fn = e->function;

	fprintf(f,
		"static void ob_split_serve_%s(struct ob_split_object *o)\n{\n\tstruct "
		"ob_split_frame_%s *frame = o[OB_SPLIT_FRAME].base;\n\n\t%s%s(",
		fn->name, fn->name, strcmp(fn->type, "void") ? "frame->ob_result = " : "",
		fn->name);
	for (size_t i = 0; i < fn->params.n; i++)
		fprintf(f, "%sframe->%s", i ? ", " : "", fn->params.at[i].name);
	fputs(");\n}\n\n", f);
}

static void put_entry(FILE *f, const struct split *s, const struct entry_plan *e, const char *text,
		      bool daemon)
{
	const char *name = e->function->name;
	unsigned int number = 0, netdev = 0;

	while (s->entries.at[number] != e)
		number++;
	for (unsigned int i = e->objects.n; i-- > 1;)
		if (e->objects.at[i].type && !strcmp(e->objects.at[i].type, "net_device"))
			netdev = i;
	fprintf(f, "\nstatic const struct ob_split_slot ob_split_slots_%s[] = {\n", name);
	for (size_t i = 0; i < e->slots.n; i++)
		put_slot(f, e, &e->slots.at[i]);
	fputs("};\n\n", f);
	emit_kept_table(f, e, text, daemon);
	if (daemon) {
		put_place(f, e);
		put_serve(f, e);
	}
	fprintf(f,
		"const struct ob_split_op ob_split_op_%s = {\n\t.name = \"%s\",\n\t.number = %u,\n"
		"\t.n_slots = %zu,\n\t.n_objects = %zu,\n\t.netdev = %u,\n\t.slots = "
		"ob_split_slots_%s,\n",
		name, name, number, e->slots.n, e->objects.n, netdev, name);
	if (e->kept.n)
		fprintf(f, "\t.n_kept = %zu,\n\t.kept = ob_split_kept_%s,\n", e->kept.n, name);
	if (daemon)
		fprintf(f, "\t.place = ob_split_place_%s,\n\t.serve = ob_split_serve_%s,\n", name,
			name);
	fputs("};\n", f);
}

int emit_tables(const struct split *s, const char *dir, const char *path, const char *text,
		bool daemon, struct ob_error *err)
{
	FILE *f = emit_open(err, "%s/src/%s.tables.h", dir, path);

	if (!f)
		return -EIO;
	fprintf(f, "/* Generated by outboard split from %s. */\n", path);
	for (size_t i = 0; i < s->entries.n; i++)
		if (!strcmp(s->entries.at[i]->function->path, path))
			put_entry(f, s, s->entries.at[i], text, daemon);
	return emit_close(f, err);
}
