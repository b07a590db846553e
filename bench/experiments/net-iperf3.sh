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
kib=$(by_mode 65536 32768 512)
datagrams=$(by_mode 16384 8192 128)

listening() # NAMESPACE PORT
{
	ip netns exec "$1" grep -qi ": 0*[0-9A-F]*:$(printf %04X "$2") 0*:0000 0A" /proc/net/tcp /proc/net/tcp6
}

# COMMAND, a server, listens in NAMESPACE, as $server. It is there before what is counted begins, as to wait for it costs now more, now less.
serve() # NAMESPACE PORT COMMAND...
{
	ip netns exec "$1" "${@:3}" >"$RIG_RESULTS/server" 2>&1 &
	server=$!
	wait_for listening "$1" "$2"
}

serve_no_more()
{
	kill $server
	wait $server 2>/dev/null || true # it was ended
}

# TCP and UDP from one namespace to the other. The server's limit is the longest that there is: its clock leaps, as net-iperf3.py says of its own.
by_iperf3() # SIDE sent|received FROM TO ADDRESS
{
	local to="ip netns exec $3 iperf3 -c $5 -p 5301"
	serve "$4" 5301 iperf3 -s -p 5301 --rcv-timeout 86400000
	counted_command "$1" "TCP, $2" null KiB "$kib" "$to -n \${N}K"
	counted_command "$1" "UDP, $2" null datagram "$datagrams" "$to -u -b 50M -l 1448 -k \$N"
	serve_no_more
}

loads() # SIDE
{
	by_iperf3 "$1" sent own peer 10.7.0.2
	by_iperf3 "$1" received peer own 10.7.0.1
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

# The stack in the process receives what a socket of the peer sends.
stack_receives() # KIB [OPTION...]
{
	local other
	ip netns exec peer python3 "$here/net-iperf3.py" give $(($1 * 1024)) &
	other=$!
	"$outboard" net "vfio:$RIG_E1000E" --address 10.7.0.1/24 --wait 60 "${@:2}" receive >/dev/null && wait $other
}

stack_loads() # SIDE [OPTION...]
{
	serve peer 5001 python3 "$here/net-iperf3.py" take
	counted_command "$1" 'TCP, sent' null KiB "$kib" "$outboard net vfio:$RIG_E1000E --address 10.7.0.1/24 --bytes \$((N * 1024)) ${*:2} send 10.7.0.2"
	serve_no_more
	counted_command "$1" 'TCP, received' null KiB "$kib" "stack_receives \$N ${*:2}"
}

trap '[ $? = 0 ] || tail -n 5 "$RIG_RESULTS/server" >&2' EXIT
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
