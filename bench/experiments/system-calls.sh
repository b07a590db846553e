#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: System calls, and memory for a device on VFIO
# bench-from: Chubb 2004 (LCA) section 7.1
# bench-about: System calls of the whole machine for a 4 KiB read of an NVMe disk, by each way in which its driver gives it memory, 32 at a time and one at a time; the
#   difference between a long run and a short one, by the kernel's own count. And what it costs to map heap memory for a device by VFIO and the IOMMU, by size; for the arena and the ways
#   without VFIO see the experiment "dma".
# bench-base: kernel
# bench-parameter: bytes
# bench-side: kernel: the kernel's nvme driver, io_uring
# bench-side: ublk: Outboard's driver looped back as /dev/ublkb0
# bench-side: vduse-blk: looped back as a virtio disk by VDUSE
# bench-side: nbd-kernel: looped back through the kernel's NBD client
# bench-side: in process: Outboard's driver in the program, memory in its arena, sleeping on the interrupt
# bench-side: in process polled: the same, 32 together, looked for when they are there: the pause itself is a system call for 32
# bench-side: in process, lazy: sleeping, dma=lazy; its buffers were allocated once and stay mapped
# bench-side: in process, strict: sleeping, dma=strict; likewise
# bench-side: cached: heap memory, its mapping kept and found again
# bench-side: mapped: heap memory, dma=strict
# bench-plot: system calls
# bench-plot: instructions log-x log-y
# rig-device: nvme,null=1G
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --counting --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
calls=/sys/kernel/tracing/events/raw_syscalls/sys_enter
most=$(by_mode 40000 8000 2000)
sizes=$(by_mode '4096 16384 65536 262144 1048576' '4096 65536 1048576' 4096)
maps=$(by_mode 4000 1000 100)

calls_so_far()
{
	awk '/Hits:/ { print $2 }' $calls/hist
}

# How many system calls there are while COMMAND runs, by all programs.
calls_of() # COMMAND...
{
	local before
	before=$(calls_so_far)
	"$@" >/dev/null || return 1
	echo $(($(calls_so_far) - before))
}

load() # SIDE LOAD DEPTH COMMAND...
{
	local side=$1 load=$2 depth=$3 count=$((most / ($3 == 1 ? 4 : 1))) few many
	shift 3
	# What a program does before and after is the same in both; what comes with the first use of a disk is over.
	"$@" --test disk --depth "$depth" --count 100 >/dev/null || exit 1
	few=$(calls_of "$@" --test disk --depth "$depth" --count $((count / 10))) || exit 1
	many=$(calls_of "$@" --test disk --depth "$depth" --count $count) || exit 1
	# A tenth more is warming up.
	sample "$side" "$load" null 'system calls' "$(ratio $((many - few)) $((count * 9 / 10 * 11 / 10)))" 'per request'
}

loads() # SIDE COMMAND...
{
	load "$1" '4 KiB read, 32 at a time' 32 "${@:2}"
	[[ $1 == *polled ]] || load "$1" '4 KiB read, one at a time' 1 "${@:2}"
}

loads_attached() # SIDE
{
	loads "$1" "$client" --path "$OUTBOARD_DEV"
}

maps() # SIDE POLICY
{
	local bytes
	for bytes in $sizes; do
		counted "$1" 'heap memory, map and unmap' "$bytes" 'map and unmap' "$inprocess" --spec "vfio:$RIG_NVME,dma=$2" --test maps --size "$bytes" --count "$maps" |
			grep '"instructions'
	done
}

mount -t tracefs trace /sys/kernel/tracing 2>/dev/null || mountpoint -q /sys/kernel/tracing || exit 1
echo 'hist:keys=id' >$calls/trigger || exit 1
modprobe nvme || exit 1
wait_for test -b /dev/nvme0n1
loads kernel "$client" --path /dev/nvme0n1
to_vfio "$RIG_NVME" || exit 1
modprobe -r nvme
modprobe -aq vduse virtio_vdpa virtio_blk nbd
for side in ublk vduse-blk nbd-kernel; do
	attached $side "$RIG_NVME" $side loads_attached
done
loads 'in process' "$inprocess" --spec "vfio:$RIG_NVME"
loads 'in process polled' "$inprocess" --spec "vfio:$RIG_NVME" --wait pause
loads 'in process, lazy' "$inprocess" --spec "vfio:$RIG_NVME,dma=lazy"
loads 'in process, strict' "$inprocess" --spec "vfio:$RIG_NVME,dma=strict"
echo '!hist:keys=id' >$calls/trigger
maps cached pooled
maps mapped strict
