#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# verify_ide.sh VERIFY_DISK BYTES: random mixed I/O of BYTES at depth 32 on an IDE disk, and of a sixteenth of
# it where it is harder: in each mode, on a slave, with damaged registers. Prints TAP.
set -u

verify=$1 bytes=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/outboard-XXXXXX")
trap 'rm -rf "$work"' EXIT
truncate -s 256M "$work/master" "$work/slave"
less=$((bytes / 16)) n=0 failed=0

check() # NAME BYTES SPEC [OPTION...]
{
	local name=$1 count=$2
	shift 2
	n=$((n + 1))
	if "$verify" "$@" --depth 32 --bytes "$count" --quiet >"$work/log" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		failed=1
	fi
	sed 's/^/# /' "$work/log"
}

echo 1..6
check "mixed I/O comes back as it was written" "$bytes" "qemu:piix3-ide,file=$work/master"
check "polled" "$less" "qemu:piix3-ide,file=$work/master" --mode poll
check "by interrupt alone" "$less" "qemu:piix3-ide,file=$work/master" --mode interrupt
check "on a slave" "$less" "qemu:piix3-ide,file=$work/master,slave=$work/slave" --disk 1
check "with interrupts lost" "$less" \
	"fault[irq=0.002,seed=8,after=3000]:qemu:piix3-ide,file=$work/master" --timeout 300
check "with registers that read all ones now and then" "$less" \
	"fault[ones=0.0002,seed=9,after=3000]:qemu:piix3-ide,file=$work/master" --timeout 300 --tolerate
exit $failed
