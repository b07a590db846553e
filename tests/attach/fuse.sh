#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fuse.sh MODEL [user]: a disk as a file in a directory: file systems are made and checked on it without
# a block device. With "user" as one without any right, by fusermount3. Prints TAP.
set -u
model=$1
as=${2:-}

user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if [ "$as" = user ] && [ "$(id -u)" -eq 0 ]; then
	# What was built may lie where only root may look.
	if ! "${user[@]}" test -x "$ATTACH_BIN/attach-serve-block" || ! "${user[@]}" test -r "$0"; then
		echo "1..0 # SKIP the build directory is closed to other users"
		exit 0
	fi
	# As distributions have it: for everybody. Not all machines, so it is laid over what is there.
	if [ "$(stat -c %a /dev/fuse)" != 666 ] && [ "${3:-}" != --inside ]; then
		exec unshare --mount --propagation private bash "$0" "$model" user --inside
	fi
	if [ "${3:-}" = --inside ]; then
		node=$(mktemp -d)
		mount -t tmpfs -o mode=755 tmpfs "$node" && mknod -m 666 "$node/fuse" c 10 229 &&
			mount --bind "$node/fuse" /dev/fuse && umount -l "$node"
		rmdir "$node"
	fi
	exec "${user[@]}" bash "$0" "$model" user
fi
if [ "$(id -u)" -ne 0 ] && ! [ -u "$(command -v fusermount3)" ]; then
	echo "1..0 # SKIP no fusermount3 that is set-user-ID root"
	exit 0
fi
here=$(dirname "$(readlink -f "$0")")
. "$here/tap.sh"

image=$dir/disk.img
mnt=$dir/mnt
mkdir "$mnt"
truncate -s 64M "$image"
spec=qemu:$model,file=$image
PATH=$PATH:/sbin:/usr/sbin

is_mounted()
{
	grep -q " $mnt " /proc/self/mountinfo
}
is_unmounted()
{
	! is_mounted
}
keeper_gone()
{
	gone "$keeper"
}
start()
{
	start_server "$spec" fuse,mountpoint="$mnt" || return 1
	keeper=$(grep -ls outboard-keeper $(cat "/proc/$server/task"/*/children | tr ' ' '\n' |
		sed -n 's|..*|/proc/&/comm|p'))
	keeper=${keeper#/proc/}
	keeper=${keeper%/comm}
	[ -n "$keeper" ]
}

if ! start; then
	if grep -q 'cannot be mounted\|cannot mount' "$dir/server"; then
		cat "$dir/server" | sed 's/^/# /'
		echo "1..0 # SKIP no FUSE here"
		exit 0
	fi
	reasons | not_ok "a file of $model is ready"
	finish
fi
is_a_file()
{
	[ -f "$NAME" ] && [ "$(stat -c %s "$NAME")" = $((64 << 20)) ] && [ "$(ls -A "$mnt")" = "$(basename "$NAME")" ]
}
check "it is a file of the disk's size, and the only one" is_a_file
check "only its owner may look" [ "$(stat -c %a "$NAME")" = 600 ]

made_and_checked()
{
	soon mkfs.ext4 -q -F "$NAME" && soon fsck.ext4 -fn "$NAME" &&
		head -c 5M /dev/urandom >"$dir/a" &&
		soon debugfs -w -R "write $dir/a there" "$NAME" && soon fsck.ext4 -fn "$NAME" &&
		soon debugfs -R "dump there $dir/b" "$NAME" && cmp "$dir/a" "$dir/b"
}
check "mkfs, debugfs and fsck work on it" made_and_checked

odd_pieces()
{
	head -c 100000 /dev/urandom >"$dir/a"
	# Bytes where they are wanted, whatever the disk's blocks are.
	soon dd if="$dir/a" of="$NAME" bs=777 seek=12345 oflag=seek_bytes conv=notrunc status=none &&
		soon dd if="$NAME" of="$dir/b" bs=4096 skip=12345 count=100000 \
			iflag=skip_bytes,count_bytes status=none && cmp "$dir/a" "$dir/b"
}
check "writes of odd lengths at odd places come back" odd_pieces
like_a_disk()
{
	# Truncating does not shorten a disk, and it does not grow.
	soon dd if="$dir/a" of="$NAME" bs=64k status=none && [ "$(stat -c %s "$NAME")" = $((64 << 20)) ] &&
		! soon dd if="$dir/a" of="$NAME" bs=4096 seek=16384 conv=notrunc status=none &&
		! soon touch "$mnt/other" && ! soon rm -f "$NAME" && ! soon chmod 666 "$NAME"
}
check "it is neither shortened, grown nor removed" like_a_disk
durable()
{
	soon dd if="$dir/a" of="$NAME" bs=100000 count=1 conv=notrunc,fsync status=none &&
		cmp -n 100000 "$dir/a" "$image"
}
check "what was synced is in the image" durable
zeroed()
{
	soon fallocate -z -o 8192 -l 16384 "$NAME" || return
	cmp -n 16384 -i 8192:0 "$NAME" /dev/zero && cmp -n 8192 "$NAME" "$dir/a" &&
		cmp -i 24576 -n 70000 "$NAME" "$dir/a"
}
if [ "$model" = nvme ]; then
	check "a range is zeroed" zeroed
else
	check "zeroing is refused where the disk cannot, and nothing is lost" \
		sh -c '! fallocate -z -o 8192 -l 16384 "$1" && cmp -n 90000 "$1" "$2"' sh "$NAME" "$dir/a"
fi
if command -v fio >/dev/null; then
	check "fio verifies direct I/O at depth 16" soon fio --name=load --filename="$NAME" --size=16M \
		--rw=randrw --bsrange=4k-64k --direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c \
		--verify_fatal=1
else
	skip "fio verifies direct I/O at depth 16" "no fio"
fi

exec 7<"$NAME"
check "stopping while it is open names who has it" \
	sh -c 'kill -TERM '$server'; while kill -0 '$server' 2>/dev/null && ! grep -q "pid '$$' " "$1"; do sleep 0.05; done
		grep -q "pid '$$' " "$1"' sh "$dir/server"
exec 7<&-
wait "$server"
server=
check "forced, it has gone all the same" wait_for is_unmounted
# 129 of 777 bytes, and the odd ends of some others above: blocks that were read, changed and written.
check "only pieces of blocks are copied here" \
	sh -c '[ "$1" -ge 129 ] && [ "$1" -le 140 ] && [ "$2" -gt 1000 ]' sh \
	"$(stat_of own_copies)" "$(stat_of kernel_copies)"
check "no flush got lost" [ "$(stat_of flushes)" -gt 0 ]

start
soon dd if="$dir/a" of="$NAME" bs=100000 count=1 seek=50 conv=notrunc status=none
check "an orderly end" stop_server
check "wrote back what was written" cmp -n 100000 -i 0:5000000 "$dir/a" "$image"
check "and unmounted" is_unmounted

start
kill_server
check "kill -9: it is unmounted" wait_for is_unmounted
check "kill -9: the keeper ends" wait_for keeper_gone
check "kill -9: QEMU ends" wait_for gone "$qemu"

start
exec 7<>"$NAME"
kill_server
check "kill -9 with a client: it is unmounted" wait_for is_unmounted
check "kill -9 with a client: he gets errors" sh -c '! timeout 60 cat <&7'
exec 7<&-

start
kill -KILL "$qemu"
wait_for gone "$qemu"
check "death of the device: the client gets I/O errors" \
	sh -c '! timeout 60 dd if="$1" of=/dev/null bs=64k iflag=direct status=none' sh "$NAME"
check "death of the device: it stops all the same" stop_server
check "death of the device: it is unmounted" is_unmounted
finish
