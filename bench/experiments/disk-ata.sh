#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Disk reads and writes by transfer size: IDE and AHCI
# bench-from: Chubb 2004 (OLS) figure 4; Leslie et al. 2005 figure 2
# bench-about: The papers' disks were IDE. Bus-master IDE and AHCI disks that hold nothing, one request at a time; a machine without an IOMMU,
#   as theirs, devices by UIO. IDE on this machine has no interrupt that a program could get (ISA lines), so Outboard's driver looks for its completions again and again, and
#   its instructions are mostly those looks; NVMe by the same client is in "disk-sizes".
# bench-base: kernel
# bench-parameter: sectors of 512 bytes
# bench-side: kernel: the kernel's driver: ata_piix, ahci
# bench-side: in process: Outboard's driver ide in the program that reads
# bench-side: ublk: the same, looped back as /dev/ublkb0, without the sandbox
# bench-side: linux in process: the kernel's ahci driver, unmodified, in the program that reads
# bench-plot: instructions log-x log-y
# rig-iommu: none
# rig-device: ich9-ahci,null=1G
# rig-device: piix3-ide,null=1G
# rig-modprobe: uio_pci_generic ublk_drv sd_mod
# rig-options: --counting --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
sizes=$(by_mode '1 2 4 8 16 32 64 128 256' '1 8 128' 8)
most=$(by_mode 1000 300 10)

loads() # SIDE DISK COMMAND...
{
	local sectors op
	for sectors in $sizes; do
		for op in read write; do
			counted "$1" "$2 $op" "$sectors" request "${@:3}" --test disk --op $op --size $((sectors * 512)) --depth 1 --count "$most"
		done
	done
}

loads_attached() # SIDE
{
	loads "$1" IDE "$client" --path "$OUTBOARD_DEV"
}

# The block device on a PCI device.
disk_of() # BDF
{
	local at
	for at in /sys/block/sd*; do
		[[ $(readlink -f "$at") != */"$1"/* ]] || basename "$at"
	done
}

has_disk() # BDF
{
	[ "$(disk_of "$1")" ]
}

to_uio() # BDF
{
	to_driver "$1" uio_pci_generic || exit 1
}

modprobe -a ata_piix ahci || exit 1
wait_for has_disk "$RIG_PIIX3_IDE"
wait_for has_disk "$RIG_ICH9_AHCI"
loads kernel IDE "$client" --path "/dev/$(disk_of "$RIG_PIIX3_IDE")"
loads kernel AHCI "$client" --path "/dev/$(disk_of "$RIG_ICH9_AHCI")"
to_uio "$RIG_PIIX3_IDE"
loads 'in process' IDE "$inprocess" --spec "uio:$RIG_PIIX3_IDE" --wait poll
attached ublk "uio:$RIG_PIIX3_IDE" ublk loads_attached
if built ahci; then
	to_uio "$RIG_ICH9_AHCI"
	loads 'linux in process' AHCI "$inprocess" --spec "uio:$RIG_ICH9_AHCI,pages=small" --driver linux:ahci
else
	leave_out 'linux in process' 'linux:ahci is not built; outboard linux build ahci'
fi
