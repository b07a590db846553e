#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk of this machine that is taken away (VFIO) while its driver process hangs, and dies: the instance ends and says why, the kernel gets the
# device back, a client gets an error, and the disk can be served again.
#
# rig-nightly-kernels: 6.1
# rig-device: nvme,empty=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-alone: removes devices
# rig-timeout: 600
set -u
. tests/vfio/rig.sh
give_to vfio-pci "$RIG_NVME"

keeper=
reasons()
{
	cat "$dir/check"
	tail -n 5 "$dir/said" "$dir/err" | cut -c1-300
}

start()
{
	"$OUTBOARD" run "vfio:$RIG_NVME" --attach nbd --restart on-failure,limit=0,backoff=0,heartbeat=0 >"$dir/said" 2>"$dir/err" &
	keeper=$!
	wait_for eval 'grep -q " through nbd" "$dir/said" || gone $keeper' && uri=$(grep -o 'nbd://[^ ]*' "$dir/said")
}

driver()
{
	"$OUTBOARD" show "$keeper" --json | jq .keeper.driver_pid
}

# The kernel waits for whoever has it open.
takes_it_away()
{
	kill -STOP "$driver"
	(echo 1 >"/sys/bus/pci/devices/$RIG_NVME/remove"; touch "$dir/removed") &
	sleep 2
	[ ! -e "$dir/removed" ] && kill -KILL "$driver"
}

ends()
{
	wait_for gone "$keeper" || return
	wait "$keeper"
	status=$?
}

check 'it serves' start
driver=$(driver)
check 'the disk is read' soon nbdcopy "$uri" null:
(while nbdcopy "$uri" null:; do :; done) >"$dir/client" 2>&1 &
client=$!
check 'it is taken away while its process hangs, which is killed' takes_it_away
check 'the instance ends' ends
check 'and says that the disk is gone' eval '[ $status = 3 ] && grep -q "$RIG_NVME.* is gone\|$RIG_NVME.* goes away" "$dir/err"'
check 'the kernel has it back' wait_for test -e "$dir/removed"
check 'a client gets an error' eval 'wait_for gone $client && grep nbdcopy: "$dir/client"'
echo 1 >/sys/bus/pci/rescan
give_to vfio-pci "$RIG_NVME"
check 'it can be served again' start
check 'and is read' soon nbdcopy "$uri" null:
check 'it ends' eval '"$OUTBOARD" stop --force "$keeper" && wait_for gone "$keeper"'
finish_checks
