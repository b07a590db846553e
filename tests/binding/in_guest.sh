#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What tests/rig/bind.sh looks at, in the machine that it starts. RIG_UPLINK and so on are addresses.
# shellcheck disable=SC2154
set -u
. tests/uio/rig.sh

# A question about one device of `devices --json`.
of() # BDF JQ-EXPRESSION
{
	"$OUTBOARD" devices --json | jq -e ".devices[] | select(.address == \"$1\") | $2"
}

override_of() # BDF
{
	cat "/sys/bus/pci/devices/$1/driver_override"
}

ob=$OUTBOARD
first=$RIG_FIRST second=$RIG_SECOND system=$RIG_SYSTEM data=$RIG_DATA

check 'devices lists all ten and who drives them' eval '
	for bdf in $RIG_DEVICES; do of "$bdf" "true" || exit; done >/dev/null
	of "$first" ".kernel_driver == \"e1000\" and .state == \"kernel\" and .driver == \"e1000\" and .way.backend == \"vfio\"" &&
	of "$RIG_EDU" ".kernel_driver == \"\" and .state == \"free\" and .driver == \"edu\" and .can_be_taken_now" &&
	of "$data" ".kernel_driver == \"nvme\" and .kernel_nodes != \"\" and .driver == \"nvme\""'

# ---- there and back

interface=$(ls "/sys/bus/pci/devices/$first/net")
check 'bind gives a device to vfio-pci' ends 0 "$first: vfio-pci, was e1000" "/dev/vfio/$(group_of "$first")" -- $ob bind "$first"
check 'its interface is gone' test ! -e "/sys/class/net/$interface"
check 'the other of the same kind stays with the kernel' driver_is "$second" e1000
check 'again: nothing is changed' ends 0 "$first: vfio-pci already" -- $ob bind "$first"
check 'devices says that it is bound, and what it was' \
	of "$first" '.state == "bound" and .kernel_driver == "vfio-pci" and .kernel_driver_before == "e1000"'
check 'it can be driven' $ob selftest "vfio:$first"
check 'and by its address alone' $ob selftest "$first"
check 'to the other driver, which is of no use here' ends 5 'of no use behind an IOMMU' -- $ob bind "$first" -d uio_pci_generic
check 'but by force' ends 0 "$first: uio_pci_generic, was vfio-pci" -- $ob bind "$first" -d uio_pci_generic --force
check 'unbind brings back the driver that it had first' ends 0 "$first: e1000, was uio_pci_generic" -- $ob unbind "$first"
check 'and its interface' test -e "/sys/bus/pci/devices/$first/net"
check 'nothing is left of it' eval '[ "$(override_of "$first")" = "(null)" ] && [ -z "$(ls /run/outboard/bind)" ]'
check 'unbind of one that is not bound changes nothing' ends 0 "$first: e1000 already" -- $ob unbind "$first"
check 'one without a driver' ends 0 'was without a driver' -- $ob bind "$RIG_EDU"
check 'has none again' ends 0 'no driver' -- $ob unbind "$RIG_EDU"
check 'none indeed' driver_is "$RIG_EDU" ''
check 'a short address, and JSON' eval '$ob bind --json "${data#0000:}" | jq -e ".devices[0] |
	.address == \"$data\" and .driver == \"vfio-pci\" and .driver_before == \"nvme\" and .kernel_driver_before == \"nvme\" and
	.changed and (.node | startswith(\"/dev/vfio/\"))"'
check 'unbind --all finds what is bound' ends 0 "$data: nvme" -- $ob unbind --all
check 'several at once' ends 0 "$first: vfio-pci" "$RIG_PCNET: vfio-pci" "$RIG_VIRTIO_NET: vfio-pci" -- \
	$ob bind "$first" "$RIG_PCNET" "$RIG_VIRTIO_NET"
check 'and back' eval '$ob unbind --all && driver_is "$first" e1000 && driver_is "$RIG_PCNET" pcnet32 &&
	driver_is "$RIG_VIRTIO_NET" virtio-pci'

# ---- what is in use

for node in /sys/bus/pci/devices/"$system"/nvme/nvme*/nvme*n1; do disk=/dev/${node##*/}; done
mkdir -p /tmp/mounted
for _ in $(seq 50); do [ -b "${disk}p1" ] && break || sleep 0.1; done
mount "${disk}p1" /tmp/mounted
check 'a mounted disk is refused' ends 4 'is in use' 'p1 is mounted on /tmp/mounted' '--force' -- $ob bind "$system"
check 'it stays with the kernel' driver_is "$system" nvme
check 'devices says so, too' of "$system" '.can_be_taken_now == false and (.used_by[0].kind == "mount")'
check 'all or none: others of the same command stay' ends 4 'mounted' -- $ob bind "$first" "$system"
check 'indeed' driver_is "$first" e1000
umount /tmp/mounted
check 'mounted where this process cannot see it: refused all the same' eval '
	unshare -m sh -c "mount ${disk}p1 /tmp/mounted && echo ready && exec sleep 1000" >/tmp/ready & hidden=$!
	for _ in $(seq 100); do [ -s /tmp/ready ] && break || sleep 0.1; done
	ends 4 "the kernel or a process holds the disk" -- $ob bind "$system"
	code=$?; kill $hidden; wait $hidden 2>/dev/null; [ $code = 0 ]'
swapon "${disk}p2"
check 'swap space is refused' ends 4 'p2 is swap space' -- $ob bind "$system"
swapoff "${disk}p2"
for node in /sys/bus/pci/devices/"$data"/nvme/nvme*/nvme*n1; do stacked=/dev/${node##*/}; done
if command -v dmsetup >/dev/null && echo "0 2048 linear $stacked 0" | dmsetup --noudevsync create stacked; then
	check 'a disk on which another is stacked (LVM, RAID) is refused' ends 4 "holds the disk ${stacked#/dev/}" -- $ob bind "$data"
	dmsetup --noudevsync remove stacked
fi
check 'free again, it is taken' ends 0 "$system: vfio-pci, was nvme" -- $ob bind "$system"
check 'it has its data' $ob selftest "vfio:$system"
check 'and goes back' ends 0 "$system: nvme" -- $ob unbind "$system"

uplink=$(ls "/sys/bus/pci/devices/$RIG_UPLINK/net")
ip address add 10.0.2.15/24 dev "$uplink"
ip link set "$uplink" up
ip route add default via 10.0.2.2 dev "$uplink"
check 'the interface with the default route is refused' ends 4 "$uplink has the default route" -- $ob bind "$RIG_UPLINK"
check 'but by force' ends 0 "$RIG_UPLINK: vfio-pci, was e1000e" -- $ob bind --force "$RIG_UPLINK"
check 'and back' ends 0 "$RIG_UPLINK: e1000e" -- $ob unbind "$RIG_UPLINK"
check 'a bridge is refused, even by force' ends 5 'is a bridge' -- $ob bind --force 00:1f.0

# ---- groups: 1f.2 and 1f.3 are functions of one chip

check 'the others of its group are named' ends 4 'shares IOMMU group' '0000:00:1f.3 (i801_smbus)' '--group' -- $ob bind 00:1f.2
check '--group takes them all' ends 0 '0000:00:1f.2: vfio-pci' '0000:00:1f.3: vfio-pci' -- $ob bind 00:1f.2 --group
check 'back, too' eval '$ob unbind --group 00:1f.2 && driver_is 0000:00:1f.2 ahci && driver_is 0000:00:1f.3 i801_smbus'

# ---- a process that drives it

$ob bind "$data" >/dev/null
$ob run "vfio:$data" --attach nbd -- sleep 1000 >/tmp/run 2>&1 &
runner=$!
until of "$data" '.state == "held"' >/dev/null; do
	kill -0 $runner 2>/dev/null || { cat /tmp/run; break; }
done
holder=$(of "$data" .held_by.pid)
check 'devices says which process drives it' eval 'of "$data" ".state == \"held\" and .can_be_taken_now == false" && [ -d "/proc/$holder" ]'
check 'unbind refuses, and names it' ends 4 "driven by process $holder (outboard" "kill $holder" -- $ob unbind "$data"
check 'bind to another driver does, even by force' ends 4 "driven by process $holder" -- $ob bind --force "$data" -d uio_pci_generic
check 'a second one that wants to drive it is refused' ends 4 "$holder" -- $ob selftest "vfio:$data"
check 'stop takes that number' ends 0 'has ended' -- $ob stop "$holder"
kill $runner 2>/dev/null
wait
check 'then it goes back' ends 0 "$data: nvme" -- $ob unbind "$data"

# ---- what others have decided

echo pci-stub >"/sys/bus/pci/devices/$second/driver_override"
check 'a foreign driver_override is respected' ends 4 'reserved it for pci-stub' -- $ob bind "$second"
check 'devices shows it' of "$second" '.reserved_for == "pci-stub" and .reserved_by == "driver_override"'
check 'by force it is replaced' ends 0 "$second: vfio-pci" -- $ob bind --force "$second"
check 'and put back by unbind' eval '$ob unbind "$second" && [ "$(override_of "$second")" = pci-stub ]'
echo >"/sys/bus/pci/devices/$second/driver_override"
if command -v driverctl >/dev/null; then
	check '--persist stores it with driverctl' eval 'ends 0 "$first: vfio-pci" -- $ob bind "$first" --persist &&
		[ "$(cat "/etc/driverctl.d/pci-$first")" = vfio-pci ] && driver_is "$first" vfio-pci'
	check 'unbind takes that away, too' eval 'ends 0 "$first: e1000" -- $ob unbind "$first" && [ ! -e "/etc/driverctl.d/pci-$first" ]'
	driverctl set-override "$first" vfio-pci
	check 'devices shows what driverctl keeps' of "$first" '.state == "bound" and .reserved_by == "driverctl"'
	check 'unbind leaves it to driverctl' ends 4 "driverctl unset-override $first" -- $ob unbind "$first"
	driverctl unset-override "$first"
	driverctl --noprobe set-override "$second" pci-stub
	check 'bind respects what driverctl has stored' ends 4 'driverctl has stored pci-stub' -- $ob bind "$second"
	driverctl unset-override "$second"
else
	echo 'ok # SKIP no driverctl' | sed "s/^ok/ok $((n += 1))/"
fi
check '--persist without driverctl names the package' ends 5 'apt install driverctl' -- unshare -m bash -c '
	for f in /usr/sbin/driverctl /usr/bin/driverctl /sbin/driverctl /bin/driverctl; do
		[ -x $f ] && mount --bind /dev/null "$f"
	done
	exec "$OUTBOARD" bind "$RIG_FIRST" --persist'

# ---- an ordinary user

if id nobody >/dev/null 2>&1; then
	as_nobody=(setpriv --reuid nobody --clear-groups --)
	check 'an ordinary user may not bind' ends 5 'sudo outboard bind' -- "${as_nobody[@]}" $ob bind "$first"
	check 'but may list, and drive what was given to him' eval '$ob bind "$RIG_EDU" --user nobody &&
		"${as_nobody[@]}" $ob devices >/dev/null && "${as_nobody[@]}" $ob selftest "vfio:$RIG_EDU,arena=1M" && $ob unbind "$RIG_EDU"'
fi

# ---- what was typed

check 'no address' ends 2 'which device?' -- $ob bind
check 'no such device' ends 5 'there is no PCI device 7f:1f.7' -- $ob bind 7f:1f.7
check 'no such address' ends 2 "'nvme0n1' is no PCI address" -- $ob bind nvme0n1
check 'no such driver' ends 2 "'vfio_pci' keeps no device" -- $ob bind "$first" -d vfio_pci
check 'no such user' ends 2 "no user 'nemo'" -- $ob bind "$first" --user nemo
check 'all of it is as it was' eval 'driver_is "$first" e1000 && driver_is "$second" e1000 && driver_is "$system" nvme &&
	driver_is "$data" nvme && driver_is "$RIG_UPLINK" e1000e && [ -z "$(ls /run/outboard/bind)" ]'
finish_checks
