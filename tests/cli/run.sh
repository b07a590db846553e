#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# outboard run with a COMMAND: what it gets, what is returned, what is printed.
# usage: run.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154,SC2016
. "$(dirname "$0")/tap.sh"
disk=qemu:nvme,null=64M
nbd=nbd,socket=$dir/sock

for code in 0 1 3 42; do
	ob run $disk --attach "$nbd" -- sh -c "exit $code"
	expect "COMMAND's exit code $code is returned" $code
done
ob run $disk --attach "$nbd" -- sh -c 'kill -KILL $$'
expect "COMMAND killed by signal 9: 137" 137
ob run $disk --attach "$nbd" -- "$dir/not-there"
expect "COMMAND that is not there: 127" 127 "$dir/not-there"
ob run $disk --attach "$nbd" -- /etc/passwd
expect "COMMAND that cannot be run: 126" 126 "/etc/passwd"

ob run $disk --attach "$nbd" -- sh -c 'echo "$OUTBOARD_DEV $OUTBOARD_DEV_0 $OUTBOARD_URI $OUTBOARD_PID"'
uri="nbd+unix:///?socket=$dir/sock"
read -r dev dev0 uri0 opid <"$dir/out"
check "COMMAND finds the disk in OUTBOARD_DEV, _0 and OUTBOARD_URI" \
	test "$dev|$dev0|$uri0" = "$uri|$uri|$uri"
check "and the instance in OUTBOARD_PID" test "$opid" -gt 1
check "standard output is COMMAND's alone" test "$(wc -l <"$dir/out")" = 1
check "people are told what it is, and the sum at the end" \
	grep -q 'nvme0n1 (64 MiB.*as nbd.*through nbd' "$dir/err"
check "with its counters" grep -q '^nvme0n1 *nvme *nbd' "$dir/err"

ob run $disk --attach "$nbd" --quiet -- sh -c 'echo hello'
check "--quiet says nothing" test ! -s "$dir/err" -a "$(cat "$dir/out")" = hello

ob run $disk --attach "$nbd" --json -- sh -c 'echo hello; exit 4'
check "--json: standard output is one document" is_json "$dir/out"
check "with the exit codes and what ended it" test \
	"$(jq -c '[.exit, .command_exit, .ended]' "$dir/out")" = '[4,4,"command"]'
check "and all counters" jq -e '.devices[0] | (.loop.rounds > 0) and (.access.reads > 0) and
	(.disks[0].settings.bytes == 67108864) and (.attachments[0].kind == "nbd")' "$dir/out"
check "COMMAND's output goes to standard error then" grep -q '^hello' "$dir/err"
ob run $disk --attach "$nbd" "--json=$dir/result" -- sh -c 'echo hello'
check "--json=FILE: the document is in FILE, standard output is COMMAND's" \
	test "$(cat "$dir/out") $(jq .exit "$dir/result")" = "hello 0"
ob run $disk --attach "$nbd" --json -- "$dir/not-there"
check "--json: an error is in the document" test \
	"$(jq -c '[.exit, .error.errno]' "$dir/out")" = '[127,"ENOENT"]'

ob run $disk --attach "$nbd" -- sh -c 'setsid sh -c "sleep 300; true" & echo $! >'"$dir"'/child; sleep 0.2'
check "what COMMAND leaves running ends with it" wait_for gone "$(cat "$dir/child")"

ob run "qemu:nvme,null=64M,vm=a" "qemu:nvme,null=32M,vm=a" --attach "nbd,socket=$dir/s0" \
	--attach "nbd,socket=$dir/s1" --json -- \
	sh -c 'echo "$OUTBOARD_DEV_0 $OUTBOARD_DEV_1"; cat /proc/$OUTBOARD_PID/task/*/children |
		xargs -n1 | while read p; do cat /proc/$p/comm; done'
check "two devices, each attached in its own way" test \
	"$(jq -c '[.devices[].attachments[].name]' "$dir/out")" = \
	"[\"nbd+unix:///?socket=$dir/s0\",\"nbd+unix:///?socket=$dir/s1\"]"
check "both in COMMAND's environment" grep -q "^nbd.*s0 nbd.*s1" "$dir/err"
check "with the same vm= they share one QEMU" test "$(grep -c qemu-system "$dir/err")" = 1
ob run $disk --attach "$nbd" -- sh -c 'cat /proc/$OUTBOARD_PID/comm; ls -l /proc/self/fd | grep -c "memfd\|kvm\|fuse"'
check "COMMAND inherits no descriptor of a device" test "$(tail -n 1 "$dir/out")" = 0

for mode in adaptive poll interrupt; do
	ob run $disk --attach "$nbd" --mode $mode --json --irq msix --queues 1 --depth 32 -- true
	check "--mode $mode" test "$(jq -r '.mode, .exit' "$dir/out" | xargs)" = "$mode 0"
done
if taskset -c 0 true 2>/dev/null; then
	ob run $disk --attach "$nbd" --cpu 0 -- true
	expect "--cpu" 0
else
	skip "--cpu" "CPU 0 is not ours"
fi
ob run $disk --attach "$nbd" --rt-priority 3 -- true
if [ "$status" -eq 5 ]; then
	expect "--rt-priority without the right says how to get it" 5 "ulimit -r"
else
	expect "--rt-priority" 0
fi

if [ -r /dev/net/tun ] && [ -w /dev/net/tun ] && unshare --user true 2>/dev/null || [ "$(id -u)" -eq 0 ]; then
	ob run qemu:e1000e,mac=52:54:00:11:22:33 --attach tap,netns=new,name=obtest -- \
		sh -c 'echo "if $OUTBOARD_IF"; cat /proc/net/dev'
	if [ "$status" -eq 5 ]; then
		skip "COMMAND runs in the interface's network namespace" "no interface for this user"
	else
		check "COMMAND runs in the interface's network namespace" \
			grep -q '^ *obtest:' "$dir/out"
		check "and finds its name in OUTBOARD_IF" grep -q '^if obtest' "$dir/out"
		check "where only it and lo are" test "$(grep -c : "$dir/out")" -eq 2
	fi
else
	skip "COMMAND runs in the interface's network namespace" "no /dev/net/tun for this user"
fi

if can_loop; then
	mkdir "$dir/mnt"
	truncate -s 64M "$dir/disk.img"
	ob run "qemu:nvme,file=$dir/disk.img" --attach loop --private-mounts -- sh -c \
		'mkfs.ext4 -q "$OUTBOARD_DEV" && mount "$OUTBOARD_DEV" '"$dir/mnt"' && echo kept >'"$dir/mnt/file"
	expect "--private-mounts: COMMAND may leave its mounts to us" 0
	check "nothing of them is seen outside" test ! -e "$dir/mnt/file"
	ob run "qemu:nvme,file=$dir/disk.img" --attach loop --private-mounts -- sh -c \
		'mount "$OUTBOARD_DEV" '"$dir/mnt"' && cat '"$dir/mnt/file"
	check "and what was written is there" test "$(cat "$dir/out")" = kept
else
	skip "--private-mounts: COMMAND may leave its mounts to us" "needs root, loop and FUSE"
fi
finish
