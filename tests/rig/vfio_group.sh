#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two functions on a bus of their own, plugged in behind a port: in one IOMMU group they are opened and reset together; in
# two groups a reset of the bus is refused.
#
# rig-device: root-port,id=slot1
# rig-device: root-port,id=slot2
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-alone: plugs devices in
# rig-timeout: 900
set -u
. tests/vfio/rig.sh

# All functions of a slot appear with function 0. Where one does not say that it is one of several, it gets a group of its own.
plug() # PORT MULTIFUNCTION: sets bdf
{
	local tries dir
	rig/rig-qmp device_add driver=edu "id=$1second" "bus=$1" addr=0.1 "multifunction=$2" >/dev/null
	rig/rig-qmp device_add driver=edu "id=$1first" "bus=$1" addr=0.0 multifunction=on >/dev/null
	for ((tries = 0; tries < 600; tries++)); do
		bdf=()
		for dir in /sys/bus/pci/devices/*; do
			[ "$(cat "$dir/device")" = 0x11e8 ] && [[ " ${known[*]:-} " != *" ${dir##*/} "* ]] && bdf+=("${dir##*/}")
		done
		[ ${#bdf[@]} -eq 2 ] && break
		sleep 0.1
	done
	known+=("${bdf[@]}")
	give_to vfio-pci "${bdf[@]}"
}

known=()
plug slot1 on
check 'two are in one group' test "$(group_of "${bdf[0]}")" = "$(group_of "${bdf[1]}")"
check 'they share an address space, a claim and a reset' "$BUILD/tests/vfio/vfio-shared" "${bdf[@]}"
echo "${bdf[1]}" >/sys/bus/pci/drivers/vfio-pci/unbind
check 'one alone can be opened when nobody has the other' "$OUTBOARD" selftest "vfio:${bdf[0]}"

plug slot2 off
check 'two are in two groups' test "$(group_of "${bdf[0]}")" != "$(group_of "${bdf[1]}")"
check 'a reset of their bus needs both' "$BUILD/tests/vfio/vfio-shared" "${bdf[@]}" apart
finish_checks
