#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# mutants.sh [--count N] [--first N] [--seed S] [--driver NAME|FILE] [--only PATTERN] [--spec SPEC] [--json FILE] [--keep FOLDER] [--build FOLDER]
#
# Drivers with a fault in their code: makes N copies of a native driver (edu, e1000, ide or nvme; default nvme) with one fault each (mutate.c has the
# classes), uses each in a process of its own (mutant.c) on SPEC (default the made-up device fuzz:NAME, which keeps data), and says how that
# went: a table and, with --json, a document. Same seed, same faults. --first begins at another number, so that a campaign can go on where
# one ended. FILE is a driver of another make, as an object of `outboard linux build`, and PATTERN its functions (e1000_*); then SPEC is to be given. --keep puts those that were not "passed" into a folder, with the list of all.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
count=100 first=1 seed=1 driver=nvme only='*' spec='' json='' keep='' build=$root/build
while [ $# -gt 0 ]; do
	case $1 in
	--count) count=$2 ;;
	--first) first=$2 ;;
	--seed) seed=$2 ;;
	--driver) driver=$2 ;;
	--only) only=$2 ;;
	--spec) spec=$2 ;;
	--json) json=$2 ;;
	--keep) keep=$2 ;;
	--build) build=$2 ;;
	--help) sed -n '4,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "mutants.sh: unknown option '$1'" >&2; exit 2 ;;
	esac
	shift 2
done
spec=${spec:-fuzz:$driver}
bin=$build/tests/campaign object=$build/tests/campaign/$driver.so
case $driver in
*/*)
	object=$driver
	driver=$(basename "$driver" .so)
	;;
esac
for file in "$bin/mutate" "$bin/mutant" "$object"; do
	[ -e "$file" ] || {
		echo "mutants.sh: there is no $file; ninja -C $build builds it (and wants libcapstone-dev)" >&2
		exit 2
	}
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
[ -z "$keep" ] || mkdir -p "$keep"

# A control: the driver without a fault has to pass, or the table says nothing.
control=$("$bin/mutant" "$object" "$spec" 2>"$dir/errors" | cut -f1)
[ "$control" = passed ] || {
	echo "mutants.sh: $driver without a fault on $spec: ${control:-no answer}; $(cat "$dir/errors")" >&2
	exit 1
}

for ((number = first; number < first + count; number++)); do
	line=$("$bin/mutate" --only "$only" --seed "$seed" --number "$number" "$object" "$dir/$driver.so")
	address=$(cut -f4 <<<"$line")
	outcome=$("$bin/mutant" --watch "$address" "$dir/$driver.so" "$spec" 2>/dev/null) || {
		echo "mutants.sh: mutant $number could not be run: $outcome" >&2
		exit 1
	}
	printf '%s\t%s\n' "$outcome" "$line" >>"$dir/list"
	if [ -n "$keep" ] && [ "${outcome%%	*}" != passed ]; then
		cp "$dir/$driver.so" "$keep/$driver-$seed-$number.so"
	fi
done
[ -z "$keep" ] || cp "$dir/list" "$keep/list-$driver-$seed-$first"

awk -F '\t' -v driver="$driver" -v spec="$spec" -v seed="$seed" -v first="$first" -v json="$json" \
	-v id="$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)" '
	BEGIN {
		classes = split("operand store branch bound check init pointer interface bit", class, " ")
		n = split("passed error wrong kept crashed ended hung", outcome, " ")
	}
	{
		sub(/ .*/, "", $1)
		total++; in_class[$4]++
		if ($2 != "reached") next
		reached[$4]++; all_reached++
		how[$4, $1]++; sum[$1]++
	}
	function row(name, faults, active, c,    i, line) {
		line = sprintf("%-10s %7d %8d", name, faults, active)
		for (i = 1; i <= n; i++)
			line = line sprintf(" %8d", c == "" ? sum[outcome[i]] : how[c, outcome[i]])
		print line
	}
	function object(faults, active, c,    i, s) {
		s = sprintf("{\"faults\":%d,\"reached\":%d", faults, active)
		for (i = 1; i <= n; i++)
			s = s sprintf(",\"%s\":%d", outcome[i], c == "" ? sum[outcome[i]] : how[c, outcome[i]])
		return s "}"
	}
	END {
		printf "%s on %s, seed %s, faults %d to %d, %s\n", driver, spec, seed, first, first + total - 1, id
		printf "%-10s %7s %8s", "class", "faults", "reached"
		for (i = 1; i <= n; i++)
			printf " %8s", outcome[i]
		print ""
		for (k = 1; k <= classes; k++)
			row(class[k], in_class[class[k]], reached[class[k]], class[k])
		row("all", total, all_reached, "")
		if (json == "") exit
		printf "{\"campaign\":\"mutants\",\"driver\":\"%s\",\"spec\":\"%s\",\"seed\":%s,\"first\":%d,\"git\":\"%s\",", \
			driver, spec, seed, first, id >json
		printf "\"all\":%s,\"classes\":{", object(total, all_reached, "") >json
		for (k = 1; k <= classes; k++)
			printf "%s\"%s\":%s", (k > 1 ? "," : ""), class[k],
				object(in_class[class[k]], reached[class[k]], class[k]) >json
		print "}}" >json
	}' "$dir/list"
