#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a dead driver leaves behind: the driver process, QEMU, or both are killed with SIGKILL while a client
# is busy, and everything that there is is counted before and after (scripts/census). In process, mount,
# network and IPC namespaces of its own, so that nothing else on the machine counts. Prints TAP.
# usage: leftovers.sh SOURCE-ROOT OUTBOARD
set -u

root=$1
outboard=$(readlink -f "$2")

if [ "${3:-}" != --inside ]; then
	user=()
	[ "$(id -u)" -eq 0 ] || user=(--user --map-root-user)
	if ! unshare "${user[@]}" --mount --pid --fork --mount-proc --net --ipc true 2>/dev/null; then
		echo "1..0 # SKIP no namespaces of one's own for this user on this system"
		exit 0
	fi
	exec unshare "${user[@]}" --mount --pid --fork --kill-child --mount-proc --net --ipc \
		bash "$0" "$root" "$outboard" --inside
fi

# shellcheck source=scripts/private-places
. "$root/scripts/private-places"
private_places "$root" "$(dirname "$(dirname "$outboard")")" # the library lies beside cli/
export CENSUS_FILES=$places
busybox ip link set lo up

. "$(dirname "$0")/../checks.sh"
trap 'rm -rf "$dir"' EXIT
truncate -s 64M "$dir/nvme.img" "$dir/ide.img"

# What went wrong, and what the program said of it.
left() # REASON
{
	echo "$1"
	cat "$dir/log"
}

busy_or_gone() # PID
{
	[ -e "$dir/busy" ] || gone "$1"
}

qemu_of() # PID
{
	local child
	# shellcheck disable=SC2013
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		case $(cat "/proc/$child/comm" 2>/dev/null) in
		qemu-system*) echo "$child" ;;
		esac
	done
}

same_as_before()
{
	"$root/scripts/census" "$dir" "$dir/loops" >"$dir/after"
	cmp -s "$dir/before" "$dir/after"
}

# The commands that are busy with what was attached; each says when it begins.
cat >"$dir/client" <<'END'
#!/bin/bash
case $1 in
disk)
	name=${OUTBOARD_DEV#/dev/}
	if [ -e "/sys/block/$name/diskseq" ]; then
		echo "$name $(cat /sys/block/$name/diskseq)" >"$2/loops"
	fi
	while :; do
		dd if=/dev/urandom of="$OUTBOARD_DEV" bs=64k count=64 conv=notrunc,fsync 2>/dev/null || sleep 0.1
		: >"$2/busy"
	done
	;;
nbd)
	while :; do
		nbdcopy -- "$OUTBOARD_DEV" null: 2>/dev/null &
		: >"$2/busy"
		wait
		sleep 0.1
	done
	;;
net)
	busybox ip addr add 10.0.2.15/24 dev "$OUTBOARD_IF" && busybox ip link set "$OUTBOARD_IF" up
	while :; do
		busybox ping -q -c 1 -W 1 -s 1400 10.0.2.2 >/dev/null 2>&1 && : >"$2/busy"
	done
	;;
esac
END
chmod +x "$dir/client"

death() # WHAT SPEC ATTACHMENT CLIENT [SIGN-OF-IT-IN-THE-COUNT...]
{
	local what=$1 spec=$2 attachment=$3 client=$4 victim pid qemu status name kind
	shift 4
	local sign=("$@")
	for victim in driver QEMU both; do
		name="kill -9 of $victim while $what is busy leaves nothing behind"
		rm -f "$dir/busy" "$dir/loops"
		: >"$dir/loops"
		# Files of the test itself are there before.
		touch "$dir"/{before,during,after,log,busy}
		"$root/scripts/census" "$dir" >"$dir/before"
		rm -f "$dir/busy"

		"$outboard" run "$spec" --attach "$attachment" -- "$dir/client" "$client" "$dir" \
			>"$dir/log" 2>&1 </dev/null &
		pid=$!
		wait_for busy_or_gone $pid
		if ! [ -e "$dir/busy" ]; then
			kill -9 $pid 2>/dev/null
			wait $pid
			left "$what never became busy" | not_ok "$name"
			continue
		fi
		qemu=$(qemu_of $pid)
		if [ -z "$qemu" ]; then
			kill -9 $pid
			left "no QEMU below process $pid" | not_ok "$name"
			continue
		fi
		# The count can see what it is to find gone.
		"$root/scripts/census" "$dir" "$dir/loops" | LC_ALL=C comm -13 "$dir/before" - >"$dir/during"
		for kind in "process .* qemu" memory "${sign[@]}"; do
			grep -q "^$kind" "$dir/during" || left "$(cat "$dir/during")" | not_ok "the count sees '$kind' while $what is busy"
		done
		case $victim in
		driver) kill -9 $pid ;;
		QEMU) kill -9 "$qemu" ;;
		both) kill -9 $pid "$qemu" ;;
		esac
		if ! wait_for gone $pid; then
			left "process $pid did not end" | not_ok "$name"
			kill -9 $pid
			continue
		fi
		wait $pid 2>/dev/null
		status=$?
		# The command is gone with the device that it used, and so may its children be a moment later.
		if ! wait_for same_as_before; then
			left "left: $(LC_ALL=C comm -13 "$dir/before" "$dir/after")
missing: $(LC_ALL=C comm -23 "$dir/before" "$dir/after")" | not_ok "$name"
			continue
		fi
		if [ $victim = QEMU ] && [ $status -ne 3 ]; then
			left "exit code $status, not 3 (device gone)" | not_ok "$name"
			continue
		fi
		ok "$name"
	done
}

can_attach() # ATTACHMENT: probed by trying it
{
	case $1 in
	loop) [ -w /dev/loop-control ] && [ -r /dev/fuse ] && [ -w /dev/fuse ] ;;
	tap) [ -r /dev/net/tun ] && [ -w /dev/net/tun ] ;;
	esac
}

if can_attach loop; then
	death "an NVMe disk as a loop device" "qemu:nvme,file=$dir/nvme.img" loop disk "loop loop"
else
	skip "NVMe and loop" "no /dev/loop-control and /dev/fuse for this user"
fi
if command -v nbdcopy >/dev/null; then
	death "an IDE disk as an NBD export" "qemu:piix3-ide,file=$dir/ide.img" nbd nbd
else
	skip "IDE and NBD" "no nbdcopy"
fi
if can_attach tap; then
	death "an e1000e as a tap interface" "qemu:e1000e,netdev=user" tap,netns=new net "namespace net:"
else
	skip "e1000e and tap" "no /dev/net/tun for this user"
fi
finish_checks
