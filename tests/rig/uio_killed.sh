#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A process that is killed with DMA in flight leaves a device at rest also without an IOMMU, and the next one opens it. Each death
# waits for a transfer of edu (100 ms), so here it is a hundred times.
#
# rig-iommu: none
# rig-device: edu
# rig-modprobe: uio_pci_generic
set -u
. tests/uio/rig.sh
give_to uio_pci_generic "$RIG_EDU"
exec "$BUILD/tests/uio/uio-killed" 100
