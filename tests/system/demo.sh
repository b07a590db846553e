#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The demo: killed with SIGKILL in its middle it leaves nothing, another works afterwards, two work at the same
# time, and so does one of a user without any rights. Prints TAP.
# usage: demo.sh SOURCE-ROOT OUTBOARD
set -u

root=$1
OUTBOARD=$(readlink -f "$2")
export OUTBOARD
mark=OUTBOARD_MARK=$$-$RANDOM
export "${mark?}"
dir=$(mktemp -d) || exit 1
chmod 755 "$dir"
trap 'rm -rf "$dir"' EXIT
failed=0

result() # STATUS NUMBER NAME LOG...
{
	local status=$1 number=$2 name=$3
	shift 3
	if [ "$status" -eq 0 ]; then
		echo "ok $number - $name"
	else
		failed=$((failed + 1))
		cat "$@" | tail -n 60 | sed 's/^/# /'
		echo "not ok $number - $name"
	fi
}

skip() # NUMBER NAME REASON
{
	echo "ok $1 - $2 # SKIP $3"
}

loops()
{
	cat /sys/block/loop*/loop/backing_file 2>/dev/null | sed 's/^/loop /'
}

count()
{
	# Only processes with our mark: others come and go on the machine.
	CENSUS_TAG=$mark "$root/scripts/census" "$root/build/demo"
	loops
}

succeeded() # LOG
{
	grep -q '^Left behind: nothing' "$1"
}

echo "1..4"
mkdir -p "$root/build/demo" 2>/dev/null

# 1: killed while the last disk is in use, so that as much as there ever is is there.
count >"$dir/before"
"$root/scripts/demo" >"$dir/killed.log" 2>&1 </dev/null &
pid=$!
tries=12000 # while drivers of the kernel are built, the first time
while [ $tries -gt 0 ] && kill -0 $pid 2>/dev/null && ! grep -qE '^  (mount, copy|mkfs.ext4 with|copy it to)' "$dir/killed.log"; do
	sleep 0.05
	tries=$((tries - 1))
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
tries=300
while count >"$dir/after"; LC_ALL=C comm -13 "$dir/before" "$dir/after" >"$dir/left"; [ -s "$dir/left" ] && [ $tries -gt 0 ]; do
	sleep 0.2
	tries=$((tries - 1))
done
if succeeded "$dir/killed.log"; then
	skip 1 "a demo that is killed leaves nothing behind" "it ended before it could be killed"
elif grep -q 'You have no namespaces' "$dir/killed.log"; then
	skip 1 "a demo that is killed leaves nothing behind" "no namespaces for this user on this system"
else
	[ ! -s "$dir/left" ]
	result $? 1 "a demo that is killed leaves nothing behind" "$dir/killed.log" "$dir/left"
fi

# 2 and 3: two others afterwards, at the same time.
for i in 1 2; do
	"$root/scripts/demo" >"$dir/demo$i.log" 2>&1 </dev/null &
	running[i]=$!
done
for i in 1 2; do
	wait "${running[i]}"
	status=$?
	[ $status -eq 0 ] && succeeded "$dir/demo$i.log"
	result $? $((i + 1)) "demo $i of two at the same time works" "$dir/demo$i.log"
done

# 4: without rights. Only root can become somebody without; a user is one already.
name="the demo works for a user without rights"
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if [ "$(id -u)" -ne 0 ]; then
	skip 4 "$name" "the others ran as such a user"
elif ! "${nobody[@]}" test -r "$root/scripts/demo" -a -x "$OUTBOARD"; then
	skip 4 "$name" "no other user may read $root"
else
	"${nobody[@]}" "$root/scripts/demo" >"$dir/nobody.log" 2>&1 </dev/null
	status=$?
	[ $status -eq 0 ] && succeeded "$dir/nobody.log"
	result $? 4 "$name" "$dir/nobody.log"
fi
[ $failed -eq 0 ]
