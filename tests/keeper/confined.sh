#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# confined.sh OUTBOARD NVME.so: the driver processes of `outboard run` have no rights, and what an instance needs works all the same: disks and
# interfaces, deaths, upgrades, questions, an orderly end. Where it cannot be so, that is said.
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
next=$2
disk=$dir/disk
truncate -s 16M "$disk"

driver() # of $pid
{
	local child
	for child in $(children "$pid"); do
		[ "$(cat "/proc/$child/comm" 2>/dev/null)" != outboard-driver ] || echo "$child"
	done
}

of_driver() # KEY VALUE: a line of its status, in the kernel's words
{
	grep -qE "^$1:[[:space:]]+$2\$" "/proc/$(driver)/status"
}

sandbox_says() # JQ: true of what show tells
{
	"$outboard" show "$pid" --sandbox --json >"$dir/sandbox" && jq -e "$1" "$dir/sandbox" >/dev/null
}

is_confined()
{
	of_driver Seccomp 2 && of_driver CapEff 0+ && of_driver CapBnd 0+ && of_driver NoNewPrivs 1 &&
		[ "$(readlink "/proc/$(driver)/ns/net")" != "$(readlink /proc/self/ns/net)" ] &&
		[ "$(readlink "/proc/$(driver)/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}

replaced() # DRIVER
{
	[ -n "$(driver)" ] && [ "$(driver)" != "$1" ] && "$outboard" show "$pid" | grep -q 'keeper: serving'
}

killed()
{
	local before
	before=$(driver)
	kill -9 "$before" && wait_for replaced "$before"
}

if [ "$(id -u)" -ne 0 ] || ! command -v jq >/dev/null; then
	echo '1..0 # SKIP needs root, who has something to give up, and jq'
	exit 0
fi

# ---- the command line ----------------------------------------------------------------------------------

ob run qemu:nvme,null=1M --sandbox perhaps
expect 'a policy that there is not' 2 "'perhaps' is none of auto, off, or require"
ob run qemu:nvme,null=1M --sandbox auto,walls=4
expect 'an option that there is not' 2 walls
ob run qemu:nvme,null=1M --one-process --sandbox auto
expect 'one process has none' 2 "'--one-process'"
ob show --sandbox --watch
expect 'shown again and again' 2 "'--sandbox' shows an instance once"

# ---- a disk ----------------------------------------------------------------------------------------------

if serve run run "qemu:nvme,file=$disk" --attach nbd --restart on-failure,backoff=0,heartbeat=5000; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check 'a disk: the kernel says that it is confined' is_confined
	check 'so does show, with at least fifteen measures' sandbox_says '.confined and ([.measures[] | select(.on)] | length >= 15)'
	check 'for a person, too' eval '"$outboard" show $pid --sandbox | grep -q "^calls  *on .*system calls while it serves"'
	check 'it serves' soon qemu-io -f raw -c 'write -P 7 0 64k' -c 'read -P 7 0 64k' "$uri"
	check 'it was asked for its counters' eval '"$outboard" show $pid | grep -q nvme0n1'
	check 'it is killed, and another serves' killed
	check 'which is confined' is_confined
	check 'and has what was written' soon qemu-io -f raw -c 'read -P 7 0 64k' "$uri"
	ob upgrade "$pid" --driver "$next"
	check 'a driver from a file is loaded inside' eval '[ $status = 0 ] && is_confined'
	check 'and has what was written (upgrade)' soon qemu-io -f raw -c 'read -P 7 0 64k' "$uri"
	kill -INT "$pid"
	ended
	check 'interrupted, it ends in order' [ "$status" = 0 ]
	check 'no driver process died of a system call' eval '! grep -q "signal 31" "$dir/run"'
fi

# ---- a socket with a path: the broker makes and removes it ------------------------------------------------------

if serve run run qemu:nvme,null=1M --attach "nbd,socket=$dir/socket"; then
	check 'a socket with a path' soon qemu-io -f raw -c 'read 0 4k' "nbd+unix:///?socket=$dir/socket"
	kill -INT "$pid"
	ended
	check 'is removed by the end' eval '[ $status = 0 ] && [ ! -e "$dir/socket" ]'
fi

# ---- a file, and a loop device over it ----------------------------------------------------------------------------

files() # ATTACHMENT PATH-OF-FILE
{
	if serve run run "qemu:nvme,file=$disk" --attach "$1" --restart on-failure,backoff=0,heartbeat=5000; then
		file=${2:-$(attached run)}
		check "$1: the kernel says that it is confined" is_confined
		check "$1: it serves" soon dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc,fsync
		sum=$(sha256sum <"$file")
		check "$1: it is killed, and another serves" killed
		check "$1: which is confined" is_confined
		echo 3 >/proc/sys/vm/drop_caches
		check "$1: and has what was written" eval '[ "$(sha256sum <"$file")" = "$sum" ]'
		kill -INT "$pid"
		ended
		check "$1: it ends in order" eval '[ $status = 0 ] && ! grep -q "signal 31" "$dir/run"'
	fi
}
if can_loop; then
	mkdir "$dir/mnt"
	files "fuse,mountpoint=$dir/mnt" "$dir/mnt/nvme0n1"
	files loop
	check 'nothing is left mounted' eval '! grep -q " $dir/mnt " /proc/mounts'
fi

# ---- an interface ----------------------------------------------------------------------------------------------

if serve run run qemu:e1000e,netdev=user --attach tap,netns=new,address=10.0.2.15/24; then
	check 'an interface: the kernel says that it is confined' is_confined
	ping_it()
	{
		local process
		process=$(driver)
		[ -n "$process" ] && "$outboard" show "$pid" --sandbox >/dev/null
	}
	check 'it can be asked' ping_it
	ob ethtool -t "$pid"
	check 'it tests itself within' [ "$status" = 0 ]
	check 'it is killed, and another serves (interface)' killed
	check 'which is confined (interface)' is_confined
	kill -INT "$pid"
	ended
	check 'it ends in order (interface)' eval '[ $status = 0 ] && ! grep -q "signal 31" "$dir/run"'
fi
check 'frames go through it' timeout 60 "$outboard" run -q qemu:e1000e,netdev=user --attach tap,netns=new,address=10.0.2.15/24 -- \
	ping -c 3 -i 0.2 -W 5 10.0.2.2

# ---- where it cannot be ------------------------------------------------------------------------------------------

mkdir "$dir/mount"
ob run qemu:nvme,null=16M --attach "mount,mountpoint=$dir/mount" --sandbox require
expect 'an attachment that needs rights, where a sandbox is required' 1 'attachment mount needs rights while it serves'
if serve run run qemu:nvme,null=1M --attach nbd --sandbox off; then
	check 'none was wanted' sandbox_says '(.confined | not) and .why_not == "--sandbox=off"'
	check 'and there is none' of_driver Seccomp 0
	kill -INT "$pid"
	ended
fi
in_chroot() # ARG...: outboard in a root that is a folder like others, with what the real one has
{
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -c '
		for path in /*; do
			if [ -L "$path" ]; then
				cp -P "$path" "$0$path"
			elif [ -d "$path" ]; then
				mkdir -p "$0$path" && mount --rbind "$path" "$0$path"
			fi
		done
		exec chroot "$0" "$@"' "$dir/root" "$outboard" "$@"
}
if can_loop; then
	mkdir "$dir/root"
	in_chroot run -q qemu:nvme,null=1M --attach "nbd,socket=$dir/socket" --name chroot -- "$outboard" show chroot --sandbox --json >"$dir/sandbox" 2>"$dir/err"
	check 'in a chroot it has no root of its own, which is said; all else is as it is' jq -e '.confined and ([.measures[] | select(.measure == "root")][0] |
		(.on | not) and (.detail | test("chroot"))) and ([.measures[] | select(.on)] | length >= 15)' "$dir/sandbox"
	in_chroot run -q qemu:nvme,null=1M --attach "nbd,socket=$dir/socket" --sandbox require -- true 2>"$dir/err"
	status=$?
	expect 'where it is required, it does not run' 5 'chroot'
fi
only_one() # COMMAND: what it prints beside an instance that has a network namespace, and so a list of instances, to itself
{
	unshare --net "$outboard" run -q qemu:nvme,null=1M --attach "nbd,socket=$dir/socket" -- "$@"
}
check 'the only instance need not be named' eval 'only_one "$outboard" show --sandbox | grep -q "^calls  *on"'
ob show --sandbox nobody-is-called-so
expect 'but one that is named is not guessed' 1 "no running instance is called 'nobody-is-called-so'"
cp "$next" "$dir/unreadable.so"
chmod 600 "$dir/unreadable.so"
ob run qemu:nvme,null=1M --attach nbd --driver "$dir/unreadable.so" --restart never -- true
check 'a driver that only root may read: which file' eval '[ $status != 0 ] && grep -q unreadable.so "$dir/err"'
finish
