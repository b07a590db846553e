#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's nvme and ahci, unmodified, in a process, drive disks through VFIO, which become block devices: a file system and verified input and output,
# a killed process whose clients get errors and whose disk the next one drives, and in the end the same files seen by the same driver in the kernel. The
# IOMMU refuses nothing. The drivers are of 6.12; the machine is not: the ublk driver of 6.12 has a race at the death of a server
# (docs/findings/ublk-server-killed.md).
#
# rig-where: host
# rig-kernels: 7.2
# rig-timeout: 900
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of block block 6.12
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	truncate -s 96M "$work/nvme" "$work/ahci"
	rig/vm --kernel "$RIG_KERNEL" --timeout 850 --memory 2G --cpus 2 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe ublk_drv --modprobe ext4 --modprobe sd_mod \
		--allow-log 'I/O error' --env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" \
		--env "LINUX_OBJECT=$object" --results "$RIG_RESULTS" \
		--device "nvme,file=$work/nvme" --device "ich9-ahci,file=$work/ahci" -- bash tests/rig/linux_vfio_disk.sh --inside
	exit
fi
. tests/rig/linux_disk.bash

drive() # DRIVER BDF
{
	check "$1: VFIO has the disk" give_to vfio-pci "$2"
	use_disk "$1" "$2"
	modprobe "$1"
	check "$1: the kernel's own driver has the disk" give_to "$1" "$2"
}

drive nvme "$RIG_NVME"
check 'and finds the files' eval 'wait_for [ -b /dev/nvme0n1 ] && has_files /dev/nvme0n1'
drive ahci "$RIG_ICH9_AHCI"
check 'and finds the files, too' eval 'wait_for [ -b /dev/sda ] && has_files /dev/sda'
check 'the IOMMU refused nothing' test ! -s "$RIG_FAULTS"
finish
