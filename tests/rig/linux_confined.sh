#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's nvme, unmodified, is loaded inside of the sandbox, finds a real disk, reads and writes, before and after its lock.
#
# rig-where: host
# rig-timeout: 600
set -u
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of nvme block 6.12
	cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
	rig/vm --kernel 6.12 --timeout 550 --modprobe vfio-pci --modprobe vfio_iommu_type1 --device nvme,empty=64M --env "BUILD=$BUILD" \
		--env "OBJECT=$cache/objects/linux-$object-6.12.so" --results "$RIG_RESULTS" -- bash tests/rig/linux_confined.sh --inside
	exit
fi
. tests/vfio/rig.sh
give_to vfio-pci "$RIG_NVME"
check 'the driver of the kernel works inside' soon "$BUILD/tests/rig/rig-confined" "$OBJECT"
finish_checks
