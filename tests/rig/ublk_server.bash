# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by the tests of ublk: a disk of memory that is served by rig-serve-ram (serve_ram.c) and obeys, beside tests/checks.sh.
. tests/checks.sh
mnt=$dir/mnt
mkdir "$mnt"
server=

reasons()
{
	{
		tail -n 12 "$dir/check"
		head -n 3 "$dir/out"
		tail -n 3 "$dir/out"
		tail -n 12 "$dir/err"
	} 2>/dev/null | cut -c1-200
}

said() # a line more than before
{
	[ "$(wc -l <"$dir/out")" -gt "$lines" ] || gone "$server"
}

# Sets server, NAME and DETAIL. $RUN in front of it, e.g. another user.
serve() # DISK ATTACHMENT
{
	lines=0
	: >"$dir/out"
	rm -f "$dir/in"
	mkfifo "$dir/in"
	# shellcheck disable=SC2086 # words
	${RUN:-} "$BUILD/tests/rig/rig-serve-ram" "$@" <"$dir/in" >"$dir/out" 2>"$dir/err" &
	server=$!
	exec 4>"$dir/in"
	wait_for said || return 1
	read -r word NAME DETAIL <"$dir/out"
	[ "$word" = ready ] || {
		cat "$dir/out" "$dir/err"
		return 1
	}
}

# Its answer is on standard output.
tell() # COMMAND
{
	lines=$(wc -l <"$dir/out")
	echo "$*" >&4
	wait_for said
	tail -n +"$((lines + 1))" "$dir/out"
}

stop() # [force]
{
	local answer code
	answer=$(tell "${1:-stop}")
	echo "$answer"
	[ "$answer" = stopped ] || return 1
	exec 4>&-
	wait_for gone "$server" || return 1
	wait "$server"
	code=$?
	server=
	return $code
}

kill_server()
{
	kill -KILL "$server"
	wait "$server" 2>/dev/null
	exec 4>&-
	server=
}

# The client's requests are there; a time would not tell on a busy machine, whose client may not have opened the disk yet.
in_flight()
{
	[ "$(awk '{ print $1 }' "/sys/block/${NAME##*/}/inflight")" -ge 32 ]
}

stat_of() # KEY
{
	tell stats | sed "s/.*\"$1\": \([0-9]*\).*/\1/"
}

caretakers()
{
	local p pid rest
	for p in /proc/[0-9]*/comm; do
		read -r rest 2>/dev/null <"$p"
		[ "$rest" = outboard-care ] || continue
		pid=${p#/proc/}
		gone "${pid%/comm}" || echo "${pid%/comm}"
	done
}

nothing_left() # devices and processes
{
	! ls /dev/ublkb* /dev/ublkc* >/dev/null 2>&1 && [ -z "$(caretakers)" ]
}

load() # FIO-OPTION...
{
	soon fio --name=load --filename="$NAME" --size=24M --io_size=6M --bs=4k --iodepth=32 --verify=crc32c \
		--verify_fatal=1 --do_verify=1 --verify_state_save=0 --randseed=7 --norandommap=0 "$@" >"$dir/fio" 2>&1 &&
		grep -q 'err= 0' "$dir/fio" || {
		cat "$dir/fio"
		return 1
	}
}

finish()
{
	[ -z "$server" ] || stop force >/dev/null
	umount "$mnt" 2>/dev/null
	rm -rf "$dir"
	finish_checks
	exit
}
