#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# checks.sh OUTBOARD FUZZ: the kernel's own checks of itself find each bug that is planted in a copy of e1000e (tests/linux/planted.c), say where, and end the
# process; without a bug they find nothing. Then a bug that only a device's odd answer brings up, by an input for the device that answers oddly.
# Compiles a few files; the core with checks was compiled before (scripts/check).
# shellcheck source=tests/cli/tap.sh disable=SC2034,SC2154
. "$(dirname "$0")/../cli/tap.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)
fuzz=$(readlink -f "$2")
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of e1000e+debug e1000e+debug 6.12

cp -r "$cache/src/linux-source-6.12/drivers/net/ethernet/intel/e1000e" "$dir/planted"
cp "$here/tests/linux/planted.c" "$dir/planted/planted.h"
sed -i -e '/^int e1000e_open/i #include "planted.h"\n' \
	-e '/^int e1000e_open/,/^}/s/^\tint err;$/&\n\n\tplanted_bug();/' \
	-e '0,/length = le16_to_cpu(rx_desc->wb.upper.length);/s//&\n\t\tif (length > 4000)\n\t\t\tmemset(skb->data, 0, length);/' \
	"$dir/planted/netdev.c"
timeout -k 5 2400 "$outboard" linux build e1000e+debug --module "$dir/planted" >"$dir/out" 2>"$dir/err" </dev/null
status=$?
expect_out "a copy of a driver is built with the kernel's checks" 0 "linux:planted+debug of kernel 6.12"
rm -f "$dir/err"

planted() # NUMBER
{
	OUTBOARD_LINUX_ARGS="e1000e.planted=$1" ob selftest --driver linux:planted+debug fuzz:e1000e
}

# Each text is on the log; a process that aborts has the shell's exit code 128 + 6.
finds() # NUMBER NAME TEXT...
{
	local number=$1 name=$2
	shift 2
	planted "$number"
	expect "$name" 134 "$@" "the kernel ends"
}

planted 0
expect_out "without a bug they find none" 0 "passed"
check "and say nothing" test -z "$(grep -E 'BUG|UBSAN|WARNING|INFO: ' "$dir/err")"
finds 1 "KASAN: freed memory is used" "BUG: KASAN: slab-use-after-free in planted_bug" "Allocated by task" "Freed by task"
finds 2 "KASAN: beside an allocation" "BUG: KASAN: slab-out-of-bounds in planted_bug" "Allocated by task"
finds 3 "KASAN: beside a variable on a fiber's stack" "BUG: KASAN: stack-out-of-bounds in planted_bug"
finds 4 "KASAN: beside a global variable" "BUG: KASAN: global-out-of-bounds in planted_bug" "planted_global"
finds 5 "UBSAN: a shift by too much" "UBSAN: shift-out-of-bounds in" "planted.h" "shift exponent 40 is too large"
finds 6 "UBSAN: an index beyond an array" "UBSAN: array-index-out-of-bounds in" "index 8 is out of range"
finds 7 "lockdep: two locks in both orders" "possible circular locking dependency detected" "planted_bug+"
finds 8 "sleeping with a lock held" "BUG: sleeping function called from invalid context" "planted_bug+"
finds 9 "a timer that runs is freed" "ODEBUG: free active" "object type: timer_list" "planted_timeout"

OUTBOARD_LINUX_ARGS="panic_on_warn=0 kasan.fault=report e1000e.planted=2" ob selftest --driver linux:planted+debug fuzz:e1000e
expect_out "asked to, it only reports" 0 "BUG: KASAN: slab-out-of-bounds" "passed"

# After 1,200 accesses, when the ring of received frames is there (900 are not too few), a frame of 60,000 bytes with the end of packet (docs/linux-fuzzing.md has the form), several times.
record='\x06\x03\xb0\x04\x60\xea\x00\x00'
# shellcheck disable=SC2059
printf "$record$record$record$record" >"$dir/long-frame"
ob selftest --driver linux:e1000e+debug "fuzz:e1000e,input=$dir/long-frame"
expect "a device that claims a frame of 60,000 bytes: the kernel's driver believes it (docs/findings/e1000e-receive-length.md)" 134 "skb_over_panic" "e1000_clean_rx_irq"
timeout -k 5 300 "$fuzz" linux:planted+debug "fuzz:e1000e,input=$dir/long-frame" >"$dir/out" 2>"$dir/err" </dev/null
status=$?
expect "one that writes so far is found out before" 134 "BUG: KASAN:" "e1000_clean_rx_irq"

timeout -k 5 300 "$fuzz" linux:planted+debug fuzz:e1000e 20 "$dir/fuzz" >"$dir/out" 2>"$dir/err" </dev/null
status=$?
check "the fuzzer runs inputs, one process each, and finds ways through the driver" grep -qE ' [1-9][0-9]* bound, .* [1-9][0-9]* ways, [1-9]' "$dir/out"
finish
