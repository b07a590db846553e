#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# abuse.sh [OPTION]... --split DIR DRIVER: a split driver whose daemon does all that none should (abusive_daemon.c), while others use the driver's cards: nothing in
# the kernel breaks, whoever asks is answered in time, frames go on, and with an honest daemon all is well again. TAP.
#
#   --split DIR          what `outboard split` made
#   --kernel VERSION     6.12 (the default) or 6.1; or a kernel image, with
#   --modules DIR        the folder that has its lib/modules/RELEASE
#   --replies N          that many (2000)
#   --seed N             of what they are (1)
#   --timeout MS         split_timeout_ms (100)
#   --build DIR          the build folder (build)
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
kernel=6.12 modules='' split='' replies=2000 seed=1 timeout=100 build=$root/build driver=''

if [ "${1:-}" != --inside ]; then
	while [ $# -gt 0 ]; do
		case $1 in
		--kernel) kernel=$2; shift ;;
		--modules) modules=$(realpath "$2"); shift ;;
		--split) split=$(realpath "$2"); shift ;;
		--replies) replies=$2; shift ;;
		--seed) seed=$2; shift ;;
		--timeout) timeout=$2; shift ;;
		--build) build=$(realpath "$2"); shift ;;
		--help) sed -n '4,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
		-*) echo "abuse.sh: there is no option '$1'" >&2; exit 2 ;;
		*) driver=$1 ;;
		esac
		shift
	done
	# shellcheck source=tests/split/cards.bash
	. "$here/cards.bash"
	card=$(card_of "$driver") || exit 2
	own=$(own_bugs_of "$driver")
	results=$(mktemp -d)
	trap 'rm -rf "$results"' EXIT
	"$root/rig/vm" --kernel "$kernel" ${modules:+--modules "$modules"} --cpus 2 --timeout 3000 --results "$results" --append ipv6.disable=1 --modprobe e1000e ${SPLIT_LOG:+--dmesg "$SPLIT_LOG"} ${own:+--allow-log "$own"} \
		--device "$card,netdev=hub=1,mac=52:54:00:00:00:01,id=first" --device "$card,netdev=hub=1,mac=52:54:00:00:00:02,id=second" \
		--device e1000e,netdev=hub=1,mac=52:54:00:00:00:03,id=peer \
		--env "SPLIT_DRIVER=$driver" --env "SPLIT_MODULE=$split/kernel/$driver.ko" --env "SPLIT_DAEMON=$split/daemon/$driver-daemon" \
		--env "REPLIES=$replies" --env "SEED=$seed" --env "WAIT=$timeout" --env "BUILD=$build" -- bash "$here/abuse.sh" --inside
	exit
fi

# shellcheck source=tests/checks.sh
. "$root/tests/checks.sh"
# shellcheck source=tests/split/split_driver.bash
. "$here/split_driver.bash"
operations=$BUILD/tests/split/random_operations
parameters=/sys/module/$SPLIT_DRIVER/parameters
# An operation may ask the daemon several times: the settings of a link begin, are read, are written, and end. The rest is for an emulated machine on one that has much else to do.
bound=$((WAIT * 6 + 10000))

said() # FILE KEY: the word behind it
{
	sed -n "s/.*\b$2 \([0-9]*\).*/\1/p" "$dir/$1" | tail -n 1
}

# Nobody is there: an end in time. Whether with an error is the operation's: one without a result cannot tell.
asked_in_vain()
{
	local name
	for name in drvinfo ring registers link-settings; do
		"$operations" --longest --count 1 --only $name "$first" | tee "$dir/$name" || return 1
		nothing_longer $name || return 1
	done
}

# Pause frames are read first, by an operation that cannot fail.
not_written_back()
{
	ethtool -A "$first" autoneg on rx on tx on >"$dir/pause" 2>&1
	cat "$dir/pause"
	grep -q 'Input/output error' "$dir/pause"
}

nothing_longer() # FILE
{
	cat "$dir/$1"
	[ -s "$dir/$1" ] && [ "$(said "$1" longest)" -le $bound ]
}

as_before()
{
	ethtool -i "$first" | diff "$dir/honest" - && ethtool "$first" >/dev/null && ethtool -g "$first"
}

sum() # PARAMETER
{
	cat "$parameters/split_$1"
}

load_driver && until_true has_interface "$RIG_SECOND" || exit 1
first=$(interface_of "$RIG_FIRST")
second=$(interface_of "$RIG_SECOND")
peer=$(interface_of "$RIG_PEER")
ip netns add peer
ip link set "$peer" netns peer
ip -n peer addr add 10.7.0.3/24 dev "$peer"
ip -n peer link set "$peer" up
ip addr add 10.7.0.2/24 dev "$second"
check 'both cards have a link' eval 'link_up "$first" && link_up "$second"'
ip neigh replace 10.7.0.3 lladdr 52:54:00:00:00:03 dev "$second" nud permanent
ip -n peer neigh replace 10.7.0.2 lladdr 52:54:00:00:00:02 dev "$peer" nud permanent
ethtool -i "$first" >"$dir/honest"
check 'with an honest daemon there is an answer' test -s "$dir/honest"
echo "$WAIT" >"$parameters/split_timeout_ms"
stop_daemon
check 'without a daemon there is an end in time' asked_in_vain
if [ "$SPLIT_DRIVER" = e1000 ]; then
	check 'what nobody answered is not written back' not_written_back
fi

layout=$(sum layout)
"$BUILD/tests/split/abusive_daemon" --device "$split_device" --layout "$layout" --seed "$SEED" --replies "$REPLIES" >"$dir/daemon" 2>&1 &
daemon=$!
"$operations" --seed "$SEED" --count 100000000 --longest "$first" >"$dir/all" &
all=$!
"$operations" --seed $((SEED + 1)) --count 100000000 --longest --questions "$second" >"$dir/questions" &
questions=$!
# Whatever holds the lock of network configuration for long is seen here.
"$operations" --count 100000000 --longest --only set-queue lo >"$dir/configuration" &
configuration=$!
ping -i 0.02 10.7.0.3 >"$dir/ping" &
ping=$!
wait $daemon
daemon_said=$?
kill $all $questions $configuration
wait $all $questions $configuration
kill -INT $ping
wait $ping
check 'the daemon could do what it wanted to' eval 'cat "$dir/daemon"; [ $daemon_said -eq 0 ] && [ "$(said daemon replies)" -ge "$REPLIES" ]'
check 'it learned what it may change' eval 'cat "$dir/daemon"; [ "$(said daemon slots)" -gt 0 ] && [ "$(said daemon accepted)" -gt 0 ] && [ "$(said daemon refused)" -gt 0 ]'
# Those of e100 are at places that it does not guess, pcnet32 has none.
if [ "$SPLIT_DRIVER" = e1000 ]; then
	check 'it had functions called that the kernel kept' test "$(said daemon calls)" -gt 0
fi
if [ "$SPLIT_DRIVER" = pcnet32 ]; then
	check 'it had locked regions executed' test "$(said daemon regions)" -gt 0
fi
check "no operation took longer than $bound ms" nothing_longer all
check 'no question either' nothing_longer questions
check 'network configuration was never locked for longer' nothing_longer configuration
check 'frames went on' eval 'tail -n 3 "$dir/ping"; grep -qE " ([0-9.]+)% packet loss" "$dir/ping" && [ "$(sed -n "s/.* \([0-9]*\)[.0-9]*% packet loss.*/\1/p" "$dir/ping")" -le 1 ]'
check 'each request ended' eval 'grep . $parameters/split_*; [ "$(sum requests)" -ge "$(($(sum answered) + $(sum timeouts) + $(sum killed)))" ]'
# An honest one may be slow, on a machine that has much else to do.
echo 10000 >"$parameters/split_timeout_ms"
check 'an honest daemon takes over' start_daemon
check 'and all is as it was' as_before
sed 's/^/# /' "$dir/daemon" "$dir/all" "$dir/questions" "$dir/configuration"
tail -n 2 "$dir/ping" | sed 's/^/# /'
(cd "$parameters" && grep . split_*) | sed 's/^/# /'
ip -n peer link set "$peer" down
ip link set "$first" down
ip link set "$second" down
check 'it can be unloaded' unload_driver
finish_checks
