#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# firmware.sh OUTBOARD [KERNEL]: the kernel's e100 asks for a firmware file, which comes from the host's folder: with none it says which one is missing and what to
# do, one of a wrong size is refused by the driver, and with one of the right size the card is up. (QEMU's model takes microcode and does not run it.)
kernel=${2:-6.12}
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"

here=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/object.sh
. "$here/tests/linux/object.sh"
object_of e100 net "$kernel"
card=qemu:i82551,netdev=user
file=e100/d102e_ucode.bin
export OUTBOARD_FIRMWARE=$dir/firmware

test_card()
{
	ob selftest --driver "linux:$object@$kernel" $card
}

test_card
expect_out 'without a folder of firmware the file is named' 1 "$file"
mkdir -p "$OUTBOARD_FIRMWARE/e100"
test_card
expect_out 'without the file, too' 1 "$file"
ob run --driver "linux:$object@$kernel" $card --attach tap,netns=new --quiet -- true
expect 'who runs it is told what to do' 5 "$file" 'OUTBOARD_FIRMWARE'
mkfifo "$OUTBOARD_FIRMWARE/$file"
test_card
expect_out 'what is no file is not waited for' 1 "$file"
rm "$OUTBOARD_FIRMWARE/$file"
echo four >"$OUTBOARD_FIRMWARE/$file"
test_card
expect_out 'a file of another size is refused' 1 'wrong size 5'
# 134 words and three places in them (drivers/net/ethernet/intel/e100.c, e100_request_firmware()).
head -c $((134 * 4)) /dev/urandom >"$OUTBOARD_FIRMWARE/$file"
printf '\1\2\3' >>"$OUTBOARD_FIRMWARE/$file"
test_card
expect_out 'with the file the card is up' 0 'answers'
export OUTBOARD_FIRMWARE=
ob selftest --driver "linux:$object@$kernel" qemu:i82557b,netdev=user
expect_out 'a card without firmware needs no folder' 0 'answers'
finish
