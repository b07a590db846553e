// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies by string instructions (Intel optimisation manual, 3.7.6, "enhanced REP MOVSB and STOSB"). The plain names are weak: KASAN has some of
 * its own, which check and then call these.
 */
#include <linux/export.h>
#include <linux/string.h>

#undef memcpy
#undef memmove
#undef memset

void *__memcpy(void *to, const void *from, size_t n);
void *__memmove(void *to, const void *from, size_t n);
void *__memset(void *to, int c, size_t n);

void *__memcpy(void *to, const void *from, size_t n)
{
	void *ret = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
	return ret;
}
void *memcpy(void *to, const void *from, size_t n) __weak __alias(__memcpy);
EXPORT_SYMBOL(memcpy);

void *__memmove(void *to, const void *from, size_t n)
{
	char *d = to;
	const char *s = from;

	/* Only a target that begins inside of the source must be copied from the end. */
	if ((unsigned long)to - (unsigned long)from >= n)
		return __memcpy(to, from, n);
	while (n >= 8) {
		n -= 8;
		*(u64 *)(d + n) = *(const u64 *)(s + n);
	}
	while (n--)
		d[n] = s[n];
	return to;
}
void *memmove(void *to, const void *from, size_t n) __weak __alias(__memmove);
EXPORT_SYMBOL(memmove);

void *__memset(void *to, int c, size_t n)
{
	void *ret = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return ret;
}
void *memset(void *to, int c, size_t n) __weak __alias(__memset);
EXPORT_SYMBOL(memset);
