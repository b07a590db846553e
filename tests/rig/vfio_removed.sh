#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Devices that are taken away while they are used: by the boundary's programs, and under `outboard run`.
#
# rig-nightly-kernels: 6.1 7.2
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: nvme,null=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-alone: removes devices
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES

remove_disk()
{
	timeout 60 sh -c "echo 1 >/sys/bus/pci/devices/$RIG_NVME/remove" || echo "remove does not return"
}

check 'a served disk is taken away: its clients get errors, the program ends' disk_ends 'takes the device away' remove_disk
echo 1 >/sys/bus/pci/rescan
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
check 'what held the disk is gone, and it can be served again' "$OUTBOARD" selftest "vfio:$RIG_NVME"
check 'registers, waits, requests, frames end when a device goes' "$BUILD/tests/vfio/vfio-removed"
finish_checks
