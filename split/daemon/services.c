// SPDX-License-Identifier: BSD-2-Clause
/*
 * Functions of the kernel that a daemon has itself, with the kernel's names and semantics; what libc has (memcpy, snprintf, ...) is not here.
 * Objects are opaque: whatever of them matters was sent.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"
#include "runtime.h"

/* ---- strings ------------------------------------------------------------------------------- */

/* lib/string.c: never more than @size, always ended; -E2BIG where it did not fit. */
ssize_t sized_strscpy(char *to, const char *from, size_t size);
ssize_t sized_strscpy(char *to, const char *from, size_t size)
{
	size_t n;

	if (!size)
		return -E2BIG;
	n = strnlen(from, size);
	if (n == size) {
		memcpy(to, from, size - 1);
		to[size - 1] = '\0';
		return -E2BIG;
	}
	memcpy(to, from, n + 1);
	return n;
}

ssize_t strscpy(char *to, const char *from, size_t size);
ssize_t strscpy(char *to, const char *from, size_t size)
{
	return sized_strscpy(to, from, size);
}

size_t strlcpy(char *to, const char *from, size_t size);
size_t strlcpy(char *to, const char *from, size_t size)
{
	sized_strscpy(to, from, size);
	return strlen(from);
}

int scnprintf(char *to, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int scnprintf(char *to, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(to, size, fmt, args);
	va_end(args);
	return size && n >= (int)size ? (int)size - 1 : n;
}

void fortify_panic(const char *name) __attribute__((noreturn));
void fortify_panic(const char *name)
{
	fprintf(stderr, "%s would write behind its object\n", name);
	abort();
}

void __fortify_panic(uint8_t reason, size_t available, size_t size) __attribute__((noreturn));
void __fortify_panic(uint8_t reason, size_t available, size_t size)
{
	fprintf(stderr, "%zu bytes would be written into %zu\n", size, available);
	abort();
}

/* ---- messages --------------------------------------------------------------------------------- */

static void log_as(unsigned int level, const char *fmt, va_list args)
{
	char text[OB_SPLIT_MAX_TEXT];

	vsnprintf(text, sizeof(text), fmt, args);
	runtime_log(level, text);
}

/* KERN_INFO and its like: a 1 and a digit before the text. */
static unsigned int level_of(const char **fmt)
{
	unsigned int level = 4;

	while ((*fmt)[0] == '\001' && (*fmt)[1]) {
		if ((*fmt)[1] >= '0' && (*fmt)[1] <= '7')
			level = (*fmt)[1] - '0';
		*fmt += 2;
	}
	return level;
}

int _printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int _printk(const char *fmt, ...)
{
	unsigned int level = level_of(&fmt);
	va_list args;

	va_start(args, fmt);
	log_as(level, fmt, args);
	va_end(args);
	return 0;
}

/* WARN(): the kernel would tell where, and go on. */
void __warn_printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void __warn_printk(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_as(4, fmt, args);
	va_end(args);
}

void netdev_printk(const char *level, const void *dev, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void netdev_printk(const char *level, const void *dev, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_as(level_of(&level) | OB_SPLIT_OF_NETDEV, fmt, args);
	va_end(args);
}

#define NETDEV_MESSAGE(name, level)                                                                \
	void name(const void *dev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));    \
	void name(const void *dev, const char *fmt, ...)                                           \
	{                                                                                          \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, fmt);                                                               \
		log_as((level) | OB_SPLIT_OF_NETDEV, fmt, args);                                   \
		va_end(args);                                                                      \
	}

NETDEV_MESSAGE(netdev_emerg, 0)
NETDEV_MESSAGE(netdev_alert, 1)
NETDEV_MESSAGE(netdev_crit, 2)
NETDEV_MESSAGE(netdev_err, 3)
NETDEV_MESSAGE(netdev_warn, 4)
NETDEV_MESSAGE(netdev_notice, 5)
NETDEV_MESSAGE(netdev_info, 6)

/* Switched on in debugfs, place by place, which is about the places in the kernel. */
void __dynamic_netdev_dbg(void *descriptor, const void *dev, const char *fmt, ...);
void __dynamic_netdev_dbg(void *descriptor, const void *dev, const char *fmt, ...)
{
}

void __dynamic_pr_debug(void *descriptor, const char *fmt, ...);
void __dynamic_pr_debug(void *descriptor, const char *fmt, ...)
{
}

/* ---- ethtool ------------------------------------------------------------------------------------ */

/* net/ethtool/common.c: the first 32 link modes are the bits of old; the destination is an array of longs. */
void ethtool_convert_legacy_u32_to_link_mode(unsigned long *to, uint32_t legacy);
void ethtool_convert_legacy_u32_to_link_mode(unsigned long *to, uint32_t legacy)
{
	to[0] = legacy;
	to[1] = 0;
}
