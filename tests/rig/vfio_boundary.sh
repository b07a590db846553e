#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Devices behind the kernel's VFIO are what include/outboard/access.h says: claims, vectors, configuration space, resets.
#
# rig-kernels: 6.12 6.1 7.2
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: e1000-82545em,netdev=none
# rig-device: nvme,null=64M
# rig-device: virtio-net,netdev=none
# rig-modprobe: vfio-pci vfio_iommu_type1 e1000e
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
exec "$BUILD/tests/vfio/vfio-boundary"
