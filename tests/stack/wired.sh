#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# wired.sh OUTBOARD MODEL MODEL BIN: two `outboard net` with a cable between their cards (descriptors 10 and 11): bulk
# transfer, compared byte by byte; peers that stop, die or were never there; a bad cable.
# shellcheck source=tests/stack/net.sh disable=SC2154
one=$2 two=$3 bin=$4
[ -e /proc/self/fd/11 ] || exec "$bin/lossy-cable" "${LOSS:-0}" "${REORDER:-0}" "${DUPLICATE:-0}" "$0" "$@"
. "$(dirname "$0")/net.sh"

a=(qemu:"$one",netdev=fd:10,mac=52:54:00:00:00:0a --address 10.9.0.1/24)
b=(qemu:"$two",netdev=fd:11,mac=52:54:00:00:00:0b --address 10.9.0.2/24)

if [ -n "${LOSS:-}" ]; then
	transfer "TCP over a bad cable" "$whole and .bytes == 3000000 and .tcp_retransmitted > 0" \
		--verify --timeout 60 -- --bytes 3M --timeout 60
	transfer "UDP over a bad cable" '.receiver.lost > 0 and .receiver.late > 0 and .receiver.twice > 0 and .receiver.damaged == 0' \
		--verify --udp -- --udp --rate 20M --bytes 5M
	ob net "${b[@]}" send 10.9.0.1 --bytes 1K --timeout 4
	expect "nobody is there: an error, by and by" 1 "10.9.0.1"
	finish
fi

transfer "TCP" "$whole and .bytes == 20000000" --verify -- --bytes 20M
transfer "TCP for a time" "$whole" -- --time 2
transfer "one byte" "$whole and .bytes == 1" --verify -- --bytes 1
transfer "UDP" '.receiver.damaged == 0 and .receiver.lost == 0 and .datagrams == .receiver.datagrams' \
	--verify --udp -- --udp --rate 20M --bytes 5M
transfer "small datagrams" '.receiver.damaged == 0 and .datagrams == .receiver.datagrams' \
	--verify --udp -- --udp --rate 2M --bytes 100K --size 18

# IPv6: neighbours are found by multicast groups that the card must let through.
net_bg rx "${a[0]}" --address fd09::1/64 receive --wait 100 --verify --json
reachable fd09::1 --address fd09::2/64
ob net "${b[0]}" --address fd09::2/64 send fd09::1 --bytes 5M --json
check "TCP over IPv6 arrives whole" jq -e '.receiver.bytes == 5000000 and .receiver.damaged == 0' "$dir/out"
wait "$pid"
check "and its receiver is content" jq -e '.error == null and .bytes == 5000000' "$dir/rx.out"

# A peer that stops taking anything: its window fills. When it goes on, so does all.
net_bg rx "${a[@]}" receive --wait 100 --verify --timeout 60 --json
receiver=$pid
reachable
net_bg tx "${b[@]}" send 10.9.0.1 --bytes 40M --timeout 60 --json
sender=$pid
sleep 3
kill -STOP "$receiver"
sleep 4
kill -CONT "$receiver"
wait "$sender"
status=$?
cp "$dir/tx.out" "$dir/out" && cp "$dir/tx.err" "$dir/err"
check "a full window that opens again loses nothing" jq -e '.receiver.bytes == 40000000 and .receiver.damaged == 0' "$dir/tx.out"
wait "$receiver"

# One that never does.
net_bg rx "${a[@]}" receive --wait 100 --json
receiver=$pid
reachable
net_bg tx "${b[@]}" send 10.9.0.1 --time 100 --timeout 8
sender=$pid
sleep 3
kill -STOP "$receiver"
pid=$sender
finish_bg tx
expect "a window that stays full ends in an error" 1 "nothing was acknowledged for 8 s"
kill -KILL "$receiver" 2>/dev/null
wait "$receiver" 2>/dev/null

# One that ends itself in the middle: Ctrl-C resets the connection.
net_bg rx "${a[@]}" receive --wait 100 --json
receiver=$pid
reachable
net_bg tx "${b[@]}" send 10.9.0.1 --time 100 --timeout 20
sender=$pid
sleep 3
kill -INT "$receiver"
wait "$receiver"
check "Ctrl-C at the receiver is said as such" jq -e '.error.exit == 130' "$dir/rx.out"
pid=$sender
finish_bg tx
expect "a peer that leaves resets the connection" 1 "reset"

ob net "${b[@]}" receive --wait 1
expect "nobody who sends ends in an error" 1 "nobody connected to port 5001"
finish
