#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What stands in the way of a device is told with who, what and the command that removes it; and the command does.
#
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-alone: modules must not be loaded
# rig-timeout: 900
set -u
. tests/vfio/rig.sh
smbus=0000:00:1f.3
sata=0000:00:1f.2
probe=("$OUTBOARD" probe)
test_it=("$OUTBOARD" selftest)
fix_of() # COMMAND...: what an error says after "to fix:"
{
	"$@" 2>&1 | sed -n 's/^ *to fix: *//p'
}

unprivileged() # COMMAND...
{
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all -- "$@"
}

little_memory() # COMMAND...
{
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all -- \
		prlimit --memlock=65536:65536 -- "$@"
}

check 'not an address' says "'tree' is not the address" 0000:03:00.0 -- "${probe[@]}" vfio:tree
check 'no such device' says 'no PCI device 0000:1f:00.0' 'outboard devices' -- "${probe[@]}" vfio:0000:1f:00.0
check 'no such option' says "no option 'colour'" 'dma, arena, iommufd, wc' -- "${probe[@]}" "vfio:$RIG_EDU,colour=red"
check 'no such policy' says "'loose'" 'pooled, strict, lazy' -- "${probe[@]}" "vfio:$RIG_EDU,dma=loose"
check 'the module is missing' \
	says 'not bound to the kernel' 'vfio-pci is not loaded' 'modprobe -a vfio-pci vfio_iommu_type1' "outboard bind $RIG_EDU" \
	-- "${probe[@]}" "vfio:$RIG_EDU"

modprobe e1000e
modprobe -a vfio-pci vfio_iommu_type1
echo "$RIG_E1000E" >/sys/bus/pci/drivers_probe
check 'the kernel drives it' says 'in use by the kernel' e1000e "outboard bind $RIG_E1000E" -- "${probe[@]}" "vfio:$RIG_E1000E"
check 'nobody drives it' says 'no driver has it' "outboard bind $RIG_EDU" -- "${probe[@]}" "vfio:$RIG_EDU"
# The command, with this build's program.
PATH=$(dirname "$OUTBOARD"):$PATH
check 'the command that is told removes that' sh -c "$(fix_of "${probe[@]}" "vfio:$RIG_EDU") && '$OUTBOARD' selftest vfio:$RIG_EDU"

modprobe -r vfio_iommu_type1
check 'half of the modules are missing' says 'vfio_iommu_type1 is not loaded' 'modprobe vfio_iommu_type1' -- "${probe[@]}" "vfio:$RIG_EDU"
modprobe vfio_iommu_type1

modprobe -a i2c-i801
echo "$smbus" >/sys/bus/pci/drivers_probe
give_to vfio-pci "$sata"
check 'the group has its driver' test "$(driver_of $smbus)" = i801_smbus
check 'a group that is not viable is told with each member' \
	says 'not viable' "$smbus (i801_smbus)" "$sata (vfio-pci)" "outboard bind $smbus" -- "${probe[@]}" "vfio:$sata"
check 'the command that is told frees it' sh -c "$(fix_of "${probe[@]}" vfio:$sata) && '$OUTBOARD' probe vfio:$sata"

node=/dev/vfio/$(group_of "$RIG_EDU")
check 'the node may not be opened' says "user 65534 may not open $node" 'belongs to user 0' "sudo chown 65534 $node" \
	-- unprivileged "${probe[@]}" "vfio:$RIG_EDU"
chown 65534 "$node"
check 'locked memory: need, limit and the line to change' \
	says 'needs 65536 KiB of locked memory' '64 KiB are allowed' 'ulimit -l 65536' 'memlock 65536' 'LimitMEMLOCK=65536K' \
	-- little_memory "${test_it[@]}" "vfio:$RIG_EDU"
check 'a small arena is enough for a small device' little_memory "${test_it[@]}" "vfio:$RIG_EDU,arena=32K"
check 'pages that are mapped when needed are, too' little_memory "${test_it[@]}" "vfio:$RIG_EDU,dma=strict"
check 'that user, with the memory asked for' \
	prlimit --memlock=67108864:67108864 -- setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
	--bounding-set=-all -- "${test_it[@]}" "vfio:$RIG_EDU"
check 'iommufd, which this kernel has not' says '/dev/iommu' 'leave out iommufd=on' -- "${probe[@]}" "vfio:$RIG_EDU,iommufd=on"

# Somebody who does not ask Outboard.
exec 5<>"$node"
check 'a group that another program has open' says "pid $$ (" "$node" -- "${probe[@]}" "vfio:$RIG_EDU"
exec 5>&-
check 'and afterwards' "${test_it[@]}" "vfio:$RIG_EDU"
finish_checks
