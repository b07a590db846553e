#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# wired.sh MODEL MODEL: two network cards, each in a QEMU of its own, with a cable between them (descriptors 10
# and 11, see cable.c), each an interface in a network namespace of its own. The kernel's TCP, UDP and IPv6 talk
# through them.
[ -e /proc/self/fd/11 ] || exec "${TAP_BIN:?}/tap-cable" "$0" "$@"
# shellcheck source=tests/tap/nets.sh
. "$(dirname "$0")/nets.sh"
need_tap
one=$1 two=$2

start a "qemu:$one,netdev=fd:10,mac=52:54:00:00:00:0a" tap,netns=new,name=ea,address=10.9.0.1/24
start b "qemu:$two,netdev=fd:11,mac=52:54:00:00:00:0b" tap,netns=new,name=eb,address=10.9.0.2/24
# From here on nobody else holds the cable.
exec 10<&- 11<&-

# QEMU's e1000 receives nothing for a second after its start.
check "the other card answers" wait_for in_net b ping -c 1 -W 1 10.9.0.1
check "no ping is lost" in_net b sh -c 'ping -c 200 -i 0.002 -W 5 10.9.0.1 | grep -q " 0% packet loss"'

in_net_bg a "$bin/tap-traffic" echo 7
check "UDP datagrams of every size up to the MTU come back right" \
	in_net b "$bin/tap-traffic" sizes 10.9.0.1 7 0 1480
check "fragmented datagrams come back right" \
	in_net b "$bin/tap-traffic" sizes 10.9.0.1 7 65480 65507

# Multicast filters: neighbours are found by solicited-node groups (RFC 4861, 7.2.1).
in_net a ip address add fd09::1/64 dev ea nodad
in_net b ip address add fd09::2/64 dev eb nodad
check "IPv6 finds its neighbour without promiscuous mode" \
	wait_for in_net b ping -c 1 -W 1 fd09::1
check "UDP over IPv6 of every size comes back right" \
	in_net b "$bin/tap-traffic" sizes fd09::1 7 0 1460

# A file, both ways, over IPv4 and IPv6.
head -c 20000000 /dev/urandom >"$dir/file"
sum=$(sha256sum <"$dir/file")
transfer() # FROM TO ADDRESS
{
	local got
	in_net_bg "$2" timeout 60 "$bin/tap-traffic" take 5000 >"$dir/got"
	got=$!
	in_net "$1" timeout 60 "$bin/tap-traffic" give "$3" 5000 <"$dir/file" || return 1
	wait $got
	[ "$(sha256sum <"$dir/got")" = "$sum" ]
}
check "a file arrives whole from one to two" transfer a b 10.9.0.2
check "a file arrives whole from two to one" transfer b a 10.9.0.1
check "a file arrives whole over IPv6 from one to two" transfer a b fd09::2
check "a file arrives whole over IPv6 from two to one" transfer b a fd09::1

# The same in a VLAN, whose tag the kernel leaves in the frame, segmentation frames included.
if in_net a ip link add link ea name vlan7 type vlan id 7 2>/dev/null; then
	in_net b ip link add link eb name vlan7 type vlan id 7
	in_net a ip address add 10.10.0.1/24 dev vlan7
	in_net b ip address add 10.10.0.2/24 dev vlan7
	in_net a ip link set vlan7 up
	in_net b ip link set vlan7 up
	check "UDP datagrams of every size come back right in a VLAN" \
		in_net b "$bin/tap-traffic" sizes 10.10.0.1 7 0 1480
	check "a file arrives whole in a VLAN from one to two" transfer a b 10.10.0.2
	check "a file arrives whole in a VLAN from two to one" transfer b a 10.10.0.1
else
	skip "files and datagrams in a VLAN" "this kernel has no VLANs"
fi

# iperf3, each direction, TCP and UDP.
iperf() # ARGUMENTS...
{
	local pid status
	in_net_bg a timeout 120 iperf3 -s -1 >"$dir/iperf.server" 2>&1
	pid=$!
	wait_for in_net a grep -q ':1451 .* 0A ' /proc/self/net/tcp6 /proc/self/net/tcp
	in_net b timeout 120 iperf3 -c 10.9.0.1 "$@"
	status=$?
	[ $status -eq 0 ] || cat "$dir/iperf.server"
	wait $pid
	return $status
}
check "iperf3 TCP from two to one" iperf -n 40M
check "iperf3 TCP from one to two" iperf -n 40M -R
check "iperf3 TCP, both ways, 4 streams" iperf -t 2 -P 4 --bidir
check "iperf3 UDP from two to one" iperf -u -b 50M -n 5M
check "iperf3 UDP from one to two" iperf -u -b 50M -n 5M -R

# The device follows the interface.
in_net a ip link set ea mtu 9000
in_net b ip link set eb mtu 9000
check "jumbo frames pass after the MTU was set on the interfaces" \
	wait_for in_net b ping -c 1 -W 1 -M do -s 8972 10.9.0.1
check "UDP datagrams around the large MTU come back right" \
	in_net b "$bin/tap-traffic" sizes 10.9.0.1 7 8900 8980
check "a file arrives whole with a large MTU" transfer b a 10.9.0.1
check "a file arrives whole over IPv6 with a large MTU" transfer b a fd09::1
in_net a ip link set ea mtu 1500
in_net b ip link set eb mtu 1500
in_net a ip link set ea address 02:00:00:00:12:34
check "another hardware address is taken by the card" \
	wait_for in_net b sh -c 'ip neigh flush all; ping -c 1 -W 1 10.9.0.1'

# The link.
carrier() # NAME IF up|down
{
	case $3 in
	up) in_net "$1" ip -o link show "$2" | grep -q LOWER_UP ;;
	down) in_net "$1" ip -o link show "$2" | grep -q NO-CARRIER ;;
	esac
}
echo down >"$dir/a.link"
check "the carrier goes with the link" wait_for carrier a ea down
echo up >"$dir/a.link"
check "the carrier comes with the link" wait_for carrier a ea up
check "traffic flows again after the link came back" wait_for in_net b ping -c 1 -W 1 10.9.0.1

# ethtool.
features=$(in_net a ethtool -k ea)
for f in tx-checksumming scatter-gather tcp-segmentation-offload tx-tcp6-segmentation; do
	check "ethtool -k: $f is on" grep -q "$f: on" <<<"$features"
done
check "ethtool shows the device's speed" grep -q "Speed: 1000Mb/s" < <(in_net a ethtool ea)
in_net a ethtool -K ea tso off tx off
check "a file arrives whole with the offloads switched off" transfer a b 10.9.0.2

# Whatever was wrong on the way shows here.
for net in a b; do
	for key in TcpInCsumErrors TcpInErrs UdpInCsumErrors IpInHdrErrors Icmp6InCsumErrors \
		IpReasmFails IcmpInCsumErrors Ip6InHdrErrors; do
		v=$(nstat_of $net $key)
		# A connection request that was sent twice, on a busy machine, counts there, too (RFC 5961, section 4).
		[ $key != TcpInErrs ] || v=$((v - $(nstat_of $net TcpExtTCPSYNChallenge)))
		judge "$((v != 0))" "$key is 0 at $net" "$v"
	done
	i=e$net
	v=$(in_net $net cat /proc/self/net/dev | awk -v i="$i:" '$1 == i { print $4 + $5 + $12 }')
	judge "$((v != 0))" "$i has no errors and receives all" "$v"
done

for net in a b; do
	finish $net
	kc=$(counter $net kernel_copies) out=$(counter $net out) in=$(counter $net in)
	judge "$((kc != in + out))" "one kernel copy for each frame at $net" "$kc != $in + $out"
	v=$(counter $net errors)
	judge "$((v != 0))" "the attachment at $net counts no error" "$v"
	v=$(counter $net dropped)
	# Only what came while the link was switched or the MTU changed.
	judge "$((v > 10))" "the attachment at $net dropped nothing to speak of" "$v"
	v=$(counter $net merged)
	judge "$((v < 1000))" "received segments were coalesced at $net" "$v"
done
done_testing
