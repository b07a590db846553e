#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Scheduling latency while a driver works
# bench-from: Weisbach et al. 2011 figures 5 and 6
# bench-about: cyclictest, the highest priority, wakes up every millisecond and notes how late it is, while nothing happens, and while UDP is
#   received and sent by the card as fast as the machine can. The machine's clock goes by instructions, one a nanosecond, so that a latency is the longest piece
#   that could not be interrupted, on any host.
# bench-base: kernel
# bench-side: kernel: the kernel's e1000e driver
# bench-side: tap: Outboard's driver looped back as a tap interface
# bench-side: linux tap: the kernel's e1000e driver, unmodified, in a process, looped back
# bench-plot: latency
# bench-goal: * | UDP | * | latency, highest | <= 1.1
# rig-device: e1000e,netdev=hub=1,mac=52:54:00:00:00:01
# rig-device: e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02
# rig-modprobe: tun vfio-pci vfio_iommu_type1
# rig-options: --counting --deterministic
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
loops=$(by_mode 2000 500 50)

cyclic() # SIDE LOAD
{
	local line
	line=$(cyclictest --mlockall --priority=95 --interval=1000 --loops="$loops" --quiet | tail -n 1) || exit 1
	# "T: 0 (  123) P:95 I:1000 C:   500 Min:      8 Act:   12 Avg:   11 Max:      40"
	sample "$1" "$2" null 'latency' "$(sed 's/.*Avg: *\([0-9]*\).*/\1/' <<<"$line")" 'us, mean'
	sample "$1" "$2" null 'latency, highest' "$(sed 's/.*Max: *\([0-9]*\).*/\1/' <<<"$line")" us
}

loads() # SIDE
{
	local pids
	cyclic "$1" nothing
	# More than can be done until cyclictest has ended.
	"$client" --test udp --from-ns own --to-ns peer --to 10.7.0.2 --size 1400 --count 100000000 >/dev/null &
	pids=$!
	cyclic "$1" UDP
	kill $pids
	wait $pids 2>/dev/null || true # it was ended
}

loads_attached() # SIDE
{
	own_is_attached
	loads "$1"
}

looped_back() # SIDE [OPTION...]
{
	attached "$1" "$RIG_E1000E" tap,vhost=off,netns=own,address=10.7.0.1/24 loads_attached "${@:2}"
}

if ! command -v cyclictest >/dev/null; then
	leave_out '' 'there is no cyclictest; apt-get install rt-tests'
	exit
fi
modprobe -a e1000e e1000 || exit 1
two_cards "$RIG_E1000E" "$RIG_E1000_82545EM"
loads kernel
own_to_vfio "$RIG_E1000E"
modprobe -r e1000e
looped_back tap
if built e1000e; then
	looped_back 'linux tap' --driver linux:e1000e
else
	leave_out 'linux tap' 'linux:e1000e is not built; outboard linux build e1000e'
fi
