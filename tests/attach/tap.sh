# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the scripts here: TAP, a server in the background, waiting with an end.

n=0 failed=0
dir=${dir:-$(mktemp -d)}
server=

ok() # NAME
{
	n=$((n + 1))
	echo "ok $n - $1"
}

not_ok() # NAME
{
	n=$((n + 1))
	failed=$((failed + 1))
	sed 's/^/# /' "$dir/log" "$dir/server" 2>/dev/null | tail -n 40
	echo "not ok $n - $1"
}

skip() # NAME REASON
{
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

check() # NAME COMMAND...: it must succeed
{
	local name=$1
	shift
	: >"$dir/log"
	if "$@" >>"$dir/log" 2>&1; then
		ok "$name"
	else
		echo "($*: $?)" >>"$dir/log"
		not_ok "$name"
	fi
}

# What a sanitizer found in the server so far, if that is how it was built.
look_for_reports()
{
	if grep -qE 'Sanitizer|runtime error' "$dir/server" 2>/dev/null; then
		not_ok "no report of a sanitizer"
	fi
	: >"$dir/server"
}

finish()
{
	stop_server
	look_for_reports
	rm -rf "$dir"
	echo "1..$n"
	[ $failed -eq 0 ]
	exit
}

# No client may hang the test: what is not done after this long will not be done.
soon()
{
	timeout -k 5 180 "$@"
}

wait_for() # COMMAND...: until it succeeds; two minutes at most, for a busy machine
{
	local tries=2400
	while [ $tries -gt 0 ]; do
		"$@" && return 0
		tries=$((tries - 1))
		sleep 0.05
	done
	return 1
}

gone() # PID
{
	! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
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
