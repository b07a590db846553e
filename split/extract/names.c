/* SPDX-License-Identifier: BSD-2-Clause */
/* What things are called in facts, and where they stand. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "split/extract/extract.h"

/* ---- sets of text ---------------------------------------------------------------------- */

struct text_set {
	char **slot;
	size_t room, n;
};

static size_t hash(const char *text)
{
	uint64_t h = 14695981039346656037ULL; /* FNV-1a */

	while (*text)
		h = (h ^ (unsigned char)*text++) * 1099511628211ULL;
	return h;
}

struct text_set *text_set_create(void)
{
	return calloc(1, sizeof(struct text_set));
}

void text_set_free(struct text_set *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->room; i++)
		free(s->slot[i]);
	free(s->slot);
	free(s);
}

static bool grow(struct text_set *s)
{
	size_t room = s->room ? 2 * s->room : 64;
	char **slot = calloc(room, sizeof(*slot));

	if (!slot)
		return false;
	for (size_t i = 0; i < s->room; i++) {
		size_t at;

		if (!s->slot[i])
			continue;
		for (at = hash(s->slot[i]) % room; slot[at]; at = (at + 1) % room)
			;
		slot[at] = s->slot[i];
	}
	free(s->slot);
	s->slot = slot;
	s->room = room;
	return true;
}

bool text_set_add(struct text_set *s, const char *text)
{
	size_t at;

	if (!s || (2 * (s->n + 1) > s->room && !grow(s)))
		return true; /* said twice rather than not at all */
	for (at = hash(text) % s->room; s->slot[at]; at = (at + 1) % s->room)
		if (!strcmp(s->slot[at], text))
			return false;
	s->slot[at] = strdup(text);
	s->n += s->slot[at] != NULL;
	return true;
}

/* ---- lines ------------------------------------------------------------------------------ */

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- files ------------------------------------------------------------------------------ */

/* A file that was met: its name as facts have it, its text, whether it is the driver's. */
struct file_text {
	CXFile file;
	char path[NAME_ROOM];
	const char *text;
	size_t size;
	bool ours;
	struct file_text *next;
};

void files_free(struct extract *x)
{
	while (x->files) {
		struct file_text *f = x->files;

		x->files = f->next;
		free(f);
	}
}

static struct file_text *file_of(struct extract *x, CXFile file)
{
	struct file_text *f;
	CXString name;
	char *real;

	if (!file)
		return NULL;
	for (f = x->files; f; f = f->next)
		if (f->file == file)
			return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->file = file;
	f->text = clang_getFileContents(x->unit, file, &f->size);
	name = clang_getFileName(file);
	real = realpath(clang_getCString(name), NULL);
	if (real && !strncmp(real, x->root, x->root_length) && real[x->root_length] == '/') {
		f->ours = true;
		snprintf(f->path, sizeof(f->path), "%s", real + x->root_length + 1);
	} else {
		snprintf(f->path, sizeof(f->path), "%s", real ? real : clang_getCString(name));
	}
	free(real);
	clang_disposeString(name);
	f->next = x->files;
	x->files = f;
	return f;
}

bool place_of(struct extract *x, CXSourceLocation where, char path[NAME_ROOM], unsigned int *line)
{
	struct file_text *f;
	CXFile file;

	/* What a macro's use expands to stands where it is used; its arguments stand where they are written. */
	clang_getFileLocation(where, &file, line, NULL, NULL);
	f = file_of(x, file);
	snprintf(path, NAME_ROOM, "%s", f ? f->path : "-");
	return f && f->ours;
}

unsigned int line_of(CXCursor c)
{
	unsigned int line = 0;

	clang_getFileLocation(clang_getCursorLocation(c), NULL, &line, NULL, NULL);
	return line;
}

static const char *text_at(struct extract *x, CXSourceLocation where, size_t *left)
{
	struct file_text *f;
	unsigned int at = 0;
	CXFile file;

	clang_getFileLocation(where, &file, NULL, NULL, &at);
	f = file_of(x, file);
	if (!f || !f->text || at >= f->size)
		return NULL;
	*left = f->size - at;
	return f->text + at;
}

void spelled_at(struct extract *x, CXCursor c, char *word, size_t size)
{
	size_t left = 0, n = 0;
	const char *text = text_at(x, clang_getCursorLocation(c), &left);

	while (text && n < left && n + 1 < size &&
	       (isalnum((unsigned char)text[n]) || text[n] == '_')) {
		word[n] = text[n];
		n++;
	}
	word[n] = '\0';
}

char char_at(struct extract *x, CXCursor c)
{
	size_t left = 0;
	const char *text = text_at(x, clang_getCursorLocation(c), &left);

	return text ? *text : '\0';
}

bool is_written(struct extract *x, CXFile file, unsigned int open, unsigned int end)
{
	struct file_text *f = file_of(x, file);

	return f && f->ours && f->text && end <= f->size && f->text[open] == '{' &&
	       f->text[end - 1] == '}';
}

bool ends_statement(struct extract *x, CXCursor c, unsigned int *end)
{
	struct file_text *f;
	unsigned int at = *end;
	CXFile file;

	clang_getFileLocation(clang_getCursorLocation(c), &file, NULL, NULL, NULL);
	f = file_of(x, file);
	while (f && f->text && at < f->size && isspace((unsigned char)f->text[at]))
		at++;
	*end = at + 1;
	return f && f->ours && f->text && at < f->size && f->text[at] == ';';
}

bool has_whole_directives(struct extract *x, CXCursor c, unsigned int begin, unsigned int end)
{
	struct file_text *f;
	CXFile file;
	int depth = 0;

	clang_getFileLocation(clang_getCursorLocation(c), &file, NULL, NULL, NULL);
	f = file_of(x, file);
	if (!f || !f->text || end > f->size)
		return false;
	for (unsigned int at = begin; at < end; at++) {
		unsigned int word = at + 1;

		if (f->text[at] != '\n')
			continue;
		while (word < end &&
		       (isblank((unsigned char)f->text[word]) || f->text[word] == '#'))
			word++;
		if (word == at + 1 || !memchr(f->text + at, '#', word - at))
			continue;
		if (!strncmp(f->text + word, "if", 2))
			depth++;
		else if (!strncmp(f->text + word, "endif", 5))
			depth--;
		else if (!depth && !strncmp(f->text + word, "el", 2))
			return false;
		if (depth < 0)
			return false;
	}
	return !depth;
}

/* ---- names ------------------------------------------------------------------------------- */

/* A name that only its file knows carries the file, so that two of a driver's files may have the same. */
static void name_with_file(struct extract *x, CXCursor c, char id[NAME_ROOM])
{
	CXString name = clang_getCursorSpelling(c);
	char path[NAME_ROOM];
	unsigned int line;
	int n;

	n = snprintf(id, NAME_ROOM, "%s", clang_getCString(name));
	clang_disposeString(name);
	if (clang_getCursorLinkage(c) == CXLinkage_External || n >= NAME_ROOM)
		return;
	if (place_of(x, clang_getCursorLocation(c), path, &line))
		snprintf(id + n, NAME_ROOM - n, "@%s", path);
}

void function_id(struct extract *x, CXCursor function, char id[NAME_ROOM])
{
	CXCursor definition = clang_getCursorDefinition(function);

	name_with_file(x, clang_Cursor_isNull(definition) ? function : definition, id);
}

void variable_id(struct extract *x, CXCursor variable, char id[NAME_ROOM])
{
	name_with_file(x, variable, id);
}

static void record_name(CXCursor record, char *name, size_t size)
{
	CXType type = clang_getCursorType(record);
	CXString text;
	const char *s;

	if (!clang_Cursor_isAnonymous(record)) {
		text = clang_getCursorSpelling(record);
		s = clang_getCString(text);
		/* Since libclang 16, a record without a tag is spelled "struct (unnamed at FILE:1:2)". */
		if (*s && !strchr(s, '(')) {
			snprintf(name, size, "%s", s);
			clang_disposeString(text);
			return;
		}
		clang_disposeString(text);
	}
	/* typedef struct { ... } NAME; */
	text = clang_getTypeSpelling(type);
	s = clang_getCString(text);
	if (!strchr(s, '(')) {
		if (!strncmp(s, "struct ", 7))
			s += 7;
		else if (!strncmp(s, "union ", 6))
			s += 6;
		snprintf(name, size, "%s", s);
	} else {
		*name = '\0';
	}
	clang_disposeString(text);
}

bool field_key(CXCursor field, char key[NAME_ROOM])
{
	CXCursor record = clang_getCursorSemanticParent(field);
	CXString name = clang_getCursorSpelling(field);
	char owner[256] = "";

	if (!*clang_getCString(name) || strchr(clang_getCString(name), '(')) {
		clang_disposeString(name);
		return false;
	}
	while (clang_getCursorKind(record) == CXCursor_StructDecl ||
	       clang_getCursorKind(record) == CXCursor_UnionDecl) {
		record_name(record, owner, sizeof(owner));
		if (*owner)
			break;
		record = clang_getCursorSemanticParent(record);
	}
	snprintf(key, NAME_ROOM, "%s.%s", *owner ? owner : "?", clang_getCString(name));
	clang_disposeString(name);
	return true;
}

void type_text(CXType type, char *text, size_t size)
{
	CXString s = clang_getTypeSpelling(type);

	snprintf(text, size, "%s", clang_getCString(s));
	clang_disposeString(s);
	for (char *p = text; *p; p++)
		if (*p == '\t' || *p == '\n')
			*p = ' ';
}

bool is_function_pointer(CXType type)
{
	CXType c = clang_getCanonicalType(type);

	if (c.kind == CXType_Pointer)
		c = clang_getCanonicalType(clang_getPointeeType(c));
	return c.kind == CXType_FunctionProto || c.kind == CXType_FunctionNoProto;
}
