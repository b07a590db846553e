#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What a Linux driver's daily calls cost in a process, in instructions by callgrind and in nanoseconds:
#
#   bench/linux_costs.sh [--json FILE] [--kernel VERSION] [BUILD]
#
# A register access of a mapped BAR and one that is a message to QEMU, DMA map and unmap, memory, the interrupt flag, the clock, a timer that is set
# and cancelled and one that fires, a soft interrupt, a switch to another kernel thread and back with both wake-ups, an interrupt from
# the vector to its handler, and one that the device sends. The driver that measures is bench/linux_costs/costs.c; it is built
# first, which takes half a minute. BUILD is a build directory (default build).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/callgrind.sh"

json='' kernel=6.12 build=build
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=$2; shift 2 ;;
	--kernel) kernel=$2; shift 2 ;;
	--help) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "linux_costs.sh: unknown option '$1'" >&2; exit 2 ;;
	*) build=$1; shift ;;
	esac
done
callgrind_begin linux_costs.sh "$build" nvme
"$build/cli/outboard" linux build --kernel "$kernel" --module "$here/linux_costs" >&2

# The driver refuses the device when it has measured, so the exit code says nothing; what it says does.
measure() # COMMAND...
{
	OUTBOARD_LINUX_ARGS=costs.n=$n "$@" >"$dir/said" 2>&1 || true
	grep -q 'costs: interrupt_of_device ' "$dir/said" || { cat "$dir/said" >&2; echo "linux_costs.sh: not measured" >&2; exit 1; }
}

n=1000 driver=linux:linux_costs@$kernel spec=qemu:e1000e,netdev=none
measure "$build/cli/outboard" selftest --driver "$driver" "$spec"
# The last line stands again in the reason why the device was refused.
sed -n 's/.*costs: \([a-z_]*\) \([0-9]*\) ps.*/\1 \2/p' "$dir/said" | awk '!seen[$1]++' >"$dir/times"
while read -r name ps; do
	# Each in a run of its own: callgrind counts what runs between entry and return, in whichever fiber.
	measure valgrind --tool=callgrind --collect-atstart=no --toggle-collect="cost_$name" --callgrind-out-file="$dir/out" --quiet \
		"$bench" --instructions 1 --driver "$driver" --spec "$spec" </dev/null
	ir=$(sed -n 's/^\(summary\|totals\): *//p' "$dir/out" | head -n 1)
	awk -v name="$name" -v ps="$ps" -v ir="$ir" -v n=$n 'BEGIN { printf "%s %.1f %.1f\n", name, ir / n, ps / 1000 }'
done <"$dir/times" >"$dir/table"
awk 'BEGIN { printf "%-22s %12s %10s\n", "", "instructions", "ns" } { printf "%-22s %12.1f %10.1f\n", $1, $2, $3 }' "$dir/table"
[ -z "$json" ] || jq -Rn --arg kernel "$kernel" '{bench: "linux_costs", kernel: $kernel, costs: [inputs | split(" ") |
	{name: .[0], instructions: (.[1] | tonumber), ns: (.[2] | tonumber)}]}' "$dir/table" >"$json"
