#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: What the keeper and the sandbox cost on the way of the data
# bench-from: none of the papers; issue 5
# bench-about: Instructions of the whole machine, for a read of a disk looped back by ublk and a datagram of 1,024 bytes echoed through a tap interface, by
#   a driver in one process with everything else, below a keeper, and below a keeper in its sandbox, whose filter of system calls is the kernel's work.
#   The machine's clock goes by instructions.
# bench-base: one process
# bench-parameter: at a time
# bench-side: one process: --one-process
# bench-side: keeper: --sandbox off
# bench-side: keeper and sandbox: as it is by default
# bench-plot: instructions
# bench-goal: * | read | * | instructions | <= 1.01
# bench-goal: * | echo | * | instructions | <= 1.01
# rig-device: nvme,null=1G
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: tun vfio-pci vfio_iommu_type1 ublk_drv
# rig-options: --counting --deterministic --memory 2G
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
reads=$(by_mode 20000 4000 500)
datagrams=$(by_mode 4000 1000 200)

reads_attached() # SIDE
{
	local depth
	for depth in 1 32; do
		counted "$1" read $depth request "$client" --path "$OUTBOARD_DEV" --test disk --size 4096 --depth $depth --count "$reads"
	done
}

echoes_attached() # SIDE
{
	own_is_attached
	counted "$1" echo 1 datagram "$client" --test echo --from-ns peer --to-ns own --to 10.7.0.1 --size 1024 --rate 4000 --count "$datagrams"
}

both() # SIDE [OPTION...]
{
	attached "$1" "$RIG_NVME" ublk reads_attached "${@:2}"
	attached "$1" "$RIG_E1000E" tap,vhost=off,netns=own,address=10.7.0.1/24 echoes_attached "${@:2}"
}

modprobe -a e1000e e1000 || exit 1
two_cards "$RIG_E1000E" "$RIG_E1000_82545EM"
own_to_vfio "$RIG_E1000E"
modprobe -r e1000e
to_vfio "$RIG_NVME" || exit 1
both 'one process' --one-process
both keeper --sandbox off
both 'keeper and sandbox'
