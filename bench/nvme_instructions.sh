#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Instructions that Outboard spends on a 4 KiB read from a disk at queue depth 32, counted by callgrind:
#
#   bench/nvme_instructions.sh [--json FILE] [--quick] [--bursts N] [--depth N] [--spec SPEC] [--driver NAME] [BUILD]
#
# Counted is everything between entry and return of ob_block_submit() and ob_block_complete(): class, driver,
# and the access layer's doorbell, which on QEMU's devices is a message (format, lock, send). Not counted: the
# caller's loop, the kernel, the device model. A burst of N requests is one call of each. SPEC is another disk,
# e.g. qemu:piix3-ide,null=4G, whose driver may wait for register reads: that is counted, too, and not the same
# each time. NAME is a driver that is loaded, as linux:nvme: then the kernel's own functions are counted, too. BUILD is a build directory (default build); it should be optimised (the default, -O2).
set -eu
. "$(dirname "$0")/callgrind.sh"

json='' bursts=300 depth=32 build=build spec='' driver=''
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=$2; shift 2 ;;
	--quick) bursts=60; shift ;;
	--bursts) bursts=$2; shift 2 ;;
	--depth) depth=$2; shift 2 ;;
	--spec) spec=$2; shift 2 ;;
	--driver) driver=$2; shift 2 ;;
	--help) sed -n '3,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "nvme_instructions.sh: unknown option '$1'" >&2; exit 2 ;;
	*) build=$1; shift ;;
	esac
done
callgrind_begin nvme_instructions.sh "$build" nvme
callgrind_run --instructions "$bursts" --depth "$depth" ${spec:+--spec "$spec"} ${driver:+--driver "$driver"}
# The program says "requests N depth N submit_calls N complete_calls N doorbells N syscalls N".
set -- $(cat "$dir/said")
awk -v requests="$2" -v depth="$depth" -v bursts="$6" -v calls="$8" -v rings="${10}" -v sys="${12}" 'BEGIN {
	printf "%d requests in bursts of %d; for each burst %.2f calls of ob_block_complete and %.2f doorbells, ",
		requests, depth, calls / bursts, rings / bursts
	printf "for each request %.2f system calls\n", sys / requests }'
callgrind_parts "$2" request "$json" "$(awk -v requests="$2" -v depth="$depth" -v bursts="$6" -v rings="${10}" \
	-v sys="${12}" 'BEGIN { printf "\"bench\":\"nvme_instructions\",\"requests\":%d,\"depth\":%d,", requests, depth
	printf "\"doorbells_per_burst\":%.3f,\"syscalls_per_request\":%.3f", rings / bursts, sys / requests }')"
