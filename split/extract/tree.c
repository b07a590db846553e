/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libclang's C interface does not tell: which operator a BinaryOperator or UnaryOperator cursor is (it does from 17 on). In C the
 * tree itself tells: an operand whose value is used has an implicit conversion from lvalue to value around it, an operand that is
 * assigned to, or whose address is taken, has none. So it is also known of what a macro expands to, where there is no text.
 */
#include <stdlib.h>
#include <string.h>

#include "split/extract/extract.h"

static enum CXChildVisitResult collect(CXCursor c, CXCursor parent, CXClientData data)
{
	struct children *list = data;

	/* Room for 4, 8, 16, ...: a power of two is full. */
	if (list->n == 0 || (list->n >= 4 && !(list->n & (list->n - 1)))) {
		unsigned int room = list->n ? 2 * list->n : 4;
		CXCursor *more = realloc(list->c, room * sizeof(*more));

		if (!more)
			return CXChildVisit_Break;
		list->c = more;
	}
	list->c[list->n++] = c;
	return CXChildVisit_Continue;
}

struct children children_of(CXCursor c)
{
	struct children list = {NULL, 0};

	clang_visitChildren(c, collect, &list);
	return list;
}

void children_free(struct children *c)
{
	free(c->c);
	c->c = NULL;
	c->n = 0;
}

static enum CXChildVisitResult keep_last(CXCursor c, CXCursor parent, CXClientData data)
{
	*(CXCursor *)data = c;
	return CXChildVisit_Continue;
}

CXCursor last_child(CXCursor c)
{
	CXCursor last = clang_getNullCursor();

	clang_visitChildren(c, keep_last, &last);
	return last;
}

CXCursor bare(CXCursor c)
{
	for (;;) {
		CXCursor inner;

		switch (clang_getCursorKind(c)) {
		case CXCursor_UnexposedExpr:
		case CXCursor_ParenExpr:
		case CXCursor_CStyleCastExpr: /* the type's own expressions come first */
			inner = last_child(c);
			if (!clang_isExpression(clang_getCursorKind(inner)))
				return c;
			c = inner;
			break;
		default:
			return c;
		}
	}
}

static CXCursor without_parentheses(CXCursor c)
{
	while (clang_getCursorKind(c) == CXCursor_ParenExpr)
		c = last_child(c);
	return c;
}

static bool same_type(CXType a, CXType b)
{
	return clang_equalTypes(clang_getCanonicalType(a), clang_getCanonicalType(b));
}

/* Names an object, without an implicit conversion of it to its value. */
static bool is_lvalue(struct extract *x, CXCursor c)
{
	CXCursor operand;

	c = without_parentheses(c);
	switch (clang_getCursorKind(c)) {
	case CXCursor_MemberRefExpr:
	case CXCursor_ArraySubscriptExpr:
	case CXCursor_CompoundLiteralExpr:
		return true;
	case CXCursor_DeclRefExpr:
		return clang_getCursorKind(clang_getCursorReferenced(c)) !=
		       CXCursor_EnumConstantDecl;
	case CXCursor_UnaryOperator:
		if (char_at(x, c) == '*')
			return true;
		operand = last_child(c);
		if (is_lvalue(x, operand)) /* &x, ++x */
			return false;
		/* Left are *p and the arithmetic ones, of which only ! gives another type than its operand's. */
		return clang_getCanonicalType(clang_getCursorType(operand)).kind ==
			       CXType_Pointer &&
		       char_at(x, c) != '!' &&
		       same_type(clang_getPointeeType(
					 clang_getCanonicalType(clang_getCursorType(operand))),
				 clang_getCursorType(c));
	default:
		return false;
	}
}

bool is_assignment(struct extract *x, CXCursor op, CXCursor left)
{
	return is_lvalue(x, left);
}

bool is_address_of(CXCursor op, CXCursor operand)
{
	CXType type = clang_getCanonicalType(clang_getCursorType(op));

	return type.kind == CXType_Pointer &&
	       same_type(clang_getPointeeType(type), clang_getCursorType(operand));
}

bool is_step(CXCursor op, CXCursor operand)
{
	switch (clang_getCursorKind(without_parentheses(operand))) {
	case CXCursor_MemberRefExpr:
	case CXCursor_ArraySubscriptExpr:
	case CXCursor_DeclRefExpr:
	case CXCursor_UnaryOperator:
		return same_type(clang_getCursorType(op), clang_getCursorType(operand));
	default:
		return false;
	}
}

CXCursor selected(CXCursor generic)
{
	struct children list = children_of(generic);
	CXCursor found = clang_getNullCursor();

	/* The first one is what is asked of its type; it is not evaluated. */
	for (unsigned int i = 1; i < list.n && clang_Cursor_isNull(found); i++)
		if (clang_isExpression(clang_getCursorKind(list.c[i])) &&
		    same_type(clang_getCursorType(list.c[i]), clang_getCursorType(generic)))
			found = list.c[i];
	children_free(&list);
	return found;
}

bool constant_value(CXCursor c, long long *value)
{
	CXEvalResult result = clang_Cursor_Evaluate(c);
	bool known;

	if (!result)
		return false;
	known = clang_EvalResult_getKind(result) == CXEval_Int;
	if (known)
		*value = clang_EvalResult_getAsLongLong(result);
	clang_EvalResult_dispose(result);
	return known;
}

int known_value(CXCursor condition)
{
	long long value;

	return constant_value(condition, &value) ? value != 0 : -1;
}
