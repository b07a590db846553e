#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A card through VFIO as an interface by vhost-net, opposite the kernel's own driver for the same card: TCP and UDP both ways, fewer
# than 0.1 system calls per packet, checksums, the MTU followed, what ethtool prints, and nothing left of a killed server.
#
# rig-nightly-kernels: 6.1
# rig-device: e1000-82545em,netdev=hub=7,mac=52:54:00:07:00:01,id=ours
# rig-device: e1000-82545em,netdev=hub=7,mac=52:54:00:07:00:02,id=theirs
# rig-modprobe: tun vhost_net vfio-pci vfio_iommu_type1 e1000
# rig-timeout: 400
set -u
. tests/rig/peer_card.bash
network=10.9.0

start()
{
	run_card "$RIG_OURS" vhost-net,name=ob0
}

# How much counters of it have grown between two looks at it.
grown() # PATH [+ PATH]...
{
	local word sum=0
	for word in "$@"; do
		[ "$word" = + ] || sum=$((sum + $(jq ".devices[0].$word" "$RIG_RESULTS/after.json") - \
			$(jq ".devices[0].$word" "$RIG_RESULTS/before.json")))
	done
	echo $sum
}

errors_of() # COMMAND...: checksum errors that a namespace has counted
{
	"$@" sh -c 'cat /proc/self/net/snmp /proc/self/net/netstat' |
		awk '/^(Tcp|Udp|Ip|Icmp):/ { if (h[$1] == "") { h[$1] = $0; next } split(h[$1], k); for (i = 2; i <= NF; i++) if (k[i] ~ /InCsumErrors|InHdrErrors/) sum += $i; h[$1] = "" } END { exit sum != 0 }'
}

carrier() # up|down
{
	case $1 in
	up) ip -o link show ob0 | grep -q LOWER_UP ;;
	down) ip -o link show ob0 | grep -q NO-CARRIER ;;
	esac
}

start_peer "$RIG_THEIRS" e1000
check 'VFIO has ours' give_to vfio-pci "$RIG_OURS"
check 'the card is an interface' start
check 'by vhost-net' grep -q 'through vhost-net' "$RIG_RESULTS/run.log"
check 'with the address of the card' grep -qi 52:54:00:07:00:01 /sys/class/net/ob0/address
answers_any_size

# What ethtool asks, in the form that ethtool has for the kernel's driver: the same lines, whatever the numbers.
form() # LETTER COMMAND... of the names and places, numbers and registers' meanings left out
{
	local letter=$1
	shift
	"$@" 2>/dev/null | sed -E "s/($theirs|ob0)/IF/; s/[0-9]+\$/N/; s/0x[0-9A-Fa-f]{8}/V/" | case $letter in
	-i) sed -E 's/^([a-z-]+:).*/\1/' ;;
	-d) sed -nE 's/^(0x[0-9A-F]{5}): ([A-Z]+) .*V$/\1 \2/p' | grep -E ' (CTRL|STATUS|RCTL|TCTL)$' ;;
	-S) sed -nE '1p; s/^(     )(rx_packets|tx_bytes): N$/\1\2/p' | sort ;;
	*) cat ;;
	esac
}
for letter in -i -g -S -d; do
	form $letter peer ethtool $letter "$theirs" >"$RIG_RESULTS/kernel$letter"
	form $letter "$OUTBOARD" ethtool $letter ob0 >"$RIG_RESULTS/ours$letter"
	check "ethtool $letter has the form that it has for the kernel's driver" eval \
		'test -s "$RIG_RESULTS/kernel'$letter'" && diff "$RIG_RESULTS/kernel'$letter'" "$RIG_RESULTS/ours'$letter'"'
done
check 'ethtool shows the speed at the interface itself' eval 'ethtool ob0 | grep -q "Speed: 1000Mb/s"'

# Bulk TCP, counted. Several streams, so that there is always something under way, also on a machine that is slow.
"$OUTBOARD" show card --json >"$RIG_RESULTS/before.json"
check 'TCP from the looped-back card' iperf -P 4 -n 32M
check 'TCP to the looped-back card' iperf -P 4 -n 32M -R
"$OUTBOARD" show card --json >"$RIG_RESULTS/after.json"
packets=$(grown net.rx_packets + net.tx_packets)
frames=$(grown attachments[0].requests_in + attachments[0].requests_out)
kicks=$(grown attachments[0].syscalls) sleeps=$(grown loop.sleeps) wakeups=$(grown loop.wakeups) boundary=$(grown access.syscalls)
calls=$((kicks + sleeps + wakeups + boundary))
echo "# $packets packets in $frames frames, $calls system calls: kicks $kicks, sleeps $sleeps, reads of eventfds $wakeups," \
	"of the boundary $boundary" | tee "$RIG_RESULTS/calls"
check 'fewer than 0.1 system calls per packet' test $((calls * 10)) -lt "$packets"

# One stream at a time has longer frames.
cp "$RIG_RESULTS/after.json" "$RIG_RESULTS/before.json"
check 'one stream from the looped-back card' iperf -n 12M
check 'one stream to the looped-back card' iperf -n 12M -R
"$OUTBOARD" show card --json >"$RIG_RESULTS/after.json"
packets=$(grown net.rx_packets + net.tx_packets)
frames=$(grown attachments[0].requests_in + attachments[0].requests_out)
echo "# one stream: $packets packets in $frames frames"
check "segmentation frames were used both ways" test $((frames * 3)) -lt $((packets * 2))

peer ethtool -t "$theirs" 2>/dev/null | sed -E 's/\t .*//; s/is .*/is/' >"$RIG_RESULTS/kernel-t"
"$OUTBOARD" ethtool -t ob0 2>/dev/null | sed -E 's/\t .*//; s/is .*/is/' >"$RIG_RESULTS/ours-t"
check 'ethtool -t has the form that it has for the kernel'\''s driver' eval \
	'test -s "$RIG_RESULTS/kernel-t" && diff "$RIG_RESULTS/kernel-t" "$RIG_RESULTS/ours-t"'
check 'the other card answers after the tests' peer_answers

check 'UDP from the looped-back card' iperf -u -b 20M -n 2M
check 'UDP to the looped-back card' iperf -u -b 20M -n 2M -R

ip -n peer link set "$theirs" mtu 4000
ip link set ob0 mtu 4000
check 'the card follows the MTU of the interface' peer_answers -M do -s 3972
ip link set ob0 mtu 1500
ip -n peer link set "$theirs" mtu 1500
check 'no checksum was wrong here' errors_of env
check 'no checksum was wrong there' errors_of peer
check 'the instance ends' end_card
check 'the interface is gone' test ! -e /sys/class/net/ob0

check 'no payload was copied by us' test "$(counter 'attachments[0].own_copies')" = 0
check 'each frame was copied once by the kernel' test "$(counter 'attachments[0].kernel_copies')" = \
	$(($(counter 'attachments[0].requests_in') + $(counter 'attachments[0].requests_out')))

check 'the card is an interface again' start
check 'the other card answers again' peer_answers
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'a killed server leaves no interface' wait_for test ! -e /sys/class/net/ob0
check 'and no thread of vhost' wait_for sh -c '! ls /proc/[0-9]*/task/*/comm 2>/dev/null | xargs grep -l "^vhost-" 2>/dev/null | grep -q .'
check 'and the card can be driven again at once' start
check 'and works' peer_answers
check 'the instance ends again' end_card
end_peer
finish_checks
