/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files share that write a split driver's source: emit.c the texts, emit_tables.c the tables, emit_build.c what builds them. */
#ifndef SPLIT_EMIT_H
#define SPLIT_EMIT_H

#include "split/split.h"

FILE *emit_open(struct ob_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int emit_close(FILE *f, struct ob_error *err);
/** emit_folder() - make it, and those above */
int emit_folder(struct ob_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void emit_type_of(FILE *f, const struct object *o, const struct entry_plan *e);
/** emit_halves() - all of the driver's files, as they are in the kernel or in the daemon, below @dir/src */
int emit_halves(const struct split *s, const char *dir, bool daemon, struct ob_error *err);
/** emit_tables() - one file's FILE.tables.h; @text is the file's */
int emit_tables(const struct split *s, const char *dir, const char *path, const char *text,
		bool daemon, struct ob_error *err);

/** emit_kept_table() - what an entry may ask for; in the kernel with the calls */
void emit_kept_table(FILE *f, const struct entry_plan *e, const char *text, bool daemon);
/** emit_kept_macros() - in the daemon, before a file's functions: what of the kernel's is asked for */
void emit_kept_macros(FILE *f, const struct split *s);
/** emit_kept_body() - in the daemon: of one that asks the kernel; false: it is none */
bool emit_kept_body(FILE *f, const struct split *s, const struct function *fn);

/** emit_region() - the kernel's function of a locked region; @text is the driver's file */
void emit_region(FILE *f, const struct entry_plan *e, const struct kept_call *k, const char *text);
/** emit_region_call() - in the daemon, in its place */
void emit_region_call(FILE *f, const struct kept_call *k);

#endif
