/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a controller says of itself, taken apart and checked before anything is computed from it. No
 * device is needed here, so that fuzzing reaches every line. NVM Express Base Specification 1.4, 5.15.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/nvme/nvme.h"

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static int __attribute__((format(printf, 4, 5)))
refuse(char *why, size_t size, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return rc;
}

/* ASCII, padded with spaces (1.5): what is not printable must not reach a terminal. */
static void get_text(char *to, size_t size, const uint8_t *from, size_t len)
{
	size_t n = 0;

	while (n < len && n < size - 1) {
		to[n] = from[n] >= 0x20 && from[n] < 0x7f ? (char)from[n] : '?';
		n++;
	}
	/* Some controllers pad with NUL instead. */
	while (n && (to[n - 1] == ' ' || (to[n - 1] == '?' && !from[n - 1])))
		n--;
	to[n] = '\0';
}

int nvme_identify_controller(const void *data, struct nvme_identity *id, char *why, size_t size)
{
	const uint8_t *p = data;
	uint8_t mdts = p[77];
	uint16_t oncs = get16(p + 520);

	memset(id, 0, sizeof(*id));
	get_text(id->serial, sizeof(id->serial), p + 4, 20);
	get_text(id->model, sizeof(id->model), p + 24, 40);

	/* SQES, CQES: required size in the low, largest in the high nibble. Ours must lie between. */
	if ((p[512] & 0xf) > NVME_SQES || p[512] >> 4 < NVME_SQES)
		return refuse(why, size, -EINVAL,
			      "submission entries of 2^%u to 2^%u bytes, not 2^6", p[512] & 0xf,
			      p[512] >> 4);
	if ((p[513] & 0xf) > NVME_CQES || p[513] >> 4 < NVME_CQES)
		return refuse(why, size, -EINVAL,
			      "completion entries of 2^%u to 2^%u bytes, not 2^4", p[513] & 0xf,
			      p[513] >> 4);

	/* In units of the smallest page, as a power of two; 0: no limit. 2^8 pages are ours. */
	id->max_transfer = NVME_MAX_TRANSFER;
	if (mdts && mdts < 8)
		id->max_transfer = (uint32_t)NVME_PAGE << mdts;

	id->namespaces = get32(p + 516);
	if (!id->namespaces)
		return refuse(why, size, -EINVAL, "a controller without namespaces");
	id->shutdown_us = get32(p + 88);
	id->abort_limit = p[258] == 0xff ? 0xff : (uint8_t)(p[258] + 1);
	id->volatile_cache = p[525] & 1;
	id->dsm = oncs & 1 << 2;
	id->write_zeroes = oncs & 1 << 3;
	return 0;
}

int nvme_identify_namespace(const void *data, struct nvme_namespace *ns, char *why, size_t size)
{
	const uint8_t *p = data;
	uint64_t blocks = get64(p), capacity = get64(p + 8);
	unsigned int format = p[26] & 0xf;
	uint8_t features = p[24], dlfeat = p[33];
	const uint8_t *lbaf = p + 128 + 4 * format;
	unsigned int metadata, shift;
	uint64_t optimal;

	memset(ns, 0, sizeof(*ns));
	if (!blocks)
		return refuse(why, size, -EINVAL, "not active");
	if (capacity > blocks)
		return refuse(why, size, -EINVAL, "a capacity of %llu in %llu blocks",
			      (unsigned long long)capacity, (unsigned long long)blocks);
	/* NLBAF: the number of formats, less one; 5.15.2.1 knows sixteen. */
	if (p[25] > 15 || format > p[25])
		return refuse(why, size, -EINVAL, "format %u of %u", format, p[25] + 1u);
	metadata = get16(lbaf);
	shift = lbaf[2];
	if (metadata)
		return refuse(
			why, size, -EOPNOTSUPP,
			"formatted with %u bytes of metadata per block, which Outboard does not "
			"handle",
			metadata);
	/* Below 512 bytes is reserved; above 64 KiB nothing is sold, and len would not fit. */
	if (shift < 9 || shift > 16)
		return refuse(why, size, -EINVAL, "blocks of 2^%u bytes", shift);
	if (blocks > (uint64_t)INT64_MAX >> shift)
		return refuse(why, size, -EINVAL, "%llu blocks of %u bytes are more than 2^63",
			      (unsigned long long)blocks, 1u << shift);
	ns->size = blocks << shift;
	ns->lba_shift = (uint8_t)shift;

	/* OPTPERF, NPWG: blocks, less one, of which a write needs no read-modify-write */
	optimal = features & 1 << 4 ? (get16(p + 64) + 1ull) << shift : 1ull << shift;
	if (optimal & (optimal - 1) || optimal > 1 << 20)
		optimal = 1ull << shift;
	ns->physical_block_size = (uint32_t)optimal;
	ns->read_only = p[99] & 1; /* NSATTR: write protected */
	ns->zeroes_deallocate = (dlfeat & 7) == 1 && (dlfeat & 1 << 3);
	return 0;
}

unsigned int nvme_identify_list(const void *data, uint32_t after, uint32_t *nsid, unsigned int n)
{
	const uint8_t *p = data;
	unsigned int found = 0;

	for (unsigned int i = 0; i < NVME_IDENTIFY_BYTES / 4 && found < n; i++) {
		uint32_t id = get32(p + 4 * i);

		/* Ends with 0; FFFFFFFEh and up are no ids of namespaces (6.1). */
		if (id <= after || id >= 0xfffffffe)
			break;
		nsid[found++] = id;
		after = id;
	}
	return found;
}
