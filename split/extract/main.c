/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-facts --root DIR [--lock ACQUIRE:RELEASE:NAME]... FILE -- COMPILER-OPTIONS: one file's facts on standard output. Run by
 * split/gather.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "split/extract/extract.h"

enum {
	EXIT_USAGE = 2,
	EXIT_PARSER = 3, /* libclang could do nothing with it */
	MAX_LOCKS = 64,
};

static void walk_global(struct extract *x, CXCursor c)
{
	CXCursor value = clang_Cursor_getVarDeclInitializer(c);
	char id[NAME_ROOM], node[NAME_ROOM + 16], path[NAME_ROOM], type[512];
	unsigned int line;

	variable_id(x, c, id);
	place_of(x, clang_getCursorLocation(c), path, &line);
	snprintf(node, sizeof(node), "variable:%s", id);
	/* "static int x;" is none that libclang calls a definition, as another one may come with a value. */
	if (clang_Cursor_getStorageClass(c) != CX_SC_Extern && text_set_add(x->types, node)) {
		type_text(clang_getCursorType(c), type, sizeof(type));
		say("variable\t%s\t%s\t%u\t%s\t%s", id, path, line,
		    clang_getCursorLinkage(c) == CXLinkage_External ? "extern" : "static", type);
	}
	if (clang_Cursor_isNull(value))
		return;
	snprintf(node, sizeof(node), "global:%s", id);
	walk_initializer(x, node, clang_getCursorType(c), value);
}

static enum CXChildVisitResult top_level(CXCursor c, CXCursor parent, CXClientData data)
{
	struct extract *x = data;
	char path[NAME_ROOM];
	unsigned int line;

	switch (clang_getCursorKind(c)) {
	case CXCursor_FunctionDecl:
		if (clang_isCursorDefinition(c) &&
		    place_of(x, clang_getCursorLocation(c), path, &line))
			walk_function(x, c);
		break;
	case CXCursor_VarDecl:
		if (place_of(x, clang_getCursorLocation(c), path, &line))
			walk_global(x, c);
		break;
	case CXCursor_StructDecl:
	case CXCursor_UnionDecl:
		if (clang_isCursorDefinition(c) &&
		    place_of(x, clang_getCursorLocation(c), path, &line))
			say_struct(x, c);
		break;
	default:
		break;
	}
	return CXChildVisit_Continue;
}

static void say_diagnostics(struct extract *x)
{
	unsigned int n = clang_getNumDiagnostics(x->unit);

	for (unsigned int i = 0; i < n; i++) {
		CXDiagnostic d = clang_getDiagnostic(x->unit, i);
		enum CXDiagnosticSeverity severity = clang_getDiagnosticSeverity(d);
		CXString text = clang_getDiagnosticSpelling(d);
		char path[NAME_ROOM];
		unsigned int line;

		if (severity >= CXDiagnostic_Error) {
			place_of(x, clang_getDiagnosticLocation(d), path, &line);
			say("error\t%s\t%u\t%s", path, line, clang_getCString(text));
		}
		clang_disposeString(text);
		clang_disposeDiagnostic(d);
	}
}

static int usage(const char *wrong)
{
	fprintf(stderr,
		"outboard-facts: %s\nusage: outboard-facts --root DIR [--lock "
		"ACQUIRE:RELEASE:NAME]... FILE -- COMPILER-OPTIONS\n",
		wrong);
	return EXIT_USAGE;
}

static bool parse_lock(char *text, struct lock_api *lock)
{
	lock->acquire = strsep(&text, ":");
	lock->release = strsep(&text, ":");
	lock->name = strsep(&text, ":");
	return lock->release && lock->name && !text;
}

int main(int argc, char **argv)
{
	static struct lock_api locks[MAX_LOCKS];
	struct extract x = {.locks = locks};
	const char *file = NULL;
	char path[NAME_ROOM];
	unsigned int line;
	CXIndex index;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (!strcmp(argv[i], "--root") && i + 1 < argc) {
			x.root = argv[++i];
		} else if (!strcmp(argv[i], "--lock") && i + 1 < argc) {
			if (x.n_locks == MAX_LOCKS || !parse_lock(argv[++i], &locks[x.n_locks++]))
				return usage("--lock takes ACQUIRE:RELEASE:NAME, and there are at "
					     "most 64");
		} else if (argv[i][0] != '-' && !file) {
			file = argv[i];
		} else {
			return usage(argv[i]);
		}
	}
	if (!x.root || !file)
		return usage("--root and FILE are needed");
	x.root_length = strlen(x.root);
	index = clang_createIndex(0, 0);
	/* KeepGoing: a missing header does not end it. */
	if (clang_parseTranslationUnit2(index, file, (const char *const *)argv + i, argc - i, NULL,
					0, CXTranslationUnit_KeepGoing,
					&x.unit) != CXError_Success) {
		fprintf(stderr, "libclang cannot parse it\n");
		clang_disposeIndex(index);
		return EXIT_PARSER;
	}
	x.types = text_set_create();
	place_of(&x, clang_getLocationForOffset(x.unit, clang_getFile(x.unit, file), 0), path,
		 &line);
	say("unit\t%s", path);
	say_diagnostics(&x);
	clang_visitChildren(clang_getTranslationUnitCursor(x.unit), top_level, &x);
	say("end\t%s", path);
	files_free(&x);
	text_set_free(x.types);
	clang_disposeTranslationUnit(x.unit);
	clang_disposeIndex(index);
	return fflush(stdout) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
