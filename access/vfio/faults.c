/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA that the IOMMU blocked. VFIO's type1 interface does not report it; the kernel's log does (fault_text.c), at most some ten
 * lines in five seconds. So we read /dev/kmsg where we may (root, or kernel.dmesg_restrict=0), from the moment the device was opened.
 */
#include <errno.h>
#include <unistd.h>

#include "access/vfio/vfio.h"

enum {
	RECORDS = 4096,
};

int vfio_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n)
{
	struct vfio_device *vd = dev->priv;
	char record[KMSG_RECORD];
	unsigned int got = 0;

	if (vd->kmsg_fd < 0)
		return -EOPNOTSUPP;
	for (unsigned int i = 0; i < RECORDS && got < n; i++) {
		ssize_t len = read(vd->kmsg_fd, record, sizeof(record) - 1);
		struct ob_fault *f = &faults[got];

		if (len < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* what was overwritten before we read it is lost */
		if (len <= 0)
			break;
		record[len] = '\0';
		if (vfio_fault_record(record, f) &&
		    sysfs_bdf_order(&f->source) == sysfs_bdf_order(&dev->info.bdf))
			got++;
	}
	return (int)got;
}
