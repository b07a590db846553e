#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random mixed I/O with self-describing data on an NVMe disk behind the kernel's VFIO, in each way of waiting and mapping.
#
# rig-where: host
# rig-timeout: 900
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
truncate -s 64M "$dir/disk.img"
cat >"$dir/test.sh" <<'END'
. tests/vfio/rig.sh
give_to vfio-pci "$RIG_NVME"
verify() # OPTIONS ARGUMENT...
{
	local options=$1
	shift
	timeout 400 "$BUILD/tests/block/verify_disk" "$@" "vfio:$RIG_NVME$options"
}
check 'adaptive' verify '' --bytes 128M
check 'polled, depth 256' verify '' --bytes 64M --mode poll --depth 256 --max 64K
check 'by interrupts, MSI-X, four queues' verify '' --bytes 32M --mode interrupt --irq msix --queues 4
check 'by interrupts, INTx' verify '' --bytes 16M --mode interrupt --irq intx
check 'pages mapped for each request only' verify ,dma=strict --bytes 16M
check 'pages mapped lazily' verify ,dma=lazy --bytes 16M
check 'nothing was refused by the IOMMU' test ! -s "$RIG_FAULTS"
finish_checks
END
rig/vm --timeout 850 --modprobe vfio-pci --modprobe vfio_iommu_type1 --env "BUILD=$BUILD" \
	--device "nvme,file=$dir/disk.img" -- bash "$dir/test.sh"
