/* SPDX-License-Identifier: BSD-2-Clause */
/* CAN frames as lines; see can_line.h. */
#include <ctype.h>
#include <errno.h>
#include <linux/can.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kit/can_line.h"

/* What is left of a line. */
struct rest {
	const char *p;
	size_t len;
};

static bool take(struct rest *r, char c)
{
	if (!r->len || toupper((unsigned char)*r->p) != c)
		return false;
	r->p++;
	r->len--;
	return true;
}

/* A hexadecimal digit, or -1. */
static int digit(struct rest *r)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *d = r->len ? memchr(digits, toupper((unsigned char)*r->p), 16) : NULL;

	if (!d)
		return -1;
	r->p++;
	r->len--;
	return (int)(d - digits);
}

static int read_id(struct rest *r, struct ob_kit_can_frame *f)
{
	unsigned int n = 0;
	int d;

	f->id = 0;
	while (n < 8 && (d = digit(r)) >= 0) {
		f->id = f->id << 4 | (unsigned int)d;
		n++;
	}
	if (!take(r, '#') || (n != 3 && n != 8))
		return -EINVAL;
	if (n == 3)
		return f->id > CAN_SFF_MASK ? -EINVAL : 0;
	if (f->id > CAN_EFF_MASK)
		return -EINVAL;
	f->id |= CAN_EFF_FLAG;
	return 0;
}

/* Pairs of digits, with or without dots between them. */
static int read_data(struct rest *r, struct ob_kit_can_frame *f, unsigned int max)
{
	while (r->len) {
		int high, low;

		if (f->len)
			take(r, '.');
		high = digit(r);
		low = digit(r);
		if (high < 0 || low < 0 || f->len == max)
			return -EINVAL;
		f->data[f->len++] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

/* What a frame of CAN FD can have (ISO 11898-1: 0 to 8, 12, 16, 20, 24, 32, 48, 64). */
static bool fd_length(unsigned int len)
{
	return len <= 8 || (len <= 24 && !(len % 4)) || len == 32 || len == 48 || len == 64;
}

int can_line_read(const char *line, size_t len, struct ob_kit_can_frame *f)
{
	struct rest r = {line, len};
	int flags;

	memset(f, 0, sizeof(*f));
	if (read_id(&r, f))
		return -EINVAL;
	if (take(&r, 'R')) {
		int n = r.len ? digit(&r) : 0;

		f->id |= CAN_RTR_FLAG;
		f->len = (unsigned char)n;
		return n < 0 || n > CAN_MAX_DLEN || r.len ? -EINVAL : 0;
	}
	if (!take(&r, '#'))
		return read_data(&r, f, CAN_MAX_DLEN);
	flags = digit(&r);
	if (flags < 0 || flags & ~(CANFD_BRS | CANFD_ESI))
		return -EINVAL;
	f->flags = (unsigned char)(OB_KIT_CAN_FD | (flags & CANFD_BRS ? OB_KIT_CAN_BRS : 0) |
				   (flags & CANFD_ESI ? OB_KIT_CAN_ESI : 0));
	if (read_data(&r, f, CANFD_MAX_DLEN))
		return -EINVAL;
	return fd_length(f->len) ? 0 : -EINVAL;
}

size_t can_line_write(const struct ob_kit_can_frame *f, char line[CAN_LINE_MAX])
{
	bool fd = f->flags & OB_KIT_CAN_FD;
	unsigned int max = fd ? CANFD_MAX_DLEN : CAN_MAX_DLEN, len = f->len < max ? f->len : max;
	char *p = line;

	if (f->id & (CAN_EFF_FLAG | CAN_ERR_FLAG))
		p += sprintf(p, "%08X#", f->id & (CAN_EFF_MASK | CAN_ERR_FLAG));
	else
		p += sprintf(p, "%03X#", f->id & CAN_SFF_MASK);
	if (f->id & CAN_RTR_FLAG) {
		p += len ? sprintf(p, "R%u", len) : sprintf(p, "R");
		len = 0;
	} else if (fd) {
		p += sprintf(p, "#%X",
			     (f->flags & OB_KIT_CAN_BRS ? CANFD_BRS : 0) |
				     (f->flags & OB_KIT_CAN_ESI ? CANFD_ESI : 0));
	}
	for (unsigned int i = 0; i < len; i++)
		p += sprintf(p, "%02X", f->data[i]);
	*p++ = '\n';
	*p = '\0';
	return (size_t)(p - line);
}
