#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# questions.sh OUTBOARD SOURCE: devices, probe, selftest and ethtool answer for real device models and for
# this machine's PCI devices; the manual pages hang together. Prints TAP.
set -u

outboard=$1 source=$2
. "$(dirname "$0")/../checks.sh"
instance=
cleanup()
{
	[ -n "$instance" ] && kill "$instance" 2>/dev/null && wait "$instance" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
nic=qemu:e1000e,netdev=none

# The one JSON document that a command prints satisfies a jq expression.
json() # EXPRESSION COMMAND...
{
	local expression=$1
	shift
	"$outboard" "$@" --json >"$dir/json" 2>"$dir/err"
	cat "$dir/json" "$dir/err"
	[ "$(jq -s length "$dir/json")" = 1 ] && jq -e "$expression" "$dir/json" >/dev/null
}

# Exit code, and what is said on standard error.
refused() # CODE TEXT COMMAND...
{
	local code=$1 text=$2 got
	shift 2
	"$outboard" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	cat "$dir/err"
	echo "exit code $got, wanted $code and '$text'"
	[ $got -eq "$code" ] && grep -q -- "$text" "$dir/err"
}

exits() # CODE COMMAND...
{
	local code=$1 got
	shift
	"$outboard" "$@"
	got=$?
	echo "exit code $got, wanted $code"
	[ $got -eq "$code" ]
}

# ---- devices

pci=/sys/bus/pci/devices

lists_what_sysfs_has()
{
	local f
	"$outboard" devices --all --json | jq -r '.devices[] |
		[.address, .vendor, .device, .kernel_driver, (.iommu_group // "none" | tostring)] |
		join(" ")' | sort >"$dir/ours"
	for f in "$pci"/*; do
		[ -e "$f/vendor" ] || continue
		echo "${f##*/} $(cat "$f/vendor") $(cat "$f/device")" \
			"$(basename "$(readlink "$f/driver")" 2>/dev/null)" \
			"$(basename "$(readlink "$f/iommu_group" || echo none)")"
	done | sort >"$dir/sysfs"
	diff "$dir/sysfs" "$dir/ours"
}

bridges_are_for_all()
{
	json '[.devices[].class[0:4]] | all(. != "0x06")' devices &&
		json "(.devices | length) == $(find -L "$pci" -maxdepth 1 -name '*:*' | wc -l)" \
			devices --all
}

says_what_has_the_default_route()
{
	json ".devices[] | select(.address == \"$1\") | .can_be_taken_now == false and
		([.used_by[] | select(.kind == \"route\") | .name] == [\"$2\"])" devices
}

names_a_backend_only_if_it_has_it()
{
	json 'all(.devices[]; .way.backend == "" or .way.in_this_build)' devices
}

offers_models_that_can_be_opened()
{
	local spec
	json '[.models[].spec] | contains(["qemu:edu", "qemu:nvme", "qemu:e1000e"])' devices || return
	for spec in $(jq -r '.models[].spec' "$dir/json"); do
		case $spec in
		# Disks of Linux's drivers, which the tests of those open.
		*NAME | *ahci | *lsi53* | *am53* | *mpt* | *mega* | *scsi* | *blk* | *hci | *sdhci-pci) continue ;;
		*igb) "${OUTBOARD_QEMU:-qemu-system-x86_64}" -device help 2>&1 | grep -q '^name "igb"' || continue ;;&
		*igb | *i825* | *pcnet | *rtl* | *ne2k* | *tulip | *vmxnet3 | *virtio* | *es1370 | *ac97 | *i6300esb | *can_pci | *kvaser_pci)
			json '.driver == null or (.driver.name | length == 0)' probe "$spec" || return
			continue
			;;
		*nvme | *ide) spec=$spec,null=1M ;;
		esac
		json '.driver.name | length > 0' probe "$spec" || return
	done
}

if [ -d $pci ] && [ -n "$(ls $pci)" ]; then
	check "devices --all lists the PCI functions, drivers and groups that sysfs has" \
		lists_what_sysfs_has
	check "bridges are shown by --all only" bridges_are_for_all
	check "no backend is promised that this build lacks" names_a_backend_only_if_it_has_it
	# By another way than the program's: the route first, then the device of its interface.
	route=$(awk '$2 == "00000000" && $8 == "00000000" { print $1; exit }' /proc/net/route)
	address=$(realpath "/sys/class/net/${route:-none}/device" 2>/dev/null | tr / '\n' |
		grep -E '^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$' | tail -n 1)
	if [ -n "$address" ]; then
		check "the card with the default route is in use" \
			says_what_has_the_default_route "$address" "$route"
	else
		skip "the card with the default route is in use" "no PCI card has it here"
	fi
else
	skip "devices --all lists the PCI functions that sysfs has" "no PCI here"
fi
check "every model that devices offers opens and has a driver" offers_models_that_can_be_opened
check "devices takes no words" refused 2 "'x' is too much" devices x

# ---- probe

check "probe tells what an 82574L is" json '.vendor == "0x8086" and .device == "0x10d3" and
	.class == "0x020000" and .driver.name == "e1000" and .vectors["MSI-X"] == 5 and
	.vectors.MSI == 1 and .dma.iommu == true and .dma.arena_bytes == 67108864 and
	(.bars | map([.index, .kind, .bytes])) == [[0, "memory", 131072], [1, "memory", 131072],
		[2, "I/O ports", 32], [3, "memory", 16384]] and
	(.capabilities | map(.name) | contains(["power management", "MSI", "MSI-X", "PCI Express",
		"advanced error reporting", "serial number"]))' probe $nic
check "probe says what the specification chose" json '.dma.iommu == false and
	.dma.policy == "pooled" and .dma.arena_bytes == 8388608' probe qemu:edu,iommu=off,arena=8M
check "probe shows the strict policy, too" json '.dma.iommu and .dma.policy == "strict"' \
	probe qemu:edu,dma=strict
check "probe shows a device that has no driver" json '.vendor == "0x1022" and .driver == null' \
	probe qemu:pcnet
check "probe shows ports without a PCI device" json '(has("vendor") | not) and
	.driver.name == "beep"' probe qemu:ports
check "probe prints for people, too" exits 0 probe $nic
check "probe of an address that is not there" refused 5 "no PCI device ffff:1f:1e.7" \
	probe ffff:1f:1e.7
check "probe of a backend that is not there" refused 2 "no backend 'vifo'" probe vifo:0000:00:01.0
check "probe of what only looks like an address" refused 2 "'0000:00:99.9' is not the address of a PCI device" probe 0000:00:99.9
check "probe without a device" refused 2 "which device" probe
check "an error is one JSON document, too" json '.error.exit == 5 and .error.errno == "ENOENT" and
	(.error.fix | length) > 0' probe ffff:1f:1e.7

probe_agrees_with_sysfs()
{
	local f=$pci/$1
	json ".address == \"$1\" and .vendor == \"$(cat "$f/vendor")\" and
		.class == \"$(cat "$f/class")\" and
		(.bars | length) == $(awk '$2 != "0x0000000000000000"' "$f/resource" | head -n 7 |
		grep -c .)" probe "$1" &&
		json ".address == \"$1\"" probe "${1#0000:}"
}
address=$(ls $pci 2>/dev/null | grep '^0000:' | tail -n 1)
if [ -n "$address" ]; then
	check "probe of an address says what sysfs says" probe_agrees_with_sysfs "$address"
else
	skip "probe of an address says what sysfs says" "no PCI device here"
fi

# ---- selftest

for spec in qemu:edu $nic qemu:e1000-82540em,netdev=none qemu:e1000-82545em,netdev=none \
	qemu:nvme,null=64M qemu:piix3-ide,null=64M; do
	check "selftest of ${spec%%,*} passes every test" \
		json '.passed and (.tests | length) >= 4 and all(.tests[]; .result != "FAILED")' \
		selftest $spec
done
check "a test that fails is told, and makes exit code 1" exits 1 selftest "fault[irq=1]:$nic"
check "which test failed is told" json '.passed == false and
	[.tests[] | select(.result == "FAILED") | .name] == ["Interrupt test"]' \
	selftest "fault[irq=1]:$nic"
check "a device that vanishes in its test makes exit code 3" refused 3 "vanished" \
	selftest "fault[gone=40]:qemu:edu"
check "a driver that does not know the device is refused" refused 1 "nvme does not drive" \
	selftest qemu:edu --driver nvme
check "a mistyped driver is corrected" refused 2 "did you mean 'e1000'" \
	selftest $nic --driver e100
check "a driver's file that is not there" refused 5 "./none.so" selftest $nic --driver ./none.so
check "a QEMU that is not there" refused 5 "/nonexistent" selftest qemu:edu,qemu=/nonexistent
check "a device without a driver" refused 5 "no driver for" selftest qemu:pcnet
truncate -s 1000 "$dir/short.img"
check "an image that is no disk" refused 2 "short.img" selftest "qemu:nvme,file=$dir/short.img"

# ---- ethtool

mac=52:54:00:c0:ff:ee
check "ethtool shows the link" json ".link and .mbps == 1000 and .mac == \"$mac\"" \
	ethtool qemu:e1000e,netdev=user,mac=$mac
check "ethtool -i names driver and device" json '.driver == "e1000" and
	.["supports-statistics"] and .["supports-eeprom-access"]' ethtool $nic -i
check "ethtool -S has the card's counters" json '.counters.rx_packets == 0 and
	(.counters | length) > 20' ethtool $nic -S
check "ethtool -g has ring sizes" json '.rx > 0 and .rx <= .rx_max and .tx <= .tx_max' \
	ethtool $nic -g
check "ethtool -d has the registers of the datasheet" json '[.registers[] |
	select(.name == "CTRL" or .name == "STATUS") | .offset] == [0, 8]' ethtool $nic -d
# Words 0 to 2 of the EEPROM are the address, words 0 to 63 sum up to BABAh (82574 datasheet, 6.1).
eeprom_holds()
{
	json ".bytes == 128 and .hex[0:12] == \"${mac//:/}\"" ethtool "qemu:e1000e,mac=$mac" -e &&
		jq -r .hex "$dir/json" | fold -w 4 |
		{
			sum=0
			while read -r word || [ -n "$word" ]; do
				sum=$((sum + 0x${word:2:2}${word:0:2}))
			done
			[ $((sum & 0xffff)) -eq $((0xbaba)) ]
		}
}
check "ethtool -e is the card's EEPROM" eeprom_holds
check "ethtool -k tells the offloads" json '.["rx-checksumming"] and .["tx-checksumming"]' \
	ethtool $nic -k
check "ethtool -t passes" json '.passed and (.tests | length) == 5' ethtool qemu:e1000e -t
for letter in i S g d e k; do
	check "ethtool -$letter prints for people, too" exits 0 ethtool $nic -$letter
done
check "ethtool of a disk" refused 5 "is no network device" ethtool qemu:nvme,null=1M -i
check "ethtool of an instance that does not run" refused 1 "no running instance" \
	ethtool nobody-is-called-so -i
check "one question at a time" refused 2 "one question at a time" ethtool $nic -i -S
check "an unknown question" refused 2 "unknown option '-z'" ethtool $nic -z

# ---- a running instance is asked, and what it holds is refused to others

truncate -s 1M "$dir/disk.img"
start() # SPEC ATTACHMENT
{
	"$outboard" run "$1" --attach "$2" --name questions-$$ >"$dir/run" 2>&1 &
	instance=$!
	for _ in $(seq 300); do
		"$outboard" show questions-$$ --json >/dev/null 2>&1 && return 0
		kill -0 $instance 2>/dev/null || break
		sleep 0.1
	done
	sed 's/^/# /' "$dir/run"
	return 1
}

stop()
{
	kill $instance
	wait $instance
	instance=
}

if start "qemu:nvme,file=$dir/disk.img" "nbd,socket=$dir/nbd"; then
	check "probe of a disk that is in use names who holds it" refused 4 "$instance" \
		probe "qemu:nvme,file=$dir/disk.img"
	check "an instance with no network has no answer for ethtool" refused 5 "no network device" \
		ethtool questions-$$
	stop
else
	check "an instance with a disk starts" false
fi
if "$outboard" version --json | jq -e '.attachments[] | select(.name == "tap") | .usable' >/dev/null; then
	if start "qemu:e1000e,mac=$mac" tap,netns=new; then
		check "ethtool asks a running instance by its name" json ".mac == \"$mac\"" \
			ethtool questions-$$
		check "ethtool asks a running instance by its PID" json '.driver == "e1000"' \
			ethtool "$instance" -i
		check "ethtool -t passes in a running instance" json '.passed' ethtool $instance -t
		check "a running instance has its driver already" refused 2 "has its driver already" \
			ethtool questions-$$ --driver e1000
		stop
	else
		check "an instance with a network card starts" false
	fi
else
	skip "ethtool asks a running instance" "this user can make no tap here"
fi

# ---- completion

completes() # WANTED LINE WORD... (the words as bash splits the line)
{
	local wanted=$1 line=$2
	shift 2
	PATH=$dir/bin:$PATH LINE=$line bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		COMP_LINE=$LINE COMP_POINT=${#LINE}; _outboard
		echo "${COMPREPLY[*]}"' "$source/cli/completion.bash" "$@" >"$dir/out"
	echo "wanted '$wanted', got '$(cat "$dir/out")'"
	[ "$(cat "$dir/out")" = "$wanted" ]
}
mkdir "$dir/bin"
ln -s "$(realpath "$outboard")" "$dir/bin/outboard"
check "bash completes commands" completes selftest "outboard se" outboard se
check "bash completes models behind the colon" completes nvme "outboard run qemu:nv" \
	outboard run qemu : nv
check "bash completes options" completes --rt-priority "outboard run --rt" outboard run --rt
check "bash completes modes" completes poll "outboard run --mode po" outboard run --mode po
check "bash completes drivers" completes e1000 "outboard run -d e1" outboard run -d e1

# ---- the manual

# What a page refers to is there. (Their options and syntax: help.sh.)
manual_refers_to_pages()
{
	local page section
	sed -n 's/^\.Xr \(outboard[a-z-]*\) \([0-9]\).*/\1 \2/p' "$source"/man/*.[0-9] | sort -u |
		while read -r page section; do
			[ -f "$source/man/$page.$section" ] || {
				echo "$page($section) is missing"
				exit 1
			}
		done
}

manual_is_installed()
{
	local page
	for page in "$source"/man/*.[0-9]; do
		grep -q "'${page##*/}'" "$source/man/meson.build" || {
			echo "$page is not installed"
			return 1
		}
	done
}

check "manual pages refer to pages that exist" manual_refers_to_pages
check "manual pages are all installed" manual_is_installed

finish_checks
