#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Devices that are taken away while they are used: by the boundary's programs, and under `outboard run`.
#
# rig-kernels: 6.12 6.1 7.2
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

served_disk_is_removed()
{
	local log=$RIG_RESULTS/run.log pid code tries
	rm -f /tmp/vfio.sock
	"$OUTBOARD" run "vfio:$RIG_NVME" --attach nbd,socket=/tmp/vfio.sock >"$log" 2>&1 &
	pid=$!
	for ((tries = 0; tries < 300; tries++)); do
		[ -S /tmp/vfio.sock ] && break
		sleep 0.1
	done
	timeout 60 nbdcopy "nbd+unix:///?socket=/tmp/vfio.sock" null: || return 1
	# Somebody reads on and on while it goes.
	(while timeout 60 nbdcopy "nbd+unix:///?socket=/tmp/vfio.sock" null: 2>/dev/null; do :; done) &
	sleep 0.5
	timeout 60 sh -c "echo 1 >/sys/bus/pci/devices/$RIG_NVME/remove" || echo "remove does not return"
	wait $pid
	code=$?
	wait
	cat "$log"
	echo "exit code $code"
	# outboard(1): the device is gone
	[ $code -eq 3 ] && [ ! -S /tmp/vfio.sock ]
}

check 'a served disk is taken away: its clients get errors, the program ends' served_disk_is_removed
echo 1 >/sys/bus/pci/rescan
# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
check 'what held the disk is gone, and it can be served again' "$OUTBOARD" selftest "vfio:$RIG_NVME"
check 'registers, waits, requests, frames end when a device goes' "$BUILD/tests/vfio/vfio-removed"
finish_checks
