#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: TCP and UDP by iperf3
# bench-from: Weisbach et al. 2011 figure 7
# bench-about: iperf3 sends by TCP and by UDP (1,448 bytes a datagram, 50 Mbit/s) from and to an 82574L opposite an 82545EM with the kernel's driver, on a hub, in one machine; its own start and
#   end are not counted. With the stack in the process there is no socket for iperf3: `outboard net` sends and receives the same number of bytes, and
#   the peer is a program that takes and gives 128 KiB at a time, as iperf3 does. No datagrams then: `outboard net` speaks only with its own kind by UDP.
# bench-base: kernel
# bench-side: kernel: the kernel's e1000e driver
# bench-side: tap: Outboard's driver looped back as a tap interface
# bench-side: linux tap: the kernel's e1000e driver, unmodified, in a process, looped back as a tap interface
# bench-side: in process: Outboard's driver and lwIP in the program (outboard net)
# bench-side: linux in process: the kernel's e1000e driver, unmodified, and lwIP in the program
# bench-plot: instructions
# bench-goal: linux tap | * | * | instructions | <= 1.1
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: tun vfio-pci vfio_iommu_type1
# rig-options: --counting --deterministic --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
kib=$(by_mode 32768 8192 4096)
datagrams=$(by_mode 8192 2048 512)

# A server that ends after one client, and the client.
iperf3_pair() # SERVER'S-NAMESPACE CLIENT'S-NAMESPACE ADDRESS OPTION...
{
	local server
	ip netns exec "$1" iperf3 -s -1 -p 5301 >/dev/null 2>&1 &
	server=$!
	wait_for listening "$1" 5301
	ip netns exec "$2" iperf3 -c "$3" -p 5301 "${@:4}" >/dev/null || return 1
	wait $server
}

listening() # NAMESPACE PORT
{
	ip netns exec "$1" grep -qi ": 0*[0-9A-F]*:$(printf %04X "$2") 0*:0000 0A" /proc/net/tcp /proc/net/tcp6
}

loads() # SIDE
{
	# shellcheck disable=SC2016 # $N is the client's
	{
		counted_command "$1" 'TCP, sent' null KiB "$kib" 'iperf3_pair peer own 10.7.0.2 -n ${N}K'
		counted_command "$1" 'TCP, received' null KiB "$kib" 'iperf3_pair own peer 10.7.0.1 -n ${N}K'
		counted_command "$1" 'UDP, sent' null datagram "$datagrams" 'iperf3_pair peer own 10.7.0.2 -u -b 50M -l 1448 -k $N'
		counted_command "$1" 'UDP, received' null datagram "$datagrams" 'iperf3_pair own peer 10.7.0.1 -u -b 50M -l 1448 -k $N'
	}
}

loads_attached() # SIDE
{
	own_is_attached
	loads "$1"
}

looped_back() # SIDE [OPTION...]
{
	attached "$1" "$RIG_E1000E" tap,vhost=off,netns=own,address=10.7.0.1/24 loads_attached "${@:2}"
}

# What the stack in the process sends ends in a socket of the peer, and the other way round.
stack_pair() # send|receive KIB [OPTION...]
{
	local other
	ip netns exec peer python3 "$here/net-iperf3.py" "$1" $(($2 * 1024)) &
	other=$!
	if [ "$1" = send ]; then
		wait_for listening peer 5001
		"$outboard" net "vfio:$RIG_E1000E" --address 10.7.0.1/24 --bytes $(($2 * 1024)) "${@:3}" send 10.7.0.2 >/dev/null || return 1
	else
		"$outboard" net "vfio:$RIG_E1000E" --address 10.7.0.1/24 --wait 60 "${@:3}" receive >/dev/null || return 1
	fi
	wait $other
}

stack_loads() # SIDE [OPTION...]
{
	counted_command "$1" 'TCP, sent' null KiB "$kib" "stack_pair send \$N ${*:2}"
	counted_command "$1" 'TCP, received' null KiB "$kib" "stack_pair receive \$N ${*:2}"
}

modprobe -a e1000e e1000 || exit 1
two_cards "$RIG_E1000E" "$RIG_E1000_82545EM"
loads kernel
own_to_vfio "$RIG_E1000E"
modprobe -r e1000e
looped_back tap
stack_loads 'in process'
if built e1000e; then
	looped_back 'linux tap' --driver linux:e1000e
	stack_loads 'linux in process' --driver linux:e1000e
else
	leave_out 'linux tap' 'linux:e1000e is not built; outboard linux build e1000e'
	leave_out 'linux in process' 'linux:e1000e is not built; outboard linux build e1000e'
fi
