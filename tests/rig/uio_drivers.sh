#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The drivers that were written on embedded models drive the same devices through uio_pci_generic, unchanged: self-tests, a disk's
# data, IDE by its ports without an interrupt.
#
# rig-nightly-kernels: 6.1
# rig-iommu: none
# rig-device: edu
# rig-device: e1000e,netdev=none
# rig-device: e1000-82545em,netdev=none
# rig-device: e1000,netdev=none
# rig-device: nvme,null=64M
# rig-device: piix3-ide,null=64M
# rig-modprobe: uio_pci_generic
set -u
. tests/uio/rig.sh
# shellcheck disable=SC2086 # a list
give_to uio_pci_generic $RIG_DEVICES
for bdf in $RIG_DEVICES; do
	check "$(cat "/sys/bus/pci/devices/$bdf/vendor" "/sys/bus/pci/devices/$bdf/device" | paste -sd:) passes its self-test" \
		ends 0 'no IOMMU confines this device' -- "$OUTBOARD" selftest "uio:$bdf"
	check 'and is at rest then' eval "! is_bus_master $bdf"
done

# The kernel counts what uio_pci_generic got; edu's self-test asks for a thousand and one.
interrupts()
{
	awk '/uio_pci_generic/ { n += $2 } END { print n + 0 }' /proc/interrupts
}
before=$(interrupts)
check 'edu once more' "$OUTBOARD" selftest "uio:$RIG_EDU"
check "the kernel has counted edu's interrupts" test $(($(interrupts) - before)) -ge 1000

check 'IDE is polled, at the legacy ports' \
	eval '"$OUTBOARD" probe --json "uio:$RIG_PIIX3_IDE" 2>&1 | grep -q "\"INTx\":0"'
# Debian's 6.1 has no ublk.
if modprobe ublk_drv 2>/dev/null; then
	# What is in quotes is for the shells that eval and COMMAND are.
	# shellcheck disable=SC2016
	check 'and by a process that is confined and has no right to ask for ports' \
		eval '"$OUTBOARD" run --sandbox require,unsafe-device "uio:$RIG_PIIX3_IDE" --attach ublk -- \
			sh -c "dd if=\$OUTBOARD_DEV of=$RIG_RESULTS/read bs=64k count=16 iflag=direct status=none" &&
			test "$(stat -c %s "$RIG_RESULTS/read")" -eq 1048576'
fi
if [ "$(id -u nobody 2>/dev/null)" ]; then
	check 'an ordinary user is told that it needs root' \
		ends 5 'sudo' -- setpriv --reuid nobody --clear-groups "$OUTBOARD" selftest "uio:$RIG_EDU"
fi
finish_checks
