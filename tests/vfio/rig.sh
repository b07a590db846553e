# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the tests tests/rig/vfio_*.sh share; sourced by them.
n=0

check() # NAME COMMAND...
{
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >"/tmp/vfio-check.$$" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "/tmp/vfio-check.$$"
	fi
}

# By hand, not by `outboard bind`, whose tests are others.
give_to() # DRIVER BDF...
{
	local driver=$1 bdf dir
	shift
	for bdf in "$@"; do
		dir=/sys/bus/pci/devices/$bdf
		[ -e "$dir/driver" ] && echo "$bdf" >"$dir/driver/unbind"
		echo "$driver" >"$dir/driver_override"
		echo "$bdf" >/sys/bus/pci/drivers_probe
	done
}

driver_of() # BDF
{
	basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}

group_of() # BDF
{
	basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"
}

# Does a command fail, with all these texts in what it says?
says() # TEXT... -- COMMAND...
{
	local texts=() out text
	while [ "$1" != -- ]; do
		texts+=("$1")
		shift
	done
	shift
	if out=$("$@" 2>&1); then
		echo "no failure: $out"
		return 1
	fi
	echo "$out"
	for text in "${texts[@]}"; do
		case $out in
		*"$text"*) ;;
		*)
			echo "it does not say: $text"
			return 1
			;;
		esac
	done
}
