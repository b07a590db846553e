# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by the scripts here: a server in the background, beside tests/checks.sh.
. "${BASH_SOURCE[0]%/*}/../checks.sh"
server=

reasons()
{
	cat "$dir/check" "$dir/server" 2>/dev/null | tail -n 40
}

# What a sanitizer found in the server so far, if that is how it was built.
look_for_reports()
{
	if grep -qE 'Sanitizer|runtime error' "$dir/server" 2>/dev/null; then
		reasons | not_ok "no report of a sanitizer"
	fi
	: >"$dir/server"
}

finish()
{
	stop_server
	look_for_reports
	rm -rf "$dir"
	finish_checks
	exit
}

# Sets server, its QEMU, and NAME; fails when it does not get ready. SERVE_* are the caller's.
start_server() # SPEC ATTACHMENT...
{
	look_for_reports
	: >"$dir/ready"
	SERVE_STATS=$dir/stats "$ATTACH_BIN/attach-serve-block" "$@" >"$dir/ready" 2>"$dir/server" &
	server=$!
	wait_for server_ready || return 1
	read -r _ NAME NAME1 _ <"$dir/ready"
	[ -n "$NAME" ] || return 1
	qemu=$(cat "/proc/$server/task"/*/children | tr ' ' '\n' | while read -r pid; do
		[ -z "$pid" ] || grep -q qemu "/proc/$pid/comm" 2>/dev/null && echo "$pid"
	done | head -n 1)
}

server_ready()
{
	grep -q ^ready "$dir/ready" 2>/dev/null || gone "$server"
}

# In order; its exit code.
stop_server()
{
	local code
	[ -n "$server" ] || return 0
	kill -TERM "$server" 2>/dev/null
	wait_for gone "$server" || kill -KILL "$server"
	wait "$server" 2>/dev/null
	code=$?
	server=
	return $code
}

kill_server()
{
	kill -KILL "$server"
	wait "$server" 2>/dev/null
	server=
}

stat_of() # KEY
{
	sed "s/.*\"$1\": \([0-9.]*\).*/\1/" "$dir/stats"
}
