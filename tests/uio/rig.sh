# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the tests tests/rig/uio*.sh and bind*.sh share beside tests/vfio/rig.sh; sourced by them.
. tests/vfio/rig.sh

# N of /dev/uioN
uio_of() # BDF
{
	ls "/sys/bus/pci/devices/$1/uio" | tr -dc 0-9
}

# Bit 2 of the command register.
is_bus_master() # BDF
{
	[ $((0x$(od -An -tx1 -j4 -N1 "/sys/bus/pci/devices/$1/config" | tr -d ' ') & 4)) != 0 ]
}
