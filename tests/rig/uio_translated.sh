#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Behind an IOMMU that translates UIO refuses, says why, and points to VFIO.
#
# rig-device: edu
# rig-modprobe: uio_pci_generic vfio-pci vfio_iommu_type1
set -u
. tests/uio/rig.sh
give_to uio_pci_generic "$RIG_EDU"
check 'uio refuses, and names VFIO and the command' \
	ends 5 'behind an IOMMU' 'is translated (DMA' "outboard bind $RIG_EDU --driver vfio-pci" -- \
	"$OUTBOARD" selftest "uio:$RIG_EDU"
check 'and has not touched the device' eval "! is_bus_master $RIG_EDU"
echo "$RIG_EDU" >/sys/bus/pci/drivers/uio_pci_generic/unbind
echo >"/sys/bus/pci/devices/$RIG_EDU/driver_override"
check 'bind does not give it to uio_pci_generic' \
	ends 5 'is of no use behind an IOMMU' -- "$OUTBOARD" bind "$RIG_EDU" --driver uio_pci_generic
finish_checks
