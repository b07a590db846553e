# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by the tests of attachments that make a block device (ublk, vduse-blk, nbd-kernel): what holds for each of them. The test
# sets kind (the attachment). For use_it it also sets zeroes_counter (what a request to zero counts as), thorough (a pattern
# of kernels' releases; on others a part of the checks has to do), and defines nothing_left.
. tests/rig/ublk_server.bash

attribute() # NAME VALUE
{
	local value
	value=$(cat "/sys/block/${NAME#/dev/}/$1")
	[ "$value" = "$2" ] || {
		echo "$1 is $value"
		return 1
	}
}

same() # at two places of a file and the disk, both ways of looking
{
	soon dd if="$NAME" of="$dir/b" bs=64k count=16 status=none "$@" && cmp "$dir/a" "$dir/b"
}

mixed_caches()
{
	head -c 1M /dev/urandom >"$dir/a"
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct conv=notrunc status=none && same &&
		head -c 1M /dev/urandom >"$dir/a" &&
		soon dd if="$dir/a" of="$NAME" bs=64k conv=notrunc,fsync status=none && same iflag=direct
}

range() # OPTION OF blkdiscard, COUNTER
{
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct status=none &&
		soon blkdiscard -f $1 -o 65536 -l 131072 "$NAME" &&
		soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
		cmp -n 65536 "$dir/a" "$dir/b" && ! cmp -s -n 131072 -i 65536 "$dir/a" "$dir/b" &&
		cmp -i 196608 "$dir/a" "$dir/b" && [ "$(stat_of "$2")" -gt 0 ] &&
		{ [ "$1" != -z ] || cmp -n 131072 -i 65536:0 "$dir/b" /dev/zero; }
}

file_system() # TYPE DEVICE
{
	local options=-F ret
	[ "$1" = ext4 ] || options=-f
	soon mkfs."$1" -q $options "$2" && soon mount "$2" "$mnt" || return
	soon cp -a "$dir/files" "$mnt" && soon sync -f "$mnt" && soon umount "$mnt" && soon mount "$2" "$mnt" &&
		diff -r "$dir/files" "$mnt/files"
	ret=$?
	soon umount "$mnt" && return $ret
}

partitions()
{
	soon wipefs -aq "$NAME" && printf 'label: gpt\n2048,131072\n,,\n' | soon sfdisk -q "$NAME" &&
		wait_for [ -b "${NAME}$1" ] && file_system ext4 "${NAME}$1"
}

# "cut": what would be there after a power cut now. Of what was written and not flushed it is nothing.
survives()
{
	head -c 256K /dev/urandom >"$dir/a"
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct status=none && tell cut "$dir/cut" &&
		! cmp -s -n 262144 "$dir/a" "$dir/cut" &&
		soon dd if=/dev/null of="$NAME" conv=notrunc,fsync status=none && tell cut "$dir/cut" &&
		cmp -n 262144 "$dir/a" "$dir/cut"
}

survives_at_once()
{
	head -c 4K /dev/urandom >"$dir/a"
	soon dd if="$dir/a" of="$NAME" bs=4k oflag=direct,dsync status=none && tell cut "$dir/cut" &&
		cmp -n 4096 "$dir/a" "$dir/cut"
}

large_blocks()
{
	serve 64,bs=4096 "$kind" && attribute queue/logical_block_size 4096 && file_system ext4 "$NAME" &&
		load --rw=randrw --direct=1 --ioengine=libaio && stop
}

read_only()
{
	serve 16,ro "$kind" && attribute ro 1 && soon dd if="$NAME" of=/dev/null bs=1M count=4 status=none &&
		! soon dd if=/dev/zero of="$NAME" bs=4k count=1 oflag=direct status=none && stop
}

poor()
{
	serve 64,nodiscard,nozeroes "$kind" && [ "$(stat_of zeroes)" = 0 ] && attribute queue/discard_max_bytes 0 &&
		! soon blkdiscard -f "$NAME" && soon blkdiscard -z -l 1048576 "$NAME" &&
		cmp -n 1048576 "$NAME" /dev/zero && [ "$(stat_of zeroes)" = 0 ] && stop
}

errors()
{
	serve 16 "$kind" && tell fail 1048576 1052672 5 &&
		! soon dd if="$NAME" of=/dev/null bs=4k skip=256 count=1 iflag=direct status=none &&
		soon dd if="$NAME" of=/dev/null bs=4k skip=257 count=64 iflag=direct status=none &&
		! soon dd if=/dev/zero of="$NAME" bs=4k seek=256 count=1 oflag=direct status=none &&
		tell fail 0 0 0 && soon dd if="$NAME" of=/dev/null bs=4k skip=256 count=1 iflag=direct status=none
}

mounted() # DISK OPTIONS
{
	serve "$1" "$kind$2" && soon mkfs.ext4 -q -F "$NAME" && soon mount "$NAME" "$mnt" && echo text >"$mnt/file" &&
		soon sync -f "$mnt"
}

gets_errors()
{
	! soon dd if=/dev/zero of="$mnt/x" bs=64k count=64 conv=fsync && ! soon sync -f "$mnt"
	soon umount "$mnt"
}

# ---- the checks ----------------------------------------------------------------------------

cp -a attach "$dir/files"

# shellcheck disable=SC2254 # a pattern
is_thorough()
{
	case $(uname -r) in $thorough) ;; *) false ;; esac
}

use_it() # PARTITION
{
	check 'direct I/O and page cache see each other' mixed_caches
	check 'zeroing a range zeroes that range' range -z "$zeroes_counter"
	check 'discarding a range discards that range, and nothing else' range '' discards
	check 'fio verifies direct I/O at depth 32' load --rw=randrw --direct=1 --ioengine=libaio
	check 'ext4: made, filled, unmounted, mounted again, the same' file_system ext4 "$NAME"
	check 'a file system is made for what follows' eval 'soon mkfs.ext4 -q -F "$NAME" && soon mount "$NAME" "$mnt"'
	check 'stopping while it is mounted is refused, and names the mount' eval 'tell stop | grep -q "mounted on $mnt"'
	check 'it is used as before' eval 'echo text >"$mnt/file" && soon sync -f "$mnt" && soon umount "$mnt"'
	! is_thorough || use_it_thoroughly "$1"
	check 'it stops' stop
	check 'nothing is left' wait_for nothing_left
}

use_it_thoroughly() # PARTITION
{
	check 'fio verifies through the page cache' load --rw=randrw --ioengine=psync --fsync=64
	check 'fio verifies requests longer than the device takes at once' load --rw=randwrite --bs=4k-512k --direct=1 \
		--ioengine=libaio
	check 'no payload lay outside of the arena' eval '[ "$(stat_of outside)" = 0 ]'
	check 'ext4: made, used, and checked' eval 'file_system ext4 "$NAME" && soon fsck.ext4 -fn "$NAME"'
	check 'xfs: made, filled, unmounted, mounted again, the same' file_system xfs "$NAME"
	check 'xfs: checked' soon xfs_repair -n "$NAME"
	check 'a partition table is written, and a partition used' partitions "$1"
}

other_disks()
{
	check 'what was flushed survives a power cut' eval 'serve 16,stable "$kind" && survives'
	check 'what was written through survives one, too' survives_at_once
	check 'stopped' stop
	check 'blocks of 4096 bytes' large_blocks
	check 'a read-only disk is read, and not written' read_only
	check 'a disk that cannot discard or zero says so, and is zeroed by writing' poor
	check 'requests that end in another order' eval 'serve 64,shuffle "$kind" &&
		load --rw=randrw --direct=1 --ioengine=libaio && stop'
	for mode in poll interrupt; do
		check "served by a loop in mode $mode" eval "SERVE_MODE=$mode serve 64 $kind &&
			load --rw=randrw --direct=1 --ioengine=libaio && stop"
	done
	check 'an error of the device is an error of that request alone' eval 'errors && stop'
}

deaths()
{
	check 'mounted' mounted 128 ''
	kill_server
	check 'killed while mounted: errors, no hang' gets_errors
	check 'nothing is left (killed)' wait_for nothing_left
	check 'mounted (for a device that vanishes)' mounted 128 ''
	check 'the device vanishes: errors, no hang' eval 'tell gone && gets_errors'
	check 'and it stops' stop
	check 'mounted (for a forced stop)' mounted 128 ''
	check 'a forced stop: it stops' stop force
	check 'a forced stop: errors, no hang' gets_errors
	check 'nothing is left (forced)' wait_for nothing_left
	check 'it is there, with all requests at the device' full
	check 'killed with them: their clients get errors' eval 'wait_for gone "$client"; ! wait "$client"'
	check 'nothing is left (full)' wait_for nothing_left
}

full()
{
	serve 64 "$kind" && tell hold && { fio --name=full --filename="$NAME" --rw=randread --bs=4k --iodepth=256 --direct=1 \
		--ioengine=libaio --allow_file_create=0 --size=16M --io_size=2M >"$dir/full" 2>&1 4>&- & } && client=$! &&
		wait_for in_flight && ! gone "$client" && kill_server
}
