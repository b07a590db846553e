/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identify data of a controller that lies: controller, namespace and list are parsed from the input, and
 * what is taken must be fit to compute with.
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/nvme/nvme.h"

/* The input is laid over the beginning and, mirrored, the places that matter lie below 256 and at 512. */
static void fill(uint8_t *page, const uint8_t *data, size_t size)
{
	memset(page, 0, NVME_IDENTIFY_BYTES);
	memcpy(page, data, size < NVME_IDENTIFY_BYTES ? size : NVME_IDENTIFY_BYTES);
	/* Short inputs reach the fields at 512 (SQES, CQES, NN, ONCS) and 258 (ACL), too. */
	if (size >= 32 && size < 512) {
		memcpy(page + 512, data + size - 16, 16);
		page[258] = data[size - 17];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *page = malloc(NVME_IDENTIFY_BYTES); /* exactly: a read beyond is found */
	uint32_t nsid[OB_BINDING_BLOCKS], after = 0;
	struct nvme_namespace ns;
	struct nvme_identity id;
	char why[16]; /* short: texts must be cut */
	unsigned int n;

	fill(page, data, size);
	if (!nvme_identify_controller(page, &id, why, sizeof(why))) {
		uint32_t prp = nvme_prp_bytes(id.max_transfer);

		if (id.max_transfer < NVME_PAGE || id.max_transfer > NVME_MAX_TRANSFER ||
		    id.max_transfer & (id.max_transfer - 1) || !id.abort_limit || !id.namespaces ||
		    NVME_PAGE % prp || prp < id.max_transfer / NVME_PAGE * 8)
			abort();
		for (const char *p = id.serial; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				abort();
		for (const char *p = id.model; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				abort();
	} else if (memchr(why, '\0', sizeof(why)) == NULL) {
		abort();
	}
	if (!nvme_identify_namespace(page, &ns, why, sizeof(why))) {
		if (!ns.size || ns.size > INT64_MAX || ns.lba_shift < 9 || ns.lba_shift > 16 ||
		    ns.size % (1u << ns.lba_shift) || ns.physical_block_size < 1u << ns.lba_shift ||
		    ns.physical_block_size & (ns.physical_block_size - 1))
			abort();
	}
	n = nvme_identify_list(page, 0, nsid, OB_BINDING_BLOCKS);
	if (n > OB_BINDING_BLOCKS)
		abort();
	for (unsigned int i = 0; i < n; i++) {
		if (nsid[i] <= after)
			abort();
		after = nsid[i];
	}
	free(page);
	return 0;
}
