#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `outboard bind`, `unbind` and `devices` on a machine with ten PCI devices: given and given back, one of two alike, whole groups;
# refused for what is mounted, swapped to, stacked upon, routed through, held, or reserved by others. tests/binding/in_guest.sh.
#
# rig-where: host
# rig-timeout: 900
set -u

for tool in mkfs.ext4 sfdisk mkswap; do
	command -v $tool >/dev/null || PATH=$PATH:/usr/sbin:/sbin
	command -v $tool >/dev/null || {
		echo "1..0 # SKIP no $tool"
		exit
	}
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A disk with a file system in its first partition and swap space in the second.
truncate -s 96M "$work/disk"
printf 'start=2048,size=65536,type=83\nstart=67584,size=65536,type=82\n' | sfdisk -q "$work/disk" >/dev/null &&
	mkfs.ext4 -q -E offset=$((2048 * 512)) "$work/disk" 32M &&
	truncate -s 32M "$work/swap" && mkswap -q "$work/swap" &&
	dd if="$work/swap" of="$work/disk" bs=512 seek=67584 conv=notrunc,sparse status=none || {
	echo "Bail out! no disk image"
	exit 1
}

# Ten.
rig/vm --kernel "$RIG_KERNEL" --timeout 800 \
	--device edu \
	--device e1000e,netdev=user,id=uplink \
	--device e1000-82545em,netdev=none,id=first \
	--device e1000-82545em,netdev=none,id=second \
	--device pcnet,netdev=none \
	--device virtio-net,netdev=none \
	--device "nvme,file=$work/disk,id=system" \
	--device nvme,null=64M,id=data \
	--device virtio-blk,null=64M \
	--device piix3-ide,null=64M \
	--modprobe e1000e --modprobe e1000 --modprobe pcnet32 --modprobe virtio_net --modprobe nvme --modprobe virtio_blk \
	--modprobe ahci --modprobe i2c_i801 --modprobe ext4 --modprobe dm_mod \
	--env OUTBOARD --env BUILD -- bash tests/binding/in_guest.sh
