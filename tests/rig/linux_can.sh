#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two CAN cards on one bus: one is the kernel's, as a SocketCAN interface, the other's driver, the same, runs unmodified in a process, through VFIO, as a
# node by CUSE. Frames of all kinds go both ways and arrive in order; reads wait, are interrupted, poll; what makes no sense is refused.
#
# rig-where: host
# rig-timeout: 400
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of kvaser_pci char 6.12
	rig/vm --timeout 350 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe cuse --modprobe can-raw --modprobe kvaser_pci \
		--env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" --env "LINUX_OBJECT=$object" --results "$RIG_RESULTS" \
		--device kvaser_pci,id=theirs --device kvaser_pci,id=ours -- bash tests/rig/linux_can.sh --inside
	status=$?
	[ $status -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object linux/record kvaser_pci 6.12 vfio:kvaser_pci probe can remove again killed
	exit $status
fi
. tests/vfio/rig.sh

start()
{
	: >"$RIG_RESULTS/run.log" # what the last one said is not this one's word
	"$OUTBOARD" run --driver "linux:$LINUX_OBJECT" "vfio:$RIG_OURS" --name bus >"$RIG_RESULTS/run.log" 2>&1 &
	pid=$!
	wait_for grep -q ' as /dev/' "$RIG_RESULTS/run.log"
}

client()
{
	python3 tests/rig/can_client.py "$@"
}

check 'VFIO has one of them' give_to vfio-pci "$RIG_OURS"
check 'the other is an interface of the kernel' ip link set can0 up type can bitrate 500000
check 'ours is a node' start
check 'frames of all kinds arrive from the kernel' client from /dev/can0 can0
check 'and get there' client to /dev/can0 can0
check 'a thousand of them, in order' client many /dev/can0 can0
check 'a read waits, poll tells, a signal interrupts it' client waits /dev/can0 can0
check 'what is no frame is refused' ends fails 'Invalid argument' -- bash -c 'echo 12#AB >/dev/can0'
check 'and named in the log' grep -q "'12#AB' is no CAN frame" "$RIG_RESULTS/run.log"
check 'several may have it open' bash -c 'exec 5<>/dev/can0 6<>/dev/can0; echo 123#11 >&5; echo 123#22 >&6'
cat /dev/can0 >"$RIG_RESULTS/cat" &
reader=$!
check 'who waits holds it' wait_for ends 4 "pid $reader " -- "$OUTBOARD" stop bus
kill "$reader"
wait "$reader" 2>/dev/null
check 'whom it interrupts it lets go' "$OUTBOARD" stop bus
wait "$pid"
check 'the node is gone' test ! -e /dev/can0
check 'once more' start
check 'frames arrive' client from /dev/can0 can0
cat /dev/can0 >"$RIG_RESULTS/cat" &
reader=$!
wait_for sh -c "ls -l /proc/$reader/fd | grep -q /dev/can0"
kill -9 "$pid"
wait "$pid" 2>/dev/null
check 'killed, the node is gone' wait_for test ! -e /dev/can0
wait "$reader"
check 'its reader got an error' test $? -ne 0
check 'after it the next one' start
check 'drives the card as before' client to /dev/can0 can0
"$OUTBOARD" stop bus
wait "$pid"
check 'the kernel has the card back' give_to kvaser_pci "$RIG_OURS"
finish_checks
