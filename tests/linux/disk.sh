#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# disk.sh OUTBOARD DRIVER MODEL [KERNEL]: an unmodified disk driver of the Linux kernel drives QEMU's MODEL and gives a disk: its self-test, ext4 with files, fsck,
# verified input and output by fio, flush, discard, zeroes, an end without leftovers, all of it once more; and a device that vanishes. Without root the
# disk is an NBD export in place of a block device. Skipped where neither the driver nor the profile of all disks is built.
driver=$2 model=$3 kernel=${4:-6.12}
# Mounts of the test are seen by it alone, and it sees its own processes, interfaces and instances alone, as others run beside it.
if [ "$(id -u)" -eq 0 ] && [ "${!#}" != --inside ]; then
	exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc --net --ipc \
		bash -c 'mount -t tmpfs tmpfs /run && exec bash "$@"' - "$0" "$1" "$driver" "$model" "$kernel" --inside
fi
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of "$driver" block "$kernel"
# In a process namespace of the whole machine others come and go.
if [ "$(id -u)" -ne 0 ]; then
	export OUTBOARD_MARK=$$-$RANDOM
	export CENSUS_TAG=OUTBOARD_MARK=$OUTBOARD_MARK
fi
how=nbd
[ "$(id -u)" -eq 0 ] && [ -e /dev/loop-control ] && [ -e /dev/fuse ] && how=loop
for tool in fio mkfs.ext4 e2fsck jq $([ $how = loop ] || echo nbdcopy); do
	command -v "$tool" >/dev/null || { echo "1..0 # SKIP there is no $tool here" && exit; }
done

# QEMU's OHCI of Debian 13 gives up at the 34th packet of a transfer in a frame, so that no block is ever written (docs/linux.md).
qemu=$("${OUTBOARD_QEMU:-qemu-system-x86_64}" --version | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
if [ "$model" = pci-ohci ] && [ "${qemu:-0}" -ge 10 ]; then
	echo "1..0 # SKIP the OHCI controller of QEMU $qemu ends at the 34th packet of a transfer"
	exit
fi
size=96
# Of blocks of any size, and of small ones with flushes.
export load=8M small=1M
# Accesses after which the device vanishes: the disk is there by then, and in use.
gone=20000
case $model in
# One command at a time: with more of them QEMU's chip loses some (docs/linux.md).
lsi*) export OUTBOARD_LINUX_ARGS=sym53c8xx.cmd_per_lun=1 ;;
# A megabyte a second is what USB 1 has for its disks.
*uhci* | *ohci*) load=2M ;;
# The driver reads a register a thousand times for each command (docs/linux.md).
am53c974) load=4M small=256K gone=80000 ;;
# A card has a power of two of bytes.
sdhci-pci) size=128 ;;
esac
spec=qemu:$model,file=$dir/disk.img
linux=linux:$object@$kernel
mkdir "$dir/work" "$dir/mnt"
export WORK=$dir/work
cp -r "$here/linux" "$dir/files"

# ---- what runs with the disk: leaves a word in $WORK for each thing that worked --------------------------------

cat >"$dir/use-loop" <<'END'
#!/bin/bash
disk=$OUTBOARD_DEV name=${OUTBOARD_DEV#/dev/}
exec 2>>"$WORK/said"
verify()
{
	timeout 200 fio --name=disk --filename="$disk" --direct=1 --ioengine=libaio --iodepth=32 --size="$1" --rw=randrw "${@:2}" \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 --output="$WORK/fio" >>"$WORK/said"
}
verify "$load" --bsrange=4k-256k && echo yes >"$WORK/verify"
verify "$small" --bs=4k --offset=48M --fsync=16 && echo yes >"$WORK/flush"
if [ "$(cat "/sys/block/$name/queue/discard_max_bytes")" -gt 0 ]; then
	blkdiscard -f -o 1M -l 1M "$disk" && echo yes >"$WORK/discard"
fi
dd if=/dev/urandom of="$disk" bs=64k count=16 seek=16 oflag=direct status=none &&
	blkdiscard -z -o 1114112 -l 131072 "$disk" &&
	cmp -n 131072 -i 1114112:0 "$disk" /dev/zero && echo yes >"$WORK/zero"
mkfs.ext4 -q -F "$disk" && mount "$disk" "$WORK/../mnt" && cp -r "$WORK/../files" "$WORK/../mnt/" && sync -f "$WORK/../mnt" &&
	umount "$WORK/../mnt" && e2fsck -fn "$disk" >>"$WORK/said" && mount -o ro "$disk" "$WORK/../mnt" &&
	diff -r "$WORK/../files" "$WORK/../mnt/files" >>"$WORK/said" && umount "$WORK/../mnt" && echo yes >"$WORK/ext4"
"$outboard" show "$OUTBOARD_PID" --json >"$WORK/state"
true
END
cat >"$dir/use-nbd" <<'END'
#!/bin/bash
exec 2>>"$WORK/said"
verify()
{
	timeout 200 fio --name=disk --ioengine=nbd --uri="$OUTBOARD_URI" --iodepth=32 --size="$1" --rw=randrw "${@:2}" \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 --output="$WORK/fio" >>"$WORK/said"
}
verify "$load" --bsrange=4k-256k && echo yes >"$WORK/verify"
verify "$small" --bs=4k --offset=48M --fsync=16 && echo yes >"$WORK/flush"
size=$(nbdinfo --size "$OUTBOARD_URI") && truncate -s "$size" "$WORK/../made" && mkfs.ext4 -q -F -d "$WORK/../files" "$WORK/../made" &&
	nbdcopy "$WORK/../made" "$OUTBOARD_URI" && nbdcopy "$OUTBOARD_URI" "$WORK/../back" &&
	cmp "$WORK/../made" "$WORK/../back" && e2fsck -fn "$WORK/../back" >>"$WORK/said" && echo yes >"$WORK/ext4"
"$outboard" show "$OUTBOARD_PID" --json >"$WORK/state"
true
END
chmod +x "$dir"/use-*

worked() # WHAT
{
	[ "$(cat "$WORK/$1" 2>/dev/null)" = yes ] || { tail -n 20 "$WORK/said"; tail -n 20 "$WORK/fio"; return 1; }
}

drive() # NAME
{
	rm -f "$WORK"/*
	"$here/scripts/census" "$dir/mnt" >"$dir/before"
	ob run --driver "$linux" "$spec" --attach $how --quiet -- "$dir/use-$how"
	expect "$1: a disk, and its end" 0
	"$here/scripts/census" "$dir/mnt" >"$dir/after"
	check "$1: what was written is read" worked verify
	check "$1: with flushes in between" worked flush
	if [ $how = loop ]; then
		if [ -e "$WORK/discard" ]; then ok "$1: a range is discarded"; else skip "$1: a range is discarded" 'the disk has no discard'; fi
		check "$1: a range is made zero, and nothing else" worked zero
	fi
	check "$1: a file system holds files, and is clean" worked ext4
	check "$1: nothing is left" test -z "$(comm -13 "$dir/before" "$dir/after" | tee "$dir/left")"
	check "$1: the image has the file system" e2fsck -fn "$dir/disk.img"
}

truncate -s ${size}M "$dir/disk.img"
ob selftest --driver "$linux" "$spec"
expect_out 'its self-test passes' 0 "$size MiB" "read "
drive 'first time'
drive 'again'

# In the middle of requests: those end, and so does the server.
cat >"$dir/read" <<'END'
#!/bin/bash
[ -n "${OUTBOARD_DEV:-}" ] && dd if="$OUTBOARD_DEV" of=/dev/null bs=4k iflag=direct status=none
[ -z "${OUTBOARD_DEV:-}" ] && nbdcopy "$OUTBOARD_URI" null:
echo $? >"$WORK/read"
END
chmod +x "$dir/read"
ob run --driver "$linux" "fault[gone=$gone]:$spec" --attach $how --quiet -- "$dir/read"
expect 'a device that vanishes is an error' 3 'gone'
# The program ends whoever uses the disk, perhaps before that can tell.
check 'for who reads from it, too' eval '[ ! -e "$WORK/read" ] || ! grep -qx 0 "$WORK/read"'
ob selftest --driver "$linux" "fault[gone=12]:$spec"
check 'a device that vanishes during the probe is an error' test "$status" -ne 0
expect 'and that names the device' "$status" "${model%%,*}"

if [ "$model" = virtio-blk-pci ]; then
	ob selftest --driver "$linux" "$spec,prop.disable-modern=on,prop.disable-legacy=off,prop.iommu_platform=off"
	expect 'one of before 1.0 is refused' 5 'before 1.0'
fi

[ $failed -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object "$here/linux/record" "$driver" "$kernel" "qemu:$model" probe selftest read write flush ext4 fio-verify vanish remove again
finish
