#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# char.sh OUTBOARD DRIVER MODEL KIND [KERNEL]: an unmodified driver of the Linux kernel drives QEMU's MODEL, a watchdog, a random generator, a sound
# card or one for CAN, used by `outboard char`: its self-test with suspend and resume; a watchdog that is kept alive, and one that is not, which ends QEMU;
# random bytes; a WAV file that QEMU's card plays into another with the same samples, and one that is recorded; twice, and a device
# that vanishes. Skipped where neither the driver nor the profile of all such devices is built.
driver=$2 model=$3 kind=$4 kernel=${5:-6.12}
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of "$driver" char "$kernel"
linux=linux:$object@$kernel
# Others come and go on this machine: what is ours has this in its environment.
export OUTBOARD_MARK=$$-$RANDOM
export CENSUS_TAG=OUTBOARD_MARK=$OUTBOARD_MARK

char() # SPEC WHAT...: standard output in $dir/got
{
	local spec=$1
	shift
	status=0
	"$outboard" char --driver "$linux" "$spec" "$@" >"$dir/got" 2>"$dir/err" || status=$?
	out=
	err=$(cat "$dir/err")
}

u32() # NUMBER: its bytes
{
	printf '%b' "$(printf '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}

# A quarter of a second in stereo fits into the card's buffer, so that no machine is too busy to play it. As noise no part is like another. Silence
# behind it: QEMU, when it ends, forgets what the card has played and it has not written yet.
make_wav() # FILE
{
	local rate=44100 size=64000
	head -c $rate /dev/urandom >"$dir/samples"
	{
		printf RIFF && u32 $((size + 48)) && printf 'WAVEfmt ' && u32 16
		printf '\1\0\2\0' && u32 $rate && u32 $((rate * 4)) && printf '\4\0\20\0data' && u32 $size
		cat "$dir/samples" && head -c $((size - rate)) /dev/zero
		printf 'LIST\4\0\0\0INFO'
	} >"$1"
}

heard() # FILE SAMPLES: are they in it?
{
	perl -e 'local $/; open A, "<", $ARGV[0]; open B, "<", $ARGV[1]; my $i = index(<A>, <B>); print "at $i\n"; exit($i < 0)' "$1" "$2"
}

use_watchdog()
{
	mkfifo "$dir/pings" 2>/dev/null
	# The card bites in the second of two periods: 10 s, for machines that are busy.
	export OUTBOARD_LINUX_ARGS=i6300esb.heartbeat=10
	(for _ in $(seq 15); do echo && sleep 1; done && printf V) >"$dir/pings" &
	char "qemu:$model" write "$dir/pings"
	expect "$1: kept alive for longer than it waits, and stopped" 0
	wait
	export OUTBOARD_LINUX_ARGS=i6300esb.heartbeat=2
	exec 9<>"$dir/pings"
	echo >&9
	char "qemu:$model" write "$dir/pings"
	expect "$1: left alone it ends the machine" 3 'vanished'
	exec 9>&-
	unset OUTBOARD_LINUX_ARGS
	char "qemu:$model" read 1
	expect "$1: it has nothing to read" 2 'Invalid argument'
}

use_random()
{
	char "qemu:$model" read 5000
	expect "$1: random bytes are read" 0
	check "$1: as many as asked for" test "$(stat -c %s "$dir/got")" -eq 5000
	check "$1: which cannot be packed" test "$(gzip -9 <"$dir/got" | wc -c)" -gt 4900
	check "$1: and were not there before" different "$dir/got" "$dir/before"
	cp "$dir/got" "$dir/before"
	char "qemu:$model" write /dev/null
	expect "$1: nothing is written to it" 0
}

different()
{
	[ ! -e "$2" ] || ! cmp -s "$1" "$2"
}

use_sound()
{
	make_wav "$dir/song.wav"
	rm -f "$dir/heard.wav"
	char "qemu:$model,wav=$dir/heard.wav" write "$dir/song.wav"
	expect "$1: a WAV file is played" 0
	check "$1: the same samples are heard" heard "$dir/heard.wav" "$dir/samples"
	char "qemu:$model" read 88244
	expect "$1: half a second is recorded" 0
	check "$1: as a WAV file" test "$(head -c 4 "$dir/got"):$(stat -c %s "$dir/got")" = RIFF:88244
	head -c 100 /dev/zero >"$dir/noise"
	char "qemu:$model" write "$dir/noise"
	expect "$1: what is no WAV file is refused" 2 'Invalid argument'
}

# Two interfaces of a card are on one bus.
use_can()
{
	mkfifo "$dir/frames" 2>/dev/null
	"$outboard" char --driver "$linux" "qemu:$model" talk <"$dir/frames" >"$dir/got" 2>"$dir/err" &
	local talker=$!
	exec 9>"$dir/frames"
	# In pieces, as they may come; at the end a hundred at once.
	printf 'can0 12' >&9 && sleep 0.2 && printf '3#DEADBEEF\ncan1 1F334455#11.22\r\n\n' >&9
	printf 'can0 7FF#R4\ncan0 001#\n' >&9
	printf 'can0 %03X#00\n' $(seq 256 355) >&9
	check "$1: frames arrive at the other interface" wait_for frames_came 104
	exec 9>&-
	wait "$talker"
	check "$1: it ends with its input" test $? -eq 0
	check "$1: they are the same" same_frames
	printf 'can0 123#AB\ncan0 12#AB\n' >"$dir/bad"
	char "qemu:$model" write "$dir/bad"
	expect "$1: what is no frame is refused" 2 "'can0 12#AB' is no CAN frame"
	export OUTBOARD_LINUX_ARGS=outboard.can_bitrate=123456789
	char "qemu:$model" write /dev/null
	expect "$1: a bit rate that there is not" 2 '123456789 bit/s'
	unset OUTBOARD_LINUX_ARGS
	can_fd "$1"
}

can_fd()
{
	export OUTBOARD_LINUX_ARGS="outboard.can_bitrate=250000 outboard.can_data_bitrate=2000000"
	"$outboard" char --driver "$linux" "qemu:$model" talk <"$dir/frames" >"$dir/got" 2>"$dir/err" &
	local talker=$!
	exec 9>"$dir/frames"
	printf 'can0 123##1%064d\n' 7 >&9
	check "$1: CAN FD: a long frame arrives" wait_for frames_came 1
	exec 9>&-
	wait "$talker"
	check "$1: CAN FD: it is the same" test "$(cat "$dir/got")" = "can1 123##1$(printf %064d 7)"
	unset OUTBOARD_LINUX_ARGS
}

frames_came()
{
	[ "$(wc -l <"$dir/got")" -ge "$1" ]
}

# What one sends comes in order; of what both send which is first is the bus's business.
same_frames()
{
	{
		printf 'can1 123#DEADBEEF\ncan1 7FF#R4\ncan1 001#\n'
		printf 'can1 %03X#00\n' $(seq 256 355)
	} | cmp - <(grep '^can1' "$dir/got") && [ "$(grep '^can0' "$dir/got")" = 'can0 1F334455#1122' ]
}

# The driver would measure the clock of the card, which on a busy machine comes out wrong, and all would be resampled.
[ "$driver" != snd-intel8x0 ] || export OUTBOARD_LINUX_ARGS=snd_intel8x0.ac97_clock=48000
mkdir "$dir/nothing"
export OUTBOARD_LINUX_SUSPEND=1
ob selftest --driver "$linux" "qemu:$model"
expect_out 'its self-test passes, with suspend and resume' 0 'suspend and resume'
unset OUTBOARD_LINUX_SUSPEND
"$here/scripts/census" "$dir/nothing" >"$dir/census"
use_"$kind" 'first time'
use_"$kind" 'again'
"$here/scripts/census" "$dir/nothing" >"$dir/census.after"
check 'nothing is left' test -z "$(comm -13 "$dir/census" "$dir/census.after" | tee "$dir/left")"
gone=fault[gone=1500]:qemu:$model
case $kind in
watchdog) char "$gone" write /dev/zero ;;
can)
	yes 'can0 123#11' | head -n 10000 >"$dir/many"
	char "$gone" write "$dir/many"
	;;
*) char "$gone" read ;;
esac
if [ "$driver" = ctucanfd_pci ]; then
	# docs/findings/ctucanfd-pulled-out.md
	vanish=
	expect 'a driver that goes on asking a device that vanished is ended, and named' 134 'its driver goes on asking it' ctucan_rx_poll
else
	vanish=vanish
	expect 'a device that vanishes is an error that names it' 3 "$model" 'vanished'
fi

[ $failed -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object "$here/linux/record" "$driver" "$kernel" "qemu:$model" probe selftest "$kind" $vanish again
finish
