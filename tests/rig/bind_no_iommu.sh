#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Without an IOMMU `outboard bind` takes uio_pci_generic, and says why vfio-pci is not possible.
#
# rig-iommu: none
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-modprobe: e1000e
set -u
. tests/uio/rig.sh
ob=$OUTBOARD
echo "$RIG_E1000E" >/sys/bus/pci/drivers_probe
check 'vfio-pci is refused' ends 5 'vfio-pci needs an IOMMU' 'intel_iommu=on' -- $ob bind "$RIG_E1000E" -d vfio-pci
check 'uio_pci_generic is what suits' ends 0 "$RIG_E1000E: uio_pci_generic, was e1000e; /dev/uio" -- $ob bind "$RIG_E1000E"
check 'it can be driven' $ob selftest "$RIG_E1000E"
check 'and goes back' ends 0 "$RIG_E1000E: e1000e" -- $ob unbind "$RIG_E1000E"
check 'not for another user: it reaches all memory' ends 2 "root's alone" -- $ob bind "$RIG_EDU" --user nobody
echo "$RIG_E1000E" >/sys/bus/pci/drivers/e1000e/unbind
finish_checks
