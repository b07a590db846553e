#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What `outboard linux` says of bad input. Nothing is downloaded or compiled: the kernel's tree is one that only has makefiles.
# usage: build_input.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154
. "$(dirname "$0")/../cli/tap.sh"
export OUTBOARD_LINUX_CACHE=$dir/cache
for tool in flex bison bc; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP no $tool (scripts/setup check installs it)" && exit; }
done

# The first lines of a kernel's Makefile, and drivers/net/ethernet/acme/ with two drivers.
tree=$dir/tree
mkdir -p "$tree/drivers/net/ethernet/acme" "$tree/sound" "$tree/arch"
printf 'VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 95\n' >"$tree/Makefile"
touch "$tree/Kbuild"
echo 'obj-$(CONFIG_ROADRUNNER) += roadrunner.o' >"$tree/drivers/net/ethernet/acme/Makefile"
echo 'obj-$(CONFIG_COYOTE) += wile-coyote.o' >>"$tree/drivers/net/ethernet/acme/Makefile"

ob linux
expect "without an action it says which there are" 2 "build, list or clean"
ob linux make
expect "an action that it does not have is named" 2 "'make'"
ob linux build
expect "build without a driver says so" 2 "which profile or driver"
ob linux build e1000e nvme
expect "two drivers at once are refused" 2 "'nvme'"
ob linux list e1000x
expect "a driver to be listed that there is not gets the nearest" 2 "'e1000x'" "e1000e"
ob linux list e1000e nvme
expect "two to be listed are refused" 2 "'nvme'"
ob linux list e1000e
expect_out "one is listed by itself" 0 "e1000e: Intel"
ob linux list --kernel 6.12
expect "an option of another action is refused" 2 "'list'" "--kernel"
ob linux --all
expect "options without an action are refused" 2 "first"
ob linux build e1000e --kernel 2.4
expect "a kernel without an architecture of ours is named, with those that have one" 2 "kernel 2.4" "6.12"
ob linux build e1000e --jobs none
expect "a number of jobs that is none is named" 2 "'none'"

ob linux build e1000e --source "$dir/no-such"
expect "a source folder that is not there is named" 2 "$dir/no-such"
ob linux build e1000e --source "$dir"
expect "a folder that is no kernel's source is told as such" 2 "no source tree"
ob linux build e1000e --source "$tree" --kernel 6.1
expect "a tree of another version than was asked for is told, with its version" 2 "kernel 6.12.95, not 6.1"
ob linux build roadruner --source "$tree"
expect "a driver that the tree does not have gets the nearest that it has" 2 "no driver 'roadruner'" "roadrunner"
ob linux build wile_coyot --source "$tree"
expect "the kernel takes - and _ for the same, and so is the nearest found" 2 "no driver 'wile_coyot'" "wile-coyote"
ob linux build e1000r --source "$tree"
expect "so do profiles" 2 "no driver 'e1000r'" "e1000e"
ob linux build e1000e --source "$tree" --module "$dir/no-such"
expect "a driver's folder that is not there is named" 2 "--module" "$dir/no-such"
mkdir "$dir/empty"
ob linux build --source "$tree" --module "$dir/empty"
expect "a folder without a makefile is no driver's" 2 "neither Kbuild nor Makefile"
ob linux build e1000e --source "$tree" --json
check "with --json the error is JSON" jq -e '.error.exit == 1 and (.error.what | contains("could not be configured"))' "$dir/out"
expect "a tree that cannot be configured is told as such, with the log's path" 1 "could not be configured" "$dir/cache/objects/linux-e1000e"
mkdir -p "$tree/include/config"
ob linux build e1000e --source "$tree"
expect "a tree in which somebody built is refused, with what cures it" 2 "somebody built" "mrproper"
rm -r "$tree/include"

touch "$dir/file"
OUTBOARD_LINUX_CACHE=$dir/file/cache ob linux build e1000e --source "$tree"
expect "a cache that cannot be written is told as such" 5 "cannot write to $dir/file/cache"
# Programs but those that fetch packages.
mkdir "$dir/bin"
for tool in /usr/bin/* /bin/*; do
	case ${tool##*/} in apt* | dpkg*) ;; *) ln -sf "$tool" "$dir/bin/" ;; esac
done
PATH=$dir/bin ob linux build e1000e
expect "a source package that cannot be had is told as such, with what else there is" 5 "apt-get"
rm "$dir/bin/bison"
PATH=$dir/bin ob linux build e1000e --source "$tree"
expect "a tool that is missing is named, with its package" 5 "no bison" "apt-get install bison"

ob linux list
expect_out "list shows the drivers that have a profile" 0 "e1000e" "nvme" "pcnet32"
ob linux list --json
check "and as JSON, with their class" jq -e '.drivers[] | select(.name == "e1000e") | .class == "net"' "$dir/out"
ob linux clean
check "clean with nothing to do succeeds" test "$status" -eq 0
ob linux build e1000e --source "$tree"
(
	exec 9>"$dir/cache/build/.lock-test"
	flock 9
	sleep 100
) &
pid=$!
started+=("$pid")
wait_for sh -c "! flock -n '$dir/cache/build/.lock-test' true"
ob linux clean
expect "clean while somebody builds is refused" 4 "somebody builds"
kill "$pid"
wait "$pid" 2>/dev/null
ob linux clean --all
check "clean --all removes all that was made" test -z "$(find "$dir/cache" -mindepth 1 ! -name '.lock*')"

# The profiles are what the drivers' list says, and each stands on others that there are.
root=$(cd "$(dirname "$0")/../.." && pwd)
for file in "$root"/linux/profiles/*.config; do
	sed -n 2p "$file" | grep -q '^# .' || echo "${file##*/}: says nothing of itself"
	for name in $(sed -n 's/^# on: //p' "$file"); do
		[ -e "$root/linux/profiles/$name.config" ] || echo "${file##*/}: on $name, which there is not"
	done
	grep -vE '^(#.*|CONFIG_[A-Za-z0-9_]+=[^ ]+|)$' "$file" | sed "s|^|${file##*/}: |"
done >"$dir/profiles"
check "each profile says what it is and stands on others that there are" test ! -s "$dir/profiles"
finish
