#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: The timeline of one request
# bench-from: Chubb 2004 (OLS) figure 5
# bench-about: Where the time of a 4 KiB read goes, one at a time, the median of all for each stage, traced in the kernel and noted by the program
#   with one clock. The tracing itself is in the times, some hundred instructions an event, and not in the instructions, which are from a run without it, looks
#   in vain included. "device" is what its emulator takes. In the kernel, the driver is part of "kernel", between interrupt and wake-up.
# bench-kind: times
# bench-base: kernel
# bench-side: kernel: the kernel's nvme driver, pread()
# bench-side: interrupt: Outboard's driver in the program, which sleeps at once when there is nothing
# bench-side: adaptive: the same, which looks for a while before it sleeps
# bench-side: polled: the same, which never sleeps
# bench-plot: time
# rig-device: nvme,null=1G,latency=500
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-options: --counting --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
trace=/sys/kernel/tracing
count=$(by_mode 2000 500 50)

# The program's name, as the kernel cuts it.
program=outboard-bench-

loads() # SIDE PROGRAM-OPTION...
{
	local side=$1
	shift
	echo 0 >$trace/tracing_on
	"$BUILD/bench/outboard-bench-timeline" --count "$count" "$@" >"$RIG_RESULTS/moments" || exit 1
	sample "$side" all null instructions "$(tail -n 1 "$RIG_COUNTS" | awk -v n="$count" '{ printf "%.0f", ($4 + $6) / n }')" 'per request'
	echo >$trace/trace
	echo 1 >$trace/tracing_on
	"$BUILD/bench/outboard-bench-timeline" --count "$count" "$@" >"$RIG_RESULTS/moments" || exit 1
	python3 "$here/timeline.py" "$side" "$RIG_RESULTS/moments" $trace/trace || exit 1
}

modprobe nvme || exit 1
wait_for test -b /dev/nvme0n1
mount -t tracefs trace $trace 2>/dev/null || mountpoint -q $trace || exit 1
echo 8192 >$trace/buffer_size_kb
# The one that programs can read, too.
echo x86-tsc >$trace/trace_clock || exit 1
echo 1 >$trace/events/irq/irq_handler_entry/enable
for event in sched/sched_waking:comm sched/sched_switch:next_comm block/block_rq_issue:comm; do
	echo "${event#*:} ~ \"$program*\"" >$trace/events/"${event%:*}"/filter && echo 1 >$trace/events/"${event%:*}"/enable || exit 1
done
loads kernel --path /dev/nvme0n1
to_vfio "$RIG_NVME" || exit 1
modprobe -r nvme
loads interrupt --spec "vfio:$RIG_NVME" --mode interrupt
loads adaptive --spec "vfio:$RIG_NVME" --mode adaptive
loads polled --spec "vfio:$RIG_NVME" --mode poll
