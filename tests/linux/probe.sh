#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# probe.sh OUTBOARD DRIVER PROFILE DEVICE [KERNEL]: an unmodified driver of the Linux kernel, of whose devices QEMU has no model, takes one that is like it: a model of
# QEMU's that says to be it (qemu:piix3-ide,ids=1095:0680), whose disk it reads, or a made-up card (fuzz:igc, access/fuzz/cards.c), which comes up and
# has a link. That is all that is known of it. Skipped where neither the driver nor the profile is built.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"
driver=$2 profile=$3 device=$4 kernel=${5:-6.12}
here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of "$driver" "$profile" "$kernel"

passed() # TEST...: of the self-test
{
	local name
	for name in "$@"; do
		[ "$(jq --arg name "$name" '[.tests[] | select(.name == $name) | .result] == ["passed"]' "$dir/out")" = true ] || return
	done
}

card()
{
	local time
	for time in 'first time' again; do
		OUTBOARD_LOG=info ob selftest --driver "linux:$object@$kernel" "$device" --json
		expect "$time: its self-test passes" 0
		check "$time: it is that driver that took it" grep -qE "linux: (eth0: )?$driver " "$dir/err"
		check "$time: it is up, and has a link" passed up link
	done
	seen=(probe up link down remove again)
}

disk()
{
	truncate -s 96M "$dir/disk.img"
	OUTBOARD_LOG=info ob selftest --driver "linux:$object@$kernel" "$device,file=$dir/disk.img"
	check 'it is that driver that took it' grep -q "linux: scsi host0: $driver" "$dir/err"
	expect_out 'its self-test passes, and it reads the disk' 0 'read sda' passed
	seen=(probe selftest read)
}

case $device in
fuzz:*) card ;;
*) disk ;;
esac
[ $failed -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object "$here/linux/record" "$driver" "$kernel" "$device" "${seen[@]}"
finish
