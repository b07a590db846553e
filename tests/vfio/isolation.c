/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA that was not allowed, by each of three real devices behind the kernel's VFIO: to an address that was never mapped,
 * to memory after its unmap, to memory that the device may only read. Each is blocked, memory is as it was, the
 * emulated IOMMU has counted it and ob_device_faults() names the device. In the rig, by tests/rig/vfio_isolation.sh.
 *
 * The devices are programmed by hand, since no driver of ours does this. Registers: QEMU docs/specs/edu; 82574
 * datasheet, chapter 10; NVMe base specification 1.4, 3.1 and 5.15.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/vfio/rig.h"

enum {
	PAGE = 4096,
	PATTERN = 0x5a,
};

struct machine {
	struct ob_device *dev;
	struct ob_bar *bar;
	struct ob_dma *dma;
};

/* ---- one write by each device, of at least four bytes to @to -------------------------------------- */

static void edu_write(struct machine *m, uint64_t to)
{
	ob_iova from;
	char *p = ob_dma_alloc(m->dma, PAGE, PAGE, "pattern", &from);

	assert_non_null(p);
	memset(p, 0xe1, 64);
	edu_start(m->bar, from.addr, 64, false);
	WAIT_FOR(!(ob_read64(m->bar, EDU_DMA_CMD) & EDU_DMA_RUN));
	edu_start(m->bar, to, 64, true);
	WAIT_FOR(!(ob_read64(m->bar, EDU_DMA_CMD) & EDU_DMA_RUN));
	ob_dma_free(m->dma, p);
}

enum {
	E1000_CTRL = 0x0000,
	E1000_CTRL_SLU = 1 << 6,
	E1000_CTRL_RST = 1 << 26,
	E1000_STATUS = 0x0008,
	E1000_STATUS_LU = 1 << 1,
	E1000_RCTL = 0x0100,
	E1000_RCTL_EN = 1 << 1,
	E1000_RCTL_UPE = 1 << 3,
	E1000_RCTL_LBM_MAC = 1 << 6,
	E1000_RCTL_BAM = 1 << 15,
	E1000_TCTL = 0x0400,
	E1000_TCTL_EN = 1 << 1,
	E1000_TCTL_PSP = 1 << 3,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_RFCTL = 0x5008,
	E1000_DD = 1,
	E1000_TX_EOP_IFCS_RS = 0x0b,
};

struct e1000_desc {
	uint64_t addr;
	uint16_t length;
	uint8_t cso, cmd;
	uint8_t status, css;
	uint16_t special;
};

/* A frame is looped back inside the card to a receive descriptor that names the address. */
static void e1000_write(struct machine *m, uint64_t to)
{
	volatile struct e1000_desc *ring;
	ob_iova iova;
	char *p;

	p = ob_dma_alloc(m->dma, 3 * PAGE, PAGE, "rings and frame", &iova);
	assert_non_null(p);
	ring = (void *)p; /* receive at 0, transmit at PAGE, the frame at 2 * PAGE */
	memset(p + 2 * PAGE, 0xe1, 128);
	memset(p + 2 * PAGE, 0xff, 6);
	ob_write32(m->bar, E1000_CTRL, ob_read32(m->bar, E1000_CTRL) | E1000_CTRL_RST);
	WAIT_FOR(!(ob_read32(m->bar, E1000_CTRL) & E1000_CTRL_RST));
	ob_write32(m->bar, E1000_CTRL, ob_read32(m->bar, E1000_CTRL) | E1000_CTRL_SLU);
	WAIT_FOR(ob_read32(m->bar, E1000_STATUS) & E1000_STATUS_LU);
	/* Descriptors as above, not the extended ones that another driver may have chosen. */
	ob_write32(m->bar, E1000_RFCTL, 0);
	for (unsigned int i = 0; i < 8; i++)
		ring[i].addr = to;
	ring[PAGE / sizeof(*ring)].addr = iova.addr + 2 * PAGE;
	ring[PAGE / sizeof(*ring)].length = 128;
	ring[PAGE / sizeof(*ring)].cmd = E1000_TX_EOP_IFCS_RS;
	ob_wmb();
	ob_write32(m->bar, E1000_RDBAL, ob_iova_lo(iova));
	ob_write32(m->bar, E1000_RDBAH, ob_iova_hi(iova));
	ob_write32(m->bar, E1000_RDLEN, 8 * sizeof(*ring));
	ob_write32(m->bar, E1000_RDH, 0);
	ob_write32(m->bar, E1000_RCTL,
		   E1000_RCTL_EN | E1000_RCTL_UPE | E1000_RCTL_BAM | E1000_RCTL_LBM_MAC);
	ob_write32(m->bar, E1000_RDT, 7);
	ob_write32(m->bar, E1000_TDBAL, ob_iova_lo(iova) + PAGE);
	ob_write32(m->bar, E1000_TDBAH, ob_iova_hi(iova));
	ob_write32(m->bar, E1000_TDLEN, 8 * sizeof(*ring));
	ob_write32(m->bar, E1000_TDH, 0);
	ob_write32(m->bar, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
	ob_write32(m->bar, E1000_TDT, 1);
	/* The card does not notice that its write was refused. */
	WAIT_FOR(ring[PAGE / sizeof(*ring)].status & E1000_DD);
	WAIT_FOR(ring[0].status & E1000_DD);
	ob_write32(m->bar, E1000_RCTL, 0);
	ob_write32(m->bar, E1000_TCTL, 0);
	ob_device_flush(m->dev);
	ob_dma_free(m->dma, p);
}

enum {
	NVME_CC = 0x14,
	NVME_CC_EN = 1,
	NVME_CC_IOSQES_64 = 6 << 16,
	NVME_CC_IOCQES_16 = 4 << 20,
	NVME_CSTS = 0x1c,
	NVME_CSTS_RDY = 1,
	NVME_AQA = 0x24,
	NVME_ASQ = 0x28,
	NVME_ACQ = 0x30,
	NVME_SQ0_TAIL = 0x1000,
	NVME_IDENTIFY = 6,
	NVME_CNS_CONTROLLER = 1,
	NVME_ENTRIES = 8,
};

/* Identify controller, its 4,096 bytes to be written to the address. */
static void nvme_write(struct machine *m, uint64_t to)
{
	volatile uint32_t *sq, *cq;
	ob_iova sq_iova, cq_iova;

	sq = ob_dma_alloc(m->dma, PAGE, PAGE, "admin sq", &sq_iova);
	cq = ob_dma_alloc(m->dma, PAGE, PAGE, "admin cq", &cq_iova);
	assert_true(sq && cq);
	ob_write32(m->bar, NVME_CC, 0);
	WAIT_FOR(!(ob_read32(m->bar, NVME_CSTS) & NVME_CSTS_RDY));
	ob_write32(m->bar, NVME_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	ob_write64(m->bar, NVME_ASQ, sq_iova.addr);
	ob_write64(m->bar, NVME_ACQ, cq_iova.addr);
	ob_write32(m->bar, NVME_CC, NVME_CC_EN | NVME_CC_IOSQES_64 | NVME_CC_IOCQES_16);
	WAIT_FOR(ob_read32(m->bar, NVME_CSTS) & NVME_CSTS_RDY);
	sq[0] = NVME_IDENTIFY;
	sq[6] = (uint32_t)to;
	sq[7] = (uint32_t)(to >> 32);
	sq[10] = NVME_CNS_CONTROLLER;
	ob_wmb();
	ob_write32(m->bar, NVME_SQ0_TAIL, 1);
	/* The phase bit of the first completion. */
	WAIT_FOR(cq[3] & 1 << 16);
	ob_write32(m->bar, NVME_CC, 0);
	WAIT_FOR(!(ob_read32(m->bar, NVME_CSTS) & NVME_CSTS_RDY));
	ob_dma_free(m->dma, (void *)sq);
	ob_dma_free(m->dma, (void *)cq);
}

/* ---- the tests -------------------------------------------------------------------------------------- */

struct device {
	const char *variable;
	unsigned int bits;
	void (*write)(struct machine *m, uint64_t to);
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
	double start = rig_seconds();
	char name[64];

	snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", info->bdf.domain, info->bdf.bus,
		 info->bdf.dev, info->bdf.fn);
	/* The kernel's interrupt handler writes the line. */
	while (rig_seconds() - start < 1) {
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

		d->write(m, iova);
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
	d->write(&m, ob_dma_iova(m.dma, p).addr);
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
	d->write(&m, map.iova.addr);
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
	edu_write(&m, second.iova.addr);
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
