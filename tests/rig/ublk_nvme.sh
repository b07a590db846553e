#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An NVMe disk that is claimed through VFIO becomes /dev/ublkbN when nothing else is said; the run says what it took, and
# why not what is better; killed and run again it is the same disk.
#
# rig-kernels: 7.2
# rig-device: nvme,null=256M
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --memory 2G
# rig-allow-log: I/O error, dev ublkb|Buffer I/O error on dev ublkb
set -u
. tests/rig/ublk_server.bash
spec=vfio:$RIG_NVME
"$OUTBOARD" bind "$RIG_NVME" >"$dir/log" 2>&1 || sed 's/^/# /' "$dir/log"

used='test "$OUTBOARD_DEV" = /dev/ublkb0 && timeout 60 dd if=$OUTBOARD_DEV of=/dev/null bs=128k count=64 iflag=direct status=none &&
	timeout 60 dd if=/dev/zero of=$OUTBOARD_DEV bs=4k count=64 oflag=direct status=none'
check 'it is /dev/ublkb0, and is read and written' eval 'soon "$OUTBOARD" run $spec -- sh -c "$used" >"$dir/said" 2>&1; code=$?
	cat "$dir/said"; [ $code = 0 ]'
check 'the run says so' grep -q 'as /dev/ublkb0 through ublk' "$dir/said"
check 'one copy for a request, and its calls are counted' grep -Eq '/dev/ublkb0 .* 1\.0 +[0-9,]+ +0$' "$dir/said"
check 'nothing is left' wait_for nothing_left

# ---- killed, and run again -----------------------------------------------------------------

run()
{
	: >"$dir/said" # what the last one said is not this one's word
	"$OUTBOARD" run $spec --attach ublk,grace=120 >"$dir/said" 2>&1 4>&- &
	server=$!
	wait_for eval 'grep -q ublkb "$dir/said" || gone $server' && grep -q 'as /dev/ublkb0 through ublk' "$dir/said"
}
check 'it runs' run
(soon dd if=/dev/ublkb0 of=/dev/null bs=64k count=3000 iflag=direct status=none) &
client=$!
kill -KILL "$server"
wait "$server" 2>/dev/null
check 'killed while it is read, and run again: it is taken over' eval 'run && grep -q "taken over" "$dir/said"'
check 'the reader has noticed nothing' eval 'wait_for gone $client && wait $client'
check 'interrupted, it ends' eval 'kill -INT $server; wait_for gone $server; wait $server; [ $? -lt 128 ]'
server=
check 'nothing is left (killed)' wait_for nothing_left

# ---- without ublk -----------------------------------------------------------------------------

check 'the module is removed' rmmod ublk_drv
check 'without it another is taken, and the run says why' eval 'soon "$OUTBOARD" run $spec -- true >"$dir/said" 2>&1; cat "$dir/said"
	grep -q "not ublk, because /dev/ublk-control cannot be opened" "$dir/said"'
check 'asked for, it says what is to be done' eval '! soon "$OUTBOARD" run $spec --attach ublk -- true >"$dir/said" 2>&1; cat "$dir/said"
	grep -q "modprobe ublk_drv" "$dir/said"'
check 'the module is loaded again' modprobe ublk_drv
finish
