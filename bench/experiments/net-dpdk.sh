#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Network: frames sent, beside DPDK
# bench-from: Chubb 2004 (OLS) figure 7; the peer is today's
# bench-about: Frames of 64 bytes and more are sent on an 82574L in bursts of 32 by a program that has the card to itself. testpmd (txonly, the distribution's
#   DPDK) makes each frame anew and sends for ever; the window is a piece of that, its counters are read before and after, so that frames of some more milliseconds
#   than the window has are in the count, in its favour, the more the shorter the window. Only what programs execute is
#   counted, not the kernel, which only has a clock to tick meanwhile.
# bench-base: dpdk
# bench-parameter: bytes of a frame
# bench-side: dpdk: DPDK's e1000 driver
# bench-side: in process: Outboard's driver
# bench-side: linux in process: the kernel's e1000e driver, unmodified
# bench-plot: instructions
# bench-goal: in process | sent | * | instructions | <= 1
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-options: --counting --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
sizes=$(by_mode '64 256 1024 1514' '64 1514' 64)
most=$(by_mode 20000 10000 100)

# testpmd opens a FIFO, which 9p cannot be.
work=/dev/shm/testpmd

packets() # of the last table of counters that testpmd showed
{
	grep -o 'TX-packets: [0-9]*' "$work/said" | tail -n 1 | cut -d ' ' -f 2
}

# COUNT tables of counters were shown.
shown()
{
	[ "$(grep -c 'TX-packets: ' "$work/said")" -ge "$1" ]
}

dpdk()
{
	local testpmd bytes pid before user
	testpmd=$(command -v dpdk-testpmd) || { leave_out dpdk 'there is no dpdk-testpmd; apt-get install dpdk-dev'; return; }
	echo 64 >/proc/sys/vm/nr_hugepages
	mkdir -p /dev/hugepages /dev/shm && mount -t hugetlbfs huge /dev/hugepages || exit 1
	mountpoint -q /dev/shm || mount -t tmpfs shm /dev/shm || exit 1
	for bytes in $sizes; do
		rm -rf $work
		mkdir $work && mkfifo $work/in || exit 1
		# A thread for its commands, and one that sends; both on the only processor.
		stdbuf -oL "$testpmd" --lcores '0@0,1@0' -m 96 --no-telemetry -a "$RIG_E1000E" -- -i --forward-mode=txonly --txpkts="$bytes" \
			--nb-cores=1 --total-num-mbufs=2048 <$work/in >$work/said 2>&1 &
		pid=$!
		exec 9>$work/in
		if ! wait_for grep -q 'Checking link statuses' $work/said; then
			tail -n 5 $work/said >&2
			exit 1
		fi
		echo start >&9
		wait_for grep -q 'packet forwarding' $work/said
		sleep 0.5
		echo 'show port stats 0' >&9
		wait_for shown 1
		before=$(packets)
		# From the first table to the second; what is between them and the window, some milliseconds, is in the spread.
		"$client" --test nothing --count "$(by_mode 3000 1500 300)" >"$work/window" || exit 1
		echo 'show port stats 0' >&9
		wait_for shown 2
		user=$(grep '^count 2 ' "$RIG_COUNTS" | tail -n 1 | cut -d ' ' -f 4)
		sample dpdk sent "$bytes" instructions "$(ratio "$user" $(($(packets) - before)))" 'per frame'
		echo stop >&9
		echo quit >&9
		exec 9>&-
		wait $pid
	done
}

in_process() # SIDE BYTES [OPTION...]
{
	local side=$1 bytes=$2 line
	shift 2
	line=$(counted "$side" sent "$bytes" frame "$inprocess" --spec "vfio:$RIG_E1000E" "$@" --test frames --size "$bytes" --count "$most") || exit 1
	# As with DPDK: the programs' own.
	sample "$side" sent "$bytes" instructions "$(grep 'instructions, user' <<<"$line" | sed 's/.*"value": \([0-9.]*\).*/\1/')" 'per frame'
}

modprobe e1000 && to_vfio "$RIG_E1000E" || exit 1
ip link set "$(interface_of "$RIG_E1000_82545EM")" up
dpdk
for bytes in $sizes; do
	in_process 'in process' "$bytes"
done
if built e1000e; then
	for bytes in $sizes; do
		in_process 'linux in process' "$bytes" --driver linux:e1000e
	done
else
	leave_out 'linux in process' 'linux:e1000e is not built; outboard linux build e1000e'
fi
