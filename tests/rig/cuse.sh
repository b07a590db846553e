#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# edu as /dev/edu0: numbers and their factorials by shell, several files at once, poll, ioctl, errors; who has it open holds it;
# and nothing is left of a killed server.
#
# rig-nightly-kernels: 6.1 7.2
# rig-device: edu
# rig-modprobe: cuse vfio-pci vfio_iommu_type1
# rig-timeout: 200
set -u
. tests/vfio/rig.sh
pid=

is() # GOT WANTED
{
	echo "got '$1', wanted '$2'"
	[ "$1" = "$2" ]
}

start() # OPTIONS...
{
	: >"$RIG_RESULTS/run.log" # what the last one said is not this one's word
	"$OUTBOARD" run "vfio:$RIG_EDU" --name teacher "$@" >"$RIG_RESULTS/run.log" 2>&1 &
	pid=$!
	wait_for grep -q ' as /dev/' "$RIG_RESULTS/run.log"
}

give_to vfio-pci "$RIG_EDU"
check 'it becomes a node' start
check 'by cuse, as edu0' grep -q 'as /dev/edu0 through cuse' "$RIG_RESULTS/run.log"
check 'its driver process is in the sandbox' eval '"$OUTBOARD" show teacher --sandbox --json | jq -e .confined'
check 'which is a character device' test -c /dev/edu0
check 'before anything was written it is empty' is "$(cat /dev/edu0)" ''
check 'a number is written' sh -c 'echo 10 >/dev/edu0'
check 'and its factorial is read' is "$(cat /dev/edu0)" 3628800
check 'by everybody who did not write' is "$(cat /dev/edu0)" 3628800
check 'each number of a write has its line' is "$(/usr/bin/printf '3\n4\n5' >/dev/edu0 && cat /dev/edu0)" '6
24
120'
check 'who wrote reads his own' is "$(
	exec 3<>/dev/edu0 4<>/dev/edu0
	echo 6 >&3
	echo 7 >&4
	cat <&3
	cat <&4
)" '720
5040'
check 'in small pieces, too' is "$(
	exec 3<>/dev/edu0
	echo 12 >&3
	for i in 1 2 3 4; do dd bs=3 count=1 <&3 2>/dev/null; done
)" 479001600
check 'what is no number is an error' says 'Invalid argument' -- bash -c 'echo ten >/dev/edu0'
check 'so is an empty one with a sign' says 'Invalid argument' -- bash -c 'echo -1 >/dev/edu0'
check 'so is a factorial that does not fit' says 'Numerical result out of range' -- bash -c 'echo 13 >/dev/edu0'
check 'and a longer line than any' says 'Invalid argument' -- bash -c "head -c 300 /dev/zero | tr '\\0' 1 >/dev/edu0"
check 'after which it works as before' is "$(echo 5 >/dev/edu0 && cat /dev/edu0)" 120
check 'poll, ioctl and several threads' python3 tests/rig/cuse_client.py /dev/edu0
check 'a thousand opens leave nothing open' sh -c \
	'for i in $(seq 1000); do : </dev/edu0 || exit 1; done; ! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/edu0'
check 'it is nobody else'\''s' is "$(stat -c %a:%u /dev/edu0)" 600:0

exec 5<>/dev/edu0
check 'stop names who has it open' says "pid $$ " -- "$OUTBOARD" stop teacher
check 'and it goes on' is "$(echo 4 >/dev/edu0 && cat /dev/edu0)" 24
check 'stop --force takes it' "$OUTBOARD" stop --force teacher
wait "$pid"
check 'what is still open gives an error' ends fails -- bash -c 'cat <&5'
exec 5<&-
check 'the node is gone' test ! -e /dev/edu0

check 'under a name and a mode of ones own' start --attach cuse,name=sums%d,mode=666
check 'it is there' is "$(stat -c %a /dev/sums0)" 666
check 'another user may use it' is "$(setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'echo 3 >/dev/sums0 && cat /dev/sums0')" 6
kill -INT "$pid"
wait "$pid"
check 'ended' is "$?:$(ls /dev/sums0 2>/dev/null)" 0:

check 'a server that will be killed' start
exec 5<>/dev/edu0
python3 tests/rig/cuse_client.py /dev/edu0 wait >"$RIG_RESULTS/waited" 2>&1 &
client=$!
wait_for grep -q waiting "$RIG_RESULTS/waited"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'is noticed by who waits' wait "$client"
check 'leaves no node' wait_for test ! -e /dev/edu0
check 'nor anything in sysfs' wait_for test ! -e /sys/class/cuse/edu0
check 'what is open gives an error' ends fails -- bash -c 'echo 3 >&5'
exec 5<&-
check 'its successor is edu0 again' start
check 'and works' is "$(echo 10 >/dev/edu0 && cat /dev/edu0)" 3628800

# Removed under its users.
: >"$RIG_RESULTS/waited"
python3 tests/rig/cuse_client.py /dev/edu0 wait >"$RIG_RESULTS/waited" 2>&1 &
client=$!
wait_for grep -q waiting "$RIG_RESULTS/waited"
"$OUTBOARD" stop --force teacher >/dev/null 2>&1
wait "$pid"
check 'a stop is noticed by who waits, too' wait "$client"
finish_checks
