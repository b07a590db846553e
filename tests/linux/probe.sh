#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# probe.sh OUTBOARD DRIVER PROFILE MODEL [KERNEL]: an unmodified driver of the Linux kernel, of whose devices QEMU has no model, takes one of a device like them that says
# driver nor the profile is built.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"
driver=$2 profile=$3 model=$4 kernel=${5:-6.12}
here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of "$driver" "$profile" "$kernel"

truncate -s 96M "$dir/disk.img"
OUTBOARD_LOG=info ob selftest --driver "linux:$object@$kernel" "qemu:$model,file=$dir/disk.img"
check 'it is that driver that took it' grep -q "linux: scsi host0: $driver" "$dir/err"
expect_out 'its self-test passes, and it reads the disk' 0 'read sda' passed
[ $failed -ne 0 ] || OUTBOARD_EVIDENCE_OBJECT=$object "$here/linux/record" "$driver" "$kernel" "qemu:$model" probe selftest read
finish
