#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# gdb.sh OUTBOARD: gdb on a process that runs the kernel's e1000e: source lines and arguments of the driver, and what linux/gdb/outboard.py, which gdb
# finds beside the object, tells of the kernel.
# shellcheck source=tests/cli/tap.sh disable=SC2154
. "$(dirname "$0")/../cli/tap.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
command -v gdb >/dev/null || { echo '1..0 # SKIP no gdb' && exit; }
gdb -q -batch -ex 'python print(1)' 2>/dev/null | grep -qx 1 || { echo '1..0 # SKIP this gdb has no Python' && exit; }
object_of e1000e net 6.12
[ "$object" = e1000e ] || { echo '1..0 # SKIP outboard linux build e1000e was not run' && exit; }
objects=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}/objects

debug() # FILE: gdb's commands, and the self-test as its program
{
	timeout -k 5 600 gdb -q -batch -iex "add-auto-load-safe-path $objects" -iex 'set breakpoint pending on' \
		-iex 'set pagination off' -iex 'set width 0' -x "$1" \
		--args "$outboard" selftest --driver linux:e1000e qemu:e1000e,netdev=user >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	cat "$dir/err" >>"$dir/out"
}

shows() # NAME PATTERN...: in this order
{
	local name=$1 pattern from=1 at
	shift
	for pattern in "$@"; do
		at=$(tail -n "+$from" "$dir/out" | grep -nE -m 1 -- "$pattern" | cut -d: -f1)
		[ -n "$at" ] || { { echo "no '$pattern' from line $from on"; show_last; } | not_ok "$name"; return; }
		from=$((from + at - 1))
	done
	ok "$name"
}

cat >"$dir/inside" <<'GDB'
break e1000_xmit_frame
run
bt 2
echo -- list\n
p netdev->napi_list
p netdev->dev.kobj.kref
echo -- dmesg\n
ob-dmesg Link is Up
echo -- ps\n
ob-ps
echo -- devices\n
ob-devices eth0
echo -- timers\n
ob-timers
echo -- fiber\n
ob-fiber 2
echo -- back\n
bt 1
delete
continue
GDB
debug "$dir/inside"
shows "a breakpoint in the driver has its source line, its arguments say what they point to" \
	'^#0  e1000_xmit_frame \(skb=0x[0-9a-f]+ <[0-9]+ bytes, dev eth0>, netdev=0x[0-9a-f]+ <eth0, 52:54:00:12:34:56, mtu 1500, up>\) at .*/e1000e/netdev.c:[0-9]+' \
	'-- list' '= list of 1' '= \{refcount = [0-9]+\}'
shows "ob-dmesg: the kernel's log" '-- dmesg' '<6> e1000e 0000:00:01.0 eth0: NIC Link is Up 1000 Mbps'
shows "ob-ps: who runs, with those who called" '-- ps' '   0 \* swapper' 'e1000_xmit_frame.* at drivers/net/ethernet/intel/e1000e/netdev.c' \
	'net_xmit.* at outboard/class/net.c' 'arch_cpu_idle.* at arch/outboard' 'outboard_fiber_entry'
shows "and who sleeps where" '-- ps' '   2 S kthreadd' '__switch_to.* at arch/outboard/kernel/process.c' 'kthreadd\+[0-9]+ at '
shows "ob-devices: the interface hangs on the card" '-- devices' '^eth0  *net  *-  *0000:00:01.0  *0x'
shows "ob-timers: the driver's timer" '-- timers' 'jiffies  0x[0-9a-f]+  e1000_watchdog'
shows "ob-fiber: a fiber that sleeps, with arguments" '-- fiber' '#[0-9]+ .*kthreadd \(unused=.* at .*kernel/kthread.c' '#[0-9]+ .*outboard_fiber_start \(fn=.* <kthreadd>'
shows "and the thread is back where it was" '-- back' '^#0  e1000_xmit_frame '
shows "and goes on as if nothing had been" '-- back' 'frames +passed' 'exited normally'
check "without an error of gdb's" test -z "$(grep -E 'Error|Exception|Traceback' "$dir/out")"

cat >"$dir/outside" <<'GDB'
break e1000e_open
run
delete
break epoll_wait
continue
ob-ps swapper
set confirm off
kill
GDB
debug "$dir/outside"
shows "ob-ps: whichever thread gdb looks at, one fiber runs" 'hit Breakpoint .* epoll_wait' ' \* ' 'outboard_fiber_entry'

echo 'ob-ps' >"$dir/none"
sed -i "1i source $here/linux/gdb/outboard.py" "$dir/none"
debug "$dir/none"
shows "without a driver there is a sentence" "no 'init_task': no Linux driver is loaded in this process"
check "and no trace of Python's" test -z "$(grep Traceback "$dir/out")"
finish
