#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whatever a split driver's daemon answers or does (tests/split/abusive_daemon.c), nothing in the kernel breaks, whoever asks is answered in time, frames go on, and an
# honest daemon takes over. A short form; tests/split/abuse.sh has --replies and --seed.
#
# rig-where: host
# rig-timeout: 900
set -u
[ -x "$BUILD/split/outboard-facts" ] || {
	echo '1..0 # SKIP this build has no libclang'
	exit
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! "$OUTBOARD" split e1000 --kernel "$RIG_KERNEL" -o "$work/split" --build >"$work/out" 2>"$work/err"; then
	tail -n 20 "$work/err" >&2
	exit 1
fi
tests/split/abuse.sh --kernel "$RIG_KERNEL" --split "$work/split" --build "$BUILD" --replies 1000 e1000
