/* SPDX-License-Identifier: BSD-2-Clause */
/* What speaks against giving a PCI function to user space: who uses it, what it shares, what others have decided. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/binding.h"

int binding_check_root(const char *root, const struct sysfs_function *fn, const char *command,
		       struct ob_error *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/driver_override", root, fn->name);
	if (!access(path, W_OK))
		return 0;
	if (errno == ENOENT)
		return ob_error_set(err, -EOPNOTSUPP,
				    "%s: this kernel has no driver_override (Linux 3.16 has it)",
				    fn->name);
	ob_error_set(err, -errno, "%s: its driver cannot be changed: %s", fn->name,
		     strerror(errno));
	if (errno == EROFS)
		ob_error_why(err, "/sys is mounted read-only, as containers have it");
	else
		ob_error_fix(err, "sudo outboard %s %s", command, fn->name);
	return err ? err->code : -EACCES;
}

pid_t binding_holder(const char *root, const struct sysfs_function *fn, char comm[32],
		     char node[64])
{
	pid_t pid = 0;
	int number;

	comm[0] = '\0';
	if (!strcmp(fn->driver, BINDING_UIO)) {
		number = sysfs_uio_number(root, fn->name);
		snprintf(node, 64, "/dev/uio%d", number);
		return number < 0 ? 0 : sysfs_holder(root, node, comm);
	}
	if (strcmp(fn->driver, BINDING_VFIO) != 0)
		return 0;
	if (fn->group >= 0) {
		snprintf(node, 64, "/dev/vfio/%d", fn->group);
		pid = sysfs_holder(root, node, comm);
	}
	/* With iommufd each function has a node of its own (Linux 6.6). */
	number = pid ? -1 : sysfs_vfio_number(root, fn->name);
	if (number >= 0) {
		snprintf(node, 64, "/dev/vfio/devices/vfio%d", number);
		pid = sysfs_holder(root, node, comm);
	}
	return pid;
}

int binding_check_free(const char *root, const struct sysfs_function *fn, struct ob_error *err)
{
	char comm[32], node[64];
	pid_t pid = binding_holder(root, fn, comm, node);

	if (!pid)
		return 0;
	ob_error_set(err, -EBUSY, "%s is driven by process %d (%s)", fn->name, (int)pid,
		     *comm ? comm : "?");
	ob_error_why(err, "it has %s open, and the kernel would wait for it", node);
	ob_error_fix(err, "stop it first (`outboard stop %d` or `kill %d`)", (int)pid, (int)pid);
	return -EBUSY;
}

/* ---- uses --------------------------------------------------------------------------------------- */

static int refuse_use(const struct pci_function *f, const char *text, struct ob_error *err)
{
	ob_error_set(err, -EBUSY, "%s is in use: %s", f->pci.name, text);
	if (f->uses && !strcmp(f->use[0].kind, "route"))
		ob_error_why(err, "this machine would lose its way to the network");
	else
		ob_error_why(err, "whoever uses it would get errors, and data could be lost");
	ob_error_fix(err, "give up that use first; `outboard bind --force` takes it all the same");
	return -EBUSY;
}

/*
 * Whoever holds a disk holds it exclusively: a mount in any namespace, swap, LVM, RAID, ZFS, bcache. Holding a
 * partition counts for the whole disk (the kernel's bd_may_claim()).
 */
static int check_disks(const char *root, const struct pci_function *f, struct ob_error *err)
{
	char nodes[sizeof(f->nodes)], path[PATH_MAX], text[96], *save = NULL;

	snprintf(nodes, sizeof(nodes), "%s", f->nodes);
	for (char *p = strtok_r(nodes, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		int fd;

		snprintf(path, sizeof(path), "%s/sys/block/%s", root, p);
		if (access(path, F_OK))
			continue; /* an interface */
		snprintf(path, sizeof(path), "%s/dev/%s", root, p);
		fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			close(fd);
		} else if (errno == EBUSY) {
			snprintf(text, sizeof(text), "the kernel or a process holds the disk %s",
				 p);
			return refuse_use(f, text, err);
		}
	}
	return 0;
}

/* ---- its IOMMU group ----------------------------------------------------------------------------- */

/* VFIO gives a group away only as a whole: no other member may be with a driver of the kernel. */
static int check_group(const char *root, const struct pci_machine *machine,
		       const struct sysfs_function *fn, struct ob_error *err)
{
	char list[400] = "";
	size_t n = 0;

	for (size_t i = 0; i < machine->n; i++) {
		const struct sysfs_function *other = &machine->fn[i].pci;

		if (other->group != fn->group || !strcmp(other->name, fn->name) ||
		    sysfs_is_bridge(other) || !*other->driver || binding_is_ours(other->driver))
			continue;
		if (n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s (%s)",
					      n ? ", " : "", other->name, other->driver);
	}
	if (!n)
		return 0;
	ob_error_set(err, -EBUSY, "%s shares IOMMU group %d with devices that the kernel drives",
		     fn->name, fn->group);
	ob_error_why(err, "they can reach each other's memory, so VFIO takes all or none: %s",
		     list);
	ob_error_fix(err, "sudo outboard bind %s --group, which binds them all", fn->name);
	return -EBUSY;
}

/* ---- what others have decided ---------------------------------------------------------------------- */

static int check_others(const char *root, const struct sysfs_function *fn, const char *driver,
			const struct binding_options *options, struct ob_error *err)
{
	struct binding_record rec;
	char stored[64];

	if (binding_driverctl(root, fn, stored) && strcmp(stored, driver) != 0 &&
	    !options->persist) {
		ob_error_set(err, -EBUSY, "%s: driverctl has stored %s for it", fn->name, stored);
		ob_error_why(err, "/etc/driverctl.d/pci-%s would give it back at the next start",
			     fn->name);
		ob_error_fix(err,
			     "driverctl unset-override %s, or bind it with --persist (stores %s "
			     "instead) or --force",
			     fn->name, driver);
		return -EBUSY;
	}
	if (*fn->override && strcmp(fn->override, driver) != 0 && !binding_recall(root, fn, &rec)) {
		ob_error_set(err, -EBUSY, "%s: somebody else has reserved it for %s", fn->name,
			     fn->override);
		ob_error_why(err, "its driver_override says so, and it was not set by Outboard");
		ob_error_fix(err, "`outboard bind --force` sets another");
		return -EBUSY;
	}
	return 0;
}

static int check_iommu(const char *root, const struct sysfs_function *fn, const char *driver,
		       const struct binding_options *options, struct ob_error *err)
{
	char type[16];

	if (!strcmp(driver, BINDING_VFIO)) {
		if (fn->group >= 0)
			return 0;
		ob_error_set(err, -EOPNOTSUPP, "%s: vfio-pci needs an IOMMU, and none confines it",
			     fn->name);
		ob_error_fix(err,
			     "switch it on in the firmware (VT-d, AMD-Vi) and with intel_iommu=on; "
			     "or, without protection, --driver " BINDING_UIO);
		return -EOPNOTSUPP;
	}
	if (sysfs_locked_down(root)) {
		ob_error_set(err, -EPERM, "%s: the kernel is locked down", fn->name);
		ob_error_why(err,
			     "it gives a device's registers to VFIO only (kernel_lockdown(7))");
		if (fn->group >= 0)
			ob_error_fix(err, "sudo outboard bind %s --driver " BINDING_VFIO, fn->name);
		else
			ob_error_fix(err, "switch an IOMMU on in the firmware, for vfio-pci; or "
					  "start without Secure Boot and lockdown=");
		return -EPERM;
	}
	sysfs_group_type(root, fn->group, type);
	if (fn->group < 0 || !strcmp(type, "identity") || options->force)
		return 0;
	ob_error_set(err, -EOPNOTSUPP, "%s: " BINDING_UIO " is of no use behind an IOMMU",
		     fn->name);
	ob_error_why(err, "group %d is translated (%s): its DMA would be blocked", fn->group,
		     *type ? type : "unknown type");
	ob_error_fix(err, "sudo outboard bind %s --driver " BINDING_VFIO, fn->name);
	return -EOPNOTSUPP;
}

int binding_check(const char *root, const struct pci_machine *machine,
		  const struct sysfs_function *fn, const char *driver,
		  const struct binding_options *options, struct ob_error *err)
{
	const struct pci_function *f = pci_machine_find(machine, fn->name);
	int ret;

	if (sysfs_is_bridge(fn)) {
		ob_error_set(err, -EOPNOTSUPP, "%s is a bridge, which stays with the kernel",
			     fn->name);
		ob_error_why(err, "what lies behind it would be lost");
		return -EOPNOTSUPP;
	}
	ret = check_iommu(root, fn, driver, options, err);
	if (!ret)
		ret = binding_check_free(root, fn, err);
	if (ret || options->force)
		return ret;
	if (f && f->uses)
		return refuse_use(f, f->use[0].text, err);
	ret = f ? check_disks(root, f, err) : 0;
	if (!ret)
		ret = check_others(root, fn, driver, options, err);
	if (!ret && !options->whole_group && !strcmp(driver, BINDING_VFIO))
		ret = check_group(root, machine, fn, err);
	return ret;
}
