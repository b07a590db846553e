#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# net.sh OUTBOARD DRIVER MODEL ASKS [KERNEL]: an unmodified network driver of the Linux kernel drives QEMU's MODEL (with options, if there are commas) and gives an
# interface: its self-test, what ethtool asks, DHCP, ping, TCP in both directions, statistics, down and up, the end, and all of it once more. ASKS are the letters
# of ethtool that the driver has an answer to; to others it has none: s when it counts no packets with -S. Skipped where neither the driver nor the profile of all cards is built.
driver=$2 model=$3 asks=$4 kernel=${5:-6.12}
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
# Two drivers take the same chip: in the profile of all cards one of them gets it.
object_of "$driver" net "$kernel"
card=qemu:$model,netdev=user
case $model in
e1000-82540em*) has=e1000 ;;
rtl8139c*) has=rtl8139 ;;
*) has=${model%%,*} ;;
esac
"${OUTBOARD_QEMU:-qemu-system-x86_64}" -device help 2>&1 | grep -q "^name \"$has\"" || {
	echo "1..0 # SKIP this QEMU ($("${OUTBOARD_QEMU:-qemu-system-x86_64}" --version | grep -o 'version [0-9.]*')) has no ${model%%,*}"
	exit 0
}
if [ ! -c /dev/net/tun ] || ! unshare -n true 2>/dev/null; then
	echo '1..0 # SKIP no TUN or no network namespaces for this user'
	exit 0
fi

# ---- what runs with the interface: leaves a word in $WORK for each thing that worked ------------------------------

mkdir "$dir/www" "$dir/work"
# Of a card that has ports only each word of a frame is a message to QEMU.
size=8M
[ "$model" != ne2k_pci ] || size=256K
# QEMU's pcnet may leave out a descriptor when its ring of 32 was full, where the driver then waits (docs/linux.md). So there are never as many frames on the way.
[ "$model" != pcnet ] || export WINDOW=16384
head -c $size /dev/urandom >"$dir/www/file"
cat >"$dir/dhcp" <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface" && echo "$ip" >"$WORK/dhcp"
END
cat >"$dir/use" <<'END'
#!/bin/sh
busybox ip link set "$OUTBOARD_IF" up
busybox udhcpc -i "$OUTBOARD_IF" -s "$WORK/../dhcp" -f -q -n -t 30 -T 1 >"$WORK/dhcp.log" 2>&1
# Some drivers stop the card when its multicast filter changes (pcnet32), as it does when the interface has come up and got its address: what arrives then is lost.
for _ in $(seq 30); do
	busybox ping -c 1 -W 1 10.0.2.2 >/dev/null 2>&1 && break
done
busybox ping -c 4 -W 10 10.0.2.2 >"$WORK/ping" 2>&1
[ -z "${WINDOW:-}" ] || echo "4096 $WINDOW $WINDOW" >/proc/sys/net/ipv4/tcp_rmem
timeout 100 busybox wget -Y off -q -O "$WORK/got" http://10.0.2.100/file 2>"$WORK/wget.log"
timeout 60 busybox nc -l -p "$SEND_PORT" <"$WORK/../www/file" >"$WORK/sent" 2>&1 &
touch "$WORK/sends"
wait
for _ in $(seq 600); do
	[ -e "$WORK/counters" ] && break
	sleep 0.1
done
busybox ip link set "$OUTBOARD_IF" down
busybox ip link set "$OUTBOARD_IF" up
for _ in $(seq 60); do
	busybox ping -c 1 -W 1 10.0.2.2 >"$WORK/ping-again" 2>&1 && break
done
true
END
chmod +x "$dir/dhcp" "$dir/use"
export WORK=$dir/work

serve_http "$dir/www"
started+=("$httpd")
# Of those that nobody has.
SEND_PORT=$(shuf -i 20000-60000 -n 1)
NAME=card-$$
export SEND_PORT NAME

# From outside: what the other end of the interface sends, which closes when it has sent all; then what there was counted.
fetch()
{
	for _ in $(seq 1200); do
		[ -e "$dir/work/sends" ] && break
		sleep 0.1
	done
	# Until the sender listens QEMU takes the connection, and ends it with nothing sent.
	for _ in $(seq 60); do
		timeout 60 bash -c 'exec cat <"/dev/tcp/127.0.0.1/$SEND_PORT"' >"$dir/work/arrived"
		[ -s "$dir/work/arrived" ] && break
		sleep 0.5
	done
	# Now and then the instance asks the driver what it has counted.
	for _ in $(seq 50); do
		"$outboard" show "$NAME" --json >"$dir/work/show"
		jq -e '.devices[0].net | .rx_packets > 100 and .tx_packets > 100' "$dir/work/show" >"$dir/work/asked" && break
		sleep 0.2
	done
	"$outboard" ethtool -S "$NAME" >"$dir/work/counters.new" 2>&1
	mv "$dir/work/counters.new" "$dir/work/counters"
}

has() # FILE PATTERN
{
	grep -qE -- "$2" "$dir/work/$1" || { echo "$1 has no '$2':"; head -n 20 "$dir/work/$1"; return 1; }
}

# A file of that size is some thousand frames each way at the most, and at least what fits in none.
moved() # COUNTER
{
	local count
	count=$(jq ".devices[0].net.$1" "$dir/work/show")
	[ "$count" -gt 100 ] || { echo "$1 is $count" && head -c 2000 "$dir/work/show"; return 1; }
}

drive() # NAME
{
	rm -f "$dir"/work/*
	fetch 2>/dev/null &
	started+=($!)
	ob run --driver "linux:$object@$kernel" "$card,fwd=10.0.2.100:80-$port,listen=$SEND_PORT-$SEND_PORT" \
		--name "$NAME" --attach tap,netns=new --quiet -- "$dir/use"
	kill "${started[-1]}" 2>/dev/null
	expect "$1: an interface, and its end" 0
	check "$1: an address by DHCP" grep -qx 10.0.2.15 "$dir/work/dhcp"
	check "$1: the gateway answers" has ping ' 0% packet loss'
	check "$1: a file comes over TCP" cmp "$dir/www/file" "$dir/work/got"
	check "$1: a file goes over TCP" cmp "$dir/www/file" "$dir/work/arrived"
	check "$1: the kernel counts what it received" moved rx_packets
	check "$1: and what it sent" moved tx_packets
	[[ $asks != *S* ]] || check "$1: the driver's own counters have moved" has counters ': [1-9][0-9]{2}'
	check "$1: down and up again, the gateway answers" has ping-again ' 1 packets received'
}

# What is asked of the driver's own ethtool_ops, and a word of the answer.
for question in "-i driver: $driver" "-S NIC statistics" "-g RX:" "-d word 0" "-t The test result" "-k checksumming"; do
	letter=${question:1:1}
	ob ethtool "$card" --driver "linux:$object@$kernel" "-$letter"
	if [[ $letter = t && ${asks,,} = *t* ]]; then
		# The driver's offline tests want silicon: of what QEMU's models lack (loopback, registers) they say so.
		[ "$status" -ne 1 ] || status=0
		expect_out "ethtool -t: the driver's own tests have a result" 0 "The test result is"
	elif [[ ${asks,,} = *${letter,,}* ]]; then
		expect_out "ethtool -$letter" 0 "${question#-? }"
	else
		check "ethtool -$letter: the driver has no answer" test "$status" -ne 0
	fi
done
OUTBOARD_LINUX_ARGS="$driver.nosuch=1" ob selftest --driver "linux:$object@$kernel" "$card"
expect 'a parameter that it does not have' 2 "has no parameter 'nosuch'"
ob selftest --driver "linux:$object@$kernel" "$card"
expect 'its self-test passes' 0
drive 'first time'
drive 'again'
[ $failed -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object "$here/linux/record" "$driver" "$kernel" "qemu:${model%%,*}" \
	probe link selftest dhcp ping tcp statistics "ethtool-$asks" down remove again
finish
