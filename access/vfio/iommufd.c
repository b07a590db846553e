/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO by device node and iommufd (Documentation/userspace-api/iommufd.rst, Documentation/driver-api/vfio.rst
 * "VFIO device cdev"): for kernels that have both; Debian's have neither (CONFIG_IOMMUFD and
 * CONFIG_VFIO_DEVICE_CDEV are not set in 6.1, 6.12 and 7.2). Held to the headers by tests/vfio/iommufd.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "access/vfio/vfio.h"

static int iommufd_open_space(struct vfio_space *s, const struct sysfs_function *fn,
			      struct ob_error *err)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int ret;

	s->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (s->iommufd < 0)
		return vfio_explain_node("", "/dev/iommu", fn->name, errno, err);
	if (ioctl(s->iommufd, IOMMU_IOAS_ALLOC, &alloc)) {
		ret = -errno;
		return ob_error_set(err, ret, "%s: iommufd gives no address space: %s", fn->name,
				    strerror(-ret));
	}
	s->ioas = alloc.out_ioas_id;
	return 0;
}

static void iommufd_close_space(struct vfio_space *s)
{
	/* The address space and all mappings go with it. */
	if (s->iommufd >= 0)
		close(s->iommufd);
	s->iommufd = -1;
}

static void take_name(void *arg, const char *name)
{
	char *node = arg;

	if (!strncmp(name, "vfio", 4) && strlen(name) < 32)
		snprintf(node, 64, "/dev/vfio/devices/%s", name);
}

static int iommufd_open_device(struct vfio_space *s, struct vfio_device *vd, struct ob_error *err)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = s->iommufd};
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = s->ioas};
	char path[96], node[64] = "";
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", vd->fn.name);
	sysfs_for_each(path, take_name, node);
	if (!node[0]) {
		ob_error_set(err, -ENODEV, "%s has no VFIO device node", vd->fn.name);
		ob_error_why(err, "%s is empty or not there", path);
		return -ENODEV;
	}
	vd->fd = open(node, O_RDWR | O_CLOEXEC);
	if (vd->fd < 0)
		return vfio_explain_node("", node, vd->fn.name, errno, err);
	if (ioctl(vd->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind)) {
		ret = -errno;
		/* "-EBUSY" and "-EPERM": the group's DMA belongs to a kernel driver or to another process. */
		if (ret == -EPERM || ret == -EBUSY)
			return vfio_explain_group("", &vd->fn, err);
		return ob_error_set(err, ret, "%s cannot be bound to iommufd: %s", vd->fn.name,
				    strerror(-ret));
	}
	if (ioctl(vd->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach)) {
		ret = -errno;
		return ob_error_set(err, ret, "%s cannot use its IOMMU address space: %s",
				    vd->fn.name, strerror(-ret));
	}
	return 0;
}

static int iommufd_limits(struct vfio_space *s, struct vfio_limits *l)
{
	struct iommu_iova_range range[VFIO_RANGES];
	struct iommu_ioas_iova_ranges ask = {
		.size = sizeof(ask),
		.ioas_id = s->ioas,
		.num_iovas = VFIO_RANGES,
		.allowed_iovas = (uintptr_t)range,
	};

	memset(l, 0, sizeof(*l));
	/* With more ranges than room the first ones are filled in, too. */
	if (ioctl(s->iommufd, IOMMU_IOAS_IOVA_RANGES, &ask) && errno != EMSGSIZE)
		return -errno;
	if (ask.num_iovas > VFIO_RANGES)
		ask.num_iovas = VFIO_RANGES;
	for (uint32_t i = 0; i < ask.num_iovas; i++) {
		if (range[i].last < range[i].start ||
		    (l->nr_ranges && range[i].start <= l->range[l->nr_ranges - 1].max))
			continue;
		l->range[l->nr_ranges++] = (struct vfio_range){range[i].start, range[i].last};
	}
	l->pgsizes = ask.out_iova_alignment ? ask.out_iova_alignment : 4096;
	l->avail = UINT32_MAX; /* mappings are only limited by memory */
	return l->nr_ranges ? 0 : -ENOSPC;
}

static int iommufd_map(struct vfio_space *s, void *va, uint64_t iova, uint64_t len,
		       unsigned int prot)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA |
			 (prot & OB_DMA_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
			 (prot & OB_DMA_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = s->ioas,
		.user_va = (uintptr_t)va,
		.length = len,
		.iova = iova,
	};

	return OB_FAULT_CALL("vfio.map", ioctl(s->iommufd, IOMMU_IOAS_MAP, &map)) ? -errno : 0;
}

static int iommufd_unmap(struct vfio_space *s, uint64_t iova, uint64_t len, uint64_t *done)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = s->ioas,
		.iova = iova,
		.length = len,
	};

	if (OB_FAULT_CALL("vfio.unmap", ioctl(s->iommufd, IOMMU_IOAS_UNMAP, &unmap)))
		return -errno;
	*done = unmap.length;
	return 0;
}

static bool iommufd_owns(struct vfio_space *s, const struct sysfs_function *fn, uint32_t id)
{
	/* @id is ours in this iommufd, or "owned": closed, but in a group that is ours. */
	return id != (uint32_t)VFIO_PCI_DEVID_NOT_OWNED;
}

static int iommufd_bus_reset(struct vfio_space *s, struct vfio_device *vd)
{
	struct vfio_pci_hot_reset reset = {.argsz = sizeof(reset)};

	/* No proof is needed: the kernel knows what is bound to this iommufd. */
	return ioctl(vd->fd, VFIO_DEVICE_PCI_HOT_RESET, &reset) ? -errno : 0;
}

const struct vfio_way vfio_way_iommufd = {
	.name = "iommufd",
	.open_space = iommufd_open_space,
	.close_space = iommufd_close_space,
	.open_device = iommufd_open_device,
	.limits = iommufd_limits,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.owns = iommufd_owns,
	.bus_reset = iommufd_bus_reset,
};
