/* SPDX-License-Identifier: BSD-2-Clause */
/* class/verify_memory.h */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "class/verify_memory.h"

enum {
	PAGE = 4096,
	LANES = 4,
};

/* ---- checksums ----------------------------------------------------------------------------- */

static inline uint64_t mix(uint64_t h, uint64_t word)
{
	/* Odd, so that no bit of the product's lower half is lost; the rotation brings the upper half into play. */
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h << 29 | h >> 35;
}

/* Against mistakes, not against somebody who wants to deceive. Four lanes, since a multiplication takes some cycles to end. */
uint32_t verify_sum(const void *buf, uint32_t len)
{
	uint64_t h[LANES] = {1, 2, 3, 4}, word[LANES];
	const uint8_t *p = buf;

	for (uint32_t i = 0; i < len; i += sizeof(word)) {
		memcpy(word, p + i, sizeof(word));
		for (unsigned int k = 0; k < LANES; k++)
			h[k] = mix(h[k], word[k]);
	}
	for (unsigned int k = 1; k < LANES; k++)
		h[0] = mix(h[0], h[k]);
	return (uint32_t)(mix(h[0], len) >> 32);
}

static uint32_t zero_sum_of(uint32_t len)
{
	static const uint8_t zero[VERIFY_BLOCK];

	return verify_sum(zero, len);
}

/* ---- entries ------------------------------------------------------------------------------- */

/* The lower 16 bits of an entry say that it is one: @state, in a way that depends on all others. */
static uint16_t seal(uint32_t sum, uint16_t seen_by, enum verify_state state)
{
	uint64_t h = mix(mix((uint64_t)state + 5, sum), seen_by);

	return (uint16_t)(h >> 40);
}

struct verify_entry verify_get(const struct verify_memory *m, uint64_t block)
{
	uint64_t raw = __atomic_load_n(&m->entry[block], __ATOMIC_ACQUIRE);
	struct verify_entry e = {.sum = (uint32_t)(raw >> 32), .seen_by = (uint16_t)(raw >> 16)};

	for (unsigned int s = VERIFY_LOST; raw && s > VERIFY_UNKNOWN && !e.state; s--)
		if (seal(e.sum, e.seen_by, (enum verify_state)s) == (uint16_t)raw)
			e.state = (enum verify_state)s;
	return e;
}

void verify_set(struct verify_memory *m, uint64_t block, struct verify_entry e)
{
	uint64_t raw = 0;

	if (e.state)
		raw = (uint64_t)e.sum << 32 | (uint32_t)e.seen_by << 16 |
		      seal(e.sum, e.seen_by, e.state);
	__atomic_store_n(&m->entry[block], raw, __ATOMIC_RELEASE);
}

/* ---- writes under way ---------------------------------------------------------------------- */

void verify_depart(struct verify_memory *m, unsigned int flight, uint64_t first, uint32_t n,
		   const void *buf)
{
	struct verify_flight *f = &m->header->flight[flight];

	for (uint32_t i = 0; buf && i < n; i++)
		f->sum[i] =
			verify_sum((const uint8_t *)buf + (size_t)i * m->block_size, m->block_size);
	f->first = first;
	f->zeroes = !buf;
	__atomic_store_n(&f->n, n, __ATOMIC_RELEASE);
}

void verify_land(struct verify_memory *m, unsigned int flight)
{
	__atomic_store_n(&m->header->flight[flight].n, 0, __ATOMIC_RELEASE);
}

uint32_t verify_awaited(const struct verify_memory *m, unsigned int flight, uint64_t block)
{
	const struct verify_flight *f = &m->header->flight[flight];

	return f->zeroes ? m->zero_sum : f->sum[(block - f->first) % VERIFY_WRITE_BLOCKS];
}

/* ---- errors -------------------------------------------------------------------------------- */

bool verify_confirmed(struct verify_memory *m, unsigned int op, uint64_t offset, uint64_t len)
{
	struct verify_header *h = m->header;

	for (unsigned int i = 0; i < VERIFY_COMPLAINTS && !h->errors; i++) {
		const struct verify_complaint *c = &h->complaint[i];

		if (c->process && c->process != m->process && c->op == op && c->offset == offset)
			h->errors = 1;
	}
	if (!h->errors)
		h->complaint[h->complaints++ % VERIFY_COMPLAINTS] =
			(struct verify_complaint){offset, len, m->process, op};
	return h->errors;
}

void verify_refuted(struct verify_memory *m, unsigned int op, uint64_t offset, uint64_t len)
{
	struct verify_header *h = m->header;

	for (unsigned int i = 0; i < VERIFY_COMPLAINTS && h->complaints; i++) {
		struct verify_complaint *c = &h->complaint[i];

		/* A part that can be read says nothing of the whole. */
		if (c->op == op && c->offset == offset && c->len <= len)
			c->process = 0;
	}
}

/* ---- contents ------------------------------------------------------------------------------ */

/* A block has one place, so what was written in a row stands in a row. */
void verify_keep(struct verify_memory *m, uint64_t block, const void *buf)
{
	uint32_t slot = (uint32_t)(block % m->slots);

	__atomic_store_n(&m->holds[slot], 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memcpy(m->content + (uint64_t)slot * m->block_size, buf, m->block_size);
	__atomic_store_n(&m->holds[slot], block + 1, __ATOMIC_RELEASE);
}

const void *verify_kept(const struct verify_memory *m, uint64_t block, uint32_t sum)
{
	uint32_t slot = (uint32_t)(block % m->slots);
	const void *content = m->content + (uint64_t)slot * m->block_size;

	if (m->holds[slot] != block + 1 || verify_sum(content, m->block_size) != sum)
		return NULL;
	return content;
}

/* ---- the file ------------------------------------------------------------------------------ */

static uint64_t whole_pages(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* A driver that says another size than the one before is wrong, or the disk is another one. */
static bool is_of_another(const struct verify_header *h, uint64_t size, uint32_t block_size,
			  uint32_t slots)
{
	return h->processes &&
	       (h->size != size || h->block_size != block_size || h->slots != slots);
}

int verify_memory_open(struct verify_memory *m, const struct ob_verify_options *o, uint64_t size,
		       uint32_t block_size)
{
	const uint64_t blocks = size / block_size;
	const uint32_t slots = (uint32_t)(o->log / block_size ? o->log / block_size : 1);
	const uint64_t entries = whole_pages(blocks * sizeof(*m->entry));
	const uint64_t holds = whole_pages(slots * sizeof(*m->holds));
	const uint64_t header = whole_pages(sizeof(*m->header));
	uint8_t *base;

	memset(m, 0, sizeof(*m));
	m->bytes = header + entries + holds + whole_pages((uint64_t)slots * block_size);
	if (m->bytes > 1ull << OB_VERIFY_SHIFT)
		return -EFBIG;
	base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE | (o->fd < 0 ? MAP_ANONYMOUS : 0), o->fd,
		    o->fd < 0 ? 0 : (off_t)o->at);
	if (base == MAP_FAILED)
		return -ENOMEM;
	m->header = (struct verify_header *)(void *)base;
	m->entry = (uint64_t *)(void *)(base + header);
	m->holds = (uint64_t *)(void *)(base + header + entries);
	m->content = base + header + entries + holds;
	m->block_size = block_size;
	m->slots = slots;
	if (is_of_another(m->header, size, block_size, slots))
		return -EILSEQ;
	m->header->size = size;
	m->header->block_size = block_size;
	m->header->slots = slots;
	m->zero_sum = zero_sum_of(block_size);
	/* A number that no neighbour has is enough: marks are of the process before. */
	do
		m->process = (uint16_t)++m->header->processes;
	while (!m->process);
	return 0;
}

void verify_memory_close(struct verify_memory *m)
{
	if (m->header)
		munmap(m->header, m->bytes);
	m->header = NULL;
}
