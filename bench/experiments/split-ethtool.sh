#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Split driver: what a question of ethtool's costs
# bench-from: Balakrishnan and Krishnan, tables 2 and 4
# bench-about: The program ethtool, from its start to its end, as the paper has it; and the same question again and again, by ioctl, without what that takes. The clock goes by
#   instructions, one a nanosecond. Of the split driver's, also when it was where: "to the daemon" until it has the request, "processing" until it answers, "back" until the
#   caller has its answer; taken by tracing system calls, which is in these three. Questions whose functions stay in the kernel are to cost the same; for
#   drvinfo the kernel asks five functions, to set the message level two.
# bench-base: original
# bench-side: original: the distribution's pcnet32
# bench-side: split: the same source, split
# bench-goal: split | ethtool -i | * | instructions | <= 1.5
# bench-goal: split | ethtool -g | * | instructions | <= 1.5
# bench-goal: split | ethtool -d | * | instructions | <= 1.5
# bench-goal: split | ethtool -t | * | instructions | <= 1.5
# rig-device: pcnet,netdev=hub=1,mac=52:54:00:00:00:01
# rig-options: --counting --deterministic --append ipv6.disable=1
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
# shellcheck source=bench/experiments/split.bash
. "$here/split.bash"
client=$BUILD/bench/outboard-bench-ethtool
most=$(by_mode 2000 500 20)
tracing=/sys/kernel/debug/tracing
ops=(drvinfo ring 'message level' 'set message level' counts registers settings link)
# Of these the kernel asks one function that may have moved. For drvinfo it asks five: also three counts and a length.
single=(ring 'message level' counts registers)

opened()
{
	wait_for test -d "/sys/bus/pci/devices/$RIG_PCNET/net"
	card=$(interface_of "$RIG_PCNET")
	ip link set "$card" up
	wait_for grep -q 1 "/sys/class/net/$card/carrier"
}

questions() # SIDE
{
	local op
	for op in "${ops[@]}"; do
		counted "$1" "$op" null question "$client" --op "$op" --path "$card" --count "$most"
	done
	for op in -i -g -d; do
		counted "$1" "ethtool $op" null command "$client" --command "ethtool $op $card" --count "$(by_mode 50 20 4)"
	done
	counted "$1" 'ethtool -t' null command "$client" --command "ethtool -t $card offline" --count "$(by_mode 5 3 1)"
}

# Medians, in microseconds, of when a request was where.
phases()
{
	local op
	echo raw_syscalls:sys_enter raw_syscalls:sys_exit | tr ' ' '\n' >$tracing/set_event || return
	echo "$split_daemon" >$tracing/set_event_pid
	echo 1 >$tracing/options/event-fork
	for op in "${single[@]}"; do
		: >$tracing/trace
		# The shell's child is traced, as its parent is.
		bash -c 'echo $$ >>"$1/set_event_pid"; shift; exec "$@"' - $tracing "$client" --op "$op" --path "$card" --count "$(by_mode 200 100 20)" >/dev/null || exit 1
		awk -v op="$op" -v daemon="-$split_daemon " '
			function median(a, n,   i, k, t) {
				for (i = 2; i <= n; i++)
					for (k = i; k > 1 && a[k] < a[k - 1]; k--) { t = a[k]; a[k] = a[k - 1]; a[k - 1] = t }
				return a[int((n + 1) / 2)]
			}
			function put(metric, a) {
				printf "{\"side\": \"split\", \"load\": \"%s\", \"parameter\": null, \"metric\": \"%s\", \"value\": %.2f, \"unit\": \"us\"}\n", op, metric, median(a, n)
			}
			!/sys_(enter|exit): NR/ { next }
			{
				for (i = 1; i <= NF; i++)
					if ($i ~ /^sys_(enter|exit):$/)
						break
				t = $(i - 1) * 1e6
				what = $i $(i + 2)
				mine = index($0, daemon) > 0
			}
			!mine && what == "sys_enter:16" { asked = t; got = answered = 0 }
			mine && what == "sys_exit:0" { got = t }
			mine && what == "sys_enter:1" && got { answered = t }
			!mine && what == "sys_exit:16" && answered {
				n++
				to[n] = got - asked; in_it[n] = answered - got; back[n] = t - answered
				asked = got = answered = 0
			}
			END { if (n) { put("to the daemon", to); put("processing", in_it); put("back", back) } }' $tracing/trace
	done
	: >$tracing/set_event
	: >$tracing/set_event_pid
}

load_original
opened
questions original
unload
if ! has_split; then
	no_split split
	exit
fi
load_split
opened
questions split
phases
unload
