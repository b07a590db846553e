/* SPDX-License-Identifier: BSD-2-Clause */
/* Structs and fields: what the generator of `outboard split` has to know to copy them. */
#include <stdio.h>
#include <string.h>

#include "split/extract/extract.h"

static const char *kind_of(CXCursor field, CXType type)
{
	CXType c = clang_getCanonicalType(type);

	if (clang_Cursor_isBitField(field))
		return "bits";
	switch (c.kind) {
	case CXType_Pointer:
		return is_function_pointer(c) ? "function" : "pointer";
	case CXType_ConstantArray:
		return "array";
	case CXType_IncompleteArray:
	case CXType_VariableArray:
		return "flexible";
	case CXType_Record:
		return clang_getCursorKind(clang_getTypeDeclaration(c)) == CXCursor_UnionDecl
			       ? "union"
			       : "struct";
	case CXType_Enum:
		return "enum";
	default:
		return "scalar";
	}
}

struct search {
	CXCursor record; /* whose member is looked for */
	char name[128];
};

static enum CXVisitorResult is_member(CXCursor field, CXClientData data)
{
	struct search *s = data;
	CXType type = clang_getCanonicalType(clang_getCursorType(field));
	CXString name;

	if (!clang_equalCursors(clang_getTypeDeclaration(type), s->record))
		return CXVisit_Continue;
	name = clang_getCursorSpelling(field);
	if (!strchr(clang_getCString(name), '('))
		snprintf(s->name, sizeof(s->name), "%s", clang_getCString(name));
	clang_disposeString(name);
	return CXVisit_Break;
}

/* struct a { struct { int c; } b; }: the field a.c is, in C, b.c of a struct a. */
static void say_path(CXCursor field, const char *key)
{
	const char *dot = strrchr(key, '.');
	char path[512];
	struct search s = {.record = clang_getCursorSemanticParent(field)};
	bool any = false;

	snprintf(path, sizeof(path), "%s", dot + 1);
	for (;;) {
		CXCursor outer = clang_getCursorSemanticParent(s.record);
		enum CXCursorKind kind = clang_getCursorKind(outer);
		char longer[sizeof(path)];

		if (kind != CXCursor_StructDecl && kind != CXCursor_UnionDecl)
			break;
		s.name[0] = '\0';
		clang_Type_visitFields(clang_getCursorType(outer), is_member, &s);
		if (*s.name && (size_t)snprintf(longer, sizeof(longer), "%s.%s", s.name, path) <
				       sizeof(longer)) {
			memcpy(path, longer, sizeof(path));
			any = true;
		}
		s.record = outer;
	}
	if (any)
		say("path\t%s\t%s", key, path);
}

void say_field(struct extract *x, CXCursor field, const char *key)
{
	CXType type = clang_getCursorType(field);
	long long offset, size;
	char text[512];

	if (!text_set_add(x->types, key))
		return;
	/* In bits from the start of the record that declares it; negative (an error code) where the type is not complete. */
	offset = clang_Cursor_getOffsetOfField(field);
	size = clang_Cursor_isBitField(field) ? clang_getFieldDeclBitWidth(field)
					      : clang_Type_getSizeOf(type) * 8;
	type_text(type, text, sizeof(text));
	say("field\t%s\t%lld\t%lld\t%s\t%s", key, offset < 0 ? -1 : offset, size < 0 ? -1 : size,
	    kind_of(field, type), text);
	say_path(field, key);
}

static enum CXVisitorResult each_field(CXCursor field, CXClientData data)
{
	char key[NAME_ROOM];

	if (field_key(field, key))
		say_field(data, field, key);
	return CXVisit_Continue;
}

void say_struct(struct extract *x, CXCursor record)
{
	CXType type = clang_getCursorType(record);
	char path[NAME_ROOM], text[512];
	unsigned int line = 0;
	long long size;

	place_of(x, clang_getCursorLocation(record), path, &line);
	type_text(type, text, sizeof(text));
	if (strchr(text, '('))
		return;
	size = clang_Type_getSizeOf(type);
	say("struct\t%s\t%lld\t%s\t%u", text, size < 0 ? -1 : size, path, line);
	clang_Type_visitFields(type, each_field, x);
}
