#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Where an interface can be: in the namespace of the process, in one with a name, in one given by its file or by a
# process, for another user; and that it is gone from there when the process is.
# shellcheck source=tests/tap/nets.sh
. "$(dirname "$0")/nets.sh"
[ "$(id -u)" -eq 0 ] || skip_all "only root can make named namespaces"
need_tap
# All that is made here, /run/netns too, goes with this mount and network namespace.
if [ -z "${TAP_PLACES:-}" ]; then
	TAP_PLACES=1 unshare -m -n "$0" "$@"
	exit
fi
mount -t tmpfs none /run
mkdir -p "$dir"
ip link set lo up
spec=qemu:e1000e,netdev=user

# The interface is seen in the namespace by its index while it is there, and a ping goes through.
serves() # NAME ATTACHMENT COMMAND...: the command runs in that namespace
{
	local name=$1 attach=$2
	shift 2
	: >"$dir/serve.out" # what the last one said is not this one's word
	"$bin/tap-serve-net" "$spec" "$attach" >"$dir/serve.out" 2>&1 &
	server[x]=$!
	wait_for grep -q ready "$dir/serve.out"
	check "$name: the interface is there and works" \
		"$@" sh -c 'ip -o link show ob7 && ping -c 2 -i 0.2 -W 5 10.0.2.2'
	kill "${server[x]}"
	wait "${server[x]}"
	judge $? "$name: an orderly end" "$(cat "$dir/serve.out")"
	unset "server[x]"
	"$@" ip -o link show ob7 >/dev/null 2>&1
	judge "$((! $?))" "$name: and then it is gone"
}

options=name=ob7,address=10.0.2.15/24
serves "its own namespace" "tap,$options" env
ip netns add somewhere
serves "a named namespace" "tap,netns=somewhere,$options" ip netns exec somewhere
serves "a namespace by its file" "tap,netns=/run/netns/somewhere,$options" ip netns exec somewhere
unshare -n sleep 1000 &
other=$!
wait_for sh -c "[ \$(readlink /proc/$other/ns/net) != \$(readlink /proc/self/ns/net) ]"
serves "the namespace of a process" "tap,netns=pid:$other,$options" nsenter -t $other -n
kill $other
serves "for another user" "tap,owner=1234,$options" env
: >"$dir/serve.out"
"$bin/tap-serve-net" "$spec" tap,name=ob7,owner=1234 >"$dir/serve.out" 2>&1 &
server[x]=$!
wait_for grep -q ready "$dir/serve.out"
check "the owner is the one that was asked for" sh -c 'ip -details link show ob7 | grep -q "user 1234"'
"$bin/tap-serve-net" "$spec" tap,name=ob7 >"$dir/second.out" 2>&1
judge "$([ $? -eq 2 ] && grep -q "in use by another process" "$dir/second.out"; echo $?)" \
	"a second user of the same interface is refused" "$(cat "$dir/second.out")"
kill "${server[x]}"
wait "${server[x]}"
unset "server[x]"
done_testing
