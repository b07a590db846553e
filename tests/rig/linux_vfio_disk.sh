#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's nvme and ahci, unmodified, in a process, drive disks through VFIO, which become block devices: a file system and verified input and output,
# a killed process whose clients get errors and whose disk the next one drives, and in the end the same files seen by the same driver in the kernel. The
# IOMMU refuses nothing.
#
# rig-where: host
# rig-timeout: 900
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of block block 6.12
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	truncate -s 96M "$work/nvme" "$work/ahci"
	rig/vm --timeout 850 --memory 2G --cpus 2 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe ublk_drv --modprobe ext4 --modprobe sd_mod \
		--allow-log 'I/O error' --env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" \
		--env "LINUX_OBJECT=$object" --results "$RIG_RESULTS" \
		--device "nvme,file=$work/nvme" --device "ich9-ahci,file=$work/ahci" -- bash tests/rig/linux_vfio_disk.sh --inside
	exit
fi
. tests/vfio/rig.sh
. tests/rig/ublk_server.bash

run() # BDF
{
	"$OUTBOARD" run --driver "linux:$LINUX_OBJECT" "vfio:$1" --attach ublk >"$dir/out" 2>"$dir/err" 4>&- &
	server=$!
	wait_for eval 'grep -q " as /dev/" "$dir/out" || gone $server'
	NAME=$(sed -n 's/.* as \(\/dev\/[a-z0-9]*\) .*/\1/p' "$dir/out")
	[ -b "$NAME" ]
}

ends_well()
{
	kill -INT "$server"
	wait_for gone "$server"
	wait "$server"
	local code=$?
	server=
	[ $code -lt 128 ]
}

has_files() # DEVICE
{
	soon mount -o ro "$1" "$mnt" && soon diff -r linux "$mnt/linux"
	local ret=$?
	soon umount "$mnt" && return $ret
}

file_system()
{
	soon mkfs.ext4 -q -F "$NAME" && soon mount "$NAME" "$mnt" && soon cp -r linux "$mnt/" && soon sync -f "$mnt" && soon umount "$mnt" &&
		soon e2fsck -fn "$NAME" && has_files "$NAME"
}

under_load()
{
	soon fio --name=load --filename="$NAME" --rw=randread --bs=4k --iodepth=32 --ioengine=libaio --direct=1 --time_based --runtime=120 \
		--allow_file_create=0 >"$dir/fio" 2>&1 &
	client=$!
	wait_for eval '[ "$(awk "{ print \$1 }" "/sys/block/${NAME#/dev/}/stat")" -gt 500 ]' && ! gone "$client"
}

killed()
{
	kill -KILL "$server" && wait_for gone "$server" && { wait "$server"; server=; wait_for gone "$client"; } && ! wait "$client"
}

drive() # DRIVER BDF
{
	check "$1: VFIO has the disk" give_to vfio-pci "$2"
	check "$1: it is a block device" run "$2"
	check "$1: fio verifies what it wrote, 32 at a time" load --rw=randrw --direct=1 --ioengine=libaio
	check "$1: a file system holds files, and is clean" file_system
	check "$1: requests are under way" under_load
	check "$1: killed, its client gets errors" killed
	check "$1: nothing is left" wait_for nothing_left
	check "$1: the next process drives it at once" run "$2"
	check "$1: the files are there" has_files "$NAME"
	check "$1: it ends" ends_well
	check "$1: nothing is left of that, either" wait_for nothing_left
	modprobe "$1"
	check "$1: the kernel's own driver has the disk" give_to "$1" "$2"
}

drive nvme "$RIG_NVME"
check 'and finds the files' eval 'wait_for [ -b /dev/nvme0n1 ] && has_files /dev/nvme0n1'
drive ahci "$RIG_ICH9_AHCI"
check 'and finds the files, too' eval 'wait_for [ -b /dev/sda ] && has_files /dev/sda'
check 'the IOMMU refused nothing' test ! -s "$RIG_FAULTS"
finish
