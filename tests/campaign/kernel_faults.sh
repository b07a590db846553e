#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kernel_faults.sh [BUILD [KERNEL]]: a control of the fault campaign. The kernel's own nvme driver, in the kernel of a virtual machine (6.12), with one fault in its code at
# a time (mutate), until the machine oopses or hangs, some minutes; then faults of the same seed in the same functions of the same driver in a process below a keeper, which survives all of
# them. Prints TAP. Wants linux:nvme to be built, and the rig's kernel.
set -u
cd "$(dirname "$0")/../.." || exit
faults=40 seed=1 only='nvme_prep_rq*'

# ---- in the machine ---------------------------------------------------------------------------------

use() # MODULE: load, write, read, compare, unload. Waits have an end, so that a fault which is only an error is one.
{
	local code=0
	insmod "$1" || return
	for ((i = 0; i < 50; i++)); do
		[ ! -b /dev/nvme0n1 ] || break
		sleep 0.1
	done
	timeout 20 dd if=/run/random of=/dev/nvme0n1 bs=64k oflag=direct status=none &&
		timeout 20 dd if=/dev/nvme0n1 bs=64k count=16 iflag=direct status=none | cmp - /run/random || code=1
	timeout 20 rmmod nvme || code=1
	return $code
}

if [ "${1:-}" = --inside ]; then
	echo 1 >/proc/sys/kernel/panic_on_oops
	head -c 1M /dev/urandom >/run/random
	modprobe nvme-core
	for module in "$2"/*.ko; do
		echo "begins $(basename "$module" .ko)"
		sync
		if use "$module" >/run/said 2>&1; then how=good; else how=bad; fi
		echo "ends $(basename "$module" .ko) $how"
	done
	exit 0
fi

# ---- on this machine --------------------------------------------------------------------------------

build=$(readlink -f "${1:-build}") kernel=${2:-6.12}
. tests/linux/object.sh
object_of nvme block "$kernel"
. tests/checks.sh
victim=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}/objects/linux-$object-$kernel.so
mutate=$build/tests/campaign/mutate
[ -x "$mutate" ] || {
	echo '1..0 # SKIP tests/campaign/mutate is not built: it wants libcapstone-dev'
	exit 0
}
rig/kernels "$kernel" >"$dir/log" 2>&1 || sed 's/^/# /' "$dir/log"
module=$(find "${OUTBOARD_RIG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/rig}/$kernel/lib/modules" -name 'nvme.ko*' | head -n 1)
modules=$dir/modules
mkdir -p "$modules"
case $module in
*.xz) xz -dc "$module" >"$modules/000.ko" ;;
*) cp "$module" "$modules/000.ko" ;;
esac
for ((i = 1; i <= faults; i++)); do
	"$mutate" --only "$only" --seed $seed --number $i "$modules/000.ko" "$modules/$(printf %03u $i).ko" >>"$dir/mutants"
done
code=0
rig/vm --kernel "$kernel" --timeout 400 --device nvme,empty=16M -- bash tests/campaign/kernel_faults.sh --inside "$modules" \
	>"$dir/said" 2>"$dir/errors" || code=$?
sed 's/^/# /' "$dir/said"
reasons()
{
	tail -n 20 "$dir/errors" "$dir/check" | cut -c 1-200
}
check 'without a fault the driver in the kernel works' grep -q '^ends 000 good' "$dir/said"
# 120: a bug in its log; 121: it ended; 124: it hung.
check "a fault in the driver in the kernel takes the machine with it (rig/vm ended with $code)" [ $code -ge 120 ]
last=$(tail -n 1 "$dir/said" | sed 's/.* \([0-9]*\).*/\1/')
grep -P "^$((10#${last:-0}))\t" "$dir/mutants" | sed 's/^/# it was /'
rm -rf "$modules"

survive()
{
	tests/campaign/faults.sh --build "$build" --victim "$victim" --only "$only" --seed $seed --count $faults --shards 2 --json "$dir/json" \
		--policy on-failure,limit=100,within=1,backoff=0,heartbeat=1000,start=20000 >"$dir/table" 2>&1
	cat "$dir/table"
	jq -e '.rows.all | .reached > 5 and .ended == 0' "$dir/json"
}
check 'the same driver in a process below a keeper: the instance survives them all' survive
grep '^all\|^class' "$dir/table" | sed 's/^/# /'
rm -rf "$dir"
finish_checks
