#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel's drivers, unmodified, in processes, drive through VFIO what QEMU has models of and a process can reach that way: cards answer another card, and TCP goes
# both ways; disks become block devices with verified input and output and a file system; killed, they are driven again at once; sound cards play and
# record, a random generator and a watchdog are used; the IOMMU refuses nothing.
# VFIO_MODELS names those to be tried, or "all" (docs/linux.md has the table, which this test writes with OUTBOARD_EVIDENCE=write).
# Without it: one of each kind of access and interrupt that no other test here has.
#
# rig-where: host
# rig-timeout: 1500
set -u
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboard/linux}

# The rig's model, the driver, and what it is: a machine for each class. Not here: what VFIO does not reach (docs/linux.md).
models()
{
	cat <<'LIST'
e1000e          e1000e        net
e1000           e1000         net
e1000-82545em   e1000         net
pcnet           pcnet32       net
i82557b         e100          net
rtl8139         8139cp        net
ne2k_pci        ne2k-pci      net
tulip           tulip         net
vmxnet3         vmxnet3       net
virtio-net      virtio_net    net
nvme            nvme          block
ich9-ahci       ahci          block
virtio-blk      virtio_blk    block
virtio-scsi     virtio_scsi   block
megasas         megaraid_sas  block
megasas-gen2    megaraid_sas  block
mptsas1068      mptsas        block
am53c974        am53c974      block
qemu-xhci       xhci_pci      block
usb-ehci        ehci_pci      block
pci-ohci        ohci_pci      block
piix3-usb-uhci  uhci_hcd      block
sdhci-pci       sdhci-pci     block
i6300esb        i6300esb      char
virtio-rng      virtio-rng    char
ES1370          snd-ens1370   char
AC97            snd-intel8x0  char
LIST
}

wanted=${VFIO_MODELS:-ne2k_pci vmxnet3 megasas piix3-usb-uhci}

# As linux/evidence calls it, and the embedded backend.
name_of() # MODEL
{
	case $1 in
	e1000) echo e1000-82540em ;;
	ich9-ahci) echo ahci ;;
	virtio-*) echo "$1-pci" ;;
	*) echo "${1,,}" ;;
	esac
}

# Its line for what worked, for who asked for evidence; in the guest nothing is written to the source tree.
worked() # WHAT...
{
	[ $failed -eq "$before" ] && echo "$driver vfio:$(name_of "$model") $*" >>"$RIG_RESULTS/worked"
}

bdf_of() # MODEL
{
	local name=RIG_${1^^}
	name=${name//[^A-Z0-9]/_}
	echo "${!name}"
}

# ---- on this machine ------------------------------------------------------------------------

if [ "${1:-}" != --inside ]; then
	. tests/linux/object.sh
	mkdir -p "$RIG_RESULTS"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	models | awk -v wanted=" $wanted " 'wanted == " all " || index(wanted, " " $1 " ")' >"$work/list"
	# Before anything runs: this ends the test as skipped.
	for class in $(awk '{ print $3 }' "$work/list" | sort -u); do
		object_of "$class" "$class" "$RIG_KERNEL"
	done
	# The machines' checks are one list.
	n=0 failed=0
	for class in net block char; do
		devices=() list=()
		while read -r model driver of; do
			[ "$of" = "$class" ] || continue
			list+=("$model $driver")
			if [ "$class" = net ]; then
				options=netdev=hub=7,mac=52:54:00:07:00:$(printf %02x $((${#list[@]} + 1)))
				# Behind a port of its own it has a reset, without which it stays active when its process is killed (docs/linux.md).
				[ "$model" != vmxnet3 ] || options+=,port=on
				devices+=(--device "$model,$options")
			elif [ "$class" = block ]; then
				truncate -s 128M "$work/$model"
				devices+=(--device "$model,file=$work/$model")
			else
				devices+=(--device "$model")
			fi
		done <"$work/list"
		[ ${#list[@]} -gt 0 ] || continue
		object_of "$class" "$class" "$RIG_KERNEL"
		[ "$class" != net ] || devices+=(--device e1000e,netdev=hub=7,mac=52:54:00:07:00:01,id=theirs)
		# The ublk driver of 6.12 has a race at the death of a server (docs/findings/ublk-server-killed.md).
		kernel=$RIG_KERNEL
		[ "$class:$kernel" != block:6.12 ] || kernel=7.2
		rm -f "$RIG_RESULTS/worked"
		rig/vm --kernel "$kernel" --timeout 1400 --memory 2G --cpus 2 --modprobe vfio-pci --modprobe vfio_iommu_type1 --modprobe tun --modprobe e1000e \
			--modprobe ublk_drv --modprobe ext4 --allow-log 'I/O error' --env "BUILD=$BUILD" --env "OUTBOARD=$OUTBOARD" \
			--env "OUTBOARD_LINUX_CACHE=$cache" --env "LINUX_OBJECT=$object@$RIG_KERNEL" --env "VFIO_CLASS=$class" \
			--env "VFIO_LIST=$(printf '%s\n' "${list[@]}")" --results "$RIG_RESULTS" "${devices[@]}" \
			-- bash tests/rig/linux_vfio_models.sh --inside >"$work/out"
		status=$?
		# Its checks, numbered on.
		awk -v n=$n '/^(not )?ok / { n++; sub(/ok [0-9]+/, "ok " n) } !/^1\.\./' "$work/out"
		n=$((n + $(grep -cE '^(not )?ok ' "$work/out")))
		[ $status -eq 0 ] || failed=$((failed + 1))
		while read -r driver device what; do
			# shellcheck disable=SC2086 # words
			OUTBOARD_EVIDENCE_OBJECT=$object linux/record "$driver" "$RIG_KERNEL" "$device" $what
		done < <(cat "$RIG_RESULTS/worked" 2>/dev/null)
	done
	echo "1..$n"
	[ "$failed" -eq 0 ] && [ "$n" -gt 0 ]
	exit
fi

# ---- in the guest -----------------------------------------------------------------------------

case $VFIO_CLASS in
net)
	. tests/rig/peer_card.bash
	network=10.9.0
	;;
block) . tests/rig/linux_disk.bash ;;
char) . tests/vfio/rig.sh ;;
esac

start_card() # BDF
{
	run_card "$1" tap,name=ob0 --driver "linux:$LINUX_OBJECT"
}

interface_goes()
{
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	wait_for test ! -e /sys/class/net/ob0
}

use_card() # MODEL BDF
{
	# What has ports only has a trap for each two bytes of a frame.
	local size=4M
	[ "$1" != ne2k_pci ] || size=64K
	check "$1: the card is an interface" start_card "$2"
	check "$1: the other card answers" peer_answers
	check "$1: TCP from our card" iperf -n $size
	check "$1: TCP to our card" iperf -n $size -R
	check "$1: killed, the interface is gone" interface_goes
	check "$1: the next process drives it at once" start_card "$2"
	check "$1: the other card answers again" peer_answers
	check "$1: the instance ends" end_card
	check "$1: the interface is gone" test ! -e /sys/class/net/ob0
}

char() # WHAT...: standard output in $dir/got
{
	soon "$OUTBOARD" char --driver "linux:$LINUX_OBJECT" "vfio:$bdf" "$@" >"$dir/got"
}

# Noise, half a second of it, stereo, 16 bits: what `outboard char write` takes (docs/linux.md).
make_wav() # FILE
{
	python3 -c 'import os, sys, wave
w = wave.open(sys.argv[1], "wb")
w.setnchannels(2), w.setsampwidth(2), w.setframerate(44100), w.writeframes(os.urandom(88200)), w.close()' "$1"
}

kept_alive()
{
	(for _ in 1 2 3 4 5; do echo && sleep 1; done && printf V) | char write /dev/stdin
}

# Each time it is another process's.
use_char() # MODEL
{
	local time
	for time in 'first time' again; do
		case $1 in
		i6300esb) check "$1: a watchdog is kept alive, and stopped ($time)" kept_alive ;;
		virtio-rng)
			check "$1: random bytes are read ($time)" char read 5000
			check "$1: as many as asked for, which cannot be packed ($time)" test "$(gzip -9 <"$dir/got" | wc -c)" -gt 4900
			;;
		*)
			make_wav "$dir/song.wav"
			check "$1: a WAV file is played ($time)" char write "$dir/song.wav"
			check "$1: half a second is recorded ($time)" char read 88244
			check "$1: as a WAV file ($time)" test "$(head -c 4 "$dir/got"):$(stat -c %s "$dir/got")" = RIFF:88244
			;;
		esac
	done
}

# Before it is up QEMU's vmxnet3 looks for its driver's memory, of which nobody has told it yet, when features change (uptFeatures, at 18h of it).
refused_nothing()
{
	! grep -v ' addr 0x18 write 0$' "$RIG_FAULTS"
}

[ "$VFIO_CLASS" != net ] || start_peer "$RIG_THEIRS" e1000e
while read -r model driver; do
	before=$failed
	bdf=$(bdf_of "$model")
	unset OUTBOARD_LINUX_ARGS
	case $model in
	# The clock of the card as it is, and not measured: on a busy machine that comes out wrong.
	AC97) export OUTBOARD_LINUX_ARGS=snd_intel8x0.ac97_clock=48000 ;;
	i6300esb) export OUTBOARD_LINUX_ARGS=i6300esb.heartbeat=20 ;;
	esac
	check "$model: VFIO has it" give_to vfio-pci "$bdf"
	case $VFIO_CLASS in
	net)
		use_card "$model" "$bdf"
		worked probe link ping tcp kill again down remove
		;;
	block)
		use_disk "$model" "$bdf"
		worked probe read write ext4 fio-verify kill again remove
		;;
	char)
		use_char "$model"
		worked probe use again remove
		;;
	esac
done <<<"$VFIO_LIST"
[ "$VFIO_CLASS" != net ] || end_peer
check 'the IOMMU refused nothing' refused_nothing
finish_checks
