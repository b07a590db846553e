# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154
# What the tests of `outboard net` share, besides those of the program (tests/cli/tap.sh). Sourced with the
# program as $1.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../cli/tap.sh"

# Start `outboard net` in the background: output in $dir/NAME.out and .err, process in $pid.
net_bg() # NAME ARGUMENTS...
{
	local name=$1
	shift
	"$outboard" net "$@" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null &
	pid=$!
	started+=("$pid")
}

# Wait for $pid; output as that of the last run, so that expect() and check() see it.
finish_bg() # NAME
{
	wait "$pid"
	status=$?
	cp "$dir/$1.out" "$dir/out"
	cp "$dir/$1.err" "$dir/err"
}

said() # FILE TEXT
{
	grep -qF -- "$2" "$dir/$1"
}
