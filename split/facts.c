/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads facts; split/facts.h describes them. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "split/facts.h"

/* ---- names -------------------------------------------------------------------------------- */

struct name {
	struct function *function; /* with this ID */
	uint32_t hash;
	bool record, field; /* a struct, a field with this name is known */
	char text[];
};

struct names {
	struct name **slot;
	size_t n, room;
};

static uint32_t hash(const char *text)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	while (*text)
		h = (h ^ (unsigned char)*text++) * 16777619u;
	return h;
}

static bool grow(struct names *s)
{
	size_t room = s->room ? 2 * s->room : 1024;
	struct name **slot = calloc(room, sizeof(*slot));

	if (!slot)
		return false;
	for (size_t i = 0; i < s->room; i++) {
		size_t at;

		if (!s->slot[i])
			continue;
		for (at = s->slot[i]->hash % room; slot[at]; at = (at + 1) % room)
			;
		slot[at] = s->slot[i];
	}
	free(s->slot);
	s->slot = slot;
	s->room = room;
	return true;
}

static struct name *name_of(const struct facts *f, const char *text, bool make)
{
	struct names *s = f->names;
	uint32_t h = hash(text);
	size_t at, length;

	if (make && 2 * (s->n + 1) > s->room && !grow(s))
		return NULL;
	if (!s->room)
		return NULL;
	for (at = h % s->room; s->slot[at]; at = (at + 1) % s->room)
		if (s->slot[at]->hash == h && !strcmp(s->slot[at]->text, text))
			return s->slot[at];
	if (!make)
		return NULL;
	length = strlen(text) + 1;
	s->slot[at] = calloc(1, sizeof(struct name) + length);
	if (!s->slot[at])
		return NULL;
	memcpy(s->slot[at]->text, text, length);
	s->slot[at]->hash = h;
	s->n++;
	return s->slot[at];
}

const char *facts_text(struct facts *f, const char *text)
{
	struct name *n = name_of(f, text, true);

	return n ? n->text : NULL;
}

struct facts *facts_create(void)
{
	struct facts *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->names = calloc(1, sizeof(*f->names));
	if (!f->names) {
		free(f);
		return NULL;
	}
	return f;
}

static void function_free(struct function *fn)
{
	if (!fn)
		return;
	for (size_t i = 0; i < fn->sites.n; i++)
		vector_free(&fn->sites.at[i].targets);
	for (size_t i = 0; i < fn->regions.n; i++)
		vector_free(&fn->regions.at[i].items);
	vector_free(&fn->regions);
	vector_free(&fn->params);
	vector_free(&fn->calls);
	vector_free(&fn->sites);
	vector_free(&fn->fields);
	vector_free(&fn->globals);
	vector_free(&fn->locks);
	vector_free(&fn->values);
	vector_free(&fn->indexed);
	free(fn);
}

void facts_free(struct facts *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->functions.n; i++) {
		struct function *fn = f->functions.at[i];

		function_free(fn->rest);
		function_free(fn->outlined);
		function_free(fn->way);
		function_free(fn);
	}
	vector_free(&f->functions);
	vector_free(&f->flows);
	vector_free(&f->escapes);
	vector_free(&f->errors);
	vector_free(&f->variables);
	vector_free(&f->records);
	vector_free(&f->fields);
	vector_free(&f->units);
	vector_free(&f->becomes);
	for (size_t i = 0; i < f->names->room; i++)
		free(f->names->slot[i]);
	free(f->names->slot);
	free(f->names);
	free(f);
}

struct function *facts_function(struct facts *f, const char *id)
{
	struct name *n = name_of(f, id, true);
	struct function **slot, *fn;
	char name[512];

	if (!n)
		return NULL;
	if (n->function)
		return n->function;
	slot = vector_add(&f->functions);
	if (!slot)
		return NULL;
	fn = calloc(1, sizeof(*fn));
	if (!fn) {
		f->functions.n--;
		return NULL;
	}
	fn->id = n->text;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(id, "@"), id);
	fn->name = facts_text(f, name);
	fn->index = f->functions.n - 1;
	if (!fn->name)
		fn->name = fn->id;
	*slot = fn;
	n->function = fn;
	return fn;
}

struct function *facts_known(const struct facts *f, const char *id)
{
	struct name *n = name_of(f, id, false);

	return n ? n->function : NULL;
}

struct function *facts_find(const struct facts *f, const char *name, unsigned int *n)
{
	struct name *exact = name_of(f, name, false);
	struct function *found = NULL;

	*n = 0;
	if (exact && exact->function && exact->function->defined) {
		*n = 1;
		return exact->function;
	}
	for (size_t i = 0; i < f->functions.n; i++) {
		struct function *fn = f->functions.at[i];

		if (fn->defined && !strcmp(fn->name, name)) {
			found = fn;
			++*n;
		}
	}
	return *n == 1 ? found : NULL;
}

/* ---- lines -------------------------------------------------------------------------------- */

enum {
	FIELDS = 8
};

struct reader {
	struct facts *f;
	char *field[FIELDS];
	struct function *skipped; /* a header's, which another file has told already */
	bool whole;
};

static unsigned int number(const char *text)
{
	return strtoul(text, NULL, 10);
}

static const char *text_or_null(struct reader *r, const char *text)
{
	return strcmp(text, "-") ? facts_text(r->f, text) : NULL;
}

/* One that has the whole one's name and place, and facts of its own. */
static struct function *part_of(struct function *fn, const char *name)
{
	struct function **part = !strcmp(name, "rest")	   ? &fn->rest
				 : !strcmp(name, "region") ? &fn->outlined
				 : !strcmp(name, "way")	   ? &fn->way
							   : NULL;

	if (part && !*part) {
		*part = calloc(1, sizeof(**part));
		if (*part)
			**part = (struct function){.id = fn->id,
						   .name = fn->name,
						   .path = fn->path,
						   .linkage = fn->linkage,
						   .type = fn->type,
						   .index = fn->index,
						   .line = fn->line,
						   .end = fn->end,
						   .defined = true,
						   .begin = fn->begin,
						   .open = fn->open,
						   .close = fn->close,
						   .of = fn};
	}
	return part ? *part : NULL;
}

/* The function that a line is about; NULL: another file has told it, or no memory. */
static struct function *subject(struct reader *r, char *id)
{
	char *part = strrchr(id, '%');
	struct function *fn;

	if (part)
		*part++ = '\0';
	fn = facts_function(r->f, id);
	if (!fn || fn == r->skipped || !fn->defined)
		return NULL;
	return part ? part_of(fn, part) : fn;
}

static int take_function(struct reader *r)
{
	struct function *fn = facts_function(r->f, r->field[1]);

	if (!fn)
		return -ENOMEM;
	r->skipped = fn->defined ? fn : NULL;
	if (fn->defined)
		return 0;
	fn->defined = true;
	fn->path = facts_text(r->f, r->field[2]);
	fn->line = number(r->field[3]);
	fn->end = number(r->field[4]);
	fn->linkage = facts_text(r->f, r->field[5]);
	fn->type = facts_text(r->f, r->field[6]);
	return fn->end < fn->line ? -EPROTO : 0;
}

static int take_param(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	struct param *p;

	if (!fn)
		return 0;
	p = vector_add(&fn->params);
	if (!p)
		return -ENOMEM;
	p->name = facts_text(r->f, r->field[3]);
	p->type = facts_text(r->f, r->field[4]);
	return 0;
}

static int take_call(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	struct call *c;

	if (!fn)
		return 0;
	c = vector_add(&fn->calls);
	if (!c)
		return -ENOMEM;
	c->to = facts_function(r->f, r->field[2]);
	c->line = number(r->field[3]);
	c->held = text_or_null(r, r->field[4]);
	c->macro = text_or_null(r, r->field[5]);
	return c->to ? 0 : -ENOMEM;
}

static int take_site(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	struct site *s;

	if (!fn)
		return 0;
	s = vector_add(&fn->sites);
	if (!s)
		return -ENOMEM;
	s->node = facts_text(r->f, r->field[2]);
	s->line = number(r->field[3]);
	s->held = text_or_null(r, r->field[4]);
	return 0;
}

static int take_flow(struct reader *r)
{
	struct flow *w = vector_add(&r->f->flows);

	if (!w)
		return -ENOMEM;
	w->to = facts_text(r->f, r->field[1]);
	w->from = facts_text(r->f, r->field[2]);
	w->line = number(r->field[3]);
	w->in = *r->field[4] != '@' ? facts_function(r->f, r->field[4]) : NULL;
	w->path = w->in ? w->in->path : facts_text(r->f, r->field[4] + 1);
	return 0;
}

static int take_escape(struct reader *r)
{
	struct escape *e = vector_add(&r->f->escapes);

	if (!e)
		return -ENOMEM;
	e->in = strcmp(r->field[1], "-") ? facts_function(r->f, r->field[1]) : NULL;
	e->what = facts_function(r->f, r->field[2]);
	e->line = number(r->field[3]);
	return e->what ? 0 : -ENOMEM;
}

static int take_use(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	const char *key = facts_text(r->f, r->field[3]);
	unsigned int use = (strchr(r->field[2], 'r') ? USE_READ : 0) |
			   (strchr(r->field[2], 'w') ? USE_WRITE : 0);
	bool field = !strcmp(r->field[0], "access");
	struct access *a;

	if (!fn)
		return 0;
	/* Read here and written there, it is one. */
	for (size_t i = 0; i < (field ? fn->fields.n : fn->globals.n); i++) {
		a = field ? &fn->fields.at[i] : &fn->globals.at[i];
		if (a->key == key) {
			a->use |= use;
			return 0;
		}
	}
	a = field ? vector_add(&fn->fields) : vector_add(&fn->globals);
	if (!a)
		return -ENOMEM;
	a->use = use;
	a->key = key;
	a->line = number(r->field[4]);
	return 0;
}

static int take_lock(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	struct lock_use *l;

	if (!fn)
		return 0;
	l = vector_add(&fn->locks);
	if (!l)
		return -ENOMEM;
	l->what = !strcmp(r->field[2], "acquire")   ? LOCK_ACQUIRE
		  : !strcmp(r->field[2], "release") ? LOCK_RELEASE
						    : LOCK_DROP;
	l->name = facts_text(r->f, r->field[3]);
	l->line = number(r->field[4]);
	l->api = facts_text(r->f, r->field[5]);
	return 0;
}

static int take_extent(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);

	if (!fn)
		return 0;
	fn->begin = number(r->field[2]);
	fn->open = number(r->field[3]);
	fn->close = number(r->field[4]);
	return fn->begin < fn->open && fn->open + 1 < fn->close ? 0 : -EPROTO;
}

static int take_value(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	struct access *a;

	if (!fn)
		return 0;
	a = vector_add(&fn->values);
	if (!a)
		return -ENOMEM;
	a->use = USE_READ;
	a->key = facts_text(r->f, r->field[2]);
	a->line = number(r->field[3]);
	return 0;
}

static int take_index(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	const char **type;

	if (!fn)
		return 0;
	type = vector_add(&fn->indexed);
	if (!type)
		return -ENOMEM;
	*type = facts_text(r->f, r->field[2]);
	return 0;
}

static int take_becomes(struct reader *r)
{
	struct becomes *b = vector_add(&r->f->becomes);

	if (!b)
		return -ENOMEM;
	b->in = facts_function(r->f, r->field[1]);
	b->callee = facts_text(r->f, r->field[2]);
	b->type = facts_text(r->f, r->field[3]);
	return b->in ? 0 : -ENOMEM;
}

static int take_result(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);

	if (fn)
		fn->result = strtoll(r->field[2], NULL, 10);
	return 0;
}

static int take_region(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	struct region *g;

	if (!fn)
		return 0;
	g = vector_add(&fn->regions);
	/* All three are there from now on, also where nothing is in one. */
	if (!g || !part_of(fn, "rest") || !part_of(fn, "region") || !part_of(fn, "way"))
		return -ENOMEM;
	g->begin = number(r->field[2]);
	g->end = number(r->field[3]);
	g->line = number(r->field[4]);
	g->last = number(r->field[5]);
	g->lock = facts_text(r->f, r->field[6]);
	return fn->open < g->begin && g->begin < g->end && g->end < fn->close && g->line <= g->last
		       ? 0
		       : -EPROTO;
}

static int take_item(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);
	unsigned int n = number(r->field[2]);
	bool guard = !strcmp(r->field[0], "guard");
	struct region_item *i;

	if (!fn)
		return 0;
	if (n >= fn->regions.n)
		return -EPROTO;
	i = vector_add(&fn->regions.at[n].items);
	if (!i)
		return -ENOMEM;
	i->guard = guard ? facts_text(r->f, r->field[3]) : NULL;
	i->name = guard ? NULL : facts_text(r->f, r->field[3]);
	i->flags = guard ? NULL : facts_text(r->f, r->field[4]);
	i->begin = number(r->field[guard ? 4 : 5]);
	i->end = number(r->field[guard ? 5 : 6]);
	i->type = guard ? NULL : facts_text(r->f, r->field[7]);
	return i->begin <= i->end && i->end < fn->close ? 0 : -EPROTO;
}

static int take_whole(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);

	if (!fn)
		return 0;
	fn->whole_line = number(r->field[2]);
	fn->whole = facts_text(r->f, r->field[3]);
	return 0;
}

static int take_asm(struct reader *r)
{
	struct function *fn = subject(r, r->field[1]);

	if (fn && !fn->asm_line)
		fn->asm_line = number(r->field[2]);
	return 0;
}

static int take_variable(struct reader *r)
{
	struct variable *v = vector_add(&r->f->variables);

	if (!v)
		return -ENOMEM;
	v->id = facts_text(r->f, r->field[1]);
	v->path = facts_text(r->f, r->field[2]);
	v->line = number(r->field[3]);
	v->linkage = facts_text(r->f, r->field[4]);
	v->type = facts_text(r->f, r->field[5]);
	return 0;
}

static int take_struct(struct reader *r)
{
	const char *tag = r->field[1];
	struct record *s;
	struct name *n;

	if (!strncmp(tag, "struct ", 7))
		tag += 7;
	else if (!strncmp(tag, "union ", 6))
		tag += 6;
	n = name_of(r->f, tag, true);
	if (!n)
		return -ENOMEM;
	if (n->record)
		return 0;
	n->record = true;
	s = vector_add(&r->f->records);
	if (!s)
		return -ENOMEM;
	s->name = n->text;
	s->bytes = strtoll(r->field[2], NULL, 10);
	s->path = facts_text(r->f, r->field[3]);
	s->line = number(r->field[4]);
	return 0;
}

static int take_field(struct reader *r)
{
	struct name *n = name_of(r->f, r->field[1], true);
	struct field *s;

	if (!n)
		return -ENOMEM;
	if (n->field)
		return 0;
	n->field = true;
	s = vector_add(&r->f->fields);
	if (!s)
		return -ENOMEM;
	s->key = n->text;
	s->offset = strtoll(r->field[2], NULL, 10);
	s->bits = strtoll(r->field[3], NULL, 10);
	s->kind = facts_text(r->f, r->field[4]);
	s->type = facts_text(r->f, r->field[5]);
	return 0;
}

static int take_path(struct reader *r)
{
	const char *key = facts_text(r->f, r->field[1]);

	/* It follows the field's line. */
	for (size_t i = r->f->fields.n; i-- > 0;) {
		if (r->f->fields.at[i].key == key) {
			r->f->fields.at[i].path = facts_text(r->f, r->field[2]);
			return 0;
		}
	}
	return -EPROTO;
}

static int take_error(struct reader *r)
{
	struct source_error *e;
	const char *path = facts_text(r->f, r->field[1]);

	/* An error in a header is the same in each file that includes it. */
	for (size_t i = 0; i < r->f->errors.n; i++)
		if (r->f->errors.at[i].path == path &&
		    r->f->errors.at[i].line == number(r->field[2]))
			return 0;
	e = vector_add(&r->f->errors);
	if (!e)
		return -ENOMEM;
	e->path = path;
	e->line = number(r->field[2]);
	e->text = facts_text(r->f, r->field[3]);
	return 0;
}

static int take_unit(struct reader *r)
{
	const char **u = vector_add(&r->f->units);

	if (!u)
		return -ENOMEM;
	*u = facts_text(r->f, r->field[1]);
	return 0;
}

static int take_end(struct reader *r)
{
	r->whole = true;
	return 0;
}

static const struct kind {
	const char *name;
	int fields; /* behind the name */
	int (*take)(struct reader *r);
} kinds[] = {
	{"unit", 1, take_unit},		{"end", 1, take_end},		{"error", 3, take_error},
	{"function", 6, take_function}, {"param", 4, take_param},	{"call", 5, take_call},
	{"site", 4, take_site},		{"flow", 4, take_flow},		{"escape", 3, take_escape},
	{"access", 4, take_use},	{"global", 4, take_use},	{"lock", 5, take_lock},
	{"asm", 2, take_asm},		{"variable", 5, take_variable}, {"struct", 4, take_struct},
	{"field", 5, take_field},	{"path", 2, take_path},		{"extent", 4, take_extent},
	{"value", 3, take_value},	{"becomes", 3, take_becomes},	{"index", 2, take_index},
	{"result", 2, take_result},	{"region", 6, take_region},	{"guard", 5, take_item},
	{"local", 7, take_item},	{"whole", 3, take_whole},
};

static int take_line(struct reader *r, char *line)
{
	int n = 0;

	while (line && n < FIELDS)
		r->field[n++] = strsep(&line, "\t");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, r->field[0]))
			return kinds[i].fields == n - 1 && !line ? kinds[i].take(r) : -EPROTO;
	return -EPROTO;
}

int facts_read(struct facts *f, FILE *from, const char *what, bool *whole, struct ob_error *err)
{
	struct reader r = {.f = f};
	unsigned int at = 0;
	size_t room = 0;
	char *line = NULL;
	ssize_t n;
	int ret = 0;

	while (!ret && (n = getline(&line, &room, from)) > 0) {
		at++;
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		/* A compiler's message quotes the source, and may be printed on a terminal. */
		for (char *c = line; *c; c++)
			if ((unsigned char)*c < ' ' && *c != '\t')
				*c = '?';
		ret = take_line(&r, line);
	}
	free(line);
	*whole = r.whole;
	if (ret == -ENOMEM)
		return ob_error_set(err, ret, "no memory for the facts of %s", what);
	if (ret)
		return ob_error_set(err, ret, "line %u of the facts of %s is no fact", at, what);
	return 0;
}

const struct field *facts_field(const struct facts *f, const char *key)
{
	for (size_t i = 0; i < f->fields.n; i++)
		if (!strcmp(f->fields.at[i].key, key))
			return &f->fields.at[i];
	return NULL;
}

void facts_blame(struct facts *f)
{
	for (size_t i = 0; i < f->errors.n; i++) {
		const struct source_error *e = &f->errors.at[i];

		for (size_t k = 0; k < f->functions.n; k++) {
			struct function *fn = f->functions.at[k];

			if (!fn->defined || fn->broken || fn->path != e->path ||
			    e->line < fn->line || e->line > fn->end)
				continue;
			fn->broken = true;
			fn->error = e->text;
			fn->error_line = e->line;
		}
	}
}
