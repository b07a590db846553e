# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced by tests that are shell scripts: a check for each command, told as TAP; waiting with an end.

# "reason | not_ok NAME" counts in this shell.
shopt -s lastpipe

dir=${dir:-$(mktemp -d)}
n=0 failed=0

ok() # NAME
{
	n=$((n + 1))
	echo "ok $n - $1"
}

not_ok() # NAME, with the reason on standard input
{
	n=$((n + 1))
	failed=$((failed + 1))
	sed 's/^/# /'
	echo "not ok $n - $1"
}

skip() # NAME REASON
{
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# Why a check failed. Who knows more than its command said defines it anew.
reasons()
{
	cat "$dir/check"
}

check() # NAME COMMAND...: it must succeed
{
	local name=$1
	shift
	if "$@" >"$dir/check" 2>&1; then
		ok "$name"
	else
		echo "($*: $?)" >>"$dir/check"
		reasons | not_ok "$name"
	fi
}

# The plan, and the exit code of the script.
finish_checks()
{
	echo "1..$n"
	[ $failed -eq 0 ]
}

# No client may hang the test: what is not done after this long will not be done.
soon()
{
	timeout -k 5 180 "$@"
}

# Until it succeeds; two minutes at most, for a busy machine, so only what hangs ends there.
wait_for() # COMMAND...
{
	local end=$((SECONDS + 120))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# A port that nobody has: the kernel's choice, given back.
free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A web server with FOLDER's files: process $httpd, port $port. It listens when this returns: QEMU's user network (fwd=) acknowledges what
# it has nobody yet to hand on to, and drops it.
serve_http() # FOLDER
{
	port=$(free_port)
	busybox httpd -f -p "127.0.0.1:$port" -h "$1" 2>>"$dir/httpd.log" &
	httpd=$!
	wait_for eval "(exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null" && ! gone $httpd
}

gone() # PID
{
	! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}
