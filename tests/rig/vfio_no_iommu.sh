#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Without an IOMMU VFIO is impossible, and says what is possible instead; an address alone is not taken by it.
#
# rig-device: edu
# rig-iommu: none
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
check 'no IOMMU' says 'no IOMMU confines it' 'intel_iommu=on' "uio:$RIG_EDU" -- "$OUTBOARD" selftest "vfio:$RIG_EDU"
check 'an address alone goes to uio' says uio -- "$OUTBOARD" selftest "$RIG_EDU"
finish_checks
