#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The DMA memory of a device without an IOMMU: one piece, never moved, below the device's mask, from whatever pages there are.
#
# rig-nightly-kernels: 6.1 7.2
# rig-iommu: none
# rig-device: edu
# rig-modprobe: uio_pci_generic
set -u
. tests/uio/rig.sh
give_to uio_pci_generic "$RIG_EDU"
exec "$BUILD/tests/uio/uio-memory"
