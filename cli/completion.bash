# SPDX-License-Identifier: BSD-2-Clause
# bash completion of outboard(1): commands and options from its own help, models, drivers and instances
# from its own lists, so that this file never lags behind.

_outboard_options() # COMMAND
{
	outboard "$1" --help 2>/dev/null | command sed -n '/^Options:/,$s/^ .*\(--[a-z-]*\).*/\1/p; s/^ *\(-[A-Za-z]\)[, ].*/\1/p'
}

# Names under a key of a JSON document, without jq: one member a line, as outboard prints them.
_outboard_names() # KEY COMMAND...
{
	local key=$1
	shift
	outboard "$@" --json 2>/dev/null | command sed -n "s/^ *\"$key\":\"\([^\"]*\)\".*/\1/p"
}

_outboard()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words= i
	local command=${COMP_WORDS[1]}

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="$(_outboard_names name help) --help --version"
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
		return
	fi
	# Behind "--" of run is a command of its own.
	for ((i = 2; i < COMP_CWORD; i++)); do
		[ "${COMP_WORDS[i]}" = -- ] && {
			COMPREPLY=($(compgen -c -f -- "$cur"))
			return
		}
	done
	# The shell splits words at ':', which belong together in specifications and addresses.
	for ((i = COMP_CWORD; i > 2; i--)); do
		[[ ${COMP_WORDS[i]} == : || ${COMP_WORDS[i - 1]} == : ]] || break
		cur=${COMP_WORDS[i - 1]}$cur
		prev=${COMP_WORDS[i - 2]}
	done
	# And at '=': the value of --option=, or of a specification's option, where a path is likely.
	if [[ $cur == = || $prev == = ]]; then
		[ "$cur" = = ] && cur= || prev=${COMP_WORDS[COMP_CWORD - 2]}
		if [[ $prev != -* || $prev == --json ]]; then
			COMPREPLY=($(compgen -f -- "$cur"))
			return
		fi
	fi
	case $prev in
	--driver | -d) words=$(outboard version --json 2>/dev/null | command sed -n '/"drivers"/,/\]/s/^ *"name":"\(.*\)",/\1/p') ;;
	--attach | -a) words="auto $(outboard version --json 2>/dev/null | command sed -n '/"attachments"/,$s/^ *"name":"\(.*\)",/\1/p')" ;;
	--mode) words="adaptive poll interrupt" ;;
	--irq) words="intx msi msix" ;;
	--name | --queues | --depth | --rt-priority | --cpu | --timeout | --count) return ;;
	*)
		case $cur in
		-*) words=$(_outboard_options "$command") ;;
		*)
			case $command in
			run | selftest) words=$(_outboard_names spec devices) ;;
			probe) words=$(_outboard_names spec devices; _outboard_names address devices --all) ;;
			ethtool) words=$(_outboard_names spec devices; _outboard_instances) ;;
			show | stop) words=$(_outboard_instances) ;;
			help) words=$(_outboard_names name help) ;;
			specs) words=$(_outboard_names name specs) ;;
			esac
			;;
		esac
		;;
	esac
	# And only what follows the last of them is replaced.
	COMPREPLY=($(compgen -W "$words" -- "$cur" | command grep -v ':NAME$'))
	COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
	# A specification goes on after its model.
	[[ $cur${COMPREPLY[0]-} == *:* ]] && compopt -o nospace 2>/dev/null
	return 0
}

# Names of instances: the member "name" of the documents in "instances", not those of their devices.
_outboard_instances()
{
	outboard show --json 2>/dev/null | command sed -n 's/^      "name":"\(.*\)",/\1/p'
}

complete -F _outboard outboard
