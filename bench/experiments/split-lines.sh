#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Split drivers: lines of code
# bench-from: Balakrishnan and Krishnan, table 1
# bench-about: Lines that are neither empty nor comment alone: of what every split driver has, of what is written for each by outboard split, and what it
#   moved of each driver, with its share. The paper's driver was split by hand; Microdrivers and KSplit took annotations.
# bench-where: here
# bench-boots: 1
# bench-side: Outboard: by outboard split
# bench-side: published: by others, as the papers have it
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
root=$(cd "$here/../.." && pwd)
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}

lines() # LOAD FILE...
{
	local load=$1
	shift
	sample Outboard "$load" null lines "$(cat "$@" |
		awk '{ gsub(/\/\*.*\*\//, "") } /\/\*/ { inside = 1 } !inside && NF && $1 !~ /^\/\// { n++ } /\*\// { inside = 0 } END { print n + 0 }')" lines
}

cd "$root" || exit
lines 'in the kernel, for every driver' split/kernel/*.[ch] split/protocol.h split/slots.h
lines 'in the daemon, for every driver' split/daemon/*.[ch]
for folder in "$cache"/split/*/; do
	[ -e "$folder/report.json" ] || continue
	name=$(basename "$folder")
	lines "$name: tables and stubs, generated" "$folder"/kernel/operations.c "$folder"/daemon/operations.c
	sample Outboard "$name: moved, of $(jq .lines "$folder/report.json")" null lines "$(jq .moved_lines "$folder/report.json")" lines
	sample Outboard "$name: edited by hand" null lines 0 lines
done
sample published 'in the kernel and the daemon, for every driver: Balakrishnan and Krishnan' null lines 1042 lines
sample published 'pcnet32: moved: Balakrishnan and Krishnan' null lines 102 lines
sample published 'pcnet32: on both sides: Balakrishnan and Krishnan' null lines 74 lines
