#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A keeper over an NVMe disk that is claimed through VFIO and attached as /dev/ublkbN: its driver process is killed again and
# again under a mounted ext4 on which a client writes. Nothing that was acknowledged is lost, nobody gets an error, fsck finds nothing.
# Not on 6.12, whose ublk driver has a race at the death of a server (docs/findings/ublk-server-killed.md).
# KEEPER_KILLS kills (200), a file system check after each KEEPER_CHECK (100).
#
# rig-device: nvme,empty=256M
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --memory 2G
# rig-kernels: 7.2
# rig-timeout: 900
set -u
. tests/checks.sh
mnt=$dir/mnt
mkdir "$mnt"
kills=${KEEPER_KILLS:-200} chunk=${KEEPER_CHECK:-100}
[ "$kills" -ge "$chunk" ] || chunk=$kills
"$OUTBOARD" bind "$RIG_NVME" >"$dir/log" 2>&1 || sed 's/^/# /' "$dir/log"

keeper=
start()
{
	"$OUTBOARD" run "vfio:$RIG_NVME" --attach ublk --restart on-failure,limit=0,backoff=0,heartbeat=5000 >"$dir/said" 2>"$dir/err" &
	keeper=$!
	wait_for eval 'grep -q ublkb "$dir/said" || gone $keeper' && grep -q 'as /dev/ublkb0 through ublk' "$dir/said"
}

reasons()
{
	tail -n 5 "$dir/said" "$dir/err" "$dir/kills" 2>/dev/null | cut -c1-300
}

check 'it is /dev/ublkb0, below a keeper' start
check 'an ext4 is made' soon mkfs.ext4 -q -F /dev/ublkb0

mounted()
{
	soon mount /dev/ublkb0 "$mnt" && { [ -e "$mnt/blocks" ] || soon fallocate -l 4M "$mnt/blocks"; }
}
under_kills() # SEED KILLS
{
	"$BUILD/tests/campaign/kills" --target "$mnt/blocks" --keeper "$keeper" --log "$dir/acknowledged" --seed 1 --kills "$2" >"$dir/kills" 2>&1
	local code=$?
	sed 's/^/# /' "$dir/kills"
	return $code
}
clean()
{
	soon umount "$mnt" && soon fsck.ext4 -fn /dev/ublkb0 >"$dir/fsck" 2>&1 || { cat "$dir/fsck"; return 1; }
}
for ((done_ = 0; done_ < kills; done_ += chunk)); do
	check "mounted ($done_)" mounted
	check "$chunk kills while it writes: nothing lost, no error ($done_)" under_kills "$done_" "$chunk"
	check "unmounted, fsck finds nothing ($done_)" clean
done
check 'all is read back once more' eval 'mounted && under_kills 0 0 && soon umount "$mnt"'
check 'the keeper tells of it' eval '"$OUTBOARD" show $keeper --json | grep -q "\"deaths\": *$kills"'
check 'interrupted, it ends in order' eval 'kill -INT $keeper; wait_for gone $keeper; wait $keeper; [ $? = 0 ]'
check 'no device is left' eval '! ls /dev/ublkb* >/dev/null 2>&1'
rm -rf "$dir"
finish_checks
