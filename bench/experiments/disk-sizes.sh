#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Disk reads and writes by transfer size
# bench-from: Chubb 2004 (OLS) figure 4; Leslie et al. 2005 figure 2
# bench-about: One client (io_uring, direct, random places; in order from 64 KiB on) reads and writes an NVMe disk that holds nothing
#   (QEMU's null-co), 32 requests at a time, above 128 sectors as many as make 2 MiB, at least 4. The same disk, first by the kernel's driver,
#   then by Outboard's. The papers measured throughput and idle time on a disk that was the bottleneck; here there is none, so
#   what is compared is what the processor does for a request.
# bench-base: kernel
# bench-parameter: sectors of 512 bytes
# bench-side: kernel: the kernel's nvme driver, completions by interrupt
# bench-side: kernel polled: the same, with registered buffers and polled queues (IORING_SETUP_IOPOLL), a peer for what is in process.
#   32 together, and looked for when they are there: the emulated device's time is not counted
# bench-side: fio: fio with io_uring on the kernel's driver, random places
# bench-side: fio polled: the same with registered buffers and files and polled queues, which it looks at again and again: looks in vain
#   are counted, as many as the emulated device leaves time for
# bench-side: ublk: Outboard's driver looped back as /dev/ublkb0
# bench-side: vduse-blk: looped back as a virtio disk by VDUSE
# bench-side: nbd-kernel: looped back through the kernel's NBD client
# bench-side: in process: Outboard's driver in the program that reads, sleeping on the interrupt
# bench-side: in process polled: Outboard's driver in the program, 32 together, looked for when they are there
# bench-side: linux in process: the kernel's nvme driver, unmodified, in the program that reads
# bench-side: linux ublk: the same, looped back as /dev/ublkb0
# bench-plot: instructions log-x log-y
# bench-goal: ublk | read | 1 | instructions | <= 1.1
# bench-goal: ublk | write | 1 | instructions | <= 1.1
# bench-goal: in process polled | read | 8 | instructions | <= 0.5
# bench-goal: in process | read | 8 | instructions | <= 0.5
# rig-device: nvme,null=1G
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --counting --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
all_sizes=$(by_mode '1 2 4 8 16 32 64 128 256 512 1024 2048 8192' '1 8 128 1024' 8)
polled_sizes=$(by_mode '1 2 4 8 16 32 64 128' '1 8 128' 8)
alone=$(by_mode '1 8 128' '1 8' '')
fio_sizes=$(by_mode '1 8 128' 8 8)
# More, as its start, which is subtracted, takes hundreds of millions of instructions.
fio_most=$(by_mode 40000 20000 500)
most=$(by_mode 5000 1000 40)

depth_for() # SECTORS
{
	local depth=$((4096 / $1))
	echo $((depth > 32 ? 32 : depth < 4 ? 4 : depth))
}

count_for() # SECTORS
{
	local count=$((most * 128 / $1)) least=$((most / 40 + 20))
	echo $((count > most ? most : count < least ? least : count))
}

loads() # SIDE COMMAND...
{
	local side=$1 sectors op sizes=$all_sizes
	shift
	[[ $side != *polled ]] || sizes=$polled_sizes
	for sectors in $sizes; do
		for op in read write; do
			counted "$side" $op "$sectors" request "$@" --test disk --op $op --size $((sectors * 512)) \
				--depth "$(depth_for "$sectors")" --count "$(count_for "$sectors")"
		done
	done
	[[ $side != *polled ]] || return 0
	for sectors in $alone; do
		counted "$side" 'read, one at a time' "$sectors" request "$@" --test disk --size $((sectors * 512)) --depth 1 \
			--count $((most / 2))
	done
}

by_fio() # SIDE [OPTION...]
{
	local side=$1 sectors op
	shift
	command -v fio >/dev/null || { leave_out "$side" 'there is no fio; apt-get install fio'; return; }
	for sectors in $fio_sizes; do
		for op in read write; do
			counted_command "$side" $op "$sectors" request "$fio_most" "fio --name=$op --filename=/dev/nvme0n1 --direct=1 --rw=rand$op \
				--bs=$((sectors * 512)) --ioengine=io_uring --iodepth=$(depth_for "$sectors") --norandommap --number_ios=\$N --output=/dev/null $*"
		done
	done
}

loads_attached() # SIDE
{
	loads "$1" "$client" --path "$OUTBOARD_DEV"
}

looped_back() # SIDE ATTACHMENT [OPTION...]
{
	attached "$1" "$RIG_NVME" "$2" loads_attached "${@:3}"
}

modprobe nvme poll_queues=1 || exit 1
wait_for test -b /dev/nvme0n1
loads kernel "$client" --path /dev/nvme0n1
loads 'kernel polled' "$client" --path /dev/nvme0n1 --polled
by_fio fio
by_fio 'fio polled' --hipri --fixedbufs --registerfiles
to_vfio "$RIG_NVME" || exit 1
modprobe -r nvme
# What they need, where the kernel has it.
modprobe -aq vduse virtio_vdpa virtio_blk nbd
looped_back ublk ublk
looped_back vduse-blk vduse-blk
looped_back nbd-kernel nbd-kernel
loads 'in process' "$inprocess" --spec "vfio:$RIG_NVME"
loads 'in process polled' "$inprocess" --spec "vfio:$RIG_NVME" --wait pause
if built nvme; then
	loads 'linux in process' "$inprocess" --driver linux:nvme --spec "vfio:$RIG_NVME"
	looped_back 'linux ublk' ublk --driver linux:nvme
else
	leave_out 'linux in process' 'linux:nvme is not built; outboard linux build nvme'
fi
