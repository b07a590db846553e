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

# A command that ends with that code and says all these texts.
ends() # CODE TEXT... -- COMMAND...
{
	local want=$1 code text texts=() out
	shift
	while [ "$1" != -- ]; do
		texts+=("$1")
		shift
	done
	shift
	out=$("$@" 2>&1)
	code=$?
	echo "$out"
	[ $code = "$want" ] || {
		echo "it ended with $code, not with $want"
		return 1
	}
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
