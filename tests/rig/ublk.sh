#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk as /dev/ublkbN is a disk to all who use one: file systems, partitions, stacked devices, direct I/O and page cache,
# discard and zeroing, flush and FUA, errors; with as few copies and system calls as promised.
#
# rig-nightly-kernels: 7.2
# rig-modprobe: ublk_drv dm_mod xfs
# rig-options: --memory 2G
# rig-allow-log: I/O error, dev ublkb|Buffer I/O error on dev ublkb|critical (medium|target) error, dev ublkb
# rig-timeout: 600
set -u
. tests/rig/disk_checks.bash
kind=ublk

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

check 'direct I/O and page cache see each other' mixed_caches
check 'zeroing a range zeroes that range' range -z zeroes
check 'discarding a range discards that range, and nothing else' range '' discards
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

check 'ext4: made, filled, unmounted, mounted again, the same' file_system ext4 "$NAME"
check 'ext4: checked' soon fsck.ext4 -fn "$NAME"
check 'xfs: made, filled, unmounted, mounted again, the same' file_system xfs "$NAME"
check 'xfs: checked' soon xfs_repair -n "$NAME"
check 'a partition table is written, and a partition used' partitions p2
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

check 'blocks of 4096 bytes' large_blocks
check 'a read-only disk is read, and not written' read_only
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
