# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2119,SC2120,SC2154
# What the tests of `outboard net` share, besides those of the program (tests/cli/tap.sh). Sourced with the
# program as $1.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../cli/tap.sh"

# Start `outboard net` in the background: output in $dir/NAME.out and .err, process in $pid.
net_bg() # NAME ARGUMENTS...
{
	local name=$1
	shift
	: >"$dir/$name.out" # what the last one said is not this one's word
	: >"$dir/$name.err"
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

# ---- two of them with a cable between: options of each in the arrays a (10.9.0.1) and b -------------------

# The receiver is there, however busy the machine: no time-out of a sender's depends on it.
reachable() # [ADDRESS [OTHER OPTIONS OF b]]
{
	local to=${1:-10.9.0.1} from=("${b[@]}")
	[ $# -lt 2 ] || from=("${b[0]}" "${@:2}")
	wait_for "$outboard" net "${from[@]}" ping "$to" -n 1 --timeout 2 >/dev/null 2>&1 && return
	echo "# $to does not answer; who listens there says:"
	sed 's/^/# /' "$dir/rx.err"
	return 1
}

# A receiver at a, a sender at b, both with --json.
transfer() # NAME FILTER RECEIVER-OPTIONS -- SENDER-OPTIONS
{
	local name=$1 filter=$2 rx=()
	shift 2
	while [ "$1" != -- ]; do rx+=("$1"); shift; done
	shift
	net_bg rx "${a[@]}" receive --wait 100 --json "${rx[@]}"
	reachable
	ob net "${b[@]}" send 10.9.0.1 --json "$@"
	local tx=$status
	wait "$pid"
	cp "$dir/rx.out" "$dir/rx.json"
	check "$name: the receiver is content" jq -e '.error == null and .bytes > 0 and .damaged == 0' "$dir/rx.json"
	check "$name: so is the sender" test "$tx" -eq 0
	check "$name: both counted the same" jq -e --slurpfile rx "$dir/rx.json" "$filter" "$dir/out"
}

# A FILTER: what was sent came whole.
whole='.bytes == $rx[0].bytes and .receiver.bytes == .bytes and .receiver.damaged == 0'
