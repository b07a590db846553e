# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the experiments with a split driver share, beside guest.bash: the distribution's driver and the split one, in turn, for the same card.
# The split one is where `outboard split DRIVER --kernel VERSION -o DIR --build` put it, in $OUTBOARD_LINUX_CACHE/split/DRIVER-VERSION.

split_driver=pcnet32
split_daemon=''
# The folder has the version as it is asked for: 6.12 of 6.12.95+deb12-amd64.
split_version=$(echo "$RIG_KERNEL" | cut -d. -f1,2)
split_folder=$OUTBOARD_LINUX_CACHE/split/$split_driver-$split_version

has_split()
{
	local file
	[ -e "$split_folder/kernel/$split_driver.ko" ] && [ -x "$split_folder/daemon/$split_driver-daemon" ] || return
	# Not one that an older generator left there.
	for file in kernel/outboard_split.c kernel/outboard_split.h daemon/runtime.c; do
		cmp -s "$split_folder/$file" "$here/../../split/$file" || return
	done
	for file in protocol.h slots.h; do
		cmp -s "$split_folder/kernel/$file" "$here/../../split/$file" || return
	done
}

no_split() # SIDE
{
	leave_out "$1" "there is no $split_folder of this version; outboard split $split_driver --kernel $split_version -o $split_folder --build"
}

load_original()
{
	modprobe "$split_driver" || exit 1
}

load_split()
{
	local device=/dev/outboard-split-$split_driver
	modprobe mii
	insmod "$split_folder/kernel/$split_driver.ko" || exit 1
	wait_for test -c "$device"
	"$split_folder/daemon/$split_driver-daemon" --device "$device" 2>>"$RIG_RESULTS/daemon" &
	split_daemon=$!
	wait_for serves
}

serves()
{
	find "/proc/$split_daemon/fd" -lname "/dev/outboard-split-$split_driver" 2>/dev/null | grep -q .
}

unload()
{
	if [ -n "$split_daemon" ]; then
		kill "$split_daemon"
		wait "$split_daemon"
		split_daemon=''
	fi
	rmmod "$split_driver" || exit 1
}
