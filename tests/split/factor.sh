#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# factor.sh OUTBOARD: what `outboard factor` says of three drivers of Linux 6.1 is what is known of them: functions, sets, roots, calls.
here=$(dirname "$(readlink -f "$0")")
. "$here/../cli/tap.sh"
root=$here/../..

# Where sources or headers cannot be had, or the build has no libclang, there is nothing to analyse.
none() # REASON
{
	skip 'drivers are analysed' "$1"
	finish
}
tree=$("$root/linux/sources" 6.1 2>"$dir/sources") || none "$(tail -n 1 "$dir/sources")"
headers=$("$root/split/headers" 6.1 2>"$dir/headers") || none "$(tail -n 1 "$dir/headers")"
ob factor "$tree/drivers/net/ethernet/dnet.c" --kernel-headers "$headers"
grep -q 'outboard-facts.* is not there' "$dir/err" && none 'the build has no libclang'

known() # DRIVER PATH
{
	ob factor "$tree/$2" --kernel-headers "$headers" --json
	cp "$dir/out" "$dir/$1.json"
	expect "$1 is analysed" 0
	check "$1: functions, sets, roots, calls and entry points are as they are known to be" \
		"$here/compare.py" "$dir/$1.json" "$here/expected/$1"
}

known pcnet32 drivers/net/ethernet/amd/pcnet32.c
known e100 drivers/net/ethernet/intel/e100.c
known e1000 drivers/net/ethernet/intel/e1000
finish
