#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The fault campaign: its table adds up, it is gone on with where it was ended, the same seed makes the same faults, and without a keeper the
# first of them that counts is the end. Arguments: source folder, build folder, sanitizers.
set -u
here=$1 build=$2
case $3 in
*address*)
	echo "1..0 # SKIP the objects are those without sanitizers"
	exit 0
	;;
esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
ok() # WHETHER NAME
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
# Heartbeats are slow here: on a machine so busy that QEMU does not get to answer, a driver looks as if it hung.
campaign() # FOLDER OPTION...
{
	local to=$1
	shift
	"$here/faults.sh" --build "$build" --dir "$to" --seed 7 --shards 2 --json "$dir/json" "$@" >"$dir/table" 2>&1
	local code=$?
	sed 's/^/# /' "$dir/table"
	return $code
}
patient=on-failure,limit=100,within=1,backoff=0,heartbeat=1000,start=5000

echo "1..10"
campaign "$dir/a" --count 60 --policy $patient
ok $? "60 faults, one after the other"
jq -e '.rows.all | .injected + .refused == 60 and .reached > 5 and .recovered > 2 and .ended == 0 and
	.reached <= .unnoticed + .recovered + .client + .late + .wrong + .lost + .spurious and
	.exit + .signal + .heartbeat + .start + .error + .age + .iommu >= .recovered' "$dir/json" >/dev/null
ok $? "the table adds up"
campaign "$dir/a" --count 90 --policy $patient && jq -e '.rows.all | .injected + .refused == 90' "$dir/json" >/dev/null
ok $? "it is gone on with"
[ "$(cat "$dir"/a/results-* | cut -d' ' -f1 | sort -n | uniq | wc -l)" = 90 ]
ok $? "none of them twice"
campaign "$dir/b" --count 30 --policy $patient
# What was placed, not what came of it.
[ "$(cat "$dir"/a/results-* | sort -n | head -n 30 | cut -d' ' -f1-4,8-)" = "$(cat "$dir"/b/results-* | sort -n | cut -d' ' -f1-4,8-)" ]
ok $? "the same seed makes the same faults"
campaign "$dir/c" --count 60 --policy never
jq -e '.rows.all | .ended > 2 and .recovered == 0' "$dir/json" >/dev/null
ok $? "a control: without a keeper that restarts, an instance ends with the first driver that dies"

# Faults in what builds a disk's commands: nothing outside of the driver can tell a wrong one from a right one, but what is there afterwards.
wrong='.rows.all | .wrong + .lost'
campaign "$dir/d" --count 90 --policy $patient --only build_any
jq -e "$wrong > 2" "$dir/json" >/dev/null
ok $? "a control: data are lost by wrong commands"
campaign "$dir/e" --count 90 --policy $patient --only build_any --verify
jq -e "$wrong == 0 and .data > 2 and .ended == 0" "$dir/json" >/dev/null
ok $? "none are where they are verified"

# A network card: frames may be lost. A datagram that came back is what was sent.
campaign "$dir/f" --count 60 --policy $patient --device e1000
jq -e "$wrong == 0 and .reached > 5 and .recovered > 2 and .ended == 0" "$dir/json" >/dev/null
ok $? "a network card: datagrams are lost, none is wrong, and the interface comes back"
campaign "$dir/g" --count 60 --policy $patient --device e1000 --spoil 200
jq -e "$wrong > 2" "$dir/json" >/dev/null
ok $? "a control: wrong datagrams with a right checksum are seen"
