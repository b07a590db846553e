#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# equal.sh [OPTION]... DRIVER: does a driver do the same as the distribution's of that name? Each is loaded in a machine of its own, where all that ethtool,
# mii-tool and ifconfig know is asked of two of QEMU's cards; equal.py compares what they said. Without --module it is the distribution's once more,
# which has to be equal: that validates the comparison.
#
#   --kernel VERSION     6.12 (the default) or 6.1
#   --split DIR          what `outboard split` made: DIR/kernel/DRIVER.ko and DIR/daemon/DRIVER-daemon
#   --module FILE        a module
#   --daemon PROGRAM     the moved functions of that module
#   --random COUNT       that many operations from a seed instead of the list (random_operations)
#   --seed N             of them (1)
#   --build DIR          the build folder, which has random_operations (build)
#   --keep DIR           what was said goes there, DIR/original and DIR/other; what is there as DIR/original is not asked again
#   --busy               the other one's machine has something else to do, which moves all times
#
# Exit code 0: equal; 1: different, and what is different is shown; 77: it cannot be had here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
kernel=6.12 module='' daemon='' random='' seed=1 build=$root/build keep='' busy='' driver='' split=''

die()
{
	echo "equal.sh: $*" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--kernel) kernel=$2; shift ;;
	--split) split=$(realpath "$2"); shift ;;
	--module) module=$(realpath "$2"); shift ;;
	--daemon) daemon=$(realpath "$2"); shift ;;
	--random) random=$2; shift ;;
	--seed) seed=$2; shift ;;
	--build) build=$(realpath "$2"); shift ;;
	--keep) keep=$(realpath -m "$2"); shift ;;
	--busy) busy=yes ;;
	--help) sed -n '4,21s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) die "there is no option '$1'" ;;
	*) driver=$1 ;;
	esac
	shift
done
# shellcheck source=tests/split/cards.bash
. "$here/cards.bash"
card=$(card_of "$driver") || exit 2
if [ -n "$split" ]; then
	module=$(realpath "$split/kernel/$driver.ko") && daemon=$(realpath "$split/daemon/$driver-daemon") || die "there is no split driver in $split"
fi
if [ -z "$keep" ]; then
	keep=$(mktemp -d)
	trap 'rm -rf "$keep"' EXIT
fi

# What says the same each time in the same machine: its clock goes by instructions.
# shellcheck disable=SC2086 # words
machine() # RESULTS MODULE DAEMON BUSY
{
	local code script=operations.sh
	[ -z "$random" ] || script=random_operations.sh
	mkdir -p "$1"
	"$root/rig/vm" --kernel "$kernel" --deterministic --timeout 3000 --results "$1" --dmesg "$1/kernel-log" --append ipv6.disable=1 --allow-log '.*' \
		--device "$card,netdev=hub=1,mac=52:54:00:00:00:01,id=first" --device "$card,netdev=hub=1,mac=52:54:00:00:00:02,id=second" \
		--env "SPLIT_DRIVER=$driver" --env "SPLIT_MODULE=$2" --env "SPLIT_DAEMON=$3" --env "SPLIT_BUSY=$4" --env "SPLIT_COUNT=$random" \
		--env RIG_FIRST_ADDRESS=52:54:00:00:00:01 --env "SPLIT_SEED=$seed" --env "BUILD=$build" -- bash "$here/$script" >"$1/out" 2>&1
	code=$?
	[ $code -eq 0 ] || sed 's/^/  /' "$1/out" | tail -n 20 >&2
	return $code
}

if [ ! -e "$keep/original/done" ]; then
	machine "$keep/original" '' '' '' || exit
	: >"$keep/original/done"
fi
rm -rf "$keep/other"
machine "$keep/other" "$module" "$daemon" "$busy" || exit
"$here/equal.py" "$driver" "$keep/original" "$keep/other"
