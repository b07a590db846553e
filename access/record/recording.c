/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recordings as bytes: the format of docs/record-replay.md written, read and checked. The reader trusts nothing: a file may be cut
 * off, damaged or made up.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/record/recording.h"

#define MAGIC	"OBRECORD"
#define VERSION 1u

enum {
	HEAD = 12,	 /* magic, version */
	CHUNK_HEAD = 8,	 /* length, checksum */
	SENT_WHOLE = 64, /* a longer piece of a SENT is */
	SENT_HELD = 16,	 /* so many bytes and a hash */
	NUMBER_MAX = 10, /* bytes of a number of 64 bits, 7 in each */
};

/* Recordings are for people's hands; one that is larger than this is a mistake or an attack. */
#define FILE_MAX (1ull << 30)

/* More than a device is ever given. */
#define ARENA_MAX (1ull << 36)

/* Which fields of struct record follow a kind, in this order. */
enum {
	F_BAR = 1 << 0,
	F_OFF = 1 << 1,
	F_SIZE = 1 << 2,
	F_VAL = 1 << 3,
	F_COUNT = 1 << 4,
	F_RET = 1 << 5,
	F_FLAGS = 1 << 6,
	F_DATA = 1 << 7,
};

static const struct {
	const char *name;
	unsigned int fields;
} kinds[RECORD_KINDS] = {
	[RECORD_INFO] = {"device", F_DATA},
	[RECORD_CONFIG_READ] = {"config read", F_OFF | F_SIZE | F_VAL | F_COUNT},
	[RECORD_CONFIG_WRITE] = {"config write", F_OFF | F_SIZE | F_VAL},
	[RECORD_READ] = {"read", F_BAR | F_OFF | F_SIZE | F_VAL | F_COUNT},
	[RECORD_WRITE] = {"write", F_BAR | F_OFF | F_SIZE | F_VAL},
	[RECORD_SENT] = {"sent", F_DATA},
	[RECORD_MEMORY] = {"memory", F_FLAGS | F_DATA},
	[RECORD_IRQ_ENABLE] = {"interrupts on", F_OFF | F_COUNT | F_RET},
	[RECORD_IRQ_DISABLE] = {"interrupts off", 0},
	[RECORD_IRQ_MASK] = {"mask", F_OFF | F_VAL},
	[RECORD_IRQ] = {"interrupt", F_OFF | F_COUNT},
	[RECORD_PORTS] = {"ports", F_OFF | F_COUNT | F_RET},
	[RECORD_MAP] = {"map", F_OFF | F_VAL | F_FLAGS | F_DATA},
	[RECORD_UNMAP] = {"unmap", F_OFF | F_VAL},
	[RECORD_RESET] = {"reset", F_RET},
	[RECORD_FAULT] = {"fault", F_OFF | F_VAL | F_COUNT | F_FLAGS | F_DATA},
	[RECORD_GONE] = {"gone", 0},
	[RECORD_END] = {"end", F_VAL},
};

const char *record_kind_name(enum record_kind kind)
{
	return kind < RECORD_KINDS && kinds[kind].name ? kinds[kind].name : "?";
}

struct record record_of_access(enum record_kind kind, const struct ob_bar *bar, uint64_t off,
			       unsigned int size)
{
	bool ports = bar->index < 0;

	return (struct record){
		.kind = kind,
		.bar = ports ? RECORD_BAR_PORTS : (unsigned int)bar->index,
		.off = ports ? bar->base + off : off,
		.size = size,
		.count = 1,
	};
}

/* ---- bytes ----------------------------------------------------------------------------------------- */

void record_bytes_add(struct record_bytes *b, const void *p, size_t len)
{
	if (b->failed || !len)
		return;
	if (len > b->size - b->len) {
		size_t size = b->size ? b->size : 256;
		uint8_t *more;

		while (size - b->len < len)
			size *= 2;
		more = realloc(b->p, size);
		if (!more) {
			b->failed = true;
			return;
		}
		b->p = more;
		b->size = size;
	}
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

/* Seven bits a byte, the lowest first, the last byte without the eighth bit (LEB128). */
void record_bytes_number(struct record_bytes *b, uint64_t n)
{
	uint8_t out[NUMBER_MAX];
	unsigned int len = 0;

	do {
		out[len++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
		n >>= 7;
	} while (n);
	record_bytes_add(b, out, len);
}

void record_bytes_free(struct record_bytes *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

bool record_take_number(const uint8_t **p, const uint8_t *end, uint64_t *n)
{
	uint64_t val = 0;

	for (unsigned int i = 0; i < NUMBER_MAX && *p < end; i++) {
		uint8_t byte = *(*p)++;

		if (i == NUMBER_MAX - 1 && byte > 1)
			return false; /* more than 64 bits */
		val |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*n = val;
			return true;
		}
	}
	return false;
}

static bool take_bytes(const uint8_t **p, const uint8_t *end, const uint8_t **data, size_t *len)
{
	uint64_t n;

	if (!record_take_number(p, end, &n) || n > (uint64_t)(end - *p))
		return false;
	*data = *p;
	*len = (size_t)n;
	*p += n;
	return true;
}

static void put_le32(uint8_t *p, uint32_t val)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(val >> (8 * i));
}

static uint32_t get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Reflected, by half bytes. */
uint32_t recording_checksum(const uint8_t *p, size_t len)
{
	static const uint32_t half[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ half[crc & 15];
		crc = crc >> 4 ^ half[crc & 15];
	}
	return ~crc;
}

/* FNV-1a of 64 bits (draft-eastlake-fnv): not secret, only unlikely to meet. */
static uint64_t hash(const uint8_t *p, uint64_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (uint64_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

/* ---- pieces of memory ------------------------------------------------------------------------------ */

void record_add_piece(struct record_bytes *b, uint64_t *last, uint64_t off, const void *data,
		      uint64_t len, bool whole)
{
	record_bytes_number(b, off - *last);
	record_bytes_number(b, len);
	*last = off + len;
	if (whole || len <= SENT_WHOLE) {
		record_bytes_add(b, data, len);
		return;
	}
	record_bytes_add(b, data, SENT_HELD);
	record_bytes_number(b, hash(data, len));
}

int record_next_piece(const uint8_t **p, const uint8_t *end, uint64_t *last, bool whole,
		      uint64_t arena, struct record_piece *piece)
{
	uint64_t gap, len;

	if (*p == end)
		return 0;
	if (!record_take_number(p, end, &gap) || !record_take_number(p, end, &len) || !len ||
	    gap > arena - *last || len > arena - *last - gap)
		return -EBADMSG;
	piece->off = *last + gap;
	piece->len = len;
	piece->held = whole || len <= SENT_WHOLE ? len : SENT_HELD;
	piece->hash = 0;
	if (piece->held > (uint64_t)(end - *p))
		return -EBADMSG;
	piece->data = *p;
	*p += piece->held;
	if (piece->held < len && !record_take_number(p, end, &piece->hash))
		return -EBADMSG;
	*last = piece->off + len;
	return 1;
}

/* ---- the device -------------------------------------------------------------------------------------- */

static void add_text(struct record_bytes *b, const char *text)
{
	size_t len = strlen(text);

	record_bytes_number(b, len);
	record_bytes_add(b, text, len);
}

static bool take_text(const uint8_t **p, const uint8_t *end, char *text, size_t size)
{
	const uint8_t *data;
	size_t len;

	if (!take_bytes(p, end, &data, &len) || len >= size || memchr(data, '\0', len))
		return false;
	memcpy(text, data, len);
	text[len] = '\0';
	/* What a file says goes to a terminal. */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return true;
}

static void add_info(struct record_bytes *b, const struct recording_info *info)
{
	const uint64_t numbers[] = {
		info->when,	  info->vendor,	    info->device,     info->subvendor,
		info->subdevice,  info->class_code, info->revision,   info->bdf.domain,
		info->bdf.bus,	  info->bdf.dev,    info->bdf.fn,     info->iommu,
		info->read_only,  info->untimed,    info->vectors[1], info->vectors[2],
		info->vectors[3], info->arena,	    info->iova,
	};

	add_text(b, info->name);
	add_text(b, info->spec);
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		record_bytes_number(b, numbers[i]);
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		record_bytes_number(b, info->bar[i].kind);
		record_bytes_number(b, info->bar[i].size);
		record_bytes_number(b, info->bar[i].base);
	}
}

/* A number that is one of a field, not more than @max. */
static bool take_below(const uint8_t **p, const uint8_t *end, uint64_t max, uint64_t *n)
{
	return record_take_number(p, end, n) && *n <= max;
}

static bool take_info(const uint8_t *p, const uint8_t *end, struct recording_info *info)
{
	static const uint64_t max[] = {
		INT64_MAX,
		UINT16_MAX,
		UINT16_MAX,
		UINT16_MAX,
		UINT16_MAX,
		0xffffff,
		UINT8_MAX,
		UINT16_MAX,
		UINT8_MAX,
		31,
		7,
		1,
		1,
		1,
		OB_IRQ_VECTORS,
		OB_IRQ_VECTORS,
		OB_IRQ_VECTORS,
		ARENA_MAX,
		UINT64_MAX,
	};
	uint64_t n[sizeof(max) / sizeof(max[0])], kind;

	memset(info, 0, sizeof(*info));
	if (!take_text(&p, end, info->name, sizeof(info->name)) ||
	    !take_text(&p, end, info->spec, sizeof(info->spec)))
		return false;
	for (unsigned int i = 0; i < sizeof(max) / sizeof(max[0]); i++)
		if (!take_below(&p, end, max[i], &n[i]))
			return false;
	info->when = n[0];
	info->vendor = (uint16_t)n[1];
	info->device = (uint16_t)n[2];
	info->subvendor = (uint16_t)n[3];
	info->subdevice = (uint16_t)n[4];
	info->class_code = (uint32_t)n[5];
	info->revision = (uint8_t)n[6];
	info->bdf = (struct ob_bdf){(uint16_t)n[7], (uint8_t)n[8], (uint8_t)n[9], (uint8_t)n[10]};
	info->iommu = n[11];
	info->read_only = n[12];
	info->untimed = n[13];
	for (unsigned int i = 0; i < 3; i++)
		info->vectors[i + 1] = (unsigned int)n[14 + i];
	info->arena = n[17];
	info->iova = n[18];
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		if (!take_below(&p, end, OB_BAR_IO, &kind) ||
		    !record_take_number(&p, end, &info->bar[i].size) ||
		    !record_take_number(&p, end, &info->bar[i].base))
			return false;
		info->bar[i].kind = (enum ob_bar_kind)kind;
	}
	/* Whole pages of 4 KiB, and an end that is an address. */
	return p == end && info->arena && !((info->arena | info->iova) & 4095) &&
	       info->arena - 1 <= UINT64_MAX - info->iova;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

struct recording_writer {
	int fd;
	int failed;
	struct record_bytes chunk;
	uint64_t count;
	uint64_t start_ns, last_us;
};

static void write_all(struct recording_writer *w, const void *p, size_t len)
{
	const char *at = p;

	while (len && !w->failed) {
		ssize_t n = write(w->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			w->failed = n ? -errno : -EIO;
			return;
		}
		at += n;
		len -= (size_t)n;
	}
}

static void write_chunk(struct recording_writer *w)
{
	uint8_t head[CHUNK_HEAD];

	if (w->chunk.failed && !w->failed)
		w->failed = -ENOMEM;
	if (w->chunk.len > RECORD_CHUNK_MAX && !w->failed)
		w->failed = -EFBIG;
	if (w->chunk.len && !w->failed) {
		put_le32(head, (uint32_t)w->chunk.len);
		put_le32(head + 4, recording_checksum(w->chunk.p, w->chunk.len));
		write_all(w, head, sizeof(head));
		write_all(w, w->chunk.p, w->chunk.len);
	}
	w->chunk.len = 0;
}

void recording_add(struct recording_writer *w, struct record *r)
{
	unsigned int fields = kinds[r->kind].fields;
	struct record_bytes *b = &w->chunk;
	const uint8_t kind = (uint8_t)r->kind;
	uint64_t us = (ob_clock_ns() - w->start_ns) / 1000;

	if (w->failed)
		return;
	r->number = w->count++;
	r->us = us;
	record_bytes_add(b, &kind, 1);
	record_bytes_number(b, us - w->last_us);
	w->last_us = us;
	if (fields & F_BAR)
		record_bytes_number(b, r->bar);
	if (fields & F_OFF)
		record_bytes_number(b, r->off);
	if (fields & F_SIZE)
		record_bytes_number(b, r->size);
	if (fields & F_VAL)
		record_bytes_number(b, r->val);
	if (fields & F_COUNT)
		record_bytes_number(b, r->count);
	if (fields & F_RET)
		record_bytes_number(b, (uint64_t)-r->ret);
	if (fields & F_FLAGS)
		record_bytes_number(b, r->flags);
	if (fields & F_DATA) {
		record_bytes_number(b, r->len);
		record_bytes_add(b, r->data, r->len);
	}
	if (b->len >= RECORD_CHUNK || b->failed)
		write_chunk(w);
}

uint64_t recording_count(const struct recording_writer *w)
{
	return w->count;
}

int recording_create(const char *path, const struct recording_info *info,
		     struct recording_writer **out, struct ob_error *err)
{
	struct recording_writer *w = calloc(1, sizeof(*w));
	struct record_bytes data = {0};
	struct record first = {.kind = RECORD_INFO};
	uint8_t head[HEAD];
	struct stat st;
	int ret;

	if (!w)
		return ob_error_set(err, -ENOMEM, "no memory to record %s", info->name);
	/* A device's node, or the driver's own image, is nothing to write a recording to. */
	w->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0644);
	ret = w->fd < 0 ? -errno : 0;
	if (!ret && (fstat(w->fd, &st) || !S_ISREG(st.st_mode)))
		ret = -EINVAL;
	if (!ret && st.st_size) {
		char magic[sizeof(MAGIC) - 1];
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		ssize_t n = fd < 0 ? -1 : read(fd, magic, sizeof(magic));

		if (fd >= 0)
			close(fd);
		if (n != sizeof(magic) || memcmp(magic, MAGIC, sizeof(magic)))
			ret = -EEXIST;
	}
	if (!ret && ftruncate(w->fd, 0))
		ret = -errno;
	if (ret) {
		ob_error_set(err, ret, "cannot record %s to %s", info->name, path);
		ob_error_why(err, "%s",
			     ret == -EINVAL   ? "it is no ordinary file"
			     : ret == -EEXIST ? "there is such a file, and it is no recording"
					      : strerror(-ret));
		goto fail;
	}
	memcpy(head, MAGIC, 8);
	put_le32(head + 8, VERSION);
	write_all(w, head, sizeof(head));
	w->start_ns = ob_clock_ns();
	add_info(&data, info);
	first.data = data.p;
	first.len = data.len;
	if (data.failed)
		w->failed = -ENOMEM;
	else
		recording_add(w, &first);
	record_bytes_free(&data);
	if (w->failed) {
		ret = ob_error_set(err, w->failed, "cannot write %s: %s", path,
				   strerror(-w->failed));
		goto fail;
	}
	*out = w;
	return 0;

fail:
	if (w->fd >= 0)
		close(w->fd);
	record_bytes_free(&w->chunk);
	free(w);
	return ret;
}

int recording_close(struct recording_writer *w)
{
	struct record end = {.kind = RECORD_END, .val = w->count + 1};
	int ret;

	recording_add(w, &end);
	write_chunk(w);
	if (close(w->fd) && !w->failed)
		w->failed = -errno;
	ret = w->failed;
	record_bytes_free(&w->chunk);
	free(w);
	return ret;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

struct recording {
	uint8_t *bytes;
	size_t len;
	struct recording_info info;
	struct {
		size_t at;
		uint64_t us;
	} * record;
	uint64_t n, size;
};

const struct recording_info *recording_info(const struct recording *rec)
{
	return &rec->info;
}

uint64_t recording_length(const struct recording *rec)
{
	return rec->n;
}

/* Take one apart, without its time. What cannot be is refused: a user of struct record need not look again. */
static bool take_record(const uint8_t **p, const uint8_t *end, uint64_t *dt, struct record *r)
{
	uint64_t bar = 0, size = 0, ret = 0, flags = 0;
	unsigned int fields;

	memset(r, 0, sizeof(*r));
	if (*p == end || **p >= RECORD_KINDS || !kinds[**p].name)
		return false;
	r->kind = (enum record_kind) * (*p)++;
	fields = kinds[r->kind].fields;
	if (!record_take_number(p, end, dt) ||
	    ((fields & F_BAR) && !take_below(p, end, RECORD_BAR_PORTS, &bar)) ||
	    ((fields & F_OFF) && !record_take_number(p, end, &r->off)) ||
	    ((fields & F_SIZE) && !take_below(p, end, 8, &size)) ||
	    ((fields & F_VAL) && !record_take_number(p, end, &r->val)) ||
	    ((fields & F_COUNT) && !record_take_number(p, end, &r->count)) ||
	    ((fields & F_RET) && !take_below(p, end, INT_MAX, &ret)) ||
	    ((fields & F_FLAGS) && !take_below(p, end, 0xff, &flags)) ||
	    ((fields & F_DATA) && !take_bytes(p, end, &r->data, &r->len)))
		return false;
	if ((fields & F_SIZE) && size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	r->bar = (unsigned int)bar;
	r->size = (unsigned int)size;
	r->ret = -(int)ret;
	r->flags = (unsigned int)flags;
	return true;
}

/* Labels and texts go to a terminal. */
static bool is_text(const struct record *r, size_t size)
{
	for (size_t i = 0; i < r->len; i++)
		if (r->data[i] < ' ' || r->data[i] > '~')
			return false;
	return r->len < size;
}

/* What a kind demands of its fields beyond that they are there. */
static bool makes_sense(const struct recording *rec, const struct record *r)
{
	const struct recording_info *info = &rec->info;
	const uint8_t *p = r->data;
	struct record_piece piece;
	uint64_t last = 0;
	int ret;

	switch (r->kind) {
	case RECORD_READ:
	case RECORD_CONFIG_READ:
		return r->count;
	case RECORD_IRQ:
		return r->off < OB_IRQ_VECTORS && r->count && r->count < UINT64_MAX;
	case RECORD_IRQ_MASK:
		return r->off < OB_IRQ_VECTORS && r->val <= 1;
	case RECORD_IRQ_ENABLE:
		return r->off <= OB_IRQ_MSIX && r->count <= OB_IRQ_VECTORS;
	case RECORD_PORTS:
		return r->off <= UINT16_MAX && r->count && r->off + r->count <= 0x10000;
	case RECORD_MAP:
	case RECORD_UNMAP:
		return r->off >= info->iova && r->off - info->iova <= info->arena &&
		       r->val <= info->arena - (r->off - info->iova) && is_text(r, RECORD_LABEL);
	case RECORD_MEMORY:
		if ((r->flags & ~(unsigned int)RECORD_MORE) >= RECORD_WHENS)
			return false;
		/* fall through */
	case RECORD_SENT:
		do
			ret = record_next_piece(&p, r->data + r->len, &last,
						r->kind == RECORD_MEMORY, info->arena, &piece);
		while (ret > 0);
		return !ret;
	case RECORD_FAULT:
		return is_text(r, sizeof(((struct ob_fault *)NULL)->text));
	default:
		return true;
	}
}

static int note(struct recording *rec, size_t at, uint64_t us)
{
	if (rec->n == rec->size) {
		uint64_t size = rec->size ? rec->size * 2 : 1024;
		void *more = realloc(rec->record, size * sizeof(*rec->record));

		if (!more)
			return -ENOMEM;
		rec->record = more;
		rec->size = size;
	}
	rec->record[rec->n].at = at;
	rec->record[rec->n++].us = us;
	return 0;
}

struct parser {
	struct recording *rec;
	const char *name;
	struct ob_error *err;
	uint64_t us;
	bool ended;
};

static int damaged(struct parser *ps, size_t at, const char *what)
{
	ob_error_set(ps->err, -EBADMSG, "%s is damaged: %s", ps->name, what);
	ob_error_why(ps->err, "at byte %zu, behind %" PRIu64 " good records", at, ps->rec->n);
	return -EBADMSG;
}

static int parse_chunk(struct parser *ps, const uint8_t *p, const uint8_t *end)
{
	struct recording *rec = ps->rec;
	struct record r;
	uint64_t dt;

	while (p < end) {
		size_t at = (size_t)(p - rec->bytes);

		if (ps->ended)
			return damaged(ps, at, "something follows its end");
		if (!take_record(&p, end, &dt, &r))
			return damaged(ps, at, "what stands there is no record");
		if (dt > INT64_MAX - ps->us)
			return damaged(ps, at, "its clock runs over");
		ps->us += dt;
		if ((r.kind == RECORD_INFO) != !rec->n)
			return damaged(ps, at,
				       rec->n ? "a second device"
					      : "it does not begin with a device");
		if (r.kind == RECORD_INFO && !take_info(r.data, r.data + r.len, &rec->info))
			return damaged(ps, at, "its device makes no sense");
		if (!makes_sense(rec, &r))
			return damaged(ps, at, "a record makes no sense");
		if (r.kind == RECORD_END) {
			if (r.val != rec->n + 1)
				return damaged(ps, at, "records are missing");
			ps->ended = true;
		}
		if (note(rec, at, ps->us))
			return ob_error_set(ps->err, -ENOMEM, "no memory to read %s", ps->name);
	}
	return 0;
}

static int parse(struct parser *ps, size_t len)
{
	const uint8_t *p = ps->rec->bytes, *end = p + len;
	int ret;

	if (len < HEAD || memcmp(p, MAGIC, 8)) {
		ob_error_set(ps->err, -EBADMSG, "%s is no recording", ps->name);
		ob_error_why(ps->err, "one begins with the letters " MAGIC);
		return -EBADMSG;
	}
	if (get_le32(p + 8) != VERSION) {
		ob_error_set(ps->err, -EPROTONOSUPPORT, "%s is a recording of version %u", ps->name,
			     get_le32(p + 8));
		ob_error_why(ps->err, "this program reads version %u", VERSION);
		return -EPROTONOSUPPORT;
	}
	for (p += HEAD; p < end;) {
		size_t at = (size_t)(p - ps->rec->bytes);
		uint32_t n;

		if (end - p < CHUNK_HEAD)
			return damaged(ps, at, "it is cut off");
		n = get_le32(p);
		if (!n || n > RECORD_CHUNK_MAX)
			return damaged(ps, at, "a chunk of an impossible length");
		if (n > (size_t)(end - p) - CHUNK_HEAD)
			return damaged(ps, at, "it is cut off");
		if (recording_checksum(p + CHUNK_HEAD, n) != get_le32(p + 4))
			return damaged(ps, at, "a checksum is wrong");
		p += CHUNK_HEAD;
		ret = parse_chunk(ps, p, p + n);
		if (ret)
			return ret;
		p += n;
	}
	if (!ps->ended) {
		damaged(ps, len, "it is cut off");
		ob_error_fix(
			ps->err,
			"record once more: a recording is whole when its program has ended by itself");
		return -EBADMSG;
	}
	return 0;
}

/* Takes @bytes over. */
static int parse_bytes(const char *name, uint8_t *bytes, size_t len, struct recording **out,
		       struct ob_error *err)
{
	struct recording *rec = calloc(1, sizeof(*rec));
	struct parser ps = {.rec = rec, .name = name, .err = err};
	int ret;

	if (!rec) {
		free(bytes);
		return ob_error_set(err, -ENOMEM, "no memory to read %s", name);
	}
	rec->bytes = bytes;
	rec->len = len;
	ret = parse(&ps, len);
	if (ret) {
		recording_free(rec);
		return ret;
	}
	*out = rec;
	return 0;
}

int recording_parse(const char *name, const void *data, size_t len, struct recording **rec,
		    struct ob_error *err)
{
	uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return ob_error_set(err, -ENOMEM, "no memory to read %s", name);
	memcpy(bytes, data, len);
	return parse_bytes(name, bytes, len, rec, err);
}

int recording_open(const char *path, struct recording **rec, struct ob_error *err)
{
	/* Not blocking: a FIFO would be waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t *bytes = NULL;
	struct stat st;
	size_t len = 0;
	int ret = 0;

	if (fd < 0 || fstat(fd, &st)) {
		ret = ob_error_set(err, -errno, "cannot read the recording %s: %s", path,
				   strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX) {
		ret = ob_error_set(
			err, S_ISREG(st.st_mode) ? -EFBIG : -EINVAL, "%s is no recording: %s", path,
			S_ISREG(st.st_mode) ? "it is larger than 1 GiB" : "it is no ordinary file");
		goto out;
	}
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes) {
		ret = ob_error_set(err, -ENOMEM, "no memory to read %s", path);
		goto out;
	}
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, bytes + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ret = ob_error_set(err, -errno, "cannot read %s: %s", path,
					   strerror(errno));
			goto out;
		}
		if (!n)
			break;
		len += (size_t)n;
	}
	ret = parse_bytes(path, bytes, len, rec, err);
	bytes = NULL;
out:
	free(bytes);
	if (fd >= 0)
		close(fd);
	return ret;
}

void recording_free(struct recording *rec)
{
	if (!rec)
		return;
	free(rec->record);
	free(rec->bytes);
	free(rec);
}

void recording_get(const struct recording *rec, uint64_t number, struct record *r)
{
	const uint8_t *p;
	uint64_t dt;

	if (number >= rec->n)
		number = rec->n - 1;
	p = rec->bytes + rec->record[number].at;
	/* It was taken apart once and did not fail. */
	take_record(&p, rec->bytes + rec->len, &dt, r);
	r->number = number;
	r->us = rec->record[number].us;
}
