#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Split driver: what stays in the kernel
# bench-from: Balakrishnan and Krishnan, table 3
# bench-about: A PCnet opposite an 82574L on a hub, both driven by the kernel. Frames of 64 and 1,514 bytes sent by a packet socket, and received as datagrams; a datagram to and fro; a
#   transfer by TCP; files by HTTP, each by a program and a connection of its own: one as large as that which the paper copied by scp, one of 1 MiB. All
#   instructions of the machine, so the peer's and the network stack's are in both sides. The split driver's daemon is there, and is not asked.
# bench-base: original
# bench-parameter: bytes
# bench-side: original: the distribution's pcnet32
# bench-side: split: the same source, split
# bench-goal: split | * | * | instructions | <= 1.01
# rig-device: pcnet,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: e1000e
# rig-options: --counting --deterministic --append ipv6.disable=1
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
# shellcheck source=bench/experiments/split.bash
. "$here/split.bash"
client=$BUILD/bench/outboard-bench-client
most=$(by_mode 10000 3000 100)

# Files that a program in one namespace fetches from a server in the other.
http() # SIDE LOAD FROM TO ADDRESS
{
	local server bytes
	ip netns exec "$4" busybox httpd -f -p "$5:80" -h "$folder" &
	server=$!
	wait_for ip netns exec "$3" busybox wget -q -O /dev/null "http://$5/4403"
	for bytes in "${!files[@]}"; do
		counted_command "$1" "$2" "$bytes" file "${files[$bytes]}" \
			"for ((i = 0; i < N; i++)); do ip netns exec $3 busybox wget -q -O /dev/null http://$5/$bytes || exit 1; done"
	done
	kill $server
	wait $server 2>/dev/null || true # it was ended
}

loads() # SIDE
{
	local bytes
	two_cards "$RIG_PCNET" "$RIG_E1000E"
	for bytes in 64 1514; do
		counted "$1" sent "$bytes" frame ip netns exec own "$client" --test frames --path "$own" --size "$bytes" --count "$most"
		# 42 bytes are the headers.
		counted "$1" received "$bytes" frame "$client" --test udp --from-ns peer --to-ns own --to 10.7.0.1 --size $((bytes > 60 ? bytes - 42 : 18)) --count "$most"
	done
	counted "$1" 'to and fro' 64 datagram "$client" --test ping --from-ns own --to-ns peer --to 10.7.0.2 --size 22 --count $((most / 4))
	counted "$1" 'TCP' 16384 message "$client" --test tcp --from-ns peer --to-ns own --to 10.7.0.1 --size 16384 --count $((most / 10))
	http "$1" 'HTTP, fetched' own peer 10.7.0.2
	http "$1" 'HTTP, served' peer own 10.7.0.1
	ip -n own link set "$own" down
	ip -n own link set "$own" netns 1
	ip -n peer link set "$peer" down
	ip -n peer link set "$peer" netns 1
	ip netns del own
	ip netns del peer
	unload
}

# By size: how often each is fetched.
files=([4403]=$(by_mode 200 60 5) [1048576]=$(by_mode 100 50 3))
folder=$(mktemp -d)
for bytes in "${!files[@]}"; do head -c "$bytes" /dev/zero >"$folder/$bytes"; done

load_original
loads original
if has_split; then
	load_split
	loads split
else
	no_split split
fi
