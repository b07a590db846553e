#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The control of vfio_isolation: without an IOMMU, wild DMA changes the memory of a process that has nothing to do with the device.
#
# rig-kernels: 6.12
# rig-iommu: none
# rig-device: nvme,null=64M
# rig-device: e1000e,netdev=none
# rig-modprobe: uio_pci_generic
set -u
. tests/uio/rig.sh
give_to uio_pci_generic "$RIG_NVME" "$RIG_E1000E"
exec "$BUILD/tests/uio/uio-wild"
