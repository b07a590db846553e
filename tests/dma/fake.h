/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A backend that only has an IOMMU: it remembers what was mapped with which rights, and does DMA as a
 * device behind it would. For the error paths and the models; isolation itself is tested with real devices.
 */
#ifndef TESTS_DMA_FAKE_H
#define TESTS_DMA_FAKE_H

#include <outboard/access.h>

enum {
	FAKE_PAGE = 4096,
	FAKE_TABLE = 1 << 18, /* IOVA pages that can be mapped at once */
};

struct fake_pte {
	uint64_t iova; /* 0: free; the DMA layer never uses page 0 */
	char *va;
	unsigned int prot;
};

struct fake {
	struct ob_device dev;
	char *arena;
	size_t size;
	struct fake_pte table[FAKE_TABLE];
	unsigned int mapped;	   /* pages */
	unsigned int maps, unmaps; /* calls */
	int fail_map, fail_unmap;  /* errno of the next calls, 0: none */
	char *allowed;		   /* memory outside of the arena that can be mapped */
	size_t allowed_size;
	bool fixed; /* a mapped page must be unmapped before it gets other rights */
	char log[8192];
};

struct fake *fake_open(enum ob_dma_policy policy, size_t size, bool translated);
/* As VFIO's: rights cannot be changed in place, and there are holes at 8 to 16 GiB and 20 to 21 GiB. */
struct fake *fake_open_fixed(enum ob_dma_policy policy, size_t size);
/* Fails the test when the DMA layer left something mapped. */
void fake_close(struct fake *f);

/* What the device would do: -EFAULT when a page is not mapped for it. */
int fake_device_write(struct fake *f, ob_iova iova, const void *data, size_t len);
int fake_device_read(struct fake *f, ob_iova iova, void *data, size_t len);
/* Rights of the page at @iova. */
unsigned int fake_prot(const struct fake *f, uint64_t iova);

/* A repeatable sequence of numbers. */
static inline uint64_t fake_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
