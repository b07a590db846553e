#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's i6300esb and virtio-rng, unmodified, in processes, as nodes in /dev through VFIO and CUSE: util-linux's wdctl asks the watchdog, a program keeps it
# alive and stops it; many read random bytes; a killed process leaves a card that the next one drives, and a watchdog that does not bite.
#
# rig-where: host
# rig-timeout: 500
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}
if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	object_of i6300esb char 6.12
	rig/vm --timeout 450 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe cuse \
		--env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" --env "OUTBOARD_LINUX_CACHE=$cache" --env "LINUX_OBJECT=$object" --results "$RIG_RESULTS" \
		--device i6300esb,id=dog --device virtio-rng,id=dice -- bash tests/rig/linux_char.sh --inside
	exit
fi
. tests/vfio/rig.sh
pids=()

start() # NAME BDF
{
	: >"$RIG_RESULTS/$1.log" # what the last one said is not this one's word
	"$OUTBOARD" run --driver "linux:$LINUX_OBJECT" "vfio:$2" --name "$1" >"$RIG_RESULTS/$1.log" 2>&1 &
	pids+=($!)
	wait_for grep -q ' as /dev/' "$RIG_RESULTS/$1.log"
}

# What a program does with a watchdog (Documentation/watchdog/watchdog-api.rst of the kernel).
use_watchdog()
{
	python3 - "$1" <<'END'
import fcntl, os, struct, sys
dog = os.open(sys.argv[1], os.O_WRONLY)
number = lambda direction, n, size: direction << 30 | size << 16 | ord("W") << 8 | n
read = lambda n: struct.unpack("i", fcntl.ioctl(dog, number(2, n, 4), bytes(4)))[0]
assert struct.unpack("i", fcntl.ioctl(dog, number(3, 6, 4), struct.pack("i", 40)))[0] == 40, "set time-out"
assert read(7) == 40, "time-out"
for _ in range(3):
    read(5)
    assert os.write(dog, b"x") == 1
try:
    fcntl.ioctl(dog, 0x4141, 0)
except OSError as error:
    assert error.errno == 25, error
else:
    sys.exit("a command of sound cards is answered")
try:
    os.open(sys.argv[1], os.O_WRONLY)
except OSError as error:
    assert error.errno == 16, error
else:
    sys.exit("it is opened twice")
os.write(dog, b"V")
os.close(dog)
END
}

many_read()
{
	local i readers=()
	for i in 1 2 3 4; do
		head -c 3000 /dev/hwrng0 >"$RIG_RESULTS/random$i" &
		readers+=($!)
	done
	wait "${readers[@]}"
	cat "$RIG_RESULTS"/random? >"$RIG_RESULTS/random"
	[ "$(stat -c %s "$RIG_RESULTS/random")" = 12000 ] && [ "$(gzip <"$RIG_RESULTS/random" | wc -c)" -gt 11900 ]
}

check 'VFIO has both' give_to vfio-pci "$RIG_DOG" "$RIG_DICE"
check 'a watchdog is a node' start dog "$RIG_DOG"
check 'wdctl knows it' ends 0 'i6300ESB timer' -- wdctl /dev/watchdog0
check 'programs use it' use_watchdog /dev/watchdog0
check 'once more' use_watchdog /dev/watchdog0
check 'a random generator is one, too' start dice "$RIG_DICE"
check 'many read from it' many_read
check 'nobody writes to it' ends fails -- sh -c 'echo x >/dev/hwrng0'

exec 5>/dev/watchdog0
echo >&5
kill -9 "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
exec 5>&-
check 'killed, the nodes are gone' wait_for test ! -e /dev/watchdog0 -a ! -e /dev/hwrng0
pids=()
check 'the next one drives the watchdog' start dog "$RIG_DOG"
check 'as before' use_watchdog /dev/watchdog0
check 'and the generator' start dice "$RIG_DICE"
check 'as before, too' many_read
check 'stopped' "$OUTBOARD" stop dog
check 'both' "$OUTBOARD" stop dice
check 'nothing is left' test ! -e /dev/watchdog0 -a ! -e /dev/hwrng0
finish_checks
