#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The system calls of driver processes of real devices, by each attachment of the kernel's, are on their list.
#
# rig-device: nvme,null=64M
# rig-device: e1000e
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv vduse virtio_vdpa virtio_blk nbd loop fuse tun vhost_net
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
exec tests/keeper/calls.sh "$OUTBOARD" "$BUILD/tests/keeper/list-calls"
