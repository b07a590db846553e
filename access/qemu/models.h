/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What models of every kind have in common on QEMU's command line, and the kinds that take more than a line: disks and network cards. Of
 * machine.h's arguments, @where is the device's place (",addr=..."), and @qemu the name of its -device.
 */
#ifndef ACCESS_QEMU_MODELS_H
#define ACCESS_QEMU_MODELS_H

#include "access/qemu/machine.h"

/*
 * Behind an IOMMU like any other device (VIRTIO 1.2, 6.1, VIRTIO_F_ACCESS_PLATFORM): otherwise QEMU's virtio devices take addresses
 * for those of the machine's memory.
 */
#define QEMU_VIRTIO_PROPS ",disable-legacy=on,iommu_platform=on"

/** qemu_quote() - double commas, as QEMU's option syntax has it */
void qemu_quote(char *out, size_t size, const char *in);
/** qemu_add_props() - append the specification's prop.KEY=VALUE */
void qemu_add_props(struct ob_spec_part *part, char *props, size_t size);

int qemu_nvme_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		   const char *where, struct ob_error *err);
int qemu_ide_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		  const char *where, struct ob_error *err);
/** qemu_bus_args() - a controller with disks on a bus of its own, all of the same kind; or one that is the disk */
int qemu_bus_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		  const char *qemu, const char *where, struct ob_error *err);
/** qemu_unknown_disk() - of a model that we do not know: the disk behind it when the spec names one, appended to @props */
int qemu_unknown_disk(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		      char *props, size_t size, struct ob_error *err);
int qemu_net_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		  const char *qemu, const char *where, const char *binary, struct ob_error *err);

#endif
