// SPDX-License-Identifier: BSD-2-Clause
/*
 * The two halves as source. Both have the driver's own text: in the kernel's the bodies of functions that moved are replaced by stubs or are gone; in the
 * daemon's the bodies of all others are gone. Lines keep their numbers. What is generated beside goes into files of its own:
 *
 *   FILE.frames.h  before the first function: the frames, and for the kernel what stubs call
 *   FILE.tables.h  behind the last: the slots, and for the daemon how a function is called
 *   operations.c   the list of all
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "split/emit.h"

struct text {
	char *at;
	size_t n;
};

/* ---- files ------------------------------------------------------------------------------------ */

static int read_file(struct text *t, const char *path, struct ob_error *err)
{
	FILE *f = fopen(path, "re"), *m;
	char block[65536];
	size_t n;

	memset(t, 0, sizeof(*t));
	if (!f)
		return ob_error_set(err, -errno, "%s: %s", path, strerror(errno));
	m = open_memstream(&t->at, &t->n);
	while (m && (n = fread(block, 1, sizeof(block), f)) > 0)
		fwrite(block, 1, n, m);
	fclose(f);
	if (!m || fclose(m))
		return ob_error_set(err, -ENOMEM, "no memory for %s", path);
	return 0;
}

FILE *emit_open(struct ob_error *err, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	FILE *f;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	f = fopen(path, "we");
	if (!f)
		ob_error_set(err, -errno, "%s: %s", path, strerror(errno));
	return f;
}

int emit_close(FILE *f, struct ob_error *err)
{
	bool bad = ferror(f);

	return fclose(f) || bad ? ob_error_set(err, -EIO, "a generated file cannot be written") : 0;
}

int emit_folder(struct ob_error *err, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			return ob_error_set(err, -errno, "the folder %s: %s", path,
					    strerror(errno));
		if (!slash)
			return 0;
		*slash = '/';
	}
}

/* ---- expressions ---------------------------------------------------------------------------------- */

/* $0 is the first parameter's name. */
static void put_expression(FILE *f, const struct function *fn, const char *text)
{
	for (; *text; text++) {
		unsigned int n = (unsigned char)text[1] - '0';

		if (*text == '$' && n < fn->params.n) {
			fputs(fn->params.at[n].name, f);
			text++;
		} else {
			fputc(*text, f);
		}
	}
}

void emit_type_of(FILE *f, const struct object *o, const struct entry_plan *e)
{
	switch (o->kind) {
	case OBJECT_FRAME:
		fprintf(f, "struct ob_split_frame_%s", e->function->name);
		break;
	case OBJECT_BUFFER:
		fputs("char", f);
		break;
	case OBJECT_VARIABLE:
		fprintf(f, "__typeof__(%s)", o->name);
		break;
	default:
		fprintf(f, "struct %s", o->type);
		break;
	}
}

/* The kernel's expression for an object's address; those that it is found by come before it. */
static void put_base(FILE *f, const struct entry_plan *e, const struct object *o)
{
	switch (o->kind) {
	case OBJECT_FRAME:
		fputs("&ob_frame", f);
		break;
	case OBJECT_PARAM:
	case OBJECT_BUFFER:
		fprintf(f, "(void *)%s", e->function->params.at[o->param].name);
		break;
	case OBJECT_PRIVATE:
		fprintf(f, "ob_%u ? %s(ob_%u) : NULL", o->of, o->call, o->of);
		break;
	case OBJECT_POINTED:
		fprintf(f, "ob_%u ? (void *)((struct %s *)ob_%u)->%s : NULL", o->of,
			e->objects.at[o->of].type, o->of, o->field);
		break;
	case OBJECT_VARIABLE:
		fprintf(f, "(void *)&%s", o->name);
		break;
	}
}

/* ---- stubs ------------------------------------------------------------------------------------------ */

static bool is_void(const struct function *fn)
{
	return !strcmp(fn->type, "void");
}

static bool returns_error(const struct function *fn)
{
	return !strcmp(fn->type, "int") || !strcmp(fn->type, "long") ||
	       !strcmp(fn->type, "ssize_t");
}

static void put_failed(FILE *f, const struct entry_plan *e)
{
	if (e->length && e->length->failed)
		fputs(e->length->failed, f);
	else
		fputs(returns_error(e->function) ? "ob_error" : "0", f);
}

/* The operation that said what this one writes back, where it cannot say that nobody answered. */
static const struct function *written_back(const struct split *s, const struct function *fn)
{
	for (size_t i = 0; returns_error(fn) && i < s->graph->roots.n; i++) {
		const struct root *r = &s->graph->roots.at[i];

		for (size_t k = 0; r->function == fn && k < s->policy->written_back.n; k++)
			for (size_t m = 0; m < s->entries.n; m++)
				if (!strcmp(s->policy->written_back.at[k].set, r->node) &&
				    !strcmp(s->policy->written_back.at[k].get,
					    s->entries.at[m]->root->node) &&
				    is_void(s->entries.at[m]->function))
					return s->entries.at[m]->function;
	}
	return NULL;
}

/* True: a brace is open. */
static bool put_guard(FILE *f, const struct split *s, const struct function *fn)
{
	const struct function *of = written_back(s, fn);

	if (of)
		fprintf(f,
			"{ extern const struct ob_split_op ob_split_op_%s; if (ob_split_unanswered(&ob_split_op_%s)) return -EIO; ",
			of->name, of->name);
	return of;
}

/* On the stub's first line stands all of it, so that the lines behind keep their numbers. */
static void put_stub(FILE *f, const struct entry_plan *e)
{
	const struct function *fn = e->function;

	fprintf(f, "{ struct ob_split_frame_%s ob_frame = {", fn->name);
	for (size_t i = 0; i < fn->params.n; i++)
		fprintf(f, "%s.%s = %s", i ? ", " : "", fn->params.at[i].name,
			fn->params.at[i].name);
	fputs("};", f);
	for (unsigned int i = 0; i < e->objects.n; i++) {
		fprintf(f, " void *ob_%u = ", i);
		put_base(f, e, &e->objects.at[i]);
		fputs(";", f);
	}
	fputs(" struct ob_split_object ob_objects[] = {", f);
	for (unsigned int i = 0; i < e->objects.n; i++) {
		const struct object *o = &e->objects.at[i];

		fprintf(f, "%s{ob_%u, ", i ? ", " : "", i);
		if (o->kind == OBJECT_BUFFER) {
			put_expression(f, fn, o->buffer->bytes);
		} else {
			fputs("sizeof(", f);
			emit_type_of(f, o, e);
			fputs(")", f);
		}
		fputs("}", f);
	}
	fprintf(f, "}; int ob_error = ob_split_call(&ob_split_op_%s, ob_objects); ", fn->name);
	if (is_void(fn)) {
		fputs("(void)ob_error; }", f);
		return;
	}
	if (e->length) {
		fputs("long long ob_length = ob_error ? ob_error : ob_split_length(", f);
		fprintf(f, "&ob_split_op_%s, ", fn->name);
		put_expression(f, fn, e->length->of);
		fputs(", ", f);
		put_expression(f, fn, e->length->key);
		/* All that it returns are constants: no other one is taken. */
		fprintf(f,
			", ob_frame.ob_result, %lld, %lld); if (ob_length < 0) { ob_error = ob_length; return ",
			fn->result, fn->result ? fn->result : e->length->most);
		put_failed(f, e);
		fputs("; } return ob_length; }", f);
	} else {
		fputs("return ob_error ? ", f);
		put_failed(f, e);
		fputs(" : ob_frame.ob_result; }", f);
	}
}

/* ---- the driver's text ---------------------------------------------------------------------------------- */

/*
 * What is left of text that is cut out: its lines' ends, and what the preprocessor reads, since a macro that is defined in one function's body may be used
 * in the next one's.
 */
static void put_rest(FILE *f, const char *from, const char *to)
{
	bool directive = false;

	while (from < to) {
		const char *end = memchr(from, '\n', to - from), *word = from;

		if (!end)
			break; /* the last line, with the brace */
		while (word < end && (*word == ' ' || *word == '\t'))
			word++;
		directive |= *word == '#';
		if (directive)
			fwrite(from, 1, end - from, f);
		directive = directive && end > from && end[-1] == '\\';
		fputc('\n', f);
		from = end + 1;
	}
}

struct writing {
	const struct split *s;
	const char *path; /* of the file, below the driver's folder */
	bool daemon;
	FILE *f;
};

static const struct function *next_function(const struct writing *w, unsigned int from)
{
	const struct function *next = NULL;

	for (size_t i = 0; i < w->s->facts->functions.n; i++) {
		const struct function *fn = w->s->facts->functions.at[i];

		if (fn->defined && fn->close && fn->begin >= from && !strcmp(fn->path, w->path) &&
		    (!next || fn->begin < next->begin))
			next = fn;
	}
	return next;
}

/* Its regions are asked for, and their lines are empty. */
static void put_outlined(struct writing *w, const struct text *t, const struct function *fn,
			 const struct entry_plan *e)
{
	unsigned int at = fn->begin;

	for (size_t i = 0; i < e->kept.n; i++) {
		const struct region *r = e->kept.at[i].region;

		if (!r)
			continue;
		fwrite(t->at + at, 1, r->begin - at, w->f);
		emit_region_call(w->f, &e->kept.at[i]);
		put_rest(w->f, t->at + r->begin, t->at + r->end);
		at = r->end;
	}
	fwrite(t->at + at, 1, fn->close - at, w->f);
}

static void put_function(struct writing *w, const struct text *t, const struct function *fn)
{
	const struct fate_of *fate = split_fate(w->s, fn);
	const char *begin = t->at + fn->begin, *open = t->at + fn->open, *close = t->at + fn->close;

	if (w->daemon && split_outlines(w->s, fn)) {
		put_outlined(w, t, fn, fate->plan);
		return;
	}
	if (w->daemon ? w->s->served[fn->index]
		      : fate->fate == FATE_STAYS || fate->fate == FATE_REPLICA) {
		bool guarded;

		fwrite(begin, 1, open - begin, w->f);
		guarded = !w->daemon && put_guard(w->f, w->s, fn);
		fwrite(open, 1, close - open, w->f);
		fputs(guarded ? " }" : "", w->f);
		return;
	}
	if (!w->daemon && fate->fate == FATE_MOVED) {
		put_rest(w->f, begin, close);
		return;
	}
	fwrite(begin, 1, open - begin, w->f);
	if (!w->daemon) {
		bool guarded = put_guard(w->f, w->s, fn);

		put_stub(w->f, fate->plan);
		fputs(guarded ? " }" : "", w->f);
	} else if (!emit_kept_body(w->f, w->s, fn)) {
		fputc(';', w->f);
	}
	put_rest(w->f, open, close);
}

static void put_text(struct writing *w, const struct text *t)
{
	const char *slash = strrchr(w->path, '/');
	const struct function *fn;
	unsigned int at = 0;
	bool first = true;

	while ((fn = next_function(w, at))) {
		fwrite(t->at + at, 1, fn->begin - at, w->f);
		if (first)
			fprintf(w->f, "\n#include \"%s.frames.h\"\n#line %u\n",
				slash ? slash + 1 : w->path, fn->line);
		first = false;
		put_function(w, t, fn);
		at = fn->close;
	}
	fwrite(t->at + at, 1, t->n - at, w->f);
	if (!first)
		fprintf(w->f, "\n#include \"%s.tables.h\"\n", slash ? slash + 1 : w->path);
}

static int emit_frames(const struct split *s, const char *dir, const char *path, bool daemon,
		       struct ob_error *err)
{
	FILE *f = emit_open(err, "%s/src/%s.frames.h", dir, path);

	if (!f)
		return -EIO;
	fprintf(f, "/* Generated by outboard split from %s. */\n#include \"%s\"\n", path,
		daemon ? "outboard_daemon.h" : "outboard_split.h");
	if (daemon)
		emit_kept_macros(f, s);
	for (size_t i = 0; i < s->entries.n; i++) {
		const struct entry_plan *e = s->entries.at[i];
		const struct function *fn = e->function;

		if (strcmp(fn->path, path) != 0)
			continue;
		fprintf(f, "\nstruct ob_split_frame_%s {\n", fn->name);
		for (size_t k = 0; k < fn->params.n; k++)
			fprintf(f, "\t%s%s%s;\n", fn->params.at[k].type,
				strchr(fn->params.at[k].type, '*') ? "" : " ",
				fn->params.at[k].name);
		if (!is_void(fn))
			fprintf(f, "\t%s ob_result;\n", fn->type);
		fprintf(f, "};\nextern const struct ob_split_op ob_split_op_%s;\n", fn->name);
	}
	return emit_close(f, err);
}

int emit_halves(const struct split *s, const char *dir, bool daemon, struct ob_error *err)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < s->sources->files.n; i++) {
		const char *file = s->sources->files.at[i];
		struct writing w = {.s = s, .daemon = daemon};
		struct text t;

		w.path = file + strlen(s->sources->root) + 1;
		ret = read_file(&t, file, err);
		if (ret)
			break;
		if (strchr(w.path, '/'))
			ret = emit_folder(err, "%s/src/%.*s", dir,
					  (int)(strrchr(w.path, '/') - w.path), w.path);
		if (!ret)
			ret = emit_frames(s, dir, w.path, daemon, err);
		if (!ret)
			ret = emit_tables(s, dir, w.path, t.at, daemon, err);
		w.f = ret ? NULL : emit_open(err, "%s/src/%s", dir, w.path);
		if (w.f) {
			put_text(&w, &t);
			ret = emit_close(w.f, err);
		} else if (!ret) {
			ret = -EIO;
		}
		free(t.at);
	}
	return ret;
}
