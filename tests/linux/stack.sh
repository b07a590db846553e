#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# stack.sh OUTBOARD CABLE EXAMPLE DRIVER MODEL [KERNEL]: the kernel's own TCP/IP in the process, on an unmodified driver of its own: DHCP, ping, downloads
# on QEMU's user network, and TCP in both directions, compared byte by byte, with lwIP on a native driver's card at the other end of a cable (CABLE: tests/stack/cable.c).
# Peers that are not there, refuse, stop or leave, and a device that vanishes.
# shellcheck source=tests/stack/net.sh disable=SC2054,SC2119,SC2154
cable=$2 example=$3 driver=$4 model=$5 kernel=${6:-6.12}
[ -e /proc/self/fd/11 ] || exec "$cable" 0 0 0 "$0" "$@"
. "$(dirname "$0")/../stack/net.sh"
# shellcheck source=tests/linux/object.sh
. "$(dirname "$0")/object.sh"
object_of "$driver" net "$kernel"
command -v busybox >/dev/null || { echo "1..0 # SKIP no busybox"; exit 0; }

# A link in half a second, not in two and a half (docs/linux.md).
[ "$driver" != e1000e ] || export OUTBOARD_LINUX_ARGS=e1000e.IntMode=1
linux=(--driver "linux:$object@$kernel" --stack linux)
a=("qemu:$model,netdev=fd:10,mac=52:54:00:00:00:0a" "${linux[@]}" --address 10.9.0.1/24)
b=(qemu:e1000e,netdev=fd:11,mac=52:54:00:00:00:0b --address 10.9.0.2/24)

# ---- QEMU's user network ------------------------------------------------------------------------------

mkdir "$dir/www"
head -c 16777216 /dev/urandom >"$dir/www/random"
sum=$(sha256sum <"$dir/www/random" | cut -d' ' -f1)
serve_http "$dir/www"
started+=("$httpd")
disown
user=(qemu:"$model",netdev=user,fwd=10.0.2.100:80-"$port" "${linux[@]}")

ob net "${user[@]}" --json
check "DHCP gives an address" jq -e '.address == "10.0.2.15" and .gateway == null and .dhcp_server == "10.0.2.2" and .lease_seconds > 0' "$dir/out"
ob net "${user[@]}" --address 10.0.2.15/24 --gateway 10.0.2.2 ping 10.0.2.2 --count 3 --interval 10 --json
check "with a fixed one the gateway answers every ping" jq -e '.sent == 3 and .answered == 3' "$dir/out"
ob net "${user[@]}" http-get http://10.0.2.100/random --sha256 "$sum" --json
check "a download arrives whole" jq -e '.error == null and .bytes == 16777216 and .stack.rx_frames > 1000' "$dir/out"
timeout 60 "$example" "${user[0]}" 10.0.2.100 /random "linux:$object@$kernel" linux >"$dir/got" 2>"$dir/err"
check "the example brings the same" cmp "$dir/got" "$dir/www/random"
ob net "${user[@]}" http-get http://10.0.2.2:9/
expect "a port that is refused" 1 "10.0.2.2:9 refused the connection"
ob net "${user[@]}" http-get http://10.0.2.77/ --timeout 6
expect "an address that nobody has" 1 "10.0.2.77 (ARP)"
ob net "${user[@]}" ping 10.0.2.77 -n 1 --timeout 2
expect "the same by ping, before the kernel gives up" 1 "10.0.2.77 (ARP)"
ob net "${user[@]}" ping 10.0.2.15 -n 1
expect "one's own address" 1 "own address"
ob net "${user[@]}" --address fd00::2/64
expect "there is no IPv6" 1 "this stack (Linux) has no IPv6"
ob net qemu:e1000e,netdev=user --stack linux
expect "a native driver has no such stack" 5 "no TCP/IP of the kernel's" "linux:e1000e"
ob net "${user[@]}" --stack dialup
expect "nor is there any of another name" 2 "no TCP/IP stack 'dialup'"
ob net "fault[gone=100]:${user[0]}" "${linux[@]}" http-get http://10.0.2.100/random
expect "a device that vanishes as it starts" 3

# ---- a cable ---------------------------------------------------------------------------------------------

transfer "from lwIP to the kernel" "$whole and .bytes == 20000000" --verify -- --bytes 20M
# The other way.
turned=("${a[@]}")
a=("${b[@]}")
b=("${turned[@]}")
a[${#a[@]}-1]=10.9.0.1/24 b[${#b[@]}-1]=10.9.0.2/24
# What e1000e is to cut into segments (TSO) QEMU 7.2 cuts into fragments of IP, of which lwIP puts few together at a time: the rest is lost, and sent again. So little is sent.
transfer "from the kernel to lwIP" "$whole and .bytes == 1000000 and .tcp_segments > 300" --verify -- --bytes 1M
transfer "one byte" "$whole and .bytes == 1" --verify -- --bytes 1
ob net "${b[@]}" receive --wait 1
expect "nobody who sends" 1 "nobody connected to port 5001"

# A sender in the background that has its connection, and a second for a full window. The kernel asks three times for an address, which on a busy machine may
# be answered too late.
sending() # ARGUMENTS...
{
	for _ in 1 2 3; do
		net_bg tx "$@"
		wait_for eval 'said tx.out connected || gone "$pid"'
		said tx.out connected && sleep 1 && return
		wait "$pid"
	done
}

# A receiver that answers: on a busy machine it may have to be asked for twice.
receiving() # ARGUMENTS...
{
	net_bg rx "${a[@]}" receive --wait 100 "$@"
	reachable || {
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
		net_bg rx "${a[@]}" receive --wait 100 "$@"
		reachable
	}
	receiver=$pid
}

# A peer that stops taking anything, for good.
receiving --json
sending "${b[@]}" send 10.9.0.1 --time 100 --timeout 5
sender=$pid
kill -STOP "$receiver"
pid=$sender
finish_bg tx
expect "a window that stays full ends in an error" 1 "nothing was acknowledged for 5 s"
kill -KILL "$receiver"
wait "$receiver" 2>/dev/null

# One that leaves: with a reset.
receiving --json
sending "${b[@]}" send 10.9.0.1 --time 100 --timeout 20
sender=$pid
kill -INT "$receiver"
wait "$receiver"
pid=$sender
finish_bg tx
expect "a peer that leaves resets the connection" 1 "reset"

# And we: Ctrl-C, then a device that goes.
receiving
sending "${b[@]}" send 10.9.0.1 --time 100
kill -INT "$pid"
finish_bg tx
expect "Ctrl-C ends it at once" 130 "interrupted"
pid=$receiver
finish_bg rx
# By a reset, unless it was to be told twice (RFC 5961), and we were gone.
expect "and the peer's transfer has failed" 1 "10.9.0.2"
receiving
sending "${b[@]}" send 10.9.0.1 --time 100
for qemu in $(qemu_of "$pid"); do kill -9 "$qemu"; done
finish_bg tx
expect "so does a device that vanishes" 3 "vanished"
kill -KILL "$receiver"
wait "$receiver" 2>/dev/null
finish
