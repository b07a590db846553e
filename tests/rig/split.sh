#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# pcnet32 as a module and a daemon, made from the distribution's source without a hand edit, says what the original says to all that ethtool asks, and
# outlives its daemon.
#
# rig-where: host
# rig-timeout: 600
set -u

outboard=${OUTBOARD:-build/cli/outboard}
[ -x "${outboard%/cli/*}/split/outboard-facts" ] || {
	echo '1..0 # SKIP this build has no libclang'
	exit
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 1..1
"$outboard" split pcnet32 --kernel "$RIG_KERNEL" -o "$work/split" --run >"$work/out" 2>"$work/err"
code=$?
if [ $code -eq 0 ]; then
	echo 'ok 1 - pcnet32, split, answers as the original does'
elif [ $code -eq 5 ]; then
	echo "ok 1 - pcnet32, split, answers as the original does # SKIP $(grep -m 1 . "$work/err")"
else
	tail -n 40 "$work/err" | sed 's/^/# /'
	echo 'not ok 1 - pcnet32, split, answers as the original does'
fi
