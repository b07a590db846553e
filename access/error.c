/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors as text for people; see include/outboard/error.h. */
#include <stdio.h>
#include <string.h>

#include <outboard/error.h>

int ob_error_set(struct ob_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	memset(err, 0, sizeof(*err));
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	return code;
}

void ob_error_why(struct ob_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(err->why, sizeof(err->why), fmt, ap);
	va_end(ap);
}

void ob_error_fix(struct ob_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(err->fix, sizeof(err->fix), fmt, ap);
	va_end(ap);
}

char *ob_error_text(const struct ob_error *err, char *buf, unsigned long size)
{
	if (!size)
		return buf;
	snprintf(buf, size, "%s%s%s%s%s", err->what[0] ? err->what : strerror(-err->code),
		 err->why[0] ? "\n  because: " : "", err->why, err->fix[0] ? "\n  to fix:  " : "",
		 err->fix);
	return buf;
}
