#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An evil driver on real kernels: its sandbox with all that these have (physical memory's nodes, ports, cgroups, Landlock of their version), and
# what it can do with the device that it was given. The kernel tells of an abort() and of a process that a cgroup's limit ended.
#
# rig-kernels: 6.12 6.1 7.2
# rig-device: edu
# rig-device: nvme,empty=64M
# rig-modprobe: vfio-pci vfio_iommu_type1 tun
# rig-timeout: 900
# rig-allow-log: traps: sandbox.* general protection fault|Call Trace:
set -u
. tests/vfio/rig.sh

give_to vfio-pci "$RIG_EDU" "$RIG_NVME"
mkdir -p /sys/fs/cgroup
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup

# All of its lines are shown, its result is one line of ours.
part() # NAME COMMAND...
{
	local name=$1
	shift
	"$@" >"$dir/part" 2>&1
	local code=$?
	sed 's/^/# /' "$dir/part"
	check "$name" test $code = 0
}

export SANDBOX_MODULE=$BUILD/tests/keeper/sandbox-module.so
part 'all attempts are refused' "$BUILD/tests/keeper/evil"
# What namespaces an ordinary user gets is one distribution's decision, so it is asked once.
[[ $RIG_KERNEL != 6.12.* ]] || part 'all attempts are refused, of an ordinary user' "$BUILD/tests/keeper/evil" user
part 'the sandbox from outside' "$BUILD/tests/keeper/sandbox"
part 'what it tries with its device' "$BUILD/tests/rig/rig-evil-device"
part 'a driver binds and serves inside' "$BUILD/tests/rig/rig-confined"
umount /sys/fs/cgroup
finish_checks
