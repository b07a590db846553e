#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bench-title: Lines of code
# bench-from: Leslie et al. 2005, note 8; Balakrishnan and Krishnan, table 1
# bench-about: Lines that are neither empty nor comment alone, of the C files in this tree; and what others published. Outboard puts nothing into the
#   kernel: its interfaces (VFIO, ublk, VDUSE, tap, FUSE) are those of a stock kernel.
# bench-where: here
# bench-boots: 1
# bench-side: Outboard: this tree
# bench-side: published: by others, as the papers have it
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/experiments/guest.bash
. "$here/guest.bash"
root=$(cd "$here/../.." && pwd)

lines() # LOAD FOLDER...
{
	local load=$1
	shift
	sample Outboard "$load" null lines "$(cd "$root" && find "$@" -name '*.[ch]' -print0 | xargs -0 cat |
		awk '{ gsub(/\/\*.*\*\//, "") } /\/\*/ { inside = 1 } !inside && NF && $1 !~ /^\/\// { n++ } /\*\// { inside = 0 } END { print n }')" lines
}

sample Outboard 'in the kernel' null lines 0 lines
lines 'access: device, DMA, interrupts' access
lines 'device classes and their loop' class
lines 'attachments' attach
lines 'keeper and sandbox' keeper
lines "the kernel's core around an unmodified driver" linux
lines 'driver e1000' drivers/e1000
lines 'driver nvme' drivers/nvme
sample published 'in the kernel, nooks (Swift et al., by Leslie)' null lines 22226 lines
sample published "in the kernel, Leslie et al.'s framework" null lines 2058 lines
sample published 'added to split a driver (Balakrishnan and Krishnan)' null lines 1218 lines
