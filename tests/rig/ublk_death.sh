#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What becomes of /dev/ublkbN and its users when its server, its caretaker or its device dies: another server takes over and
# nothing is lost, or its users get errors; nobody hangs, and nothing is left.
#
# rig-kernels: 7.2
# rig-modprobe: ublk_drv
# rig-options: --memory 2G
# rig-allow-log: I/O error|lost async page write|JBD2|EXT4-fs|critical (medium|target) error
# rig-timeout: 600
set -u
. tests/rig/ublk_server.bash
disk=128,file=/dev/shm/ublk-death-disk

still_there()
{
	! gone "$client"
}

ended_well()
{
	wait_for gone "$client" && wait "$client"
}

# ---- taken over --------------------------------------------------------------------------

check 'it is there' serve $disk ublk,grace=120
# One load after another until the word is given.
loads()
{
	until [ -e "$dir/enough" ]; do
		load --rw=randrw --direct=1 --ioengine=libaio --verify_backlog=256 || return
	done
}
loads 4>&- &
client=$!
for i in 1 2 3; do
	check "the load is under way ($i)" wait_for eval '[ "$(stat_of in)" -gt 64 ]'
	kill_server
	check "killed under load, another server of the same disk takes it over ($i)" \
		eval "serve $disk ublk,grace=120 && [[ \$DETAIL == *'taken over'* ]] && [ \$NAME = /dev/ublkb0 ]"
done
touch "$dir/enough"
check 'the clients have noticed nothing: every byte is verified' ended_well

# All tags at the server when it dies: nothing is left that would tell the kernel of the death at once.
full()
{
	tell hold && { fio --name=full --filename="$NAME" --rw=randread --bs=4k --iodepth=256 --direct=1 --ioengine=libaio \
		--allow_file_create=0 --size=16M --io_size=2M >"$dir/full" 2>&1 4>&- & } && client=$! && wait_for in_flight && still_there && kill_server
}
check 'killed with as many requests as it can have' full
check 'it is taken over within seconds' eval "serve $disk ublk,id=0,recover,grace=120"
check 'the requests that it had are answered' ended_well
check 'and it stops' stop
check 'nothing is left' wait_for nothing_left

# ---- not taken over ------------------------------------------------------------------------

mounted() # ATTACHMENT
{
	serve $disk "$1" && soon mkfs.ext4 -q -F "$NAME" && soon mount "$NAME" "$mnt" && echo text >"$mnt/file" &&
		soon sync -f "$mnt"
}
gets_errors()
{
	! soon dd if=/dev/zero of="$mnt/x" bs=64k count=64 conv=fsync && ! soon sync -f "$mnt"
	soon umount "$mnt"
}
check 'mounted' mounted ublk,grace=2
kill_server
check 'killed while mounted, and nobody takes over: errors, no hang' gets_errors
check 'nothing is left (grace)' wait_for nothing_left
check 'mounted, without recovery' mounted ublk,recovery=off
kill_server
check 'killed while mounted, without recovery: errors, no hang' gets_errors
check 'nothing is left (without recovery)' wait_for nothing_left
check 'the journal is replayed, and what was synced is there' \
	eval "serve $disk ublk && soon fsck.ext4 -fy \$NAME; [ \$? -le 1 ] && soon mount \$NAME $mnt && grep -q text $mnt/file &&
		soon umount $mnt && stop"

# ---- caretaker killed, too ---------------------------------------------------------------------

check 'mounted (for the caretaker)' mounted ublk
# shellcheck disable=SC2046 # a list
kill -KILL $(caretakers)
kill_server
check 'with the caretaker killed first it is left' eval 'sleep 1; [ -e /dev/ublkb0 ]'
check 'outboard show lists it' eval '"$OUTBOARD" show | grep -q "/dev/ublkb0 .*was left by process"'
check 'and as JSON' eval '"$OUTBOARD" show --json | grep -q "\"left\":" && "$OUTBOARD" show --json | grep -q ublkb0'
check 'outboard stop refuses while it is mounted' \
	eval '"$OUTBOARD" stop ublkb0; [ $? = 4 ]'
check 'a server of another disk leaves it alone' \
	eval 'serve 16 ublk && [ "$NAME" != /dev/ublkb0 ] && [ -e /dev/ublkb0 ] && stop'
check 'a server of the same disk takes it over' eval "serve $disk ublk && [[ \$DETAIL == *'taken over'* ]]"
check 'and the file system was there all the time' eval 'grep -q text "$mnt/file" && soon umount "$mnt"'
check 'outboard stop refuses what is served' eval '"$OUTBOARD" stop ublkb0; [ $? = 4 ]'
kill -KILL $(caretakers)
kill_server
check 'outboard stop removes what is left' eval '"$OUTBOARD" stop ublkb0'
check 'nothing is left (caretaker)' wait_for nothing_left

check 'mounted (for removal by force)' mounted ublk
kill -KILL $(caretakers)
kill_server
check 'outboard stop --force removes it while it is mounted' "$OUTBOARD" stop --force /dev/ublkb0
check 'its users get errors' gets_errors
check 'nothing is left (by force)' wait_for nothing_left

# ---- other ends ----------------------------------------------------------------------------------

check 'mounted (for a device that vanishes)' mounted ublk
check 'the device vanishes: errors, no hang' eval 'tell gone && gets_errors'
check 'and it stops' stop
check 'mounted (for a forced stop)' mounted ublk
check 'a forced stop: it stops' stop force
check 'a forced stop: errors, no hang' gets_errors
check 'nothing is left (forced)' wait_for nothing_left

# At any moment of its coming: somewhere between nothing and ready.
killed_while_coming()
{
	local i
	for i in 00 02 04 06 08 10 15 20 30 50; do
		sleep 10 | "$BUILD/tests/rig/rig-serve-ram" 16 ublk,recovery=off >"$dir/out" 2>"$dir/err" &
		server=$!
		wait_for [ -e /dev/ublkc0 ] || return 1
		sleep "0.$i"
		kill -KILL "$server"
		wait "$server" 2>/dev/null
		server=
		wait_for nothing_left || return 1
	done
}
check 'killed at ten moments of its coming: nothing is left' killed_while_coming
rm -f /dev/shm/ublk-death-disk
finish
