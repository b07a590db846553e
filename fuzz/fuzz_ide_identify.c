/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IDENTIFY DEVICE data of a disk that may say anything (drivers/ide/identify.c): refused with a reason, or
 * turned into sizes that the driver and the block class can calculate with.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "drivers/ide/ide.h"
#include "fuzz/fuzz.h"

static void check_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	CHECK(len < size);
	for (size_t i = 0; i < len; i++)
		CHECK(text[i] >= ' ' && text[i] <= '~');
	CHECK(!len || (text[0] != ' ' && text[len - 1] != ' '));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ide_identity id;
	const char *why = NULL;
	uint16_t words[256] = {0};
	int rc;

	memcpy(words, data, size < sizeof(words) ? size : sizeof(words));
	rc = ide_identify_parse(words, &id, &why);
	check_text(id.model, sizeof(id.model));
	check_text(id.serial, sizeof(id.serial));
	if (rc) {
		CHECK(rc == -EOPNOTSUPP || rc == -EILSEQ);
		CHECK(why && *why);
		return 0;
	}
	CHECK(!(id.block_size & (id.block_size - 1)));
	CHECK(id.block_size >= 512 && id.block_size <= 4096);
	CHECK(id.physical_block_size >= id.block_size);
	CHECK(!(id.physical_block_size & (id.physical_block_size - 1)));
	CHECK(id.sectors > 0 && id.sectors <= (uint64_t)INT64_MAX / id.block_size);
	CHECK(id.lba48 || id.sectors <= 0x0fffffff);
	CHECK(id.lba48 || (!id.fua && !id.flush_ext));
	return 0;
}
