/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locked regions: where a function takes a lock and gives it back in the same block, the text between can be a function of its own, which stays in the
 * kernel while the rest moves. Here is found where they are, under which conditions the function comes to one, and what of its variables they need: those
 * that the kernel can compute anew from the parameters, those that have no value yet, and numbers that have to travel.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "split/extract/extract.h"

enum {
	MOST_LEVELS = 32, /* of statements in each other */
	MOST_ITEMS = 64,  /* of conditions, and of variables, of a region */
};

/* A statement on the way to a region, and in which of its children it lies. */
struct level {
	CXCursor at;
	struct children list;
	unsigned int index;
};

struct item {
	unsigned int begin, end; /* bytes of the expression; both 0: none */
	CXCursor cursor;	 /* of it, or (@variable) of the variable */
	const char *kind;	 /* of a condition */
	char flags[4];		 /* of a variable; as in the facts */
	bool variable;
	bool needed; /* a variable: for conditions and initial values, so before the region */
};

struct region {
	struct level way[MOST_LEVELS];
	unsigned int n_way;
	unsigned int last; /* index of its last statement */
	unsigned int begin, end, line, end_line;
	char lock[NAME_ROOM];
	struct item items[MOST_ITEMS];
	unsigned int n_items;
};

struct finding {
	struct extract *x;
	struct region regions[MOST_REGIONS];
	unsigned int n;
	struct level way[MOST_LEVELS];
	unsigned int n_way;
	struct children *lists; /* of levels, which regions share */
	size_t n_lists;
	char why[256]; /* they cannot be cut out; "": they can */
	unsigned int line;
};

static bool give_up(struct finding *f, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static bool give_up(struct finding *f, unsigned int line, const char *fmt, ...)
{
	va_list args;

	if (*f->why)
		return false;
	va_start(args, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, args);
	va_end(args);
	f->line = line;
	return false;
}

static void extent(CXCursor c, unsigned int *begin, unsigned int *end)
{
	CXSourceRange r = clang_getCursorExtent(c);

	clang_getFileLocation(clang_getRangeStart(r), NULL, NULL, NULL, begin);
	clang_getFileLocation(clang_getRangeEnd(r), NULL, NULL, NULL, end);
}

/* ---- locks ----------------------------------------------------------------------------------- */

struct lock_search {
	struct extract *x;
	char acquired[NAME_ROOM], released[NAME_ROOM];
	bool any;
};

static enum CXChildVisitResult find_lock(CXCursor c, CXCursor parent, CXClientData data)
{
	struct lock_search *s = data;
	char name[NAME_ROOM];

	if (clang_getCursorKind(c) == CXCursor_CallExpr) {
		int what = lock_call(s->x, c, name);

		s->any |= what != 0;
		if (what > 0)
			snprintf(s->acquired, NAME_ROOM, "%s", name);
		else if (what < 0)
			snprintf(s->released, NAME_ROOM, "%s", name);
	}
	return CXChildVisit_Recurse;
}

static struct lock_search locks_of(struct extract *x, CXCursor c)
{
	struct lock_search s = {.x = x};

	find_lock(c, c, &s);
	clang_visitChildren(c, find_lock, &s);
	return s;
}

/* A statement that is nothing but a call, or a macro in the place of one. */
static bool is_call(struct extract *x, CXCursor c)
{
	static const char *const others[] = {"if",     "for",  "while", "do",	"switch",
					     "return", "goto", "case",	"else", ""};
	char word[64];

	if (clang_getCursorKind(c) == CXCursor_DeclStmt)
		return false;
	spelled_at(x, c, word, sizeof(word));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(word, others[i]))
			return false;
	return true;
}

/* Of "case 1: case 2: statement", the statement. */
static CXCursor labelled(CXCursor c)
{
	for (;;) {
		enum CXCursorKind kind = clang_getCursorKind(c);

		if (kind != CXCursor_CaseStmt && kind != CXCursor_DefaultStmt)
			return c;
		c = last_child(c);
	}
}

static bool is_case(CXCursor c)
{
	enum CXCursorKind kind = clang_getCursorKind(c);

	return kind == CXCursor_CaseStmt || kind == CXCursor_DefaultStmt;
}

/* A region's statement: behind the labels, if it is the first. */
static CXCursor statement_of(const struct region *r, unsigned int i)
{
	const struct level *l = &r->way[r->n_way - 1];

	return i == l->index ? labelled(l->list.c[i]) : l->list.c[i];
}

static unsigned int first_of(const struct region *r)
{
	return r->way[r->n_way - 1].index;
}

/* ---- where they are ---------------------------------------------------------------------------- */

static void search(struct finding *f, CXCursor c);

/* True: one begins there, and ends at the sibling *@last. */
static bool begins(struct finding *f, const struct children *list, unsigned int i,
		   unsigned int *last)
{
	CXCursor first = labelled(list->c[i]);
	struct lock_search s = locks_of(f->x, first);
	struct region *r;

	if (!*s.acquired || *s.released || !is_call(f->x, first))
		return false;
	*last = i;
	for (unsigned int k = i + 1; k < list->n && !is_case(list->c[k]); k++) {
		struct lock_search t = locks_of(f->x, list->c[k]);

		if (!strcmp(t.released, s.acquired) && !*t.acquired && is_call(f->x, list->c[k]))
			*last = k;
	}
	if (*last == i)
		return give_up(f, line_of(first), "it is not given back in the same block");
	if (f->n == MOST_REGIONS)
		return give_up(f, line_of(first), "there are too many");
	r = &f->regions[f->n++];
	memset(r, 0, sizeof(*r));
	memcpy(r->way, f->way, sizeof(f->way));
	r->n_way = f->n_way;
	r->last = *last;
	snprintf(r->lock, sizeof(r->lock), "%s", s.acquired);
	extent(first, &r->begin, &r->end);
	r->line = line_of(first);
	extent(list->c[*last], NULL, &r->end);
	clang_getFileLocation(clang_getRangeEnd(clang_getCursorExtent(list->c[*last])), NULL,
			      &r->end_line, NULL, NULL);
	if (!ends_statement(f->x, list->c[*last], &r->end))
		return give_up(f, r->line, "its end is a macro's");
	if (!has_whole_directives(f->x, first, r->begin, r->end))
		return give_up(f, r->line, "it has one end of an #if");
	return true;
}

/* Regions have copies of their levels, so lists live as long as all of it. */
static bool keep_list(struct finding *f, struct children list)
{
	struct children *more = realloc(f->lists, (f->n_lists + 1) * sizeof(*more));

	if (!more) {
		children_free(&list);
		return give_up(f, 0, "there is no memory");
	}
	f->lists = more;
	f->lists[f->n_lists++] = list;
	return true;
}

static void search_level(struct finding *f, CXCursor c, bool block)
{
	struct level *level = &f->way[f->n_way];

	if (f->n_way == MOST_LEVELS) {
		give_up(f, line_of(c), "statements in statements are too deep");
		return;
	}
	level->at = c;
	level->list = children_of(c);
	if (!keep_list(f, level->list))
		return;
	f->n_way++;
	for (unsigned int i = 0; i < level->list.n && !*f->why; i++) {
		unsigned int last;

		level->index = i;
		if (block && begins(f, &level->list, i, &last))
			i = last;
		else
			search(f, block ? labelled(level->list.c[i]) : level->list.c[i]);
	}
	f->n_way--;
}

static void search(struct finding *f, CXCursor c)
{
	enum CXCursorKind kind = clang_getCursorKind(c);

	if (*f->why || clang_isExpression(kind) || !locks_of(f->x, c).any)
		return;
	switch (kind) {
	case CXCursor_CompoundStmt:
	case CXCursor_IfStmt:
	case CXCursor_SwitchStmt:
	case CXCursor_ForStmt:
	case CXCursor_WhileStmt:
	case CXCursor_DoStmt:
		search_level(f, c, kind == CXCursor_CompoundStmt);
		break;
	default:
		break; /* what is in it stays what it is: a lock of the function's */
	}
}

/* ---- jumps --------------------------------------------------------------------------------------- */

struct jumps {
	bool loop, choice; /* it stands in one, which is the target of break and continue */
	bool out, label;
	unsigned int line;
};

static enum CXChildVisitResult find_jump(CXCursor c, CXCursor parent, CXClientData data)
{
	struct jumps *j = data, inner = *j;
	bool out = false;

	switch (clang_getCursorKind(c)) {
	case CXCursor_ReturnStmt:
	case CXCursor_GotoStmt:
	case CXCursor_IndirectGotoStmt:
		out = true;
		break;
	case CXCursor_LabelStmt:
		j->label = true;
		out = true;
		break;
	case CXCursor_BreakStmt:
		out = !j->loop && !j->choice;
		break;
	case CXCursor_CaseStmt:
	case CXCursor_DefaultStmt:
		j->label |= !j->choice;
		out = !j->choice;
		break;
	case CXCursor_ContinueStmt:
		out = !j->loop;
		break;
	case CXCursor_ForStmt:
	case CXCursor_WhileStmt:
	case CXCursor_DoStmt:
		inner.loop = true;
		break;
	case CXCursor_SwitchStmt:
		inner.choice = true;
		break;
	default:
		break;
	}
	if (out && !j->out) {
		j->out = true;
		j->line = line_of(c);
	}
	inner.out = j->out;
	inner.label = j->label;
	clang_visitChildren(c, find_jump, &inner);
	if (inner.out && !j->out)
		j->line = inner.line;
	j->out = inner.out;
	j->label = inner.label;
	return CXChildVisit_Continue;
}

/* Of what may leave it, or be come to from elsewhere. */
static struct jumps jumps_of(CXCursor c)
{
	struct jumps j = {.loop = false};

	find_jump(c, clang_getNullCursor(), &j);
	return j;
}

static bool always_leaves(CXCursor c)
{
	c = labelled(c);
	switch (clang_getCursorKind(c)) {
	case CXCursor_ReturnStmt:
	case CXCursor_GotoStmt:
	case CXCursor_BreakStmt:
	case CXCursor_ContinueStmt:
		return true;
	case CXCursor_CompoundStmt:
		return !clang_Cursor_isNull(last_child(c)) && always_leaves(last_child(c));
	default:
		return false;
	}
}

/* "if (...) return ...;" */
static bool is_way_out(CXCursor c)
{
	struct children list = children_of(c);
	bool is = clang_getCursorKind(c) == CXCursor_IfStmt && list.n == 2 &&
		  always_leaves(list.c[1]);

	children_free(&list);
	return is;
}

/* ---- the way to one --------------------------------------------------------------------------------- */

static bool add_item(struct finding *f, struct region *r, CXCursor c, const char *kind)
{
	struct item *i = &r->items[r->n_items];

	if (r->n_items == MOST_ITEMS)
		return give_up(f, r->line, "it depends on too much");
	i->cursor = c;
	i->kind = kind;
	i->variable = !kind;
	if (kind)
		extent(c, &i->begin, &i->end);
	r->n_items++;
	return true;
}

static bool add_condition(struct finding *f, struct region *r, CXCursor parent, const char *kind)
{
	struct children list = children_of(parent);
	bool good = list.n && add_item(f, r, list.c[0], kind);

	children_free(&list);
	return good || give_up(f, r->line, "the way to it is not known");
}

/* Where the labels stand behind which the statement is executed; *@index itself where it is in no switch. */
static bool find_case(const struct level *l, unsigned int *index)
{
	while (*index && !is_case(l->list.c[*index]))
		--*index;
	return is_case(l->list.c[*index]);
}

static bool add_cases(struct finding *f, struct region *r, const struct level *l,
		      unsigned int index, CXCursor choice)
{
	if (index && !always_leaves(l->list.c[index - 1]))
		return give_up(f, r->line, "another case falls through to it");
	if (!add_condition(f, r, choice, "switch"))
		return false;
	for (CXCursor c = l->list.c[index]; is_case(c); c = last_child(c)) {
		struct children list = children_of(c);
		bool one = clang_getCursorKind(c) == CXCursor_CaseStmt && list.n == 2;

		children_free(&list);
		if (!one)
			return give_up(f, r->line, "it stands behind default: or a range");
		if (!add_condition(f, r, c, "case"))
			return false;
	}
	return true;
}

static bool add_siblings(struct finding *f, struct region *r, unsigned int n)
{
	const struct level *l = &r->way[n];
	unsigned int from = l->index;

	if (n && clang_getCursorKind(r->way[n - 1].at) == CXCursor_SwitchStmt) {
		if (!find_case(l, &from))
			return give_up(f, r->line, "the way to it is not known");
		if (!add_cases(f, r, l, from, r->way[n - 1].at))
			return false;
	} else {
		from = 0;
	}
	for (unsigned int i = from; i < l->index; i++) {
		CXCursor c = i == from ? labelled(l->list.c[i]) : l->list.c[i];
		struct jumps j = jumps_of(c);

		if (!j.out && !j.label)
			continue;
		if (j.label || !is_way_out(c))
			return give_up(f, r->line, "whether it is come to depends on line %u",
				       j.line);
		if (!add_condition(f, r, c, "unless"))
			return false;
	}
	return true;
}

static bool find_way(struct finding *f, struct region *r)
{
	for (unsigned int n = 0; n < r->n_way; n++) {
		const struct level *l = &r->way[n];

		switch (clang_getCursorKind(l->at)) {
		case CXCursor_CompoundStmt:
			if (!add_siblings(f, r, n))
				return false;
			break;
		case CXCursor_IfStmt:
			if (!add_condition(f, r, l->at, l->index == 1 ? "if" : "unless"))
				return false;
			break;
		case CXCursor_SwitchStmt:
			break; /* with its labels */
		default:
			return give_up(f, r->line, "it stands in a loop");
		}
	}
	return true;
}

/* One call of the function executes one of the two at most. */
static bool exclude(const struct region *a, const struct region *b)
{
	for (unsigned int n = 0; n < a->n_way && n < b->n_way; n++) {
		const struct level *l = &b->way[n];
		unsigned int from = l->index;

		if (a->way[n].index == l->index)
			continue;
		if (clang_getCursorKind(l->at) == CXCursor_IfStmt)
			return true;
		if (n && clang_getCursorKind(b->way[n - 1].at) == CXCursor_SwitchStmt &&
		    find_case(l, &from) && a->way[n].index < from)
			return true;
		return is_way_out(labelled(l->list.c[a->way[n].index]));
	}
	return false;
}

/* ---- variables ---------------------------------------------------------------------------------------- */

struct mention {
	struct finding *f;
	struct region *r;
	bool needed, impure;
};

static bool is_local(CXCursor variable)
{
	enum CXCursorKind kind = clang_getCursorKind(variable);

	return kind == CXCursor_ParmDecl ||
	       (kind == CXCursor_VarDecl && clang_getCursorKind(clang_getCursorSemanticParent(
						    variable)) == CXCursor_FunctionDecl);
}

static void mention(struct mention *m, CXCursor variable)
{
	struct region *r = m->r;
	unsigned int at, end;

	extent(variable, &at, &end);
	if (!is_local(variable) || (at >= r->begin && at < r->end))
		return;
	for (unsigned int i = 0; i < r->n_items; i++) {
		if (r->items[i].variable && clang_equalCursors(r->items[i].cursor, variable)) {
			r->items[i].needed |= m->needed;
			return;
		}
	}
	if (add_item(m->f, r, variable, NULL))
		r->items[r->n_items - 1].needed = m->needed;
}

static enum CXChildVisitResult find_mention(CXCursor c, CXCursor parent, CXClientData data)
{
	struct mention *m = data;
	struct children list;

	switch (clang_getCursorKind(c)) {
	case CXCursor_CompoundAssignOperator:
	case CXCursor_StmtExpr:
		m->impure = true;
		break;
	case CXCursor_UnaryOperator:
		m->impure |= is_step(c, last_child(c));
		break;
	case CXCursor_BinaryOperator:
		list = children_of(c);
		m->impure |= list.n == 2 && is_assignment(m->f->x, c, list.c[0]);
		children_free(&list);
		break;
	case CXCursor_DeclRefExpr:
		mention(m, clang_getCursorReferenced(c));
		break;
	default:
		break;
	}
	return CXChildVisit_Recurse;
}

/* The variables that it mentions are the region's, too. Return: evaluating it changes nothing. */
static bool mentions(struct finding *f, struct region *r, CXCursor c, bool needed)
{
	struct mention m = {.f = f, .r = r, .needed = needed};

	find_mention(c, clang_getNullCursor(), &m);
	clang_visitChildren(c, find_mention, &m);
	return !m.impure;
}

struct history {
	bool written, mentioned_behind, value_within, written_within;
};

static bool in_another(const struct finding *f, const struct region *r, unsigned int at)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (&f->regions[i] != r && at >= f->regions[i].begin && at < f->regions[i].end)
			return true;
	return false;
}

static struct history history_of(const struct finding *f, const struct region *r, CXCursor variable)
{
	const struct body *b = f->x->body;
	struct history h = {false};

	for (size_t i = 0; i < b->n_uses; i++) {
		const struct local_use *u = &b->uses[i];

		/* Whoever comes to this region has not come and does not come to another. */
		if (!clang_equalCursors(u->variable, variable) || in_another(f, r, u->at))
			continue;
		if (u->at < r->begin) {
			h.written |= (u->use & USE_WRITE) != 0;
		} else if (u->at >= r->end) {
			h.mentioned_behind = true;
		} else {
			h.written_within |= (u->use & USE_WRITE) != 0;
			h.value_within |= u->use & USE_READ && !u->decides;
		}
	}
	return h;
}

static bool is_number(CXType type)
{
	type = clang_getCanonicalType(type);
	return (type.kind >= CXType_Bool && type.kind <= CXType_LongLong &&
		type.kind != CXType_UInt128) ||
	       type.kind == CXType_Enum;
}

static bool is_scalar(CXType type)
{
	return is_number(type) || clang_getCanonicalType(type).kind == CXType_Pointer;
}

/* Where a variable's value comes from at the region's begin, and whether it goes back at its end. */
static bool settle(struct finding *f, struct region *r, struct item *item)
{
	CXCursor variable = item->cursor, value = clang_getNullCursor();
	struct history h = history_of(f, r, variable);
	CXType type = clang_getCursorType(variable);
	CXString s = clang_getCursorSpelling(variable);
	unsigned int at;
	bool has_value;
	char name[128];

	snprintf(name, sizeof(name), "%s", clang_getCString(s));
	clang_disposeString(s);
	extent(variable, &item->begin, &at);
	item->end = item->begin;
	if (clang_getCursorKind(variable) == CXCursor_VarDecl) {
		if (clang_Cursor_getStorageClass(variable) == CX_SC_Static)
			return give_up(f, r->line, "it uses the static variable %s", name);
		value = clang_Cursor_getVarDeclInitializer(variable);
	}
	has_value = !clang_Cursor_isNull(value);
	if (!is_scalar(type) && (has_value || h.written || h.mentioned_behind))
		return give_up(f, r->line,
			       "it shares %s, which is no number, with what is before or behind it",
			       name);
	if (h.written_within && h.mentioned_behind && !is_number(type))
		return give_up(f, r->line, "it sets the address %s, which is used behind it", name);
	if (!h.written && clang_getCursorKind(variable) == CXCursor_ParmDecl) {
		strcpy(item->flags, "p");
	} else if (!h.written && has_value && mentions(f, r, value, true)) {
		strcpy(item->flags, "i");
		extent(value, &item->begin, &item->end);
	} else if (!h.written && !has_value) {
		strcpy(item->flags, "f");
	} else if (!is_number(type)) {
		return give_up(f, r->line, "it uses the address %s, which is computed before it",
			       name);
	} else if (h.value_within) {
		return give_up(
			f, r->line,
			"more than a branch of it depends on %s, which is computed before it",
			name);
	} else {
		strcpy(item->flags, "v");
	}
	if (h.written_within && h.mentioned_behind)
		strcat(item->flags, "o");
	return true;
}

static bool find_variables(struct finding *f, struct region *r)
{
	unsigned int conditions = r->n_items;

	for (unsigned int i = 0; i < conditions; i++)
		if (!mentions(f, r, r->items[i].cursor, true))
			return give_up(f, r->line, "a condition before it changes something");
	for (unsigned int i = first_of(r); i <= r->last; i++)
		mentions(f, r, statement_of(r, i), false);
	/* Initial values mention others, which come to the end of the list. */
	for (unsigned int i = conditions; i < r->n_items && !*f->why; i++)
		settle(f, r, &r->items[i]);
	for (unsigned int i = conditions; i < r->n_items && !*f->why; i++)
		if (r->items[i].needed && *r->items[i].flags != 'p' && *r->items[i].flags != 'i')
			give_up(f, r->line, "what decides on it is computed before it");
	return !*f->why;
}

static bool leaves(struct finding *f, const struct region *r)
{
	for (unsigned int i = first_of(r); i <= r->last; i++) {
		struct jumps j = jumps_of(statement_of(r, i));

		if (j.out)
			return !give_up(f, r->line, "line %u jumps out of it, or into it", j.line);
	}
	return false;
}

static bool can_be_cut_out(struct finding *f)
{
	for (unsigned int i = 0; i < f->n && !*f->why; i++) {
		struct region *r = &f->regions[i];

		for (unsigned int k = 0; k < i; k++)
			if (!exclude(&f->regions[k], r))
				return give_up(f, r->line, "another one comes before it");
		if (leaves(f, r) || !find_way(f, r) || !find_variables(f, r))
			return false;
	}
	return !*f->why;
}

/* ---- what is said of them ------------------------------------------------------------------------------ */

static int by_begin(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static void say_item(const char *id, unsigned int n, const struct item *i)
{
	char type[NAME_ROOM];
	CXString name;

	if (!i->variable) {
		say("guard\t%s\t%u\t%s\t%u\t%u", id, n, i->kind, i->begin, i->end);
		return;
	}
	type_text(clang_getCursorType(i->cursor), type, sizeof(type));
	name = clang_getCursorSpelling(i->cursor);
	say("local\t%s\t%u\t%s\t%s\t%u\t%u\t%s", id, n, clang_getCString(name), i->flags, i->begin,
	    i->end, type);
	clang_disposeString(name);
}

static void walk_items(struct extract *x, const struct region *r)
{
	for (unsigned int i = 0; i < r->n_items; i++) {
		CXCursor c = r->items[i].cursor;

		if (!r->items[i].variable && !strcmp(r->items[i].kind, "switch"))
			walk_expression(x, c, USE_READ);
		else if (!r->items[i].variable)
			walk_condition(x, c);
		else if (*r->items[i].flags == 'i')
			walk_expression(x, clang_Cursor_getVarDeclInitializer(c), USE_READ);
	}
}

static void walk_region(struct extract *x, const struct region *r)
{
	for (unsigned int i = first_of(r); i <= r->last; i++)
		walk_statement(x, statement_of(r, i));
}

/* The facts of the function's parts, each as if it were a function. */
static void say_parts(struct finding *f, CXCursor function)
{
	struct extract *x = f->x;
	struct body *whole = x->body, part;

	body_begin(x, &part, function, "%rest");
	for (unsigned int i = 0; i < f->n; i++) {
		part.skip[i][0] = f->regions[i].begin;
		part.skip[i][1] = f->regions[i].end;
	}
	part.n_skip = f->n;
	walk_statement(x, last_child(function));
	body_end(x);
	body_begin(x, &part, function, "%region");
	for (unsigned int i = 0; i < f->n; i++) {
		walk_region(x, &f->regions[i]);
		if (part.held)
			say("whole\t%s\t%u\tit ends with a lock held", whole->id,
			    f->regions[i].line);
		part.held = 0;
	}
	body_end(x);
	body_begin(x, &part, function, "%way");
	for (unsigned int i = 0; i < f->n; i++)
		walk_items(x, &f->regions[i]);
	body_end(x);
	x->body = whole;
}

static void regions_free(struct finding *f)
{
	for (size_t i = 0; i < f->n_lists; i++)
		children_free(&f->lists[i]);
	free(f->lists);
}

void say_regions(struct extract *x, CXCursor function)
{
	struct finding *f = calloc(1, sizeof(*f));
	const char *id = x->body->id;

	if (!f)
		return;
	f->x = x;
	search(f, last_child(function));
	if (can_be_cut_out(f) && f->n) {
		for (unsigned int i = 0; i < f->n; i++) {
			struct region *r = &f->regions[i];

			qsort(r->items, r->n_items, sizeof(r->items[0]), by_begin);
			say("region\t%s\t%u\t%u\t%u\t%u\t%s", id, r->begin, r->end, r->line,
			    r->end_line, r->lock);
			for (unsigned int k = 0; k < r->n_items; k++)
				say_item(id, i, &r->items[k]);
		}
		say_parts(f, function);
	} else if (*f->why) {
		say("whole\t%s\t%u\t%s", id, f->line, f->why);
	}
	regions_free(f);
	free(f);
}
