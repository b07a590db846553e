#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A kernel that is locked down gives registers to VFIO only: UIO is refused with that reason, devices does not offer it.
#
# rig-iommu: none
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-modprobe: uio_pci_generic
# rig-alone: lockdown cannot be taken back
set -u
. tests/uio/rig.sh
ob=$OUTBOARD
give_to uio_pci_generic "$RIG_EDU"
mounted=
[ -e /sys/kernel/security/lockdown ] || {
	mount -t securityfs securityfs /sys/kernel/security && mounted=/sys/kernel/security
}
echo integrity 2>/dev/null >/sys/kernel/security/lockdown
if ! grep -q '\[integrity\]' /sys/kernel/security/lockdown; then
	[ -z "$mounted" ] || umount "$mounted"
	echo '1..0 # SKIP this kernel cannot be locked down'
	exit
fi
check 'uio says why it is refused, and names VFIO' ends 5 'the kernel is locked down' 'vfio-pci' -- $ob selftest "uio:$RIG_EDU"
check 'the device was not touched' eval "! is_bus_master $RIG_EDU"
check 'devices offers no way' eval \
	'$ob devices --json | jq -e ".devices[] | select(.address == \"$RIG_E1000E\") | .way.backend == \"\" and (.way.why | contains(\"locked down\"))"'
check 'bind refuses, too' ends 5 'locked down' -- $ob bind "$RIG_E1000E"
[ -z "$mounted" ] || umount "$mounted"
finish_checks
