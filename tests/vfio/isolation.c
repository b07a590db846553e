/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA that was not allowed, by each of three real devices behind the kernel's VFIO: to an address that was never mapped,
 * to memory after its unmap, to memory that the device may only read. Each is blocked, memory is as it was, the
 * emulated IOMMU has counted it and ob_device_faults() names the device. In the rig, by tests/rig/vfio_isolation.sh.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/vfio/rig.h"
#include "tests/wild_dma.h"

enum {
	PATTERN = 0x5a,
};

struct machine {
	struct ob_device *dev;
	struct ob_bar *bar;
	struct ob_dma *dma;
};

/* ---- the tests -------------------------------------------------------------------------------------- */

struct device {
	const char *variable;
	unsigned int bits;
	void (*write)(struct ob_device *dev, uint64_t to);
};

static const struct device edu = {"RIG_EDU", EDU_DMA_BITS, edu_write};
static const struct device e1000e = {"RIG_E1000E", 64, e1000_write};
static const struct device nvme = {"RIG_NVME", 64, nvme_write};

static void start(struct machine *m, const struct device *d)
{
	struct ob_error err = {0};

	/* Strict: a page can be reached from its map to its unmap only, and only in that direction. */
	m->dev = rig_open(d->variable, ",dma=strict,arena=4M");
	m->bar = ob_device_bar(m->dev, 0);
	m->dma = ob_device_dma(m->dev);
	assert_non_null(m->bar);
	assert_int_equal(ob_dma_set_mask(m->dma, d->bits, &err), 0);
}

static bool unchanged(const volatile char *p)
{
	for (size_t i = 0; i < PAGE; i++)
		if (p[i] != PATTERN)
			return false;
	return true;
}

static bool told(struct machine *m, uint64_t iova)
{
	const struct ob_device_info *info = ob_device_info(m->dev);
	uint64_t start = ob_clock_ms();
	char name[64];

	snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", info->bdf.domain, info->bdf.bus,
		 info->bdf.dev, info->bdf.fn);
	/* The kernel's interrupt handler writes the line. */
	while (ob_clock_ms() - start < 1000) {
		struct ob_fault fault[16];
		int n = ob_device_faults(m->dev, fault, 16);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			if ((fault[i].iova & ~(uint64_t)(PAGE - 1)) != iova)
				continue;
			assert_true(fault[i].write);
			assert_non_null(strstr(fault[i].text, name));
			print_message("# %s\n", fault[i].text);
			return true;
		}
		usleep(10000);
	}
	return false;
}

/* The device writes to @iova, a page, is not let through, and is named. */
static void blocked(struct machine *m, const struct device *d, uint64_t iova)
{
	unsigned int tries;

	for (tries = 0; tries < 4; tries++) {
		long before = rig_refused();

		d->write(m->dev, iova);
		if (before >= 0)
			WAIT_FOR(rig_refused() > before);
		if (told(m, iova))
			return;
		/* The kernel's log takes ten lines in five seconds and forgets the others. */
		usleep(5500000);
	}
	fail_msg("nobody was told of the write to 0x%" PRIx64, iova);
}

static char *page(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	memset(p, PATTERN, PAGE);
	return p;
}

static void wild(const struct device *d)
{
	struct machine m;
	char *p;

	start(&m, d);
	/* Beside the arena, and within the device's reach. */
	p = ob_dma_alloc(m.dma, PAGE, PAGE, "must not change", NULL);
	memset(p, PATTERN, PAGE);
	blocked(&m, d, m.dma->iova + m.dma->size + (16 << 20));
	assert_true(unchanged(p));
	/* The device still does what is allowed. */
	d->write(m.dev, ob_dma_iova(m.dma, p).addr);
	assert_false(unchanged(p));
	ob_device_close(m.dev);
}

static void late(const struct device *d)
{
	struct ob_dma_mapping map;
	struct machine m;
	char *p = page();

	start(&m, d);
	assert_int_equal(ob_dma_map(m.dma, p, PAGE, OB_DMA_FROM_DEVICE, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_MAPPED);
	d->write(m.dev, map.iova.addr);
	assert_false(unchanged(p));
	assert_int_equal(ob_dma_unmap(&map), 0);
	memset(p, PATTERN, PAGE);
	blocked(&m, d, map.iova.addr);
	assert_true(unchanged(p));
	ob_device_close(m.dev);
	munmap(p, PAGE);
}

static void read_only(const struct device *d)
{
	struct ob_dma_mapping map, inside;
	struct machine m;
	char *p = page(), *q;

	start(&m, d);
	assert_int_equal(ob_dma_map(m.dma, p, PAGE, OB_DMA_TO_DEVICE, &map), 0);
	assert_int_equal(map.way, OB_DMA_WAY_MAPPED);
	blocked(&m, d, map.iova.addr);
	assert_true(unchanged(p));
	assert_int_equal(ob_dma_unmap(&map), 0);
	/* A page of the arena that is mapped for reading, too: where it is allocated, both are allowed. */
	q = m.dma->base + m.dma->size - PAGE;
	memset(q, PATTERN, PAGE);
	assert_int_equal(ob_dma_map(m.dma, q, PAGE, OB_DMA_TO_DEVICE, &inside), 0);
	assert_int_equal(inside.way, OB_DMA_WAY_ARENA);
	blocked(&m, d, inside.iova.addr);
	assert_true(unchanged(q));
	assert_int_equal(ob_dma_unmap(&inside), 0);
	ob_device_close(m.dev);
	munmap(p, PAGE);
}

static void edu_wild_write_is_blocked(void **state)
{
	wild(&edu);
}

static void edu_write_after_unmap_is_blocked(void **state)
{
	late(&edu);
}

static void edu_write_to_a_read_only_mapping_is_blocked(void **state)
{
	read_only(&edu);
}

static void e1000e_wild_write_is_blocked(void **state)
{
	wild(&e1000e);
}

static void e1000e_write_after_unmap_is_blocked(void **state)
{
	late(&e1000e);
}

static void e1000e_write_to_a_read_only_mapping_is_blocked(void **state)
{
	read_only(&e1000e);
}

static void nvme_wild_write_is_blocked(void **state)
{
	wild(&nvme);
}

static void nvme_write_after_unmap_is_blocked(void **state)
{
	late(&nvme);
}

static void nvme_write_to_a_read_only_mapping_is_blocked(void **state)
{
	read_only(&nvme);
}

/* Rights of a page that two mappings share cannot be changed under the first: the second goes another way. */
static void a_page_in_use_keeps_its_rights_and_the_second_user_is_served(void **state)
{
	struct ob_dma_mapping first, second;
	struct machine m;
	char *q;

	start(&m, &edu);
	q = m.dma->base + m.dma->size - PAGE;
	memset(q, PATTERN, PAGE);
	assert_int_equal(ob_dma_map(m.dma, q, 64, OB_DMA_TO_DEVICE, &first), 0);
	assert_int_equal(first.way, OB_DMA_WAY_ARENA);
	assert_int_equal(ob_dma_map(m.dma, q + 128, 64, OB_DMA_FROM_DEVICE, &second), 0);
	assert_int_equal(second.way, OB_DMA_WAY_BOUNCE);
	edu_write(m.dev, second.iova.addr);
	assert_int_equal(ob_dma_unmap(&second), 0);
	for (unsigned int i = 0; i < 64; i++) {
		assert_int_equal((unsigned char)q[128 + i], 0xe1);
		assert_int_equal(q[i], PATTERN);
	}
	/* The first can still be read by the device. */
	edu_start(m.bar, first.iova.addr, 64, false);
	WAIT_FOR(!(ob_read64(m.bar, EDU_DMA_CMD) & EDU_DMA_RUN));
	assert_int_equal(ob_dma_unmap(&first), 0);
	/* Without users it gets what the next one needs. */
	assert_int_equal(ob_dma_map(m.dma, q + 128, 64, OB_DMA_FROM_DEVICE, &second), 0);
	assert_int_equal(second.way, OB_DMA_WAY_ARENA);
	edu_start(m.bar, second.iova.addr, 64, true);
	WAIT_FOR(!(ob_read64(m.bar, EDU_DMA_CMD) & EDU_DMA_RUN));
	assert_int_equal(q[128], PATTERN);
	assert_int_equal(ob_dma_unmap(&second), 0);
	ob_device_close(m.dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edu_wild_write_is_blocked),
		cmocka_unit_test(edu_write_after_unmap_is_blocked),
		cmocka_unit_test(edu_write_to_a_read_only_mapping_is_blocked),
		cmocka_unit_test(e1000e_wild_write_is_blocked),
		cmocka_unit_test(e1000e_write_after_unmap_is_blocked),
		cmocka_unit_test(e1000e_write_to_a_read_only_mapping_is_blocked),
		cmocka_unit_test(nvme_wild_write_is_blocked),
		cmocka_unit_test(nvme_write_after_unmap_is_blocked),
		cmocka_unit_test(nvme_write_to_a_read_only_mapping_is_blocked),
		cmocka_unit_test(a_page_in_use_keeps_its_rights_and_the_second_user_is_served),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
