#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `outboard bind` loads the modules that it needs, and says what to do when it cannot.
#
# rig-kernels: 6.12 6.1 7.2
# rig-device: edu
# rig-alone: no module of VFIO or UIO is loaded
set -u
. tests/uio/rig.sh
ob=$OUTBOARD
check 'no driver is there yet' test ! -e /sys/bus/pci/drivers/vfio-pci
mkdir -p /etc/modprobe.d
echo 'install vfio-pci /bin/false' >/etc/modprobe.d/test.conf
check 'a module that cannot be loaded is named' ends 5 'module vfio-pci cannot be loaded' 'modprobe vfio-pci' -- $ob bind "$RIG_EDU"
check 'nothing has changed' eval '[ "$(cat "/sys/bus/pci/devices/$RIG_EDU/driver_override")" = "(null)" ] &&
	[ -z "$(ls /run/outboard/bind 2>/dev/null)" ]'
rm /etc/modprobe.d/test.conf
check 'bind loads what is missing' ends 0 "$RIG_EDU: vfio-pci" -- $ob bind "$RIG_EDU"
check 'so that the device can be driven at once' $ob selftest "vfio:$RIG_EDU"
check 'unbind' $ob unbind "$RIG_EDU"
finish_checks
