#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Instructions that Outboard spends on a 4 KiB NVMe read at queue depth 32, counted by callgrind:
#
#   bench/nvme_instructions.sh [--json FILE] [--bursts N] [--depth N] [BUILD]
#
# Counted is everything between entry and return of ob_block_submit() and ob_block_complete(): class, driver,
# and the access layer's doorbell, which on QEMU's devices is a message (format, lock, send). Not counted: the
# caller's loop, the kernel, the device model. A burst of N requests is one call of each. BUILD is a build
# directory (default build); it should be optimised (the default, -O2).
set -eu

json= bursts=300 depth=32 build=build
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=$2; shift 2 ;;
	--bursts) bursts=$2; shift 2 ;;
	--depth) depth=$2; shift 2 ;;
	--help) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "nvme_instructions: unknown option '$1'" >&2; exit 2 ;;
	*) build=$1; shift ;;
	esac
done
bench=$build/bench/outboard-bench-nvme
[ -x "$bench" ] || { echo "nvme_instructions: no $bench; run 'make' first" >&2; exit 1; }
command -v valgrind >/dev/null || { echo "nvme_instructions: no valgrind; apt-get install valgrind" >&2; exit 1; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$dir/out" --quiet \
	"$bench" --instructions "$bursts" --depth "$depth" >"$dir/said"
set -- $(cat "$dir/said")
requests=$2
bursts=$6
calls=$8
rings=${10}

# "Ir" per function, exclusive: lines of callgrind_annotate look like "1,234 (12.3%)  file.c:function [object]".
callgrind_annotate --show-percs=no --threshold=100 "$dir/out" |
	awk -v requests="$requests" -v calls="$calls" -v bursts="$bursts" -v rings="$rings" -v depth="$depth" -v json="$json" '
	function part(file) {
		if (file ~ /class\//) return "class"
		if (file ~ /drivers\//) return "driver"
		if (file ~ /access\// || file ~ /outboard\//) return "access"
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
		printf "%d requests in bursts of %d, %.2f calls of ob_block_complete and %.2f doorbells for each\n", requests, depth, calls / bursts, rings / bursts
		printf "%12s  %-8s %s\n", "instructions", "part", "function"
		cmd = "sort -rn | head -20"
		for (fn in n) if (n[fn] / requests >= 0.005) printf "%12.2f  %-8s %s\n", n[fn] / requests, where[fn], fn | cmd
		close(cmd)
		printf "%12.2f  all: class %.2f, driver %.2f, access %.2f, libc %.2f per request\n", total / requests, \
			sum["class"] / requests, sum["driver"] / requests, sum["access"] / requests, sum["libc"] / requests
		if (json != "") {
			printf "{\"bench\":\"nvme_instructions\",\"requests\":%d,\"depth\":%d,\"doorbells_per_burst\":%.3f,\"instructions_per_request\":%.2f,", \
				requests, depth, rings / bursts, total / requests > json
			printf "\"class\":%.2f,\"driver\":%.2f,\"access\":%.2f,\"libc\":%.2f,\"functions\":{", \
				sum["class"] / requests, sum["driver"] / requests, sum["access"] / requests, sum["libc"] / requests > json
			sep = ""
			for (fn in n) { printf "%s\"%s\":%.2f", sep, fn, n[fn] / requests > json; sep = "," }
			printf "}}\n" > json
		}
	}'
