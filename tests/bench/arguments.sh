#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# arguments.sh SOURCE PROGRAM...: all benchmarks are asked in the same way, and refuse what makes no sense before they
# start anything. Prints TAP.
source=$1
shift
# shellcheck source=tests/checks.sh
. "$source/tests/checks.sh"
trap 'rm -rf "$dir"' EXIT

# Usage on standard output, with the options that all have.
helps()
{
	text=$("$1" --help 2>/dev/null) || return
	for option in --json --quick; do
		case $text in *$option*) ;; *) return 1 ;; esac
	done
}

refuses()
{
	"$@"
	[ $? = 2 ]
}

for program; do
	name=${program##*/}
	check "$name: --help" helps "$program"
	check "$name: an unknown option is refused" refuses "$program" --no-such-option
	check "$name: so is what is no option" refuses "$program" more
done
for script in "$source"/bench/*_instructions.sh "$source/scripts/bench"; do
	name=${script##*/}
	check "$name: --help" sh -c '"$1" --help | grep -q -e --quick' - "$script"
	check "$name: an unknown option is refused" refuses "$script" --no-such-option
done
for program; do
	case $program in
	*-nvme | *-net | *-tap | *-attach_block)
		check "${program##*/}: a number that is none is refused" refuses "$program" --rounds 1x
		check "${program##*/}: no rounds are refused" refuses "$program" --rounds 0
		;;
	esac
done
check "nvme_instructions.sh: a build that is not there" sh -c '! "$1" /nonexistent' - \
	"$source/bench/nvme_instructions.sh"
finish_checks
