/* SPDX-License-Identifier: BSD-2-Clause */
/* Records as lines for people, and the names of memory: by what the driver called what it gave the device. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "access/record/recording.h"

/* Bytes of a piece of memory that are shown. */
#define SHOWN 16u
/* Pieces of a record that are shown. */
#define PIECES 4u

void record_places_see(struct record_places *p, const struct record *r)
{
	if (r->kind == RECORD_UNMAP) {
		for (unsigned int i = 0; i < p->n; i++)
			if (p->place[i].off >= r->off && p->place[i].off - r->off < r->val)
				p->place[i--] = p->place[--p->n];
		return;
	}
	if (r->kind != RECORD_MAP)
		return;
	if (p->n == p->size) {
		unsigned int size = p->size ? p->size * 2 : 32;
		void *more = realloc(p->place, size * sizeof(*p->place));

		if (!more)
			return; /* then its address is its name */
		p->place = more;
		p->size = size;
	}
	p->place[p->n].off = r->off;
	p->place[p->n].len = r->val;
	memset(p->place[p->n].label, 0, RECORD_LABEL);
	for (size_t i = 0; i < r->len && i < RECORD_LABEL - 1; i++)
		p->place[p->n].label[i] =
			(char)(r->data[i] < ' ' || r->data[i] > '~' ? '?' : r->data[i]);
	p->n++;
}

void record_places_free(struct record_places *p)
{
	free(p->place);
	memset(p, 0, sizeof(*p));
}

char *record_place(const struct record_places *p, uint64_t iova, char *buf, size_t size)
{
	for (unsigned int i = 0; p && i < p->n; i++) {
		if (iova < p->place[i].off || iova - p->place[i].off >= p->place[i].len)
			continue;
		snprintf(buf, size, "%s+0x%" PRIx64, p->place[i].label, iova - p->place[i].off);
		return buf;
	}
	snprintf(buf, size, "iova 0x%" PRIx64, iova);
	return buf;
}

static void __attribute__((format(printf, 3, 4))) say(char *buf, size_t size, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
}

static void say_pieces(const struct record *r, const struct recording_info *info,
		       const struct record_places *places, char *buf, size_t size)
{
	const uint8_t *p = r->data, *end = r->data + r->len;
	bool whole = r->kind == RECORD_MEMORY;
	uint64_t last = 0, total = 0;
	struct record_piece piece;
	unsigned int n = 0;
	char place[80];

	while (record_next_piece(&p, end, &last, whole, info->arena, &piece) > 0) {
		total += piece.len;
		if (n++ >= PIECES)
			continue;
		say(buf, size, "%s %s:", n > 1 ? "," : "",
		    record_place(places, info->iova + piece.off, place, sizeof(place)));
		for (uint64_t i = 0; i < piece.held && i < SHOWN; i++)
			say(buf, size, " %02x", piece.data[i]);
		if (piece.len > SHOWN)
			say(buf, size, "... (%" PRIu64 ")", piece.len);
	}
	if (n > PIECES)
		say(buf, size, ", ... (%u pieces)", n);
	say(buf, size, "%s%" PRIu64 " bytes", n ? "; " : " ", total);
}

static void say_register(const struct record *r, char *buf, size_t size)
{
	if (r->bar == RECORD_BAR_PORTS)
		say(buf, size, " port 0x%" PRIx64, r->off);
	else
		say(buf, size, " bar%u+0x%" PRIx64, r->bar, r->off);
}

char *record_text(const struct record *r, const struct recording_info *info,
		  const struct record_places *places, char *buf, size_t size)
{
	static const char *const whens[] = {"with the read", "with the interrupt", "at a look",
					    "at rest"};
	enum ob_irq_kind irq;
	char place[80];

	buf[0] = '\0';
	say(buf, size, "%s", record_kind_name(r->kind));
	switch (r->kind) {
	case RECORD_INFO:
		say(buf, size, " %s (%s), %04x:%04x class %06x, arena 0x%" PRIx64 " + 0x%" PRIx64,
		    info->name, info->spec, info->vendor, info->device, info->class_code,
		    info->iova, info->arena);
		break;
	case RECORD_CONFIG_READ:
	case RECORD_CONFIG_WRITE:
		say(buf, size, " 0x%" PRIx64, r->off);
		break;
	case RECORD_READ:
	case RECORD_WRITE:
		say_register(r, buf, size);
		break;
	case RECORD_MEMORY:
		say(buf, size, " %s,", whens[r->flags & (RECORD_WHENS - 1)]);
		/* fall through */
	case RECORD_SENT:
		say_pieces(r, info, places, buf, size);
		return buf;
	case RECORD_IRQ_ENABLE:
		irq = (enum ob_irq_kind)r->off;
		say(buf, size, ": %" PRIu64 " %s", r->count, ob_irq_kind_name(irq));
		break;
	case RECORD_IRQ_MASK:
		buf[0] = '\0';
		say(buf, size, "%s vector %" PRIu64, r->val ? "mask" : "unmask", r->off);
		return buf;
	case RECORD_IRQ:
		say(buf, size, " on vector %" PRIu64, r->off);
		break;
	case RECORD_PORTS:
		say(buf, size, " 0x%" PRIx64 " + %" PRIu64, r->off, r->count);
		break;
	case RECORD_MAP:
	case RECORD_UNMAP:
		say(buf, size, " 0x%" PRIx64 " + 0x%" PRIx64, r->off, r->val);
		if (r->kind == RECORD_MAP)
			say(buf, size, " (%s%s) %.*s", r->flags & OB_DMA_READ ? "r" : "",
			    r->flags & OB_DMA_WRITE ? "w" : "", (int)r->len, (const char *)r->data);
		return buf;
	case RECORD_FAULT:
		say(buf, size, " %s", record_place(places, r->off, place, sizeof(place)));
		return buf;
	default:
		break;
	}
	if (r->size)
		say(buf, size, " = 0x%" PRIx64 " (%u byte%s)", r->val, r->size,
		    r->size > 1 ? "s" : "");
	if ((r->kind == RECORD_READ || r->kind == RECORD_CONFIG_READ) && r->count > 1)
		say(buf, size, ", %" PRIu64 " times", r->count);
	if (r->ret)
		say(buf, size, ": %s", strerror(-r->ret));
	return buf;
}
