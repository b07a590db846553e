/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that is programmed with an address that was not mapped for it: with the IOMMU the access is
 * blocked, reported with device and address, and memory is as it was; without it the same
 * programming writes to that memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "tests/wild_dma.h"

enum {
	ARENA = 16 << 20,
	/* Where in the arena, without an IOMMU, the forbidden address lies. */
	VICTIM = 8 << 20,
	PATTERN = 0x5a,
};

struct machine {
	struct ob_device *dev;
	struct ob_dma *dma;
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
	m->dma = ob_device_dma(m->dev);
	assert_int_equal(m->dma->size, ARENA);
}

/* ---- the tests ------------------------------------------------------------------------ */

struct device {
	const char *model; /* with the options that it needs */
	void (*write)(struct ob_device *dev, uint64_t to);
};

/* edu drives 28 address bits unless told otherwise. */
static const struct device edu = {"edu,prop.dma_mask=0xffffffffffffffff", edu_write};
static const struct device e1000e = {"e1000e,netdev=none", e1000_write};
static const struct device nvme = {"nvme,null=64M", nvme_write};

static void start(struct machine *m, const struct device *d, const char *iommu)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "qemu:%s,arena=16M,iommu=%s", d->model, iommu);
	open_machine(m, spec);
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

	d->write(m.dev, victim_address);

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
	d->write(m.dev, ob_dma_iova(m.dma, p).addr);
	assert_true(changed(p, PAGE) > 0);
	assert_int_equal(changed(p + PAGE, most - PAGE), 0);
	assert_int_equal(ob_device_faults(m.dev, fault, 8), 0);
	ob_device_close(m.dev);
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
	d->write(m.dev, victim_address);
	assert_true(changed(victim, PAGE) > 0);
	ob_device_close(m.dev);
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
	struct machine m;

	open_machine(&m, "qemu:edu,arena=16M,iommu=off");
	victim_address = ob_dma_iova(m.dma, m.dma->base + VICTIM).addr;
	ob_device_close(m.dev);
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
