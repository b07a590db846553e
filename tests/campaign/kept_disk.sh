#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kept_disk.sh BUILD [WRITES [SPEC-OPTIONS]]: a fixed workload for points.sh: a client that writes WRITES blocks (40) to an NVMe disk below a
# keeper, over NBD, and reads all back. Succeeds when nothing that was acknowledged was lost and no request failed, whatever the driver
# process died of, e.g. every fault point of it at up to three passings, by a crash and by a hang:
#
#     tests/campaign/points.sh --most 3 --actions 'segv spin' -- tests/campaign/kept_disk.sh build
set -eu
build=$1 writes=${2:-40} options=${3:-}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
truncate -s 16M "$dir/disk"
# In this shell's words: COMMAND's environment is set by the instance.
# shellcheck disable=SC2016
client='"$0" --target "$OUTBOARD_URI" --log "$1/log" --kills 0 --writes "$2" --blocks 64 --depth 2'
"$build/cli/outboard" run -q "qemu:nvme,file=$dir/disk$options" --attach nbd --restart on-failure,limit=0,backoff=0 \
	-- sh -c "$client" "$build/tests/campaign/kills" "$dir" "$writes"
