#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Devices with uio_pci_generic are what include/outboard/access.h says: claims, INTx, registers, ports, reset, loss.
#
# rig-kernels: 6.12 6.1 7.2
# rig-iommu: none
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: pcnet,netdev=none
# rig-device: nvme,null=64M
# rig-device: virtio-net,netdev=none
# rig-modprobe: uio_pci_generic e1000e virtio_net
set -u
. tests/uio/rig.sh
give_to uio_pci_generic "$RIG_EDU" "$RIG_E1000E" "$RIG_PCNET" "$RIG_NVME"
echo "$RIG_VIRTIO_NET" >/sys/bus/pci/drivers_probe
RIG_EDU_UIO=$(uio_of "$RIG_EDU") exec "$BUILD/tests/uio/uio-boundary"
