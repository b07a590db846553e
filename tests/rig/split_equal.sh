#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The comparison that split drivers are held against (tests/split/equal.sh) finds nothing between a driver and itself, in machines that have other
# things to do; it finds a driver in which one number is another; and split, the driver is equal to the original; so is e1000, whose daemon asks the kernel for functions that this kept.
#
# rig-where: host
# rig-timeout: 1800
set -u
. tests/checks.sh
trap 'rm -rf "$dir"' EXIT

finish()
{
	finish_checks
	exit
}
. tests/split/built.sh

compare_driver() # DRIVER OPTION...
{
	local driver=$1
	shift
	tests/split/equal.sh --kernel "$RIG_KERNEL" --build "$BUILD" --keep "$dir/$driver" --random 300 "$@" "$driver"
}

compare() # OPTION...
{
	compare_driver pcnet32 "$@"
}

differs() # TEXT OPTION...
{
	local text=$1
	shift
	compare "$@"
	[ $? -eq 1 ] && grep -q "$text" "$dir/check"
}

kernel "$RIG_KERNEL"
check 'a driver is equal to itself, when something else moves its times' compare --busy
check 'it compiles' build_driver drivers/net/ethernet/amd/pcnet32.c "$dir/same"
check 'so it is when it was compiled from the source' compare --module "$dir/same/pcnet32.ko"
cp "$dir/same/pcnet32.c" "$dir/pcnet32.c"
sed -i 's/ering->rx_max_pending = RX_MAX_RING_SIZE;/ering->rx_max_pending = RX_MAX_RING_SIZE - 1;/' "$dir/pcnet32.c"
check 'it can be changed' eval '! cmp -s "$dir/pcnet32.c" "$dir/same/pcnet32.c"'
tree=$dir
check 'it compiles then' build_driver pcnet32.c "$dir/other"
check 'one number less is found' differs 'different: [0-9]* ring' --module "$dir/other/pcnet32.ko"
if [ -x "$BUILD/split/outboard-facts" ]; then
	check 'it can be split' "$OUTBOARD" split pcnet32 --kernel "$RIG_KERNEL" -o "$dir/split" --build
	check 'split, it is equal to the original' compare --split "$dir/split"
	check 'e1000 can be split' "$OUTBOARD" split e1000 --kernel "$RIG_KERNEL" -o "$dir/asks" --build
	check 'split, e1000 is equal to the original' compare_driver e1000 --split "$dir/asks"
else
	skip 'split, it is equal to the original' 'this build has no libclang'
fi
finish
