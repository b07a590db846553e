#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vhost-net, with a device that does as it is told: frames of every size both ways, segmentation frames in several buffers, full
# rings, several queues, fewer than 0.1 system calls per frame; and what follows what is set on the interface.
#
# rig-nightly-kernels: 6.1 7.2
# rig-modprobe: tun vhost_net
# rig-timeout: 300
set -u
n=0

# Each of a program's own lines becomes one of ours.
run() # PROGRAM
{
	local line status=none
	while IFS= read -r line; do
		case $line in
		'ok '* | 'not ok '*)
			n=$((n + 1))
			# shellcheck disable=SC2001 # a number of any length
			sed "s/^\(ok\|not ok\) [0-9]* /\1 $n /" <<<"$line"
			;;
		'1..0 '*)
			n=$((n + 1))
			echo "not ok $n - ${1##*/} could not run: $line"
			;;
		'1..'*) ;;
		'exit '*) status=${line#exit } ;;
		*) echo "${line/#[^#]/# &}" ;;
		esac
	done < <("$1" 2>&1; echo "exit $?")
	n=$((n + 1))
	if [ "$status" = 0 ]; then
		echo "ok $n - ${1##*/} ended well"
	else
		echo "not ok $n - ${1##*/} ended with $status"
	fi
}

run "$BUILD/tests/tap/tap-by-vhost"
run "$BUILD/tests/tap/tap-interface"
echo "1..$n"
