#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's ahci, unmodified, in a process, drives a disk through UIO, in memory that is put together of many pieces: the driver sees the
# pages that its device sees. What it wrote is read by the same driver in the kernel.
#
# rig-where: host
# rig-timeout: 600
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of ahci block 6.12
	rig/vm --timeout 550 --memory 2G --iommu none --modprobe uio_pci_generic --modprobe sd_mod --env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" \
		--env "OUTBOARD_LINUX_CACHE=$cache" --env "LINUX_OBJECT=$object" --results "$RIG_RESULTS" \
		--device ich9-ahci,empty=96M -- bash tests/rig/linux_uio.sh --inside
	exit
fi
. tests/vfio/rig.sh

# What was freed last is taken first, in blocks of 4 MiB at most: so in an order that is no file's.
mkdir "$dir/memory"
mount -t tmpfs -o size=1G none "$dir/memory"
dd if=/dev/zero of="$dir/memory/file" bs=1M count=900 status=none
umount "$dir/memory"

head -c 8M /dev/urandom >"$dir/written"
# In COMMAND's shell.
# shellcheck disable=SC2016
used='grep outboard-arena "/proc/$(pgrep -x outboard-driver)/maps" >"$0/mappings"
	nbdcopy --flush "$0/written" "$OUTBOARD_URI" && nbdcopy "$OUTBOARD_URI" "$0/read"'
check 'UIO has the disk' give_to uio_pci_generic "$RIG_ICH9_AHCI"
check 'the driver of the kernel writes and reads it' \
	soon "$OUTBOARD" run -q "uio:$RIG_ICH9_AHCI,pages=small" --driver "linux:$LINUX_OBJECT" --attach nbd -- sh -c "$used" "$dir"
# How many depends on how large a piece was found: one of 4 MiB or less each, of more than 20 MiB, and three quarters of it a second time.
# That of one mapping would be two.
check 'in memory of many mappings' eval 'cat "$dir/mappings"; [ "$(wc -l <"$dir/mappings")" -gt 4 ]'
check 'what is read is what was written' cmp -n 8388608 "$dir/written" "$dir/read"
modprobe ahci
check "the kernel's own driver has the disk" give_to ahci "$RIG_ICH9_AHCI"
check 'and finds the same' eval 'wait_for [ -b /dev/sda ] && cmp -n 8388608 "$dir/written" /dev/sda'
check 'an arena of huge pages is refused, and what to do is told' eval 'give_to uio_pci_generic "$RIG_ICH9_AHCI" &&
	says "cannot be mapped a second time" "pages=small" -- "$OUTBOARD" run -q "uio:$RIG_ICH9_AHCI,pages=transparent" --driver "linux:$LINUX_OBJECT" --attach nbd -- true'
finish_checks
