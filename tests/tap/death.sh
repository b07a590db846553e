#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is left of a tap, its namespace, its driver process and its QEMU: nothing, after an orderly end, after
# kill -9 of the driver process, of QEMU and of both while traffic flows.
# shellcheck source=tests/tap/nets.sh
. "$(dirname "$0")/nets.sh"
need_tap
census=$(dirname "$0")/../../scripts/census
export CENSUS_TAG=TAP_DEATH=$$-$RANDOM
export "${CENSUS_TAG?}"

# /proc/net is the reader's own namespace's: ours.
mkdir "$dir/none" # files of ours would be seen as files left
"$census" "$dir/none" >"$dir/before"

qemu_of() # PID: the QEMU among its children
{
	local pid
	for pid in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		grep -q '^qemu' "/proc/$pid/comm" 2>/dev/null && echo "$pid"
	done
}

nothing_left()
{
	"$census" "$dir/none" >"$dir/after"
	[ -z "$(comm -13 "$dir/before" "$dir/after")" ]
}

# With traffic in both directions until the end.
busy()
{
	start a qemu:e1000e,netdev=user tap,netns=new,name=gone,address=10.0.2.15/24
	qemu=$(qemu_of "${server[a]}")
	space=$(readlink "/proc/${agent[a]}/ns/net")
	in_net_bg a sh -c 'exec ping -q -i 0.002 10.0.2.2 >/dev/null'
	pinger=$!
	sleep 0.5
	"$census" "$dir/none" >"$dir/during"
}

ended() # HOW
{
	wait "${server[a]}" 2>/dev/null
	kill $pinger 2>/dev/null
	wait $pinger 2>/dev/null
	wait_for nothing_left
	judge $? "nothing is left after $1" "$(comm -13 "$dir/before" "$dir/after")"
	unset "agent[a]" "server[a]"
}

busy
judge "$([ -n "$qemu" ]; echo $?)" "there is a QEMU while it runs"
judge "$(grep -qF "$space" "$dir/during"; echo $?)" "there is a namespace while it runs" "$space"
kill "${agent[a]}"
ended "an orderly end"

busy
kill -9 "${server[a]}"
ended "kill -9 of the driver process"

busy
kill -9 "$qemu"
sleep 0.3
kill -0 "${server[a]}"
judge $? "the driver process outlives its QEMU"
check "the interface's namespace can still be used" in_net a ip link show gone
kill "${agent[a]}"
ended "kill -9 of QEMU"

busy
kill -9 "$qemu" "${server[a]}"
ended "kill -9 of both"

done_testing
