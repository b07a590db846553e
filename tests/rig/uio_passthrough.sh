#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Behind an IOMMU that lets everything pass (iommu=pt) UIO works, and says that nothing confines the device.
#
# rig-device: edu
# rig-modprobe: uio_pci_generic
# rig-options: --append iommu=pt
set -u
. tests/uio/rig.sh
check 'the IOMMU lets everything pass' \
	test "$(cat "/sys/bus/pci/devices/$RIG_EDU/iommu_group/type")" = identity
check 'bind gives it to uio_pci_generic when asked to' \
	ends 0 'uio_pci_generic, was without a driver' -- "$OUTBOARD" bind "$RIG_EDU" --driver uio_pci_generic
check 'the self-test passes' ends 0 'no IOMMU confines this device' -- "$OUTBOARD" selftest "uio:$RIG_EDU"
check 'devices names uio as the way' eval \
	'"$OUTBOARD" devices --json | jq -e ".devices[] | select(.address == \"$RIG_EDU\") | .way.backend == \"uio\" and .state == \"bound\""'
check 'and back' ends 0 'no driver, was uio_pci_generic' -- "$OUTBOARD" unbind "$RIG_EDU"
finish_checks
