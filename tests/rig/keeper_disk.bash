# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by tests of a keeper over an NVMe disk that is claimed through VFIO and attached as a block device: its driver process is
# killed again and again under a mounted ext4 on which a client writes, also while it takes over. Nothing that was acknowledged is
# lost, nobody gets an error, fsck finds nothing. KEEPER_KILLS kills (the number given), a file system check after each KEEPER_CHECK.
. tests/checks.sh
mnt=$dir/mnt
mkdir "$mnt"

keeper=
# A small arena: its pages are made and pinned for each process anew, which an emulated processor is slow at.
start() # ARENA ATTACHMENT
{
	: >"$dir/said" # what the last one said is not this one's word
	"$OUTBOARD" run "vfio:$RIG_NVME,arena=$1" --attach "$2" --restart on-failure,limit=0,backoff=0,heartbeat=5000 >"$dir/said" 2>"$dir/err" &
	keeper=$!
	wait_for eval 'grep -q " as /dev/" "$dir/said" || gone $keeper' && NAME=$(sed -n 's/.* as \(\/dev\/[a-z0-9]*\) .*/\1/p' "$dir/said") &&
		[ -b "$NAME" ]
}

reasons()
{
	tail -n 5 "$dir/said" "$dir/err" "$dir/kills" 2>/dev/null | cut -c1-300
}

mounted()
{
	soon mount "$NAME" "$mnt" && { [ -e "$mnt/blocks" ] || soon fallocate -l 4M "$mnt/blocks"; }
}

under_kills() # KILLS OPTION...
{
	local kills=$1
	shift
	"$BUILD/tests/campaign/kills" --target "$mnt/blocks" --keeper "$keeper" --log "$dir/acknowledged" --seed 1 --kills "$kills" "$@" \
		>"$dir/kills" 2>&1
	local code=$?
	sed 's/^/# /' "$dir/kills"
	return $code
}

clean()
{
	soon umount "$mnt" && soon fsck.ext4 -fn "$NAME" >"$dir/fsck" 2>&1 || { cat "$dir/fsck"; return 1; }
}

survives() # ARENA ATTACHMENT KILLS CHECK
{
	local kills=${KEEPER_KILLS:-$3} chunk=${KEEPER_CHECK:-$4} done_
	[ "$kills" -ge "$chunk" ] || chunk=$kills
	"$OUTBOARD" bind "$RIG_NVME" >"$dir/log" 2>&1 || sed 's/^/# /' "$dir/log"
	check 'it is a block device, below a keeper' start "$1" "$2"
	check 'its driver process is in the sandbox' eval '"$OUTBOARD" show $keeper --sandbox --json | jq -e .confined'
	check 'an ext4 is made' soon mkfs.ext4 -q -F "$NAME"
	for ((done_ = 0; done_ < kills; done_ += chunk)); do
		check "mounted ($done_)" mounted
		check "$chunk kills while it writes: nothing lost, no error ($done_)" under_kills "$chunk"
		tail -n 1 "$dir/kills" | sed 's/^/# /'
		check "unmounted, fsck finds nothing ($done_)" clean
	done
	check 'mounted once more' mounted
	check 'killed, and the next two, too, while they take over: nothing lost, no error' under_kills 5 --again 2
	check 'all is read back once more' under_kills 0
	check 'unmounted, fsck finds nothing' clean
	check 'the keeper tells of it' eval '[ "$("$OUTBOARD" show $keeper --json | jq "[.. | .deaths? // empty] | add")" -ge $((kills + 15)) ]'
	check 'interrupted, it ends in order' eval 'kill -INT $keeper; wait_for gone $keeper; wait $keeper; [ $? = 0 ]'
}
