#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is said when a Linux driver cannot go on: the kernel's end and the driver's mistakes, with names of functions; a device whose registers are
# not all there, or that vanishes in the middle of a probe; drivers and kernels that there are not. Builds a driver of ours for the first of these.
# usage: last_words.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154
. "$(dirname "$0")/../cli/tap.sh"
here=$(cd "$(dirname "$0")" && pwd)
objects=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}/objects
[ -e "$objects/linux-e1000e-6.12.so" ] || { echo '1..0 # SKIP outboard linux build e1000e was not run' && exit; }
ulimit -c 0

# ---- a driver that ends ---------------------------------------------------------------------

cp -r "$here/faulty" "$dir/faulty"
timeout -k 5 1500 "$outboard" linux build --module "$dir/faulty" >"$dir/out" 2>"$dir/err" </dev/null
status=$?
expect_out "a driver with mistakes is built" 0 "linux:faulty"

ends() # HOW SIGNAL NAME WORDS...
{
	local how=$1 signal=$2 name=$3
	shift 3
	OUTBOARD_LINUX_ARGS="faulty.how=$how" ob selftest --driver linux:faulty qemu:e1000e,netdev=none
	expect "$name: the process ends with these words" $((128 + signal)) "linux:faulty: the kernel ends: " \
		"faulty_way" "faulty_probe + 0x" "$@"
}
ends panic 6 "a panic" "this driver cannot go on"
ends bug 6 "BUG()" "BUG"
ends null 11 "a null pointer" "a null pointer"
ends call 11 "a call of nothing" "a call of what is no function"
ends register 11 "a register without readl()" "without readl()"
ends restart 6 "what the architecture does not provide" "machine_restart"
rm -f "$objects"/linux-faulty-6.12.*

# ---- a device that is not as it should be -------------------------------------------------------

ob selftest --driver linux:e1000e 'fault[bars=4K]:qemu:e1000e,netdev=none'
expect "a BAR that is too small is named, with driver and function" 1 \
	"linux:e1000e: a read of 4 bytes at 0x" "of BAR 0, which has only 0x1000, in e1000_"
for at in 1 20 150; do
	ob selftest --driver linux:e1000e "fault[gone=$at]:qemu:e1000e,netdev=none"
	expect "a device that vanishes at access $at of the probe is told, with driver and function" 1 "vanished while linux:e1000e probed it, in " "()"
done

# ---- what there is not -----------------------------------------------------------------------------

ob selftest --driver linux:e1000x qemu:e1000e,netdev=none
expect "a driver that is not built is named, with what builds it" 5 "driver e1000x of kernel 6.12 is not built" "outboard linux build e1000x"
ob selftest --driver linux:e1000e@2.4 qemu:e1000e,netdev=none
expect "so is one of a kernel that it was not built for" 5 "driver e1000e of kernel 2.4 is not built" "outboard linux build e1000e --kernel 2.4"
ob selftest --driver linux:e1000e qemu:nvme,null=1M
expect "a device that the driver does not know is told as such" 1 "no driver of kernel 6.12" "none knows the device"
finish
