# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Which object the tests take for a driver: its own, else that of the profile of all of its class, perhaps with a file system; one that is of other
# sources than the program is left from before. Sets $object, or ends the test as skipped.
object_of() # DRIVER PROFILE KERNEL
{
	local here objects made_of
	here=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
	objects=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}/objects
	made_of=$("$here/linux/made_of")
	for object in "$1" "$2" "$2+ext4"; do
		grep -qsF "$made_of" "$objects/linux-$object-$3.so" && return
	done
	echo "1..0 # SKIP $1 of kernel $3 is not built: outboard linux build $1 --kernel $3"
	exit 0
}
