#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Instructions of one streaming map and its unmap of 4 KiB by each way, counted by callgrind:
#
#   bench/dma_instructions.sh [--json FILE] [--quick] [BUILD]
#
# Counted is everything between entry and return of ob_dma_map() and ob_dma_unmap(), copies and locks
# included, and under dma=strict the messages to QEMU's IOMMU; not counted: the kernel. BUILD is a build
# directory (default build); it should be optimised (the default, -O2).
set -eu
. "$(dirname "$0")/callgrind.sh"

json='' build=build count=2000
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=$2; shift 2 ;;
	--quick) count=200; shift ;;
	--help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "dma_instructions.sh: unknown option '$1'" >&2; exit 2 ;;
	*) build=$1; shift ;;
	esac
done
callgrind_begin dma_instructions.sh "$build" dma
printf '%-14s %s\n' way 'instructions per map + unmap of 4 KiB'
list=
for way in arena arena-lazy arena-strict cached mapped bounce-out bounce-in; do
	# Collection is switched at entry and at return of both calls. Each run is "count" requests; there are
	# five, and one request before them.
	valgrind --tool=callgrind --collect-atstart=no --toggle-collect='ob_dma_map_at' \
		--toggle-collect='ob_dma_unmap_at' --callgrind-out-file="$dir/out" \
		"$bench" --way $way --size 4096 --count $count >"$dir/said" 2>"$dir/log" ||
		{ cat "$dir/log" >&2; exit 1; }
	total=$(sed -n 's/^==[0-9]*== Collected : //p' "$dir/log")
	each=$((total / (count * 5 + 1)))
	printf '%-14s %d\n' $way $each
	list="$list${list:+, }\"$way\": $each"
done
[ -z "$json" ] || printf '{"map_unmap_4k_instructions": {%s}}\n' "$list" >"$json"
