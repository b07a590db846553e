#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Network: frames sent, received and echoed by size
# bench-from: Chubb 2004 (OLS) figures 6 to 8
# bench-about: An 82574L opposite an 82545EM with the kernel's driver, on a hub. Sent: by a packet socket in bursts of 32, or by the program that
#   drives the card, to an address that nobody has. Received: UDP, so that the frames' way ends in a socket; the peer's kernel, which sends them, is
#   counted, too. Echoed: 32 frames go round between the two, the peer sends back by tc, so does the kernel's side and the looped-back one, in process it is the
#   program; the peer's half is in all of these. Papers measured idle time on a wire that was full; here the wire is as fast as the processors.
# bench-base: kernel
# bench-parameter: bytes of a frame
# bench-side: kernel: the kernel's e1000e driver
# bench-side: tap: Outboard's driver looped back as a tap interface, by system calls
# bench-side: vhost-net: the same with vhost's rings
# bench-side: vduse-net: looped back as a virtio card by VDUSE
# bench-side: in process: Outboard's driver in the program that sends and receives
# bench-side: linux in process: the kernel's e1000e driver, unmodified, in the program
# bench-side: linux tap: the same, looped back as a tap interface
# bench-plot: instructions log-y
# bench-goal: in process | sent | 64 | instructions | <= 0.2
# bench-goal: linux in process | echoed | 64 | instructions | <= 1.1
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: tun vhost_net vfio-pci vfio_iommu_type1
# rig-options: --counting --deterministic --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
sizes=$(by_mode '64 128 256 512 1024 1514' '64 1514' 64)
most=$(by_mode 10000 4000 200)

# The interface IF in the namespace "own".
loads() # SIDE IF
{
	local bytes
	for bytes in $sizes; do
		counted "$1" sent "$bytes" frame ip netns exec own "$client" --test frames --path "$2" --size "$bytes" --count "$most"
		# 42 bytes are the headers.
		counted "$1" received "$bytes" frame "$client" --test udp --from-ns peer --to-ns own --to 10.7.0.1 --size $((bytes > 60 ? bytes - 42 : 18)) --count "$most"
	done
	# Last, as the interface has another queue from then on.
	sends_back peer "$peer"
	sends_back own "$2"
	for bytes in $sizes; do
		counted "$1" echoed "$bytes" frame ip netns exec own "$client" --test forward --path "$2" --size "$bytes" --count "$most"
		# What still goes round ends there.
		ip -n peer link set "$peer" down
		ip -n peer link set "$peer" up
		wait_for there peer "$peer"
	done
	sends_back_no_more own "$2"
	sends_back_no_more peer "$peer"
}

loads_in_process() # SIDE [OPTION...]
{
	local side=$1 bytes
	shift
	for bytes in $sizes; do
		counted "$side" sent "$bytes" frame "$inprocess" --spec "vfio:$RIG_E1000E" "$@" --test frames --size "$bytes" --count "$most"
	done
	sends_back peer "$peer"
	for bytes in $sizes; do
		counted "$side" echoed "$bytes" frame "$inprocess" --spec "vfio:$RIG_E1000E" "$@" --test forward --size "$bytes" --count "$most"
	done
	sends_back_no_more peer "$peer"
}

loads_attached() # SIDE
{
	own_is_attached
	loads "$1" "$OUTBOARD_IF"
}

looped_back() # SIDE ATTACHMENT [OPTION...]
{
	attached "$1" "$RIG_E1000E" "$2" loads_attached "${@:3}"
}

modprobe -a e1000e e1000 || exit 1
two_cards "$RIG_E1000E" "$RIG_E1000_82545EM"
loads kernel "$own"
own_to_vfio "$RIG_E1000E"
modprobe -r e1000e
loads_in_process 'in process'
looped_back tap tap,vhost=off,netns=own,address=10.7.0.1/24
looped_back vhost-net vhost-net,netns=own,address=10.7.0.1/24
modprobe -aq vduse virtio_vdpa virtio_net
looped_back vduse-net vduse-net,name=vd0
if built e1000e; then
	loads_in_process 'linux in process' --driver linux:e1000e
	looped_back 'linux tap' tap,vhost=off,netns=own,address=10.7.0.1/24 --driver linux:e1000e
else
	leave_out 'linux in process' 'linux:e1000e is not built; outboard linux build e1000e'
	leave_out 'linux tap' 'linux:e1000e is not built; outboard linux build e1000e'
fi
