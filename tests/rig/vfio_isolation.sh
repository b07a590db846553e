#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# DMA that was not allowed is blocked, and told by name: edu, e1000e and nvme behind the kernel's VFIO.
#
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: nvme,null=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
exec "$BUILD/tests/vfio/vfio-isolation"
