#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# faults.sh [--build FOLDER] [--dir FOLDER] [--device nvme|ide|e1000] [--victim DRIVER.so] [--only PATTERN] [--count N] [--seed S] [--shards N] [--seconds N] [--json FILE] [--policy TEXT] [--verify] [--spoil N]
#
# The fault campaign (faults.c): N faults (1,000) in a native driver below a keeper, while a client judges. FOLDER keeps what has been done,
# so that a campaign that was ended, by --seconds or by a signal, is gone on with; its default is removed at the end. DRIVER.so is another driver for that device, as an object
# of `outboard linux build`; PATTERN keeps the faults in its own functions (nvme_*). With
# --verify the instances have that option of `outboard run`; with --spoil (e1000) one of N datagrams comes back wrong. A table, and a document.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build dir='' device=nvme victim=''
pass=()
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2 ;;
	--dir) dir=$2 ;;
	--device) device=$2 ;;
	--victim) victim=$2 ;;
	--count | --seed | --shards | --seconds | --json | --policy | --only | --spoil) pass+=("$1" "$2") ;;
	--verify)
		pass+=("$1")
		shift
		continue
		;;
	--help) sed -n '4,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "faults.sh: unknown option '$1'" >&2; exit 2 ;;
	esac
	shift 2
done
bin=$build/tests/campaign
victim=${victim:-$bin/$device.so}
for file in "$bin/faults" "$bin/faulty.so" "$victim"; do
	[ -e "$file" ] || {
		echo "faults.sh: there is no $file; ninja -C $build builds it (and wants libcapstone-dev and libnbd-dev)" >&2
		exit 2
	}
done
[ -n "$dir" ] || {
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
}
mkdir -p "$dir"
"$bin/faults" --outboard "$build/cli/outboard" --faulty "$bin/faulty.so" --victim "$(readlink -f "$victim")" --device "$device" --dir "$dir" \
	--git "$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)" "${pass[@]}"
