#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How an instance ends: Ctrl-C, while mounted, by `stop`, by its device's death, by kill -9; and that nothing
# is left.
# usage: end.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154,SC2016
. "$(dirname "$0")/tap.sh"
disk=qemu:nvme,null=64M
nbd=nbd,socket=$dir/sock

listens() # PID
{
	grep -q "@outboard/instance/$1\$" /proc/net/unix
}

# Nothing of $pid is left: its processes, its socket, the attachment's socket.
nothing_left() # NAME PROCESSES
{
	local name=$1 process
	shift
	for process in "$@"; do
		if ! wait_for gone "$process"; then
			echo "process $process: $(tr '\0' ' ' <"/proc/$process/cmdline")" | not_ok "$name"
			return
		fi
	done
	if listens "$pid"; then
		echo "its socket is left" | not_ok "$name"
		return
	fi
	ok "$name"
}

# Nothing is behind it, or meanwhile somebody else's. Kernels since 5.15 number disks in diskseq.
loop_free() # DEVICE, which had the number $seq
{
	local sys=/sys/block/${1#/dev/}
	! [ -e "$sys/loop/backing_file" ] || [ "$(cat "$sys/diskseq")" != "$seq" ]
}

for signal in INT TERM HUP; do
	serve log run $disk --attach "$nbd"
	processes=$(children "$pid")
	kill -$signal "$pid"
	ended
	check "SIG$signal ends it with exit code 0" test "$status" -eq 0
	# shellcheck disable=SC2086
	nothing_left "and nothing is left (SIG$signal)" $processes
	check "the sum was printed (SIG$signal)" grep -q '^Served for' "$dir/log"
done
check "the socket of the export is gone" test ! -e "$dir/sock"

cat >"$dir/slow" <<'END'
#!/bin/sh
echo here >"$0.runs"
exec sleep 300
END
chmod +x "$dir/slow"
"$outboard" run "$disk,qemu=$dir/slow,answer=300000" >"$dir/log" 2>&1 </dev/null &
pid=$!
started+=("$pid")
wait_for test -e "$dir/slow.runs"
processes=$(children "$pid")
kill -INT "$pid"
ended
check "Ctrl-C while the device is being opened ends it at once" test "$status" -eq 130
# shellcheck disable=SC2086
nothing_left "and nothing is left" $processes

serve log run $disk --attach "$nbd" -- sh -c 'trap "echo asked; exit 9" INT TERM; while :; do sleep 0.1; done'
sleep 0.3
kill -TERM "$pid"
ended
check "SIGTERM is passed on to COMMAND, whose exit code is returned" test "$status" -eq 9
check "it was asked, not killed" grep -q '^asked' "$dir/log"

serve log run $disk --attach "$nbd" -- sh -c 'trap "" INT TERM; while :; do sleep 0.1; done'
sleep 0.3
kill -INT "$pid"
sleep 0.3
kill -INT "$pid"
ended
check "a second Ctrl-C kills a COMMAND that does not listen" test "$status" -eq 137

serve log run $disk --attach "$nbd" -- sh -c 'setsid sleep 300 & sleep 300'
processes=$(children "$pid")
kill -9 "$pid"
wait "$pid" 2>/dev/null
# shellcheck disable=SC2086
nothing_left "kill -9 leaves no process: QEMU, COMMAND and its children end" $processes

serve log run $disk --attach "$nbd"
processes=$(children "$pid")
kill -9 "$(qemu_of "$pid")"
ended
check "QEMU killed while in use: exit code 3" test "$status" -eq 3
check "and it is said, with the signal" grep -q 'signal 9' "$dir/log"
# shellcheck disable=SC2086
nothing_left "and nothing is left" $processes

serve log run $disk --attach "$nbd" "--json=$dir/result" -- sh -c 'sleep 300'
kill -9 "$(qemu_of "$pid")"
ended
check "QEMU killed while COMMAND runs: COMMAND is ended, exit code 3" test "$status" -eq 3
check "--json says what happened" test "$(jq -c '[.exit, .ended, .error.errno]' "$dir/result")" = \
	'[3,"gone","ENODEV"]'

# ---- stop ------------------------------------------------------------------------------------

serve log run $disk --attach "$nbd" --name "end-$$"
first=$pid
ob run $disk --attach "nbd,socket=$dir/s2" --name "end-$$" -- true
expect "a name is given once" 4 "end-$$" "$first"
ob stop "end-$$"
expect_out "stop by name" 0 "end-$$ has ended"
pid=$first
ended
check "the instance ended well" test "$status" -eq 0
serve log run $disk --attach "$nbd"
ob stop "$pid" --json
check "stop by PID, --json" test "$(jq .pid "$dir/out")" = "$pid"
ended
serve log run $disk --attach "$nbd"
ob stop "$(pgrep -P "$pid" -x outboard-driver)"
expect_out "stop by the PID of its driver process" 0 "has ended"
ended
serve log run $disk --attach "$nbd" -- sleep 300
ob stop "$pid"
expect_out "stop ends COMMAND, too" 0 "has ended"
ended
check "with the exit code of its signal" test "$status" -eq 143

# ---- while it is mounted -----------------------------------------------------------------------

if can_loop; then
	mkdir "$dir/mnt"
	truncate -s 64M "$dir/disk.img"
	serve log run "qemu:nvme,file=$dir/disk.img" --attach loop
	dev=$(attached log)
	seq=$(cat "/sys/block/${dev#/dev/}/diskseq")
	mkfs.ext4 -q "$dev" && mount "$dev" "$dir/mnt"
	ob stop "$pid"
	expect "stop is refused while it is mounted, and says where" 4 "$dir/mnt"
	kill -INT "$pid"
	wait_for grep -q "$dir/mnt" "$dir/log"
	check "so is Ctrl-C" grep -q "$dir/mnt" "$dir/log"
	cp "$outboard" "$dir/mnt/copy"
	check "it goes on serving" cmp "$outboard" "$dir/mnt/copy"
	umount "$dir/mnt"
	ended
	check "and ends by itself when it is unmounted" test "$status" -eq 0
	check "the loop device is free" wait_for loop_free "$dev"

	serve log run "qemu:nvme,file=$dir/disk.img" --attach loop
	dev=$(attached log)
	seq=$(cat "/sys/block/${dev#/dev/}/diskseq")
	mount "$dev" "$dir/mnt"
	check "what was written is there" cmp "$outboard" "$dir/mnt/copy"
	kill -INT "$pid"
	wait_for grep -q "$dir/mnt" "$dir/log"
	kill -INT "$pid"
	ended
	check "a second Ctrl-C ends it in any case, with exit code 4" test "$status" -eq 4
	umount "$dir/mnt" 2>/dev/null
	check "the loop device is free after that, too" wait_for loop_free "$dev"
else
	skip "ending is refused while it is mounted" "needs root, loop and FUSE"
fi

# ---- on a terminal -----------------------------------------------------------------------------

if command -v script >/dev/null; then
	timeout 60 script -qec "$outboard run $disk --attach $nbd -- sh -c 'kill -INT 0; sleep 1'" "$dir/tty" \
		>/dev/null 2>&1 </dev/null
	status=$?
	check "on a terminal COMMAND has a process group of its own" test "$status" -eq 130
else
	skip "on a terminal COMMAND has a process group of its own" "no script(1)"
fi
finish
