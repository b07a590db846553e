# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by the tests of a card of ours whose cable ends at another card, which the kernel's own driver has in the network
# namespace "peer": traffic both ways. The test sets network (the first three numbers of both addresses; the other card is .2).
. tests/vfio/rig.sh
pid=

# The other card. Sets theirs, its interface.
start_peer() # BDF DRIVER
{
	ip netns add peer
	check 'the kernel drives the other card' give_to "$2" "$1"
	theirs=$(ls "/sys/bus/pci/devices/$1/net")
	ip link set "$theirs" netns peer
	ip -n peer address add "$network.2/24" dev "$theirs"
	ip -n peer link set lo up
	ip -n peer link set "$theirs" up
}

end_peer()
{
	ip netns del peer
	umount /run/netns
}

peer() # COMMAND... in the other card's namespace
{
	ip netns exec peer "$@"
}

# Sets pid; its state at the end is in state.json.
run_card() # BDF ATTACHMENT OPTION...
{
	local bdf=$1 attachment=$2
	shift 2
	: >"$RIG_RESULTS/run.log" # what the last one said is not this one's word
	"$OUTBOARD" run "vfio:$bdf" "$@" --name card --attach "$attachment,address=$network.1/24" \
		--json="$RIG_RESULTS/state.json" >"$RIG_RESULTS/run.log" 2>&1 &
	pid=$!
	wait_for serving && ! gone "$pid" || {
		cat "$RIG_RESULTS/run.log"
		return 1
	}
}

serving()
{
	grep -q ' through ' "$RIG_RESULTS/run.log" || gone "$pid"
}

end_card()
{
	kill -INT "$pid"
	wait "$pid"
}

# A counter of the attachment, the loop, the boundary or the card, at the end of a run.
counter() # PATH like net.rx_packets
{
	jq ".devices[0].$1" "$RIG_RESULTS/state.json"
}

peer_answers() # PING-OPTION...
{
	wait_for ping -c 1 -W 2 "$@" "$network.2"
}

iperf()
{
	peer iperf3 -s -1 -p 5301 >/dev/null 2>&1 &
	wait_for peer grep -q ':14B5 .* 0A ' /proc/self/net/tcp6
	timeout 120 iperf3 -c "$network.2" -p 5301 "$@"
}

echo_sizes() # LEAST MOST
{
	# Not by peer(): what is killed must be the program, not a shell that waits for it.
	ip netns exec peer "$BUILD/tests/tap/tap-traffic" echo 7 >/dev/null 2>&1 &
	local server=$! status
	wait_for peer grep -q ':0007 ' /proc/self/net/udp6
	"$BUILD/tests/tap/tap-traffic" sizes "$network.2" 7 "$@"
	status=$?
	kill $server
	wait $server 2>/dev/null
	return $status
}

answers_any_size()
{
	check 'the other card answers' peer_answers
	check 'UDP datagrams of every size come back right' echo_sizes 0 1480
	check 'fragmented datagrams come back right' echo_sizes 65490 65507
}
