/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of a VFIO device: the kernel writes each vector's eventfd itself. INTx is masked by the kernel as it is
 * delivered. It has no masking of messages; that is the mask bit of the MSI capability [PCI 3.0, 6.8.1.10] or of the
 * MSI-X table's entry [6.8.2.9], and what comes meanwhile is pending in the device.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "access/vfio/vfio.h"

static unsigned int index_of(enum ob_irq_kind kind)
{
	return kind == OB_IRQ_INTX  ? VFIO_PCI_INTX_IRQ_INDEX
	       : kind == OB_IRQ_MSI ? VFIO_PCI_MSI_IRQ_INDEX
				    : VFIO_PCI_MSIX_IRQ_INDEX;
}

/* Return: 0; a negative errno value; of messages so many as the kernel could give, when those were too many. */
static int set_irqs(struct vfio_device *vd, unsigned int index, uint32_t flags, unsigned int n,
		    const int *fds)
{
	union {
		struct vfio_irq_set head;
		char room[sizeof(struct vfio_irq_set) + OB_IRQ_VECTORS * sizeof(int32_t)];
	} set = {.head = {.flags = flags, .index = index, .count = n}};
	size_t data = fds ? n * sizeof(int32_t) : 0;
	int ret;

	set.head.argsz = (uint32_t)(sizeof(set.head) + data);
	if (data)
		memcpy(set.head.data, fds, data);
	vfio_count(vd);
	ret = OB_FAULT_CALL("vfio.set-irqs", ioctl(vd->fd, VFIO_DEVICE_SET_IRQS, &set));
	return ret < 0 ? -errno : ret;
}

static unsigned int vectors_of(struct vfio_device *vd, unsigned int index)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};

	if (ioctl(vd->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) || !(info.flags & VFIO_IRQ_INFO_EVENTFD))
		return 0;
	return info.count < OB_IRQ_VECTORS ? info.count : OB_IRQ_VECTORS;
}

void vfio_vectors_open(struct vfio_device *vd)
{
	vd->irq_max[OB_IRQ_INTX] = vectors_of(vd, VFIO_PCI_INTX_IRQ_INDEX);
	vd->irq_max[OB_IRQ_MSI] = vectors_of(vd, VFIO_PCI_MSI_IRQ_INDEX);
	vd->irq_max[OB_IRQ_MSIX] = vectors_of(vd, VFIO_PCI_MSIX_IRQ_INDEX);
}

int vfio_notice(struct vfio_device *vd, unsigned int index, int fd)
{
	if (!vectors_of(vd, index))
		return -EOPNOTSUPP;
	return set_irqs(vd, index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, &fd);
}

unsigned int vfio_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	struct vfio_device *vd = dev->priv;

	return kind <= OB_IRQ_MSIX ? vd->irq_max[kind] : 0;
}

static int off(struct vfio_device *vd)
{
	unsigned int index = index_of(vd->irq_kind);

	if (vd->irq_kind == OB_IRQ_NONE)
		return 0;
	vd->irq_kind = OB_IRQ_NONE;
	vd->irq_n = 0;
	return set_irqs(vd, index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, NULL);
}

int vfio_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
		    struct ob_error *err)
{
	struct vfio_device *vd = dev->priv;
	/* After a reset: the same vectors once more, with the same descriptors and what they have counted. */
	bool again = vd->irq_kind == kind && vd->irq_n == n;
	int fds[OB_IRQ_VECTORS], ret;

	for (unsigned int i = 0; i < n; i++) {
		if (dev->vector[i].fd < 0)
			dev->vector[i].fd = eventfd(0, EFD_CLOEXEC);
		if (dev->vector[i].fd < 0)
			return ob_error_set(err, -errno, "%s: no descriptor for vector %u: %s",
					    dev->info.name, i, strerror(errno));
		if (!again)
			ob_irq_empty(dev->vector[i].fd);
		fds[i] = dev->vector[i].fd;
	}
	/* Not off and on again: a message that comes in between would be lost. */
	if (!again)
		off(vd);
	ret = set_irqs(vd, index_of(kind), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		       n, fds);
	if (ret > 0)
		return ob_error_set(err, -ENOSPC, "%s: the kernel has %d %s vectors for it, not %u",
				    dev->info.name, ret, ob_irq_kind_name(kind), n);
	if (ret)
		return ob_error_set(err, ob_device_gone(dev) ? -ENODEV : ret,
				    "%s: %u %s vectors cannot be had: %s", dev->info.name, n,
				    ob_irq_kind_name(kind), strerror(-ret));
	vd->irq_kind = kind;
	vd->irq_n = n;
	return 0;
}

void vfio_irq_disable(struct ob_device *dev)
{
	off(dev->priv);
}

/* Bit @vec of the capability's mask register, or -EOPNOTSUPP where it has none. */
static int msi_mask(struct vfio_device *vd, unsigned int vec, bool mask)
{
	uint32_t control = vd->msi ? vfio_config_get(vd, vd->msi + PCI_MSI_FLAGS, 2) : 0, bits;
	unsigned int at =
		vd->msi + (control & PCI_MSI_FLAGS_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);

	if (!(control & PCI_MSI_FLAGS_MASKBIT))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&vd->lock);
	bits = vfio_config_get(vd, at, 4);
	bits = mask ? bits | 1u << vec : bits & ~(1u << vec);
	vfio_config_put(vd, at, 4, bits);
	pthread_mutex_unlock(&vd->lock);
	return 0;
}

int vfio_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	struct vfio_device *vd = dev->priv;

	if (vec >= vd->irq_n)
		return -EINVAL;
	switch (vd->irq_kind) {
	case OB_IRQ_INTX:
		return set_irqs(vd, VFIO_PCI_INTX_IRQ_INDEX,
				VFIO_IRQ_SET_DATA_NONE | (mask ? VFIO_IRQ_SET_ACTION_MASK
							       : VFIO_IRQ_SET_ACTION_UNMASK),
				1, NULL);
	case OB_IRQ_MSI:
		return msi_mask(vd, vec, mask);
	case OB_IRQ_MSIX:
		if (!vd->msix_table || vec >= vd->msix_entries)
			return -EOPNOTSUPP;
		/* The other bits are reserved and read as zero. Posted, like all writes to registers. */
		vd->msix_table[4 * vec + PCI_MSIX_ENTRY_VECTOR_CTRL / 4] =
			mask ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
		return 0;
	case OB_IRQ_NONE:
		break;
	}
	return -EINVAL;
}

void vfio_vectors_close(struct vfio_device *vd)
{
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++) {
		if (vd->dev->vector[i].fd >= 0)
			close(vd->dev->vector[i].fd);
		vd->dev->vector[i].fd = -1;
	}
}
