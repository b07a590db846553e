/* SPDX-License-Identifier: BSD-2-Clause */
/* Which devices' drivers may be called isolated: on a folder like sysfs, with each reason why one is not. */
#include <errno.h>

#include "keeper/sandbox.h"
#include "tests/cli/sysfs_folder.h"

enum {
	GROUP = 7,
	ATS_AT = 0x160,
};

static void __attribute__((format(printf, 2, 3))) put_of(const char *bdf, const char *fmt, ...)
{
	char text[160], file[256], value[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sscanf(text, "%63[^=]", value);
	snprintf(file, sizeof(file), "sys/devices/pci0000:00/%s/%s", bdf, value);
	put(file, "%s\n", strchr(text, '=') + 1);
}

/* A function with an IOMMU group (or -1) and a driver (or ""). */
static void put_function(const char *bdf, unsigned int class_code, int group, const char *driver)
{
	char file[256], target[256];

	put_of(bdf, "vendor=0x8086");
	put_of(bdf, "device=0x10d3");
	put_of(bdf, "class=0x%06x", class_code);
	snprintf(file, sizeof(file), "sys/bus/pci/devices/%s", bdf);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s", bdf);
	link_to(target, file);
	if (*driver) {
		snprintf(file, sizeof(file), "sys/devices/pci0000:00/%s/driver", bdf);
		snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
		link_to(target, file);
	}
	if (group < 0)
		return;
	snprintf(file, sizeof(file), "sys/devices/pci0000:00/%s/iommu_group", bdf);
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d", group);
	link_to(target, file);
	snprintf(file, sizeof(file), "sys/kernel/iommu_groups/%d/devices/%s", group, bdf);
	snprintf(target, sizeof(target), "../../../../devices/pci0000:00/%s", bdf);
	link_to(target, file);
}

static void put_config(const char *bdf, const uint8_t *config, size_t size)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/%s/config", root, bdf);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(config, 1, size, f), size);
	fclose(f);
}

static void is_isolated(const char *spec)
{
	struct ob_error err = {0};

	if (sandbox_check_isolation(root, spec, &err))
		fail_msg("%s: %s: %s", spec, err.what, err.why);
}

static void is_not(const char *spec, const char *why)
{
	struct ob_error err = {0};

	assert_int_equal(sandbox_check_isolation(root, spec, &err), -EXDEV);
	if (!strstr(err.why, why))
		fail_msg("'%s' does not say '%s'", err.why, why);
	assert_non_null(strstr(err.fix, "--allow-unisolated"));
}

static void alone(void)
{
	put_function("0000:00:03.0", 0x020000, GROUP, "vfio-pci");
}

static void a_function_alone_behind_an_iommu_is(void **state)
{
	alone();
	put_function("0000:00:01.0", 0x060400, GROUP, "pcieport");
	put_function("0000:00:03.1", 0x020000, GROUP, "vfio-pci");
	put_function("0000:00:03.2", 0x020000, GROUP, "");
	put_function("0000:00:04.0", 0x020000, GROUP + 1, "e1000e");
	is_isolated("vfio:0000:00:03.0");
	is_isolated("00:03.0");
	/* Parameters as they are by default. */
	put("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	put("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
	is_isolated("vfio:0000:00:03.0");
}

static void a_device_model_is(void **state)
{
	is_isolated("qemu:nvme,null=1G");
}

static void one_without_an_iommu_is_not(void **state)
{
	put_function("0000:00:03.0", 0x020000, -1, "uio_pci_generic");
	is_not("00:03.0", "no IOMMU");
	is_not("vfio:00:03.0", "no IOMMU");
}

static void uio_is_not(void **state)
{
	put_function("0000:00:03.0", 0x020000, GROUP, "uio_pci_generic");
	is_not("uio:0000:00:03.0", "UIO confines nothing");
	is_not("00:03.0", "UIO confines nothing");
}

static void a_group_without_an_iommu_is_not(void **state)
{
	alone();
	put("sys/kernel/iommu_groups/7/name", "vfio-noiommu\n");
	is_not("vfio:00:03.0", "no-IOMMU mode");
}

static void vfio_that_may_leave_the_iommu_out_is_not(void **state)
{
	alone();
	put("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	is_not("vfio:00:03.0", "enable_unsafe_noiommu_mode");
}

static void without_interrupt_remapping_it_is_not(void **state)
{
	alone();
	put("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
	is_not("vfio:00:03.0", "interrupt remapping");
	put("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
	put("sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n");
	is_not("vfio:00:03.0", "iommufd");
}

static void one_whose_neighbour_is_in_use_is_not(void **state)
{
	struct ob_error err = {0};

	alone();
	put_function("0000:00:03.1", 0x010802, GROUP, "nvme");
	is_not("vfio:00:03.0", "0000:00:03.1");
	sandbox_check_isolation(root, "vfio:00:03.0", &err);
	assert_non_null(strstr(err.why, "nvme"));
}

/* Its list of capabilities is the device's word. */
static void one_with_translations_of_its_own_is_not(void **state)
{
	uint8_t config[4096] = {0};
	const uint8_t first[] = {0x01, 0x00, 0x01, ATS_AT << 4 & 0xff};
	const uint8_t ats[] = {0x0f, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x80};

	alone();
	memcpy(config + 0x100, first, sizeof(first));
	config[0x103] = ATS_AT >> 4;
	memcpy(config + ATS_AT, ats, sizeof(ats));
	put_config("0000:00:03.0", config, sizeof(config));
	is_not("vfio:00:03.0", "ATS");
	/* Off. */
	config[ATS_AT + 7] = 0;
	put_config("0000:00:03.0", config, sizeof(config));
	is_isolated("vfio:00:03.0");
	/* A list that goes round, and one that goes out of what was read. */
	config[0x103] = 0x10;
	put_config("0000:00:03.0", config, sizeof(config));
	is_isolated("vfio:00:03.0");
	config[0x103] = 0xff;
	put_config("0000:00:03.0", config, sizeof(config));
	is_isolated("vfio:00:03.0");
	put_config("0000:00:03.0", config, 0x104);
	is_isolated("vfio:00:03.0");
	memset(config, 0xff, sizeof(config));
	put_config("0000:00:03.0", config, sizeof(config));
	is_isolated("vfio:00:03.0");
}

static void what_is_no_device_is_said(void **state)
{
	struct ob_error err = {0};

	assert_int_equal(sandbox_check_isolation(root, "vfio:00:09.0", &err), -ENODEV);
	assert_non_null(strstr(err.what, "0000:00:09.0"));
	assert_int_equal(sandbox_check_isolation(root, "vfio:nonsense", &err), -EINVAL);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(a_function_alone_behind_an_iommu_is),
		IN_A_FOLDER(a_device_model_is),
		IN_A_FOLDER(one_without_an_iommu_is_not),
		IN_A_FOLDER(uio_is_not),
		IN_A_FOLDER(a_group_without_an_iommu_is_not),
		IN_A_FOLDER(vfio_that_may_leave_the_iommu_out_is_not),
		IN_A_FOLDER(without_interrupt_remapping_it_is_not),
		IN_A_FOLDER(one_whose_neighbour_is_in_use_is_not),
		IN_A_FOLDER(one_with_translations_of_its_own_is_not),
		IN_A_FOLDER(what_is_no_device_is_said),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
