/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in the way of opening a device through VFIO, who that is, and the command that removes it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/vfio/vfio.h"

enum {
	MEMBERS = 64, /* of a group, that are looked at */
};

static bool is_vfio(const char *driver)
{
	/* vfio-pci, or one of its relatives for a device (mlx5_vfio_pci, nvgrace-gpu-vfio-pci). */
	return strstr(driver, "vfio");
}

int vfio_explain_function(const char *root, const char *text, struct sysfs_function *fn,
			  struct ob_error *err)
{
	char name[SYSFS_NAME];
	struct ob_bdf bdf;

	if (!sysfs_parse_bdf(text, &bdf)) {
		ob_error_set(err, -EINVAL, "vfio: '%s' is not the address of a PCI device", text);
		ob_error_fix(err, "write it like 0000:03:00.0; `outboard devices` lists them");
		return -EINVAL;
	}
	if (sysfs_function_read(root, sysfs_bdf_name(&bdf, name), fn)) {
		ob_error_set(err, -ENODEV, "there is no PCI device %s", name);
		ob_error_fix(err, "`outboard devices` lists those that there are");
		return -ENODEV;
	}
	if (fn->group < 0) {
		ob_error_set(err, -EOPNOTSUPP,
			     "%s cannot be used through VFIO: no IOMMU confines it", name);
		ob_error_why(err, "this machine has none, or it is switched off");
		ob_error_fix(
			err,
			"switch it on (firmware: VT-d or AMD-Vi; kernel: intel_iommu=on), or use uio:%s, "
			"without isolation: its DMA reaches all memory",
			name);
		return -EOPNOTSUPP;
	}
	if (is_vfio(fn->driver))
		return 0;
	if (fn->driver[0]) {
		ob_error_set(err, -EBUSY, "%s is in use by the kernel's driver %s", name,
			     fn->driver);
		ob_error_fix(err, "outboard bind %s", name);
		return -EBUSY;
	}
	ob_error_set(err, -ENODEV, "%s is not bound to the kernel's vfio-pci", name);
	if (!sysfs_driver_present(root, "vfio-pci")) {
		ob_error_why(err, "the module vfio-pci is not loaded");
		ob_error_fix(err, "modprobe -a vfio-pci vfio_iommu_type1 && outboard bind %s",
			     name);
	} else {
		ob_error_why(err, "no driver has it");
		ob_error_fix(err, "outboard bind %s", name);
	}
	return -ENODEV;
}

int vfio_explain_holder(const char *name, int pid, struct ob_error *err)
{
	char comm[32] = "";

	ob_error_set(err, -EBUSY, "%s is held by another process", name);
	if (pid == getpid()) {
		ob_error_set(err, -EBUSY, "%s is held by this process already", name);
		ob_error_why(err, "pid %d", pid);
	} else if (pid > 0) {
		sysfs_line(comm, sizeof(comm), "", "/proc/%d/comm", pid);
		ob_error_why(err, "pid %d%s%s%s", pid, comm[0] ? " (" : "", comm,
			     comm[0] ? ")" : "");
	} else {
		ob_error_why(err, "it does not say which (another namespace or user)");
	}
	return -EBUSY;
}

int vfio_explain_node(const char *root, const char *node, const char *name, int code,
		      struct ob_error *err)
{
	char path[96], comm[32];
	struct stat st;
	pid_t pid;

	switch (code) {
	case EACCES:
	case EPERM:
		ob_error_set(err, -EACCES, "%s: user %d may not open %s", name, (int)geteuid(),
			     node);
		snprintf(path, sizeof(path), "%s%s", root, node);
		if (!stat(path, &st))
			ob_error_why(err, "it belongs to user %d, group %d, mode %04o",
				     (int)st.st_uid, (int)st.st_gid, st.st_mode & 07777u);
		ob_error_fix(err, "sudo chown %d %s", (int)geteuid(), node);
		return -EACCES;
	case EBUSY:
		pid = sysfs_holder(root, node, comm);
		if (pid == getpid()) {
			ob_error_set(err, -EBUSY,
				     "%s: its IOMMU group is open in this process already", name);
			ob_error_why(err, "a group can be opened once (%s)", node);
			ob_error_fix(err,
				     "open the devices of a group together: ob_devices_open()");
			return -EBUSY;
		}
		ob_error_set(err, -EBUSY, "%s: its IOMMU group is held by another process", name);
		if (pid > 0)
			ob_error_why(err, "pid %d (%s) has %s open", (int)pid, comm, node);
		else
			ob_error_why(err, "%s is open; ask as root who that is: fuser -v %s", node,
				     node);
		return -EBUSY;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		ob_error_set(err, -ENODEV, "%s: there is no %s", name, node);
		if (!sysfs_module_present(root, "vfio")) {
			ob_error_why(err, "the module vfio is not loaded");
			ob_error_fix(err, "modprobe -a vfio-pci vfio_iommu_type1");
		} else if (!strcmp(node, "/dev/iommu")) {
			ob_error_why(err,
				     "this kernel has no iommufd, or its module is not loaded");
			ob_error_fix(err, "leave out iommufd=on");
		}
		return -ENODEV;
	default:
		return ob_error_set(err, -code, "%s: %s cannot be opened: %s", name, node,
				    strerror(code));
	}
}

/* Drivers that a group may have and still be usable (driver_managed_dma in the kernel). */
static bool may_stay(const struct sysfs_function *fn)
{
	return !fn->driver[0] || is_vfio(fn->driver) || !strcmp(fn->driver, "pci-stub") ||
	       !strcmp(fn->driver, "pcieport") || !strcmp(fn->driver, "shpchp");
}

int vfio_explain_group(const char *root, const struct sysfs_function *fn, struct ob_error *err)
{
	struct sysfs_function members[MEMBERS];
	int n = sysfs_group_members(root, fn->group, members, MEMBERS);
	char list[500] = "", command[300] = "outboard bind";
	size_t len = 0, used = strlen(command);
	unsigned int in_the_way = 0, shown;

	ob_error_set(err, -EBUSY, "%s: its IOMMU group %d is not viable", fn->name, fn->group);
	shown = n < 0 ? 0 : n > MEMBERS ? MEMBERS : (unsigned int)n;
	for (unsigned int i = 0; i < shown; i++) {
		const struct sysfs_function *m = &members[i];

		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s (%s)",
						len ? ", " : "", m->name,
						m->driver[0] ? m->driver : "no driver");
		if (may_stay(m))
			continue;
		in_the_way++;
		if (used < sizeof(command))
			used += (size_t)snprintf(command + used, sizeof(command) - used, " %s",
						 m->name);
	}
	ob_error_why(err, "all members must be free of kernel drivers: %s", list);
	if (in_the_way && used < sizeof(command))
		ob_error_fix(err, "%s", command);
	else if (in_the_way)
		ob_error_fix(err, "outboard bind --group %s", fn->name);
	return -EBUSY;
}
