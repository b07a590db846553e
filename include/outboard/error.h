/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors: functions return a negative errno value; what a person needs to know
 * (what happened, why, what to type) goes into a struct ob_error.
 */
#ifndef OUTBOARD_ERROR_H
#define OUTBOARD_ERROR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct ob_error - one failure, told to a person
 * @code: negative errno value, 0 while nothing has failed
 * @what: what happened and to which device, one sentence without a full stop
 * @why: the cause, who holds the device, or the backend's own words; may be empty
 * @fix: a command to type or a line to change; may be empty
 *
 * Owned by the caller, who may reuse it. Every function that takes one accepts NULL.
 */
struct ob_error {
	int code;
	char what[320];
	char why[512];
	char fix[320];
};

/**
 * ob_error_set() - record a failure, forgetting any earlier one
 * @err: where to, or NULL
 * @code: negative errno value
 * @fmt: what happened
 *
 * Return: @code, so that a caller can `return ob_error_set(...)`.
 */
int ob_error_set(struct ob_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** ob_error_why() - add the cause to a failure recorded by ob_error_set() */
void ob_error_why(struct ob_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** ob_error_fix() - add the command or line that fixes it */
void ob_error_fix(struct ob_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * ob_error_text() - the whole failure as text of up to three lines
 * @err: a recorded failure
 * @buf: where to
 * @size: bytes in @buf
 *
 * Return: @buf.
 */
char *ob_error_text(const struct ob_error *err, char *buf, unsigned long size);

enum ob_log_level {
	OB_LOG_ERROR,
	OB_LOG_WARN,
	OB_LOG_INFO,
	OB_LOG_DEBUG,
};

/**
 * ob_log_fn - takes one log line, without a newline at its end
 *
 * May be called from any thread that uses the device, also from the library's own
 * interrupt threads; never from a hot path.
 */
typedef void (*ob_log_fn)(void *arg, enum ob_log_level level, const char *line);

#ifdef __cplusplus
}
#endif
#endif
