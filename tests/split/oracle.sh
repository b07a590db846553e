#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# oracle.sh OUTBOARD [VERSION:PATH]...: gcc sees the same functions and the same direct calls. Drivers are compiled as modules are, so the options that the
# analysis takes are those that kbuild left. Without PATHs, those that CI compares.
here=$(dirname "$(readlink -f "$0")")
. "$here/../cli/tap.sh"
. "$here/built.sh"

for tool in make gcc python3; do
	command -v $tool >/dev/null || none "no $tool"
done

compare() # VERSION PATH
{
	local name
	name=$(basename "$2" .c)-$1
	kernel "$1"
	mkdir -p "$dir/$name"
	if ! build_driver "$2" "$dir/$name" >"$dir/check"; then
		not_ok "$name compiles" <"$dir/check"
		return
	fi
	ob factor "$dir/$name" --kernel-headers "$headers" --json
	cp "$dir/out" "$dir/$name.json"
	expect "$name is analysed" 0
	check "$name: functions and direct calls are those that gcc sees" "$here/oracle.py" "$dir/$name" "$dir/$name.json"
	[ $# -gt 2 ] || sed 's/^/# /' "$dir/check"
	rm -rf "${dir:?}/$name"
}

shift
[ $# -gt 0 ] || set -- 6.1:drivers/net/ethernet/amd/pcnet32.c 6.1:drivers/net/ethernet/intel/e100.c 6.1:drivers/net/ethernet/intel/e1000 \
	6.12:drivers/net/ethernet/intel/e1000 6.12:drivers/net/ethernet/realtek/8139cp.c 6.12:drivers/block/virtio_blk.c
for driver in "$@"; do
	compare "${driver%%:*}" "${driver#*:}"
done
finish
