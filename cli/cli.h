/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the program `outboard` share: its options, how it speaks to people and to
 * programs, and its exit codes. Documented in outboard(1).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include <outboard/error.h>

/* Stable, for scripts; the table in outboard(1) is their definition. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_GONE = 3,	  /* the device, or the QEMU behind it, died while in use */
	CLI_BUSY = 4,	  /* somebody else holds it */
	CLI_MISSING = 5,  /* not permitted, or something that is needed is not there */
	CLI_NOEXEC = 126, /* as a shell: COMMAND cannot be run */
	CLI_NOCMD = 127,  /* as a shell: COMMAND is not there */
	CLI_SIGNAL = 128, /* plus the number of the signal that ended COMMAND */
};

/* ---- subcommands ------------------------------------------------------------------- */

struct cli_command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};
const struct cli_command *cli_commands(void);

int cmd_run(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_unbind(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_selftest(int argc, char **argv);
int cmd_ethtool(int argc, char **argv);
int cmd_net(int argc, char **argv);
int cmd_char(int argc, char **argv);
int cmd_split(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);
int cmd_linux(int argc, char **argv);
int cmd_factor(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_specs(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* ---- options: args.c --------------------------------------------------------------- */

/**
 * struct cli_option - one option of a subcommand, for the parser and for --help alike
 * @id: what cli_next() returns for it; a printable id is its letter, too
 * @arg: name of its value; NULL for none; "[=N]" when the value may be left out
 */
struct cli_option {
	int id;
	const char *name;
	const char *arg;
	const char *help;
};

enum {
	CLI_END = -1,  /* nothing is left */
	CLI_WORD = -2, /* a word that is no option, in value */
	CLI_STOP = -3, /* return exit_code: --help was answered, or what was wrong was said */
	CLI_LONG = 256 /* first id without a letter */
};

/**
 * struct cli_usage - what --help says
 * @command: "run"
 * @synopsis: what follows the command's name
 * @about: paragraphs
 * @options: ended by an entry without a name; --json and --help are understood everywhere
 * @rest: "--" ends the options and what follows it is a command, not words
 */
struct cli_usage {
	const char *command;
	const char *synopsis;
	const char *about;
	const struct cli_option *options;
	bool rest;
};

struct cli_args {
	const struct cli_usage *usage;
	int argc;
	char **argv;
	int at;
	const char *value;
	char **rest; /* what follows "--", or NULL */
	int exit_code;
	const char *letters; /* what is left of "-abc" */
	bool words_only;
};

/**
 * cli_set() - an option by its long name, from a file
 * @value: of a switch: yes or no
 *
 * Return: as cli_next(); CLI_END for a switch that is off.
 */
int cli_set(struct cli_args *args, const char *name, const char *value);
/** cli_set_place() - what cli_error() says begins with this, "FILE:LINE"; NULL: with nothing */
void cli_set_place(const char *place);

void cli_args_init(struct cli_args *args, const struct cli_usage *usage, int argc, char **argv);
int cli_next(struct cli_args *args);
/** cli_number() - the value of an option as a number; false: said what is wrong with it */
bool cli_number(struct cli_args *args, const char *option, long min, long max, long *val);
/** cli_only_word() - a word that may be given once: @word, which is a @what; false: said that there was one before */
bool cli_only_word(struct cli_args *args, const char **word, const char *what);
/** cli_bad() - say what is wrong with what was typed; returns CLI_USAGE */
int cli_bad(const struct cli_usage *usage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** cli_nearest() - the name that was probably meant, or NULL. names[i] is at @names + i * @stride */
const char *cli_nearest(const char *typed, const void *names, size_t n, size_t stride);

/* ---- speaking: report.c ------------------------------------------------------------- */

/* --json was given: results and errors are one JSON document on stdout. */
bool cli_json(void);
void cli_set_json(bool on);
/** cli_print_json() - print the document and free it */
void cli_print_json(struct json_object *doc);

/** cli_exit_code() - for a negative errno value */
int cli_exit_code(int code);
/** cli_error() - say what failed, on stderr and with --json on stdout; returns the exit code */
int cli_error(const char *command, const struct ob_error *err);
/** cli_error_json() - {"code":…,"errno":…,"exit":…,"what":…,"why":…,"fix":…} */
struct json_object *cli_error_json(const struct ob_error *err, int exit_code);
/** cli_error_line() - for people only, no JSON */
void cli_error_line(const char *command, const struct ob_error *err);

/** cli_progress() - a line that the next output replaces; only on a terminal */
void cli_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cli_progress_end(void);

bool cli_terminal(FILE *f);
/* Escape sequences, or "" when @f is no terminal or NO_COLOR is set (https://no-color.org). */
const char *cli_bold(FILE *f);
const char *cli_dim(FILE *f);
const char *cli_red(FILE *f);
const char *cli_plain(FILE *f);

char *cli_size(char buf[16], uint64_t bytes); /* "512 MiB" */
char *cli_count(char buf[16], uint64_t n);    /* "12,345", "12.3 M" */
char *cli_seconds(char buf[16], double s);    /* "12.3 s", "2 h 05 m" */
/** cli_clean() - replace what would steer a terminal; devices and other processes wrote it */
char *cli_clean(char *text);

/* json-c, without the noise */
void cli_put_str(struct json_object *o, const char *key, const char *val);
void cli_put_u64(struct json_object *o, const char *key, uint64_t val);
void cli_put_bool(struct json_object *o, const char *key, bool val);
void cli_put_double(struct json_object *o, const char *key, double val);
struct json_object *cli_put_object(struct json_object *o, const char *key);
struct json_object *cli_put_array(struct json_object *o, const char *key);
const char *cli_get_str(struct json_object *o, const char *key); /* "" when missing */
uint64_t cli_get_u64(struct json_object *o, const char *key);
double cli_get_double(struct json_object *o, const char *key);
bool cli_get_bool(struct json_object *o, const char *key);
struct json_object *cli_get(struct json_object *o, const char *key);
size_t cli_array_length(struct json_object *o);

/* ---- tables: table.c ---------------------------------------------------------------- */

struct cli_table;

/** cli_table_create() - columns by their heads; '>' in front: right-aligned. No line of heads
 * when the first is empty */
struct cli_table *cli_table_create(const char *const *heads, unsigned int n);
/** cli_cell() - the next cell, from left to right, row by row */
void cli_cell(struct cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** cli_table_print() - print and free. Empty columns are left out */
void cli_table_print(struct cli_table *t, FILE *f);

#endif
