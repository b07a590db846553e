#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a new user types on a machine with ten PCI devices, and what he is told; run by tests/binding/transcript in the machine that it
# starts. Each line that is typed is printed behind a "$".
set -u

mkdir -p /tmp/bin /tmp/home
ln -sf "$OUTBOARD" /tmp/bin/outboard
# Who is root already need not become it.
printf '#!/bin/sh\nexec "$@"\n' >/tmp/bin/sudo
chmod +x /tmp/bin/sudo
export PATH=/tmp/bin:$PATH COLUMNS=132

type_in() # LINE
{
	echo "\$ $1"
	bash -c "$1" 2>&1
	echo
}

for node in /sys/bus/pci/devices/"$RIG_SYSTEM"/nvme/nvme*/nvme*n1; do disk=/dev/${node##*/}; done
uplink=$(ls "/sys/bus/pci/devices/$RIG_UPLINK/net")
for _ in $(seq 100); do [ -b "$disk" ] && break || sleep 0.1; done
mkdir -p /srv
mount -t tmpfs tmpfs /srv
mkdir /srv/data
mount "$disk" /srv/data
ip address add 10.0.2.15/24 dev "$uplink"
ip link set "$uplink" up
ip route add default via 10.0.2.2 dev "$uplink"

echo '# Which devices are there, and whose are they?'
type_in 'outboard devices'
echo '# The disk that the system runs from, by mistake:'
type_in "sudo outboard bind $RIG_SYSTEM"
echo '# The card that the network hangs on:'
type_in "sudo outboard bind $RIG_UPLINK"
echo '# The other disk, and one of two cards of the same kind:'
type_in "sudo outboard bind $RIG_DATA $RIG_FIRST"
echo '# Do they work?'
type_in "sudo outboard selftest $RIG_DATA"
type_in "sudo outboard run -q $RIG_FIRST -- sh -c 'ip -brief link show \$OUTBOARD_IF'"
echo '# A part of the chipset, which is never alone:'
type_in 'sudo outboard bind 00:1f.2'
echo '# How it stands now:'
type_in 'outboard devices | head -n 14'
echo '# Everything back:'
type_in 'sudo outboard unbind --all'
type_in 'outboard devices | head -n 14'
umount /srv/data /srv
