#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A card through VFIO as an interface of the kernel's virtio driver, by VDUSE, opposite the kernel's own driver for the same card:
# TCP and UDP both ways, stopped and killed; and below a keeper its driver process is killed under a TCP connection, which goes on.
#
# rig-kernels: 6.12
# rig-device: e1000-82545em,netdev=hub=8,mac=52:54:00:08:00:01,id=vours
# rig-device: e1000-82545em,netdev=hub=8,mac=52:54:00:08:00:02,id=vtheirs
# rig-modprobe: vduse virtio_vdpa virtio_net vfio-pci vfio_iommu_type1 e1000
# rig-timeout: 300
set -u
. tests/rig/peer_card.bash
network=10.8.0

start()
{
	run_card "$RIG_VOURS" vduse-net,name=vd0
}

start_kept()
{
	run_card "$RIG_VOURS" vduse-net,name=vd0 --restart on-failure,limit=0,backoff=0,heartbeat=5000
}

driver()
{
	pgrep -P "$pid" -x outboard-driver
}

frames()
{
	echo $(($(cat /sys/class/net/vd0/statistics/tx_packets) + $(cat /sys/class/net/vd0/statistics/rx_packets)))
}

# The driver process dies KILLS times, each time when frames have gone since it began. IPERF-OPTIONs make it last for seconds: as fast as it
# can a connection may be over before the second death.
connection_survives() # KILLS IPERF-OPTION...
{
	local kills=$1 client before last
	shift
	iperf "$@" >"$dir/iperf" 2>&1 &
	client=$!
	for _ in $(seq "$kills"); do
		before=$(frames)
		wait_for eval '[ "$(frames)" -gt $((before + 100)) ] || gone $client' || return
		! gone $client || break
		last=$(driver)
		kill -KILL "$last"
		wait_for eval 'd=$(driver) && [ "$d" != "$last" ]' || return
	done
	wait $client || { cat "$dir/iperf"; return 1; }
}

start_peer "$RIG_VTHEIRS" e1000
check 'VFIO has ours' give_to vfio-pci "$RIG_VOURS"
check 'the card is an interface' start
check 'of the virtio driver' grep -q virtio_net < <(ethtool -i vd0)
check 'with the address of the card' grep -qi 52:54:00:08:00:01 /sys/class/net/vd0/address
answers_any_size
check 'TCP from the looped-back card' iperf -n 16M
check 'TCP to the looped-back card' iperf -n 16M -R
check 'it has a speed' eval 'ethtool vd0 | grep -q "Speed: 1000Mb/s"'
check 'the instance ends' end_card
check 'the interface is gone' wait_for test ! -e /sys/class/net/vd0
echo "# $(counter 'attachments[0].requests_in') frames in, $(counter 'attachments[0].requests_out') out," \
	"$(counter 'attachments[0].own_copies') copied by us, $(counter 'attachments[0].syscalls') system calls"
check 'only what was received was copied by us' test "$(counter 'attachments[0].own_copies')" -le \
	$(($(counter 'attachments[0].requests_out') + 64))
check 'below a keeper it is an interface, too' start_kept
check 'the peer answers' peer_answers
index=$(cat /sys/class/net/vd0/ifindex)
ip address add 10.99.0.1/32 dev vd0
check 'one TCP connection to the card goes on while its driver process dies' connection_survives 3 -n 48M -b 40M
check 'and one from it' connection_survives 3 -n 48M -b 40M -R
check 'frames of every size come back right afterwards' echo_sizes 0 1480
check 'it is the same interface, with its addresses' eval '[ "$(cat /sys/class/net/vd0/ifindex)" = "$index" ] &&
	ip address show dev vd0 | grep -q 10.99.0.1 && ip address show dev vd0 | grep -q "$network.1/"'
check 'the instance ends' end_card
check 'there were deaths' test "$(jq .keeper.deaths "$RIG_RESULTS/state.json")" -ge 2
check 'the interface is gone' wait_for test ! -e /sys/class/net/vd0
check 'nobody is left' wait_for eval '! pgrep -x outboard-care'
check 'the card is an interface again' start
check 'and works' peer_answers
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'a killed server leaves no interface' wait_for test ! -e /sys/class/net/vd0
check 'and the card can be driven again' start
check 'and works again' peer_answers
check 'the instance ends again' end_card
end_peer
finish_checks
