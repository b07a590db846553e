#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A card through VFIO as an interface of the kernel's virtio driver, by VDUSE, opposite the kernel's own driver for the same card:
# TCP and UDP both ways, stopped and killed.
#
# rig-kernels: 6.12
# rig-device: e1000-82545em,netdev=hub=8,mac=52:54:00:08:00:01,id=vours
# rig-device: e1000-82545em,netdev=hub=8,mac=52:54:00:08:00:02,id=vtheirs
# rig-modprobe: vduse virtio_vdpa virtio_net vfio-pci vfio_iommu_type1 e1000
# rig-timeout: 300
set -u
n=0
pid=

check() # NAME COMMAND...
{
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >"$RIG_RESULTS/said" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "$RIG_RESULTS/said"
	fi
}

wait_for() # SECONDS COMMAND...
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

give() # BDF DRIVER
{
	local at=/sys/bus/pci/devices/$1
	[ ! -e "$at/driver" ] || echo "$1" >"$at/driver/unbind"
	echo "$2" >"$at/driver_override"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$at/driver")")" = "$2" ]
}

start()
{
	"$OUTBOARD" run "vfio:$RIG_VOURS" --name card --attach "vduse-net,name=vd0,address=10.8.0.1/24" \
		--json="$RIG_RESULTS/state.json" >"$RIG_RESULTS/run.log" 2>&1 &
	pid=$!
	wait_for 60 grep -q 'as vd0' "$RIG_RESULTS/run.log" || {
		cat "$RIG_RESULTS/run.log"
		return 1
	}
}

finish()
{
	kill -INT "$pid"
	wait "$pid"
}

counter()
{
	jq ".devices[0].$1" "$RIG_RESULTS/state.json"
}

iperf()
{
	ip netns exec peer iperf3 -s -1 -p 5301 >/dev/null 2>&1 &
	wait_for 20 ip netns exec peer grep -q ':14B5 .* 0A ' /proc/self/net/tcp6
	timeout 120 iperf3 -c 10.8.0.2 -p 5301 "$@"
}

echo_sizes()
{
	ip netns exec peer "$BUILD/tests/tap/tap-traffic" echo 7 >/dev/null 2>&1 &
	local server=$! status
	sleep 1
	"$BUILD/tests/tap/tap-traffic" sizes 10.8.0.2 7 "$@"
	status=$?
	kill $server
	wait $server 2>/dev/null
	return $status
}

ip netns add peer
check 'the kernel drives the other card' give "$RIG_VTHEIRS" e1000
theirs=$(ls "/sys/bus/pci/devices/$RIG_VTHEIRS/net")
ip link set "$theirs" netns peer
ip -n peer address add 10.8.0.2/24 dev "$theirs"
ip -n peer link set lo up
ip -n peer link set "$theirs" up
check 'VFIO has ours' give "$RIG_VOURS" vfio-pci
check 'the card is an interface' start
check 'of the virtio driver' grep -q virtio_net < <(ethtool -i vd0)
check 'with the address of the card' grep -qi 52:54:00:08:00:01 /sys/class/net/vd0/address
check 'the other card answers' wait_for 60 ping -c 1 -W 2 10.8.0.2
check 'UDP datagrams of every size come back right' echo_sizes 0 1480
check 'fragmented datagrams come back right' echo_sizes 65490 65507
check 'TCP from the looped-back card' iperf -n 16M
check 'TCP to the looped-back card' iperf -n 16M -R
check 'it has a speed' eval 'ethtool vd0 | grep -q "Speed: 1000Mb/s"'
check 'the instance ends' finish
check 'the interface is gone' wait_for 20 test ! -e /sys/class/net/vd0
echo "# $(counter 'attachments[0].requests_in') frames in, $(counter 'attachments[0].requests_out') out," \
	"$(counter 'attachments[0].own_copies') copied by us, $(counter 'attachments[0].syscalls') system calls"
check 'only what was received was copied by us' test "$(counter 'attachments[0].own_copies')" -le \
	$(($(counter 'attachments[0].requests_out') + 64))
check 'the card is an interface again' start
check 'and works' wait_for 60 ping -c 1 -W 2 10.8.0.2
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'a killed server leaves no interface' wait_for 60 test ! -e /sys/class/net/vd0
check 'and the card can be driven again' start
check 'and works again' wait_for 60 ping -c 1 -W 2 10.8.0.2
check 'the instance ends again' finish
ip netns del peer
umount /run/netns
echo "1..$n"
