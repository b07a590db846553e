#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A keeper over an NVMe disk that is claimed through VFIO and attached as /dev/nbdN by the kernel's NBD client: keeper_disk.bash. The client
# sends what was under way once more after its time-out, so a kill takes that long.
#
# rig-device: nvme,empty=256M
# rig-modprobe: vfio-pci vfio_iommu_type1 nbd
# rig-options: --memory 2G
# rig-nightly-kernels: 6.1
# rig-allow-log: block nbd
# rig-timeout: 900
set -u
. tests/rig/keeper_disk.bash
survives 8M nbd-kernel,timeout=1 10 10
nothing_left()
{
	[ -z "$(ls /sys/block/nbd*/pid 2>/dev/null)" ] && ! pgrep -x outboard-care >/dev/null
}
check 'nothing is left' wait_for nothing_left
killed()
{
	kill -KILL "$keeper" && wait_for gone "$keeper" && { wait "$keeper" 2>/dev/null; wait_for nothing_left; }
}
check 'it is a block device again' start 8M nbd-kernel,timeout=1
check 'a keeper that is killed leaves nothing' killed
rm -rf "${dir:?}"
finish_checks
