#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: UDP echo of 1,024 bytes, by offered load
# bench-from: Leslie et al. 2005 figure 4
# bench-about: Datagrams of 1,024 bytes are offered at a rate, and come back from a server on the card under test; an 82574L opposite an 82545EM
#   with the kernel's driver, on a hub. Achieved is what came back. Who offers the load is in the same machine, unlike the paper's clients, and its half is in the processor's time.
#   The machine's clock goes by instructions, one a nanosecond, so that the processor's time is exact and the same on any host.
# bench-base: kernel
# bench-parameter: Mbit/s offered
# bench-side: kernel: the kernel's e1000e driver
# bench-side: tap: Outboard's driver looped back as a tap interface, by system calls
# bench-side: tap, interrupt: the same, which does not look again before it sleeps (--mode interrupt)
# bench-side: vhost-net: the same with vhost's rings
# bench-side: vduse-net: looped back as a virtio card by VDUSE
# bench-side: in process: Outboard's driver in the program that answers, without a network stack
# bench-side: linux tap: the kernel's e1000e driver, unmodified, in a process, looped back as a tap interface
# bench-plot: achieved
# bench-plot: processor
# bench-goal: * | echo | * | achieved | >= 0.98
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: tun vhost_net vfio-pci vfio_iommu_type1
# rig-options: --counting --deterministic
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
# One machine does both halves at a thousand million instructions a second, so it is full below 200 Mbit/s.
offered=$(by_mode '10 20 40 60 80 100 120 140 160 200 240' '10 40 80 120 160' 20)
seconds=$(by_mode 0.5 0.25 0.05)
bits=$((1024 * 8))

echo_loads() # SIDE CLIENT-OPTION...
{
	local side=$1 mbits rate count line instructions
	shift
	for mbits in $offered; do
		rate=$((mbits * 1000000 / bits))
		count=$(awk -v r=$rate -v s="$seconds" 'BEGIN { printf "%d", r * s }')
		line=$(counted "$side" echo "$mbits" datagram "$client" --test echo --from-ns peer --to 10.7.0.1 --size 1024 --rate $rate --count "$count" "$@") || exit 1
		# Of what counted says: instructions of each that came back, and how many did in a second.
		instructions=$(value_of instructions "$line")
		rate=$(value_of rate "$line")
		echo "$line" | grep '"metric": "instructions'
		sample "$side" echo "$mbits" achieved "$(ratio "$((rate * bits))" 1000000)" Mbit/s
		sample "$side" echo "$mbits" processor "$(awk -v i="$instructions" -v r="$rate" 'BEGIN { printf "%.2f", i * r / 1e7 }')" '% busy'
	done
}

value_of() # METRIC LINES
{
	grep "\"metric\": \"$1\"" <<<"$2" | sed 's/.*"value": \([0-9.]*\).*/\1/'
}

loads_attached() # SIDE
{
	own_is_attached
	echo_loads "$1" --to-ns own
}

looped_back() # SIDE ATTACHMENT [OPTION...]
{
	attached "$1" "$RIG_E1000E" "$2" loads_attached "${@:3}"
}

in_process()
{
	local pid said=$RIG_RESULTS/said
	"$inprocess" --spec "vfio:$RIG_E1000E" --test echo --size 1514 >"$said" &
	pid=$!
	wait_for grep -q ready "$said"
	# It answers no ARP.
	ip -n peer neigh replace 10.7.0.1 lladdr 52:54:00:00:00:01 nud permanent dev "$peer"
	echo_loads 'in process' --away
	ip -n peer neigh del 10.7.0.1 dev "$peer"
	kill $pid
	wait $pid
}

modprobe -a e1000e e1000 || exit 1
two_cards "$RIG_E1000E" "$RIG_E1000_82545EM"
echo_loads kernel --to-ns own
own_to_vfio "$RIG_E1000E"
modprobe -r e1000e
in_process
looped_back tap tap,vhost=off,netns=own,address=10.7.0.1/24
looped_back 'tap, interrupt' tap,vhost=off,netns=own,address=10.7.0.1/24 --mode interrupt
looped_back vhost-net vhost-net,netns=own,address=10.7.0.1/24
modprobe -aq vduse virtio_vdpa virtio_net
looped_back vduse-net vduse-net,name=vd0
if built e1000e; then
	looped_back 'linux tap' tap,vhost=off,netns=own,address=10.7.0.1/24 --driver linux:e1000e
else
	leave_out 'linux tap' 'linux:e1000e is not built; outboard linux build e1000e'
fi
