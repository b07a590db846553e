#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Memory for a device: map and unmap
# bench-from: Chubb 2004 (LCA) section 7.1
# bench-about: What it costs to give memory to a device and to take it back, by each of Outboard's ways (docs/dma.md), by the size of
#   the memory. Chubb's map and unmap were system calls; an arena needs none. Instructions are callgrind's, of a map and its unmap of 4 KiB.
#   The IOMMU is that of QEMU's device models, to whom a flush is a message to another process.
# bench-where: here
# bench-parameter: bytes
# bench-base: arena
# bench-side: arena: memory of the device's arena, which is mapped once: a subtraction
# bench-side: arena-lazy: the same, dma=lazy: mapped at the first use of a page, found mapped from then on
# bench-side: arena-strict: the same, dma=strict: the IOMMU maps, unmaps and flushes each time
# bench-side: cached: other memory that the IOMMU can map, mapping kept and found again
# bench-side: mapped: the same, dma=strict
# bench-side: bounce-out: any memory, copied into the arena
# bench-side: bounce-in: any memory, copied out of the arena
# bench-plot: time log-x log-y
# bench-plot: instructions log-y
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
out=$RIG_RESULTS/dma.json

ways='arena arena-lazy arena-strict cached mapped bounce-out bounce-in'
"$BUILD/bench/outboard-bench-dma" --maps-only $(by_mode '' --quick --quick) --json - >"$out" || exit 1
while read -r way bytes ns calls; do
	[[ " $ways " == *" $way "* ]] || continue
	sample "$way" 'map and unmap' "$bytes" time "$ns" ns
	sample "$way" 'map and unmap' "$bytes" "IOMMU changes" "$calls" "per map and unmap"
done < <(tr -d '",}{' <"$out" | awk '$1 == "way:" { print $2, $6, $8, $NF }')
command -v valgrind >/dev/null || { leave_out instructions 'there is no valgrind'; exit; }
"$here/../dma_instructions.sh" $(by_mode '' --quick --quick) --json "$out" "$BUILD" >/dev/null || exit 1
grep -o '"[a-z-]*": [0-9]*' "$out" | tr -d '":' | while read -r way instructions; do
	sample "$way" '4 KiB' null instructions "$instructions" 'per map and unmap'
done
