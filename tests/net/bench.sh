#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# bench.sh BENCH BUILD SOURCE [count]: the benchmark of the network path runs and writes its figures; with
# "count", a forwarded frame costs at most 127 instructions and a burst one doorbell each way (callgrind).
bench=$1 build=$2 source=$3 count=${4-}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

echo "TAP version 13"
echo "1..3"
"$bench" --rounds 1 --ms 5 --json "$dir/net.json" >"$dir/table" 2>&1
rc=$?
sed 's/^/# /' "$dir/table"
if [ $rc = 0 ] && [ "$(grep -o '"ratio":[0-9]' "$dir/net.json" | wc -l)" = 6 ]; then
	echo "ok 1 - both devices at bursts of 1, 16 and 64 against a bare loop"
else
	echo "not ok 1 - both devices at bursts of 1, 16 and 64 against a bare loop"
fi

n=2
for model in e1000e e1000-82545em; do
	what="a frame forwarded by $model costs at most 127 instructions"
	if [ -z "$count" ]; then
		echo "ok $n - $what # SKIP this build is not optimised, or has sanitizers"
	elif ! command -v valgrind >/dev/null || ! command -v callgrind_annotate >/dev/null; then
		echo "ok $n - $what # SKIP no valgrind"
	else
		"$source/bench/net_instructions.sh" --bursts 100 --model $model --json "$dir/i.json" \
			"$build" >"$dir/table" 2>"$dir/said"
		rc=$?
		sed 's/^/# /' "$dir/table"
		[ $rc = 0 ] || sed 's/^/# /' "$dir/said"
		per=$(sed -n 's/.*"instructions_per_frame":\([0-9.]*\).*/\1/p' "$dir/i.json" 2>/dev/null)
		bells=$(sed -n 's/.*"doorbells_per_frame":\([0-9.]*\).*/\1/p' "$dir/i.json" 2>/dev/null)
		if awk -v p="${per:-999}" -v b="${bells:-9}" 'BEGIN { exit !(p <= 127 && p > 30 && b <= 2 / 32) }'; then
			echo "ok $n - $what"
		else
			echo "not ok $n - $what"
		fi
	fi
	n=$((n + 1))
done
