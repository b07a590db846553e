#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench.sh PROGRAM: outboard-bench-dma runs to its end, and its ways do to the IOMMU what they are there to
# show. Says nothing about how fast.
program=$1
. "$(dirname "$0")/../checks.sh"
trap 'rm -rf "$dir"' EXIT
out=$dir/figures

refuses() # ARGUMENT...
{
	"$program" "$@"
	[ $? -eq 2 ]
}

check 'writes JSON' bash -c '"$1" --quick --json "$2"' - "$program" "$out"
check 'each way has its figures for each size' \
	jq -e '(.map_unmap | length) == 77 and all(.map_unmap[]; .ns > 0)' "$out"
# Once in 1,024 maps a bounced region is asked for again.
check 'pooled, lazy, cached and bounced maps call no IOMMU' \
	jq -e '[.map_unmap[] | select(.policy != "strict") | .iommu_calls] | all(. < 0.3)' "$out"
check 'strict maps and unmaps each request' \
	jq -e '[.map_unmap[] | select(.policy == "strict") | .iommu_calls] | length == 28 and all(. >= 2 and . < 2.3)' "$out"
check 'reads by each way succeed' \
	jq -e '(.nvme_read_4k | length) == 15 and all(.nvme_read_4k[]; .us > 0)' "$out"
check 'a way or size that is not there is refused' \
	eval 'refuses --way none && refuses --size 5 && refuses more'
finish_checks
