#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# keeper_instructions.sh [--build FOLDER] [--quick] [--requests N] [--depth N] [--json FILE] [--with "OPTIONS"]...
#
# What a keeper costs where requests and packets pass, in instructions counted by callgrind: `outboard run` with each OPTIONS (--one-process, and --sandbox off: valgrind needs calls that a sandbox has not) serves
# N and 3 N requests of a disk by NBD (1,000, or 100 with --quick; DEPTH at a time, 8), and N and 3 N echoes of a network card by a tap; the difference, divided by 2 N, is what one costs.
# "all" is all that the process executes which serves them: the loop's rounds are part of it, and how many requests share one depends on when the device model answers. "keeper" is what of that stands in
# keeper/, "beside" what the other process, the keeper, executes meanwhile. The last two are the cost.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build requests=1000 depth=8 json=''
variants=()
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2 ;;
	--requests) requests=$2 ;;
	--depth) depth=$2 ;;
	--json) json=$2 ;;
	--quick) requests=100; shift; continue ;;
	--with) variants+=("$2") ;;
	--help) sed -n '4,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "keeper_instructions.sh: unknown option '$1'" >&2; exit 2 ;;
	esac
	shift 2
done
[ ${#variants[@]} -gt 0 ] || variants=('--one-process' '--sandbox off')
for file in "$build/bench/valgrind-pidfd.so" "$build/tests/campaign/kills"; do
	[ -e "$file" ] || { echo "keeper_instructions.sh: there is no $file; ninja -C $build builds it" >&2; exit 2; }
done
command -v valgrind >/dev/null || { echo "keeper_instructions.sh: no valgrind; apt-get install valgrind" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The environment's names are the instance's to fill in.
# shellcheck disable=SC2016
disk_client='"$0" --target "$OUTBOARD_URI" --log "$1/log" --kills 0 --writes "$2" --blocks 64 --depth "$3"'
# shellcheck disable=SC2016
net_client='ip link set "$OUTBOARD_IF" up && ip address add 10.0.2.15/24 dev "$OUTBOARD_IF" &&
	for i in $(seq 30); do ping -c 1 -W 1 10.0.2.2 >/dev/null && break; done; exec ping -q -f -c "$2" 10.0.2.2'

counted() # disk|net N OPTION...: "ALL KEEPER BESIDE" of a run
{
	local what=$1 n=$2 spec=qemu:nvme,null=64M attach=nbd client=$disk_client served='' file all
	shift 2
	if [ "$what" = net ]; then
		spec=qemu:e1000e,netdev=user attach=tap,netns=new client=$net_client
	else
		# Empty: the client takes what an earlier run wrote for too new.
		rm -f "$dir/disk"
		truncate -s 16M "$dir/disk"
		spec=qemu:nvme,cache=unsafe,file=$dir/disk
	fi
	rm -f "$dir"/out.* "$dir/log"
	# What is no part of it runs as it is. valgrind does not know pidfd_open(2).
	env LD_PRELOAD="$build/bench/valgrind-pidfd.so" valgrind --tool=callgrind --trace-children=yes \
		--trace-children-skip='*qemu*,*kills*,*/sh,*/dash,*/ip,*/ping,*/seq' --callgrind-out-file="$dir/out.%p" --quiet \
		"$build/cli/outboard" run -q "$spec" --attach "$attach" --mode interrupt "$@" -- \
		env LD_PRELOAD= sh -c "$client" "$build/tests/campaign/kills" "$dir" "$n" "$depth" >"$dir/said" 2>&1 || {
		tail -n 5 "$dir/said" >&2
		return 1
	}
	# The process that serves is the one in which the loop ran.
	for file in "$dir"/out.*; do
		# Of one that became another program there is nothing.
		grep -q '^summary: ' "$file" || { rm "$file"; continue; }
		callgrind_annotate --show-percs=no --threshold=100 "$file" >"$file.text"
		! grep -q ':ob_loop_run' "$file.text" || served=$file
	done
	[ -n "$served" ] || { echo "keeper_instructions.sh: no process has served" >&2; return 1; }
	all=$(sed -n 's/^summary: //p' "$served")
	awk -v all="$all" '/^ *[0-9,]+ .*:/ && $2 ~ /\/keeper\// { gsub(",", "", $1); keeper += $1 } END { printf "%d %d ", all, keeper }' "$served.text"
	# The process that was forked to become COMMAND counts nothing of note, and counts the same each time.
	for file in "$dir"/out.*[0-9]; do
		[ "$file" = "$served" ] || sed -n 's/^summary: //p' "$file"
	done | awk '{ n += $1 } END { print n + 0 }'
}

[ -z "$json" ] || printf '{"bench":"keeper_instructions","requests":%u,"depth":%u,"rows":[' "$requests" "$depth" >"$json"
sep=''
printf '%-8s %-40s %10s %10s %10s\n' each with all keeper beside
for what in disk net; do
	for variant in "${variants[@]}"; do
		# shellcheck disable=SC2086 # options
		few=$(counted $what "$requests" $variant)
		# shellcheck disable=SC2086
		many=$(counted $what $((3 * requests)) $variant)
		row=$(echo "$few $many" | awk -v n=$((2 * requests)) '{ printf "%.2f %.2f %.2f", ($4 - $1) / n, ($5 - $2) / n, ($6 - $3) / n }')
		# shellcheck disable=SC2086
		printf '%-8s %-40s %10s %10s %10s\n' $what "${variant:-(no keeper)}" $row
		if [ -n "$json" ]; then
			# shellcheck disable=SC2086
			printf '%s{"each":"%s","with":"%s","all":%s,"keeper":%s,"beside":%s}' "$sep" $what "$variant" $row >>"$json"
			sep=,
		fi
	done
done
[ -z "$json" ] || echo ']}' >>"$json"
