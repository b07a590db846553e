# SPDX-License-Identifier: BSD-2-Clause
# Completion of outboard(1) for bash. Commands and options come from the program's own help.

_outboard_options()
{
	outboard "$1" --help 2>/dev/null |
		awk '/^Options:/ { on = 1; next }
		     on && /^  +-/ { for (i = 1; i <= NF && $i ~ /^-/; i++) { sub(/[,=[].*/, "", $i); print $i } }'
}

_outboard_instances()
{
	outboard show 2>/dev/null | awk 'NR > 1 && /^[^ -]/ { print $1; print $2 }'
}

_outboard_addresses() # STATES...
{
	outboard devices --json 2>/dev/null |
		awk -v want="$*" '/"address":/ { split($0, a, "\""); at = a[4] }
			/"state":/ { split($0, a, "\""); if (index(" " want " ", " " a[4] " ")) print at }'
}

_outboard()
{
	local cur=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} command=${COMP_WORDS[1]} words prefix
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words=$(outboard help 2>/dev/null | awk '/^  [a-z]/ { print $1 }')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi
	# What follows "--" is another command.
	if [[ " ${COMP_WORDS[*]:0:COMP_CWORD} " = *" -- "* ]]; then
		mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
		return
	fi
	# bash breaks words at ':' and '=', specifications do not.
	cur=${line##*[[:space:]]}
	case $cur in
	-*) words=$(_outboard_options "$command") ;;
	*)
		case $command in
		run | probe | selftest | record) words=$(outboard specs qemu | awk '/^  [a-z0-9-]+  / && !/=/ { print "qemu:" $1 }') ;;
		char) words='qemu:edu qemu:i6300esb qemu:virtio-rng-pci qemu:es1370 qemu:ac97 read write say' ;;
		bind) words=$(_outboard_addresses kernel free bound) ;;
		unbind) words=$(_outboard_addresses bound held) ;;
		factor | split) words=$(compgen -f -- "$cur") ;;
		show | stop | upgrade) words=$(_outboard_instances) ;;
		ethtool) words="$(_outboard_instances) qemu:e1000e qemu:e1000-82540em qemu:e1000-82545em" ;;
		help) words=$(outboard help 2>/dev/null | awk '/^  [a-z]/ { print $1 }') ;;
		linux)
			words='build list clean'
			[ "${COMP_WORDS[2]}" != build ] || [ "$COMP_CWORD" -eq 2 ] ||
				words=$(outboard linux list 2>/dev/null | awk 'NR > 1 && NF { print $1 }')
			;;
		bench)
			words='list run report compare'
			[ "${COMP_WORDS[2]}" != run ] || [ "$COMP_CWORD" -eq 2 ] ||
				words=$(outboard bench list 2>/dev/null | awk '{ print $1 }')
			;;
		*) words= ;;
		esac
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--mode) words='adaptive poll interrupt' ;;
		--irq) words='intx msi msix' ;;
		-a | --attach) words='auto ublk vduse-blk nbd-kernel loop nbd fuse mount vhost-net tap vduse-net cuse' ;;
		-d | --driver)
			if [ "$command" = bind ]; then
				words='vfio-pci uio_pci_generic'
			else
				words=$(outboard version 2>/dev/null | awk '/^DRIVER/ { on = 1; next } !NF { on = 0 } on { print $1 }')
			fi
			;;
		-k | --kernel) words='6.12 7.2' ;;
		--source | --module | --kernel-headers | --policies) words=$(compgen -d -- "$cur") ;;
		-c | --class) words='net block char sound usb serial any' ;;
		--svg | --facts) words=$(compgen -f -- "$cur") ;;
		--user) words=$(compgen -u) ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	# Only what stands behind the last ':' is the word that bash replaces.
	prefix=
	[[ $cur = *:* && $COMP_WORDBREAKS = *:* ]] && prefix=${cur%:*}:
	COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
}
complete -F _outboard outboard
