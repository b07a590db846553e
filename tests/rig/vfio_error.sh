#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Devices that fail, or are pulled, while they are used: an error that PCI Express cannot correct (AER, by the kernel's own injector,
# after which the kernel resets the device under our hands; QEMU's e1000e can report such errors, its nvme cannot), and a hot-unplug.
# Clients get errors, the program ends and says what happened.
#
# rig-nightly-kernels: 6.1 7.2
# rig-device: e1000e,netdev=none,port=on
# rig-device: nvme,null=64M,port=on
# rig-modprobe: vfio-pci vfio_iommu_type1 tun
# rig-alone: breaks devices
# rig-timeout: 300
set -u
. tests/vfio/rig.sh
modprobe aer_inject || exit 1

# struct aer_error_inj of drivers/pci/pcie/aer_inject.c: bus, device, function; uncorrectable status (bit 4: data link protocol
# error, which is fatal), correctable status, four words of the header log, domain.
inject() # BDF
{
	python3 -c '
import struct, sys
domain, bus, slot = sys.argv[1].split(":")
device, function = slot.split(".")
with open("/dev/aer_inject", "wb", buffering=0) as f:
    f.write(struct.pack("<BBBxIIIIIII", int(bus, 16), int(device, 16), int(function), 0x10, 0, 0, 0, 0, 0, int(domain, 16)))
' "$1"
}

pull() # DEVICE
{
	rig-qmp device_del "id=$1"
}

interface_ends() # WORDS COMMAND...: while its registers are read without pause
{
	local words=$1 log=/tmp/net.log pid reader
	shift
	"$OUTBOARD" run "vfio:$RIG_E1000E" --attach tap,name=ob0 >$log 2>&1 &
	pid=$!
	wait_for test -e /sys/class/net/ob0 && ip link set ob0 up || return 1
	(while "$OUTBOARD" ethtool -d ob0 >/dev/null 2>&1; do :; done) &
	reader=$!
	sleep 0.5
	"$@" || return 1
	program_ends $pid $log "$words" && wait $reader && [ ! -e /sys/class/net/ob0 ]
}

again() # the kernel finds what was reset or plugged again
{
	echo 1 >"/sys/bus/pci/devices/$1/remove"
	echo 1 >/sys/bus/pci/rescan
	sleep 1
	give_to vfio-pci "$1"
	timeout 60 "$OUTBOARD" selftest "vfio:$1"
}

# shellcheck disable=SC2086 # a list
give_to vfio-pci $RIG_DEVICES
check 'an interface whose device fails: the program ends, and says so' interface_ends AER inject "$RIG_E1000E"
check 'after its removal and a scan the interface works again' again "$RIG_E1000E"
check 'a disk that is pulled: its clients get errors, the program ends' disk_ends 'takes the device away' pull dev1
check 'an interface that is pulled' interface_ends 'takes the device away' pull dev0
finish_checks
