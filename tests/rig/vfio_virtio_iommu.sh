#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An IOMMU that does not remap interrupts: refused with the reason and the command, which helps.
#
# rig-device: edu
# rig-device: nvme,null=64M
# rig-iommu: virtio
# rig-modprobe: virtio_iommu vfio-pci vfio_iommu_type1
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
check 'no interrupt remapping' \
	says 'does not remap interrupts' 'allow_unsafe_interrupts=1' -- "$OUTBOARD" selftest "vfio:$RIG_EDU"
modprobe -r vfio_iommu_type1
modprobe vfio_iommu_type1 allow_unsafe_interrupts=1
for policy in pooled strict; do
	check "edu $policy" "$OUTBOARD" selftest "vfio:$RIG_EDU,dma=$policy"
	check "nvme $policy" "$OUTBOARD" selftest "vfio:$RIG_NVME,dma=$policy"
done
check 'nothing was refused by the IOMMU' test ! -s "$RIG_FAULTS"
modprobe -r vfio_iommu_type1
modprobe vfio_iommu_type1
finish_checks
