#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# rig/vm passes output, exit code and files through, in both of its modes; it refuses what it does not know by name, ends
# what hangs, sees bugs in the kernel's log, and leaves nothing behind.
#
# rig-where: host
# rig-timeout: 900
set -u

n=0
vm=rig/vm
kernel=(--kernel "$RIG_KERNEL")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What it leaves in its temporary folder is counted at the end.
export TMPDIR=$work/tmp
mkdir "$TMPDIR"

ok() # NAME CONDITION (a command)
{
	local name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "$work/out" "$work/err"
	fi
}

run() # OPTION...: output in out and err, exit code in $code
{
	timeout 250 $vm "$@" </dev/null >"$work/out" 2>"$work/err"
	code=$?
}

printed() # FILE TEXT
{
	grep -qF -- "$2" "$work/$1"
}

echo '# files of this machine'
truncate -s 16M "$work/disk"
run "${kernel[@]}" --device "nvme,file=$work/disk" --modprobe nvme --results "$work/results" --env "WORD=it's" --dmesg "$work/log" -- sh -c '
	echo "out $WORD $1"; echo err >&2; echo also >/dev/stderr; pwd
	printf "0123456789" | dd of=/dev/nvme0n1 bs=512 conv=sync status=none
	echo file >"$RIG_RESULTS/made"; echo gone >README.md; sleep 1000 & exit 7' sh 'a "b" $c'
ok 'exit code' test "$code" -eq 7
ok 'output, and words as they are' printed out "out it's a \"b\" \$c"
ok 'errors' printed err err
ok 'errors through /dev/stderr' printed err also
ok 'working directory' printed out "$PWD"
ok 'results come out' grep -q file "$work/results/made"
ok 'what is written to a disk is in its file' test "$(head -c 10 "$work/disk")" = 0123456789
ok 'files of this machine stay as they are' test -z "$(grep -x gone README.md)"
ok 'log of the kernel' grep -q 'nvme nvme0: ' "$work/log"

head -c 300000 /dev/urandom >"$work/input"
timeout 250 $vm "${kernel[@]}" --stdin -- cat <"$work/input" >"$work/out" 2>"$work/err"
ok 'standard input, and binary output' cmp -s "$work/input" "$work/out"
ok 'no output of its own' test ! -s "$work/err"

echo '# the small ramdisk'
run "${kernel[@]}" --initramfs --modprobe nvme --device nvme,null=64M --file README.md --file "$BUILD/cli/outboard" \
	--results "$work/small" -- sh -c '
	[ -b /dev/nvme0n1 ] && [ -s README.md ] && ! [ -e Makefile ] && echo done >"$RIG_RESULTS/made"; "$1" version; exit 9' \
	sh "$BUILD/cli/outboard"
ok 'exit code of busybox' test "$code" -eq 9
ok 'devices, files and results' grep -q done "$work/small/made"
ok 'a program of this machine runs from the ramdisk' printed out outboard
# shellcheck disable=SC2016 # the guest's variables
run "${kernel[@]}" --initramfs --modprobe vfio-pci --modprobe vfio_iommu_type1 --device nvme,null=64M --file "$BUILD/cli/outboard" -- sh -c '
	mkdir -p /tmp; "$1" bind "$RIG_NVME" && exec "$1" run "vfio:$RIG_NVME" --attach nbd,socket=/tmp/socket --sandbox require -- "$1" show --sandbox' \
	sh "$BUILD/cli/outboard"
ok 'the sandbox goes over a root that cannot be taken away' eval '[ "$code" -eq 0 ] && grep -q "^root  *on .*an empty root" "$work/out"'

echo '# a saved machine'
saved=("${kernel[@]}" --snapshot --device edu --device e1000e,netdev=none --device nvme,null=64M)
# shellcheck disable=SC2016 # the guest's variables
look='for d in $RIG_EDU $RIG_E1000E $RIG_NVME; do cat "/sys/bus/pci/devices/$d/device"; done; date +%s; exit 5'
for time in first second; do
	run "${saved[@]}" -- sh -c "$look"
	ok "the $time time: exit code" test "$code" -eq 5
	ok "the $time time: its devices" test "$(head -n 3 "$work/out" | paste -sd' ')" = '0x11e8 0x10d3 0x0010'
	ok "the $time time: its clock" test "$(tail -n 1 "$work/out")" -ge "$(($(date +%s) - 600))"
done

echo '# users, limits, kinds of IOMMU'
grouped='echo vfio-pci >"/sys/bus/pci/devices/$RIG_EDU/driver_override"; echo "$RIG_EDU" >/sys/bus/pci/drivers_probe
	[ -e "/sys/bus/pci/devices/$RIG_EDU/iommu_group" ] && echo grouped'
for iommu in amd virtio; do
	run "${kernel[@]}" --iommu $iommu --modprobe vfio-pci --device edu -- sh -c "$grouped"
	ok "$iommu" printed out grouped
done
run "${kernel[@]}" --iommu none --user nobody --memlock 64K -- sh -c 'id -un; ulimit -l; ls /sys/class/iommu; no-such-command'
ok 'none' eval '! printed out dmar'
ok 'as another user' printed out nobody
ok 'limit of locked memory' printed out 64
ok 'no such command' test "$code" -eq 127

echo '# what is wrong'
run --device e1000f -- true
ok 'no such device: exit code' test "$code" -eq 125
ok 'no such device: its name, and what is possible' eval 'printed err "'"'e1000f'"'" && printed err e1000e'
run --device nvme -- true
ok 'a disk without a file' printed err file=PATH
run --device "nvme,file=$work/absent" -- true
ok 'a file that is not there' printed err "$work/absent"
run --device e1000e,colour=red -- true
ok 'an option that the device does not have' printed err "'colour'"
run --kernel 5.9 -- true
ok 'no such kernel' eval 'printed err "'"'5.9'"'" && printed err 6.12'
run --iommu arm -- true
ok 'no such IOMMU' printed err 'vtd, amd, virtio, none'
run "${kernel[@]}" --modprobe no_such_module -- true
ok 'no such module' eval '[ $code -eq 121 ] && printed err no_such_module'
run "${kernel[@]}" --timeout 15 -- sh -c 'echo begun; sleep 1000'
ok 'time-out: exit code' test "$code" -eq 124
run "${kernel[@]}" -- sh -c 'echo "WARNING: CPU: 0 PID: 1 at test" >/dev/kmsg'
ok 'a warning in the log: exit code' test "$code" -eq 120
ok 'a warning in the log: shown' printed err 'WARNING: CPU: 0'
run "${kernel[@]}" --allow-log 'at test$' -- sh -c 'echo "WARNING: CPU: 0 PID: 1 at test" >/dev/kmsg; exit 3'
ok 'a warning that is allowed' test "$code" -eq 3
# A kernel given by its path, at the same time.
folder=$(rig/kernels "$RIG_KERNEL")
run --kernel "$folder/vmlinux" --modules "$folder" --modprobe loop -- sh -c 'uname -r >&2; echo c >/proc/sysrq-trigger; echo survived'
ok 'a panic: exit code' test "$code" -eq 120
ok 'a panic: shown' printed err 'sysrq triggered crash'
ok 'a panic: not survived' test ! -s "$work/out"
ok 'a kernel given by its path' printed err "$(cat "$folder/release")"
run "${kernel[@]}" -- sh -c 'poweroff -f || busybox poweroff -f'
ok 'a machine that ends by itself' test "$code" -eq 121
OUTBOARD_RIG_CACHE=/proc/nowhere $vm "${kernel[@]}" -- true >"$work/out" 2>"$work/err"
code=$?
ok 'no kernel can be had: exit code' test "$code" -eq 77
ok 'no kernel can be had: why' printed err 'cannot write'

# A machine that runs for long, as a person's would: $pid in a process group of its own, its QEMU is $qemu. What a shell starts in the
# background ignores SIGINT, hence env.
start()
{
	setsid env --default-signal=INT,QUIT $vm "${kernel[@]}" -- sleep 1000 </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	until [ -n "$(find "$TMPDIR" -name console -size +0)" ]; do
		kill -0 $pid 2>/dev/null || break
		sleep 0.2
	done
	qemu=$(pgrep -f "^[^ ]*qemu-system.*$TMPDIR")
}

gone() # within 20 seconds
{
	local i
	for ((i = 0; i < 100; i++)); do
		kill -0 "$qemu" 2>/dev/null || return 0
		sleep 0.2
	done
	return 1
}

echo '# interrupted'
start
ok 'a machine runs' test -n "$qemu"
kill -INT -- -$pid
wait $pid
ok 'Ctrl-C: exit code' test $? -eq 130
ok 'Ctrl-C: the machine is gone' gone
ok 'nothing is left in the temporary folder' test -z "$(ls "$TMPDIR")"
start
kill -KILL $pid
wait $pid 2>/dev/null
ok 'killed: the machine ends, too' gone
echo "1..$n"
