#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# suspend.sh OUTBOARD DRIVER PROFILE MODEL AGAIN [KERNEL]: a driver's own functions put QEMU's MODEL to sleep and wake it: before and after it does what the test AGAIN
# of its self-test does. PROFILE is the one of all drivers of its class.
driver=$2 profile=$3 model=$4 again=$5 kernel=${6:-6.12}
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of "$driver" "$profile" "$kernel"
truncate -s 64M "$dir/disk.img"
model=${model/DISK/$dir/disk.img}

passed() # TEST
{
	jq -e --arg name "$1" '[.tests[] | select(.name | startswith($name)) | .result] == ["passed"]' "$dir/out"
}

for time in 'first time' again; do
	export OUTBOARD_LINUX_SUSPEND=1
	ob selftest --driver "linux:$object@$kernel" "qemu:$model" --json
	expect "$time: the self-test passes" 0
	check "$time: the device slept and is awake" passed 'suspend and resume'
	check "$time: it works as before" passed "$again"
done
unset OUTBOARD_LINUX_SUSPEND
ob selftest --driver "linux:$object@$kernel" "qemu:$model" --json
expect 'who does not ask for it has no sleep' 0
check 'none at all' test "$(jq '[.tests[] | select(.name | startswith("suspend"))] | length' "$dir/out")" = 0
finish
