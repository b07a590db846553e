#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The drivers that were written on embedded models pass their self-tests on a real kernel's VFIO, unchanged, in each DMA policy; and under a
# recording, which is played without them.
#
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: e1000-82545em,netdev=none
# rig-device: e1000,netdev=none
# rig-device: nvme,null=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-timeout: 900
set -u
. tests/vfio/rig.sh

# BARs that are mapped otherwise, and memory that the kernel's IOMMU domain has.
recorded() # BDF
{
	"$OUTBOARD" record "vfio:$1" "$RIG_RESULTS/made.rec" && "$OUTBOARD" record --replay "$RIG_RESULTS/made.rec"
}
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
for bdf in $RIG_DEVICES; do
	for policy in pooled strict lazy; do
		check "$(cat "/sys/bus/pci/devices/$bdf/vendor" "/sys/bus/pci/devices/$bdf/device" | paste -sd:) $policy" \
			"$OUTBOARD" selftest "vfio:$bdf,dma=$policy"
	done
	check 'and is recorded, and played' recorded "$bdf"
done
check 'the tests of the edu driver' env EDU="vfio:$RIG_EDU" "$BUILD/tests/drivers/drivers-edu"
check 'nothing was refused by the IOMMU' test ! -s "$RIG_FAULTS"
finish_checks
