#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk as /dev/ublkbN is a disk to all who use one: file systems, partitions, stacked devices, direct I/O and page cache,
# discard and zeroing, flush and FUA, errors; with as few copies and system calls as promised.
#
# rig-kernels: 6.12 7.2
# rig-modprobe: ublk_drv dm_mod xfs
# rig-options: --memory 2G
# rig-allow-log: I/O error, dev ublkb|Buffer I/O error on dev ublkb|critical (medium|target) error, dev ublkb
# rig-timeout: 600
set -u
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

# ---- what the kernel sees ------------------------------------------------------------------

check 'it is there' serve 384 ublk,queues=2
looks_right()
{
	attribute size 786432 && attribute queue/logical_block_size 512 && attribute queue/write_cache 'write back' &&
		attribute queue/fua 1 && attribute ro 0 && attribute queue/max_hw_sectors_kb 128 &&
		attribute queue/rotational 0 && attribute queue/discard_granularity 512
}
check 'size, blocks, cache and longest request are the disk'\''s' looks_right
# No more than there are processors.
check 'queues' eval '[ "$(ls -d "/sys/block/${NAME#/dev/}/mq"/* | wc -l)" = 1 ]'
check 'no scheduler between' grep -q '\[none\]' "/sys/block/${NAME#/dev/}/queue/scheduler"

# ---- data ----------------------------------------------------------------------------------

mixed_caches()
{
	head -c 1M /dev/urandom >"$dir/a"
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct conv=notrunc status=none && same &&
		head -c 1M /dev/urandom >"$dir/a" &&
		soon dd if="$dir/a" of="$NAME" bs=64k conv=notrunc,fsync status=none && same iflag=direct
}
check 'direct I/O and page cache see each other' mixed_caches
zeroes()
{
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct status=none &&
		soon blkdiscard -z -o 65536 -l 131072 "$NAME" &&
		soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
		cmp -n 65536 "$dir/a" "$dir/b" && cmp -n 131072 -i 65536:0 "$dir/b" /dev/zero &&
		cmp -i 196608 "$dir/a" "$dir/b" && [ "$(stat_of zeroes)" -gt 0 ]
}
check 'zeroing a range zeroes that range' zeroes
discards()
{
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct status=none &&
		soon blkdiscard -f -o 65536 -l 131072 "$NAME" &&
		soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
		cmp -n 65536 "$dir/a" "$dir/b" && ! cmp -s -n 131072 -i 65536 "$dir/a" "$dir/b" &&
		cmp -i 196608 "$dir/a" "$dir/b" && [ "$(stat_of discards)" -gt 0 ]
}
check 'discarding a range discards that range, and nothing else' discards
check 'fio verifies direct I/O at depth 32' load --rw=randrw --direct=1 --ioengine=libaio
check 'fio verifies through the page cache' load --rw=randrw --ioengine=psync --fsync=64
check 'fio verifies requests longer than the device takes at once' load --rw=randwrite --bs=4k-512k --direct=1 \
	--ioengine=libaio
check 'no payload was copied by us, none lay outside of the arena' \
	eval '[ "$(stat_of own_copies)" = 0 ] && [ "$(stat_of outside)" = 0 ]'

# ---- what it costs --------------------------------------------------------------------------

cost()
{
	local calls copies requests
	calls=$(stat_of syscalls) copies=$(stat_of kernel_copies) requests=$(stat_of out)
	soon fio --name=cost --filename="$NAME" --size=64M --io_size=32M --bs=4k --iodepth=32 --rw=randread --direct=1 \
		--ioengine=libaio >"$dir/fio" || return
	calls=$(($(stat_of syscalls) - calls)) copies=$(($(stat_of kernel_copies) - copies))
	requests=$(($(stat_of out) - requests))
	echo "$requests requests, $calls system calls, $copies copies"
	[ "$requests" -ge 8192 ] && [ "$copies" = "$requests" ] && [ $((calls * 4)) -lt "$requests" ]
}
# On a machine that has nothing else to do it is one for more than ten; on any, requests share calls.
check 'at depth 32 requests share system calls, and have one copy each' cost
sed 's/^/# /' "$dir/check"

# ---- file systems, partitions, stacking -------------------------------------------------------

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
cp -a attach "$dir/files"
check 'ext4: made, filled, unmounted, mounted again, the same' file_system ext4 "$NAME"
check 'ext4: checked' soon fsck.ext4 -fn "$NAME"
check 'xfs: made, filled, unmounted, mounted again, the same' file_system xfs "$NAME"
check 'xfs: checked' soon xfs_repair -n "$NAME"
partitions()
{
	soon wipefs -aq "$NAME" && printf 'label: gpt\n2048,131072\n,,\n' | soon sfdisk -q "$NAME" &&
		wait_for [ -b "${NAME}p2" ] && file_system ext4 "${NAME}p2"
}
check 'a partition table is written, and a partition used' partitions
stacked()
{
	local half=262144 ret
	soon dd if=/dev/zero of="$NAME" bs=1M count=1 oflag=direct status=none && soon blockdev --rereadpt "$NAME" &&
		printf '0 %s linear %s 2048\n%s %s linear %s 400000\n' $half "$NAME" $half $half "$NAME" |
		DM_DISABLE_UDEV=1 soon dmsetup create stacked || return
	file_system ext4 /dev/mapper/stacked
	ret=$?
	DM_DISABLE_UDEV=1 soon dmsetup remove stacked
	return $ret
}
if command -v dmsetup >/dev/null; then
	check 'logical volumes are made of it, and used' stacked
else
	skip 'logical volumes are made of it, and used' 'no dmsetup'
fi

# ---- who holds it -----------------------------------------------------------------------------

check 'a file system is made for what follows' eval 'soon mkfs.ext4 -q -F "$NAME" && soon mount "$NAME" "$mnt"'
check 'stopping while it is mounted is refused, and names the mount' eval 'stop | grep -q "mounted on $mnt"'
check 'it is used as before' eval 'echo text >"$mnt/file" && soon sync -f "$mnt"'
check 'unmounted, it stops' eval 'soon umount "$mnt" && stop'
check 'nothing is left' wait_for nothing_left

# ---- flush and FUA ------------------------------------------------------------------------------

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
for options in stable stable,nofua; do
	check "what was flushed survives a power cut ($options)" eval "serve 16,$options ublk && survives"
	check "what was written through survives one, too ($options)" survives_at_once
	check "stopped ($options)" stop
done
nothing_to_flush()
{
	attribute queue/write_cache 'write through' &&
		soon dd if="$dir/a" of="$NAME" bs=4k oflag=direct conv=fsync status=none && [ "$(stat_of flushes)" = 0 ]
}
check 'a disk without a cache is not asked to flush' eval 'serve 16,nocache ublk && nothing_to_flush'
check 'stopped (without a cache)' stop

# ---- other disks ----------------------------------------------------------------------------------

large_blocks()
{
	serve 64,bs=4096 ublk && attribute queue/logical_block_size 4096 && file_system ext4 "$NAME" &&
		load --rw=randrw --direct=1 --ioengine=libaio && stop
}
check 'blocks of 4096 bytes' large_blocks
read_only()
{
	serve 16,ro ublk && attribute ro 1 && soon dd if="$NAME" of=/dev/null bs=1M count=4 status=none &&
		! soon dd if=/dev/zero of="$NAME" bs=4k count=1 oflag=direct status=none && stop
}
check 'a read-only disk is read, and not written' read_only
poor()
{
	serve 64,nodiscard,nozeroes ublk && attribute queue/discard_max_bytes 0 &&
		! soon blkdiscard -f "$NAME" && soon blkdiscard -z -l 1048576 "$NAME" &&
		cmp -n 1048576 "$NAME" /dev/zero && stop
}
check 'a disk that cannot discard or zero says so, and is zeroed by writing' poor
disorderly()
{
	serve 64,shuffle ublk,queues=2,depth=16 && load --rw=randrw --direct=1 --ioengine=libaio && stop
}
check 'requests that end in another order' disorderly
for mode in poll interrupt; do
	check "served by a loop in mode $mode" eval "SERVE_MODE=$mode serve 64 ublk &&
		load --rw=randrw --direct=1 --ioengine=libaio && stop"
done

# ---- errors -----------------------------------------------------------------------------------------

errors()
{
	serve 16 ublk && tell fail 1048576 1052672 5 &&
		! soon dd if="$NAME" of=/dev/null bs=4k skip=256 count=1 iflag=direct status=none &&
		soon dd if="$NAME" of=/dev/null bs=4k skip=257 count=64 iflag=direct status=none &&
		! soon dd if=/dev/zero of="$NAME" bs=4k seek=256 count=1 oflag=direct status=none &&
		tell fail 0 0 0 && soon dd if="$NAME" of=/dev/null bs=4k skip=256 count=1 iflag=direct status=none
}
check 'an error of the device is an error of that request alone' errors
check 'a bad medium is told from other errors' eval 'tell fail 4096 8192 84 &&
	! soon dd if="$NAME" of=/dev/null bs=4k skip=1 count=1 iflag=direct status=none; tell fail 0 0 0
	dmesg | tail -n 5 | grep -q "critical medium error, dev ${NAME#/dev/}"'
check 'stopped (errors)' stop

refused() # WORDS ATTACHMENT
{
	! serve 16 "$2" && grep -q "$1" "$dir/out"
}
check 'too many queues are refused' refused 'queues' ublk,queues=99
check 'more requests than memory are refused' refused 'memory=' ublk,depth=4096,memory=8M
check 'recovery of what is not there is refused' refused 'there is no /dev/ublkb7' ublk,id=7,recover
check 'a number that is taken is refused' eval 'serve 16 ublk,id=5 && [ "$NAME" = /dev/ublkb5 ] && first=$server &&
	cp "$dir/out" "$dir/first" && exec 5>&4 && ! serve 32 ublk,id=5 && grep -q "ublkc5 already" "$dir/out" &&
	echo stop >&5 && exec 5>&- && wait_for gone $first; wait $first; server='
check 'nothing is left at the end' wait_for nothing_left
finish
