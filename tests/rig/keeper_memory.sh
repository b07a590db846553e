#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A driver process that takes all memory there is: its cgroup ends it, not the machine's memory; the keeper says so, another serves, and a client loses nothing.
#
# rig-device: nvme,empty=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-nightly-kernels: 6.1
# rig-allow-log: Call Trace:
set -u
. tests/vfio/rig.sh

give_to vfio-pci "$RIG_NVME"
mkdir -p /sys/fs/cgroup
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup

keeper=
reasons()
{
	cat "$dir/check"
	tail -n 5 "$dir/said" "$dir/err" | cut -c1-300
}

start()
{
	: >"$dir/said" # what the last one said is not this one's word
	# Shared memory, which no other limit is for.
	OUTBOARD_FAULT_POINTS='greedy.share*=enomem@1' "$OUTBOARD" run "vfio:$RIG_NVME,arena=8M" --driver "$BUILD/tests/keeper/greedy.so" \
		--attach "nbd,socket=$dir/socket" --restart on-failure,limit=0,backoff=0,heartbeat=5000 --sandbox auto,memory=64M,memlock=64M \
		>"$dir/said" 2>"$dir/err" &
	keeper=$!
	wait_for eval 'grep -q "nbd+unix://" "$dir/said" || gone $keeper' && uri=$(grep -o 'nbd+unix://[^ ]*' "$dir/said")
}

client() # WRITES: those that fail for a dead server are sent again
{
	"$BUILD/tests/campaign/kills" --target "$uri" --keeper "$keeper" --log "$dir/acknowledged" --kills 0 --writes "$1" --seed 5
}

of_keeper() # FILTER of its state
{
	"$OUTBOARD" show "$keeper" --json | jq -e ".keeper | $1" >/dev/null
}

# Tests before this one may have written on the disk. In COMMAND's shell:
dd if=/dev/zero of="$dir/zeros" bs=1M count=4 status=none
# shellcheck disable=SC2016
check 'the disk is empty at first' "$OUTBOARD" run -q "vfio:$RIG_NVME,arena=8M" --attach nbd -- sh -c 'nbdcopy --flush --sparse=0 "$0" "$OUTBOARD_URI"' "$dir/zeros"
check 'it serves' start
check 'its process is in a cgroup' eval '[ -n "$(ls -d /sys/fs/cgroup/outboard/*/)" ]'
check 'a client writes, nothing lost, no error' client 300
check 'its process has died' wait_for of_keeper '.deaths >= 1'
check 'its cgroup ended it' of_keeper '.last_death == "it used more memory than its cgroup may"'
check 'the kernel says so' eval 'dmesg | grep -q "Memory cgroup out of memory: Killed process .*(outboard-driver)"'
check 'the client goes on' client 100
check 'it ends' eval 'soon "$OUTBOARD" stop --force "$keeper" && wait_for gone "$keeper"'
check 'no cgroup is left' eval '[ -z "$(ls -d /sys/fs/cgroup/outboard/*/ 2>/dev/null)" ]'
umount /sys/fs/cgroup
finish_checks
