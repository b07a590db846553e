/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The body of a function, statement by statement: whom it calls and with which locks held, what it reads and writes. Locks are followed
 * along the control flow as it is written: a branch that ends in a return or a jump does not change what is held behind it.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "split/extract/extract.h"

/* ---- locks -------------------------------------------------------------------------------- */

static void held_text(const struct body *b, char *text, size_t size)
{
	size_t n = 0;

	snprintf(text, size, "-");
	for (int i = 0; i < b->n_locks && n < size; i++)
		if (b->held & 1u << i)
			n += snprintf(text + n, size - n, "%s%s", n ? "," : "", b->locks[i]);
}

static enum CXChildVisitResult first_name(CXCursor c, CXCursor parent, CXClientData data)
{
	CXCursor *found = data;
	CXCursor ref;

	switch (clang_getCursorKind(c)) {
	case CXCursor_MemberRefExpr:
		*found = c;
		return CXChildVisit_Break;
	case CXCursor_DeclRefExpr:
		ref = clang_getCursorReferenced(c);
		if (clang_getCursorKind(ref) == CXCursor_VarDecl &&
		    clang_getCursorKind(clang_getCursorSemanticParent(ref)) !=
			    CXCursor_FunctionDecl &&
		    clang_Cursor_isNull(*found))
			*found = c;
		return CXChildVisit_Recurse;
	default:
		return CXChildVisit_Recurse;
	}
}

/* "struct.field", a file-scope variable's name, or "?" for one that came as a parameter. */
static void lock_name(struct extract *x, CXCursor call, char name[NAME_ROOM])
{
	CXCursor found = clang_getNullCursor(), c;

	snprintf(name, NAME_ROOM, "?");
	if (clang_Cursor_getNumArguments(call) < 1)
		return;
	c = clang_Cursor_getArgument(call, 0);
	first_name(c, call, &found);
	if (clang_getCursorKind(found) != CXCursor_MemberRefExpr)
		clang_visitChildren(c, first_name, &found);
	if (clang_Cursor_isNull(found))
		return;
	if (clang_getCursorKind(found) == CXCursor_MemberRefExpr)
		field_key(clang_getCursorReferenced(found), name);
	else
		variable_id(x, clang_getCursorReferenced(found), name);
}

static int lock_index(struct body *b, const char *name)
{
	for (int i = 0; i < b->n_locks; i++)
		if (!strcmp(b->locks[i], name))
			return i;
	if (b->n_locks == MAX_HELD)
		return -1;
	snprintf(b->locks[b->n_locks], sizeof(b->locks[0]), "%.127s", name);
	return b->n_locks++;
}

static void callee_name(CXCursor call, char name[NAME_ROOM])
{
	CXString s = clang_getCursorSpelling(clang_getCursorReferenced(call));

	snprintf(name, NAME_ROOM, "%s", clang_getCString(s));
	clang_disposeString(s);
}

int lock_call(struct extract *x, CXCursor call, char name[NAME_ROOM])
{
	char callee[NAME_ROOM];

	callee_name(call, callee);
	for (unsigned int i = 0; i < x->n_locks; i++) {
		const struct lock_api *l = &x->locks[i];
		bool taken = !fnmatch(l->acquire, callee, FNM_EXTMATCH);

		if (!taken && fnmatch(l->release, callee, FNM_EXTMATCH) != 0)
			continue;
		if (*l->name)
			snprintf(name, NAME_ROOM, "%s", l->name);
		else
			lock_name(x, call, name);
		return taken ? 1 : -1;
	}
	return 0;
}

static void follow_locks(struct extract *x, CXCursor call)
{
	struct body *b = x->body;
	char name[NAME_ROOM], callee[NAME_ROOM];
	int what = lock_call(x, call, name), at;

	if (!what)
		return;
	callee_name(call, callee);
	at = lock_index(b, name);
	/* A lock that is given back without having been taken is the caller's, which matters to who moves this. */
	say("lock\t%s\t%s\t%s\t%u\t%s", b->id,
	    what > 0			    ? "acquire"
	    : at >= 0 && b->held & 1u << at ? "release"
					    : "drop",
	    name, line_of(call), callee);
	if (at >= 0 && what > 0)
		b->held |= 1u << at;
	else if (at >= 0)
		b->held &= ~(1u << at);
}

/* ---- expressions ---------------------------------------------------------------------------- */

static void say_use(struct extract *x, const char *what, const char *key, enum use use,
		    unsigned int line)
{
	static const char *const letters[] = {"n", "r", "w", "rw"};
	char text[3 * NAME_ROOM];

	if (!x->body)
		return;
	snprintf(text, sizeof(text), "%s\t%s\t%s\t%s", what, x->body->id, letters[use], key);
	if (text_set_add(x->body->said, text))
		say("%s\t%u", text, line);
}

/* What is read becomes more than a decision: an index, a length, a pointer, or it goes on to where it is not followed. */
static void say_value(struct extract *x, const char *key, unsigned int line)
{
	char text[3 * NAME_ROOM];

	if (!x->body)
		return;
	snprintf(text, sizeof(text), "value\t%s\t%s", x->body->id, key);
	if (text_set_add(x->body->said, text))
		say("%s\t%u", text, line);
}

/* netdev_dbg() and its kind have a switch of their own at each place, of which the driver knows nothing. */
static bool of_debugging(const char *key)
{
	return !strncmp(key, "_ddebug.", 8) || !strncmp(key, "static_key", 10);
}

static void walk_field(struct extract *x, CXCursor c, enum use use)
{
	CXCursor field = clang_getCursorReferenced(c);
	CXCursor base = last_child(c);
	char key[NAME_ROOM];

	if (field_key(field, key) && !of_debugging(key)) {
		say_field(x, field, key);
		say_use(x, "access", key, use, line_of(c));
		if (use & USE_READ && !x->deciding)
			say_value(x, key, line_of(c));
	}
	x->deciding = false;
	if (!clang_isExpression(clang_getCursorKind(base)))
		return;
	/* Behind a pointer lies another object; before a dot is the one of which this is a part. */
	if (clang_getCanonicalType(clang_getCursorType(base)).kind == CXType_Pointer)
		use = USE_READ;
	walk_expression(x, base, use);
}

static void note_local(struct extract *x, CXCursor c, CXCursor variable, enum use use)
{
	struct body *b = x->body;
	struct local_use *u;

	if (!b)
		return;
	if (b->n_uses == b->room) {
		b->room = b->room ? 2 * b->room : 64;
		u = realloc(b->uses, b->room * sizeof(*u));
		if (!u)
			abort();
		b->uses = u;
	}
	u = &b->uses[b->n_uses++];
	*u = (struct local_use){.variable = variable, .use = use, .decides = x->deciding};
	clang_getFileLocation(clang_getCursorLocation(c), NULL, NULL, NULL, &u->at);
}

static void walk_name(struct extract *x, CXCursor c, enum use use)
{
	CXCursor ref = clang_getCursorReferenced(c);
	char id[NAME_ROOM];

	switch (clang_getCursorKind(ref)) {
	case CXCursor_ParmDecl:
		note_local(x, c, ref, use);
		return;
	case CXCursor_FunctionDecl:
		if (x->quiet || (x->body && x->body->part))
			return;
		function_id(x, ref, id);
		say("escape\t%s\t%s\t%u", x->body ? x->body->id : "-", id, line_of(c));
		return;
	case CXCursor_VarDecl:
		if (clang_getCursorKind(clang_getCursorSemanticParent(ref)) ==
		    CXCursor_FunctionDecl) {
			note_local(x, c, ref, use);
			return;
		}
		variable_id(x, ref, id);
		say_use(x, "global", id, use, line_of(c));
		return;
	default:
		return;
	}
}

/* What a callee may do to an object whose address it gets: everything, but where its prototype says const. */
static enum use argument_use(CXCursor call, int n)
{
	CXType f = clang_getCanonicalType(clang_getCursorType(clang_getCursorReferenced(call)));
	CXType p;

	if (f.kind == CXType_Pointer)
		f = clang_getCanonicalType(clang_getPointeeType(f));
	if (n >= clang_getNumArgTypes(f))
		return USE_BOTH;
	p = clang_getCanonicalType(clang_getArgType(f, n));
	if (p.kind != CXType_Pointer)
		return USE_READ;
	return clang_isConstQualifiedType(clang_getPointeeType(p)) ? USE_READ : USE_BOTH;
}

/* &x->field and x->array are addresses of what is in the object itself. */
static void walk_argument(struct extract *x, CXCursor c, enum use use)
{
	CXCursor inner = bare(c);

	if (clang_getCursorKind(inner) == CXCursor_UnaryOperator) {
		CXCursor operand = last_child(inner);

		if (is_address_of(inner, operand)) {
			walk_expression(x, operand, use);
			return;
		}
	} else if (clang_getCanonicalType(clang_getCursorType(inner)).kind ==
		   CXType_ConstantArray) {
		walk_expression(x, inner, use);
		return;
	}
	walk_expression(x, c, USE_READ);
}

struct site {
	CXCursor call;
	const char *held;
	unsigned int line;
	int arguments;
	bool any;
};

static void say_target(struct extract *x, const char *node, void *arg)
{
	struct site *s = arg;
	char word[128], to[2 * NAME_ROOM];
	const char *callee = node + strlen("func:");
	bool direct = !strncmp(node, "func:", 5);

	s->any = true;
	if (direct) {
		spelled_at(x, s->call, word, sizeof(word));
		say("call\t%s\t%s\t%u\t%s\t%s", x->body->id, callee, s->line, s->held,
		    *word && strncmp(word, callee, strcspn(callee, "@")) ? word : "-");
	} else {
		say("site\t%s\t%s\t%u\t%s", x->body->id, node, s->line, s->held);
	}
	for (int i = 0; i < s->arguments; i++) {
		CXCursor a = clang_Cursor_getArgument(s->call, i);

		if (!may_be_function(a))
			continue;
		if (direct)
			snprintf(to, sizeof(to), "param:%s#%d", callee, i);
		else
			snprintf(to, sizeof(to), "call:%s#%d", node, i);
		say_flows(x, to, a);
	}
}

static void walk_call(struct extract *x, CXCursor c)
{
	struct body *b = x->body;
	struct children list;
	char held[1024];
	struct site site = {.call = c, .held = held, .line = line_of(c)};
	CXCursor callee, target;

	list = children_of(c);
	if (!b || !list.n) {
		children_free(&list);
		return;
	}
	held_text(b, held, sizeof(held));
	callee = bare(list.c[0]);
	site.arguments = clang_Cursor_getNumArguments(c);
	each_value(x, callee, say_target, &site);
	if (!site.any)
		say("site\t%s\texpr:\t%u\t%s", b->id, site.line, held);
	target = clang_getCursorReferenced(callee);
	if (clang_getCursorKind(callee) != CXCursor_DeclRefExpr ||
	    clang_getCursorKind(target) != CXCursor_FunctionDecl) {
		x->quiet++;
		walk_expression(x, callee, USE_READ);
		x->quiet--;
	}
	for (int i = 0; i < site.arguments; i++) {
		CXCursor a = clang_Cursor_getArgument(c, i);
		int quiet = x->quiet;

		x->quiet = may_be_function(a);
		walk_argument(x, a, argument_use(c, i));
		x->quiet = quiet;
	}
	if (clang_getCursorKind(target) == CXCursor_FunctionDecl)
		follow_locks(x, c);
	children_free(&list);
}

/* netdev_priv() and its kind return an address of what only the driver knows. */
static void say_becomes(struct extract *x, CXCursor value, CXType type)
{
	CXCursor call = bare(value), callee;
	char text[NAME_ROOM];
	CXString name;

	type = clang_getCanonicalType(type);
	if (!x->body || x->body->part || clang_getCursorKind(call) != CXCursor_CallExpr ||
	    type.kind != CXType_Pointer ||
	    clang_getCanonicalType(clang_getPointeeType(type)).kind != CXType_Record)
		return;
	callee = clang_getCursorReferenced(call);
	if (clang_getCursorKind(callee) != CXCursor_FunctionDecl ||
	    clang_getCanonicalType(
		    clang_getPointeeType(clang_getCanonicalType(clang_getCursorType(call))))
			    .kind != CXType_Void)
		return;
	name = clang_getCursorSpelling(callee);
	type_text(clang_getPointeeType(type), text, sizeof(text));
	say("becomes\t%s\t%s\t%s", x->body->id, clang_getCString(name), text);
	clang_disposeString(name);
}

/* An address of a struct is counted with: behind it lie others. */
static void say_index(struct extract *x, CXCursor address)
{
	CXType type = clang_getCanonicalType(clang_getCursorType(bare(address)));
	char text[NAME_ROOM], line[2 * NAME_ROOM + 16];

	if (!x->body || type.kind != CXType_Pointer)
		return;
	type = clang_getCanonicalType(clang_getPointeeType(type));
	if (type.kind != CXType_Record)
		return;
	type_text(type, text, sizeof(text));
	snprintf(line, sizeof(line), "index\t%s\t%s", x->body->id, text);
	if (text_set_add(x->body->said, line))
		say("%s", line);
}

static void walk_assignment(struct extract *x, CXCursor left, CXCursor right)
{
	bool function = may_be_function(right);

	walk_expression(x, left, USE_WRITE);
	say_becomes(x, right, clang_getCursorType(left));
	if (function) {
		CXCursor place = bare(left);
		char key[NAME_ROOM], to[2 * NAME_ROOM] = "";
		CXCursor ref;

		if (clang_getCursorKind(place) == CXCursor_ArraySubscriptExpr) {
			struct children list = children_of(place);

			if (list.n)
				place = bare(list.c[0]);
			children_free(&list);
		} else if (clang_getCursorKind(place) == CXCursor_UnaryOperator) {
			place = bare(last_child(place));
		}
		ref = clang_getCursorReferenced(place);
		if (clang_getCursorKind(place) == CXCursor_MemberRefExpr && field_key(ref, key)) {
			snprintf(to, sizeof(to), "field:%s", key);
		} else if (clang_getCursorKind(ref) == CXCursor_VarDecl ||
			   clang_getCursorKind(ref) == CXCursor_ParmDecl) {
			CXString name = clang_getCursorSpelling(ref);

			variable_id(x, ref, key);
			if (clang_getCursorKind(clang_getCursorSemanticParent(ref)) ==
				    CXCursor_FunctionDecl &&
			    clang_getCursorKind(ref) == CXCursor_VarDecl)
				snprintf(to, sizeof(to), "local:%s:%s", x->body->id,
					 clang_getCString(name));
			else if (clang_getCursorKind(ref) == CXCursor_VarDecl)
				snprintf(to, sizeof(to), "global:%s", key);
			clang_disposeString(name);
		}
		if (*to)
			say_flows(x, to, right);
		else
			function = false;
	}
	x->quiet += function;
	walk_expression(x, right, USE_READ);
	x->quiet -= function;
}

static enum CXChildVisitResult find_variable(CXCursor c, CXCursor parent, CXClientData data)
{
	enum CXCursorKind kind = clang_getCursorKind(c);
	bool *found = data;

	*found = kind == CXCursor_MemberRefExpr || kind == CXCursor_CallExpr ||
		 (kind == CXCursor_DeclRefExpr &&
		  clang_getCursorKind(clang_getCursorReferenced(c)) != CXCursor_EnumConstantDecl);
	return *found ? CXChildVisit_Break : CXChildVisit_Recurse;
}

static bool is_constant(CXCursor c)
{
	bool found = false;

	find_variable(c, c, &found);
	if (!found)
		clang_visitChildren(c, find_variable, &found);
	return !found;
}

/*
 * A condition: a field of which only a branch depends, by itself, by its bits or compared with a constant, is no index and no bound. Of two that are
 * compared with each other one may be a bound.
 */
void walk_condition(struct extract *x, CXCursor c)
{
	CXCursor inner = bare(c);
	struct children list = children_of(inner);

	switch (clang_getCursorKind(inner)) {
	case CXCursor_MemberRefExpr:
	case CXCursor_DeclRefExpr:
		x->deciding = true;
		walk_expression(x, inner, USE_READ);
		x->deciding = false;
		break;
	case CXCursor_UnaryOperator:
		if (list.n == 1 && !is_address_of(inner, list.c[0]) && !is_step(inner, list.c[0]) &&
		    clang_getCanonicalType(clang_getCursorType(list.c[0])).kind != CXType_Pointer)
			walk_condition(x, list.c[0]);
		else
			walk_expression(x, inner, USE_READ);
		break;
	case CXCursor_BinaryOperator:
		if (list.n != 2 || is_assignment(x, inner, list.c[0])) {
			walk_expression(x, inner, USE_READ);
		} else if (is_constant(list.c[1])) {
			walk_condition(x, list.c[0]);
		} else {
			for (unsigned int i = 0; i < 2; i++)
				if (clang_getCursorKind(bare(list.c[i])) == CXCursor_MemberRefExpr)
					walk_expression(x, list.c[i], USE_READ);
				else
					walk_condition(x, list.c[i]);
		}
		break;
	default:
		walk_expression(x, inner, USE_READ);
		break;
	}
	children_free(&list);
}

void walk_expression(struct extract *x, CXCursor c, enum use use)
{
	struct children list;
	CXCursor operand;
	int known;

	switch (clang_getCursorKind(c)) {
	case CXCursor_MemberRefExpr:
		walk_field(x, c, use);
		return;
	case CXCursor_DeclRefExpr:
		walk_name(x, c, use);
		return;
	case CXCursor_CallExpr:
		walk_call(x, c);
		return;
	case CXCursor_UnaryExpr: /* sizeof, alignof: nothing is evaluated */
		return;
	case CXCursor_ParenExpr:
		walk_expression(x, last_child(c), use);
		return;
	case CXCursor_CStyleCastExpr:
		walk_expression(x, last_child(c), USE_READ);
		return;
	case CXCursor_UnaryOperator:
		operand = last_child(c);
		if (is_address_of(c, operand)) {
			/* Of a struct, it is followed by the accesses through the pointer; of anything else it may be written. */
			bool record = clang_getCanonicalType(clang_getCursorType(operand)).kind ==
				      CXType_Record;

			walk_expression(x, operand, record ? USE_READ : USE_BOTH);
		} else {
			if (is_step(c, operand))
				say_index(x, operand);
			walk_expression(x, operand, is_step(c, operand) ? USE_BOTH : USE_READ);
		}
		return;
	case CXCursor_StmtExpr:
		walk_statement(x, last_child(c));
		return;
	case CXCursor_GenericSelectionExpr:
		operand = selected(c);
		if (!clang_Cursor_isNull(operand))
			walk_expression(x, operand, use);
		return;
	case CXCursor_CompoundLiteralExpr:
		if (x->body)
			walk_initializer(x, "expr:", clang_getCursorType(c), last_child(c));
		return;
	case CXCursor_InitListExpr:
		if (x->body)
			walk_initializer(x, "expr:", clang_getCursorType(c), c);
		return;
	default:
		break;
	}
	list = children_of(c);
	switch (clang_getCursorKind(c)) {
	case CXCursor_BinaryOperator:
		if (list.n == 2 && x->body && is_assignment(x, c, list.c[0])) {
			walk_assignment(x, list.c[0], list.c[1]);
			break;
		}
		for (unsigned int i = 0; i < list.n; i++) {
			say_index(x, list.c[i]);
			walk_expression(x, list.c[i], USE_READ);
		}
		break;
	case CXCursor_CompoundAssignOperator:
		if (list.n)
			say_index(x, list.c[0]);
		for (unsigned int i = 0; i < list.n; i++)
			walk_expression(x, list.c[i], i ? USE_READ : USE_BOTH);
		break;
	case CXCursor_ArraySubscriptExpr:
		if (list.n)
			say_index(x, list.c[0]);
		/* An element of an array in an object is a part of the object; an element behind a pointer is not. */
		for (unsigned int i = 0; i < list.n; i++) {
			CXCursor inner = bare(list.c[i]);
			bool part = !i && clang_getCanonicalType(clang_getCursorType(inner)).kind ==
						  CXType_ConstantArray;

			if (part)
				walk_expression(x, inner, use);
			else
				walk_expression(x, list.c[i], USE_READ);
		}
		break;
	case CXCursor_ConditionalOperator:
		/* What the compiler drops, IS_ENABLED() and the like, calls nobody. */
		known = list.n == 3 ? known_value(list.c[0]) : -1;
		for (unsigned int i = 0; i < list.n; i++)
			if (known < 0 || !i || (i == 1) == known)
				walk_expression(x, list.c[i], USE_READ);
		break;
	default:
		for (unsigned int i = 0; i < list.n; i++) {
			enum CXCursorKind kind = clang_getCursorKind(list.c[i]);
			char key[NAME_ROOM];

			if (kind == CXCursor_MemberRef) { /* offsetof() */
				if (field_key(clang_getCursorReferenced(list.c[i]), key))
					say_use(x, "access", key, USE_NONE, line_of(c));
			} else if (clang_isExpression(kind) || clang_isStatement(kind)) {
				walk_expression(x, list.c[i], USE_READ);
			}
		}
		break;
	}
	children_free(&list);
}

/* ---- statements ------------------------------------------------------------------------------ */

static struct label *label_of(struct body *b, CXCursor c)
{
	CXString s = clang_getCursorSpelling(c);
	struct label *l;

	for (l = b->labels; l; l = l->next)
		if (!strcmp(l->name, clang_getCString(s)))
			break;
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (l) {
			snprintf(l->name, sizeof(l->name), "%s", clang_getCString(s));
			l->next = b->labels;
			b->labels = l;
		}
	}
	clang_disposeString(s);
	return l;
}

static void walk_variable(struct extract *x, CXCursor variable)
{
	CXCursor value = clang_Cursor_getVarDeclInitializer(variable);
	char node[2 * NAME_ROOM], id[NAME_ROOM];
	CXString name;

	if (clang_Cursor_isNull(value))
		return;
	if (x->body) {
		say_becomes(x, value, clang_getCursorType(variable));
		name = clang_getCursorSpelling(variable);
		snprintf(node, sizeof(node), "local:%s:%s", x->body->id, clang_getCString(name));
		clang_disposeString(name);
	} else {
		variable_id(x, variable, id);
		snprintf(node, sizeof(node), "global:%s", id);
	}
	walk_initializer(x, node, clang_getCursorType(variable), value);
}

static void walk_if(struct extract *x, struct children list)
{
	struct body *b = x->body;
	uint32_t before, behind = 0;
	bool dead = true;
	int known;

	if (!list.n)
		return;
	known = known_value(list.c[0]);
	if (known < 0)
		walk_condition(x, list.c[0]);
	before = b->held;
	for (unsigned int i = 1; i < list.n; i++) {
		if (known >= 0 && (i == 1) != known)
			continue;
		b->held = before;
		b->dead = false;
		walk_statement(x, list.c[i]);
		if (!b->dead) {
			behind |= b->held;
			dead = false;
		}
	}
	/* Neither branch may be taken where there is no else, or where the compiler dropped the only one. */
	if ((known < 0 && list.n < 3) || known == 0) {
		if (known < 0 || list.n < 3) {
			behind |= before;
			dead = false;
		}
	}
	b->held = dead ? before : behind;
	b->dead = dead;
}

static void walk_all(struct extract *x, struct children list)
{
	for (unsigned int i = 0; i < list.n; i++)
		walk_statement(x, list.c[i]);
}

static void note_result(struct body *b, CXCursor c)
{
	long long value;

	if (clang_Cursor_isNull(c) || !constant_value(c, &value) ||
	    (value > 0 && b->result && b->result != value))
		b->results = true;
	else if (value > 0)
		b->result = value;
}

static bool is_skipped(const struct body *b, CXCursor c)
{
	unsigned int at = 0;

	if (b->n_skip)
		clang_getFileLocation(clang_getRangeStart(clang_getCursorExtent(c)), NULL, NULL,
				      NULL, &at);
	for (unsigned int i = 0; i < b->n_skip; i++)
		if (at >= b->skip[i][0] && at < b->skip[i][1])
			return true;
	return false;
}

void walk_statement(struct extract *x, CXCursor c)
{
	enum CXCursorKind kind = clang_getCursorKind(c);
	struct body *b = x->body;
	struct children list = {NULL, 0};
	struct label *label;
	uint32_t before;
	char first;

	if (is_skipped(b, c))
		return;
	if (clang_isExpression(kind) && kind != CXCursor_StmtExpr) {
		walk_expression(x, c, USE_READ);
		return;
	}
	switch (kind) {
	case CXCursor_GCCAsmStmt:
	case CXCursor_MSAsmStmt:
		/* Kernel macros are full of it; what counts is what the driver's author wrote. */
		first = char_at(x, c);
		if (first == 'a' || first == '_') {
			char word[16];

			spelled_at(x, c, word, sizeof(word));
			if (!strcmp(word, "asm") || !strncmp(word, "__asm", 5))
				say("asm\t%s\t%u", b->id, line_of(c));
		}
		break;
	case CXCursor_GotoStmt:
		label = label_of(b, last_child(c));
		if (label)
			label->held |= b->held;
		b->dead = true;
		return;
	case CXCursor_BreakStmt:
	case CXCursor_ContinueStmt:
		b->dead = true;
		return;
	default:
		break;
	}
	list = children_of(c);
	switch (kind) {
	case CXCursor_IfStmt:
		walk_if(x, list);
		break;
	case CXCursor_LabelStmt:
		label = label_of(b, c);
		if (b->dead)
			b->held = 0;
		if (label)
			b->held |= label->held;
		b->dead = false;
		walk_all(x, list);
		break;
	case CXCursor_CaseStmt:
	case CXCursor_DefaultStmt:
		b->held = b->dead ? b->switch_held : b->held | b->switch_held;
		b->dead = false;
		walk_all(x, list);
		break;
	case CXCursor_SwitchStmt:
	case CXCursor_WhileStmt:
	case CXCursor_ForStmt:
	case CXCursor_DoStmt: {
		uint32_t outer = b->switch_held;

		before = b->held;
		if (kind == CXCursor_SwitchStmt)
			b->switch_held = before;
		walk_all(x, list);
		/* A body that ends in a jump says nothing of what is held behind the loop. */
		if (b->dead)
			b->held = before;
		b->dead = false;
		b->switch_held = outer;
		break;
	}
	case CXCursor_ReturnStmt: {
		char to[NAME_ROOM + 16];
		bool function = list.n && may_be_function(list.c[0]);

		snprintf(to, sizeof(to), "return:%s", b->id);
		if (function)
			say_flows(x, to, list.c[0]);
		x->quiet += function;
		walk_all(x, list);
		x->quiet -= function;
		note_result(b, list.n ? list.c[0] : clang_getNullCursor());
		b->dead = true;
		break;
	}
	case CXCursor_VarDecl:
		walk_variable(x, c);
		break;
	case CXCursor_StmtExpr:
	case CXCursor_CompoundStmt:
	case CXCursor_DeclStmt:
	default:
		walk_all(x, list);
		break;
	}
	children_free(&list);
}

/* ---- functions --------------------------------------------------------------------------------- */

/* linux/moduleparam.h and linux/module.h make these to check types; nobody calls them. */
static bool made_by_macros(const char *name)
{
	return !strncmp(name, "__check_", 8) || !strcmp(name, "__inittest") ||
	       !strcmp(name, "__exittest");
}

/* The bytes of its text, where it is one that can be cut out: not where a macro made it. */
static void say_extent(struct extract *x, CXCursor function, const char *id)
{
	CXSourceRange whole = clang_getCursorExtent(function);
	CXSourceRange body = clang_getCursorExtent(last_child(function));
	unsigned int begin, open, end;
	CXFile files[3];

	if (clang_getCursorKind(last_child(function)) != CXCursor_CompoundStmt)
		return;
	clang_getFileLocation(clang_getRangeStart(whole), &files[0], NULL, NULL, &begin);
	clang_getFileLocation(clang_getRangeStart(body), &files[1], NULL, NULL, &open);
	clang_getFileLocation(clang_getRangeEnd(body), &files[2], NULL, NULL, &end);
	if (files[0] == files[1] && files[1] == files[2] && begin < open && open + 1 < end &&
	    char_at(x, last_child(function)) == '{' && is_written(x, files[0], open, end))
		say("extent\t%s\t%u\t%u\t%u", id, begin, open, end);
}

static void say_function(struct extract *x, CXCursor function, const char *path, const char *name)
{
	CXSourceRange extent = clang_getCursorExtent(function);
	unsigned int begin = 0, end = 0;
	char type[512], id[NAME_ROOM];
	int n = clang_Cursor_getNumArguments(function);

	function_id(x, function, id);
	clang_getFileLocation(clang_getRangeStart(extent), NULL, &begin, NULL, NULL);
	clang_getFileLocation(clang_getRangeEnd(extent), NULL, &end, NULL, NULL);
	type_text(clang_getCursorResultType(function), type, sizeof(type));
	say("function\t%s\t%s\t%u\t%u\t%s\t%s", id, path, begin, end < begin ? begin : end,
	    clang_getCursorLinkage(function) == CXLinkage_External ? "extern"
	    : clang_Cursor_isFunctionInlined(function)		   ? "inline"
								   : "static",
	    type);
	for (int i = 0; i < n; i++) {
		CXCursor p = clang_Cursor_getArgument(function, i);
		CXString s = clang_getCursorSpelling(p);

		type_text(clang_getCursorType(p), type, sizeof(type));
		say("param\t%s\t%d\t%s\t%s", id, i, clang_getCString(s), type);
		clang_disposeString(s);
	}
	say_extent(x, function, id);
}

void body_begin(struct extract *x, struct body *b, CXCursor function, const char *part)
{
	char id[NAME_ROOM];

	memset(b, 0, sizeof(*b));
	function_id(x, function, id);
	snprintf(b->id, sizeof(b->id), "%.*s%s", NAME_ROOM - 16, id, part);
	b->said = text_set_create();
	b->function = function;
	b->part = *part;
	x->body = b;
}

void body_end(struct extract *x)
{
	struct body *b = x->body;

	x->body = NULL;
	text_set_free(b->said);
	free(b->uses);
	while (b->labels) {
		struct label *l = b->labels;

		b->labels = l->next;
		free(l);
	}
}

void walk_function(struct extract *x, CXCursor function)
{
	struct body body;
	char path[NAME_ROOM];
	unsigned int line;
	CXString name = clang_getCursorSpelling(function);
	bool made = made_by_macros(clang_getCString(name));

	place_of(x, clang_getCursorLocation(function), path, &line);
	body_begin(x, &body, function, "");
	if (!made)
		say_function(x, function, path, clang_getCString(name));
	if (!made || strncmp(clang_getCString(name), "__check_", 8) != 0)
		walk_statement(x, last_child(function));
	if (!made && body.result && !body.results)
		say("result\t%s\t%lld", body.id, body.result);
	if (!made && body.n_locks)
		say_regions(x, function);
	body_end(x);
	clang_disposeString(name);
}
