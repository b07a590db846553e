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

/*
 * Of what is shorter than a cache line a string instruction costs more to begin than the copy itself (3.7.6.2): headers and small frames. By
 * words from both ends, which meet or overlap; all are read before any is written, since __memmove() may have them overlap.
 */
static __always_inline bool copy_short(void *to, const void *from, size_t n)
{
	const u64 *s = from, *s_end = from + n;
	u64 *d = to, *d_end = to + n;
	u64 a, b, c, e, f, g, h, i;

	if (n < 8 || n > 64)
		return false;
	a = s[0];
	b = s_end[-1];
	if (n > 16) {
		c = s[1];
		e = s_end[-2];
		if (n > 32) {
			f = s[2];
			g = s[3];
			h = s_end[-3];
			i = s_end[-4];
			d[2] = f;
			d[3] = g;
			d_end[-3] = h;
			d_end[-4] = i;
		}
		d[1] = c;
		d_end[-2] = e;
	}
	d[0] = a;
	d_end[-1] = b;
	return true;
}

void *__memcpy(void *to, const void *from, size_t n)
{
	void *ret = to;

	if (copy_short(to, from, n))
		return ret;
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
