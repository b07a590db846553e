#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every fault point, at each passing: a driver that nobody watches dies of each, and a command that takes no notice is told from it.
# Arguments: source folder, the program.
set -u
here=$1 outboard=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

echo "1..3"
"$here/points.sh" --actions kill --most 3 --json "$dir/json" -- "$outboard" selftest fuzz:edu >"$dir/out" 2>&1
sed 's/^/# /' "$dir/out"
if jq -e '.points > 10 and .faults > 20 and .struck == .faults and .failed == .faults and .survived == 0' "$dir/json" >/dev/null; then
	echo "ok 1 - a passing of each point can be the last"
else
	echo "not ok 1 - a passing of each point can be the last"
fi
# Somebody who goes on in spite of it: the positive control of the above.
"$here/points.sh" --points 'edu.*' --most 2 --json "$dir/json" -- sh -c "'$outboard' selftest fuzz:edu || true" >"$dir/out" 2>&1
if jq -e '.faults > 5 and .struck == .faults and .survived == .faults and .failed == 0' "$dir/json" >/dev/null; then
	echo "ok 2 - who survives is counted as such"
else
	sed 's/^/# /' "$dir/out"
	echo "not ok 2 - who survives is counted as such"
fi
if "$here/points.sh" -- false >"$dir/out" 2>&1 || "$here/points.sh" -- true >"$dir/out" 2>&1; then
	echo "not ok 3 - a command that fails by itself, or passes no point, is refused"
else
	echo "ok 3 - a command that fails by itself, or passes no point, is refused"
fi
