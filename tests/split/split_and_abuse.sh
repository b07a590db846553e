#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# split_and_abuse.sh DRIVER REPLIES: splits it for RIG_KERNEL, and holds it against abuse.sh. TAP, for tests of the rig.
set -u
[ -x "$BUILD/split/outboard-facts" ] || {
	echo '1..0 # SKIP this build has no libclang'
	exit
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! "$OUTBOARD" split "$1" --kernel "$RIG_KERNEL" -o "$work/split" --build >"$work/out" 2>"$work/err"; then
	tail -n 20 "$work/err" >&2
	exit 1
fi
tests/split/abuse.sh --kernel "$RIG_KERNEL" --split "$work/split" --build "$BUILD" --replies "$2" "$1"
