# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Sourced by linux/build, linux/list and linux/table: what a profile is made of. A profile is a file in linux/profiles, a fragment of the kernel's
# configuration whose line "# on: NAME..." names those on which it stands. Any other driver of the kernel is a profile, too: what
# it needs is read from the kernel's makefiles.

profiles=$linux_home/profiles

profile_names()
{
	(cd "$profiles" && printf '%s\n' *.config) | sed 's/\.config$//'
}

profile_title() # NAME
{
	sed -n '2s/^# //p' "$profiles/$1.config"
}

profile_on() # NAME
{
	sed -n 's/^# on: //p' "$profiles/$1.config"
}

# The profile's file name, for a driver's name as people type it: the kernel takes - and _ for the same.
profile_file() # NAME
{
	local file
	for file in "$profiles/$1.config" "$profiles/${1//_/-}.config" "$profiles/${1//-/_}.config"; do
		[ -e "$file" ] && basename "$file" .config && return
	done
	return 1
}

class_of() # PROFILE
{
	case $1 in
	core-ata | core-scsi | core-block | block) echo block ;;
	core-*) echo "${1#core-}" ;;
	net) echo net ;;
	core) echo other ;;
	ext4) echo 'file system' ;;
	all) echo all ;;
	*) class_of "$(profile_on "$1" | cut -d' ' -f1)" ;;
	esac
}

profile_symbols() # NAME: with those on which it stands, deepest first
{
	local other
	for other in $(profile_on "$1"); do
		profile_symbols "$other"
	done
	# One that only stands on others has none of its own.
	grep -E '^CONFIG_' "$profiles/$1.config" || true
}

is_check() # NAME
{
	[ "$1" = debug ] || [ -e "$profiles/checks/$1.config" ]
}

check_names()
{
	(cd "$profiles/checks" && printf '%s\n' *.config) | sed 's/\.config$//'
}

# "+kasan+lockdep" behind a driver's name: the kernel's checks of itself; "+debug" is all of them.
checks_fragment() # CHECKS
{
	local check checks=${1//+/ }
	[ "$checks" != ' debug' ] || checks=$(check_names)
	echo CONFIG_OUTBOARD_CHECKS=y
	for check in $checks; do
		grep '^CONFIG_' "$profiles/checks/$check.config"
	done
}

# "SYMBOL NAME FOLDER" of each object that a symbol of the configuration builds
driver_objects() # TREE
{
	(cd "$1" && grep -rHE '^obj-\$\(CONFIG_[A-Za-z0-9_]+\)[[:space:]]*\+?=' --include=Makefile --include=Kbuild drivers sound) |
		awk '{
			colon = index($0, ":"); file = substr($0, 1, colon - 1); line = substr($0, colon + 1)
			match(line, /CONFIG_[A-Za-z0-9_]+/); symbol = substr(line, RSTART, RLENGTH)
			sub(/^[^=]*=/, "", line); sub(/#.*/, "", line)
			n = split(line, word, /[ \t]+/)
			sub(/\/[^\/]*$/, "", file)
			for (i = 1; i <= n; i++)
				if (word[i] ~ /\.o$/) { sub(/\.o$/, "", word[i]); print symbol, word[i], file }
		}'
}

# A driver that has no profile: its symbol, that of each folder above it, and the core of its class.
derived_symbols() # TREE DRIVER OWN
{
	local symbol name folder core
	read -r symbol name folder <<<"$(driver_objects "$1" | awk -v want="${2//-/_}" '{ n = $2; gsub(/-/, "_", n) } n == want { print; exit }')"
	[ -n "${symbol:-}" ] || return 1
	case $folder in
	drivers/net/can/*) core=core-can ;;
	drivers/net/*) core=core-net ;;
	drivers/nvme/* | drivers/block* | drivers/mmc*) core=core-block ;;
	drivers/ata*) core=core-ata ;;
	drivers/scsi* | drivers/message*) core=core-scsi ;;
	drivers/usb*) core=core-usb ;;
	sound/*) core=core-sound ;;
	*) core=core ;;
	esac
	profile_symbols "$core"
	folder_symbols "$1" "$folder"
	echo "$symbol=y" | tee -a "$3"
}

# The symbols on which the build of a folder hangs, from above: CONFIG_NET_VENDOR_INTEL for drivers/net/ethernet/intel/igb.
folder_symbols() # TREE FOLDER
{
	local folder=$2 base
	while [[ $folder = */* ]]; do
		base=${folder##*/}
		folder=${folder%/*}
		grep -hE "^obj-\\$\\(CONFIG_[A-Za-z0-9_]+\\).*[[:space:]]$base/" "$1/$folder/Makefile" 2>/dev/null |
			grep -oE 'CONFIG_[A-Za-z0-9_]+' | head -n 1 | sed 's/$/=y/'
	done | tac
}

# The fragment of a profile, a driver, or several of them ("nvme+ext4") on standard output; the symbols of these themselves, without their cores, in OWN.
profile_fragment() # NAME[+NAME...] TREE OWN
{
	local names one
	: >"$3"
	IFS=+ read -ra names <<<"$1"
	for one in "${names[@]}"; do
		one_fragment "$one" "$2" "$3" || return
	done | awk '!seen[$0]++'
	return "${PIPESTATUS[0]}"
}

one_fragment() # NAME TREE OWN
{
	local file near
	if file=$(profile_file "$1"); then
		profile_symbols "$file"
		# Of a profile of many each is its own.
		if grep -q '^CONFIG_' "$profiles/$file.config"; then
			grep '^CONFIG_' "$profiles/$file.config" >>"$3"
		else
			profile_symbols "$file" >>"$3"
		fi
		return
	fi
	derived_symbols "$2" "$1" "$3" && return
	near=$( (profile_names | sed 's/$/ 1/'; driver_objects "$2" | cut -d' ' -f2) | nearest "$1")
	fail $USAGE "kernel $version has no driver '$1'${near:+; near to that are: $near}" 'outboard linux list'
}
