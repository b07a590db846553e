#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A 4 KiB read at queue depth 32 costs at most 150 instructions of Outboard's own code, and a doorbell per
# burst. Arguments: source directory, build directory, optimisation level, sanitizers.
set -u
src=$1 build=$2 optimization=$3 sanitize=$4
budget=150

skip()
{
	echo "1..0 # SKIP $1"
	exit 0
}

[ "$sanitize" = none ] || skip "sanitizers add instructions of their own"
case $optimization in
0 | g | 1) skip "not optimised" ;;
esac
command -v valgrind >/dev/null || skip "no valgrind"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
echo "1..2"
"$src/bench/nvme_instructions.sh" --bursts 60 --json "$dir/json" "$build" >"$dir/out" 2>&1
sed 's/^/# /' "$dir/out"
count=$(sed -n 's/.*"instructions_per_request":\([0-9]*\).*/\1/p' "$dir/json" 2>/dev/null)
if [ -n "$count" ] && [ "$count" -gt 0 ] && [ "$count" -le $budget ]; then
	echo "ok 1 - at most $budget instructions for a read"
else
	echo "not ok 1 - at most $budget instructions for a read: ${count:-none counted}"
fi
# One for the submissions of each burst, and one of the completion queue for several.
rings=$(sed -n 's/.*"doorbells_per_burst":\([0-9]*\)\..*/\1/p' "$dir/json" 2>/dev/null)
if [ "${rings:-9}" -le 1 ]; then
	echo "ok 2 - one doorbell for a burst"
else
	echo "not ok 2 - one doorbell for a burst: ${rings:-none counted}"
fi
