#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# replay.sh OUTBOARD FOLDER: what each native driver says to its device is what it said when the recording in FOLDER was made, without
# QEMU; a driver that says something else is caught, at the record where it does; recordings of today can be played. Prints TAP.
#
# replay.sh OUTBOARD FOLDER again: makes the recordings anew, for a driver that was changed on purpose.
set -u

folder=$2
. "$(dirname "$0")/../cli/tap.sh"

devices=(edu nvme,null=64M piix3-ide,null=64M e1000e,netdev=none e1000-82545em,netdev=none)

if [ "${3:-}" = again ]; then
	cd "$folder" || exit 1
	for device in "${devices[@]}"; do
		"$outboard" record "qemu:$device" "${device%%,*}.rec" || exit 1
	done
	"$outboard" char 'record[file=speaker.rec]:qemu:ports' say 440 0 || exit 1
	exit
fi

# ---- the recordings in the tree, where there is no QEMU

# A recording is small, and its test uses no model.
export OUTBOARD_QEMU=/nonexistent/qemu
for device in "${devices[@]}"; do
	name=${device%%,*}
	ob record --replay "$folder/$name.rec"
	expect_out "the driver of $name does what it did" 0 "as in the recording" " 0 failed"
done
ob char "replay:$folder/speaker.rec" say 440 0
cat "$dir/err" >>"$dir/out"
expect_out "the driver of the speaker does what it did" 0 440
check "and says so of all records" sh -c "! grep -q 'departs\|ended at' '$dir/out'"
ob char "replay:$folder/speaker.rec" say 441 0
cat "$dir/out" >>"$dir/err"
expect "another note is another divisor" "$status" \
	"expected 'write port 0x42 = 0x98 (1 byte)', came 'write port 0x42 = 0x92 (1 byte)'"

# ---- departures

ob record --replay "$folder/nvme.rec" --depth 16
expect "shallower queues: at the first memory that is smaller" 1 "departs from the recording at record" \
	"expected 'map 0x8003000 + 0x4000 (rw) nvme sq 1', came 'map 0x8003000 + 0x1000 (rw) nvme sq 1'"
ob record --replay "$folder/nvme.rec" --mode poll
expect "no interrupts: where they were enabled" 1 "expected 'interrupts on: 3 MSI-X'"
ob record --replay "$folder/e1000e.rec" --depth 64
expect "smaller rings: at their memory" 1 "+ 0x210000 (rw) net pool', came 'map "
ob record --replay "$folder/e1000e.rec" --driver edu
expect "a driver of another device is refused" 1 "edu does not drive"

# The fault wrapper stands for a driver that forgets the write behind the 100th access.
ob selftest "fault[write=1,after=100,max=1]:replay:$folder/e1000e.rec"
expect "a write that is missing: at its record" 1 "departs from the recording at record 101" \
	"expected 'write bar0+0x14 = 0xb1 (4 bytes)', came 'read bar0+0x14"
ob selftest "fault[read=1,max=1]:replay:$folder/nvme.rec"
expect "a driver that was told something else does something else" "$status" "departs from the recording at record"
# One that writes a wrong command: the next doorbell tells.
ob selftest "fault[scribble=nvme admin sq,rate=1,after=12,max=1]:replay:$folder/nvme.rec"
expect "another command in memory: before its doorbell, by its name" "$status" "memory:" "nvme admin sq+0x"

first_of()
{
	grep -o 'at record [0-9]*' "$dir/err" | head -n 1
}
ob record --replay "$folder/nvme.rec" --depth 16
here=$(first_of)
ob record --replay "$folder/nvme.rec" --depth 16
check "the same departure is at the same record" [ "$here" = "$(first_of)" ]
check "ten records are shown in front of it, and the one itself" [ "$(grep -c 'replay:qemu:nvme:  *>* *[0-9][0-9]*  ' "$dir/err")" -eq 11 ]

# ---- print

ob record --print "$folder/nvme.rec"
expect_out "a recording is shown" 0 "device qemu:nvme" "write bar0+0x1000 = 0x1 (4 bytes)" "nvme admin sq+0x0: 06" "nvme identify" \
	"memory at a look" "interrupts on: 3 MSI-X"
ob record --print "$folder/nvme.rec" --json
check "as JSON, too" jq -e '.device == "qemu:nvme" and (.records | length) > 100 and
	(.records[0].kind == "device") and (.records[-1].kind == "end")' "$dir/out"

# ---- damage

size=$(stat -c %s "$folder/nvme.rec")
refused() # FILE
{
	"$outboard" record --print "$1" >"$dir/said" 2>&1
	[ $? -eq 1 ] && grep -q 'is damaged\|is no recording\|of version' "$dir/said"
}
cut_off()
{
	local at
	for at in 0 5 11 12 19 20 100 $((size / 2)) $((size - 1)); do
		head -c "$at" "$folder/nvme.rec" >"$dir/cut.rec"
		refused "$dir/cut.rec" || { echo "cut at $at:"; cat "$dir/said"; return 1; }
	done
}
flipped()
{
	local at byte
	for at in 0 8 12 16 20 21 300 $((size / 2)) $((size - 1)); do
		cp "$folder/nvme.rec" "$dir/flip.rec"
		byte=$(od -An -tu1 -j "$at" -N 1 "$folder/nvme.rec")
		printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$dir/flip.rec" bs=1 seek="$at" conv=notrunc 2>/dev/null
		refused "$dir/flip.rec" || { echo "bit at $at:"; cat "$dir/said"; return 1; }
	done
}
check "one that is cut off is refused" cut_off
check "one with a bit turned is refused" flipped
ob selftest replay:/nonexistent.rec
expect "one that is not there" 5 "/nonexistent.rec"
ob selftest replay:/dev/zero
expect "a device's node is none" 2 "no ordinary file"

# ---- recordings of today

unset OUTBOARD_QEMU
echo precious >"$dir/note.txt"
ob record qemu:edu "$dir/note.txt"
expect "a file that is no recording is not overwritten" "$status" "no recording"
check "indeed" [ "$(cat "$dir/note.txt")" = precious ]
ob record qemu:edu
expect "a file must be named" 2 "A FILE is missing"
ob selftest record:qemu:edu
expect "for the wrapper, too" 2 "record[file=PATH]"

# Three times at most: a driver's tick reads a register each 100 ms, and on a machine so busy that a request takes that long there is
# one in the recording that time alone explains (docs/record-replay.md).
made_and_played() # SPEC OPTIONS...
{
	local spec=$1 times
	shift
	for times in 1 2 3; do
		ob record "$spec" "$dir/made.rec" "$@"
		[ "$status" -eq 0 ] || return 1
		ob record --replay "$dir/made.rec" "$@"
		[ "$status" -ne 0 ] || return 0
		show_last
	done
	return 1
}
for mode in adaptive poll interrupt; do
	check "NVMe, $mode: recorded and played" made_and_played qemu:nvme,null=64M --mode $mode
	check "e1000e, $mode: recorded and played" made_and_played qemu:e1000e,netdev=none --mode $mode
done
check "strict DMA below: recorded and played" made_and_played qemu:nvme,null=64M,dma=strict
check "no IOMMU below: recorded and played" made_and_played qemu:e1000e,netdev=none,iommu=off
truncate -s 64M "$dir/disk.img"
ob record "qemu:nvme,file=$dir/disk.img" "$dir/run.rec" -- true
if [ "$(id -u)" -eq 0 ]; then
	expect "an attached disk is recorded" 0
	ob record --print "$dir/run.rec"
	expect_out "to its end" 0 "nvme sq 1" "end"
fi
finish
