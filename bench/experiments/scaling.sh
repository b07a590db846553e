#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Scaling: queues and processors
# bench-from: none of the papers; issue 7
# bench-about: Does a request cost more where there are more of them at once? 4 KiB reads of an NVMe disk, 32 in flight on each of so many queues, a
#   thread for each, with one processor and with two. The machine's clock goes by instructions and its processors take turns, so what is compared
#   is the instructions of a request: locks, wake-ups and interrupts between processors would show there, memory that passes between caches would not.
# bench-base: in process
# bench-parameter: queues, a thread each
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
most=$(by_mode 64000 32000 2000)

# Each number of processors in turn.
processors() # COMMAND...
{
	local n
	for n in 1 2; do
		echo $((n - 1)) >/sys/devices/system/cpu/cpu1/online
		"$@" "$n processor$([ $n = 1 ] || echo s)"
	done
}

by_ourselves() # SIDE WAIT LOAD
{
	local n
	for n in $queues; do
		counted "$1" "$3" "$n" request "$inprocess" --spec "vfio:$RIG_NVME" --test disk --queues "$n" --wait "$2" --count "$most" | grep '"instructions'
	done
}

to_vfio "$RIG_NVME" || exit 1
processors by_ourselves 'in process' sleep
processors by_ourselves 'in process polled' poll
