/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IDENTIFY DEVICE: 256 words from a device that is not trusted, turned into the few facts that the
 * driver uses. ATA/ATAPI-7 volume 1 (T13/1532D), "IDENTIFY DEVICE"; word numbers are the standard's.
 */
#include <errno.h>
#include <string.h>

#include "drivers/ide/ide.h"

enum {
	WORD_GENERAL = 0,
	WORD_SERIAL = 10, /* 10 words */
	WORD_MODEL = 27,  /* 20 words */
	WORD_CAPABILITIES = 49,
	WORD_SECTORS_28 = 60, /* 2 words */
	WORD_MWDMA = 63,
	WORD_SUPPORTED_83 = 83,
	WORD_SUPPORTED_84 = 84,
	WORD_ENABLED_85 = 85,
	WORD_ENABLED_86 = 86,
	WORD_UDMA = 88,
	WORD_SECTORS_48 = 100, /* 4 words */
	WORD_SECTOR_SIZE = 106,
	WORD_LOGICAL_WORDS = 117, /* 2 words */
	WORD_SECURITY = 128,
	WORD_ROTATION = 217,
	WORD_INTEGRITY = 255,
};

#define GENERAL_ATAPI	   (1 << 15) /* 0: this is an ATA device */
#define CAPABILITIES_LBA   (1 << 9)
#define CAPABILITIES_DMA   (1 << 8)
#define SUPPORTED_LBA48	   (1 << 10)
#define SUPPORTED_FLUSH	   (1 << 12)
#define SUPPORTED_FLUSHEXT (1 << 13)
#define SUPPORTED_FUA	   (1 << 6)
#define ENABLED_CACHE	   (1 << 5)
#define SECURITY_LOCKED	   (1 << 2)
#define SIZE_MULTIPLE	   (1 << 13) /* several logical sectors per physical one */
#define SIZE_LONG	   (1 << 12) /* logical sectors longer than 256 words */
#define INTEGRITY_MARK	   0xa5

/* Bits 15:14 of some words are 01 when their content is valid. */
static bool is_valid(uint16_t word)
{
	return (word & 0xc000) == 0x4000;
}

/* Characters come in pairs, the first one in the high byte. */
static void copy_text(char *out, const uint16_t *words, unsigned int n)
{
	unsigned int len = 0;

	for (unsigned int i = 0; i < 2 * n; i++) {
		char c = (char)(i & 1 ? words[i / 2] & 0xff : words[i / 2] >> 8);

		if (c == '\0')
			break;
		if (c < ' ' || c > '~')
			c = '?';
		if (c == ' ' && !len)
			continue;
		out[len++] = c;
	}
	while (len && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
}

static bool sum_is_zero(const uint16_t id[256])
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < 256; i++)
		sum = (uint8_t)(sum + (id[i] & 0xff) + (id[i] >> 8));
	return !sum;
}

static int parse_sizes(const uint16_t id[256], struct ide_identity *out, const char **why)
{
	uint16_t size = id[WORD_SECTOR_SIZE];
	uint64_t words;

	out->block_size = 512;
	out->physical_block_size = 512;
	if (is_valid(size)) {
		if (size & SIZE_LONG) {
			words = id[WORD_LOGICAL_WORDS] | (uint64_t)id[WORD_LOGICAL_WORDS + 1] << 16;
			if (words < 256 || words > 2048 || words & (words - 1)) {
				*why = "its sectors are not of 512 to 4096 bytes";
				return -EOPNOTSUPP;
			}
			out->block_size = (uint32_t)(2 * words);
		}
		out->physical_block_size = out->block_size;
		/* More than 2^8 logical sectors would not be a sector any more; it is advice only. */
		if (size & SIZE_MULTIPLE && (size & 0xf) <= 8)
			out->physical_block_size <<= size & 0xf;
	}

	out->sectors = id[WORD_SECTORS_28] | (uint64_t)id[WORD_SECTORS_28 + 1] << 16;
	if (out->sectors > 0x0fffffff) {
		*why = "it claims more 28-bit sectors than 28 bits address";
		return -EILSEQ;
	}
	if (out->lba48) {
		uint64_t sectors = 0;

		for (unsigned int i = 0; i < 4; i++)
			sectors |= (uint64_t)id[WORD_SECTORS_48 + i] << (16 * i);
		if (sectors >> 48) {
			*why = "it claims more 48-bit sectors than 48 bits address";
			return -EILSEQ;
		}
		if (sectors)
			out->sectors = sectors;
	}
	if (!out->sectors) {
		*why = "it has no sectors";
		return -EOPNOTSUPP;
	}
	return 0;
}

int ide_identify_parse(const uint16_t id[256], struct ide_identity *out, const char **why)
{
	uint16_t supported = id[WORD_SUPPORTED_83], more = id[WORD_SUPPORTED_84];

	memset(out, 0, sizeof(*out));
	copy_text(out->model, &id[WORD_MODEL], 20);
	copy_text(out->serial, &id[WORD_SERIAL], 10);

	if ((id[WORD_INTEGRITY] & 0xff) == INTEGRITY_MARK && !sum_is_zero(id)) {
		*why = "the checksum of its IDENTIFY data is wrong";
		return -EILSEQ;
	}
	if (id[WORD_GENERAL] & GENERAL_ATAPI) {
		*why = "it is no ATA disk";
		return -EOPNOTSUPP;
	}
	if (!(id[WORD_CAPABILITIES] & CAPABILITIES_LBA)) {
		*why = "it has no LBA addressing";
		return -EOPNOTSUPP;
	}
	if (!(id[WORD_CAPABILITIES] & CAPABILITIES_DMA)) {
		*why = "it cannot do DMA";
		return -EOPNOTSUPP;
	}
	/* High byte: the mode that is selected. Firmware has chosen one that the controller is set for. */
	if (!(id[WORD_MWDMA] >> 8 || id[WORD_UDMA] >> 8)) {
		*why = "firmware has selected no DMA mode for it";
		return -EOPNOTSUPP;
	}
	if (id[WORD_SECURITY] & SECURITY_LOCKED) {
		*why = "it is locked by a password";
		return -EOPNOTSUPP;
	}

	if (is_valid(supported)) {
		out->lba48 = supported & SUPPORTED_LBA48 && id[WORD_ENABLED_86] & SUPPORTED_LBA48;
		out->flush = supported & SUPPORTED_FLUSH;
		out->flush_ext = out->lba48 && supported & SUPPORTED_FLUSHEXT;
		out->write_cache = id[WORD_ENABLED_85] & ENABLED_CACHE;
	}
	out->fua = out->lba48 && is_valid(more) && more & SUPPORTED_FUA;
	/* 1 means it does not rotate; 0, not told, is older than disks that do not. */
	out->rotational = id[WORD_ROTATION] != 1;
	return parse_sizes(id, out, why);
}
