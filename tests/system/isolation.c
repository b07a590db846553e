/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that is programmed with an address that was not mapped for it: with the IOMMU the access is
 * blocked, reported with device and address, and memory is as it was; without it the same
 * programming writes to that memory. The devices are programmed by hand, since no driver of ours does this.
 * Registers: QEMU docs/specs/edu; 82574 datasheet, chapter 10; NVMe base specification 1.4, 3.1 and 5.15.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

enum {
	ARENA = 16 << 20,
	/* Where in the arena, without an IOMMU, the forbidden address lies. */
	VICTIM = 8 << 20,
	PAGE = 4096,
	PATTERN = 0x5a,
};

struct machine {
	struct ob_device *dev;
	struct ob_bar *bar;
	struct ob_dma *dma;
	int wire; /* our end of the cable, or -1 */
};

/*
 * Where the victim page lies for a device that nobody translates for. The arena has the same place in
 * the machine's memory with the IOMMU on, where nothing is mapped at this number.
 */
static uint64_t victim_address;

static void open_machine(struct machine *m, const char *spec)
{
	struct ob_error err = {0};
	char text[2048];

	if (ob_device_open(spec, &m->dev, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	m->bar = ob_device_bar(m->dev, 0);
	m->dma = ob_device_dma(m->dev);
	assert_non_null(m->bar);
	assert_int_equal(m->dma->size, ARENA);
}

static void close_machine(struct machine *m)
{
	ob_device_close(m->dev);
	if (m->wire >= 0)
		close(m->wire);
}

/* Ends only what hangs. */
static bool expired(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start->tv_sec > 60;
}

#define WAIT_FOR(cond)                                                                             \
	do {                                                                                       \
		struct timespec start_;                                                            \
		clock_gettime(CLOCK_MONOTONIC, &start_);                                           \
		while (!(cond)) {                                                                  \
			if (expired(&start_))                                                      \
				fail_msg("never came true: %s", #cond);                            \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

/* ---- one access by each device: writes "len" bytes to "to" ---------------------------- */

enum {
	EDU_DMA_SRC = 0x80,
	EDU_DMA_DST = 0x88,
	EDU_DMA_COUNT = 0x90,
	EDU_DMA_CMD = 0x98,
	EDU_DMA_START = 1,
	EDU_DMA_TO_RAM = 2,
	EDU_BUFFER = 0x40000,
};

static void edu_dma(struct machine *m, uint64_t src, uint64_t dst, uint64_t len, uint64_t dir)
{
	ob_write64(m->bar, EDU_DMA_SRC, src);
	ob_write64(m->bar, EDU_DMA_DST, dst);
	ob_write64(m->bar, EDU_DMA_COUNT, len);
	ob_write64(m->bar, EDU_DMA_CMD, EDU_DMA_START | dir);
	WAIT_FOR(!(ob_read64(m->bar, EDU_DMA_CMD) & EDU_DMA_START));
}

static void edu_write(struct machine *m, uint64_t to)
{
	ob_iova from;
	char *p = ob_dma_alloc(m->dma, PAGE, PAGE, "pattern", &from);

	assert_non_null(p);
	memset(p, 0xe1, 64);
	edu_dma(m, from.addr, EDU_BUFFER, 64, 0);
	edu_dma(m, EDU_BUFFER, to, 64, EDU_DMA_TO_RAM);
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
	E1000_RCTL_BAM = 1 << 15,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_RX_DD = 1,
};

struct e1000_rx_desc {
	uint64_t addr;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};

/* A frame comes in for which the receive descriptor names the address. */
static void e1000_write(struct machine *m, uint64_t to)
{
	volatile struct e1000_rx_desc *ring;
	uint8_t frame[128];
	ob_iova iova;

	ring = ob_dma_alloc(m->dma, PAGE, PAGE, "rx ring", &iova);
	assert_non_null((void *)ring);
	ob_write32(m->bar, E1000_CTRL, ob_read32(m->bar, E1000_CTRL) | E1000_CTRL_RST);
	WAIT_FOR(!(ob_read32(m->bar, E1000_CTRL) & E1000_CTRL_RST));
	ob_write32(m->bar, E1000_CTRL, ob_read32(m->bar, E1000_CTRL) | E1000_CTRL_SLU);
	for (unsigned int i = 0; i < 8; i++)
		ring[i].addr = to;
	ob_wmb();
	ob_write32(m->bar, E1000_RDBAL, ob_iova_lo(iova));
	ob_write32(m->bar, E1000_RDBAH, ob_iova_hi(iova));
	ob_write32(m->bar, E1000_RDLEN, 8 * sizeof(*ring));
	ob_write32(m->bar, E1000_RDH, 0);
	ob_write32(m->bar, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_UPE | E1000_RCTL_BAM);
	ob_write32(m->bar, E1000_RDT, 7);
	WAIT_FOR(ob_read32(m->bar, E1000_STATUS) & E1000_STATUS_LU);

	memset(frame, 0xe1, sizeof(frame));
	memset(frame, 0xff, 6);
	assert_int_equal(send(m->wire, frame, sizeof(frame), 0), sizeof(frame));
	WAIT_FOR(ring[0].status & E1000_RX_DD);
	/* Receiver off before its ring goes. */
	ob_write32(m->bar, E1000_RCTL, 0);
	ob_device_flush(m->dev);
	ob_dma_free(m->dma, (void *)ring);
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

/* ---- the tests ------------------------------------------------------------------------ */

struct device {
	const char *model; /* with the options that it needs */
	bool wire;
	void (*write)(struct machine *m, uint64_t to);
};

/* edu drives 28 address bits unless told otherwise. */
static const struct device edu = {"edu,prop.dma_mask=0xffffffffffffffff", false, edu_write};
static const struct device e1000e = {"e1000e", true, e1000_write};
static const struct device nvme = {"nvme,null=64M", false, nvme_write};

static void start(struct machine *m, const struct device *d, const char *iommu)
{
	int pair[2] = {-1, -1};
	char spec[256];
	int n;

	n = snprintf(spec, sizeof(spec), "qemu:%s,arena=16M,iommu=%s", d->model, iommu);
	if (d->wire) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
		snprintf(spec + n, sizeof(spec) - (size_t)n, ",netdev=fd:%d", pair[1]);
	}
	m->wire = pair[0];
	open_machine(m, spec);
	if (pair[1] >= 0)
		close(pair[1]);
}

/* Bytes of a range that are not the pattern. */
static size_t changed(const char *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] != PATTERN;
	return n;
}

static void blocked(const struct device *d)
{
	struct ob_fault fault[8];
	const struct ob_device_info *info;
	struct machine m;
	char number[32];
	size_t most = ARENA - (1 << 20);
	bool named = false;
	char *p;
	int n;

	start(&m, d, "on");
	info = ob_device_info(m.dev);
	assert_true(info->iommu);
	/* Not an address that we did map. */
	assert_true(victim_address + PAGE <= m.dma->iova ||
		    victim_address >= m.dma->iova + m.dma->size);
	/* All but what rings need, and so what the forbidden number means without translation, too. */
	p = ob_dma_alloc(m.dma, most, PAGE, "must not change", NULL);
	assert_non_null(p);
	assert_true(p <= m.dma->base + VICTIM && p + most >= m.dma->base + VICTIM + PAGE);
	memset(p, PATTERN, most);
	assert_int_equal(ob_device_faults(m.dev, fault, 8), 0);

	d->write(&m, victim_address);

	n = ob_device_faults(m.dev, fault, 8);
	assert_in_range(n, 1, 8);
	snprintf(number, sizeof(number), "%" PRIx64, victim_address);
	for (int i = 0; i < n; i++) {
		assert_int_equal(fault[i].source.bus, info->bdf.bus);
		assert_int_equal(fault[i].source.dev, info->bdf.dev);
		assert_int_equal(fault[i].source.fn, info->bdf.fn);
		assert_int_equal(fault[i].iova, victim_address);
		assert_true(fault[i].write);
		if (strstr(fault[i].text, info->name) && strstr(fault[i].text, number))
			named = true;
		print_message("# %s\n", fault[i].text);
	}
	assert_true(named);
	assert_int_equal(changed(p, most), 0);

	/* The device still does what is allowed. */
	d->write(&m, ob_dma_iova(m.dma, p).addr);
	assert_true(changed(p, PAGE) > 0);
	assert_int_equal(changed(p + PAGE, most - PAGE), 0);
	assert_int_equal(ob_device_faults(m.dev, fault, 8), 0);
	close_machine(&m);
}

static void lands(const struct device *d)
{
	struct ob_fault fault[8];
	struct machine m;
	char *victim;

	start(&m, d, "off");
	assert_false(ob_device_info(m.dev)->iommu);
	assert_int_equal(ob_device_faults(m.dev, fault, 8), -EOPNOTSUPP);
	assert_int_equal(ob_dma_iova(m.dma, m.dma->base + VICTIM).addr, victim_address);
	victim = m.dma->base + VICTIM;
	memset(victim, PATTERN, PAGE);
	d->write(&m, victim_address);
	assert_true(changed(victim, PAGE) > 0);
	close_machine(&m);
}

static void edu_write_to_an_unmapped_address_is_blocked_and_reported(void **state)
{
	blocked(&edu);
}

static void edu_same_write_lands_without_iommu(void **state)
{
	lands(&edu);
}

static void e1000e_write_to_an_unmapped_address_is_blocked_and_reported(void **state)
{
	blocked(&e1000e);
}

static void e1000e_same_write_lands_without_iommu(void **state)
{
	lands(&e1000e);
}

static void nvme_write_to_an_unmapped_address_is_blocked_and_reported(void **state)
{
	blocked(&nvme);
}

static void nvme_same_write_lands_without_iommu(void **state)
{
	lands(&nvme);
}

static int find_victim(void **state)
{
	struct machine m = {.wire = -1};

	open_machine(&m, "qemu:edu,arena=16M,iommu=off");
	victim_address = ob_dma_iova(m.dma, m.dma->base + VICTIM).addr;
	close_machine(&m);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edu_write_to_an_unmapped_address_is_blocked_and_reported),
		cmocka_unit_test(edu_same_write_lands_without_iommu),
		cmocka_unit_test(e1000e_write_to_an_unmapped_address_is_blocked_and_reported),
		cmocka_unit_test(e1000e_same_write_lands_without_iommu),
		cmocka_unit_test(nvme_write_to_an_unmapped_address_is_blocked_and_reported),
		cmocka_unit_test(nvme_same_write_lands_without_iommu),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, find_victim, NULL);
}
