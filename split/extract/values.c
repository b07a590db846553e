/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where addresses of functions go. Everything that can hold one is a node: a field (of all objects of the struct alike), a parameter, a
 * local or file-scope variable (an array is one node), a function's result. split/facts.h has how they are written.
 */
#include <stdio.h>
#include <string.h>

#include "split/extract/extract.h"

static void declared_value(struct extract *x, CXCursor declared,
			   void (*emit)(struct extract *x, const char *node, void *arg), void *arg)
{
	char id[NAME_ROOM], node[2 * NAME_ROOM];
	CXString name;
	int n;

	switch (clang_getCursorKind(declared)) {
	case CXCursor_FunctionDecl:
		function_id(x, declared, id);
		snprintf(node, sizeof(node), "func:%s", id);
		emit(x, node, arg);
		return;
	case CXCursor_ParmDecl:
		if (!x->body)
			return;
		n = clang_Cursor_getNumArguments(x->body->function);
		for (int i = 0; i < n; i++) {
			CXCursor p = clang_Cursor_getArgument(x->body->function, i);

			if (!clang_equalCursors(p, declared))
				continue;
			snprintf(node, sizeof(node), "param:%s#%d", x->body->id, i);
			emit(x, node, arg);
		}
		return;
	case CXCursor_VarDecl:
		if (clang_getCursorKind(clang_getCursorSemanticParent(declared)) ==
			    CXCursor_FunctionDecl &&
		    x->body) {
			name = clang_getCursorSpelling(declared);
			snprintf(node, sizeof(node), "local:%s:%s", x->body->id,
				 clang_getCString(name));
			clang_disposeString(name);
		} else {
			variable_id(x, declared, id);
			snprintf(node, sizeof(node), "global:%s", id);
		}
		emit(x, node, arg);
		return;
	default:
		return;
	}
}

void each_value(struct extract *x, CXCursor value,
		void (*emit)(struct extract *x, const char *node, void *arg), void *arg)
{
	CXCursor c = bare(value), callee;
	char id[NAME_ROOM], node[NAME_ROOM + 16];
	struct children list;

	switch (clang_getCursorKind(c)) {
	case CXCursor_DeclRefExpr:
		declared_value(x, clang_getCursorReferenced(c), emit, arg);
		return;
	case CXCursor_MemberRefExpr:
		if (!field_key(clang_getCursorReferenced(c), id))
			return;
		snprintf(node, sizeof(node), "field:%s", id);
		emit(x, node, arg);
		return;
	case CXCursor_UnaryOperator:  /* &function, *pointer */
	case CXCursor_BinaryOperator: /* a comma, an assignment */
	case CXCursor_StmtExpr:	      /* its CompoundStmt */
	case CXCursor_CompoundStmt:   /* its last expression */
		each_value(x, last_child(c), emit, arg);
		return;
	case CXCursor_GenericSelectionExpr:
		c = selected(c);
		if (!clang_Cursor_isNull(c))
			each_value(x, c, emit, arg);
		return;
	case CXCursor_ArraySubscriptExpr:
		list = children_of(c);
		if (list.n)
			each_value(x, list.c[0], emit, arg);
		children_free(&list);
		return;
	case CXCursor_ConditionalOperator:
		list = children_of(c);
		for (unsigned int i = 1; i < list.n; i++)
			each_value(x, list.c[i], emit, arg);
		children_free(&list);
		return;
	case CXCursor_CallExpr:
		callee = clang_getCursorReferenced(c);
		if (clang_getCursorKind(callee) != CXCursor_FunctionDecl)
			return;
		function_id(x, callee, id);
		snprintf(node, sizeof(node), "return:%s", id);
		emit(x, node, arg);
		return;
	default:
		return;
	}
}

bool may_be_function(CXCursor value)
{
	CXCursor c = bare(value), ref;

	if (is_function_pointer(clang_getCursorType(value)) ||
	    is_function_pointer(clang_getCursorType(c)))
		return true;
	if (clang_getCursorKind(c) == CXCursor_UnaryOperator)
		c = bare(last_child(c));
	ref = clang_getCursorReferenced(c);
	return clang_getCursorKind(c) == CXCursor_DeclRefExpr &&
	       clang_getCursorKind(ref) == CXCursor_FunctionDecl;
}

struct flow {
	const char *to;
	char path[NAME_ROOM];
	unsigned int line;
};

static void say_flow(struct extract *x, const char *node, void *arg)
{
	const struct flow *f = arg;
	char key[4 * NAME_ROOM];

	/* A place takes the same value once in a function. */
	snprintf(key, sizeof(key), "flow\t%s\t%s", f->to, node);
	if (!strcmp(f->to, node) || (x->body && !text_set_add(x->body->said, key)))
		return;
	if (x->body)
		say("%s\t%u\t%s", key, f->line, x->body->id);
	else
		say("%s\t%u\t@%s", key, f->line, f->path);
}

void say_flows(struct extract *x, const char *to, CXCursor value)
{
	struct flow f = {.to = to};

	if (x->body && x->body->part)
		return;
	place_of(x, clang_getCursorLocation(value), f.path, &f.line);
	each_value(x, value, say_flow, &f);
}

/* ---- braced initializers ------------------------------------------------------------------ */

struct fields {
	CXCursor field[1024]; /* those behind are found by their names alone */
	unsigned int n;
};

static enum CXVisitorResult keep_field(CXCursor field, CXClientData data)
{
	struct fields *f = data;

	if (f->n == sizeof(f->field) / sizeof(f->field[0]))
		return CXVisit_Break;
	f->field[f->n++] = field;
	return CXVisit_Continue;
}

/* A field without a name, an anonymous struct, leaves the node as it is. */
static void field_node(CXCursor field, char node[NAME_ROOM + 8])
{
	char key[NAME_ROOM];

	if (field_key(field, key))
		snprintf(node, NAME_ROOM + 8, "field:%s", key);
}

static void walk_list(struct extract *x, const char *node, CXType type, CXCursor list)
{
	CXType t = clang_getCanonicalType(type);
	struct children items = children_of(list);
	struct fields fields = {.n = 0};
	unsigned int next = 0;

	if (t.kind == CXType_Record)
		clang_Type_visitFields(t, keep_field, &fields);
	for (unsigned int i = 0; i < items.n; i++) {
		CXCursor item = items.c[i];
		char at[NAME_ROOM + 8];
		CXType inner = clang_getArrayElementType(t);

		snprintf(at, sizeof(at), "%s", node);
		/* [2].open = f: libclang shows a designated one as an expression without a type, designators first. */
		if (clang_getCursorKind(item) == CXCursor_UnexposedExpr &&
		    clang_getCursorType(item).kind == CXType_Void) {
			struct children part = children_of(item);

			inner = t;
			for (unsigned int p = 0; p + 1 < part.n; p++) {
				if (clang_getCursorKind(part.c[p]) == CXCursor_MemberRef) {
					CXCursor field = clang_getCursorReferenced(part.c[p]);

					field_node(field, at);
					inner = clang_getCanonicalType(clang_getCursorType(field));
					for (unsigned int f = 0; !p && f < fields.n; f++)
						if (clang_equalCursors(fields.field[f], field))
							next = f + 1;
				} else {
					inner = clang_getCanonicalType(
						clang_getArrayElementType(inner));
				}
			}
			if (part.n)
				walk_initializer(x, at, inner, part.c[part.n - 1]);
			children_free(&part);
			continue;
		}
		if (t.kind == CXType_Record) {
			if (next >= fields.n)
				break;
			field_node(fields.field[next], at);
			inner = clang_getCursorType(fields.field[next]);
			next++;
		}
		walk_initializer(x, at, inner, item);
	}
	children_free(&items);
}

void walk_initializer(struct extract *x, const char *node, CXType type, CXCursor value)
{
	CXCursor c = bare(value);
	bool quiet = false;

	switch (clang_getCursorKind(c)) {
	case CXCursor_InitListExpr:
		walk_list(x, node, type, c);
		return;
	case CXCursor_CompoundLiteralExpr:
		walk_initializer(x, node, clang_getCursorType(c), last_child(c));
		return;
	default:
		break;
	}
	if (may_be_function(value)) {
		say_flows(x, node, value);
		quiet = true;
	}
	x->quiet += quiet;
	walk_expression(x, value, USE_READ);
	x->quiet -= quiet;
}
