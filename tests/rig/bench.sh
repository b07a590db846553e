#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every experiment of `outboard bench` goes through its smallest step, and what it says has the right form: samples of all of its sides, or why
# not. Nothing is said of how fast anything is.
#
# rig-where: host
# rig-timeout: 3600
set -u
# shellcheck source=tests/checks.sh
. tests/checks.sh
trap 'rm -rf "$dir"' EXIT

# Each side has samples, or said why it has none; each sample belongs to a side.
whole() # NAME
{
	python3 - "$dir/results/$1.json" <<'P'
import json, sys
document = json.load(open(sys.argv[1]))
sides = set(document["experiment"]["sides"])
measured = {sample["side"] for sample in document["samples"]}
if "" in document["skipped"]:
    sys.exit(0)
missing = sides - measured - set(document["skipped"])
unknown = measured - sides
for what, names in (("no sample of", missing), ("not in the head:", unknown)):
    if names:
        print(what, ", ".join(sorted(names)))
sys.exit(bool(missing or unknown))
P
}

names=$("$OUTBOARD" bench list --json | jq -r '.experiments[].name')
for name in $names; do
	check "$name runs" "$OUTBOARD" bench run "$name" --smoke --results "$dir/results" --build "$BUILD"
	check "$name: all of its sides" whole "$name"
	why=$(jq -r '.skipped | to_entries[] | "\(.key): \(.value)"' "$dir/results/$name.json" 2>/dev/null)
	[ -z "$why" ] || echo "$why" | sed 's/^/# left out: /'
done
check 'a page of them' "$OUTBOARD" bench report "$dir/results"
check 'compared with themselves nothing differs' "$OUTBOARD" bench compare "$dir/results" "$dir/results"
# An end in the middle leaves what there was and nothing running.
"$OUTBOARD" bench run disk-sizes --smoke --results "$dir/ended" --build "$BUILD" >"$dir/out" 2>&1 &
pid=$!
soon sh -c 'until [ -e "$1" ]; do sleep 0.1; done; sleep 2' - "$dir/ended/machine.json"
kill -INT $pid
wait $pid
status=$?
check 'an interrupt ends it' [ $status = 130 ]
finish_checks
