#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Watching and asking running instances: show, --watch, ethtool.
# usage: show.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154,SC2016
. "$(dirname "$0")/tap.sh"
disk=qemu:nvme,null=64M
name=show-$$

serve one run $disk --attach "nbd,socket=$dir/s1" --name "$name-a" || { echo "Bail out! nothing runs"; exit 1; }
a=$pid
serve two run qemu:nvme,null=32M --attach "nbd,socket=$dir/s2" --name "$name-b"
b=$pid

ob show
expect_out "show lists both instances" 0 "$name-a" "$name-b" "$a" "$b" "s1" "qemu:nvme,null=32M"
check "without escape sequences where there is no terminal" sh -c '! grep -q "$(printf "\033")" "$1"' sh "$dir/out"
ob
expect_out "so does the program without arguments" 0 "$name-a" "$name-b"
ob show --json
check "show --json is one document" is_json "$dir/out"
check "with both, and their counters" test "$(jq "[.instances[] | select(.name | strings | startswith(\"$name\")) |
	.devices[0].loop.rounds > 0] | length" "$dir/out")" = 2
ob show "$name-a"
expect_out "show NAME has the counters of one" 0 "PID $a" "rounds" "reads" "64 MiB"
ob show "$b" --json
check "show PID --json" test "$(jq -r '.name, .pid' "$dir/out" | xargs)" = "$name-b $b"

ob show "$name-a" --watch=0.1 --count 3
expect_out "--watch repeats, --count bounds it" 0 "rounds"
check "one block for each time" test "$(grep -c "PID $a" "$dir/out")" = 3
check "with rates" grep -q '[0-9]/s$' "$dir/out"
check "and no escape sequences in a pipe" sh -c '! grep -q "$(printf "\033")" "$1"' sh "$dir/out"
ob show --watch=0.1 --count 2 --json
check "--watch --json is one document" test "$(jq 'length' "$dir/out")" = 2
ob show "$name-a" --watch=0.1 --count 2 --json
check "of one instance, too" test "$(jq -r '.[1].name' "$dir/out")" = "$name-a"
: >"$dir/out" # what the last one said is not this one's word
"$outboard" show "$name-a" --watch=0.1 --json >"$dir/out" 2>"$dir/err" &
pid=$!
started+=("$pid")
wait_for test -s "$dir/out"
kill -INT $pid
ended
check "Ctrl-C ends the document well" eval '[ "$status" = 0 ] && is_json "$dir/out"'

if command -v script >/dev/null; then
	# shellcheck disable=SC2089
	watch="$outboard show $name-a --watch=0.1 --count 2"
	TERM=xterm script -qec "$watch" "$dir/tty" >/dev/null 2>&1 </dev/null
	check "on a terminal it is redrawn in place" grep -q "$(printf '\033\\[H\033\\[J')" "$dir/tty"
	TERM=xterm script -qec "$outboard show" "$dir/tty" >/dev/null 2>&1 </dev/null
	check "and heads are bold" grep -q "$(printf '\033\\[1m')" "$dir/tty"
	NO_COLOR=1 TERM=xterm script -qec "$outboard show" "$dir/tty" >/dev/null 2>&1 </dev/null
	check "but not with NO_COLOR" sh -c '! grep -q "$(printf "\033")" "$1"' sh "$dir/tty"
else
	skip "on a terminal it is redrawn in place" "no script(1)"
fi

kill -STOP "$b"
ob show --json
check "an instance that is stopped does not hold the others up" test "$(jq -r \
	".instances[] | select(.name == \"$name-a\") | .pid" "$dir/out")" = "$a"
kill -CONT "$b"

if [ "$(id -u)" -eq 0 ]; then
	# Somebody who pretends to be an instance.
	setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind("\0outboard/instance/1")
s.listen()
print("ready", flush=True)
s.settimeout(60)
while True:
    c = s.accept()[0]
    try:
        c.sendall(b"{\"name\": \"forged\", \"pid\": 1}")
    except OSError:
        pass
    c.close()
' >"$dir/forger" 2>&1 &
	forger=$!
	started+=("$forger")
	wait_for grep -q ready "$dir/forger"
	ob show
	expect_out "an instance of another user is listed, but not asked" 0 "uid 65534" "not asked"
	check "nor believed" sh -c '! grep -q forged "$1"' sh "$dir/out"
	ob show forged
	expect "nor found by the name that it gives itself" 1 "'forged'"
	kill "$forger"
	# And an instance does not answer others.
	setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("\0outboard/instance/'"$a"'")
try:
    s.sendall(b"stop\n")
    sys.exit(len(s.recv(100)))
except OSError:
    sys.exit(0)
'
	check "an instance gives others no answer" test $? -eq 0
	check "and does not obey them" test -e "/proc/$a"
else
	skip "instances of other users are not asked" "needs root"
fi

# Garbage on the socket.
python3 - "$a" <<'END'
import socket, sys
for text in (b"", b"\n", b"\0" * 1000, b"x" * 100000, b"show", b"ethtool ?\n", b"ethtool\n", b"stop now\n"):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect("\0outboard/instance/" + sys.argv[1])
    try:
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        s.recv(100000)
    except OSError:
        pass
    s.close()
END
ob show "$name-a"
expect_out "garbage on its socket does not disturb an instance" 0 "PID $a"
ob ethtool "$name-a"
expect "ethtool of an instance without a network says so" 5 "no network device"
for pid in $a $b; do
	kill -TERM "$pid"
	ended
	check "instance $((pid == a ? 1 : 2)) ends well" test "$status" -eq 0
done

# ---- in PID namespaces ---------------------------------------------------------------------------

pidns=(unshare --pid --fork --mount-proc --kill-child)
"${pidns[@]}" true 2>/dev/null || pidns=(unshare --map-root-user --pid --fork --mount-proc --kill-child)
if "${pidns[@]}" true 2>/dev/null; then
	for i in 1 2; do
		: >"$dir/ns$i"
		"${pidns[@]}" "$outboard" run $disk --attach "nbd,socket=$dir/n$i" --name "$name-ns$i" \
			>"$dir/ns$i" 2>&1 </dev/null &
		started+=("$!")
		wait_for serving "$dir/ns$i"
	done
	ob show --json
	check "two instances that have the same PID in their namespaces are both seen" test \
		"$(jq "[.instances[] | select(.name | strings | startswith(\"$name-ns\")) | .pid] | unique | length" "$dir/out")" = 2
	for i in 1 2; do
		ob stop "$name-ns$i"
		expect_out "and found, and stopped ($i)" 0 "has ended"
	done
else
	skip "two instances that have the same PID are both seen" "no PID namespace of one's own"
fi

# ---- ethtool ------------------------------------------------------------------------------------

for letter in -i -S -g -d -e -k; do
	ob ethtool qemu:e1000e $letter
	cp "$dir/out" "$dir/text"
	ob ethtool qemu:e1000e $letter --json
	check "ethtool $letter of a device, as text and as JSON" sh -c \
		'test "$1" -eq 0 && test "$(wc -l <"$2")" -ge 3 && jq -e "length > 0" "$3"' sh \
		"$status" "$dir/text" "$dir/out"
done
ob ethtool qemu:e1000e
expect_out "ethtool shows the link" 0 "Speed: 1000Mb/s" "Link detected: yes"
ob ethtool qemu:e1000e -t
expect_out "ethtool -t tests the device" 0 "PASS" "Loopback test"
ob ethtool qemu:e1000e -t --json
check "with interrupts, not polled" jq -e \
	'.tests[] | select(.name == "Interrupt test") | .result == 0 and (.detail | contains("polled") | not)' "$dir/out"
ob ethtool qemu:e1000e -i
expect_out "ethtool -i names the driver" 0 "driver: e1000" "supports-test: yes"
ob ethtool qemu:e1000e -i -S
expect "one question at a time" 2 "-i and -S"
ob selftest qemu:e1000e --json
check "selftest --json" jq -e '.passed and (.tests | length > 3)' "$dir/out"
ob selftest "fault[ones=1]:qemu:nvme,null=1M"
check "selftest of a broken device fails" test "$status" -ne 0

if serve nic run qemu:e1000e --attach "tap,netns=new,name=if$$" --name "$name-n" -- sleep 300 >"$dir/why"; then
	ob ethtool "if$$" -g --json
	check "ethtool by the name of the interface" jq -e '.rx > 0' "$dir/out"
	for letter in '' -i -S -g -d -k; do
		# shellcheck disable=SC2086
		ob ethtool "$name-n" $letter --json
		check "ethtool $letter of a running instance" jq -e 'length > 0' "$dir/out"
	done
	ob ethtool "$name-n" -t
	expect_out "ethtool -t of a running instance" 0 "PASS"
	ob ethtool "$name-n" -i --driver e1000
	expect "which has its driver already" 2 "'--driver e1000'"
	ob show "$name-n"
	expect_out "its counters are shown" 0 "network"
	ob stop "$name-n"
	expect_out "and it can be stopped" 0 "has ended"
else
	skip "ethtool of a running instance" "no interface can be made: $(tail -n 1 "$dir/nic")"
fi
finish
