#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Building drivers of the Linux kernel, from its package's source: what is built, what is not built again, what tells that a source
# file is not the package's, and drivers out of the tree. Compiles a few files; the kernel's core was compiled before (scripts/check).
# usage: build.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154
. "$(dirname "$0")/../cli/tap.sh"
here=$(cd "$(dirname "$0")" && pwd)
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
source=$cache/src/linux-source-6.12
object=$cache/objects/linux-e1000e-6.12.so
[ -e "$object" ] || { echo '1..0 # SKIP outboard linux build e1000e was not run' && exit; }

build() # ARGUMENTS...: as ob(); a kernel compiles longer than other commands take
{
	timeout -k 5 1500 "$outboard" linux build "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
}

build e1000e
expect_out "a driver is built" 0 "linux:e1000e of kernel 6.12" "$object"
before=$(stat -c '%Y %i' "$object")
build e1000e --json
check "what is built is not built again" test "$(jq -r .state "$dir/out") $before" = "is up to date $(stat -c '%Y %i' "$object")"
mkdir "$dir/tree"
cp -r "$here/../../linux" "$here/../../include" "$here/../../scripts" "$dir/tree"
"$dir/tree/linux/build" e1000e >"$dir/out" 2>"$dir/err"
check "nor by the same files in another folder" test "$(cat "$dir/out") $before" = "$object $(stat -c '%Y %i' "$object")"
"$dir/tree/linux/farm" "$source" "$dir/farm"
touch -d 2001-01-01 "$dir/farm/arch/outboard/kernel/time.c" "$dir/farm/arch/outboard/kernel/irq.c"
echo >>"$dir/tree/linux/arch/kernel/irq.c"
touch -d 2000-01-01 "$dir/tree/linux/arch/kernel/"*.c
rm "$dir/tree/linux/arch/kernel/param.c"
"$dir/tree/linux/farm" "$source" "$dir/farm"
check "what make sees is new when it says something else" sh -c "find '$dir/farm/arch/outboard/kernel' -newermt 2002-01-01 -name irq.c | grep . && cmp '$dir/tree/linux/arch/kernel/irq.c' '$dir/farm/arch/outboard/kernel/irq.c'"
check "and as old as it was when it does not" sh -c "! find '$dir/farm/arch/outboard/kernel/time.c' -newermt 2002-01-01 | grep . && ! [ -e '$dir/farm/arch/outboard/kernel/param.c' ]"
check "it exports the driver, and nothing of the kernel" \
	test "$(nm -D --defined-only "$object" | awk '{ print $3 }' | grep -v '^_' | paste -sd' ')" = "outboard_driver outboard_made_of"
check "it takes from the C library what the host side names, no memory functions of the kernel's" \
	test -z "$(nm -D --undefined-only "$object" | grep -E ' (schedule|printk|kmalloc|memparse|simple_strtoul)(@|$)')"

manifest=$object.manifest
check "the manifest names the driver's files" grep -q ' kernel drivers/net/ethernet/intel/e1000e/netdev.c$' "$manifest"
check "and those of the core and headers" test "$(grep -c ' kernel ' "$manifest")" -gt 1500
check "and ours" grep -q ' ours arch/' "$manifest"
awk '!/^#/ && $2 == "kernel" { print $1 "  " $3 }' "$manifest" >"$dir/kernel"
check "each of the kernel's is as the package has it" test -z "$(grep -vxFf <(sed 's/  /  /' "$source.sha256") "$dir/kernel")"
check "each that the driver's object was made from is named" sh -c \
	"cd '$source' && ls drivers/net/ethernet/intel/e1000e/*.[ch] | while read -r f; do grep -q \" kernel \$f\$\" '$manifest' || echo \$f; done | grep . && exit 1 || exit 0"

ob linux list --verify
expect_out "list shows what is built, and that it is from the package's files" 0 "e1000e" "6.12" "as the packages have them"

# The same object and manifest, with a source tree that only has the files named.
other=$dir/cache
mkdir -p "$other/src/linux-source-6.12" "$other/objects"
(cd "$source" && awk '{ print $2 }' "$dir/kernel" | tr '\n' '\0' | xargs -0 cp -L --parents -t "$other/src/linux-source-6.12")
cp "$source.sha256" "$source.package" "$other/src/"
cp "$object" "$other/objects/"
sed "s|^# source .*|# source $other/src/linux-source-6.12|" "$manifest" >"$other/objects/linux-e1000e-6.12.so.manifest"
export OUTBOARD_LINUX_CACHE=$other
ob linux list --verify
expect_out "a copy verifies as well" 0 "as the packages have them"
echo >>"$other/src/linux-source-6.12/drivers/net/ethernet/intel/e1000e/netdev.c"
ob linux list --verify
expect "an altered source file is named" 1 "drivers/net/ethernet/intel/e1000e/netdev.c"
cp "$source/drivers/net/ethernet/intel/e1000e/netdev.c" "$other/src/linux-source-6.12/drivers/net/ethernet/intel/e1000e/netdev.c"
rm "$other/src/linux-source-6.12/mm/slub.c"
ob linux list --verify
expect "so is one that went" 1 "mm/slub.c"
cp "$source/mm/slub.c" "$other/src/linux-source-6.12/mm/"
sed -i '/ kernel mm\/slub.c$/s/^....../000000/' "$other/objects/linux-e1000e-6.12.so.manifest"
ob linux list --verify
expect "a manifest that was compiled from something else is told" 1 "mm/slub.c"
cp "$manifest" "$other/objects/linux-e1000e-6.12.so.manifest"
printf x >>"$other/objects/linux-e1000e-6.12.so"
ob linux list --verify
expect "an object that is not the one that was linked is told" 1 "not the object that was linked"
made_of=$("$here/../../linux/made_of")
sed -i "s/$made_of/$(tr 0-9a-f 1-9a-f0 <<<"$made_of")/" "$other/objects/linux-e1000e-6.12.so"
ob selftest --driver linux:e1000e qemu:e1000e
expect "an object of another Outboard is not loaded" 1 "linux:e1000e is of another Outboard" "outboard linux build e1000e --kernel 6.12"
ob linux list --json
check "nor is it called built" test "$(jq '.objects | length' "$dir/out")" -eq 0
unset OUTBOARD_LINUX_CACHE
[ "$cache" = "${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux" ] || export OUTBOARD_LINUX_CACHE=$cache

# A driver's folder, as it is for the kernel's own build of modules.
cp -r "$here/mailbox" "$dir/mailbox"
build --module "$dir/mailbox"
expect_out "a driver out of the tree is built" 0 "linux:mailbox of kernel 6.12"
check "its files are in the manifest as such" test "$(grep -c ' module mailbox/.*\.c$' "$cache/objects/linux-mailbox-6.12.so.manifest")" -eq 2
check "its code is in the object" sh -c "nm '$cache/objects/linux-mailbox-6.12.so' | grep -q ' mailbox_probe$'"
check "nothing was written to its folder" test -z "$(diff -r "$here/mailbox" "$dir/mailbox")"
sed -i 's/= 3;/= three;/' "$dir/mailbox/main.c"
build --module "$dir/mailbox"
expect "an error of the compiler is told with file and line, and the log's path" 1 "main.c:8:" "three" "$cache/objects/linux-mailbox-6.12.log"
rm -f "$cache"/objects/linux-mailbox-6.12.*

# The kernel's own, copied and changed: as somebody does who looks for a bug.
cp -rL "$source/drivers/net/ethernet/intel/e1000e" "$dir/e1000e_copy"
sed -i 's/Intel(R) PRO\/1000 Network Driver\\n/a copy with a change\\n/' "$dir/e1000e_copy/netdev.c"
build e1000e --module "$dir/e1000e_copy"
expect_out "a changed copy of the kernel's driver is built in its place" 0 "linux:e1000e_copy"
check "with the change" grep -q 'a copy with a change' "$cache/objects/linux-e1000e_copy-6.12.so"
check "and without the kernel's" test "$(grep -c ' kernel drivers/net/ethernet/intel/e1000e/.*\.c$' "$cache/objects/linux-e1000e_copy-6.12.so.manifest")" -eq 0
rm -f "$cache"/objects/linux-e1000e_copy-6.12.*
build e1000e
expect_out "after that the driver itself is as it was" 0 "is up to date"
finish
