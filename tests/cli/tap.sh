# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the tests of the program share, beside tests/checks.sh, whose directory goes away at the end. Sourced with the program
# as $1; sets $outboard.
. "${BASH_SOURCE[0]%/*}/../checks.sh"

outboard=$(readlink -f "$1")
export outboard
started=()

cleanup()
{
	local pid
	for pid in "${started[@]}"; do
		kill -9 "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

finish()
{
	finish_checks
	exit
}

# Run the program: output in $dir/out and $dir/err, exit code in $status. Never waits for ever.
ob() # ARGUMENTS...
{
	timeout -k 5 300 "$outboard" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
}

show_last()
{
	echo "exit code $status"
	sed 's/^/out: /' "$dir/out" | head -n 30
	sed 's/^/err: /' "$dir/err" | head -n 30
}

# The last run ended with STATUS and wrote every TEXT to standard error.
expect() # NAME STATUS TEXT...
{
	local name=$1 want=$2 text
	shift 2
	if [ "$status" -ne "$want" ]; then
		{ echo "expected exit code $want"; show_last; } | not_ok "$name"
		return
	fi
	for text in "$@"; do
		if ! grep -qF -- "$text" "$dir/err"; then
			{ echo "'$text' is not said"; show_last; } | not_ok "$name"
			return
		fi
	done
	ok "$name"
}

# The same of standard output.
expect_out() # NAME STATUS TEXT...
{
	cat "$dir/out" >>"$dir/err"
	expect "$@"
}

reasons()
{
	head -n 20 "$dir/check"
	show_last
}

is_json() # FILE
{
	python3 -m json.tool "$1" >/dev/null 2>&1 || jq -e . "$1" >/dev/null
}

# Start the program in the background: output in $dir/FILE, process in $pid; returns when it serves.
serve() # FILE ARGUMENTS...
{
	local file=$1
	shift
	: >"$dir/$file"
	"$outboard" "$@" >"$dir/$file" 2>&1 </dev/null &
	pid=$!
	started+=("$pid")
	if ! wait_for serving "$dir/$file" || gone $pid; then
		echo "# it does not serve:"
		sed 's/^/# /' "$dir/$file"
		return 1
	fi
}

serving() # FILE
{
	grep -q ' through ' "$1"
}

# Wait for $pid to end; its exit code in $status.
ended()
{
	if ! wait_for gone "$pid"; then
		kill -9 "$pid"
		wait "$pid"
		status=999
		return 1
	fi
	wait "$pid"
	status=$?
}

children() # PID: of all its threads, and theirs
{
	local child
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		echo "$child"
		children "$child"
	done
}

qemu_of() # PID
{
	local child
	for child in $(children "$1"); do
		case $(cat "/proc/$child/comm" 2>/dev/null) in
		qemu-system*) echo "$child" ;;
		esac
	done
}

attached() # FILE: what the line of serve() says
{
	sed -n 's/.* as \([^ ]*\) through .*/\1/p' "$dir/$1" | head -n 1
}

can_loop()
{
	[ "$(id -u)" -eq 0 ] && [ -w /dev/loop-control ] && [ -w /dev/fuse ]
}
