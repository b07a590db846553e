#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A process that is killed with DMA in flight leaves a device at rest also without an IOMMU, and the next one opens it. Each open
# waits for the end of a transfer of edu (100 ms), which cannot be reset, so here it is a hundred times, on other kernels than 6.12 ten times.
#
# rig-nightly-kernels: 6.1 7.2
# rig-iommu: none
# rig-device: edu
# rig-modprobe: uio_pci_generic
set -u
. tests/uio/rig.sh
give_to uio_pci_generic "$RIG_EDU"
times=10
[[ $RIG_KERNEL == 6.12.* ]] && times=100
exec "$BUILD/tests/uio/uio-killed" $times
