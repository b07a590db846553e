#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's e1000e, unmodified, in a process, drives a card through VFIO, opposite the same driver in the same kernel: it answers what ethtool asks as the driver
# in the kernel did with the same card, TCP goes both ways, the IOMMU refuses nothing, and a killed process leaves a card that the next one drives.
#
# rig-kernels: 6.12 6.1 7.2
# rig-where: host
# rig-timeout: 900
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of e1000e net "$RIG_KERNEL"
	rig/vm --kernel "$RIG_KERNEL" --timeout 850 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe tun --modprobe e1000e \
		--env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" --env "LINUX_OBJECT=$object@$RIG_KERNEL" --results "$RIG_RESULTS" \
		--device e1000e,netdev=hub=7,mac=52:54:00:07:00:01,id=ours --device e1000e,netdev=hub=7,mac=52:54:00:07:00:02,id=theirs \
		-- bash tests/rig/linux_vfio.sh --inside
	exit
fi
. tests/rig/peer_card.bash
network=10.9.0

start()
{
	run_card "$RIG_OURS" tap,name=ob0 --driver "linux:$LINUX_OBJECT"
}

has_carrier() # INTERFACE
{
	ip -o link show "$1" | grep -q LOWER_UP
}

start_peer "$RIG_THEIRS" e1000e

# What the driver in the kernel answers of our card: names and settings as words, a line each.
check 'the kernel drives ours' give_to e1000e "$RIG_OURS"
card=$(ls "/sys/bus/pci/devices/$RIG_OURS/net")
# As linux/class/net has it: a frame's VLAN tag stays in the frame, and frames are not put together.
ethtool -K "$card" rxvlan off gro off
ip link set "$card" up
check 'its link is up' wait_for has_carrier "$card"
kernel=$RIG_RESULTS/kernel ours=$RIG_RESULTS/ours
# Where the rings are, and what lies in them, is what went over the wire: words 4, 5, 9 and 10 (e1000_get_regs()).
ethtool -d "$card" hex on | sed -n 's/^0x[0-9a-f]*:[[:space:]]*//p' | tr -s ' \n' '\n' | paste -d' ' - - - - |
	awk 'NF == 4 { print n++, $4 $3 $2 $1 }' | grep -vE '^(4|5|9|10) ' >"$kernel-d"
ethtool -S "$card" | sed -n 's/^ *\(.*\): [0-9]*$/\1/p' >"$kernel-S"
ethtool -g "$card" | sed -n 's/^\([RT]X\):[[:space:]]*/\1 /p' >"$kernel-g"
ethtool "$card" | grep -E '^\s(Speed|Duplex|Auto-negotiation):' >"$kernel-link"
ethtool -k "$card" | tail -n +2 >"$kernel-k"
ip link set "$card" down

check 'VFIO has ours' give_to vfio-pci "$RIG_OURS"
check 'the card is an interface' start
check 'its link is up, too' wait_for has_carrier ob0
check 'the other card answers' peer_answers
"$OUTBOARD" ethtool -d card --json | jq -r '.registers[].value' |
	awk '{ printf "%d %08x\n", n++, $1 }' | grep -vE '^(4|5|9|10) ' >"$ours-d"
"$OUTBOARD" ethtool -S card | sed -n 's/^ *\(.*\): [0-9]*$/\1/p' >"$ours-S"
"$OUTBOARD" ethtool -g card | sed -n 's/^\([RT]X\):[[:space:]]*/\1 /p' >"$ours-g"
"$OUTBOARD" ethtool card | grep -E '^\s(Speed|Duplex|Auto-negotiation):' >"$ours-link"
"$OUTBOARD" ethtool -k card | tail -n +2 >"$ours-k"
for question in d S g link k; do
	check "ethtool -$question is answered as the driver in the kernel does" eval \
		'test -s "$kernel-$question" && diff "$kernel-$question" "$ours-$question"'
done

answers_any_size
check 'TCP from our card' iperf -n 16M
check 'TCP to our card' iperf -n 16M -R
check 'the instance ends' end_card
check 'the interface is gone' test ! -e /sys/class/net/ob0
check 'the card is an interface again' start
check 'the other card answers again' peer_answers
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'a killed process leaves no interface' wait_for test ! -e /sys/class/net/ob0
check 'and the card can be driven again at once' start
check 'and works' peer_answers
check 'the instance ends again' end_card
check 'the IOMMU refused nothing' test ! -s "$RIG_FAULTS"
end_peer
finish_checks
