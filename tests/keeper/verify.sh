#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# verify.sh OUTBOARD KILLS: `outboard run --verify`. The driver here is right, and the disk is changed behind its back: what is read is not what was
# written, as with a driver that writes elsewhere (tests/campaign/faults_test.sh has those).
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
kills=$2
disk=$dir/disk
truncate -s 16M "$disk"

verified() # JQ: true of what show tells of disk 0 ("v") and the keeper ("k")
{
	"$outboard" show "$pid" --json >"$dir/state" 2>/dev/null &&
		python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); v = s["devices"][0]["disks"][0]["verified"]; k = s["keeper"]; sys.exit(not eval(sys.argv[2]))' \
			"$dir/state" "$1"
}

io() # COMMAND...: of qemu-io, by clients that connect anew
{
	local c=()
	for command; do c+=(-c "$command"); done
	soon qemu-io -f raw "${c[@]}" "$uri"
}

reasons()
{
	cat "$dir/check"
	grep -v 'signal 9' "$dir/run" | tail -n 8
}

spoil() # OFFSET BYTES
{
	head -c "$2" /dev/zero | tr '\0' 'x' | dd of="$disk" bs=512 seek=$(($1 / 512)) conv=notrunc status=none
}

ob run qemu:nvme,null=1M --verify-log 1M
expect 'a log of what is not verified' 2 "'--verify-log' goes with --verify"
ob run qemu:nvme,null=1M --verify --verify-log much
expect 'a size that is none' 2 much

if serve run run "qemu:nvme,file=$disk" --attach nbd --verify --verify-log 1M --restart on-failure,limit=0,backoff=0,heartbeat=5000; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check 'it serves' io 'write -P 7 0 3M' 'write -P 7 3M 1M' 'write -z 64k 64k' 'read -P 7 0 64k' 'read -P 0 64k 64k' 'flush'
	check 'show tells what was compared' verified 'v["written_blocks"] == 8192 + 128 and v["wrong"] == 0 and k["deaths"] == 0'
	# The last MiB of the four is kept, but for what zeroes took the place of.
	spoil $((3900 << 10)) 512
	check 'a block is spoilt, and what was written is read' wait_for io 'read -P 7 3M 1M'
	check 'a process was ended for it, and the block was repaired' verified 'k["deaths_by"]["wrong-data"] == k["deaths"] == 1 and v["repaired_blocks"] == 1'
	check 'the reason is told' grep -q 'died: its driver was wrong: disk nvme0n1: block 7800' "$dir/run"
	spoil $((1 << 20)) 512
	refused()
	{
		# A connection that broke is told by the same words.
		! io 'read -P 7 1M 4k' >"$dir/refused" 2>&1 && grep -q 'Input/output error' "$dir/refused" && verified 'v["lost_blocks"] == 1'
	}
	check 'of a block whose content is not kept, nothing is read, and show counts it' wait_for refused
	check 'all others are' io 'read -P 7 0 64k' 'read -P 7 3M 1M'
	check 'it can be written again' io 'write -P 8 1M 4k' 'read -P 8 1M 4k'
	check 'twenty kills while a client writes: nothing lost, no error' "$kills" --target "$uri" --keeper "$pid" --log "$dir/log" --kills 20 --offset 4194304 --seed 5
	check 'and nothing was wrong' verified 'k["deaths_by"]["signal"] == 20'
	kill -INT "$pid"
	ended
	check 'interrupted, it ends in order' [ "$status" -lt 128 ]
fi
if serve run run "qemu:nvme,file=$disk" --attach nbd --verify --one-process; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check 'one process: it serves' io 'write -P 9 0 1M' 'read -P 9 0 1M'
	spoil 4096 512
	check 'nobody follows it: the client gets an error' eval '! io "read -P 9 0 64k"'
	check 'which is told' grep -q 'block 8 was read, and is not what was written' "$dir/run"
	kill -INT "$pid"
	ended
fi
finish
