#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The drivers behind AMD's IOMMU.
#
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: nvme,null=64M
# rig-iommu: amd
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
for bdf in $RIG_DEVICES; do
	for policy in pooled strict; do
		check "$bdf $policy" "$OUTBOARD" selftest "vfio:$bdf,dma=$policy"
	done
done
finish_checks
