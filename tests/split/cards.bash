# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced on this machine by what boots a driver in the rig: which of QEMU's cards it drives, and what the kernel says of it in any case.
card_of() # DRIVER
{
	case $1 in
	pcnet32) echo pcnet ;;
	e100) echo i82559er ;;
	e1000) echo e1000 ;;
	*)
		echo "${0##*/}: which driver? pcnet32, e100 or e1000" >&2
		return 2
		;;
	esac
}

# A pattern of bugs that are the original's: pcnet32 frees DMA memory with interrupts off whenever rings change, of which the kernel warns.
own_bugs_of() # DRIVER
{
	case $1 in
	pcnet32) echo 'WARNING: .* at kernel/dma/mapping\.c:[0-9]+ dma_free_attrs|Call Trace:' ;;
	esac
}
