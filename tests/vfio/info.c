/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is read from the kernel's answers and log, and what is made of it: capability chains, IOVA ranges and the parts of
 * devices that share them, mappable pieces of a BAR, locked memory, blocked DMA.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/vfio/vfio.h"

#define GIB (1ull << 30)
#define MIB (1ull << 20)

/* ---- answers with capabilities ---------------------------------------------------------------------- */

struct iommu_answer {
	struct vfio_iommu_type1_info head;
	struct vfio_iommu_type1_info_dma_avail avail;
	uint32_t pad;
	/* struct vfio_iommu_type1_info_cap_iova_range without its array */
	struct {
		struct vfio_info_cap_header header;
		uint32_t nr_iovas, reserved;
	} ranges;
	struct vfio_iova_range range[3];
};

/* As a VT-d machine answers: everything but the MSI window. */
static struct iommu_answer vtd(void)
{
	struct iommu_answer a = {
		.head =
			{
				.argsz = sizeof(a),
				.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
				.iova_pgsizes = 0x40201000,
				.cap_offset = offsetof(struct iommu_answer, avail),
			},
		.avail =
			{
				.header = {VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1,
					   offsetof(struct iommu_answer, ranges)},
				.avail = 65535,
			},
		.ranges =
			{
				.header = {VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0},
				.nr_iovas = 2,
			},
		.range = {{0, 0xfedfffff}, {0xfef00000, (1ull << 39) - 1}},
	};

	return a;
}

static void limits_are_those_that_the_kernel_names(void **state)
{
	struct iommu_answer a = vtd();
	struct vfio_limits l;

	assert_int_equal(vfio_info_limits(&a, sizeof(a), &l), 0);
	assert_int_equal(l.nr_ranges, 2);
	assert_true(l.range[0].max == 0xfedfffff && l.range[1].min == 0xfef00000);
	assert_true(l.range[1].max == (1ull << 39) - 1);
	assert_int_equal(l.avail, 65535);
	assert_true(l.pgsizes == 0x40201000);
}

static void a_kernel_that_says_nothing_is_taken_for_the_narrowest(void **state)
{
	struct iommu_answer a = vtd();
	struct vfio_limits l;

	a.head.flags = 0;
	assert_int_equal(vfio_info_limits(&a, sizeof(a), &l), 0);
	assert_int_equal(l.nr_ranges, 2);
	assert_int_equal(l.avail, UINT32_MAX);
	assert_true(l.range[1].max == (1ull << 39) - 1);
}

static void a_chain_that_loops_or_leaves_the_answer_ends(void **state)
{
	struct iommu_answer a = vtd();
	struct vfio_limits l;

	/* To itself. */
	a.avail.header.next = a.head.cap_offset;
	assert_null(vfio_info_cap(&a, sizeof(a), a.head.cap_offset, 77, 8));
	/* Beyond the end, and just so that the header does not fit. */
	assert_null(vfio_info_cap(&a, sizeof(a), UINT32_MAX, 77, 8));
	assert_null(vfio_info_cap(&a, sizeof(a), sizeof(a) - 4, 77, 8));
	a.avail.header.next = 0xfffffff0;
	assert_null(vfio_info_cap(&a, sizeof(a), a.head.cap_offset, 77, 8));
	/* The header fits, the rest does not. */
	a = vtd();
	assert_null(vfio_info_cap(&a, sizeof(a) - sizeof(a.range) - 8, a.head.cap_offset,
				  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(a.ranges)));
	/* More ranges promised than there are. */
	a.ranges.nr_iovas = UINT32_MAX;
	a.range[2] = (struct vfio_iova_range){1ull << 40, (1ull << 41) - 1};
	assert_int_equal(vfio_info_limits(&a, sizeof(a), &l), -EMSGSIZE);
	/* Ranges that are upside down, or overlap. */
	a = vtd();
	a.range[1] = (struct vfio_iova_range){5, 4};
	assert_int_equal(vfio_info_limits(&a, sizeof(a), &l), 0);
	assert_int_equal(l.nr_ranges, 1);
	a.range[1] = (struct vfio_iova_range){0xfed00000, 1ull << 38};
	assert_int_equal(vfio_info_limits(&a, sizeof(a), &l), 0);
	assert_int_equal(l.nr_ranges, 1);
}

struct region_answer {
	struct vfio_region_info head;
	/* struct vfio_region_info_cap_sparse_mmap without its array */
	struct {
		struct vfio_info_cap_header header;
		uint32_t nr_areas, reserved;
	} sparse;
	struct vfio_region_sparse_mmap_area area[2];
};

static void a_region_is_mapped_whole_or_in_the_pieces_that_are_named(void **state)
{
	struct region_answer a = {
		.head =
			{
				.argsz = sizeof(a),
				.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
				.size = 0x4000,
				.offset = 1ull << 40,
			},
		.sparse =
			{
				.header = {VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0},
				.nr_areas = 2,
			},
		.area = {{0, 0x1000}, {0x3000, 0x1000}},
	};
	struct vfio_region r;

	/* Not at all. */
	assert_int_equal(vfio_info_region(&a, sizeof(a), &r), 0);
	assert_true(r.size == 0x4000 && r.offset == 1ull << 40);
	assert_int_equal(r.nr_pieces, 0);
	/* Whole. */
	a.head.flags |= VFIO_REGION_INFO_FLAG_MMAP;
	assert_int_equal(vfio_info_region(&a, sizeof(a), &r), 0);
	assert_int_equal(r.nr_pieces, 1);
	assert_true(!r.piece[0].off && r.piece[0].size == 0x4000);
	/* With a hole. */
	a.head.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	a.head.cap_offset = offsetof(struct region_answer, sparse);
	assert_int_equal(vfio_info_region(&a, sizeof(a), &r), 0);
	assert_int_equal(r.nr_pieces, 2);
	assert_true(r.piece[1].off == 0x3000 && r.piece[1].size == 0x1000);
	/* Pieces that are not in it are not mapped. */
	a.area[1].size = 0x1001;
	a.area[0] = (struct vfio_region_sparse_mmap_area){UINT64_MAX - 1, 4};
	assert_int_equal(vfio_info_region(&a, sizeof(a), &r), 0);
	assert_int_equal(r.nr_pieces, 0);
	/* More pieces promised than there are. */
	a.sparse.nr_areas = 1u << 30;
	assert_int_equal(vfio_info_region(&a, sizeof(a), &r), -EMSGSIZE);
}

static void what_lies_between_mapped_pieces_is_reached_by_messages(void **state)
{
	struct vfio_region r = {.size = 0x3000, .nr_pieces = 2};
	struct vfio_device vd = {.fd = memfd_create("registers", MFD_CLOEXEC)};
	static uint32_t low[1024], high[1024];
	uint32_t hole = 0x12345678;

	r.piece[0].size = r.piece[1].size = 0x1000;
	r.piece[1].off = 0x2000;
	r.piece[0].map = (char *)low;
	r.piece[1].map = (char *)high;
	assert_true(vd.fd >= 0);
	assert_int_equal(pwrite(vd.fd, &hole, 4, 0x1000), 4);
	low[1] = 1;
	high[1023] = 2;
	assert_int_equal(vfio_region_read(&vd, &r, 4, 4), 1);
	assert_int_equal(vfio_region_read(&vd, &r, 0x2ffc, 4), 2);
	assert_int_equal(vd.syscalls, 0);
	assert_int_equal(vfio_region_read(&vd, &r, 0x1000, 4), 0x12345678);
	assert_int_equal(vfio_region_read(&vd, &r, 0x1002, 2), 0x1234);
	vfio_region_write(&vd, &r, 0x1000, 1, 0xff);
	assert_int_equal(vfio_region_read(&vd, &r, 0x1000, 4), 0x123456ff);
	vfio_region_write(&vd, &r, 0x2000, 8, 0x1122334455667788ull);
	assert_int_equal(high[1], 0x11223344);
	assert_int_equal(vd.syscalls, 4);
	/* Beyond the end, and what cannot be read. */
	assert_true(vfio_region_read(&vd, &r, 0x2ffd, 4) == UINT64_MAX);
	assert_true(vfio_region_read(&vd, &r, UINT64_MAX, 4) == UINT64_MAX);
	close(vd.fd);
}

/* ---- IOVA ---------------------------------------------------------------------------------------------- */

static struct vfio_limits two_ranges(void)
{
	return (struct vfio_limits){
		.range = {{0, 0xfedfffff}, {0xfef00000, (1ull << 39) - 1}},
		.nr_ranges = 2,
	};
}

static bool inside(const struct ob_dma_window *w, uint64_t min, uint64_t max)
{
	if (min < w->aperture_min || max > w->aperture_max)
		return false;
	for (unsigned int i = 0; i < w->nr_holes; i++)
		if (min <= w->hole[i].max && max >= w->hole[i].min)
			return false;
	return true;
}

static void an_arena_lies_low_and_beside_the_hole(void **state)
{
	struct vfio_limits l = two_ranges();
	struct ob_dma_window w = {.size = 64 * MIB};

	assert_int_equal(vfio_iova_window(&l, 0, 1, &w), 0);
	assert_true(w.iova && !(w.iova % (2 * MIB)));
	/* Within edu's 28 bits. */
	assert_true(w.iova + w.size <= 1ull << 28);
	assert_true(inside(&w, w.iova, w.iova + w.size - 1));
	assert_false(inside(&w, 0xfee00000, 0xfee00000));
	assert_true(inside(&w, 4 * GIB, 5 * GIB));
	assert_false(inside(&w, 0, 0));
	/* One that does not fit below the hole. */
	w.size = 8 * GIB;
	assert_int_equal(vfio_iova_window(&l, 0, 1, &w), 0);
	assert_true(w.iova > 0xfeefffff && inside(&w, w.iova, w.iova + w.size - 1));
	/* One that fits nowhere. */
	w.size = 1ull << 40;
	assert_int_equal(vfio_iova_window(&l, 0, 1, &w), -ENOSPC);
}

static void devices_that_share_a_space_share_no_address(void **state)
{
	struct vfio_limits l = two_ranges();

	for (unsigned int n = 2; n <= VFIO_SPACE_DEVICES; n++) {
		struct ob_dma_window w[VFIO_SPACE_DEVICES];

		for (unsigned int i = 0; i < n; i++) {
			memset(&w[i], 0, sizeof(w[i]));
			w[i].size = 4 * MIB;
			assert_int_equal(vfio_iova_window(&l, i, n, &w[i]), 0);
			assert_true(w[i].iova + w[i].size <= 1ull << 28);
			assert_true(inside(&w[i], w[i].iova, w[i].iova + w[i].size - 1));
		}
		/* Any address belongs to one of them at most; each has some high ones. */
		for (uint64_t at = 0; at < 1ull << 39; at += at < 4 * GIB ? MIB : GIB) {
			unsigned int owners = 0;

			for (unsigned int i = 0; i < n; i++)
				owners += inside(&w[i], at, at + 4095);
			assert_in_range(owners, 0, 1);
		}
		for (unsigned int i = 0; i < n; i++)
			assert_true(w[i].aperture_max > 32 * GIB);
	}
}

static void more_holes_than_can_be_named_cost_what_is_above_them(void **state)
{
	struct ob_dma_window w = {.size = MIB};
	struct vfio_limits l = {.nr_ranges = VFIO_RANGES};

	for (unsigned int i = 0; i < VFIO_RANGES; i++)
		l.range[i] = (struct vfio_range){(i + 1) * GIB, (i + 1) * GIB + 16 * MIB - 1};
	assert_int_equal(vfio_iova_window(&l, 0, 1, &w), 0);
	assert_int_equal(w.nr_holes, OB_DMA_HOLES);
	for (unsigned int i = 0; i < VFIO_RANGES; i++)
		assert_false(inside(&w, l.range[i].max, l.range[i].max + 1));
	assert_true(inside(&w, l.range[OB_DMA_HOLES].min, l.range[OB_DMA_HOLES].max));
	assert_false(inside(&w, l.range[OB_DMA_HOLES + 1].min, l.range[OB_DMA_HOLES + 1].min));
}

/* ---- locked memory ------------------------------------------------------------------------------------- */

static void too_much_locked_memory_is_told_with_need_and_limit(void **state)
{
	struct vfio_lock_room room = {.limit = 8 * MIB, .used = MIB};
	struct ob_error err;

	assert_int_equal(vfio_lock_check(&room, "disk", 7 * MIB, &err), 0);
	assert_int_equal(vfio_lock_check(&room, "disk", 64 * MIB, &err), -ENOMEM);
	assert_non_null(strstr(err.what, "65536 KiB"));
	assert_non_null(strstr(err.what, "8192 KiB"));
	assert_non_null(strstr(err.why, "uses 1024 KiB"));
	assert_non_null(strstr(err.fix, "ulimit -l 66560"));
	room.used = 9 * MIB;
	assert_int_equal(vfio_lock_check(&room, "disk", 4096, &err), -ENOMEM);
	room.unlimited = true;
	assert_int_equal(vfio_lock_check(&room, "disk", 1ull << 50, &err), 0);
}

static void an_arena_is_zeroed_and_aligned_for_superpages(void **state)
{
	static const uint64_t sizes[] = {4096, 100000, 3 * MIB, 16 * MIB};

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t size = sizes[i % 4];
		char *base;

		assert_int_equal(vfio_arena_create(&size, i < 4, &base), 0);
		assert_true(size >= sizes[i % 4] && !(size % 4096));
		assert_int_equal((uintptr_t)base % (2 * MIB), 0);
		for (uint64_t k = 0; k < size; k += 4095)
			assert_int_equal(base[k], 0);
		memset(base, 1, size);
		munmap(base, size);
	}
}

/* ---- blocked DMA ----------------------------------------------------------------------------------------- */

static void each_iommus_words_for_a_blocked_access_are_understood(void **state)
{
	static const struct {
		const char *text;
		struct ob_bdf source;
		uint64_t iova;
		bool write;
		unsigned int reason;
		const char *why;
	} lines[] = {
		{"DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0x2000000 [fault reason 0x05] "
		 "PTE Write access is not set",
		 {0, 0, 5, 0},
		 0x2000000,
		 true,
		 5,
		 "PTE Write access is not set"},
		{"DMAR: [DMA Read NO_PASID] Request device [0000:03:1f.7] fault addr 0xfffff000 [fault reason 0x06] "
		 "PTE Read access is not set",
		 {0, 3, 31, 7},
		 0xfffff000,
		 false,
		 6,
		 "PTE Read access is not set"},
		{"vfio-pci 0000:00:05.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x2000000 flags=0x0020]",
		 {0, 0, 5, 0},
		 0x2000000,
		 true,
		 0x20,
		 "page fault"},
		{"AMD-Vi: Event logged [IO_PAGE_FAULT device=0001:41:00.1 domain=0x0000 address=0x3000 flags=0x0000]",
		 {1, 0x41, 0, 1},
		 0x3000,
		 false,
		 0,
		 "page fault"},
		{"virtio_iommu virtio0: page fault from EP 48 at 0x40000000 [W]",
		 {0, 0, 6, 0},
		 0x40000000,
		 true,
		 0,
		 "page fault"},
		{"virtio_iommu virtio0: page fault from EP 48 at 0x40000000 []",
		 {0, 0, 6, 0},
		 0x40000000,
		 false,
		 0,
		 "page fault"},
	};
	static const char *const others[] = {
		"",
		"DMAR: DRHD: handling fault status reg 2",
		"DMAR: [DMA ",
		"DMAR: [DMA Write] Request device [",
		"DMAR: [DMA Write] Request device [00:05.0",
		"DMAR: [DMA Write] Request device [00:05.0]",
		"DMAR: [DMA Write] Request device [00:05.0] fault addr ",
		"DMAR: [DMA Write] Request device [99999999999999999999:05.0] fault addr 0x1000",
		"DMAR: INTR-REMAP: Request device [00:05.0] fault index 0x0 [fault reason 0x22]",
		"AMD-Vi: Event logged [IO_PAGE_FAULT device=tree address=0x1 flags=0x0]",
		"IO_PAGE_FAULT: AMD-Vi: ",
		"virtio_iommu virtio0: page fault from EP x at 0x1 []",
		"usb 1-1: new high-speed USB device",
	};

	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct ob_fault f;
		char reason[64];

		if (!vfio_fault_parse(lines[i].text, &f, reason))
			fail_msg("not understood: %s", lines[i].text);
		assert_int_equal(sysfs_bdf_order(&f.source), sysfs_bdf_order(&lines[i].source));
		assert_true(f.iova == lines[i].iova);
		assert_int_equal(f.write, lines[i].write);
		assert_int_equal(f.reason, lines[i].reason);
		assert_string_equal(reason, lines[i].why);
	}
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct ob_fault f;
		char reason[64];

		if (vfio_fault_parse(others[i], &f, reason))
			fail_msg("taken for a fault: %s", others[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_those_that_the_kernel_names),
		cmocka_unit_test(a_kernel_that_says_nothing_is_taken_for_the_narrowest),
		cmocka_unit_test(a_chain_that_loops_or_leaves_the_answer_ends),
		cmocka_unit_test(a_region_is_mapped_whole_or_in_the_pieces_that_are_named),
		cmocka_unit_test(what_lies_between_mapped_pieces_is_reached_by_messages),
		cmocka_unit_test(an_arena_lies_low_and_beside_the_hole),
		cmocka_unit_test(devices_that_share_a_space_share_no_address),
		cmocka_unit_test(more_holes_than_can_be_named_cost_what_is_above_them),
		cmocka_unit_test(too_much_locked_memory_is_told_with_need_and_limit),
		cmocka_unit_test(an_arena_is_zeroed_and_aligned_for_superpages),
		cmocka_unit_test(each_iommus_words_for_a_blocked_access_are_understood),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
