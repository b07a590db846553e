#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# rig/suite fails a test that leaves something behind, hangs, has a bug in the kernel's log, kills the machine, or checks nothing; it
# tells which, and goes on with the others.
#
# rig-where: host
# rig-timeout: 900
set -u

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tests"

write() # NAME: a test, its script on standard input
{
	{
		echo '#!/bin/bash'
		cat
	} >"$work/tests/$1.sh"
	chmod +x "$work/tests/$1.sh"
}

write a-good <<'END'
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-modprobe: loop nbd,nbds_max=2
echo 1..2
[ "$(cat "/sys/bus/pci/devices/$RIG_EDU/device")" = 0x11e8 ] && echo 'ok 1 - device'
[ "$(cat /sys/module/nbd/parameters/nbds_max)" = 2 ] && echo 'ok 2 - parameter of a module'
END
write b-behind <<'END'
echo 1..1
sleep 1000 &
mkdir -p /tmp/mnt
mount -t tmpfs left /tmp/mnt
ip link add left0 type dummy 2>/dev/null || ip tuntap add left0 mode tap
echo 'ok 1 - a'
END
write c-hangs <<'END'
# rig-timeout: 3
echo 1..1
sleep 1000
END
write d-panics <<'END'
# rig-device: edu
echo 1..1
echo c >/proc/sysrq-trigger
END
write e-warns <<'END'
# rig-device: e1000e,netdev=none
echo 1..1
echo 'WARNING: CPU: 0 PID: 1 at test' >/dev/kmsg
echo 'ok 1 - a'
END
write f-allowed <<'END'
# rig-allow-log: at test$
echo 1..1
echo 'WARNING: CPU: 0 PID: 1 at test' >/dev/kmsg
mountpoint -q /tmp/mnt || echo 'ok 1 - what another left is gone'
END
write g-nothing <<'END'
exit 0
END
write h-short <<'END'
echo 1..2
echo 'ok 1 - a'
END
write i-skipped <<'END'
echo '1..0 # SKIP for a reason'
END
write j-fails <<'END'
echo 1..1
echo 'not ok 1 - a'
END
write k-never <<'END'
# rig-options: --append rdinit=/nowhere
echo 1..1
echo 'ok 1 - a'
END

rig/suite --tests "$work/tests" --kernel "$RIG_KERNEL" --results "$work/results" --json "$work/json" >"$work/out" 2>&1
code=$?

n=0
shown=no
expect() # NAME OUTCOME [TEXT]
{
	n=$((n + 1))
	if jq -s -e --arg name "$1 on $RIG_KERNEL" --arg result "$2" --arg text "${3:-}" \
		'any(.name == $name and .result == $result and (.stdout + .stderr | contains($text)))' "$work/json" >/dev/null; then
		echo "ok $n - $1: $2${3:+, $3}"
	else
		echo "not ok $n - $1: $2${3:+, $3}"
		shown=
	fi
}

# What the suite said, once, for a failure.
explain()
{
	[ "$shown" = no ] || sed 's/^/# /' "$work/out"
}

echo 1..17
expect a-good OK
expect b-behind FAIL 'mount /tmp/mnt'
expect b-behind FAIL 'sleep 1000'
expect b-behind FAIL 'net/left0'
expect c-hangs TIMEOUT 'not done after 3 s'
expect d-panics FAIL 'sysrq triggered crash'
expect e-warns FAIL 'WARNING: CPU: 0'
expect f-allowed OK
expect g-nothing FAIL 'not a single check'
expect h-short FAIL 'not as many checks'
expect i-skipped SKIP 'for a reason'
expect j-fails FAIL
expect k-never FAIL 'did not get to this test'
check() # NAME COMMAND...
{
	local name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		shown=
	fi
}

rig/suite --tests "$work/tests" --list >"$work/list"
check 'exit code' test "$code" -eq 1
check 'what dies before its first test is booted once more' test "$(grep -c '^AGAIN ' "$work/out")" = 1
check 'boots: one for six tests, one more after the panic, two for nothing' grep -q '^11 tests, 8 failed, 5 boots' "$work/out"
check 'devices are shared' grep -q '^6.12  vtd    edu e1000e,netdev=none$' "$work/list"
explain
