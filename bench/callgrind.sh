# SPDX-License-Identifier: BSD-2-Clause
# What the *_instructions.sh share; sourced by them. Sets $bench (the program) and $dir (removed at the end).
# shellcheck shell=sh disable=SC2034,SC2154

# callgrind_begin SCRIPT BUILD NAME
callgrind_begin()
{
	bench=$2/bench/outboard-bench-$3
	[ -x "$bench" ] || { echo "$1: no $bench; run 'make' first" >&2; exit 1; }
	command -v valgrind >/dev/null || { echo "$1: no valgrind; apt-get install valgrind" >&2; exit 1; }
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
}

# callgrind_run ARGUMENTS...: $bench under callgrind, which collects where the program switches it on. What the
# program prints goes to $dir/said, what was counted to $dir/out.
callgrind_run()
{
	valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$dir/out" --quiet \
		"$bench" "$@" >"$dir/said" 2>"$dir/log" || { cat "$dir/log" >&2; exit 1; }
}

# callgrind_parts THINGS THING JSON HEAD: $dir/out by function and by part of Outboard, divided by the number of
# THINGs (frames, requests); with JSON, a file, also there, after the members HEAD.
callgrind_parts()
{
	# "Ir" per function, exclusive: lines of callgrind_annotate look like "1,234 (12.3%)  file.c:function [object]".
	callgrind_annotate --show-percs=no --threshold=100 "$dir/out" |
		awk -v things="$1" -v thing="$2" -v json="$3" -v head="$4" '
		function part(file) {
			if (file ~ /\/bench\//) return "loop"
			if (file ~ /\/class\// || file ~ /outboard\/(net|block)\.h/) return "class"
			if (file ~ /\/drivers\//) return "driver"
			if (file ~ /\/access\// || file ~ /outboard\//) return "access"
			return "libc"
		}
		/^ *[0-9,]+ .*:/ && !/PROGRAM TOTALS/ {
			ir = $1; gsub(",", "", ir)
			name = $2; sub(/ \[.*/, "", name)
			split(name, f, ":")
			if (f[2] == "") next
			file = f[1]; fn = f[2]; sub(/\x27.*/, "", fn)
			# Inlined lines carry their own file: a function belongs where most of it is.
			n[fn] += ir; sum[part(file)] += ir; total += ir
			if (ir > most[fn]) { most[fn] = ir; where[fn] = part(file) }
		}
		END {
			if (!things || !total) exit 1
			printf "%12s  %-8s %s\n", "instructions", "part", "function"
			cmd = "sort -rn | head -20"
			for (fn in n)
				if (n[fn] / things >= 0.005) printf "%12.2f  %-8s %s\n", n[fn] / things, where[fn], fn | cmd
			close(cmd)
			parts = split("driver class access libc loop", order, " ")
			printf "%12.2f  all:", total / things
			for (i = 1; i <= parts; i++)
				if (sum[order[i]]) {
					printf "%s %s %.2f", sep, order[i], sum[order[i]] / things
					sep = ","
				}
			printf " per %s\n", thing
			if (json == "") exit
			printf "{%s,\"instructions_per_%s\":%.2f,", head, thing, total / things > json
			for (i = 1; i <= parts; i++)
				printf "\"%s\":%.2f,", order[i], sum[order[i]] / things > json
			printf "\"functions\":{" > json
			sep = ""
			for (fn in n) { printf "%s\"%s\":%.2f", sep, fn, n[fn] / things > json; sep = "," }
			printf "}}\n" > json
		}'
}
