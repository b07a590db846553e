# SPDX-License-Identifier: BSD-2-Clause
# What the shell tests of the tap attachment share; to be sourced. TAP_BIN is where the test programs are.
set -u
bin=${TAP_BIN:?}
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"
declare -A agent server

trap 'finish_all; rm -rf "$dir"' EXIT

judge() # STATUS NAME [WHAT WAS SEEN]
{
	if [ "$1" -eq 0 ]; then
		ok "$2"
	else
		printf '%s\n' "${3:-}" | not_ok "$2"
	fi
}

skip_all() # REASON
{
	echo "1..0 # SKIP $*"
	exit 0
}

# The attachment's own probe, by an attempt that needs no device.
need_tap()
{
	local out
	[ -e /dev/net/tun ] || skip_all "no /dev/net/tun"
	out=$( (exec 3<>/dev/net/tun) 2>&1) || skip_all "$out"
	unshare -Urn true 2>/dev/null || unshare -n true 2>/dev/null ||
		skip_all "this user can make no network namespace"
}

# Start a device with a tap in a namespace of its own, and something in there that waits.
start() # NAME SPEC ATTACHMENT [WRAPPER...]
{
	local name=$1 spec=$2 attach=$3 _
	shift 3
	rm -f "$dir/$name.pid"
	SERVE_STATS=$dir/$name.json SERVE_LINK=$dir/$name.link \
		"$@" "$bin/tap-serve-net" "$spec" "$attach" -- \
		sh -c "echo \$\$ >$dir/$name.tmp; mv $dir/$name.tmp $dir/$name.pid; exec sleep 1000" \
		>"$dir/$name.out" 2>&1 &
	server[$name]=$!
	for _ in $(seq 2400); do
		[ -s "$dir/$name.pid" ] && break
		kill -0 "${server[$name]}" 2>/dev/null || break
		sleep 0.05
	done
	if [ ! -s "$dir/$name.pid" ]; then
		echo "Bail out! $name: $(cat "$dir/$name.out")"
		exit 1
	fi
	agent[$name]=$(cat "$dir/$name.pid")
}

# A command in the namespace of an attachment.
in_net() # NAME COMMAND...
{
	local user=()
	local name=$1
	shift
	[ "$(id -u)" -eq 0 ] || user=(-U --preserve-credentials)
	nsenter -t "${agent[$name]}" "${user[@]}" -n -- "$@"
}

# The same in the background, as a job whose process is the command itself.
in_net_bg() # NAME COMMAND...
{
	local user=()
	[ "$(id -u)" -eq 0 ] || user=(-U --preserve-credentials)
	nsenter -t "${agent[$1]}" "${user[@]}" -n -- "${@:2}" &
}

# End it in an orderly way: its command ends, so does it.
finish() # NAME
{
	[ -n "${agent[$1]:-}" ] || return 0
	kill "${agent[$1]}" 2>/dev/null
	wait "${server[$1]}" 2>/dev/null
	unset "agent[$1]" "server[$1]"
}

finish_all()
{
	local name pid
	for name in "${!server[@]}"; do
		finish "$name"
	done
	for pid in $(jobs -p); do
		kill "$pid" 2>/dev/null
	done
	wait 2>/dev/null
}

counter() # NAME KEY: of the JSON that the server leaves
{
	sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$dir/$1.json"
}

# A counter of the kernel in a namespace, e.g. TcpInCsumErrors.
nstat_of() # NAME KEY
{
	in_net "$1" nstat -asz "$2" 2>/dev/null | awk -v k="$2" '$1 == k { print $2 }'
}

done_testing()
{
	finish_all
	# In a build with sanitizers they report at the end.
	cat "$dir"/*.out 2>/dev/null | grep -A 20 'Sanitizer\|runtime error' >"$dir/reports"
	judge "$([ ! -s "$dir/reports" ]; echo $?)" "no sanitizer has found anything" "$(cat "$dir/reports")"
	finish_checks
}
