#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kernel.sh [OPTION]... [BUILD]: Outboard against the kernel's own driver for the same device, in one boot of a stock kernel
# (rig/vm): instructions for each request and packet, user and kernel apart, and the rates, as ratios. docs/benchmarks.md
# says how to read it. BUILD is a build directory (default build).
set -u

usage()
{
	cat <<'U'
usage: bench/kernel.sh [OPTION]... [BUILD]
  --json FILE        the figures, all samples
  --quick            one boot of each, a tenth of the operations
  --boots N          boots of each; the median is shown, and the spread (3)
  --kernel VERSION   as rig/vm has them (6.12)
  --disks A,B,...    attachments of the disk (ublk,vduse-blk,nbd-kernel; ublk-shared: clients
                     whose memory the driver shares, Linux 7.1)
  --nets A,B,...     attachments of the card (tap,vhost-net)
  --only disk|net    one of the two
  --iommu KIND       as rig/vm has them (vtd)
  --card MODEL       the card under test: e1000e, or e1000-82545em (e1000e)
  --linux            beside our drivers the kernel's own in a process (docs/linux.md), which must be
                     built: in process, and through the first of the attachments
  --uml PROGRAM      beside them the driver in a User-mode Linux, which bench/uml/build makes, with the
                     device by its VFIO bridge: frames forwarded, 4 KiB reads
U
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
json='' boots=3 kernel=6.12 disks=ublk,vduse-blk,nbd-kernel nets=tap,vhost-net only='' iommu=vtd card=e1000e build=$root/build
uml=''
export BENCH_QUICK=1 BENCH_LINUX='' BENCH_UML=''
while [ $# -gt 0 ]; do
	case $1 in
	--help | -h) usage; exit ;;
	--linux) BENCH_LINUX=yes ;;
	--quick) boots=1 BENCH_QUICK=10 ;;
	--json | --boots | --kernel | --disks | --nets | --only | --iommu | --card | --uml)
		[ $# -gt 1 ] || { usage >&2; exit 2; }
		printf -v "${1#--}" %s "$2"
		shift
		;;
	-*) usage >&2; exit 2 ;;
	*) build=$1 ;;
	esac
	shift
done
build=$(cd "$build" 2>/dev/null && pwd) || { echo "kernel.sh: there is no such build directory; make" >&2; exit 2; }
[ -x "$build/bench/outboard-bench-client" ] || { echo "kernel.sh: there is no $build/bench/outboard-bench-client; make" >&2; exit 2; }
case $card in
e1000e | e1000-82545em) ;;
*) usage >&2; exit 2 ;;
esac
case $boots:$only in
[1-9]: | [1-9]:disk | [1-9]:net) ;;
*) usage >&2; exit 2 ;;
esac

if [ -n "$uml" ]; then
	[ -x "$uml" ] || { echo "kernel.sh: there is no program $uml; bench/uml/build makes one and prints its path" >&2; exit 2; }
	[ "$card" = e1000e ] || { echo "kernel.sh: --uml needs a device with MSI-X, as $card is none" >&2; exit 2; }
	BENCH_UML=$(realpath "$uml")
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Storage is repeatable with QEMU's threads as they are and a clock that needs no calibration, networks when
# instructions are the clock; each is not, the other way (QEMU completes disk requests when the host's scheduler likes).
boot() # KIND SAMPLE RIG-OPTIONS... -- ATTACHMENTS...
{
	local kind=$1 results=$work/$1.$2 options=()
	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	mkdir "$results"
	"$root/rig/vm" --kernel "$kernel" --iommu "$iommu" --counting --timeout 900 --results "$results" --env BENCH_QUICK \
		--append tsc=reliable --modprobe vfio-pci --modprobe vfio_iommu_type1 "${options[@]}" \
		--env BENCH_LINUX --env BENCH_UML --env "BENCH_CARD=$card" --env "OUTBOARD_LINUX_CACHE=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}" -- \
		"$here/kernel_guest.sh" "$kind" "$build" "$@" >"$results/lines" 2>"$results/err"
	local status=$?
	[ $status -eq 0 ] || { cat "$results/err" >&2; echo "kernel.sh: the run for $kind failed (exit code $status)" >&2; exit $status; }
}

for sample in $(seq "$boots"); do
	if [ "$only" != net ]; then
		[ -t 2 ] && printf '\rboot %s of %s: disk ' "$sample" "$boots" >&2
		# shellcheck disable=SC2086
		boot disk "$sample" --device nvme,null=1G --modprobe ublk_drv -- ${disks//,/ }
	fi
	if [ "$only" != disk ]; then
		[ -t 2 ] && printf '\rboot %s of %s: net  ' "$sample" "$boots" >&2
		# shellcheck disable=SC2086
		boot net "$sample" --deterministic --device e1000e,netdev=hub=1,mac=52:54:00:00:00:01 \
			--device e1000-82545em,netdev=hub=1,mac=52:54:00:00:00:02 --modprobe 'tun vhost_net' -- ${nets//,/ }
	fi
done
[ -t 2 ] && printf '\r                        \r' >&2
python3 "$here/kernel_table.py" --kernel "$kernel" ${json:+--json "$json"} "$work"
