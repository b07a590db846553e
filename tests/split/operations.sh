#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# operations.sh: in the rig's guest, all that can be asked of a network driver, on two cards of one kind on a hub, in a fixed order. What each command said
# and its exit code go to a file of their own in $RIG_RESULTS/said, for equal.py. tests/split/equal.sh starts it; split_driver.bash says which driver.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/split/split_driver.bash
. "$here/split_driver.bash"
said=$RIG_RESULTS/said
mkdir -p "$said"
number=0

# NAME is a word that tells which operation it was: equal.py decides by it what a counter is. A function runs in this shell.
record() # NAME COMMAND...
{
	local file
	number=$((number + 1))
	printf -v file '%s/%03d-%s' "$said" $number "$1"
	shift
	{
		printf '$ %s\n' "$*"
		"$@"
		echo "exit code $?"
	} >"$file" 2>&1
}

# With the link there again, as an operation may take it away for a while.
settled() # NAME COMMAND...
{
	record "$@"
	settle "$first"
}

questions() # IF: whatever changes nothing
{
	record drvinfo ethtool -i "$1"
	record settings ethtool "$1"
	record ring ethtool -g "$1"
	record features ethtool -k "$1"
	record coalesce ethtool -c "$1"
	record pause ethtool -a "$1"
	record registers ethtool -d "$1" raw on
	record registers-text ethtool -d "$1"
	record eeprom ethtool -e "$1"
	record eeprom-part ethtool -e "$1" offset 2 length 5
	record statistics ethtool -S "$1"
	record permanent-address ethtool -P "$1"
	record channels ethtool -l "$1"
	record timestamps ethtool -T "$1"
	record eee ethtool --show-eee "$1"
	record private-flags ethtool --show-priv-flags "$1"
	record module-eeprom ethtool -m "$1"
	record flow-rules ethtool -n "$1"
	record rss ethtool -x "$1"
	record tunable ethtool --get-tunable "$1" rx-copybreak
	record fec ethtool --show-fec "$1"
	record mii mii-tool -vv "$1"
	record link ip -d link show "$1"
	record ifconfig ifconfig "$1"
	record link-statistics ip -s -s link show "$1"
}

both_loaded()
{
	[ -n "$(interface_of "$RIG_FIRST")" ] && [ -n "$(interface_of "$RIG_SECOND")" ]
}

# What the driver said since this was asked last; of two cards at once, in no order. A module that is not the distribution's is told of once.
kernel_log() # [--sorted]
{
	dmesg | tail -n +$((kernel_lines + 1)) | sed 's/^\[[^]]*\] //' | grep -E "^$SPLIT_DRIVER[: ]" | grep -v 'loading out-of-tree module' | if [ $# -gt 0 ]; then sort; else cat; fi
	kernel_lines=$(dmesg | wc -l)
}

# Without those that a split driver has besides.
driver_parameters()
{
	[ ! -d "/sys/module/$SPLIT_DRIVER/parameters" ] || (cd "/sys/module/$SPLIT_DRIVER/parameters" && grep . -- * | grep -v '^split_')
}

bring_up()
{
	load_driver "$@" && until_true both_loaded || { echo "the driver cannot be loaded"; return 1; }
	first=$(interface_of "$RIG_FIRST")
	second=$(interface_of "$RIG_SECOND")
	ip netns add peer
	ip link set "$second" netns peer
	ip -n peer addr add 10.7.0.2/24 dev "$second"
	ip addr add 10.7.0.1/24 dev "$first"
}

take_down()
{
	ip -n peer link set "$second" down
	ip link set "$first" down
	ip -n peer link set "$second" netns 1
	ip netns del peer
	unload_driver
}

peer_up()
{
	ip netns exec peer bash -c ". $here/split_driver.bash && link_up $second"
}

# Fixed numbers of frames; the neighbours are told, so no ARP comes in between.
traffic() # NAME
{
	ip neigh replace 10.7.0.2 lladdr "$(ip -n peer -j link show "$second" | jq -r '.[0].address')" dev "$first" nud permanent
	ip -n peer neigh replace 10.7.0.1 lladdr "$(cat "/sys/class/net/$first/address")" dev "$second" nud permanent
	record "$1-ping" bash -c 'ping -c 20 -i 0.05 -W 2 -s "$1" 10.7.0.2 | grep -oE "[0-9]+ packets transmitted, [0-9]+ received"' - 56
	record "$1-ping-full" bash -c 'ping -c 5 -i 0.05 -W 2 -s "$1" 10.7.0.2 | grep -oE "[0-9]+ packets transmitted, [0-9]+ received"' - 1472
}

changes() # IF: whatever sets something; what it then is, is asked after each
{
	local i
	record message-level ethtool -s "$1" msglvl 0x3f
	record settings ethtool "$1"
	record message-level-named ethtool -s "$1" msglvl hw off
	record settings ethtool "$1"
	for i in g p umb d; do
		record wake ethtool -s "$1" wol $i
		record settings ethtool "$1"
	done
	for i in 'speed 10 duplex half autoneg off' 'speed 100 duplex full autoneg off' 'speed 1000 duplex half autoneg off' 'port mii' 'port bnc' \
		'phyad 1' 'mdix on' 'autoneg on' 'autoneg on advertise 0x00f'; do
		# shellcheck disable=SC2086 # words
		settled set-settings ethtool -s "$1" $i
		record settings ethtool "$1"
	done
	for i in 'rx 16' 'tx 16' 'rx 5 tx 5' 'rx 4096 tx 4096' 'rx 0' 'rx 128 tx 64' 'rx-mini 4' 'rx 100000'; do
		# shellcheck disable=SC2086 # words
		settled set-ring ethtool -G "$1" $i
		record ring ethtool -g "$1"
	done
	for i in 'rx off' 'tx off autoneg off' 'rx on tx on' 'autoneg on'; do
		# shellcheck disable=SC2086 # words
		settled set-pause ethtool -A "$1" $i
		record pause ethtool -a "$1"
	done
	for i in 'rx-usecs 0' 'rx-usecs 1' 'rx-usecs 3' 'rx-usecs 4' 'rx-usecs 100' 'rx-usecs 100000' 'tx-usecs 10'; do
		# shellcheck disable=SC2086 # words
		settled set-coalesce ethtool -C "$1" $i
		record coalesce ethtool -c "$1"
	done
	for i in 'rx off' 'tx off' 'sg off' 'tso off' 'rx on tx on sg on' 'rxvlan off' 'rx-all on' 'rx-fcs on' 'rx-all off rx-fcs off' 'rxvlan on' 'loopback on' 'loopback off'; do
		# shellcheck disable=SC2086 # words
		settled set-features ethtool -K "$1" $i
		record features ethtool -k "$1"
	done
	record write-eeprom ethtool -E "$1" magic 0x1234 offset 16 value 0x5a
	record write-eeprom-right ethtool -E "$1" magic 0x100e8086 offset 16 value 0x5a
	record write-eeprom-e100 ethtool -E "$1" magic 0xe100 offset 200 value 0xa5
	record eeprom ethtool -e "$1"
	record identify ethtool -p "$1" 1
	settled negotiate ethtool -r "$1"
	settled test-online ethtool -t "$1" online
	settled test-offline ethtool -t "$1" offline
	record mii-tool mii-tool "$1"
	settled mii-restart mii-tool -r "$1"
	settled mii-force mii-tool -F 100baseTx-FD "$1"
	settled mii-reset mii-tool -R "$1"
	for i in 1400 68 60 1500 1501 9000 16000 1500; do
		settled set-mtu ip link set "$1" mtu $i
		record link ip link show "$1"
	done
	for i in 52:54:00:12:34:56 01:00:00:00:00:01 00:00:00:00:00:00; do
		record set-address ifconfig "$1" hw ether $i
		record link ip link show "$1"
	done
	for i in promisc -promisc allmulti -allmulti arp -arp arp; do
		record set-flag ifconfig "$1" $i
		record ifconfig ifconfig "$1"
	done
	for i in 01:00:5e:00:00:01 33:33:00:00:00:05 01:00:5e:7f:ff:fa; do
		record multicast ip maddr add $i dev "$1"
	done
	record multicast-list ip maddr show dev "$1"
	record registers ethtool -d "$1" raw on
	for i in 01:00:5e:00:00:01 33:33:00:00:00:05 01:00:5e:7f:ff:fa; do
		record multicast-gone ip maddr del $i dev "$1"
	done
	record queue-length ip link set "$1" txqueuelen 77
	record alias ip link set "$1" alias 'the first'
	record vlan ip link add link "$1" name vlan7 type vlan id 7
	record vlan-gone ip link del vlan7
}

[ -z "${SPLIT_BUSY:-}" ] || {
	# Times differ by what it does; without a pause all waiting of the others would be executed, too.
	while :; do sleep 0.0$((RANDOM % 10 + 3)); done &
}

# ---- one card, the other its peer -----------------------------------------------------------------

kernel_lines=$(dmesg | wc -l)
record load bring_up
case $(cat "$said/001-load") in *'exit code 0') ;; *) cat "$said/001-load" >&2; exit 1 ;; esac
record parameters driver_parameters
questions "$first" # while it is down
changes_down() # IF
{
	record set-ring-down ethtool -G "$1" rx 64 tx 32
	record ring-down ethtool -g "$1"
	record set-mtu-down ip link set "$1" mtu 1300
	record set-mtu-down ip link set "$1" mtu 1500
	record set-address-down ifconfig "$1" hw ether 52:54:00:77:00:01
	record link-down ip link show "$1"
	record set-address-down ifconfig "$1" hw ether 01:00:00:00:00:01
	record set-address-down ip link set "$1" address "$RIG_FIRST_ADDRESS"
	record test-down ethtool -t "$1" offline
	record negotiate-down ethtool -r "$1"
	record identify-down ethtool -p "$1" 1
}
changes_down "$first"
record up link_up "$first"
record peer-up peer_up
questions "$first"
traffic before
changes "$first"
record address-back ip link set "$first" address "$RIG_FIRST_ADDRESS"
settle "$first"
traffic after
questions "$first"
for i in 1 2 3; do
	record down ip link set "$first" down
	record settings-down ethtool "$first"
	record up link_up "$first"
done

# ---- both cards at once ------------------------------------------------------------------------

record kernel-log kernel_log
ip -n peer link set "$second" netns 1
ip addr add 10.8.0.2/24 dev "$second"
record second-up link_up "$second"
at_once() # IF: what it says, without what another one's order would change
{
	local i
	for i in 1 2 3 4 5; do
		ethtool -i "$1"
		ethtool -s "$1" msglvl $i
		ethtool "$1" | grep -v 'Link detected'
		ethtool -g "$1"
		ethtool -G "$1" rx $((64 * i)) 2>&1
		ethtool -k "$1"
		ethtool -S "$1" | sed 's/: [0-9]*$//'
		ethtool -t "$1" offline
	done
}
at_once "$first" >"$RIG_RESULTS/at-once-1" 2>&1 &
one=$!
at_once "$second" >"$RIG_RESULTS/at-once-2" 2>&1
wait $one
cd "$RIG_RESULTS" || exit
record at-once-first cat at-once-1
record at-once-second cat at-once-2
record kernel-log-at-once kernel_log --sorted
ip link set "$second" netns peer

# ---- loading and unloading ------------------------------------------------------------------------

record unload take_down
record modules ls /sys/module/mii
for i in 'debug=16' 'debug=-1' 'nonsense=1'; do
	record load-with bring_up "$i"
	case $(cat "$said/$(printf %03d $number)-load-with") in
	*'exit code 0')
		record settings ethtool "$first"
		record unload-again take_down
		;;
	esac
done
record load bring_up
record up link_up "$first"
record unload-up take_down
record kernel-log kernel_log
