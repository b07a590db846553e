#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Scaling: queues and processors
# bench-from: none of the papers; issue 7
# bench-about: Does a request cost more where there are more of them at once? 4 KiB reads of an NVMe disk, 32 in flight on each of so many queues, a
#   thread for each, with one processor and with two. The machine's clock goes by instructions and its processors take turns, so what is compared
#   is the instructions of a request: locks, wake-ups and interrupts between processors would show there, memory that passes between caches would not.
# bench-base: kernel
# bench-parameter: queues, a thread each
# bench-side: kernel: the kernel's nvme driver, fio with io_uring, a job for each
# bench-side: in process: Outboard's driver in the program that reads, sleeping on each queue's interrupt
# bench-side: in process polled: the same, which looks again and again; looks in vain are counted
# bench-plot: instructions
# rig-device: nvme,null=1G
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-options: --counting --deterministic --cpus 2 --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
queues=$(by_mode '1 2 4 8' '1 2 4' 2)
most=$(by_mode 64000 32000 8000)

# Each number of processors in turn.
processors() # COMMAND...
{
	local n
	for n in 1 2; do
		echo $((n - 1)) >/sys/devices/system/cpu/cpu1/online
		"$@" "$n processor$([ $n = 1 ] || echo s)"
	done
}

by_fio() # LOAD
{
	local n
	for n in $queues; do
		# shellcheck disable=SC2016 # $N is the client's
		counted_command kernel "$1" "$n" request "$most" "fio --name=read --filename=/dev/nvme0n1 --direct=1 --rw=randread --bs=4k --ioengine=io_uring --iodepth=32 \
			--thread --numjobs=$n --norandommap --number_ios=\$((N / $n)) --output=/dev/null"
	done
}

by_ourselves() # SIDE WAIT LOAD
{
	local n
	for n in $queues; do
		counted "$1" "$3" "$n" request "$inprocess" --spec "vfio:$RIG_NVME" --test disk --queues "$n" --wait "$2" --count "$most" | grep '"instructions'
	done
}

modprobe nvme || exit 1
wait_for test -b /dev/nvme0n1
if command -v fio >/dev/null; then
	processors by_fio
else
	leave_out kernel 'there is no fio; apt-get install fio'
fi
to_vfio "$RIG_NVME" || exit 1
modprobe -r nvme
processors by_ourselves 'in process' sleep
processors by_ourselves 'in process polled' poll
