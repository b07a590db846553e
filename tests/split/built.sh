# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Sourced behind tests/cli/tap.sh: the sources of a driver in a folder of their own, compiled as modules are, against a kernel's headers.
split_root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)

# Sources and headers of a kernel in $tree and $headers. Where they cannot be had, or the build has no libclang, the test ends, skipped.
kernel() # VERSION
{
	tree=$("$split_root/linux/sources" "$1" 2>"$dir/reason") || none "$(tail -n 1 "$dir/reason")"
	headers=$("$split_root/split/headers" "$1" 2>"$dir/reason") || none "$(tail -n 1 "$dir/reason")"
}

none() # REASON
{
	skip 'drivers are analysed' "$1"
	finish
}

# Nothing where the compiler that the kernel was built with is there, by name (gcc-12); else another is to be used.
other_compiler()
{
	local name
	name=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\{0,1\}\([^ "]*gcc[^ "]*\) .*/\1/p' "$headers/include/config/auto.conf")
	[ -z "$name" ] || command -v "$name" >"$dir/compiler" || echo CC=gcc
}

# CONFIG_DEBUG_INFO_BTF_MODULES wants pahole, for what debuggers of the kernel know.
# FILE.c is copied with the headers beside it, a folder as a whole. With -fdump-ipa-cgraph gcc writes whom it sees calling whom.
build_driver() # FILE|DIR of the tree, FOLDER
{
	local name log=$dir/make.log
	mkdir -p "$2"
	if [ -d "$tree/$1" ]; then
		cp -r "$tree/$1/." "$2"
	else
		name=$(basename "$1" .c)
		cp "$tree/$1" "$2"
		cp "$(dirname "$tree/$1")"/*.h "$2" 2>/dev/null
		echo "obj-m := $name.o" >"$2/Kbuild"
	fi
	# shellcheck disable=SC2046 # none or one word
	if ! make -s -C "$headers" $(other_compiler) M="$2" KCFLAGS=-fdump-ipa-cgraph KBUILD_MODPOST_WARN=1 \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules >"$log" 2>&1; then
		tail -n 5 "$log"
		return 1
	fi
}
