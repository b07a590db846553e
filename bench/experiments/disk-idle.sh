#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Processor available to others while a disk is read
# bench-from: Chubb 2004 (OLS) figure 4; Leslie et al. 2005 figure 2
# bench-about: Reads of 4 KiB, one at a time, so many a second, and beside them a thread that takes whatever is left (SCHED_IDLE), as the papers' idle-cycle
#   soaker did: its part of the processor is what is available to others. The machine's clock goes by instructions, one a nanosecond, so that it is the
#   same on any host. Instructions of a request are from the same rate without the soaker, looks and wake-ups included.
# bench-base: kernel
# bench-parameter: requests a second offered
# bench-side: kernel: the kernel's nvme driver
# bench-side: ublk: Outboard's driver looped back as /dev/ublkb0
# bench-side: vduse-blk: looped back as a virtio disk by VDUSE
# bench-side: in process: Outboard's driver in the program that reads, sleeping on the interrupt
# bench-side: linux in process: the kernel's nvme driver, unmodified, in the program that reads
# bench-side: linux ublk: the same, looped back as /dev/ublkb0
# bench-plot: available
# rig-device: nvme,null=1G
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --counting --deterministic --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
rates=$(by_mode '250 500 1000 2000 4000' '500 1000 2000' 1000)
tenths=$(by_mode 4 2 1)

loads() # SIDE COMMAND...
{
	local side=$1 rate line
	shift
	for rate in $rates; do
		counted "$side" read "$rate" request "$@" --test disk --depth 1 --pace "$rate" --count $((rate * tenths / 10)) | grep '"instructions'
		line=$("$@" --test disk --depth 1 --pace "$rate" --count $((rate * tenths / 10)) --soak) || exit 1
		sample "$side" read "$rate" available "$(field available "$line" | awk '{ printf "%.2f", $1 * 100 }')" '% of the processor'
		sample "$side" read "$rate" achieved "$(field rate "$line")" requests/s
	done
}

loads_attached() # SIDE
{
	loads "$1" "$client" --path "$OUTBOARD_DEV"
}

modprobe nvme || exit 1
wait_for test -b /dev/nvme0n1
loads kernel "$client" --path /dev/nvme0n1
to_vfio "$RIG_NVME" || exit 1
modprobe -r nvme
modprobe -aq vduse virtio_vdpa virtio_blk
attached ublk "$RIG_NVME" ublk loads_attached
attached vduse-blk "$RIG_NVME" vduse-blk loads_attached
loads 'in process' "$inprocess" --spec "vfio:$RIG_NVME"
if built nvme; then
	loads 'linux in process' "$inprocess" --driver linux:nvme --spec "vfio:$RIG_NVME"
	attached 'linux ublk' "$RIG_NVME" ublk loads_attached --driver linux:nvme
else
	leave_out 'linux in process' 'linux:nvme is not built; outboard linux build nvme'
	leave_out 'linux ublk' 'linux:nvme is not built; outboard linux build nvme'
fi
