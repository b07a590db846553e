# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What scripts that measure in the rig share; sourced by them: a device's way from the kernel's driver to VFIO, two cards on a hub, and how a
# sample is said (docs/benchmarks.md, "An experiment").

# Exported, functions too: shells inside of an attachment go on with them.
set -a

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The programs.
client=$BUILD/bench/outboard-bench-client
inprocess=$BUILD/bench/outboard-bench-inprocess
outboard=$BUILD/cli/outboard

# ---- samples ------------------------------------------------------------------------

# How much is to be done: full, quick, or smoke, which only looks whether it works.
mode=${BENCH_MODE:-full}

# by_mode FULL QUICK SMOKE: the one for this run.
by_mode()
{
	case $mode in
	quick) echo "$2" ;;
	smoke) echo "$3" ;;
	*) echo "$1" ;;
	esac
}

# PARAMETER is a number, or null.
sample() # SIDE LOAD PARAMETER METRIC VALUE UNIT
{
	printf '{"side": "%s", "load": "%s", "parameter": %s, "metric": "%s", "value": %s, "unit": "%s"}\n' "$@"
}

# What cannot be measured on this machine.
leave_out() # SIDE REASON
{
	local reason=${2//\\/}
	printf '{"skip": "%s", "reason": "%s"}\n' "$1" "${reason//\"/\'}"
}

field() # KEY JSON-LINE
{
	local rest=${2#*\""$1"\": }
	[ "$rest" != "$2" ] || return 1
	rest=${rest%%[,\}]*}
	echo "${rest//\"/}"
}

# Runs a client that marks its window (bench/marked.h) and prints its figures; the instructions of the whole machine in that window come
# from the rig. UNIT is what one operation is: request, frame.
counted() # SIDE LOAD PARAMETER UNIT COMMAND...
{
	local side=$1 load=$2 parameter=$3 unit=$4 line n user kernel before
	shift 4
	before=$(wc -l <"$RIG_COUNTS" 2>/dev/null || echo 0)
	line=$("$@") || { echo "$side, $load $parameter: $* failed" >&2; exit 1; }
	n=$(field count "$line") || { echo "$side, $load $parameter: no figures in: $line" >&2; exit 1; }
	# "count 2 user N kernel N", one or several; label 1 is the warming up.
	read -r user kernel < <(tail -n +$((before + 1)) "$RIG_COUNTS" | awk '$2 == 2 { u += $4; k += $6 } END { printf "%d %d\n", u, k }')
	sample "$side" "$load" "$parameter" instructions "$(ratio "$((user + kernel))" "$n")" "per $unit"
	sample "$side" "$load" "$parameter" "instructions, user" "$(ratio "$user" "$n")" "per $unit"
	sample "$side" "$load" "$parameter" "instructions, kernel" "$(ratio "$kernel" "$n")" "per $unit"
	[ "$(field paused "$line")" = true ] || sample "$side" "$load" "$parameter" rate "$(field rate "$line")" "${unit}s/s"
}

# A command that marks nothing, as a line for bash, which finds the number of operations in $N. What operations cost is the difference between
# a long run and one of a tenth, without its start and its end; the first of all is not counted, as files are read then. What is smaller than its
# start differs from time to time is 0.
counted_command() # SIDE LOAD PARAMETER UNIT COUNT LINE
{
	local side=$1 load=$2 parameter=$3 unit=$4 count=$5 before part
	N=$((count / 20 + 1)) bash -c "$6" >"$RIG_RESULTS/command" || { echo "$side, $load: $6 failed" >&2; exit 1; }
	before=$(wc -l <"$RIG_COUNTS" 2>/dev/null || echo 0)
	"$client" --test command --count "$count" --path "$6" >"$RIG_RESULTS/command" || { echo "$side, $load: $6 failed" >&2; exit 1; }
	# marked_run() warms up with a tenth, and one more.
	count=$((count - count / 10 - 1))
	for part in '' ', user' ', kernel'; do
		sample "$side" "$load" "$parameter" "instructions$part" "$(tail -n +$((before + 1)) "$RIG_COUNTS" | awk -v part="$part" -v n=$count '
			{ sign = $2 == 2 ? 1 : -1; user += sign * $4; kernel += sign * $6 }
			END {
				sum = (part != ", kernel") * user + (part != ", user") * kernel
				printf "%.2f", sum < 0 ? 0 : sum / n
			}')" "per $unit"
	done
}

ratio() # A B
{
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b ? a / b : 0 }'
}

# ---- drivers and devices --------------------------------------------------------------------

# Whether the kernel's driver NAME was built for use in a process (docs/linux-build.md), with the sources of this program: it is loaded, for a
# device that is not there.
built() # NAME
{
	ls "$OUTBOARD_LINUX_CACHE/objects/linux-$1"-*.so >/dev/null 2>&1 &&
		! "$inprocess" --driver "linux:$1" --spec vfio:ffff:ff:1f.7 --test disk 2>&1 |
			grep -q 'another Outboard'
}

to_driver() # BDF DRIVER
{
	local at=/sys/bus/pci/devices/$1
	[ ! -e "$at/driver" ] || echo "$1" >"$at/driver/unbind"
	echo "$2" >"$at/driver_override"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$at/driver")")" = "$2" ]
}

to_vfio() # BDF
{
	to_driver "$1" vfio-pci
}

wait_for() # COMMAND...
{
	local i
	for i in $(seq 100); do
		"$@" && return
		sleep 0.1
	done
	echo "${0##*/}: waited in vain: $*" >&2
	exit 1
}

# What DEVICE, an address or a specification, becomes through ATTACHMENT, while COMMAND, one of the functions here, runs with it.
attached() # SIDE DEVICE ATTACHMENT COMMAND [OPTION...]
{
	local side=$1 device=$2 attachment=$3 command=$4
	shift 4
	[[ $device == *:*:*:* ]] || device=vfio:$device
	"$outboard" run "$device" "$@" --attach "$attachment" --quiet -- bash -c '"$@"' - "$command" "$side" 2>"$RIG_RESULTS/err"
	case $? in
	0) ;;
	5) leave_out "$side" "$(head -n 1 "$RIG_RESULTS/err")" ;;
	*) cat "$RIG_RESULTS/err" >&2; exit 1 ;;
	esac
}

# ---- two cards on a hub, in the namespaces "own" and "peer" --------------------------

# Two interfaces of the kernel's: "own", of the card under test, and "peer", opposite of it on the hub.
two_cards() # OWN-BDF PEER-BDF
{
	wait_for test -d "/sys/bus/pci/devices/$1/net"
	wait_for test -d "/sys/bus/pci/devices/$2/net"
	own=$(interface_of "$1")
	peer=$(interface_of "$2")
	ip netns add own
	ip netns add peer
	ip -n own link set lo up
	ip -n peer link set lo up
	ip link set "$peer" netns peer
	ip -n peer addr add 10.7.0.2/24 dev "$peer"
	ip -n peer link set "$peer" up
	ip link set "$own" netns own
	ip -n own addr add 10.7.0.1/24 dev "$own"
	ip -n own link set "$own" up
	wait_for there own "$own"
	wait_for there peer "$peer"
	wait_for settled
}

# The card under test leaves the kernel's driver.
own_to_vfio() # BDF
{
	ip -n own link set "$own" down
	ip -n own link set "$own" netns 1
	to_vfio "$1" || exit 1
}

# The interface that an attachment made is "own", and reaches its peer.
own_is_attached()
{
	ip -n own link show "$OUTBOARD_IF" >/dev/null 2>&1 || ip link set "$OUTBOARD_IF" netns own
	ip -n own addr replace 10.7.0.1/24 dev "$OUTBOARD_IF"
	ip -n own link set "$OUTBOARD_IF" up
	wait_for settled
}

# Every frame that INTERFACE receives goes out of it again, by the shortest way that the kernel has for any driver: a redirection at the
# hook where the network stack begins, with no queue behind it.
sends_back() # NAMESPACE, or nothing, INTERFACE
{
	modprobe -aq sch_ingress cls_matchall act_mirred
	tc ${1:+-n "$1"} qdisc replace dev "$2" root noqueue && tc ${1:+-n "$1"} qdisc add dev "$2" clsact &&
		tc ${1:+-n "$1"} filter add dev "$2" ingress matchall action mirred egress redirect dev "$2" || exit 1
}

sends_back_no_more() # NAMESPACE INTERFACE
{
	tc -n "$1" qdisc del dev "$2" clsact && tc -n "$1" qdisc del dev "$2" root || exit 1
}

interface_of() # BDF
{
	ls "/sys/bus/pci/devices/$1/net" 2>/dev/null | head -n 1
}

there() # NAMESPACE INTERFACE
{
	ip -n "$1" link show "$2" 2>/dev/null | grep -q LOWER_UP
}

settled()
{
	ip netns exec own ping -c 1 -W 1 10.7.0.2 >/dev/null 2>&1
}
