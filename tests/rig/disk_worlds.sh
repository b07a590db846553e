#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Where something is missing, a disk through VDUSE or the kernel's NBD client says what, and what to type; where something is in the
# way, it does without.
#
# rig-alone: modules are to be missing
# rig-options: --memory 2G --cpus 2
# rig-timeout: 600
set -u
. tests/rig/ublk_server.bash

nothing_left()
{
	[ "$(echo /dev/vduse/*)" = /dev/vduse/control ] && [ -z "$(ls /sys/block/nbd*/pid 2>/dev/null)" ] && [ -z "$(caretakers)" ]
}

says() # WORDS ATTACHMENT
{
	! serve 16 "$2" && grep -q "$1" "$dir/out"
}

as_nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"

check 'without nbd it says to load it' says 'modprobe nbd' nbd-kernel
check 'without vduse it says to load it' says 'modprobe vduse' vduse-blk
modprobe vduse
check 'without virtio_vdpa it says to load it' says 'modprobe virtio_vdpa' vduse-blk
# It takes whatever is not spoken for.
modprobe vhost_vdpa
modprobe virtio_vdpa
if [ -e /sys/bus/virtio/drivers/virtio_blk ]; then
	skip 'without virtio_blk it says to load it' 'it is there already'
else
	check 'without virtio_blk it says to load it' says 'modprobe virtio_blk' vduse-blk
fi
modprobe virtio_blk
modprobe nbd
chmod 711 "$dir"
check 'an ordinary user is told to be root (vduse-blk)' eval 'RUN=$as_nobody says "run it as root" vduse-blk'
check 'an ordinary user is told to be root (nbd-kernel)' eval 'RUN=$as_nobody says "run it as root" nbd-kernel'
check 'a driver that was there first does not keep the disk' eval 'serve 64 vduse-blk && load --rw=randrw --direct=1 --ioengine=libaio'
check 'its payload is in the arena' eval '[ "$(stat_of outside)" = 0 ]'
check 'stopped' stop

ulimit -l 64
check 'a limit of locked memory is raised by who may' \
	eval 'serve 64 vduse-blk && load --rw=randrw --direct=1 --ioengine=libaio && [ "$(stat_of outside)" = 0 ] && stop'
limited="setpriv --bounding-set -sys_resource --inh-caps -sys_resource"
check 'under a limit that may not be raised the pages of the kernel are used' \
	eval 'RUN=$limited serve 64 vduse-blk && load --rw=randrw --direct=1 --ioengine=libaio && [ "$(stat_of own_copies)" -gt 1000 ]'
check 'stopped (limited)' stop
check 'nothing is left' wait_for nothing_left
# It came with block devices.
modprobe -r nbd
finish
