#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# points.sh [--points PATTERN] [--actions "A B..."] [--most N] [--timeout SECONDS] [--json FILE] -- COMMAND [ARG...]
#
# Every fault point of a fixed workload, at every passing: runs COMMAND once to count them (docs/fault-injection.md), then once for
# each point that PATTERN matches (default all), each passing (at most N of each point, evenly spread) and each action (default segv), and says how often COMMAND
# succeeded all the same. COMMAND may be a keeper with a client, which is to see nothing; or a driver alone, which is to die.
set -eu
pattern='*' actions=segv most=0 limit=60 json=''
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	case $1 in
	--points) pattern=$2 ;;
	--actions) actions=$2 ;;
	--most) most=$2 ;;
	--timeout) limit=$2 ;;
	--json) json=$2 ;;
	--help) sed -n '4,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "points.sh: unknown option '$1'" >&2; exit 2 ;;
	esac
	shift 2
done
[ $# -gt 1 ] || { echo "points.sh: no command behind --" >&2; exit 2; }
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A control: without a fault it has to succeed, or nothing is said by what follows.
OUTBOARD_FAULT_POINTS=count=$dir/counts timeout "$limit" "$@" >"$dir/out" 2>&1 || {
	echo "points.sh: without a fault the command fails:" >&2
	tail -n 5 "$dir/out" >&2
	exit 1
}
[ -s "$dir/counts" ] || { echo "points.sh: the command passes no point" >&2; exit 1; }

: >"$dir/list"
sort "$dir/counts" | while read -r point n; do
	# shellcheck disable=SC2254 # it is a pattern
	case $point in
	$pattern) ;;
	*) continue ;;
	esac
	times=$n
	[ "$most" -eq 0 ] || [ "$most" -gt "$n" ] || times=$most
	for ((i = 0; i < times; i++)); do
		k=$((times > 1 ? 1 + i * (n - 1) / (times - 1) : 1))
		for action in $actions; do
			status=0
			began=$SECONDS
			OUTBOARD_FAULT_POINTS=$point=$action@$k timeout --kill-after=5 "$limit" "$@" \
				>"$dir/out" 2>&1 </dev/null || status=$?
			how=failed
			[ "$status" -ne 0 ] || how=survived
			[ $((SECONDS - began)) -lt "$limit" ] || how=late
			struck=no
			! grep -qF "outboard: fault point $point, passing $k: $action" "$dir/out" || struck=yes
			printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$point" "$n" "$k" "$action" "$struck" "$how" >>"$dir/list"
		done
	done
done 2>/dev/null # the shell's words on those that died

awk -F '\t' -v json="$json" '
	!($1 in passed) { order[++points] = $1 }
	{ passed[$1] = $2; faults[$1]++; all++ }
	$5 == "yes" { struck[$1]++; all_struck++ }
	{ how[$1, $6]++; sum[$6]++ }
	function row(name, n, f, s, a, b, c) { printf "%-28s %9s %7d %7d %9d %7d %6d\n", name, n, f, s, a, b, c }
	END {
		printf "%-28s %9s %7s %7s %9s %7s %6s\n", "point", "passings", "faults", "struck", "survived", "failed", "late"
		for (i = 1; i <= points; i++) {
			p = order[i]
			row(p, passed[p], faults[p], struck[p], how[p, "survived"], how[p, "failed"], how[p, "late"])
		}
		row("all", "", all, all_struck, sum["survived"], sum["failed"], sum["late"])
		if (json != "")
			printf "{\"campaign\":\"points\",\"points\":%d,\"faults\":%d,\"struck\":%d,\"survived\":%d,\"failed\":%d,\"late\":%d}\n",
				points, all, all_struck, sum["survived"], sum["failed"], sum["late"] >json
	}' "$dir/list"
