#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A process that is killed with DMA in flight leaves a device at rest, which the next one opens: two hundred times with edu,
# a thousand at night, and with an NVMe disk that reads at depth 32.
#
# rig-device: edu
# rig-device: nvme,null=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
echo 1..2
for variable in RIG_EDU RIG_NVME; do
	times=${OUTBOARD_NIGHTLY:+1000}
	times=${times:-200}
	[ $variable = RIG_NVME ] && times=100
	check "$variable: killed $times times, and the next open works" "$BUILD/tests/vfio/vfio-killed" $variable $times
done
