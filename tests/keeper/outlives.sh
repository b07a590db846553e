#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# outlives.sh OUTBOARD KILLS: disks as a FUSE file and as a loop device below a keeper: driver processes are killed under a client that
# writes, also while they take over, and under a file system. Nothing that was acknowledged is lost and nobody gets an error. Linux 6.9.
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
kills=$2
disk=$dir/disk mnt=$dir/mnt
mkdir "$mnt"
policy=on-failure,limit=0,backoff=0,heartbeat=5000

newest_first=$(printf '6.9\n%s\n' "$(uname -r | cut -d- -f1)" | sort -V | head -n 1)
if [ "$newest_first" != 6.9 ] || ! [ -w /dev/fuse ]; then
	echo "1..0 # SKIP needs FUSE of Linux 6.9"
	exit 0
fi

new_disk()
{
	rm -f "$disk" "$dir/acknowledged"
	truncate -s 64M "$disk"
}

client() # TARGET KILLS OPTION...
{
	local target=$1 n=$2
	shift 2
	timeout -k 5 300 "$kills" --target "$target" --keeper "$pid" --log "$dir/acknowledged" --kills "$n" --seed 9 "$@"
}

not_mounted()
{
	! grep -q " $mnt " /proc/mounts
}

new_disk
if serve run run "qemu:nvme,file=$disk" --attach "fuse,mountpoint=$mnt" --restart $policy; then
	check 'a file: 15 kills while a client writes: nothing lost, no error' client "$mnt/nvme0n1" 15
	check 'and 5, with the next two while they take over' client "$mnt/nvme0n1" 5 --again 2
	check 'all is read back once more' client "$mnt/nvme0n1" 0
	kill -INT "$pid"
	ended
	check 'interrupted, it ends in order' [ "$status" -lt 128 ]
	check 'and the file is gone' wait_for not_mounted
fi
if serve run run "qemu:nvme,file=$disk" --attach "fuse,mountpoint=$mnt" --restart $policy; then
	kill -KILL "$pid"
	check 'a keeper that is killed: the file is gone' wait_for not_mounted
fi

# What is under way when a process dies is what this is about: who does not ask for it again waits for ever.
new_disk
if OUTBOARD_WITHOUT_RESEND=1 serve run run "qemu:nvme,file=$disk" --attach "fuse,mountpoint=$mnt" --restart $policy; then
	client "$mnt/nvme0n1" 40 --every 0 --patience 5 >"$dir/control" 2>&1 &
	control=$!
	without()
	{
		wait_for eval '[ $(cat /proc/$pid/task/$pid/children | wc -w) -gt 0 ] && grep -q died "$dir/run"' && sleep 8 &&
			! gone $control
	}
	check 'a control: without the requests that were under way clients wait' without
	kill -KILL "$pid"
	check 'until the keeper ends' wait_for gone $control
	check 'and get errors' eval '! wait $control'
fi

if can_loop; then
	new_disk
	if serve run run "qemu:nvme,file=$disk" --attach loop --restart $policy; then
		device=$(attached run)
		check 'a loop device: 10 kills while a client writes: nothing lost, no error' client "$device" 10
		check 'and 3, with the next two while they take over' client "$device" 3 --again 2
		below_ext4()
		{
			unshare --mount --propagation private bash -c '
				soon() { timeout -k 5 180 "$@"; }
				device=$1 mnt=$2; shift 2
				soon mkfs.ext4 -q -F "$device" && soon mount "$device" "$mnt" && soon fallocate -l 4M "$mnt/blocks" && "$@" &&
					soon umount "$mnt" && soon fsck.ext4 -fn "$device"' - "$device" "$mnt" \
				"$kills" --target "$mnt/blocks" --keeper "$pid" --log "$dir/in-files" --kills 10 --seed 10
		}
		check 'ten under ext4: nothing lost, no error, fsck finds nothing' below_ext4
		kill -INT "$pid"
		ended
		check 'interrupted, it ends in order' [ "$status" -lt 128 ]
		check 'and the loop device is clear' wait_for eval '! [ -e "/sys/block/${device#/dev/}/loop/backing_file" ]'
	fi
else
	skip 'a loop device' 'needs root and loop devices'
fi
finish
