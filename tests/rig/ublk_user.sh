#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An ordinary user has a ublk disk where udev gives him the nodes (docs/ublk.md), and is told what is missing where not.
#
# rig-modprobe: ublk_drv
# rig-options: --memory 2G
# rig-allow-log: I/O error, dev ublkb|Buffer I/O error on dev ublkb
set -u
. tests/rig/ublk_server.bash
chmod 755 "$dir"
user='setpriv --reuid=65534 --regid=65534 --clear-groups'

as_user() # DISK ATTACHMENT
{
	chmod 777 "$dir"
	: >"$dir/err"
	chmod 666 "$dir/err"
	RUN=$user serve "$@"
}

check 'without access to /dev/ublk-control it says so' \
	eval '! as_user 16 ublk && grep -q "/dev/ublk-control.*Permission denied" "$dir/out" && grep -q docs/ublk.md "$dir/out"'
chmod 666 /dev/ublk-control
check 'without access to the device'\''s node it says so' \
	eval '! as_user 16 ublk && grep -q "/dev/ublkc0.*Permission denied" "$dir/out" && grep -q "udev rule" "$dir/out"'
# It may make it, and not remove it: as the kernel has it, who cannot open the node may not.
check 'root removes what that left' eval '"$OUTBOARD" stop ublkb0 || [ ! -e /dev/ublkc0 ]'

# What udev does.
(
	exec 4>&-
	while [ ! -e "$dir/enough" ]; do
		chmod 666 /dev/ublkc* /dev/ublkb* 2>/dev/null
		sleep 0.1
	done
) &
udev=$!
check 'with its nodes given it has a disk' as_user 64 ublk
check 'which says that it is an unprivileged one' eval '[[ $DETAIL == *unprivileged* && $DETAIL != *recoverable* ]]'
check 'fio verifies it, as that user' eval "wait_for $user test -w \$NAME && chmod 666 $dir/fio 2>/dev/null; load --rw=randrw \
	--direct=1 --ioengine=libaio"
check 'it stops' stop
check 'nothing is left' wait_for nothing_left
check 'killed: its users get errors' eval 'as_user 64 ublk && kill_server && ! soon dd if=/dev/ublkb0 of=/dev/null count=1 status=none'
check 'nothing is left (killed)' wait_for nothing_left
check 'root has no use for it' eval '! serve 16 ublk,unprivileged && grep -q "leave it out" "$dir/out"'
touch "$dir/enough"
wait $udev
chmod 600 /dev/ublk-control
finish
