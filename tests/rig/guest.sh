#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The rig's guest is what tests believe it is: its kernel, an IOMMU, the devices asked for at the addresses told, this machine's
# files, a folder to write to.
#
# rig-kernels: 6.12 6.1 7.2
# rig-device: e1000e,netdev=none
# rig-device: edu,port=on
# rig-device: nvme,null=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
set -u
. tests/checks.sh

device_id() # BDF VENDOR:DEVICE
{
	[ "$(cat "/sys/bus/pci/devices/$1/vendor"):$(cat "/sys/bus/pci/devices/$1/device")" = "$2" ]
}

check 'the kernel asked for' test "$(uname -r)" = "$RIG_KERNEL"
check 'e1000e is where RIG_E1000E says' device_id "$RIG_E1000E" 0x8086:0x10d3
check 'edu behind a port is where RIG_EDU says' device_id "$RIG_EDU" 0x1234:0x11e8
check 'nvme is where RIG_NVME says' device_id "$RIG_NVME" 0x1b36:0x0010
check 'each device is in an IOMMU group' test -e "/sys/bus/pci/devices/$RIG_EDU/iommu_group"
check 'no driver has a device yet' test ! -e "/sys/bus/pci/devices/$RIG_NVME/driver"
check 'modules are loaded' test -c /dev/vfio/vfio
check 'programs of this machine are there' test -x "$BUILD/cli/outboard"
check 'its files can be written to' eval 'echo 1 >/etc/rig-test && test "$(cat /etc/rig-test)" = 1'
check 'the results folder can be written to' eval 'echo 1 >"$RIG_RESULTS/written" && test -s "$RIG_RESULTS/written"'
check 'user namespaces work' unshare -U true
echo vfio-pci >"/sys/bus/pci/devices/$RIG_EDU/driver_override"
echo "$RIG_EDU" >/sys/bus/pci/drivers_probe
check 'a device can be given to vfio-pci' test "$(basename "$(readlink "/sys/bus/pci/devices/$RIG_EDU/driver")")" = vfio-pci
finish_checks
