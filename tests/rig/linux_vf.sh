#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A virtual function of a card that the kernel has: igb in the kernel makes it, and igbvf drives it, first the one in the kernel and then the same, unmodified, in a
# process, through VFIO. It answers what ethtool asks as the driver in the kernel did, TCP goes both ways, the IOMMU refuses nothing, and a killed process
# leaves a function that the next one drives, and a card whose own interface works.
#
# rig-kernels: 6.12
# rig-where: host
# rig-timeout: 900
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	"${OUTBOARD_QEMU:-qemu-system-x86_64}" -device help 2>&1 | grep -q '^name "igb"' || {
		echo "1..0 # SKIP this QEMU has no igb: it came with 8.0"
		exit
	}
	. tests/linux/object.sh
	object_of igbvf net "$RIG_KERNEL"
	rig/vm --kernel "$RIG_KERNEL" --timeout 850 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe tun --modprobe e1000e --modprobe igb --modprobe igbvf \
		--env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" --env "LINUX_OBJECT=$object@$RIG_KERNEL" --results "$RIG_RESULTS" \
		--device igb,port=on,netdev=hub=7,mac=52:54:00:07:00:01,id=parent --device e1000e,netdev=hub=7,mac=52:54:00:07:00:02,id=theirs \
		-- bash tests/rig/linux_vf.sh --inside
	status=$?
	[ $status -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object linux/record igbvf "$RIG_KERNEL" vfio:igb-vf probe link ping udp tcp ethtool-Sgk remove again killed
	exit $status
fi
. tests/rig/peer_card.bash
network=10.9.0
address=52:54:00:07:00:03

start()
{
	run_card "$function" tap,name=ob0 --driver "linux:$LINUX_OBJECT"
}

has_carrier() # INTERFACE
{
	ip -o link show "$1" | grep -q LOWER_UP
}

start_peer "$RIG_THEIRS" e1000e
parent=$(ls "/sys/bus/pci/devices/$RIG_PARENT/net")
ip link set "$parent" up
check 'the link of the whole card is up' wait_for has_carrier "$parent"
check 'the kernel makes a virtual function' eval 'echo 1 >/sys/bus/pci/devices/$RIG_PARENT/sriov_numvfs'
function=$(basename "$(readlink "/sys/bus/pci/devices/$RIG_PARENT/virtfn0")")
check 'it gets an address' ip link set "$parent" vf 0 mac "$address"

check 'the kernel drives it' give_to igbvf "$function"
card=$(ls "/sys/bus/pci/devices/$function/net")
# As linux/class/net has it: a frame's VLAN tag stays in the frame, and frames are not put together.
ethtool -K "$card" rxvlan off gro off >/dev/null # rxvlan is fixed here, which it says
ip link set "$card" up
check 'its link is up' wait_for has_carrier "$card"
kernel=$RIG_RESULTS/kernel ours=$RIG_RESULTS/ours
ethtool -S "$card" | sed -n 's/^ *\(.*\): [0-9]*$/\1/p' >"$kernel-S"
ethtool -g "$card" | sed -n 's/^\([RT]X\):[[:space:]]*/\1 /p' >"$kernel-g"
ethtool "$card" | grep -E '^\s(Speed|Duplex|Auto-negotiation):' >"$kernel-link"
ethtool -k "$card" | tail -n +2 >"$kernel-k"
ip link set "$card" down

check 'VFIO has it' give_to vfio-pci "$function"
check 'it is an interface' start
check 'its link is up, too' wait_for has_carrier ob0
check 'it has the address that its parent gave' grep -qx "$address" /sys/class/net/ob0/address
"$OUTBOARD" ethtool -S card | sed -n 's/^ *\(.*\): [0-9]*$/\1/p' >"$ours-S"
"$OUTBOARD" ethtool -g card | sed -n 's/^\([RT]X\):[[:space:]]*/\1 /p' >"$ours-g"
"$OUTBOARD" ethtool card | grep -E '^\s(Speed|Duplex|Auto-negotiation):' >"$ours-link"
"$OUTBOARD" ethtool -k card | tail -n +2 >"$ours-k"
for question in S g link k; do
	check "ethtool -$question is answered as the driver in the kernel does" eval \
		'test -s "$kernel-$question" && diff "$kernel-$question" "$ours-$question"'
done

answers_any_size
check 'TCP from the function' iperf -n 16M
check 'TCP to the function' iperf -n 16M -R
check 'the instance ends' end_card
check 'the interface is gone' test ! -e /sys/class/net/ob0
check 'it is an interface again' start
check 'the other card answers again' peer_answers
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'a killed process leaves no interface' wait_for test ! -e /sys/class/net/ob0
check 'and the function can be driven again at once' start
check 'and works' peer_answers
check 'the instance ends again' end_card
check 'the IOMMU refused nothing' test ! -s "$RIG_FAULTS"
ip address add "$network.3/24" dev "$parent"
check 'the whole card works as before' peer_answers
end_peer
finish_checks
