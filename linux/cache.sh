# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Sourced by the scripts of linux/: where things lie, and how they are told. docs/linux-build.md has the layout of the cache.

linux_home=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
cache=${OUTBOARD_LINUX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/outboard/linux}
# Headers of the library: beside linux/ in the source tree, else where they are installed.
linux_include=$linux_home/../include
[ -d "$linux_include/outboard" ] || linux_include=$linux_home/../../../include
# shellcheck source=../scripts/debian-archive
. "$linux_home/../scripts/debian-archive"

# Exit codes are those of outboard(1).
FAILED=1 USAGE=2 MISSING=5

# Kernels that linux/arch has been brought to.
supported()
{
	printf '%s\n' 6.1 6.12 7.2
}

# The subcommand `outboard linux` reads these lines from the descriptor that it names: KIND TAB TEXT TAB TEXT.
report() # KIND TEXT...
{
	local IFS=$'\t'
	printf '%s\n' "$*" >&"$OUTBOARD_REPORT"
}

say()
{
	if [ -n "${OUTBOARD_REPORT:-}" ]; then
		report say "$*"
	else
		printf '%s\n' "$*" >&2
	fi
}

# On a terminal each of these lines replaces the one before; elsewhere one stands every ten seconds.
progress()
{
	if [ -n "${OUTBOARD_REPORT:-}" ]; then
		report progress "$*"
	elif [ -t 2 ]; then
		printf '\r%s\033[K' "$*" >&2
	elif [ $((SECONDS - ${last_progress:--10})) -ge 10 ]; then
		last_progress=$SECONDS
		printf '%s\n' "$*" >&2
	fi
}

progress_end()
{
	if [ -n "${OUTBOARD_REPORT:-}" ]; then
		report progress ''
	elif [ -t 2 ]; then
		printf '\r\033[K' >&2
	fi
}

# One sentence on what is wrong, perhaps a command that cures it and the tools' own words; ends the script.
fail() # EXIT-CODE WHAT [FIX [WHY]]
{
	progress_end
	if [ -n "${OUTBOARD_REPORT:-}" ]; then
		report error "$1" "$2" "${3:-}" "${4:-}"
	else
		printf '%s: %s\n' "${me:-linux}" "$2" >&2
		[ -z "${4:-}" ] || printf '  why: %s\n' "$4" >&2
		[ -z "${3:-}" ] || printf '  try: %s\n' "$3" >&2
	fi
	exit "$1"
}

need() # TOOL...
{
	local tools
	tools=$(missing_tools "$@")
	[ -z "$tools" ] || fail $MISSING "there is no $tools here, which building Linux drivers needs" \
		"apt-get install $(package_of "$tools" | paste -sd' ')"
}

package_of() # TOOLS: Debian's names where they differ
{
	local tool
	for tool in $1; do
		case $tool in
		ld | objcopy | nm | ar) echo binutils ;;
		xz) echo xz-utils ;;
		dpkg-deb) echo dpkg ;;
		*) echo "$tool" ;;
		esac
	done | sort -u
}

# The nearest of the names on standard input to what was typed, at most five. A number behind a name makes it that much nearer.
nearest() # TYPED
{
	awk -v typed="$1" '
	function distance(a, b,   i, j, la, lb, d, up, diagonal, cost) {
		la = length(a); lb = length(b)
		for (j = 0; j <= lb; j++) d[j] = j
		for (i = 1; i <= la; i++) {
			diagonal = d[0]; d[0] = i
			for (j = 1; j <= lb; j++) {
				up = d[j]
				cost = diagonal + (substr(a, i, 1) != substr(b, j, 1))
				if (d[j] + 1 < cost) cost = d[j] + 1
				if (d[j - 1] + 1 < cost) cost = d[j - 1] + 1
				d[j] = cost; diagonal = up
			}
		}
		return d[lb]
	}
	{
		far = distance(typed, $1)
		far -= $2
		if (index($1, typed) || index(typed, $1)) far -= 2
		if (far <= 1 + length(typed) / 3) print far "\t" $1
	}' | sort -n | cut -f2 | awk '!seen[$0]++' | head -n 5 | paste -sd' '
}
