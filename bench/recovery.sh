#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# recovery.sh [--build FOLDER] [--kills N] [--spec SPEC] [--attach ATTACHMENT] [--driver DRIVER.so] [--parts no] [--json FILE] [--run "OPTIONS"]
#
# How long a disk's client waits when its driver process dies: N kills (200), one after the other, each from death to the answer of the first request, with
# the parts of that time (recovery.c), for which the sandbox is off; with --parts no as it is used. SPEC is qemu:nvme,null=64M by default, ATTACHMENT nbd; in the rig e.g. vfio:$RIG_NVME and ublk. OPTIONS are further
# ones of `outboard run`. A table, and with --json a document.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build kills=200 spec=qemu:nvme,null=64M attach=nbd driver='' json='' options='' parts=yes
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2 ;;
	--kills) kills=$2 ;;
	--spec) spec=$2 ;;
	--attach) attach=$2 ;;
	--driver) driver=$2 ;;
	--parts) parts=$2 ;;
	--json) json=$2 ;;
	--run) options=$2 ;;
	--help) sed -n '4,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "recovery.sh: unknown option '$1'" >&2; exit 2 ;;
	esac
	shift 2
done
bench=$build/bench/outboard-bench-recovery faulty=$build/tests/campaign/faulty.so
driver=$(readlink -f "${driver:-$build/tests/campaign/nvme.so}")
for file in "$bench" "$faulty" "$driver"; do
	[ -e "$file" ] || { echo "recovery.sh: there is no $file; ninja -C $build builds it (and wants libcapstone-dev and libnbd-dev)" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# The seat (tests/campaign/seat.h): its first member is the driver's name.
truncate -s 4096 "$dir/seat"
printf '%s' "$driver" | dd of="$dir/seat" conv=notrunc status=none
if [ "$parts" = yes ]; then
	export OUTBOARD_CAMPAIGN_SEAT=$dir/seat
	options="--driver $faulty --sandbox off $options"
fi
# In the instance's shell: COMMAND's environment.
# shellcheck disable=SC2016
client='exec "$0" "${OUTBOARD_URI:-$OUTBOARD_DEV}" "$OUTBOARD_PID" "$1"'
# shellcheck disable=SC2086 # options
"$build/cli/outboard" run -q "$spec" --attach "$attach" --restart on-failure,limit=0,backoff=0,heartbeat=5000 $options -- \
	sh -c "$client" "$bench" "$kills" >"$dir/json" 2>"$dir/said" || {
	tail -n 5 "$dir/said" >&2
	exit 1
}
jq -r 'to_entries[] | select(.key | endswith("_ms")) | [.key[:-3], .value.p50, .value.p90, .value.p99, .value.max] | @tsv' "$dir/json" |
	awk -F '\t' -v what="$spec by $attach, $kills deaths" 'BEGIN { print what; printf "%-20s %9s %9s %9s %9s\n", "ms", "p50", "p90", "p99", "max" }
		{ printf "%-20s %9.2f %9.2f %9.2f %9.2f\n", $1, $2, $3, $4, $5 }'
[ -z "$json" ] || jq -c --arg spec "$spec" --arg attach "$attach" '. + {spec: $spec, attach: $attach}' "$dir/json" >"$json"
