#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An NVMe disk behind an IOMMU, driven through VFIO and given back as a block device: when the program is killed with requests at
# the device, its clients get errors, and the device is free at once for the next.
#
# rig-device: nvme,null=64M
# rig-modprobe: vfio-pci vfio_iommu_type1 vduse virtio_vdpa virtio_blk nbd
# rig-options: --memory 2G --cpus 2
# rig-allow-log: I/O error|block nbd
# rig-timeout: 600
set -u
. tests/rig/ublk_server.bash
TIMES=3

nothing_left()
{
	[ "$(echo /dev/vduse/*)" = /dev/vduse/control ] && [ -z "$(ls /sys/block/nbd*/pid 2>/dev/null)" ] && [ -z "$(caretakers)" ]
}

run() # ATTACHMENT
{
	: >"$dir/out" # what the last one said is not this one's word
	"$OUTBOARD" run "vfio:$RIG_NVME" --attach "$1" >"$dir/out" 2>"$dir/err" &
	server=$!
	wait_for eval 'grep -q " as /dev/" "$dir/out" || gone $server'
	NAME=$(sed -n 's/.* as \(\/dev\/[a-z0-9]*\) .*/\1/p' "$dir/out")
	[ -b "$NAME" ]
}

under_load()
{
	soon fio --name=load --filename="$NAME" --size=64M --rw=randrw --bs=4k --iodepth=32 --ioengine=libaio --direct=1 --time_based \
		--runtime=60 >"$dir/fio" 2>&1 &
	client=$!
	wait_for eval '[ "$(awk "{ print \$1 + \$5 }" "/sys/block/${NAME#/dev/}/stat")" -gt 500 ]' && ! gone "$client"
}

killed()
{
	kill -KILL $server && wait_for gone $server && { wait $server; server=; wait_for gone "$client"; } && ! wait "$client"
}

# By hand, not by `outboard bind`, whose tests are others.
echo vfio-pci >"/sys/bus/pci/devices/$RIG_NVME/driver_override"
echo "$RIG_NVME" >/sys/bus/pci/drivers_probe
for kind in vduse-blk nbd-kernel; do
	for time in $(seq $TIMES); do
		check "$kind: it is there ($time)" run $kind
		check "$kind: requests are at the device ($time)" under_load
		check "$kind: killed, its client gets errors ($time)" killed
		check "$kind: nothing is left ($time)" wait_for nothing_left
	done
	check "$kind: the device is free, and works" soon "$OUTBOARD" selftest "vfio:$RIG_NVME"
	check "$kind: a whole run of a command" eval 'soon "$OUTBOARD" run "vfio:$RIG_NVME" --attach $kind -- sh -c "
		dd if=\$OUTBOARD_DEV of=/dev/null bs=1M count=16 iflag=direct" && wait_for nothing_left'
done
finish
