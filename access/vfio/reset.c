/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets: of the function where the kernel knows a way (FLR, power state, a bus on which it is alone), else of the
 * whole bus or slot, which VFIO calls a hot reset, when everything that it would hit is ours.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "access/vfio/vfio.h"

static struct vfio_pci_hot_reset_info *affected(struct vfio_device *vd, int *ret)
{
	/* A bus has 256 functions. */
	for (uint32_t room = 16; room <= 256; room *= 2) {
		size_t size = sizeof(struct vfio_pci_hot_reset_info) +
			      room * sizeof(struct vfio_pci_dependent_device);
		struct vfio_pci_hot_reset_info *info = calloc(1, size);

		if (!info) {
			*ret = -ENOMEM;
			return NULL;
		}
		info->argsz = (uint32_t)size;
		vfio_count(vd);
		*ret = ioctl(vd->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info) ? -errno : 0;
		if (!*ret && info->count <= room)
			return info;
		free(info);
		if (*ret && *ret != -ENOSPC)
			return NULL;
	}
	*ret = -E2BIG;
	return NULL;
}

/* Functions that the reset would hit and that are not ours. */
static unsigned int others(struct vfio_device *vd, const struct vfio_pci_hot_reset_info *info,
			   char *list, size_t size)
{
	unsigned int n = 0;
	size_t len = 0;

	list[0] = '\0';
	for (uint32_t i = 0; i < info->count; i++) {
		const struct vfio_pci_dependent_device *d = &info->devices[i];
		struct ob_bdf bdf = {
			.domain = d->segment,
			.bus = d->bus,
			.dev = d->devfn >> 3,
			.fn = d->devfn & 7,
		};
		struct sysfs_function fn;
		char name[SYSFS_NAME];

		if (sysfs_function_read("", sysfs_bdf_name(&bdf, name), &fn))
			memset(&fn, 0, sizeof(fn));
		if (vd->space->way->owns(vd->space, &fn, d->group_id))
			continue;
		n++;
		if (len < size)
			len += (size_t)snprintf(list + len, size - len, "%s%s (%s)",
						len ? ", " : "", name,
						fn.driver[0] ? fn.driver : "no driver");
	}
	return n;
}

static int bus_reset(struct vfio_device *vd, struct ob_error *err)
{
	const char *name = vd->dev->info.name;
	struct vfio_pci_hot_reset_info *info;
	char list[400];
	int ret;

	info = affected(vd, &ret);
	if (!info) {
		if (ret != -ENODEV)
			return ob_error_set(err, ret, "%s cannot be reset: %s", name,
					    strerror(-ret));
		ob_error_set(err, -EOPNOTSUPP, "%s has no function reset", name);
		ob_error_why(err, "and its bus cannot be reset for it, either");
		ob_error_fix(err, "its driver resets it by its registers");
		return -EOPNOTSUPP;
	}
	if (others(vd, info, list, sizeof(list))) {
		ob_error_set(err, -EBUSY, "%s can only be reset together with its bus", name);
		ob_error_why(err, "that would reset what is not ours: %s", list);
		ob_error_fix(err, "its driver resets it by its registers");
		ret = -EBUSY;
	} else {
		vfio_count(vd);
		ret = vd->space->way->bus_reset(vd->space, vd);
		if (ret)
			ob_error_set(err, ret, "%s: the reset of its bus failed: %s", name,
				     strerror(-ret));
	}
	free(info);
	return ret;
}

int vfio_reset(struct ob_device *dev, struct ob_error *err)
{
	struct vfio_device *vd = dev->priv;
	uint32_t command;
	int ret;

	if (vd->can_reset) {
		vfio_count(vd);
		ret = ioctl(vd->fd, VFIO_DEVICE_RESET) ? -errno : 0;
		if (ret)
			ob_error_set(err, ob_device_gone(dev) ? -ENODEV : ret,
				     "%s: the reset failed: %s", dev->info.name, strerror(-ret));
	} else {
		ret = bus_reset(vd, err);
	}
	if (ob_device_gone(dev))
		return -ENODEV;
	if (ret)
		return ret;
	/* The kernel restored BARs and command register as they were; this one must be on whatever was. */
	pthread_mutex_lock(&vd->lock);
	command = vfio_config_get(vd, PCI_COMMAND, 2);
	vfio_config_put(vd, PCI_COMMAND, 2, command | vd->command | PCI_COMMAND_MASTER);
	pthread_mutex_unlock(&vd->lock);
	return 0;
}
