#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Instructions that Outboard spends on a forwarded frame, counted by callgrind:
#
#   bench/net_instructions.sh [--json FILE] [--quick] [--bursts N] [--burst N] [--model MODEL] [--driver NAME] [BUILD]
#
# Counted is everything between the call of ob_net_rx_burst() and the return of ob_net_tx_burst() for a burst of
# 32 frames: the driver's receive, refill, transmit and reclaim, the loop that writes a byte of each frame, and
# both doorbells with the access layer's work, which on QEMU's devices is a message (format, lock, send, and the
# replies to earlier ones). Each burst has arrived before it is counted, so no call finds nothing. Not counted:
# the kernel, the device model, statistics. MODEL is e1000e (default) or e1000-82545em; NAME a driver that is loaded, as
# linux:e1000e: then the kernel's own functions are counted, too. BUILD is a build directory (default build), which
# should be optimised (the default, -O2).
set -eu
. "$(dirname "$0")/callgrind.sh"

json='' bursts=300 burst=32 model=e1000e driver='' build=build
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=$2; shift 2 ;;
	--quick) bursts=60; shift ;;
	--bursts) bursts=$2; shift 2 ;;
	--burst) burst=$2; shift 2 ;;
	--model) model=$2; shift 2 ;;
	--driver) driver=$2; shift 2 ;;
	--help) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "net_instructions.sh: unknown option '$1'" >&2; exit 2 ;;
	*) build=$1; shift ;;
	esac
done
callgrind_begin net_instructions.sh "$build" net
callgrind_run --instructions "$bursts" --burst "$burst" --model "$model" ${driver:+--driver "$driver"}
# The program says "frames N burst N doorbells N".
set -- $(cat "$dir/said")
rings=$(awk -v frames="$2" -v rings="$6" 'BEGIN { printf "%.4f", rings / frames }')
echo "$model: $2 frames forwarded in bursts of $burst, $rings doorbells a frame"
callgrind_parts "$2" frame "$json" \
	"\"bench\":\"net_instructions\",\"device\":\"$model\",\"frames\":$2,\"burst\":$burst,\"doorbells_per_frame\":$rings"
