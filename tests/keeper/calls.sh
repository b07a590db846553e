#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# calls.sh OUTBOARD LIST-CALLS: what a driver process calls while it serves is on its list (keeper/seccomp.c), by strace. And the
# lists are short. With real devices in the rig, by tests/rig/calls.sh.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"
outboard=$1
list=$2
trap 'rm -rf "$dir"' EXIT
name=calls$$

# Calls that fail by the filter's word as well as by strace's: the C library goes on without.
refused='^(mprotect|madvise|rt_sigprocmask|rt_sigaction|gettid|getpid|tgkill|geteuid|openat|newfstatat|fstat|lseek|clone3)$'

driver_pid()
{
	pid=$("$outboard" show "$name" --json 2>/dev/null | jq -r '[.. | .driver_pid? // empty][0] // empty')
	[ -n "$pid" ] && [ "$pid" != 0 ]
}

traced()
{
	grep -q '^TracerPid:.[1-9]' "/proc/$pid/status" &&
		! grep -L '^TracerPid:.[1-9]' /proc/"$pid"/task/*/status | grep -q .
}

# Serves, works, and shows itself, under strace all the time.
not_on_the_list() # USES -- LOAD... : prints them
{
	local uses=() tracer
	while [ "$1" != -- ]; do
		uses+=("$1")
		shift
	done
	shift
	strace -f -qq -o "$dir/trace" -p "$pid" 2>"$dir/strace.log" &
	tracer=$!
	wait_for traced || return 1
	"$@" >"$dir/load.log" 2>&1 || {
		cat "$dir/load.log"
		echo 'the load failed'
	}
	"$outboard" show "$name" >/dev/null
	kill -INT $tracer
	wait $tracer
	sed -nE 's/^[0-9]+ +(<\.\.\. )?([a-z_0-9]+)(\(| resumed).*/\2/p' "$dir/trace" | sort -u >"$dir/called"
	"$list" run "${uses[@]}" | cut -d' ' -f2 | sort -u >"$dir/allowed"
	[ -s "$dir/called" ] || cat "$dir/strace.log"
	[ -s "$dir/called" ] || echo 'strace saw nothing'
	comm -23 "$dir/called" "$dir/allowed" | grep -vE "$refused"
	true
}

serve() # SPEC ATTACH
{
	: >"$dir/run.log" # what the last one said is not this one's word
	"$outboard" run --restart=never --name "$name" "$1" --attach "$2" >"$dir/run.log" 2>&1 &
	keeper=$!
	wait_for driver_pid && wait_for grep -q ' through ' "$dir/run.log"
}

end()
{
	kill -INT "$keeper"
	wait "$keeper"
}

only_what_is_listed() # SPEC ATTACH USES... -- LOAD...
{
	local spec=$1 attach=$2 extra
	shift 2
	serve "$spec" "$attach" || {
		cat "$dir/run.log"
		end
		return 1
	}
	extra=$(not_on_the_list "$@")
	end
	[ -z "$extra" ] || echo "not on the list: $extra"
	[ -z "$extra" ]
}

nbd_load()
{
	soon qemu-io -f raw -c 'write 0 1M' -c 'read 0 4M' -c flush -c 'discard 0 1M' "nbd+unix:///?socket=$dir/sock"
}

disk_load()
{
	local file
	file=$(sed -nE 's/.* as ([^ ]+) through .*/\1/p' "$dir/run.log")
	soon dd if=/dev/zero of="$file" bs=64k count=16 conv=notrunc,fsync && soon dd if="$file" of=/dev/null bs=64k count=16
}

tap_load()
{
	local if
	if=$(sed -nE 's/.* as ([^ ]+) through .*/\1/p' "$dir/run.log")
	ip addr add 10.0.2.15/24 dev "$if" && ip link set "$if" up || return
	soon ping -c 5 -i 0.2 -W 5 10.0.2.2
	ip link set "$if" mtu 1400 && ip maddr add 33:33:00:00:00:05 dev "$if" && ip link set "$if" down && ip link set "$if" up
}

short() # MOST USES...
{
	local most=$1 n
	shift
	n=$("$list" run "$@" | wc -l)
	echo "# $* $n"
	[ "$n" -gt 0 ] && [ "$n" -le "$most" ]
}

lists_are_short()
{
	local attachment
	for attachment in UBLK VHOST VDUSE TAP FUSE NBD; do
		check "at most 25 calls for a real device and $attachment" short 25 VFIO $attachment PASSING
	done
}

if ldd "$outboard" | grep -q libasan; then
	echo '1..0 # SKIP the sanitizer has calls of its own'
	exit 0
fi
for program in strace jq; do
	command -v $program >/dev/null && continue
	echo "1..0 # SKIP no $program"
	exit 0
done
if ! strace -qq -o /dev/null true 2>/dev/null; then
	echo '1..0 # SKIP strace is not permitted here'
	exit 0
fi


if [ -n "${RIG_NVME:-}" ]; then
	for how in ublk vduse-blk loop nbd-kernel; do
		uses=${how%-blk}
		uses=${uses%-kernel}
		uses=${uses/loop/fuse}
		check "nvme by $how calls what is listed" only_what_is_listed "vfio:$RIG_NVME" $how VFIO "${uses^^}" PASSING -- disk_load
	done
	for how in tap vhost-net; do
		uses=${how%-net}
		check "e1000e by $how calls what is listed" only_what_is_listed "vfio:$RIG_E1000E" $how VFIO "${uses^^}" PASSING -- tap_load
	done
	finish_checks
	exit
fi
check 'nvme by nbd calls what is listed' only_what_is_listed qemu:nvme,null=64M "nbd,socket=$dir/sock" QEMU NBD PASSING -- nbd_load
mkdir "$dir/mnt"
check 'nvme by fuse calls what is listed' only_what_is_listed qemu:nvme,null=64M "fuse,mountpoint=$dir/mnt" QEMU FUSE PASSING -- disk_load
if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ]; then
	check 'e1000e by tap calls what is listed' only_what_is_listed qemu:e1000e tap QEMU TAP PASSING -- tap_load
else
	skip 'e1000e by tap calls what is listed' 'needs root and /dev/net/tun'
fi

lists_are_short
finish_checks
