#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# net.sh OUTBOARD DRIVER MODEL [KERNEL]: an unmodified network driver of the Linux kernel drives QEMU's MODEL and gives an interface: its self-test, what
# ethtool asks, DHCP, ping, TCP in both directions, the end, and all of it once more. Skipped where the driver is not built.
driver=$2 model=$3 kernel=${4:-6.12}
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
object=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}/objects/linux-$driver-$kernel.so
if [ ! -e "$object" ]; then
	echo "1..0 # SKIP $driver of kernel $kernel is not built: outboard linux build $driver --kernel $kernel"
	exit 0
fi
if [ ! -c /dev/net/tun ] || ! unshare -n true 2>/dev/null; then
	echo '1..0 # SKIP no TUN or no network namespaces for this user'
	exit 0
fi

# ---- what runs with the interface: leaves a word in $WORK for each thing that worked ------------------------------

mkdir "$dir/www" "$dir/work"
head -c 8388608 /dev/urandom >"$dir/www/file"
cat >"$dir/dhcp" <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface" && echo "$ip" >"$WORK/dhcp"
END
cat >"$dir/use" <<'END'
#!/bin/sh
busybox ip link set "$OUTBOARD_IF" up
busybox udhcpc -i "$OUTBOARD_IF" -s "$WORK/../dhcp" -f -q -n -t 30 -T 1 >"$WORK/dhcp.log" 2>&1
busybox ping -c 10 -W 10 10.0.2.2 >"$WORK/ping" 2>&1
timeout 100 busybox wget -Y off -q -O "$WORK/got" http://10.0.2.100/file 2>"$WORK/wget.log"
timeout 60 busybox nc -l -p "$SEND_PORT" <"$WORK/../www/file" >"$WORK/sent" 2>&1 &
touch "$WORK/sends"
wait
true
END
chmod +x "$dir/dhcp" "$dir/use"
export WORK=$dir/work

# A port that is free: the server says so by staying.
for port in $(shuf -i 20000-60000 -n 20); do
	busybox httpd -f -p "127.0.0.1:$port" -h "$dir/www" 2>/dev/null &
	started+=($!)
	sleep 0.3
	kill -0 $! 2>/dev/null && break
done
# Of those that nobody has.
SEND_PORT=$(shuf -i 20000-60000 -n 1)
export SEND_PORT

# From outside: what the other end of the interface sends. It closes when it has sent all.
fetch()
{
	for _ in $(seq 1200); do
		[ -e "$dir/work/sends" ] && break
		sleep 0.1
	done
	timeout 60 bash -c 'exec cat <"/dev/tcp/127.0.0.1/$SEND_PORT"' >"$dir/work/arrived"
}

has() # FILE PATTERN
{
	grep -qE -- "$2" "$dir/work/$1" || { echo "$1 has no '$2':"; head -n 20 "$dir/work/$1"; return 1; }
}

drive() # NAME
{
	rm -f "$dir"/work/*
	fetch &
	ob run --driver "linux:$driver@$kernel" "qemu:$model,netdev=user,fwd=10.0.2.100:80-$port,listen=$SEND_PORT-$SEND_PORT" \
		--attach tap,netns=new --quiet -- "$dir/use"
	expect "$1: an interface, and its end" 0
	check "$1: an address by DHCP" grep -qx 10.0.2.15 "$dir/work/dhcp"
	check "$1: the gateway answers" has ping ' 0% packet loss'
	check "$1: a file comes over TCP" cmp "$dir/www/file" "$dir/work/got"
	check "$1: a file goes over TCP" cmp "$dir/www/file" "$dir/work/arrived"
}

# What is asked of the driver's own ethtool_ops, and a word of the answer.
for question in "-i driver" "-S rx" "-g RX" "-d word" "-k checksum"; do
	ob ethtool "qemu:$model,netdev=user" --driver "linux:$driver@$kernel" "${question% *}"
	expect_out "ethtool ${question% *}" 0 "${question#* }"
done
ob selftest --driver "linux:$driver@$kernel" "qemu:$model,netdev=user"
expect 'its self-test passes' 0
drive 'first time'
drive 'again'
[ $failed -ne 0 ] || "$here/linux/record" "$driver" "$kernel" "qemu:$model" probe link selftest dhcp ping tcp ethtool remove again
finish
