# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced on this machine by what boots a driver in the rig: which of QEMU's cards it drives.
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
