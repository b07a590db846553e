#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# random_operations.sh: in the rig's guest, $SPLIT_COUNT random operations from $SPLIT_SEED on one of two cards; a line for each in $RIG_RESULTS/random.
# tests/split/equal.sh starts it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/split/split_driver.bash
. "$here/split_driver.bash"
load_driver && until_true has_interface "$RIG_SECOND" || exit 1
first=$(interface_of "$RIG_FIRST")
second=$(interface_of "$RIG_SECOND")
link_up "$first" && link_up "$second" || exit 1
[ -z "${SPLIT_BUSY:-}" ] || {
	# Times differ by what it does; without a pause all waiting of the others would be executed, too.
	while :; do sleep 0.0$((RANDOM % 10 + 3)); done &
}
"$BUILD/tests/split/random_operations" --seed "$SPLIT_SEED" --count "$SPLIT_COUNT" "$first" >"$RIG_RESULTS/random" || exit 1
ip link set "$first" down
ip link set "$second" down
unload_driver
