#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# loop.sh MODEL: a real block device over a device that is driven from user space: file systems, page
# cache and direct I/O, discard, flush, who holds it, and what is left after a sudden end. Prints TAP.
set -u
model=$1

if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/loop-control ] || [ ! -e /dev/fuse ]; then
	echo "1..0 # SKIP needs root, loop devices and FUSE"
	exit 0
fi
# Mounts of the test are seen by it alone, and it sees its own processes alone.
if [ "${2:-}" != --inside ]; then
	exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		bash "$0" "$model" --inside
fi
here=$(dirname "$(readlink -f "$0")")
. "$here/tap.sh"

image=$dir/disk.img
mnt=$dir/mnt
mkdir "$mnt"
truncate -s 320M "$image"
spec=qemu:$model,file=$image

mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null

# What makes this loop device and this connection ours: others may come and go on the machine.
identify()
{
	seq=$(cat "/sys/block/${NAME#/dev/}/diskseq")
	connection=/sys/fs/fuse/connections/$(losetup -n -O BACK-MAJ:MIN "$NAME" | tr -d ' ' | sed 's/.*://')
	inode=$(stat -c %i "$connection")
}
loop_is_clear()
{
	[ ! -e "/sys/block/${NAME#/dev/}/loop/backing_file" ] ||
		[ "$(cat "/sys/block/${NAME#/dev/}/diskseq")" != "$seq" ]
}
connection_is_gone()
{
	[ "$(stat -c %i "$connection" 2>/dev/null)" != "$inode" ]
}
no_child_left()
{
	! grep -qs outboard-keeper /proc/[0-9]*/comm
}
no_qemu_left()
{
	! grep -qs ^qemu /proc/[0-9]*/comm
}
start() # ATTACHMENT...
{
	start_server "$spec" "$@" && identify
}

tree=/usr/include/linux
[ -d $tree ] || tree=/etc

fuse_mounts()
{
	grep -i 'fuse.*outboard' /proc/self/mountinfo
}
mounts_before=$(fuse_mounts) # somebody else's may be there
no_new_mount()
{
	[ "$(fuse_mounts)" = "$mounts_before" ]
}

start loop || { reasons | not_ok "a loop device of $model is ready"; finish; }
is_block_device()
{
	[ -b "$NAME" ] && [ "$(blockdev --getsize64 "$NAME")" = $((320 << 20)) ] &&
		[ "$(blockdev --getss "$NAME")" = 512 ]
}
check "it is a block device of the disk's size" is_block_device
check "no mount is to be seen" no_new_mount

files_survive() # MKFS FSCK
{
	soon $1 "$NAME" && soon mount "$NAME" "$mnt" && soon cp -a $tree "$mnt/tree" &&
		soon umount "$mnt" && soon $2 "$NAME" && soon mount "$NAME" "$mnt" &&
		diff -r $tree "$mnt/tree" && soon umount "$mnt"
}
check "ext4: a tree is copied in, checked and compared" files_survive "mkfs.ext4 -q -F" "fsck.ext4 -fn"
check "it stops when its clients have gone" stop_server
check "one copy by the kernel for each payload, none here" \
	sh -c '[ "$1" = 0 ] && [ "$2" -gt 100 ]' sh "$(stat_of own_copies)" "$(stat_of kernel_copies)"
check "flushes of the file system reached the disk" [ "$(stat_of flushes)" -gt 0 ]
check "the device is cleared" loop_is_clear
check "the FUSE connection is gone" wait_for connection_is_gone
check "the process that held it has ended" no_child_left

start loop
check "a second driver process finds the files" sh -c \
	'fsck.ext4 -fn "$1" && mount -o ro "$1" "$2" && diff -r "$3" "$2/tree" && umount "$2"' \
	sh "$NAME" "$mnt" $tree
if command -v mkfs.xfs >/dev/null && grep -qw xfs /proc/filesystems; then
	check "xfs: a tree is copied in, checked and compared" \
		files_survive "mkfs.xfs -q -f" "xfs_repair -n"
else
	skip "xfs: a tree is copied in, checked and compared" "no mkfs.xfs here"
fi

load() # OPTIONS...
{
	soon fio --name=load --filename="$NAME" --size=64M --io_size=32M --bsrange=4k-128k \
		--iodepth=32 --verify=crc32c --verify_fatal=1 --verify_state_save=0 "$@" >"$dir/fio" 2>&1 &&
		grep -q 'err= 0' "$dir/fio" || { cat "$dir/fio"; return 1; }
}
if command -v fio >/dev/null; then
	check "fio verifies direct I/O at depth 32" load --rw=randrw --direct=1 --ioengine=libaio
	check "fio verifies through the page cache" load --rw=randrw --ioengine=psync --fsync=64
else
	skip "fio verifies direct I/O at depth 32" "no fio"
	skip "fio verifies through the page cache" "no fio"
fi
mixed_caches()
{
	head -c 1M /dev/urandom >"$dir/a"
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct conv=notrunc status=none &&
		soon dd if="$NAME" of="$dir/b" bs=64k count=16 status=none && cmp "$dir/a" "$dir/b" &&
		head -c 1M /dev/urandom >"$dir/a" &&
		soon dd if="$dir/a" of="$NAME" bs=64k conv=notrunc status=none &&
		soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
		cmp "$dir/a" "$dir/b"
}
check "direct I/O and page cache see each other" mixed_caches

zeroes()
{
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct status=none &&
		soon blkdiscard -z -o 65536 -l 131072 "$NAME" &&
		soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
		cmp -n 65536 "$dir/a" "$dir/b" && cmp -n 131072 -i 65536:0 "$dir/b" /dev/zero &&
		cmp -i 196608 "$dir/a" "$dir/b"
}
check "zeroing a range zeroes that range" zeroes
discards()
{
	soon dd if="$dir/a" of="$NAME" bs=64k oflag=direct status=none
	# A disk that has nothing for it says so, and keeps its data.
	if ! soon blkdiscard -f -o 65536 -l 131072 "$NAME"; then
		[ "$model" != nvme ] &&
			soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
			cmp "$dir/a" "$dir/b"
		return
	fi
	soon dd if="$NAME" of="$dir/b" bs=64k count=16 iflag=direct status=none &&
		cmp -n 65536 "$dir/a" "$dir/b" && cmp -i 196608 "$dir/a" "$dir/b"
}
check "discarding a range touches nothing else" discards

# ---- who holds it -----------------------------------------------------------------------

check "a file system is made for what follows" soon mkfs.ext4 -q -F "$NAME"
soon mount "$NAME" "$mnt"
stop_while_mounted()
{
	local code
	stop_server
	code=$?
	# Told who, then forced by the test's server.
	[ $code = 3 ] && grep -q "$mnt" "$dir/server"
}
check "stopping while it is mounted names the mount" stop_while_mounted
check "the mounted file system gets errors, not a hang" \
	sh -c '! timeout -k 5 60 dd if=/dev/zero of="$1/x" bs=64k count=64 conv=fsync' sh "$mnt"
check "it can be unmounted" soon umount "$mnt"
check "then the device is cleared" wait_for loop_is_clear

# ---- sudden ends ------------------------------------------------------------------------

nothing_left() # of the server that was killed
{
	wait_for loop_is_clear && wait_for gone "$qemu" && wait_for connection_is_gone &&
		wait_for no_child_left
}

start loop
kill_server
check "kill -9 while idle leaves nothing" nothing_left

start loop
# Dirty pages that nobody has asked to write: the last close would have to.
soon dd if="$dir/random" of="$NAME" bs=1M count=8 status=none 2>/dev/null ||
	soon dd if=/dev/urandom of="$NAME" bs=1M count=8 status=none
soon sh -c 'head -c 4096 /dev/urandom | dd of="$1" bs=4096 conv=notrunc status=none' sh "$NAME"
kill_server
check "kill -9 with dirty pages leaves nothing" nothing_left

start loop
soon mkfs.ext4 -q -F "$NAME"
soon mount "$NAME" "$mnt"
(timeout -k 5 60 dd if=/dev/zero of="$mnt/big" bs=1M count=200 conv=fsync status=none) \
	>/dev/null 2>&1 &
client=$!
wait_for sh -c "[ -s '$mnt/big' ]"
kill_server
check "kill -9 under load: the client gets errors and ends" wait_for gone $client
wait $client 2>/dev/null
check "kill -9 under load: it can be unmounted" soon umount "$mnt"
check "kill -9 under load leaves nothing" nothing_left
start loop
check "the file system replays its journal and is whole" \
	sh -c 'fsck.ext4 -fy "$1"; [ $? -le 1 ] && fsck.ext4 -fn "$1"' sh "$NAME"

soon sh -c 'timeout 60 dd if="$1" of=/dev/null bs=64k iflag=direct status=none' sh "$NAME" \
	>/dev/null 2>&1
(timeout -k 5 60 sh -c 'while dd if="$1" of=/dev/null bs=64k iflag=direct; do :; done' sh "$NAME") \
	>/dev/null 2>&1 &
client=$!
kill -KILL "$qemu"
check "death of the device: the client gets I/O errors" wait_for gone $client
wait $client 2>/dev/null
check "death of the device: it stops all the same" stop_server
check "death of the device leaves nothing" nothing_left

# At any moment of its coming: somewhere between nothing and ready.
killed_while_coming()
{
	local i
	for i in 00 01 02 03 04 05 06 07 08 09 10 12 14 16 18 20 25 30 40 50; do
		"$ATTACH_BIN/attach-serve-block" "$spec" loop,partscan=on >"$dir/ready" 2>"$dir/server" &
		server=$!
		# From the moment it has /dev/fuse open on, so that it is the publishing that is hit.
		wait_for sh -c "ls -l /proc/$server/fd 2>/dev/null | grep -q /dev/fuse" || return 1
		sleep "0.0$i"
		kill_server
		wait_for no_child_left && wait_for no_qemu_left && wait_for no_dead_loop || return 1
	done
}
# A loop device whose server is dead can be told by its errors (or by not answering at all).
no_dead_loop()
{
	local file name
	for file in /sys/block/loop*/loop/backing_file; do
		grep -Eqs '^/(nvme|ide)' "$file" || continue
		name=${file#/sys/block/}
		name=/dev/${name%%/*}
		timeout 5 dd if="$name" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null &&
			continue
		[ ! -e "$file" ] || return 1
	done
}
check "kill -9 at twenty moments of its coming leaves nothing" killed_while_coming

# Everything at once, as a container ends: client, server and keeper, the mount namespace with them.
killed_with_its_namespace()
{
	local inner
	: >"$dir/ready"
	unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash -c '
		dir=$2
		. "$1/tap.sh"
		start_server "$3" loop && mkfs.ext4 -q -F "$NAME" && mount "$NAME" "$2/mnt" || exit 1
		dd if=/dev/zero of="$2/mnt/big" bs=1M count=200 status=none &
		while ! [ -s "$2/mnt/big" ]; do :; done
		echo busy >"$2/busy"
		sleep 60
	' bash "$here" "$dir" "$spec" >/dev/null 2>&1 &
	inner=$!
	wait_for [ -e "$dir/busy" ] || return 1
	rm -f "$dir/busy"
	read -r _ NAME <"$dir/ready"
	identify
	kill -KILL "$(cat "/proc/$inner/task/$inner/children")"
	wait $inner 2>/dev/null
	wait_for loop_is_clear && wait_for connection_is_gone && wait_for no_child_left
}
for i in 1 2 3 4 5; do
	check "killed together with its client and its namespaces, nothing is left ($i)" \
		killed_with_its_namespace
done

# ---- other shapes -----------------------------------------------------------------------

# A PC's partition table: two of 64 MiB, from sectors 2048 and 133120 (type 83h; start, length).
partition_table()
{
	head -c 446 /dev/zero
	printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\0\002\0'
	printf '\0\0\0\0\203\0\0\0\0\010\002\0\0\0\002\0'
	head -c 32 /dev/zero
	printf '\125\252'
}
partitions()
{
	partition_table | soon dd of="$NAME" bs=512 conv=fsync status=none || return 1
	stop_server && start loop,partscan=on || return 1
	local sys=/sys/block/${NAME#/dev/}/${NAME#/dev/}p
	wait_for [ -b "${NAME}p2" ] && [ "$(cat "${sys}1/start" "${sys}2/start" "${sys}2/size")" = \
		"2048
133120
131072" ] && soon mkfs.ext4 -q -F "${NAME}p2" && stop_server && wait_for loop_is_clear
}
stop_server
if [ "$model" = nvme ]; then # IDE disks cannot be
	spec=$spec,readonly
	refuses_writes()
	{
		start loop && [ "$(cat "/sys/block/${NAME#/dev/}/ro")" = 1 ] &&
			! soon dd if=/dev/zero of="$NAME" bs=4k count=1 status=none &&
			soon dd if="$NAME" of=/dev/null bs=4k count=1 status=none && stop_server
	}
	check "a disk that was given for reading only is read-only to its clients" refuses_writes
	spec=${spec%,readonly}
fi
# The control: a loop device of the kernel's own.
kernel_knows_partitions()
{
	local loop parts
	truncate -s 300M "$dir/control" && partition_table | dd of="$dir/control" conv=notrunc status=none
	loop=$(losetup -f -P --show "$dir/control") || return 1
	parts=$(ls "/sys/block/${loop#/dev/}" | grep -c "^${loop#/dev/}p")
	losetup -d "$loop"
	[ "$parts" = 2 ]
}
if kernel_knows_partitions; then
	start loop
	check "partitions are found with partscan=on" partitions
else
	skip "partitions are found with partscan=on" "this kernel knows no PC partition tables"
fi
stop_server
finish
