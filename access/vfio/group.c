/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO by group and container (Documentation/driver-api/vfio.rst, "VFIO Usage Example"): /dev/vfio/GROUP is the
 * claim, /dev/vfio/vfio the address space, with the type1 interface in its second version, in which an
 * unmap never splits a mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "access/vfio/vfio.h"

static int open_container(struct vfio_space *s, const char *name, struct ob_error *err)
{
	s->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (s->container < 0)
		return vfio_explain_node("", "/dev/vfio/vfio", name, errno, err);
	if (ioctl(s->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return ob_error_set(err, -EPROTO,
				    "%s: this kernel's VFIO speaks another version than %d", name,
				    VFIO_API_VERSION);
	if (ioctl(s->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) > 0)
		return 0;
	/* Only a soft dependency of vfio-pci, so that it can be missing where that is loaded. */
	ob_error_set(err, -ENODEV, "%s: the kernel's VFIO has no type1 (v2) IOMMU interface", name);
	if (sysfs_module_present("", "vfio_iommu_type1")) {
		ob_error_why(err, "the module vfio_iommu_type1 is there but does not offer it");
	} else {
		ob_error_why(err, "the module vfio_iommu_type1 is not loaded");
		ob_error_fix(err, "modprobe vfio_iommu_type1");
	}
	return -ENODEV;
}

static int open_group(struct vfio_space *s, const struct sysfs_function *fn, struct ob_error *err)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char node[64];
	int ret;

	snprintf(node, sizeof(node), "/dev/vfio/%d", fn->group);
	s->group_fd = open(node, O_RDWR | O_CLOEXEC);
	if (s->group_fd < 0) {
		int code = errno;

		/* Kernels from 6.2 on refuse an unviable group here already. */
		if (code == EPERM || code == ENODEV)
			return vfio_explain_group("", fn, err);
		return vfio_explain_node("", node, fn->name, code, err);
	}
	if (ioctl(s->group_fd, VFIO_GROUP_GET_STATUS, &status))
		return ob_error_set(err, -errno, "%s: VFIO does not answer about group %d: %s",
				    fn->name, fn->group, strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return vfio_explain_group("", fn, err);
	if (ioctl(s->group_fd, VFIO_GROUP_SET_CONTAINER, &s->container)) {
		ret = -errno;
		return ob_error_set(err, ret, "%s: group %d does not join the container: %s",
				    fn->name, fn->group, strerror(-ret));
	}
	return 0;
}

static int set_iommu(struct vfio_space *s, const struct sysfs_function *fn, struct ob_error *err)
{
	int ret;

	if (!ioctl(s->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return 0;
	ret = -errno;
	ob_error_set(err, ret, "%s: the IOMMU cannot be used: %s", fn->name, strerror(-ret));
	if (ret == -EPERM) {
		/* drivers/vfio/vfio_iommu_type1.c: "No interrupt remapping support". */
		ob_error_why(
			err,
			"this IOMMU does not remap interrupts, so a device could forge those of "
			"others; the kernel allows that only when told so");
		ob_error_fix(err, "trusting the device: modprobe -r vfio_iommu_type1; modprobe "
				  "vfio_iommu_type1 allow_unsafe_interrupts=1");
	}
	return ret;
}

static int group_open_space(struct vfio_space *s, const struct sysfs_function *fn,
			    struct ob_error *err)
{
	int ret = open_container(s, fn->name, err);

	if (!ret)
		ret = open_group(s, fn, err);
	if (!ret)
		ret = set_iommu(s, fn, err);
	return ret;
}

static void group_close_space(struct vfio_space *s)
{
	/* The group leaves its container when both are closed; devices hold it until they are. */
	if (s->group_fd >= 0)
		close(s->group_fd);
	if (s->container >= 0)
		close(s->container);
	s->group_fd = s->container = -1;
}

static int group_open_device(struct vfio_space *s, struct vfio_device *vd, struct ob_error *err)
{
	int ret;

	vd->fd = OB_FAULT_CALL("vfio.device",
			       ioctl(s->group_fd, VFIO_GROUP_GET_DEVICE_FD, vd->fn.name));
	if (vd->fd >= 0)
		return fcntl(vd->fd, F_SETFD, FD_CLOEXEC) ? -errno : 0;
	ret = -errno;
	ob_error_set(err, ret, "%s: VFIO does not give the device: %s", vd->fn.name,
		     strerror(-ret));
	if (ret == -ENODEV)
		ob_error_why(err, "its kernel driver is %s, or it is being removed",
			     vd->fn.driver[0] ? vd->fn.driver : "none");
	return ret;
}

static int group_limits(struct vfio_space *s, struct vfio_limits *l)
{
	size_t size;
	void *info;
	int ret;

	ret = vfio_info_get(s->container, VFIO_IOMMU_GET_INFO, sizeof(struct vfio_iommu_type1_info),
			    0, &info, &size);
	if (ret)
		return ret;
	ret = vfio_info_limits(info, size, l);
	free(info);
	return ret;
}

static int group_map(struct vfio_space *s, void *va, uint64_t iova, uint64_t len, unsigned int prot)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = (prot & OB_DMA_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (prot & OB_DMA_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = len,
	};

	return OB_FAULT_CALL("vfio.map", ioctl(s->container, VFIO_IOMMU_MAP_DMA, &map)) ? -errno
											: 0;
}

static int group_unmap(struct vfio_space *s, uint64_t iova, uint64_t len, uint64_t *done)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = len,
	};

	if (OB_FAULT_CALL("vfio.unmap", ioctl(s->container, VFIO_IOMMU_UNMAP_DMA, &unmap)))
		return -errno;
	*done = unmap.size;
	return 0;
}

static bool group_owns(struct vfio_space *s, const struct sysfs_function *fn, uint32_t id)
{
	/* @id is a group here: of ours no other process can have a device. */
	return s->group == (int)id;
}

static int group_bus_reset(struct vfio_space *s, struct vfio_device *vd)
{
	union {
		struct vfio_pci_hot_reset head;
		char room[sizeof(struct vfio_pci_hot_reset) + sizeof(int32_t)];
	} reset = {.head = {.argsz = sizeof(reset), .count = 1}};

	reset.head.group_fds[0] = s->group_fd;
	return ioctl(vd->fd, VFIO_DEVICE_PCI_HOT_RESET, &reset) ? -errno : 0;
}

const struct vfio_way vfio_way_group = {
	.name = "group and container",
	.open_space = group_open_space,
	.close_space = group_close_space,
	.open_device = group_open_device,
	.limits = group_limits,
	.map = group_map,
	.unmap = group_unmap,
	.owns = group_owns,
	.bus_reset = group_bus_reset,
};
