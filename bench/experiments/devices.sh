#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Memory by number of devices
# bench-from: none of the papers; issue 7
# bench-about: So many disks, each with an instance and a driver process of its own behind an NBD export, at rest: memory that is theirs, where what
#   several share counts in parts (PSS), by device. QEMU's own is not in it. What a Linux driver brings along, its code, is shared; its data is not.
# bench-where: here
# bench-base: nvme
# bench-parameter: devices
# bench-boots: 3
# bench-side: nvme: Outboard's driver
# bench-side: linux:nvme: the kernel's nvme driver, unmodified
# bench-plot: memory
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
numbers=$(by_mode '1 2 4 8' '1 2 4' '1 2')

ready() # N
{
	[ "$(find "$RIG_RESULTS" -name 'ready-*' | wc -l)" -eq "$1" ]
}

# Proportional set sizes of these processes and of all that they started, in KiB.
memory_of() # PID...
{
	# shellcheck disable=SC2009 # all of their children, in one look
	ps -eo ppid=,pid=,comm= | awk -v of=" $* " '
		{ parent[$2] = $1; name[$2] = $3 }
		END {
			for (p in parent) {
				for (q = p; q > 1 && !index(of, " " q " "); q = parent[q])
					;
				if (q > 1 && name[p] !~ /^(qemu|sh$|sleep$)/)
					print p
			}
		}' | while read -r pid; do
		cat "/proc/$pid/smaps_rollup" 2>/dev/null
	done | awk '/^Pss:/ { sum += $2 } END { print sum }'
}

memory() # SIDE [OPTION...]
{
	local side=$1 n i pids
	shift
	for n in $numbers; do
		pids=()
		for i in $(seq "$n"); do
			# shellcheck disable=SC2016 # the inner shell's
			"$outboard" run qemu:nvme,null=64M "$@" --attach "nbd,socket=$RIG_RESULTS/nbd-$i" --quiet -- \
				sh -c 'echo >"$1"; exec sleep 1000' - "$RIG_RESULTS/ready-$i" 2>>"$RIG_RESULTS/err" &
			pids+=($!)
		done
		wait_for ready "$n"
		sample "$side" 'at rest' "$n" memory "$(ratio "$(memory_of "${pids[@]}")" $((n * 1024)))" 'MiB per device'
		kill "${pids[@]}"
		wait "${pids[@]}"
		rm -f "$RIG_RESULTS"/ready-*
	done
}

memory nvme
OUTBOARD_LINUX_CACHE=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if built nvme; then
	memory linux:nvme --driver linux:nvme
else
	leave_out linux:nvme 'it is not built; outboard linux build nvme'
fi
