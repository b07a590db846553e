#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A keeper over an NVMe disk that is claimed through VFIO and attached as /dev/ublkbN: keeper_disk.bash.
# Not on 6.12, whose ublk driver has a race at the death of a server (docs/findings/ublk-server-killed.md).
# KEEPER_KILLS kills (200), a file system check after each KEEPER_CHECK (100). Half of a kill's time are two resets of the function, in which the machine
# has nothing to do: several of these side by side, each with a disk of its own (RIG_NVME), take hardly longer than one (scripts/nightly).
#
# rig-device: nvme,empty=256M
# rig-modprobe: vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --memory 2G
# rig-kernels: 7.2
# rig-timeout: 900
set -u
. tests/rig/keeper_disk.bash
survives 8M ublk 200 100
check 'no device is left' [ ! -e "$NAME" ]
rm -rf "${dir:?}"
finish_checks
