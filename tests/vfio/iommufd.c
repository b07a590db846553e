/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way by iommufd, against a kernel that is played here, because no kernel that we can have has it: which calls it
 * makes, with which sizes and flags, in which order, and what it makes of the answers. ioctl() is replaced
 * (--wrap=ioctl); the structures are those of include/uapi/linux.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/vfio/vfio.h"

enum {
	IOMMU_FD = 100,
	DEVICE_FD = 101,
	IOAS = 7,
};

static struct {
	unsigned int calls;
	int fail; /* errno of the next call */
	struct iommu_ioas_map map;
	struct iommu_ioas_unmap unmap;
	uint64_t unmap_answer;
	uint32_t reset_argsz, reset_count;
	uint32_t nr_ranges;
} kernel;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct iommu_ioas_iova_ranges *ranges;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	kernel.calls++;
	if (kernel.fail) {
		errno = kernel.fail;
		kernel.fail = 0;
		return -1;
	}
	switch (request) {
	case IOMMU_IOAS_IOVA_RANGES:
		assert_int_equal(fd, IOMMU_FD);
		ranges = arg;
		assert_int_equal(ranges->size, sizeof(*ranges));
		assert_int_equal(ranges->ioas_id, IOAS);
		assert_int_equal(ranges->__reserved, 0);
		for (uint32_t i = 0; i < kernel.nr_ranges && i < ranges->num_iovas; i++) {
			struct iommu_iova_range *r =
				(struct iommu_iova_range *)(uintptr_t)ranges->allowed_iovas + i;

			r->start = (uint64_t)i << 32;
			r->last = ((uint64_t)i << 32) + 0xfedfffff;
		}
		errno = EMSGSIZE;
		fd = kernel.nr_ranges > ranges->num_iovas ? -1 : 0;
		ranges->num_iovas = kernel.nr_ranges;
		ranges->out_iova_alignment = 4096;
		return fd;
	case IOMMU_IOAS_MAP:
		assert_int_equal(fd, IOMMU_FD);
		memcpy(&kernel.map, arg, sizeof(kernel.map));
		return 0;
	case IOMMU_IOAS_UNMAP:
		assert_int_equal(fd, IOMMU_FD);
		memcpy(&kernel.unmap, arg, sizeof(kernel.unmap));
		((struct iommu_ioas_unmap *)arg)->length = kernel.unmap_answer;
		return 0;
	case VFIO_DEVICE_PCI_HOT_RESET:
		assert_int_equal(fd, DEVICE_FD);
		kernel.reset_argsz = ((struct vfio_pci_hot_reset *)arg)->argsz;
		kernel.reset_count = ((struct vfio_pci_hot_reset *)arg)->count;
		return 0;
	default:
		fail_msg("unexpected ioctl 0x%lx", request);
		return -1;
	}
}

static struct vfio_space space(void)
{
	memset(&kernel, 0, sizeof(kernel));
	return (struct vfio_space){
		.way = &vfio_way_iommufd,
		.container = -1,
		.group_fd = -1,
		.iommufd = IOMMU_FD,
		.ioas = IOAS,
	};
}

static void a_mapping_is_where_it_was_asked_for_with_its_rights(void **state)
{
	struct vfio_space s = space();
	static char page[4096] __attribute__((aligned(4096)));

	assert_int_equal(s.way->map(&s, page, 0x1000000, 4096, OB_DMA_READ), 0);
	assert_int_equal(kernel.map.size, sizeof(kernel.map));
	assert_int_equal(kernel.map.ioas_id, IOAS);
	assert_true(kernel.map.user_va == (uintptr_t)page);
	assert_true(kernel.map.iova == 0x1000000 && kernel.map.length == 4096);
	assert_int_equal(kernel.map.flags, IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE);
	assert_int_equal(s.way->map(&s, page, 0x1000000, 4096, OB_DMA_WRITE), 0);
	assert_int_equal(kernel.map.flags, IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE);
	kernel.fail = EEXIST;
	assert_int_equal(s.way->map(&s, page, 0x1000000, 4096, OB_DMA_WRITE), -EEXIST);
}

static void an_unmap_tells_how_much_was_unmapped(void **state)
{
	struct vfio_space s = space();
	uint64_t done = 0;

	kernel.unmap_answer = 4096;
	assert_int_equal(s.way->unmap(&s, 0x2000000, 8192, &done), 0);
	assert_int_equal(kernel.unmap.size, sizeof(kernel.unmap));
	assert_int_equal(kernel.unmap.ioas_id, IOAS);
	assert_true(kernel.unmap.iova == 0x2000000 && kernel.unmap.length == 8192);
	assert_int_equal(done, 4096);
	kernel.fail = ENOENT;
	assert_int_equal(s.way->unmap(&s, 0x2000000, 8192, &done), -ENOENT);
}

static void ranges_are_taken_also_when_there_are_more_than_we_have_room_for(void **state)
{
	struct vfio_space s = space();
	struct vfio_limits l;

	kernel.nr_ranges = 2;
	assert_int_equal(s.way->limits(&s, &l), 0);
	assert_int_equal(l.nr_ranges, 2);
	assert_true(l.range[1].min == 1ull << 32 && l.range[1].max == (1ull << 32) + 0xfedfffff);
	kernel.nr_ranges = VFIO_RANGES + 5;
	assert_int_equal(s.way->limits(&s, &l), 0);
	assert_int_equal(l.nr_ranges, VFIO_RANGES);
	kernel.nr_ranges = 0;
	assert_int_equal(s.way->limits(&s, &l), -ENOSPC);
	kernel.fail = EINVAL;
	assert_int_equal(s.way->limits(&s, &l), -EINVAL);
}

static void a_bus_reset_needs_no_proof_but_ownership(void **state)
{
	struct vfio_space s = space();
	struct vfio_device vd = {.fd = DEVICE_FD};
	struct sysfs_function fn = {0};

	assert_int_equal(s.way->bus_reset(&s, &vd), 0);
	assert_int_equal(kernel.reset_argsz, sizeof(struct vfio_pci_hot_reset));
	assert_int_equal(kernel.reset_count, 0);
	assert_true(s.way->owns(&s, &fn, 3));
	assert_true(s.way->owns(&s, &fn, VFIO_PCI_DEVID_OWNED));
	assert_false(s.way->owns(&s, &fn, (uint32_t)VFIO_PCI_DEVID_NOT_OWNED));
}

static void without_dev_iommu_the_reason_is_told(void **state)
{
	struct vfio_space s = space();
	struct sysfs_function fn = {.name = "0000:00:05.0"};
	struct ob_error err = {0};

	s.iommufd = -1;
	if (!access("/dev/iommu", F_OK)) {
		print_message("# SKIP this kernel has iommufd\n");
		skip();
	}
	assert_int_equal(s.way->open_space(&s, &fn, &err), -ENODEV);
	assert_non_null(strstr(err.what, "/dev/iommu"));
	s.way->close_space(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mapping_is_where_it_was_asked_for_with_its_rights),
		cmocka_unit_test(an_unmap_tells_how_much_was_unmapped),
		cmocka_unit_test(ranges_are_taken_also_when_there_are_more_than_we_have_room_for),
		cmocka_unit_test(a_bus_reset_needs_no_proof_but_ownership),
		cmocka_unit_test(without_dev_iommu_the_reason_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
