#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fs.sh OUTBOARD FILES [KERNEL]: the Linux kernel's ext4, mounted in the process on a disk that its unmodified nvme drives, given out as a directory: files, names,
# links, modes, holes, extended attributes, random operations compared with memory, a full disk; then e2fsck and the host's own mount see the same. After kill -9
# what was synced is there when the journal was replayed. Bad input. FILES is tests/linux/files.c.
kernel=${3:-6.12}
# Mounts of the test are seen by it alone, and it sees its own processes alone.
if [ "$(id -u)" -eq 0 ] && [ "${!#}" != --inside ]; then
	exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		bash "$0" "$1" "$2" "$kernel" --inside
fi
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of nvme+ext4 block+ext4 "$kernel"
# In a process namespace of the whole machine others come and go.
if [ "$(id -u)" -ne 0 ]; then
	export OUTBOARD_MARK=$$-$RANDOM
	export CENSUS_TAG=OUTBOARD_MARK=$OUTBOARD_MARK
fi
for tool in mkfs.ext4 e2fsck dumpe2fs; do
	command -v "$tool" >/dev/null || { echo "1..0 # SKIP there is no $tool here" && exit; }
done
[ -w /dev/fuse ] || { echo '1..0 # SKIP /dev/fuse is not for us' && exit; }

linux=linux:$object@$kernel
disk=$dir/disk.img
spec=qemu:nvme,file=$disk
mnt=$dir/mnt
export WORK=$dir/work FILES
FILES=$(readlink -f "$2")
mkdir "$WORK" "$mnt"
cp -r "$here/linux" "$dir/tree"

# ---- what runs with the directory: leaves a word in $WORK for each thing that worked ---------------

cat >"$dir/use" <<'END'
#!/bin/bash
exec 2>>"$WORK/said"
m=$OUTBOARD_DIR
set -x
yes_if() { local what=$1; shift; "$@" >>"$WORK/said" && echo yes >"$WORK/$what"; }
tree() { cp -a "$WORK/../tree" "$m/tree" && diff -r "$WORK/../tree" "$m/tree"; }
names()
{
	mkdir "$m/names" && cp "$0" "$m/names/one" && ln "$m/names/one" "$m/names/two" && [ "$(stat -c %h "$m/names/one")" = 2 ] &&
		mv "$m/names/two" "$m/three" && rm "$m/names/one" && cmp "$0" "$m/three" && [ "$(stat -c %h "$m/three")" = 1 ] &&
		ln -s ../three "$m/names/link" && cmp "$0" "$m/names/link" && [ "$(readlink "$m/names/link")" = ../three ] &&
		mv "$m/names" "$m/moved" && [ ! -e "$m/names" ] && [ -L "$m/moved/link" ] && "$FILES" names "$m/moved"
}
attributes()
{
	mkfifo "$m/fifo" && echo x >"$m/file" && chmod 640 "$m/file" && touch -d '2001-02-03 04:05:06.789' "$m/file" &&
		[ "$(stat -c '%a %y' "$m/file" | cut -c1-27)" = '640 2001-02-03 04:05:06.789' ] || return
	[ "$(id -u)" -ne 0 ] || { chown 12:34 "$m/file" && [ "$(stat -c %u:%g "$m/file")" = 12:34 ]; }
}
holes()
{
	truncate -s 300M "$m/sparse" && echo end >>"$m/sparse" && [ "$(stat -c %s "$m/sparse")" = 314572804 ] &&
		[ "$(du -k "$m/sparse" | cut -f1)" -lt 100 ] && [ "$(tail -c 4 "$m/sparse")" = end ] &&
		cmp -n 1048576 "$m/sparse" /dev/zero && cp --sparse=always "$m/sparse" "$m/again" && [ "$(du -k "$m/again" | cut -f1)" -lt 100 ]
}
large() { head -c 24M /dev/urandom >"$WORK/data" && cp "$WORK/data" "$m/large" && cmp "$WORK/data" "$m/large" && sync -f "$m"; }
many()
{
	local i
	mkdir "$m/many"
	for ((i = 0; i < 1000; i++)); do echo $i >"$m/many/a name that takes some room $i" || return; done
	[ "$(ls "$m/many" | wc -l)" = 1000 ] && rm "$m/many/"*[13579] && [ "$(ls "$m/many" | wc -l)" = 500 ]
}
full()
{
	! dd if=/dev/zero of="$m/full" bs=1M && [ "$(df --output=avail "$m" | tail -n 1)" -lt 1024 ] && rm "$m/full" &&
		[ "$(df --output=avail -k "$m" | tail -n 1)" -gt 10000 ]
}
yes_if tree tree
yes_if names names
yes_if attributes attributes
yes_if holes holes
yes_if large large
yes_if many many
yes_if random "$FILES" random "$m/random" 1500
yes_if full full
cp "$m/random" "$WORK/compared"
(cd "$m" && find . ! -path './lost+found*' -printf '%p %y %m %U:%G %s %n %T@ %l\n' | sort) >"$WORK/list"
true
END
chmod +x "$dir/use"

worked() # WHAT
{
	[ "$(cat "$WORK/$1" 2>/dev/null)" = yes ] || { sed -n "/^+ yes_if $1 /,/^+ yes_if/p" "$WORK/said"; return 1; }
}

no_leftovers()
{
	"$here/scripts/census" "$mnt" >"$dir/after"
	comm -13 "$dir/before" "$dir/after" >"$dir/left"
	! grep . "$dir/left"
}

on_host() # COMMAND...: with the host's own mount of the disk
{
	mount -o loop,ro "$disk" "$mnt" || return
	"$@"
	local ret=$?
	umount "$mnt"
	return $ret
}

same_list()
{
	(cd "$mnt" && find . ! -path './lost+found*' -printf '%p %y %m %U:%G %s %n %T@ %l\n' | sort) >"$dir/list"
	diff "$WORK/list" "$dir/list"
}

fresh_disk()
{
	rm -f "$WORK"/*
	truncate -s 96M "$disk"
	mkfs.ext4 -q -F -b 4096 "$disk"
	[ "$(id -u)" -eq 0 ] || debugfs -w -R "set_inode_field / uid $(id -u)" "$disk" >"$dir/debugfs" 2>&1
}

use() # NAME OPTIONS...: files, and what others see of them
{
	local name=$1
	shift
	fresh_disk
	ob run "$@" --quiet -- "$dir/use"
	expect "$name: a directory, and its end" 0
	check "$name: a tree of files is as it was" worked tree
	check "$name: names, links, renames, extended attributes" worked names
	check "$name: modes, times, owners" worked attributes
	check "$name: holes take no room" worked holes
	check "$name: a large file" worked large
	check "$name: many files in a directory" worked many
	check "$name: random operations" worked random
	check "$name: a full disk is an error, and not the end" worked full
	check "$name: nothing is left" no_leftovers
	check "$name: the disk is clean" e2fsck -fn "$disk"
	if can_loop; then
		check "$name: the host sees the same names" on_host same_list
		check "$name: the host sees the same tree" on_host diff -r "$dir/tree" "$mnt/tree"
		check "$name: the host sees the same data" on_host cmp "$WORK/compared" "$mnt/random"
	else
		skip "$name: the host sees the same" 'no loop devices for us'
	fi
}

"$here/scripts/census" "$mnt" >"$dir/before"
use "Outboard's own driver" "$spec" --driver nvme --attach "mount,mountpoint=$mnt,kernel=$linux"
use "the kernel's driver" "$spec" --driver "$linux" --attach "mount,mountpoint=$mnt"

# ---- an end without warning ---------------------------------------------------------------------------

serve killed run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt"
cp "$WORK/data" "$mnt/synced" && sync "$mnt/synced" "$mnt"
for i in $(seq 200); do echo "$i" >"$mnt/unsynced$i"; done
qemu=$(qemu_of "$pid")
kill -9 "$pid"
ended
check 'the mount of who was killed goes away' wait_for eval '! grep -q " $mnt " /proc/self/mountinfo'
# The image is QEMU's until that has ended, too.
[ -z "$qemu" ] || wait_for gone "$qemu"
check 'its journal is to be replayed' eval 'dumpe2fs -h "$disk" 2>&1 | grep -q needs_recovery'
ob run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt" --quiet -- cmp "$WORK/data" "$mnt/synced"
expect 'after the replay of the journal what was synced is there' 0
check 'and the disk is clean' e2fsck -fn "$disk"

# ---- unmounted by somebody else; read-only; partitions ----------------------------------------------------

serve unmounted run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt"
echo word >"$mnt/word"
if [ "$(id -u)" -eq 0 ]; then umount "$mnt"; else fusermount3 -u "$mnt"; fi
ended
check 'who is unmounted ends' test "$status" -eq 0
check 'with all written' eval 'e2fsck -fn "$disk" && [ "$(debugfs -R "cat word" "$disk" 2>/dev/null)" = word ]'

before=$(sha256sum <"$disk")
ob run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt,readonly=on" --quiet -- \
	bash -c '! touch "$OUTBOARD_DIR/x" 2>/dev/null && cmp "$WORK/data" "$OUTBOARD_DIR/synced"'
expect 'read-only' 0
check 'nothing was written' test "$before" = "$(sha256sum <"$disk")"
if command -v sfdisk >/dev/null; then
	truncate -s 64M "$dir/parts.img"
	printf '2048,30720\n32768,\n' | sfdisk -q "$dir/parts.img" >/dev/null
	mkfs.ext4 -q -F -L second -E offset=16777216 "$dir/parts.img" 48M 2>/dev/null
	[ "$(id -u)" -eq 0 ] || debugfs -w -R "set_inode_field / uid $(id -u)" "$dir/parts.img?offset=16777216" >"$dir/debugfs" 2>&1
	ob run --driver "$linux" "qemu:nvme,file=$dir/parts.img" --attach "mount,mountpoint=$mnt,partition=2" --quiet -- touch "$mnt/here"
	expect 'a partition' 0
	ob run --driver "$linux" "qemu:nvme,file=$dir/parts.img" --attach "mount,mountpoint=$mnt,partition=1" --quiet -- true
	expect 'one without a file system is an error' 2 'no file system that it knows'
	ob run --driver "$linux" "qemu:nvme,file=$dir/parts.img" --attach "mount,mountpoint=$mnt,partition=3" --quiet -- true
	expect 'one that is not there, too' 1 'has no partition 3'
fi

# ---- a device that vanishes --------------------------------------------------------------------------------

cat >"$dir/write" <<'END'
#!/bin/bash
dd if=/dev/zero of="$OUTBOARD_DIR/zeroes" bs=4k count=4000 oflag=dsync 2>/dev/null
echo $? >"$WORK/write"
END
chmod +x "$dir/write"
fresh_disk
ob run --driver "$linux" "fault[gone=1500]:$spec" --attach "mount,mountpoint=$mnt" --quiet -- "$dir/write"
expect 'a device that vanishes is an error' 3 'gone'
# The program ends whoever uses the directory, perhaps before that can tell.
check 'for who writes, too' eval '[ ! -e "$WORK/write" ] || ! grep -qx 0 "$WORK/write"'

# ---- bad input --------------------------------------------------------------------------------------------

ob run --driver "$linux" "$spec" --attach mount --quiet -- true
expect 'a directory is needed' 2 'mountpoint=DIR'
ob run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt,type=zfs" --quiet -- true
expect 'a type that the object does not have' 1 "does not have zfs"
ob run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt,options=nonsense" --quiet -- true
expect 'an option that ext4 does not have' 2 'nonsense'
printf 'damaged' | dd of="$disk" bs=1 seek=1080 conv=notrunc status=none
ob run --driver "$linux" "$spec" --attach "mount,mountpoint=$mnt" --quiet -- true
expect 'a damaged superblock is an error' 2 'nvme0n1'
check 'nothing is left at the end' no_leftovers
[ $failed -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object "$here/linux/record" ext4 "$kernel" qemu:nvme mount files links holes xattr random-verify full vanish replay fsck
finish
