# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by the tests of disks that the kernel's drivers in a process drive through VFIO, and that become block devices by ublk. LINUX_OBJECT is
# the object with the drivers.
. tests/vfio/rig.sh
. tests/rig/ublk_server.bash

run() # BDF
{
	: >"$dir/out" # what the last one said is not this one's word
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

use_disk() # NAME BDF
{
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
}
