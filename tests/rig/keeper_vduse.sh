#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A keeper over an NVMe disk that is claimed through VFIO and attached as /dev/vdX through VDUSE: keeper_disk.bash.
#
# rig-device: nvme,empty=256M
# rig-modprobe: vfio-pci vfio_iommu_type1 vduse virtio_vdpa virtio_blk
# rig-options: --memory 2G
# rig-nightly-kernels: 7.2
# rig-timeout: 900
set -u
. tests/rig/keeper_disk.bash
survives 24M vduse-blk,queues=2,bounce=4M 20 20
nothing_left()
{
	[ "$(echo /dev/vduse/*)" = /dev/vduse/control ] && [ -z "$(ls /sys/bus/vdpa/devices)" ] && ! pgrep -x outboard-care >/dev/null
}
check 'nothing is left' wait_for nothing_left
killed()
{
	kill -KILL "$keeper" && wait_for gone "$keeper" && { wait "$keeper" 2>/dev/null; wait_for nothing_left; }
}
check 'it is a block device again' start 24M vduse-blk,queues=2,bounce=4M
check 'a keeper that is killed leaves nothing' killed
rm -rf "${dir:?}"
finish_checks
