#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Start-up and memory
# bench-from: none of the papers; issue 7
# bench-about: From the start of a program until the card has a link or the disk answers, and the memory that is resident then, with
#   QEMU's device models (whose own start is in it). A Linux driver brings the kernel's core with it.
# bench-where: here
# bench-kind: times
# bench-boots: 5
# bench-side: e1000e: Outboard's driver, a tap in a namespace
# bench-side: nvme: Outboard's driver, an NBD export
# bench-side: linux:e1000e: the kernel's e1000e driver, unmodified
# bench-side: linux:nvme: the kernel's nvme driver, unmodified
# bench-plot: start
# bench-plot: memory
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"

start() # SIDE SPEC ATTACHMENT [OPTION...]
{
	local side=$1 spec=$2 attachment=$3 line
	shift 3
	# Who is told that it is there looks at its parent: the instance.
	# shellcheck disable=SC2016 # the inner shell's
	line=$("$outboard" run "$spec" "$@" --attach "$attachment" --quiet -- sh -c '
		date +%s%N; echo x $PPID; ps -eo ppid=,pid=,rss=,comm=' 2>"$RIG_RESULTS/err") || { cat "$RIG_RESULTS/err" >&2; exit 1; }
	sample "$side" 'until it is there' null start "$(awk -v a="$began" -v b="${line%%$'\n'*}" 'BEGIN { printf "%.1f", (b - a) / 1e6 }')" ms
	sample "$side" 'resident' null memory "$(awk '
		# The minder started us; its parent is the instance. All of that but QEMU, the shell and what it asks.
		$1 == "x" { of = $2; next }
		NF == 4 { parent[$2] = $1; rss[$2] = $3; name[$2] = $4 }
		END {
			of = parent[of]
			for (p in parent) {
				for (q = p; q > 1 && q != of; q = parent[q])
					;
				if (q == of && name[p] !~ /^(qemu|sh$|ps$)/)
					sum += rss[p]
			}
			printf "%.1f", sum / 1024
		}' <<<"$line")" MiB
}

: >"$RIG_RESULTS/image"
truncate -s 64M "$RIG_RESULTS/image"
export_at="nbd,socket=$RIG_RESULTS/nbd"
run() # as start
{
	began=$(date +%s%N)
	start "$@"
}
run nvme "qemu:nvme,file=$RIG_RESULTS/image" "$export_at"
run e1000e qemu:e1000e,netdev=user tap,netns=new
OUTBOARD_LINUX_CACHE=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
export OUTBOARD_LINUX_CACHE
for driver in nvme e1000e; do
	if ! built $driver; then
		leave_out linux:$driver "it is not built; outboard linux build $driver"
	elif [ $driver = nvme ]; then
		run linux:nvme "qemu:nvme,file=$RIG_RESULTS/image" "$export_at" --driver linux:nvme
	else
		run linux:e1000e qemu:e1000e,netdev=user tap,netns=new --driver linux:e1000e
	fi
done
