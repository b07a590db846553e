# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the tests of real devices in the rig share, beside tests/checks.sh; sourced by them.
. tests/checks.sh

# By hand, not by `outboard bind`, whose tests are others. Has the driver taken them all?
give_to() # DRIVER BDF...
{
	local driver=$1 bdf dir ret=0
	shift
	for bdf in "$@"; do
		dir=/sys/bus/pci/devices/$bdf
		[ -e "$dir/driver" ] && echo "$bdf" >"$dir/driver/unbind"
		echo "$driver" >"$dir/driver_override"
		echo "$bdf" >/sys/bus/pci/drivers_probe
		driver_is "$bdf" "$driver" || ret=1
	done
	return $ret
}

driver_of() # BDF
{
	basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}

driver_is() # BDF NAME
{
	[ "$(driver_of "$1")" = "$2" ]
}

group_of() # BDF
{
	basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"
}

# Does a command end with that code ("fails": any but 0), and say all these texts?
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
	if [ "$want" = fails ]; then
		[ $code != 0 ]
	else
		[ $code = "$want" ]
	fi || {
		echo "it ended with $code, not: $want"
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

says() # TEXT... -- COMMAND...
{
	ends fails "$@"
}

# The end of `outboard run` under load: exit code 3 (outboard(1): the device is gone), within a minute, and WORDS said.
program_ends() # PID LOG WORDS
{
	local code tries
	for ((tries = 0; tries < 600; tries++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$1" 2>/dev/null && echo 'it did not end'
	wait "$1"
	code=$?
	cat "$2"
	echo "exit code $code"
	[ $code -eq 3 ] && grep -q "$3" "$2"
}

# COMMAND takes the disk from `outboard run` while somebody reads from it without pause: his reading ends, too, and no socket stays.
disk_ends() # WORDS COMMAND...
{
	local words=$1 log=$dir/disk.log socket=$dir/disk.sock pid reader
	shift
	"$OUTBOARD" run "vfio:$RIG_NVME" --attach "nbd,socket=$socket" >"$log" 2>&1 &
	pid=$!
	wait_for test -S "$socket" && timeout 60 nbdcopy "nbd+unix:///?socket=$socket" null: || return 1
	(while timeout 60 nbdcopy "nbd+unix:///?socket=$socket" null: 2>/dev/null; do :; done) &
	reader=$!
	sleep 0.5
	"$@" || return 1
	program_ends $pid "$log" "$words" && wait $reader && [ ! -S "$socket" ]
}
