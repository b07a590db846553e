#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two functions in one IOMMU group, on a bus of their own: plugged in together behind a port.
#
# rig-device: root-port,id=slot1
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-alone: plugs devices in
set -u
. tests/vfio/rig.sh
# All functions of a slot appear with function 0.  Each must say that it is one of several, or they get groups of their own.
rig/rig-qmp device_add driver=edu id=second bus=slot1 addr=0.1 multifunction=on >/dev/null
rig/rig-qmp device_add driver=edu id=first bus=slot1 addr=0.0 multifunction=on >/dev/null
for ((tries = 0; tries < 300; tries++)); do
	# shellcheck disable=SC2010 # names of the kernel's
	mapfile -t bdf < <(grep -l 0x11e8 /sys/bus/pci/devices/*/device | cut -d/ -f6)
	[ ${#bdf[@]} -eq 2 ] && break
	sleep 0.1
done
give_to vfio-pci "${bdf[@]}"
check 'they are in one group' test "$(group_of "${bdf[0]}")" = "$(group_of "${bdf[1]}")"
check 'they share an address space, a claim and a reset' "$BUILD/tests/vfio/vfio-shared" "${bdf[@]}"
# One of them with a driver of the kernel's: not ours to reset, and the group is not viable.
echo "${bdf[1]}" >/sys/bus/pci/drivers/vfio-pci/unbind
check 'one alone can be opened when nobody has the other' "$OUTBOARD" selftest "vfio:${bdf[0]}"
echo "1..$n"
