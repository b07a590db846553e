/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a device so confined that a driver of it may be called isolated? As user space can see it: sysfs, and the device's configuration
 * space. Documentation/driver-api/vfio.rst of the kernel; PCI Express base specification 5.0, 10.5.1 (ATS).
 */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <outboard/access.h>

#include "access/sysfs.h"
#include "keeper/sandbox.h"

enum {
	MEMBERS = 64,
	EXT_FIRST = 0x100, /* extended capabilities begin behind the 256 bytes of PCI */
	EXT_MAX = (4096 - EXT_FIRST) / 8,
};

static int isolated_not(struct ob_error *err, const char *name, const char *why, const char *fix)
{
	ob_error_set(err, -EXDEV, "%s: a driver of it is not isolated", name);
	ob_error_why(err, "%s", why);
	ob_error_fix(err, "%s; or accept that, with --allow-unisolated", fix);
	return -EXDEV;
}

static bool is_yes(const char *root, const char *parameter)
{
	char line[16];

	return sysfs_line(line, sizeof(line), root, "/sys/module/%s", parameter) &&
	       (line[0] == 'Y' || line[0] == 'y' || line[0] == '1');
}

static uint32_t dword(const uint8_t *config, unsigned int off)
{
	return config[off] | (uint32_t)config[off + 1] << 8 | (uint32_t)config[off + 2] << 16 |
	       (uint32_t)config[off + 3] << 24;
}

/* The list is the device's: it may loop or point anywhere. */
static bool ats_enabled(const uint8_t *config, int size)
{
	unsigned int off = EXT_FIRST;

	for (unsigned int i = 0; i < EXT_MAX && off >= EXT_FIRST && off + 8 <= (unsigned int)size;
	     i++) {
		uint32_t head = dword(config, off);

		if (PCI_EXT_CAP_ID(head) == PCI_EXT_CAP_ID_ATS)
			return dword(config, off + PCI_ATS_CAP) >> 16 & PCI_ATS_CTRL_ENABLE;
		if (!head || head == ~0u)
			break;
		off = PCI_EXT_CAP_NEXT(head);
	}
	return false;
}

/* Others in its group that something else drives: they reach each other's memory without the IOMMU's seeing it. */
static int check_group(const char *root, const struct sysfs_function *fn, struct ob_error *err)
{
	static const char *const harmless[] = {"vfio-pci", "pci-stub", "pcieport"};
	struct sysfs_function member[MEMBERS];
	char text[160], why[320], fix[160];
	int n;

	if (sysfs_line(text, sizeof(text), root, "/sys/kernel/iommu_groups/%d/name", fn->group) &&
	    !strcmp(text, "vfio-noiommu"))
		return isolated_not(err, fn->name, "its group has no IOMMU (VFIO's no-IOMMU mode)",
				    "switch the IOMMU on: intel_iommu=on on the kernel's command "
				    "line, VT-d or AMD-Vi in the firmware");
	n = sysfs_group_members(root, fn->group, member, MEMBERS);
	for (int i = 0; i < n && i < MEMBERS; i++) {
		bool in_use = member[i].driver[0] && strcmp(member[i].name, fn->name) &&
			      !sysfs_is_bridge(&member[i]);

		for (unsigned int k = 0; k < sizeof(harmless) / sizeof(harmless[0]); k++)
			in_use = in_use && strcmp(member[i].driver, harmless[k]);
		if (!in_use)
			continue;
		snprintf(why, sizeof(why),
			 "its IOMMU group %d has %s, too, which driver %s uses; the two can reach "
			 "each other",
			 fn->group, member[i].name, member[i].driver);
		snprintf(fix, sizeof(fix), "outboard bind --group %s", fn->name);
		return isolated_not(err, fn->name, why, fix);
	}
	return 0;
}

static int check_function(const char *root, const struct sysfs_function *fn, struct ob_error *err)
{
	uint8_t config[4096];
	int size, ret;

	if (fn->group < 0)
		return isolated_not(err, fn->name,
				    "there is no IOMMU for it: it reaches all memory",
				    "switch the IOMMU on: intel_iommu=on on the kernel's command "
				    "line, VT-d or AMD-Vi in the firmware");
	if (is_yes(root, "vfio/parameters/enable_unsafe_noiommu_mode"))
		return isolated_not(
			err, fn->name, "VFIO may leave the IOMMU out (enable_unsafe_noiommu_mode)",
			"echo N >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	if (is_yes(root, "vfio_iommu_type1/parameters/allow_unsafe_interrupts"))
		return isolated_not(
			err, fn->name,
			"VFIO takes devices without interrupt remapping, which can forge the "
			"interrupts of others (allow_unsafe_interrupts)",
			"echo N >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	if (is_yes(root, "iommufd/parameters/allow_unsafe_interrupts"))
		return isolated_not(
			err, fn->name,
			"iommufd takes devices without interrupt remapping, which can forge the "
			"interrupts of others (allow_unsafe_interrupts)",
			"echo N >/sys/module/iommufd/parameters/allow_unsafe_interrupts");
	ret = check_group(root, fn, err);
	if (ret)
		return ret;
	if (!strcmp(fn->driver, "uio_pci_generic"))
		return isolated_not(err, fn->name, "UIO confines nothing",
				    "outboard bind --driver vfio-pci");
	size = sysfs_config_load(root, fn->name, config);
	if (size > EXT_FIRST && ats_enabled(config, size))
		return isolated_not(err, fn->name,
				    "its address translation service is on (ATS): what it says to "
				    "have translated is not checked",
				    "pci=noats on the kernel's command line");
	return 0;
}

int sandbox_check_isolation(const char *root, const char *spec, struct ob_error *err)
{
	static const char uio[] =
		"UIO confines nothing: the device reaches all memory, as whoever drives it";
	struct sysfs_function fn;
	struct ob_spec parsed;
	char name[SYSFS_NAME];
	struct ob_bdf bdf;
	int ret;

	ret = ob_spec_parse(spec, &parsed, err);
	if (ret)
		return ret;
	if (!strcmp(parsed.backend, "uio"))
		return isolated_not(err, parsed.device.name, uio,
				    "an IOMMU, and the specification vfio:...");
	/* Device models of a process: what they can reach is that process's. */
	if (parsed.backend[0] && strcmp(parsed.backend, "vfio"))
		return 0;
	if (!sysfs_parse_bdf(parsed.device.name, &bdf))
		return ob_error_set(err, -EINVAL, "'%s' is no PCI address", parsed.device.name);
	sysfs_bdf_name(&bdf, name);
	if (sysfs_function_read(root, name, &fn))
		return ob_error_set(err, -ENODEV, "there is no PCI device %s", name);
	return check_function(root, &fn, err);
}
