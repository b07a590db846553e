#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The same driver, once in the kernel and once from the same source in a process through VFIO, on two devices that are the same and fresh from power-on: it writes
# the same values to the same registers in the same order, from its probe to its first packet or request. Recorded by QEMU,
# where the device is (trace event memory_region_ops_write); register_writes.py compares, and knows what may differ and why.
#
# rig-where: host
# rig-timeout: 900
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of nvme block 6.12
	nvme=$object
	object_of e1000e net 6.12
	rig/vm --timeout 850 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe tun \
		--env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" --env "NET=$object" --env "BLOCK=$nvme" --results "$RIG_RESULTS" \
		--device e1000e,netdev=user,mac=52:54:00:07:00:01,id=card_kernel --device e1000e,netdev=user,mac=52:54:00:07:00:01,id=card_process \
		--device nvme,null=64M,id=disk_kernel --device nvme,null=64M,id=disk_process -- bash tests/rig/linux_registers.sh --inside
	exit
fi
. tests/vfio/rig.sh

record() # NAME: from now on what is written to devices
{
	rig-qmp human-monitor-command "command-line=logfile $RIG_RESULTS/$1" >/dev/null &&
		rig-qmp human-monitor-command 'command-line=trace-event memory_region_ops_write on' >/dev/null &&
		rig-qmp human-monitor-command 'command-line=trace-event pci_nvme_admin_cmd on' >/dev/null
}

# What was recorded is in the file when it is no longer the log.
recorded()
{
	rig-qmp human-monitor-command 'command-line=trace-event memory_region_ops_write off' >/dev/null &&
		rig-qmp human-monitor-command 'command-line=trace-event pci_nvme_admin_cmd off' >/dev/null &&
		rig-qmp human-monitor-command "command-line=logfile $RIG_FAULTS" >/dev/null
}

# The same steps on both sides: the driver comes, the interface goes up, the gateway is asked for.
net_in_kernel()
{
	modprobe e1000e && wait_for test -d "/sys/bus/pci/devices/$RIG_CARD_KERNEL/net" || return
	card=$(ls "/sys/bus/pci/devices/$RIG_CARD_KERNEL/net")
	# As linux/class/net has it, before the interface goes up (tests/rig/linux_vfio.sh).
	ethtool -K "$card" rxvlan off gro off
	ip address add 10.0.2.15/24 dev "$card" && ip link set "$card" up && wait_for ping -c 1 -W 2 10.0.2.2
}

net_in_process()
{
	"$OUTBOARD" run "vfio:$RIG_CARD_PROCESS" --driver "linux:$NET" --attach tap,address=10.0.2.15/24 --quiet -- \
		sh -c 'for _ in 1 2 3 4 5 6 7 8 9; do ping -c 1 -W 2 10.0.2.2 && exit; done; exit 1'
}

block_in_kernel()
{
	modprobe nvme && wait_for test -b /dev/nvme0n1 && dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 iflag=direct status=none
}

block_in_process()
{
	"$OUTBOARD" selftest --driver "linux:$BLOCK" "vfio:$RIG_DISK_PROCESS"
}

# Before the drivers come, which would take all.
check 'VFIO has a card' give_to vfio-pci "$RIG_CARD_PROCESS"
check 'and a disk' give_to vfio-pci "$RIG_DISK_PROCESS"
for kind in net block; do
	check "$kind: writes are recorded" record $kind.kernel
	check "$kind: the kernel drives one" ${kind}_in_kernel
	check "$kind: they were recorded" recorded
	# What it writes later is not to be among the other's.
	check "$kind: the kernel lets it go" rmmod $([ $kind = net ] && echo e1000e || echo nvme)
	check "$kind: writes are recorded again" record $kind.process
	check "$kind: a process drives the other" ${kind}_in_process
	check "$kind: they were recorded again" recorded
	check "$kind: the same was written" tests/rig/register_writes.py $kind "$RIG_RESULTS/$kind.kernel" "$RIG_RESULTS/$kind.process"
done
