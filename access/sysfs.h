/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What sysfs and procfs say of the PCI functions of this machine: for the backends that claim one and for the
 * program. Nothing is claimed or changed here. Files: Documentation/ABI/testing/sysfs-bus-pci and
 * sysfs-kernel-iommu_groups of the kernel.
 *
 * @root in all of them is "" for this machine, else a folder with a sys/, a proc/ and a dev/ in it.
 */
#ifndef ACCESS_SYSFS_H
#define ACCESS_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <outboard/device.h>

enum {
	SYSFS_RANGES = 7, /* six BARs and the expansion ROM */
	SYSFS_NAME = 16,  /* "0000:00:05.0" */
	SYSFS_CLASS_BRIDGE = 0x06,
};

/**
 * struct sysfs_function - one PCI function
 * @name: its address in full
 * @driver: the kernel's, or ""
 * @override: driver_override, the only driver that the kernel will bind to it, or ""
 * @group: IOMMU group, or -1
 * @irq: the kernel's number for its INTx line; 0: none
 */
struct sysfs_function {
	struct ob_bdf bdf;
	char name[SYSFS_NAME];
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;
	uint8_t revision;
	char driver[64];
	char override[64];
	int group;
	unsigned int irq;
};

/* A range of the function's, from its file `resource`. */
struct sysfs_range {
	uint64_t start, size; /* size 0: absent */
	bool io, prefetchable, wide;
};

/** sysfs_parse_bdf() - "0000:03:00.0" or "03:00.0"; does it look like one, existing or not? */
bool sysfs_parse_bdf(const char *text, struct ob_bdf *bdf);
/** sysfs_bdf_name() - in full, as sysfs writes it; returns @name */
char *sysfs_bdf_name(const struct ob_bdf *bdf, char name[SYSFS_NAME]);
/** sysfs_bdf_order() - a number that sorts by address */
uint32_t sysfs_bdf_order(const struct ob_bdf *bdf);

/** sysfs_function_read() - by address in full. Return: 0; -ENODEV when it is not there */
int sysfs_function_read(const char *root, const char *name, struct sysfs_function *fn);

static inline bool sysfs_is_bridge(const struct sysfs_function *fn)
{
	return fn->class_code >> 16 == SYSFS_CLASS_BRIDGE;
}

/**
 * sysfs_group_members() - all functions of an IOMMU group, ordered by address
 * @fns: room for @n of them
 *
 * Return: how many there are, maybe more than @n; a negative errno value.
 */
int sysfs_group_members(const char *root, int group, struct sysfs_function *fns, unsigned int n);

/**
 * sysfs_group_type() - what the group's IOMMU does for its kernel drivers
 * @type: "DMA", "DMA-FQ": translates; "identity": lets everything pass; "" when unknown or no group
 */
void sysfs_group_type(const char *root, int group, char type[16]);

/** sysfs_ranges() - BARs as the kernel assigned them; 0 or a negative errno value */
int sysfs_ranges(const char *root, const char *name, struct sysfs_range ranges[SYSFS_RANGES]);

/** sysfs_config_load() - configuration space; returns bytes (64 without root, 256, or 4096) or -errno */
int sysfs_config_load(const char *root, const char *name, uint8_t config[4096]);

/** sysfs_uio_number() - N of the /dev/uioN that uio_pci_generic made of it; -1: none */
int sysfs_uio_number(const char *root, const char *name);

/** sysfs_vfio_number() - N of its /dev/vfio/devices/vfioN (iommufd, Linux 6.6); -1: none */
int sysfs_vfio_number(const char *root, const char *name);

/**
 * sysfs_holder() - a process that has a device node open
 * @node: "/dev/vfio/12", "/dev/uio0"
 * @comm: its name, for messages
 *
 * Found in /proc/PID/fd by device number, so that another name of the node counts, too. Without root only
 * one's own processes are seen.
 *
 * Return: its pid; 0 when none was found.
 */
pid_t sysfs_holder(const char *root, const char *node, char comm[32]);

/** sysfs_module_present() - loaded or built in; "vfio-pci" and "vfio_pci" are the same */
bool sysfs_module_present(const char *root, const char *module);

/** sysfs_driver_present() - has the PCI bus a driver of this name, "vfio-pci"? */
bool sysfs_driver_present(const char *root, const char *driver);

/** sysfs_locked_down() - a kernel that gives registers to VFIO only (kernel_lockdown(7)) */
bool sysfs_locked_down(const char *root);

/* ---- what the above are made of ------------------------------------------------------------- */

/** sysfs_line() - first line of a file without its newline; false: not there or empty */
bool sysfs_line(char *buf, size_t size, const char *root, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/** sysfs_link_name() - last component of what a link points to; false: not there */
bool sysfs_link_name(char *buf, size_t size, const char *root, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/** sysfs_write() - write a short text to a file. Return: 0 or a negative errno value */
int sysfs_write(const char *root, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** sysfs_for_each() - call @fn for the entries of a folder; none when it is not there */
void sysfs_for_each(const char *path, void (*fn)(void *arg, const char *name), void *arg);

#endif
